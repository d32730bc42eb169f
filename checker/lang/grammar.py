"""Text to syntax tree, by the grammar.  The only module that knows Lark, with treebuilder."""

from __future__ import annotations

import io
import re
import sys
from collections.abc import Iterable
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import lark
from lark import Lark, Token, Tree
from lark.exceptions import UnexpectedInput, UnexpectedToken
from lark.lexer import PatternStr, TerminalDef

from checker import cache
from checker.lang import syntax
from checker.lang.diagnostics import Diagnostic, UserError
from checker.lang.source import SourceFile, Span
from checker.lang.syntaxerrors import NAME, NUMBER, TEXT, Stop, Word, explain
from checker.lang.treebuilder import TreeBuilder

DEEPEST: Final = 90
"""How deep expressions and statements may nest, so that no model exhausts the stack."""

GRAMMAR: Final = Path(__file__).parent.parent / "grammar.lark"

LARGEST: Final = 1_000_000_000
"""The largest number that can be written."""

_CLASSES: Final = {
    "NAME": (NAME,), "INT": (NUMBER,), "SIGNED": (NUMBER,), "STRING": (TEXT,), "$END": (),
    "ASSIGN": ("=", "+=", "-=", "&="), "COMPARE": ("==", "!=", "<=", ">=", "<", ">"), "SUM_OPERATOR": ("+", "-", "&"),
}  # fmt: skip


class GrammarParser:
    """Parses .lzm texts; make it once, as that takes longer than most texts."""

    def __init__(self) -> None:
        self._lark = _tables(GRAMMAR.read_text(encoding="utf-8"))

    @cached_property
    def _texts(self) -> dict[str, tuple[str, ...]]:
        return {d.name: _texts(d) for d in self._lark.terminals}

    @cached_property
    def _words(self) -> frozenset[str]:
        return frozenset(t for texts in self._texts.values() for t in texts if t.islower() and t.isascii())

    def parse(self, source: SourceFile) -> syntax.File:
        """The tree of a text; raises UserError with the one syntax error that was met."""
        try:
            tree = self._lark.parse(source.text)
        except UnexpectedInput as error:
            raise UserError([explain(self._stop(error, source))], {source.name: source}) from None
        _check_limits(tree, source)
        return TreeBuilder(source).build(tree)

    def _stop(self, error: UnexpectedInput, source: SourceFile) -> Stop:
        """Where the parser stopped, what it had read, and what it could have gone on with."""
        read: list[Token] = []
        attempt = self._lark.parse_interactive(source.text)
        try:
            for token in attempt.iter_parse():
                read.append(token)
        except UnexpectedToken as failed:
            if read and read[-1] is failed.token:
                read.pop()
        except UnexpectedInput:
            pass
        again: Any = self._lark.parse_interactive("")  # Lark has no type for accepts()
        for token in read:
            again.feed_token(token)
        return Stop(
            source=source,
            before=tuple(_word(source, token) for token in read),
            word=_met(error, source),
            known=isinstance(error, UnexpectedToken),
            expected=frozenset(self._expected(again.accepts())),
            words=self._words,
        )

    def _expected(self, terminals: Iterable[str]) -> Iterable[str]:
        for terminal in terminals:
            yield from self._texts.get(terminal, ())


def _tables(grammar: str) -> Lark:
    """The parser of the grammar: its tables take long to make, so they are kept for the next run."""
    options: dict[str, Any] = {"parser": "lalr", "propagate_positions": True, "maybe_placeholders": True}
    name = "parser-" + cache.key(grammar, repr(options), lark.__version__, sys.version)
    kept = cache.read_entry(name)
    if kept is not None:
        try:
            return Lark.load(io.BytesIO(kept))
        except Exception:  # whatever another release of Lark makes of its own file, the grammar is here
            pass
    made = Lark(grammar, **options)
    buffer = io.BytesIO()
    made.save(buffer)
    cache.keep_entry(name, buffer.getvalue())
    return made


def _texts(terminal: TerminalDef) -> tuple[str, ...]:
    """The texts that a terminal stands for, or the name of their class."""
    pattern = terminal.pattern
    if terminal.name in _CLASSES:
        return _CLASSES[terminal.name]
    if isinstance(pattern, PatternStr):
        return (pattern.value,)
    words = re.match(r"\(([a-z|]+)\)\\b", pattern.value)
    return tuple(words.group(1).split("|")) if words else ()


def _met(error: UnexpectedInput, source: SourceFile) -> Word | None:
    """The token or character that does not fit; None at the end of the text."""
    if isinstance(error, UnexpectedToken):
        return None if error.token.type == "$END" else _word(source, error.token)
    start = error.pos_in_stream or 0
    span = Span(source.name, error.line, error.column, error.line, error.column + 1)
    return Word(source.text[start : start + 1], span, start, start + 1)


def _word(source: SourceFile, token: Token) -> Word:
    line, column, start = token.line or 1, token.column or 1, token.start_pos or 0
    span = Span(source.name, line, column, token.end_line or line, token.end_column or column + 1)
    return Word(str(token), span, start, start + len(token))


def _check_limits(tree: Tree[Token], source: SourceFile) -> None:
    """Refuse what nobody writes by hand: nesting that would exhaust the stack, and enormous numbers."""
    open_: list[tuple[Tree[Token] | Token, int]] = [(tree, 0)]
    while open_:
        node, depth = open_.pop()
        if isinstance(node, Token):
            if node.type in ("INT", "SIGNED") and abs(_size(node)) > LARGEST:
                raise _refused(source, f"a number is at most {LARGEST}", _word(source, node).span, "")
            continue
        if depth > DEEPEST and not node.meta.empty:
            at = Span(source.name, node.meta.line, node.meta.column, node.meta.end_line, node.meta.end_column)
            hint = "give a part of it a name with a fn or a proc"
            raise _refused(source, f"this is nested more than {DEEPEST} levels deep", at, hint)
        open_ += [(child, depth + 1) for child in node.children if child is not None]


def _refused(source: SourceFile, message: str, span: Span, hint: str) -> UserError:
    return UserError([Diagnostic("LZ601", message, span, hint=hint)], {source.name: source})


def _size(number: Token) -> int:
    return LARGEST + 1 if len(number) > len(str(LARGEST)) + 1 else int(number)
