"""All states of an instance at once: for each variable and value, the set of the states that have it, as one number.

Whether something is so in some state is then asked of all of them together, bit by bit in parallel:
a million states are a number of a million bits, and a few of these are combined in a millisecond.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import permutations, product
from operator import itemgetter

from checker.core import fold
from checker.core import system as y
from checker.core.instance import Instance, State
from checker.native.dump import Dump
from checker.prove.clauses import Clause
from checker.records import dataclass

Shape = tuple[str, ...]
Env = Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Fact:
    """Something that is so of chosen elements: an expression, its parameters and which of the elements they are.

    In a clause it is `expr`. Where an index in that is null, which it then never is for a reason that the clause
    leaves open, a proof knows nothing of it, so `test` is true there.
    """

    expr: y.Expr
    test: y.Expr
    names: tuple[str, ...]
    places: tuple[int, ...]
    number: int


_numbers: dict[tuple[y.Expr, tuple[str, ...]], int] = {}


def fact_of(expr: y.Expr, params: Sequence[y.Param]) -> Fact:
    """An expression about chosen elements, called `params`."""
    free = fold.free_params(expr)
    places = tuple(n for n, p in enumerate(params) if p.name in free)
    absent = [
        fold.eq(index, y.Null(index.type.sort)) for part in fold.walk(expr) if isinstance(part, y.Read | y.At)
        for index in part.index if isinstance(index.type, y.Elem) and index.type.optional
    ]  # fmt: skip
    names = tuple(params[n].name for n in places)  # the same expression may be about them in another order
    number = _numbers.setdefault((expr, names), len(_numbers))
    return Fact(expr, fold.or_((*absent, expr)), names, places, number)


class Census:
    """Some states of an instance; `complete` if it has no others, but for those that are alike under symmetry."""

    def __init__(self, instance: Instance, states: Sequence[State] | Dump, *, complete: bool) -> None:
        self.instance = instance
        self.complete = complete
        self._dump = states if isinstance(states, Dump) else None
        self._listed: Sequence[State] = () if isinstance(states, Dump) else states
        self.count = len(states.states) // (8 * states.words) if isinstance(states, Dump) else len(states)
        self.every = (1 << self.count) - 1
        self._planes: dict[int, int] = {}
        self._tables: dict[int, dict[int, int]] = {}
        self._truths: dict[tuple[int, tuple[int, ...]], int] = {}  # of facts
        self._reads: dict[tuple[str, tuple[y.Expr, ...], tuple[int, ...]], dict[int, int]] = {}
        self._chosen: dict[Shape, tuple[tuple[int, ...], ...]] = {}

    def state(self, number: int) -> State:
        """One of the states."""
        if self._dump is None:
            return self._listed[number]
        size = 8 * self._dump.words
        packed = int.from_bytes(self._dump.states[number * size : (number + 1) * size], "little")
        words = tuple(packed >> (64 * n) & ((1 << 64) - 1) for n in range(self._dump.words))
        return self._dump.layout.unpack(words)

    def some(self, most: int) -> list[State]:
        """Some of the states, from all over the search."""
        return [self.state(n) for n in self._some(most)]

    def _some(self, most: int) -> range:
        return range(0, self.count, max(1, -(-self.count // most)))

    def sampled(self, most: int) -> Census:
        """The census of some of the states."""
        if self._dump is None:
            return Census(self.instance, self.some(most), complete=False)
        size = 8 * self._dump.words
        packed = b"".join(self._dump.states[n * size : (n + 1) * size] for n in self._some(most))
        return Census(self.instance, replace(self._dump, states=packed, complete=False), complete=False)

    # -- sets of states: state n is bit count - 1 - n

    def table(self, slot: int) -> dict[int, int]:
        """For each value at a position of the state, the states that have it."""
        if slot not in self._tables:
            self._tables[slot] = self._unpacked(slot) if self._dump is not None else self._counted(slot)
        return self._tables[slot]

    def _counted(self, slot: int) -> dict[int, int]:
        column = list(map(itemgetter(slot), self._listed))
        codes = {value: code for code, value in enumerate(dict.fromkeys(column))}
        found: dict[int, int] = {}
        if len(codes) < 256:
            data = bytes(map(codes.__getitem__, column))
            return {int(value): _where(data, code) for value, code in codes.items()}
        for number, value in enumerate(column):
            place = self.count - 1 - number
            found[int(value)] = found.get(int(value), 0) | 1 << place
        return found

    def _unpacked(self, slot: int) -> dict[int, int]:
        assert self._dump is not None
        var, index = self.instance.slots[slot]
        field = self._dump.layout.field(var.name, index)
        found = {field.lo: self.every}
        for bit in range(field.bits):
            plane = self._plane(field.position + bit)
            halves = {}
            for value, states in found.items():
                if ones := states & plane:
                    halves[value + (1 << bit)] = ones
                if zeros := states & ~plane:
                    halves[value] = zeros
            found = halves
        return found

    def _plane(self, bit: int) -> int:
        if bit not in self._planes:
            assert self._dump is not None
            column = self._dump.states[bit >> 3 :: 8 * self._dump.words]
            digits = bytes(ord("0") + (byte >> (bit & 7) & 1) for byte in range(256))
            self._planes[bit] = int(column.translate(digits), 2) if column else 0
        return self._planes[bit]

    # -- expressions

    def truth(self, expr: y.Expr, env: Env) -> int:
        """The states in which an expression is true of some elements."""
        match expr:
            case y.Lit(value=value):
                return self.every if value else 0
            case y.Op(op="and", args=args):
                found = self.every
                for arg in args:
                    found &= self.truth(arg, env)
                return found
            case y.Op(op="or", args=args):
                found = 0
                for arg in args:
                    found |= self.truth(arg, env)
                return found
            case y.Op(op="not", args=(a,)):
                return self.every ^ self.truth(a, env)
            case y.Op(op="implies", args=(a, b)):
                return self.every ^ (self.truth(a, env) & ~self.truth(b, env))
            case y.Op(op="ite", args=(a, b, c)):
                chosen = self.truth(a, env)
                return chosen & self.truth(b, env) | ~chosen & self.truth(c, env)
            case y.Op(op="eq" | "ne" | "lt" | "le" | "gt" | "ge" as op, args=(a, b)):
                return self._compared(op, self.values(a, env), self.values(b, env))
            case y.Quant(kind="forall" | "exists" as kind, name=name, sort=sort, body=body):
                found = self.every if kind == "forall" else 0
                for element in self.instance.elements(sort):
                    part = self.truth(body, {**env, name: element})
                    found = found & part if kind == "forall" else found | part
                return found
            case y.At(thread=thread, index=index, locations=locations):
                table = self._read(self.instance.thread(thread).pc, index, env)
                found = 0
                for value, states in table.items():
                    if value in locations:
                        found |= states
                return found
            case _:
                return self.values(expr, env).get(1, 0)

    def _compared(self, op: str, left: Mapping[int, int], right: Mapping[int, int]) -> int:
        found = 0
        for a, states in left.items():
            for b, others in right.items():
                if {"eq": a == b, "ne": a != b, "lt": a < b, "le": a <= b, "gt": a > b, "ge": a >= b}[op]:
                    found |= states & others
        return found

    def values(self, expr: y.Expr, env: Env) -> Mapping[int, int]:
        """For each value of an expression, the states in which it has it."""
        match expr:
            case y.Lit(value=value):
                return {int(value): self.every}  # type: ignore[arg-type]
            case y.Null():
                return {y.NULL: self.every}
            case y.Static(sort=sort, name=name):
                return {self.instance.sort(sort).statics.index(name): self.every}
            case y.Param(name=name):
                return {env[name]: self.every}
            case y.Read(var=var, index=index):
                return self._read(var, index, env)
            case y.Op(op="ite", args=(a, b, c)):
                chosen = self.truth(a, env)
                found = {v: s & chosen for v, s in self.values(b, env).items()}
                for value, states in self.values(c, env).items():
                    found[value] = found.get(value, 0) | states & ~chosen
                return {v: s for v, s in found.items() if s}
            case y.Op(op="add" | "sub" as op, args=(a, b)):
                sums: dict[int, int] = {}
                right = self.values(b, env)
                for v, states in self.values(a, env).items():
                    for w, others in right.items():
                        if both := states & others:
                            total = v + w if op == "add" else v - w
                            sums[total] = sums.get(total, 0) | both
                return sums
            case y.Op(op="neg", args=(a,)):
                return {-v: s for v, s in self.values(a, env).items()}
            case y.Quant(kind="count", name=name, sort=sort, body=body):
                numbers = {0: self.every}
                for element in self.instance.elements(sort):
                    more = self.truth(body, {**env, name: element})
                    later: dict[int, int] = {}
                    for number, states in numbers.items():
                        later[number] = later.get(number, 0) | states & ~more
                        later[number + 1] = later.get(number + 1, 0) | states & more
                    numbers = {n: s for n, s in later.items() if s}
                return numbers
            case _:
                true = self.truth(expr, env)
                return {v: s for v, s in ((1, true), (0, self.every ^ true)) if s}

    def _read(self, var: str, index: tuple[y.Expr, ...], env: Env) -> Mapping[int, int]:
        """A variable at an index; where that is null it has no value."""
        keys = [self.values(i, env) for i in index]
        if all(len(key) == 1 for key in keys):
            key = tuple(next(iter(k)) for k in keys)
            return self.table(self.instance.slot(var, key)) if y.NULL not in key else {}
        free = sorted({name for i in index for name in fold.free_params(i)})
        mark = var, index, tuple(env[name] for name in free)
        if mark not in self._reads:
            self._reads[mark] = self._read_through(var, keys)
        return self._reads[mark]

    def _read_through(self, var: str, keys: list[Mapping[int, int]]) -> dict[int, int]:
        """A variable at an index that differs from state to state."""
        found: dict[int, int] = {}
        for chosen in product(*(k.items() for k in keys)):
            if any(e == y.NULL for e, _ in chosen):
                continue
            there = self.every
            for _, states in chosen:
                there &= states
            if there:
                for value, states in self.table(self.instance.slot(var, tuple(e for e, _ in chosen))).items():
                    if both := states & there:
                        found[value] = found.get(value, 0) | both
        return found

    # -- facts about chosen elements

    def choices(self, shape: Shape) -> tuple[tuple[int, ...], ...]:
        """All choices of different elements of some sorts."""
        if shape not in self._chosen:
            self._chosen[shape] = tuple(injections(shape, {s: self.instance.elements(s) for s in shape}))
        return self._chosen[shape]

    def fact(self, fact: Fact, chosen: tuple[int, ...]) -> int:
        """The states in which a fact is true of chosen elements."""
        elements = tuple(chosen[n] for n in fact.places)
        key = fact.number, elements
        found = self._truths.get(key)
        if found is None:
            found = self._truths[key] = self.truth(fact.test, dict(zip(fact.names, elements, strict=True)))
        return found

    def joined(self, shape: Shape, fact: Fact) -> int:
        """A fact's states for each choice of elements, one after the other."""
        width = (self.count + 7) // 8
        parts = [self.fact(fact, chosen).to_bytes(width, "little") for chosen in self.choices(shape)]
        return int.from_bytes(b"".join(parts), "little")

    def occurs(self, shape: Shape, facts: Sequence[Fact]) -> bool:
        """Whether there are a state and different elements of these sorts of which all facts are true."""
        fact_in = self.fact
        for chosen in self.choices(shape):
            left = self.every
            for fact in facts:
                left &= fact_in(fact, chosen)
                if not left:
                    break
            if left:
                return True
        return False

    def violates(self, clause: Clause) -> bool:
        """Whether a clause is false in some state."""
        situation = clause.situation() if not clause.distinct else clause.never
        shape = tuple(p.sort for p in clause.vars)
        choices = self.choices(shape) if clause.distinct else self.instance.tuples(shape)
        for chosen in choices:
            left = self.every
            for fact in situation:
                left &= self.truth(fact, {p.name: e for p, e in zip(clause.vars, chosen, strict=True)})
                if not left:
                    break
            if left:
                return True
        return False


def joined(censuses: Iterable[Census], shape: Shape, fact: Fact) -> tuple[int, int]:
    """A fact's states in several censuses, for each choice of elements, one after the other; how many bits that is."""
    found = size = 0
    for census in censuses:
        found |= census.joined(shape, fact) << size
        size += (census.count + 7) // 8 * 8 * len(census.choices(shape))
    return found, size


def _where(data: bytes, code: int) -> int:
    """The positions of a byte, as a number whose highest bit is the first."""
    digits = bytearray(b"0" * 256)
    digits[code] = ord("1")
    return int(data.translate(bytes(digits)), 2) if data else 0


def injections(shape: Shape, elements: Mapping[str, Sequence[int]]) -> Iterator[tuple[int, ...]]:
    """All choices of different elements."""
    sorts = sorted(set(shape))
    places = {s: [n for n, t in enumerate(shape) if t == s] for s in sorts}
    for chosen in product(*(permutations(elements[s], len(places[s])) for s in sorts)):
        found = [0] * len(shape)
        for sort, elements_of in zip(sorts, chosen, strict=True):
            for place, element in zip(places[sort], elements_of, strict=True):
                found[place] = element
        yield tuple(found)
