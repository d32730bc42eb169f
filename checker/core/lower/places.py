"""Assignments to places of every shape, as operations."""

from __future__ import annotations

from collections.abc import Mapping

from checker.core import fold
from checker.core import system as y
from checker.core.lower.exprs import ExprLowerer
from checker.core.lower.flow import Assign
from checker.core.lower.shapes import GenValue, Place, RecordValue, SetValue, Value
from checker.core.lower.values import combine_sets, plain
from checker.lang import types as t
from checker.lang.source import Span


def store(exprs: ExprLowerer, place: Place, value: Value, span: Span) -> list[Assign]:
    """Operations that put a value into a place; what the value must satisfy goes to `exprs`' conditions."""
    match place.type:
        case t.SetType(sorts=sorts):
            assert isinstance(value, SetValue)
            params = tuple(y.Param(exprs.fresh("e"), sort) for sort in sorts)
            return [Assign(place.name, place.index + params, value.contains(params), params)]
        case t.RecordType(name=name):
            assert isinstance(value, RecordValue)
            return [
                op
                for field, type_ in exprs.shapes.records[name]
                for op in store(exprs, place.part(field, type_), value.fields[field], span)
            ]
        case t.GenType():
            return _store_gen(exprs, place, value, span)
        case t.IntType() | t.RefcountType(kinds=()) | t.ElemType():
            accept(exprs, place.type, shown(place), value, span)
            return [Assign(place.name, place.index, plain(value))]
        case t.BoolType() | t.EnumType():
            return [Assign(place.name, place.index, plain(value))]
        case _:
            raise AssertionError(f"nothing is stored in a {place.type}")


def _store_gen(exprs: ExprLowerer, place: Place, value: Value, span: Span) -> list[Assign]:
    assert isinstance(value, GenValue)
    ops = [Assign(place.name, place.index, value.number)]
    if value.of is not None:
        ops.append(Assign(place.name + ".of", place.index, value.of))
    return ops


def accept(exprs: ExprLowerer, type_: t.Type, name: str, value: Value, span: Span) -> None:
    """Collect what a value must satisfy to be one of a type: no null, no number outside of the range."""
    match type_:
        case t.IntType() | t.RefcountType(kinds=()):
            lo, hi = (type_.lo, type_.hi) if isinstance(type_, t.IntType) else (0, type_.bound)
            number = plain(value)
            bounds = fold.range_of(number)
            low = fold.compare("ge", number, fold.int_lit(lo)) if bounds.lo < lo else y.TRUE
            high = fold.compare("le", number, fold.int_lit(hi)) if bounds.hi > hi else y.TRUE
            fault = y.Fault("bound", f"{name} would leave its range {lo}..{hi}", bound=True)
            exprs.require(fold.and_((low, high)), fault, span)
        case t.ElemType(sort=sort, optional=False):
            element = plain(value)
            if isinstance(element.type, y.Elem) and element.type.optional:
                fault = y.Fault("null", f"null is assigned to {name}, which is never null")
                exprs.require(fold.ne(element, y.Null(sort)), fault, span)
        case _:
            pass


def change_set(exprs: ExprLowerer, place: Place, op: str, value: Value) -> list[Assign]:
    """`place += value` and its like, where `value` is a set or one element."""
    assert isinstance(place.type, t.SetType)
    if not isinstance(value, SetValue):
        truth = y.TRUE if op == "+=" else y.FALSE
        return [Assign(place.name, (*place.index, plain(value)), truth)]
    params = tuple(y.Param(exprs.fresh("e"), sort) for sort in place.type.sorts)
    where = value.contains(params)
    if op == "&=":
        where = fold.not_(where)
    truth = y.TRUE if op == "+=" else y.FALSE
    return [Assign(place.name, place.index + params, truth, params, where)]


def reset(exprs: ExprLowerer, variables: Mapping[str, y.Var], name: str, element: y.Expr) -> Assign:
    """An object's field (one variable of it) goes back to its first value."""
    var = variables[name]
    params = tuple(y.Param(exprs.fresh("e"), sort) for sort in var.index[1:])
    index = (element, *params)
    init = var.init if var.init is not None else default(var.type)
    value = fold.substitute(init, {p.name: i for p, i in zip(var.index_params(), index, strict=True)})
    return Assign(name, index, value, params)


def default(type_: y.Type) -> y.Expr:
    """The first value of a type."""
    match type_:
        case y.Bool():
            return y.FALSE
        case y.Int(lo=lo, hi=hi):
            return fold.int_lit(0 if lo <= 0 <= hi else lo)
        case y.Enum() | y.Gen():
            return y.Lit(0, type_)
        case y.Seq():
            return y.Lit((), type_)
        case y.Elem(sort=sort):
            return y.Null(sort)


def shown(place: Place) -> str:
    """How a place is called in a message."""
    return place.name


__all__ = ["accept", "change_set", "combine_sets", "default", "reset", "shown", "store"]
