"""Reachable states of small instances: breadth first as far as that goes, and random walks on larger ones."""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Final

from checker.core import semantics
from checker.core.compile import compile_instance
from checker.core.instance import Instance, State

WALK: Final = 30
"""Steps of one walk."""

_AGAIN: Final = 0.95  # of the walks go on from where another one was
_POOL: Final = 8  # states kept of each combination of places
_IDLE: Final = 300  # walks that meet nothing new, before it is given up


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


def sizes_of(instance: Instance, unbounded: frozenset[str], size: int) -> Mapping[str, int]:
    """The sizes of an instance with so many elements of each sort that a proof leaves open."""
    return {s.name: size if s.name in unbounded else instance.sizes.get(s.name, s.size) for s in instance.system.sorts}
