"""Protocols for the proofs: small, but each with something of the large ones."""

from __future__ import annotations

FLAG = """model flag;
sort CPU = 2;
config TEST = true;
var taken : bool;
percpu inside : bool;
thread t on CPU {
    loop {
        atomic { await !taken || !TEST; taken = true; }
        inside = true;
        inside = false;
        taken = false;
    }
}
invariant alone: forall c : CPU, d : CPU where c != d { !(inside[c] && inside[d]) };
check all_sizes { CPU = any; } expect proved;
check broken { CPU = any; TEST = false; } expect proved;
"""

REFS = """model refs;
sort CPU = 2;
object obj = 2 { refs : refcount; }
config GET = true;
percpu handle : obj? = null;
thread t on CPU {
    let mine : obj? = null;
    loop {
        either {
            atomic { await !handle; let n = alloc obj { refs = 1 }; handle = n; }
        } or {
            atomic { await !handle; pick c : CPU where handle[c]; handle = handle[c]; if GET { get(handle.refs); } }
        } or {
            atomic { await handle; mine = handle; handle = null; }
            if put(mine.refs) {
                free mine;
            }
        }
    }
}
invariant live_handles: forall c : CPU where handle[c] { live(handle[c]) };
check all_sizes { CPU = any; obj = any; } expect proved;
check no_get { GET = false; } expect fail live_handles;
"""

SHOOT = """model shoot;
/// A table that CPUs may still use is freed after all that may have been told.
sort CPU = 2;
object table = 2 { mask : set of CPU; }
config SET = true;
config TELL = true;
var current : table? = null;
percpu uses : table? = null;
interrupt drop(old : table) {
    if uses == old {
        uses = null;
    }
}
thread t on CPU {
    loop {
        either {
            atomic {
                await current && !uses;
                uses = current;
                if SET { current.mask += this_cpu; }
            }
        } or {
            let old : table? = null;
            atomic { await !current; let n = alloc table {}; current = n; }
            atomic { await current; old = current; current = null; }
            if TELL { call drop(old) on old.mask; }
            free old;
        }
    }
}
invariant no_freed: forall c : CPU where uses[c] { live(uses[c]) };
check all_sizes { CPU = any; table = any; } expect proved;
check no_mask { SET = false; } expect fail no_freed;
check not_told { TELL = false; } expect fail no_freed;
"""

NEIGHBOURS = """model neighbours;
/// True, and not to be shown by comparing numbers with 0 and 1.
sort CPU = 2;
var x : 0..15 = 0;
var y : 0..15 = 0;
var turn : CPU? = null;
thread t on CPU {
    loop {
        atomic { await !turn; turn = this_cpu; }
        atomic { await x < 15; x = x + 1; }
        atomic { await y < 15; y = y + 1; }
        turn = null;
    }
}
invariant same: !turn => x == y;
check all_sizes { CPU = any; } expect proved;
"""

ORDERED = """model ordered;
ordered sort CPU = 2;
var queue : seq of CPU max 3;
thread t on CPU {
    await size({c : CPU}) > 1;
    push(queue, this_cpu);
}
invariant short: size({c : CPU where c in queue}) <= 3;
check all_sizes { CPU = any; } expect proved;
"""

GENS = """model gens;
/// Whoever counts waits until all who may use what was before have caught up.
sort CPU = 2;
object mm = 1 { tlb_gen : gen; }
config WAIT = true;
percpu loaded : mm? = null;
percpu seen : gen of tlb_gen;
percpu target : mm? = null;
percpu done : bool;
percpu wanted : gen of tlb_gen;
init { let m = alloc mm { }; }
thread t on CPU {
    loop {
        either {
            atomic { await !loaded; pick m : mm where live(m); loaded = m; seen = m.tlb_gen; }
        } or {
            atomic { await loaded; seen = loaded.tlb_gen; }
        } or {
            atomic { await loaded; loaded = null; }
        } or {
            atomic { pick m : mm where live(m); target = m; m.tlb_gen += 1; wanted = m.tlb_gen; }
            atomic {
                await !WAIT || forall c : CPU { loaded[c] == target => seen[c] >= wanted };
                done = true;
            }
            done = false;
            target = null;
        }
    }
}
invariant never_ahead: forall c : CPU where loaded[c] { seen[c] <= loaded[c].tlb_gen };
invariant known: forall c : CPU where target[c] { wanted[c] <= target[c].tlb_gen };
invariant caught_up: forall c : CPU, f : CPU where done[f] && loaded[c] == target[f] && target[f] {
    seen[c] >= wanted[f]
};
check all_sizes { CPU = any; mm = any; } expect proved;
check no_wait { WAIT = false; } expect fail caught_up;
"""
