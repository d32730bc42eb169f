"""Facts about chosen elements of a structure: what they say, and in which sampled states they are so."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import product
from typing import Any, Final

from checker.core import fold
from checker.core import system as y
from checker.prove.census import Census, Fact, Shape, fact_of, joined
from checker.prove.protocol import Protocol
from checker.prove.shapes import Cells, variables, ways
from checker.prove.structure import Key, Structure
from checker.records import dataclass

_TINY: Final = 60  # states that most sets of facts occur in


@dataclass(frozen=True, slots=True)
class Column:
    """A variable at some of the chosen elements (by their position); `var` is "" for the element itself.

    With a `way` the first of them is where these variables lead to from the chosen one.
    """

    var: str
    index: tuple[int, ...]
    way: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Known:
    """A fact, what it is about, the states of the tiny census in which it is so, and how often it is so."""

    fact: Fact
    column: Column
    tiny: int
    likely: float


class Facts:
    """What can be said of elements, looked up in the censuses of some of the reachable states (`base`)."""

    def __init__(self, protocol: Protocol, base: Sequence[Census]) -> None:
        self.protocol = protocol
        self.base = base
        self.tiny = [c.sampled(_TINY) for c in base]
        self._ways = ways(protocol)
        self._columns: dict[Shape, tuple[Column, ...]] = {}
        self._known: dict[tuple[Shape, int, int, tuple[Any, ...]], tuple[Known, ...]] = {}
        self._masks: dict[tuple[Shape, int], int] = {}
        self._sure: dict[tuple[Shape, int], bool] = {}

    def _columns_of(self, shape: Shape) -> Iterator[Column]:
        yield from (Column("", (n,)) for n, sort in enumerate(shape) if self.protocol.statics(sort))
        for var in self.protocol.system.vars:
            if isinstance(var.type, y.Gen):  # numbers without end; lemmas say how they compare
                continue
            places = [[n for n, s in enumerate(shape) if s == sort] for sort in var.index]
            yield from (Column(var.name, index) for index in product(*places))
            for way in self._ways.get(var.index[0], ()) if var.index else ():
                first = self.protocol.vars[way[0]].index[0]
                begins = [n for n, s in enumerate(shape) if s == first]
                yield from (Column(var.name, index, way) for index in product(begins, *places[1:]))

    def read(self, column: Column, params: Sequence[y.Param]) -> y.Read:
        """The value of a column."""
        index: tuple[y.Expr, ...] = tuple(params[n] for n in column.index)
        for var in column.way:
            index = y.Read(var, index[:1], self.protocol.vars[var].type), *index[1:]
        return y.Read(column.var, index, self.protocol.vars[column.var].type)

    def of(
        self, shape: Shape, structure: Structure, chosen: tuple[int, ...], cells: Cells | None, cut: int
    ) -> Iterator[Known]:
        """What is so of chosen elements of a structure; of some cells of it, or (None) of all."""
        if shape not in self._columns:
            self._columns[shape] = tuple(self._columns_of(shape))
        for number, column in enumerate(self._columns[shape]):
            key: Key | None = tuple(chosen[n] for n in column.index)
            for var in column.way:
                if key is not None and (cells is None or (var, key[:1]) in cells):
                    there = structure.read(var, key[:1])
                    key = None if there == y.NULL else (there, *key[1:])
                else:
                    key = None
            if key is None or (cells is not None and column.var and (column.var, key) not in cells):
                continue
            if column.way and any(k == key[0] and s == self.protocol.vars[column.var].index[0]
                                  for k, s in zip(chosen, shape, strict=True)):  # fmt: skip
                continue  # that element has a name of its own
            value = structure.read(column.var, key) if column.var else key[0]
            mark = shape, number, cut, self._sign(column, chosen, shape, value)
            if mark not in self._known:
                params = variables(shape)
                said = self._said(params, chosen, column, value, cut)
                self._known[mark] = tuple(self.looked_up(shape, params, expr, column) for expr in said)
            yield from self._known[mark]

    def _sign(self, column: Column, chosen: tuple[int, ...], shape: Shape, value: Any) -> tuple[Any, ...]:
        """What the facts about a value depend on: of an element, which of the chosen ones or of the statics it is."""
        type_ = self.protocol.vars[column.var].type if column.var else None
        sort = type_.sort if isinstance(type_, y.Elem) else shape[column.index[0]] if type_ is None else None
        if sort is None:
            return (value,)
        static = value if value < len(self.protocol.statics(sort)) else len(self.protocol.statics(sort))
        return static, *(e == value for e, s in zip(chosen, shape, strict=True) if s == sort)

    def looked_up(self, shape: Shape, params: Sequence[y.Param], expr: y.Expr, column: Column) -> Known:
        """What is known of an expression about a column."""
        fact = fact_of(expr, params)
        tiny, size = joined(self.tiny, shape, fact)
        return Known(fact, column, tiny, math.log2((tiny.bit_count() + 0.5) / max(size, 1)))

    def mask(self, shape: Shape, known: Known) -> int:
        """The states of the base in which a fact is so, for each choice of elements."""
        key = shape, known.fact.number
        if key not in self._masks:
            self._masks[key], _ = joined(self.base, shape, known.fact)
        return self._masks[key]

    def always(self, shape: Shape, known: Known) -> bool:
        """Whether a fact is so in all states of the base, of all elements."""
        key = shape, known.fact.number
        if key not in self._sure:
            self._sure[key] = all(c.fact(known.fact, e) == c.every for c in self.base for e in c.choices(shape))
        return self._sure[key]

    def _said(
        self, params: Sequence[y.Param], chosen: tuple[int, ...], column: Column, value: Any, cut: int
    ) -> Iterator[y.Expr]:
        """What can be said of the value of a column."""
        if not column.var:
            param = params[column.index[0]]
            for number, name in enumerate(self.protocol.statics(param.sort)):
                static = y.Static(param.sort, name)
                yield fold.eq(param, static) if number == value else fold.ne(param, static)
            return
        declared = self.protocol.vars[column.var]
        expr = self.read(column, params)
        thread = self.protocol.by_pc.get(column.var)
        match declared.type:
            case y.Elem(sort=sort, optional=optional):
                if value == y.NULL:
                    yield fold.eq(expr, y.Null(sort))
                    yield from (fold.ne(expr, param) for param in params if param.sort == sort)
                    return
                if optional:
                    yield fold.ne(expr, y.Null(sort))
                for place, param in enumerate(params):
                    if param.sort == sort:
                        yield fold.eq(expr, param) if chosen[place] == value else fold.ne(expr, param)
                for number, name in enumerate(self.protocol.statics(sort)):
                    static = y.Static(sort, name)
                    yield fold.eq(expr, static) if number == value else fold.ne(expr, static)
            case _ if thread is not None:
                yield y.At(thread.name, expr.index, frozenset({int(value)}))
            case y.Bool():
                yield expr if value else fold.not_(expr)
            case y.Enum():
                yield fold.eq(expr, y.Lit(int(value), declared.type))
            case _:
                for least in range(cut + 1):
                    bound = fold.int_lit(least)
                    yield y.Op("gt", (expr, bound)) if value > least else y.Op("le", (expr, bound))
