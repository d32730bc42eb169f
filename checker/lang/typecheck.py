"""Whether a model makes sense: types, places, effects, ghosts, calls in circles.

All errors are found in one run.  The result holds what lowering needs to know
beside the text: the configuration and the types of the locals.
"""

from __future__ import annotations

from collections.abc import Mapping

from checker.lang import syntax as s
from checker.lang import types as t
from checker.lang.circles import report_circles
from checker.lang.declcheck import DeclarationChecker
from checker.lang.diagnostics import Collector, Note, UserError, among, nesting
from checker.lang.exprcheck import Context, ExprChecker
from checker.lang.names import CPU, Model
from checker.lang.primitives import PRIMITIVES
from checker.lang.resolve import ConfigValue
from checker.lang.scope import Local, Scope
from checker.lang.walk import bodies, falls_through, nodes
from checker.lang.wording import a_type
from checker.records import dataclass

ROOM = 255
"""How far a local counts that begins with a literal and has no type."""

CONTEXTS = ("irq", "nmi", "init")
"""Names of threads that are not the model's own."""


@dataclass(frozen=True, slots=True)
class TypedModel:
    """A model that makes sense under a configuration.

    `locals` gives the type of each `let`, by the identity of its node.
    """

    model: Model
    config: Mapping[str, ConfigValue]
    locals: Mapping[int, t.Type]


def default_config(model: Model, found: Collector) -> dict[str, ConfigValue]:
    """The value of every config where no check says otherwise."""
    values: dict[str, ConfigValue] = {}
    for name, config in model.configs.items():
        value = constant(config.value, model)
        if value is None:
            found.error("LZ308", f"config '{name}' needs a constant: a number, true, false or an enum's member",
                        config.value.span)  # fmt: skip
            value = False
        values[name] = value
    return values


def constant(expr: s.Expr, model: Model) -> ConfigValue | None:
    """The value of a literal; None for anything else."""
    match expr:
        case s.Number(value=value) | s.Truth(value=value):
            return value
        case s.Unary(op="-", operand=s.Number(value=value)):
            return -value
        case s.NameExpr(name=name) if model.enum_of(name):
            return name
        case _:
            return None


def typecheck(model: Model, config: Mapping[str, ConfigValue] | None = None) -> TypedModel:
    """Check a model under a configuration (by default its own); raises UserError with all that is wrong."""
    found = Collector()
    values = {**default_config(model, found), **(config or {})}
    checker = _Checker(model, values, found)
    with nesting(model.span):
        checker.run()
    if found.failed:
        raise UserError(found.diagnostics, model.sources)
    return TypedModel(model, values, checker.locals)


class _Checker:
    def __init__(self, model: Model, config: Mapping[str, ConfigValue], found: Collector) -> None:
        self._model = model
        self._found = found
        self._exprs = ExprChecker(model, config, found)
        self._resolver = self._exprs.resolver
        self._declarations = DeclarationChecker(self._exprs)
        self._result: t.Type = t.VOID
        self._loops = 0
        self._parallel = False
        self.locals: dict[int, t.Type] = {}

    def run(self) -> None:
        self._resolver.check_heads()
        report_circles(self._model, self._found)
        for fn in self._model.fns.values():
            self._declarations.attributes(fn.attributes)
            self._exprs.fn(fn, self._params(fn.params))
        self._declarations.run()
        for proc in self._model.procs.values():
            if proc.body is not None:
                self._declarations.attributes(proc.attributes)
                self._body(proc.body, proc.params, proc)
        for interrupt in self._model.interrupts.values():
            if CPU not in self._model.sorts:
                self._found.error("LZ201", "an interrupt needs 'sort CPU'", interrupt.name.span)
            self._declarations.attributes(interrupt.attributes)
            if interrupt.when is not None:
                if interrupt.params:
                    self._found.error(
                        "LZ309", "an interrupt that raises itself takes no arguments", interrupt.name.span
                    )
                self._exprs.condition(interrupt.when, Scope(), Context())
            for param in interrupt.params:
                self._declarations.handler_param(param)
            self._body(interrupt.body, interrupt.params, None)
        for thread in self._model.threads.values():
            self._thread(thread)
        for init in self._model.inits:
            self._block(init.body, Scope())
        for prop in self._model.properties.values():
            context = Context(cpu=False, ghost=True, step=prop.kind == "step")
            self._exprs.condition(prop.expr, Scope(), context)
        for final in self._model.finals:
            self._exprs.condition(final.expr, Scope(), Context(cpu=False, ghost=True))

    # -- declarations

    def _thread(self, thread: s.ThreadDecl) -> None:
        self._declarations.attributes(thread.attributes)
        scope = Scope()
        for name in (thread.on, thread.param.sort if thread.param else None):
            if name is not None:
                self._resolver.sort(name)
        if thread.on is not None and thread.on.text != CPU:
            self._found.error("LZ309", "a thread runs on CPU", thread.on.span, hint="write X[p : S] for other sorts")
        if thread.name.text in CONTEXTS:
            self._found.error("LZ202", f"'{thread.name}' is what the interrupt context is called", thread.name.span)
        if thread.kind == "task" and CPU not in self._model.sorts:
            self._found.error("LZ201", "a task needs 'sort CPU' to run on", thread.name.span)
        if thread.kind == "task" and thread.param is None:
            self._found.error(
                "LZ309", "a task needs its identity", thread.name.span, hint=f"task {thread.name}[t : TASK]"
            )
        if thread.kind == "task" and thread.on is not None:
            self._found.error("LZ309", "a task runs wherever it is switched to", thread.on.span)
        if thread.preempted is not None and thread.kind != "task":
            self._found.error("LZ309", "only a task has a 'preempted' part", thread.preempted.span)
        if thread.param is not None:
            param = thread.param
            scope.names[param.name.text] = Local(
                param.name.text, t.ElemType(param.sort.text), param.name.span, bound="who this thread is"
            )
        self._result, self._loops = t.VOID, 0
        self._block(thread.body, scope)
        if thread.preempted is not None:
            self._block(thread.preempted, scope)

    def _params(self, params: tuple[s.ParamDecl, ...]) -> Scope:
        scope = Scope()
        for param in params:
            got = self._resolver.resolve(param.type)
            place = param.ref or isinstance(got, t.LockType | t.RefcountType | t.SeqType)
            if isinstance(got, t.ArrayType):
                self._found.error("LZ313", f"a parameter cannot be {a_type(got)}", param.span)
            self._exprs.declare(Local(param.name.text, got, param.name.span, place=place), scope)
        return scope

    def _body(self, body: s.Block, params: tuple[s.ParamDecl, ...], proc: s.ProcDecl | None) -> None:
        result = proc.result if proc is not None else None
        self._result = self._resolver.resolve(result) if result is not None else t.VOID
        self._loops = 0
        self._block(body, self._params(params))
        if proc is not None and result is not None and falls_through(body):
            what = a_type(self._result) if not isinstance(self._result, t.ErrorType) else "a value"
            self._found.error(
                "LZ314", f"'{proc.name}' can end here without returning {what}", body.span.last,
                notes=(Note(proc.name.span, f"'{proc.name}' is declared here"),),
            )  # fmt: skip

    # -- statements

    def _block(self, block: s.Block, scope: Scope) -> None:
        inside = Scope(scope)
        for statement in block.body:
            self._statement(statement, inside)

    def _statement(self, st: s.Stmt, scope: Scope) -> None:
        plain, effects = Context(), Context(effects=True)
        self._declarations.attributes(st.attributes)
        if self._parallel and not isinstance(st, s.Assign):
            self._found.error("LZ309", "a forall changes all at once: only assignments can stand in it", st.span)
        match st:
            case s.Let():
                self._let(st, scope)
            case s.Assign():
                self._assign(st, scope)
            case s.CallStmt():
                ghost = Context(effects=True)
                self._exprs.calls.call(st.call, scope, ghost)
                primitive = PRIMITIVES.get(st.call.callee.text)
                if primitive is not None and not primitive.effect and not self._defined(st.call.callee.text):
                    self._found.error("LZ309", f"'{st.call.callee}' alone does nothing", st.span)
            case s.If():
                self._exprs.condition(st.condition, scope, effects)
                self._block(st.then, scope)
                if st.otherwise is not None:
                    self._block(st.otherwise, scope)
            case s.While():
                if st.condition is not None:
                    self._exprs.condition(st.condition, scope, effects)
                self._loops += 1
                self._block(st.body, scope)
                self._loops -= 1
            case s.Either():
                for branch in st.branches:
                    self._block(branch, scope)
            case s.ForEach():
                inside = self._exprs.bind((st.binder,), scope, "by for")
                if st.where is not None:
                    self._exprs.condition(st.where, inside, plain)
                self._loops += 1
                self._block(st.body, inside)
                self._loops -= 1
            case s.ForAll():
                inside = self._exprs.bind(st.binders, scope, "by forall")
                if st.where is not None:
                    self._exprs.condition(st.where, inside, plain)
                outer, self._parallel = self._parallel, True
                self._block(st.body, inside)
                self._parallel = outer
            case s.Pick():
                inside = self._exprs.bind((st.binder,), scope, "by pick")
                if st.where is not None:
                    self._exprs.condition(st.where, inside, plain)
                scope.names.update(inside.names)
            case s.Await():
                self._exprs.condition(st.condition, scope, plain)
            case s.Assert():
                self._exprs.condition(st.condition, scope, Context(ghost=True))
            case s.Break() | s.Continue():
                if self._loops == 0:
                    self._found.error("LZ309", "this is not inside a loop", st.span)
            case s.Return():
                self._return(st, scope)
            case s.Skip():
                pass
            case s.Section():
                self._block(st.body, scope)
            case s.IpiCall() | s.IpiSend():
                self._ipi(st, scope)
            case s.IpiWait():
                self._wait(st)
            case s.SwitchTo():
                got = self._exprs.type_of(st.task, scope, plain)
                sorts = self._model.task_sorts()
                if isinstance(got, t.ElemType) and got.sort in sorts:
                    return
                if not isinstance(got, t.ErrorType):
                    hint = "" if sorts else "the model has no task: task NAME[t : TASK] { ... }"
                    self._found.error("LZ301", f"expected a task, but this is {a_type(got)}", st.task.span, hint=hint)
            case s.Free():
                got = self._exprs.type_of(st.object, scope, plain)
                if not isinstance(got, t.ErrorType) and not (
                    isinstance(got, t.ElemType) and got.sort in self._model.objects
                ):
                    self._found.error("LZ301", f"expected an object, but this is {a_type(got)}", st.object.span)

    def _let(self, st: s.Let, scope: Scope) -> None:
        declared = self._resolver.resolve(st.type) if st.type is not None else None
        if isinstance(st.value, s.Alloc):
            got = self._alloc(st.value, scope)
        else:
            got = self._exprs.type_of(st.value, scope, Context(effects=True, local=st.name.text))
        if declared is not None:
            self._exprs.suits(got, declared, st.value.span)
            got = declared
        got = self._widen(got, st)
        self.locals[id(st)] = got
        self._exprs.declare(Local(st.name.text, got, st.name.span), scope)

    def _widen(self, got: t.Type, st: s.Let) -> t.Type:
        """The type of a local that starts with a value of type `got`."""
        match got:
            case t.RefcountType(bound=bound):
                return t.IntType(0, bound)
            case t.IntType(lo=lo, hi=hi) if lo == hi and st.type is None:
                return t.IntType(min(lo, 0), max(hi, ROOM))
            case t.IntType(lo=lo, hi=hi) if st.type is None:
                return t.IntType(min(lo, 0), max(hi, 0))
            case t.NullType() | t.EmptySetType() | t.VoidType():
                what = "nothing" if isinstance(got, t.VoidType) else str(got)
                self._found.error("LZ301", f"the type of '{st.name}' cannot be told from {what}", st.value.span,
                                  hint=f"write let {st.name} : TYPE = ...")  # fmt: skip
                return t.ERROR
            case t.ArrayType() | t.LockType() | t.RecordType() | t.SeqType():
                if isinstance(got, t.RecordType):
                    return got
                self._found.error("LZ313", f"a local cannot hold {a_type(got)}", st.value.span)
                return t.ERROR
            case _:
                return got

    def _alloc(self, alloc: s.Alloc, scope: Scope) -> t.Type:
        if alloc.sort.text not in self._model.objects:
            hint = among(alloc.sort.text, self._model.objects, "known here:")
            self._found.error("LZ201", f"unknown object '{alloc.sort}'", alloc.sort.span, hint=hint)
            return t.ERROR
        given: set[str] = set()
        for field in alloc.fields:
            if field.name.text in given:
                self._found.error("LZ202", f"'{field.name}' is given twice", field.name.span)
            given.add(field.name.text)
            self._alloc_field(alloc.sort.text, field, scope)
        return t.ElemType(alloc.sort.text)

    def _alloc_field(self, sort: str, field: s.FieldInit, scope: Scope) -> None:
        declared = self._model.field_of(sort, field.name.text)
        if declared is None:
            hint = among(field.name.text, [f.name.text for f in self._model.objects[sort].fields], "it has")
            self._found.error("LZ207", f"'{sort}' has no field '{field.name}'", field.name.span, hint=hint)
            self._exprs.type_of(field.value, scope, Context(ghost=True))
            return
        wanted = self._resolver.declared(declared)
        self._exprs.expect(field.value, wanted, scope, Context(ghost=declared.storage == "ghost"))
        match wanted:
            case t.RefcountType(kinds=kinds) if kinds and field.kind is None:
                self._found.error("LZ304", f"say what kind of references these are: {', '.join(kinds)}", field.span,
                                  hint=f"{field.name} = 1 of {kinds[0]}")  # fmt: skip
            case t.RefcountType(kinds=kinds) if field.kind is not None and field.kind.text not in kinds:
                hint = among(field.kind.text, kinds, "known here:")
                self._found.error(
                    "LZ201", f"'{field.kind}' is no kind of holder of '{field.name}'", field.kind.span, hint=hint
                )
            case t.RefcountType() | t.ErrorType():
                pass
            case t.GenType() if declared.name.text in self._resolver.heads:
                self._found.error("LZ310", "a generation counter has no other first value than its own", field.span)
            case t.LockType() | t.ArrayType() | t.SeqType():
                self._found.error("LZ313", f"{a_type(wanted)} is not given a value here", field.span)
            case _ if field.kind is not None:
                self._found.error("LZ302", f"'{field.name}' is no refcount: it has no kinds", field.kind.span)

    def _assign(self, st: s.Assign, scope: Scope) -> None:
        ghost = self._is_ghost(st.place, scope)
        place = self._exprs.type_of(st.place, scope, Context(ghost=ghost))
        assignable = self._exprs.place(st.place, scope)
        context = Context(ghost=ghost, effects=not self._parallel)
        if isinstance(st.value, s.Alloc):
            if self._parallel or st.op != "=" or ghost:
                self._found.error("LZ305", "alloc stands alone on the right of '='", st.value.span)
            got = self._alloc(st.value, scope)
        elif st.op in ("+=", "-=") and isinstance(place, t.SetType) and len(place.sorts) == 1:
            got = self._exprs.type_of(st.value, scope, context)
            if isinstance(got, t.ElemType) and got.sort == place.sorts[0]:
                return
        else:
            got = self._exprs.type_of(st.value, scope, context)
        if isinstance(place, t.ErrorType) or isinstance(got, t.ErrorType) or not assignable:
            return
        match place:
            case t.LockType():
                self._found.error("LZ303", f"{a_type(place)} is only locked and unlocked", st.span)
            case t.ArrayType():
                self._found.error("LZ313", f"{a_type(place)} still needs an index", st.place.span)
            case t.SeqType() if not isinstance(got, t.EmptySetType) or st.op != "=":
                self._found.error("LZ303", "a sequence is only changed by push, pop, clear and '= {}'", st.span)
            case t.RefcountType() if place.kinds:
                self._found.error("LZ303", "a refcount with kinds is only changed by get and put", st.span)
            case t.GenType() if st.op == "+=":
                if not (isinstance(got, t.IntType) and got.lo == got.hi == 1):
                    self._found.error("LZ310", "a gen is only incremented by 1", st.value.span)
                self._exprs.calls.counter(st.place, scope)
            case t.GenType() if st.op != "=" or self._exprs.calls.is_counter(st.place, scope):
                self._found.error("LZ310", "a generation counter is only incremented", st.span)
            case t.SetType() if st.op in ("+=", "-=", "&=") or t.fits(got, place):
                self._exprs.suits(got, place, st.value.span)
            case _ if st.op == "&=" or (st.op != "=" and not t.is_number(place)):
                self._found.error("LZ302", f"'{st.op}' does not go with {a_type(place)}", st.span)
            case _:
                self._exprs.suits(got, place, st.value.span)

    def _is_ghost(self, place: s.Expr, scope: Scope) -> bool:
        match place:
            case s.NameExpr(name=name):
                return name in self._model.vars and self._model.vars[name].storage == "ghost"
            case s.FieldExpr(base=base, field=name):
                match self._exprs.type_of(base, scope, Context(ghost=True)):
                    case t.ElemType(sort=owner) if owner in self._model.objects:
                        declared = self._model.field_of(owner, name.text)
                    case t.RecordType(name=owner):
                        declared = self._model.field_of(owner, name.text)
                    case _:
                        return False
                return (declared is not None and declared.storage == "ghost") or self._is_ghost_record(base, scope)
            case s.IndexExpr(base=base):
                return self._is_ghost(base, scope)
            case _:
                return False

    def _is_ghost_record(self, base: s.Expr, scope: Scope) -> bool:
        """Whether a place is a record in ghost storage (an object that a ghost points to is no ghost itself)."""
        is_record = isinstance(self._exprs.type_of(base, scope, Context(ghost=True)), t.RecordType)
        return is_record and self._is_ghost(base, scope)

    def _return(self, st: s.Return, scope: Scope) -> None:
        if st.value is None:
            if not isinstance(self._result, t.VoidType):
                self._found.error("LZ314", f"{a_type(self._result)} must be returned here", st.span)
        elif isinstance(self._result, t.VoidType):
            self._found.error("LZ301", "there is no value to return here", st.value.span)
        else:
            got = self._exprs.type_of(st.value, scope, Context(effects=True))
            self._exprs.suits(got, self._result, st.value.span)

    def _ipi(self, st: s.IpiCall | s.IpiSend, scope: Scope) -> None:
        handler = self._handler(st.handler)
        if handler is not None:
            self._exprs.calls.arguments(st.handler, handler.params, st.args, scope, Context())
        self._exprs.expect(st.mask, t.SetType((CPU,)), scope, Context())

    def _wait(self, st: s.IpiWait) -> None:
        handler, name = self._handler(st.handler), st.handler.text
        if handler is None or handler.when is not None:
            return
        if not any(isinstance(n, s.IpiCall) and n.handler.text == name for n in nodes(bodies(self._model))):
            message = f"there is nothing to wait for: no statement calls '{name}'"
            hint = f"it is called before with call {name}(...) on MASK nowait;"
            notes = (Note(handler.name.span, f"'{name}' is declared here"),)
            self._found.error("LZ309", message, st.span, hint=hint, notes=notes)

    def _handler(self, name: s.Name) -> s.InterruptDecl | None:
        handler = self._model.interrupts.get(name.text)
        if handler is None:
            hint = among(name.text, self._model.interrupts, "known here:")
            self._found.error("LZ201", f"unknown interrupt '{name}'", name.span, hint=hint)
        elif handler.when is not None:
            self._found.error("LZ309", f"'{name}' raises itself and cannot be sent", name.span)
        return handler

    def _defined(self, name: str) -> bool:
        return name in self._model.procs or name in self._model.fns
