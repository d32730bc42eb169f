"""Assignments to places of every shape, as operations."""

from __future__ import annotations

from checker.core import fold
from checker.core import system as y
from checker.core.lower.exprs import ExprLowerer, combine_sets, plain
from checker.core.lower.flow import Assign, Operation
from checker.core.lower.shapes import GenValue, Place, RecordValue, SetValue, Value
from checker.lang import types as t
from checker.lang.source import Span


def store(exprs: ExprLowerer, place: Place, value: Value, span: Span) -> list[Operation]:
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
        case t.IntType(lo=lo, hi=hi):
            number = plain(value)
            in_range(exprs, number, lo, hi, place, span)
            return [Assign(place.name, place.index, number)]
        case t.RefcountType(bound=bound, kinds=()):
            number = plain(value)
            in_range(exprs, number, 0, bound, place, span)
            return [Assign(place.name, place.index, number)]
        case t.ElemType(sort=sort, optional=optional):
            element = plain(value)
            nullable = isinstance(element.type, y.Elem) and element.type.optional
            if not optional and nullable and place.shared:
                fault = y.Fault("null", f"null is assigned to {shown(place)}, which is never null")
                exprs.require(fold.ne(element, y.Null(sort)), fault, span)
            return [Assign(place.name, place.index, element)]
        case t.BoolType() | t.EnumType():
            return [Assign(place.name, place.index, plain(value))]
        case _:
            raise AssertionError(f"nothing is stored in a {place.type}")


def _store_gen(exprs: ExprLowerer, place: Place, value: Value, span: Span) -> list[Operation]:
    assert isinstance(value, GenValue)
    ops: list[Operation] = [Assign(place.name, place.index, value.number)]
    if value.of is not None:
        ops.append(Assign(place.name + ".of", place.index, value.of))
    return ops


def in_range(exprs: ExprLowerer, number: y.Expr, lo: int, hi: int, place: Place, span: Span) -> None:
    """Collect that a number does not outgrow the range of a place."""
    bounds = fold.range_of(number)
    parts = []
    if bounds.lo < lo:
        parts.append(fold.compare("ge", number, fold.int_lit(lo)))
    if bounds.hi > hi:
        parts.append(fold.compare("le", number, fold.int_lit(hi)))
    fault = y.Fault("bound", f"{shown(place)} would leave its range {lo}..{hi}", bound=True)
    exprs.require(fold.and_(parts), fault, span)


def change_set(exprs: ExprLowerer, place: Place, op: str, value: Value) -> list[Operation]:
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


def reset(exprs: ExprLowerer, variables: dict[str, y.Var], name: str, element: y.Expr) -> Assign:
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


__all__ = ["change_set", "combine_sets", "default", "in_range", "reset", "shown", "store"]
