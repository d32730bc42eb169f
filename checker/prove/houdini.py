"""What of many candidates is inductive together: those that some step breaks are weakened or dropped.

Nothing is added here.  A candidate that a step breaks loses the place, or the pair of places, at which it
was broken, as its counterexample has it; one without places is dropped.  What rested on it is looked at again.
The properties are taken as given meanwhile: whether they are kept is for the search to show.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable

from checker.core import system as y
from checker.prove.clauses import Clause
from checker.prove.protocol import Protocol
from checker.prove.query import Counterexample, Query, Vocabulary
from checker.prove.search import Obligation, questions


class Houdini:
    """One round of weakening, on top of what is `given`."""

    def __init__(
        self, protocol: Protocol, words: Vocabulary, given: Iterable[Clause], say: Callable[[str], None] | None = None
    ) -> None:
        self.protocol = protocol
        self.words = words
        self.given = list(given)
        self.candidates: dict[Clause, None] = {}
        self.origin: dict[Clause, Clause] = {}  # of what is left of a candidate, that candidate
        self.broken: dict[Clause, Obligation] = {}  # candidates, and what broke them last
        self.kept: dict[Obligation, frozenset[Clause]] = {}
        self.todo: deque[Obligation] = deque()
        self.say = say or (lambda text: None)

    def run(self, candidates: Iterable[Clause]) -> list[Clause]:
        """The candidates, as far as they are inductive."""
        for clause in candidates:
            self.origin.setdefault(clause, clause)
            self._add(clause)
        while self.todo:
            self._meet(self.todo.popleft())
        return list(self.candidates)

    def lost(self) -> dict[Clause, Obligation]:
        """The candidates of which nothing is left, and the step that broke the last of them."""
        left = {self.origin[clause] for clause in self.candidates}
        return {clause: by for clause, by in self.broken.items() if clause not in left}

    def _add(self, clause: Clause) -> None:
        if clause in self.candidates or clause in self.given:
            return
        self.candidates[clause] = None
        self.todo.append(Obligation(clause, None))
        written = clause.variables()
        self.todo.extend(Obligation(clause, r) for r in self.protocol.rules
                         if r.fault is None and r.written() & written)  # fmt: skip

    def _meet(self, obligation: Obligation) -> None:
        clause = obligation.clause
        if clause not in self.candidates:
            return
        used: set[Clause] = set()
        for params, assertions in questions(self.protocol, obligation):
            query = Query(self.words, params, assertions)
            if obligation.rule is not None:
                query.given([*self.given, *self.candidates])
            found = query.solve()
            if found is not None:
                self._weaken(clause, obligation, found)
                return
            used |= query.used
        self.kept[obligation] = frozenset(used)

    def _weaken(self, clause: Clause, obligation: Obligation, found: Counterexample) -> None:
        by = obligation.rule.name if obligation.rule is not None else "start"
        self.say(f"broken by {by}: {clause.text(self.protocol.system)[:200]}")
        del self.candidates[clause]
        origin = self.origin[clause]
        self.broken[origin] = obligation
        for smaller in weaker(self.protocol, clause, obligation, found):
            self.origin.setdefault(smaller, origin)
            self._add(smaller)
        for other, used in list(self.kept.items()):
            if clause in used:
                del self.kept[other]
                self.todo.append(other)


def weaker(protocol: Protocol, clause: Clause, obligation: Obligation, found: Counterexample) -> list[Clause]:
    """The clause without the places at which it was broken."""
    rule = obligation.rule
    places: list[tuple[y.At, int]] = []
    for fact in clause.never:
        if not isinstance(fact, y.At) or not all(isinstance(i, y.Param) for i in fact.index):
            continue
        if found.open:
            return []
        if rule is None:
            places.append((fact, protocol.threads[fact.thread].start))
            continue
        index = tuple(found.roles[f"{i.name}'"] for i in fact.index if isinstance(i, y.Param))
        there = found.structure.read(protocol.threads[fact.thread].pc, index)
        own = rule.action.self
        itself = tuple(found.roles.get(i.name) for i in own if isinstance(i, y.Param))
        if rule.action.thread == fact.thread and itself == index:
            there = rule.action.to
        places.append((fact, int(there)))
    made = []
    for n, (fact, there) in enumerate(places):
        never = list(clause.never)
        for earlier, place in places[:n]:
            never[never.index(earlier)] = y.At(earlier.thread, earlier.index, frozenset({place}))
        fewer = fact.locations - {there}
        if fewer and fewer != fact.locations:
            never[never.index(fact)] = y.At(fact.thread, fact.index, fewer)
            made.append(Clause(clause.vars, tuple(never), clause.distinct))
    return made
