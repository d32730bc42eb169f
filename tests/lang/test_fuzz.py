"""Whatever is wrong with a text, the answer is a UserError with a place in it."""

# ruff: noqa: E501 (models are given as they are)

from __future__ import annotations

import random
import re

import pytest

from checker.core.lower import lower_model
from checker.lang.diagnostics import CODES, UserError
from checker.lang.names import load_model
from checker.lang.parser import Parser
from checker.lang.typecheck import typecheck

OBJECTS = """model objects;
config DEEP = true;
enum Mode { OFF, LAZY, ON }
sort CPU = 2;
ordered sort PAGE = 3;
record req { to : CPU; page : PAGE; mode : Mode; set_ : set of CPU; }
object mm = 2 { users : refcount; count : refcount of lazy, users; mask : set of CPU; owner : CPU?; g : gen; ghost n : 0..3; }
static init_mm : mm;
percpu cur : mm? = null;
percpu seen : gen of g;
var q : seq of CPU max 2;
var arr : 0..3[CPU, mm];
var pairs : set of (CPU, mm);
var mode : Mode = OFF;
var r : req;
ghost var total : 0..7;
fn lazy(c : CPU, m : mm) : bool = cur[c] == m && m.users == 0;
proc grab(m : mm) : bool { if get_unless_zero(m.users) { total += 1; return true; } return false; }
proc swap(x : ref mm?, n : 0..3) irqs off { n += 1; let old = xchg(x, null); if old { old.owner = null; } }
weak proc hook(m : mm) { skip; }
thread t on CPU {
    loop {
        either { cur = alloc mm { users = 1, count = 1 of users }; }
        or { await cur && mode != ON; pick m : mm where m.users > 0; if grab(m) { arr[this_cpu, m] = 1; } }
        or { swap(cur, 2); push(q, this_cpu); let c = pop(q); assert c == this_cpu, "mine"; }
        or { forall c : CPU, m : mm where c in m.mask { arr[c, m] = 0; } pairs -= {c : CPU, m : mm where lazy(c, m)}; }
        or { for c : CPU where c != this_cpu { let m = cur[c]; if m { m.g += 1; seen = m.g; m.mask += c; } } }
        or { let m = cur; if m { if seen < m.g || seen + 1 == m.g { m.mask = {this_cpu} + m.mask - {c : CPU where c == this_cpu}; } } }
        or { r.to = this_cpu; r.mode = DEEP ? LAZY : OFF; while r.mode == LAZY { r.mode = OFF; continue; } }
    }
}
invariant sane "all is well": forall c : CPU, p : PAGE { r.page <= p => live(init_mm) || c in r.set_ };
step grows: size(next(init_mm.mask)) >= 0;
cover both: exists c : CPU { cur[c] && cur[c].users == 2 };
final mode == ON;
check all expect pass;
"""

CONTEXTS = """model contexts;
sort CPU = 2;
sort T = 2;
var l : spinlock;
var m : mutex;
var rw : rwlock;
var x : 0..3;
var flag : bool = any;
hw percpu pending : bool;
init { x = 1; }
interrupt tick(n : 0..3) { spin_lock(l); x = n; spin_unlock(l); }
interrupt timer() when pending { pending = false; }
nmi watchdog() when flag { flag = false; }
hardware walker on CPU { loop { await x == 2; pending = true; } }
thread boot[c : CPU] { loop { x = READ_ONCE(x); smp_mb(); smp_store_release(flag, true); } }
thread k on CPU {
    irqs off { send tick(1) to {c : CPU}; x = 2; }
    call tick(2) on {c : CPU where c != this_cpu};
    call tick(x) on {this_cpu} nowait;
    wait tick;
    local_irq_disable(); x = 1; local_irq_enable();
    local_irq_save(); local_irq_restore();
    atomic { let old = cmpxchg(x, 1, 2); if old == 1 { x = 3; } else { break_out(); } }
    if spin_trylock(l) { spin_unlock(l); }
    mutex_lock(m); read_lock(rw); read_unlock(rw); mutex_unlock(m);
}
proc break_out() preempt off { if test_and_set(flag) { return; } x = 0; }
task w[me : T] { loop { preempt off { pick o : T where o != me; switch_to o; } } } preempted { x = 0; }
check c expect deadlock;
"""

_TOKEN = re.compile(r'"[^"\n]*"|\w+|[=!<>]=|=>|&&|\|\||\.\.|[+\-&]=|\S')
_PARSER = Parser()


def _front_end(text: str) -> None:
    lower_model(typecheck(load_model("fuzz.lzm", _PARSER, text=text)))


def _mutants(text: str, chance: random.Random, count: int) -> list[str]:
    tokens = [(m.start(), m.end()) for m in _TOKEN.finditer(text)]
    words = [text[a:b] for a, b in tokens]
    mutants = []
    for _ in range(count):
        mutant = text
        for _ in range(chance.choice((1, 1, 1, 2))):
            start, end = chance.choice(tokens)
            alike = [w for w in words if w[0].isalnum() == mutant[start : start + 1].isalnum()]
            new = "" if chance.random() < 0.15 else chance.choice(alike)
            mutant = (
                mutant[:start] + new + mutant[end:]
                if chance.random() < 0.9
                else mutant[:start] + new + " " + mutant[start:]
            )
        mutants.append(mutant)
    return mutants


@pytest.mark.parametrize("text", [OBJECTS, CONTEXTS], ids=["objects", "contexts"])
def test_the_originals_are_right(text: str) -> None:
    _front_end(text)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("text", [OBJECTS, CONTEXTS], ids=["objects", "contexts"])
def test_a_wrong_model_gets_a_user_error(text: str, seed: int) -> None:
    for mutant in _mutants(text, random.Random(seed), 40):
        try:
            _front_end(mutant)
        except UserError as error:
            assert error.diagnostics
            for diagnostic in error.diagnostics:
                assert diagnostic.code in CODES
                assert diagnostic.span.line > 0, diagnostic


def test_deep_nesting_is_a_user_error() -> None:
    for deep in ("(" * 3000 + "x" + ")" * 3000, "!" * 5000 + "x", " && ".join(["x"] * 5000)):
        text = f"model t; sort CPU = 1; var x : bool; invariant i: {deep};"
        try:
            _front_end(text)
        except UserError as error:
            assert error.diagnostics[0].code in ("LZ601", "LZ602")
