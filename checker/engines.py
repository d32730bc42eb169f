"""Which engine answers a check, and what is said where it is not the first choice."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from checker.core.instance import Instance
from checker.core.system import Property
from checker.core.verdict import Limits
from checker.explorer import Exploration, Strategy, explore
from checker.lang.diagnostics import UserError
from checker.native.build import CompilerFailed, NoCompiler
from checker.native.layout import Unsupported
from checker.native.run import explore_native
from checker.search import Listener

Engine = Literal["auto", "native", "explorer"]
ENGINES: tuple[Engine, ...] = ("auto", "native", "explorer")
"""`auto` is the native engine for breadth-first search, and the explorer where that cannot do what is asked."""


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

    Raises UserError (LZ602) where an engine that was asked for by name cannot do it.
    """
    if run.strategy != "bfs" and run.engine == "native":
        raise UserError.of("LZ602", f"the native engine has no strategy '{run.strategy}'", hint="--engine explorer")
    notes: tuple[str, ...] = ()
    if run.engine != "explorer" and run.strategy == "bfs":
        symmetry = run.symmetry and not exact_counts
        try:
            found = explore_native(
                instance, properties, run.limits,
                stop_on=stop_on, events=events, threads=run.threads, symmetry=symmetry,
            )  # fmt: skip
            return Answer("native", found, ("symmetry",) if symmetry else ())
        except (NoCompiler, CompilerFailed, Unsupported) as reason:
            if run.engine == "native":
                raise UserError.of("LZ602", str(reason), hint="--engine explorer needs no compiler") from None
            notes = (f"the explorer answered instead of the native engine: {reason}",)
    found = explore(
        instance, properties, run.limits, strategy=run.strategy, seed=run.seed,
        walks=run.walks, walk_length=run.walk_length, stop_on=stop_on, events=events,
    )  # fmt: skip
    return Answer("explorer", found, (), notes)
