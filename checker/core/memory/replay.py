"""A path under the weak memory model, taken again.

A path names the steps, not the messages that they read, so all that can be read on the way is kept
and what leads to the end that is claimed is picked out afterwards.  The states of the trace are
those of the System: memory is shown with its latest values, and a step says where it read others.
"""

from __future__ import annotations

from collections.abc import Iterator

from checker.core import semantics
from checker.core.instance import Instance, State
from checker.core.memory.weak import Move, WeakProgram
from checker.core.path import Path
from checker.core.system import Property, PropertyKind
from checker.core.trace import ReplayError, Step, Trace, changes_between, shows


def replay_weak(instance: Instance, path: Path, property: Property) -> Trace:
    """The states of a path that shows the violation of `property` (or reaches the cover); else ReplayError."""
    program = WeakProgram(instance)
    first = list(program.initial())[path.initial : path.initial + 1]
    if not first:
        raise ReplayError(0, f"there is no initial state {path.initial}")
    layers: list[dict[State | None, tuple[State, Move] | None]] = [{first[0]: None}]
    for number, choice in enumerate(path.choices, start=1):
        layer: dict[State | None, tuple[State, Move] | None] = {}
        for state in layers[-1]:
            for move in program.moves(state) if state is not None else ():
                assert state is not None
                if program.rules[move.rule].choice == choice:
                    layer.setdefault(move.target, (state, move))
        if not layer:
            raise ReplayError(number, f"{choice.action}{choice.args} is not enabled")
        layers.append(layer)
    for end in layers[-1]:
        if end is None and property.kind is not PropertyKind.FAULT:
            continue
        trace = _trace(program, path, property, layers, end)
        stuck = end is not None and not program.successors(end)
        if (
            shows(trace, property)
            if property.kind is not PropertyKind.DEADLOCK
            else (stuck and not semantics.is_final(instance, trace.last))
        ):
            return trace
    raise ReplayError(len(path.choices), f"the path does not end in what {property.name} claims")


def _notes(program: WeakProgram, move: Move, steps: list[Step], off: dict[int, list[int]]) -> Iterator[str]:
    """What a step says besides: that it is put off, and which store it does not see."""
    if move.how == "off":
        off.setdefault(move.rule, []).append(len(steps) + 1)
        yield "put off: what comes behind may be made first"
    if move.how == "made" and off.get(move.rule):
        yield f"made only now: it was put off in step {off[move.rule].pop(0)}"
    if move.note:
        stored = (s.number for s in reversed(steps) for c in s.changes if program.is_of(move.late, c.var, c.index))
        number = next(stored, None)
        yield move.note if number is None else f"{move.note} in step {number}"


def _trace(
    program: WeakProgram,
    path: Path,
    property: Property,
    layers: list[dict[State | None, tuple[State, Move] | None]],
    end: State | None,
) -> Trace:
    instance = program.instance
    moves: list[tuple[State, Move]] = []
    at = end
    for layer in reversed(layers[1:]):
        came = layer[at]
        assert came is not None
        moves.append(came)
        at = came[0]
    assert at is not None
    steps: list[Step] = []
    off: dict[int, list[int]] = {}  # by rule, the steps in which it was put off
    for number, ((state, move), choice) in enumerate(zip(reversed(moves), path.choices, strict=True), start=1):
        before = state[:-1]
        after = move.target[:-1] if move.target is not None else before
        action = instance.action(choice.action)
        steps.append(
            Step(
                number=number, action=action, args=choice.args, thread=action.thread,
                instance=semantics.thread_instance(instance, before, choice),
                cpu=semantics.cpu_of(instance, before, choice),
                changes=changes_between(instance, action, before, after), state=after,
                notes=tuple(_notes(program, move, steps, off)),
            )
        )  # fmt: skip
    return Trace(instance, property.name, at[:-1], tuple(steps), path.initial)
