"""Places: what names, fields and indices lead to, and what must hold for getting there."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from checker.core import fold
from checker.core import system as y
from checker.core.lower.context import current_name
from checker.core.lower.scope import Env, Typed
from checker.core.lower.shapes import Condition, GenValue, Place, RecordValue, SetValue, Shapes, Value, scalar_type
from checker.core.lower.values import item, plain, seq_element, seq_len
from checker.lang import syntax as s
from checker.lang import types as t
from checker.lang.diagnostics import UserError
from checker.lang.indexing import flatten_index, names_cpu
from checker.lang.names import CPU, Model
from checker.lang.resolve import ConfigValue, TypeResolver
from checker.lang.source import Span


class Access(ABC):
    """Lowers what leads to a place; `conditions` collects what must hold for it to be there."""

    def __init__(
        self,
        model: Model,
        config: Mapping[str, ConfigValue],
        resolver: TypeResolver,
        shapes: Shapes,
        variables: Mapping[str, y.Var],
    ) -> None:
        self.model = model
        self.config = config
        self.resolver = resolver
        self.shapes = shapes
        self.variables = variables
        self.conditions: list[Condition] = []
        self._under: list[y.Expr] = []
        self._bound_names: set[str] = set()

    def take_conditions(self) -> list[Condition]:
        """The conditions collected since the last call."""
        taken, self.conditions = self.conditions, []
        return taken

    def require(self, holds: y.Expr, fault: y.Fault, span: Span) -> None:
        """Add a condition, under those of the expression around it."""
        holds = fold.implies(fold.and_(self._under), holds)
        if holds != y.TRUE and not any(c.holds == holds for c in self.conditions):
            self.conditions.append(Condition(holds, fault, span))

    @contextmanager
    def under(self, condition: y.Expr) -> Iterator[None]:
        """Conditions collected inside matter only where `condition` is true."""
        self._under.append(condition)
        yield
        self._under.pop()

    @abstractmethod
    def value(self, expr: s.Expr, env: Env) -> Typed:
        """The value and the type of an expression."""

    def scalar(self, expr: s.Expr, env: Env) -> y.Expr:
        """A scalar value."""
        value, _ = self.value(expr, env)
        return plain(value)

    def fit(self, typed: Typed, wanted: t.Type) -> Value:
        """The value as one of type `wanted`: null and {} learn of what, 0 becomes a generation."""
        value, type_ = typed
        match type_, wanted:
            case t.NullType(), t.ElemType(sort=sort):
                return y.Null(sort)
            case t.EmptySetType(), t.SetType(sorts=sorts):
                return SetValue(sorts, lambda _: y.FALSE)
            case t.IntType(), t.GenType():
                head = self.shapes.head_of(wanted)
                of = y.Null(head.sort) if head is not None and head.sort is not None else None
                return GenValue(y.Lit(0, y.Gen()), of)
            case _:
                return value

    def fresh(self, name: str) -> str:
        """A parameter name that no other quantifier of the model has, so that nothing is captured."""
        candidate, number = name, 1
        while candidate in self._bound_names:
            number += 1
            candidate = f"{name}_{number}"
        self._bound_names.add(candidate)
        return candidate

    # -- names, places, parts

    def _name(self, expr: s.NameExpr, env: Env) -> Typed:
        name = expr.name
        if name in env.names:
            bound = env.names[name]
            value = self.read(bound.value, expr.span, env) if isinstance(bound.value, Place) else bound.value
            return value, bound.type if not isinstance(bound.type, t.RefcountType) else t.IntType(0, bound.type.bound)
        if name == "this_cpu":
            return self.this_cpu(env, expr.span), t.ElemType(CPU)
        if name == "this_task" and name not in self.model.values:
            return self._this_task(expr.span, env)
        if name in self.config:
            return self.config_value(name)
        enum = self.model.enum_of(name)
        if enum is not None:
            members = tuple(m.text for m in enum.members)
            return y.Lit(members.index(name), y.Enum(enum.name.text, members)), t.EnumType(enum.name.text, members)
        if name in self.model.statics:
            sort = self.model.statics[name]
            return y.Static(sort, name), t.ElemType(sort)
        return self._part(expr, env)

    def config_value(self, name: str) -> Typed:
        """The constant that a config is here."""
        value = self.config[name]
        if isinstance(value, bool):
            return y.Lit(value, y.BOOL), t.BOOL
        if isinstance(value, int):
            return fold.int_lit(value), t.IntType(value, value)
        return self._name(s.NameExpr(value), Env(None))

    def this_cpu(self, env: Env, span: Span, name: str = "this_cpu") -> y.Expr:
        """The CPU that the code runs on; an error where it runs on none."""
        if env.this_cpu is None:
            where = "a property" if env.in_property else "a thread that runs on no CPU"
            raise UserError.of("LZ311", f"there is no '{name}' in {where}", span)
        return env.this_cpu

    def _this_task(self, span: Span, env: Env) -> Typed:
        """The task whose code this is; in a handler, the one that it interrupted."""
        (sort,) = self.model.task_sorts()
        cpu = self.this_cpu(env, span, "this_task")
        task = env.this_task if env.this_task is not None else self.task_on(cpu, sort)
        return task, t.ElemType(sort, optional=True)

    def task_on(self, cpu: y.Expr, sort: str) -> y.Expr:
        """The task of that sort that a CPU runs, or null."""
        return y.Read(current_name(sort), (cpu,), y.Elem(sort, True))

    def place(self, expr: s.Expr, env: Env) -> Place:
        """The place that an expression names; conditions for getting there are collected."""
        match expr:
            case s.NameExpr(name=name):
                if name in env.names:
                    bound = env.names[name]
                    if isinstance(bound.value, Place):
                        return bound.value
                    raise UserError.of("LZ303", f"'{name}' cannot be assigned to", expr.span)
                return self._global(name, (), expr.span, env)
            case s.FieldExpr():
                return self._field_place(expr, env)
            case s.IndexExpr():
                base, indices = flatten_index(expr)
                if isinstance(base, s.NameExpr) and base.name not in env.names:
                    return self._global(base.name, indices, expr.span, env)
                place = self.place(base, env)
                return self._behind(place, indices, env)
            case _:
                raise UserError.of("LZ303", "this cannot be assigned to", expr.span)

    def _global(self, name: str, indices: tuple[s.Expr, ...], span: Span, env: Env) -> Place:
        declared = self.model.vars[name]
        type_ = self.resolver.declared(declared)
        ghost, machine = declared.storage == "ghost", declared.storage == "hw"
        if declared.percpu and self._names_cpu(type_, indices, env):
            place = Place(t.ArrayType(type_, (CPU,)), name, (), True, ghost, machine)
        elif declared.percpu:
            if env.this_cpu is None:
                hint = f"write {name}[c]" if env.in_property else "run it on CPU"
                raise UserError.of("LZ311", f"'{name}' is a per-CPU variable: which CPU's?", span, hint=hint)
            place = Place(type_, name, (env.this_cpu,), True, ghost, machine)
        else:
            place = Place(type_, name, (), True, ghost, machine)
        return self._behind(place, indices, env)

    def _names_cpu(self, own: t.Type, indices: tuple[s.Expr, ...], env: Env) -> bool:
        """Whether the first index on a per-CPU variable says which CPU's."""
        here = not env.in_property or env.in_fn
        return bool(indices) and names_cpu(own, self._type_of_base(indices[0], env), len(indices), has_cpu=here)

    def _behind(self, place: Place, indices: tuple[s.Expr, ...], env: Env) -> Place:
        """The place behind indices: of arrays and, as a Bool, of sets."""
        for expr in indices:
            match place.type:
                case t.ArrayType(element=element, index=(sort, *rest)):
                    inner: t.Type = t.ArrayType(element, tuple(rest)) if rest else element
                case t.SetType(sorts=(sort, *rest)):
                    inner = t.SetType(tuple(rest)) if rest else t.BOOL
                case _:
                    raise UserError.of("LZ302", f"a {place.type} cannot be indexed here", expr.span)
            place = place.indexed((self.element(expr, sort, env),), inner)
        return place

    def element(self, expr: s.Expr, sort: str, env: Env) -> y.Expr:
        """An element that must not be null."""
        value, type_ = self.value(expr, env)
        element = plain(self.fit((value, type_), t.ElemType(sort, optional=True)))
        self.not_null(element, expr.span, env)
        return element

    def not_null(self, element: y.Expr, span: Span, env: Env) -> None:
        """Collect that an element is not null."""
        if isinstance(element.type, y.Elem) and element.type.optional and not env.in_property:
            null = y.Null(element.type.sort)
            self.require(fold.ne(element, null), y.Fault("null", "null is dereferenced"), span)

    def _field_place(self, expr: s.FieldExpr, env: Env) -> Place:
        base_type = self._type_of_base(expr.base, env)
        if isinstance(base_type, t.RecordType):
            declared = self.model.field_of(base_type.name, expr.field.text)
            assert declared is not None
            return self.place(expr.base, env).part(expr.field.text, self.resolver.declared(declared))
        assert isinstance(base_type, t.ElemType)
        owner = base_type.sort
        element = self.element(expr.base, owner, env)
        self.live(element, expr.base, expr.span, env)
        declared = self.model.field_of(owner, expr.field.text)
        assert declared is not None
        type_ = self.resolver.declared(declared)
        ghost, machine = declared.storage == "ghost", declared.storage == "hw"
        return Place(type_, f"{owner}.{expr.field.text}", (element,), True, ghost, machine)

    def _type_of_base(self, expr: s.Expr, env: Env) -> t.Type:
        """The type of an expression without collecting its conditions."""
        before = list(self.conditions)
        if isinstance(expr, s.NameExpr | s.FieldExpr | s.IndexExpr):
            try:
                type_ = self.place(expr, env).type
            except (UserError, KeyError):
                type_ = self.value(expr, env)[1]
        else:
            type_ = self.value(expr, env)[1]
        self.conditions = before
        return type_

    def live(self, element: y.Expr, base: s.Expr | None, span: Span, env: Env) -> None:
        """Collect that an object is live, where code dereferences a pointer to it."""
        if env.in_property or isinstance(element, y.Static) or not isinstance(element.type, y.Elem):
            return
        if isinstance(base, s.NameExpr) and base.name in env.names and not env.names[base.name].pointer:
            return
        sort = element.type.sort
        message = f"use after free: a field of a freed {sort} is accessed"
        self.require(y.Read(f"{sort}.live", (element,), y.BOOL), y.Fault("use_after_free", message), span)

    def _part(self, expr: s.NameExpr | s.FieldExpr | s.IndexExpr, env: Env) -> Typed:
        if isinstance(expr, s.IndexExpr):
            base, indices = flatten_index(expr)
            base_type: t.Type = t.VOID
            if not self._is_percpu(base, env):
                base_type = self._type_of_base(base, env)
                if isinstance(base_type, t.SeqType) and len(indices) == 1:
                    return self._seq_item(self.place(base, env), base_type, indices[0], env)
            elif isinstance(base, s.NameExpr):
                own = self.resolver.declared(self.model.vars[base.name])
                whose = 1 if self._names_cpu(own, indices, env) else 0
                if isinstance(own, t.SeqType) and len(indices) == whose + 1:
                    place = self._global(base.name, indices[:whose], expr.span, env)
                    return self._seq_item(place, own, indices[whose], env)
            if isinstance(base_type, t.SetType) and not self._has_place(base, env):
                value, _ = self.value(base, env)
                assert isinstance(value, SetValue)
                elements = zip(indices, base_type.sorts, strict=True)
                return value.contains(tuple(self.element(i, sort, env) for i, sort in elements)), t.BOOL
        if isinstance(expr, s.FieldExpr):
            base_type = self._type_of_base(expr.base, env)
            if isinstance(base_type, t.RecordType):
                record, _ = self.value(expr.base, env)
                assert isinstance(record, RecordValue)
                declared = self.model.field_of(base_type.name, expr.field.text)
                assert declared is not None
                return record.fields[expr.field.text], self.resolver.declared(declared)
        place = self.place(expr, env)
        type_ = place.type
        return self.read(place, expr.span, env), t.IntType(0, type_.bound) if isinstance(
            type_, t.RefcountType
        ) else type_

    def _has_place(self, expr: s.Expr, env: Env) -> bool:
        """Whether an expression names a place, not the value of a parameter or of a call."""
        while isinstance(expr, s.IndexExpr | s.FieldExpr):
            if isinstance(expr, s.FieldExpr) and isinstance(self._type_of_base(expr.base, env), t.ElemType):
                return True
            expr = expr.base
        return isinstance(expr, s.NameExpr) and (
            expr.name not in env.names or isinstance(env.names[expr.name].value, Place)
        )

    def _is_percpu(self, base: s.Expr, env: Env) -> bool:
        return (
            isinstance(base, s.NameExpr)
            and base.name not in env.names
            and base.name in self.model.vars
            and self.model.vars[base.name].percpu
        )

    def _seq_item(self, place: Place, type_: t.SeqType, index: s.Expr, env: Env) -> Typed:
        number = self.scalar(index, env)
        seqs = self.seq_parts(place)
        length = seq_len(next(iter(seqs.values())))
        within = fold.and_((fold.compare("ge", number, fold.int_lit(0)), fold.compare("lt", number, length)))
        self.require(within, y.Fault("index", "there is nothing at this index of the sequence"), index.span)
        items = {name: y.Op("get", (seq, number), seq_element(seq)) for name, seq in seqs.items()}
        return item(items), type_.element

    def seq_parts(self, place: Place) -> dict[str, y.Expr]:
        """The System's sequences that make up a sequence place: one, or one a field (by field name)."""
        parts: dict[str, y.Expr] = {}
        for leaf in self.shapes.leaves(place.type):
            parts[leaf.suffix.removeprefix(".")] = y.Read(place.name + leaf.suffix, place.index, leaf.type)
        return parts

    def read(self, place: Place, span: Span, env: Env) -> Value:
        """The value in a place."""
        match place.type:
            case t.SetType(sorts=sorts):
                return SetValue(sorts, lambda e: y.Read(place.name, place.index + e, y.BOOL))
            case t.GenType():
                head = self.shapes.head_of(place.type)
                number = y.Read(place.name, place.index, y.Gen())
                if head is None or head.sort is None:
                    return GenValue(number, None)
                if head.var == place.name:
                    return GenValue(number, place.index[0])
                return GenValue(number, y.Read(place.name + ".of", place.index, y.Elem(head.sort, True)))
            case t.RecordType(name=name):
                fields = {f: self.read(place.part(f, ft), span, env) for f, ft in self.shapes.records[name]}
                return RecordValue(fields)
            case t.RefcountType(kinds=kinds, bound=bound) if kinds:
                total: y.Expr = fold.int_lit(0)
                for kind in kinds:
                    total = fold.add(total, y.Read(f"{place.name}.{kind}", place.index, y.Int(0, bound)))
                return total
            case t.ElemType(sort=sort, optional=False):
                return self._required(place, sort, span, env)
            case t.SeqType() | t.LockType() | t.ArrayType():
                raise UserError.of("LZ302", f"a {place.type} is not a value", span)
            case type_:
                return y.Read(place.name, place.index, scalar_type(type_))

    def _required(self, place: Place, sort: str, span: Span, env: Env) -> y.Expr:
        """An element that is never null, except before it was first set."""
        declared = self.variables.get(place.name)
        unset = declared is not None and declared.type == y.Elem(sort, optional=True)
        if unset and place.shared:
            read = y.Read(place.name, place.index, y.Elem(sort, optional=True))
            self.not_null(read, span, env)
            return read
        return y.Read(place.name, place.index, y.Elem(sort))
