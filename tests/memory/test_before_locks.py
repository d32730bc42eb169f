"""What a lock will make known is taken into account before it is taken: fewer states, with the same values in them."""

from __future__ import annotations

import random

import pytest

from checker.core.instance import Instance, State
from checker.core.memory.views import Work
from checker.core.memory.weak import WeakProgram
from tests.models import weak_system_of

TWO_LOCKS = """
model two; var a : spinlock; var b : spinlock; var x : 0..2; var y : bool;
thread w { loop {
    spin_lock(a); spin_lock(b); let r = x; x = 2 - r; spin_unlock(b); y = !y; spin_unlock(a);
} }
thread u { loop {
    either { spin_lock(a); let s = y; spin_unlock(a); } or { spin_lock(b); let s = x; spin_unlock(b); }
} }
"""

SEEN_WITHOUT = """
model seen; var a : spinlock; var b : mutex; var x : 0..2; var y : bool; var p : bool;
thread w { loop {
    spin_lock(a); x = 1; p = true; x = 2; spin_unlock(a); mutex_lock(b); y = !y; p = false; mutex_unlock(b);
} }
thread u { loop {
    either { spin_lock(a); let s = x; spin_unlock(a); } or { mutex_lock(b); let s = y; mutex_unlock(b); }
    or { let s = p; }
} }
"""

MAY_FAIL = """
model fails; var x : bool; var y : 0..2; ghost var stale : bool;
thread w { x = true; smp_store_release(y, 1); }
thread u { let a = y; if a == 1 { let r = cmpxchg_acquire(y, 0, 2); if r == 1 { let s = x; stale = !s; } } }
"""


def reached(text: str) -> tuple[int, set[State]]:
    """The states, and what memory and registers hold in them."""
    program = WeakProgram(Instance(weak_system_of(text, "weak")))
    found: set[State] = set(program.initial())
    new = list(found)
    while new:
        for _, target in program.successors(new.pop()):
            if target is not None and target not in found:
                found.add(target)
                new.append(target)
    return len(found), {state[:-1] for state in found}


def random_text(seed: int) -> str:
    """Two threads of a few critical sections, barriers and accesses without a lock."""
    rng = random.Random(seed)
    registers = 0
    threads = []
    for thread in range(2):
        lines: list[str] = []
        for _ in range(2):
            body = []
            for _ in range(rng.choice((1, 1, 2))):
                var = rng.choice("xyz")
                registers += 1
                body.append(rng.choice((f"{var} = {thread + 1};", f"let r{registers} = {var};")))
            lock = rng.choice("aabb-")
            if lock == "-":
                lines += [rng.choice(("smp_mb();", "smp_rmb();", "")), *body]
            else:
                lines += [f"spin_lock({lock});", *body, f"spin_unlock({lock});"]
        threads.append(f"thread t{thread} {{ loop {{ {' '.join(lines)} }} }}")
    variables = "var a : spinlock; var b : spinlock; var x : 0..2; var y : 0..2; var z : 0..2;"
    return f"model random; {variables} {' '.join(threads)}"


@pytest.mark.parametrize(
    ("texts", "fewer"),
    [([TWO_LOCKS], 1), ([SEEN_WITHOUT], 1), ([random_text(seed) for seed in range(10)], 3)],
    ids=["two_locks", "seen_without", "random"],
)
def test_values_are_those_without(texts: list[str], fewer: int, monkeypatch: pytest.MonkeyPatch) -> None:
    found = [reached(text) for text in texts]
    monkeypatch.setattr(Work, "before_any", lambda *_: None)
    plain = [reached(text) for text in texts]
    assert [values for _, values in found] == [values for _, values in plain]
    assert all(states <= others for (states, _), (others, _) in zip(found, plain, strict=True))
    assert sum(states < others for (states, _), (others, _) in zip(found, plain, strict=True)) >= fewer


def test_an_acquire_that_can_fail_makes_nothing_known(monkeypatch: pytest.MonkeyPatch) -> None:
    found = reached(MAY_FAIL)
    monkeypatch.setattr(Work, "before_acquire", lambda *_: None)
    assert found == reached(MAY_FAIL)
