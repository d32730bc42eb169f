"""Which barriers would forbid what a trace shows under a weaker memory model?

Full barriers are put into the text between all accesses that the trace makes, thread by thread.  Where the
violation is gone then, from anywhere in the instance, they are taken away again one by one as long as it
stays away, and made weaker where that is enough.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields, replace
from typing import Any, Final

from checker.core.memory.places import is_location
from checker.core.system import Access, PropertyKind, ThreadKind
from checker.core.trace import Step, Trace
from checker.core.verdict import CheckResult, Outcome
from checker.engines import Run, search
from checker.lang import syntax as s
from checker.lang.diagnostics import UserError
from checker.lang.names import Model
from checker.lang.source import Span
from checker.lang.walk import nodes
from checker.mutations import bodies
from checker.plan import Plan, make_instance
from checker.records import dataclass

SECONDS: Final = 10.0
"""How long barriers are looked for."""

_FENCES: Final = {"weak": ("smp_wmb", "smp_rmb", "smp_mb"), "tso": ("smp_mb",)}


@dataclass(frozen=True, slots=True)
class Gap:
    """Between two accesses of a thread, in front of the statement `at`: what was and what is accessed, by label."""

    at: Span
    earlier: Step
    later: Step


@dataclass(frozen=True, slots=True)
class Advice:
    """The sets of barriers of which each forbids a violation; none where full barriers everywhere would not."""

    property: str
    ways: tuple[tuple[tuple[str, Gap], ...], ...]


def advice(model: Model, plan: Plan, result: CheckResult, run: Run, seconds: float = SECONDS) -> Advice | None:
    """What would forbid the first violation of a check; None where it was not found out in time, or was not asked."""
    trace = next((v.trace for v in result.broken if v.trace is not None), None)
    kinds = (PropertyKind.INVARIANT, PropertyKind.STEP, PropertyKind.FAULT)
    if trace is None or plan.memory_model not in _FENCES:
        return None
    prop = next(p for p in trace.instance.system.properties if p.name == trace.property)
    if prop.kind not in kinds:
        return None
    question = _Question(model, plan, trace, run, time.monotonic() + seconds)
    gaps = list(_gaps(model, trace))
    needed = {gap.at: "smp_mb" for gap in gaps}
    holds = question.holds(needed)
    if holds is None:
        return None
    if not holds:
        return Advice(trace.property, ())
    alone = [gap for gap in gaps if question.holds({gap.at: "smp_mb"})]
    if alone:
        ways = tuple(((question.weakest({gap.at: "smp_mb"}, gap.at), gap),) for gap in alone)
        return None if question.late else Advice(trace.property, ways)
    for gap in gaps:
        without = {at: fence for at, fence in needed.items() if at != gap.at}
        if question.holds(without):
            needed = without
    for at in needed:
        needed[at] = question.weakest(needed, at)
    together = tuple((needed[gap.at], gap) for gap in gaps if gap.at in needed)
    return None if question.late else Advice(trace.property, (together,))


def advice_text(found: Advice) -> str:
    """The advice as a sentence."""
    if not found.ways:
        return f"no barrier would forbid that {found.property} fails: it does with smp_mb() between all these steps"
    ways = [", together with ".join(_between(fence, gap) for fence, gap in way) for way in found.ways]
    return f"{', or '.join(ways)} would forbid that {found.property} fails"


def _between(fence: str, gap: Gap) -> str:
    return f"{fence}() between {_at(gap.earlier)} and {_at(gap.later)}"


def _at(step: Step) -> str:
    text = " ".join((step.action.label or step.action.name).split())
    return f"'{text}' (line {step.action.span.line})"


class _Question:
    """Whether the violated property holds once there are barriers in some places."""

    def __init__(self, model: Model, plan: Plan, trace: Trace, run: Run, until: float) -> None:
        self._model, self._plan, self._run, self._until = model, plan, run, until
        self._name = trace.property
        self._fences = _FENCES[plan.memory_model]
        self.late = False
        """Whether time was over before something was known."""

    def weakest(self, barriers: Mapping[Span, str], at: Span) -> str:
        """The weakest barrier in a place with which the property still holds."""
        return next((f for f in self._fences if f == "smp_mb" or self.holds({**barriers, at: f})), "smp_mb")

    def holds(self, barriers: Mapping[Span, str]) -> bool | None:
        """None where time is over before it is known."""
        left = self._until - time.monotonic()
        if left <= 0:
            self.late = True
            return None
        changed = self._model
        for _, body, put_back in list(bodies(self._model)):
            inserted = _inserted(body, barriers)
            if inserted is not body:
                changed = _merged(changed, put_back(inserted), self._model)
        try:
            instance = make_instance(changed, self._plan)
        except UserError:
            return None
        asked = tuple(p for p in instance.system.properties if p.name == self._name)
        if not asked:
            return True  # nothing that could violate it is left
        limits = replace(self._run.limits, seconds=min(left, self._run.limits.seconds or left))
        found = search(instance, asked, replace(self._run, limits=limits), None, None).exploration
        outcome = found.results[self._name].outcome
        if outcome is Outcome.VIOLATED:
            return False
        self.late = self.late or not found.statistics.complete
        return True if found.statistics.complete else None


def _merged(so_far: Model, changed: Model, original: Model) -> Model:
    """A model with the bodies that were changed before and those that are changed now."""
    different = {f.name: getattr(changed, f.name) for f in fields(changed)
                 if getattr(changed, f.name) is not getattr(original, f.name)}  # fmt: skip
    for name, value in different.items():
        before = getattr(original, name)
        now = {key: value[key] if value[key] is not before[key] else getattr(so_far, name)[key] for key in value}
        different[name] = now
    return replace(so_far, **different)


def _gaps(model: Model, trace: Trace) -> Iterator[Gap]:
    """Between the accesses of each thread in a trace, where statements can be put; each place once."""
    statements = {node.span for _, body, _ in bodies(model) for node in nodes(body) if isinstance(node, s.Statement)}
    last: dict[tuple[str, int | tuple[int, ...]], Step] = {}
    seen: set[Span] = set()
    for step in trace.steps:
        kind = trace.instance.thread(step.thread).kind
        if kind is ThreadKind.HARDWARE or not _accesses(trace, step):
            continue
        key = ("cpu", step.cpu) if step.cpu is not None else (step.thread, step.instance)
        earlier = last.get(key)
        last[key] = step
        at = _statement_of(step.action.span, statements)
        if earlier is not None and at is not None and at not in seen and earlier.action.span != step.action.span:
            seen.add(at)
            yield Gap(at, earlier, step)


def _accesses(trace: Trace, step: Step) -> bool:
    return any(isinstance(m, Access) and is_location(trace.instance.var(m.var)) for m in step.action.memory)


def _statement_of(span: Span, statements: set[Span]) -> Span | None:
    """The smallest statement around a place of the text."""
    around = [x for x in statements if x.file == span.file and _holds(x, span)]
    return min(around, key=lambda x: (x.end_line - x.line, x.end_column - x.column), default=None)


def _holds(outer: Span, inner: Span) -> bool:
    first = (outer.line, outer.column) <= (inner.line, inner.column)
    return first and (inner.end_line, inner.end_column) <= (outer.end_line, outer.end_column)


def _inserted(tree: Any, barriers: Mapping[Span, str]) -> Any:
    """A body with barriers in front of some of its statements; parts that have none stay the same objects."""
    if isinstance(tree, tuple):
        changed: list[Any] = []
        for part in tree:
            if isinstance(part, s.Statement) and part.span in barriers:
                call = s.CallExpr(s.Name(barriers[part.span], span=part.span), (), span=part.span)
                changed.append(s.CallStmt(call, span=part.span))
            changed.append(_inserted(part, barriers))
        same = len(changed) == len(tree) and all(a is b for a, b in zip(changed, tree, strict=True))
        return tree if same else tuple(changed)
    if not isinstance(tree, s.Node):
        return tree
    parts: Sequence[tuple[str, Any]] = [(f.name, getattr(tree, f.name)) for f in fields(tree)]
    different = {name: now for name, before in parts if (now := _inserted(before, barriers)) is not before}
    return replace(tree, **different) if different else tree
