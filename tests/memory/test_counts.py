"""What the memory models cost: states of small protocols, counted, and never more than the design allows."""

from __future__ import annotations

import pytest

from checker.core.instance import Instance
from checker.core.memory import with_store_buffers
from checker.explorer import explore
from tests.models import weak_system_of

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


def explored(text: str, memory: str) -> tuple[int, bool]:
    """The states, and whether everything holds."""
    system = weak_system_of(text, memory)
    instance = Instance(with_store_buffers(system) if memory == "tso" else system)
    found = explore(instance, instance.system.properties, stop_on=frozenset())
    assert found.statistics.complete
    return found.statistics.states, not found.violated


@pytest.mark.parametrize(
    ("text", "sc", "tso"),
    [(SPINLOCK, 20, 38), (HANDSHAKE, 13, 23), (DEKKER, 21, 77), (SEQLOCK, 111, 264)],
    ids=["spinlock", "handshake", "dekker", "seqlock"],
)
def test_correct_protocols_hold_and_cost_what_they_may(text: str, sc: int, tso: int) -> None:
    states = {memory: explored(text, memory) for memory in ("sc", "tso", "weak")}
    assert all(holds for _, holds in states.values())
    assert (states["sc"][0], states["tso"][0]) == (sc, tso)
    assert states["weak"][0] <= 15 * sc


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
    ],
)
def test_barriers_are_needed_where_they_are(text: str, held_in: set[str]) -> None:
    assert {memory for memory in ("sc", "tso", "weak") if explored(text, memory)[1]} == held_in
