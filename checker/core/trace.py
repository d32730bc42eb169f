"""Paths, and the traces that the semantics makes of them.

An engine returns a Path: which initial state, then which choices.  Only
`replay` turns it into states, and only what replays is a counterexample.
"""

from __future__ import annotations

import builtins
from itertools import islice, pairwise
from typing import assert_never

from checker.core import semantics
from checker.core.instance import Instance, State
from checker.core.path import Choice, Path
from checker.core.system import Action, Gen, Property, PropertyKind, Storage, Value
from checker.records import dataclass

__all__ = ["Change", "Choice", "Path", "ReplayError", "Step", "Trace", "changes_between", "replay", "shows", "step_of"]


@dataclass(frozen=True, slots=True)
class Change:
    """One variable that a step changed, at one index."""

    var: str
    index: tuple[int, ...]
    old: Value
    new: Value


@dataclass(frozen=True, slots=True)
class Step:
    """One step of a trace: what was done, by whom, and the state after it.

    `cpu` is the CPU it ran on, or None for a thread without one.  `thread` is the thread's name and
    `instance` the index of the thread instance.  `changes` leaves out control
    variables.  A faulting step changes nothing: its state is the one before it.  `notes` say what a memory
    model adds: which value was read though a later one was there.
    """

    number: int
    action: Action
    args: tuple[int, ...]
    thread: str
    instance: tuple[int, ...]
    cpu: int | None
    changes: tuple[Change, ...]
    state: State
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Trace:
    """A replayed path and the property whose violation (or cover) it shows."""

    instance: Instance
    property: str
    initial: State
    steps: tuple[Step, ...]
    number: int = 0

    @builtins.property
    def last(self) -> State:
        """The state at the end."""
        return self.steps[-1].state if self.steps else self.initial

    def columns(self) -> tuple[tuple[str, int | None], ...]:
        """Who moves at each step: the CPU, or the thread where there is none."""
        return tuple(
            ("cpu", step.cpu) if step.cpu is not None else (step.thread, step.instance[0] if step.instance else None)
            for step in self.steps
        )

    @builtins.property
    def switches(self) -> int:
        """How often the next step is made by another column than the last."""
        columns = self.columns()
        return sum(a != b for a, b in pairwise(columns))


class ReplayError(Exception):
    """A path is none of the semantics', or does not show what it claims; `step_number` counts from 1."""

    def __init__(self, step_number: int, message: str) -> None:
        self.step_number = step_number
        self.message = message
        super().__init__(f"step {step_number}: {message}")


def replay(instance: Instance, path: Path, property: Property) -> Trace:
    """The states that a path goes through, if it shows the violation of `property` (or reaches the cover).

    Raises ReplayError where a choice is not enabled, or the end is not what it should be.
    """
    initial = next(islice(semantics.initial_states(instance), path.initial, None), None)
    if initial is None:
        raise ReplayError(0, f"there is no initial state {path.initial}")
    state, steps = initial, list[Step]()
    for number, choice in enumerate(path.choices, start=1):
        if not semantics.is_enabled(instance, state, choice):
            raise ReplayError(number, f"{choice.action}{choice.args} is not enabled")
        step = step_of(instance, number, choice, state)
        if step.action.fault and (property.kind is not PropertyKind.FAULT or number < len(path.choices)):
            raise ReplayError(number, f"{choice.action}{choice.args} is a fault and leads nowhere")
        steps.append(step)
        state = step.state
    trace = Trace(instance, property.name, initial, tuple(steps), path.initial)
    if not shows(trace, property):
        raise ReplayError(len(steps), f"the path does not end in what {property.name} ({property.kind.value}) claims")
    return trace


def step_of(instance: Instance, number: int, choice: Choice, state: State) -> Step:
    """What a choice that is enabled in a state does there, as step `number` of a trace."""
    action = instance.action(choice.action)
    successor = state if action.fault else semantics.apply(instance, state, choice)
    return Step(
        number=number,
        action=action,
        args=choice.args,
        thread=action.thread,
        instance=semantics.thread_instance(instance, state, choice),
        cpu=semantics.cpu_of(instance, state, choice),
        changes=changes_between(instance, action, state, successor),
        state=successor,
    )


def changes_between(instance: Instance, action: Action, state: State, successor: State) -> tuple[Change, ...]:
    """What differs between the states before and after an action, without control variables."""
    written = {update.var for update in action.updates}
    return tuple(
        Change(var.name, index, old, new)
        for (var, index), old, new in zip(instance.slots, state, successor, strict=True)
        if old != new
        and var.storage is not Storage.CONTROL
        # a generation that nobody wrote was only renumbered
        and (var.name in written or not isinstance(var.type, Gen))
    )


def shows(trace: Trace, property: Property) -> bool:
    """Whether a trace ends in the violation of a property, or in what a cover asks for."""
    instance, last = trace.instance, trace.last
    match property.kind:
        case PropertyKind.INVARIANT:
            return property.expr is not None and not semantics.holds(instance, property.expr, last)
        case PropertyKind.COVER:
            return property.expr is not None and semantics.holds(instance, property.expr, last)
        case PropertyKind.STEP:
            if property.expr is None or not trace.steps:
                return False
            before = trace.steps[-2].state if len(trace.steps) > 1 else trace.initial
            return not semantics.holds(instance, property.expr, before, last)
        case PropertyKind.FAULT:
            fault = trace.steps[-1].action.fault if trace.steps else None
            return fault is not None and fault.property == property.name
        case PropertyKind.DEADLOCK:
            stuck = next(semantics.enabled(instance, last), None) is None
            return stuck and not semantics.is_final(instance, last)
        case PropertyKind.LEAK:
            # that nothing can free the object any more is the engine's word: it is about all futures
            sort = property.sort
            return sort is not None and any(
                last[instance.slot(f"{sort}.live", (element,))] for element in instance.objects(sort)
            )
        case _:
            assert_never(property.kind)
