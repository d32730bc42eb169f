"""What the first run would wait for otherwise: `python -m checker.prepare` is the last thing that scripts/setup does.

The parser's tables, the trees of the libraries and the engine's own object files go into the cache.
"""

from __future__ import annotations

import contextlib
from pathlib import Path

from checker.lang.parser import Parser
from checker.lang.source import SourceFile
from checker.native.build import CompilerFailed, NoCompiler, NoRoom, prepare_engines


def main() -> None:
    """Fill the cache; what cannot be made now is made when it is needed, or not at all."""
    parser = Parser()
    for library in sorted((Path(__file__).parent / "std").glob("*.lzm")):
        parser.parse(SourceFile(f"std/{library.name}", library.read_text(encoding="utf-8")), keep=True)
    with contextlib.suppress(NoCompiler, CompilerFailed, NoRoom):
        prepare_engines()


if __name__ == "__main__":
    main()
