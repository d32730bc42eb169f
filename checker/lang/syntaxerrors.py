"""What is said of a text that is no model: what was met, what was expected, and how to write what was meant.

The parser stops at the first thing that does not fit.  The rules here look at
that place, most telling first; many know what a C programmer would have written.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Final

from checker.lang.diagnostics import Diagnostic, Note, suggest
from checker.lang.source import SourceFile, Span

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
    def open(self) -> tuple[Word, ...]:
        """The brackets that are still open, outermost first."""
        stack: list[Word] = []
        for word in self.before:
            if word.text in ("(", "[", "{"):
                stack.append(word)
            elif word.text in (")", "]", "}") and stack:
                stack.pop()
        return tuple(stack)

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
        return Diagnostic("LZ104", f"the text ends here, but {_phrase(stop)} is still missing", stop.here, hint=_form(stop))
    message = f"unexpected {_quoted(stop.text)}; expected {_phrase(stop)}"
    return Diagnostic("LZ101", message, stop.here, hint=_near_word(stop) or _form(stop))


# -- what was expected, in words

_EXPRESSION = {NAME, NUMBER, "true", "false", "null", "(", "!", "-", "{", "forall", "exists"}
_OPERATORS = {"==", "!=", "<=", ">=", "<", ">", "+", "-", "&", "&&", "||", "=>", "?", "in", "!", ".", "[", "("}
_STATEMENTS = {
    "let", "if", "while", "loop", "either", "for", "forall", "pick", "await", "assert", "break", "continue",
    "return", "skip", "irqs", "preempt", "atomic", "call", "send", "wait", "switch_to", "free",
}  # fmt: skip
_DECLARATIONS = {
    "use", "config", "enum", "sort", "object", "static", "record", "var", "percpu", "hw", "ghost", "fn", "proc",
    "interrupt", "nmi", "thread", "task", "hardware", "init", "invariant", "step", "cover", "final", "check",
    "ordered", "weak",
}  # fmt: skip


def _phrase(stop: Stop) -> str:
    names, words = set(stop.expected), []
    if names >= _STATEMENTS:
        names, words = names & {"}"}, ["a statement"]
    elif names >= _DECLARATIONS:
        names, words = set(), ["a declaration"]
    elif names >= {"let", "if", "skip"}:
        names, words = set(), ["a statement"]
    elif names >= {NAME, NUMBER, "null"}:
        names, words = names - _EXPRESSION, ["an expression"]
    elif names >= {"==", "!="} or names >= {"&&", "=>"}:
        names, words = names - _OPERATORS, ["an operator"]
    if names >= {"=", "+="}:
        names, words = names - {"+=", "-=", "&="}, [*words, "an assignment"]
    classes = {NAME, NUMBER, TEXT}
    words = sorted(_quoted(name) for name in names - classes) + sorted(names & classes) + words
    if not words:
        return "something else"
    return " or ".join([", ".join(words[:-1]), words[-1]]) if len(words) > 1 else words[0]


def _quoted(text: str) -> str:
    folded = " ".join(text.split())
    return f"'{folded if len(folded) <= 40 else folded[:37] + '...'}'"


_FORMS: Final[Mapping[str, str]] = {
    "model": "model NAME;",
    "library": "library NAME;",
    "use": 'use "std/mm";',
    "config": "config NAME = true;",
    "enum": "enum NAME { FIRST, SECOND }",
    "sort": "sort NAME = 2;  (a check can set another size)",
    "object": "object NAME = 2 { field : TYPE; }",
    "record": "record NAME { field : TYPE; }",
    "static": "static NAME : SORT;",
    "var": "var NAME : TYPE = VALUE;  (the index of an array follows its type: TYPE[CPU])",
    "percpu": "percpu NAME : TYPE = VALUE;",
    "fn": "fn NAME(x : TYPE) : TYPE = EXPRESSION;",
    "proc": "proc NAME(x : TYPE) { ... }, or proc NAME(x : TYPE) : TYPE { ... } if it returns a value",
    "interrupt": "interrupt NAME(x : TYPE) { ... }",
    "nmi": "nmi NAME(x : TYPE) { ... }",
    "thread": "thread NAME on CPU { ... }",
    "task": "task NAME[t : TASK] { ... }",
    "hardware": "hardware NAME on CPU { ... }",
    "init": "init { ... }",
    "invariant": 'invariant NAME "what it says" : CONDITION;',
    "step": 'step NAME "what it says" : CONDITION;',
    "cover": 'cover NAME "what it says" : CONDITION;',
    "final": "final CONDITION;",
    "check": "check NAME { CPU = 3; SET_MASK = false; } expect pass;",
    "let": "let NAME = VALUE;",
    "if": "if CONDITION { ... } else { ... }",
    "while": "while CONDITION { ... }",
    "loop": "loop { ... }",
    "either": "either { ... } or { ... }",
    "for": "for c : CPU where CONDITION { ... }",
    "forall": "forall c : CPU where CONDITION { ... }",
    "exists": "exists c : CPU where CONDITION { ... }",
    "pick": "pick c : CPU where CONDITION;",
    "await": "await CONDITION;",
    "assert": 'assert CONDITION, "what it says";',
    "irqs": "irqs off { ... }",
    "preempt": "preempt off { ... }",
    "atomic": "atomic { ... }",
    "call": "call HANDLER(...) on MASK;  (a proc is called by its name alone)",
    "send": "send HANDLER(...) to MASK;",
    "wait": "wait HANDLER;",
    "switch_to": "switch_to TASK;",
    "free": "free OBJECT;",
    "alloc": "let m = alloc mm;",
    "set": "set of SORT",
    "seq": "seq of TYPE max 3",
}


def _form(stop: Stop) -> str:
    """How the thing that was begun is written."""
    inner = next((w.text for w in reversed(stop.head) if w.text in ("alloc", "forall", "exists")), "")
    for word in (stop.last if stop.last in ("set", "seq") else "", inner, stop.first):
        if word in _FORMS and (word in _DECLARATIONS) <= (not stop.in_block or word == "step"):
            return f"it is written {_FORMS[word]}"
    return ""


def _near_word(stop: Stop) -> str:
    """A word of the language that may have been meant."""
    if stop.text.isidentifier() and stop.text not in stop.words:
        words = [name for name in stop.expected if name.isidentifier()]
        if found := suggest(stop.text, words):
            return found
    if stop.in_block and len(stop.head) == 1 and stop.first.isidentifier() and stop.first not in stop.words:
        return suggest(stop.first, _STATEMENTS | {"else"})
    return ""


# -- the rules

_SIGNS: Final[tuple[tuple[str, str, str], ...]] = (
    (r"/\*", "LZ102", "the comment that begins here does not end|"),
    (r"->", "LZ101", "there is no '->'|there are no pointers: write '.', as in m.count"),
    (r"\+\+", "LZ101", "there is no '++'|write a statement of its own: x += 1;"),
    (r"--", "LZ101", "there is no '--'|write a statement of its own: x -= 1;"),
    (r"(\*|/|%|\||\^|<<|>>)=", "LZ102", "there is no such assignment|only =, +=, -= and &= assign"),
    (r"===", "LZ101", "there is no '==='|equality is =="),
    (r"<>", "LZ101", "there is no '<>'|inequality is !="),
    (r"=<", "LZ101", "there is no '=<'|'at most' is <="),
    (r":=", "LZ101", "there is no ':='|to assign, write ="),
    (r"<<|>>", "LZ101", "there are no shifts|numbers are only added, subtracted and compared"),
    (r"[*/%]", "LZ102", "there is no {}|numbers are only added, subtracted and compared, and there are no pointers"),
    (r"\|", "LZ102", "there is no {}|'or' is ||, and the union of two sets is a + b"),
    (r"[~^]", "LZ102", "there is no {}|'not' is !, and the difference of two sets is a - b"),
    (r"#.*", "LZ102", "there is no preprocessor|a constant is a config, and a library is taken in with use \"...\""),
    (r"'.*", "LZ102", "there are no character constants|a text stands in double quotes"),
    (r'".*', "LZ102", "this text does not end on its line|close it with a double quote"),
)


def _sign(stop: Stop) -> Diagnostic | None:
    """A sign of C or of another language."""
    if stop.word is None:
        return None
    span = stop.word.span
    line = stop.source.line(span.line)
    for pattern, code, text in _SIGNS:
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
        return Diagnostic("LZ101", "there is no address of a thing", span, hint="pass the thing itself, to a ref parameter")
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
    declares = len(stop.head) == 1 and stop.first in _DECLARATIONS and (stop.text[:1].isalpha() or stop.text[:1] in '"{')
    if not declares:
        return None
    keyword = stop.head[0].span
    if stop.first in ("var", "percpu", "config", "static", "hw", "ghost") and keyword.column > 1:
        hint = "a local is declared with let, as in let x = 0;"
        return Diagnostic("LZ101", f"'{stop.first}' cannot stand in a block", keyword, hint=hint)
    return Diagnostic("LZ101", f"'{stop.first}' begins a declaration, but a '}}' is missing before it", keyword, note)


def _is_one(stop: Stop, what: str) -> bool:
    """Whether `what` could stand here."""
    return stop.expected >= _STATEMENTS if what == "a statement" else what in stop.expected


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
        hint = _FORMS["assert"]
        return Diagnostic("LZ101", "the text of an assert stands outside the parentheses", stop.here, hint=f"it is written {hint}")
    if closing not in stop.expected or stop.text not in (";", "{", "}", ""):
        return None
    code = "LZ101" if stop.word else "LZ104"
    note = (Note(opened.span, f"this '{opened.text}' is not closed"),)
    return Diagnostic(code, f"'{closing}' is missing here", stop.after, note)


def _compare(stop: Stop) -> Diagnostic | None:
    """`=` for `==`, `==` for `=`, and comparisons in a row."""
    if stop.text == "=" and "==" in stop.expected:
        return Diagnostic("LZ101", "'=' assigns and cannot stand in an expression", stop.here, hint="to compare, write ==")
    if stop.text == "==" and "=" in stop.expected and "==" not in stop.expected:
        return Diagnostic("LZ101", "'==' compares, but a value is given here", stop.here, hint="to assign, write =")
    if stop.text in ("==", "!=", "<", ">", "<=", ">=") and "&&" in stop.expected:
        hint = "write a < b && b < c, or put one of them into parentheses"
        return Diagnostic("LZ101", "comparisons do not follow one another", stop.here, hint=hint)
    return None


_FOREIGN: Final[Mapping[str, str]] = {
    "and": "'and' is written &&",
    "or": "'or' is written ||",
    "not": "'not' is written !",
    "is": "'is' is written ==",
    "mod": "numbers are only added, subtracted and compared",
    "implies": "'implies' is written =>",
    "then": "it is written if CONDITION { ... }",
    "elif": "it is written else if CONDITION { ... }",
    "elsif": "it is written else if CONDITION { ... }",
    "do": "a loop is written loop { ... if CONDITION { break; } }, or while CONDITION { ... }",
    "switch": "there is no switch: write if ... { } else if ... { }",
    "case": "there is no switch: write if ... { } else if ... { }",
    "default": "there is no switch: write if ... { } else if ... { }",
    "goto": "there is no goto: use loop, break, continue and return",
    "forever": "it is written loop { ... }",
    "until": "it is written while !CONDITION { ... }",
    "new": "it is written let m = alloc mm;",
    "struct": "objects are allocated and freed, as in object mm = 2 { ... }; a record is a plain value",
    "typedef": "a type is a sort, an object, an enum or a record",
    "function": f"it is written {_FORMS['proc']}",
    "func": f"it is written {_FORMS['proc']}",
    "def": f"it is written {_FORMS['proc']}",
    "void": f"it is written {_FORMS['proc']}",
    "inline": f"it is written {_FORMS['proc']}",
    "extern": f"it is written {_FORMS['proc']}",
    "process": f"it is written {_FORMS['thread']}",
    "module": "a file begins with 'model NAME;'",
}


def _foreign(stop: Stop) -> Diagnostic | None:
    """A word of C or of another language."""
    for word in (stop.text, stop.last, stop.first):
        hint = _FOREIGN.get(word, "")
        if word in ("and", "or", "not", "is", "mod", "implies") and "&&" not in stop.expected and stop.last != "not":
            continue
        if hint and word not in stop.expected:
            at = next(w for w in (stop.word, *stop.before[-1:], *stop.head[:1]) if w and w.text == word)
            if word in ("do", "then") and at is stop.word and stop.head:
                hint = f"'{word}' is not needed: " + (_form(stop) or hint)
            return Diagnostic("LZ101", f"'{word}' means nothing here", at.span, hint=hint)
    return None


def _local(stop: Stop) -> Diagnostic | None:
    """`int x;`, labels, and statements or C declarations where they cannot stand."""
    name = bool(re.match(r"[A-Za-z_]", stop.text))
    if not stop.in_block:
        if stop.text in _STATEMENTS - _DECLARATIONS and not stop.head:
            hint = "put it into a proc, a thread, an interrupt or init"
            return Diagnostic("LZ101", f"'{stop.text}' begins a statement, and there is none outside a block", stop.here, hint=hint)
        return None
    if len(stop.head) != 1 or stop.first in stop.words or not stop.first.isidentifier():
        return None
    if stop.text == ":":
        hint = "there is no goto: use loop, break, continue and return"
        return Diagnostic("LZ101", "there are no labels", stop.head[0].span, hint=hint)
    rest = stop.source.text[stop.word.end :].lstrip()[:1] if stop.word else ""
    if name and rest in (";", "=", ",", "[") and not suggest(stop.first, _STATEMENTS):
        hint = f"a local is declared with let, as in let {stop.text} = 0;"
        return Diagnostic("LZ101", f"'{stop.first} {stop.text}' is no statement", stop.head[0].span.to(stop.here), hint=hint)
    return None


def _reserved(stop: Stop) -> Diagnostic | None:
    """A word of the language used as a name."""
    taken = stop.before[-1:] if stop.text in ("=", "+=", "-=", "&=", ".", "[", ":") else ()
    for word in taken:
        if word.text in stop.words and NAME not in stop.expected - _EXPRESSION | ({NAME} & stop.expected) - {NAME}:
            if word.text in ("true", "false", "null", "any", "gen") or (len(stop.head) > 1 and stop.head[-1] != word):
                return None
            if stop.head and stop.head[0] == word or stop.in_block and stop.last in _STATEMENTS:
                hint = "choose another name"
                return Diagnostic("LZ101", f"'{word.text}' is a word of the language and cannot be a name here", word.span, hint=hint)
    return None


def _number(stop: Stop) -> Diagnostic | None:
    """`0x10` and `1UL`."""
    if stop.word and stop.before and stop.last.isdigit() and stop.before[-1].end == stop.word.start and stop.text.isidentifier():
        at = stop.before[-1].span.to(stop.here)
        return Diagnostic("LZ101", f"'{stop.last}{stop.text}' is no number", at, hint="numbers are decimal and have no suffix")
    return None


def _body(stop: Stop) -> Diagnostic | None:
    """A body without braces."""
    if stop.word is None or "{" not in stop.expected or NAME in stop.expected:
        return None
    if stop.last == "else" or (stop.first in ("if", "while", "for", "forall") and stop.in_block):
        if re.match(r"[A-Za-z_]", stop.text) or stop.text == ";":
            hint = "a body stands in braces, even if it is one statement"
            return Diagnostic("LZ101", f"'{{' is missing before {_quoted(stop.text)}", stop.here, hint=hint)
    return None


def _semicolon(stop: Stop) -> Diagnostic | None:
    """A semicolon that is missing at the end of a line or of a block."""
    if ";" not in stop.expected or "{" in stop.expected or not stop.before:
        return None
    at_end = stop.word is None or stop.text == "}" or stop.here.line > stop.before[-1].span.end_line
    if not at_end and not (stop.text in stop.words and stop.text.isalpha()):
        return None
    return Diagnostic("LZ101" if stop.word else "LZ104", "';' is missing here", stop.after)


_RULES: Final[tuple[Rule, ...]] = (
    _sign, _header, _number, _compare, _foreign, _brace, _bracket, _reserved, _local, _body, _semicolon,
)  # fmt: skip
