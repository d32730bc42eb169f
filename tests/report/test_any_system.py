"""Whatever the System, it can be printed, and what is false of it can be explained."""

from __future__ import annotations

import json
from itertools import islice
from random import Random

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from checker.core.instance import Instance
from checker.core.printer import format_system
from checker.core.semantics import UndefinedRead, enabled, holds, initial_states
from checker.core.system import PropertyKind, System
from checker.core.trace import Step, Trace
from checker.explain import explain_blocked, explain_deadlock, explain_false, explain_true
from checker.report.itf import itf_record
from checker.report.jsonfmt import trace_record
from checker.report.table import WIDTH
from checker.report.text import render_trace
from tests import systems
from tests.report import sample


def walk(system: System, chance: Random) -> Trace:
    """A short random walk, which ends where the model itself is wrong."""
    instance = Instance(system)
    initial = state = chance.choice(list(islice(initial_states(instance), 2)))
    steps: list[Step] = []
    try:
        while len(steps) < 5:
            choices = [c for c in enabled(instance, state) if not instance.action(c.action).fault]
            if not choices:
                break
            steps.append(sample.one_step(instance, state, chance.choice(choices), len(steps) + 1))
            state = steps[-1].state
    except UndefinedRead:
        pass
    return Trace(instance, "inv", initial, tuple(steps))


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(systems.systems(), st.integers(0, 1000))
def test_every_verdict_has_an_explanation(system: System, seed: int) -> None:
    trace = walk(system, Random(seed))
    before = trace.steps[-2].state if len(trace.steps) > 1 else trace.initial
    for prop in system.properties:
        if prop.kind is PropertyKind.STEP and not trace.steps:
            continue
        text = render_trace(Trace(trace.instance, prop.name, trace.initial, trace.steps))
        assert all(len(line) <= WIDTH and line.isascii() for line in text.splitlines())
        if prop.expr is None:
            continue
        pair = (before, trace.last) if prop.kind is PropertyKind.STEP else (trace.last, None)
        if holds(trace.instance, prop.expr, *pair):
            explain_true(trace.instance, prop.expr, trace)
        else:
            assert explain_false(trace.instance, prop.expr, trace)


@settings(max_examples=50, deadline=None, suppress_health_check=list(HealthCheck))
@given(systems.systems(), st.integers(0, 1000))
def test_what_is_enabled_is_not_blocked(system: System, seed: int) -> None:
    trace = walk(system, Random(seed))
    instance = trace.instance
    explain_deadlock(instance, trace.last)
    try:
        possible = {(choice.action, choice.args) for choice in enabled(instance, trace.last)}
    except UndefinedRead:
        return
    for action in system.actions:
        for args in instance.tuples(tuple(param.sort for param in action.params)):
            reasons = explain_blocked(instance, action, args, trace.last)
            assert bool(reasons) != ((action.name, args) in possible)


@settings(max_examples=50, deadline=None, suppress_health_check=list(HealthCheck))
@given(systems.systems(), st.integers(0, 1000))
def test_everything_can_be_written_down(system: System, seed: int) -> None:
    trace = walk(system, Random(seed))
    assert format_system(system) == format_system(system)
    json.dumps(trace_record(trace))
    json.dumps(itf_record(trace))
