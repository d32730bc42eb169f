"""Canonical generations against generations that simply count: the same states, as far as both go."""

# ruff: noqa: E501 (models are given as they are)

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace

import pytest

from checker.core import semantics
from checker.core.instance import Instance, State
from checker.core.system import System
from checker.core.verdict import Limits
from checker.search import Search, Stop
from tests.models import system_of

DEPTH = 9

TEXTS = {
    "copies": """object mm = 1 { g : gen; } static m : mm; percpu seen : gen; var want : gen;
        thread t on CPU { loop { either { m.g += 1; } or { want = m.g; } or { let w = want; if seen < w { seen = w; } } } }""",
    "adjacency": """var g : gen; percpu seen : gen; thread t on CPU { loop { let n = atomic_inc_return(g);
        if seen + 1 == n { seen = n; } else { seen = g; } } }""",
    "freed": """object mm = 2 { g : gen; } var a : gen; var b : gen;
        thread t[p : CPU] { loop { let m = alloc mm; m.g += 1; a = m.g; either { b = a; } or { m.g += 1; } free m; } }""",
}


def _states(system: System) -> list[set[State]]:
    """The states at each depth, up to a depth; of a run that need not end."""
    search = Search(Instance(system, {"CPU": 2}), (), Limits(depth=DEPTH), frozenset(), None)
    with suppress(Stop):
        search.breadth_first()
    states = list(search.seen)
    ends = [*search.levels[1:], len(states)]
    return [set(states[:end]) for end in ends]


@pytest.mark.parametrize("name", TEXTS)
def test_canonical_states_are_those_of_unbounded_counters(name: str) -> None:
    system = system_of(TEXTS[name])
    canonical = Instance(system, {"CPU": 2})
    counted, squeezed = _states(replace(system, families=())), _states(system)
    for depth in range(DEPTH):
        seen = {semantics.canonical(canonical, state) for state in counted[min(depth, len(counted) - 1)]}
        assert seen == squeezed[min(depth, len(squeezed) - 1)]
