"""Each kind of mistake gets its code; all mistakes are found in one run, and none twice."""

# ruff: noqa: E501 (models are given as they are)

from __future__ import annotations

import pytest

from tests.models import complaints_of, errors_of, system_of

T = "thread t[p : CPU] { %s } "
WRONG = {
    "unknown": (T % "y = 1;", "LZ201"),
    "unknown_sort": ("var x : set of CPUS;", "LZ201"),
    "unknown_interrupt": ("thread t on CPU { call h() on {c : CPU}; }", "LZ201"),
    "unknown_gen": ("var c : gen of g;", "LZ201"),
    "twice": ("var x : bool; var x : bool;", "LZ202"),
    "hides": ("var x : bool; " + T % "let x = true;", "LZ202"),
    "context_name": ("thread irq on CPU { skip; }", "LZ202"),
    "undefined_proc": ("proc f();", "LZ204"),
    "circle": ("proc f() { g(); } proc g() { f(); } thread t on CPU { f(); }", "LZ205"),
    "field": ("object o = 1 { a : bool; } " + T % "let m = alloc o; m.b = true;", "LZ207"),
    "type": ("var x : bool; " + T % "x = 1;", "LZ301"),
    "order_of_sort": ("var a : CPU?; invariant i: a < a;", "LZ307"),
    "assign_config": ("config A = true; " + T % "A = false;", "LZ303"),
    "seq_assign": ("var q : seq of CPU max 2; var r : seq of CPU max 2; " + T % "q = r;", "LZ303"),
    "and_assign": ("var x : 0..3; " + T % "x &= 1;", "LZ302"),
    "arguments": ("proc f(n : 0..3) { skip; } " + T % "f();", "LZ304"),
    "kind": ("object o = 1 { c : refcount of a, b; } " + T % "let m = alloc o { c = 1 };", "LZ304"),
    "effect": ("var x : 0..3; " + T % "x = atomic_inc_return(x) + 1;", "LZ305"),
    "ghost": ("ghost var g : bool; var x : bool; " + T % "x = g;", "LZ306"),
    "ghost_if": ("ghost var g : bool; var x : bool; " + T % "if g { x = true; }", "LZ306"),
    "ghost_fn": ("ghost var g : bool; fn f() : bool = g; var x : bool; " + T % "x = f();", "LZ306"),
    "config_constant": ("var x : bool; config A = x;", "LZ308"),
    "loop_in_atomic": ("var x : 0..3; " + T % "atomic { while x < 3 { x += 1; } }", "LZ309"),
    "break": (T % "break;", "LZ309"),
    "next": ("var x : bool; invariant i: next(x);", "LZ309"),
    "several_values": ("var n : CPU?; " + T % "forall c : CPU { n = c; }", "LZ309"),
    "gen_sum": ("var g : gen; var c : gen; " + T % "g += 1; c = g + 1;", "LZ3"),
    "gen_set": ("var g : gen; var c : gen; " + T % "g += 1; g = c;", "LZ310"),
    "gen_number": ("var g : gen; var x : 0..3; " + T % "g += 1; if g < 3 { x = 1; }", "LZ310"),
    "gen_which": ("var g : gen; var h : gen; var c : gen; " + T % "g += 1; h += 1;", "LZ310"),
    "gen_states": ("var g : gen; " + T % "g += 1;" + "step s: next(g) >= g;", "LZ310"),
    "this_cpu": ("invariant i: forall c : CPU { c == this_cpu };", "LZ311"),
    "percpu": ("percpu x : bool; invariant i: x;", "LZ311"),
    "percpu_fn": ("percpu x : bool; fn f() : bool = x; invariant i: f();", "LZ311"),
    "no_cpu": ("percpu x : bool; " + T % "x = true;", "LZ311"),
    "join": ("var x : bool; thread t on CPU { if x { local_irq_disable(); } x = true; }", "LZ312"),
    "section_end": ("thread t on CPU { irqs off { local_irq_enable(); } }", "LZ312"),
    "optional": ("var x : bool?;", "LZ313"),
    "no_return": ("proc f() : bool { skip; } thread t on CPU { let a = f(); }", "LZ314"),
    "idle_loop": ("thread t on CPU { loop { skip; } }", "LZ401"),
    "range": ("var x : 3..1;", "LZ601"),
    "first_value": ("var x : 0..3 = 7;", "LZ601"),
}


@pytest.mark.parametrize("name", WRONG)
def test_one_mistake_has_one_code(name: str) -> None:
    text, code = WRONG[name]
    found = errors_of(text)
    assert len(found) == 1
    assert found[0].startswith(code)


def test_all_mistakes_are_found_at_once_and_do_not_cascade() -> None:
    text = """object o = 1 { a : bool; }
    var n : 0..3; var m : set of CPX;
    thread t[p : CPU] { n = tru; let x = alloc oo; x.a = 3; x = nothing(x); m += p; n = p; if n { skip; } }
    invariant i: forall c : CPU { missing[c] };"""
    assert errors_of(text) == ["LZ201", "LZ201", "LZ201", "LZ201", "LZ301", "LZ301", "LZ201"]


def test_near_misses_are_suggested() -> None:
    from checker.lang.diagnostics import UserError

    text = "object mm = 1 { mm_cpumask : set of CPU; } thread t[p : CPU] { let m = alloc mm; m.mm_cpumsk += p; }"
    with pytest.raises(UserError) as caught:
        system_of(text)
    assert caught.value.diagnostics[0].hint == "did you mean 'mm_cpumask'?"


def test_words_of_statements_are_names_elsewhere() -> None:
    text = "var call : bool; var send : 0..3; var free : set of CPU; var pick : CPU?; thread t[wait : CPU] { await call || send == 1 || wait in free || pick == wait; } final true;"
    assert complaints_of(text) == []
