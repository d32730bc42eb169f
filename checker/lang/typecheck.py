"""Whether a model makes sense: types, places, effects, ghosts, calls in circles.

All errors are found in one run.  The result holds what lowering needs to know
beside the text: the configuration and the types of the locals.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from checker.lang import syntax as s
from checker.lang import types as t
from checker.lang.diagnostics import Collector, UserError, suggest
from checker.lang.exprcheck import Context, ExprChecker
from checker.lang.names import CPU, Model
from checker.lang.primitives import PRIMITIVES
from checker.lang.resolve import ConfigValue
from checker.lang.scope import Local, Scope

ATTRIBUTES = ("kernel",)


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
        self._result: t.Type = t.VOID
        self._loops = 0
        self._parallel = False
        self.locals: dict[int, t.Type] = {}

    def run(self) -> None:
        self._declarations()
        self._circles()
        for fn in self._model.fns.values():
            scope = self._params(fn.params)
            # fns may be used in properties and in steps: uses of `this_cpu` and ghosts show at the call
            self._exprs.expect(fn.body, self._resolver.resolve(fn.result), scope, Context(ghost=True))
        for proc in self._model.procs.values():
            if proc.body is not None:
                self._attributes(proc.attributes)
                self._body(proc.body, proc.params, proc.result)
        for interrupt in self._model.interrupts.values():
            self._attributes(interrupt.attributes)
            if interrupt.when is not None:
                if interrupt.params:
                    self._found.error("LZ309", "an interrupt that raises itself takes no arguments", interrupt.name.span)
                self._exprs.condition(interrupt.when, Scope(), Context())
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

    def _declarations(self) -> None:
        m = self._model
        for config in m.configs.values():
            if config.type is not None:
                self._exprs.expect(config.value, self._resolver.resolve(config.type), Scope(), Context(cpu=False))
        for name, sort in m.statics.items():
            self._resolver.sort(s.Name(sort, span=_static_span(m, name)))
        for owner in [*m.objects.values(), *m.records.values()]:
            for declared in owner.fields:
                self._initial(self._resolver.resolve(declared.type), declared.init)
                if isinstance(owner, s.RecordDecl):
                    self._record_field(declared)
        for var in m.vars.values():
            if var.percpu and CPU not in m.sorts:
                self._found.error("LZ201", "a per-CPU variable needs 'sort CPU'", var.name.span)
            self._initial(self._exprs.var_type(var.name.text), var.init)

    def _record_field(self, declared: s.FieldDecl) -> None:
        got = self._resolver.resolve(declared.type)
        if not isinstance(got, t.BoolType | t.IntType | t.EnumType | t.ElemType | t.ErrorType | t.GenType | t.SetType):
            self._found.error("LZ313", f"a record cannot hold a {got}", declared.type.span)

    def _initial(self, type_: t.Type, init: s.Expr | s.AnyInit | None) -> None:
        element = type_
        while isinstance(element, t.ArrayType):
            element = element.element
        match init:
            case None:
                needs = isinstance(element, t.ElemType) and not element.optional
                if needs and isinstance(element, t.ElemType) and not self._statics(element.sort):
                    pass  # lowering reports what has no first value, at the variable
            case s.AnyInit():
                if not isinstance(element, t.BoolType | t.IntType | t.EnumType | t.ElemType | t.ErrorType):
                    self._found.error("LZ313", f"'any' cannot stand for a {element}", init.span)
            case _:
                self._exprs.expect(init, element, Scope(), Context(cpu=False, ghost=True))

    def _statics(self, sort: str) -> list[str]:
        return [name for name, of in self._model.statics.items() if of == sort]

    def _attributes(self, attributes: Iterable[s.Attribute]) -> None:
        for attribute in attributes:
            if attribute.name not in ATTRIBUTES:
                hint = suggest(attribute.name, ATTRIBUTES) or f"there is @{', @'.join(ATTRIBUTES)}"
                self._found.error("LZ209", f"unknown attribute '@{attribute.name}'", attribute.span, hint=hint)
            elif len(attribute.args) not in (1, 2):
                self._found.error("LZ209", '@kernel takes a function, or a file and a function', attribute.span)

    def _thread(self, thread: s.ThreadDecl) -> None:
        self._attributes(thread.attributes)
        scope = Scope()
        for name in (thread.on, thread.param.sort if thread.param else None):
            if name is not None:
                self._resolver.sort(name)
        if thread.on is not None and thread.on.text != CPU:
            self._found.error("LZ309", "a thread runs on CPU", thread.on.span, hint="write X[p : S] for other sorts")
        if thread.kind == "task" and thread.param is None:
            self._found.error("LZ309", "a task needs its identity", thread.name.span, hint=f"task {thread.name}[t : TASK]")
        if thread.kind == "task" and thread.on is not None:
            self._found.error("LZ309", "a task runs wherever it is switched to", thread.on.span)
        if thread.preempted is not None and thread.kind != "task":
            self._found.error("LZ309", "only a task has a 'preempted' part", thread.preempted.span)
        if thread.param is not None:
            param = thread.param
            scope.names[param.name.text] = Local(
                param.name.text, t.ElemType(param.sort.text), param.name.span, mutable=False
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
                self._found.error("LZ313", f"a parameter cannot be a {got}", param.span)
            self._exprs.declare(Local(param.name.text, got, param.name.span, place=place), scope)
        return scope

    def _body(self, body: s.Block, params: tuple[s.ParamDecl, ...], result: s.TypeExpr | None) -> None:
        self._result = self._resolver.resolve(result) if result is not None else t.VOID
        self._loops = 0
        self._block(body, self._params(params))
        if result is not None and _falls_through(body):
            self._found.error("LZ314", "this can end without returning a value", body.span)

    # -- statements

    def _block(self, block: s.Block, scope: Scope) -> None:
        inside = Scope(scope)
        for statement in block.body:
            self._statement(statement, inside)

    def _statement(self, st: s.Stmt, scope: Scope) -> None:
        plain, effects = Context(), Context(effects=True)
        self._attributes(st.attributes)
        if self._parallel and not isinstance(st, s.Assign):
            self._found.error("LZ309", "a forall changes all at once: only assignments can stand in it", st.span)
        match st:
            case s.Let():
                self._let(st, scope)
            case s.Assign():
                self._assign(st, scope)
            case s.CallStmt():
                ghost = Context(effects=True)
                self._exprs.call(st.call, scope, ghost)
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
                inside = self._exprs.bind((st.binder,), scope)
                if st.where is not None:
                    self._exprs.condition(st.where, inside, plain)
                self._loops += 1
                self._block(st.body, inside)
                self._loops -= 1
            case s.ForAll():
                inside = self._exprs.bind(st.binders, scope)
                if st.where is not None:
                    self._exprs.condition(st.where, inside, plain)
                outer, self._parallel = self._parallel, True
                self._block(st.body, inside)
                self._parallel = outer
            case s.Pick():
                inside = self._exprs.bind((st.binder,), scope)
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
                self._handler(st.handler)
            case s.SwitchTo():
                got = self._exprs.type_of(st.task, scope, plain)
                sorts = [x.param.sort.text for x in self._model.threads.values() if x.kind == "task" and x.param]
                if isinstance(got, t.ElemType) and got.sort in sorts:
                    return
                if not isinstance(got, t.ErrorType):
                    self._found.error("LZ301", f"expected a task, but this is {got}", st.task.span)
            case s.Free():
                got = self._exprs.type_of(st.object, scope, plain)
                if not isinstance(got, t.ErrorType) and not (
                    isinstance(got, t.ElemType) and got.sort in self._model.objects
                ):
                    self._found.error("LZ301", f"expected an object, but this is {got}", st.object.span)

    def _let(self, st: s.Let, scope: Scope) -> None:
        declared = self._resolver.resolve(st.type) if st.type is not None else None
        if isinstance(st.value, s.Alloc):
            got = self._alloc(st.value, scope)
        else:
            got = self._exprs.type_of(st.value, scope, Context(effects=True))
        if declared is not None:
            if not t.fits(got, declared):
                self._found.error("LZ301", f"expected {declared}, but this is {got}", st.value.span)
            got = declared
        got = self._widen(got, st)
        self.locals[id(st)] = got
        self._exprs.declare(Local(st.name.text, got, st.name.span), scope)

    def _widen(self, got: t.Type, st: s.Let) -> t.Type:
        """The type of a local that starts with a value of type `got`."""
        match got:
            case t.RefcountType(bound=bound):
                return t.IntType(0, bound)
            case t.NullType() | t.EmptySetType() | t.VoidType():
                what = "nothing" if isinstance(got, t.VoidType) else str(got)
                self._found.error("LZ301", f"the type of '{st.name}' cannot be told from {what}", st.value.span,
                                  hint=f"write let {st.name} : TYPE = ...")  # fmt: skip
                return t.ERROR
            case t.ArrayType() | t.LockType() | t.RecordType() | t.SeqType():
                if isinstance(got, t.RecordType):
                    return got
                self._found.error("LZ313", f"a local cannot hold {got}", st.value.span)
                return t.ERROR
            case _:
                return got

    def _alloc(self, alloc: s.Alloc, scope: Scope) -> t.Type:
        if alloc.sort.text not in self._model.objects:
            hint = suggest(alloc.sort.text, self._model.objects)
            self._found.error("LZ201", f"unknown object '{alloc.sort}'", alloc.sort.span, hint=hint)
            return t.ERROR
        for name, value in alloc.fields:
            declared = self._model.field_of(alloc.sort.text, name.text)
            if declared is None:
                known = [f.name.text for f in self._model.objects[alloc.sort.text].fields]
                self._found.error("LZ207", f"'{alloc.sort}' has no field '{name}'", name.span, hint=suggest(name.text, known))
                self._exprs.type_of(value, scope, Context(ghost=True))
            else:
                ghost = Context(ghost=declared.storage == "ghost")
                self._exprs.expect(value, self._resolver.resolve(declared.type), scope, ghost)
        return t.ElemType(alloc.sort.text)

    def _assign(self, st: s.Assign, scope: Scope) -> None:
        ghost = self._is_ghost(st.place)
        place = self._exprs.type_of(st.place, scope, Context(ghost=ghost))
        assignable = self._exprs.place(st.place, scope)
        context = Context(ghost=ghost, effects=not self._parallel)
        if isinstance(st.value, s.Alloc):
            got = self._alloc(st.value, scope)
        elif st.op != "=" and isinstance(place, t.SetType) and len(place.sorts) == 1:
            got = self._exprs.type_of(st.value, scope, context)
            if isinstance(got, t.ElemType) and got.sort == place.sorts[0]:
                return
        else:
            got = self._exprs.type_of(st.value, scope, context)
        if isinstance(place, t.ErrorType) or isinstance(got, t.ErrorType) or not assignable:
            return
        match place:
            case t.LockType():
                self._found.error("LZ303", f"a {place} is only locked and unlocked", st.span)
            case t.RefcountType() if place.kinds:
                self._found.error("LZ303", "a refcount with kinds is only changed by get and put", st.span)
            case t.GenType() if st.op == "+=":
                if not (isinstance(got, t.IntType) and got.lo == got.hi == 1):
                    self._found.error("LZ310", "a gen is only incremented by 1", st.value.span)
            case t.GenType() if st.op != "=":
                self._found.error("LZ310", "a gen is only incremented", st.span)
            case t.SetType() if st.op in ("+=", "-=", "&=") or t.fits(got, place):
                if not t.fits(got, place):
                    self._found.error("LZ301", f"expected {place}, but this is {got}", st.value.span)
            case _ if st.op != "=" and not t.is_number(place):
                self._found.error("LZ302", f"'{st.op}' does not go with {place}", st.span)
            case _ if not t.fits(got, place):
                self._found.error("LZ301", f"expected {place}, but this is {got}", st.value.span)

    def _is_ghost(self, place: s.Expr) -> bool:
        match place:
            case s.NameExpr(name=name):
                return name in self._model.vars and self._model.vars[name].storage == "ghost"
            case s.FieldExpr(field=name):
                owners = [*self._model.objects, *self._model.records]
                fields = [self._model.field_of(owner, name.text) for owner in owners]
                return any(f is not None and f.storage == "ghost" for f in fields)
            case s.IndexExpr(base=base):
                return self._is_ghost(base)
            case _:
                return False

    def _return(self, st: s.Return, scope: Scope) -> None:
        if st.value is None:
            if not isinstance(self._result, t.VoidType):
                self._found.error("LZ314", f"a {self._result} must be returned here", st.span)
        elif isinstance(self._result, t.VoidType):
            self._found.error("LZ301", "there is no value to return here", st.value.span)
        else:
            got = self._exprs.type_of(st.value, scope, Context(effects=True))
            if not t.fits(got, self._result):
                self._found.error("LZ301", f"expected {self._result}, but this is {got}", st.value.span)

    def _ipi(self, st: s.IpiCall | s.IpiSend, scope: Scope) -> None:
        handler = self._handler(st.handler)
        if handler is not None:
            self._exprs.arguments(st.handler, handler.params, st.args, scope, Context())
        self._exprs.expect(st.mask, t.SetType((CPU,)), scope, Context())

    def _handler(self, name: s.Name) -> s.InterruptDecl | None:
        handler = self._model.interrupts.get(name.text)
        if handler is None:
            hint = suggest(name.text, self._model.interrupts)
            self._found.error("LZ201", f"unknown interrupt '{name}'", name.span, hint=hint)
        elif handler.when is not None:
            self._found.error("LZ309", f"'{name}' raises itself and cannot be sent", name.span)
        return handler

    def _defined(self, name: str) -> bool:
        return name in self._model.procs or name in self._model.fns

    # -- calls in circles

    def _circles(self) -> None:
        callees = {name: set(_calls(p.body)) for name, p in self._model.procs.items() if p.body is not None}
        callees |= {name: set(_calls(f.body)) for name, f in self._model.fns.items()}
        for name, interrupt in self._model.interrupts.items():
            callees[name] = set(_calls(interrupt.body))
        done: set[str] = set()
        for name in callees:
            self._circle(name, [], callees, done)

    def _circle(self, name: str, path: list[str], callees: Mapping[str, set[str]], done: set[str]) -> None:
        if name in path:
            m = self._model
            declared: s.Declaration = m.procs.get(name) or m.fns.get(name) or m.interrupts[name]
            circle = " -> ".join([*path[path.index(name) :], name])
            self._found.error("LZ205", f"procs are inlined, so they cannot call themselves: {circle}", declared.span)
        elif name in callees and name not in done:
            for callee in sorted(callees[name]):
                self._circle(callee, [*path, name], callees, done)
            done.add(name)


def _static_span(model: Model, name: str) -> s.Span:
    declared = model.values[name]
    return declared.span


def _calls(node: object) -> Iterator[str]:
    """The names of all that is called in a piece of syntax, handlers run by `call` included."""
    match node:
        case s.CallExpr(callee=callee):
            yield callee.text
        case s.IpiCall(handler=handler):
            yield handler.text
        case _:
            pass
    if isinstance(node, tuple):
        for part in node:
            yield from _calls(part)
    elif isinstance(node, s.Node):
        for name in node.__dataclass_fields__:
            if name != "span":
                yield from _calls(getattr(node, name))


def _falls_through(block: s.Block) -> bool:
    """Whether the end of a block can be reached."""
    return not any(_ends(st) for st in block.body)


def _ends(st: s.Stmt) -> bool:
    match st:
        case s.Return() | s.Break() | s.Continue():
            return True
        case s.If(then=then, otherwise=otherwise):
            return otherwise is not None and not _falls_through(then) and not _falls_through(otherwise)
        case s.Either(branches=branches):
            return all(not _falls_through(b) for b in branches)
        case s.While(condition=None, body=body):
            return not any(isinstance(x, s.Break) for x in _statements(body))
        case s.Section(body=body):
            return not _falls_through(body)
        case _:
            return False


def _statements(node: object) -> Iterator[s.Statement]:
    if isinstance(node, s.Statement):
        yield node
    if isinstance(node, tuple):
        for part in node:
            yield from _statements(part)
    elif isinstance(node, s.Node):
        for name in node.__dataclass_fields__:
            if name != "span":
                yield from _statements(getattr(node, name))
