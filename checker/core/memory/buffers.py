"""How store buffers are kept in variables, and the steps of the agent that empties them.

A buffer has numbered positions, the oldest store in position 0.  At each, `what` says what kind of
store is there; further variables hold the indices and the values of it.  Kinds share them: the
third index over sort S of any kind is in the same variable.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from checker.core import fold
from checker.core import system as y
from checker.core.system import BufferedPart, BufferedStore, StoreBuffer
from checker.records import dataclass

_NOTHING = 0


@dataclass(frozen=True, slots=True)
class Owner:
    """Whose buffer it is: that of a CPU, or of the instances of a thread that runs on none."""

    name: str
    index: tuple[str, ...]

    def whose(self, action: y.Action) -> tuple[y.Expr, ...]:
        """The owner of the buffer that an action uses."""
        if self.name == "cpu":
            assert action.cpu is not None
            return (action.cpu,)
        return action.self


@dataclass(frozen=True, slots=True)
class Stored:
    """A kind of store: the variables that it writes; of each index, whether it is always the owner itself."""

    parts: tuple[tuple[str, tuple[bool, ...]], ...]

    @staticmethod
    def of(stores: tuple[y.Update, ...], action: y.Action, owner: Owner) -> Stored:
        """The kind of the stores of a step."""
        whose = owner.whose(action)
        return Stored(tuple((u.var, tuple(whose == (i,) for i in u.index)) for u in stores))


@dataclass(frozen=True, slots=True)
class Layout:
    """The variables of the buffers of one kind of owner."""

    owner: Owner
    depth: int
    kinds: tuple[tuple[Stored, BufferedStore], ...]
    slots: tuple[tuple[str, y.Type], ...]

    @staticmethod
    def of(system: y.System, owner: Owner, stored: tuple[Stored, ...], depth: int) -> Layout:
        """A layout in which any of some kinds of stores can be kept."""
        slots: dict[str, y.Type] = {}
        kinds = tuple((kind, _described(system, kind, slots)) for kind in stored)
        return Layout(owner, depth, kinds, tuple(slots.items()))

    # -- variables

    @property
    def _prefix(self) -> str:
        return "buffer" if self.owner.name == "cpu" else f"{self.owner.name}.buffer"

    def _name(self, position: int, slot: str) -> str:
        return f"{self._prefix}.{position}.{slot}"

    @property
    def _what(self) -> y.Enum:
        return y.Enum(self._prefix, ("nothing", *(_label(kind) for _, kind in self.kinds)))

    @property
    def _thread(self) -> str:
        return "store buffer" if self.owner.name == "cpu" else f"{self.owner.name} store buffer"

    def variables(self) -> Iterator[y.Var]:
        """The buffers, and where their agents are."""
        for position in range(self.depth):
            for slot, type_ in (("what", self._what), *self.slots):
                yield y.Var(self._name(position, slot), self.owner.index, type_, _first(type_), y.Storage.MACHINE)
        pc = f"{self._thread}.pc"
        yield y.Var(pc, self.owner.index, y.Int(0, 0), fold.int_lit(0), y.Storage.CONTROL)

    def thread(self) -> y.Thread:
        """The agent that takes the stores to memory."""
        return y.Thread(
            self._thread, y.ThreadKind.HARDWARE, self.owner.index, f"{self._thread}.pc",
            (y.Location("waiting"),), 0, frozenset(),
        )  # fmt: skip

    def described(self) -> StoreBuffer:
        """What a report needs to know."""
        prefixes = tuple(f"{self._prefix}.{position}" for position in range(self.depth))
        return StoreBuffer(self._thread, self.owner.index, prefixes, tuple(kind for _, kind in self.kinds))

    def copies(self, family: y.GenFamily) -> Iterator[tuple[str, str | None]]:
        """The variables of the buffers that hold generations of a family."""
        for position in range(self.depth):
            for slot, type_ in self.slots:
                if isinstance(type_, y.Gen) and slot.startswith(f"gen {family.head} "):
                    of = any(name == f"{slot}.of" for name, _ in self.slots)
                    yield self._name(position, slot), self._name(position, f"{slot}.of") if of else None

    def _read(self, position: int, slot: str, whose: tuple[y.Expr, ...]) -> y.Expr:
        type_ = self._what if slot == "what" else dict(self.slots)[slot]
        return y.Read(self._name(position, slot), whose, type_)

    def _is(self, position: int, kind: int, whose: tuple[y.Expr, ...]) -> y.Expr:
        return fold.eq(self._read(position, "what", whose), y.Lit(kind, self._what))

    # -- conditions

    def empty(self, whose: tuple[y.Expr, ...]) -> y.Expr:
        """That nothing is in the buffer."""
        return self._is(0, _NOTHING, whose)

    def room(self, whose: tuple[y.Expr, ...]) -> y.Expr:
        """That another store fits in."""
        return self._is(self.depth - 1, _NOTHING, whose)

    # -- reading and storing

    def forward(self, expr: y.Expr, whose: tuple[y.Expr, ...]) -> y.Expr:
        """An expression as the owner of the buffer evaluates it."""

        def read(var: str, index: tuple[y.Expr, ...], type_: y.Type) -> y.Expr:
            value: y.Expr = y.Read(var, index, type_)
            for position in range(self.depth):  # the newest comes last, and is asked first
                for number, (_, kind) in enumerate(self.kinds, start=1):
                    for part in kind.parts:
                        if part.var == var:
                            value = fold.ite(self._holds(position, number, part, index, whose),
                                             self._read(position, part.value, whose), value)  # fmt: skip
            return value

        return fold.rewrite(expr, read, {})

    def _holds(
        self, position: int, number: int, part: BufferedPart, index: tuple[y.Expr, ...], whose: tuple[y.Expr, ...]
    ) -> y.Expr:
        """Whether the store at a position is one to a variable at an index."""
        same = [fold.eq(i, at) for i, at in zip(index, self._index(position, part, whose), strict=True)]
        return fold.and_((self._is(position, number, whose), *same))

    def _index(self, position: int, part: BufferedPart, whose: tuple[y.Expr, ...]) -> tuple[y.Expr, ...]:
        return tuple(whose[0] if slot is None else self._read(position, slot, whose) for slot in part.index)

    def store(self, stored: Stored, updates: tuple[y.Update, ...], whose: tuple[y.Expr, ...]) -> Iterator[y.Update]:
        """The updates that put a store into the first free position."""
        number = next(n for n, (kind, _) in enumerate(self.kinds, start=1) if kind == stored)
        described = self.kinds[number - 1][1]
        for position in range(self.depth):
            here = self._is(position, _NOTHING, whose)
            if position:
                here = fold.and_((fold.not_(self._is(position - 1, _NOTHING, whose)), here))

            def put(slot: str, value: y.Expr, at: int = position, where: y.Expr = here) -> y.Update:
                return y.Update(self._name(at, slot), whose, value, (), where)

            yield put("what", y.Lit(number, self._what))
            for part, update in zip(described.parts, updates, strict=True):
                for slot, index in zip(part.index, update.index, strict=True):
                    if slot is not None:
                        yield put(slot, index)
                yield put(part.value, update.value)

    # -- the agent

    def drains(self, freed: frozenset[str]) -> Iterator[y.Action]:
        """The oldest store reaches memory; that it is to an object that was freed meanwhile is a fault."""
        whose = tuple(y.Param("this_cpu" if self.owner.name == "cpu" else f"whose{n}", sort)
                      for n, sort in enumerate(self.owner.index))  # fmt: skip
        for number, (_, kind) in enumerate(self.kinds, start=1):
            here = self._is(0, number, whose)
            live = fold.and_(self._live(part, freed, whose) for part in kind.parts)
            base = y.Action(
                name=f"{self._thread}:{number}", thread=self._thread, params=whose, self=whose,
                cpu=whose[0] if self.owner.name == "cpu" else None, at=0, to=0,
                guard=tuple(fold.conjuncts((here, live))), updates=(), label=f"store to {_label(kind)} reaches memory",
                key=f"{self._thread}/{number}",
            )  # fmt: skip
            updates = [
                y.Update(part.var, self._index(0, part, whose), self._read(0, part.value, whose)) for part in kind.parts
            ]
            yield replace(base, updates=(*updates, *self._shift(whose)))
            if live != y.TRUE:
                message = f"use after free: a store to {_label(kind)} reaches memory after the object was freed"
                yield replace(
                    base, name=f"{base.name}#freed", key=f"{base.key}/freed", guard=(here, fold.not_(live)),
                    fault=y.Fault("use_after_free", message),
                )  # fmt: skip

    def _live(self, part: BufferedPart, freed: frozenset[str], whose: tuple[y.Expr, ...]) -> y.Expr:
        sort = part.var.partition(".")[0]
        if sort not in freed:
            return y.TRUE
        return y.Read(f"{sort}.live", self._index(0, part, whose)[:1], y.BOOL)

    def _shift(self, whose: tuple[y.Expr, ...]) -> Iterator[y.Update]:
        for position in range(self.depth):
            for slot, type_ in (("what", self._what), *self.slots):
                last = position == self.depth - 1
                value = _first(type_) if last else self._read(position + 1, slot, whose)
                yield y.Update(self._name(position, slot), whose, value)

    def forget(self, sort: str, element: y.Expr, families: tuple[y.GenFamily, ...]) -> Iterator[y.Update]:
        """The updates that a freed object brings to the generations of its counter."""
        whose = tuple(y.Param(f"buffer owner {n}", s) for n, s in enumerate(self.owner.index))
        for family in families:
            for copy, of in self.copies(family):
                if of is None or not family.head.startswith(f"{sort}."):
                    continue
                ours = fold.eq(y.Read(of, whose, y.Elem(sort, True)), element)
                yield y.Update(copy, whose, y.Lit(-1, y.Gen()), whose, ours)
                yield y.Update(of, whose, y.Null(sort), whose, ours)


def _described(system: y.System, kind: Stored, slots: dict[str, y.Type]) -> BufferedStore:
    """Where the indices and values of a kind of store are kept; what is missing is added to `slots`."""
    variables = {v.name: v for v in system.vars}
    used: dict[str, int] = {}

    def slot(prefix: str, type_: y.Type) -> str:
        used[prefix] = used.get(prefix, 0) + 1
        name = f"{prefix} {used[prefix]}"
        slots.setdefault(name, type_)
        return name

    def value(var: y.Var, taken: dict[str, str]) -> str:
        for family in system.families:
            for copy, of in family.copies:
                if var.name == copy:
                    taken[var.name] = slot(f"gen {family.head}", y.Gen())
                    return taken[var.name]
                if var.name == of and copy in taken:
                    slots.setdefault(f"{taken[copy]}.of", var.type)
                    return f"{taken[copy]}.of"
        return slot(_type_name(var.type), _widest(var.type))

    taken: dict[str, str] = {}
    parts: dict[str, BufferedPart] = {}
    for name, own in sorted(kind.parts, key=lambda part: part[0].endswith(".of")):  # a generation before its family
        var = variables[name]
        index = tuple(
            None if is_owner else slot(f"index {sort}", y.Elem(sort, True))
            for sort, is_owner in zip(var.index, own, strict=True)
        )
        parts[name] = BufferedPart(name, index, value(var, taken))
    return BufferedStore(tuple(parts[name] for name, _ in kind.parts))


def _type_name(type_: y.Type) -> str:
    match type_:
        case y.Bool():
            return "bool"
        case y.Int(lo, hi):
            return f"{lo}..{hi}"
        case y.Enum(name, members):
            return f"{name} {len(members)}"
        case y.Elem(sort):
            return sort
        case _:
            raise AssertionError(f"no buffer holds a {type_}")


def _widest(type_: y.Type) -> y.Type:
    return y.Elem(type_.sort, True) if isinstance(type_, y.Elem) else type_


def _first(type_: y.Type) -> y.Expr:
    """What a slot holds while it is not in use."""
    match type_:
        case y.Elem(sort):
            return y.Null(sort)
        case y.Bool():
            return y.FALSE
        case y.Int(lo):
            return y.Lit(lo, type_)
        case _:
            return y.Lit(0, type_)


def _label(kind: BufferedStore) -> str:
    return ", ".join(dict.fromkeys(part.var for part in kind.parts))
