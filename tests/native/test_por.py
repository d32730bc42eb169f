"""Partial order: the same verdicts, and the same shortest lengths once what it finds is searched for again."""

from __future__ import annotations

import shutil

import pytest
from hypothesis import HealthCheck, given, settings

from checker.core import semantics
from checker.core.independence import solitary_locations
from checker.core.instance import Instance
from checker.core.system import Property, PropertyKind, System
from checker.core.trace import replay
from checker.core.verdict import Limits, Outcome
from checker.engines import Run, search
from checker.explorer import Exploration, explore
from checker.native.layout import Unsupported
from checker.native.run import explore_native
from tests import systems
from tests.models import system_of

pytestmark = pytest.mark.skipif(shutil.which("cc") is None, reason="no C compiler")

NEVER = frozenset[str]()

OWN_DATA = """
percpu x : 0..3 = 0;
percpu y : 0..3 = 0;
var z : 0..2 = 0;
interrupt kick() { y = 1; y = 2; }
thread t on CPU {
    loop {
        await z < 2;
        local_irq_disable();
        x = 1;
        x = 2;
        y = 0;
        y = 3;
        local_irq_enable();
        z += 1;
        call kick() on {this_cpu} nowait;
        await y == 2;
        x = %s;
    }
}
invariant few: z <= %d;
cover some: z == 1;
"""


def outcomes(run: Exploration) -> dict[str, Outcome]:
    return {name: result.outcome for name, result in run.results.items()}


def executed(run: Exploration) -> set[str]:
    return {name for name, times in run.statistics.fired.items() if times}


def without_step_properties(system: System) -> tuple[Property, ...]:
    return tuple(p for p in system.properties if p.kind is not PropertyKind.STEP)


def compare(instance: Instance, *, symmetry: bool = True) -> tuple[Exploration, Exploration]:
    asked = without_step_properties(instance.system)
    reduced = explore_native(instance, asked, stop_on=NEVER, symmetry=symmetry, por=True)
    whole = explore_native(instance, asked, stop_on=NEVER, symmetry=symmetry)
    assert reduced.statistics.states <= whole.statistics.states
    broken = any(r.outcome is Outcome.VIOLATED for r in whole.results.values())
    if broken:
        # behind a violation nothing is promised, but each is found
        assert {n for n, r in reduced.results.items() if r.path} == {n for n, r in whole.results.items() if r.path}
    else:
        assert outcomes(reduced) == outcomes(whole)
        assert reduced.reached == whole.reached
        assert executed(reduced) == executed(whole)
    for name, result in reduced.results.items():
        if result.path is not None:
            replay(instance, result.path, result.property)
            shortest = whole.results[name].path
            assert shortest is not None and len(shortest.choices) <= len(result.path.choices)
    return reduced, whole


# -- what is solitary ------------------------------------------------------------


@pytest.mark.parametrize(("last", "most"), [("0", 2), ("0", 1), ("z", 2)])
@pytest.mark.parametrize("symmetry", [True, False])
def test_data_of_one_cpu_is_its_own_with_interrupts_off(last: str, most: int, symmetry: bool) -> None:
    instance = Instance(system_of(OWN_DATA % (last, most)))
    reduced, whole = compare(instance, symmetry=symmetry)
    assert "partial order" in reduced.reductions
    assert "partial order" not in whole.reductions
    assert reduced.statistics.states < whole.statistics.states


def test_what_a_property_reads_is_not_put_aside() -> None:
    text = OWN_DATA % ("0", 2) + "invariant seen: forall c : CPU { x[c] != 3 && y[c] < 4 - z };"
    system = system_of(text)
    assert "t" not in solitary_locations(Instance(system), system.properties)


def test_a_handler_sees_what_is_done_with_interrupts_on() -> None:
    system = system_of((OWN_DATA % ("0", 2)).replace("local_irq_disable();", "").replace("local_irq_enable();", ""))
    (thread,) = (t for t in system.threads if t.name == "t")
    solitary = solitary_locations(Instance(system), system.properties)
    assert all(thread.locations[n].irqs_off for n in solitary.get("t", ()))


def test_nothing_is_put_aside_for_properties_of_steps() -> None:
    system = system_of(OWN_DATA % ("0", 2) + "step up: next(z) >= z;")
    assert not solitary_locations(Instance(system), system.properties)


def test_no_circle_of_solitary_locations() -> None:
    text = (
        "var z : 0..3 = 0; percpu x : 0..1 = 0; thread t on CPU { loop { x = 1; x = 0; } } thread u { z = 1; z = 2; }"
    )
    instance = Instance(system_of(text + "cover late: z == 2;"), {"CPU": 1})
    reduced, _ = compare(instance)
    assert len(solitary_locations(instance, instance.system.properties)["t"]) == 1
    assert reduced.results["late"].outcome is Outcome.REACHED


# -- the whole engine ------------------------------------------------------------


@pytest.mark.parametrize("most", [0, 1])
def test_the_shortest_counterexample_is_reported(most: int) -> None:
    instance = Instance(system_of(OWN_DATA % ("0", most)))
    asked = tuple(p for p in instance.system.properties if p.name == "few")
    shortest = explore(instance, asked).results["few"].path
    found = search(instance, asked, Run(engine="native", por=True), None, None).exploration.results["few"].path
    assert shortest is not None and found is not None
    assert len(found.choices) == len(shortest.choices)


@settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
@given(systems.systems())
def test_random_systems(system: System) -> None:
    instance = Instance(system, {"CPU": 2, "mm": 2})
    if not solitary_locations(instance, without_step_properties(system)):
        return
    try:
        if explore(instance, system.properties, Limits(states=2000), stop_on=NEVER).statistics.complete:
            compare(instance)
    except (semantics.UndefinedRead, Unsupported):
        return
