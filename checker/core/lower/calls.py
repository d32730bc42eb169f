"""Procs, inlined where they are called: parameters, results, `return`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from checker.core import fold
from checker.core import system as y
from checker.core.lower import places
from checker.core.lower.flow import Origin, Sections
from checker.core.lower.scope import Bound, Env, Typed
from checker.core.lower.shapes import GenValue, Place, RecordValue, SetValue, Value
from checker.lang import syntax as s
from checker.lang import types as t
from checker.lang.diagnostics import UserError
from checker.lang.exprcheck import RESULT
from checker.lang.names import Model
from checker.lang.primitives import PRIMITIVES
from checker.lang.walk import first_name, nodes

if TYPE_CHECKING:
    from checker.core.lower.statements import Builder

REFS = (t.LockType, t.RefcountType, t.SeqType)
"""What is passed by reference even where the parameter does not say `ref`."""


def inline(
    b: Builder, call: s.CallExpr, env: Env, at: int, st: s.Statement | None = None
) -> tuple[int | None, Typed | None]:
    """The body of a proc in place of its call; the end, and the value it returns."""
    proc = b.typed.model.procs[call.callee.text]
    assert proc.body is not None
    kernel = next((a.args[-1] for a in proc.attributes if a.name == "kernel"), None)
    frame = y.Frame(proc.name.text, kernel, call.span)
    origin = b.origin(st if st is not None else call)
    result_type = b.exprs.resolver.resolve(proc.result) if proc.result is not None else None
    inside, at = _bind(b, proc, call, env, at, frame, origin)
    return body(b, proc.body, proc.sections, inside, at, frame, result_type)


def body(
    b: Builder,
    block: s.Block,
    sections: tuple[str, ...],
    env: Env,
    at: int,
    frame: y.Frame,
    result_type: t.Type | None = None,
) -> tuple[int | None, Typed | None]:
    """The body of a proc or handler, within its frame."""
    with b.framed(frame):
        result = b.local(RESULT, result_type) if result_type is not None else None

        def inner(node: int) -> int | None:
            exit_ = b.flow.node(b.sections(node), block.span, b.proc, settled=False)
            call = b.open_call(exit_, result)
            end = b.block(block, env, node)
            b.close_call()
            if end is not None:
                b.flow.join(exit_, b.sections(end), block.span.last, end)
                b.flow.edge(end, exit_, (), b.origin(block, "return"))
            return exit_ if end is not None or call.exit_used else None

        end = _nested(b, sections, block, at, inner)
        value = (b.exprs.read(result, block.span, env), result.type) if result is not None else None
    return end, value


def _nested(
    b: Builder, sections: tuple[str, ...], block: s.Block, at: int, inner: Callable[[int], int | None]
) -> int | None:
    if not sections:
        return inner(at)
    first, *rest = sections
    return b.section(first, block, at, lambda node: _nested(b, tuple(rest), block, node, inner))


def _bind(
    b: Builder, proc: s.ProcDecl, call: s.CallExpr, env: Env, at: int, frame: y.Frame, origin: Origin
) -> tuple[Env, int]:
    """The environment of a proc's body: parameters that never change stand for their arguments."""
    inside = Env(env.this_cpu, {}, env.irqs_off, env.in_property, this_task=env.this_task)
    assert proc.body is not None
    changed = {first_name(arg) for param, arg in zip(proc.params, call.args, strict=True) if param.ref}
    for param, arg in zip(proc.params, call.args, strict=True):
        type_ = b.exprs.resolver.resolve(param.type)
        name = param.name.text
        if param.ref or isinstance(type_, REFS):
            inside.names[name] = Bound(type_, stable_place(b, arg, env))
            continue
        value = b.exprs.fit(b.exprs.value(arg, env), type_)
        alias = any(isinstance(n, s.NameExpr) and n.name in changed for n in nodes(arg))
        if not alias and stable(b, value) and not assigns(proc.body, name, type_, b.typed.model):
            places.accept(b.exprs, type_, name, value, arg.span)
            checks = b.checks()
            at = b.step(at, checks, origin) if checks else at
            inside.names[name] = Bound(type_, value)
            continue
        with b.framed(frame):
            place = b.local(name, type_)
        at = b.step(at, b.checked(places.store(b.exprs, place, value, arg.span)), origin)
        inside.names[name] = Bound(type_, place)
    return inside, at


def stable_place(b: Builder, arg: s.Expr, env: Env) -> Place:
    """The place of a `ref` argument; its indices must not change while the proc runs."""
    place = b.exprs.place(arg, env)
    b.exprs.take_conditions()  # the body meets them again, where it uses the place
    if not all(stable(b, i) for i in place.index):
        raise UserError.of(
            "LZ303", "a ref argument must not depend on what others can change", arg.span,
            hint="read the index into a local first",
        )  # fmt: skip
    return place


def stable(b: Builder, value: Value) -> bool:
    """Whether a value stays the same while a proc that does not assign to it runs."""
    match value:
        case SetValue(sorts=sorts):
            return stable(b, value.contains(tuple(y.Param("probe", sort) for sort in sorts)))
        case GenValue(number=number, of=of):
            return stable(b, number) and (of is None or stable(b, of))
        case RecordValue(fields=fields):
            return all(stable(b, v) for v in fields.values())
        case _:
            return not any(b.flow.shared(v) for v in fold.variables(value))


def assigns(block: s.Block, name: str, type_: t.Type, model: Model) -> bool:
    """Whether a body assigns to its parameter of that name, or passes it on by reference."""
    is_record = isinstance(type_, t.RecordType)
    for node in nodes(block):
        match node:
            case s.Assign(place=place) if first_name(place) == name:
                if is_record or (not isinstance(place, s.FieldExpr) and not _through_field(place)):
                    return True
            case s.CallExpr(callee=callee, args=args):
                changed = _changed(callee.text, args, model)
                if any(first_name(a) == name and (is_record or not _through_field(a)) for a in changed):
                    return True
            case _:
                pass
    return False


def _through_field(place: s.Expr) -> bool:
    """Whether a place is a field of the object that its first name points to."""
    while isinstance(place, s.IndexExpr):
        place = place.base
    return isinstance(place, s.FieldExpr)


def _changed(callee: str, args: tuple[s.Expr, ...], model: Model) -> tuple[s.Expr, ...]:
    """The arguments that a call may change."""
    if callee in model.procs:
        return tuple(a for p, a in zip(model.procs[callee].params, args, strict=False) if p.ref)
    primitive = PRIMITIVES.get(callee)
    return args[:1] if callee not in model.fns and primitive is not None and primitive.effect else ()


def return_(b: Builder, st: s.Return, env: Env, at: int) -> None:
    """`return`, with the value put where the caller finds it."""
    call = b.innermost_call
    if call is None:
        if b.end is None:
            b.end = b.node(Sections(), st.span)
        b.jump(at, b.end, 0, st)
        return
    call.exit_used = True
    if st.value is not None and call.result is not None:
        at, effect = b.rhs(st.value, env, at)
        value = b.exprs.fit(effect.typed, call.result.type)
        stored = places.store(b.exprs, call.result, value, st.span)
        at = b.finish(at, replace(effect, before=()), b.made(effect, stored), b.origin(st))
    b.jump(at, call.exit, call.depth, st)
