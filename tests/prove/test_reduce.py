"""The smaller System that is proved about has the same behaviour, as far as anybody asks."""

from __future__ import annotations

import pytest

from checker.core import system as y
from checker.core.instance import Instance, State
from checker.explorer import explore
from checker.lang.names import load_model
from checker.plan import Overrides, make_instance, plans
from checker.prove.legend import legend
from checker.prove.reduce import origins, reduced
from checker.prove.run import smaller
from checker.search import reachable
from tests.models import system_of
from tests.prove import protocols

TWICE = """model twice;
/// One proc that two callers use, each with a local of its own, and a ghost that only a cover looks at.
sort CPU = 2;
object obj = 2 { refs : refcount; }
config GET = true;
percpu handle : obj? = null;
percpu cache : obj? = null;
ghost percpu dropping : bool;
proc drop(o : obj) {
    dropping = true;
    if put(o.refs) {
        free o;
    }
    dropping = false;
}
proc drop_handle() {
    let old : obj? = null;
    atomic { await handle; old = handle; handle = null; }
    drop(old);
}
proc drop_cache() {
    let stale : obj? = null;
    atomic { await cache; stale = cache; cache = null; }
    drop(stale);
}
thread t on CPU {
    loop {
        either {
            atomic { await !handle && !cache; let n = alloc obj { refs = 2 }; handle = n; cache = n; }
        } or {
            drop_handle();
        } or {
            drop_cache();
        } or {
            atomic { await !cache; pick c : CPU where handle[c]; cache = handle[c]; if GET { get(handle[c].refs); } }
        }
    }
}
invariant live_handles: forall c : CPU where handle[c] { live(handle[c]) };
cover drops: exists c : CPU { dropping[c] };
check all_sizes { CPU = any; obj = any; } expect proved;
"""


def names(system: y.System) -> list[str]:
    return [p.name for p in system.properties if p.kind in (y.PropertyKind.INVARIANT, y.PropertyKind.FAULT)]


def projections(instance: Instance, variables: list[str], states: list[State]) -> set[tuple[object, ...]]:
    slots = [n for n, (var, _) in enumerate(instance.slots) if var.name in variables]
    return {tuple(state[n] for n in slots) for state in states}


def test_copies_of_a_proc_become_one_and_their_locals_too() -> None:
    system = system_of(TWICE)
    small = reduced(system, names(system))
    before, after = {v.name for v in system.vars}, {v.name for v in small.vars}
    assert "dropping" in before and "dropping" not in after
    assert origins(system, small) == {"t.its_obj": ("t.drop_handle.old", "t.drop_cache.stale")}
    assert len(small.threads[0].locations) == len(system.threads[0].locations) // 2 + 1
    assert [p.name for p in small.properties] == names(system)
    assert any("t.its_obj is whichever is in use of" in line for line in legend(system, small, "t.its_obj[c]"))


@pytest.mark.parametrize("config", [{"GET": True}, {"GET": False}])
@pytest.mark.parametrize("text", [TWICE, protocols.REFS])
def test_what_is_kept_takes_the_same_values_and_the_same_goes_wrong(text: str, config: dict[str, bool]) -> None:
    system = system_of(text, dict(config))
    small = reduced(system, names(system))
    one, other = Instance(system), Instance(small)
    common = [v.name for v in small.vars if v.name in {w.name for w in system.vars} and v.name not in ("t.pc",)]
    found = [reachable(i, 100_000) for i in (one, other)]
    assert found[0][1] and found[1][1] and len(found[1][0]) <= len(found[0][0])
    assert projections(one, common, found[0][0]) == projections(other, common, found[1][0])
    verdicts = [
        {p.name: explore(i, (p,)).results[p.name].outcome for p in i.system.properties if p.name in names(small)}
        for i in (one, other)
    ]
    assert verdicts[0] == verdicts[1]


def test_it_cannot_be_made_smaller_twice() -> None:
    system = system_of(TWICE)
    small = reduced(system, names(system))
    again = reduced(small, names(small))
    assert y.without_words(again) == y.without_words(small)


def test_the_real_model_keeps_its_states_too() -> None:
    model = load_model("models/shoot_lazies.lzm")
    (plan,) = plans(model, ["three_cpus"], Overrides(sizes={"CPU": "2"}))
    instance = make_instance(model, plan)
    small = smaller(instance, ())
    common = ["mm.live", "mm.users", "mm.count", "mm.mask", "mm.parked", "cur", "active_mm", "pgd", "held"]
    states = [reachable(i, 100_000)[0] for i in (instance, small)]
    assert len(states[1]) < len(states[0])
    assert projections(instance, common, states[0]) == projections(small, common, states[1])
