"""Finding an invariant: from counterexamples to induction to clauses, until there are none."""

from __future__ import annotations

import heapq
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import field
from itertools import count
from typing import Final

from checker.core import fold
from checker.core import system as y
from checker.core.instance import Instance, State
from checker.prove import holders
from checker.prove.clauses import Clause
from checker.prove.holders import Equation
from checker.prove.learning import Learner
from checker.prove.protocol import Protocol, Rule, after
from checker.prove.query import Counterexample, Query, Vocabulary
from checker.prove.shapes import alike, why
from checker.prove.start import initially
from checker.records import dataclass


@dataclass(frozen=True, slots=True)
class Obligation:
    """Something that must be impossible: that `rule` breaks a clause or an equation (None: that the first
    states do), or, without either, that a rule's fault happens."""

    clause: Clause | None
    rule: Rule | None
    equation: Equation | None = None

    def text(self, system: y.System) -> str:
        """What it is about."""
        if self.equation is not None:
            return f"{self.rule.name if self.rule else 'start'} keeps: {self.equation.text(system)}"
        if self.clause is None:
            assert self.rule is not None
            return f"fault of {self.rule.name}"
        if self.rule is None:
            return f"initially: {self.clause.text(system)}"
        return f"{self.rule.name} keeps: {self.clause.text(system)}"


@dataclass(slots=True)
class Progress:
    """What was done so far."""

    queries: int = 0
    counterexamples: int = 0
    instances: int = 0
    skipped: int = 0


@dataclass(frozen=True, slots=True)
class Stuck:
    """An obligation that could not be met, and the counterexample to induction that stands against it."""

    obligation: Obligation
    counterexample: Counterexample


@dataclass(slots=True)
class Found:
    """The clauses that were found, the obligations that are open, how much was done."""

    clauses: list[Clause]
    stuck: list[Stuck]
    progress: Progress
    seconds: float
    equations: list[Equation] = field(default_factory=list)
    limit: bool = False


_MODELS: Final = 60  # of Z3, after which a question with all that is in the pool is one too many
_LATE: Final = 1_000  # times that everything is tried for a property
_LATE_AT_MOST: Final = 2  # and for what is only there to prove one


class Strengthening:
    """One search for an invariant."""

    def __init__(
        self,
        protocol: Protocol,
        learner: Callable[[], Learner],
        seconds: float | None = None,
        say: Callable[[str], None] | None = None,
    ) -> None:
        self.protocol = protocol
        self.words = Vocabulary(protocol)
        self._learner = learner
        self.clauses: list[Clause] = []
        self.dead: dict[Clause, None] = {}
        self.pool: dict[Clause, float] = {}  # clauses that may be so, and how general they are
        self.equations: list[Equation] = []
        self.axioms: dict[Clause, Equation] = {}
        self.kept: dict[Obligation, frozenset[Clause]] = {}
        self.todo: list[tuple[int, int, Obligation]] = []
        self._number = count()
        self.stuck: dict[Obligation, Counterexample] = {}
        self.lost: dict[Clause, Obligation] = {}  # hints of which nothing is kept
        self.progress = Progress()
        self.deadline = None if seconds is None else time.monotonic() + seconds
        self.say = say or (lambda text: None)
        if say is not None:
            began = time.monotonic()
            self.say = lambda text: say(f"{time.monotonic() - began:.1f} {text}")

    @property
    def learner(self) -> Learner:
        """What is known of reachable states; with hints, it may never be asked."""
        return self._learner()

    def run(
        self,
        properties: list[Clause],
        faults: list[Rule],
        hints: Sequence[Clause] = (),
        samples: Sequence[tuple[Instance, Sequence[State]]] = (),
    ) -> Found:
        """Prove that no property is violated and that none of the faults can happen.

        `hints` are tried first; `samples` are for the equations, where they are not to be the learner's.
        """
        started = time.monotonic()
        for equation in holders.learn(self.protocol, samples or self.learner.samples):
            self.suppose(equation)
        for rule in faults:
            self._owe(Obligation(None, rule))
        for prop in properties:
            self.add(prop)
        if hints:
            self.take(hints)
        limit = False
        while self.todo:
            if self.deadline is not None and time.monotonic() > self.deadline:
                limit = True
                break
            self.meet(heapq.heappop(self.todo)[-1])
        stuck = [Stuck(o, c) for o, c in self.stuck.items()]
        return Found(self.clauses, stuck, self.progress, time.monotonic() - started, self.equations, limit)

    def take(self, hints: Sequence[Clause]) -> None:
        """What of some clauses is inductive, on top of what is asked."""
        from checker.prove.houdini import Houdini

        weakened = Houdini(self.protocol, self.words, [*self.axioms, *self.clauses], self.say)
        weakened.run(hints)
        self.lost = weakened.lost()
        self.clauses += weakened.candidates
        self.pool |= dict.fromkeys(weakened.candidates, 0.0)  # so that none is lost with what rested on it
        self.kept |= weakened.kept

    def add(self, clause: Clause) -> None:
        """One more clause to prove, but for what was shown when it was wanted before."""
        self.clauses.append(clause)
        written = clause.variables()
        for rule in (None, *self.protocol.rules):
            if rule is None or (rule.fault is None and rule.written() & written):
                obligation = Obligation(clause, rule)
                shown = self.kept.get(obligation)
                if shown is None or not all(c in self.axioms or c in self.clauses for c in shown):
                    self._owe(obligation)

    def _owe(self, obligation: Obligation) -> None:
        """One more thing to show; what is about many elements of a sort comes last, as it may not be wanted by then."""
        clause = obligation.clause
        sorts = [v.sort for v in clause.vars] if clause is not None and not clause.name else []
        heapq.heappush(self.todo, (alike(sorts), next(self._number), obligation))

    def suppose(self, equation: Equation) -> None:
        """One more equation to prove, and to use meanwhile."""
        self.say(equation.text(self.protocol.system))
        self.equations.append(equation)
        self.axioms |= dict.fromkeys(holders.axioms(equation), equation)
        self._owe(Obligation(None, None, equation))
        for rule in self.protocol.rules:
            if rule.fault is None:
                self._owe(Obligation(None, rule, equation))

    def meet(self, obligation: Obligation) -> None:
        """Show that it is impossible, by more clauses if need be; else its clause is dead."""
        if obligation.clause is not None and obligation.clause not in self.clauses:
            return
        if obligation.equation is not None and obligation.equation not in self.equations:
            return
        used: set[Clause] = set()
        for params, assertions in questions(self.protocol, obligation):
            self.progress.queries += 1
            query = Query(self.words, params, assertions)
            if obligation.rule is not None:
                query.given([*self.axioms, *self.clauses])
            found = query.solve()
            if found is not None:
                found = self._excluded(query, found, obligation, assertions)
            self.progress.instances += query.instances
            if found is not None:
                self._give_up(obligation, found)
                return
            used |= query.used
        self.kept[obligation] = frozenset(used)

    def _excluded(
        self, query: Query, found: Counterexample, obligation: Obligation, assertions: list[y.Expr]
    ) -> Counterexample | None:
        """Add clauses that exclude all counterexamples; one of them where there are none.

        All that is in the pool may be taken for true, until it is enough: what is learned is then not about what
        any of it excludes. Only what it takes is owed after that.
        """
        if obligation.rule is None:
            return found
        late = _LATE if obligation.clause is None or obligation.clause.name else _LATE_AT_MOST
        tried = [c for c in self.pool if c not in self.clauses]
        query.given(tried)
        left = query.solve(_MODELS)
        if left is not None and left.open:
            query.without(tried)
            tried, left = [], found
        while left is not None:
            self.progress.counterexamples += 1
            if left.open:
                return left
            cells = why(self.protocol, left.structure, left.roles, assertions)
            avoid = {*self.dead, *self.pool, *self.clauses}
            learned = self.learner.learn(left.structure, cells, avoid)
            if not learned and late:
                learned = self.learner.learn(left.structure, cells, avoid, late=True)
                late -= 1
            if not learned:
                return left
            self.pool |= learned
            tried += learned
            query.given(learned)
            left = query.solve(_MODELS)
        for clause in query.least(sorted(tried, key=self.pool.__getitem__)):
            self.say(f"[{len(self.clauses)}] {clause.text(self.protocol.system)}"
                     f"    <- {obligation.text(self.protocol.system)[:100]}")  # fmt: skip
            self.add(clause)
        return None

    def _give_up(self, obligation: Obligation, found: Counterexample) -> None:
        self.stuck[obligation] = found
        self.say(f"stuck: {obligation.text(self.protocol.system)}: {dict(found.structure.tables)}")
        if obligation.equation is not None:
            self.drop(obligation.equation)
        elif obligation.clause is not None:
            self.kill(obligation.clause)
            if not obligation.clause.name and not found.open:
                self.learner.beliefs.add(found.structure, obligation.rule, found.roles)

    def kill(self, clause: Clause) -> None:
        """A clause that is not to be had: what rested on it is open again, what was there for it alone is not owed."""
        self.say(f"dead: {clause.text(self.protocol.system)}")
        self.dead[clause] = None
        self.pool.pop(clause, None)
        self.clauses.remove(clause)
        self._reopen({clause})
        needed = self.needed([c for c in self.clauses if c.name], [])
        self.clauses = [c for c in self.clauses if c.name or c in needed]

    def drop(self, equation: Equation) -> None:
        """An equation that is not to be had, and what rested on it."""
        self.say(f"dead: {equation.text(self.protocol.system)}")
        self.equations.remove(equation)
        gone = {clause for clause, of in self.axioms.items() if of == equation}
        self.axioms = {clause: of for clause, of in self.axioms.items() if of != equation}
        self._reopen(gone)

    def needed(self, properties: list[Clause], faults: list[Rule]) -> frozenset[Clause]:
        """The clauses that the proof rests on, by what was used for each obligation."""
        by_clause: dict[Clause | Equation | None, set[Clause]] = {}
        for obligation, used in self.kept.items():
            by_clause.setdefault(obligation.clause or obligation.equation, set()).update(used)
        reached: set[Clause | Equation | None] = set()
        waiting: list[Clause | Equation | None] = [None, *properties, *self.equations]
        while waiting:
            item = waiting.pop()
            if item in reached:
                continue
            reached.add(item)
            for clause in by_clause.get(item, ()):
                waiting.append(self.axioms.get(clause, clause))
        return frozenset(c for c in self.clauses if c in reached)

    def _reopen(self, gone: set[Clause]) -> None:
        for obligation, used in list(self.kept.items()):
            if used & gone:
                del self.kept[obligation]
                if obligation.clause is None or obligation.clause in self.clauses:
                    self._owe(obligation)


def questions(protocol: Protocol, obligation: Obligation) -> Iterator[tuple[list[y.Param], list[y.Expr]]]:
    """What must be impossible, with its parameters; nothing where that is plain."""
    clause, rule, equation = obligation.clause, obligation.rule, obligation.equation
    if equation is not None:
        yield from holders.initially(protocol, equation) if rule is None else holders.kept_by(equation, rule)
    elif clause is None:
        assert rule is not None
        yield list(rule.params), list(rule.guard)
    elif rule is None:
        yield from initially(protocol, clause)
    else:
        renamed = {p.name: y.Param(f"{p.name}'", p.sort) for p in clause.vars}
        situation = [fold.substitute(f, renamed) for f in clause.situation()]
        later = _later(situation, rule)
        if later is not None and not set(situation) <= set(later):
            unbroken = fold.not_(fold.and_(situation))
            yield [*renamed.values(), *rule.params], [*rule.guard, *later, unbroken]


def _later(situation: list[y.Expr], rule: Rule) -> list[y.Expr] | None:
    """The situation after a rule, in terms of the state before; None where it cannot be."""
    different: list[y.Expr] = []
    while True:
        apart = frozenset((f.args[0], f.args[1]) for f in different if isinstance(f, y.Op))
        later = list(fold.conjuncts([fold.and_([*different, *(after(f, rule, apart) for f in situation)])]))
        if y.FALSE in later:
            return None
        known = [f for f in later if isinstance(f, y.Op) and f.op == "ne" and f not in different]
        if not known:
            return later
        different += known
