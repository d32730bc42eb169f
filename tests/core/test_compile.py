"""The compiled transition relation says what the semantics says."""

from __future__ import annotations

from itertools import islice

import pytest
from hypothesis import HealthCheck, given, settings

from checker.core import semantics
from checker.core.compile import Program, compile_instance
from checker.core.instance import Instance, State
from checker.core.system import System
from tests import systems

Steps = list[tuple[str, tuple[int, ...], State | None]]


def meant(instance: Instance, state: State) -> Steps | None:
    """The transitions by the semantics; None where it finds that there is no meaning."""
    try:
        return [
            (
                choice.action,
                choice.args,
                None if instance.action(choice.action).fault else semantics.apply(instance, state, choice),
            )
            for choice in semantics.enabled(instance, state)
        ]
    except semantics.UndefinedRead:
        return None


def compiled(program: Program, state: State) -> Steps | None:
    try:
        transitions = program.successors(state)
    except IndexError:
        return None
    choices = [(program.rules[rule].choice, target) for rule, target in transitions]
    return [(choice.action, choice.args, target) for choice, target in choices]


def agree(instance: Instance, states: int) -> int:
    """Compare up to that many reachable states, and tell how many there were."""
    program = compile_instance(instance)
    found = dict.fromkeys(islice(semantics.initial_states(instance), 4))
    todo = list(found)
    while todo and len(found) < states:
        state = todo.pop(0)
        expected, actual = meant(instance, state), compiled(program, state)
        assert actual == expected
        assert program.final(state) == semantics.is_final(instance, state)
        for prop in instance.system.properties:
            if prop.expr is not None and prop.kind.value != "step":
                assert program.predicate(prop.expr)(state) == semantics.holds(instance, prop.expr, state)
        for _, _, target in expected or []:
            if target is None:
                continue
            assert [type(v) is tuple for v in target] == [type(v) is tuple for v in state]
            for prop in instance.system.properties:
                if prop.expr is not None and prop.kind.value == "step":
                    truth = semantics.holds(instance, prop.expr, state, target)
                    assert program.all_hold_over([prop.expr])(state, target) == truth
            if target not in found:
                found[target] = None
                todo.append(target)
    return len(found)


@pytest.mark.parametrize(
    "system",
    [
        systems.counters(3),
        systems.locks(ordered=True),
        systems.locks(ordered=False),
        systems.objects(frees=True),
        systems.objects(frees=False),
        systems.generations(late=True),
        systems.generations(late=False),
    ],
    ids=lambda system: system.name,
)
def test_hand_made_systems_agree(system: System) -> None:
    assert agree(Instance(system), 300) > 5


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(systems.systems())
def test_random_systems_agree(system: System) -> None:
    agree(Instance(system), 25)


def test_more_elements_than_the_default() -> None:
    assert agree(Instance(systems.objects(frees=False), {"CPU": 3, "mm": 2}), 300) > 5


def test_the_source_is_deterministic() -> None:
    instance = Instance(systems.objects(frees=False))
    assert compile_instance(instance).source == compile_instance(instance).source
