"""A System whose reference counts have no bound: what induction is about.

Where an instance is explored, a count has a range, and to outgrow it is reported. A proof
need not know of that: the fault and the guard beside it go, and the range with them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Final

from checker.core import fold
from checker.core.system import Action, Expr, Int, Lit, Op, Read, System, Type

UNBOUNDED: Final = 1 << 62
"""The upper end of a range that has none."""


def is_unbounded(type_: Type) -> bool:
    """Whether a type is that of a count without bound."""
    return isinstance(type_, Int) and type_.hi >= UNBOUNDED


def without_bounds(system: System) -> System:
    """The System with its counts unbounded; other ranges stay, as they are the model's own."""
    fits = {part for a in system.actions for part in _fits(a)}
    counters = {read.var for part in fits if (read := _counter(part)) is not None}
    ranges = {
        v.name: replace(v, type=Int(v.type.lo, UNBOUNDED))
        for v in system.vars if v.name in counters and isinstance(v.type, Int)
    }  # fmt: skip
    return replace(
        system,
        vars=tuple(ranges.get(v.name, v) for v in system.vars),
        actions=tuple(
            replace(a, guard=tuple(g for g in a.guard if g not in fits)) for a in system.actions if not any(_fits(a))
        ),
    )


def _fits(action: Action) -> Iterator[Expr]:
    """What the fault of a full count denies, as the guards of the steps beside it say it."""
    if action.fault is None or not action.fault.bound or not action.guard:
        return
    fits = fold.not_(action.guard[-1])
    if _counter(fits) is not None:
        yield fits
        if isinstance(fits, Op) and fits.op == "implies":  # where the premise is known it is left out
            yield fits.args[1]


def _counter(fits: Expr) -> Read | None:
    """The count that has room for one more, where that is what is said."""
    match fits:
        case Op(op="lt", args=(Read() as read, Lit())):
            return read
        case Op(op="implies", args=(_, conclusion)):
            return _counter(conclusion)
        case _:
            return None
