"""Which states can still reach a goal, over a graph that a search has stored."""

from __future__ import annotations

from array import array
from collections.abc import Iterable
from itertools import accumulate


class Edges:
    """The successors of numbered states, appended as the states are expanded."""

    def __init__(self) -> None:
        self._targets = array("q")
        self._owners = array("q")
        self._ends = array("q")

    def add(self, target: int) -> None:
        """One more successor of the state that is being expanded."""
        self._targets.append(target)

    def close(self, owner: int) -> None:
        """The successors added since the last call are those of `owner`."""
        self._owners.append(owner)
        self._ends.append(len(self._targets))

    def reversed(self, count: int) -> Predecessors:
        """The same edges of the states 0 to `count` - 1, to be walked backwards."""
        degrees = array("q", bytes(8 * count))
        for target in self._targets:
            degrees[target] += 1
        ends = array("q", accumulate(degrees))
        free = array("q", ends)
        sources = array("q", bytes(8 * len(self._targets)))
        begin = 0
        for owner, end in zip(self._owners, self._ends, strict=True):
            for target in self._targets[begin:end]:
                free[target] -= 1
                sources[free[target]] = owner
            begin = end
        return Predecessors(ends, sources)


class Predecessors:
    """The edges of a graph, by their targets."""

    def __init__(self, ends: array[int], sources: array[int]) -> None:
        self._ends = ends
        self._sources = sources

    def able(self, goal: Iterable[int]) -> bytearray:
        """For each state 1 if some path from it leads to a state of `goal`, else 0."""
        able = bytearray(len(self._ends))
        stack = list(goal)
        for state in stack:
            able[state] = 1
        while stack:
            state = stack.pop()
            begin = self._ends[state - 1] if state else 0
            for source in self._sources[begin : self._ends[state]]:
                if not able[source]:
                    able[source] = 1
                    stack.append(source)
        return able
