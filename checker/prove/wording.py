"""Clauses and equations as text in the model's own words, and back.

Expressions read as in a model, with a thread's locals under their full names.  Only a place
is written differently: `at(cpu_loop[c] : exit_mm:60, mmput:81)`, the complement with `not at`.
Places with the same name are told apart by `#2`, `#3`, as they follow each other.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Final

from checker.core import fold
from checker.core import system as y
from checker.core.printer import format_expr
from checker.prove.clauses import Clause
from checker.prove.holders import Equation, Holder
from checker.prove.protocol import Protocol

_TOKEN: Final = re.compile(r"\s*(\|\||&&|==|=>|!=|<=|>=|[-+!<>()\[\],|{}]|\d+|[A-Za-z_][\w.]*|\.[A-Za-z_][\w.]*)")
_COMPARE: Final[Mapping[str, y.Operator]] = {"<": "lt", "<=": "le", ">": "gt", ">=": "ge"}


class Unreadable(Exception):
    """A certificate says something that the model does not know."""


# -- writing


def places(thread: y.Thread) -> tuple[str, ...]:
    """A name for each location, no two alike."""
    seen: dict[str, int] = {}
    names = []
    for location in thread.locations:
        seen[location.name] = seen.get(location.name, 0) + 1
        number = seen[location.name]
        names.append(location.name if number == 1 else f"{location.name}#{number}")
    return tuple(names)


def fact_text(protocol: Protocol, fact: y.Expr) -> str:
    """One fact."""
    match fact:
        case y.At(thread=name, index=index, locations=locations):
            thread = protocol.threads[name]
            named = places(thread)
            others = frozenset(range(len(named))) - locations
            few, word = (others, "not at") if len(others) < len(locations) else (locations, "at")
            parts = [format_expr(i, system=protocol.system, qualified=True) for i in index]
            owner = name + (f"[{', '.join(parts)}]" if parts else "")
            return f"{word}({owner} : {', '.join(named[n] for n in sorted(few))})"
        case y.Op(op="and", args=args):
            return " && ".join(fact_text(protocol, a) for a in args)
        case _:
            text = format_expr(fact, system=protocol.system, qualified=True)
            return f"({text})" if isinstance(fact, y.Op) and fact.op == "or" else text


def clause_text(protocol: Protocol, clause: Clause) -> str:
    """A clause as a line of a certificate."""
    facts = " && ".join(fact_text(protocol, f) for f in clause.never)
    return f"never {_binders(clause.vars)}: {facts};" if clause.vars else f"never : {facts};"


def equation_text(protocol: Protocol, equation: Equation) -> str:
    """An equation as lines of a certificate."""
    terms = []
    for holder in equation.holders:
        text = fact_text(protocol, holder.holds)
        terms.append(f"{{{_binders(holder.index)} | {text}}}" if holder.index else f"{{{text}}}")
    shown = "".join(f"\n        {term}" for term in terms)
    counter = format_expr(equation.counter(), system=protocol.system)
    return f"holders {_binders((equation.object,))}: {counter} counts{shown};"


def _binders(params: tuple[y.Param, ...]) -> str:
    return ", ".join(f"{p.name} : {p.sort}" for p in params)


# -- reading


def read_line(protocol: Protocol, text: str) -> Clause | Equation:
    """A clause or an equation; raises Unreadable."""
    word, _, rest = text.strip().rstrip(";").partition(" ")
    match word:
        case "never":
            binders, _, body = _split_binders(rest)
            params = _read_binders(protocol, binders)
            return Clause(params, _conjuncts(protocol, params, body))
        case "holders":
            binders, _, body = _split_binders(rest)
            (subject,) = _read_binders(protocol, binders)
            counter, sign, terms = body.partition(" counts")
            read = _expr(protocol, (subject,), counter.strip())
            if not sign or not isinstance(read, y.Read):
                raise Unreadable(f"'{counter.strip()}' is no counter")
            holders = tuple(_holder(protocol, subject, term) for term in re.findall(r"\{([^}]*)\}", terms))
            return Equation(read.var, subject, holders)
        case _:
            raise Unreadable(f"'{word}' begins neither a clause nor an equation")


def _split_binders(text: str) -> tuple[str, str, str]:
    """`c : CPU, m : mm: rest` in its two parts."""
    found = re.match(r"\s*((?:\w+ : \w+(?:, )?)*)\s*:\s", text)
    if found is None:
        raise Unreadable(f"no variables in '{text.strip()[:60]}'")
    return found.group(1), ":", text[found.end() :]


def _read_binders(protocol: Protocol, text: str) -> tuple[y.Param, ...]:
    params = []
    sorts = {s.name for s in protocol.system.sorts}
    for name, sort in re.findall(r"(\w+) : (\w+)", text):
        if sort not in sorts:
            raise Unreadable(f"the model has no sort '{sort}'")
        params.append(y.Param(name, sort))
    return tuple(params)


def _holder(protocol: Protocol, subject: y.Param, text: str) -> Holder:
    binders, bar, body = text.partition(" | ")
    index = _read_binders(protocol, binders) if bar else ()
    return Holder(index, fold.and_(_conjuncts(protocol, (*index, subject), body if bar else text)))


def _conjuncts(protocol: Protocol, params: tuple[y.Param, ...], text: str) -> tuple[y.Expr, ...]:
    return tuple(_fact(protocol, params, part.strip()) for part in _parts(text))


def _parts(text: str) -> Iterator[str]:
    """What stands between the `&&` that are in no parentheses."""
    depth = start = 0
    for place, sign in enumerate(text):
        depth += (sign in "([{") - (sign in ")]}")
        if depth == 0 and text.startswith(" && ", place):
            yield text[start:place]
            start = place + 4
    yield text[start:]


def _fact(protocol: Protocol, params: tuple[y.Param, ...], text: str) -> y.Expr:
    found = re.fullmatch(r"(not )?at\((\w+)(?:\[(.*)\])? : (.*)\)", text)
    if found is None:
        return _expr(protocol, params, text)
    negative, name, index, names = found.groups()
    if name not in protocol.threads:
        raise Unreadable(f"the model has no thread '{name}'")
    known = {n: k for k, n in enumerate(places(protocol.threads[name]))}
    if names.strip() == "?":  # of a hint: the places are to be found
        return y.At(name, _index(protocol, params, index), frozenset())
    listed = [n.strip() for n in names.split(",") if n.strip()]
    for place in listed:
        if place not in known:
            raise Unreadable(f"thread '{name}' has no place '{place}'")
    locations = frozenset(known[n] for n in listed)
    if negative:
        locations = frozenset(known.values()) - locations
    return y.At(name, _index(protocol, params, index), locations)


def _index(protocol: Protocol, params: tuple[y.Param, ...], text: str | None) -> tuple[y.Expr, ...]:
    return tuple(_expr(protocol, params, i.strip()) for i in (text or "").split(",") if i.strip())


def _expr(protocol: Protocol, params: tuple[y.Param, ...], text: str) -> y.Expr:
    tokens = []
    position = 0
    while position < len(text.rstrip()):
        found = _TOKEN.match(text, position)
        if found is None:
            raise Unreadable(f"'{text[position:].strip()}' makes no sense")
        tokens.append(found.group(1))
        position = found.end()
    reader = _Reader(protocol, {p.name: p for p in params}, tokens)
    expr = reader.disjunction()
    if reader.tokens:
        raise Unreadable(f"'{' '.join(reader.tokens)}' is left over in '{text}'")
    return expr


class _Reader:
    """Reads one expression."""

    def __init__(self, protocol: Protocol, params: Mapping[str, y.Param], tokens: list[str]) -> None:
        self.protocol = protocol
        self.params = params
        self.tokens = tokens

    def _next(self) -> str:
        if not self.tokens:
            raise Unreadable("an expression ends too early")
        return self.tokens.pop(0)

    def _take(self, token: str) -> bool:
        if self.tokens and self.tokens[0] == token:
            self.tokens.pop(0)
            return True
        return False

    def _expect(self, token: str) -> None:
        if not self._take(token):
            raise Unreadable(f"'{token}' is missing")

    def disjunction(self) -> y.Expr:
        """a || b, a && b, a => b."""
        parts = [self.conjunction()]
        while self._take("||"):
            parts.append(self.conjunction())
        left = fold.or_(parts) if len(parts) > 1 else parts[0]
        return fold.implies(left, self.disjunction()) if self._take("=>") else left

    def conjunction(self) -> y.Expr:
        """a && b."""
        parts = [self.comparison()]
        while self._take("&&"):
            parts.append(self.comparison())
        return fold.and_(parts) if len(parts) > 1 else parts[0]

    def comparison(self) -> y.Expr:
        """a == b, a in b, or a plain term."""
        left = self.sum()
        if self.tokens[:2] == ["!", "in"]:
            del self.tokens[:2]
            owner = self.term(members=True)
            assert isinstance(owner, y.Read)
            return fold.not_(y.Read(owner.var, (*owner.index, left), y.BOOL))
        if self._take("in"):
            owner = self.term(members=True)
            assert isinstance(owner, y.Read)
            return y.Read(owner.var, (*owner.index, left), y.BOOL)
        for sign in ("==", "!="):
            if self._take(sign):
                right = self.sum()
                left, right = self._typed(left, right), self._typed(right, left)
                return fold.eq(left, right) if sign == "==" else fold.ne(left, right)
        for sign, op in _COMPARE.items():
            if self._take(sign):
                return y.Op(op, (left, self.sum()))
        return left

    def sum(self) -> y.Expr:
        """a + 1."""
        left = self.term()
        while self.tokens[:1] in (["+"], ["-"]):
            sign = self._next()
            left = y.Op("add" if sign == "+" else "sub", (left, self.term()), left.type)
        return left

    def _typed(self, term: y.Expr, other: y.Expr) -> y.Expr:
        """A term whose type the other side tells: null, members of enums."""
        if isinstance(term, y.Null) and isinstance(other.type, y.Elem):
            return y.Null(other.type.sort)
        return term

    def term(self, *, members: bool = False) -> y.Expr:
        """A name with its indices, a number, a parenthesis, a negation."""
        token = self._next()
        if token == "!":
            return fold.not_(self.term())
        if token == "(":
            inner = self.disjunction()
            self._expect(")")
            return inner
        if token.isdigit():
            return fold.int_lit(int(token))
        if token in ("true", "false"):
            return y.Lit(token == "true", y.BOOL)
        if token == "null":
            return y.Null("")
        if token == "live" and self._take("("):
            subject = self.term()
            self._expect(")")
            assert isinstance(subject.type, y.Elem)
            return self._read(f"{subject.type.sort}.live", [subject], members=False)
        return self._named(token, members=members)

    def _named(self, name: str, *, members: bool) -> y.Expr:
        """A name, and the fields of the object that it leads to."""
        found = self._begun(name, members=members)
        while self._has_field():
            if not isinstance(found.type, y.Elem):
                raise Unreadable(f"'{name}' is no object that has a field '{self.tokens[0]}'")
            field = f"{found.type.sort}{self._next()}"
            found = self._read(field, [found, *self._indices()], members=members)
        return found

    def _has_field(self) -> bool:
        return bool(self.tokens) and self.tokens[0].startswith(".")

    def _begun(self, name: str, *, members: bool) -> y.Expr:
        if name in self.params:
            return self.params[name]
        first, dot, field = name.partition(".")
        if dot and first in self.params:
            owner = self.params[first]
            return self._read(f"{owner.sort}.{field}", [owner, *self._indices()], members=members)
        if name in self.protocol.vars:
            return self._read(name, self._indices(), members=members)
        for sort in self.protocol.system.sorts:
            if name in sort.statics:
                return y.Static(sort.name, name)
            if dot and first in sort.statics:
                return self._read(
                    f"{sort.name}.{field}", [y.Static(sort.name, first), *self._indices()], members=members
                )
        for var in self.protocol.system.vars:
            if isinstance(var.type, y.Enum) and name in var.type.members:
                return y.Lit(var.type.members.index(name), var.type)
        raise Unreadable(f"the model knows no '{name}'")

    def _indices(self) -> list[y.Expr]:
        indices: list[y.Expr] = []
        if self._take("["):
            indices.append(self.term())
            while self._take(","):
                indices.append(self.term())
            self._expect("]")
        return indices

    def _read(self, name: str, index: list[y.Expr], *, members: bool) -> y.Expr:
        var = self.protocol.vars.get(name)
        members = members and not self._has_field()
        if var is None or len(index) != len(var.index) - members:
            raise Unreadable(f"the model has no '{name}' of {len(index)} indices")
        return y.Read(name, tuple(index), var.type)
