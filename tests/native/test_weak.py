"""The weak memory model on the native engine: the states, steps, verdicts and ways of the explorer.

LZCHECK_CORPUS=all compares all checks of the models; LZCHECK_SANITIZE=address,undefined compiles with sanitizers.
"""

from __future__ import annotations

import random
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from checker.core import semantics
from checker.core.instance import Instance
from checker.core.memory.replay import replay_weak
from checker.core.system import Fence, System
from checker.core.verdict import Limits
from checker.engines import Run, search
from checker.explorer import Exploration, explore
from checker.lang.names import load_model
from checker.lang.parser import Parser
from checker.native import run
from checker.native.build import RUNTIME
from checker.native.emit import generate
from checker.native.layout import Unsupported
from checker.native.run import explore_native
from checker.native.weak import WeakModel
from checker.plan import Overrides, make_instance, plans
from tests.memory.programs import lines, random_program
from tests.models import weak_system_of
from tests.native.corpus import ALL, files

pytestmark = [
    pytest.mark.skipif(shutil.which("cc") is None, reason="no C compiler"),
    pytest.mark.usefixtures("sanitizers"),
]

NEVER = frozenset[str]()
MOST = 20_000 if ALL else 3_000
"""States of what is compared."""

_PARSER = Parser()


def said(found: Exploration) -> dict[str, tuple[object, object]]:
    """Of each property what is said, and the way where it is not one of many."""
    return {
        n: (r.outcome, len(r.path.choices) if r.path and r.property.kind.value == "cover" else r.path)
        for n, r in found.results.items()
    }


def compare(instance: Instance, *, threads: int = 1, depth: int | None = None) -> Exploration | None:
    """Everything agrees, up to a depth if there is one; None where there are too many states."""
    properties = instance.system.properties
    expected = explore(instance, properties, Limits(states=MOST, depth=depth), stop_on=NEVER)
    if expected.statistics.limit == "states":
        return None
    found = explore_native(instance, properties, Limits(depth=depth), stop_on=NEVER, threads=threads)
    a, b = expected.statistics, found.statistics
    assert (b.states, b.transitions, b.depth, b.complete) == (a.states, a.transitions, a.depth, a.complete)
    assert b.fired == a.fired
    assert (found.cut, found.refused, found.reached) == (expected.cut, expected.refused, expected.reached)
    assert said(found) == said(expected)
    return found


# -- random programs


def random_model(rng: random.Random) -> str:
    """Two or three threads with all that orders accesses, pointers among it."""
    text = ["model t; sort CPU = 2; var x : 0..3; var y : 0..3; percpu z : 0..3; var l : spinlock;"]
    text.append("var p : CPU?; var q : CPU?;")
    for t in range(rng.choice((2, 2, 3))):
        body: list[str] = []
        values = ["1", "2"]
        pointers: list[str] = []
        held = False
        for n in range(rng.randint(2, 4)):
            at, value = rng.choice("xy"), rng.choice(values)
            match rng.randrange(12):
                case 0 | 1:
                    body.append(f"let r{n} = {rng.choice(('READ_ONCE', 'READ_ONCE', 'smp_load_acquire'))}({at});")
                    values.append(f"r{n}")
                case 2 | 3:
                    body.append(f"{rng.choice(('WRITE_ONCE', 'WRITE_ONCE', 'smp_store_release'))}({at}, {value});")
                case 4:
                    suffix = rng.choice(("", "_relaxed", "_acquire", "_release"))
                    body.append(f"let r{n} = xchg{suffix}({at}, {value});")
                    values.append(f"r{n}")
                case 5:
                    body.append(f"let r{n} = cmpxchg{rng.choice(('', '_release'))}({at}, 0, {value});")
                    values.append(f"r{n}")
                case 6 | 7:
                    body.append(f"smp_{rng.choice(('mb', 'wmb', 'rmb'))}();")
                case 8:
                    body.append("spin_unlock(l);" if held else "spin_lock(l);")
                    held = not held
                case 9 | 10:
                    body.append(f"let e{n} = READ_ONCE({rng.choice('pq')});")
                    body.append(f"if e{n} {{ let r{n} = READ_ONCE(z[e{n}]); g{t}_{n} = r{n}; }}")
                    text.append(f"ghost var g{t}_{n} : 0..3;")
                    pointers.append(f"e{n}")
                case _:
                    body.append(f"WRITE_ONCE({rng.choice('pq')}, {rng.choice([*pointers, 'null'])});")
        body += ["spin_unlock(l);"] * held
        for name in (v for v in values if v.startswith("r")):
            text.append(f"ghost var h{t}_{name} : 0..3;")
            body.append(f"h{t}_{name} = {name};")
        text.append(f"thread t{t} {{ {' '.join(body)} }}")
    return "\n".join(text)


def some_bounds(system: System, rng: random.Random) -> System:
    return replace(system, defer=rng.choice((0, 1, 1, 2)), history=rng.choice((1, 2, 2, 3)))


@pytest.mark.parametrize("seed", range(300 if ALL else 28))
def test_random_programs_with_all_orders(seed: int) -> None:
    rng = random.Random(seed)
    compare(Instance(some_bounds(weak_system_of(random_model(rng), "weak"), rng)), threads=1 + seed % 2)


@pytest.mark.parametrize("seed", range(100 if ALL else 12))
def test_random_programs(seed: int) -> None:
    rng = random.Random(seed)
    compare(Instance(some_bounds(weak_system_of(lines(random_program(rng)), "weak"), rng)))


# -- models


def weak_checks() -> list[object]:
    """The checks with weak memory; all checks under it where LZCHECK_CORPUS=all."""
    found = []
    for path in files():
        for name, check in load_model(str(path), _PARSER).checks.items():
            declared = any(s.name.text == "memory" and "weak" in str(s.value) for s in check.settings)
            small = path.stem in ("hash_thread_local", "membarrier") and "three" not in name
            if ALL or (declared and small):
                found.append(pytest.param(path, name, id=f"{path.stem}-{name}"))
    return found


@pytest.mark.parametrize(("path", "check"), weak_checks())
def test_models(path: Path, check: str) -> None:
    model = load_model(str(path), _PARSER)
    (plan,) = plans(model, (check,), Overrides(memory_model="weak"))
    if plan.unsupported or plan.unbounded:
        pytest.skip("not for a search of states")
    found = compare(make_instance(model, plan))
    if found is None:
        pytest.skip(f"more than {MOST} states")
    for result in found.violated:
        assert result.path is not None
        assert len(replay_weak(found.instance, result.path, result.property).steps) == len(result.path.choices)


@pytest.mark.parametrize("stem", ["flush_pending", "gup_fast", "ppc_radix_trim", "x86_tlb_gen"])
def test_the_first_levels_of_models_with_hardware(stem: str) -> None:
    model = load_model(str(next(path for path in files() if path.stem == stem)), _PARSER)
    (plan,) = plans(model, (next(iter(model.checks)),), Overrides(memory_model="weak"))
    assert compare(make_instance(model, plan), depth=8) is not None


OBJECTS = """
model objects; sort CPU = 2; object mm = 2 { g : gen; v : 0..2; }
hw percpu tlb : mm?; var p : mm?; var copy : gen; percpu seen : gen; ghost var wrong : bool;
interrupt kick(c : CPU) { tlb[c] = null; }
thread maker { loop {
    let m = alloc mm { v = 1 };
    m.g += 1;
    copy = m.g;
    WRITE_ONCE(p, m);
    smp_mb();
    let c = copy;
    wrong = c > m.g;
    WRITE_ONCE(p, null);
    free m;
} }
thread user on CPU {
    let q = READ_ONCE(p);
    tlb[this_cpu] = q;
    seen[this_cpu] = READ_ONCE(copy);
    call kick(this_cpu) on {c : CPU where c != this_cpu};
    let w = READ_ONCE(seen[this_cpu]);
}
invariant right: !wrong;
"""


@pytest.mark.parametrize("history", [1, 2, 3])
@pytest.mark.parametrize(("cpus", "depth"), [(1, None), (2, 12)])
def test_objects_generations_and_requests(history: int, cpus: int, depth: int | None) -> None:
    instance = Instance(replace(weak_system_of(OBJECTS, "weak"), history=history), {"CPU": cpus})
    assert compare(instance, depth=depth) is not None


# -- what else the engine does


MESSAGE = """
model message; var data : 0..2; var flag : bool; ghost var got : 0..2 = 1;
thread writer { data = 1; WRITE_ONCE(flag, true); }
thread reader { await flag; let d = data; got = d; }
invariant ordered: got == 1;
"""


def test_who_answers() -> None:
    instance = Instance(weak_system_of(MESSAGE, "weak"))
    asked = instance.system.properties
    native = search(instance, asked, Run(engine="native"), NEVER, None)
    reference = search(instance, asked, Run(engine="explorer"), NEVER, None)
    assert (native.engine, reference.engine) == ("native", "explorer")
    assert native.notes == reference.notes
    assert "messages kept" in native.notes[0]
    assert native.exploration.results["ordered"].path == reference.exploration.results["ordered"].path


def test_all_messages_are_kept_by_the_explorer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("checker.engines.SMALL", 10)
    instance = Instance(replace(weak_system_of(MESSAGE, "weak"), history=None))
    with pytest.raises(Unsupported):
        explore_native(instance, (), stop_on=NEVER)
    answer = search(instance, (), Run(engine="auto"), NEVER, None)
    assert answer.engine == "explorer"
    assert "instead of the native engine" in answer.notes[0]


def test_a_state_that_does_not_fit_gets_more_words(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    tried: list[int] = []
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(WeakModel, "estimate", lambda self: 1)
    monkeypatch.setattr("checker.native.emit._SIZES", (2, 12))
    prepare = run._prepare

    def watched(*arguments: object, **more: object) -> object:
        prepared = prepare(*arguments, **more)  # type: ignore[arg-type]
        tried.append(prepared.program.words)
        return prepared

    monkeypatch.setattr(run, "_prepare", watched)
    stores = " ".join(f"WRITE_ONCE({x}, {n});" for n in (1, 2) for x in "xyz")
    text = "model t; sort CPU = 1; var x : 0..3; var y : 0..3; var z : 0..3; "
    text += f"thread a {{ {stores} }} thread b {{ {stores} }}"
    assert compare(Instance(replace(weak_system_of(text, "weak"), history=4))) is not None
    assert len(tried) > 1
    assert tried == sorted(set(tried))
    first, tried[:] = list(tried), []
    assert compare(Instance(replace(weak_system_of(text, "weak"), history=4))) is not None
    assert tried == first[-1:], "what was enough is remembered"


POINTERS = """
model pointers; sort CPU = 2; percpu z : 0..3; var p : CPU?; ghost var got : 0..3;
thread t { let e = READ_ONCE(p); if e { let r = READ_ONCE(z[e]); got = r; } WRITE_ONCE(p, e); }
"""


@pytest.mark.parametrize("text", [MESSAGE, OBJECTS, POINTERS], ids=["message", "objects", "pointers"])
def test_no_warnings(tmp_path: Path, text: str) -> None:
    instance = Instance(weak_system_of(text, "weak"))
    initial = tuple(semantics.initial_states(instance))
    program = generate(instance, instance.system.properties, initial, symmetry=False)
    for n, source in enumerate(program.sources):
        (tmp_path / f"model{n}.c").write_text(source, encoding="utf-8")
    flags = ["-std=gnu11", "-O1", "-Wall", "-Wextra", "-Werror", f"-DLZ_WORDS={program.words}", f"-I{RUNTIME}"]
    done = subprocess.run(
        ["cc", *flags, "-Wno-tautological-compare", "-fsyntax-only", *tmp_path.glob("*.c")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert not done.stderr


def test_barriers_of_steps_count() -> None:
    """What a barrier forbids is not found, and is without it."""
    fenced = MESSAGE.replace("WRITE_ONCE(flag", "smp_wmb(); WRITE_ONCE(flag").replace(
        "await flag;", "await flag; smp_rmb();"
    )
    instance = Instance(weak_system_of(fenced, "weak"))
    assert not explore_native(instance, instance.system.properties).violated
    without = replace(
        instance.system,
        actions=tuple(
            replace(a, memory=tuple(m for m in a.memory if not (isinstance(m, Fence) and m.name == "smp_rmb")))
            for a in instance.system.actions
        ),
    )
    assert explore_native(Instance(without), instance.system.properties).violated
