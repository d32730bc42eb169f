"""Running a check and judging it: engine, replay, coverage, comparison with what is expected."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from checker.core.instance import Instance
from checker.core.memory.replay import replay_weak
from checker.core.memory.weak import is_weak
from checker.core.path import Path
from checker.core.semantics import SetupFault
from checker.core.system import Property, PropertyKind
from checker.core.trace import ReplayError, Trace, replay
from checker.core.verdict import (
    BROKEN,
    CheckResult,
    Expectation,
    Finding,
    Outcome,
    PropertyVerdict,
    Statistics,
    is_one_of,
)
from checker.coverage import never_executed, several_accesses
from checker.engines import SMALL, Answer, Run, search
from checker.lang.diagnostics import Diagnostic, UserError, suggest
from checker.lang.names import Model
from checker.plan import Plan, make_instance
from checker.search import Listener


class WrongPath(Exception):
    """An engine claimed a counterexample that the reference semantics does not replay: our mistake."""

    def __init__(self, engine: str, instance: Instance, property: Property, path: Path, reason: ReplayError) -> None:
        self.instance = instance
        self.property = property
        self.path = path
        self._made_of = (engine, instance, property, path, reason)
        super().__init__(f"the path of the {engine} to {property.name} does not replay: {reason}")

    def __reduce__(self) -> tuple[type[WrongPath], tuple[object, ...]]:
        return WrongPath, self._made_of


def run_check(model: Model, plan: Plan, run: Run, events: Listener | None = None) -> CheckResult:
    """Do what a plan asks; raises UserError for a wrong model and WrongPath for a wrong engine."""
    instance = make_instance(model, plan)
    result = CheckResult(
        model=model.file,
        system=model.name,
        check=plan.name,
        engine="explorer",
        instance=instance,
        expectation=plan.expectation,
        verdicts=(),
        statistics=Statistics(),
        limits=run.limits,
        bug=plan.bug,
        seed=run.seed if run.strategy == "random" else None,
        strategy=run.strategy,
    )
    if plan.unsupported or (is_weak(instance) and plan.unbounded):
        return _unsupported(result, plan.unsupported or "proofs under the weak memory model")
    if plan.unbounded:
        return _for_all_sizes(model, plan, run, result, events)
    asked, stop_on = _asked(instance, plan.expectation, run)
    try:
        answer = search(instance, asked, run, stop_on, events, exact_counts=plan.expectation.states is not None)
    except SetupFault as fault:
        raise UserError.of("LZ501", f"the initial state cannot be made: {fault}", fault.action.span) from None
    exploration = answer.exploration
    if exploration.statistics.transitions == 0 and not exploration.violated:
        hint = "is there a thread, and can it take its first step?"
        raise UserError.of("LZ405", f"nothing to check in '{plan.name}': no step is possible", model.span, hint=hint)
    verdicts = tuple(_allowed(v, plan) for v in _verdicts(answer))
    statistics = exploration.statistics
    if run.strategy == "random" and statistics.limit is None:
        statistics = replace(statistics, limit="walks")  # however many, they are never all
    result = replace(
        result, engine=answer.engine, verdicts=verdicts, statistics=statistics,
        reductions=answer.reductions, notes=(*answer.notes, *_coarse(instance)),
    )  # fmt: skip
    findings = tuple(_findings(result, plan))
    result = replace(result, findings=findings)
    return replace(result, surprises=tuple(_surprises(result)))


# -- any number


def small_instance(instance: Instance, plan: Plan) -> Instance:
    """Two of everything that a proof leaves open."""
    return Instance(instance.system, {**plan.sizes, **dict.fromkeys(plan.unbounded, 2)})


def find_violation(instance: Instance, plan: Plan, run: Run, events: Listener | None) -> Answer:
    """Look for a counterexample at a small size, before anything is proved."""
    names = plan.expectation.properties
    kinds = (PropertyKind.INVARIANT, PropertyKind.FAULT)
    asked = tuple(p for p in instance.system.properties if p.kind in kinds and (not names or is_one_of(p, names)))
    few = min(run.limits.states or SMALL, SMALL)
    quick = replace(run, engine="explorer", strategy="bfs", limits=replace(run.limits, states=few))
    return search(instance, asked, quick, None, events)


def _for_all_sizes(model: Model, plan: Plan, run: Run, result: CheckResult, events: Listener | None) -> CheckResult:
    """Violated at a small size, or proved by the certificate or a new invariant, or neither."""
    from checker.prove.run import settle  # Z3 takes its time to load

    instance = small_instance(result.instance, plan)
    answer = find_violation(instance, plan, run, events)
    sorts = tuple(sorted(plan.unbounded))
    result = replace(result, instance=instance, engine=answer.engine, statistics=answer.exploration.statistics)
    verdicts = tuple(v for v in _verdicts(answer) if v.property.name != "bound")  # sizes have no bound in a proof
    if any(v.outcome is Outcome.VIOLATED for v in verdicts):
        result = replace(result, verdicts=verdicts)
        return replace(result, surprises=tuple(_surprises(result)))
    settled = settle(instance, model.file, plan.name, plan.expectation.properties, run.limits.seconds)
    if settled.obstacles:
        raise UserError([Diagnostic("LZ602", o.what, o.span, hint=o.instead) for o in settled.obstacles], model.sources)
    outcome = Outcome.HOLDS if settled.proved else Outcome.UNKNOWN
    verdicts = tuple(PropertyVerdict(v.property, outcome) for v in verdicts if v.property.name not in settled.left_out)
    statistics = Statistics(seconds=settled.seconds, complete=settled.proved, limit=settled.limit)
    surprises = () if settled.proved or settled.limit else ("not proved: lzcheck prove shows what stands against it",)
    return replace(
        result, engine="prove", verdicts=verdicts, statistics=statistics, unbounded=sorts,
        notes=(*result.notes, *settled.notes), surprises=surprises,
    )  # fmt: skip


def _coarse(instance: Instance) -> Iterator[str]:
    """That a memory model other than sc saw some steps as one access though the text has several."""
    found = several_accesses(instance.system) if instance.system.memory_model != "sc" else ()
    if found:
        more = f" and at {len(found) - 1} other places" if len(found) > 1 else ""
        yield f"a step with several accesses to memory is taken as one: {found[0].where}{more} [LZ406]"


def _unsupported(result: CheckResult, why: str) -> CheckResult:
    kinds = (PropertyKind.INVARIANT, PropertyKind.STEP, PropertyKind.COVER)
    asked = [p for p in result.instance.system.properties if p.kind in kinds]
    verdicts = tuple(PropertyVerdict(p, Outcome.UNSUPPORTED) for p in asked)
    statistics = Statistics(limit=f"{why} are not supported yet")
    return replace(result, verdicts=verdicts, statistics=statistics)


# -- what is asked


def _asked(
    instance: Instance, expectation: Expectation, run: Run
) -> tuple[tuple[Property, ...], frozenset[str] | None]:
    """The properties to decide, and those whose violation ends the run (None: the first one).

    Where failures are expected, other invariants are not asked: a state that
    violates one is not explored further, and could hide what is expected.
    """
    properties = instance.system.properties
    if run.properties:
        properties = tuple(p for p in properties if is_one_of(p, run.properties))
        known = [p.name for p in instance.system.properties]
        for name in run.properties:
            if not any(is_one_of(p, (name,)) for p in properties):
                raise UserError.of("LZ605", f"--property: there is no property '{name}'", hint=suggest(name, known))
        return properties, None
    if expectation.verdict != "fail":
        return properties, None
    targets = tuple(p for p in properties if is_one_of(p, expectation.properties))
    faults = tuple(p for p in properties if p.kind is PropertyKind.FAULT and p not in targets)
    several = "assert" in expectation.properties
    stop_on = None if several else frozenset(p.name for p in targets)
    if not targets:
        stop_on = frozenset()
    return targets + faults, stop_on


# -- what was found


def _verdicts(answer: Answer) -> Iterator[PropertyVerdict]:
    exploration = answer.exploration
    for result in exploration.results.values():
        trace: Trace | None = None
        if result.path is not None:
            try:
                again = replay_weak if is_weak(exploration.instance) else replay
                trace = again(exploration.instance, result.path, result.property)
            except ReplayError as error:
                raise WrongPath(answer.engine, exploration.instance, result.property, result.path, error) from error
        yield PropertyVerdict(result.property, result.outcome, trace, result.note)


def _allowed(verdict: PropertyVerdict, plan: Plan) -> PropertyVerdict:
    """The verdict, marked where it misses what the check says need not be reached."""
    if not verdict.missed() or verdict.property.name not in plan.allowed:
        return verdict
    return replace(verdict, allowed=True, note="; ".join(filter(None, (verdict.note, "allowed"))))


def _findings(result: CheckResult, plan: Plan) -> Iterator[Finding]:
    """What makes a pass worth nothing."""
    broken = bool(result.broken)
    if plan.expectation.verdict != "pass" or broken or not result.statistics.complete:
        return
    if not plan.allow_all:
        yield from never_executed(result.instance.system, result.statistics.fired, plan.allowed)


def _surprises(result: CheckResult) -> Iterator[str]:
    """One sentence for each difference from what is expected."""
    expectation, statistics = result.expectation, result.statistics
    if expectation.verdict == "fail":
        yield from _missing_failures(result)
    else:
        for verdict in result.verdicts:
            name = verdict.property.name
            match verdict.outcome:
                case Outcome.VIOLATED | Outcome.BOUND:
                    yield f"{name}: {verdict.outcome.value}"
                case _ if verdict.allowed:
                    pass
                case Outcome.UNREACHED:
                    yield f"{name}: the cover is not reached in any state [LZ404]"
                case Outcome.VACUOUS:
                    yield f"{name}: its premise is not met in any state [LZ403]"
                case _:
                    pass
        if result.findings:
            count = len(result.findings)
            yield f"{count} finding{'s' * (count != 1)}: part of the model never runs"
    if expectation.states is not None and statistics.complete and statistics.states != expectation.states:
        yield f"{statistics.states} states where {expectation.states} are expected"


def _missing_failures(result: CheckResult) -> Iterator[str]:
    expectation = result.expectation
    for target in expectation.properties:
        verdicts = [v for v in result.verdicts if is_one_of(v.property, (target,))]
        failed = [v for v in verdicts if v.outcome in BROKEN]
        if not failed:
            found = (
                verdicts[0].outcome.value if verdicts else "cannot fail: nothing in this configuration could violate it"
            )
            undecided = verdicts and verdicts[0].outcome in (Outcome.HOLDS_TO, Outcome.UNKNOWN)
            if not (undecided and result.statistics.limit):
                yield f"{target}: expected to fail, but {found}"
        elif expectation.steps is not None and (steps := _steps(failed)) != expectation.steps:
            yield f"{target}: fails in {steps} steps where {expectation.steps} are expected"


def _steps(verdicts: list[PropertyVerdict]) -> int | None:
    return min((len(v.trace.steps) for v in verdicts if v.trace is not None), default=None)
