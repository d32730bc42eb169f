"""The violations that nobody writes an invariant for: which one, and after how many steps."""

# ruff: noqa: E501 (models are given as they are)

from __future__ import annotations

import pytest

from checker.core.semantics import SetupFault
from tests.models import counts, explore_text, violated

OBJECT = "object o = 1 { v : 0..3; c : refcount max 2; } "
T = "thread t[p : CPU] "
CASES = {
    "use_after_free": (OBJECT + T + "{ let m = alloc o; let n = m; free m; n.v = 1; }", 3),
    "double_free": (OBJECT + T + "{ let m = alloc o; free m; free m; }", 3),
    "null": ("object o = 1 { v : 0..3; } var z : o?; " + T + "{ z.v = 1; }", 1),
    "null/let": ("var a : CPU?; " + T + "{ let z : CPU = a; }", 1),
    "null/param": ("var a : CPU?; proc f(c : CPU) { a = c; } " + T + "{ let z : CPU? = null; f(z); }", 1),
    "refcount": (OBJECT + T + "{ let m = alloc o; get(m.c); }", 2),
    "refcount/put": (OBJECT + T + "{ let m = alloc o; put(m.c); }", 2),
    "bound": (OBJECT + T + "{ let m = alloc o { c = 1 }; get(m.c); get(m.c); }", 3),
    "bound/range": ("var x : 0..3; " + T + "{ loop { x += 1; } }", 4),
    "bound/seq": ("var q : seq of 0..3 max 2; " + T + "{ push(q, 1); push(q, 2); push(q, 3); }", 3),
    "index": ("var q : seq of 0..3 max 2; " + T + "{ push(q, 1); let a = pop(q); let b = pop(q); }", 3),
    "leak": (OBJECT + T + "{ let m = alloc o; if m.v == 1 { free m; } }", 1),
    "deadlock": ("var x : bool; " + T + "{ x = false; await x; }", 1),
    "lock": ("var l : spinlock; " + T + "{ spin_unlock(l); }", 1),
    "lock/self": ("var l : spinlock; thread t on CPU { spin_lock(l); spin_lock(l); }", 2),
    "lock/irq": (
        "var l : spinlock; var n : bool; interrupt h() when n { n = false; spin_lock(l); spin_unlock(l); } "
        "thread t on CPU { n = true; spin_lock(l); spin_unlock(l); }", 5,
    ),
    "lock/held_by_other": ("var l : mutex; thread t on CPU { mutex_lock(l); } thread s[p : CPU] { mutex_unlock(l); }", 1),
    "sleep": ("var l : spinlock; var m : mutex; thread t on CPU { spin_lock(l); mutex_lock(m); }", 2),
    "sleep/irqs": ("var m : mutex; thread t on CPU { irqs off { mutex_lock(m); } }", 2),
    "ipi_irqs_off": ("interrupt h() { skip; } thread t on CPU { irqs off { call h() on {c : CPU}; } }", 2),
    "gen_family": (
        "object o = 2 { g : gen; } var k : gen; " + T + "{ let a = alloc o; let b = alloc o; a.g += 1; k = a.g; "
        "if k < b.g { skip; } }", 5,
    ),
    "gen_family/freed": (
        "object o = 1 { g : gen; } var k : gen; " + T + "{ let a = alloc o; a.g += 1; k = a.g; free a; let b = alloc o; "
        "if k == b.g { skip; } }", 6,
    ),
    "switch": (
        "sort T = 2; task t[me : T] { if this_cpu != start { x = true; } pick o : T where o != me; switch_to o; } "
        "var start : CPU?; var x : bool;", 3,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_fault(name: str) -> None:
    text, length = CASES[name]
    sizes = {} if name in ("gen_family", "switch") else {"CPU": 1}
    sizes = {"CPU": 1} if "gen" in name else sizes
    assert violated(explore_text(text, **sizes))[name.split("/")[0]] == length


def test_a_static_is_never_freed() -> None:
    text = "object o = 1 { v : bool; } static s : o; " + T + "{ free s; }"
    assert violated(explore_text(text, CPU=1, o=0)) == {"double_free": 1}


def test_final_states_are_no_deadlock() -> None:
    assert violated(explore_text("var x : bool; " + T + "{ await x; } final !x;", CPU=1)) == {}


NEVER = {
    "atomic": "atomic { await OFF; await x; x = false; }",
    "plain": "await OFF; x = false;",
    "irqs": "irqs off { await OFF; x = false; }",
    "pick": "pick c : CPU where OFF; x = false;",
    "proc": "never(); x = false;",
}


@pytest.mark.parametrize("never", NEVER.values(), ids=NEVER)
def test_a_branch_that_a_config_closes_is_not_entered(never: str) -> None:
    model = "config OFF = false; var x : bool; proc never() { await OFF; } " + T
    run = explore_text(model + "{ loop { either { x = !x; } or { " + never + " } } }", CPU=1)
    assert violated(run) == {}
    assert counts(run) == (2, 2)


def test_a_thread_that_waits_for_a_false_config_has_not_ended() -> None:
    text = "config OFF = false; var x : bool; " + T + "{ x = true; await OFF; x = false; }"
    assert violated(explore_text(text, CPU=1)) == {"deadlock": 1}


def test_a_thread_that_waits_for_a_local_has_done_what_is_before() -> None:
    text = "var x : bool; var y : bool; " + T + "{ let a = x; y = true; await a; x = true; }"
    run = explore_text(text + "invariant untouched: !y;", CPU=1)
    assert violated(run) == {"untouched": 2}
    assert violated(explore_text(text, CPU=1)) == {"deadlock": 2}


def test_calls_that_cross_do_not_deadlock() -> None:
    text = "interrupt h() { skip; } thread t on CPU { loop { call h() on {c : CPU where c != this_cpu}; } }"
    assert violated(explore_text(text)) == {}


def test_a_fault_of_the_setup_is_reported() -> None:
    with pytest.raises(SetupFault, match="leave its range"):
        explore_text("var x : 0..3 = 3; init { x += 1; } " + T + "{ skip; }", CPU=1)


def test_properties_never_compare_generations_of_two_counters() -> None:
    text = (
        "object o = 2 { g : gen; } static a, b : o; " + T + "{ loop { either { a.g += 1; } or { b.g += 1; } } } "
        "invariant i: !(a.g < b.g) && !(a.g == b.g) && !(a.g > b.g);"
    )
    assert violated(explore_text(text, CPU=1, o=0)) == {}


def test_interrupts_wait_for_irqs_on() -> None:
    text = (
        "var n : bool; var x : bool; interrupt h() when n { assert !x; n = false; } "
        "thread t on CPU { irqs off { n = true; x = true; x = false; } }"
    )
    assert violated(explore_text(text, CPU=1)) == {}
    assert "assert: !x" in violated(
        explore_text(text.replace("irqs off { n", "{ n").replace("{ { ", "{ ").replace("} }", "}"), CPU=1)
    )
