"""A proof from beginning to end: obstacles, samples, strengthening, recheck, and what came of it."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import field
from functools import cache
from pathlib import Path
from typing import Final, Literal

from checker.cache import keep_entry, key, read_entry
from checker.core.instance import Instance
from checker.core.system import Property, PropertyKind, without_words
from checker.core.verdict import is_one_of
from checker.prove import hints
from checker.prove.census import Census
from checker.prove.certificate import Certificate, path_of, read, render, sections
from checker.prove.clauses import Clause, of_property
from checker.prove.learning import Learner
from checker.prove.linter import Obstacle, counts, obstacles
from checker.prove.protocol import Protocol, Rule, holds, protocol
from checker.prove.recheck import Recheck, fault_rules, recheck, z3_version
from checker.prove.reduce import reduced
from checker.prove.sampling import censuses
from checker.prove.search import Found, Strengthening, Stuck
from checker.prove.wording import Unreadable
from checker.records import dataclass

_EQUATED: Final = 3_000  # states of each sample that equations are learned from

_MARK: Final = "certificate-"
_REMEMBERED: Final = 200  # certificates that were found good

Verdict = Literal["proved", "not proved", "violated", "obstacle", "time"]


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
    lemmas: int = 0
    hints: int = 0
    violated: tuple[str, ...] = ()
    sizes: Mapping[str, int] = field(default_factory=dict)  # at which it is violated
    refuted: tuple[str, ...] = ()
    """Hints that some sampled state contradicts."""
    lost: tuple[tuple[str, Rule | None], ...] = ()
    """Hints of which nothing is kept, each with the step that breaks it."""


def asked(instance: Instance, names: Sequence[str]) -> tuple[list[Property], list[str], list[str]]:
    """The invariants to prove, those that are left out, and the faults, by name; `names` are what is asked, () all."""
    faults = [p for p in instance.system.properties if p.kind is PropertyKind.FAULT and p.name != "bound"]
    invariants = [p for p in instance.system.properties if p.kind is PropertyKind.INVARIANT]
    if names:
        chosen = [p for p in invariants if p.name in names or p.lemma]
        return chosen, [], [p.name for p in faults if is_one_of(p, tuple(names))]
    kept = [p for p in invariants if p.expr is not None and not counts(p.expr)]
    return kept, [p.name for p in invariants if p not in kept], [p.name for p in faults]


def smaller(instance: Instance, names: Sequence[str]) -> Instance:
    """The instance of a System that has only what the asked properties depend on."""
    invariants, _, faults = asked(instance, names)
    return with_only(instance, [*(p.name for p in invariants), *faults])


def with_only(instance: Instance, properties: Iterable[str]) -> Instance:
    """The instance of a System that has only what some properties depend on."""
    system = reduced(instance.system, properties)
    return Instance(system, {s.name: instance.sizes[s.name] for s in system.sorts if s.name in instance.sizes})


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
    lines: Sequence[str] = (),
    jobs: int = 1,
) -> Proof:
    """Look for an invariant that proves the properties (all, or the named ones) for all sizes, and recheck it.

    `lines` are hints. Raises Unreadable where one makes no sense.
    """
    started = time.monotonic()
    properties, left_out, faults = asked(instance, names)
    instance = smaller(instance, names)
    made = protocol(instance.system)
    found_obstacles = tuple(obstacles(made))
    if found_obstacles:
        return Proof(made, "obstacle", obstacles=found_obstacles)
    wanted = property_clauses(properties)
    rules = fault_rules(made, faults)
    learner = cache(lambda: Learner(made, censuses(instance, jobs)))
    few = hints.samples(instance) if lines else []
    for census in few or learner().censuses:
        if violated := tuple(violations(census, wanted, rules)):
            return Proof(
                made, "violated", violated=violated, sizes=census.instance.sizes, seconds=time.monotonic() - started
            )
    gc.freeze()  # the sampled states stay, and need not be looked through again and again
    search = Strengthening(made, learner, seconds, say)
    lemmas = sum(p.lemma for p in properties)
    begun = dict(hints.clauses(made, lines, few))
    refuted = tuple(line for line, made_of in begun.items() if not made_of)
    helpful = [clause for made_of in begun.values() for clause in made_of]
    found = search.run(wanted, rules, helpful, [(c.instance, c.some(_EQUATED)) for c in few])
    lost = tuple((line, search.lost[c].rule) for line, made_of in begun.items() for c in made_of if c in search.lost)
    needed = search.needed(wanted, rules)
    unsafe = [s for s in found.stuck if s.obligation.clause is None and s.obligation.equation is None]
    if found.limit or unsafe or any(w not in found.clauses for w in wanted):
        broken = [s for s in found.stuck if s.obligation.clause in wanted]
        return Proof(
            made, "time" if found.limit else "not proved", stuck=tuple(unsafe + broken),
            left_out=tuple(left_out), refuted=refuted, lost=lost, lemmas=lemmas, hints=len(lines), found=found,
            seconds=time.monotonic() - started,
        )  # fmt: skip
    again = recheck(made, [c for c in found.clauses if c in needed], found.equations, rules, save=save, jobs=jobs)
    certificate = Certificate(
        check,
        tuple(p.name for p in properties) + tuple(faults),
        tuple(c for c in found.clauses if not c.name and c in needed),
        tuple(found.equations),
    )
    return Proof(
        made, "proved" if again.good else "not proved", certificate, left_out=tuple(left_out),
        refuted=refuted, lost=lost, lemmas=lemmas, hints=len(lines), found=found, rechecked=again,
        seconds=time.monotonic() - started,
    )  # fmt: skip


def violations(census: Census, properties: Iterable[Clause], faults: Iterable[Rule]) -> Iterator[str]:
    """The properties that are violated in some state of an instance, and the faults that can happen."""
    yield from (clause.name for clause in properties if census.violates(clause))
    known: set[str] = set()
    for rule in faults:
        assert rule.fault is not None
        happens = Clause(rule.params, rule.guard, distinct=False, name=rule.fault.property)
        if happens.name not in known and census.violates(happens):
            known.add(happens.name)
            yield happens.name


def check_certificate(
    instance: Instance, certificate: Certificate, *, save: Callable[[int, str], None] | None = None
) -> Recheck:
    """Recheck a certificate against a model."""
    instance = with_only(instance, certificate.properties)
    made = protocol(instance.system)
    properties = [p for p in instance.system.properties if p.name in certificate.properties]
    invariants = property_clauses(p for p in properties if p.kind is PropertyKind.INVARIANT)
    named = [p.name for p in properties if p.kind is PropertyKind.FAULT]
    rules = fault_rules(made, named)
    again = recheck(made, [*invariants, *certificate.clauses], certificate.equations, rules, save=save)
    if again.good:
        keep_entry(_mark(made, certificate), str(again.obligations).encode(), of=_MARK, at_most=_REMEMBERED)
    return again


def checked_before(instance: Instance, certificate: Certificate) -> int | None:
    """How many obligations were met when this certificate was rechecked for this very model by this very code."""
    kept = read_entry(_mark(protocol(with_only(instance, certificate.properties).system), certificate))
    return None if kept is None else int(kept)


def _mark(made: Protocol, certificate: Certificate) -> str:
    return _MARK + key(_code(), repr(without_words(made.system)), render(made, certificate, ()))


@cache
def _code() -> str:
    """All that a recheck is done by, here."""
    folders = (Path(__file__).parent, Path(__file__).parent.parent / "core", Path(__file__).parent.parent / "symbolic")
    sources = sorted(path for folder in folders for path in folder.rglob("*.py"))
    return key(z3_version(), *(path.read_text(encoding="utf-8") for path in sources))


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
    properties, left_out, faults = asked(instance, names)
    made = protocol(smaller(instance, names).system)
    found_obstacles = tuple(obstacles(made))
    if found_obstacles:
        return Settled(False, 0.0, obstacles=found_obstacles)
    notes = [f"not universal, so not part of the proof: {', '.join(left_out)}"] if left_out else []
    section = stored(model).get(check)
    if section is not None:
        try:
            certificate = read(made, check, section)
        except Unreadable as reason:
            notes.append(f"the certificate is for another version of the model: {reason}")
        else:
            wanted = {p.name for p in properties} | set(faults)
            again = obligations = None
            if wanted <= set(certificate.properties):
                obligations = checked_before(instance, certificate)
                again = check_certificate(instance, certificate) if obligations is None else None
            if again is not None and again.good:
                obligations = again.obligations
            if obligations is not None:
                notes.append(f"by the certificate in {path_of(model).name}: {count_text(obligations)}")
                return Settled(True, time.monotonic() - started, None, tuple(notes), tuple(left_out))
            notes.append("the certificate does not hold for this model")
    proof = prove(instance, check, names, seconds=seconds, lines=hints.stored(model, check))
    if proof.verdict == "proved" and proof.certificate is not None and proof.rechecked is not None:
        clauses = len(proof.certificate.clauses)
        notes.append(f"by an invariant of {clauses} clauses, found now: {count_text(proof.rechecked.obligations)}")
    if proof.violated:
        notes.append(f"violated at {size_text(proof.sizes)}: {', '.join(proof.violated)}")
    limit = "seconds" if proof.verdict == "time" else None
    return Settled(proof.verdict == "proved", time.monotonic() - started, limit, tuple(notes), tuple(left_out))


def size_text(sizes: Mapping[str, int]) -> str:
    """Sizes of sorts."""
    return ", ".join(f"{sort}={size}" for sort, size in sorted(sizes.items()))


def count_text(obligations: int) -> str:
    """How much was rechecked."""
    return f"{obligations} obligations, each met twice"


def stored(model: str) -> dict[str, str]:
    """The certificates beside a model, by check."""
    path = path_of(model)
    return sections(path.read_text(encoding="utf-8")) if path.exists() else {}
