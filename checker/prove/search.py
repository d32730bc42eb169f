"""Finding an invariant: from counterexamples to induction to clauses, until there are none."""

from __future__ import annotations

import heapq
import time
from collections import Counter
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
from checker.prove.shapes import why
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


_LATE: Final = 0  # 
_MANY: Final = 30000  # clauses after which it is looked at which are spare


def _worth(clause: Clause) -> tuple[int, int]:
    sorts = Counter(v.sort for v in clause.vars)
    return -max(sorts.values(), default=0), -len(clause.never)


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
        self.dead: list[Clause] = []
        self.pool: dict[Clause, float] = {}
        self.equations: list[Equation] = []
        self.axioms: dict[Clause, Equation] = {}
        self.kept: dict[Obligation, frozenset[Clause]] = {}
        self.todo: list[tuple[int, int, Obligation]] = []
        self._owed = count()
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
            self._later(Obligation(None, rule))
        for prop in properties:
            self.add(prop)
        if hints:
            self.take(hints)
        limit = False
        many = len(self.clauses) + _MANY
        while self.todo:
            if self.deadline is not None and time.monotonic() > self.deadline:
                limit = True
                break
            if len(self.clauses) > many:
                self.sweep(properties)
                many = max(many, len(self.clauses) + _MANY)
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
        self.kept |= weakened.kept

    def add(self, clause: Clause) -> None:
        """One more clause to prove."""
        self.clauses.append(clause)
        self._later(Obligation(clause, None))
        written = clause.variables()
        for rule in self.protocol.rules:
            if rule.fault is None and rule.written() & written:
                self._later(Obligation(clause, rule))

    def _later(self, obligation: Obligation) -> None:
        """One more thing to show; first what is about few elements of a sort, which may make other clauses spare."""
        sorts = Counter(v.sort for v in obligation.clause.vars) if obligation.clause is not None else Counter()
        alike = 0 if obligation.clause is None or obligation.clause.name else max(sorts.values(), default=0)
        heapq.heappush(self.todo, (alike, next(self._owed), obligation))

    def sweep(self, properties: list[Clause]) -> None:
        """Forget the clauses that nothing rests on, now that there are others."""
        before = len(self.clauses)
        self._forget(properties)
        marked = len(self.clauses)
        for clause in sorted(self.clauses, key=_worth):
            if not clause.name and clause in self.clauses:
                self._spared(clause)
        self._forget(properties)
        self.say(f"swept: {before} {marked} {len(self.clauses)}")

    def _spared(self, clause: Clause) -> bool:
        """Do without a clause, where that can be."""
        others = [c for c in self.clauses if c is not clause]
        again = {}
        for obligation, used in self.kept.items():
            if clause in used and obligation.clause != clause:
                core = self._met(obligation, others)
                if core is None:
                    return False
                again[obligation] = core
        self.clauses = others
        self.kept |= again
        self.say(f"spare: {clause.text(self.protocol.system)}")
        return True

    def _met(self, obligation: Obligation, clauses: list[Clause]) -> frozenset[Clause] | None:
        """What is used to show that something cannot be, where it takes no more than some clauses."""
        used: set[Clause] = set()
        for params, assertions in questions(self.protocol, obligation):
            query = Query(self.words, params, assertions)
            query.given([*self.axioms, *clauses])
            if query.solve() is not None:
                return None
            used |= query.used
        return frozenset(used)

    def _forget(self, properties: list[Clause]) -> None:
        """Drop the clauses that no property rests on."""
        needed = self.needed(properties, [])
        for clause in self.clauses:
            if clause not in needed:
                self.say(f"forgot: {clause.text(self.protocol.system)}")
        self.clauses = [c for c in self.clauses if c in needed or c.name]
        left = set(self.clauses)
        self.kept = {o: used for o, used in self.kept.items() if o.clause is None or o.clause in left}

    def suppose(self, equation: Equation) -> None:
        """One more equation to prove, and to use meanwhile."""
        self.say(equation.text(self.protocol.system))
        self.equations.append(equation)
        self.axioms |= dict.fromkeys(holders.axioms(equation), equation)
        self._later(Obligation(None, None, equation))
        for rule in self.protocol.rules:
            if rule.fault is None:
                self._later(Obligation(None, rule, equation))

    def meet(self, obligation: Obligation) -> None:
        """Show that it is impossible, by more clauses if need be; else its clause is dead."""
        if obligation.clause is not None and obligation.clause not in self.clauses:
            return
        if obligation.equation is not None and obligation.equation not in self.equations:
            return
        initial = obligation.rule is None
        used: set[Clause] = set()
        for params, assertions in questions(self.protocol, obligation):
            self.progress.queries += 1
            query = Query(self.words, params, assertions)
            if not initial:
                query.given([*self.axioms, *self.clauses])
            found = query.solve()
            tried: list[Clause] = []
            late = _LATE if obligation.clause is not None and not obligation.clause.name else 1000
            if found is not None and not initial:
                tried = [c for c in self.pool if c not in self.clauses]
                query.given(tried)
                found = query.solve()
            while found is not None:
                self.progress.counterexamples += 1
                learned: dict[Clause, float] = {}
                if not initial and not found.open:
                    cells = why(self.protocol, found.structure, found.roles, assertions)
                    avoid = {*self.dead, *self.pool, *self.clauses}
                    learned = self.learner.learn(found.structure, cells, avoid, 4)
                    if not learned and late:
                        learned = self.learner.learn(found.structure, cells, avoid)
                        late -= 1
                if not learned:
                    self.stuck[obligation] = found
                    self.say(f"stuck: {obligation.text(self.protocol.system)}: {dict(found.structure.tables)}")
                    if obligation.equation is not None:
                        self.drop(obligation.equation)
                    elif obligation.clause is not None:
                        self.kill(obligation.clause)
                        if not found.open:
                            self.learner.believe(found.structure, obligation.rule, found.roles)
                    return
                for clause in learned:
                    self.say(f"try {clause.text(self.protocol.system)}"
                             f"    <- {obligation.text(self.protocol.system)[:100]}")  # fmt: skip
                self.pool |= learned
                tried += learned
                query.given(learned)
                found = query.solve()
            for clause in query.least(sorted(tried, key=self.pool.__getitem__)):
                self.say(f"[{len(self.clauses)}] {clause.text(self.protocol.system)}"
                         f"    <- {obligation.text(self.protocol.system)[:100]}")  # fmt: skip
                self.add(clause)
            self.progress.instances += query.instances
            used |= query.used
        self.kept[obligation] = frozenset(used)

    def kill(self, clause: Clause) -> None:
        """A clause that is not to be had: what rested on it is open again."""
        self.say(f"dead: {clause.text(self.protocol.system)}")
        self.dead.append(clause)
        self.pool.pop(clause, None)
        self.clauses.remove(clause)
        self._reopen({clause})

    def narrow(self, obligation: Obligation, found: Counterexample) -> None:
        """Try a dead clause again, without the locations that the step led to in its counterexample."""
        clause, rule = obligation.clause, obligation.rule
        if clause is None or rule is None or clause.name or found.open:
            return
        if sum(isinstance(fact, y.At) for fact in clause.never) > 1:
            return
        places = []
        for fact in clause.never:
            if isinstance(fact, y.At):
                index = tuple(found.roles[f"{i.name}'"] for i in fact.index if isinstance(i, y.Param))
                there = found.structure.read(self.protocol.threads[fact.thread].pc, index)
                moved = rule.action.thread == fact.thread and there == rule.action.at
                itself = tuple(found.roles.get(i.name) for i in rule.action.self if isinstance(i, y.Param))
                there = rule.action.to if moved and itself == index else there
                places.append((fact, fact.locations - {there}))
        for fact, fewer in places:
            if fewer and fewer != fact.locations:
                smaller = tuple(y.At(f.thread, f.index, fewer) if f is fact else f for f in clause.never)
                again = Clause(clause.vars, smaller)
                if again not in self.dead and again not in self.clauses:
                    self.say(f"narrower: {again.text(self.protocol.system)}")
                    self.add(again)
                    return

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
                self._later(obligation)


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
