"""Z3 over a finite instance: bounded search, and induction.

Bounded search asks, for one number of steps after the other, whether a path of so many steps
violates a property: the first that is found is the shortest.  It is the second
opinion on the explorers, whose code it shares nothing with but the System, and it
never visits a state twice because it visits none.  Induction says of the
invariants that they hold however many steps are taken.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any, Final

import z3

from checker.core import semantics
from checker.core.instance import Instance, State
from checker.core.path import Choice, Path
from checker.core.resources import peak_memory
from checker.core.system import Property, PropertyKind
from checker.core.unbounded import is_unbounded
from checker.core.verdict import Limits, Outcome, Statistics
from checker.explorer import Exploration, Result
from checker.records import dataclass
from checker.search import Listener
from checker.symbolic.terms import Cond, both, either, equal, negated
from checker.symbolic.transition import Step, Symbols, same_state, slot_is, symbols

INITIAL_STATES: Final = 4_096
"""How many initial states are at most written down."""

DEFAULT_DEPTH: Final = 40
"""How many steps are looked at where no limit says otherwise."""


class Unsupported(Exception):
    """What bounded search cannot be asked."""


class _Copies:
    """The template's formulas, copied for each step of a path."""

    def __init__(self, step: Step) -> None:
        self._step = step
        self.states: list[Symbols] = [symbols(step.instance, "s0")]
        self.taken: list[tuple[Any, ...]] = []

    def state(self, number: int, formula: Cond) -> Cond:
        """A formula over the template's state before, of the state with that number."""
        if isinstance(formula, bool):
            return formula
        return z3.substitute(formula, *zip(self._step.before.variables, self.states[number].variables, strict=True))

    def pair(self, number: int, formula: Cond) -> Cond:
        """A formula over the template's two states, of that state and the next."""
        if isinstance(formula, bool):
            return formula
        return z3.substitute(formula, *self._pairs(number))

    def extend(self) -> Cond:
        """One more step: what it demands."""
        number = len(self.taken)
        self.states.append(symbols(self._step.instance, f"s{number + 1}"))
        self.taken.append(tuple(z3.Bool(f"{g.taken}@{number}") for g in self._step.moves))
        return self.pair(number, self._step.formula)

    def choices(self, model: z3.ModelRef, steps: int) -> Iterator[Choice]:
        """The moves that a model of Z3 takes."""
        for taken in self.taken[:steps]:
            for ground, variable in zip(self._step.moves, taken, strict=True):
                if z3.is_true(model.eval(variable)):
                    yield ground.choice

    def _pairs(self, number: int) -> list[tuple[Any, Any]]:
        old = self._step.variables
        before, after = self.states[number].variables, self.states[number + 1].variables
        return list(zip(old, (*before, *after, *self.taken[number]), strict=True))


@dataclass(slots=True)
class _Run:
    """What a bounded search has found so far."""

    found: dict[str, Path]
    depth: int = 0
    limit: str | None = None
    deepest: bool = False  # no path is any longer


def explore_bounded(
    instance: Instance,
    properties: Iterable[Property],
    limits: Limits | None = None,
    *,
    stop_on: frozenset[str] | None = None,
    events: Listener | None = None,
) -> Exploration:
    """Look for violations and covers within a number of steps: `limits.depth`, or DEFAULT_DEPTH.

    Ends as the explorer does; a run that no path can prolong is complete, any other says how deep it
    came.  Leaks are left unknown.  Raises Unsupported for more initial states than INITIAL_STATES.
    """
    asked = tuple(properties)
    search = _Bounded(instance, asked, limits or Limits(), stop_on, events)
    started = time.monotonic()
    try:
        search.run()
    except KeyboardInterrupt:
        search.done.limit = "interrupted"
    except z3.Z3Exception as error:
        if "out of memory" not in str(error):
            raise
        search.done.limit = "memory"
    done = search.done
    statistics = Statistics(
        depth=done.depth, transitions=done.depth, seconds=time.monotonic() - started, peak_memory=peak_memory(),
        complete=done.deepest, limit=None if done.deepest else done.limit,
    )  # fmt: skip
    results = {p.name: _result(p, done) for p in asked}
    reached = frozenset(p.name for p in asked if p.kind is PropertyKind.COVER and p.name in done.found)
    return Exploration(instance, results, statistics, reached | search.premises)


def _result(property: Property, done: _Run) -> Result:
    path = done.found.get(property.name)
    if path is not None:
        if property.kind is PropertyKind.COVER:
            return Result(property, Outcome.REACHED, path)
        bound = property.name == "bound"
        return Result(property, Outcome.BOUND if bound else Outcome.VIOLATED, path)
    if property.kind is PropertyKind.LEAK:
        return Result(property, Outcome.UNKNOWN, note="a leak is about all futures: bounded search sees none")
    if property.kind is PropertyKind.COVER:
        return Result(property, Outcome.UNREACHED if done.deepest else Outcome.UNKNOWN)
    return Result(property, Outcome.HOLDS if done.deepest else Outcome.HOLDS_TO)


class _Bounded:
    def __init__(
        self, instance: Instance, asked: tuple[Property, ...], limits: Limits, stop_on: frozenset[str] | None,
        events: Listener | None,
    ) -> None:  # fmt: skip
        self.instance = instance
        self.asked = asked
        self.limits = limits
        self.stop_on = stop_on
        self.events = events
        self.done = _Run({})
        self.premises: frozenset[str] = frozenset()
        self.started = time.monotonic()

    def run(self) -> None:
        """Deepen until all is found, nothing is left to do, or a limit comes."""
        firsts = tuple(islice(semantics.initial_states(self.instance), INITIAL_STATES + 1))
        if len(firsts) > INITIAL_STATES:
            raise Unsupported(f"the model has more than {INITIAL_STATES} initial states")
        step = Step(self.instance)
        copies = _Copies(step)
        solver = _solver(self.instance)
        first = [z3.Bool(f"first{n}") for n in range(len(firsts))]
        solver.add(either(first))
        for chosen, state in zip(first, firsts, strict=True):
            solver.add(z3.Implies(chosen, same_state(self.instance, copies.states[0].terms, state)))
        kept = [(p, step.truth(p.expr)) for p in self.asked if p.kind is PropertyKind.INVARIANT]
        of_state = {p.name: self._of_state(p, step, both(f for _, f in kept)) for p in self.asked}
        of_step = {p.name: negated(step.truth(p.expr)) for p in self.asked if p.kind is PropertyKind.STEP}
        faults = {p.name: step.fault(p.name) for p in self.asked if p.kind is PropertyKind.FAULT}
        deepest = self.limits.depth if self.limits.depth is not None else DEFAULT_DEPTH
        for depth in range(deepest + 1):
            here = {n: copies.state(depth, f) for n, f in of_state.items()}
            if depth:
                here |= {n: copies.pair(depth - 1, f) for n, f in of_step.items()}
            if not self._look(solver, here, depth, copies, first, step):
                return
            self.done.depth = depth
            if depth == deepest:
                self.done.limit = "depth"
                return
            for _, invariant in kept:  # a state that violates one is not gone on from
                solver.add(copies.state(depth, invariant))
            wrong = {n: copies.state(depth, f) for n, f in faults.items()}  # a fault needs no state after it
            if not self._look(solver, wrong, depth + 1, copies, first, step):
                return
            solver.add(copies.extend())
            if not self._check(solver):
                return
            if self.done.deepest:
                return

    def _of_state(self, property: Property, step: Step, good: Cond) -> Cond:
        match property.kind:
            case PropertyKind.INVARIANT:
                return negated(step.truth(property.expr))
            case PropertyKind.COVER:
                return step.truth(property.expr)
            case PropertyKind.DEADLOCK:
                return both((good, step.stuck()))
            case _:
                return False

    def _look(
        self, solver: z3.Solver, here: dict[str, Cond], depth: int, copies: _Copies, first: list[Any], step: Step
    ) -> bool:
        """Find all that is decided at this depth; whether to go on."""
        open_ = {n: f for n, f in here.items() if f is not False and n not in self.done.found}
        while open_:
            solver.push()
            solver.add(either(open_.values()))
            answer = self._ask(solver)
            model = solver.model() if answer == z3.sat else None
            solver.pop()
            if model is None:
                if answer == z3.unknown:
                    return False
                break
            for name in [n for n, f in open_.items() if f is True or z3.is_true(model.eval(f, model_completion=True))]:
                self.done.found[name] = self._path(model, name, depth, copies, first, step)
                del open_[name]
            if self._enough():
                self.done.depth = depth
                return False
        return True

    def _path(self, model: z3.ModelRef, name: str, depth: int, copies: _Copies, first: list[Any], step: Step) -> Path:
        initial = next(n for n, v in enumerate(first) if z3.is_true(model.eval(v, model_completion=True)))
        kind = next(p.kind for p in self.asked if p.name == name)
        if kind is not PropertyKind.FAULT:
            return Path(initial, tuple(copies.choices(model, depth)))
        before = tuple(copies.choices(model, depth - 1))
        for ground in step.faults:
            fault = ground.action.fault
            guard = copies.state(depth - 1, ground.guard)
            if (
                fault is not None
                and fault.property == name
                and (guard is True or z3.is_true(model.eval(guard, model_completion=True)))
            ):
                return Path(initial, (*before, ground.choice))
        raise AssertionError(f"no action makes the fault {name}")

    def _enough(self) -> bool:
        covers = {p.name for p in self.asked if p.kind is PropertyKind.COVER}
        violated = self.done.found.keys() - covers
        return bool(violated) if self.stop_on is None else bool(self.stop_on) and self.stop_on <= violated

    def _check(self, solver: z3.Solver) -> bool:
        """Whether some path is so long; sets `deepest` where none is."""
        answer = self._ask(solver)
        if answer == z3.unsat:
            self.done.deepest = True
        return bool(answer != z3.unknown)

    def _ask(self, solver: z3.Solver) -> z3.CheckSatResult:
        if self.limits.seconds is not None:
            left = self.limits.seconds - (time.monotonic() - self.started)
            if left <= 0:
                self.done.limit = "seconds"
                return z3.unknown
            solver.set("timeout", max(int(left * 1000), 1))
        answer = solver.check()
        if answer == z3.unknown:
            self.done.limit = "seconds" if self.limits.seconds is not None else f"Z3: {solver.reason_unknown()}"
        return answer


def _solver(instance: Instance) -> z3.Solver:
    """Z3's solver for truth values alone, unless there are numbers."""
    numbers = instance.system.families or any(is_unbounded(v.type) for v in instance.system.vars)
    return z3.Solver() if numbers else z3.SolverFor("QF_FD")


# -- induction ---------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class NotInductive:
    """A counterexample to induction: states in which all properties hold, one step after the other, and the last
    step, after which `property` does not hold any more.  Nothing says that the first state can be reached."""

    property: str
    first: State
    choices: tuple[Choice, ...]


@dataclass(frozen=True, slots=True)
class Induction:
    """Which properties are kept by every step from states in which all of them hold.

    `unknown` are those that the time limit left open.
    """

    k: int
    kept: tuple[str, ...]
    broken: tuple[NotInductive, ...]
    unknown: tuple[str, ...]
    seconds: float


def induct(instance: Instance, properties: Iterable[Property], k: int = 1, seconds: float | None = None) -> Induction:
    """Ask of each invariant and fault whether k states in a row in which all hold are followed by one in which it does.

    With that, and no violation within k - 1 steps of an initial state, they hold in all reachable states.  For k
    above 1 no state may come twice.  Counterexamples are made as like the first initial state as they can be.
    """
    started = time.monotonic()
    asked = [p for p in properties if p.kind in (PropertyKind.INVARIANT, PropertyKind.FAULT)]
    step = Step(instance)
    copies = _Copies(step)
    solver = _solver(instance)
    good = {p.name: step.truth(p.expr) if p.kind is PropertyKind.INVARIANT else negated(step.fault(p.name))
            for p in asked}  # fmt: skip
    solver.add(copies.states[0].well_formed())
    for number in range(k):
        solver.add(*(copies.state(number, f) for f in good.values()))
        solver.add(copies.extend())
        for earlier in range(number):
            solver.add(negated(both(equal(a, b) for a, b in zip(
                copies.states[earlier].terms, copies.states[number].terms, strict=True))))  # fmt: skip
    kept, broken, unknown = list[str](), list[NotInductive](), list[str]()
    for name, formula in good.items():
        solver.push()
        solver.add(copies.state(k, negated(formula)))
        if seconds is not None:
            solver.set("timeout", max(int((seconds - (time.monotonic() - started)) * 1000), 1))
        answer = solver.check()
        if answer == z3.sat:
            frames = solver.num_scopes()
            model = _plainest(instance, solver, copies.states[0])
            solver.pop(solver.num_scopes() - frames)
            first = semantics.canonical(instance, copies.states[0].state(model))
            broken.append(NotInductive(name, first, tuple(copies.choices(model, k))))
        else:
            (kept if answer == z3.unsat else unknown).append(name)
        solver.pop()
    return Induction(k, tuple(kept), tuple(broken), tuple(unknown), time.monotonic() - started)


def _plainest(instance: Instance, solver: z3.Solver, symbols: Symbols) -> z3.ModelRef:
    """A model whose state differs from the first initial state in little: each slot is put back if it can be."""
    model = solver.model()
    plain = next(semantics.initial_states(instance))
    state = symbols.state(model)
    for number, (now, wanted) in enumerate(zip(state, plain, strict=True)):
        if now == wanted or symbols.state(model)[number] == wanted:
            solver.add(slot_is(instance, symbols, number, wanted))
            continue
        solver.push()
        solver.add(slot_is(instance, symbols, number, wanted))
        if solver.check() == z3.sat:
            model = solver.model()  # the slot stays put back: the frame is kept until the property is done
        else:
            solver.pop()
    return model
