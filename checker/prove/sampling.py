"""Reachable states of small instances: breadth first as far as that goes, and random walks on larger ones."""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Final

from checker.core import semantics
from checker.core.compile import compile_instance
from checker.core.instance import Instance, State
from checker.core.verdict import Limits
from checker.search import Search, Stop

WALK: Final = 400
"""Steps of one walk."""


def breadth_first(instance: Instance, states: int) -> tuple[list[State], bool]:
    """The first reachable states, and whether there are no more."""
    search = Search(instance, (), Limits(states=states), frozenset(), None)
    try:
        search.breadth_first()
    except Stop:
        pass
    return list(search.seen), search.complete


def walks(instance: Instance, states: int, seed: int = 0) -> list[State]:
    """So many different states, or a few less, met on random walks."""
    program = compile_instance(instance)
    chance = random.Random(seed)
    initial = list(semantics.initial_states(instance))
    seen: dict[State, None] = dict.fromkeys(initial)
    idle = 0
    while len(seen) < states and idle < 30:
        before = len(seen)
        state = chance.choice(initial)
        for _ in range(WALK):
            steps = [target for _, target in program.successors(state) if target is not None]
            if not steps:
                break
            state = chance.choice(steps)
            seen[state] = None
            if len(seen) >= states:
                break
        idle = idle + 1 if len(seen) == before else 0
    return list(seen)


def sizes_of(instance: Instance, unbounded: frozenset[str], size: int) -> Mapping[str, int]:
    """The sizes of an instance with so many elements of each sort that a proof leaves open."""
    return {s.name: size if s.name in unbounded else instance.sizes.get(s.name, s.size) for s in instance.system.sorts}
