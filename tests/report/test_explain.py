"""Why an expression is false, and why a step cannot be taken."""

from __future__ import annotations

from dataclasses import replace

from checker.core.instance import Instance
from checker.core.semantics import holds, initial_states
from checker.core.system import Lit, Location, Null, Op, Param, Quant, Read, Thread, ThreadKind
from checker.core.trace import Trace
from checker.explain import (
    Fact,
    Leaf,
    explain_blocked,
    explain_deadlock,
    explain_false,
    explain_fault,
    explain_true,
)
from tests.report import sample

C = Param("c", "CPU")


def cpu_live() -> Read:
    return sample.read("mm.live", sample.read("active_mm", C))


def test_forall_names_the_failing_element_and_the_chain() -> None:
    trace = sample.freed_trace()
    expr = Quant("forall", "c", "CPU", cpu_live())
    facts = (Fact("active_mm[CPU1] == mm0", 3), Fact("live(mm0) == false", 6))
    assert explain_false(trace.instance, expr, trace) == (Leaf("live(active_mm[CPU1])", False, 6, facts),)


def test_at_most_three_witnesses() -> None:
    trace = sample.random_trace(1, 0, CPU=5)
    is_null = Op("ne", (sample.read("cur", C), Null("mm")))
    leaves = explain_false(trace.instance, Quant("forall", "c", "CPU", is_null), trace)
    assert [leaf.text for leaf in leaves] == [f"cur[CPU{n}] != null" for n in range(3)]
    assert {leaf.since for leaf in leaves} == {0}


def test_and_shows_the_false_conjuncts_only() -> None:
    trace = sample.freed_trace()
    one = Param("d", "CPU")
    body = Op("and", (cpu_live(), Op("eq", (sample.read("cur", C), Null("mm")))))
    leaves = explain_false(trace.instance, Quant("forall", "c", "CPU", body), trace)
    assert [leaf.text for leaf in leaves] == ["live(active_mm[CPU1])"]
    both = Op(
        "or",
        (Op("not", (Op("eq", (sample.read("cur", one), Null("mm"))),)), sample.read("mm.live", sample.M)),
    )
    everywhere = Quant("forall", "d", "CPU", Quant("forall", "m", "mm", both))
    texts = {(leaf.text, leaf.value) for leaf in explain_false(trace.instance, everywhere, trace)}
    assert texts == {("cur[CPU0] == null", True), ("cur[CPU1] == null", True), ("live(mm0)", False)}


def test_implication_shows_premise_and_conclusion() -> None:
    trace = sample.freed_trace()
    premise = Op("eq", (sample.read("cur", C), Null("mm")))
    expr = Quant("forall", "c", "CPU", Op("implies", (premise, cpu_live())))
    leaves = explain_false(trace.instance, expr, trace)
    assert [(leaf.text, leaf.value, leaf.since) for leaf in leaves] == [
        ("cur[CPU1] == null", True, 4),
        ("live(active_mm[CPU1])", False, 6),
    ]


def test_step_property_shows_both_values() -> None:
    trace = sample.freed_trace()
    cut = Trace(trace.instance, "count_grows", trace.initial, trace.steps[:5])
    expr = sample.find(trace.instance, "count_grows").expr
    assert expr is not None
    (leaf,) = explain_false(trace.instance, expr, cut)
    assert leaf.text == "mm0.count <= next(mm0.count)"
    assert leaf.since is None
    assert [fact.text for fact in leaf.facts] == ["before: mm0.count == 1", "after: mm0.count == 0"]


def test_an_undefined_part_is_called_so() -> None:
    trace = sample.random_trace(1, 0)
    count = Read("mm.count", (sample.read("cur", C),), Lit(0, sample.PC).type)
    positive = Op("gt", (count, Lit(0, sample.PC)))
    expr = Quant("forall", "c", "CPU", positive)
    assert not holds(trace.instance, expr, trace.last)
    leaf = explain_false(trace.instance, expr, trace)[0]
    assert leaf.value is None
    assert Fact("cur[CPU0].count is undefined", None) in leaf.facts


def test_a_cover_is_explained_by_its_witness() -> None:
    trace = sample.shortest(sample.sample(), "lazy_at_drop")
    expr = sample.find(trace.instance, "lazy_at_drop").expr
    assert expr is not None
    texts = [(leaf.text, leaf.value) for leaf in explain_true(trace.instance, expr, trace)]
    assert texts == [("active_mm[CPU0] == mm0", True), ("mm0.count == 0", True), ("mm0 == init_mm", False)]


def test_fault_is_explained_by_its_guard() -> None:
    (leaf,) = explain_fault(sample.fault_trace())
    assert (leaf.text, leaf.value, leaf.since) == ("live(active_mm[CPU1])", False, 6)


def test_blocked_by_a_conjunct_and_by_the_location() -> None:
    trace = sample.freed_trace()
    instance = trace.instance
    assert explain_blocked(instance, instance.action("lazy"), (0,), trace.last) == ["cur[CPU0] == null is true"]
    assert explain_blocked(instance, instance.action("load"), (0,), trace.last) == [
        "cpu_loop[CPU0] is at rest, the step starts at loaded"
    ]
    assert explain_blocked(instance, instance.action("free"), (1,), trace.last) == ["live(mm0) is false"]
    assert explain_blocked(instance, instance.action("exec"), (0, 1), trace.last) == []


def test_deadlock_says_where_everyone_is_stuck() -> None:
    system = sample.sample_system()
    threads = tuple(
        replace(thread, locations=(Location("waiting"), *thread.locations[1:])) for thread in system.threads
    )
    idle = Thread("walker", ThreadKind.HARDWARE, (), "reaper.pc", (Location("idle"),), 0, frozenset())
    actions = tuple(a for a in system.actions if a.name in {"lazy", "put"})
    instance = Instance(replace(system, threads=(*threads, idle), actions=actions))
    state = next(initial_states(instance))
    stuck = {s.thread: s for s in explain_deadlock(instance, state)}
    assert set(stuck) == {"cpu_loop[CPU0]", "cpu_loop[CPU1]", "reaper"}
    assert stuck["cpu_loop[CPU1]"].location == "waiting"
    assert stuck["cpu_loop[CPU1]"].waits == ("cur[CPU1] == null is true",)
    assert stuck["reaper"].waits == ("init_mm.count == 1 is false (init_mm.count == 0)", "live(mm0) is false")
