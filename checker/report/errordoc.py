"""The list of error codes, docs/errors.md: made from the registry, never written by hand.

Run `python -m checker.report.errordoc > docs/errors.md`.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Final

from checker.core.verdict import ExitCode
from checker.lang.diagnostics import CODES

_HUNDREDS: Final[Mapping[str, tuple[str, str]]] = {
    "1": (
        "Syntax",
        "The text cannot be read as a model. One such error is reported; what follows it is not looked at.",
    ),
    "2": ("Names", "A name means nothing, or means two things."),
    "3": ("Types and meaning", "The names are known, but they do not fit together."),
    "4": ("Vacuity", "The model can be read, but a part of it says or does nothing."),
    "5": ("Run time", "The model can be checked, but a reachable state gives an expression no value."),
    "6": ("Limits and files", "A size, an option or a file is out of reach."),
    "9": ("lzcheck itself", "The tool is wrong, not the model. Please report it with the model."),
}

_STATUS: Final[Mapping[str, str]] = {
    "EXPECTED": "every verdict is as expected",
    "SURPRISE": "a verdict differs from what is expected; the codes LZ402 to LZ406 can be such a surprise",
    "USAGE": "the model, a file or the command line is wrong: the codes LZ1xx, LZ2xx, LZ3xx and most of LZ6xx",
    "LIMIT": "a limit was reached first, and nothing that was seen is a surprise",
    "INTERNAL": "lzcheck is wrong, or its engines disagree: the codes LZ9xx",
}

_INTRODUCTION: Final = """\
# Error codes

This file is made by `python -m checker.report.errordoc`; do not edit it.

An error names its place first and its code last, so that an editor can jump to the
one and a reader can look up the other here:

```
mm.lzm:12:8: error: unknown name 'mm_cpumsk' [LZ201]
   12 |     if mm_cpumsk[c] {
      |        ^~~~~~~~~
hint: did you mean 'mm_cpumask'?
```

Errors of names and of types are all reported in one run. A code keeps its meaning
for good; a new meaning gets a new code.
"""


def render_error_codes() -> str:
    """The text of docs/errors.md."""
    parts = [_INTRODUCTION]
    for hundred, (title, about) in _HUNDREDS.items():
        rows = [f"| {code} | {meaning} |" for code, meaning in CODES.items() if code[2] == hundred]
        parts.append(f"## LZ{hundred}xx: {title}\n\n{about}\n\n{_table('code', rows)}")
    statuses = [f"| {code.value} | {_STATUS[code.name]} |" for code in ExitCode]
    parts.append(f"## Exit status\n\n{_table('status', statuses)}")
    return "\n".join(parts)


def _table(what: str, rows: list[str]) -> str:
    return "\n".join([f"| {what} | meaning |", "| --- | --- |", *rows, ""])


if __name__ == "__main__":
    sys.stdout.write(render_error_codes())
