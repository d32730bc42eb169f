"""Comparing generations.

A generation can be compared with one of the same counter and with 0.  Code that compares
generations of two counters is at fault; in a property they are simply not
equal, before or after each other: what a property says must not depend on how
the values of different counters happen to be numbered.
"""

from __future__ import annotations

from typing import Final

from checker.core import fold
from checker.core import system as y
from checker.core.lower.shapes import GenValue
from checker.core.lower.values import compare
from checker.lang.diagnostics import UserError
from checker.lang.source import Span

ZERO: Final = y.Lit(0, y.Gen())
_MIRRORED: Final = {"<": ">", "<=": ">=", ">": "<", ">=": "<="}


def comparable(a: GenValue, b: GenValue) -> y.Expr:
    """Whether two generations are of one counter, or one of them is 0 (never)."""
    never = fold.or_(fold.eq(g.number, ZERO) for g in (a, b))
    if a.of is None or b.of is None:
        return y.TRUE
    alive = fold.ne(a.of, y.Null(a.of.type.sort)) if isinstance(a.of.type, y.Elem) else y.TRUE
    return fold.or_((never, fold.and_((fold.eq(a.of, b.of), alive))))


def compare_gens(op: str, a: GenValue, b: GenValue) -> y.Expr:
    """A comparison of generations of one counter; `x + 1` is after `x`, and after nothing else that is before it."""
    if a.plus_one and not b.plus_one:
        return compare_gens(_MIRRORED.get(op, op), b, a)
    if a.plus_one or not b.plus_one:
        return compare(op, a.number, b.number)
    after = y.Op("eq", (a.number, y.Op("add", (b.number, fold.int_lit(1)), y.Gen())))
    follows = fold.and_((fold.ne(b.number, ZERO), after))
    before = compare("<=", a.number, b.number)  # a < b + 1
    match op:
        case "==":
            return follows
        case "!=":
            return fold.not_(follows)
        case "<":
            return before
        case ">=":
            return fold.not_(before)
        case "<=":
            return fold.or_((before, follows))
        case _:
            return fold.not_(fold.or_((before, follows)))


def one_moment(a: GenValue, b: GenValue, span: Span) -> None:
    """Refuse to compare a generation with one of another state: each state numbers them anew."""
    later = [any(isinstance(p, y.Next) for p in fold.walk(g.number)) for g in (a, b)]
    if later[0] != later[1] and ZERO not in (a.number, b.number):
        raise UserError.of(
            "LZ310", "generations of two states cannot be compared", span,
            hint="compare them with each other before the step, and after it",
        )  # fmt: skip
