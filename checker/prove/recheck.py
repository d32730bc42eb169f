"""Rechecking an invariant: that it is true at first, that every rule keeps it, and that it is safe.

First each obligation is met with the clauses as they are, nothing added.  That says which of
them an obligation needs.  With these, and independently of how it was met, the obligation is
written as SMT-LIB text, with quantifiers and with the state after a step as functions of
its own, and Z3 has to find it unsatisfiable again.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from itertools import islice

import z3

from checker.pool import in_parallel
from checker.prove import holders
from checker.prove.clauses import Clause
from checker.prove.holders import Equation
from checker.prove.protocol import Protocol, Rule
from checker.prove.query import Counterexample, Query, Vocabulary
from checker.prove.search import Obligation, questions
from checker.prove.smtlib import Writer
from checker.records import dataclass


@dataclass(frozen=True, slots=True)
class Failure:
    """An obligation that is not met, with a counterexample to induction where there is one."""

    obligation: Obligation
    counterexample: Counterexample | None


@dataclass(frozen=True, slots=True)
class Recheck:
    """What the recheck says; `confirmed` of `obligations` were unsatisfiable as text, too."""

    failure: Failure | None
    obligations: int
    confirmed: int
    seconds: float

    @property
    def good(self) -> bool:
        """Whether every obligation is met both ways."""
        return self.failure is None and self.confirmed == self.obligations


def obligations(
    protocol: Protocol, clauses: Sequence[Clause], equations: Sequence[Equation], faults: Sequence[Rule]
) -> Iterator[Obligation]:
    """All that has to be shown."""
    for equation in equations:
        yield Obligation(None, None, equation)
        yield from (Obligation(None, rule, equation) for rule in protocol.rules if rule.fault is None)
    yield from (Obligation(None, rule) for rule in faults)
    for clause in clauses:
        yield Obligation(clause, None)
        written = clause.variables()
        yield from (
            Obligation(clause, rule) for rule in protocol.rules if rule.fault is None and rule.written() & written
        )


@dataclass(frozen=True, slots=True)
class _Part:
    """Every so manieth obligation of a proof, from one on."""

    protocol: Protocol
    clauses: Sequence[Clause]
    equations: Sequence[Equation]
    faults: Sequence[Rule]
    first: int
    step: int
    seconds: float | None


def recheck(
    protocol: Protocol,
    clauses: Sequence[Clause],
    equations: Sequence[Equation],
    faults: Sequence[Rule],
    *,
    save: Callable[[int, str], None] | None = None,
    seconds: float | None = None,
    jobs: int = 1,
) -> Recheck:
    """Meet every obligation twice; `save` is given the text of each, one after the other."""
    started = time.monotonic()
    jobs = jobs if save is None else 1
    parts = [_Part(protocol, clauses, equations, faults, n, jobs, seconds) for n in range(jobs)]
    if save is not None:
        done = [_recheck(parts[0], save)]
    else:
        done = list(in_parallel(_recheck, parts, jobs))
    failure = next((r.failure for r in done if r.failure is not None), None)
    met, confirmed = sum(r.obligations for r in done), sum(r.confirmed for r in done)
    return Recheck(failure, met, confirmed, time.monotonic() - started)


def _recheck(part: _Part, save: Callable[[int, str], None] | None = None) -> Recheck:
    started = time.monotonic()
    protocol, clauses = part.protocol, part.clauses
    words, text = Vocabulary(protocol), Text(protocol)
    axioms = [a for e in part.equations for a in holders.axioms(e)]
    count = confirmed = 0
    every = obligations(protocol, clauses, part.equations, part.faults)
    for obligation in islice(every, part.first, None, part.step):
        if part.seconds is not None and time.monotonic() - started > part.seconds:
            return Recheck(Failure(obligation, None), count, confirmed, time.monotonic() - started)
        initial = obligation.rule is None
        for params, assertions in questions(protocol, obligation):
            count += 1
            query = Query(words, params, assertions)
            if not initial:
                query.given([*axioms, *clauses])
            found = query.solve()
            if found is not None:
                return Recheck(Failure(obligation, found), count, confirmed, time.monotonic() - started)
            used = [c for c in (*axioms, *clauses) if c in query.used or c == obligation.clause]
            if obligation.clause is not None and obligation.rule is not None:
                script = text.writer.consecution(used, obligation.rule, obligation.clause)
            else:
                script = text.writer.question(used, (params, assertions))
            if save is not None:
                save(count, script)
            confirmed += text.unsatisfiable(script)
    return Recheck(None, count, confirmed, time.monotonic() - started)


class Text:
    """Z3 as a reader of SMT-LIB text."""

    def __init__(self, protocol: Protocol) -> None:
        self.writer = Writer(protocol)
        self.solver = z3.SimpleSolver(ctx=z3.Context())

    def unsatisfiable(self, script: str, milliseconds: int = 20_000) -> bool:
        """Whether the text is unsatisfiable for sure."""
        self.solver.reset()
        self.solver.set("timeout", milliseconds)
        self.solver.from_string(script)
        return bool(self.solver.check() == z3.unsat)


def fault_rules(protocol: Protocol, names: Sequence[str]) -> list[Rule]:
    """The rules whose faults are asked about, by the names of the properties."""
    return [r for r in protocol.rules if r.fault is not None and r.fault.property in names]


def z3_version() -> str:
    """Which Z3 answers."""
    return str(z3.get_full_version())
