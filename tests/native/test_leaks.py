"""Leaks under symmetry: what a state's representative calls an object is not what the state before called it."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from checker.core.instance import Instance
from checker.core.verdict import Outcome
from checker.explorer import explore
from checker.native import run
from checker.native.run import explore_native
from tests.models import system_of
from tests.native.test_native import lengths, pytestmark, replay_all

__all__ = ["pytestmark"]

NEVER = frozenset[str]()

HEADER = """model leaky; sort CPU = 2; object mm = 3 {{ used : bool; }} object page = 2 {{ }}
percpu own : mm? = null; var shared : mm? = null; percpu other : page? = null; var flag : bool;
thread worker on CPU {{ loop {{ either {{ {} }} }} }}
"""

STEPS = (
    "await !own; let m = alloc mm { used = flag }; own = m;",
    "let m = alloc mm { used = true }; own = m;",
    "await !shared; shared = own; own = null;",
    "await own && !shared; shared = own; own = null;",
    "shared = own;",
    "await own && live(own); let m = own; own = null; free m;",
    "await shared && live(shared) && shared != own; let m = shared; shared = null; free m;",
    "await shared && live(shared) && shared.used; let m = shared; free m;",
    "await own && live(own); own.used = !own.used; flag = !flag;",
    "let m = own; own = shared; shared = m;",
    "await !other; let p = alloc page {}; other = p;",
    "await other; let p = other; other = null; free p;",
    "other = null;",
)


def random_text(seed: int) -> str:
    """A model of a few of the steps."""
    chance = random.Random(seed)
    chosen = chance.sample(STEPS, chance.randint(3, 6))
    if not any("alloc mm" in step for step in chosen):
        chosen.append(STEPS[0])
    return HEADER.format(" } or { ".join(f"atomic {{ {step} }}" for step in chosen))


@pytest.mark.parametrize("seed", range(24))
def test_leaks_of_random_models(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    instance = Instance(system_of(random_text(seed)))
    asked = instance.system.properties
    expected = lengths(explore(instance, asked, stop_on=NEVER))
    found = explore_native(instance, asked, stop_on=NEVER)
    assert lengths(found) == expected
    replay_all(found)
    arguments = run._arguments
    monkeypatch.setattr(run, "_arguments", lambda *a: [*arguments(*a), "edges=0"])
    assert lengths(explore_native(instance, asked, stop_on=NEVER, threads=2)) == expected


def test_an_object_is_lost_while_another_is_not() -> None:
    """One mm goes from hand to hand and can be freed; the one that is overwritten cannot."""
    steps = (STEPS[1], STEPS[4], STEPS[9], STEPS[5])
    instance = Instance(system_of(HEADER.format(" } or { ".join(f"atomic {{ {s} }}" for s in steps))))
    asked = instance.system.properties
    found = explore_native(instance, asked, stop_on=NEVER)
    assert found.results["leak_mm" if "leak_mm" in found.results else "leak"].outcome is Outcome.VIOLATED
    assert lengths(found) == lengths(explore(instance, asked, stop_on=NEVER))


def test_the_lazy_mm_that_exec_forgets(tmp_path: Path) -> None:
    """Found by leaving `mmput(old_mm)` out of exec_mmap(): the native engine took the lost mm for another one."""
    from checker.lang.names import load_model
    from checker.plan import Overrides, make_instance, plans

    source = Path(__file__).parents[2] / "models" / "lazy_alternatives.lzm"
    text = source.read_text(encoding="utf-8")
    assert text.count("        mmput(old_mm);\n") == 1
    file = source.with_name("lost.lzm")  # beside std, in memory only
    model = load_model(str(file), text=text.replace("        mmput(old_mm);\n", "        skip;\n"))
    (plan,) = plans(model, ("upstream",), Overrides())
    instance = make_instance(model, plan)
    found = explore_native(instance, instance.system.properties, stop_on=NEVER)
    leak = found.results["leak"]
    assert leak.outcome is Outcome.VIOLATED
    assert leak.path is not None
    assert len(leak.path.choices) == 4
