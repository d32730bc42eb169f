"""The System's sorts and global variables, from the model's declarations."""

from __future__ import annotations

from collections.abc import Iterator

from checker.core import fold
from checker.core import system as y
from checker.core.lower.context import IRQ, NMI, current_name
from checker.core.lower.exprs import ExprLowerer
from checker.core.lower.ipi import request, slot
from checker.core.lower.locks import PROCESS
from checker.core.lower.scope import Env
from checker.core.lower.shapes import GenHead, GenValue, Leaf, SetValue, Shapes
from checker.lang import syntax as s
from checker.lang import types as t
from checker.lang.diagnostics import UserError
from checker.lang.names import CPU
from checker.lang.resolve import TypeResolver
from checker.lang.source import Span
from checker.lang.typecheck import TypedModel
from checker.lang.walk import bodies, fields_of, nodes


class Declarations:
    """The variables that exist whatever the threads do, and the shapes they were made by."""

    def __init__(self, typed: TypedModel, resolver: TypeResolver) -> None:
        self._model = typed.model
        self._resolver = resolver
        self.variables: dict[str, y.Var] = {}
        self.slots: set[str] = set()  # the variables of pending requests
        self.shapes = self._shapes()
        self._constants = ExprLowerer(typed.model, typed.config, resolver, self.shapes, self.variables)
        self._objects()
        self._globals()
        self._tasks()
        self._slots()

    def sorts(self) -> tuple[y.Sort, ...]:
        """All sorts, with their default sizes and statics."""
        m = self._model
        found = [y.Sort(n, d.size, d.ordered, self._statics(n), False, d.span) for n, d in m.sorts.items()]
        for name, declared in m.objects.items():
            size = declared.size if declared.size is not None else 1
            found.append(y.Sort(name, size, False, self._statics(name), True, declared.span))
        return tuple(found)

    def requests(self, handler: str) -> list[bool]:
        """How a handler is requested: waited for (True), not waited for (False)."""
        kinds = []
        statements = [x for x in nodes(bodies(self._model)) if isinstance(x, s.IpiCall | s.IpiSend)]
        if any(isinstance(x, s.IpiCall) and x.handler.text == handler for x in statements):
            kinds.append(True)
        if any(isinstance(x, s.IpiSend) and x.handler.text == handler for x in statements):
            kinds.append(False)
        return kinds

    def freed_sorts(self) -> list[str]:
        """The objects that some statement of the text frees, whatever the configuration."""
        return [name for name in self._model.objects if self._is_freed(name)]

    def families(self, used: set[str]) -> tuple[y.GenFamily, ...]:
        """The generation counters and the variables that hold copies of their values."""
        found = []
        for head in self.shapes.heads.values():
            copies: list[tuple[str, str | None]] = []
            for name, var in self.variables.items():
                if not isinstance(var.type, y.Gen) or name == head.var or name not in used:
                    continue
                if head.sort is None:
                    copies.append((name, None))
                    continue
                of = self.variables.get(name + ".of")
                if of is not None and of.type == y.Elem(head.sort, True):
                    copies.append((name, name + ".of"))
            found.append(y.GenFamily(head.var, tuple(copies)))
        return tuple(found)

    # -- shapes

    def _shapes(self) -> Shapes:
        m = self._model
        records = {
            name: tuple((f.name.text, self._resolver.declared(f)) for f in r.fields) for name, r in m.records.items()
        }
        classes = ["free", PROCESS, IRQ, NMI]
        sorts = [CPU] if CPU in m.sorts else []
        for thread in m.threads.values():
            on_cpu = thread.on is not None and thread.kind != "hardware"
            if not on_cpu:
                classes.append(thread.name.text)
            if thread.param is not None and thread.param.sort.text not in sorts:
                sorts.append(thread.param.sort.text)
        return Shapes(records, self._heads(), tuple(classes), tuple(sorts))

    def _heads(self) -> dict[str, GenHead]:
        """The generation counters, by the name that `gen of NAME` uses."""
        found: dict[str, GenHead] = {}
        for name, declared in self._resolver.heads.items():
            if isinstance(declared, s.VarDecl):
                sort = CPU if declared.percpu else None
                found[name] = GenHead(
                    name, declared.type.index[0].text if isinstance(declared.type, s.ArrayType) else sort
                )
            else:
                owner = next(o for o, d in self._model.objects.items() if declared in d.fields)
                found[name] = GenHead(f"{owner}.{name}", owner)
        return found

    # -- variables

    def _objects(self) -> None:
        for name, declared in self._model.objects.items():
            me = y.Param("i0", name)
            born = fold.or_(fold.eq(me, y.Static(name, static)) for static in self._statics(name))
            live = y.Var(f"{name}.live", (name,), y.BOOL, born, y.Storage.MEMORY, span=declared.span)
            self.variables[live.name] = live
            for field in declared.fields:
                type_ = self._resolver.declared(field)
                full = f"{name}.{field.name}"
                self._declare(full, (name,), type_, field.storage, field.init, field.span, unset=field.init is None)

    def _globals(self) -> None:
        for name, declared in self._model.vars.items():
            index = (CPU,) if declared.percpu else ()
            type_ = self._resolver.declared(declared)
            self._declare(
                name, index, type_, declared.storage, declared.init, declared.span, unset=declared.init is None
            )

    def _declare(
        self,
        name: str,
        index: tuple[str, ...],
        type_: t.Type,
        storage: str | None,
        init: s.Expr | s.AnyInit | None,
        span: Span,
        *,
        unset: bool,
    ) -> None:
        """The variables of one declaration; an element without a first value begins as null, an error to read."""
        where = {"hw": y.Storage.MACHINE, "ghost": y.Storage.GHOST, None: y.Storage.MEMORY}[storage]
        for leaf in self.shapes.leaves(type_, optional=unset):
            full_index = index + leaf.index
            first = self._first(leaf, type_, full_index, init, name)
            self.variables[name + leaf.suffix] = y.Var(
                name + leaf.suffix, full_index, leaf.type, first, where, leaf.members, span
            )

    def _first(
        self, leaf: Leaf, type_: t.Type, index: tuple[str, ...], init: s.Expr | s.AnyInit | None, name: str
    ) -> y.Expr | None:
        if isinstance(init, s.AnyInit):
            return None
        element = type_
        while isinstance(element, t.ArrayType):
            element = element.element
        if init is None:
            heads = {head.var for head in self.shapes.heads.values()}
            return y.Lit(1, y.Gen()) if name in heads and leaf.suffix == "" else leaf.default
        value = self._constants.fit(self._constants.value(init, Env(None, in_property=True)), element)
        self._constants.take_conditions()
        params = tuple(y.Param(f"i{n}", sort) for n, sort in enumerate(index))
        first: y.Expr
        match value:
            case SetValue(sorts=sorts):
                first = value.contains(params[len(params) - len(sorts) :])
            case GenValue():
                raise UserError.of("LZ310", "a gen has no other first value than its own", init.span)
            case y.Lit() | y.Static() | y.Null() | y.Op() | y.Param():
                first = value
            case _:
                raise UserError.of("LZ308", "a first value must be known before the model runs", init.span)
        if fold.variables(first):
            raise UserError.of("LZ308", "a first value must be known before the model runs", init.span)
        return first

    def _tasks(self) -> None:
        for thread in self._model.threads.values():
            if thread.kind == "task" and thread.param is not None:
                sort = thread.param.sort.text
                name = current_name(sort)
                type_ = y.Elem(sort, optional=True)
                self.variables[name] = y.Var(name, (CPU,), type_, None, y.Storage.MACHINE, span=thread.span)

    def _slots(self) -> None:
        for name, handler in self._model.interrupts.items():
            for waited in self.requests(name):
                pending = request(name, waited)
                self.slots.add(pending)
                pair = (CPU, CPU)
                self.variables[pending] = y.Var(pending, pair, y.BOOL, y.FALSE, y.Storage.MACHINE, span=handler.span)
                for param in handler.params:
                    type_ = self._resolver.resolve(param.type)
                    for leaf in self.shapes.leaves(type_, optional=True):
                        full = slot(name, param.name.text, waited) + leaf.suffix
                        self.variables[full] = y.Var(
                            full, pair + leaf.index, leaf.type, leaf.default, y.Storage.LOCAL, leaf.members, param.span
                        )

    # -- what the text contains

    def _statics(self, sort: str) -> tuple[str, ...]:
        return tuple(name for name, of in self._model.statics.items() if of == sort)

    def _is_freed(self, sort: str) -> bool:
        """Whether some statement frees an object of the sort; told by the names that `free` is given."""
        frees = [x for x in nodes(bodies(self._model)) if isinstance(x, s.Free)]
        return bool(frees) and (len(self._model.objects) == 1 or any(self._frees(f, sort) for f in frees))

    def _frees(self, free: s.Free, sort: str) -> bool:
        match free.object:
            case s.FieldExpr(field=field):
                types = [self._resolver.declared(f) for f in fields_of(self._model) if f.name.text == field.text]
            case s.NameExpr(name=name) if name in self._model.vars:
                types = [self._resolver.declared(self._model.vars[name])]
            case s.NameExpr(name=name):
                types = list(self._named(name, free))
            case _:
                return True
        return any(isinstance(x, t.ElemType) and x.sort == sort for x in types)

    def _named(self, name: str, free: s.Free) -> Iterator[t.Type]:
        """The types of locals and parameters of that name in the bodies that hold the statement."""
        m = self._model
        for holder in (*m.procs.values(), *m.interrupts.values(), *m.threads.values(), *m.inits):
            if not any(x is free for x in nodes(holder)):
                continue
            for node in nodes(holder):
                match node:
                    case s.ParamDecl(name=n, type=type_) if n.text == name:
                        yield self._resolver.resolve(type_)
                    case s.Binder(name=n, sort=sort) if n.text == name:
                        yield t.ElemType(sort.text)
                    case s.Let(name=n) if n.text == name:
                        yield from self._let_types(node)
                    case _:
                        pass

    def _let_types(self, let: s.Let) -> Iterator[t.Type]:
        match let.value:
            case s.Alloc(sort=sort):
                yield t.ElemType(sort.text)
            case _ if let.type is not None:
                yield self._resolver.resolve(let.type)
            case _:
                yield from (t.ElemType(name) for name in self._model.objects)
