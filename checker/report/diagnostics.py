"""What is wrong with a model, as text: the place, the line with a caret, and what to write instead.

The head lines have the form that editors and `make` know: `file:line:column: error: ...`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from checker.lang.diagnostics import Diagnostic, UserError
from checker.lang.source import NO_SPAN, SourceFile, Span

MOST: Final = 20
"""The number of diagnostics that are shown; more only scroll the first away."""

_TAB: Final = 8
_CUT: Final = "..."
_BOLD: Final = "1"
_COLOURS: Final[Mapping[str, str]] = {
    "error": "1;31",
    "warning": "1;35",
    "note": "1;36",
    "hint": "1;36",
    "caret": "1;32",
}


def render_diagnostics(error: UserError, *, colour: bool = False, width: int = 100) -> str:
    """The diagnostics of an error in the order of the text, each with its source line, notes and hint.

    ASCII without trailing spaces; escape codes only where `colour` asks for them.
    """
    found = sorted(error.diagnostics, key=_place)
    paint = _Paint(colour)
    blocks = [_block(diagnostic, error.sources, paint, width) for diagnostic in found[:MOST]]
    if len(found) > MOST:
        blocks.append(f"... and {len(found) - MOST} more\n")
    return "\n".join(blocks)


class _Paint:
    """Escape codes, or none."""

    def __init__(self, colour: bool) -> None:
        self._colour = colour

    def __call__(self, text: str, code: str) -> str:
        return f"\x1b[{code}m{text}\x1b[0m" if self._colour else text


def _place(diagnostic: Diagnostic) -> tuple[str, int, int, str, str]:
    span = diagnostic.span
    return span.file, span.line, span.column, diagnostic.code, diagnostic.message


def _block(diagnostic: Diagnostic, sources: Mapping[str, SourceFile], paint: _Paint, width: int) -> str:
    lines = [_head(diagnostic.span, diagnostic.severity, f"{diagnostic.message} [{diagnostic.code}]", paint)]
    lines += _excerpt(diagnostic.span, sources, paint, width)
    for note in diagnostic.notes:
        lines.append(_head(note.span, "note", note.message, paint))
        lines += _excerpt(note.span, sources, paint, width)
    if diagnostic.hint:
        lines.append(f"{paint('hint:', _COLOURS['hint'])} {_ascii(diagnostic.hint)}")
    return "".join(f"{line}\n" for line in lines)


def _head(span: Span, severity: str, message: str, paint: _Paint) -> str:
    where = "lzcheck" if span == NO_SPAN else _one_line(str(span))
    return f"{paint(f'{where}:', _BOLD)} {paint(f'{severity}:', _COLOURS[severity])} {_ascii(message)}"


def _excerpt(span: Span, sources: Mapping[str, SourceFile], paint: _Paint, width: int) -> Iterator[str]:
    """The first line of the span and the carets under it; nothing where the text is not known."""
    if span == NO_SPAN or span.file not in sources:
        return
    line = sources[span.file].line(span.line)
    start = span.column - 1
    end = span.end_column - 1 if span.end_line == span.line else len(line.rstrip())
    shown, first, last = _clip(_columns(line), _column(line, start), _column(line, end), width - 8)
    yield f"{span.line:5} | {shown}".rstrip()
    marks = "^" + "~" * (last - first - 1)
    yield f"      | {' ' * first}{paint(marks, _COLOURS['caret'])}"


def _columns(line: str) -> str:
    """The line as it is shown: tabs as spaces, and one ASCII character for each other one."""
    shown = "".join(c if c == "\t" or " " <= c <= "~" else "?" for c in line)
    return shown.expandtabs(_TAB).rstrip()


def _column(line: str, index: int) -> int:
    """Where on the shown line a character of the text stands; past the end where the text has ended."""
    before = line[:index].expandtabs(_TAB)
    return len(before) + max(0, index - len(line))


def _clip(line: str, first: int, last: int, room: int) -> tuple[str, int, int]:
    """A part of the line that fits and shows the span `first..last`, and the span in that part."""
    last = max(last, first + 1)
    if len(line) <= room and first < room:
        return line, first, last
    middle = (first + min(last, first + room)) // 2
    start = max(0, min(middle - room // 2, len(line) - room, first - len(_CUT)))
    shown = line[start : start + room]
    if start:
        shown = _CUT + shown[len(_CUT) :]
    if start + room < len(line):
        shown = shown[: -len(_CUT)] + _CUT
    first -= start
    return shown, first, min(last - start, max(room, first + 1))


def _ascii(text: str) -> str:
    """The text on one line of ASCII."""
    return _one_line(text).encode("ascii", "backslashreplace").decode("ascii")


def _one_line(text: str) -> str:
    """The text without control characters, so that no model can write to the terminal through a message."""
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)
