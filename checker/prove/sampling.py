"""Reachable states of small instances: all of them where the native engine can, else as many as there is time for."""

from __future__ import annotations

import random
from collections.abc import Iterator
from math import factorial
from typing import Final

from checker.core import semantics
from checker.core.compile import compile_instance
from checker.core.instance import Instance, State
from checker.native.build import CompilerFailed, NoCompiler, NoRoom
from checker.native.dump import Dump, dump_states
from checker.native.layout import Unsupported
from checker.native.run import EngineFailed
from checker.pool import in_parallel
from checker.prove.census import Census
from checker.search import reachable

WALK: Final = 30
"""Steps of one walk."""

_AGAIN: Final = 0.95  # of the walks go on from where another one was
_POOL: Final = 8  # states kept of each combination of places
_IDLE: Final = 300  # walks that meet nothing new, before it is given up
_ALL: Final = 1_600_000  # states of an instance that are kept, up to symmetry
_ROOM: Final = 500_000  # expected where there is more than two of several sorts
_LARGEST: Final = 5  # elements of a sort
_PAIR: Final = 2  # instances that are looked at at once, however many processors there are
_WORK: Final = 30_000_000  # states times permutations that may be expected, where the estimate is a rough one
_KEPT: Final = 5  # instances, where it is not plain which one is the largest
_MEGABYTES: Final = 2_000  # for them
_LISTED: Final = 150_000  # where there is no native engine
_WALKED: Final = 30_000
_NO_ENGINE: Final = (NoCompiler, CompilerFailed, NoRoom, Unsupported, EngineFailed)


def censuses(instance: Instance, jobs: int = 1) -> list[Census]:
    """The states of small instances, none of which is larger than another in each sort; the fewest states first.

    What there is too little of seems to be impossible, so each sort has to be large somewhere.
    """
    try:
        found = _Sizes(instance, jobs).grown()
    except _NO_ENGINE:
        return list(_without_engine(instance))
    whole = {sizes: c for sizes, c in found.items() if c.complete} or found
    if instance.system.initial:  # more of one thing may leave less room for another
        return sorted(whole.values(), key=lambda c: c.count)[-_KEPT:]
    largest = [
        c for sizes, c in whole.items() if not any(o != sizes and has_all_of(instance, o, sizes) for o in whole)
    ]  # fmt: skip
    return sorted(largest, key=lambda c: c.count)


Sizes = tuple[int, ...]


def has_all_of(instance: Instance, larger: Sizes, sizes: Sizes) -> bool:
    """Whether an instance of larger sizes has all that there is in one of `sizes`.

    A setup gives things their places: where there is one of a sort it may do something else than where there are more.
    """
    if instance.system.initial or not all(a <= b for a, b in zip(sizes, larger, strict=True)):
        return False
    return not instance.system.setup or all((a == 1) == (b == 1) for a, b in zip(sizes, larger, strict=True))


class _Sizes:
    """Which instances have few enough states: from two of everything on, with as few attempts as possible."""

    def __init__(self, instance: Instance, jobs: int) -> None:
        self.instance = instance
        self.jobs = jobs
        self.names = [s.name for s in instance.system.sorts]
        indices = {sort for thread in instance.system.threads for sort in thread.index}
        self.passive = [n for n, name in enumerate(self.names) if name not in indices]
        self.found: dict[Sizes, Census] = {}

    def grown(self) -> dict[Sizes, Census]:
        """The censuses that were made, by sizes."""
        base = self._first((2,) * len(self.names))
        self._ahead([_with(base, n, base[n] + 1) for n in range(len(base))])
        times = [self._times(base, n) for n in range(len(base))]
        for first in (None, *range(len(base))):
            way = list(self._way(base, times, first))
            while way and not self._covered(way[-1]) and not self._complete(way[-1]):
                way.pop()
        if self.instance.system.initial:
            return self.found
        left = list(self._fewer(base, times))
        while left:
            self._ahead(left[:_PAIR])
            left = [sizes for sizes in left[_PAIR:] if not self._covered(sizes)]
        return self.found

    def _fewer(self, base: Sizes, times: list[float]) -> Iterator[Sizes]:
        """As many of each as there can be with one of something that does nothing."""
        for n in range(len(base)):
            for size in range(_LARGEST, base[n], -1):
                for other in self.passive:
                    sizes = _with(_with(base, n, size), other, 1)
                    likely = self._expected(base, sizes, times) * factorial(size) < _WORK
                    if other != n and likely and not self._covered(sizes):
                        yield sizes

    def _way(self, base: Sizes, times: list[float], first: int | None) -> Iterator[Sizes]:
        """Larger and larger sizes that there should be room for: as many as can be of the `first`, then the fewest."""
        sizes, expected = base, float(self._count(base) or 0)
        yield sizes
        while True:
            room = [
                n for n in range(len(sizes))
                if sizes[n] < _LARGEST and expected * times[n] < _ROOM and self._begins(_with(sizes, n, sizes[n] + 1))
            ]  # fmt: skip
            if not room:
                return
            grow = min(room, key=lambda n: (n != first, sizes[n], n))
            sizes, expected = _with(sizes, grow, sizes[grow] + 1), expected * times[grow]
            yield sizes

    def _first(self, sizes: Sizes) -> Sizes:
        """The smallest sizes from these on that have a first state."""
        while self._count(sizes) is None and max(sizes) < _LARGEST:
            sizes = tuple(s + 1 for s in sizes)
        return sizes

    def _times(self, base: Sizes, place: int) -> float:
        """How many times as many states there are with one element more."""
        for other in (None, *(n for n in range(len(base)) if n != place)):
            less = base if other is None else _with(base, other, base[other] + 1)
            before, after = self._count(less), self._count(_with(less, place, less[place] + 1))
            if before and after:
                return max(1.0, after / before)
        return 100.0

    def _expected(self, base: Sizes, sizes: Sizes, times: list[float]) -> float:
        """A rough guess at how many states there are."""
        expected = float(self._count(base) or 0)
        for n, (a, b) in enumerate(zip(base, sizes, strict=True)):
            expected *= times[n] ** (b - a)
        return expected

    def _covered(self, sizes: Sizes) -> bool:
        """Whether a larger instance that was looked at has all that there is of these sizes."""
        return any(c.complete and has_all_of(self.instance, s, sizes) for s, c in self.found.items())

    def _complete(self, sizes: Sizes) -> bool:
        return self._count(sizes) is not None and self.found[sizes].complete

    def _instance(self, sizes: Sizes) -> Instance:
        return Instance(self.instance.system, dict(zip(self.names, sizes, strict=True)))

    def _begins(self, sizes: Sizes) -> bool:
        """Whether there is a first state: there may have to be a task for each CPU."""
        return next(semantics.initial_states(self._instance(sizes)), None) is not None

    def _count(self, sizes: Sizes) -> int | None:
        """How many states there are, up to the limit; None where there is no first state."""
        self._ahead([sizes])
        return self.found[sizes].count if sizes in self.found else None

    def _ahead(self, wanted: list[Sizes]) -> None:
        """Look at some sizes at once, where there is a first state."""
        new = [sizes for sizes in wanted if sizes not in self.found and self._begins(sizes)]
        small = [self._instance(sizes) for sizes in new]
        for sizes, instance, dump in zip(new, small, in_parallel(_dumped, small, self.jobs), strict=True):
            self.found[sizes] = Census(instance, dump, complete=dump.complete)


def _dumped(instance: Instance) -> Dump:
    return dump_states(instance, _ALL, _MEGABYTES)


def _with(sizes: Sizes, place: int, size: int) -> Sizes:
    return (*sizes[:place], size, *sizes[place + 1 :])


def _without_engine(instance: Instance) -> Iterator[Census]:
    names = [s.name for s in instance.system.sorts]
    two, three = (Instance(instance.system, dict.fromkeys(names, n)) for n in (2, 3))
    states, complete = reachable(two, _LISTED)
    yield Census(two, states, complete=complete)
    if not complete:
        yield Census(two, walks(two, _WALKED), complete=False)
    yield Census(three, walks(three, _WALKED), complete=False)


def walks(instance: Instance, states: int, seed: int = 0) -> list[State]:
    """So many different states, or fewer, met on short random walks.

    A walk begins where the threads are at places that are chosen with equal chance, however seldom they
    were met: what is rare on plain walks is what clauses are wrong about.
    """
    program = compile_instance(instance)
    chance = random.Random(seed)
    slots = [instance.slot(t.pc, index) for t in instance.system.threads for index in instance.tuples(t.index)]
    initial = list(semantics.initial_states(instance))
    seen: dict[State, None] = dict.fromkeys(initial)
    pools: dict[tuple[object, ...], list[State]] = {}
    keys: list[tuple[object, ...]] = []
    idle = 0
    while len(seen) < states and idle < _IDLE:
        before = len(seen)
        state = (
            chance.choice(pools[chance.choice(keys)]) if keys and chance.random() < _AGAIN else chance.choice(initial)
        )
        for _ in range(WALK):
            steps = [target for _, target in program.successors(state) if target is not None]
            if not steps:
                break
            state = chance.choice(steps)
            if state in seen:
                continue
            seen[state] = None
            key = tuple(state[slot] for slot in slots)
            pool = pools.get(key)
            if pool is None:
                pools[key] = [state]
                keys.append(key)
            elif len(pool) < _POOL:
                pool.append(state)
        idle = idle + 1 if len(seen) == before else 0
    return list(seen)
