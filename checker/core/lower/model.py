"""A typed model, under one configuration, to the System that engines see."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

from checker.core import fold
from checker.core import system as y
from checker.core.lower import calls, schedule
from checker.core.lower.context import INIT, IRQ, NMI, THIS_CPU, Locals, Runner, current_name
from checker.core.lower.declare import Declarations
from checker.core.lower.exprs import ExprLowerer
from checker.core.lower.flow import Assign, Choose, Guard, Operation, Sections
from checker.core.lower.ipi import finish, handler_params, kernel_of, request
from checker.core.lower.locks import PROCESS
from checker.core.lower.paths import PathMaker, Program
from checker.core.lower.scope import Bound, Env
from checker.core.lower.statements import Builder
from checker.lang import syntax as s
from checker.lang import types as t
from checker.lang.diagnostics import Collector, UserError, nesting
from checker.lang.names import CPU
from checker.lang.primitives import FENCES
from checker.lang.resolve import TypeResolver
from checker.lang.typecheck import TypedModel, default_config

FAULTS: Mapping[str, str] = {
    "assert": "no assertion fails",
    "use_after_free": "no field of a freed object is accessed",
    "double_free": "no object is freed twice",
    "null": "null is never dereferenced",
    "refcount": "no reference is taken from zero or given back below it",
    "lock": "locks are released by their holder and never waited for by it",
    "sleep": "nothing sleeps with interrupts off or a spinlock held",
    "ipi_irqs_off": "no CPU waits for others with interrupts off",
    "switch": "no task runs on two CPUs",
    "index": "no sequence is read where it has nothing",
    "gen_family": "only generations of one counter are compared",
    "bound": "no range, sequence or count is outgrown",
}
"""The violations that nobody has to write an invariant for."""

BARRIERS: Mapping[str, frozenset[str]] = {
    "sc": frozenset(),
    "tso": frozenset({"smp_mb"}),
    "weak": frozenset(FENCES) - {"barrier"},
}
"""The barriers that do something in a memory model, and are steps there."""


def lower_model(typed: TypedModel, *, memory_model: str = "sc") -> y.System:
    """The System of a typed model; raises UserError for what only shows when procs are inlined."""
    try:
        with nesting(typed.model.span):
            return _Lowerer(typed, memory_model).system()
    except UserError as error:
        raise UserError(error.diagnostics, typed.model.sources) from None


class _Lowerer:
    def __init__(self, typed: TypedModel, memory_model: str) -> None:
        self._typed = typed
        self._memory_model = memory_model
        model = typed.model
        self._model = model
        resolver = TypeResolver(model, typed.config, Collector())
        self._tasks = [x for x in model.threads.values() if x.kind == "task"]
        self._declarations = Declarations(typed, resolver)
        self._variables = self._declarations.variables
        self._locals = Locals(self._variables)
        self._exprs = ExprLowerer(model, typed.config, resolver, self._declarations.shapes, self._variables)

    def system(self) -> y.System:
        """The whole System."""
        runners = [self._runner(thread) for thread in self._model.threads.values()]
        threads: list[tuple[Runner, Program]] = []
        for runner, declared in zip(runners, self._model.threads.values(), strict=True):
            threads.append((runner, self._thread(runner, declared)))
            if declared.preempted is not None:
                inner = replace(runner, name=f"{runner.name}.preempted")
                threads.append((inner, self._preempted(inner, declared, declared.preempted)))
        threads += self._interrupts()
        setup = self._setup()
        declared_threads = tuple(self._declare(runner, program) for runner, program in threads)
        actions = schedule.with_guards(threads)
        variables = self._used(actions, setup)
        names = {v.name for v in variables}
        actions, setup = _only(actions, names), _only(setup, names)
        return y.System(
            name=self._model.name,
            sorts=self._declarations.sorts(),
            vars=variables,
            threads=declared_threads,
            actions=actions,
            properties=tuple(self._properties(actions)),
            initial=self._initial(),
            final=self._final(),
            families=self._declarations.families(names),
            setup=setup,
            config=dict(self._typed.config),
            defaults=default_config(self._model, Collector()),
            memory_model=self._memory_model,
        )

    # -- threads

    def _runner(self, thread: s.ThreadDecl) -> Runner:
        on_cpu = thread.on is not None or thread.kind == "task"
        kind = {"thread": y.ThreadKind.THREAD, "task": y.ThreadKind.TASK, "hardware": y.ThreadKind.HARDWARE}[
            thread.kind
        ]
        own: tuple[y.Param, ...] = ()
        if thread.param is not None:
            own = (y.Param(self._exprs.fresh("self"), thread.param.sort.text),)
        params = ((THIS_CPU,) if on_cpu else ()) + own
        is_task = kind is y.ThreadKind.TASK
        return Runner(
            name=thread.name.text,
            kind=kind,
            params=params,
            self=own if is_task else params,
            this_cpu=THIS_CPU if on_cpu else None,
            lock_class=PROCESS if on_cpu and kind is not y.ThreadKind.HARDWARE else thread.name.text,
            holder=THIS_CPU if on_cpu else (own[0] if own else None),
            sleeper=own[0] if is_task else None,
            span=thread.span,
        )

    def _interrupt_runner(self, name: str, nmi: bool) -> Runner:
        kind = y.ThreadKind.NMI if nmi else y.ThreadKind.INTERRUPT
        return Runner(name, kind, (THIS_CPU,), (THIS_CPU,), THIS_CPU, name, THIS_CPU, None)

    def _builder(self, runner: Runner) -> Builder:
        barriers = BARRIERS[self._memory_model]
        return Builder(self._typed, self._exprs, runner, self._locals, self._model.sources, barriers=barriers)

    def _maker(self, builder: Builder, runner: Runner, *, one_step: bool = False) -> PathMaker:
        locals_ = self._locals.of.get(runner.name, set())
        return PathMaker(
            builder.flow, runner, locals_, self._variables, one_step=one_step, preemption=self._preemption()
        )

    def _preemption(self) -> bool:
        """Whether several threads share a CPU, so that it matters who can be preempted where."""
        here = [
            x for x in self._model.threads.values() if x.kind == "task" or (x.kind == "thread" and x.on is not None)
        ]
        return len(here) > 1 or any(x.param is not None for x in here)

    def _thread(self, runner: Runner, thread: s.ThreadDecl) -> Program:
        builder = self._builder(runner)
        start = builder.node(Sections(), thread.body.span)
        end = builder.block(thread.body, self._env(runner, thread), start)
        if end is not None and builder.end is not None:  # a return and the end of the text are one end
            builder.flow.join(builder.end, builder.sections(end), thread.body.span)
            builder.flow.edge(end, builder.end, (), builder.origin(thread.body, "return"))
        return self._maker(builder, runner).program(start)

    def _env(self, runner: Runner, thread: s.ThreadDecl) -> Env:
        """What a thread's own body can name."""
        env = Env(runner.this_cpu, this_task=runner.sleeper)
        if thread.param is not None:
            env.names[thread.param.name.text] = Bound(t.ElemType(thread.param.sort.text), runner.self[-1])
        return env

    def _preempted(self, runner: Runner, thread: s.ThreadDecl, body: s.Block) -> Program:
        """What a preempted task does before it goes on: from idle, and back to it."""
        builder = self._builder(runner)
        idle = builder.node(Sections(), body.span)
        start = builder.node(Sections(), body.span)
        builder.flow.edge(idle, start, (), builder.origin(body, "preempted"), step=True)
        end = builder.block(body, self._env(runner, thread), start)
        if end is not None:
            builder.flow.join(idle, builder.sections(end), body.span)
            builder.flow.edge(end, idle, (), builder.origin(body, "preempted"))
        return self._maker(builder, runner).program(idle)

    def _interrupts(self) -> list[tuple[Runner, Program]]:
        """The interrupt contexts, with the handlers that somebody asks for in this configuration."""
        while True:
            known = set(self._locals.requested)
            found = []
            for name, nmi in ((IRQ, False), (NMI, True)):
                handlers = [h for h in self._model.interrupts.values() if h.nmi == nmi and self._can_run(h)]
                if handlers:
                    runner = self._interrupt_runner(name, nmi)
                    found.append((runner, self._handlers(runner, handlers)))
            if self._locals.requested == known:  # a handler may ask for further ones
                return found

    def _can_run(self, handler: s.InterruptDecl) -> bool:
        return handler.when is not None or any((handler.name.text, w) in self._locals.requested for w in (True, False))

    def _handlers(self, runner: Runner, handlers: list[s.InterruptDecl]) -> Program:
        """The interrupt context of a CPU: idle, or in one of the handlers."""
        builder = self._builder(runner)
        idle = builder.node(Sections(), handlers[0].span)
        builder.flow.nodes[idle].choice = True
        for handler in handlers:
            if handler.when is not None:
                self._raised(builder, handler, idle)
            for waited in (True, False):
                if (handler.name.text, waited) not in self._locals.requested:
                    continue
                self._requested(builder, handler, idle, waited)
        return self._maker(builder, runner).program(idle)

    def _raised(self, builder: Builder, handler: s.InterruptDecl, idle: int) -> None:
        """A handler that raises itself where its condition holds."""
        assert handler.when is not None
        env = Env(THIS_CPU, irqs_off=True)
        condition = self._exprs.condition(handler.when, env)
        frame = y.Frame(handler.name.text, kernel_of(handler), handler.span)
        entry = builder.step(
            idle, [*builder.checks(), Guard(condition)], builder.origin(handler, f"{handler.name}()"),
            step=True, blocking=True,
        )  # fmt: skip
        end, _ = calls.body(builder, handler.body, (), env, entry, frame)
        if end is not None:
            builder.flow.edge(end, idle, (), builder.origin(handler, "return from interrupt"))

    def _requested(self, builder: Builder, handler: s.InterruptDecl, idle: int, waited: bool) -> None:
        """A handler that serves requests: the slot is freed after it (waited for) or before it."""
        name = handler.name.text
        chosen = y.Param(self._exprs.fresh("from"), CPU)
        source = builder.local("from", t.ElemType(CPU))
        served = self._exprs.read(source, handler.span, Env(THIS_CPU))
        assert isinstance(served, y.Read)
        pending = y.Read(request(name, waited), (THIS_CPU, chosen), y.BOOL)
        entry: list[Operation] = [Choose(chosen), Guard(pending)]
        env = Env(THIS_CPU, irqs_off=True)
        frame = y.Frame(name, kernel_of(handler), handler.span)
        if waited:
            entry.append(Assign(source.name, source.index, chosen))
            env.names = handler_params(builder, handler, True, THIS_CPU, served)
            for param, bound in list(env.names.items()):
                if calls.assigns(handler.body, param, bound.type, self._model):
                    entry += builder.keep_argument(handler, param, bound, env)
        else:
            arguments = handler_params(builder, handler, False, THIS_CPU, chosen)
            for param, bound in arguments.items():
                entry += builder.keep_argument(handler, param, bound, env)
            entry += finish(builder, handler, False, THIS_CPU, chosen)
        origin = builder.origin(handler, f"interrupt: {name}()")
        start = builder.step(idle, entry, replace(origin, frames=(frame,)), blocking=True, step=True)
        end, _ = calls.body(builder, handler.body, (), env, start, frame)
        if end is None:
            return
        done = finish(builder, handler, True, THIS_CPU, served) if waited else []
        back = replace(builder.origin(handler, "return from interrupt"), frames=(frame,))
        builder.step(end, done, back, to=idle)

    def _setup(self) -> tuple[y.Action, ...]:
        """The `init` blocks as one step before everybody's first."""
        if not self._model.inits:
            return ()
        runner = Runner(INIT, y.ThreadKind.THREAD, (), (), None, PROCESS, None, None)
        builder = self._builder(runner)
        start = builder.node(Sections(), self._model.span)
        at: int | None = start
        for init in self._model.inits:
            if at is not None:
                at = builder.block(init.body, Env(None), at)
        return self._maker(builder, runner, one_step=True).program(start).actions

    def _declare(self, runner: Runner, program: Program) -> y.Thread:
        pc = f"{runner.name}.pc"
        index = tuple(p.sort for p in runner.self)
        control = y.Int(0, max(len(program.locations) - 1, 0))
        self._variables[pc] = y.Var(
            pc, index, control, fold.int_lit(program.start), y.Storage.CONTROL, span=runner.span
        )
        return y.Thread(
            runner.name, runner.kind, index, pc, program.locations, program.start, program.ended, runner.span
        )

    # -- properties

    def _properties(self, actions: tuple[y.Action, ...]) -> Iterator[y.Property]:
        env = Env(None, in_property=True)
        for declared in self._model.properties.values():
            lemma = declared.kind == "lemma"
            kind = y.PropertyKind.INVARIANT if lemma else y.PropertyKind(declared.kind)
            expr = self._exprs.condition(declared.expr, env)
            self._exprs.take_conditions()
            stated = kind is y.PropertyKind.INVARIANT and not lemma
            premise = self._premise(declared.expr, env) if stated else None
            yield y.Property(declared.name.text, kind, declared.text or "", expr, premise, None, declared.span, lemma)
        possible = {a.fault.property for a in actions if a.fault is not None}
        for name in sorted(possible - set(FAULTS)):
            yield y.Property(name, y.PropertyKind.FAULT, FAULTS["assert"])
        for name, text in FAULTS.items():
            if name in possible:
                yield y.Property(name, y.PropertyKind.FAULT, text)
        yield y.Property("deadlock", y.PropertyKind.DEADLOCK, "somebody can always go on, or all is done")
        for sort in self._declarations.freed_sorts():
            name = "leak" if len(self._declarations.freed_sorts()) == 1 else f"leak_{sort}"
            yield y.Property(name, y.PropertyKind.LEAK, f"every {sort} can still be freed", sort=sort)

    def _premise(self, expr: s.Expr, env: Env) -> y.Expr | None:
        """The condition under which an invariant says anything: that of an implication, in any of its elements."""
        match expr:
            case s.Binary(op="=>"):
                premise = self._exprs.condition(expr.left, env)
            case s.Quantified(kind="forall"):
                params, inside = self._exprs.bind(expr.binders, env)
                inner = self._premise(expr.body, inside)
                if inner is None and expr.where is None:
                    return None
                parts = [inner] if inner is not None else []
                if expr.where is not None:
                    parts.insert(0, self._exprs.condition(expr.where, inside))
                premise = fold.and_(parts)
                for param in reversed(params):
                    premise = fold.quantify("exists", param.name, param.sort, premise)
            case _:
                return None
        self._exprs.take_conditions()
        return premise

    def _final(self) -> y.Expr | None:
        env = Env(None, in_property=True)
        finals = [self._exprs.condition(f.expr, env) for f in self._model.finals]
        self._exprs.take_conditions()
        return fold.or_(finals) if finals else None

    def _initial(self) -> tuple[y.Expr, ...]:
        """At the start every CPU runs one task, and no two run the same."""
        found: list[y.Expr] = []
        sorts = [x.param.sort.text for x in self._tasks if x.param is not None]
        if not sorts:
            return ()
        cpu, other = y.Param(self._exprs.fresh("c"), CPU), y.Param(self._exprs.fresh("c"), CPU)
        reads = {sort: y.Read(current_name(sort), (cpu,), y.Elem(sort, True)) for sort in sorts}
        runs = [fold.ne(read, y.Null(sort)) for sort, read in reads.items()]
        one = fold.and_(
            [fold.or_(runs), *(fold.not_(fold.and_((a, b))) for i, a in enumerate(runs) for b in runs[i + 1 :])]
        )
        found.append(fold.quantify("forall", cpu.name, CPU, one))
        for sort, read in reads.items():
            theirs = y.Read(current_name(sort), (other,), y.Elem(sort, True))
            clash = fold.and_((fold.ne(cpu, other), fold.ne(read, y.Null(sort)), fold.eq(read, theirs)))
            apart = fold.quantify("forall", other.name, CPU, fold.not_(clash))
            found.append(fold.quantify("forall", cpu.name, CPU, apart))
        return tuple(found)

    # -- the variables that matter

    def _used(self, actions: tuple[y.Action, ...], setup: tuple[y.Action, ...]) -> tuple[y.Var, ...]:
        """The declared variables, without locals and request slots that no action reads."""
        read: set[str] = set()
        for action in (*actions, *setup):
            exprs = [*action.guard]
            for update in action.updates:
                exprs += [*update.index, update.value, update.where]
            for expr in exprs:
                read |= fold.variables(expr)
        read |= {f"{name}.of" for name in read}  # a generation is told apart by its family
        idle = self._declarations.slots - {request(*asked) for asked in self._locals.requested}
        kept = [v for v in self._variables.values() if v.storage is not y.Storage.LOCAL and v.name not in idle]
        return tuple(v for v in self._variables.values() if v in kept or v.name in read)


def _only(actions: tuple[y.Action, ...], names: set[str]) -> tuple[y.Action, ...]:
    """The actions without updates of variables that are gone."""
    return tuple(replace(a, updates=tuple(u for u in a.updates if u.var in names)) for a in actions)
