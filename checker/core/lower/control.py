"""Statements that decide what comes next: branches, loops, choices, and changes of many places at once."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from checker.core import fold
from checker.core import system as y
from checker.core.lower import effects, places
from checker.core.lower.effects import Effect
from checker.core.lower.flow import Assign, Check, Choose, Guard, Operation, Origin, Together
from checker.core.lower.scope import Bound, Env
from checker.core.lower.shapes import Condition, SetValue
from checker.lang import syntax as s
from checker.lang import types as t
from checker.lang.diagnostics import UserError

if TYPE_CHECKING:
    from checker.core.lower.statements import Builder


def if_(b: Builder, st: s.If, env: Env, at: int) -> int | None:
    """`if` with or without `else`."""
    origin = b.origin(st, f"if {b.text(st.condition)}")
    ways = branch(b, st.condition, env, at, origin)
    ends: list[int | None] = []
    for truth, body in ((True, st.then), (False, st.otherwise)):
        start = ways[truth]
        if start is not None:
            ends.append(b.block(body, env, start) if body is not None else start)
    return b.meet(ends, st.span)


def branch(b: Builder, condition: s.Expr, env: Env, at: int, origin: Origin) -> dict[bool, int | None]:
    """The nodes where a condition is true and where it is false; None where it never is."""
    negated = isinstance(condition, s.Unary) and condition.op == "!"
    inner = condition.operand if isinstance(condition, s.Unary) and negated else condition
    if isinstance(inner, s.CallExpr) and inner.callee.text not in b.typed.model.fns:
        trylock = effects.trylock(b, inner, env, at, origin)
        if trylock is not None:
            return {True: trylock[not negated], False: trylock[negated]}
    at, effect = b.rhs(inner, env, at)
    value, type_ = effect.typed
    truth = b.exprs.truth(value, type_)
    truth = fold.not_(truth) if negated else truth
    checks = b.checks()
    ways: dict[bool, int | None] = {}
    for way, guard in ((True, truth), (False, fold.not_(truth))):
        if guard == y.FALSE:
            ways[way] = None
            continue
        ops: list[Operation] = [*checks, Guard(guard), *b.made(effect, [])]
        # a constant condition is no branch: nothing is decided at run time
        decided = None if truth in (y.TRUE, y.FALSE) else way
        ways[way] = b.step(at, ops, origin, branch=decided, order=effect.order, rmw=effect.rmw)
    return ways


def while_(b: Builder, st: s.While, env: Env, at: int) -> int | None:
    """`while` and `loop`."""
    head = b.node(b.sections(at), st.span)
    b.flow.edge(at, head, (), b.origin(st, "loop"))
    exit_ = b.node(b.sections(at), st.span)
    loop = b.open_loop(head, exit_)
    start: int | None = head
    if st.condition is not None:
        origin = b.origin(st, f"while {b.text(st.condition)}")
        ways = branch(b, st.condition, env, head, origin)
        start = ways[True]
        out = ways[False]
        if out is not None:
            loop.exit_used = True
            connect(b, out, exit_, st)
    if start is not None:
        end = b.block(st.body, env, start)
        if end is not None:
            connect(b, end, head, st)
    b.close_loop()
    return exit_ if loop.exit_used else None


def connect(b: Builder, end: int, target: int, st: s.Statement) -> None:
    """A jump to a node that has what is disabled at it fixed already."""
    b.flow.join(target, b.sections(end), st.span.last, end, "the loop")
    b.flow.edge(end, target, (), b.origin(st, "loop"))


def either(b: Builder, st: s.Either, env: Env, at: int) -> int | None:
    """`either { } or { }`: any branch that can begin."""
    choice = b.node(b.sections(at), st.span)
    b.flow.edge(at, choice, (), b.origin(st, "either"))
    b.flow.nodes[choice].choice = True
    ends: list[int | None] = []
    for way in st.branches:
        start = b.node(b.sections(at), way.span)
        b.flow.edge(choice, start, (), b.origin(way, "either"))
        ends.append(b.block(way, env, start))
    return b.meet(ends, st.span)


def for_each(b: Builder, st: s.ForEach, env: Env, at: int) -> int | None:
    """`for c : CPU where P { }`: the elements are those that satisfy P at the beginning, in any order."""
    sort = st.binder.sort.text
    todo = b.local(f"{st.binder.name}.todo", t.SetType((sort,)))
    element = b.local(st.binder.name.text, t.ElemType(sort))
    where = s.Comprehension((st.binder,), st.where, span=st.span)
    origin = b.origin(st, f"for {st.binder.name} : {sort}")
    value, _ = b.exprs.value(where, env)
    at = b.step(at, b.checked(places.store(b.exprs, todo, value, st.span)), origin)
    head = b.node(b.sections(at), st.span)
    b.flow.edge(at, head, (), origin)
    b.flow.nodes[head].choice = True
    exit_ = b.node(b.sections(at), st.span)
    left = b.exprs.read(todo, st.span, env)
    assert isinstance(left, SetValue)
    probe = y.Param(b.exprs.fresh("e"), sort)
    some = fold.quantify("exists", probe.name, sort, left.contains((probe,)))
    b.flow.edge(head, exit_, [Guard(fold.not_(some))], origin, branch=False)
    param = y.Param(b.exprs.fresh(st.binder.name.text), sort)
    taken: list[Operation] = [
        Choose(param),
        Guard(left.contains((param,))),
        Assign(todo.name, (*todo.index, param), y.FALSE),
        *places.store(b.exprs, element, param, st.span),
    ]
    start = b.step(head, taken, origin, branch=True)
    inside = env.child()
    inside.names[st.binder.name.text] = Bound(t.ElemType(sort), element)
    b.open_loop(head, exit_)
    end = b.block(st.body, inside, start)
    if end is not None:
        connect(b, end, head, st)
    b.close_loop()
    return exit_


def for_all(b: Builder, st: s.ForAll, env: Env, at: int) -> int:
    """`forall c : CPU { x[c] = e; }`: all elements at once, one assignment after the other."""
    params, inside = b.exprs.bind(st.binders, env)
    where: y.Expr = y.TRUE
    needed: list[Condition] = []
    if st.where is not None:
        where = b.exprs.condition(st.where, inside)
        needed = b.exprs.take_conditions()
    ops: list[Operation] = []
    for inner in st.body.body:
        assert isinstance(inner, s.Assign)
        changes = b.assignment(inner, Effect((), b.exprs.value(inner.value, inside)), inside)
        for assign in changes:
            _must_be_definite(assign, params, inner)
        ops.append(Together(tuple(
            replace(a, binders=params + a.binders, where=fold.and_((where, a.where))) for a in changes
        )))  # fmt: skip
        needed += [replace(c, holds=fold.implies(where, c.holds)) for c in b.exprs.take_conditions()]
    checks: list[Operation] = []
    for condition in needed:
        holds = condition.holds
        for param in reversed(params):
            holds = fold.quantify("forall", param.name, param.sort, holds)
        checks.append(Check(holds, condition.fault))
    return b.step(at, [*checks, *ops], b.origin(st, b.text(st)))


def _must_be_definite(assign: Assign, params: tuple[y.Param, ...], st: s.Assign) -> None:
    """Complain where two elements would give one place two values."""
    missing = {p.name for p in params if p not in assign.index}
    again = fold.variables(assign.value) & {assign.var} and st.op != "="
    if missing & fold.free_params(assign.value) or (missing and again):
        raise UserError.of(
            "LZ309", "this gives one place several values at once", st.span,
            hint="in a forall, what is assigned must be indexed by all that is bound",
        )  # fmt: skip


def pick(b: Builder, st: s.Pick, env: Env, at: int) -> int:
    """`pick x : S where P;`: any element for which P holds; waits while there is none."""
    sort = st.binder.sort.text
    (param,), inside = b.exprs.bind((st.binder,), env)
    where = b.exprs.condition(st.where, inside) if st.where is not None else y.TRUE
    place = b.local(st.binder.name.text, t.ElemType(sort))
    ops: list[Operation] = [Choose(param), *b.checks(), Guard(where)]
    ops += places.store(b.exprs, place, param, st.span)
    choice = b.node(b.sections(at), st.span)
    b.flow.edge(at, choice, (), b.origin(st))
    b.flow.nodes[choice].choice = True
    end = b.step(choice, ops, b.origin(st), blocking=True)
    env.names[st.binder.name.text] = Bound(t.ElemType(sort), place)
    return end
