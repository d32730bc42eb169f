"""Are the invariants inductive?  If not, where induction breaks, and what could mend it.

A counterexample to induction begins in a state that nobody may ever reach.  What sets it
apart from the reachable states that were sampled is a candidate for a further
invariant: the smallest set of facts that are together true in it and in none of them.
"""

from __future__ import annotations

from contextlib import suppress
from itertools import combinations
from typing import Final

from checker.core import semantics
from checker.core.instance import Instance, State
from checker.core.path import Choice
from checker.core.system import Gen, Property, PropertyKind, Value
from checker.core.trace import Step, Trace, step_of
from checker.core.unbounded import without_bounds
from checker.core.verdict import Limits
from checker.records import dataclass
from checker.search import reachable
from checker.smt import NotInductive, explore_bounded, induct

SAMPLES: Final = 20_000
"""How many reachable states a counterexample is compared with."""

_FACTS: Final = 80  # the facts that go into pairs and triples: those that the fewest samples share


@dataclass(frozen=True, slots=True)
class Cti:
    """A counterexample to induction: a trace from a state that may be unreachable.

    `unusual` are its differences from the first initial state, as slots with their values;
    `apart` is a smallest set of facts that no sampled reachable state has together, empty where all
    of up to three facts occur.  `reachable` says that the state was among the samples: then the
    property is simply violated.
    """

    property: Property
    trace: Trace
    unusual: tuple[tuple[int, Value], ...]
    apart: tuple[tuple[int, Value], ...]
    reachable: bool


@dataclass(frozen=True, slots=True)
class InductionResult:
    """What induction says of a check: `kept` and `unknown` are names, `sampled` the states compared with.

    `base` are properties that are violated within k - 1 steps of an initial state, so that
    nothing is proved.  `complete` says that the samples are all reachable states.
    """

    instance: Instance
    k: int
    kept: tuple[str, ...]
    ctis: tuple[Cti, ...]
    unknown: tuple[str, ...]
    base: tuple[str, ...]
    sampled: int
    complete: bool
    seconds: float

    @property
    def proved(self) -> bool:
        """Whether all that was asked holds in every reachable state."""
        return not (self.ctis or self.unknown or self.base)


class WrongCti(Exception):
    """Z3 gave a counterexample to induction that the semantics does not accept: our mistake."""


def check_induction(instance: Instance, k: int = 1, seconds: float | None = None) -> InductionResult:
    """Base case and induction step for all invariants and faults together, with counterexamples explained.

    Reference counts have no bound in it; the states that a counterexample is compared with are the instance's own.
    Raises WrongCti where the reference semantics disagrees with Z3.
    """
    asked = tuple(p for p in instance.system.properties if p.kind in (PropertyKind.INVARIANT, PropertyKind.FAULT))
    bounded, instance = instance, Instance(without_bounds(instance.system), instance.sizes)
    base = explore_bounded(instance, asked, Limits(depth=k - 1, seconds=seconds), stop_on=frozenset())
    found = induct(instance, asked, k, seconds)
    samples, complete = reachable(bounded, SAMPLES) if found.broken else ([], False)
    by_name = {p.name: p for p in asked}
    ctis = tuple(_cti(instance, by_name[b.property], b, samples) for b in found.broken)
    violated = tuple(r.property.name for r in base.violated)
    return InductionResult(
        instance, k, found.kept, ctis, found.unknown, violated, len(samples), complete, found.seconds
    )


def _cti(instance: Instance, property: Property, found: NotInductive, samples: list[State]) -> Cti:
    state, steps = found.first, list[Step]()
    for number, choice in enumerate(found.choices, start=1):
        if not semantics.is_enabled(instance, state, choice):
            raise WrongCti(f"{choice.action}{choice.args} is not enabled in the counterexample to {property.name}")
        steps.append(step_of(instance, number, choice, state))
        state = steps[-1].state
    if property.kind is PropertyKind.INVARIANT:
        if property.expr is None or semantics.holds(instance, property.expr, state):
            raise WrongCti(f"{property.name} holds at the end of its counterexample to induction")
    else:
        fault = _fault(instance, state, property)
        if fault is None:
            raise WrongCti(f"nothing makes the fault {property.name} at the end of its counterexample to induction")
        steps.append(step_of(instance, len(steps) + 1, fault, state))
    plain = next(semantics.initial_states(instance))
    unusual = tuple((n, v) for n, (v, usual) in enumerate(zip(found.first, plain, strict=True)) if v != usual)
    trace = Trace(instance, property.name, found.first, tuple(steps))
    return Cti(property, trace, unusual, distinguish(instance, found.first, samples), found.first in set(samples))


def _fault(instance: Instance, state: State, property: Property) -> Choice | None:
    """A way in which a fault can happen in a state; there, others may read what makes no sense."""
    for action in instance.system.actions:
        if action.fault is None or action.fault.property != property.name:
            continue
        for args in instance.tuples(tuple(p.sort for p in action.params)):
            choice = Choice(action.name, args)
            with suppress(semantics.UndefinedRead):
                if semantics.is_enabled(instance, state, choice):
                    return choice
    return None


def distinguish(instance: Instance, state: State, samples: list[State]) -> tuple[tuple[int, Value], ...]:
    """A smallest set of at most three facts of a state (slot, value) that no sample has together; () if there is none.

    Generations are left out: their numbers mean nothing by themselves.
    """
    if not samples:
        return ()
    masks: dict[int, int] = {}
    for slot, value in enumerate(state):
        if isinstance(instance.slots[slot][0].type, Gen):
            continue
        bits = "".join("1" if sample[slot] == value else "0" for sample in samples)
        masks[slot] = int(bits, 2)
    rare = sorted(masks, key=lambda slot: (masks[slot].bit_count(), slot))[:_FACTS]
    for count in (1, 2, 3):
        for slots in combinations(rare, count):
            common = masks[slots[0]]
            for slot in slots[1:]:
                common &= masks[slot]
            if not common:
                return tuple((slot, state[slot]) for slot in sorted(slots))
    return ()
