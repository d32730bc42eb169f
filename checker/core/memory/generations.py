"""Generations under the weak memory model: messages hold numbers too, and are numbered anew with all others."""

from __future__ import annotations

from collections.abc import Hashable
from typing import NamedTuple, cast

from checker.core import semantics
from checker.core.instance import State
from checker.core.memory.sites import Sites
from checker.core.memory.views import Memory, Message, Work
from checker.core.system import NULL, Value


class _Copy(NamedTuple):
    """Where a generation is: of which counter (-1: its family's only one, or where `of` says), and behind what."""

    family: int
    number: int
    of: int | None
    head: int | None


class Generations:
    """The canonical numbers of the generations of a state with its messages."""

    def __init__(self, sites: Sites) -> None:
        self._sites = sites
        instance = sites.instance
        copies: dict[int, _Copy] = {}  # by slot
        for family, declared in enumerate(instance.system.families):
            for index in instance.tuples(instance.var(declared.head).index):
                slot = instance.slot(declared.head, index)
                copies[slot] = _Copy(family, slot, None, index[0] if index else 0)
            for name, whose in declared.copies:
                for at in instance.tuples(instance.var(name).index):
                    slot = instance.slot(name, at)
                    copies[slot] = _Copy(family, slot, None if whose is None else instance.slot(whose, at), None)
        self._plain = [c for slot, c in copies.items() if slot not in sites.of_slot]
        self._in_location: dict[int, list[_Copy]] = {}
        for slot, copy in copies.items():
            if slot in sites.of_slot:
                location = sites.of_slot[slot]
                slots = sites.slots_of[location]
                of = None if copy.of is None else slots.index(copy.of)
                self._in_location.setdefault(location, []).append(copy._replace(number=slots.index(slot), of=of))
        self.any = bool(copies)

    def canonical(self, base: State, memory: Memory) -> tuple[State, Memory]:
        """The state with its generations numbered as `semantics.canonical` does it, those of messages included."""
        numbers: dict[tuple[int, int], set[int]] = {}
        for copy in self._plain:
            self._collect(copy, base, numbers)
        for location, copies in self._in_location.items():
            for message in memory.messages[location]:
                for copy in copies:
                    self._collect(copy, cast(tuple[Value, ...], message.value), numbers)
        renumbered = {key: semantics.squeeze(found) for key, found in numbers.items()}
        if all(old == new for found in renumbered.values() for old, new in found.items()):
            return base, memory
        changed = self._renumbered(self._plain, base, renumbered)
        messages = list(memory.messages)
        for location, copies in self._in_location.items():
            messages[location] = tuple(
                m._replace(value=cast(Hashable, self._renumbered(copies, cast(State, m.value), renumbered)))
                for m in messages[location]
            )
        return self._with_latest(changed, messages), memory._replace(messages=tuple(messages))

    def forget(self, work: Work, before: State, after: State) -> None:
        """Objects are gone: in messages, generations of their counters are nobody's."""
        instance = self._sites.instance
        for slot, (var, index) in enumerate(instance.slots):
            if var.name.endswith(".live") and before[slot] and not after[slot]:
                families = enumerate(instance.system.families)
                mine = {n for n, f in families if f.head.startswith(var.name.removesuffix("live"))}
                for location, copies in self._in_location.items():
                    gone = [c for c in copies if c.family in mine and c.of is not None]
                    messages = work.messages[location]
                    messages[:] = [m._replace(value=_without(gone, cast(State, m.value), index[0])) for m in messages]

    def _with_latest(self, base: State, messages: list[tuple[Message, ...]]) -> State:
        changed = list(base)
        for location in self._in_location:
            latest = cast(State, messages[location][-1].value)
            for slot, part in zip(self._sites.slots_of[location], latest, strict=True):
                changed[slot] = part
        return tuple(changed)

    def _collect(self, copy: _Copy, values: State, numbers: dict[tuple[int, int], set[int]]) -> None:
        key = self._key(copy, values)
        if key is not None:
            numbers.setdefault(key, set()).add(cast(int, values[copy.number]))

    def _key(self, copy: _Copy, values: State) -> tuple[int, int] | None:
        """The counter that a generation is of; None if it was never assigned, or its object is gone."""
        if copy.head is not None:
            return copy.family, copy.head
        if copy.of is None:
            return (copy.family, 0) if values[copy.number] else None
        of = cast(int, values[copy.of])
        return None if of == NULL else (copy.family, of)

    def _renumbered(
        self, copies: list[_Copy], values: State, renumbered: dict[tuple[int, int], dict[int, int]]
    ) -> State:
        changed = list(values)
        for copy in copies:
            key = self._key(copy, values)
            if key is not None:
                changed[copy.number] = renumbered[key][cast(int, values[copy.number])]
        return tuple(changed)


def _without(gone: list[_Copy], values: State, element: int) -> State:
    changed = list(values)
    for copy in gone:
        if copy.of is not None and changed[copy.of] == element:
            changed[copy.of], changed[copy.number] = NULL, -1
    return tuple(changed)
