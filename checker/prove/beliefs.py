"""States that are taken for reachable: counterexamples that no clause excludes, and what comes after them.

A clause that is so in all sampled states, and that a step breaks from a state which nothing excludes, is not to be
had; nor is any other that the states after that one violate, however it is worded.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from contextlib import suppress
from typing import Final

from checker.core import semantics
from checker.core.compile import compile_instance
from checker.core.path import Choice
from checker.prove.census import Census, Fact, Shape, joined
from checker.prove.protocol import Rule
from checker.prove.structure import Structure, as_state

_STATES: Final = 60  # from one counterexample on


class Beliefs:
    """The states, as one census for each counterexample."""

    def __init__(self) -> None:
        self.censuses: list[Census] = []
        self._bits: dict[tuple[Shape, int], tuple[int, int, int]] = {}

    def add(self, structure: Structure, rule: Rule | None, roles: Mapping[str, int]) -> Census:
        """Believe in a counterexample: in its state, in what the rule makes of that, and in some states after these."""
        instance, state = as_state(structure)
        states = {state: None}
        with suppress(semantics.UndefinedRead):  # what a proof knows nothing of
            if rule is not None and rule.fault is None:
                choice = Choice(rule.action.name, tuple(roles[p.name] for p in rule.action.params))
                if semantics.is_enabled(instance, state, choice):
                    states[semantics.apply(instance, state, choice)] = None
        successors = compile_instance(instance).successors
        waiting = deque(states)
        while waiting and len(states) < _STATES:
            with suppress(IndexError):
                for _, target in successors(waiting.popleft()):
                    if target is not None and target not in states:
                        states[target] = None
                        waiting.append(target)
        self.censuses.append(Census(instance, list(states), complete=False))
        return self.censuses[-1]

    def bits(self, shape: Shape, fact: Fact) -> tuple[int, int]:
        """The believed states in which a fact is so, for each choice of elements, and how many bits these are."""
        key = shape, fact.number
        seen, found, size = self._bits.get(key, (0, 0, 0))
        more, width = joined(self.censuses[seen:], shape, fact)
        found, size = found | more << size, size + width
        self._bits[key] = len(self.censuses), found, size
        return found, size
