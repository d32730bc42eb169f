"""What lies ahead of every agent, as the texts of its threads tell it: which locations it may still access, and when.

Views can be brought into one form where what they differ in makes no difference for what is ahead.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple, cast

from checker.core.instance import State
from checker.core.memory.sites import Sites
from checker.core.system import Storage, Value

BARRIER: Final = -1
"""Stands among the locations for a barrier: it makes known what was seen, even if nothing is accessed any more."""


class Ahead(NamedTuple):
    """What the agents have before them where they are now.

    `needs`: of each agent the locations that it may still access; `before_mb`: those that it may access before it
    meets a full barrier; `before_any`: those that it may access before it meets a full barrier or takes a lock;
    `firsts`: what it can meet so, locks and BARRIER; `next`: the agents that can do nothing before a full barrier
    (None), or before an atomic acquire of some location.
    """

    needs: tuple[frozenset[int], ...]
    before_mb: tuple[frozenset[int], ...]
    before_any: tuple[frozenset[int], ...]
    firsts: tuple[frozenset[int], ...]
    next: tuple[tuple[int, int | None], ...]


class Horizon:
    """Tells what is ahead in a state."""

    def __init__(self, sites: Sites) -> None:
        self._sites = sites
        self._controls = [n for n, (var, _) in enumerate(sites.instance.slots) if var.storage is Storage.CONTROL]
        self._known: dict[tuple[Value, ...], Ahead] = {}
        self._rules_at: dict[tuple[int, int], list[int]] = {}
        self._spans: dict[tuple[int, int], int] = {}  # of each thread instance on each agent, its locations
        for number, rule in enumerate(sites.rules):
            key = sites.pc_of[number], sites.agent_of[number]
            self._spans[key] = len(sites.instance.thread(rule.action.thread).locations)
            self._rules_at.setdefault((sites.pc_of[number], rule.action.at), []).append(number)
        touched = [sites.touched(n) for n in range(len(sites.rules))]
        uses = [sites.uses[n] or sites.use(n, None) for n in range(len(sites.rules))]
        fixed = [use is not None for use in sites.uses]
        first = [fixed[n] and sites.begins_with_mb(n, uses[n]) for n in range(len(sites.rules))]
        marked = [
            t | {BARRIER} if sites.barriers[n] or sites.fences(n) else t for n, t in enumerate(touched)
        ]  # fmt: skip
        self.needed = self._fixpoint(marked, [False] * len(touched))
        self.exposed = self._fixpoint(touched, first)
        taken = [self._taken(n) for n in range(len(touched))]
        ends = [first[n] or taken[n] is not None for n in range(len(touched))]
        self.before_any = self._fixpoint(touched, ends)
        self.firsts = self._fixpoint(
            [
                frozenset([BARRIER]) if first[n] else frozenset() if lock is None else frozenset([lock])
                for n, lock in enumerate(taken)
            ],
            ends, last=True,
        )  # fmt: skip

    @property
    def tables(self) -> tuple[dict[tuple[int, int], list[frozenset[int]]], ...]:
        """What each place of each thread instance tells, in the order of `Ahead`."""
        return self.needed, self.exposed, self.before_any, self.firsts

    @property
    def _quiet(self) -> bool:
        """Whether no hardware tells anybody what its CPU knows."""
        return all(walker in self._sites.silent for walker in self._sites.cpu_of)

    def _taken(self, number: int) -> int | None:
        """The lock that a step takes, if it does so whenever it is made."""
        sites = self._sites
        use = sites.uses[number]
        if use is None or use.mode != "rmw" or use.order != "acquire" or use.location not in sites.locks:
            return None
        return use.location if self._quiet and sites.always_writes(number) else None

    def _fixpoint(
        self, own: list[frozenset[int]], ends: list[bool], *, last: bool = False
    ) -> dict[tuple[int, int], list[frozenset[int]]]:
        """For each thread instance on each agent, what is met from each place of its text on, up to where it ends.

        What it ends with counts if `last` says so.
        """
        sites = self._sites
        found = {key: [frozenset[int]()] * count for key, count in self._spans.items()}
        changed = True
        while changed:
            changed = False
            for number in reversed(range(len(sites.rules))):
                if ends[number] and not last:
                    continue
                action = sites.rules[number].action
                here = found[sites.pc_of[number], sites.agent_of[number]]
                more = own[number] if action.fault is not None or ends[number] else own[number] | here[action.to]
                if not more <= here[action.at]:
                    here[action.at] = here[action.at] | more
                    changed = True
        return found

    def of(self, base: State) -> Ahead:
        """What is ahead in a state."""
        places = tuple(base[slot] for slot in self._controls)
        if places not in self._known:
            count = len(self._sites.agents)
            needs, exposed = [frozenset[int]()] * count, [frozenset[int]()] * count
            before_any, firsts = [frozenset[int]()] * count, [frozenset[int]()] * count
            for (pc, agent), needed in self.needed.items():
                at = cast(int, base[pc])
                needs[agent] |= needed[at]
                exposed[agent] |= self.exposed[pc, agent][at]
                before_any[agent] |= self.before_any[pc, agent][at]
                firsts[agent] |= self.firsts[pc, agent][at]
            for walker, cpu in self._sites.cpu_of.items():  # which walks with what its CPU knows
                needs[cpu] |= needs[walker]
                exposed[cpu] |= exposed[walker]
                before_any[cpu] |= before_any[walker]
            self._known[places] = Ahead(
                tuple(needs), tuple(exposed), tuple(before_any), tuple(firsts), tuple(self._next(base))
            )
        return self._known[places]

    def controls(self, base: State) -> tuple[Value, ...]:
        """Where all threads are."""
        return tuple(base[slot] for slot in self._controls)

    def _next(self, base: State) -> Iterator[tuple[int, int | None]]:
        kinds: dict[int, set[str]] = {}
        for pc in {pc for pc, _ in self._spans}:
            for number in self._rules_at.get((pc, cast(int, base[pc])), ()):
                agent = self._sites.agent_of[number]
                kinds.setdefault(self._sites.cpu_of.get(agent, agent), set()).add(self.first(number))
        for agent, found in sorted(kinds.items()):
            if len(found) == 1 and (kind := next(iter(found))) != "other":
                yield agent, None if kind == "mb" else int(kind)

    def first(self, number: int) -> str:
        """What a step does first: a full barrier, an atomic acquire of a location (its number), or something else.

        An atomic operation that can fail is no acquire then.
        """
        sites = self._sites
        use = sites.uses[number]
        if sites.syncs[number] or use is None:
            return "other"
        if sites.begins_with_mb(number, use):
            return "mb"
        acquires = use.mode == "rmw" and use.order == "acquire" and sites.always_writes(number)
        return str(use.location) if acquires else "other"
