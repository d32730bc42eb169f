"""Expressions of a System over a symbolic state."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator, Mapping
from collections.abc import Sequence as Places
from itertools import product
from typing import Final, assert_never

from checker.core.instance import Instance
from checker.core.system import (
    NULL,
    At,
    Bool,
    Elem,
    Enum,
    Expr,
    Gen,
    Int,
    Lit,
    Next,
    Null,
    Op,
    Param,
    Quant,
    Read,
    Seq,
    Static,
)
from checker.records import dataclass
from checker.symbolic.terms import (
    Cond,
    Finite,
    Number,
    Sequence,
    Term,
    as_number,
    both,
    compared,
    computed,
    constant,
    counted,
    either,
    equal,
    merged,
    negated,
)

_COMPARE: Final[Mapping[str, Callable[[int, int], bool]]] = {
    "lt": operator.lt,
    "le": operator.le,
    "gt": operator.gt,
    "ge": operator.ge,
}

Env = Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Valued:
    """A term, and the condition under which it has a value at all."""

    term: Term
    defined: Cond = True


class Translator:
    """Expressions over a state given as one term per slot, and a successor for `Next`."""

    def __init__(self, instance: Instance, state: Places[Term], successor: Places[Term] = ()) -> None:
        self._instance = instance
        self._state = state
        self._successor = successor

    def truth(self, expr: Expr, env: Env | None = None) -> Cond:
        """Whether a property's expression is true; one without a value is not."""
        found = self.valued(expr, env or {})
        return both((found.defined, found.term))

    def term(self, expr: Expr, env: Env) -> Term:
        """The value of an expression that has one wherever it is asked for."""
        return self.valued(expr, env).term

    def valued(self, expr: Expr, env: Env) -> Valued:
        """The value of an expression and when it has one."""
        match expr:
            case Lit(value, type_):
                return Valued(literal(value, type_))
            case Static(sort, name):
                return Valued(constant(self._instance.sort(sort).statics.index(name)))
            case Null():
                return Valued(constant(NULL))
            case Param(name):
                return Valued(constant(env[name]))
            case Read(var, index):
                return self._read(var, index, env)
            case At(thread, index, locations):
                at = self._read(self._instance.thread(thread).pc, index, env)
                assert isinstance(at.term, Finite)
                return Valued(either(when for place, when in at.term.cases.items() if place in locations), at.defined)
            case Next(body):
                return Translator(self._instance, self._successor).valued(body, env)
            case Quant(kind, name, sort, body):
                cases = [self.valued(body, {**env, name: e}) for e in self._instance.elements(sort)]
                return self._quantified(kind, cases)
            case Op(op, args, type_):
                found = self._operator(op, args, env)
                if isinstance(type_, Bool) and isinstance(found.term, Finite):  # an item of a sequence
                    return Valued(_at(found.term, 1), found.defined)
                return found
            case _:
                assert_never(expr)

    def defined(self, index: Places[Expr], env: Env) -> Iterator[Cond]:
        """That the parts of an index have values, and none of them is null."""
        for part in index:
            found = self.valued(part, env)
            yield both((found.defined, negated(_at(found.term, NULL))))

    def places(self, var: str, index: Places[Expr], env: Env) -> Iterator[tuple[Cond, int]]:
        """The slots that a variable may be meant to be at, each with the condition."""
        terms = [self.term(i, env) for i in index]
        for choice in product(*(_cases(term) for term in terms)):
            values = tuple(value for value, _ in choice)
            if NULL not in values and (when := both(c for _, c in choice)) is not False:
                yield when, self._instance.slot(var, values)

    def _read(self, var: str, index: Places[Expr], env: Env) -> Valued:
        parts = [self.valued(i, env) for i in index]
        defined = both(p.defined for p in parts)
        defined = both((defined, *(negated(_at(p.term, NULL)) for p in parts)))
        where = list(self.places(var, index, env))
        if not where:
            return Valued(self._state[self._instance.slot(var, (0,) * len(index))], False)
        *some, (last, slot) = where
        # where it has no value any will do, so the last place needs no condition of its own
        rest = negated(either(c for c, _ in some)) if defined is not True else last
        return Valued(merged([*((c, self._state[s]) for c, s in some), (rest, self._state[slot])]), defined)

    def _quantified(self, kind: str, cases: list[Valued]) -> Valued:
        if kind == "count":
            return Valued(counted(c.term for c in cases), both(c.defined for c in cases))
        return self._early(cases, stop=kind == "exists")

    def _early(self, parts: list[Valued], *, stop: bool) -> Valued:
        """`or` where stop is true, else `and`: what comes after the first part that decides is not looked at."""
        defined, before = True, True
        for part in parts:
            defined = both((defined, either((negated(before), part.defined))))
            before = both((before, negated(part.term) if stop else part.term))
        combine = either if stop else both
        return Valued(combine(p.term for p in parts), defined)

    def _operator(self, op: str, args: Places[Expr], env: Env) -> Valued:
        parts = [self.valued(a, env) for a in args]
        match op:
            case "and" | "or":
                return self._early(parts, stop=op == "or")
            case "implies":
                premise = Valued(negated(parts[0].term), parts[0].defined)
                return self._early([premise, parts[1]], stop=True)
            case "ite":
                condition, then, otherwise = parts
                if condition.term is True:
                    return Valued(then.term, both((condition.defined, then.defined)))
                if condition.term is False:
                    return Valued(otherwise.term, both((condition.defined, otherwise.defined)))
                no = negated(condition.term)
                arms = either((both((condition.term, then.defined)), both((no, otherwise.defined))))
                term = merged([(condition.term, then.term), (no, otherwise.term)])
                return Valued(term, both((condition.defined, arms)))
            case _:
                defined = both(p.defined for p in parts)
                found = _applied(op, [p.term for p in parts])
                return Valued(found.term, both((defined, found.defined)))


def _applied(op: str, terms: list[Term]) -> Valued:
    match op:
        case "not":
            return Valued(negated(terms[0]))
        case "eq":
            return Valued(equal(*terms))
        case "ne":
            return Valued(negated(equal(*terms)))
        case "lt" | "le" | "gt" | "ge":
            return Valued(compared(terms[0], terms[1], _COMPARE[op]))
        case "add" | "sub":
            return Valued(_sum(terms[0], terms[1], operator.add if op == "add" else operator.sub))
        case "neg":
            if isinstance(terms[0], Number):
                return Valued(Number(-terms[0].value))
            return Valued(Finite({-value: when for value, when in _cases(terms[0])}))
        case _:
            return _of_sequence(op, terms)


def _sum(a: Term, b: Term, operation: Callable[[int, int], int]) -> Term:
    if isinstance(a, Number) or isinstance(b, Number):
        return Number(operation(as_number(a), as_number(b)))
    assert isinstance(a, Finite) and isinstance(b, Finite)
    return computed(a, b, operation)


def _of_sequence(op: str, terms: list[Term]) -> Valued:
    queue = terms[0]
    assert isinstance(queue, Sequence)
    lengths = queue.length.cases
    match op:
        case "len":
            return Valued(queue.length)
        case "get":
            found, inside = [], []
            for place, when in _cases(terms[1]):
                if 0 <= place < len(queue.items):
                    found.append((when, queue.items[place]))
                    inside.append(both((when, either(c for n, c in lengths.items() if n > place))))
            if not found:
                return Valued(queue.items[0] if queue.items else constant(0), False)
            *some, (_, last) = found
            return Valued(merged([*some, (negated(either(c for c, _ in some)), last)]), either(inside))
        case "push":
            item = Finite(dict(_cases(terms[1])))
            items = []
            for n in range(len(queue.items) + 1):
                here = lengths.get(n, False)
                old = queue.items[n] if n < len(queue.items) else item
                choices: list[tuple[Cond, Term]] = [(here, item), (negated(here), old)]
                chosen = merged(choices)
                assert isinstance(chosen, Finite)
                items.append(chosen)
            return Valued(Sequence(Finite({n + 1: c for n, c in lengths.items()}), tuple(items)))
        case "tail":
            shorter = {max(n - 1, 0): c for n, c in lengths.items() if n > 1}
            empty = either(c for n, c in lengths.items() if n <= 1)
            if empty is not False:
                shorter[0] = empty
            return Valued(Sequence(Finite(shorter), queue.items[1:]))
        case "contains":
            inside = [
                both((either(c for n, c in lengths.items() if n > place), equal(item, Finite(dict(_cases(terms[1]))))))
                for place, item in enumerate(queue.items)
            ]
            return Valued(either(inside))
        case _:
            raise AssertionError(op)


def literal(value: object, type_: object) -> Term:
    """The term of a constant."""
    match type_:
        case Bool():
            return bool(value)
        case Gen():
            return Number(value)
        case Seq():
            assert isinstance(value, tuple)
            return Sequence(constant(len(value)), tuple(constant(int(v)) for v in value))
        case Int() | Enum() | Elem():
            assert isinstance(value, int)
            return constant(int(value))
        case _:
            raise AssertionError(type_)


def _cases(term: Term) -> list[tuple[int, Cond]]:
    """The values of a term that is an index or a number; a truth value counts as 0 or 1."""
    if isinstance(term, Finite):
        return list(term.cases.items())
    return [(1, term), (0, negated(term))]


def _at(term: Term, value: int) -> Cond:
    return term.cases.get(value, False) if isinstance(term, Finite) else False
