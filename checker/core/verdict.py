"""What can be said of a property, what is said of a check, and the exit status."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import field
from typing import Final

from checker.core.instance import Instance
from checker.core.system import Property
from checker.core.trace import Trace
from checker.records import dataclass


class Outcome(enum.Enum):
    """A verdict on one property; the value is the word used in every output."""

    HOLDS = "holds"  # in all reachable states
    HOLDS_TO = "holds so far"  # in all states visited before a limit ended the run
    VIOLATED = "violated"
    REACHED = "reached"  # a cover
    UNREACHED = "unreached"  # a cover, all states visited
    VACUOUS = "vacuous"  # an invariant whose premise never held
    BOUND = "bound reached"  # a bound of the model would be outgrown
    UNKNOWN = "unknown"
    UNSUPPORTED = "unsupported"


BROKEN: Final = (Outcome.VIOLATED, Outcome.BOUND)
"""The outcomes of a property that fails."""


class ExitCode(enum.IntEnum):
    """The exit statuses of lzcheck."""

    EXPECTED = 0  # every verdict is the expected one
    SURPRISE = 1  # some verdict is not
    USAGE = 2  # the model or the command line is wrong
    LIMIT = 3  # a limit ended the run before an answer
    INTERNAL = 4  # an error of lzcheck itself, or engines disagree


@dataclass(frozen=True, slots=True)
class Limits:
    """When to give up: None is no limit.  Memory in MiB of resident size, time in seconds."""

    states: int | None = None
    depth: int | None = None
    seconds: float | None = None
    memory: int | None = None


@dataclass(frozen=True, slots=True)
class PropertyVerdict:
    """The verdict on one property; `trace` shows a violation or how a cover is reached.

    `allowed`: the check says that this cover or premise may stay unreached.
    """

    property: Property
    outcome: Outcome
    trace: Trace | None = None
    note: str = ""
    allowed: bool = False

    def missed(self) -> bool:
        """Whether something was never reached that had to be."""
        return self.outcome in (Outcome.UNREACHED, Outcome.VACUOUS) and not self.allowed


@dataclass(frozen=True, slots=True)
class Statistics:
    """What an engine did.  `peak_memory` in MiB; `fired` counts transitions by action name.

    `state_bytes` is what storing took per state, where the engine knows.  `omission` is set where only hashes
    of states were kept: the probability that some state was taken for another and left out is at most this.
    """

    states: int = 0
    transitions: int = 0
    depth: int = 0
    seconds: float = 0.0
    peak_memory: float = 0.0
    state_bytes: float | None = None
    omission: float | None = None
    complete: bool = False
    limit: str | None = None  # which limit ended the run: states, depth, seconds, memory, interrupted
    fired: Mapping[str, int] = field(default_factory=dict)


def is_one_of(prop: Property, names: tuple[str, ...]) -> bool:
    """Whether a property is meant by one of some names; `assert` means any assertion."""
    return prop.name in names or ("assert" in names and prop.name.startswith("assert: "))


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that makes a green result worth nothing: never fired, never true."""

    code: str  # LZ4xx
    message: str
    where: str  # file:line:column
    statement: str = ""


@dataclass(frozen=True, slots=True)
class Expectation:
    """What a check expects: `verdict` is pass, fail, unsupported (for `proved`).

    `properties` are those that must fail (names, or the text of an assertion), `steps` the
    length of the shortest counterexample and `states` the number of states where given.
    """

    verdict: str = "pass"
    properties: tuple[str, ...] = ()
    steps: int | None = None
    states: int | None = None


@dataclass(frozen=True, slots=True)
class CheckResult:
    """All there is to say of one check; every report is a rendering of this record."""

    model: str  # the model's file as the user named it
    system: str  # the model's name
    check: str
    engine: str
    instance: Instance
    expectation: Expectation
    verdicts: tuple[PropertyVerdict, ...]
    statistics: Statistics
    limits: Limits
    findings: tuple[Finding, ...] = ()
    surprises: tuple[str, ...] = ()  # one sentence per difference from the expectation
    reductions: tuple[str, ...] = ()
    bug: str | None = None
    seed: int | None = None
    strategy: str = "bfs"
    notes: tuple[str, ...] = ()  # what else a reader should know of the run
    unbounded: tuple[str, ...] = ()  # the sorts that a proof is to be for any size of

    @property
    def exit_code(self) -> ExitCode:
        """0, 1 or 3, for this check alone: 3 where a limit came before the answer."""
        if self.surprises:
            return ExitCode.SURPRISE
        if self.expectation.verdict == "fail" and self.broken:  # what should not have failed is a surprise
            return ExitCode.EXPECTED
        return ExitCode.EXPECTED if self.statistics.complete else ExitCode.LIMIT

    @property
    def broken(self) -> tuple[PropertyVerdict, ...]:
        """The properties that were found to fail."""
        return tuple(v for v in self.verdicts if v.outcome in BROKEN)

    @property
    def first_broken(self) -> tuple[PropertyVerdict, int | None] | None:
        """The one that takes the fewest steps, and how many; None where nothing failed."""
        if not self.broken:
            return None
        first = min(self.broken, key=lambda v: len(v.trace.steps) if v.trace is not None else 0)
        return first, len(first.trace.steps) if first.trace is not None else None
