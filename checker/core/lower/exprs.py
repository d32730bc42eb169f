"""Expressions of the language to expressions of the System.

Every lowering also collects the conditions under which the expression has a
value: no null dereferenced, no freed object read, no index out of range.
"""

from __future__ import annotations

from dataclasses import replace
from typing import assert_never

from checker.core import fold
from checker.core import system as y
from checker.core.lower import gens
from checker.core.lower.access import Access
from checker.core.lower.context import current_name
from checker.core.lower.scope import Bound, Env, Typed
from checker.core.lower.shapes import Condition, GenValue, Place, RecordValue, SetValue, Value
from checker.core.lower.values import (
    capacity,
    choose,
    combine_sets,
    compare,
    int_type,
    next_value,
    plain,
    seq_len,
)
from checker.lang import syntax as s
from checker.lang import types as t
from checker.lang.diagnostics import UserError
from checker.lang.names import CPU
from checker.lang.source import Span


class ExprLowerer(Access):
    """Lowers expressions; `conditions` collects what must hold for them to have a value."""

    # -- entry points

    def condition(self, expr: s.Expr, env: Env) -> y.Expr:
        """A truth value; an optional element counts as true where it is not null."""
        value, type_ = self.value(expr, env)
        return self.truth(value, type_)

    def truth(self, value: Value, type_: t.Type) -> y.Expr:
        """The truth value of a value."""
        if isinstance(type_, t.ElemType):
            return fold.ne(plain(value), y.Null(type_.sort))
        return plain(value)

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
                negative = fold.sub(fold.int_lit(0), self.scalar(expr.operand, env))
                return negative, int_type(negative)
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
            return self._compare_gens(expr.op, a, b, expr.span, env)
        if isinstance(a, RecordValue) or isinstance(b, RecordValue):
            same = self.equal(a, b, expr.span, env)
            return same if expr.op == "==" else fold.not_(same)
        if isinstance(a, y.Null) and not a.sort and isinstance(b, y.Null):
            return y.Lit(expr.op == "==", y.BOOL)
        return compare(expr.op, plain(a), plain(b))

    def equal(self, a: Value, b: Value, span: Span, env: Env) -> y.Expr:
        """Whether two values of one type are the same; records are where all their fields are."""
        match a, b:
            case SetValue(), SetValue():
                return self._compare_sets("==", a, b)
            case RecordValue(), RecordValue():
                return fold.and_(self.equal(v, b.fields[name], span, env) for name, v in a.fields.items())
            case GenValue(), GenValue():
                return self._compare_gens("==", a, b, span, env)
            case _:
                return compare("==", plain(a), plain(b))

    def _compare_sets(self, op: str, a: SetValue, b: SetValue) -> y.Expr:
        sorts = a.sorts or b.sorts
        names = tuple(self.fresh("e") for _ in sorts)
        elements = tuple(y.Param(n, sort) for n, sort in zip(names, sorts, strict=True))
        in_a, in_b = a.contains(elements), b.contains(elements)
        body = fold.implies(in_a, in_b) if op == "<=" else fold.eq(in_a, in_b)
        for name, sort in zip(reversed(names), reversed(sorts), strict=True):
            body = fold.quantify("forall", name, sort, body)
        return fold.not_(body) if op == "!=" else body

    def _compare_gens(self, op: str, a: GenValue, b: GenValue, span: Span, env: Env) -> y.Expr:
        gens.one_moment(a, b, span)
        related = gens.comparable(a, b)
        if env.in_property:
            if op == "!=":
                return fold.not_(fold.and_((related, gens.compare_gens("==", a, b))))
            return fold.and_((related, gens.compare_gens(op, a, b)))
        what = y.Fault("gen_family", "generations of two different counters are compared")
        self.require(related, what, span)
        return gens.compare_gens(op, a, b)

    def _arithmetic(self, expr: s.Binary, env: Env) -> Typed:
        (a, ta), (b, tb) = self.value(expr.left, env), self.value(expr.right, env)
        if isinstance(a, GenValue):
            return GenValue(a.number, a.of, plus_one=True), ta
        if isinstance(a, SetValue) and isinstance(b, SetValue):
            type_ = t.join(ta, tb)
            assert type_ is not None
            return combine_sets(expr.op, a, b), type_
        value = fold.add(plain(a), plain(b)) if expr.op == "+" else fold.sub(plain(a), plain(b))
        return value, int_type(value)

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

    def bind(
        self, binders: tuple[s.Binder, ...], env: Env, *, pointer: bool = False
    ) -> tuple[tuple[y.Param, ...], Env]:
        """Parameters for the binders, and an environment in which their names mean them."""
        inside = env.child()
        params = []
        for binder in binders:
            param = y.Param(self.fresh(binder.name.text), binder.sort.text)
            inside.names[binder.name.text] = Bound(t.ElemType(binder.sort.text), param, pointer)
            params.append(param)
        return tuple(params), inside

    # -- fns and primitives without effect

    def _call(self, expr: s.CallExpr, env: Env) -> Typed:
        name = expr.callee.text
        if name in self.model.fns:
            fn = self.model.fns[name]
            inside = replace(env, names={}, in_fn=True)
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
            case "running":
                value, type_ = self.value(first, env)
                assert isinstance(type_, t.ElemType)
                probe = self.fresh("c")
                runs = y.Read(current_name(type_.sort), (y.Param(probe, CPU),), y.Elem(type_.sort, True))
                return y.Quant("exists", probe, CPU, fold.eq(runs, plain(value))), t.BOOL
            case "task_on":
                (sort,) = self.model.task_sorts()
                return self.task_on(self.element(first, CPU, env), sort), t.ElemType(sort, optional=True)
            case "len":
                (seq, *_) = self.seq_parts(self.place(first, env)).values()
                return seq_len(seq), t.IntType(0, capacity(seq))
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
                return next_value(value), type_
            case "READ_ONCE" | "smp_load_acquire":
                return self.value(first, env)
            case _:
                raise UserError.of("LZ305", f"'{name}' has effects and cannot be a part of an expression", expr.span)

    def lock_by(self, place: Place) -> y.Read:
        """The variable that says what class of context holds a lock."""
        by = y.Enum("holder", self.shapes.lock_classes)
        return y.Read(f"{place.name}.by", place.index, by)


def _points(arg: s.Expr, env: Env) -> bool:
    """Whether an argument is a pointer that code holds (not a quantified variable)."""
    return not (isinstance(arg, s.NameExpr) and arg.name in env.names and not env.names[arg.name].pointer)
