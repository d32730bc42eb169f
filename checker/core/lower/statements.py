"""Statements to control flow; procs are inlined."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

from checker.core import fold
from checker.core import system as y
from checker.core.lower import calls, control, effects, ipi, places
from checker.core.lower.context import Locals, Runner
from checker.core.lower.effects import Effect
from checker.core.lower.exprs import ExprLowerer
from checker.core.lower.flow import (
    Assign,
    Check,
    Choose,
    Flow,
    Guard,
    Operation,
    Order,
    Origin,
    Sections,
    Together,
    assignments,
)
from checker.core.lower.scope import Bound, Env
from checker.core.lower.shapes import GenValue, Place, SetValue
from checker.core.lower.values import plain
from checker.lang import syntax as s
from checker.lang import types as t
from checker.lang.diagnostics import Diagnostic, UserError
from checker.lang.primitives import PRIMITIVES
from checker.lang.source import SourceFile, Span
from checker.lang.typecheck import TypedModel
from checker.records import dataclass

_CALLED = "what was called"
"""Stands for the result of a call within the expression that compares it."""


@dataclass(slots=True)
class _Loop:
    head: int
    exit: int
    depth: int
    exit_used: bool = False


@dataclass(slots=True)
class _Call:
    """A proc being inlined: where `return` goes, and where its value is put."""

    exit: int
    result: Place | None
    depth: int
    exit_used: bool = False


class Builder:
    """Builds the flow of one thread, statement by statement.

    Every method that lowers takes the node where the statement begins and gives the
    node where it ends, or None where its end is never reached.
    """

    def __init__(
        self,
        typed: TypedModel,
        exprs: ExprLowerer,
        runner: Runner,
        locals_: Locals,
        sources: dict[str, SourceFile],
        *,
        barriers: frozenset[str] = frozenset(),
    ) -> None:
        self.typed = typed
        self.exprs = exprs
        self.runner = runner
        self.flow = Flow(locals_.variables, barriers=barriers)
        self._locals = locals_
        self._sources = sources
        self._frames: tuple[y.Frame, ...] = ()
        self._loops: list[_Loop] = []
        self._calls: list[_Call] = []
        self._open: list[str] = []  # the sections around the statement, outermost first
        self.end: int | None = None  # where a `return` in the thread's own body leads

    # -- nodes and edges

    @property
    def proc(self) -> str:
        """The innermost proc, or an empty string in the thread's own body."""
        return self._frames[-1].proc if self._frames else ""

    def node(self, sections: Sections, span: Span) -> int:
        """A new node in the current proc."""
        return self.flow.node(sections, span, self.proc)

    def sections(self, node: int) -> Sections:
        """What is disabled at a node."""
        return self.flow.nodes[node].sections

    def origin(self, statement: s.Statement | s.Node, label: str | None = None) -> Origin:
        """The origin of a step made by a statement."""
        span = statement.span
        source = self._sources.get(span.file)
        text = label if label is not None else (source.excerpt(span) if source else "")
        kernel = None
        if isinstance(statement, s.Statement):
            kernel = next((a.args[-1] for a in statement.attributes if a.name == "kernel"), None)
        return Origin(span, text.rstrip(";"), self._frames, kernel, str(span))

    def text(self, node: s.Node) -> str:
        """The source text of a node, on one line."""
        source = self._sources.get(node.span.file)
        return source.excerpt(node.span) if source else ""

    def checks(self) -> list[Operation]:
        """The collected conditions, as operations."""
        return [Check(c.holds, c.fault) for c in self.exprs.take_conditions()]

    def step(
        self,
        at: int,
        operations: Iterable[Operation],
        origin: Origin,
        *,
        to: int | None = None,
        blocking: bool = False,
        ends: bool = False,
        branch: bool | None = None,
        order: Order = "once",
        rmw: bool = False,
        step: bool = False,
    ) -> int:
        """An edge from `at` to a new node, or to `to`."""
        target = self.node(self.sections(at), origin.span) if to is None else to
        self.flow.edge(
            at, target, operations, origin,
            blocking=blocking, ends=ends, branch=branch, order=order, rmw=rmw, step=step,
        )  # fmt: skip
        return target

    def shift(self, at: int, sections: Sections, origin: Origin) -> int:
        """A node like `at`, with other sections disabled."""
        if self.sections(at) == sections:
            return at
        target = self.node(sections, origin.span)
        self.flow.edge(at, target, (), origin)
        return target

    def meet(self, ends: list[int | None], span: Span) -> int | None:
        """The node where several ways come together."""
        reached = [end for end in ends if end is not None]
        if not reached:
            return None
        if len(reached) == 1:
            return reached[0]
        target = self.node(self.sections(reached[0]), span)
        for end in reached:
            self.flow.join(target, self.sections(end), span.last, end)
            self.flow.edge(end, target, (), self.origin(s.Skip(span=span), ""))
        return target

    # -- what is around a statement

    @contextmanager
    def framed(self, frame: y.Frame) -> Iterator[None]:
        """Inside, statements are those of an inlined proc."""
        frames, loops = self._frames, self._loops
        self._frames, self._loops = (*frames, frame), []
        yield
        self._frames, self._loops = frames, loops

    def requests(self, handler: str, waited: bool) -> None:
        """Note that some step asks for a handler to run on another CPU."""
        self._locals.requested.add((handler, waited))

    def open_call(self, exit_: int, result: Place | None) -> _Call:
        """From here to `close_call`, `return` leads to `exit_`."""
        self._calls.append(_Call(exit_, result, len(self._open)))
        return self._calls[-1]

    def close_call(self) -> None:
        """The end of an inlined body."""
        self._calls.pop()

    @property
    def innermost_call(self) -> _Call | None:
        """The proc being inlined; None in a thread's own body."""
        return self._calls[-1] if self._calls else None

    def open_loop(self, head: int, exit_: int) -> _Loop:
        """From here to `close_loop`, `continue` leads to `head` and `break` to `exit_`."""
        self._loops.append(_Loop(head, exit_, len(self._open)))
        return self._loops[-1]

    def close_loop(self) -> None:
        """The end of a loop's body."""
        self._loops.pop()

    # -- blocks and statements

    def block(self, block: s.Block, env: Env, at: int) -> int | None:
        """A block in a scope of its own."""
        inside = env.child()
        end: int | None = at
        for statement in block.body:
            if end is None:
                return None  # code after a return or an endless loop is never reached
            inside.irqs_off = self.sections(end).irqs > 0 or self.runner.interrupt
            end = self.statement(statement, inside, end)
        return end

    def statement(self, st: s.Stmt, env: Env, at: int) -> int | None:
        """One statement."""
        match st:
            case s.Let():
                return self._let(st, env, at)
            case s.Assign():
                return self._assign(st, env, at)
            case s.CallStmt():
                return self._call_statement(st, env, at)
            case s.If():
                return control.if_(self, st, env, at)
            case s.While():
                return control.while_(self, st, env, at)
            case s.Either():
                return control.either(self, st, env, at)
            case s.ForEach():
                return control.for_each(self, st, env, at)
            case s.ForAll():
                return control.for_all(self, st, env, at)
            case s.Pick():
                return control.pick(self, st, env, at)
            case s.Await():
                condition = self.exprs.condition(st.condition, env)
                return self.step(at, [*self.checks(), Guard(condition)], self.origin(st), blocking=True)
            case s.Assert():
                condition = self.exprs.condition(st.condition, env)
                what = st.message or self.text(st.condition)
                fault = y.Fault(f"assert: {what}", f"assertion failed: {what}")
                return self.step(at, [*self.checks(), Check(condition, fault)], self.origin(st))
            case s.Break():
                loop = self._loops[-1]
                loop.exit_used = True
                self.jump(at, loop.exit, loop.depth, st)
                return None
            case s.Continue():
                self.jump(at, self._loops[-1].head, self._loops[-1].depth, st)
                return None
            case s.Return():
                calls.return_(self, st, env, at)
                return None
            case s.Skip():
                return at
            case s.Section():
                return self.section(st.kind, st, at, lambda node: self.block(st.body, env, node))
            case s.IpiCall():
                return ipi.call(self, st, env, at)
            case s.IpiSend():
                return ipi.send(self, st, env, at)
            case s.IpiWait():
                return ipi.wait(self, st.handler.text, self.origin(st), at)
            case s.SwitchTo():
                return self._switch_to(st, env, at)
            case s.Free():
                return self._free(st, env, at)

    def jump(self, at: int, target: int, depth: int, st: s.Statement) -> None:
        """An edge to a node outside of all sections but the first `depth`."""
        sections = self.sections(at).without(tuple(self._open[depth:]))
        if sections is None:
            raise self._closed_twice(st, at, tuple(self._open[depth:]))
        at = self.shift(at, sections, self.origin(st))
        began = "the loop" if isinstance(st, s.Break | s.Continue) else "" if self._calls else "the thread"
        self.flow.join(target, sections, st.span, at, began)
        self.flow.edge(at, target, (), self.origin(st))

    def section(self, kind: str, st: s.Node, at: int, body: Callable[[int], int | None]) -> int | None:
        """`irqs off`, `preempt off` or `atomic` around what `body` builds."""
        if kind == "atomic":
            return self._atomic(st, at, body)
        origin = self.origin(st, f"{kind} off")
        self._open.append(kind)
        end = body(self.shift(at, self.sections(at).within((kind,)), origin))
        self._open.pop()
        if end is None:
            return None
        after = self.sections(end).without((kind,))
        if after is None:
            raise self._closed_twice(st, end, (kind,))
        return self.shift(end, after, origin)

    def _closed_twice(self, st: s.Node, at: int, kinds: tuple[str, ...]) -> UserError:
        irqs = self.sections(at).irqs < kinds.count("irqs")
        message = f"this turns {'interrupts' if irqs else 'preemption'} on, but something inside has done so already"
        hint = "what a section turns off is turned on by its end alone"
        return UserError([Diagnostic("LZ312", message, st.span, self.flow.turned_on(at, irqs), hint)])

    def _atomic(self, st: s.Node, at: int, body: Callable[[int], int | None]) -> int | None:
        outermost = not self.flow.in_atomic
        origin = self.origin(st, "atomic")
        if outermost:
            at = self.shift_to_atomic(at, origin)
        self.flow.enter_atomic()
        end = body(at)
        self.flow.leave_atomic()
        if end is None or not outermost:
            return end
        out = self.node(self.sections(end), st.span)
        self.flow.edge(end, out, (), origin)
        return out

    def shift_to_atomic(self, at: int, origin: Origin) -> int:
        """The node at which an atomic block is entered: outside it, so that others may run before."""
        target = self.node(self.sections(at), origin.span)
        self.flow.edge(at, target, (), origin)
        return target

    # -- values that statements compute

    def rhs(self, expr: s.Expr, env: Env, at: int) -> tuple[int, Effect]:
        """The right side of an assignment: a pure value, an effect, or the result of an inlined proc."""
        if isinstance(expr, s.Unary) and expr.op == "!" and self._has_effect(expr.operand):
            at, effect = self.rhs(expr.operand, env, at)
            return at, replace(effect, typed=(fold.not_(self.exprs.truth(*effect.typed)), t.BOOL))
        if isinstance(expr, s.Binary) and self._has_effect(expr):
            at, effect = self.rhs(expr.left, env, at)
            inside = env.child()
            inside.names[_CALLED] = Bound(effect.typed[1], effect.typed[0])
            compared = replace(expr, left=s.NameExpr(_CALLED, span=expr.left.span))
            return at, replace(effect, typed=self.exprs.value(compared, inside))
        if isinstance(expr, s.CallExpr):
            name = expr.callee.text
            if name in self.typed.model.procs:
                end, value = calls.inline(self, expr, env, at)
                if end is None:
                    raise UserError.of("LZ309", f"'{name}' never returns, so it has no value", expr.span)
                assert value is not None
                return end, Effect((), value)
            if name not in self.typed.model.fns and PRIMITIVES[name].effect:
                return at, effects.primitive(self, expr, env, at)
            if name in ("READ_ONCE", "smp_load_acquire") and name not in self.typed.model.fns:
                return at, Effect((), self.exprs.value(expr, env), order=_order(name))
        return at, Effect((), self.exprs.value(expr, env))

    def _has_effect(self, expr: s.Expr) -> bool:
        """Whether a call with effects is the whole expression, negated or compared with something."""
        match expr:
            case s.Unary(op="!", operand=inner) | s.Binary(left=inner):
                return self._has_effect(inner)
            case s.CallExpr(callee=callee):
                name = callee.text
                return name in self.typed.model.procs or (name not in self.typed.model.fns and PRIMITIVES[name].effect)
            case _:
                return False

    def _let(self, st: s.Let, env: Env, at: int) -> int:
        type_ = self.typed.locals[id(st)]
        place = self.local(st.name.text, type_)
        origin = self.origin(st)
        if isinstance(st.value, s.Alloc):
            end = self._alloc(st.value, place, env, at, origin)
        else:
            at, effect = self.rhs(st.value, env, at)
            stored = places.store(self.exprs, place, self.exprs.fit(effect.typed, type_), st.span)
            end = self.finish(at, effect, self.made(effect, stored), origin)
        env.names[st.name.text] = Bound(type_, place)
        return end

    def finish(self, at: int, effect: Effect, ops: list[Operation], origin: Origin, *, blocking: bool = False) -> int:
        """The edge of a statement that makes an effect: checks first, then the operations."""
        return self.step(
            at, [*self.checks(), *ops], origin,
            blocking=blocking or effect.blocking, order=effect.order, rmw=effect.rmw,
        )  # fmt: skip

    def _assign(self, st: s.Assign, env: Env, at: int) -> int:
        origin = self.origin(st)
        if isinstance(st.value, s.Alloc):
            return self._alloc(st.value, self.exprs.place(st.place, env), env, at, origin)
        at, effect = self.rhs(st.value, env, at)
        rmw = effect.rmw or st.op != "="
        stored = self.assignment(st, effect, env)
        return self.finish(at, replace(effect, rmw=rmw), self.made(effect, stored), origin)

    def made(self, effect: Effect, stored: list[Assign]) -> list[Operation]:
        """What an effect changes and where its value is put, all at once: both are told by the state before."""
        others = [op for op in effect.before if not assignments(op)]
        changes = [a for op in effect.before for a in assignments(op)] + stored
        return [*others, Together(tuple(changes))] if changes else others

    def checked(self, operations: Sequence[Operation]) -> list[Operation]:
        """Operations behind the conditions that were collected for them."""
        return [*self.checks(), *operations]

    def assignment(self, st: s.Assign, effect: Effect, env: Env) -> list[Assign]:
        """The operations that put an effect's value into the place of an assignment."""
        if self._seq_place(st.place, env):
            place = self.exprs.place(st.place, env)
            return effects.clear_seq(self.exprs, place)
        place = self.exprs.place(st.place, env)
        if st.op == "=":
            return places.store(self.exprs, place, self.exprs.fit(effect.typed, place.type), st.span)
        value, type_ = effect.typed
        match place.type:
            case t.SetType():
                if isinstance(type_, t.EmptySetType):
                    value = SetValue(place.type.sorts, lambda _: y.FALSE)
                elif isinstance(type_, t.ElemType):
                    self.exprs.not_null(plain(value), st.value.span, env)
                return places.change_set(self.exprs, place, st.op, value)
            case t.GenType():
                current = self.exprs.read(place, st.span, env)
                assert isinstance(current, GenValue)
                return [Assign(place.name, place.index, fold.add(current.number, fold.int_lit(1)))]
            case _:
                current = plain(self.exprs.read(place, st.span, env))
                amount = plain(value)
                changed = fold.add(current, amount) if st.op == "+=" else fold.sub(current, amount)
                return places.store(self.exprs, place, changed, st.span)

    def _seq_place(self, expr: s.Expr, env: Env) -> bool:
        return isinstance(self.exprs.place(expr, env).type, t.SeqType)

    def _alloc(self, alloc: s.Alloc, place: Place, env: Env, at: int, origin: Origin) -> int:
        sort = alloc.sort.text
        param = y.Param(self.exprs.fresh(sort), sort)
        live = y.Read(f"{sort}.live", (param,), y.BOOL)
        ops = [Assign(f"{sort}.live", (param,), y.TRUE)]
        for field in alloc.fields:
            ops += self._first_value(sort, field, param, env)
        ops += places.store(self.exprs, place, param, alloc.span)
        first: list[Operation] = [Choose(param), Guard(fold.not_(live)), *self.checks()]
        return self.step(at, [*first, Together(tuple(ops))], origin, blocking=True)

    def _first_value(self, sort: str, given: s.FieldInit, object_: y.Param, env: Env) -> list[Assign]:
        """A field of a new object gets the value that `alloc` gives it."""
        declared = self.typed.model.field_of(sort, given.name.text)
        assert declared is not None
        type_ = self.exprs.resolver.declared(declared)
        name = f"{sort}.{given.name}"
        if isinstance(type_, t.RefcountType) and given.kind is not None and type_.kinds:
            type_ = t.RefcountType(type_.bound, ())
            name += f".{given.kind}"
        place = Place(type_, name, (object_,), True, declared.storage == "ghost")
        value = self.exprs.fit(self.exprs.value(given.value, env), type_)
        return places.store(self.exprs, place, value, given.value.span)

    def _call_statement(self, st: s.CallStmt, env: Env, at: int) -> int | None:
        name = st.call.callee.text
        model = self.typed.model
        if name in model.procs:
            end, _ = calls.inline(self, st.call, env, at, st)
            return end
        if name in model.fns:
            raise UserError.of("LZ309", f"fn '{name}' alone does nothing", st.span)
        special = effects.section_call(self, st, env, at)
        if special is not None:
            return special
        effect = effects.primitive(self, st.call, env, at)
        return self.finish(at, effect, self.made(effect, []), self.origin(st))

    # -- objects and tasks

    def _free(self, st: s.Free, env: Env, at: int) -> int:
        value, type_ = self.exprs.value(st.object, env)
        element = plain(value)
        assert isinstance(type_, t.ElemType)
        sort = type_.sort
        self.exprs.not_null(element, st.span, env)
        live = y.Read(f"{sort}.live", (element,), y.BOOL)
        self.exprs.require(live, y.Fault("double_free", f"double free of a {sort}"), st.span)
        for static, of in self.typed.model.statics.items():
            if of == sort:
                fault = y.Fault("double_free", f"{static} is static and never freed")
                self.exprs.require(fold.ne(element, y.Static(sort, static)), fault, st.span)
        ops = effects.free_object(self.exprs, self._locals.variables, sort, element)
        return self.step(at, [*self.checks(), *ops], self.origin(st))

    def _switch_to(self, st: s.SwitchTo, env: Env, at: int) -> int:
        value, type_ = self.exprs.value(st.task, env)
        if self.runner.kind is not y.ThreadKind.TASK or not isinstance(type_, t.ElemType):
            raise UserError.of("LZ309", "only a task can switch to another", st.span)
        return effects.switch_to(self, st, plain(value), type_.sort, at)

    # -- locals

    def keep_argument(self, handler: s.InterruptDecl, param: str, bound: Bound, env: Env) -> list[Assign]:
        """Operations that copy an argument of a request into a local of the handler, which `param` then means."""
        place = self.local(f"{handler.name}.{param}", bound.type)
        assert not isinstance(bound.value, Place)
        env.names[param] = Bound(bound.type, place)
        return places.store(self.exprs, place, bound.value, handler.span)

    def local(self, name: str, type_: t.Type) -> Place:
        """The place of a local variable of the current proc; its variables are declared."""
        leaves = tuple(self.exprs.shapes.leaves(type_, optional=True))
        full = self._locals.name(self.runner, self.proc, name, type_, tuple(leaf.suffix for leaf in leaves))
        index = tuple(p.sort for p in self.runner.self)
        for leaf in leaves:
            var = y.Var(full + leaf.suffix, index + leaf.index, leaf.type, leaf.default, y.Storage.LOCAL, leaf.members)
            self._locals.declare(self.runner, var)
        return Place(type_, full, self.runner.self, shared=False)


def _order(primitive: str) -> Order:
    order = PRIMITIVES[primitive].order
    assert order in ("once", "acquire", "release", "full", "relaxed")
    return order  # type: ignore[return-value]
