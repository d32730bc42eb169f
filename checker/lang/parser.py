"""Text to syntax tree: what was read before is not parsed again, and the parser is made when it is needed."""

from __future__ import annotations

import contextlib
import pickle
import sys
from functools import cache as once
from pathlib import Path
from typing import TYPE_CHECKING, Final

from checker import cache
from checker.lang import syntax
from checker.lang.source import SourceFile

if TYPE_CHECKING:
    from checker.lang.grammar import GrammarParser

KEPT: Final = 200
"""How many trees the cache folder holds."""


class Parser:
    """Parses .lzm texts."""

    def __init__(self) -> None:
        self._parser: GrammarParser | None = None

    def parse(self, source: SourceFile, *, keep: bool = False) -> syntax.File:
        """The tree of a text; raises UserError with the one syntax error that was met.

        `keep`: the text is a file's, so that it is worth while to remember the tree for the next run.
        """
        if not keep:
            return self._parsed(source)
        name = "tree-" + cache.key(_made_by(), source.name, source.text)
        kept = cache.read_entry(name)
        if kept is not None:
            try:
                tree = pickle.loads(kept)
            except Exception:  # whatever is wrong with it, the text is here
                tree = None
            if isinstance(tree, syntax.File):
                return tree
        parsed = self._parsed(source)
        with contextlib.suppress(RecursionError):
            cache.keep_entry(name, pickle.dumps(parsed, pickle.HIGHEST_PROTOCOL), of="tree-", at_most=KEPT)
        return parsed

    def _parsed(self, source: SourceFile) -> syntax.File:
        if self._parser is None:
            from checker.lang.grammar import GrammarParser  # here, as it is slow to load and often not needed

            self._parser = GrammarParser()
        return self._parser.parse(source)


@once
def _made_by() -> str:
    """All that a tree depends on beside its text."""
    here = Path(__file__).parent
    parts = [here.parent / "grammar.lark", here.parent / "records.py"]
    parts += [here / name for name in ("grammar.py", "treebuilder.py", "syntax.py", "source.py")]
    return cache.key(sys.version, *(part.read_text(encoding="utf-8") for part in parts))
