"""A saved trace against a model as it is now: does it still go through, and if not, what stops it.

The steps are found by thread, key, branch and elements, none of which changes
with line numbers; the states are made anew by the semantics.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path as FilePath
from typing import Any

from checker.core import semantics
from checker.core.instance import Instance, State
from checker.core.memory.replay import replay_weak
from checker.core.memory.weak import WeakProgram, is_weak
from checker.core.path import Choice, Path
from checker.core.system import Action, Property
from checker.core.trace import ReplayError, Trace, replay
from checker.explain import explain_blocked
from checker.lang.diagnostics import UserError, suggest
from checker.records import dataclass

SCHEMA = "lzcheck-trace/1"


@dataclass(frozen=True, slots=True)
class SavedStep:
    """One step of a saved trace: whose it is, which action, and the elements by name."""

    number: int
    thread: str
    key: str
    label: str
    args: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class SavedTrace:
    """A trace as it was written to a file."""

    model: str
    check: str
    property: str
    sizes: Mapping[str, int]
    config: Mapping[str, bool | int | str]
    initial: int
    steps: tuple[SavedStep, ...]
    memory_model: str = "sc"


@dataclass(frozen=True, slots=True)
class Rerun:
    """What became of a saved trace.

    `trace` where it still shows the property.  Otherwise `blocked` is the number of the step that cannot
    be made any more and `reasons` why (the false conjuncts of its guard), or
    `blocked` is None and the whole path goes through without showing the property.
    """

    saved: SavedTrace
    trace: Trace | None = None
    blocked: int | None = None
    reasons: tuple[str, ...] = ()


def load_trace(file: str) -> SavedTrace:
    """Read a trace; raises UserError where the file is none."""
    try:
        text = FilePath(file).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not a text in UTF-8"
        raise UserError.of("LZ103", f"cannot read '{file}': {reason}") from None
    try:
        record = _trace_in(json.loads(text))
        steps = tuple(
            SavedStep(number, str(step["thread"]), str(step["action"]), str(step["label"]), dict(step["args"]))
            for number, step in enumerate(record["steps"], start=1)
        )
        number = record["initial"]["number"]
        return SavedTrace(
            str(record["model"]), str(record["check"]), str(record["property"]),
            {str(k): int(v) for k, v in record["sizes"].items()}, dict(record["config"]),
            int(number) if number is not None else 0, steps, str(record["memory_model"]),
        )  # fmt: skip
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        detail = f"it has no {error}" if isinstance(error, KeyError) else str(error)
        raise UserError.of("LZ604", f"'{file}' is not a trace of lzcheck: {detail}") from None


def _trace_in(record: Any) -> Any:
    """The trace itself, or the first one in a file of results."""
    if isinstance(record, list):
        traces = [
            p["trace"] for r in record for p in r.get("properties", []) if p.get("trace") and p["verdict"] == "violated"
        ]
        if not traces:
            raise ValueError("these results hold no counterexample")
        return traces[0]
    if record.get("schema") != SCHEMA:
        raise ValueError(f"its schema is not {SCHEMA}")
    return record


def rerun(instance: Instance, saved: SavedTrace) -> Rerun:
    """Make the steps of a saved trace; raises UserError where it names what the model does not have."""
    prop = _property(instance, saved)
    if is_weak(instance):
        return _rerun_weak(instance, saved, prop)
    initial = next((s for n, s in enumerate(semantics.initial_states(instance)) if n == saved.initial), None)
    if initial is None:
        raise UserError.of("LZ604", f"the model has no initial state {saved.initial}")
    state, choices = initial, list[Choice]()
    for step in saved.steps:
        candidates = list(_candidates(instance, step))
        enabled = next((c for c in candidates if semantics.is_enabled(instance, state, c)), None)
        if enabled is None:
            return Rerun(saved, None, step.number, tuple(_reasons(instance, step, candidates, state)))
        choices.append(enabled)
        if instance.action(enabled.action).fault is None:
            state = semantics.apply(instance, state, enabled)
    try:
        return Rerun(saved, replay(instance, Path(saved.initial, tuple(choices)), prop))
    except ReplayError:
        return Rerun(saved)


def _rerun_weak(instance: Instance, saved: SavedTrace, prop: Property) -> Rerun:
    """The same where a step can read several messages: all states that the steps so far can lead to are kept."""
    program = WeakProgram(instance)
    states = list(program.initial())[saved.initial : saved.initial + 1]
    if not states:
        raise UserError.of("LZ604", f"the model has no initial state {saved.initial}")
    choices = list[Choice]()
    for step in saved.steps:
        candidates = list(_candidates(instance, step))
        moves = [m for state in states for m in program.moves(state)]
        possible = {program.rules[m.rule].choice for m in moves}
        chosen = next((c for c in candidates if c in possible), None)
        if chosen is None:
            reasons = _reasons(instance, step, candidates, states[0][:-1])
            return Rerun(saved, None, step.number, tuple(reasons))
        choices.append(chosen)
        after = {m.target for m in moves if program.rules[m.rule].choice == chosen}
        states = [state for state in after if state is not None] or states
    try:
        return Rerun(saved, replay_weak(instance, Path(saved.initial, tuple(choices)), prop))
    except ReplayError:
        return Rerun(saved)


def _property(instance: Instance, saved: SavedTrace) -> Property:
    known = {p.name: p for p in instance.system.properties}
    if saved.property not in known:
        hint = suggest(saved.property, known)
        raise UserError.of("LZ604", f"the model has no property '{saved.property}'", hint=hint)
    return known[saved.property]


def _candidates(instance: Instance, step: SavedStep) -> Iterator[Choice]:
    """The actions that the step can mean, the likeliest first.

    Its key; else what differs only in the number behind the key; else steps of the same proc
    that share a statement with it (a patch may have put an `await` in front).
    """
    actions = [a for a in instance.system.actions if a.thread == step.thread]
    statements = set(step.label.split("; "))
    same = [a for a in actions if a.key == step.key]
    same += [a for a in actions if a not in same and _unnumbered(a.key) == _unnumbered(step.key)]
    if not same:
        here = [a for a in actions if _frames(a.key, a.thread) == _frames(step.key, step.thread)]
        alike = {a.name: len(statements & set(a.label.split("; "))) for a in here}
        same = sorted((a for a in here if alike[a.name]), key=lambda a: -alike[a.name])
    for action in same:
        args = _arguments(instance, action, step)
        if args is not None:
            yield Choice(action.name, args)


def _unnumbered(key: str) -> str:
    base, _, number = key.rpartition("#")
    return base if number.isdigit() else key


def _frames(key: str, thread: str) -> str:
    """The procs that a key goes through: `thread/a.b/text` has `a.b`."""
    return key.removeprefix(thread + "/").partition("/")[0]


def _arguments(instance: Instance, action: Action, step: SavedStep) -> tuple[int, ...] | None:
    """The elements by number; parameters are matched in order, as their names may have changed."""
    if len(step.args) != len(action.params):
        return None
    found = []
    for param, name in zip(action.params, step.args.values(), strict=True):
        names = {instance.element_name(param.sort, e): e for e in instance.elements(param.sort)}
        if name not in names:
            return None
        found.append(names[name])
    return tuple(found)


def _reasons(instance: Instance, step: SavedStep, candidates: list[Choice], state: State) -> Iterator[str]:
    if not candidates:
        yield f"the model has no such statement any more: {step.label}"
        return
    seen = set()
    for choice in candidates:
        if instance.action(choice.action).fault is not None:
            continue
        for reason in explain_blocked(instance, instance.action(choice.action), choice.args, state):
            if reason not in seen:
                seen.add(reason)
                yield reason
