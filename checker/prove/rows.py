"""Rows: what sampled reachable states look like from a few elements, and which situations never occur in them.

A shape is a tuple of at most three sorts. A row of it says, for one state and one choice of
different elements of these sorts, what every variable has there, elements told apart only by
whether they are among the chosen ones. A clause is learned by finding the smallest set of
facts of a counterexample that no row has together.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import field, replace
from itertools import combinations, combinations_with_replacement, permutations, product
from operator import getitem, itemgetter
from typing import Final

from checker.core import fold
from checker.core import system as y
from checker.core.compile import Program, compile_instance
from checker.core.instance import Instance, State
from checker.prove.clauses import Clause
from checker.prove.protocol import Protocol
from checker.prove.structure import Structure
from checker.records import dataclass

_OTHER: Final = -2  # some element that is not among the chosen ones, nor static
_STATIC: Final = 100  # + which static, where it is not among the chosen ones
_CHOSEN: Final = 1000  # + which of the chosen elements
_CUTS: Final = (0, 1)  # of numbers it is asked whether they are above these
_WIDEST: Final = 3
_EXPECTED: Final = 3.0  # a clause is believed if, by chance, 2 to this power rows would contradict it
_HEAD: Final = (1 << 1500) - 1
_SEEN: Final = 2.0  # two places are told apart from what was not sampled by so many rows, as a power of 2
_REFUTING: Final = 60  # states that become rows where they refute a clause
_RARE: Final = 22  # facts that go into sets of four
_STAGES: Final = (  # how many facts, and how believable at least; pairs come before sets of four in any case
    ((1, 2, 3), _EXPECTED), ((1, 2, 3), 0.0), ((1, 2), -99.0), ((4,), 0.0), ((1, 2, 3), -99.0), ((4,), -99.0),
)  # fmt: skip
_TRIED: Final = 12  # candidates that are widened before the best is taken
_WIDE: Final = 14_000  # states of a sample that are looked at for shapes of so many variables

Shape = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Column:
    """A variable at some of the chosen elements (by their position); `var` is "" for the element itself."""

    var: str
    index: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Fact:
    """Something that is so in a row: an expression, and the mask of the rows in which it is.

    `likely` is the binary logarithm of how many of the rows these are.
    """

    expr: y.Expr
    mask: int
    column: Column
    likely: float
    params: frozenset[str]
    known: bool = True


@dataclass(slots=True)
class Table:
    """The rows of one shape."""

    shape: Shape
    columns: tuple[Column, ...]
    rows: list[tuple[int, ...]] = field(default_factory=list)
    masks: dict[int, dict[int, int]] = field(default_factory=dict)
    facts: dict[tuple[object, ...], list[Fact]] = field(default_factory=dict)

    def by_code(self, column: int) -> dict[int, int]:
        """For each code of a column, the mask of the rows that have it."""
        if column not in self.masks:
            size = len(self.rows) // 8 + 1
            found: dict[int, bytearray] = {}
            for place, row in enumerate(self.rows):
                code = row[column]
                bits = found.get(code)
                if bits is None:
                    bits = found[code] = bytearray(size)
                bits[place >> 3] |= 1 << (place & 7)
            self.masks[column] = {code: int.from_bytes(bits, "little") for code, bits in found.items()}
        return self.masks[column]


class Rows:
    """Sampled states, seen from few elements."""

    def __init__(self, protocol: Protocol) -> None:
        self.protocol = protocol
        self.samples: list[tuple[Instance, Sequence[State]]] = []
        self.doubts: list[tuple[Instance, Sequence[State]]] = []  # other samples, against what only seems to be so
        self._programs: dict[int, Program] = {}
        self.tables: dict[Shape, Table] = {}
        sorts = [s.name for s in protocol.system.sorts]
        self.shapes = [
            shape for n in range(_WIDEST + 1) for shape in combinations_with_replacement(sorts, n)
            if all(shape.count(s) < _WIDEST for s in shape)
        ]  # fmt: skip

    def sample(self, instance: Instance, states: Sequence[State]) -> None:
        """More reachable states."""
        self.samples.append((instance, states))
        self.tables.clear()

    def columns(self, shape: Shape) -> tuple[Column, ...]:
        """What can be said of elements of these sorts."""
        columns = [Column("", (n,)) for n, sort in enumerate(shape) if self.protocol.statics(sort)]
        for var in self.protocol.system.vars:
            places = [[n for n, s in enumerate(shape) if s == sort] for sort in var.index]
            columns += [Column(var.name, index) for index in product(*places)]
        return tuple(columns)

    def table(self, shape: Shape) -> Table:
        """The rows of a shape."""
        if shape not in self.tables:
            table = Table(shape, self.columns(shape))
            found: dict[tuple[int, ...], None] = {}
            for instance, states in self.samples:
                if len(shape) == _WIDEST:
                    states = states[:: max(1, len(states) // _WIDE)]
                for chosen in injections(shape, {s: instance.elements(s) for s in shape}):
                    for row in self._rows(instance, states, table, chosen):
                        found[row] = None
            table.rows = list(found)
            random.Random(0).shuffle(table.rows)
            self.tables[shape] = table
        return self.tables[shape]

    def _rows(
        self, instance: Instance, states: Sequence[State], table: Table, chosen: tuple[int, ...]
    ) -> Iterator[tuple[int, ...]]:
        slots = [0] * len(table.columns)
        kinds: list[dict[y.Value, int]] = []
        for number, column in enumerate(table.columns):
            codes = self.code(table, column, chosen)
            if column.var:
                slots[number] = instance.slot(column.var, tuple(chosen[n] for n in column.index))
                values = list(instance.values(self.protocol.vars[column.var].type))
                kinds.append({v: codes[v] for v in values})
            else:
                kinds.append(_Always(codes[chosen[column.index[0]]]))
        if len(slots) > 1:
            found = set(map(itemgetter(*slots), states))
        else:
            found = {tuple(state[n] for n in slots) for state in states}
        for raw in found:
            yield tuple(map(getitem, kinds, raw))

    def code(self, table: Table, column: Column, chosen: tuple[int, ...]) -> Codes:
        """How values of a column are told apart."""
        sort = "" if column.var else table.shape[column.index[0]]
        codes: dict[int, int] = {}
        if column.var:
            type_ = self.protocol.vars[column.var].type
            if not isinstance(type_, y.Elem):
                return Codes({}, plain=True)
            sort = type_.sort
            codes = {e: _CHOSEN + n for n, (e, s) in enumerate(zip(chosen, table.shape, strict=True)) if s == sort}
        statics = {k: _STATIC + k for k in range(len(self.protocol.statics(sort)))}
        return Codes({-1: -1, **statics, **codes}, plain=False)

    # -- facts

    def facts(self, shape: Shape, structure: Structure, chosen: tuple[int, ...]) -> Iterator[Fact]:
        """What is so of chosen elements of a structure, with the rows in which it is."""
        table = self.table(shape)
        for number, column in enumerate(table.columns):
            key = tuple(chosen[n] for n in column.index)
            value = structure.read(column.var, key) if column.var else key[0]
            known = not column.var or (column.var, key) in structure.known
            meant = self._meant(table, column, chosen, value)
            mark = number, meant, known
            if mark not in table.facts:
                table.facts[mark] = list(self._facts(table, number, meant, known))
            yield from table.facts[mark]

    def _meant(self, table: Table, column: Column, chosen: tuple[int, ...], value: int) -> tuple[int, ...]:
        """All that a value of a column can be said to be: which static, which of the chosen elements, or itself."""
        sort = table.shape[column.index[0]] if not column.var else ""
        if column.var:
            type_ = self.protocol.vars[column.var].type
            if not isinstance(type_, y.Elem):
                return (int(value),)
            sort = type_.sort
        if value == -1:
            return (-1,)
        found = [_STATIC + value] if value < len(self.protocol.statics(sort)) else []
        if column.var:
            found += [_CHOSEN + n for n, (e, s) in enumerate(zip(chosen, table.shape, strict=True))
                      if s == sort and e == value]  # fmt: skip
        return tuple(found)

    def _facts(self, table: Table, number: int, meant: tuple[int, ...], known: bool) -> Iterator[Fact]:
        column, params = table.columns[number], variables(table.shape)
        masks = table.by_code(number)
        every = (1 << len(table.rows)) - 1

        def fact(expr: y.Expr, mask: int) -> Fact:
            return replace(_fact(expr, mask, column, len(table.rows)), known=known)

        if not column.var:
            param = params[column.index[0]]
            for k, name in enumerate(self.protocol.statics(param.sort)):
                mask, static = masks.get(_STATIC + k, 0), y.Static(param.sort, name)
                same = _STATIC + k in meant
                yield fact(fold.eq(param, static), mask) if same else fact(fold.ne(param, static), every ^ mask)
            return
        type_ = self.protocol.vars[column.var].type
        expr = self._read(column, params)
        thread = self.protocol.by_pc.get(column.var)
        if isinstance(type_, y.Elem):
            sort = type_.sort
            targets: list[tuple[int, y.Expr]] = [(-1, y.Null(sort))] if type_.optional else []
            targets += [(_CHOSEN + n, p) for n, p in enumerate(params) if p.sort == sort]
            targets += [(_STATIC + k, y.Static(sort, s)) for k, s in enumerate(self.protocol.statics(sort))]
            for target, other in targets:
                mask = masks.get(target, 0) | self._static_mask(table, masks, target, sort)
                same = target in meant
                yield fact(fold.eq(expr, other), mask) if same else fact(fold.ne(expr, other), every ^ mask)
            return
        (value,) = meant
        if thread is not None:
            yield fact(y.At(thread.name, expr.index, frozenset({value})), masks.get(value, 0))
        elif isinstance(type_, y.Bool):
            yield fact(expr if value else fold.not_(expr), masks.get(value, 0))
        elif isinstance(type_, y.Enum):
            yield fact(fold.eq(expr, y.Lit(value, type_)), masks.get(value, 0))
        else:
            for cut in _CUTS:
                above = sum(m for v, m in masks.items() if v > cut)
                if value > cut:
                    yield fact(y.Op("gt", (expr, fold.int_lit(cut))), above)
                else:
                    yield fact(y.Op("le", (expr, fold.int_lit(cut))), every ^ above)

    def _read(self, column: Column, params: tuple[y.Param, ...]) -> y.Read:
        return y.Read(column.var, tuple(params[n] for n in column.index), self.protocol.vars[column.var].type)

    def _static_mask(self, table: Table, masks: dict[int, int], target: int, sort: str) -> int:
        """Rows in which the value is a chosen element that is the static."""
        if not _STATIC <= target < _CHOSEN:
            return 0
        found = 0
        for number, column in enumerate(table.columns):
            if not column.var and table.shape[column.index[0]] == sort:
                place = column.index[0]
                found |= masks.get(_CHOSEN + place, 0) & table.by_code(number).get(target, 0)
        return found

    # -- learning

    def learn(self, structure: Structure, avoid: Iterable[Clause] = ()) -> Clause | None:
        """A clause that the structure violates and no row does.

        The fewer of the rows should be without a contradiction to it by chance, if its facts had
        nothing to do with each other, the better.  What the counterexample needs comes before what it leaves open.
        """
        banned = set(avoid)
        for sizes, least in _STAGES:
            for wide in (False, True):
                for known in (True, False):
                    candidates = [
                        candidate for shape in self.shapes if (len(shape) == _WIDEST) == wide
                        for candidate in self._candidates(shape, structure, sizes, known)
                    ]  # fmt: skip
                    candidates.sort(key=lambda c: -c[0])
                    best: tuple[float, Clause, Table] | None = None
                    for _, table, facts in candidates[:_TRIED]:
                        score, clause = self._widened(table, facts)
                        if clause not in banned and score >= least and (best is None or score > best[0]):
                            best = score, clause, table
                    if best is not None:
                        if self._refuted(best[1], best[2]):
                            return self.learn(structure, {*banned, best[1]})
                        return best[1]
        return None

    def _refuted(self, clause: Clause, table: Table) -> bool:
        """Whether other samples have states in which the clause is false; they are rows from then on."""
        situation = fold.and_(clause.situation())
        for param in reversed(clause.vars):
            situation = fold.quantify("exists", param.name, param.sort, situation)
        shape = table.shape
        for instance, states in self.doubts:
            if id(instance) not in self._programs:
                self._programs[id(instance)] = compile_instance(instance)
            occurs = self._programs[id(instance)].predicate(situation)
            found = [state for _, state in zip(range(_REFUTING), filter(occurs, states), strict=False)]
            if found:
                known = set(table.rows)
                fresh = {
                    row: None for chosen in injections(shape, {s: instance.elements(s) for s in shape})
                    for row in self._rows(instance, found, table, chosen) if row not in known
                }  # fmt: skip
                table.rows += fresh
                table.masks.clear()
                table.facts.clear()
                return True
        return False

    def _candidates(
        self, shape: Shape, structure: Structure, sizes: tuple[int, ...], known: bool
    ) -> Iterator[tuple[float, Table, tuple[Fact, ...]]]:
        table = self.table(shape)
        if not table.rows:
            return
        every = (1 << len(table.rows)) - 1
        for chosen in injections(shape, {s: structure.elements(s) for s in shape}):
            facts = [f for f in self.facts(shape, structure, chosen) if (f.known or not known) and f.mask != every]
            if not known and all(f.known for f in facts):
                continue  # that was tried
            # where a thread is will be widened, so it counts as likely
            facts.sort(key=lambda f: 0.0 if f.column.var in self.protocol.by_pc else -f.likely)
            if sizes == (4,):  # the rare ones are the most telling
                facts = sorted(sorted(facts, key=lambda f: f.likely)[:_RARE], key=lambda f: -f.likely)
            for size in sizes:
                for found in _empty(facts, size, every):
                    if len({name for f in found for name in f.params}) == len(shape):
                        score = sum(f.likely for f in found) + math.log2(len(table.rows)) - size - len(shape)
                        yield score, table, found

    def _widened(self, table: Table, facts: tuple[Fact, ...]) -> tuple[float, Clause]:
        """The clause with as many locations and enum values as no row contradicts, and how believable it is."""
        every = (1 << len(table.rows)) - 1
        never = list(facts)
        doubtful = False
        several = len({f.column.index for f in facts if f.column.var in self.protocol.by_pc}) > 1
        for place, fact in enumerate(facts):
            column = fact.column
            thread = self.protocol.by_pc.get(column.var)
            type_ = self.protocol.vars[column.var].type if column.var else None
            if thread is None and not isinstance(type_, y.Enum):
                continue
            rest = every
            for n, other in enumerate(never):
                if n != place:
                    rest &= other.mask
            masks = table.by_code(table.columns.index(column))
            count = len(thread.locations) if thread is not None else len(type_.members)  # type: ignore[union-attr]
            free = [n for n in range(count) if not rest & masks.get(n, 0)]
            if thread is not None and not any(self._own(f.column, column) for f in facts):
                # the same line of the text, reached by other calls, is as good a witness
                names = [location.name for location in thread.locations]
                seen = {names[n] for n in range(count) if n not in free}
                doubtful = doubtful or any(names[n] in seen and masks.get(n, 0) == fact.mask for n in free)
                free = [n for n in free if names[n] not in seen or masks.get(n, 0) == fact.mask]
            if several or len(free) < count:
                # what happens at places that were seldom sampled is not known, so nothing is said of them
                # (but whether a thread's own locals are in use there is the same each time)
                others = math.log2(len(table.rows)) + sum(
                    f.likely for n, f in enumerate(facts) if n != place and not self._own(f.column, column)
                )
                free = [
                    n for n in free if others + self._likely(table, masks, n) >= _SEEN or masks.get(n, 0) == fact.mask
                ]
            if thread is not None:
                assert isinstance(fact.expr, y.At)
                wide: y.Expr = y.At(thread.name, fact.expr.index, frozenset(free))
            else:
                assert isinstance(type_, y.Enum) and isinstance(fact.expr, y.Op)
                wide = fold.or_(fold.eq(fact.expr.args[0], y.Lit(n, type_)) for n in free)
            mask = 0
            for n in free:
                mask |= masks.get(n, 0)
            full = len(free) == count
            never[place] = _fact(y.TRUE if full else wide, every if full else mask, column, len(table.rows))
        shown = tuple(f.expr for f in never if f.expr != y.TRUE)
        needed = {name for f in shown for name in fold.free_params(f)}
        params = tuple(p for p in variables(table.shape) if p.name in needed)
        score = sum(math.log2((f.mask.bit_count() + 0.5) / len(table.rows)) for f in never)
        score += math.log2(len(table.rows)) - len(shown) - len(params)
        return (score - 8 * several - 12 * doubtful if len(shown) > 1 else 99.0), Clause(params, shown)

    def _own(self, column: Column, place: Column) -> bool:
        """Whether a column is a local of the thread whose place another one is."""
        thread = self.protocol.by_pc.get(place.var)
        if thread is None or not column.var or column.index != place.index:
            return False
        var = self.protocol.vars[column.var]
        return var.storage is y.Storage.LOCAL and var.name.startswith(f"{thread.name}.")

    def _likely(self, table: Table, masks: dict[int, int], value: int) -> float:
        return math.log2((masks.get(value, 0).bit_count() + 0.5) / len(table.rows))


def _fact(expr: y.Expr, mask: int, column: Column, rows: int) -> Fact:
    likely = math.log2((mask.bit_count() + 0.5) / max(rows, 1))
    return Fact(expr, mask, column, likely, frozenset(fold.free_params(expr)))


class _Always(dict[y.Value, int]):
    """One code, whatever the value."""

    def __init__(self, code: int) -> None:
        self.code = code

    def __missing__(self, key: y.Value) -> int:
        return self.code


@dataclass(frozen=True, slots=True)
class Codes:
    """What the values of a column count as."""

    known: dict[int, int]
    plain: bool

    def __getitem__(self, value: y.Value) -> int:
        assert not isinstance(value, tuple)
        return int(value) if self.plain else self.known.get(int(value), _OTHER)


def variables(shape: Shape) -> tuple[y.Param, ...]:
    """The variables of clauses of a shape: c, c2, m for two CPUs and an mm."""
    seen: dict[str, int] = {}
    made = []
    letters: dict[str, str] = {}
    for sort in shape:
        letter = letters.setdefault(sort, _letter(sort, set(letters.values())))
        seen[sort] = seen.get(sort, 0) + 1
        made.append(y.Param(letter + (str(seen[sort]) if seen[sort] > 1 else ""), sort))
    return tuple(made)


def _letter(sort: str, taken: set[str]) -> str:
    for end in range(1, len(sort) + 1):
        if sort[:end].lower() not in taken:
            return sort[:end].lower()
    return f"{sort.lower()}_"


def injections(shape: Shape, elements: dict[str, range]) -> Iterator[tuple[int, ...]]:
    """All choices of different elements."""
    sorts = sorted(set(shape))
    places = {s: [n for n, t in enumerate(shape) if t == s] for s in sorts}
    for chosen in product(*(permutations(elements[s], len(places[s])) for s in sorts)):
        found = [0] * len(shape)
        for sort, elements_of in zip(sorts, chosen, strict=True):
            for place, element in zip(places[sort], elements_of, strict=True):
                found[place] = element
        yield tuple(found)


def _empty(facts: list[Fact], size: int, every: int) -> Iterator[tuple[Fact, ...]]:
    """Sets of so many facts that no row has together, though any of them less one some row has."""
    if size == 1:
        yield from ((f,) for f in facts if not f.mask)
        return
    facts = [f for f in facts if f.mask]
    if size == 4:
        yield from _four(facts)
        return
    masks = [f.mask for f in facts]
    heads = [mask & _HEAD for mask in masks]  # most sets have a row in common among the first already
    for n in range(len(facts)):
        for k in range(n + 1, len(facts)):
            head = heads[n] & heads[k]
            if not head and not masks[n] & masks[k]:
                if size == 2:
                    yield facts[n], facts[k]
                continue
            if size != 3:
                continue
            common = 0
            for m in range(k + 1, len(facts)):
                if head & heads[m]:
                    continue
                common = common or masks[n] & masks[k]
                if not common & masks[m] and masks[n] & masks[m] and masks[k] & masks[m]:
                    yield facts[n], facts[k], facts[m]


def _four(facts: list[Fact]) -> Iterator[tuple[Fact, ...]]:
    numbered = list(enumerate(facts))
    for (_, a), (_, b), (n, c) in combinations(numbered, 3):
        common = a.mask & b.mask & c.mask
        if common:
            for d in facts[n + 1 :]:
                if (
                    not common & d.mask
                    and a.mask & b.mask & d.mask
                    and a.mask & c.mask & d.mask
                    and b.mask & c.mask & d.mask
                ):
                    yield a, b, c, d
