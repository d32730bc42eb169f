"""How an error is shown: place, line, caret, notes, hint."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from checker.lang.diagnostics import CODES, Diagnostic, Note, UserError
from checker.lang.source import NO_SPAN, SourceFile, Span
from checker.report.diagnostics import MOST, render_diagnostics
from checker.report.errordoc import render_error_codes

ERRORS = Path(__file__).parents[2] / "docs" / "errors.md"


def shown(text: str, *found: Diagnostic, **options: int) -> list[str]:
    source = SourceFile("m.lzm", text)
    return render_diagnostics(UserError(found, {"m.lzm": source}), **options).splitlines()


def at(line: int, column: int, end: int, end_line: int | None = None) -> Span:
    return Span("m.lzm", line, column, end_line or line, end)


def wrong(span: Span = NO_SPAN, *notes: Note, message: str = "wrong", hint: str = "") -> Diagnostic:
    return Diagnostic("LZ201", message, span, notes, hint)


def test_an_error_with_all_its_parts() -> None:
    note = Note(at(1, 7, 8), "here")
    assert shown("model m;\nuse mm;\n", wrong(at(2, 5, 7), note, hint="say it")) == [
        "m.lzm:2:5: error: wrong [LZ201]",
        "    2 | use mm;",
        "      |     ^~",
        "m.lzm:1:7: note: here",
        "    1 | model m;",
        "      |       ^",
        "hint: say it",
    ]


def test_an_error_without_a_place_is_one_line() -> None:
    assert shown("", wrong()) == ["lzcheck: error: wrong [LZ201]"]


def test_a_place_in_an_unknown_text_has_no_excerpt() -> None:
    assert shown("", wrong(Span("other.lzm", 3, 1, 3, 2))) == ["other.lzm:3:1: error: wrong [LZ201]"]


def test_errors_stand_in_the_order_of_the_text() -> None:
    lines = shown("a b\nc\n", wrong(at(2, 1, 2)), wrong(at(1, 3, 4)), wrong(), wrong(at(1, 1, 2)))
    heads = [line.split(": ")[0] for line in lines if "error" in line]
    assert heads == ["lzcheck", "m.lzm:1:1", "m.lzm:1:3", "m.lzm:2:1"]


def test_tabs_become_columns() -> None:
    assert shown("\tx\t= y;\n", wrong(at(1, 4, 7)))[1:] == [
        "    1 |         x       = y;",
        "      |                 ^~~",
    ]


def test_a_span_of_many_lines_shows_the_first() -> None:
    assert shown("if x {  \n  y;\n}\n", wrong(at(1, 1, 2, end_line=3)))[1:] == ["    1 | if x {", "      | ^~~~~~"]


def test_a_place_after_the_end_of_a_line() -> None:
    assert shown("x = 1", wrong(at(1, 6, 7)))[1:] == ["    1 | x = 1", "      |      ^"]


def test_a_place_after_the_end_of_the_text() -> None:
    assert shown("x\n", wrong(at(9, 1, 2)))[1:] == ["    9 |", "      | ^"]


@pytest.mark.parametrize("column", [1, 40, 150, 290, 297, 301])
@pytest.mark.parametrize("length", [1, 5, 60, 400])
def test_a_long_line_is_cut_around_the_span(column: int, length: int) -> None:
    text = "".join(chr(ord("a") + i % 26) for i in range(300))
    _, line, carets = shown(text, wrong(at(1, column, column + length)), width=80)
    assert len(line) <= 80
    assert len(carets) <= 81
    start = carets.index("^")
    assert line[start : start + 1] == text[column - 1 : column]
    assert carets.count("~") == min(length - 1, carets.count("~"))
    if length <= 60 and column + length <= 300:
        assert len(carets) - start == length


def test_the_lines_are_those_that_the_parser_counts() -> None:
    assert shown("a\f\nb\r\nc d\n", wrong(at(3, 3, 4)))[1:] == ["    3 | c d", "      |   ^"]
    assert shown("a\f\nb\r\nc d\n", wrong(at(2, 1, 2)))[1:] == ["    2 | b", "      | ^"]


def test_nothing_of_the_text_reaches_the_terminal_as_it_is() -> None:
    text = "caf\u00e9 \u65e5 \x1b[31m x"
    lines = shown(text, wrong(at(1, 13, 14), message="no \x1b[31m \u00e9 here\n"))
    assert lines[0] == "m.lzm:1:13: error: no \\x1b[31m \\xe9 here\\n [LZ201]"
    assert lines[1] == "    1 | caf? ? ?[31m x"
    assert lines[2] == "      |             ^"


def test_there_are_at_most_so_many() -> None:
    found = [wrong(at(1, column, column + 1)) for column in range(1, MOST + 6)]
    lines = shown("x" * 60, *found)
    assert lines[-1] == "... and 5 more"
    assert sum("error" in line for line in lines) == MOST


def test_colours_only_where_they_are_wanted() -> None:
    error = UserError([wrong(at(1, 1, 2), hint="h")], {"m.lzm": SourceFile("m.lzm", "x")})
    assert "\x1b" not in render_diagnostics(error)
    coloured = render_diagnostics(error, colour=True)
    assert "\x1b[1;31merror:\x1b[0m" in coloured
    assert coloured.count("\x1b[0m") == 4


def test_a_warning_is_called_one() -> None:
    assert shown("x", Diagnostic("LZ406", "w", severity="warning")) == ["lzcheck: warning: w [LZ406]"]


def test_the_list_of_codes_is_current(golden: Callable[[str | Path, str], None]) -> None:
    golden(ERRORS, render_error_codes())


def test_the_list_has_every_code() -> None:
    text = render_error_codes()
    assert [code for code in CODES if f"| {code} |" not in text] == []
