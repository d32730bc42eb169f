"""The native engine against the explorer: the same counts, verdicts and shortest lengths."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import suppress
from itertools import permutations, product
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings

from checker.core import semantics
from checker.core.instance import Instance, State
from checker.core.system import Elem, PropertyKind, Seq, System, Value
from checker.core.trace import replay
from checker.core.verdict import Limits, Outcome
from checker.explorer import Exploration, explore
from checker.lang.names import load_model
from checker.native import run
from checker.native.build import RUNTIME, NoCompiler, find_compiler
from checker.native.layout import Unsupported
from checker.native.run import explore_native
from checker.plan import Overrides, make_instance, plans
from tests import systems
from tests.systems import counters, generations, locks, objects

NEVER = frozenset[str]()

ROOT = Path(__file__).parents[2]


def _compiler() -> bool:
    try:
        find_compiler()
    except NoCompiler:
        return False
    return True


pytestmark = pytest.mark.skipif(not _compiler(), reason="no C compiler")


def lengths(run: Exploration) -> dict[str, tuple[Outcome, int | None]]:
    """What is said of each property, and with how many steps."""
    return {n: (r.outcome, len(r.path.choices) if r.path else None) for n, r in run.results.items()}


def replay_all(run: Exploration) -> None:
    for result in run.results.values():
        if result.path is not None:
            replay(run.instance, result.path, result.property)


def compare(instance: Instance, *, threads: int = 1) -> None:
    """Unreduced everything agrees; with symmetry verdicts and lengths do, and states are counted by class."""
    properties = instance.system.properties
    expected = explore(instance, properties, stop_on=NEVER)
    plain = explore_native(instance, properties, stop_on=NEVER, symmetry=False, threads=threads)
    a, b = expected.statistics, plain.statistics
    assert (b.states, b.transitions, b.depth, b.complete) == (a.states, a.transitions, a.depth, a.complete)
    assert b.fired == a.fired
    assert plain.reached == expected.reached
    assert lengths(plain) == lengths(expected)
    replay_all(plain)
    for name, result in expected.results.items():
        if result.outcome is Outcome.VIOLATED:
            assert plain.results[name] == result, "also the path with the fewest switches"
    reduced = explore_native(instance, properties, stop_on=NEVER, threads=threads)
    assert lengths(reduced) == lengths(expected)
    assert reduced.reached == expected.reached
    assert {n for n, k in reduced.statistics.fired.items() if k} == {n for n, k in a.fired.items() if k}
    replay_all(reduced)
    for name, result in expected.results.items():
        if result.outcome is Outcome.VIOLATED:
            assert reduced.results[name] == result


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize(
    "system",
    [counters(3), locks(ordered=False), locks(ordered=True), objects(frees=True), objects(frees=False),
     generations(late=True), generations(late=False)],
    ids=["counters", "deadlock", "locks", "objects", "leak", "late", "early"],
)  # fmt: skip
def test_hand_made_systems(system: System, threads: int) -> None:
    compare(Instance(system), threads=threads)


@pytest.mark.parametrize("sizes", [{"CPU": 3}, {"CPU": 1, "mm": 3}, {"CPU": 3, "mm": 3}])
def test_other_sizes(sizes: dict[str, int]) -> None:
    compare(Instance(objects(frees=False), sizes))


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(systems.systems())
def test_random_systems(system: System) -> None:
    instance = Instance(system, {"CPU": 2, "mm": 2})
    try:
        small = explore(instance, system.properties, Limits(states=2000), stop_on=NEVER)
    except semantics.UndefinedRead:
        with pytest.raises((semantics.UndefinedRead, Unsupported)):
            explore_native(instance, system.properties, Limits(states=100_000), stop_on=NEVER)
        return
    if not small.statistics.complete:
        return
    # a random System may leave the types of its variables; the front end sees to that for models
    with suppress(Unsupported):
        compare(instance)


@pytest.mark.parametrize(("file", "check"), [("shoot_lazies", "two_holders"), ("lazy_refcount", "one_cpu")])
def test_models(file: str, check: str) -> None:
    model = load_model(str(ROOT / "models" / f"{file}.lzm"))
    (plan,) = plans(model, (check,), Overrides())
    compare(make_instance(model, plan))


# -- symmetry ------------------------------------------------------------------


def images(instance: Instance, state: State) -> Iterator[State]:
    """All states that differ only in which element is which."""
    orders = {}
    for sort in instance.system.sorts:
        objects_ = list(instance.objects(sort.name))
        first = len(sort.statics)
        orders[sort.name] = [[*range(first), *p] for p in (permutations(objects_) if not sort.ordered else [objects_])]
    for chosen in product(*orders.values()):
        to = dict(zip(orders, chosen, strict=True))

        def renamed(kind: object, value: Value, to: dict[str, list[int]] = to) -> Value:
            if isinstance(kind, Seq) and isinstance(value, tuple):
                return tuple(int(renamed(kind.element, item)) for item in value)  # type: ignore[arg-type]
            if isinstance(kind, Elem) and isinstance(value, int) and value >= 0:
                return to[kind.sort][value]
            return value

        image = list(state)
        for (var, index), value in zip(instance.slots, state, strict=True):
            there = tuple(to[s][e] for s, e in zip(var.index, index, strict=True))
            image[instance.slot(var.name, there)] = renamed(var.type, value)
        yield tuple(image)


def classes(instance: Instance) -> int:
    """How many classes the reachable states fall into."""
    seen: set[State] = set()
    todo = list(semantics.initial_states(instance))
    representatives: set[State] = set()
    while todo:
        state = todo.pop()
        if state in seen:
            continue
        seen.add(state)
        representatives.add(min(images(instance, state), key=repr))
        todo += [
            semantics.apply(instance, state, choice)
            for choice in semantics.enabled(instance, state)
            if instance.action(choice.action).fault is None
        ]
    return len(representatives)


@pytest.mark.parametrize(
    ("system", "sizes"),
    [
        (counters(3), {"CPU": 4}),
        (locks(ordered=False), {"CPU": 3}),
        (locks(ordered=True), {"CPU": 3}),
        (objects(frees=True), {"CPU": 3, "mm": 3}),
        (objects(frees=False), {"CPU": 2, "mm": 4}),
        (generations(late=False), {"CPU": 2, "mm": 2}),
    ],
)
def test_one_state_per_class(system: System, sizes: dict[str, int]) -> None:
    instance = Instance(system, sizes)
    run = explore_native(instance, (), stop_on=NEVER)
    assert run.statistics.states == classes(instance)


@settings(max_examples=8, deadline=None, suppress_health_check=list(HealthCheck))
@given(systems.systems())
def test_one_state_per_class_of_random_systems(system: System) -> None:
    instance = Instance(system, {"CPU": 3, "mm": 2})
    try:
        if not explore(instance, (), Limits(states=300)).statistics.complete:
            return
        run = explore_native(instance, (), stop_on=NEVER)
    except (semantics.UndefinedRead, Unsupported):
        return
    assert run.statistics.states == classes(instance)


# -- leaks ---------------------------------------------------------------------


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("symmetry", [True, False])
@pytest.mark.parametrize("frees", [True, False])
def test_leaks_without_kept_successors(
    monkeypatch: pytest.MonkeyPatch, frees: bool, symmetry: bool, threads: int
) -> None:
    """Where memory is short successors are computed again: the same verdicts, ways and counts."""
    instance = Instance(objects(frees=frees), {"CPU": 3, "mm": 2})
    asked = instance.system.properties
    kept = explore_native(instance, asked, stop_on=NEVER, symmetry=symmetry, threads=threads)
    arguments = run._arguments
    monkeypatch.setattr(run, "_arguments", lambda *a: [*arguments(*a), "edges=0"])
    computed = explore_native(instance, asked, stop_on=NEVER, symmetry=symmetry, threads=threads)
    assert computed.results == kept.results
    assert computed.statistics.fired == kept.statistics.fired
    assert any(p.kind is PropertyKind.LEAK for p in asked)


# -- fingerprints ----------------------------------------------------------------


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("symmetry", [True, False])
@pytest.mark.parametrize("system", [counters(3), locks(ordered=False), objects(frees=True), generations(late=False)])
def test_fingerprints_lose_no_state_here(system: System, symmetry: bool, threads: int) -> None:
    instance = Instance(system, {"CPU": 3})
    asked = tuple(p for p in system.properties if p.kind is not PropertyKind.LEAK)
    exact = explore_native(instance, asked, stop_on=NEVER, symmetry=symmetry)
    hashed = explore_native(instance, asked, stop_on=NEVER, symmetry=symmetry, threads=threads, fingerprints=True)
    a, b = exact.statistics, hashed.statistics
    violated = exact.violated
    if violated:
        # they are shown by a search that keeps states
        assert {n: r.path for n, r in hashed.results.items() if r in hashed.violated} == {
            r.property.name: r.path for r in violated
        }
    else:
        assert (b.states, b.transitions, b.depth, b.complete, b.fired) == (
            a.states, a.transitions, a.depth, a.complete, a.fired
        )  # fmt: skip
        assert {n: r.outcome for n, r in hashed.results.items()} == {n: r.outcome for n, r in exact.results.items()}
        assert b.omission == b.states**2 / 2**65


def test_fingerprints_are_as_good_as_random(tmp_path: Path) -> None:
    """States that differ in two bits only, in any two words, all get numbers of their own, well mixed."""
    (tmp_path / "mix.c").write_text(
        r"""
        #include "state.h"
        #include <stdio.h>
        #include <stdlib.h>
        static int order(const void *a, const void *b)
        { uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b; return (x > y) - (x < y); }
        int main(void) {
            static uint64_t all[1 << 16]; unsigned n = 0; uint64_t flips = 0, pairs = 0;
            for (int i = 0; i < 64 * LZ_WORDS; i++)
                for (int k = 0; k <= i; k++) {
                    struct state s = {{0}};
                    s.w[i / 64] ^= UINT64_C(1) << i % 64; s.w[k / 64] ^= UINT64_C(1) << k % 64;
                    all[n++] = state_fingerprint(&s);
                    flips += __builtin_popcountll(all[n - 1] ^ all[n > 1 ? n - 2 : 0]); pairs++;
                }
            qsort(all, n, sizeof *all, order);
            unsigned equal = 0, close = 0;
            for (unsigned i = 1; i < n; i++) {
                equal += all[i] == all[i - 1];
                close += all[i] >> 32 == all[i - 1] >> 32;
            }
            printf("%u %u %u %.2f\n", n, equal, close, (double)flips / pairs);
        }
        """
    )
    command = ["cc", "-std=gnu11", "-DLZ_WORDS=4", f"-I{RUNTIME}", "mix.c", "-o", "mix"]
    subprocess.run(command, cwd=tmp_path, check=True)
    said_ = subprocess.run(["./mix"], cwd=tmp_path, check=True, capture_output=True, text=True).stdout.split()
    states, equal, close, flips = int(said_[0]), int(said_[1]), int(said_[2]), float(said_[3])
    # the empty state is there 256 times
    assert states == 32_896 and equal == 255
    assert close - equal < 5
    assert 31 < flips < 33


# -- limits --------------------------------------------------------------------


def test_limits_end_the_run() -> None:
    instance = Instance(counters(6), {"CPU": 4})
    apart = tuple(p for p in instance.system.properties if p.name == "one_ends")
    deep = explore_native(instance, apart, Limits(depth=3), symmetry=False)
    expected = explore(instance, apart, Limits(depth=3))
    assert (deep.statistics.states, deep.statistics.limit) == (expected.statistics.states, "depth")
    assert deep.results["one_ends"].outcome is Outcome.UNKNOWN
    few = explore_native(instance, apart, Limits(states=20), symmetry=False)
    assert few.statistics.limit == "states"
    assert not few.statistics.complete


@pytest.mark.parametrize("threads", [1, 2])
def test_a_table_that_cannot_grow_is_filled_up(threads: int) -> None:
    """7^7 states do not fit into three quarters of the slots, and there is no memory for twice as many."""
    instance = Instance(counters(6), {"CPU": 7})
    plenty, scarce = (
        explore_native(instance, (), Limits(memory=mebibytes), symmetry=False, threads=threads).statistics
        for mebibytes in (1000, 26)
    )
    assert scarce.states == plenty.states == 7**7
    assert scarce.complete and scarce.fired == plenty.fired
    assert scarce.state_bytes is not None and plenty.state_bytes is not None
    assert scarce.state_bytes < plenty.state_bytes
    too_scarce = explore_native(instance, (), Limits(memory=15), symmetry=False, threads=threads).statistics
    assert too_scarce.limit == "memory" and not too_scarce.complete


def test_the_first_violation_ends_the_run() -> None:
    instance = Instance(counters(3))
    run = explore_native(instance, instance.system.properties)
    assert lengths(run)["apart"] == (Outcome.VIOLATED, 6)
    assert not run.statistics.complete


def test_threads_change_nothing() -> None:
    instance = Instance(counters(5), {"CPU": 5})
    runs = [explore_native(instance, (), symmetry=False, threads=n).statistics for n in (1, 2, 5)]
    assert len({(s.states, s.transitions, s.depth, tuple(s.fired.items())) for s in runs}) == 1
    assert runs[0].states == 6**5
