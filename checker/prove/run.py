"""A proof from beginning to end: obstacles, samples, strengthening, recheck, and what came of it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from typing import Final, Literal

from checker.core.instance import Instance
from checker.core.system import Property, PropertyKind
from checker.core.verdict import is_one_of
from checker.prove.certificate import Certificate, path_of, read, sections
from checker.prove.clauses import Clause, of_property
from checker.prove.linter import Obstacle, counts, obstacles
from checker.prove.protocol import Protocol, holds, protocol
from checker.prove.recheck import Recheck, fault_rules, recheck
from checker.prove.rows import Rows
from checker.prove.sampling import sizes_of, walks
from checker.prove.search import Found, Strengthening, Stuck
from checker.prove.wording import Unreadable
from checker.records import dataclass
from checker.search import reachable

Verdict = Literal["proved", "not proved", "obstacle", "time"]

_STATES: Final = 150_000  # breadth first, of two of everything
_DOUBTED: Final = 25_000  # that clauses are tried on before they are believed
_WALKED: Final = 30_000  # on random walks


@dataclass(frozen=True, slots=True)
class Proof:
    """What came of an attempt: a certificate where it is proved, else what stands against it."""

    protocol: Protocol
    verdict: Verdict
    certificate: Certificate | None = None
    obstacles: tuple[Obstacle, ...] = ()
    stuck: tuple[Stuck, ...] = ()
    left_out: tuple[str, ...] = ()
    found: Found | None = None
    rechecked: Recheck | None = None
    seconds: float = 0.0


def asked(instance: Instance, names: Sequence[str]) -> tuple[list[Property], list[str], list[str]]:
    """The invariants to prove, those that are left out, and the faults, by name; `names` are what is asked, () all."""
    faults = [p for p in instance.system.properties if p.kind is PropertyKind.FAULT and p.name != "bound"]
    invariants = [p for p in instance.system.properties if p.kind is PropertyKind.INVARIANT]
    if names:
        chosen = [p for p in invariants if p.name in names]
        return chosen, [], [p.name for p in faults if is_one_of(p, tuple(names))]
    kept = [p for p in invariants if p.expr is not None and not counts(p.expr)]
    return kept, [p.name for p in invariants if p not in kept], [p.name for p in faults]


def property_clauses(properties: Iterable[Property]) -> list[Clause]:
    """The properties as clauses."""
    return [of_property(p, holds(p.expr)) for p in properties if p.expr is not None]


def prove(
    instance: Instance,
    check: str,
    names: Sequence[str] = (),
    *,
    seconds: float | None = None,
    say: Callable[[str], None] | None = None,
    save: Callable[[int, str], None] | None = None,
) -> Proof:
    """Look for an invariant that proves the properties (all, or the named ones) for all sizes, and recheck it."""
    started = time.monotonic()
    made = protocol(instance.system)
    found_obstacles = tuple(obstacles(made))
    if found_obstacles:
        return Proof(made, "obstacle", obstacles=found_obstacles)
    properties, left_out, faults = asked(instance, names)
    rows = samples(made, instance)
    search = Strengthening(made, rows, seconds, say)
    wanted = property_clauses(properties)
    rules = fault_rules(made, faults)
    found = search.run(wanted, rules)
    needed = search.needed(wanted, rules)
    unsafe = [s for s in found.stuck if s.obligation.clause is None and s.obligation.equation is None]
    if found.limit or unsafe or any(w not in found.clauses for w in wanted):
        broken = [s for s in found.stuck if s.obligation.clause in wanted]
        return Proof(
            made, "time" if found.limit else "not proved", stuck=tuple(unsafe + broken),
            left_out=tuple(left_out), found=found, seconds=time.monotonic() - started,
        )  # fmt: skip
    again = recheck(made, [c for c in found.clauses if c in needed], found.equations, rules, save=save)
    certificate = Certificate(
        check,
        tuple(p.name for p in properties) + tuple(faults),
        tuple(c for c in found.clauses if not c.name and c in needed),
        tuple(found.equations),
    )
    return Proof(
        made, "proved" if again.good else "not proved", certificate, left_out=tuple(left_out), found=found,
        rechecked=again, seconds=time.monotonic() - started,
    )  # fmt: skip


def samples(made: Protocol, instance: Instance) -> Rows:
    """Reachable states of instances with two and with three of everything."""
    rows = Rows(made)
    every = frozenset(s.name for s in instance.system.sorts)
    two = Instance(instance.system, sizes_of(instance, every, 2))
    states, complete = reachable(two, _STATES)
    rows.sample(two, states)
    if not complete:
        rows.sample(two, walks(two, _WALKED))
    rows.sample(three := Instance(instance.system, sizes_of(instance, every, 3)), walks(three, _WALKED))
    rows.doubts = [(three, walks(three, _DOUBTED, seed=1)), (two, walks(two, _DOUBTED, seed=2))]
    return rows


def check_certificate(
    instance: Instance, certificate: Certificate, *, save: Callable[[int, str], None] | None = None
) -> Recheck:
    """Recheck a certificate against a model."""
    made = protocol(instance.system)
    properties = [p for p in instance.system.properties if p.name in certificate.properties]
    invariants = property_clauses(p for p in properties if p.kind is PropertyKind.INVARIANT)
    named = [p.name for p in properties if p.kind is PropertyKind.FAULT]
    rules = fault_rules(made, named)
    return recheck(made, [*invariants, *certificate.clauses], certificate.equations, rules, save=save)


@dataclass(frozen=True, slots=True)
class Settled:
    """The answer for a check: proved or not, by a certificate or by search, and what else must be said."""

    proved: bool
    seconds: float
    limit: str | None = None
    notes: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()
    obstacles: tuple[Obstacle, ...] = ()


def settle(instance: Instance, model: str, check: str, names: Sequence[str], seconds: float | None) -> Settled:
    """Recheck the certificate of a check where there is one; else look for a proof."""
    started = time.monotonic()
    made = protocol(instance.system)
    found_obstacles = tuple(obstacles(made))
    if found_obstacles:
        return Settled(False, 0.0, obstacles=found_obstacles)
    properties, left_out, faults = asked(instance, names)
    notes = [f"not universal, so not part of the proof: {', '.join(left_out)}"] if left_out else []
    section = stored(model).get(check)
    if section is not None:
        try:
            certificate = read(made, check, section)
        except Unreadable as reason:
            notes.append(f"the certificate is for another version of the model: {reason}")
        else:
            wanted = {p.name for p in properties} | set(faults)
            again = check_certificate(instance, certificate) if wanted <= set(certificate.properties) else None
            if again is not None and again.good:
                notes.append(f"by the certificate in {path_of(model).name}: {count_text(again)}")
                return Settled(True, time.monotonic() - started, None, tuple(notes), tuple(left_out))
            notes.append("the certificate does not hold for this model")
    proof = prove(instance, check, names, seconds=seconds)
    if proof.verdict == "proved" and proof.certificate is not None and proof.rechecked is not None:
        clauses = len(proof.certificate.clauses)
        notes.append(f"by an invariant of {clauses} clauses, found now: {count_text(proof.rechecked)}")
    limit = "seconds" if proof.verdict == "time" else None
    return Settled(proof.verdict == "proved", time.monotonic() - started, limit, tuple(notes), tuple(left_out))


def count_text(again: Recheck) -> str:
    """How much was rechecked."""
    return f"{again.obligations} obligations, each met twice"


def stored(model: str) -> dict[str, str]:
    """The certificates beside a model, by check."""
    path = path_of(model)
    return sections(path.read_text(encoding="utf-8")) if path.exists() else {}
