"""The weak memory model for models: against the litmus runner, which shares the views with it and nothing else."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from checker.core.instance import Instance
from checker.core.memory.replay import replay_weak
from checker.core.memory.weak import WeakProgram
from checker.core.system import System
from checker.core.trace import ReplayError
from checker.explorer import explore
from checker.litmus.parse import parse
from checker.litmus.program import (
    OLD,
    Apply,
    Expr,
    Fence,
    Instruction,
    Litmus,
    Load,
    Lock,
    Name,
    Number,
    Store,
    Update,
    names,
)
from tests.memory.runner import run
from tests.models import weak_system_of

FILES = sorted((Path(__file__).parent / "litmus").glob("*.litmus"))


def weak_system(text: str) -> System:
    return weak_system_of(text, "weak")


class NoModel(Exception):
    """Pointers and branches are left out here."""


def expression(expr: Expr) -> str:
    match expr:
        case Number(value):
            return str(value)
        case Name(name):
            return name
        case Apply(op, (a, b)):
            return f"{expression(a)} {op} {expression(b)}"
        case _:
            raise NoModel


def statement(instruction: Instruction) -> tuple[str, str | None]:
    """The statement, and the register that it sets."""
    match instruction:
        case Load(register, Name(x), order):
            call = "smp_load_acquire" if order == "acquire" else "READ_ONCE"
            return f"{register} = {call}({x});", register
        case Store(Name(x), value, order):
            call = "smp_store_release" if order == "release" else "WRITE_ONCE"
            return f"{call}({x}, {expression(value)});", None
        case Fence(kind):
            return f"smp_{kind}();", None
        case Lock(Name(x), taking):
            return f"spin_{'lock' if taking else 'unlock'}({x});", None
        case Update(register, Name(x), new, order, _, expected) if expected is None:
            suffix = "" if order == "full" else f"_{order}"
            if OLD in str(new):
                if register is None:
                    return f"atomic_inc({x});", None
                raise NoModel
            return f"{register or 'unused'} = xchg{suffix}({x}, {expression(new)});", register
        case _:
            raise NoModel


def model_of(litmus: Litmus) -> tuple[str, list[str]]:
    """The test as a model, and the ghosts that hold its registers."""
    locks = {
        i.address.name for t in litmus.threads for i in t.code if isinstance(i, Lock) and isinstance(i.address, Name)
    }
    if any(isinstance(v, str) for v in litmus.first.values()) or any("&" in n for n in names(litmus.condition)):
        raise NoModel
    text = ["model t; sort CPU = 1;"]
    text += [f"var {x} : {'spinlock' if x in locks else '0..7'};" for x in litmus.locations]
    ghosts = []
    for t, thread in enumerate(litmus.threads):
        body = ["let unused : 0..7 = 0;", *(f"let {r} : 0..7 = 0;" for r in sorted(thread.registers))]
        for instruction in thread.code:
            line, register = statement(instruction)
            body.append(line)
            if register is not None:
                body.append(f"g{t}_{register} = {register};")
        for register in sorted(thread.registers):
            ghosts.append(f"g{t}_{register}")
            text.append(f"ghost var g{t}_{register} : 0..7;")
        text.append(f"thread t{t} {{ {' '.join(body)} }}")
    return "\n".join(text), ghosts


def ends(instance: Instance) -> set[tuple[object, ...]]:
    """What all reachable ends hold: the variables, by name in the order of the System."""
    program = WeakProgram(instance)
    slots = [
        n
        for n, (var, _) in enumerate(instance.slots)
        if var.storage.value in ("memory", "ghost") and "." not in var.name
    ]
    todo = list(program.initial())
    seen = set(todo)
    found = set()
    while todo:
        state = todo.pop()
        after = program.successors(state)
        if not after and program.final(state):
            found.add(tuple(state[slot] for slot in slots))
        for _, target in after:
            if target is not None and target not in seen:
                seen.add(target)
                todo.append(target)
    return found


@pytest.mark.parametrize("file", FILES, ids=lambda f: f.stem)
def test_a_model_ends_as_the_litmus_test_does(file: Path) -> None:
    litmus = parse(file.read_text(), str(file))
    try:
        text, _ = model_of(litmus)
    except NoModel:
        pytest.skip("pointers, branches and some atomics have no counterpart here")
    instance = Instance(weak_system(text))
    slots = [var.name for var, _ in instance.slots if var.storage.value in ("memory", "ghost") and "." not in var.name]
    asked = run(litmus)
    reached = ends(instance)
    satisfied = {end for end in reached if _holds(litmus.condition, dict(zip(slots, end, strict=True)))}
    assert (len(satisfied) > 0, len(satisfied) < len(reached)) == (asked.positive > 0, asked.negative > 0)


def _holds(expr: Expr, values: dict[str, object]) -> bool:
    match expr:
        case Apply("&&", (a, b)):
            return _holds(a, values) and _holds(b, values)
        case Apply("==", (Name(name), Number(value))):
            key = name if ":" not in name else "g{}_{}".format(*name.split(":"))
            return values.get(key, 0) == value
        case _:
            raise AssertionError(expr)


PERCPU = """
model percpu; sort CPU = 2;
percpu x : bool; percpu seen : 0..2;
interrupt h(c : CPU) { seen = x[c] ? 1 : 2; }
thread t on CPU { x = true; call h(this_cpu) on {c : CPU where c != this_cpu}; assert true; }
invariant published: forall c : CPU { seen[c] != 2 };
"""


def outcomes(text: str) -> dict[str, str]:
    instance = Instance(weak_system(text))
    found = explore(instance, instance.system.properties, stop_on=frozenset())
    assert found.statistics.complete
    for result in found.violated:
        assert result.path is not None
        assert replay_weak(instance, result.path, result.property).steps
    return {name: r.outcome.value for name, r in found.results.items()}


def test_an_interrupt_sees_what_was_stored_before_it_was_asked_for() -> None:
    assert outcomes(PERCPU)["published"] == "holds"


MESSAGE = """
model message; var data : 0..2; var flag : bool; ghost var got : 0..2 = 1;
thread writer { data = 1; FENCE smp_store_release(flag, true); }
thread reader { await smp_load_acquire(flag); let d = data; got = d; }
invariant ordered: got == 1;
"""


@pytest.mark.parametrize(
    ("store", "load", "verdict"),
    [
        ("smp_store_release(flag, true)", "await_acquire(flag)", "holds"),
        ("WRITE_ONCE(flag, true)", "await_acquire(flag)", "violated"),
        ("smp_store_release(flag, true)", "await flag", "violated"),
        ("smp_wmb(); WRITE_ONCE(flag, true)", "await flag; smp_rmb()", "holds"),
    ],
)
def test_messages_are_passed(store: str, load: str, verdict: str) -> None:
    text = MESSAGE.replace("FENCE smp_store_release(flag, true)", store)
    text = text.replace("await smp_load_acquire(flag)", load)
    assert outcomes(text)["ordered"] == verdict


def test_a_wrong_path_does_not_replay() -> None:
    text = MESSAGE.replace("FENCE", "").replace("await smp_load_acquire(flag)", "await flag")
    instance = Instance(weak_system(text))
    (result,) = explore(instance, instance.system.properties).violated
    assert result.path is not None
    shorter = replace(result.path, choices=result.path.choices[:-1])
    with pytest.raises(ReplayError):
        replay_weak(instance, shorter, result.property)
    other = replace(result.path, choices=result.path.choices[::-1])
    with pytest.raises(ReplayError):
        replay_weak(instance, other, result.property)


SEQ = """
model objects; object o = 1 { v : 0..3; } var p : o?; ghost var bad : bool;
thread maker { let n = alloc o { v = 1 }; n.v = 2; smp_store_release(p, n); }
thread user { let q = smp_load_acquire(p); if q { let v = q.v; bad = v != 2; } }
invariant initialised: !bad;
"""


def test_an_object_is_published_with_its_fields() -> None:
    assert outcomes(SEQ)["initialised"] == "holds"
    assert outcomes(SEQ.replace("smp_store_release(p, n)", "p = n"))["initialised"] == "violated"


WALK = """
model walk; sort CPU = 2; var pte : bool = true; hw percpu tlb : bool; var done : bool;
hardware mmu on CPU { loop { atomic { await pte && !tlb; tlb = true; } } }
thread flusher { pte = false; FLUSH done = true; }
invariant gone: done => forall c : CPU { !tlb[c] };
"""


def test_walkers_see_what_an_invalidation_was_made_after() -> None:
    assert outcomes(WALK.replace("FLUSH", "for c : CPU { tlb[c] = false; }"))["gone"] == "holds"
    assert outcomes(WALK.replace("FLUSH", "atomic { forall c : CPU { tlb[c] = false; } }"))["gone"] == "holds"
    early = WALK.replace("pte = false; FLUSH", "for c : CPU { tlb[c] = false; } pte = false;")
    assert outcomes(early)["gone"] == "violated"


FAILING = """
model failing; var lock : bool; var data : bool; ghost var stale : bool; ghost var won : bool;
thread p { data = true; smp_store_release(lock, true); }
thread q { let r = cmpxchgORDER(lock, false, false); if r { let d = data; stale = !d; } }
cover reads_old: stale;
"""


@pytest.mark.parametrize("order", ["", "_acquire", "_relaxed"])
def test_a_failing_cmpxchg_orders_nothing(order: str) -> None:
    assert outcomes(FAILING.replace("ORDER", order))["reads_old"] == "reached"


def test_one_that_succeeds_does() -> None:
    text = FAILING.replace("ORDER", "_acquire").replace("lock, false, false", "lock, true, false")
    assert outcomes(text)["reads_old"] == "unreached"
