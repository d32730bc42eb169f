"""Expressions of the language to expressions of the System.

Every lowering also collects the conditions under which the expression has a
value: no null dereferenced, no freed object read, no index out of range.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import assert_never

from checker.core import fold
from checker.core import system as y
from checker.core.lower.shapes import Condition, GenValue, Place, RecordValue, SetValue, Shapes, Value, scalar_type
from checker.lang import syntax as s
from checker.lang import types as t
from checker.lang.diagnostics import UserError
from checker.lang.exprcheck import dimensions, flatten_index
from checker.lang.names import CPU, Model
from checker.lang.resolve import ConfigValue, TypeResolver
from checker.lang.source import Span


@dataclass(frozen=True, slots=True)
class Bound:
    """What a local name stands for: a place, or a value of a type.

    `pointer` is false for quantified variables: looking at the fields of a freed
    object through them is an observation, not a dereference.
    """

    type: t.Type
    value: Value | Place
    pointer: bool = True


@dataclass(slots=True)
class Env:
    """The names an expression can use, and the CPU it runs on (None in properties)."""

    this_cpu: y.Expr | None
    names: dict[str, Bound] = field(default_factory=dict)
    irqs_off: bool = False
    in_property: bool = False

    def child(self) -> Env:
        """A copy that can be added to."""
        return Env(self.this_cpu, dict(self.names), self.irqs_off, self.in_property)


Typed = tuple[Value, t.Type]


class ExprLowerer:
    """Lowers expressions; `conditions` collects what must hold for them to have a value."""

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

    # -- entry points

    def scalar(self, expr: s.Expr, env: Env) -> y.Expr:
        """A scalar value."""
        value, _ = self.value(expr, env)
        return plain(value)

    def condition(self, expr: s.Expr, env: Env) -> y.Expr:
        """A truth value; an optional element counts as true where it is not null."""
        value, type_ = self.value(expr, env)
        return self.truth(value, type_)

    def truth(self, value: Value, type_: t.Type) -> y.Expr:
        """The truth value of a value."""
        if isinstance(type_, t.ElemType):
            return fold.ne(plain(value), y.Null(type_.sort))
        return plain(value)

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

    # -- values

    def value(self, expr: s.Expr, env: Env) -> Typed:
        """The value and the type of an expression."""
        match expr:
            case s.Number(value=value):
                return fold.int_lit(value), t.IntType(value, value)
            case s.Truth(value=value):
                return y.Lit(value, y.BOOL), t.BOOL
            case s.NullExpr():
                return y.Null(""), t.NullType()
            case s.NameExpr():
                return self._name(expr, env)
            case s.FieldExpr() | s.IndexExpr():
                return self._part(expr, env)
            case s.CallExpr():
                return self._call(expr, env)
            case s.Unary(op="!"):
                return fold.not_(self.condition(expr.operand, env)), t.BOOL
            case s.Unary():
                value = self.scalar(expr.operand, env)
                negative = fold.sub(fold.int_lit(0), value)
                return negative, _int_type(negative)
            case s.Binary():
                return self._binary(expr, env)
            case s.Conditional():
                condition = self.condition(expr.condition, env)
                with self.under(condition):
                    then = self.value(expr.then, env)
                with self.under(fold.not_(condition)):
                    otherwise = self.value(expr.otherwise, env)
                type_ = t.join(then[1], otherwise[1])
                assert type_ is not None
                return choose(condition, self.fit(then, type_), self.fit(otherwise, type_)), type_
            case s.SetLiteral(elements=()):
                return SetValue((), lambda _: y.FALSE), t.EmptySetType()
            case s.SetLiteral():
                return self._set_literal(expr, env)
            case s.Comprehension():
                return self._comprehension(expr, env)
            case s.Quantified():
                return self._quantified(expr, env), t.BOOL
            case s.Alloc():
                raise AssertionError("alloc is a statement")
            case _:
                assert_never(expr)

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

    # -- names, places, parts

    def _name(self, expr: s.NameExpr, env: Env) -> Typed:
        name = expr.name
        if name in env.names:
            bound = env.names[name]
            value = self.read(bound.value, expr.span, env) if isinstance(bound.value, Place) else bound.value
            return value, bound.type if not isinstance(bound.type, t.RefcountType) else t.IntType(0, bound.type.bound)
        if name == "this_cpu":
            return self.this_cpu(env, expr.span), t.ElemType(CPU)
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

    def this_cpu(self, env: Env, span: Span) -> y.Expr:
        """The CPU that the code runs on; an error where it runs on none."""
        if env.this_cpu is None:
            where = "a property" if env.in_property else "a thread that runs on no CPU"
            raise UserError.of("LZ311", f"there is no 'this_cpu' in {where}", span)
        return env.this_cpu

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
        type_ = self.resolver.resolve(declared.type)
        ghost, machine = declared.storage == "ghost", declared.storage == "hw"
        if declared.percpu and len(indices) > dimensions(type_):
            place = Place(t.ArrayType(type_, (CPU,)), name, (), True, ghost, machine)
        elif declared.percpu:
            if env.this_cpu is None:
                hint = f"write {name}[c]" if env.in_property else "run it on CPU"
                raise UserError.of("LZ311", f"'{name}' is a per-CPU variable: which CPU's?", span, hint=hint)
            place = Place(type_, name, (env.this_cpu,), True, ghost, machine)
        else:
            place = Place(type_, name, (), True, ghost, machine)
        return self._behind(place, indices, env)

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
            return self.place(expr.base, env).part(expr.field.text, self.resolver.resolve(declared.type))
        assert isinstance(base_type, t.ElemType)
        owner = base_type.sort
        element = self.element(expr.base, owner, env)
        self.live(element, expr.base, expr.span, env)
        declared = self.model.field_of(owner, expr.field.text)
        assert declared is not None
        type_ = self.resolver.resolve(declared.type)
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
            base_type = self._type_of_base(base, env) if not self._is_percpu(base, env) else t.VOID
            if isinstance(base_type, t.SeqType) and len(indices) == 1:
                return self._seq_item(self.place(base, env), base_type, indices[0], env)
            if isinstance(base, s.NameExpr) and base.name in env.names:
                bound = env.names[base.name].value
                if isinstance(bound, SetValue):
                    return bound.contains(tuple(self.scalar(i, env) for i in indices)), t.BOOL
        if isinstance(expr, s.FieldExpr):
            base_type = self._type_of_base(expr.base, env)
            if isinstance(base_type, t.RecordType):
                record, _ = self.value(expr.base, env)
                assert isinstance(record, RecordValue)
                declared = self.model.field_of(base_type.name, expr.field.text)
                assert declared is not None
                return record.fields[expr.field.text], self.resolver.resolve(declared.type)
        place = self.place(expr, env)
        type_ = place.type
        return self.read(place, expr.span, env), t.IntType(0, type_.bound) if isinstance(
            type_, t.RefcountType
        ) else type_

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
        items = {name: y.Op("get", (seq, number), _seq_element(seq)) for name, seq in seqs.items()}
        return _item(items), type_.element

    def seq_parts(self, place: Place) -> dict[str, y.Expr]:
        """The System's sequences that make up a sequence place: one, or one a field (by field name)."""
        parts = {}
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

    # -- operators

    def _binary(self, expr: s.Binary, env: Env) -> Typed:
        match expr.op:
            case "&&" | "=>" | "||":
                left = self.condition(expr.left, env)
                with self.under(fold.not_(left) if expr.op == "||" else left):
                    right = self.condition(expr.right, env)
                if expr.op == "&&":
                    return fold.and_((left, right)), t.BOOL
                return fold.or_((left, right)) if expr.op == "||" else fold.implies(left, right), t.BOOL
            case "in":
                return self._member(expr, env), t.BOOL
            case "==" | "!=" | "<" | "<=" | ">" | ">=":
                return self._compare(expr, env), t.BOOL
            case _:
                return self._arithmetic(expr, env)

    def _member(self, expr: s.Binary, env: Env) -> y.Expr:
        if self._seq_typed(expr.right, env):
            place = self.place(expr.right, env)
            (seq,) = self.seq_parts(place).values()
            assert isinstance(place.type, t.SeqType)
            element = plain(self.fit(self.value(expr.left, env), place.type.element))
            return y.Op("contains", (seq, element))
        container, _ = self.value(expr.right, env)
        assert isinstance(container, SetValue)
        element = self.scalar(expr.left, env)
        if not container.sorts:
            return y.FALSE
        if isinstance(element.type, y.Elem) and element.type.optional:
            null = y.Null(container.sorts[0])
            return fold.and_((fold.ne(element, null), container.contains((element,))))
        return container.contains((element,))

    def _seq_typed(self, expr: s.Expr, env: Env) -> bool:
        return isinstance(expr, s.NameExpr | s.FieldExpr | s.IndexExpr) and isinstance(
            self._type_of_base(expr, env), t.SeqType
        )

    def _compare(self, expr: s.Binary, env: Env) -> y.Expr:
        left, right = self.value(expr.left, env), self.value(expr.right, env)
        type_ = t.join(left[1], right[1])
        assert type_ is not None
        a, b = self.fit(left, type_), self.fit(right, type_)
        if isinstance(a, SetValue) or isinstance(b, SetValue):
            assert isinstance(a, SetValue) and isinstance(b, SetValue)
            return self._compare_sets(expr.op, a, b)
        if isinstance(a, GenValue) or isinstance(b, GenValue):
            assert isinstance(a, GenValue) and isinstance(b, GenValue)
            return self._compare_gens(expr, a, b, env)
        if isinstance(a, y.Null) and not a.sort and isinstance(b, y.Null):
            return y.Lit(expr.op == "==", y.BOOL)
        return compare(expr.op, plain(a), plain(b))

    def _compare_sets(self, op: str, a: SetValue, b: SetValue) -> y.Expr:
        sorts = a.sorts or b.sorts
        names = tuple(self.fresh("e") for _ in sorts)
        elements = tuple(y.Param(n, sort) for n, sort in zip(names, sorts, strict=True))
        in_a, in_b = a.contains(elements), b.contains(elements)
        body = fold.implies(in_a, in_b) if op == "<=" else fold.eq(in_a, in_b)
        for name, sort in zip(reversed(names), reversed(sorts), strict=True):
            body = fold.quantify("forall", name, sort, body)
        return fold.not_(body) if op == "!=" else body

    def _compare_gens(self, expr: s.Binary, a: GenValue, b: GenValue, env: Env) -> y.Expr:
        zero = y.Lit(0, y.Gen())
        if not env.in_property:
            never = fold.or_(fold.and_((fold.eq(g.number, zero),)) for g in (a, b))
            same: y.Expr = y.TRUE
            if a.of is not None and b.of is not None:
                gone = y.Null(a.of.type.sort) if isinstance(a.of.type, y.Elem) else None
                alive = fold.ne(a.of, gone) if gone is not None else y.TRUE
                same = fold.and_((fold.eq(a.of, b.of), alive))
            self.require(
                fold.or_((never, same)),
                y.Fault("gen_family", "generations of two different counters are compared"),
                expr.span,
            )
        if a.plus_one and not b.plus_one:
            a, b = b, a
            op = {"<": ">", "<=": ">=", ">": "<", ">=": "<="}.get(expr.op, expr.op)
        else:
            op = expr.op
        if not b.plus_one or a.plus_one:
            return compare(op, a.number, b.number)
        follows = fold.and_((fold.ne(b.number, zero), y.Op("eq", (a.number, y.Op("add", (b.number, fold.int_lit(1)), y.Gen())))))
        match op:
            case "==":
                return follows
            case "!=":
                return fold.not_(follows)
            case "<":  # a < b + 1
                return compare("<=", a.number, b.number)
            case ">=":
                return compare(">", a.number, b.number)
            case "<=":
                return fold.or_((compare("<=", a.number, b.number), follows))
            case _:
                return fold.and_((compare(">", a.number, b.number), fold.not_(follows)))

    def _arithmetic(self, expr: s.Binary, env: Env) -> Typed:
        (a, ta), (b, tb) = self.value(expr.left, env), self.value(expr.right, env)
        if isinstance(a, GenValue):
            return GenValue(a.number, a.of, plus_one=True), ta
        if isinstance(a, SetValue) and isinstance(b, SetValue):
            type_ = t.join(ta, tb)
            assert type_ is not None
            return combine_sets(expr.op, a, b), type_
        value = fold.add(plain(a), plain(b)) if expr.op == "+" else fold.sub(plain(a), plain(b))
        return value, _int_type(value)

    # -- sets and quantifiers

    def _set_literal(self, expr: s.SetLiteral, env: Env) -> Typed:
        elements = [self.scalar(e, env) for e in expr.elements]
        first = elements[0].type
        assert isinstance(first, y.Elem)
        sort = first.sort

        def contains(e: tuple[y.Expr, ...]) -> y.Expr:
            return fold.or_(fold.eq(e[0], element) for element in elements)

        return SetValue((sort,), contains), t.SetType((sort,))

    def _comprehension(self, expr: s.Comprehension, env: Env) -> Typed:
        sorts = tuple(b.sort.text for b in expr.binders)
        if expr.where is None:
            return SetValue(sorts, lambda _: y.TRUE), t.SetType(sorts)
        params, inside = self.bind(expr.binders, env)
        body, conditions = self._inside(expr.where, inside)
        self._require_for_all(params, conditions)

        def contains(e: tuple[y.Expr, ...]) -> y.Expr:
            return fold.substitute(body, {p.name: x for p, x in zip(params, e, strict=True)})

        return SetValue(sorts, contains), t.SetType(sorts)

    def _quantified(self, expr: s.Quantified, env: Env) -> y.Expr:
        params, inside = self.bind(expr.binders, env)
        where, conditions = self._inside(expr.where, inside) if expr.where is not None else (y.TRUE, [])
        self._require_for_all(params, conditions)
        body, conditions = self._inside(expr.body, inside)
        self._require_for_all(params, [Condition(fold.implies(where, c.holds), c.fault, c.span) for c in conditions])
        body = fold.implies(where, body) if expr.kind == "forall" else fold.and_((where, body))
        for param in reversed(params):
            body = fold.quantify(expr.kind, param.name, param.sort, body)
        return body

    def _inside(self, expr: s.Expr, env: Env) -> tuple[y.Expr, list[Condition]]:
        """A condition and what it needs, apart from what is collected outside."""
        outer, self.conditions = self.conditions, []
        under, self._under = self._under, []
        value = self.condition(expr, env)
        found, self.conditions, self._under = self.conditions, outer, under
        return value, found

    def _require_for_all(self, params: tuple[y.Param, ...], conditions: list[Condition]) -> None:
        for c in conditions:
            holds = c.holds
            for param in reversed(params):
                holds = fold.quantify("forall", param.name, param.sort, holds)
            self.require(holds, c.fault, c.span)

    def bind(self, binders: tuple[s.Binder, ...], env: Env, *, pointer: bool = False) -> tuple[tuple[y.Param, ...], Env]:
        """Parameters for the binders, and an environment in which their names mean them."""
        inside = env.child()
        params = []
        for binder in binders:
            param = y.Param(self.fresh(binder.name.text), binder.sort.text)
            inside.names[binder.name.text] = Bound(t.ElemType(binder.sort.text), param, pointer)
            params.append(param)
        return tuple(params), inside

    def fresh(self, name: str) -> str:
        """A parameter name that no other quantifier of the model has, so that nothing is captured."""
        candidate, number = name, 1
        while candidate in self._bound_names:
            number += 1
            candidate = f"{name}_{number}"
        self._bound_names.add(candidate)
        return candidate

    # -- fns and primitives without effect

    def _call(self, expr: s.CallExpr, env: Env) -> Typed:
        name = expr.callee.text
        if name in self.model.fns:
            fn = self.model.fns[name]
            inside = Env(env.this_cpu, {}, env.irqs_off, env.in_property)
            for param, arg in zip(fn.params, expr.args, strict=True):
                type_ = self.resolver.resolve(param.type)
                if isinstance(type_, t.SeqType | t.LockType) or param.ref:
                    inside.names[param.name.text] = Bound(type_, self.place(arg, env))
                else:
                    typed = self.value(arg, env)
                    inside.names[param.name.text] = Bound(type_, self.fit(typed, type_), _points(arg, env))
            value, type_ = self.value(fn.body, inside)
            result = self.resolver.resolve(fn.result)
            return self.fit((value, type_), result), result
        first = expr.args[0] if expr.args else None
        if name == "irqs_disabled":
            return y.Lit(env.irqs_off, y.BOOL), t.BOOL
        assert first is not None
        match name:
            case "live":
                value, type_ = self.value(first, env)
                assert isinstance(type_, t.ElemType)
                element = plain(value)
                self.not_null(element, first.span, env)
                return y.Read(f"{type_.sort}.live", (element,), y.BOOL), t.BOOL
            case "len":
                (seq, *_) = self.seq_parts(self.place(first, env)).values()
                return seq_len(seq), t.IntType(0, _capacity(seq))
            case "size":
                value, _ = self.value(first, env)
                assert isinstance(value, SetValue) and len(value.sorts) == 1
                element_name = self.fresh("e")
                body = value.contains((y.Param(element_name, value.sorts[0]),))
                return y.Quant("count", element_name, value.sorts[0], body), t.IntType(0, 1 << 30)
            case "held":
                place = self.place(first, env)
                by = self.lock_by(place)
                return fold.ne(by, y.Lit(0, by.type)), t.BOOL
            case "next":
                value, type_ = self.value(first, env)
                return _next(value), type_
            case "READ_ONCE" | "smp_load_acquire":
                return self.value(first, env)
            case _:
                raise UserError.of("LZ305", f"'{name}' has effects and cannot be a part of an expression", expr.span)

    def lock_by(self, place: Place) -> y.Read:
        """The variable that says what class of context holds a lock."""
        by = y.Enum("holder", self.shapes.lock_classes)
        return y.Read(f"{place.name}.by", place.index, by)


# -- small things


def plain(value: Value) -> y.Expr:
    """A value that is a scalar."""
    assert not isinstance(value, SetValue | GenValue | RecordValue), value
    return value


def choose(condition: y.Expr, then: Value, otherwise: Value) -> Value:
    """If-then-else on values of any shape."""
    match then, otherwise:
        case SetValue(), SetValue():
            return SetValue(
                then.sorts or otherwise.sorts,
                lambda e: fold.ite(condition, then.contains(e), otherwise.contains(e)),
            )
        case GenValue(), GenValue():
            of = fold.ite(condition, then.of, otherwise.of) if then.of is not None and otherwise.of is not None else None
            return GenValue(fold.ite(condition, then.number, otherwise.number), of)
        case RecordValue(), RecordValue():
            return RecordValue({f: choose(condition, v, otherwise.fields[f]) for f, v in then.fields.items()})
        case _:
            return fold.ite(condition, plain(then), plain(otherwise))


def combine_sets(op: str, a: SetValue, b: SetValue) -> SetValue:
    """Union, difference or intersection."""

    def contains(e: tuple[y.Expr, ...]) -> y.Expr:
        match op:
            case "+":
                return fold.or_((a.contains(e), b.contains(e)))
            case "-":
                return fold.and_((a.contains(e), fold.not_(b.contains(e))))
            case _:
                return fold.and_((a.contains(e), b.contains(e)))

    return SetValue(a.sorts or b.sorts, contains)


def compare(op: str, a: y.Expr, b: y.Expr) -> y.Expr:
    """A comparison of scalars by the language's sign."""
    match op:
        case "==":
            return fold.eq(a, b)
        case "!=":
            return fold.ne(a, b)
        case "<":
            return fold.compare("lt", a, b)
        case "<=":
            return fold.compare("le", a, b)
        case ">":
            return fold.compare("gt", a, b)
        case _:
            return fold.compare("ge", a, b)


def seq_len(seq: y.Expr) -> y.Expr:
    """The length of a sequence."""
    return y.Op("len", (seq,), y.Int(0, _capacity(seq)))


def _capacity(seq: y.Expr) -> int:
    assert isinstance(seq.type, y.Seq)
    return seq.type.capacity


def _seq_element(seq: y.Expr) -> y.Type:
    assert isinstance(seq.type, y.Seq)
    return seq.type.element


def _item(items: Mapping[str, y.Expr]) -> Value:
    """A sequence's item: a scalar, or a record of one item a field."""
    return items[""] if "" in items else RecordValue(dict(items))


def _int_type(value: y.Expr) -> t.IntType:
    bounds = fold.range_of(value)
    return t.IntType(bounds.lo, bounds.hi)


def _next(value: Value) -> Value:
    match value:
        case SetValue(sorts=sorts):
            return SetValue(sorts, lambda e: y.Next(value.contains(e)))
        case GenValue():
            return GenValue(y.Next(value.number), y.Next(value.of) if value.of is not None else None, value.plus_one)
        case RecordValue():
            return RecordValue({f: _next(v) for f, v in value.fields.items()})
        case _:
            return y.Next(value)


def _points(arg: s.Expr, env: Env) -> bool:
    """Whether an argument is a pointer that code holds (not a quantified variable)."""
    return not (isinstance(arg, s.NameExpr) and arg.name in env.names and not env.names[arg.name].pointer)
