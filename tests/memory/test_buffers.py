"""Store buffers beside the rest of the language: interrupts, locks, generations, objects; and what traces say."""

from __future__ import annotations

import pytest

from checker.core.instance import Instance
from checker.core.memory import with_store_buffers
from checker.core.trace import Trace, replay
from checker.explorer import explore
from checker.native.run import explore_native
from checker.report.tracetext import render_trace
from tests.models import weak_system_of


def instance_of(text: str, depth: int = 2, **sizes: int) -> Instance:
    return Instance(with_store_buffers(weak_system_of(f"model t; {text}", "tso"), depth), sizes)


def outcomes(text: str, **sizes: int) -> dict[str, str]:
    instance = instance_of(text, **sizes)
    found = explore(instance, instance.system.properties, stop_on=frozenset())
    assert found.statistics.complete
    return {name: r.outcome.value for name, r in found.results.items()}


def trace_of(text: str, name: str) -> Trace:
    instance = instance_of(text)
    result = explore(instance, instance.system.properties, stop_on=frozenset()).results[name]
    assert result.path is not None
    return replay(instance, result.path, result.property)


SB = """
var x : bool; var y : bool; ghost var a : bool = true; ghost var b : bool = true;
thread p { x = true; let r = y; a = r; }
thread q { y = true; let r = x; b = r; }
invariant one: a || b;
"""

IPI = """
sort CPU = 2; percpu x : bool; hw var got : 0..2;
interrupt h(c : CPU) { got = x[c] ? 1 : 2; }
thread t on CPU { x = true; call h(this_cpu) on {c : CPU where c != this_cpu}; }
invariant seen: got != 2;
"""

MASK = """
sort CPU = 2; var mask : set of CPU; percpu ready : bool; ghost var missed : bool; percpu told : bool;
interrupt h() { told = true; }
thread t on CPU {
    mask += this_cpu;
    ready = true;
    call h() on mask - {this_cpu};
}
cover both: forall c : CPU { told[c] };
"""

OWN = """
sort CPU = 1; var x : 0..2; ghost var seen : 0..2 = 1; var n : bool;
interrupt h() when !n { n = true; let v = x; seen = v; }
thread t on CPU { x = 1; irqs off { let v = x; seen = v; } }
invariant forwarded: seen <= 1;
cover late: x == 0 && seen == 1 && n;
"""

LOCKED = """
sort CPU = 2; var l : spinlock; var x : 0..3; ghost var torn : bool;
thread t on CPU { spin_lock(l); let r = x; x = r + 1; spin_unlock(l); }
invariant counted: x <= 2;
final x == 2;
"""

GENERATIONS = """
object mm = 1 { g : gen; } static m0 : mm; sort CPU = 2; percpu copy : gen;
thread bump { loop { m0.g += 1; } }
thread t on CPU { loop { copy = m0.g; await copy < m0.g; } }
invariant behind: forall c : CPU { copy[c] <= m0.g };
"""

FREED = """
object o = 1 { v : 0..3; } var p : o?; var freed : bool;
init { p = alloc o { v = 1 }; }
thread a { let m = p; m.v = 2; freed = true; }
thread b { await freed; free p; }
"""


def test_an_interrupt_finds_what_was_stored_before_it_was_asked_for() -> None:
    assert outcomes(IPI)["seen"] == "holds"


def test_the_mask_of_a_call_is_read_before_the_requests() -> None:
    system = weak_system_of(f"model t; {MASK}", "tso")
    labels = [a.label for a in system.actions if "mask" in a.label and a.fault is None]
    assert any(label.startswith("mask = ") for label in labels)
    assert not any(a.label.startswith("mask = ") for a in weak_system_of(f"model t; {MASK}", "sc").actions)
    assert outcomes(MASK)["both"] == "reached"


def test_a_handler_reads_the_buffer_of_the_cpu_that_it_interrupts() -> None:
    found = outcomes(OWN)
    assert (found["forwarded"], found["late"]) == ("holds", "reached")


def test_locks_order_what_they_protect() -> None:
    found = outcomes(LOCKED)
    assert (found["counted"], found["deadlock"]) == ("holds", "holds")


def test_generations_go_through_the_buffer() -> None:
    assert outcomes(GENERATIONS, mm=0)["behind"] == "holds"


def test_a_store_reaches_an_object_before_what_says_so() -> None:
    assert outcomes(FREED)["use_after_free"] == "holds"
    late = FREED.replace("m.v = 2; freed = true;", "freed = true; m.v = 2;")
    assert outcomes(late)["use_after_free"] == "violated"


@pytest.mark.parametrize("text", [IPI, OWN, LOCKED, FREED], ids=["ipi", "own", "locked", "freed"])
def test_both_engines_count_the_same(text: str) -> None:
    instance = instance_of(text)
    one = explore(instance, instance.system.properties, stop_on=frozenset()).statistics
    two = explore_native(instance, instance.system.properties, symmetry=False, stop_on=frozenset()).statistics
    assert (one.states, one.transitions, one.depth) == (two.states, two.transitions, two.depth)


def test_a_trace_says_which_store_was_not_seen() -> None:
    text = render_trace(trace_of(SB, "one"))
    flat = " ".join(text.split())
    assert "x = true (in the store buffer)" in flat
    assert "not yet: x = true of step 1, in the store buffer of p" in flat
    assert "y = true of step 3 is still in the store buffer of q: smp_mb() behind it" in flat
    assert ".what" not in text


def test_deeper_buffers_allow_more() -> None:
    three = SB.replace("= true; let", "= true; z = true; z = false; let").replace("var x", "var z : bool; var x")
    violated = []
    for depth in (1, 2, 3):
        instance = instance_of(three, depth)
        found = explore(instance, instance.system.properties, stop_on=frozenset())
        violated.append(bool(found.violated))
    assert violated == [False, False, True]
