"""What the primitives do: reference counts, atomics, barriers, sections, sequences, objects, tasks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from checker.core import fold
from checker.core import system as y
from checker.core.lower import locks, places
from checker.core.lower.context import INIT, current_name
from checker.core.lower.exprs import ExprLowerer
from checker.core.lower.flow import Assign, Barrier, Check, Guard, Operation, Order, Origin, Sections
from checker.core.lower.scope import Env, Typed
from checker.core.lower.shapes import GenValue, Place, RecordValue, Value
from checker.core.lower.values import plain
from checker.lang import syntax as s
from checker.lang import types as t
from checker.lang.diagnostics import UserError
from checker.lang.primitives import FENCES, PRIMITIVES
from checker.records import dataclass

if TYPE_CHECKING:
    from checker.core.lower.statements import Builder


@dataclass(frozen=True, slots=True)
class Effect:
    """The value of a right side in terms of the state before, and what its evaluation changes."""

    before: tuple[Operation, ...]
    typed: Typed
    rmw: bool = False
    order: Order = "once"
    blocking: bool = False


_NOTHING: Typed = (y.TRUE, t.VOID)


def primitive(b: Builder, call: s.CallExpr, env: Env, at: int) -> Effect:
    """The effect of a primitive; the conditions it needs go to the expressions' collector."""
    name, args = call.callee.text, call.args
    base, order = _base(name)
    match base:
        case "get" | "put" | "get_unless_zero":
            return _refcount(b, base, call, env, order)
        case "WRITE_ONCE" | "smp_store_release":
            place = b.exprs.place(args[0], env)
            value = b.exprs.fit(b.exprs.value(args[1], env), place.type)
            return Effect(tuple(places.store(b.exprs, place, value, call.span)), _NOTHING, order=order)
        case "xchg":
            place = b.exprs.place(args[0], env)
            old = b.exprs.read(place, call.span, env)
            value = b.exprs.fit(b.exprs.value(args[1], env), place.type)
            ops = tuple(places.store(b.exprs, place, value, call.span))
            return Effect(ops, (old, place.type), True, order)
        case "cmpxchg" | "try_cmpxchg":
            return _cmpxchg(b, base, call, env, order)
        case "test_and_set" | "test_and_clear":
            place = b.exprs.place(args[0], env)
            flag = y.Lit(base == "test_and_set", y.BOOL)
            was = plain(b.exprs.read(place, call.span, env))
            return Effect((Assign(place.name, place.index, flag),), (was, t.BOOL), True, order)
        case _ if base.startswith("atomic_"):
            return _atomic(b, base, call, env, order)
        case "push" | "pop" | "clear":
            return _sequence(b, base, call, env)
        case "await_acquire":
            condition = b.exprs.condition(args[0], env)
            return Effect((Guard(condition),), _NOTHING, order="acquire", blocking=True)
        case _ if base in FENCES:
            return Effect((Barrier(base),), _NOTHING)
        case "might_sleep":
            locks.must_sleep(b, at, "might_sleep()", call.span)
            return Effect((), _NOTHING)
        case _ if base in locks.PRIMITIVES:
            return locks.effect(b, base, b.exprs.place(args[0], env), call, at, order)
        case _:
            hint = f"ask it: if {name}(...) {{ }}" if name.endswith("trylock") else "give it a line of its own"
            raise UserError.of("LZ309", f"'{name}' cannot be used like this", call.span, hint=hint)


def _base(name: str) -> tuple[str, Order]:
    """A primitive without its order suffix, and the order."""
    order = PRIMITIVES[name].order
    for suffix in ("_relaxed", "_acquire", "_release"):
        if name.endswith(suffix) and name.removesuffix(suffix) in ("xchg", "cmpxchg", "try_cmpxchg"):
            name = name.removesuffix(suffix)
    return name, order  # type: ignore[return-value]


def _refcount(b: Builder, name: str, call: s.CallExpr, env: Env, order: Order) -> Effect:
    exprs = b.exprs
    place = exprs.place(call.args[0], env)
    assert isinstance(place.type, t.RefcountType)
    bound = place.type.bound
    total = plain(exprs.read(place, call.span, env))
    counter = place.name
    if len(call.args) > 1:
        assert isinstance(call.args[1], s.NameExpr)
        counter = f"{place.name}.{call.args[1].name}"
    held = y.Read(counter, place.index, y.Int(0, bound))
    zero, one = fold.int_lit(0), fold.int_lit(1)
    if name == "put":
        what = f"put of a reference that nobody holds ({counter} is 0)"
        exprs.require(fold.compare("gt", held, zero), y.Fault("refcount", what), call.span)
        last = fold.eq(total, one)
        return Effect((Assign(counter, place.index, fold.sub(held, one)),), (last, t.BOOL), True, order)
    grown = fold.add(held, one)
    full = y.Fault("bound", f"{counter} would leave its range 0..{bound}", bound=True)
    fits = fold.compare("lt", held, fold.int_lit(bound))
    if name == "get":
        what = f"get of a reference on {place.name}, which is already 0"
        if b.runner.name != INIT:  # what begins has its first references from nobody
            exprs.require(fold.compare("gt", total, zero), y.Fault("refcount", what), call.span)
        exprs.require(fits, full, call.span)
        return Effect((Assign(counter, place.index, grown),), _NOTHING, True, order)
    alive = fold.compare("gt", total, zero)
    exprs.require(fold.implies(alive, fits), full, call.span)
    return Effect((Assign(counter, place.index, fold.ite(alive, grown, held)),), (alive, t.BOOL), True, order)


def _cmpxchg(b: Builder, name: str, call: s.CallExpr, env: Env, order: Order) -> Effect:
    place = b.exprs.place(call.args[0], env)
    old = b.exprs.read(place, call.span, env)
    expected = b.exprs.fit(b.exprs.value(call.args[1], env), place.type)
    value = b.exprs.fit(b.exprs.value(call.args[2], env), place.type)
    same = b.exprs.equal(old, expected, call.span, env)
    ops = []
    with b.exprs.under(same):
        for op in places.store(b.exprs, place, value, call.span):
            ops.append(replace(op, where=fold.and_((same, op.where))))
    typed: Typed = (same, t.BOOL) if name == "try_cmpxchg" else (old, place.type)
    return Effect(tuple(ops), typed, True, order)


def _atomic(b: Builder, name: str, call: s.CallExpr, env: Env, order: Order) -> Effect:
    exprs = b.exprs
    place = exprs.place(call.args[0], env)
    current = exprs.read(place, call.span, env)
    if isinstance(current, GenValue):
        if not name.startswith("atomic_inc") or name == "atomic_inc_not_zero":
            raise UserError.of("LZ310", "a gen is only incremented", call.span)
        grown = fold.add(current.number, fold.int_lit(1))
        after: Value = GenValue(grown, current.of)
        return Effect((Assign(place.name, place.index, grown),), (after, place.type), True, order)
    number = plain(current)
    one, zero = fold.int_lit(1), fold.int_lit(0)
    changed = fold.add(number, one) if name.startswith("atomic_inc") else fold.sub(number, one)
    typed: Typed = _NOTHING
    condition: y.Expr = y.TRUE
    match name:
        case "atomic_inc_not_zero":
            condition = fold.ne(number, zero)
            typed = (condition, t.BOOL)
        case "atomic_dec_and_test":
            typed = (fold.eq(number, one), t.BOOL)
        case "atomic_inc_return" | "atomic_dec_return":
            typed = (changed, t.IntType(fold.range_of(changed).lo, fold.range_of(changed).hi))
        case _:
            pass
    with exprs.under(condition):
        (op,) = places.store(exprs, place, changed, call.span)
    return Effect((replace(op, where=condition),), typed, True, order)


# -- sequences


def _sequence(b: Builder, name: str, call: s.CallExpr, env: Env) -> Effect:
    exprs = b.exprs
    place = exprs.place(call.args[0], env)
    assert isinstance(place.type, t.SeqType)
    parts = exprs.seq_parts(place)
    if name == "clear":
        return Effect(tuple(clear_seq(exprs, place)), _NOTHING)
    first = next(iter(parts.values()))
    length = y.Op("len", (first,), y.Int(0, place.type.capacity))
    if name == "push":
        capacity = place.type.capacity
        full = y.Fault("bound", f"{place.name} would hold more than its {capacity} items", bound=True)
        exprs.require(fold.compare("lt", length, fold.int_lit(capacity)), full, call.span)
        value = exprs.fit(exprs.value(call.args[1], env), place.type.element)
        ops = [
            Assign(seq.var, place.index, y.Op("push", (seq, _part(value, field)), seq.type))
            for field, seq in parts.items()
            if isinstance(seq, y.Read)
        ]
        return Effect(tuple(ops), _NOTHING)
    empty = y.Fault("index", f"pop from {place.name}, which is empty")
    exprs.require(fold.compare("gt", length, fold.int_lit(0)), empty, call.span)
    items: dict[str, Value] = {}
    ops = []
    for field, seq in parts.items():
        assert isinstance(seq, y.Read) and isinstance(seq.type, y.Seq)
        items[field] = y.Op("get", (seq, fold.int_lit(0)), seq.type.element)
        ops.append(Assign(seq.var, place.index, y.Op("tail", (seq,), seq.type)))
    value = items[""] if "" in items else RecordValue(items)
    return Effect(tuple(ops), (value, place.type.element))


def _part(value: Value, field: str) -> y.Expr:
    return plain(value.fields[field]) if isinstance(value, RecordValue) else plain(value)


def clear_seq(exprs: ExprLowerer, place: Place) -> list[Assign]:
    """Operations that empty a sequence."""
    return [Assign(place.name + leaf.suffix, place.index, leaf.default) for leaf in exprs.shapes.leaves(place.type)]


# -- sections and locks that open them


def section_call(b: Builder, st: s.CallStmt, env: Env, at: int) -> int | None:
    """`local_irq_disable()` and its like, which change what is disabled and are no steps."""
    name = st.call.callee.text
    before = b.sections(at)
    match name:
        case "local_irq_disable":
            after = replace(before, irqs=max(before.irqs, 1))
        case "local_irq_enable":
            after = replace(before, irqs=0)
        case "local_irq_save":
            after = replace(before, irqs=before.irqs + 1)
        case "local_irq_restore":
            after = replace(before, irqs=max(before.irqs - 1, 0))
        case "preempt_disable":
            after = replace(before, preempt=before.preempt + 1)
        case "preempt_enable":
            after = replace(before, preempt=max(before.preempt - 1, 0))
        case "spin_lock":
            origin = b.origin(st)
            inner = b.shift(at, replace(before, preempt=before.preempt + 1), origin)
            effect = primitive(b, st.call, env, inner)
            return b.finish(inner, effect, b.made(effect, []), origin)
        case "spin_unlock":
            effect = primitive(b, st.call, env, at)
            end = b.finish(at, effect, b.made(effect, []), b.origin(st))
            return b.shift(end, replace(before, preempt=max(before.preempt - 1, 0)), b.origin(st))
        case _:
            return None
    if name.startswith("local_irq") and b.runner.interrupt:
        raise UserError.of("LZ309", "interrupts stay off while a handler runs", st.span)
    return b.shift(at, after, b.origin(st))


def trylock(b: Builder, call: s.CallExpr, env: Env, at: int, origin: Origin) -> tuple[int, int] | None:
    """The nodes where a trylock failed (False) and where it succeeded (True); None for other calls."""
    name = call.callee.text
    if name not in ("spin_trylock", "mutex_trylock") or name in b.typed.model.procs:
        return None
    place = b.exprs.place(call.args[0], env)
    lock = name.removesuffix("_trylock")
    taken = locks.effect(b, f"{lock}_lock", place, call, at, "acquire", trying=True)
    checks = b.checks()
    free = locks.is_free(b, place)
    won = b.step(at, [*checks, *taken.before], origin, branch=True, order="acquire", rmw=True)
    if lock == "spin":
        sections = b.sections(won)
        won = b.shift(won, replace(sections, preempt=sections.preempt + 1), origin)
    lost = b.step(at, [*checks, Guard(fold.not_(free))], origin, branch=False)
    return lost, won


# -- objects and tasks


def free_object(exprs: ExprLowerer, variables: Mapping[str, y.Var], sort: str, element: y.Expr) -> list[Operation]:
    """An object is gone: its fields go back to their first values, generations of its counter are of nobody."""
    ops: list[Operation] = [Assign(f"{sort}.live", (element,), y.FALSE)]
    ops += [
        places.reset(exprs, variables, name, element)
        for name in sorted(variables)
        if name.startswith(f"{sort}.") and name != f"{sort}.live" and variables[name].index[:1] == (sort,)
        and variables[name].storage is not y.Storage.LOCAL
    ]  # fmt: skip
    gone = y.Lit(-1, y.Gen())
    for head in exprs.shapes.heads.values():
        if head.sort != sort:
            continue
        for name in sorted(variables):
            var = variables[name]
            family = variables.get(name + ".of")
            if not isinstance(var.type, y.Gen) or family is None or name == head.var:
                continue
            params = tuple(y.Param(exprs.fresh("e"), index) for index in var.index)
            ours = fold.eq(y.Read(name + ".of", params, family.type), element)
            ops.append(Assign(name, params, gone, params, ours))
            ops.append(Assign(name + ".of", params, y.Null(sort), params, ours))
    return ops


def switch_to(b: Builder, st: s.SwitchTo, task: y.Expr, sort: str, at: int) -> int:
    """This CPU runs `task` from now on; the running task goes on here when something switches back to it."""
    cpu = b.runner.this_cpu
    assert cpu is not None
    b.exprs.not_null(task, st.span, Env(cpu))
    other = y.Param(b.exprs.fresh("c"), "CPU")
    running = fold.eq(y.Read(current_name(sort), (other,), y.Elem(sort, True)), task)
    elsewhere = fold.quantify("exists", other.name, "CPU", fold.and_((fold.ne(other, cpu), running)))
    b.exprs.require(fold.not_(elsewhere), y.Fault("switch", "switch_to a task that another CPU runs"), st.span)
    ops: list[Operation] = [*b.checks()]
    for name in sorted({current_name(x.param.sort.text) for x in b.typed.model.threads.values()
                        if x.kind == "task" and x.param is not None}):  # fmt: skip
        runs = task if name == current_name(sort) else y.Null(name.removeprefix("current."))
        ops.append(Assign(name, (cpu,), runs))
    return b.step(at, ops, b.origin(st), ends=True, step=True)


__all__ = [
    "Check",
    "Effect",
    "Sections",
    "clear_seq",
    "free_object",
    "primitive",
    "section_call",
    "switch_to",
    "trylock",
]
