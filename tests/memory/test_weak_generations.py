"""Generations under the weak memory model: as counters that are large enough, but in finitely many states."""

from __future__ import annotations

from dataclasses import replace

import pytest

from checker.core.instance import Instance, State
from checker.core.memory.weak import WeakProgram
from checker.explorer import explore
from tests.models import weak_system_of

BUMPS = """
model bumps; object mm = 0 {{ g : {kind}; }} static m0 : mm; static m1 : mm;
var flag : bool; ghost var behind : bool; ghost var ahead : bool; ghost var both : bool;
var copy : {kind};
thread t {{ atomic_inc(m0.g); {fence} flag = true; atomic_inc(m0.g); }}
thread u {{
    let f = flag;
    smp_rmb();
    let one = m0.g; copy = one;
    let two = m0.g;
    behind = two < one;
    ahead = one < two && f;
    both = copy == two && f;
}}
"""

ENDLESS = """
model endless; object mm = 0 { g : gen; } static m0 : mm; var copy : gen; ghost var went_back : bool;
thread bump { loop { m0.g += 1; } }
thread read { loop { let a = m0.g; let b = m0.g; went_back = b < a; copy = b; } }
invariant coherent: !went_back;
invariant copied: copy <= m0.g;
"""

FREED = """
model freed; object mm = 2 { g : gen; } var p : mm?; var copy : gen; ghost var wrong : bool;
thread t { loop {
    let m = alloc mm {}; m.g += 1; copy = m.g; p = m; smp_mb();
    let c = copy; wrong = c > m.g;
    p = null; free m;
} }
thread u { loop { let q = READ_ONCE(p); } }
invariant right: !wrong;
"""


def ghosts(text: str) -> set[State]:
    program = WeakProgram(Instance(weak_system_of(text, "weak")))
    slots = [n for n, (var, _) in enumerate(program.instance.slots) if var.storage.value == "ghost"]
    todo = list(program.initial())
    seen, found = set(todo), set[State]()
    while todo:
        state = todo.pop()
        after = program.successors(state)
        if not after:
            found.add(tuple(state[n] for n in slots))
        for _, target in after:
            if target is not None and target not in seen:
                seen.add(target)
                todo.append(target)
    return found


@pytest.mark.parametrize("fence", ["", "smp_wmb();", "smp_mb();"])
def test_generations_compare_as_numbers_do(fence: str) -> None:
    as_generations = ghosts(BUMPS.format(kind="gen", fence=fence))
    as_numbers = ghosts(BUMPS.format(kind="0..4", fence=fence).replace("atomic_inc(m0.g)", "m0.g += 1"))
    assert as_generations == as_numbers
    assert len(as_generations) > 2


def test_an_endless_counter_has_finitely_many_states() -> None:
    instance = Instance(weak_system_of(ENDLESS, "weak"))
    found = explore(instance, instance.system.properties, stop_on=frozenset())
    outcomes = {name: r.outcome.value for name, r in found.results.items()}
    assert found.statistics.complete
    assert (outcomes["coherent"], outcomes["copied"]) == ("holds", "holds")
    more = explore(replace(instance, system=replace(instance.system, history=3)), instance.system.properties)
    assert more.statistics.states > found.statistics.states


def test_generations_of_what_is_freed_are_nobodys() -> None:
    instance = Instance(weak_system_of(FREED, "weak"))
    found = explore(instance, instance.system.properties, stop_on=frozenset())
    assert found.statistics.complete
    assert {name: r.outcome.value for name, r in found.results.items()}["right"] == "holds"
