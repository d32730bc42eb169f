"""Operations on values of every shape: choices, sets, comparisons, sequences."""

from __future__ import annotations

from collections.abc import Mapping

from checker.core import fold
from checker.core import system as y
from checker.core.lower.shapes import GenValue, RecordValue, SetValue, Value
from checker.lang import types as t


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
            of = (
                fold.ite(condition, then.of, otherwise.of) if then.of is not None and otherwise.of is not None else None
            )
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
    return y.Op("len", (seq,), y.Int(0, capacity(seq)))


def capacity(seq: y.Expr) -> int:
    """How many items a sequence can hold."""
    assert isinstance(seq.type, y.Seq)
    return seq.type.capacity


def seq_element(seq: y.Expr) -> y.Type:
    """The type of a sequence's items."""
    assert isinstance(seq.type, y.Seq)
    return seq.type.element


def item(items: Mapping[str, y.Expr]) -> Value:
    """A sequence's item: a scalar, or a record of one item a field."""
    return items[""] if "" in items else RecordValue(dict(items))


def int_type(value: y.Expr) -> t.IntType:
    """The range of a number, as far as its text tells."""
    bounds = fold.range_of(value)
    return t.IntType(bounds.lo, bounds.hi)


def next_value(value: Value) -> Value:
    """The value that an expression has after the step."""
    match value:
        case SetValue(sorts=sorts):
            return SetValue(sorts, lambda e: y.Next(value.contains(e)))
        case GenValue():
            return GenValue(y.Next(value.number), y.Next(value.of) if value.of is not None else None, value.plus_one)
        case RecordValue():
            return RecordValue({f: next_value(v) for f, v in value.fields.items()})
        case _:
            return y.Next(value)
