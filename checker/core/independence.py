"""Where a thread can go on alone: what it does next commutes with all that others can do, and shows nowhere.

A location is *solitary* if every step that any instance of the thread can take from it

* neither reads what a step of another thread instance writes, nor writes what such a step reads or writes,
* writes nothing that an asked property reads.

In a state with a thread at a solitary location, one of whose steps can be taken, the steps of that thread are a
persistent set: exploring them only keeps all deadlocks, and everything that can be seen of the other
properties (but not how many steps it takes).  Steps that the others cannot take as long as the thread stays
where it is do not count as theirs: while interrupts are off on its CPU, for instance, there is no handler.

So that no step is put off for ever, there is no circle of solitary locations in the text of a thread: on
every circle of states there is one in which all steps are explored.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import field
from itertools import product

from checker.core.instance import Instance
from checker.core.system import Action, At, Expr, Next, Null, Op, Param, Property, PropertyKind, Quant, Read, Static
from checker.records import dataclass

Slot = tuple[str, tuple[int, ...]]
Itself = tuple[str, tuple[int, ...]]
Possible = Callable[[Action, tuple[int, ...]], bool]
Env = Mapping[str, int]


@dataclass(slots=True)
class _Reads:
    """What an expression looks at: slots, and whether a thread is at one of some locations."""

    slots: set[Slot] = field(default_factory=set)
    places: set[tuple[Slot, frozenset[int]]] = field(default_factory=set)


@dataclass(slots=True)
class _Step:
    """An action with its arguments, by what it touches; `waits` are the locations its guard asks other threads for."""

    itself: Itself
    pc: Slot
    at: int
    to: int
    reads: _Reads
    writes: set[Slot]
    waits: dict[Slot, frozenset[int]]


def solitary_locations(
    instance: Instance, properties: Iterable[Property], possible: Possible = lambda action, args: True
) -> dict[str, frozenset[int]]:
    """The solitary locations of each thread that has some.

    `possible` may rule out actions that are known never to happen.  Nothing is solitary where a property asks
    about single steps.
    """
    asked = tuple(properties)
    if any(p.kind is PropertyKind.STEP for p in asked):
        return {}
    analysis = _Analysis(instance, possible)
    visible = analysis.seen_by(asked)
    found: dict[str, frozenset[int]] = {}
    for thread in instance.system.threads:
        if not all(
            isinstance(i, Param | Static) for a in instance.system.actions if a.thread == thread.name for i in a.self
        ):
            continue  # whose step an action is depends on the state
        itself = [(thread.name, index) for index in instance.tuples(thread.index)]
        locations = frozenset(
            n
            for n in range(len(thread.locations))
            if all(analysis.is_solitary(i, n, visible) for i in itself)
            and any(step.itself[0] == thread.name and step.at == n for step in analysis.steps)
        )
        locations = analysis.without_circles(thread.name, locations)
        if locations:
            found[thread.name] = locations
    return found


class _Analysis:
    def __init__(self, instance: Instance, possible: Possible) -> None:
        self._instance = instance
        self._families = [
            {family.head, *(name for pair in family.copies for name in pair if name)}
            for family in instance.system.families
        ]
        self.steps: list[_Step] = []
        for action in instance.system.actions:
            for args in instance.tuples(tuple(param.sort for param in action.params)):
                if possible(action, args):
                    self.steps.extend(self._steps_of(action, args))

    # -- what is touched -----------------------------------------------------

    def _steps_of(self, action: Action, args: tuple[int, ...]) -> Iterator[_Step]:
        """The step, once for each thread instance that it may belong to."""
        env = {param.name: e for param, e in zip(action.params, args, strict=True)}
        thread = self._instance.thread(action.thread)
        reads = _Reads()
        waits: dict[Slot, frozenset[int]] = {}
        for conjunct in action.guard:
            self._look(conjunct, env, reads)
            if isinstance(conjunct, At):
                there = list(self._slots(self._instance.thread(conjunct.thread).pc, conjunct.index, env, reads))
                if len(there) == 1:
                    waits[there[0]] = waits.get(there[0], conjunct.locations) & conjunct.locations
        writes: set[Slot] = set()
        for update in action.updates if action.fault is None else ():
            for elements in self._instance.tuples(tuple(binder.sort for binder in update.binders)):
                bound = {**env, **{b.name: e for b, e in zip(update.binders, elements, strict=True)}}
                self._look(update.where, bound, reads)
                self._look(update.value, bound, reads)
                writes.update(self._slots(update.var, update.index, bound, reads))
        for family in self._families:
            if any(var in family for var, _ in writes):
                # generations are renumbered together
                all_of_them = {(v.name, i) for v, i in self._instance.slots if v.name in family}
                reads.slots |= all_of_them
                writes |= all_of_them
        to = action.at if action.fault is not None else action.to
        for pc in self._slots(thread.pc, action.self, env, reads):
            yield _Step((thread.name, pc[1]), pc, action.at, to, reads, writes, waits)

    def _slots(self, var: str, index: tuple[Expr, ...], env: Env, reads: _Reads) -> Iterator[Slot]:
        """The slots that an access may mean; what the index itself reads is noted."""
        choices: list[Iterable[int]] = []
        for part, sort in zip(index, self._instance.var(var).index, strict=True):
            match part:
                case Param(name):
                    choices.append((env[name],))
                case Static(_, name):
                    choices.append((self._instance.sort(sort).statics.index(name),))
                case Null():
                    choices.append(())
                case _:
                    self._look(part, env, reads)
                    choices.append(self._instance.elements(sort))
        for elements in product(*choices):
            yield var, elements

    def _look(self, expr: Expr, env: Env, reads: _Reads) -> None:
        match expr:
            case Read(var, index):
                reads.slots.update(self._slots(var, index, env, reads))
            case At(thread, index, locations):
                pc = self._instance.thread(thread).pc
                reads.places.update((slot, locations) for slot in self._slots(pc, index, env, reads))
            case Op(_, args):
                for arg in args:
                    self._look(arg, env, reads)
            case Quant(_, name, sort, body):
                for element in self._instance.elements(sort):
                    self._look(body, {**env, name: element}, reads)
            case Next(body):
                self._look(body, env, reads)
            case _:
                pass

    def seen_by(self, properties: Iterable[Property]) -> _Reads:
        """What the properties look at."""
        seen = _Reads()
        for prop in properties:
            for expr in (prop.expr, prop.premise):
                if expr is not None:
                    self._look(expr, {}, seen)
            if prop.kind is PropertyKind.LEAK and prop.sort is not None:
                seen.slots.update((f"{prop.sort}.live", (e,)) for e in self._instance.elements(prop.sort))
        return seen

    # -- what commutes -------------------------------------------------------

    def is_solitary(self, itself: Itself, location: int, visible: _Reads) -> bool:
        """Whether what a thread instance does at a location is for nobody to see."""
        mine = [step for step in self.steps if step.itself == itself and step.at == location]
        if any(_changes(step, visible) for step in mine):
            return False
        others = self._others(itself, location, mine)
        return not any(_conflict(step, other) for step in mine for other in others)

    def _others(self, itself: Itself, location: int, mine: list[_Step]) -> list[_Step]:
        """The steps that others might take before this instance takes one of its own."""
        pc = self._instance.thread(itself[0]).pc, itself[1]
        stays: dict[Slot, frozenset[int]] = {pc: frozenset({location})}
        others = [step for step in self.steps if step.itself != itself]
        while True:
            others = [s for s in others if not any(stays[p].isdisjoint(w) for p, w in s.waits.items() if p in stays)]
            more = {
                slot: frozenset().union(*(step.waits[slot] for step in mine))
                for slot in (frozenset.intersection(*(frozenset(step.waits) for step in mine)) if mine else ())
                if slot not in stays
            }
            # a thread that must be somewhere for ours to go on, and cannot move from there
            more = {p: there for p, there in more.items() if not any(s.pc == p and s.at in there for s in others)}
            if not more:
                return others
            stays |= more
            others = [step for step in others if step.pc not in more]

    def without_circles(self, thread: str, locations: frozenset[int]) -> frozenset[int]:
        """As many of the locations as have no circle among them."""
        kept: set[int] = set()
        ways: dict[int, set[int]] = {}
        for step in self.steps:
            if step.itself[0] == thread:
                ways.setdefault(step.at, set()).add(step.to)
        for location in sorted(locations):
            kept.add(location)
            todo, reached = [*ways.get(location, ())], set[int]()
            while todo:
                here = todo.pop()
                if here in kept and here not in reached:
                    reached.add(here)
                    todo += ways.get(here, ())
            if location in reached:
                kept.remove(location)
        return frozenset(kept)


def _changes(step: _Step, seen: _Reads) -> bool:
    """Whether a step writes what is read, or moves its thread into or out of a place that is asked for."""
    if not step.writes.isdisjoint(seen.slots):
        return True
    if step.at != step.to and step.pc in seen.slots:
        return True
    return any(
        slot in step.writes or (slot == step.pc and (step.at in there) != (step.to in there))
        for slot, there in seen.places
    )


def _conflict(one: _Step, other: _Step) -> bool:
    return not one.writes.isdisjoint(other.writes) or _changes(one, other.reads) or _changes(other, one.reads)
