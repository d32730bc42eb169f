"""A small protocol for the tests of everything around the engines: a gate that one CPU may pass at a time."""

GATE = """\
model gate;
/// One CPU at a time is inside.
config GUARDED = true;            // wait for the gate to be empty
config LEAVE = true;
config ROUNDS : 0..3 = 1;
sort CPU = 2;
var inside : set of CPU = {};
percpu rounds : 0..3 = 0;

proc enter() {
    atomic {
        await !GUARDED || inside == {};
        inside += this_cpu;
    }
}

proc leave() {
    inside -= this_cpu;
}

thread worker on CPU {
    while rounds < ROUNDS {
        enter();
        if LEAVE { leave(); }
        rounds += 1;
    }
}

invariant alone "at most one CPU is inside": forall a : CPU, b : CPU { a in inside && b in inside => a == b };
cover somebody: exists c : CPU { c in inside };

check upstream                                   expect pass;
check three      { CPU = 3; }                    expect pass;
check unguarded  { GUARDED = false; }            expect fail alone in 4 steps;
check stays      { LEAVE = false; }              expect deadlock;
"""
