"""Spinlocks, mutexes and rw-locks: who holds them, and what is a violation by itself.

A spinlock held by code on a CPU belongs to that CPU (and survives `switch_to`,
as the run queue's does); a sleeping lock taken by a task belongs to the task.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from checker.core import fold
from checker.core import system as y
from checker.core.lower.flow import Assign, Guard, Operation, Order
from checker.core.lower.shapes import Place
from checker.lang import syntax as s
from checker.lang import types as t
from checker.lang.source import Span

if TYPE_CHECKING:
    from checker.core.lower.effects import Effect
    from checker.core.lower.statements import Builder

PRIMITIVES: Final = (
    "spin_lock",
    "spin_unlock",
    "mutex_lock",
    "mutex_unlock",
    "read_lock",
    "read_unlock",
    "write_lock",
    "write_unlock",
)

PROCESS = "process"
"""The class of holder of code in process context on a CPU."""


def effect(
    b: Builder, name: str, place: Place, call: s.CallExpr, at: int, order: Order, *, trying: bool = False
) -> Effect:
    """Taking or releasing a lock; what makes it a violation goes to the collector."""
    from checker.core.lower.effects import Effect  # effects and locks use each other

    action = name.split("_")[1]
    spin = name.startswith("spin")
    if not spin and action == "lock" and not trying:
        must_sleep(b, at, name + "()", call.span)
    by = b.exprs.lock_by(place)
    holder = _holder(b, spin)
    class_ = _class(b, spin, by.type)
    ours = fold.and_([fold.eq(by, class_), *([_held_by(place, holder)] if holder is not None else [])])
    reading = name.startswith("read")
    mine = _reader(place, holder) if reading and holder is not None else ours
    if action == "unlock":
        what = f"{place.name} is unlocked by someone who does not hold it"
        b.exprs.require(mine, y.Fault("lock", what), call.span)
        # giving a spinlock back is a plain store with release semantics; the others are exchanged
        return Effect(tuple(_release(place, by, holder, reading)), (y.TRUE, t.VOID), not spin, order)
    if not trying:
        deadlock = y.Fault("lock", f"self-deadlock: {place.name} is already held here")
        b.exprs.require(fold.not_(_would_wait_for_itself(b, place, ours, holder, reading)), deadlock, call.span)
    free = is_free(b, place)
    if name.startswith("write"):
        free = fold.and_((free, fold.not_(_any_reader(b, place))))
    ops: list[Operation] = [Guard(free)]
    if reading and holder is not None:
        ops.append(Assign(f"{place.name}.readers.{holder.sort}", (*place.index, holder), y.TRUE))
    else:
        ops.append(Assign(by.var, by.index, class_))
        if holder is not None:
            ops.append(Assign(f"{place.name}.{holder.sort}", place.index, holder))
    return Effect(tuple(ops), (y.TRUE, t.VOID), True, order, blocking=not trying)


def is_free(b: Builder, place: Place) -> y.Expr:
    """Whether nobody holds a lock (for writing, where it has readers)."""
    by = b.exprs.lock_by(place)
    return fold.eq(by, y.Lit(0, by.type))


def must_sleep(b: Builder, at: int, what: str, span: Span) -> None:
    """Collect that this may sleep here: process context, interrupts and preemption on."""
    sections = b.sections(at)
    reason = ""
    if b.runner.interrupt:
        reason = "in an interrupt handler"
    elif sections.irqs:
        reason = "with interrupts off"
    elif sections.preempt:
        reason = "with a spinlock held or preemption off"
    if reason:
        b.exprs.require(y.FALSE, y.Fault("sleep", f"{what} may sleep, but is called {reason}"), span)


def _holder(b: Builder, spin: bool) -> y.Param | None:
    return b.runner.holder if spin or b.runner.sleeper is None else b.runner.sleeper


def _class(b: Builder, spin: bool, by: y.Type) -> y.Lit:
    name = b.runner.name if not spin and b.runner.sleeper is not None else b.runner.lock_class
    assert isinstance(by, y.Enum)
    return y.Lit(by.members.index(name), by)


def _held_by(place: Place, holder: y.Param) -> y.Expr:
    return fold.eq(y.Read(f"{place.name}.{holder.sort}", place.index, y.Elem(holder.sort, True)), holder)


def _reader(place: Place, holder: y.Param) -> y.Expr:
    return y.Read(f"{place.name}.readers.{holder.sort}", (*place.index, holder), y.BOOL)


def _any_reader(b: Builder, place: Place) -> y.Expr:
    found = []
    for sort in b.exprs.shapes.lock_sorts:
        probe = y.Param(b.exprs.fresh("h"), sort)
        found.append(y.Quant("exists", probe.name, sort, _reader(place, probe)))
    return fold.or_(found)


def _would_wait_for_itself(b: Builder, place: Place, ours: y.Expr, holder: y.Param | None, reading: bool) -> y.Expr:
    """Held by this very context, or by what it interrupted on this CPU."""
    cases = [ours]
    if holder is not None and holder.sort == "CPU" and b.runner.interrupt:
        cases.append(_held_by(place, holder))
    is_rw = isinstance(place.type, t.LockType) and place.type.kind == "rwlock"
    if is_rw and holder is not None:
        cases.append(_reader(place, holder))
    return fold.or_(cases)


def _release(place: Place, by: y.Read, holder: y.Param | None, reading: bool) -> list[Operation]:
    if reading and holder is not None:
        return [Assign(f"{place.name}.readers.{holder.sort}", (*place.index, holder), y.FALSE)]
    ops: list[Operation] = [Assign(by.var, by.index, y.Lit(0, by.type))]
    if holder is not None:
        ops.append(Assign(f"{place.name}.{holder.sort}", place.index, y.Null(holder.sort)))
    return ops
