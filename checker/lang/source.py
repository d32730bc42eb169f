"""Source files and places in them."""

from __future__ import annotations

from functools import cached_property
from typing import Final

from checker.records import dataclass


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of text: `file` as the user named it, lines and columns from 1.

    `end_column` is the column after the last character.  Spans never take part
    in the equality of the nodes that carry them.
    """

    file: str
    line: int
    column: int
    end_line: int
    end_column: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}"

    @property
    def last(self) -> Span:
        """The last character alone: of a block, its closing brace."""
        return Span(self.file, self.end_line, max(self.end_column - 1, 1), self.end_line, self.end_column)

    def to(self, other: Span) -> Span:
        """The stretch from the start of this span to the end of the other."""
        return Span(self.file, self.line, self.column, other.end_line, other.end_column)


NO_SPAN: Final = Span("", 0, 0, 0, 0)


@dataclass(frozen=True)
class SourceFile:
    """A text and the name it goes by in messages."""

    name: str
    text: str

    @cached_property
    def lines(self) -> tuple[str, ...]:
        """The lines as the parser counts them: only a line feed ends one."""
        return tuple(line.removesuffix("\r") for line in self.text.split("\n"))

    def line(self, number: int) -> str:
        """Line `number` (from 1) without its end, or an empty string past the end."""
        lines = self.lines
        return lines[number - 1] if 0 < number <= len(lines) else ""

    def excerpt(self, span: Span) -> str:
        """The text of `span`, white space folded, on one line."""
        lines = list(self.lines[span.line - 1 : span.end_line])
        if not lines:
            return ""
        lines[-1] = lines[-1][: span.end_column - 1] if len(lines) > 1 else lines[-1]
        if len(lines) == 1:
            lines[0] = lines[0][span.column - 1 : span.end_column - 1]
        else:
            lines[0] = lines[0][span.column - 1 :]
        return " ".join(" ".join(lines).split())
