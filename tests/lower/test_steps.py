"""What is a step, who may take it, and how many states that makes: all counts are derived by hand."""

# ruff: noqa: E501 (models are given as they are)

from __future__ import annotations

import pytest

from checker.core.system import Access, Fence
from checker.core.verdict import Outcome
from tests.models import counts, errors_of, explore_text, reached, system_of, violated

ONE = {"CPU": 1}

CASES = {
    # two threads, one step each: all four combinations
    "statement": ("var x : 0..2 = 0; thread t on CPU { x += 1; }", {}, 4, 4),
    # xchg; then the copy: two steps
    "xchg": ("var x : 0..5; var z : 0..9; thread t[p : CPU] { let o = xchg(x, 3); z = o; }", ONE, 3, 2),
    # locals and ghosts make no steps of their own
    "ghost": ("var x : 0..3; ghost var g : 0..3; thread t[p : CPU] { x = 1; g = x; x = 2; g += 1; }", ONE, 3, 2),
    "local": ("var x : 0..3; thread t[p : CPU] { let a = 1; let b = a + 1; x = b; b = 0; }", ONE, 2, 1),
    # a local that is dead is no state: both ways to the end meet
    "dead": ("var x : bool; thread t[p : CPU] { pick c : CPU; x = c == p; x = true; }", {"CPU": 2}, 14, 28),
    "atomic": ("var x : 0..3; thread t[p : CPU] { atomic { x = 1; if x == 1 { x = 2; } } }", ONE, 2, 1),
    "atomic_waits": ("var x : 0..3; var z : bool; thread t[p : CPU] { atomic { x = 1; await z; } }", ONE, 1, 0),
    "either": ("var x : 0..3; thread t[p : CPU] { either { await x == 1; } or { x = 3; } or { x = 2; } }", ONE, 3, 2),
    "loop": ("var x : 0..3; thread t[p : CPU] { loop { if x == 3 { break; } x += 1; } }", ONE, 8, 7),
    "while": ("var x : 0..3; thread t[p : CPU] { while x < 3 { x += 1; } }", ONE, 8, 7),
    # two elements in any order (1 + 2 + 1), then all at once
    "for": ("sort A = 2; var a : 0..9[A]; thread t[p : CPU] { for x : A { a[x] = 1; } forall x : A { a[x] += 1; } }", ONE, 5, 5),
    "any": ("var x : bool = any; thread t[p : CPU] { x = !x; }", ONE, 4, 2),
    "any_set": ("var x : set of CPU = any; thread t[p : CPU] { x = {}; }", ONE, 3, 2),
    "any_sets": ("object o = 1 { s : set of CPU = any; } static a : o; thread t[p : CPU] { a.s = {}; }", {"o": 0}, 7, 10),
    "init": ("var x : 0..3; init { either { x = 1; } or { x = 2; } } thread t[p : CPU] { x = 3; }", ONE, 3, 2),
    "init_once": ("var x : 0..3 = any; init { x = 1; } thread t[p : CPU] { x = 3; }", ONE, 2, 1),
    # a: 0 1 2, b: 0 1; where both have run the last writer tells: 8; a's middle is closed to b without preemption
    "preemptible": ("var x : 0..3; thread a on CPU { x = 1; x = 2; } thread b on CPU { x = 3; }", ONE, 8, 8),
    "preempt_off": (
        "var x : 0..3; thread a on CPU { preempt off { x = 1; x = 2; } } thread b on CPU { x = 3; }", ONE, 7, 6,
    ),
    # the handler (entry, n, x and return) fits before and after the section, an nmi also in between
    "irqs_off": (
        "var x : 0..3; var n : bool; interrupt h() when !n { n = true; x = 2; } "
        "thread t on CPU { irqs off { x = 1; x = 3; } }", ONE, 11, 10,
    ),
    "nmi": (
        "var x : 0..3; var n : bool; nmi h() when !n { n = true; x = 2; } "
        "thread t on CPU { irqs off { x = 1; x = 3; } }", ONE, 14, 14,
    ),
    # per direction: not called, pending, handled, done, gone on; a CPU's thread rests while its handler runs
    "call": ("interrupt h() { skip; } thread t on CPU { call h() on {c : CPU where c != this_cpu}; }", {}, 25, 36),
    # free or held by one of two, who is before, in (two points) or behind: 4 + 2 * 2 * 2
    "spinlock": ("var l : spinlock; var x : 0..3; thread t on CPU { spin_lock(l); x += 1; spin_unlock(l); }", {}, 12, 12),
    "trylock": (
        "var l : spinlock; var x : 0..3; thread t on CPU { if spin_trylock(l) { x += 1; spin_unlock(l); } }", {}, 17, 20,
    ),
    "mutex_trylock": (
        "var l : mutex; var x : 0..3; thread t on CPU { if !mutex_trylock(l) { return; } x += 1; mutex_unlock(l); }",
        {}, 17, 20,
    ),
    # each task is before its first switch, or waits behind one: 2 + 2 + 2
    "tasks": (
        "sort T = 2; task t[me : T] { loop { pick o : T where o != me; preempt off { switch_to o; } } }", ONE, 6, 6,
    ),
    # never set, as the counter, one behind, further behind: an unbounded counter in four states
    "gen": ("var g : gen; var k : gen; thread t[p : CPU] { loop { either { g += 1; } or { k = g; } } }", ONE, 4, 8),
    "gen_of_object": (
        "object o = 1 { g : gen; } static s : o; var k : gen; "
        "thread t[p : CPU] { loop { either { s.g += 1; } or { k = s.g; } } }", {"CPU": 1, "o": 0}, 4, 8,
    ),
    # alloc, get, put, put, free of either of two objects: 1 + 2 * 4 + 1
    "kinds": (
        "object o = 2 { c : refcount of a, b; } thread t[p : CPU] { let m = alloc o { c = 1 of a }; get(m.c, b); "
        "if put(m.c, a) { skip; } if put(m.c, b) { free m; } }", ONE, 10, 10,
    ),
    "record": (
        "record r { a : 0..3; b : bool; } var x : r; var z : r; "
        "thread t[p : CPU] { x.a = 2; z = x; let q = z; q.a += 1; x = q; assert x.a == 3 && !x.b; }", ONE, 6, 5,
    ),
    "sections_unwind": ("var x : 0..3; thread t on CPU { loop { irqs off { x = 1; if x == 1 { break; } } } x = 2; }", ONE, 4, 3),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_counts(name: str) -> None:
    text, sizes, states, transitions = CASES[name]
    run = explore_text(text, **sizes)
    assert violated(run).keys() <= {"deadlock", "leak"}
    assert counts(run) == (states, transitions)


HOLDS = {
    "results_of_rmw": "var x : 0..9 = 1; thread t[p : CPU] { let n = atomic_inc_return(x); assert n == 2 && x == 2; }",
    "cmpxchg": "var x : 0..9 = 1; thread t[p : CPU] { let o = cmpxchg(x, 1, 5); assert o == 1; "
    "let q = cmpxchg_acquire(x, 1, 7); assert q == 5 && x == 5; if try_cmpxchg(x, 5, 6) { assert x == 6; } }",
    "test_and_set": "var s : set of CPU; thread t[p : CPU] { let w = test_and_set(s[p]); assert !w && p in s; "
    "let v = test_and_clear(s[p]); assert v && p !in s; }",
    "atomics": "var x : 0..9; thread t[p : CPU] { atomic_inc(x); atomic_inc(x); atomic_dec(x); assert x == 1; "
    "let z = atomic_dec_and_test(x); assert z; if atomic_inc_not_zero(x) { assert false; } }",
    "swap": "var a : 0..3 = 1; var b : 0..3 = 2; thread t[p : CPU] { a = xchg(b, a); assert a == 2 && b == 1; }",
    "sets": "var s : set of CPU; var u : set of CPU; thread t[p : CPU] { s += p; u = s + {p}; s -= p; u &= s; "
    "assert size(u) == 0; u = {c : CPU}; assert u <= u + s && s == {} && p in u && p !in s; u = u - {p}; assert u & s == {}; }",
    "seqs": "var q : seq of 0..9 max 3; thread t[p : CPU] { push(q, 4); push(q, 5); assert len(q) == 2 && q[1] == 5 && 4 in q; "
    "let f = pop(q); assert f == 4 && q[0] == 5; q = {}; assert len(q) == 0; }",
    "reset_at_free": "object o = 1 { v : 0..3 = 1; s : set of CPU; } thread t[p : CPU] { let m = alloc o { v = 2 }; m.s += p; "
    "free m; let n = alloc o; assert n.v == 1 && n.s == {}; free n; }",
    "arrays": "sort A = 2; sort B = 2; var a : 0..2[A, B]; thread t[p : CPU] { forall x : A, z : B { a[x, z] = 2; } "
    "pick x : A; pick z : B; a[x, z] -= 1; assert a[x][z] == 1; }",
    "percpu": "percpu x : bool; percpu s : set of CPU; thread t on CPU { x = true; s[this_cpu] = true; assert x[this_cpu]; } "
    "invariant i: forall c : CPU { s[c] <= {c} && (s[c][c] == s[c, c]) };",
    "procs": "var x : 0..9; proc f(n : 0..9) : 0..9 { n += 1; return n; } proc g() : 0..9 { let a = f(3); let b = f(a); return b; } "
    "thread t[p : CPU] { x = g(); assert x == 5; }",
    "refs": "var x : 0..9; proc inc(n : ref 0..9) { n += 1; } thread t[p : CPU] { let a = 1; inc(a); inc(x); assert x == 1 && a == 2; }",
    "refs_alias": "var x : 0..9; proc a(n : 0..9, m : ref 0..9) { m += 1; x = n; } "
    "thread t[p : CPU] { let v : 0..9 = 1; a(v, v); assert x == 1 && v == 2; }",
    "weak": "var x : 0..9; weak proc h() { x = 1; } proc h() { x = 2; } thread t[p : CPU] { h(); assert x == 2; }",
    "config": "config A = true; config B : 0..3 = 2; enum E { P, Q } config C = Q; var x : 0..3; thread t[p : CPU] { "
    "if A { x = B; } else { x = 3; } assert x == 2; if C == P { assert false; } }",
    "names": "var x : 0..9; thread t[p : CPU] { let put = 1; let count = 2; let to = p; let mm = to; let run = mm; "
    "let cpu = run; let get = put + count; let local = get; let current = cpu; x = local; assert x == 3 && current == p; }",
    "ordered": "ordered sort P = 3; var a : P?; thread t[p : CPU] { pick x : P where forall q : P { x <= q }; a = x; } "
    "invariant least: !a || forall q : P { a <= q };",
    "calls_cross": "interrupt h(n : 0..3) { n += 1; x = n; } var x : 0..3; thread t on CPU { call h(1) on {c : CPU}; assert x == 2; }",
    "nowait": "interrupt h() { x += this_cpu; } var x : set of CPU; thread t[p : CPU] on CPU { call h() on {c : CPU} nowait; "
    "assert this_cpu in x; wait h; assert x == {c : CPU}; }",
    "irqs_disabled": "percpu x : bool; thread t on CPU { local_irq_save(); x = irqs_disabled(); assert x; local_irq_restore(); "
    "x = irqs_disabled(); assert !x; }",
    "gen_next": "var g : gen; var c : gen; thread t[p : CPU] { assert c == 0; let n = atomic_inc_return(g); c = n; assert c == g; "
    "g += 1; assert c + 1 == g && c < g; g += 1; assert c + 1 < g && c + 1 != g; }",
    "two_gens": "var g : gen; var h : gen; var c : gen of g; var d : gen of h; "
    "thread t[p : CPU] { g += 1; h += 1; c = g; d = h; assert c == g && d == h; }",
    "running": "sort T = 2; task t[me : T] { assert running(me); }  final true;",
    "hardware": "var x : bool; hardware w on CPU { x = true; } thread a on CPU { irqs off { await x; } }",
    "rwlock": "var l : rwlock; var x : 0..3; thread t on CPU { read_lock(l); read_unlock(l); write_lock(l); x += 1; write_unlock(l); }",
    "init_percpu": "percpu x : set of CPU; init { forall c : CPU, d : CPU { x[c, d] = c == d; } } thread t on CPU { assert x == {this_cpu}; }",
}


@pytest.mark.parametrize("name", HOLDS)
def test_meaning(name: str) -> None:
    sizes = {"CPU": 1} if "[p : CPU] {" in HOLDS[name] else {}
    assert violated(explore_text(HOLDS[name], **sizes)) == {}


def test_step_properties_and_covers() -> None:
    text = "var x : 0..3; thread t[p : CPU] { x = 1; x = 2; } step up: next(x) >= x; step two: next(x) != 2; cover c: x == 2;"
    run = explore_text(text, CPU=1)
    assert violated(run) == {"two": 2}
    assert reached(run) == {"c"}


def test_an_implication_that_never_applies_is_vacuous() -> None:
    text = "var x : 0..3; thread t[p : CPU] { x = 1; } invariant v: x == 3 => false; invariant w: x == 1 => true;"
    outcomes = {n: r.outcome.value for n, r in explore_text(text, CPU=1).results.items()}
    assert (outcomes["v"], outcomes["w"]) == ("vacuous", "holds")


def test_memory_accesses_are_recorded_with_their_order() -> None:
    text = """var a : 0..3; var b : bool; hw percpu h : bool; thread t on CPU {
        let v = smp_load_acquire(a); WRITE_ONCE(a, v); smp_mb(); smp_store_release(b, true); a += 1; h = true; let w = xchg(b, h);
    }"""
    actions = [a for a in system_of(text).actions if a.fault is None]
    kinds = [[(m.kind, m.var, m.order) if isinstance(m, Access) else m.name for m in a.memory] for a in actions]
    assert isinstance(actions[1].memory[1], Fence)
    assert kinds == [
        [("read", "a", "acquire")], [("write", "a", "once"), "smp_mb"], [("write", "b", "release")],
        [("rmw", "a", "once")], [], [("rmw", "b", "full")],
    ]  # fmt: skip


PERCPU = """
object mm = 2 { v : bool; }
percpu holds : set of mm;
percpu both : set of CPU;
percpu table : bool[mm];
percpu q : seq of mm max 2;
fn owned(m : mm) : bool = exists c : CPU { m in holds[c] };
fn mine(m : mm) : bool = holds[m];
thread a on CPU {
    let m = alloc mm;
    holds += m;
    both += this_cpu;
    table[m] = true;
    push(q, m);
    assert owned(m) && mine(m) && holds[this_cpu][m] && both[this_cpu] && table[this_cpu, m] && len(q[this_cpu]) == 1 && m in q[this_cpu];
    assert q[0] == m && q[this_cpu][0] == m;
    forall c : CPU { holds[c] = {}; }
    push(q[this_cpu], m);
    clear(q[this_cpu]);
    holds[this_cpu] += m;
    holds[m] = false;
    assert !(m in holds);
    free m;
}
invariant some: forall m : mm { owned(m) => live(m) };
invariant one: forall m : mm, c : CPU where m in holds[c] { live(m) && holds[c][m] && holds[c, m]};
"""


def test_a_per_cpu_variable_is_indexed_by_a_cpu_or_by_what_it_holds() -> None:
    run = explore_text(PERCPU, CPU=1)
    assert violated(run) == {}
    assert run.statistics.states == 29


PTE = """
record pte { busy : bool; slot : 0..3; owner : CPU?; cpus : set of CPU; }
var x : pte;
@kernel("f.c", "is_busy")
fn busy(p : pte) : bool = p.busy;
thread a[me : CPU] {
    let old = x;
    let new = old;
    new.busy = true;
    new.cpus += me;
    if try_cmpxchg(x, old, new) { assert x == new && x != old && busy(new); } else { skip; }
    let again = try_cmpxchg(x, old, new);
    assert !again;
    let seen = cmpxchg(x, old, old);
    assert seen == new;
    new.slot = 2;
    let was = xchg(x, new);
    assert was.slot == 0 && x.slot == 2 && x == new;
}
cover swapped: exists c : CPU { x.cpus == {c} && x.slot == 2 };
"""


def test_a_record_is_compared_and_exchanged_as_one_value() -> None:
    run = explore_text(PTE, CPU=1)
    assert violated(run) == {}
    assert reached(run) == {"swapped"}
    assert counts(run)[0] == 8  # the first, and one a statement that reads or writes x


ASKED = """
var x : 0..3;
var n : 0..3 = 2;
var lost : bool;
proc take() : 0..3 { n -= 1; return n; }
proc zero(v : 0..3) : bool { return v == 0; }
thread a[me : CPU] {
    if cmpxchg(x, 0, 1) != 0 { lost = true; }
    if !(cmpxchg(x, 0, 2) == 1) { lost = true; }
    let swapped = xchg(x, 0) == 1;
    while take() != 0 { skip; }
    let no = !zero(x);
    if atomic_inc_return(n) >= 2 { lost = true; }
    assert swapped && !no;
}
invariant none: !lost;
"""


def test_the_result_of_a_call_with_effects_may_be_compared_where_it_is_made() -> None:
    run = explore_text(ASKED, CPU=1)
    assert violated(run) == {}
    # three exchanges; twice the decrement and what it returns; the question; the increment
    assert counts(run) == (10, 9)


@pytest.mark.parametrize(
    "wrong",
    [
        "await cmpxchg(x, 0, 1) == 0;",
        "if x == xchg(x, 1) { skip; }",
        "x = xchg(x, 1) + 1;",
        "assert xchg(x, 1) == 0;",
        "if xchg(x, 1) == 0 && x == 1 { skip; }",
    ],
)
def test_elsewhere_a_call_with_effects_is_no_part_of_an_expression(wrong: str) -> None:
    assert errors_of("var x : 0..3; thread t[p : CPU] { " + wrong + " }") == ["LZ305"]


TASKS = """
sort TASK = 3;
percpu cur : TASK? = null;
var where_is : CPU?[TASK];
var seen : set of TASK;
proc sched() {
    pick other : TASK where other != this_task;
    preempt off { cur = other; assert !running(other) || task_on(this_cpu) == this_task; await !running(other); switch_to other; assert cur == this_task; where_is[this_task] = this_cpu; }
}
fn mine(x : TASK) : bool = x == this_task;
task worker[me : TASK] {
    loop { assert mine(me); sched(); assert this_task == me && task_on(this_cpu) == me; }
}
interrupt tick() when !(this_task in seen) {
    seen += this_task;
    assert task_on(this_cpu) == this_task;
    let t = this_task;
    if t { where_is[t] = this_cpu; }
}
invariant one: forall c : CPU, d : CPU where c != d { task_on(c) != task_on(d) };
cover moved: exists t : TASK { where_is[t] && task_on(where_is[t]) == t};
"""


def test_tasks_and_handlers_know_the_task_of_this_cpu() -> None:
    one = explore_text(TASKS, CPU=1, TASK=2)
    assert violated(one) == {} and reached(one) == {"moved"}
    two = explore_text(TASKS, CPU=2, TASK=2)
    assert violated(two).keys() == {"deadlock"}  # both wait for the other's task
    assert two.results["one"].outcome is Outcome.HOLDS


def test_the_own_task_is_no_state_and_no_step() -> None:
    named = "sort T = 2; task t[me : T] { loop { pick o : T where o != me; preempt off { switch_to o; } } }"
    assert counts(explore_text(named.replace("o != me", "o != this_task"), CPU=1)) == counts(explore_text(named, CPU=1))
