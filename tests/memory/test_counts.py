"""What the memory models cost: states of small protocols, counted, and never more than the design allows."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from checker.core.instance import Instance
from checker.core.memory import with_store_buffers
from checker.explorer import explore
from checker.lang.names import load_model
from checker.lang.parser import Parser
from checker.plan import Overrides, make_instance, plans
from tests.models import weak_system_of

MODELS = Path(__file__).parents[2] / "models"

SPINLOCK = """
model spinlock_loop; sort T = 3; var l : spinlock; var x : bool;
thread t[me : T] { loop { spin_lock(l); let r = x; x = !r; spin_unlock(l); } }
"""

HANDSHAKE = """
model handshake; var data : 0..2; var flag : bool; ghost var bad : bool;
thread w { loop {
    data = 1; smp_wmb(); flag = true; await_acquire(!flag);
    data = 2; smp_wmb(); flag = true; await_acquire(!flag);
} }
thread r { loop { await flag; smp_rmb(); let d = data; bad = d == 0; smp_store_release(flag, false); } }
invariant ok: !bad;
"""

DEKKER = """
model dekker; var a : bool; var b : bool; hw var ca : bool; hw var cb : bool;
thread p { loop { a = true; smp_mb(); let r = b; if !r { ca = true; ca = false; } a = false; } }
thread q { loop { b = true; smp_mb(); let r = a; if !r { cb = true; cb = false; } b = false; } }
invariant mutex: !(ca && cb);
"""

SEQLOCK = """
model seqlock; var seq : 0..4; var a : 0..2; var b : 0..2; ghost var torn : bool;
thread w {
    seq = 1; smp_wmb(); a = 1; b = 1; smp_wmb(); seq = 2;
    seq = 3; smp_wmb(); a = 2; b = 2; smp_wmb(); seq = 4;
}
thread r {
    loop {
        let s = seq;
        if s == 1 || s == 3 { continue; }
        smp_rmb();
        let x = a;
        let y = b;
        smp_rmb();
        let t = seq;
        if t == s { torn = x != y; break; }
    }
}
invariant whole: !torn;
"""

# one mb is enough for sc and tso; under weak the two stores need one between them: that is test R
PETERSON = """
model peterson; var fa : bool; var fb : bool; var turn : 0..1; hw var ca : bool; hw var cb : bool;
thread p {
    loop {
        fa = true; ORDER turn = 1; smp_mb();
        loop { let f = smp_load_acquire(fb); if !f { break; } let t = turn; if t == 0 { break; } }
        ca = true; ca = false; smp_store_release(fa, false);
    }
}
thread q {
    loop {
        fb = true; ORDER turn = 0; smp_mb();
        loop { let f = smp_load_acquire(fa); if !f { break; } let t = turn; if t == 1 { break; } }
        cb = true; cb = false; smp_store_release(fb, false);
    }
}
invariant mutex: !(ca && cb);
"""

# a switch sets its CPU's bit and loads the root, a flusher clears the pte and looks at the bits; each then a barrier
SWITCH = """
model switch; sort CPU = 2; percpu bit : bool; var pte : bool = true; hw percpu root : bool; hw percpu tlb : bool;
var done : bool;
hardware mmu on CPU { loop { atomic { await root && pte && !tlb; tlb = true; } } }
thread cpu on CPU { loop { bit = true; smp_mb(); root = true; root = false; tlb = false; bit = false; } }
thread flusher {
    pte = false;
    smp_mb();
    for c : CPU { let b = bit[c]; if b { tlb[c] = false; } }
    done = true;
}
invariant flushed: done => forall c : CPU { !tlb[c] };
"""


def explored(text: str, memory: str) -> tuple[int, bool]:
    """The states, and whether everything holds."""
    system = weak_system_of(text, memory)
    instance = Instance(with_store_buffers(system) if memory == "tso" else system)
    found = explore(instance, instance.system.properties, stop_on=frozenset())
    assert found.statistics.complete
    return found.statistics.states, not found.violated


# Of the prototype of the design only the numbers are known: 33, 53, 39; 64, 210, 627; 156, 452, 1942; 20, 38, 79; 351,
# 1059, 1424; 1254, 3680, 8110 in the same order.  They are larger under sc already, as if local computation and
# branches on registers were steps, where these texts rest only before accesses.  The spinlock loop has nothing local.
COUNTS = {
    "handshake": (HANDSHAKE, 13, 23, 21),
    "dekker": (DEKKER, 21, 77, 57),
    "peterson": (PETERSON.replace("ORDER", "smp_mb();"), 48, 178, 150),
    "spinlock": (SPINLOCK, 20, 38, 20),
    "seqlock": (SEQLOCK, 111, 264, 331),
    "switch": (SWITCH, 386, 1365, 3848),
}


@pytest.mark.parametrize("name", COUNTS)
def test_correct_protocols_hold_and_cost_what_they_may(name: str) -> None:
    text, *counts = COUNTS[name]
    states = {memory: explored(text, memory) for memory in ("sc", "tso", "weak")}
    assert all(holds for _, holds in states.values())
    assert [found for found, _ in states.values()] == counts
    assert counts[2] <= 15 * counts[0]


@pytest.mark.parametrize("name", ["membarrier", "lazy_mmu_nesting", "hash_pte_preempt", "flush_pending"])
def test_fenced_models_cost_no_more_than_the_design_allows(name: str) -> None:
    model = load_model(str(MODELS / f"{name}.lzm"), Parser())
    (plan,) = plans(model, [], Overrides())
    states = []
    for memory in ("sc", "weak"):
        instance = make_instance(model, replace(plan, memory_model=memory))
        found = explore(instance, instance.system.properties)
        assert found.statistics.complete
        assert not found.violated
        states.append(found.statistics.states)
    assert states[0] < states[1] <= 15 * states[0]


@pytest.mark.parametrize(
    ("text", "held_in"),
    [
        (DEKKER.replace("smp_mb();", ""), {"sc"}),
        (HANDSHAKE.replace("smp_wmb();", ""), {"sc", "tso"}),
        (HANDSHAKE.replace("smp_rmb();", ""), {"sc", "tso"}),
        (SEQLOCK.replace("smp_rmb();", "", 1), {"sc", "tso"}),
        (SEQLOCK.replace("seq = 1; smp_wmb();", "seq = 1;"), {"sc", "tso"}),
        (PETERSON.replace("ORDER", "smp_mb();"), {"sc", "tso", "weak"}),
        (PETERSON.replace("ORDER", "smp_wmb();"), {"sc", "tso"}),
        (PETERSON.replace("ORDER", ""), {"sc", "tso"}),
        (PETERSON.replace("ORDER", "").replace("smp_mb();", ""), {"sc"}),
        (SWITCH.replace("smp_mb();", ""), {"sc"}),
    ],
    ids=[
        "dekker",
        "no_wmb",
        "no_rmb",
        "seqlock_rmb",
        "seqlock_wmb",
        "peterson",
        "peterson_wmb",
        "peterson_one_mb",
        "peterson_no_mb",
        "switch",
    ],
)
def test_barriers_are_needed_where_they_are(text: str, held_in: set[str]) -> None:
    assert {memory for memory in ("sc", "tso", "weak") if explored(text, memory)[1]} == held_in
