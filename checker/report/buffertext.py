"""What a trace says of store buffers: what went into one, and who read past it."""

from __future__ import annotations

from collections.abc import Iterator

from checker.core import semantics
from checker.core.instance import Instance, State
from checker.core.path import Choice
from checker.core.system import Access, StoreBuffer, Value
from checker.core.trace import Step, Trace
from checker.explain import slot_text
from checker.records import dataclass


@dataclass(frozen=True, slots=True)
class Pending:
    """A store that is in a buffer: by whom, to which places, and the step that made it."""

    owner: str
    places: tuple[tuple[str, tuple[int, ...], Value], ...]
    step: int

    def text(self, instance: Instance) -> str:
        """The store as an assignment."""
        return ", ".join(
            f"{slot_text(instance, instance.var(var), index)} = {instance.format_value(instance.var(var).type, value)}"
            for var, index, value in self.places
        )


def is_buffer(instance: Instance, var: str) -> bool:
    """Whether a variable is part of a store buffer."""
    return any(var.startswith(f"{prefix}.") for buffer in instance.system.buffers for prefix in buffer.positions)


def stored_lines(trace: Trace, step: Step) -> Iterator[str]:
    """What a step has put into a buffer."""
    for pending in _pending(trace, step.number):
        if pending.step == step.number:
            yield f"{pending.text(trace.instance)} (in the store buffer)"


def stale_lines(trace: Trace, step: Step) -> Iterator[str]:
    """Which stores of others a step does not see though they were made."""
    instance = trace.instance
    before = _state(trace, step.number - 1)
    reads = list(_reads(instance, step, before))
    own = _owner_name(instance, step)
    for pending in _pending(trace, step.number - 1):
        if pending.owner == own:
            continue
        missed = [
            place for place in pending.places if place[:2] in reads and before[_slot(instance, place)] != place[2]
        ]
        if missed:
            store = Pending(pending.owner, tuple(missed), pending.step)
            yield f"not yet: {store.text(instance)} of step {pending.step}, in the store buffer of {pending.owner}"


def pending_lines(trace: Trace) -> list[str]:
    """What is still in the buffers at the end, and what would have got it out."""
    lines = []
    for pending in _pending(trace, len(trace.steps)):
        text = pending.text(trace.instance)
        lines.append(
            f"{text} of step {pending.step} is still in the store buffer of {pending.owner}: "
            f"smp_mb() behind it waits until it has reached memory"
        )
    return lines


def _state(trace: Trace, number: int) -> State:
    return trace.steps[number - 1].state if number else trace.initial


def _slot(instance: Instance, place: tuple[str, tuple[int, ...], Value]) -> int:
    return instance.slot(place[0], place[1])


def _pending(trace: Trace, number: int) -> Iterator[Pending]:
    """The stores that are in buffers after so many steps."""
    instance, state = trace.instance, _state(trace, number)
    for buffer in instance.system.buffers:
        for owner in instance.tuples(buffer.index):
            entries = list(_entries(instance, buffer, owner, state))
            made = [s.number for s in trace.steps[:number] if _stores(instance, buffer, owner, s)]
            name = _name(instance, buffer, owner)
            for places, step in zip(entries, made[len(made) - len(entries) :], strict=True):
                yield Pending(name, tuple(places), step)


def _entries(
    instance: Instance, buffer: StoreBuffer, owner: tuple[int, ...], state: State
) -> Iterator[list[tuple[str, tuple[int, ...], Value]]]:
    for prefix in buffer.positions:
        what = _number(state[instance.slot(f"{prefix}.what", owner)])
        if not what:
            return
        places = []
        for part in buffer.kinds[what - 1].parts:
            index = tuple(
                owner[0] if slot is None else _number(state[instance.slot(f"{prefix}.{slot}", owner)])
                for slot in part.index
            )
            places.append((part.var, index, state[instance.slot(f"{prefix}.{part.value}", owner)]))
        yield places


def _stores(instance: Instance, buffer: StoreBuffer, owner: tuple[int, ...], step: Step) -> bool:
    """Whether a step puts something into a buffer."""
    if step.thread == buffer.thread:
        return False
    whats = {f"{prefix}.what" for prefix in buffer.positions}
    return any(change.var in whats and change.index == owner for change in step.changes)


def _owner_name(instance: Instance, step: Step) -> str:
    """The name of the owner of the buffer that a step uses."""
    for buffer in instance.system.buffers:
        if buffer.index == ("CPU",) and step.cpu is not None and buffer.thread == "store buffer":
            return _name(instance, buffer, (step.cpu,))
        if step.cpu is None and buffer.thread == f"{step.thread} store buffer":
            return _name(instance, buffer, step.instance)
    return ""


def _name(instance: Instance, buffer: StoreBuffer, owner: tuple[int, ...]) -> str:
    names = [instance.element_name(sort, e) for sort, e in zip(buffer.index, owner, strict=True)]
    if buffer.thread == "store buffer":
        return names[0]
    thread = buffer.thread.removesuffix(" store buffer")
    return f"{thread}[{', '.join(names)}]" if names else thread


def _reads(instance: Instance, step: Step, state: State) -> Iterator[tuple[str, tuple[int, ...]]]:
    """The places that a step reads, as far as their indices are told by its parameters."""
    env = semantics.environment(step.action, Choice(step.action.name, step.args))
    for access in step.action.memory:
        if isinstance(access, Access) and access.kind != "write":
            try:
                index = [_number(semantics.evaluate(instance, i, state, env)) for i in access.index]
            except (KeyError, semantics.UndefinedRead):
                yield from _every(instance, access.var)
            else:
                yield access.var, tuple(index)


def _every(instance: Instance, var: str) -> Iterator[tuple[str, tuple[int, ...]]]:
    """All places of a variable: which of them are read depends on a quantifier."""
    for index in instance.tuples(instance.var(var).index):
        yield var, index


def _number(value: Value) -> int:
    assert not isinstance(value, tuple)
    return int(value)
