"""The search behind the explorer: visits states, and notes where properties are decided.

What is counted: a state once, however often it is met; as transitions all
enabled choices without a fault, in every state that was expanded.  A state that violates
an invariant is not expanded.  A search that stops early still finishes the
state it is expanding, and its counts.
"""

from __future__ import annotations

import random
import time
from array import array
from collections.abc import Iterable
from typing import Final, Protocol

from checker.core.backward import Edges
from checker.core.compile import Predicate, Transition
from checker.core.instance import Instance, State
from checker.core.memory.weak import program_of
from checker.core.path import Path
from checker.core.resources import resident_memory
from checker.core.system import Expr, Property, PropertyKind
from checker.core.verdict import Limits
from checker.records import dataclass

_CHECK_EVERY: Final = 512
"""Expanded states between two looks at the clock and at memory."""

_PROGRESS_SECONDS: Final = 0.3


class Listener(Protocol):
    """Hears how a run is getting on, a few times per second at most."""

    def progress(self, states: int, transitions: int, depth: int, frontier: int, seconds: float) -> None:
        """So far: states and transitions met, the current depth, states waiting, seconds."""


class Stop(Exception):
    """The search ends here: because of a limit, or (None) because all asked for is found."""

    def __init__(self, limit: str | None = None) -> None:
        self.limit = limit
        super().__init__(limit)


@dataclass(frozen=True, slots=True)
class Witness:
    """Where a property was decided: in the state of that number, or by one more choice there."""

    state: int
    rule: int | None = None


@dataclass(frozen=True, slots=True)
class _Trail:
    """The walk that is under way: its initial state and the choices made."""

    initial: int
    rules: list[int]


class Search:
    """One run: what has been visited, and what is known of the properties."""

    def __init__(
        self,
        instance: Instance,
        properties: tuple[Property, ...],
        limits: Limits,
        stop_on: frozenset[str] | None,
        events: Listener | None,
    ) -> None:
        self.instance = instance
        self.properties = properties
        self.limits = limits
        self.events = events
        self.limit: str | None = None
        self.complete = False
        self.started = self.reported = time.monotonic()
        self.program = program = program_of(instance)

        def exprs(kind: PropertyKind) -> dict[str, Expr]:
            return {p.name: p.expr for p in properties if p.kind is kind and p.expr is not None}

        invariants, steps = exprs(PropertyKind.INVARIANT), exprs(PropertyKind.STEP)
        self.invariants = {name: program.predicate(expr) for name, expr in invariants.items()}
        self.all_hold = program.all_hold(invariants.values())
        self.steps = {name: program.all_hold_over([expr]) for name, expr in steps.items()}
        self.all_hold_over = program.all_hold_over(steps.values())
        self.covers = {name: program.predicate(expr) for name, expr in exprs(PropertyKind.COVER).items()}
        premises = {p.name: program.predicate(p.premise) for p in properties if p.premise is not None}
        self.pending: list[tuple[str, Predicate]] = [*self.covers.items(), *premises.items()]
        self.faults = frozenset(p.name for p in properties if p.kind is PropertyKind.FAULT)
        self.deadlock = next((p.name for p in properties if p.kind is PropertyKind.DEADLOCK), None)
        self.leaks = [p for p in properties if p.kind is PropertyKind.LEAK and p.sort is not None]
        violable = {p.name for p in properties if p.kind is not PropertyKind.COVER}
        self.stop_on = None if stop_on is None else stop_on & violable

        self.found: dict[str, Witness | Path] = {}
        self.doomed: dict[str, frozenset[State]] = {}  # by leak, where no path frees the object
        self.reached: set[str] = set()
        self.trail: _Trail | None = None
        self.seen: dict[State, int] = {}
        self.parents = array("q")  # of each state; -1 for initial ones
        self.rules = array("q")  # that led to it from there; the number of an initial state
        self.cut: set[int] = set()  # states with a violation, after which the model may go anywhere
        self.levels = [0]  # the first state of each level
        self.deepest = 0
        self.expanded = 0
        self.fired = [0] * len(program.rules)
        self.edges = Edges() if self.leaks else None

    # -- strategies ----------------------------------------------------------

    def breadth_first(self) -> None:
        """Visit everything, level by level."""
        self.start()
        frontier, number = list(self.seen), 0
        while frontier:
            depth = len(self.levels) - 1
            if depth == self.limits.depth:
                raise Stop("depth")
            self.levels.append(len(self.seen))
            fresh: list[State] = []
            for state in frontier:
                if number not in self.cut:
                    self.expand(state, number, fresh)
                    if fresh:
                        self.deepest = depth + 1
                    self.pause(len(frontier) + len(fresh))
                number += 1
            frontier = fresh
        self.finish()

    def depth_first(self) -> None:
        """Visit everything, going on from the newest state."""
        self.start()
        stack = [(state, number, 0) for state, number in self.seen.items()][::-1]
        truncated = False
        while stack:
            state, number, depth = stack.pop()
            if number in self.cut:
                continue
            if depth == self.limits.depth:
                truncated = True
                continue
            fresh: list[State] = []
            first = len(self.seen)
            self.expand(state, number, fresh)
            stack += [(s, first + n, depth + 1) for n, s in enumerate(fresh)][::-1]
            if fresh:
                self.deepest = max(self.deepest, depth + 1)
            self.pause(len(stack))
        if truncated:
            raise Stop("depth")
        self.finish()

    def walk(self, chance: random.Random, walks: int, length: int) -> None:
        """Walk at random from initial states; what counts as a transition is a step of a walk."""
        initial = list(self.program.initial())
        if self.limits.depth is not None:
            length = min(length, self.limits.depth)
        for _ in range(walks if initial else 0):
            self.trail = trail = _Trail(chance.randrange(len(initial)), [])
            state = initial[trail.initial]
            while self.visit(state) and len(trail.rules) < length:
                transitions = self.successors(state)
                self.expanded += 1
                steps: list[tuple[int, State]] = []
                for rule, target in transitions:
                    if target is None:
                        self.fault(rule, 0)
                    else:
                        steps.append((rule, target))
                if not transitions:
                    self.stuck(state, 0)
                self.pause(0)
                if not steps:
                    break
                rule, target = chance.choice(steps)
                if not self.all_hold_over(state, target):
                    self.misstep(state, rule, target, 0)
                trail.rules.append(rule)
                self.fired[rule] += 1
                self.deepest = max(self.deepest, len(trail.rules))
                state = target
            self.stop_if_done()

    # -- the work ------------------------------------------------------------

    def start(self) -> None:
        """Visit the initial states."""
        for initial, state in enumerate(self.program.initial()):
            number = len(self.seen)
            if state not in self.seen:
                self.parents.append(-1)
                self.rules.append(initial)
                if not self.visit(state):
                    self.cut.add(number)
        self.stop_if_done()

    def visit(self, state: State) -> bool:
        """Note a state and what is true in it; False if it violates an invariant."""
        number = self.seen.setdefault(state, len(self.seen))
        self.cover(state, number)
        sound = self.all_hold(state)
        if not sound:
            self.broken(state, number)
        return sound

    def expand(self, state: State, number: int, fresh: list[State]) -> None:
        """Visit the successors of a state, and append those never met before to `fresh`."""
        seen, fired, edges = self.seen, self.fired, self.edges
        transitions = self.successors(state)
        for rule, target in transitions:
            if target is None:
                self.fault(rule, number)
                self.cut.add(number)
                continue
            fired[rule] += 1
            index = len(seen)
            known = seen.setdefault(target, index)
            if known == index:
                self.parents.append(number)
                self.rules.append(rule)
                fresh.append(target)
                if self.pending:
                    self.cover(target, index)
                if not self.all_hold(target):
                    self.broken(target, index)
                    self.cut.add(index)
            if edges is not None:
                edges.add(known)
            if self.steps and not self.all_hold_over(state, target):
                self.misstep(state, rule, target, number)
        self.expanded += 1
        if edges is not None:
            edges.close(number)
        if not transitions:
            self.stuck(state, number)

    def successors(self, state: State) -> list[Transition]:
        """The transitions of a state; raises what the semantics raises."""
        try:
            return self.program.successors(state)
        except IndexError:
            self.program.explain(state)
            raise

    def cover(self, state: State, number: int) -> None:
        """Note the covers and premises that are true for the first time."""
        reached = {name for name, predicate in self.pending if predicate(state)}
        if reached:
            self.reached |= reached
            self.pending = [item for item in self.pending if item[0] not in reached]
            for name in reached & self.covers.keys():
                self.note(name, number)

    def broken(self, state: State, number: int) -> None:
        """Note the invariants that a state violates."""
        for name, predicate in self.invariants.items():
            if not predicate(state):
                self.note(name, number)

    def misstep(self, state: State, rule: int, target: State, number: int) -> None:
        """Note the step properties that a transition violates."""
        for name, predicate in self.steps.items():
            if not predicate(state, target):
                self.note(name, number, rule)

    def fault(self, rule: int, number: int) -> None:
        """Note a fault that can happen."""
        fault = self.program.rules[rule].fault
        if fault is not None and fault.property in self.faults:
            self.note(fault.property, number, rule)

    def stuck(self, state: State, number: int) -> None:
        """Note a state without successors if it is no end."""
        if self.deadlock is not None and not self.program.final(state):
            self.note(self.deadlock, number)

    def note(self, name: str, number: int, rule: int | None = None) -> None:
        """Remember where a property was decided first."""
        if name in self.found:
            return
        if self.trail is None:
            self.found[name] = Witness(number, rule)
        else:
            self.found[name] = self.path(self.trail.initial, [*self.trail.rules, *([] if rule is None else [rule])])

    def pause(self, waiting: int) -> None:
        """Between two states: stop if that is due, and now and then look at the clock."""
        if self.found:
            self.stop_if_done()
        if self.limits.states is not None and len(self.seen) > self.limits.states:
            raise Stop("states")
        if self.expanded % _CHECK_EVERY:
            return
        now = time.monotonic()
        if self.limits.seconds is not None and now - self.started > self.limits.seconds:
            raise Stop("seconds")
        if self.limits.memory is not None and resident_memory() > self.limits.memory:
            raise Stop("memory")
        if self.events is not None and now - self.reported >= _PROGRESS_SECONDS:
            self.reported = now
            self.events.progress(len(self.seen), sum(self.fired), self.deepest, waiting, now - self.started)

    def stop_if_done(self) -> None:
        """End the search if what it was to find is found."""
        violated = self.found.keys() - self.covers.keys()
        if violated if self.stop_on is None else self.stop_on and self.stop_on <= violated:
            raise Stop

    def finish(self) -> None:
        """All states are visited: decide what is about all of them."""
        for leak in self.leaks:
            self.find_leak(leak)
        self.complete = True

    def find_leak(self, leak: Property) -> None:
        """Find the states with a live object that no path frees any more."""
        if self.edges is None or leak.sort is None:
            return
        predecessors = self.edges.reversed(len(self.seen))
        states, doomed = list(self.seen), set[int]()
        for element in self.instance.objects(leak.sort):
            live = self.instance.slot(f"{leak.sort}.live", (element,))
            # where the search stopped at a violation, anything might still have followed
            goal = (n for n, state in enumerate(states) if not state[live] or n in self.cut)
            able = predecessors.able(goal)
            doomed.update(n for n, can in enumerate(able) if not can)
        if doomed:
            self.note(leak.name, min(doomed))
            self.doomed[leak.name] = frozenset(states[n] for n in doomed)

    # -- paths ---------------------------------------------------------------

    def path(self, initial: int, rules: Iterable[int]) -> Path:
        """The path that makes the choices of these numbers."""
        return Path(initial, tuple(self.program.rules[rule].choice for rule in rules))

    def path_to(self, witness: Witness) -> Path:
        """The path that the search itself took."""
        rules = [] if witness.rule is None else [witness.rule]
        number = witness.state
        while self.parents[number] >= 0:
            rules.append(self.rules[number])
            number = self.parents[number]
        return self.path(self.rules[number], reversed(rules))


def reachable(instance: Instance, states: int) -> tuple[list[State], bool]:
    """The first reachable states, breadth first, and whether there are no more."""
    search = Search(instance, (), Limits(states=states), frozenset(), None)
    try:
        search.breadth_first()
    except Stop:
        pass
    return list(search.seen), search.complete
