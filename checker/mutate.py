"""Would the checks notice?  A passing check is run again on every mutation of its model.

A property that a mutation violates notices it.  What no property notices is
either not needed, or a property is missing: the model's text should say which.
"""

from __future__ import annotations

import enum
from collections.abc import Iterator, Sequence
from dataclasses import replace

from checker.check import run_check
from checker.core.system import without_words
from checker.core.verdict import CheckResult, ExitCode, Expectation, Limits, Outcome
from checker.coverage import is_executed
from checker.engines import Run
from checker.lang.diagnostics import UserError
from checker.lang.names import Model
from checker.lang.source import Span
from checker.mutations import Mutation, mutations, place_in
from checker.plan import Plan, make_instance
from checker.pool import in_parallel
from checker.records import dataclass

_OWN = "std/"
"""What the files of the tool's libraries begin with."""

QUICK_STATES = 20_000
"""Up to so many states the explorer answers sooner than a compiler."""


class Fate(enum.Enum):
    """What became of a mutation; the value is the word used in every output."""

    NOTICED = "noticed"  # a property is violated
    UNREACHED = "only unreached"  # all properties hold, but something is never reached any more
    EXPLAINED = "explained"  # nothing is different, and the model says why
    SURVIVES = "SURVIVES"  # nothing is different
    REFUSED = "refused"  # the language does not accept it
    UNDECIDED = "undecided"  # a limit came first
    WEAK = "needs weak memory"  # a barrier: sc does not depend on it


_RANK = (
    Fate.NOTICED, Fate.UNDECIDED, Fate.UNREACHED, Fate.SURVIVES, Fate.EXPLAINED, Fate.REFUSED, Fate.WEAK
)  # fmt: skip
"""Which of several checks' answers counts."""


@dataclass(frozen=True, slots=True)
class Mutant:
    """A mutation and its fate: who noticed (or why nobody does), in how many steps, after how many states.

    `check` is the one that decided; `reason` is what @survives says, whatever the fate.
    """

    what: str
    text: str
    owner: str
    span: Span
    fate: Fate
    by: str = ""
    steps: int | None = None
    states: int = 0
    reason: str = ""
    check: str = ""


@dataclass(frozen=True, slots=True)
class _Task:
    plans: tuple[Plan, ...]  # those in which the mutation makes a difference
    run: Run
    mutation: Mutation


def chosen_checks(model: Model, names: Sequence[str]) -> list[str]:
    """The checks by these names; without any, all `upstream...` that are expected to pass, or else the first."""
    if names:
        return list(names)
    return [n for n, c in model.checks.items() if n.startswith("upstream") and c.verdict == "pass"]


def mutants(
    model: Model, plans: Sequence[Plan], run: Run, jobs: int = 1, *, libraries: bool = False
) -> Iterator[Mutant]:
    """The fate of every mutation that makes a difference in one of the configurations, in the order of the text.

    It is noticed if one of the checks notices; they are asked in turn until then.
    The tool's own libraries stay as they are unless asked for: they are no model's to answer for.
    Raises UserError where the model itself is not as expected, or a check expects anything but `pass`.
    """
    originals: list[tuple[Plan, CheckResult]] = []
    for plan in plans:
        if plan.expectation.verdict != "pass":
            hint = "--check NAME chooses one"
            raise UserError.of("LZ605", f"mutate needs a check that passes, which '{plan.name}' does not", hint=hint)
        plan = replace(plan, expectation=Expectation())
        before = run_check(model, plan, run)
        if before.exit_code is not ExitCode.EXPECTED:
            raise UserError.of("LZ605", f"check '{plan.name}' does not pass as the model is: nothing to compare with")
        originals.append((plan, before))
    tasks: list[_Task] = []
    for mutation in _in_order(model, libraries):
        different = tuple(plan for plan, before in originals if _differs(before, mutation, plan))
        if different:
            tasks.append(_Task(different, run, mutation))
    yield from in_parallel(_mutant, tasks, jobs)


def _in_order(model: Model, libraries: bool) -> list[Mutation]:
    """As in the text, libraries first."""
    chosen = (m for m in mutations(model) if libraries or m.span.file == model.file or m.span.file[:4] != _OWN)
    return sorted(chosen, key=lambda m: place_in(model, m.span))


def _differs(before: CheckResult, mutation: Mutation, plan: Plan) -> bool:
    """Whether anything that this configuration does is different; a barrier is, and so is what the language refuses."""
    original = before.instance.system
    if not is_executed(original, before.statistics.fired, mutation.statement, mutation.owner):
        return False
    try:
        mutated = make_instance(mutation.model, plan).system
    except UserError:
        return True
    if mutation.what == "barrier":
        return sum(len(a.memory) for a in mutated.actions) != sum(len(a.memory) for a in original.actions)
    return without_words(mutated) != without_words(original)


def _mutant(task: _Task) -> Mutant:
    """What the first check says that notices, or else the one that says most."""
    found: list[Mutant] = []
    for plan in task.plans:
        found.append(_fate(task.mutation, plan, task.run))
        if found[-1].fate is Fate.NOTICED:
            break
    return min(found, key=lambda m: _RANK.index(m.fate))


def _fate(mutation: Mutation, plan: Plan, run: Run) -> Mutant:
    mutant = Mutant(
        mutation.what, mutation.text, mutation.owner, mutation.span, Fate.SURVIVES,
        reason=mutation.reason, check=plan.name,
    )  # fmt: skip
    try:
        if mutation.what == "barrier" and plan.memory_model == "sc":
            return replace(mutant, fate=Fate.WEAK)
        result = _result(mutation.model, plan, run)
    except UserError as error:
        return replace(mutant, fate=Fate.REFUSED, by=error.diagnostics[0].message)
    return _judged(mutant, result)


def _result(model: Model, plan: Plan, run: Run) -> CheckResult:
    """The explorer's answer where it comes soon, else the engine's that was asked for."""
    if run.engine == "auto":
        limits = Limits(QUICK_STATES, run.limits.depth, run.limits.seconds, run.limits.memory)
        quick = run_check(model, plan, replace(run, engine="explorer", limits=limits))
        if quick.exit_code is not ExitCode.LIMIT:
            return quick
    return run_check(model, plan, run)


def _judged(mutant: Mutant, result: CheckResult) -> Mutant:
    mutant = replace(mutant, states=result.statistics.states)
    if result.first_broken is not None:
        first, steps = result.first_broken
        return replace(mutant, fate=Fate.NOTICED, by=first.property.name, steps=steps)
    if not result.statistics.complete:
        return replace(mutant, fate=Fate.UNDECIDED, by=result.statistics.limit or "")
    missed = [v.property.name for v in result.verdicts if v.outcome in (Outcome.UNREACHED, Outcome.VACUOUS)]
    if missed:
        return replace(mutant, fate=Fate.UNREACHED, by=", ".join(missed))
    return replace(mutant, fate=Fate.EXPLAINED, by=mutant.reason) if mutant.reason else mutant
