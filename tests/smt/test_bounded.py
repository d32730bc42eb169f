"""Bounded search against the explorer: the same violations and covers, in the same number of steps."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, assume, given, settings

from checker.check import run_check
from checker.core import semantics
from checker.core.instance import Instance
from checker.core.system import PropertyKind, System
from checker.core.trace import replay
from checker.core.verdict import ExitCode, Limits, Outcome
from checker.engines import Run
from checker.explorer import Exploration, explore
from checker.lang.names import load_model
from checker.plan import Overrides, plans
from checker.smt import explore_bounded
from tests import systems
from tests.models import system_of

ROOT = Path(__file__).parents[2]


def lengths(run: Exploration) -> dict[str, int]:
    """How many steps it takes to what was found; every path replays."""
    found = {}
    for result in run.results.values():
        if result.path is not None and result.property.kind is not PropertyKind.LEAK:
            found[result.property.name] = len(replay(run.instance, result.path, result.property).steps)
    return found


def agree(system: System, depth: int) -> dict[str, int]:
    instance = Instance(system)
    # the explorer looks for deadlocks only in states that it goes on from
    expected = explore(instance, system.properties, Limits(depth=depth + 1), stop_on=frozenset())
    actual = explore_bounded(instance, system.properties, Limits(depth=depth), stop_on=frozenset())
    assert lengths(actual) == {name: steps for name, steps in lengths(expected).items() if steps <= depth}
    return lengths(actual)


@pytest.mark.parametrize(
    ("system", "found"),
    [
        (systems.counters(2), {"apart": 4, "no_deadlock": None, "one_ends": 2}),
        (systems.locks(ordered=False), {"no_deadlock": 2}),
        (systems.locks(ordered=True), {}),
        (systems.objects(frees=True), None),
        (systems.objects(frees=False), None),
        (systems.generations(late=True), None),
        (systems.generations(late=False), None),
    ],
)
def test_the_shortest_counterexamples_are_the_explorers(system: System, found: dict[str, int | None] | None) -> None:
    lengths = agree(system, 8)
    if found is not None:
        assert lengths == {name: steps for name, steps in found.items() if steps is not None}


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(systems.systems())
def test_random_systems(system: System) -> None:
    try:
        explore(Instance(system), system.properties, Limits(depth=4), stop_on=frozenset())
    except semantics.UndefinedRead:
        assume(False)
    agree(system, 3)


def test_a_run_that_cannot_go_on_is_complete() -> None:
    system = systems.counters(2)
    run = explore_bounded(Instance(system), system.properties[2:], Limits(depth=20))
    assert run.statistics.complete
    assert run.statistics.depth < 20


def test_generations_have_no_end() -> None:
    """Ninety increments apart is nothing special, and needs no bound."""
    system = system_of("""
        var epoch : gen; percpu seen : gen;
        thread clock on CPU { loop { either { epoch += 1; } or { seen = epoch; } } }
        invariant close: forall c : CPU { seen[c] <= epoch };
        invariant ahead: forall c : CPU { seen[c] + 1 != epoch };
    """)
    found = explore_bounded(Instance(system), system.properties, Limits(depth=6), stop_on=frozenset())
    assert lengths(found) == {"ahead": 2}


def expected_failures() -> Iterator[tuple[str, str]]:
    """All of the library with LZCHECK_CORPUS=all, else what takes Z3 a second or two."""
    if os.environ.get("LZCHECK_CORPUS") != "all":
        yield from QUICK
        return
    for path in sorted((ROOT / "models").glob("*.lzm")):
        for plan in plans(load_model(str(path)), None, Overrides()):
            if plan.expectation.verdict == "fail" and plan.memory_model != "weak":
                yield path.stem, plan.name


QUICK = (
    ("shoot_lazies", "no_mask"),
    ("shoot_lazies", "mask_cleared_while_lazy"),
    ("shoot_lazies", "no_ipi_seen_by_warning"),
    ("ctxsw", "no_drop"),
    ("flush_pending", "numa_not_counted"),
    ("flush_pending", "ksm_does_not_look"),
    ("flush_pending", "device_flush_after_unlock"),
    ("hash_pte_preempt", "not_deactivated"),
    ("hash_pte_preempt", "nothing_at_switch"),
    ("hugetlb_unshare", "rework_left_to_finish"),
    ("lazy_mmu_nesting", "counted_no_inner_flush"),
    ("ppc64_thp_invalidate", "invalidate_without_ipi"),
    ("ppc_radix_trim", "offline_lazy"),
    ("s390_attach", "detach_before_unload"),
)


@pytest.mark.parametrize(("name", "check"), list(expected_failures()))
def test_the_failures_of_a_model_are_as_short_as_the_explorers(name: str, check: str) -> None:
    model = load_model(str(ROOT / "models" / f"{name}.lzm"))
    (plan,) = plans(model, (check,), Overrides())
    second = run_check(model, plan, Run(engine="smt", limits=Limits(seconds=60)))
    if not second.broken:
        assert second.statistics.limit == "seconds"  # that far, and no further, Z3 got
        pytest.skip("not reached in 60 s")
    first = run_check(model, plan, Run(engine="explorer"))
    shortest = {v.property.name: len(v.trace.steps) for v in first.broken if v.trace is not None}
    found = {v.property.name: len(v.trace.steps) for v in second.broken if v.trace is not None}
    assert second.engine == "smt"
    assert found
    assert found.items() <= shortest.items()


def test_no_violation_within_a_limit_is_no_pass() -> None:
    model = load_model(str(ROOT / "models" / "shoot_lazies.lzm"))
    (plan,) = plans(model, ("upstream",), Overrides())
    result = run_check(model, plan, Run(engine="smt", limits=Limits(depth=3)))
    assert result.exit_code is ExitCode.LIMIT
    assert {v.outcome for v in result.verdicts if v.property.kind is PropertyKind.INVARIANT} == {Outcome.HOLDS_TO}
