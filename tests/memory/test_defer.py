"""Accesses that are put off, and address dependencies, in models: known shapes, and random programs as litmus tests."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from checker.core.instance import Instance
from checker.core.memory.replay import replay_weak
from checker.explorer import explore
from checker.litmus.parse import parse
from checker.report.tracetext import render_trace
from tests.memory.random_litmus import random_litmus
from tests.memory.runner import run
from tests.memory.test_weak_models import ends, model_of, weak_system
from tests.models import weak_system_of

LB = """
model lb; var x : 0..2; var y : 0..2; ghost var a : 0..2; ghost var b : 0..2;
thread p { let r = READ_ONCE(x); a = r; FENCE WRITE_ONCE(y, 1); }
thread q { let s = READ_ONCE(y); b = s; smp_mb(); WRITE_ONCE(x, 1); }
invariant not_both: !(a == 1 && b == 1);
"""


def verdict(text: str, name: str, defer: int = 1, history: int | None = 2) -> tuple[str, int]:
    """What is found of a property, in how many states; a violation is replayed."""
    instance = Instance(replace(weak_system_of(text, "weak"), defer=defer, history=history))
    found = explore(instance, instance.system.properties, stop_on=frozenset())
    for result in found.violated:
        assert result.path is not None
        assert replay_weak(instance, result.path, result.property).steps
    return found.results[name].outcome.value, found.statistics.states


def test_a_store_comes_before_a_load_that_is_put_off() -> None:
    assert verdict(LB.replace("FENCE", ""), "not_both")[0] == "violated"
    assert verdict(LB.replace("FENCE", ""), "not_both", defer=0)[0] == "holds"


def test_a_trace_says_what_was_put_off() -> None:
    instance = Instance(weak_system_of(LB.replace("FENCE", ""), "weak"))
    (result,) = explore(instance, instance.system.properties).violated
    assert result.path is not None
    trace = replay_weak(instance, result.path, result.property)
    notes = [note for step in trace.steps for note in step.notes]
    assert notes == ["put off: what comes behind may be made first", "made only now: it was put off in step 1"]
    assert "made only now" in render_trace(trace).replace("\n", " ")


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (("FENCE", "smp_mb();"), "holds"),
        (("FENCE", "smp_wmb();"), "violated"),  # orders stores only
        (("FENCE", "smp_rmb();"), "violated"),
        (("FENCE WRITE_ONCE(y, 1)", "smp_store_release(y, 1)"), "holds"),
        (("READ_ONCE(x)", "smp_load_acquire(x)"), "holds"),
        (("FENCE WRITE_ONCE(y, 1);", "if r == 1 { WRITE_ONCE(y, 1); }"), "holds"),
        (("FENCE WRITE_ONCE(y, 1)", "WRITE_ONCE(y, r)"), "holds"),
        (("READ_ONCE(x)", "xchg_relaxed(x, 2)"), "violated"),
        (("READ_ONCE(x)", "xchg(x, 2)"), "holds"),
        (("READ_ONCE(x)", "xchg_acquire(x, 2)"), "holds"),
    ],
)
def test_what_keeps_a_load_in_its_place(change: tuple[str, str], expected: str) -> None:
    text = LB.replace(*change).replace("FENCE", "")
    assert verdict(text, "not_both")[0] == expected


def test_nothing_is_put_off_where_no_store_could_come_first() -> None:
    text = LB.replace("FENCE", "smp_mb();")
    assert verdict(text, "not_both", defer=1) == verdict(text, "not_both", defer=0)


def test_two_loads_that_are_put_off_need_two_places() -> None:
    two = """
    model two; var x : bool; var y : bool; var z : bool; ghost var a : bool; ghost var b : bool; ghost var c : bool;
    thread p { let r = READ_ONCE(x); a = r; let s = READ_ONCE(y); b = s; WRITE_ONCE(z, true); }
    thread q { let t = READ_ONCE(z); c = t; smp_mb(); WRITE_ONCE(x, true); WRITE_ONCE(y, true); }
    invariant not_all: !(a && b && c);
    """
    assert [verdict(two, "not_all", defer)[0] for defer in (0, 1, 2)] == ["holds", "holds", "violated"]


def test_what_a_ghost_does_besides_keeps_a_load_in_its_place() -> None:
    text = LB.replace("FENCE", "").replace("a = r;", "a = r; at_work = true;")
    text = text.replace("model lb;", "model lb; ghost var at_work : bool;")
    instance = Instance(weak_system_of(text + "invariant working: y == 0 || at_work;", "weak"))
    found = explore(instance, instance.system.properties, stop_on=frozenset())
    assert found.results["working"].outcome.value.startswith("holds")
    assert found.results["not_both"].outcome.value == "holds"


TICK = """
model tick; sort CPU = 1; var x : bool; var y : bool; var n : bool; ghost var a : bool;
interrupt h() when !n { n = true; smp_mb(); }
thread t on CPU { let r = READ_ONCE(x); a = r; WRITE_ONCE(y, true); }
thread u { let s = READ_ONCE(y); WRITE_ONCE(x, s); }
cover late: a;
"""


def test_a_handler_waits_for_what_its_cpu_has_put_off() -> None:
    instance = Instance(weak_system_of(TICK, "weak"))
    found = explore(instance, instance.system.properties, stop_on=frozenset())
    outcomes = {name: r.outcome.value for name, r in found.results.items()}
    assert (outcomes["deadlock"], outcomes["late"]) == ("holds", "reached")


OBJECT = """
model published; object o = 1 { v : 0..2; } var p : o?; ghost var bad : bool;
thread maker { let n = alloc o { v = 1 }; n.v = 2; PUBLISH }
thread user { let q = READ_ONCE(p); if q { LOOK } }
invariant initialised: !bad;
"""
LOOK = "let v = q.v; bad = v != 2;"


@pytest.mark.parametrize(
    ("publish", "look", "expected"),
    [
        ("smp_store_release(p, n);", LOOK, "holds"),  # the address depends on what was read
        ("smp_wmb(); WRITE_ONCE(p, n);", LOOK, "holds"),
        ("WRITE_ONCE(p, n);", LOOK, "violated"),
        ("smp_store_release(p, n);", f"let w = q; {LOOK.replace('q.v', 'w.v')}", "holds"),
    ],
)
def test_an_address_dependency_orders(publish: str, look: str, expected: str) -> None:
    text = OBJECT.replace("PUBLISH", publish).replace("LOOK", look)
    assert verdict(text, "initialised")[0] == expected


def test_an_address_that_does_not_depend_on_what_was_read_orders_nothing() -> None:
    text = OBJECT.replace("object o = 1", "object o = 0").replace("var p : o?", "static s : o; var p : bool")
    text = text.replace("let n = alloc o { v = 1 }; n.v = 2; PUBLISH", "s.v = 2; smp_store_release(p, true);")
    assert verdict(text.replace("LOOK", LOOK.replace("q.v", "s.v")), "initialised")[0] == "violated"


@pytest.mark.parametrize("seed", range(24))
def test_random_programs_end_as_the_litmus_runner_says(seed: int) -> None:
    litmus = parse(random_litmus(random.Random(seed)), "random")
    text, _ = model_of(litmus)
    defer, history = seed % 3, (2, None)[seed % 2]
    instance = Instance(replace(weak_system(text), defer=defer, history=history))
    assert len(ends(instance)) == run(litmus, history=history, defer=defer).positive
