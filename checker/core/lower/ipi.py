"""Inter-processor interrupts: requests, handlers, waiting.

Each handler has one request slot per pair of CPUs, as a CPU has one call
single data per target.  Queueing the requests of one call is one step: what a
target does can be delayed at will, so nobody can tell that from queueing them
one by one (kernel/smp.c, smp_call_function_many_cond()).
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from checker.core import fold
from checker.core import system as y
from checker.core.lower import calls, places
from checker.core.lower.context import INIT
from checker.core.lower.flow import Assign, Guard, Operation, Origin
from checker.core.lower.scope import Bound, Env
from checker.core.lower.shapes import Place, SetValue, Value
from checker.core.lower.values import plain
from checker.lang import syntax as s
from checker.lang import types as t
from checker.lang.diagnostics import UserError
from checker.lang.source import Span

if TYPE_CHECKING:
    from checker.core.lower.statements import Builder


def request(handler: str, waited: bool) -> str:
    """The variable `[to, from]` that says whether a request is pending."""
    return f"{handler}.{'sync' if waited else 'async'}"


def slot(handler: str, param: str, waited: bool) -> str:
    """The variables `[to, from]` that hold an argument of a pending request."""
    return f"{request(handler, waited)}.{param}"


def call(b: Builder, st: s.IpiCall, env: Env, at: int) -> int | None:
    """on_each_cpu_mask(): queue, run here if this CPU is in the mask, wait for the others."""
    handler = b.typed.model.interrupts[st.handler.text]
    cpu = _cpu(b, "call", st.span)
    origin = b.origin(st)
    if not st.nowait:
        _must_have_irqs_on(b, at, st.span)
    before = b.sections(at)
    at = b.shift(at, before.within(("preempt",)), origin)  # the caller stays on its CPU
    args, at = _arguments(b, handler, st.args, env, at, origin)
    mask, at = _mask(b, handler, st.mask, env, at, origin)
    queue = _queue(b, handler, args, mask, cpu, st.span, waited=True)
    checks = b.checks()
    outstanding: list[Operation] = [Guard(_none_pending(b, handler.name.text, True, mask, cpu))]
    here = mask.contains((cpu,))
    ends: list[int | None] = []
    if here != y.FALSE:
        ran = b.step(at, [*checks, *outstanding, Guard(here), *queue], origin, blocking=True)
        ends.append(_run_here(b, handler, args, st, env, ran))
    if here != y.TRUE:
        ops = [*checks, *outstanding, Guard(fold.not_(here)), *queue]
        ends.append(b.step(at, ops, origin, blocking=True))
    end = b.meet(ends, st.span)
    if end is not None and not st.nowait:
        end = wait(b, st.handler.text, replace(origin, label=f"wait for {st.handler}"), end)
    return b.shift(end, before, origin) if end is not None else None


def send(b: Builder, st: s.IpiSend, env: Env, at: int) -> int:
    """smp_call_function_many() without wait: queue on the other CPUs and go on."""
    handler = b.typed.model.interrupts[st.handler.text]
    cpu = _cpu(b, "send", st.span)
    args, at = _arguments(b, handler, st.args, env, at, b.origin(st))
    mask, at = _mask(b, handler, st.mask, env, at, b.origin(st))
    queue = _queue(b, handler, args, mask, cpu, st.span, waited=False)
    free = Guard(_none_pending(b, handler.name.text, False, mask, cpu))
    return b.step(at, [*b.checks(), free, *queue], b.origin(st), blocking=True, step=True)


def wait(b: Builder, handler: str, origin: Origin, at: int) -> int:
    """Until every waited-for request of this CPU has been handled (csd_lock_wait())."""
    cpu = _cpu(b, "wait", origin.span)
    _must_have_irqs_on(b, at, origin.span)
    everybody = SetValue(("CPU",), lambda _: y.TRUE)
    done = _none_pending(b, handler, True, everybody, cpu)
    return b.step(at, [*b.checks(), Guard(done)], origin, blocking=True)


def _cpu(b: Builder, what: str, span: Span) -> y.Expr:
    """The CPU that calls, sends or waits; an error where none does."""
    if b.runner.this_cpu is not None:
        return b.runner.this_cpu
    if b.runner.name == INIT:
        message, hint = f"'{what}' needs a CPU, and init runs before all of them", "begin a thread with it"
    else:
        message, hint = f"'{what}' needs a CPU, and this thread runs on none", f"thread {b.runner.name} on CPU"
    raise UserError.of("LZ311", message, span, hint=hint)


def _mask(
    b: Builder, handler: s.InterruptDecl, expr: s.Expr, env: Env, at: int, origin: Origin
) -> tuple[SetValue, int]:
    """The CPUs that are asked; where accesses are told apart, the mask is read before the requests are published."""
    type_ = t.SetType(("CPU",))
    value = b.exprs.fit(b.exprs.value(expr, env), type_)
    if b.flow.ordered and not calls.stable(b, value):
        place = b.local(f"{handler.name}.mask", type_)
        read = replace(origin, label=f"mask = {b.text(expr)}")
        at = b.step(at, b.checked(places.store(b.exprs, place, value, expr.span)), read)
        value = b.exprs.read(place, expr.span, env)
    assert isinstance(value, SetValue)
    return value, at


def _must_have_irqs_on(b: Builder, at: int, span: Span) -> None:
    if b.sections(at).irqs or b.runner.interrupt:
        what = "waits for other CPUs with interrupts off"
        b.exprs.require(y.FALSE, y.Fault("ipi_irqs_off", what), span)


def _none_pending(b: Builder, handler: str, waited: bool, mask: SetValue, cpu: y.Expr) -> y.Expr:
    to = y.Param(b.exprs.fresh("c"), "CPU")
    pending = y.Read(request(handler, waited), (to, cpu), y.BOOL)
    body = fold.implies(fold.and_((mask.contains((to,)), fold.ne(to, cpu))), fold.not_(pending))
    return fold.quantify("forall", to.name, "CPU", body)


def _arguments(
    b: Builder, handler: s.InterruptDecl, args: tuple[s.Expr, ...], env: Env, at: int, origin: Origin
) -> tuple[list[Bound], int]:
    """The arguments' values; one that others could change meanwhile is first read into a local."""
    values = []
    for param, arg in zip(handler.params, args, strict=True):
        type_ = b.exprs.resolver.resolve(param.type)
        value = b.exprs.fit(b.exprs.value(arg, env), type_)
        if not calls.stable(b, value):
            place = b.local(f"{handler.name}.{param.name}", type_)
            at = b.step(at, b.checked(places.store(b.exprs, place, value, arg.span)), origin)
            value = b.exprs.read(place, arg.span, env)
        values.append(Bound(type_, value))
    return values, at


def _queue(
    b: Builder, handler: s.InterruptDecl, args: list[Bound], mask: SetValue, cpu: y.Expr, span: Span, *, waited: bool
) -> list[Operation]:
    """A request on every other CPU of the mask."""
    b.requests(handler.name.text, waited)
    to = y.Param(b.exprs.fresh("c"), "CPU")
    where = fold.and_((mask.contains((to,)), fold.ne(to, cpu)))
    ops: list[Operation] = [Assign(request(handler.name.text, waited), (to, cpu), y.TRUE, (to,), where)]
    for param, arg in zip(handler.params, args, strict=True):
        place = Place(arg.type, slot(handler.name.text, param.name.text, waited), (to, cpu), shared=False)
        assert not isinstance(arg.value, Place)
        for op in places.store(b.exprs, place, arg.value, span):
            ops.append(replace(op, binders=(to, *op.binders), where=fold.and_((where, op.where))))
    return ops


def _run_here(b: Builder, handler: s.InterruptDecl, args: list[Bound], st: s.IpiCall, env: Env, at: int) -> int | None:
    """The handler on the calling CPU, with interrupts off."""
    frame = y.Frame(handler.name.text, kernel_of(handler), st.span)
    inside = Env(env.this_cpu, this_task=env.this_task)
    for param, arg in zip(handler.params, args, strict=True):
        inside.names[param.name.text] = arg
        if calls.assigns(handler.body, param.name.text, arg.type, b.typed.model):
            with b.framed(frame):
                at = b.step(at, b.keep_argument(handler, param.name.text, arg, inside), b.origin(st))
    end, _ = calls.body(b, handler.body, ("irqs",), inside, at, frame)
    return end


def handler_params(b: Builder, handler: s.InterruptDecl, waited: bool, cpu: y.Expr, source: Value) -> dict[str, Bound]:
    """What the parameters of a handler stand for: the arguments in the request slot."""
    names = {}
    for param in handler.params:
        type_ = b.exprs.resolver.resolve(param.type)
        place = Place(type_, slot(handler.name.text, param.name.text, waited), (cpu, plain(source)), shared=False)
        names[param.name.text] = Bound(type_, b.exprs.read(place, param.span, Env(cpu)))
    return names


def finish(b: Builder, handler: s.InterruptDecl, waited: bool, cpu: y.Expr, source: y.Expr) -> list[Operation]:
    """A request has been handled (csd_unlock()): the slot is free again."""
    ops: list[Operation] = [Assign(request(handler.name.text, waited), (cpu, source), y.FALSE)]
    for param in handler.params:
        type_ = b.exprs.resolver.resolve(param.type)
        for leaf in b.exprs.shapes.leaves(type_, optional=True):
            name = slot(handler.name.text, param.name.text, waited) + leaf.suffix
            params = tuple(y.Param(b.exprs.fresh("e"), sort) for sort in leaf.index)
            ops.append(Assign(name, (cpu, source, *params), leaf.default, params))
    return ops


def kernel_of(handler: s.InterruptDecl) -> str | None:
    """The kernel function that a handler models."""
    return next((a.args[-1] for a in handler.attributes if a.name == "kernel"), None)
