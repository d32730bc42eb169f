"""Which engine answers a check, and what is said where it is not the first choice."""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import field, replace
from typing import Final, Literal

from checker.cache import keep_entry, key, read_entry
from checker.core.instance import Instance
from checker.core.memory.weak import is_weak
from checker.core.system import Property
from checker.core.verdict import Limits
from checker.explorer import Exploration, Strategy, explore
from checker.lang.diagnostics import UserError
from checker.native.build import CompilerFailed, NoCompiler, NoRoom
from checker.native.emit import PARTIAL_ORDER
from checker.native.layout import Unsupported
from checker.native.run import EngineFailed, Prepared, explore_native, prepare_native
from checker.records import dataclass
from checker.search import Listener

Engine = Literal["auto", "native", "explorer", "smt"]
ENGINES: tuple[Engine, ...] = ("auto", "native", "explorer", "smt")
"""`auto`: the explorer for what turns out to be small, the native engine for the rest of breadth-first search, and
the explorer again where that cannot do what is asked.  `smt` is bounded search by Z3."""

SMALL: Final = 20_000
"""States that the explorer visits before the native engine is asked: they take about as long as compiling."""

_TINY: Final = 5000
"""States that the explorer visits before a compiler is started beside it."""

_WEAKER: Final = 10
"""The explorer visits so many times fewer states in a second under the weak memory model."""

_REMEMBERED: Final = 2000
"""Large checks that are remembered."""

_LONGER: Final = "perhaps not with the fewest steps: a limit ended the search for them"


@dataclass(frozen=True, slots=True)
class Run:
    """How to search: engine, strategy, limits, reductions, and for random walks seed, number and length.

    `properties` restricts what is asked to the named ones, where there are any.
    """

    engine: Engine = "explorer"
    strategy: Strategy = "bfs"
    limits: Limits = field(default_factory=Limits)
    threads: int = 1
    symmetry: bool = True
    por: bool = False
    fingerprints: bool = False
    seed: int = 0
    walks: int = 100
    walk_length: int = 1000
    properties: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Answer:
    """What an engine found, which one it was, how it reduced the states, and what else must be said."""

    engine: str
    exploration: Exploration
    reductions: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def usable_cores() -> int:
    """How many cores this process may use."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # not on every system
        return os.cpu_count() or 1


def _native(
    instance: Instance,
    properties: tuple[Property, ...],
    run: Run,
    stop_on: frozenset[str] | None,
    events: Listener | None,
    prepared: Prepared | None,
) -> Exploration:
    """Ask the native engine.  What partial order finds is searched for again without it, for the shortest way."""
    symmetry = run.symmetry
    found = explore_native(
        instance, properties, run.limits,
        stop_on=stop_on, events=events, threads=run.threads, symmetry=symmetry, por=run.por,
        fingerprints=run.fingerprints, prepared=prepared,
    )  # fmt: skip
    if not (found.violated and PARTIAL_ORDER in found.reductions):
        return found
    again = explore_native(
        instance, properties, run.limits, stop_on=stop_on, events=events, threads=run.threads, symmetry=symmetry
    )
    if again.violated:
        return again
    results = {n: replace(r, note=r.note or _LONGER) if r.path else r for n, r in found.results.items()}
    return replace(found, results=results)


def _small(
    instance: Instance,
    properties: tuple[Property, ...],
    run: Run,
    stop_on: frozenset[str] | None,
    events: Listener | None,
) -> Exploration | Prepared | None:
    """What the explorer says, if it needs few states for it; that it does not is remembered for the next time.

    While it is at it the native engine is compiled, if a core is free and not very few states are enough.
    """
    slower = _WEAKER if is_weak(instance) else 1
    small, tiny = SMALL // slower, _TINY // slower
    question = repr((small, instance.system, sorted(instance.sizes.items()), [p.name for p in properties], stop_on))
    large = f"large-{key(question)}"
    if read_entry(large) is not None:
        return None
    most = small if run.limits.states is None else min(small, run.limits.states)
    prepared = None
    for few in sorted({min(tiny, most), most}) if run.threads > 1 else [most]:
        try:
            found = explore(instance, properties, replace(run.limits, states=few), stop_on=stop_on, events=events)
        except BaseException:
            _abandon(prepared)
            raise
        if found.statistics.limit != "states":
            _abandon(prepared)
            return found
        if few < most:
            with suppress(NoCompiler, CompilerFailed, NoRoom, Unsupported):  # it will be said when it is needed
                prepared = prepare_native(instance, properties, symmetry=run.symmetry, por=run.por)
    if most == small:
        keep_entry(large, b"", of="large-", at_most=_REMEMBERED)
    return prepared


def _abandon(prepared: Prepared | None) -> None:
    if prepared is not None:
        prepared.abandon()


def _bounded(
    instance: Instance,
    properties: tuple[Property, ...],
    run: Run,
    stop_on: frozenset[str] | None,
    events: Listener | None,
) -> Answer:
    """Ask Z3, which is slow to load, so nothing else loads it."""
    from checker.smt import Unsupported as NotBounded
    from checker.smt import explore_bounded

    try:
        return Answer("smt", explore_bounded(instance, properties, run.limits, stop_on=stop_on, events=events))
    except NotBounded as reason:
        raise UserError.of("LZ602", str(reason), hint="--engine explorer") from None


def _explored(
    instance: Instance,
    properties: tuple[Property, ...],
    run: Run,
    stop_on: frozenset[str] | None,
    events: Listener | None,
) -> Exploration:
    return explore(
        instance, properties, run.limits, strategy=run.strategy, seed=run.seed,
        walks=run.walks, walk_length=run.walk_length, stop_on=stop_on, events=events,
    )  # fmt: skip


def _within(instance: Instance, found: Exploration) -> tuple[str, ...]:
    """What the bounds of the weak memory model mean for an answer."""
    if not is_weak(instance):
        return ()
    kept, off = instance.system.history, instance.system.defer
    within = "with all messages kept" if kept is None else f"with {kept} messages kept of a location"
    hit = "; older ones that could be read were dropped" if found.cut else ", which was enough" if kept else ""
    put = f"at most {off} {'access' if off == 1 else 'accesses'} put off by a thread" if off else "no access is put off"
    more = "; more could have been" if found.refused else ", which was enough" if off else ""
    return (f"weak {within}{hit}; {put}{more}",)


def search(
    instance: Instance,
    properties: tuple[Property, ...],
    run: Run,
    stop_on: frozenset[str] | None,
    events: Listener | None,
    *,
    exact_counts: bool = False,
) -> Answer:
    """Ask the engine of the run; with `exact_counts` no reduction may change the number of states.

    Raises UserError (LZ602) where an engine that was asked for by name cannot do it, and EngineFailed
    where it broke down.
    """
    if run.strategy != "bfs" and run.engine in ("native", "smt"):
        wrong = f"the {run.engine} engine has no strategy '{run.strategy}'"
        raise UserError.of("LZ602", wrong, hint="--engine explorer")
    if is_weak(instance) and run.engine == "smt":
        raise UserError.of("LZ602", "the smt engine has no weak memory model", hint="--engine native or explorer")
    if run.engine == "smt":
        return _bounded(instance, properties, run, stop_on, events)
    # where a violation is expected it would have to be searched for again without partial order
    run = replace(run, symmetry=run.symmetry and not exact_counts, por=run.por and not exact_counts and stop_on is None)
    notes: tuple[str, ...] = ()
    prepared: Prepared | None = None
    if run.engine == "auto" and run.strategy == "bfs":
        small = _small(instance, properties, run, stop_on, events)
        if isinstance(small, Exploration):
            return Answer("explorer", small, (), _within(instance, small))
        prepared = small
    if run.engine != "explorer" and run.strategy == "bfs":
        try:
            found = _native(instance, properties, run, stop_on, events, prepared)
            return Answer("native", found, found.reductions, _within(instance, found))
        except EngineFailed as failure:
            if failure.starved:
                raise MemoryError from failure
            if failure.stopped or run.engine == "native":
                raise
            notes = (f"the explorer answered instead of the native engine, which failed; please report: {failure}",)
        except (NoCompiler, CompilerFailed, NoRoom, Unsupported) as reason:
            if run.engine == "native":
                raise UserError.of("LZ602", str(reason), hint="--engine explorer needs no compiler") from None
            notes = (f"the explorer answered instead of the native engine: {reason}",)
    found = _explored(instance, properties, run, stop_on, events)
    return Answer("explorer", found, (), (*notes, *_within(instance, found)))
