"""The layout of steps in columns: who moves decides where a step stands, time runs downwards.

A row has lines in one column only.  The layout keeps to a width and to ASCII and
knows nothing of models; `report/text.py` says what the lines are.
"""

from __future__ import annotations

import itertools
import textwrap
from collections.abc import Sequence
from typing import Final

from checker.records import dataclass

WIDTH: Final = 72
"""What fits in a mail that is quoted once or twice."""

MAX_COLUMNS: Final = 3
"""With more movers than this each step names its mover instead."""

_GAP: Final = 2
_NARROWEST: Final = 20
_SLACK: Final = 10  # how far narrow columns may reach into the empty space to their right


@dataclass(frozen=True, slots=True)
class Line:
    """A line of text, `indent` characters into its column; it wraps further in."""

    indent: int
    text: str


@dataclass(frozen=True, slots=True)
class Row:
    """One numbered step in one column (from 0)."""

    number: int
    column: int
    lines: tuple[Line, ...]


def to_ascii(text: str) -> str:
    """The text on one line in printable ASCII, white space folded."""
    folded = " ".join(text.split())
    return "".join(c if " " <= c <= "~" else c.encode("ascii", "backslashreplace").decode() for c in folded)


def wrap(text: str, width: int, indent: int = 0, hang: int = 2) -> list[str]:
    """The text, folded and wrapped to `width`; what does not fit continues `hang` further in."""
    deepest = max(0, width - _NARROWEST // 2)
    first = min(indent, deepest)
    return textwrap.wrap(
        to_ascii(text),
        width,
        initial_indent=" " * first,
        subsequent_indent=" " * min(first + hang, deepest),
        break_on_hyphens=False,
    )


def plain_table(rows: Sequence[Sequence[str]]) -> str:
    """Rows of cells in columns, left-aligned; a cell may have several lines."""
    cells = [[cell.split("\n") for cell in row] for row in rows]
    widths = [max(len(line) for cell in column for line in cell) for column in zip(*cells, strict=True)]
    lines: list[str] = []
    for row in cells:
        for across in itertools.zip_longest(*row, fillvalue=""):
            padded = (line.ljust(width) for line, width in zip(across, widths, strict=True))
            lines.append("  ".join(padded).rstrip() + "\n")
    return "".join(lines)


def lay_out(headings: Sequence[str], rows: Sequence[Row], width: int = WIDTH) -> list[str]:
    """The rows below the headings, one column each where they fit side by side.

    Where the mover changes, a blank line stands between two rows, so that the eye
    finds the switches.
    """
    gutter = max(3, len(str(max((row.number for row in rows), default=0)))) + 2
    if len(headings) > MAX_COLUMNS:
        return _lanes(headings, rows, width, gutter)
    slack = _SLACK if len(headings) == MAX_COLUMNS else 0
    widths = _widths(headings, rows, width - gutter, slack)
    starts = [gutter + sum(widths[:n]) + _GAP * n for n in range(len(widths))]
    reach = [min(widths[n] + slack, width - start) for n, start in enumerate(starts)]
    lines = [
        _across(starts, [to_ascii(heading)[: widths[n]] for n, heading in enumerate(headings)]),
        _across(starts, ["-" * min(len(to_ascii(h)), widths[n]) for n, h in enumerate(headings)]),
    ]
    for before, row in zip([None, *rows], rows, strict=False):
        if before is not None and before.column != row.column:
            lines.append("")
        lines.extend(_numbered(row, starts[row.column], reach[row.column], gutter))
    return lines


def _across(starts: Sequence[int], texts: Sequence[str]) -> str:
    line = ""
    for start, text in zip(starts, texts, strict=True):
        line = line.ljust(start) + text
    return line


def _numbered(row: Row, start: int, width: int, gutter: int) -> list[str]:
    texts = [text for line in row.lines for text in wrap(line.text, width, line.indent)] or [""]
    number = f"{row.number:>{gutter - 2}}  "
    return [(number if n == 0 else "").ljust(start) + text for n, text in enumerate(texts)]


def _widths(headings: Sequence[str], rows: Sequence[Row], available: int, slack: int) -> list[int]:
    """Widths for the columns: what a narrow one does not need goes to the others.

    All but the last can count on `slack` more.
    """
    natural = [len(heading) for heading in headings]
    for row in rows:
        longest = max((line.indent + len(to_ascii(line.text)) for line in row.lines), default=0)
        longest -= slack if row.column < len(headings) - 1 else 0
        natural[row.column] = max(natural[row.column], longest, _NARROWEST)
    left = available - _GAP * (len(headings) - 1)
    widths = [0] * len(headings)
    for taken, column in enumerate(sorted(range(len(headings)), key=natural.__getitem__)):
        widths[column] = min(natural[column], left // (len(headings) - taken))
        left -= widths[column]
    spare = left // len(headings) if headings else 0
    return [width + min(spare, 2 * _GAP) for width in widths]


def _lanes(headings: Sequence[str], rows: Sequence[Row], width: int, gutter: int) -> list[str]:
    """One column of steps, each beside the name of its mover."""
    names = [to_ascii(heading)[: _NARROWEST - 4] for heading in headings]
    start = gutter + max(map(len, names)) + 1 + _GAP
    lines: list[str] = []
    for row in rows:
        first, *rest = _numbered(row, start, width - start, gutter)
        lines.append(f"{first[:gutter]}{names[row.column]}:".ljust(start) + first[start:])
        lines.extend(rest)
    return lines
