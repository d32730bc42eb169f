"""What is said of a text that is no model: what was met, what was expected, and how to write what was meant.

The parser stops at the first thing that does not fit.  The rules here look at
that place, most telling first; many know what a C programmer would have written.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cached_property
from typing import Final

from checker.lang.diagnostics import Diagnostic, Note, nearest
from checker.lang.phrasebook import C_TYPES, DECLARATIONS, FORMS, LOCAL, SIGNS, STATEMENTS, WORDS
from checker.lang.source import SourceFile, Span
from checker.records import dataclass

NAME, NUMBER, TEXT = "a name", "a number", "a text in double quotes"


@dataclass(frozen=True, slots=True)
class Word:
    """A token: its text and its place, also as offsets in the file."""

    text: str
    span: Span
    start: int
    end: int


@dataclass(frozen=True)
class Stop:
    """Where the parser stopped.

    `word` is what does not fit, None at the end of the text; `known` is false
    for a character that begins no token.  `expected` are the texts and classes
    that would fit, `words` all the words of the language.
    """

    source: SourceFile
    before: tuple[Word, ...]
    word: Word | None
    known: bool
    expected: frozenset[str]
    words: frozenset[str]

    @cached_property
    def text(self) -> str:
        """The text of what does not fit, empty at the end."""
        return self.word.text if self.word else ""

    @cached_property
    def rest(self) -> str:
        """The text behind what does not fit."""
        return self.source.text[self.word.end :] if self.word else ""

    @cached_property
    def last(self) -> str:
        """The text of the token before."""
        return self.before[-1].text if self.before else ""

    @cached_property
    def head(self) -> tuple[Word, ...]:
        """The statement or declaration so far, without the words that can stand before any."""
        start = next((i for i in range(len(self.before), 0, -1) if self.before[i - 1].text in ("{", "}", ";")), 0)
        found = self.before[start:]
        while found and found[0].text in ("hw", "ghost", "weak", "ordered") and len(found) > 1:
            found = found[1:]
        return found

    @cached_property
    def first(self) -> str:
        """The first word of the statement or declaration, which may be the one that does not fit."""
        return self.head[0].text if self.head else self.text

    @cached_property
    def closed(self) -> str:
        """The first word of what the last `}` ends."""
        depth = 0
        for index in range(len(self.before) - 1, -1, -1):
            depth += {"}": 1, "{": -1}.get(self.before[index].text, 0)
            if depth == 0:
                return Stop(self.source, self.before[:index], None, True, self.expected, self.words).first
        return ""

    @cached_property
    def open(self) -> tuple[Word, ...]:
        """The brackets that are still open, outermost first."""
        stack: list[Word] = []
        for word in self.before:
            if word.text in ("(", "[", "{"):
                stack.append(word)
            elif word.text in (")", "]", "}") and stack:
                stack.pop()
        return tuple(stack)

    @cached_property
    def inside(self) -> str:
        """The first word of what the innermost open brace belongs to."""
        braces = [index for index, word in enumerate(self.before) if word in self.open and word.text == "{"]
        if not braces:
            return ""
        return Stop(self.source, self.before[: braces[-1]], None, True, self.expected, self.words).first

    @property
    def in_block(self) -> bool:
        """Whether a brace is open."""
        return any(word.text == "{" for word in self.open)

    @property
    def after(self) -> Span:
        """The place just behind the last token that fits."""
        if not self.before:
            return Span(self.source.name, 1, 1, 1, 2)
        at = self.before[-1].span
        return Span(at.file, at.end_line, at.end_column, at.end_line, at.end_column + 1)

    @property
    def here(self) -> Span:
        """The place of what does not fit."""
        return self.word.span if self.word else self.after


Rule = Callable[[Stop], Diagnostic | None]


def explain(stop: Stop) -> Diagnostic:
    """The diagnostic for the place where the parser stopped."""
    for rule in _RULES:
        found = rule(stop)
        if found is not None:
            return found
    if stop.word is None:
        message = f"the text ends here, but {_phrase(stop)} is still missing"
        return Diagnostic("LZ104", message, stop.here, hint=_form(stop))
    message = f"unexpected {_quoted(stop.text)}; expected {_phrase(stop)}"
    return Diagnostic("LZ101", message, stop.here, hint=_near_word(stop) or _form(stop))


# -- what was expected, in words

_EXPRESSION = {NAME, NUMBER, "true", "false", "null", "(", "!", "-", "{", "forall", "exists"}
_OPERATORS = {"==", "!=", "<=", ">=", "<", ">", "+", "-", "&", "&&", "||", "=>", "?", "in", "!", ".", "[", "("}
_TYPES = {"?", "[", "..", "of"}


def _phrase(stop: Stop) -> str:
    names, words = set(stop.expected), []
    if names >= STATEMENTS:
        names, words = names & {"}"}, ["a statement"]
    elif names >= DECLARATIONS:
        names, words = set(), ["a declaration"]
    elif names >= {"let", "if", "skip"}:
        names, words = set(), ["a statement"]
    elif names >= {NAME, NUMBER, "null"}:
        names, words = names - _EXPRESSION, ["an expression"]
    elif names >= {"==", "!="} or names >= {"&&", "=>"}:
        names, words = names - _OPERATORS, ["an operator"]
    if names >= {"=", "+="}:
        names, words = names - {"=", "+=", "-=", "&="}, [*words, "an assignment"]
    elif names - _TYPES and "." not in names:
        names -= _TYPES
    classes = {NAME, NUMBER, TEXT}
    words = sorted(_quoted(name) for name in names - classes) + sorted(names & classes) + words
    if not words:
        return "something else"
    return " or ".join([", ".join(words[:-1]), words[-1]]) if len(words) > 1 else words[0]


def _quoted(text: str) -> str:
    folded = " ".join(text.split())
    return f"'{folded if len(folded) <= 40 else folded[:37] + '...'}'"


def _form(stop: Stop) -> str:
    """How the thing that was begun is written."""
    inner = next((w.text for w in reversed(stop.head) if w.text in ("alloc", "forall", "exists")), "")
    if stop.last == "}" and stop.closed in ("check", "either", "thread"):
        return f"it is written {FORMS[stop.closed]}"
    if stop.inside in ("enum", "object", "record", "check"):
        return f"it is written {FORMS[stop.inside]}"
    for word in (stop.last if stop.last in ("set", "seq") else "", inner, stop.first):
        if word in FORMS and (word in DECLARATIONS) <= (not stop.in_block or word == "step"):
            return f"it is written {FORMS[word]}"
    return ""


def _near_word(stop: Stop) -> str:
    """A word of the language that may have been meant."""
    if stop.text.isidentifier() and stop.text not in stop.words:
        words = [name for name in stop.expected if name.isidentifier()]
        if found := nearest(stop.text, words):
            return f"did you mean '{found}'?"
    if stop.in_block and len(stop.head) == 1 and stop.first.isidentifier() and stop.first not in stop.words:
        found = nearest(stop.first, STATEMENTS | {"else"})
        return f"did you mean '{found}'?" if found else ""
    return ""


# -- the rules


def _sign(stop: Stop) -> Diagnostic | None:
    """A sign of C or of another language."""
    if stop.word is None:
        return None
    span = stop.word.span
    line = stop.source.line(span.line)
    for pattern, code, text in SIGNS:
        if stop.known and code == "LZ102":
            continue
        for match in re.finditer(pattern, line):
            if match.start() < span.column <= match.end():
                message, hint = text.split("|", 1)
                at = Span(span.file, span.line, match.start() + 1, span.line, len(line[: match.end()].rstrip()) + 1)
                return Diagnostic(code, message.format(_quoted(match.group())), at, hint=hint)
    if not stop.known:
        return Diagnostic("LZ102", f"unexpected character {stop.text!r}", span)
    if stop.text == "&" and NUMBER in stop.expected:
        hint = "pass the thing itself, to a ref parameter"
        return Diagnostic("LZ101", "there is no address of a thing", span, hint=hint)
    return None


def _header(stop: Stop) -> Diagnostic | None:
    if stop.before:
        return None
    hint = "a file begins with 'model NAME;', or with 'library NAME;'"
    if stop.word is None:
        return Diagnostic("LZ104", "the file is empty", stop.here, hint=hint)
    return Diagnostic("LZ101", f"unexpected {_quoted(stop.text)} before the model's name", stop.here, hint=hint)


def _brace(stop: Stop) -> Diagnostic | None:
    """A brace that is missing or too much."""
    if stop.text == "}" and not stop.open:
        return Diagnostic("LZ101", "this '}' closes nothing", stop.here, hint="is there one too many before it?")
    if stop.text == ";" and stop.last == "}" and not _is_one(stop, ";"):
        return Diagnostic("LZ101", "no ';' stands after a block", stop.here, hint="remove it")
    if stop.text == ";" and _is_one(stop, "a statement"):
        return Diagnostic("LZ101", "there is no empty statement", stop.here, hint="to do nothing, write skip;")
    if not stop.in_block:
        return None
    note = (Note(_unclosed(stop).span, "this '{' is not closed"),)
    if stop.word is None and "}" in stop.expected:
        return Diagnostic("LZ104", "the text ends here, but a '}' is still missing", stop.here, note)
    begun = stop.head or ((stop.word,) if stop.word else ())
    rest = stop.source.text[begun[0].end :] if begun else ""
    if len(begun) != 1 or begun[0].text not in DECLARATIONS or not re.match(r'\s*[A-Za-z_"{]', rest):
        return None
    keyword = begun[0].span
    if stop.first in ("var", "percpu", "config", "static", "hw", "ghost") and keyword.column > 1:
        hint = "a local is declared with let, as in let x = 0;"
        return Diagnostic("LZ101", f"'{stop.first}' cannot stand in a block", keyword, hint=hint)
    return Diagnostic("LZ101", f"'{stop.first}' begins a declaration, but a '}}' is missing before it", keyword, note)


def _is_one(stop: Stop, what: str) -> bool:
    """Whether `what` could stand here."""
    return stop.expected >= STATEMENTS if what == "a statement" else what in stop.expected


def _unclosed(stop: Stop) -> Word:
    """The brace that is most likely the one not closed: the first whose `}` is indented less than its line."""
    indent: dict[int, int] = {}
    stack: list[Word] = []
    for word in stop.before:
        indent.setdefault(word.span.line, word.span.column)
        if word.text == "{":
            stack.append(word)
        elif word.text == "}" and stack:
            opened = stack.pop()
            if indent[word.span.line] == word.span.column < indent[opened.span.line]:
                return opened
    return stack[-1]


def _bracket(stop: Stop) -> Diagnostic | None:
    """A parenthesis that is not closed, or an assert written as a call."""
    if not stop.open or stop.open[-1].text == "{":
        return None
    opened = stop.open[-1]
    closing = {"(": ")", "[": "]"}[opened.text]
    if stop.first == "assert" and stop.text == ",":
        hint = f"it is written {FORMS['assert']}"
        return Diagnostic("LZ101", "the text of an assert stands outside the parentheses", stop.here, hint=hint)
    if closing not in stop.expected or stop.text not in (";", "{", "}", "", "=" if closing == "]" else ";"):
        return None
    code = "LZ101" if stop.word else "LZ104"
    note = (Note(opened.span, f"this '{opened.text}' is not closed"),)
    return Diagnostic(code, f"'{closing}' is missing here", stop.after, note)


def _compare(stop: Stop) -> Diagnostic | None:
    """`=` for `==`, `==` for `=`, and comparisons in a row."""
    if stop.text == "=" and "==" in stop.expected:
        hint = "to compare, write =="
        return Diagnostic("LZ101", "'=' assigns and cannot stand in an expression", stop.here, hint=hint)
    if stop.word and stop.text == stop.last == "=" and stop.before[-1].end == stop.word.start:
        at = stop.before[-1].span.to(stop.here)
        return Diagnostic("LZ101", "'==' compares, but something is assigned here", at, hint="to assign, write =")
    if stop.text in ("==", "!=", "<", ">", "<=", ">=") and "&&" in stop.expected:
        hint = "write a < b && b < c, or put one of them into parentheses"
        return Diagnostic("LZ101", "comparisons do not follow one another", stop.here, hint=hint)
    return None


def _foreign(stop: Stop) -> Diagnostic | None:
    """A word of C or of another language."""
    for word in (stop.text, stop.last, stop.first):
        hint = WORDS.get(word, "")
        if word in ("and", "or", "not", "is", "mod", "implies") and "&&" not in stop.expected and stop.last != "not":
            continue
        if word == "struct" and stop.in_block:
            hint = LOCAL
        if hint and word not in stop.expected:
            at = next(w for w in (stop.word, *stop.before[-1:], *stop.head[:1]) if w and w.text == word)
            if word in ("do", "then") and at is stop.word and stop.head:
                hint = f"'{word}' is not needed: " + (_form(stop) or hint)
            return Diagnostic("LZ101", f"'{word}' means nothing here", at.span, hint=hint)
    return None


def _outside(stop: Stop) -> Diagnostic | None:
    """Statements and C declarations where only declarations of a model can stand."""
    if stop.word is None or stop.in_block or stop.head:
        return None
    if stop.text in C_TYPES:
        hint = f"a variable is written {FORMS['var']}; a function is written {FORMS['proc']}"
        return Diagnostic("LZ101", f"unexpected '{stop.text}'; expected a declaration", stop.here, hint=hint)
    assigns = stop.text not in stop.words and stop.text.isidentifier() and re.match(r"\s*([-+&]?=|[.(\[])", stop.rest)
    if assigns or stop.text in STATEMENTS - DECLARATIONS:
        hint = "put it into a proc, a thread, an interrupt or init"
        return Diagnostic("LZ101", "there are no statements outside a block", stop.here, hint=hint)
    return None


def _local(stop: Stop) -> Diagnostic | None:
    """`int x;` and labels."""
    if len(stop.head) != 1 or "(" not in stop.expected or stop.first in stop.words or not stop.first.isidentifier():
        return None
    first = stop.head[0].span
    if stop.text == ":":
        hint = "there is no goto: use loop, break, continue and return"
        return Diagnostic("LZ101", "there are no labels", first, hint=hint)
    typed = stop.first in C_TYPES or stop.first.endswith("_t")
    declares = stop.text.isidentifier() and re.match(r"\s*[;=,\[]" if typed else r"\s*[=\[]", stop.rest)
    if declares and (typed or not nearest(stop.first, STATEMENTS)):
        hint = f"a local is declared with let, as in let {stop.text} = 0;"
        return Diagnostic("LZ101", f"'{stop.first} {stop.text}' is no statement", first.to(stop.here), hint=hint)
    return None


def _method(stop: Stop) -> Diagnostic | None:
    """`mask.add(x)`."""
    if stop.text != "(" or len(stop.before) < 2 or stop.before[-2].text != ".":
        return None
    hint = "a proc takes the thing as an argument, as in get(m.users); a set changes by s += x; or s -= x;"
    return Diagnostic("LZ101", "things have no methods", stop.before[-1].span, hint=hint)


def _reserved(stop: Stop) -> Diagnostic | None:
    """A word of the language used as a name."""
    if not stop.head and stop.in_block and stop.word and stop.text in DECLARATIONS:
        # a block may end a declaration, so after one these words are not read as names
        message = f"'{stop.text}' is a word of the language and cannot be a name after a block"
        return Diagnostic("LZ101", message, stop.here, hint="choose another name")
    if len(stop.head) != 1 or not stop.in_block or stop.last not in stop.words - {"true", "false", "null"}:
        return None
    if stop.text not in ("=", "+=", "-=", "&=", ".", "["):
        return None
    message = f"'{stop.last}' is a word of the language and cannot be a name here"
    return Diagnostic("LZ101", message, stop.head[0].span, hint="choose another name")


def _number(stop: Stop) -> Diagnostic | None:
    """`0x10`, `1UL` and `1.5`."""
    if stop.last == "." and stop.text.isdigit():
        return Diagnostic("LZ101", "there are no fractions", stop.here, hint="numbers are whole")
    if not (stop.word and stop.last.isdigit() and stop.text.isidentifier()):
        return None
    if stop.before[-1].end != stop.word.start:
        return None
    at = stop.before[-1].span.to(stop.here)
    hint = "numbers are decimal and have no suffix"
    return Diagnostic("LZ101", f"'{stop.last}{stop.text}' is no number", at, hint=hint)


def _body(stop: Stop) -> Diagnostic | None:
    """A body without braces."""
    begins = re.match(r"[A-Za-z_;]", stop.text) is not None
    if not begins or "{" not in stop.expected or NAME in stop.expected or not stop.in_block:
        return None
    if stop.last != "else" and stop.first not in ("if", "while", "for", "forall"):
        return None
    hint = "a body stands in braces, even if it is one statement"
    return Diagnostic("LZ101", f"'{{' is missing before {_quoted(stop.text)}", stop.here, hint=hint)


def _semicolon(stop: Stop) -> Diagnostic | None:
    """A semicolon that is missing at the end of a line or of a block."""
    if ";" not in stop.expected or "{" in stop.expected or not stop.before:
        return None
    at_end = stop.word is None or stop.text == "}" or stop.here.line > stop.before[-1].span.end_line
    if not at_end and not (stop.text in stop.words and stop.text.isalpha()):
        return None
    return Diagnostic("LZ101" if stop.word else "LZ104", "';' is missing here", stop.after)


_RULES: Final[tuple[Rule, ...]] = (
    _sign, _header, _number, _method, _bracket, _compare, _foreign,
    _brace, _reserved, _outside, _local, _body, _semicolon,
)  # fmt: skip
