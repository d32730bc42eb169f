"""Store buffers: the tests that tell memory models apart, and a brute force that shares no code with them."""

from __future__ import annotations

import random
from collections.abc import Iterator

import pytest

from checker.core import semantics
from checker.core.instance import Instance, State
from checker.core.memory import with_store_buffers
from checker.core.system import System
from checker.explorer import explore
from checker.native.run import explore_native
from tests.memory.programs import Op, Program, lines, outcomes_under_tso, random_program
from tests.models import weak_system_of


def system(text: str, depth: int = 2) -> System:
    return with_store_buffers(weak_system_of(text, "tso"), depth)


def states(instance: Instance) -> Iterator[tuple[State, bool]]:
    """All reachable states by the semantics alone, and whether each of them is an end."""
    todo = list(semantics.initial_states(instance))
    seen = set(todo)
    while todo:
        state = todo.pop()
        choices = list(semantics.enabled(instance, state))
        yield state, not choices
        for choice in choices:
            after = semantics.apply(instance, state, choice)
            if after not in seen:
                seen.add(after)
                todo.append(after)


def outcomes(program: Program, depth: int = 2) -> set[tuple[int, ...]]:
    """What the registers can hold at the end, and memory behind them."""
    instance = Instance(system(lines(program), depth))
    names = [f"g{t}_{n}" for t, ops in enumerate(program) for n, op in enumerate(ops) if op.reads]
    slots = [instance.slot(name, ()) for name in (*names, "x", "y", "z")]
    found = set()
    for state, ended in states(instance):
        if ended:
            found.add(tuple(int(state[s]) for s in slots if not isinstance(state[s], tuple)))
    return found


def W(var: str, value: int) -> Op:
    return Op("write", var, value)


def R(var: str) -> Op:
    return Op("read", var)


def X(var: str, value: int) -> Op:
    return Op("xchg", var, value)


MB = Op("mb")
KNOWN = {
    # name: program, what registers (and x, y, z) may hold at the end under tso but not under sc
    "sb": ([[W("x", 1), R("y")], [W("y", 1), R("x")]], {(0, 0, 1, 1, 0)}),
    "sb_mb": ([[W("x", 1), MB, R("y")], [W("y", 1), MB, R("x")]], set()),
    "sb_one_mb": ([[W("x", 1), MB, R("y")], [W("y", 1), R("x")]], {(0, 0, 1, 1, 0)}),
    "sb_xchg": ([[X("x", 1), R("y")], [X("y", 1), R("x")]], set()),
    "mp": ([[W("x", 1), W("y", 1)], [R("y"), R("x")]], set()),
    "lb": ([[R("x"), W("y", 1)], [R("y"), W("x", 1)]], set()),
    "s": ([[W("x", 2), W("y", 1)], [R("y"), W("x", 1)]], set()),
    "r": ([[W("x", 1), W("y", 1)], [W("y", 2), R("x")]], {(0, 1, 2, 0)}),
    "2+2w": ([[W("x", 1), W("y", 2)], [W("y", 1), W("x", 2)]], set()),
    "iriw": ([[W("x", 1)], [W("y", 1)], [R("x"), R("y")], [R("y"), R("x")]], set()),
    # forwarding: each reads its own store before anybody else does
    "sb_rfi": (
        [[W("x", 1), R("x"), R("y")], [W("y", 1), R("y"), R("x")]],
        {(1, 0, 1, 0, 1, 1, 0)},
    ),
    "n6": ([[W("x", 1), R("x"), R("y")], [W("y", 1), W("x", 2)]], {(1, 0, 1, 1, 0)}),
}  # fmt: skip


@pytest.mark.parametrize("name", KNOWN)
def test_what_only_tso_allows(name: str) -> None:
    program, only_tso = KNOWN[name]
    plain = Instance(weak_system_of(lines(program), "sc"))
    slots = [plain.slot(v.name, ()) for v in plain.system.vars if v.name.startswith("g")]
    slots += [plain.slot(v, ()) for v in "xyz"]
    sc = {tuple(int(s[k]) for k in slots if not isinstance(s[k], tuple)) for s, ended in states(plain) if ended}
    assert outcomes(program) - sc == only_tso
    assert sc <= outcomes(program)


@pytest.mark.parametrize("seed", range(40))
def test_random_programs_agree_with_brute_force(seed: int) -> None:
    program = random_program(random.Random(seed))
    depth = 1 + seed % 3
    assert outcomes(program, depth) == outcomes_under_tso(program, depth)


@pytest.mark.parametrize("seed", range(3))
def test_the_native_engine_has_the_same_states(seed: int) -> None:
    instance = Instance(system(lines(random_program(random.Random(seed)))))
    one = explore(instance, instance.system.properties, stop_on=frozenset()).statistics
    two = explore_native(instance, instance.system.properties, symmetry=False, stop_on=frozenset()).statistics
    assert (one.states, one.transitions, one.depth) == (two.states, two.transitions, two.depth)
