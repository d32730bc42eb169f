"""Values as Z3 sees them: what is finite is spelled out in truth values.

A term of a finite type is a set of cases, each value with the condition under
which the term has it; exactly one of them is true.  Only generations, and counts
without bound, are numbers for Z3.  Conditions that are certain are Python's True and False, so that
what does not depend on the state costs nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeAlias

import z3

from checker.records import dataclass

Cond = Any
"""True, False or a Z3 truth value; Z3's Python interface has no types."""


@dataclass(frozen=True, slots=True)
class Finite:
    """A value out of few: under which condition it is which."""

    cases: Mapping[int, Cond]


@dataclass(frozen=True, slots=True)
class Sequence:
    """A sequence: its length, and what stands at each place below it."""

    length: Finite
    items: tuple[Finite, ...]


@dataclass(frozen=True, slots=True)
class Number:
    """A generation, or a count without bound."""

    value: Any


Term: TypeAlias = Any | Finite | Sequence | Number
"""A truth value, or a value of another type."""


# -- truth -------------------------------------------------------------------


def both(conditions: Iterable[Cond]) -> Cond:
    """Conjunction."""
    kept: list[Cond] = []
    for condition in conditions:
        if condition is False:
            return False
        if condition is not True:
            kept.append(condition)
    return True if not kept else kept[0] if len(kept) == 1 else _joined(z3.Z3_mk_and, kept)


def either(conditions: Iterable[Cond]) -> Cond:
    """Disjunction."""
    kept: list[Cond] = []
    for condition in conditions:
        if condition is True:
            return True
        if condition is not False:
            kept.append(condition)
    return False if not kept else kept[0] if len(kept) == 1 else _joined(z3.Z3_mk_or, kept)


def _joined(make: Callable[[Any, int, Any], Any], conditions: list[Cond]) -> Cond:
    """Z3's own constructor: its Python wrapper checks every argument's type and takes ten times as long."""
    context = z3.main_ctx()
    array = (z3.Ast * len(conditions))(*(c.as_ast() for c in conditions))
    return z3.BoolRef(make(context.ref(), len(conditions), array), context)


def negated(condition: Cond) -> Cond:
    """Negation."""
    if condition is True or condition is False:
        return not condition
    context = z3.main_ctx()
    return z3.BoolRef(z3.Z3_mk_not(context.ref(), condition.as_ast()), context)


def implied(when: Cond, then: Cond) -> Cond:
    """Implication."""
    return either((negated(when), then))


def same(variable: Any, value: Cond) -> Cond:
    """That a variable has a truth value."""
    if value is True:
        return variable
    if value is False:
        return negated(variable)
    context = z3.main_ctx()
    return z3.BoolRef(z3.Z3_mk_iff(context.ref(), variable.as_ast(), value.as_ast()), context)


def same_truth(a: Cond, b: Cond) -> Cond:
    """Equality of truth values."""
    for this, other in ((a, b), (b, a)):
        if this is True:
            return other
        if this is False:
            return negated(other)
    return same(a, b)


# -- values ------------------------------------------------------------------


def constant(value: int) -> Finite:
    """A value that is certain."""
    return Finite({value: True})


def certain(term: Finite) -> int | None:
    """The value, where there is only one."""
    return next(iter(term.cases)) if len(term.cases) == 1 else None


def merged(choices: Iterable[tuple[Cond, Term]]) -> Term:
    """The term whose condition is true; exactly one must be."""
    possible = [(condition, term) for condition, term in choices if condition is not False]
    if len(possible) == 1:
        return possible[0][1]
    if any(isinstance(term, Number) for _, term in possible):
        number: Any = None
        for condition, term in possible:
            number = as_number(term) if number is None else z3.If(condition, as_number(term), number)
        return Number(number)
    first = possible[0][1]
    match first:
        case Finite():
            cases: dict[int, list[Cond]] = {}
            for condition, term in possible:
                assert isinstance(term, Finite)
                for value, when in term.cases.items():
                    cases.setdefault(value, []).append(both((condition, when)))
            return Finite({value: when for value, parts in cases.items() if (when := either(parts)) is not False})
        case Sequence():
            sequences = [(condition, _sequence(term)) for condition, term in possible]
            places = max(len(s.items) for _, s in sequences)
            length = merged((condition, s.length) for condition, s in sequences)
            items = tuple(
                _finite(merged(_exhaustive([(c, s.items[n]) for c, s in sequences if n < len(s.items)])))
                for n in range(places)
            )
            return Sequence(_finite(length), items)
        case _:
            return either(both((condition, term)) for condition, term in possible)


def as_number(term: Term) -> Any:
    """A number as Z3 has it, also where only few are possible."""
    if isinstance(term, Number):
        return term.value
    *some, (last, _) = _finite(term).cases.items()
    found: Any = z3.IntVal(last)
    for value, when in some:
        found = z3.If(when, z3.IntVal(value), found)
    return found


def _exhaustive(choices: list[tuple[Cond, Finite]]) -> list[tuple[Cond, Finite]]:
    """Where nothing is chosen any value will do: the last one stands in."""
    *some, (_, last) = choices
    return [*some, (negated(either(c for c, _ in some)), last)]


def equal(a: Term, b: Term) -> Cond:
    """Equality of two values of one type."""
    match a, b:
        case Finite(), Finite():
            return either(both((a.cases[value], b.cases[value])) for value in a.cases if value in b.cases)
        case Sequence(), Sequence():
            same = [equal(a.length, b.length)]
            for n in range(min(len(a.items), len(b.items))):
                beyond = either(when for length, when in a.length.cases.items() if length <= n)
                same.append(either((beyond, equal(a.items[n], b.items[n]))))
            return both(same)
        case (Number(), _) | (_, Number()):
            return as_number(a) == as_number(b)
        case _:
            return same_truth(a, b)


def compared(a: Term, b: Term, relation: Callable[[Any, Any], Any]) -> Cond:
    """An order comparison of numbers."""
    if isinstance(a, Number) or isinstance(b, Number):
        return relation(as_number(a), as_number(b))
    x, y = _finite(a), _finite(b)
    return either(both((x.cases[m], y.cases[n])) for m in x.cases for n in y.cases if relation(m, n))


def computed(a: Finite, b: Finite, operation: Callable[[int, int], int]) -> Finite:
    """A number made of two others."""
    cases: dict[int, list[Cond]] = {}
    for m, x in a.cases.items():
        for n, y in b.cases.items():
            cases.setdefault(operation(m, n), []).append(both((x, y)))
    return Finite({value: when for value, parts in cases.items() if (when := either(parts)) is not False})


def counted(conditions: Iterable[Cond]) -> Finite:
    """How many conditions are true."""
    total = constant(0)
    for condition in conditions:
        if condition is not False:
            one = Finite({1: condition, 0: negated(condition)}) if condition is not True else constant(1)
            total = computed(total, one, int.__add__)
    return total


def _finite(term: Term) -> Finite:
    assert isinstance(term, Finite), term
    return term


def _sequence(term: Term) -> Sequence:
    assert isinstance(term, Sequence), term
    return term
