"""Learning clauses: which facts of a counterexample are never true together in any reachable state.

Facts are about at most three different elements.  First only those are taken that the step and
what it broke depend on: they are why this is a counterexample, so a clause made of them excludes
all others that are counterexamples for the same reason.  Whether some facts occur together is asked
of all states of small instances.  Where a thread is, is then widened to all places where that is never so.
"""

from __future__ import annotations

import math
from collections.abc import Container, Iterator, Sequence
from dataclasses import replace
from itertools import combinations, combinations_with_replacement
from typing import Final, Literal

from checker.core import fold
from checker.core import system as y
from checker.core.instance import Instance, State
from checker.prove.beliefs import Beliefs
from checker.prove.census import Census, Fact, Shape, fact_of, injections
from checker.prove.clauses import Clause
from checker.prove.facts import Column, Facts, Known
from checker.prove.protocol import Protocol
from checker.prove.shapes import Cells, alike, connected, linked, met_by, variables
from checker.prove.structure import Structure
from checker.records import dataclass

_WIDEST: Final = 3  # elements that sets of facts are looked for about
_MOST: Final = 4  # elements that the reason of a counterexample may be about
_BASE: Final = 60_000  # states that are all looked at for each set of facts
_SAMPLED: Final = 1500  # states of each instance from which equations are learned
_TRIED: Final = 6  # candidates that are widened before the best are taken
_PATIENCE: Final = 60  # if all are known by then
_LOOKED_AT: Final = 200  # candidates that are looked up in the large censuses
_NUMBER: Final = 6.0  # by how much a fact about a counter is worse than others
_ALIKE: Final = 4.0  # by how much a further element of the same sort is worse
_RARE: Final = 26  # facts that go into sets of four


@dataclass(frozen=True, slots=True)
class Candidate:
    """Facts that are never true together."""

    score: float
    shape: Shape
    facts: tuple[Known, ...]


@dataclass(frozen=True, slots=True)
class Stage:
    """Where clauses are looked for: what their facts are about, how many facts they have, and how many elements of
    one sort (from, to).  `cut` is the largest number that counters are compared with; `several` are taken."""

    about: Literal["cells", "known", "all"]
    sizes: tuple[int, ...]
    cut: int
    alike: tuple[int, int]
    several: int = 1


_THREE: Final = (1, 2, 3)
_STAGES: Final = (
    Stage("cells", _THREE, 0, (0, 1), 4),
    Stage("known", _THREE, -1, (0, 1), 6),
    Stage("cells", _THREE, 0, (2, 2)),
    Stage("cells", (4,), 0, (0, 2)),
    Stage("known", _THREE, -1, (2, 2)),
)
_LATE: Final = (
    Stage("cells", _THREE, 0, (3, 3)),
    Stage("cells", (4,), 0, (3, 3)),
    Stage("known", _THREE, -1, (3, 3)),
    Stage("all", _THREE, -1, (0, 3)),
    Stage("known", _THREE, 0, (0, 3)),
    Stage("all", _THREE, 0, (0, 3)),
    Stage("known", (4,), 0, (0, 3)),
    Stage("all", _THREE, 1, (0, 3)),
)


class Learner:
    """What is known of reachable states, and clauses from it."""

    def __init__(self, protocol: Protocol, censuses: Sequence[Census]) -> None:
        self.protocol = protocol
        self.censuses = censuses
        few = _BASE // len(censuses)
        self.base = [c if c.count <= few else c.sampled(few) for c in censuses]
        self.large = [c for c in censuses if c.count > few]
        self.facts = Facts(protocol, self.base)
        self.beliefs = Beliefs()
        sorts = [s.name for s in protocol.system.sorts]
        self.shapes = [
            shape for n in range(_WIDEST + 1) for shape in combinations_with_replacement(sorts, n)
            if all(shape.count(s) < _WIDEST or linked(protocol, s) for s in shape)
        ]  # fmt: skip

    @property
    def samples(self) -> list[tuple[Instance, list[State]]]:
        """Some states of each instance."""
        return [(c.instance, c.some(_SAMPLED)) for c in self.base]

    # -- clauses

    def learn(
        self, structure: Structure, cells: Cells, avoid: Container[Clause] = (), *, late: bool = False
    ) -> dict[Clause, float]:
        """Clauses that the structure violates and no known state does, each with how general it is.

        They are about its `cells` if possible; with `late`, everything is tried.
        """
        about: dict[str, Cells | None] = {"cells": cells, "known": frozenset(structure.known), "all": None}
        for stage in _LATE if late else _STAGES:
            candidates = self._staged(stage, structure, about[stage.about])
            candidates.sort(key=lambda c: -c.score)
            found: dict[Clause, float] = {}
            tried = 0
            for candidate in candidates[:_LOOKED_AT]:
                facts = [k.fact for k in candidate.facts]
                if stage.about != "cells" and not connected(f.places for f in facts):
                    continue
                if any(c.occurs(candidate.shape, facts) for c in (*self.beliefs.censuses, *self.large)):
                    continue
                score, clause = self._widened(candidate)
                if clause not in avoid:
                    found.setdefault(clause, score)
                tried += 1
                if tried >= (_TRIED if found else _PATIENCE):
                    break
            if found:
                best = sorted(found, key=lambda c: -found[c])[: stage.several]
                return {clause: found[clause] for clause in best}
        return {}

    def _staged(self, stage: Stage, structure: Structure, cells: Cells | None) -> list[Candidate]:
        elements = {s.name: list(structure.elements(s.name)) for s in self.protocol.system.sorts}
        if cells is not None:
            met = set(met_by(self.protocol, structure, cells))
            elements = {sort: [e for e in those if (sort, e) in met] for sort, those in elements.items()}
        few, many = stage.alike
        candidates = [
            candidate
            for shape in self.shapes if few <= alike(shape) <= many
            for chosen in injections(shape, elements)
            for candidate in self._candidates(shape, structure, chosen, cells, stage)
        ]  # fmt: skip
        if stage.sizes == (4,) and cells is not None:
            candidates += self._reasons(structure, cells, stage.alike)
        return candidates

    def _candidates(
        self, shape: Shape, structure: Structure, chosen: tuple[int, ...], cells: Cells | None, stage: Stage
    ) -> Iterator[Candidate]:
        facts = list(self.facts.of(shape, structure, chosen, cells, stage.cut))
        if len({place for known in facts for place in known.fact.places}) < len(shape):
            return
        if stage.sizes == (4,):
            facts = sorted(facts, key=lambda k: k.likely)[:_RARE]
        for found in self._never(shape, facts, stage.sizes):
            if len({place for k in found for place in k.fact.places}) == len(shape):
                yield Candidate(self._score(found, shape), shape, found)

    def _reasons(self, structure: Structure, cells: Cells, between: tuple[int, int]) -> Iterator[Candidate]:
        """What the cells say of as many elements as they are about, less what need not be said."""
        about = sorted(set(met_by(self.protocol, structure, cells)))
        for few in combinations(about, min(_MOST, len(about))):
            shape = tuple(sort for sort, _ in few)
            if not between[0] <= alike(shape) <= between[1]:
                continue
            facts = list(self.facts.of(shape, structure, tuple(e for _, e in few), cells, 0))
            found: dict[tuple[Known, ...], None] = {}
            if self._ever(shape, facts):
                continue
            for order in (lambda k: k.likely, lambda k: -k.likely, lambda k: (max(k.fact.places), k.likely)):
                left = facts
                for place in range(len(shape)):  # whole elements first
                    without = [k for k in left if place not in k.fact.places]
                    left = left if self._ever(shape, without) else without
                for known in sorted(left, key=order):
                    without = [k for k in left if k is not known]
                    left = left if self._ever(shape, without) else without
                found[tuple(left)] = None
            for needed in found:
                yield from self._narrowed(shape, needed)

    def _ever(self, shape: Shape, facts: Sequence[Known]) -> bool:
        """Whether facts are true together in some state."""
        common = -1
        for known in facts:
            common &= known.tiny
        if common:
            return True
        some = [k.fact for k in sorted(facts, key=lambda k: k.likely)]
        return any(c.occurs(shape, some) for c in (*self.base, *self.beliefs.censuses, *self.large))

    def _narrowed(self, shape: Shape, facts: Sequence[Known]) -> Iterator[Candidate]:
        """The candidate with no more elements than it is about."""
        used = sorted({place for k in facts for place in k.fact.places})
        smaller = tuple(shape[place] for place in used)
        old, new = variables(shape), variables(smaller)
        names = {old[place].name: new[n] for n, place in enumerate(used)}
        renamed = [
            self.facts.looked_up(
                smaller, new, fold.substitute(k.fact.expr, names),
                replace(k.column, index=tuple(used.index(n) for n in k.column.index)),
            )
            for k in facts
        ]  # fmt: skip
        yield Candidate(self._score(renamed, smaller), smaller, tuple(renamed))

    def _score(self, facts: Sequence[Known], shape: Shape) -> float:
        """How general facts are; where threads are will be widened, and numbers are what holders make them."""
        numbers = sum(isinstance(k.fact.expr, y.Op) and k.fact.expr.op in ("le", "gt") for k in facts)
        likely = sum(0.0 if self._is_place(k) else k.likely for k in facts)
        return likely - len(facts) - len(shape) - _ALIKE * (len(shape) - len(set(shape))) - _NUMBER * numbers

    def _is_place(self, known: Known) -> bool:
        return known.column.var in self.protocol.by_pc

    def _never(self, shape: Shape, facts: list[Known], sizes: tuple[int, ...]) -> Iterator[tuple[Known, ...]]:
        """Sets of so many facts that are never true together in the base, though any of them less one are."""
        tiny = []
        for known in facts:
            believed, size = self.beliefs.bits(shape, known.fact)
            tiny.append(known.tiny << size | believed)
        count = len(facts)

        def mask(n: int) -> int:
            return self.facts.mask(shape, facts[n])

        alone = {n for n in range(count) if not tiny[n] and not mask(n)}
        always = {n for n in range(count) if self._always(shape, facts[n])}  # nothing depends on these
        if 1 in sizes:
            yield from ((facts[n],) for n in sorted(alone))
        left = [n for n in range(count) if n not in alone and n not in always]
        pairs: set[tuple[int, int]] = set()
        for i, a in enumerate(left):
            for b in left[i + 1 :]:
                if not tiny[a] & tiny[b] and not mask(a) & mask(b):
                    pairs.add((a, b))
        if 2 in sizes:
            yield from ((facts[a], facts[b]) for a, b in sorted(pairs))
        if 3 not in sizes and 4 not in sizes:
            return
        triples: set[tuple[int, int, int]] = set()
        for i, a in enumerate(left):
            for j in range(i + 1, len(left)):
                b = left[j]
                if (a, b) in pairs:
                    continue
                both, common = tiny[a] & tiny[b], 0
                for c in left[j + 1 :]:
                    if both & tiny[c] or (a, c) in pairs or (b, c) in pairs:
                        continue
                    common = common or mask(a) & mask(b)
                    if not common & mask(c):
                        triples.add((a, b, c))
        if 3 in sizes:
            yield from ((facts[a], facts[b], facts[c]) for a, b, c in sorted(triples))
        if 4 in sizes:
            yield from self._fours(shape, facts, tiny, left, pairs, triples)

    def _always(self, shape: Shape, known: Known) -> bool:
        if not self.facts.always(shape, known):
            return False
        return all(
            c.fact(known.fact, chosen) == c.every for c in self.beliefs.censuses for chosen in c.choices(shape)
        )  # fmt: skip

    def _fours(
        self,
        shape: Shape,
        facts: list[Known],
        tiny: list[int],
        left: list[int],
        pairs: set[tuple[int, int]],
        triples: set[tuple[int, int, int]],
    ) -> Iterator[tuple[Known, ...]]:
        for i, a in enumerate(left):
            for j in range(i + 1, len(left)):
                b = left[j]
                if (a, b) in pairs:
                    continue
                for k in range(j + 1, len(left)):
                    c = left[k]
                    if (a, c) in pairs or (b, c) in pairs or (a, b, c) in triples:
                        continue
                    three, common = tiny[a] & tiny[b] & tiny[c], 0
                    for d in left[k + 1 :]:
                        if three & tiny[d] or {(a, d), (b, d), (c, d)} & pairs:
                            continue
                        if {(a, b, d), (a, c, d), (b, c, d)} & triples:
                            continue
                        if not common:
                            common = self.facts.mask(shape, facts[a]) & self.facts.mask(shape, facts[b])
                            common &= self.facts.mask(shape, facts[c])
                        if not common & self.facts.mask(shape, facts[d]):
                            yield facts[a], facts[b], facts[c], facts[d]

    # -- widening

    def _widened(self, candidate: Candidate) -> tuple[float, Clause]:
        """The clause with as many places and enum values as no known state contradicts, and how general it is."""
        params = variables(candidate.shape)
        never = [k.fact for k in candidate.facts]
        shape = candidate.shape
        score = -float(len(never)) - len(shape) - _ALIKE * (len(shape) - len(set(shape)))
        score -= _NUMBER * sum(isinstance(f.expr, y.Op) and f.expr.op in ("le", "gt") for f in never)
        several = sum(1 for k in candidate.facts if self._is_place(k)) > 1
        for place, known in enumerate(candidate.facts):
            values = self._values(known.column)
            if values is None:
                score += known.likely
                continue
            free = self._free(candidate.shape, params, never, place, known.column, values)
            expr = self._among(known, params, free)
            never[place] = fact_of(expr, params)
            score += math.log2(len(free) / values)
        shown = tuple(f.expr for f in never if f.expr != y.TRUE)
        needed = {name for f in shown for name in fold.free_params(f)}
        apart = not connected(k.fact.places for k in candidate.facts)
        return score - 8 * several - 8 * apart, Clause(tuple(p for p in params if p.name in needed), shown)

    def _values(self, column: Column) -> int | None:
        """How many values a fact about a column may be widened to."""
        if column.var in self.protocol.by_pc:
            return len(self.protocol.by_pc[column.var].locations)
        type_ = self.protocol.vars[column.var].type if column.var else None
        return len(type_.members) if isinstance(type_, y.Enum) else None

    def _free(
        self, shape: Shape, params: Sequence[y.Param], never: list[Fact], place: int, column: Column, values: int
    ) -> list[int]:
        """The values of a column with which the other facts are never true."""
        free = set(range(values))
        others = [f for n, f in enumerate(never) if n != place and f.expr != y.TRUE]
        for census in (*self.base, *self.beliefs.censuses, *self.large):
            for chosen in census.choices(shape):
                left = census.every
                for fact in others:
                    left &= census.fact(fact, chosen)
                    if not left:
                        break
                if not left:
                    continue
                env = {p.name: e for p, e in zip(params, chosen, strict=True)}
                for value, states in census.values(self.facts.read(column, params), env).items():
                    if value in free and states & left:
                        free.discard(value)
        return sorted(free)

    def _among(self, known: Known, params: Sequence[y.Param], free: Sequence[int]) -> y.Expr:
        column = known.column
        if len(free) == self._values(column):
            return y.TRUE
        read = self.facts.read(column, params)
        thread = self.protocol.by_pc.get(column.var)
        if thread is not None:
            return y.At(thread.name, read.index, frozenset(free))
        return fold.or_(fold.eq(read, y.Lit(n, read.type)) for n in free)
