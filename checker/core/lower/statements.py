"""Statements to control flow; procs are inlined."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from checker.core import fold
from checker.core import system as y
from checker.core.lower import effects, ipi, places
from checker.core.lower.context import Locals, Runner
from checker.core.lower.effects import Effect
from checker.core.lower.exprs import Bound, Env, ExprLowerer, Typed, plain
from checker.core.lower.flow import Assign, Check, Choose, Flow, Guard, Operation, Order, Origin, Sections
from checker.core.lower.shapes import GenValue, Place, RecordValue, SetValue, Value
from checker.lang import syntax as s
from checker.lang import types as t
from checker.lang.diagnostics import UserError
from checker.lang.primitives import PRIMITIVES
from checker.lang.source import SourceFile, Span
from checker.lang.typecheck import TypedModel


@dataclass(slots=True)
class _Loop:
    head: int
    exit: int
    exit_used: bool = False


@dataclass(slots=True)
class _Call:
    """A proc being inlined: where `return` goes, and where its value is put."""

    exit: int
    result: Place | None
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
    ) -> None:
        self.typed = typed
        self.exprs = exprs
        self.runner = runner
        self.flow = Flow(locals_.variables)
        self._locals = locals_
        self._sources = sources
        self._frames: tuple[y.Frame, ...] = ()
        self._loops: list[_Loop] = []
        self._calls: list[_Call] = []
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
            self.flow.join(target, self.sections(end), span)
            self.flow.edge(end, target, (), self.origin(s.Skip(span=span), ""))
        return target

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
                return self._if(st, env, at)
            case s.While():
                return self._while(st, env, at)
            case s.Either():
                return self._either(st, env, at)
            case s.ForEach():
                return self._for_each(st, env, at)
            case s.ForAll():
                return self._for_all(st, env, at)
            case s.Pick():
                return self._pick(st, env, at)
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
                return self._jump(at, loop.exit, st)
            case s.Continue():
                return self._jump(at, self._loops[-1].head, st)
            case s.Return():
                return self._return(st, env, at)
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

    def _jump(self, at: int, target: int, st: s.Statement) -> None:
        self.flow.join(target, self.sections(at), st.span)
        self.flow.edge(at, target, (), self.origin(st))

    def section(self, kind: str, st: s.Node, at: int, body: object) -> int | None:
        """`irqs off`, `preempt off` or `atomic` around what `body` builds."""
        assert callable(body)
        origin = self.origin(st, f"{kind} off" if kind != "atomic" else kind)
        if kind == "atomic":
            outermost = not self.flow.in_atomic
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
        inner = self.sections(at)
        inner = replace(inner, irqs=inner.irqs + 1) if kind == "irqs" else replace(inner, preempt=inner.preempt + 1)
        end = body(self.shift(at, inner, origin))
        if end is None:
            return None
        after = self.sections(end)
        after = replace(after, irqs=after.irqs - 1) if kind == "irqs" else replace(after, preempt=after.preempt - 1)
        if min(after.irqs, after.preempt) < 0:
            message = f"the section ends with {kind} already enabled"
            raise UserError.of("LZ312", message, st.span, hint="something inside enables it once too often")
        return self.shift(end, after, origin)

    def shift_to_atomic(self, at: int, origin: Origin) -> int:
        """The node at which an atomic block is entered: outside it, so that others may run before."""
        target = self.node(self.sections(at), origin.span)
        self.flow.edge(at, target, (), origin)
        return target

    # -- values that statements compute

    def rhs(self, expr: s.Expr, env: Env, at: int) -> tuple[int, Effect]:
        """The right side of an assignment: a pure value, an effect, or the result of an inlined proc."""
        if isinstance(expr, s.CallExpr):
            name = expr.callee.text
            if name in self.typed.model.procs:
                end, value = self.inline(expr, env, at)
                if end is None:
                    raise UserError.of("LZ309", f"'{name}' never returns, so it has no value", expr.span)
                assert value is not None
                return end, Effect((), value)
            if name not in self.typed.model.fns and PRIMITIVES[name].effect:
                return at, effects.primitive(self, expr, env, at)
            if name in ("READ_ONCE", "smp_load_acquire") and name not in self.typed.model.fns:
                return at, Effect((), self.exprs.value(expr, env), order=_order(name))
        return at, Effect((), self.exprs.value(expr, env))

    def _let(self, st: s.Let, env: Env, at: int) -> int:
        type_ = self.typed.locals[id(st)]
        if isinstance(type_, t.ElemType):
            type_ = t.ElemType(type_.sort, type_.optional)
        place = self.local(st.name.text, type_)
        origin = self.origin(st)
        if isinstance(st.value, s.Alloc):
            end = self._alloc(st.value, place, env, at, origin)
        else:
            at, effect = self.rhs(st.value, env, at)
            ops = [*effect.before, *places.store(self.exprs, place, self.exprs.fit(effect.typed, type_), st.span)]
            end = self.finish(at, effect, ops, origin)
        env.names[st.name.text] = Bound(type_, place)
        return end

    def finish(
        self, at: int, effect: Effect, ops: list[Operation], origin: Origin, *, blocking: bool = False
    ) -> int:
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
        ops = self._assignment(st, effect, env)
        return self.finish(at, replace(effect, rmw=rmw), [*effect.before, *ops], origin)

    def _assignment(self, st: s.Assign, effect: Effect, env: Env) -> list[Operation]:
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
        ops: list[Operation] = []
        for name, value in alloc.fields:
            declared = self.typed.model.field_of(sort, name.text)
            assert declared is not None
            type_ = self.exprs.resolver.resolve(declared.type)
            field = Place(type_, f"{sort}.{name.text}", (param,), True, declared.storage == "ghost")
            if isinstance(type_, t.RefcountType) and type_.kinds:
                hint = "give the first reference with get"
                raise UserError.of("LZ303", "a refcount with kinds starts at 0", name.span, hint=hint)
            ops += places.store(self.exprs, field, self.exprs.fit(self.exprs.value(value, env), type_), value.span)
        ops += places.store(self.exprs, place, param, alloc.span)
        first: list[Operation] = [Choose(param), Guard(fold.not_(live)), *self.checks()]
        born = Assign(f"{sort}.live", (param,), y.TRUE)
        return self.step(at, [*first, born, *ops], origin, blocking=True)

    # -- control flow

    def _if(self, st: s.If, env: Env, at: int) -> int | None:
        origin = self.origin(st, f"if {self.text(st.condition)}")
        ways = self.branch(st.condition, env, at, origin)
        ends: list[int | None] = []
        for truth, body in ((True, st.then), (False, st.otherwise)):
            start = ways[truth]
            if start is not None:
                ends.append(self.block(body, env, start) if body is not None else start)
        return self.meet(ends, st.span)

    def branch(self, condition: s.Expr, env: Env, at: int, origin: Origin) -> dict[bool, int | None]:
        """The nodes where a condition is true and where it is false; None where it never is."""
        negated = isinstance(condition, s.Unary) and condition.op == "!"
        inner = condition.operand if isinstance(condition, s.Unary) and negated else condition
        if isinstance(inner, s.CallExpr) and inner.callee.text not in self.typed.model.fns:
            trylock = effects.trylock(self, inner, env, at, origin)
            if trylock is not None:
                return {True: trylock[negated], False: trylock[not negated]}
        at, effect = self.rhs(inner, env, at)
        value, type_ = effect.typed
        truth = self.exprs.truth(value, type_)
        truth = fold.not_(truth) if negated else truth
        checks = self.checks()
        ways: dict[bool, int | None] = {}
        for way, guard in ((True, truth), (False, fold.not_(truth))):
            if guard == y.FALSE:
                ways[way] = None
                continue
            ops: list[Operation] = [*checks, Guard(guard), *effect.before]
            # a constant condition is no branch: nothing is decided at run time
            decided = None if truth in (y.TRUE, y.FALSE) else way
            ways[way] = self.step(at, ops, origin, branch=decided, order=effect.order, rmw=effect.rmw)
        return ways

    def _while(self, st: s.While, env: Env, at: int) -> int | None:
        head = self.node(self.sections(at), st.span)
        self.flow.edge(at, head, (), self.origin(st, "loop"))
        exit_ = self.node(self.sections(at), st.span)
        loop = _Loop(head, exit_)
        start: int | None = head
        if st.condition is not None:
            origin = self.origin(st, f"while {self.text(st.condition)}")
            ways = self.branch(st.condition, env, head, origin)
            start = ways[True]
            out = ways[False]
            if out is not None:
                loop.exit_used = True
                self._connect(out, exit_, st)
        self._loops.append(loop)
        if start is not None:
            end = self.block(st.body, env, start)
            if end is not None:
                self._connect(end, head, st)
        self._loops.pop()
        return exit_ if loop.exit_used else None

    def _connect(self, end: int, target: int, st: s.Statement) -> None:
        self.flow.join(target, self.sections(end), st.span)
        self.flow.edge(end, target, (), self.origin(st, "loop"))

    def _either(self, st: s.Either, env: Env, at: int) -> int | None:
        choice = self.node(self.sections(at), st.span)
        self.flow.edge(at, choice, (), self.origin(st, "either"))
        self.flow.nodes[choice].choice = True
        ends: list[int | None] = []
        for branch in st.branches:
            start = self.node(self.sections(at), branch.span)
            self.flow.edge(choice, start, (), self.origin(branch, "either"))
            ends.append(self.block(branch, env, start))
        return self.meet(ends, st.span)

    def _for_each(self, st: s.ForEach, env: Env, at: int) -> int | None:
        sort = st.binder.sort.text
        todo = self.local(f"{st.binder.name}.todo", t.SetType((sort,)))
        element = self.local(st.binder.name.text, t.ElemType(sort))
        where = s.Comprehension((st.binder,), st.where, span=st.span)
        origin = self.origin(st, f"for {st.binder.name} : {sort}")
        value, _ = self.exprs.value(where, env)
        at = self.step(at, [*self.checks(), *places.store(self.exprs, todo, value, st.span)], origin)
        head = self.node(self.sections(at), st.span)
        self.flow.edge(at, head, (), origin)
        self.flow.nodes[head].choice = True
        exit_ = self.node(self.sections(at), st.span)
        left = self.exprs.read(todo, st.span, env)
        assert isinstance(left, SetValue)
        probe = y.Param(self.exprs.fresh("e"), sort)
        some = fold.quantify("exists", probe.name, sort, left.contains((probe,)))
        self.flow.edge(head, exit_, [Guard(fold.not_(some))], origin, branch=False)
        param = y.Param(self.exprs.fresh(st.binder.name.text), sort)
        taken: list[Operation] = [
            Choose(param),
            Guard(left.contains((param,))),
            Assign(todo.name, (*todo.index, param), y.FALSE),
            *places.store(self.exprs, element, param, st.span),
        ]
        start = self.step(head, taken, origin, branch=True)
        inside = env.child()
        inside.names[st.binder.name.text] = Bound(t.ElemType(sort), element)
        self._loops.append(_Loop(head, exit_))
        end = self.block(st.body, inside, start)
        if end is not None:
            self._connect(end, head, st)
        self._loops.pop()
        return exit_

    def _for_all(self, st: s.ForAll, env: Env, at: int) -> int:
        params, inside = self.exprs.bind(st.binders, env)
        where, needed = y.TRUE, []
        if st.where is not None:
            where = self.exprs.condition(st.where, inside)
            needed = self.exprs.take_conditions()
        ops: list[Operation] = []
        for inner in st.body.body:
            assert isinstance(inner, s.Assign)
            made = self._assignment(inner, Effect((), self.exprs.value(inner.value, inside)), inside)
            for op in made:
                assert isinstance(op, Assign)
                ops.append(replace(op, binders=params + op.binders, where=fold.and_((where, op.where))))
            needed += [replace(c, holds=fold.implies(where, c.holds)) for c in self.exprs.take_conditions()]
        checks: list[Operation] = []
        for condition in needed:
            holds = condition.holds
            for param in reversed(params):
                holds = fold.quantify("forall", param.name, param.sort, holds)
            checks.append(Check(holds, condition.fault))
        return self.step(at, [*checks, *ops], self.origin(st, self.text(st)))

    def _pick(self, st: s.Pick, env: Env, at: int) -> int:
        sort = st.binder.sort.text
        (param,), inside = self.exprs.bind((st.binder,), env)
        where = self.exprs.condition(st.where, inside) if st.where is not None else y.TRUE
        place = self.local(st.binder.name.text, t.ElemType(sort))
        ops: list[Operation] = [Choose(param), *self.checks(), Guard(where)]
        ops += places.store(self.exprs, place, param, st.span)
        choice = self.node(self.sections(at), st.span)
        self.flow.edge(at, choice, (), self.origin(st))
        self.flow.nodes[choice].choice = True
        end = self.step(choice, ops, self.origin(st), blocking=True)
        env.names[st.binder.name.text] = Bound(t.ElemType(sort), place)
        return end

    # -- procs

    def _call_statement(self, st: s.CallStmt, env: Env, at: int) -> int | None:
        name = st.call.callee.text
        model = self.typed.model
        if name in model.procs:
            end, _ = self.inline(st.call, env, at, st)
            return end
        if name in model.fns:
            raise UserError.of("LZ309", f"fn '{name}' alone does nothing", st.span)
        special = effects.section_call(self, st, env, at)
        if special is not None:
            return special
        effect = effects.primitive(self, st.call, env, at)
        return self.finish(at, effect, list(effect.before), self.origin(st))

    def inline(
        self, call: s.CallExpr, env: Env, at: int, st: s.Statement | None = None
    ) -> tuple[int | None, Typed | None]:
        """The body of a proc in place of its call; the end, and the value it returns."""
        proc = self.typed.model.procs[call.callee.text]
        assert proc.body is not None
        kernel = next((a.args[-1] for a in proc.attributes if a.name == "kernel"), None)
        frame = y.Frame(proc.name.text, kernel, call.span)
        origin = self.origin(st if st is not None else call)
        result_type = self.exprs.resolver.resolve(proc.result) if proc.result is not None else None
        inside, at = self._bind(proc, call, env, at, frame, origin)
        return self.body(proc.body, proc.sections, inside, at, frame, result_type)

    def body(
        self,
        body: s.Block,
        sections: tuple[str, ...],
        env: Env,
        at: int,
        frame: y.Frame,
        result_type: t.Type | None = None,
    ) -> tuple[int | None, Typed | None]:
        """The body of a proc or handler, within its frame."""
        frames, loops = self._frames, self._loops
        self._frames, self._loops = (*frames, frame), []
        result = self.local("return", result_type) if result_type is not None else None

        def inner(node: int) -> int | None:
            exit_ = self.node(self.sections(node), body.span)
            call = _Call(exit_, result)
            self._calls.append(call)
            end = self.block(body, env, node)
            self._calls.pop()
            if end is not None:
                self.flow.join(exit_, self.sections(end), body.span)
                self.flow.edge(end, exit_, (), self.origin(body, "return"))
            return exit_ if end is not None or call.exit_used else None

        end = self._nested(sections, body, at, inner)
        value = (self.exprs.read(result, body.span, env), result.type) if result is not None else None
        self._frames, self._loops = frames, loops
        return end, value

    def _nested(self, sections: tuple[str, ...], body: s.Block, at: int, inner: object) -> int | None:
        assert callable(inner)
        if not sections:
            end: int | None = inner(at)
            return end
        first, *rest = sections
        return self.section(first, body, at, lambda node: self._nested(tuple(rest), body, node, inner))

    def _bind(
        self, proc: s.ProcDecl, call: s.CallExpr, env: Env, at: int, frame: y.Frame, origin: Origin
    ) -> tuple[Env, int]:
        """The environment of a proc's body: parameters that never change stand for their arguments."""
        inside = Env(env.this_cpu, {}, env.irqs_off, env.in_property)
        assert proc.body is not None
        for param, arg in zip(proc.params, call.args, strict=True):
            type_ = self.exprs.resolver.resolve(param.type)
            if param.ref or isinstance(type_, t.LockType | t.RefcountType | t.SeqType):
                inside.names[param.name.text] = Bound(type_, self.stable_place(arg, env))
                continue
            value = self.exprs.fit(self.exprs.value(arg, env), type_)
            if self.stable(value) and not assigns(proc.body, param.name.text):
                inside.names[param.name.text] = Bound(type_, value)
                continue
            frames = self._frames
            self._frames = (*frames, frame)
            place = self.local(param.name.text, type_)
            self._frames = frames
            at = self.step(at, [*self.checks(), *places.store(self.exprs, place, value, arg.span)], origin)
            inside.names[param.name.text] = Bound(type_, place)
        self.exprs.take_conditions()
        return inside, at

    def stable_place(self, arg: s.Expr, env: Env) -> Place:
        """The place of a `ref` argument; its indices must not change while the proc runs."""
        place = self.exprs.place(arg, env)
        self.exprs.take_conditions()  # the body meets them again, where it uses the place
        if not all(self.stable(i) for i in place.index):
            raise UserError.of(
                "LZ303", "a ref argument must not depend on what others can change", arg.span,
                hint="read the index into a local first",
            )  # fmt: skip
        return place

    def stable(self, value: Value) -> bool:
        """Whether a value stays the same while a proc that does not assign to it runs."""
        match value:
            case SetValue(sorts=sorts):
                probe = value.contains(tuple(y.Param("probe", sort) for sort in sorts))
                return self.stable(probe)
            case GenValue(number=number, of=of):
                return self.stable(number) and (of is None or self.stable(of))
            case RecordValue(fields=fields):
                return all(self.stable(v) for v in fields.values())
            case _:
                return not any(self.flow.shared(v) for v in fold.variables(value))

    def _return(self, st: s.Return, env: Env, at: int) -> None:
        if not self._calls:
            if self.end is None:
                self.end = self.node(Sections(), st.span)
            return self._jump(at, self.end, st)
        call = self._calls[-1]
        call.exit_used = True
        if st.value is not None and call.result is not None:
            at, effect = self.rhs(st.value, env, at)
            value = self.exprs.fit(effect.typed, call.result.type)
            ops = [*effect.before, *places.store(self.exprs, call.result, value, st.span)]
            at = self.finish(at, effect, ops, self.origin(st))
        return self._jump(at, call.exit, st)

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

    def keep_argument(self, handler: s.InterruptDecl, param: str, bound: Bound, env: Env) -> list[Operation]:
        """Operations that copy an argument of a request into a local of the handler, which `param` then means."""
        place = self.local(f"{handler.name}.{param}", bound.type)
        assert not isinstance(bound.value, Place)
        env.names[param] = Bound(bound.type, place)
        return places.store(self.exprs, place, bound.value, handler.span)

    def local(self, name: str, type_: t.Type) -> Place:
        """The place of a local variable of the current proc; its variables are declared."""
        full = self._locals.name(self.runner, self.proc, name, type_)
        index = tuple(p.sort for p in self.runner.self)
        for leaf in self.exprs.shapes.leaves(type_, optional=True):
            var = y.Var(full + leaf.suffix, index + leaf.index, leaf.type, leaf.default, y.Storage.LOCAL)
            self._locals.declare(self.runner, var)
        return Place(type_, full, self.runner.self, shared=False)


def _order(primitive: str) -> Order:
    order = PRIMITIVES[primitive].order
    assert order in ("once", "acquire", "release", "full", "relaxed")
    return order  # type: ignore[return-value]


def assigns(body: object, name: str) -> bool:
    """Whether a piece of syntax assigns to a local of that name."""
    match body:
        case s.Assign(place=place):
            base = place
            while isinstance(base, s.IndexExpr | s.FieldExpr):
                base = base.base
            if isinstance(base, s.NameExpr) and base.name == name:
                return not isinstance(place, s.FieldExpr)
        case s.CallExpr(args=args):
            if any(isinstance(a, s.NameExpr) and a.name == name for a in args[:1]):
                primitive = PRIMITIVES.get(body.callee.text)
                if primitive is not None and primitive.effect:
                    return True
        case _:
            pass
    if isinstance(body, tuple):
        return any(assigns(part, name) for part in body)
    if isinstance(body, s.Node):
        return any(assigns(getattr(body, f), name) for f in body.__dataclass_fields__ if f != "span")
    return False
