"""How values and places of the language lie in the System's variables.

A System variable holds a scalar.  A set becomes a relation (a Bool variable
with the members' sorts as further indices), a record one variable a field, a
refcount with kinds one counter a kind, a generation a number and the element
whose family it is of, a lock its holder.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace

from checker.core import fold
from checker.core import system as y
from checker.lang import types as t
from checker.lang.source import Span
from checker.records import dataclass

# -- values


@dataclass(frozen=True, slots=True)
class SetValue:
    """A set: which elements are in it, as a condition on one element per sort."""

    sorts: tuple[str, ...]
    contains: Callable[[tuple[y.Expr, ...]], y.Expr]


@dataclass(frozen=True, slots=True)
class GenValue:
    """A generation: its number, the element whose counter it comes from (None: the counter has no
    index), and whether it is the one after that."""

    number: y.Expr
    of: y.Expr | None
    plus_one: bool = False


@dataclass(frozen=True, slots=True)
class RecordValue:
    """A record, field by field."""

    fields: Mapping[str, Value]


Value = y.Expr | SetValue | GenValue | RecordValue


# -- places


@dataclass(frozen=True, slots=True)
class Place:
    """Something that can be assigned to: a type, the name its variables begin with, and indices.

    `shared` is false for locals.  `ghost` places influence nothing.
    """

    type: t.Type
    name: str
    index: tuple[y.Expr, ...]
    shared: bool
    ghost: bool = False
    machine: bool = False

    def indexed(self, extra: tuple[y.Expr, ...], type_: t.Type) -> Place:
        """The place behind further indices."""
        return Place(type_, self.name, self.index + extra, self.shared, self.ghost, self.machine)

    def part(self, field: str, type_: t.Type) -> Place:
        """A field of a record place."""
        return Place(type_, f"{self.name}.{field}", self.index, self.shared, self.ghost, self.machine)


@dataclass(frozen=True, slots=True)
class Leaf:
    """One System variable of a place: what to add to its name, its further index sorts, type and first value."""

    suffix: str
    index: tuple[str, ...]
    type: y.Type
    default: y.Expr
    members: int = 0  # how many of the indices are members of a set


@dataclass(frozen=True, slots=True)
class GenHead:
    """A generation counter: its variable and the sort it is indexed by (None: none)."""

    var: str
    sort: str | None


class Shapes:
    """Knows the declarations that shapes depend on: records, generation counters, who can hold a lock."""

    def __init__(
        self,
        records: Mapping[str, tuple[tuple[str, t.Type], ...]],
        heads: Mapping[str, GenHead],
        lock_classes: tuple[str, ...],
        lock_sorts: tuple[str, ...],
    ) -> None:
        self.records = records
        self.heads = heads
        self.lock_classes = lock_classes
        self.lock_sorts = lock_sorts

    def head_of(self, type_: t.GenType) -> GenHead | None:
        """The counter that a generation belongs to; None where nothing is ever incremented."""
        return self.heads.get(type_.head)

    def leaves(self, type_: t.Type, *, optional: bool = False) -> Iterator[Leaf]:
        """The System variables of a place of this type.

        `optional`: an element place may also hold null, for not being set (locals, fields without a first value).
        """
        match type_:
            case t.BoolType():
                yield Leaf("", (), y.BOOL, y.FALSE)
            case t.IntType(lo=lo, hi=hi):
                first = 0 if lo <= 0 <= hi else lo
                yield Leaf("", (), y.Int(lo, hi), fold.int_lit(first))
            case t.EnumType(name=name, members=members):
                enum = y.Enum(name, members)
                yield Leaf("", (), enum, y.Lit(0, enum))
            case t.ElemType(sort=sort):
                yield Leaf("", (), y.Elem(sort, type_.optional or optional), y.Null(sort))
            case t.RefcountType(bound=bound, kinds=()):
                yield Leaf("", (), y.Int(0, bound), fold.int_lit(0))
            case t.RefcountType(bound=bound, kinds=kinds):
                for kind in kinds:
                    yield Leaf(f".{kind}", (), y.Int(0, bound), fold.int_lit(0))
            case t.SetType(sorts=sorts):
                yield Leaf("", sorts, y.BOOL, y.FALSE, len(sorts))
            case t.SeqType(element=t.RecordType(name=name), capacity=capacity):
                for field, field_type in self.records[name]:
                    yield Leaf(f".{field}", (), *_seq(field_type, capacity))
            case t.SeqType(element=element, capacity=capacity):
                yield Leaf("", (), *_seq(element, capacity))
            case t.GenType():
                yield Leaf("", (), y.Gen(), y.Lit(0, y.Gen()))
                head = self.head_of(type_)
                if head is not None and head.sort is not None:
                    yield Leaf(".of", (), y.Elem(head.sort, optional=True), y.Null(head.sort))
            case t.RecordType(name=name):
                for field, field_type in self.records[name]:
                    for leaf in self.leaves(field_type, optional=True):
                        yield replace(leaf, suffix=f".{field}{leaf.suffix}")
            case t.LockType(kind=kind):
                by = y.Enum("holder", self.lock_classes)
                yield Leaf(".by", (), by, y.Lit(0, by))
                for sort in self.lock_sorts:
                    yield Leaf(f".{sort}", (), y.Elem(sort, optional=True), y.Null(sort))
                    if kind == "rwlock":
                        yield Leaf(f".readers.{sort}", (sort,), y.BOOL, y.FALSE, 1)
            case t.ArrayType(element=element, index=index):
                for leaf in self.leaves(element, optional=optional):
                    yield replace(leaf, index=index + leaf.index)
            case _:
                raise AssertionError(f"no place has type {type_}")


def _seq(element: t.Type, capacity: int) -> tuple[y.Seq, y.Expr]:
    scalar = scalar_type(element)
    assert isinstance(scalar, y.Bool | y.Int | y.Enum | y.Elem)
    seq = y.Seq(scalar, capacity)
    return seq, y.Lit((), seq)


def scalar_type(type_: t.Type) -> y.Type:
    """The System's type of a scalar."""
    match type_:
        case t.BoolType():
            return y.BOOL
        case t.IntType(lo=lo, hi=hi):
            return y.Int(lo, hi)
        case t.RefcountType(bound=bound):
            return y.Int(0, bound)
        case t.EnumType(name=name, members=members):
            return y.Enum(name, members)
        case t.ElemType(sort=sort, optional=optional):
            return y.Elem(sort, optional)
        case t.GenType():
            return y.Gen()
        case _:
            raise AssertionError(f"{type_} is no scalar")


@dataclass(frozen=True, slots=True)
class Condition:
    """What must be true for an expression to have a value, and what is said where it is not."""

    holds: y.Expr
    fault: y.Fault
    span: Span
