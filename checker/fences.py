"""Which fences does a model need, and under which memory model?

Each fence is left out in turn, and each access whose order is stronger than it must be for
atomicity becomes a relaxed one; then the passing checks are run again under every memory model.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Final

from checker.check import run_check
from checker.core.system import System, without_words
from checker.core.verdict import ExitCode, Expectation
from checker.engines import Run
from checker.lang import syntax as s
from checker.lang.diagnostics import UserError
from checker.lang.names import Model
from checker.lang.primitives import FENCES, PRIMITIVES
from checker.lang.source import Span
from checker.lang.walk import nodes
from checker.mutations import bodies, place_in, substituted, text_of
from checker.plan import MEMORY_MODELS, Overrides, Plan, make_instance, plans
from checker.pool import in_parallel
from checker.records import dataclass

_RELAXED: Final = {
    "smp_load_acquire": "READ_ONCE",
    "smp_store_release": "WRITE_ONCE",
    **{name: f"{name.removesuffix(order)}_relaxed" for name in PRIMITIVES for order in ("", "_acquire", "_release")
       if name.endswith(order) and f"{name.removesuffix(order)}_relaxed" in PRIMITIVES
       and not name.endswith("_relaxed")},
}  # fmt: skip
"""What an access is without its order."""


@dataclass(frozen=True, slots=True)
class Fence:
    """A fence, or an access with an order: its text, what stands for it when it is taken away, and where it is."""

    text: str
    without: str
    owner: str
    span: Span


@dataclass(frozen=True, slots=True)
class Need:
    """What one memory model says of a fence.

    `property` is what fails without the fence, in `steps` steps of `check`; none where all checks still pass.
    `undecided` is the limit that came first.  `part` is false where no check executes the fence.
    """

    property: str | None = None
    check: str = ""
    steps: int | None = None
    undecided: str = ""
    part: bool = True


@dataclass(frozen=True, slots=True)
class Needs:
    """What all memory models say of a fence; one that the model as it is does not bear is left out."""

    fence: Fence
    under: dict[str, Need]


@dataclass(frozen=True, slots=True)
class _Task:
    fence: Fence
    model: Model
    plans: tuple[tuple[str, tuple[Plan, ...]], ...]
    original: dict[tuple[str, str], System]
    orders: dict[str, list[object]]
    run: Run


def fences(
    model: Model, names: Sequence[str] | None, overrides: Overrides, run: Run, jobs: int = 1
) -> tuple[dict[str, str], Iterator[Needs]]:
    """Why some memory models could not be asked for all checks, and what they say of each fence.

    `names` are checks that pass; an empty list is the model's first check, None all that pass, each under the memory
    models under which it does.  Raises UserError for a named check that does not pass under sc.
    """
    chosen = [
        p
        for p in plans(model, names, replace(overrides, memory_model=None))
        if (names or p.memory_model == "sc") and not p.unsupported
    ]
    failing = [p.name for p in chosen if p.expectation.verdict != "pass"]
    if failing and names is not None:
        hint = "--check NAME chooses one that passes, --all takes all of them"
        raise UserError.of("LZ605", f"the check '{failing[0]}' does not pass, so nothing can break it", hint=hint)
    passing = [p.name for p in chosen if p.expectation.verdict == "pass"]
    if not passing:
        raise UserError.of("LZ605", "the model has no check that passes")
    asked: list[tuple[str, tuple[Plan, ...]]] = []
    original: dict[tuple[str, str], System] = {}
    refused: dict[str, str] = {}
    for memory in MEMORY_MODELS if overrides.memory_model is None else (overrides.memory_model,):
        under: list[Plan] = []
        for plan in plans(model, passing, replace(overrides, memory_model=memory)):
            plan = replace(plan, expectation=Expectation())
            if reason := _trouble(model, plan, run):
                refused.setdefault(memory, reason)
                if names is not None or plan.unsupported:
                    break
            else:
                under.append(plan)
                original[memory, plan.name] = make_instance(model, plan).system
        if under and (names is None or memory not in refused):
            asked.append((memory, tuple(under)))
    orders = {p.name: _orders(model, p) for p in chosen if p.name in passing}
    tasks = [_Task(fence, without, tuple(asked), original, orders, run) for fence, without in _without(model)]
    return refused, in_parallel(_needs, tasks, jobs)


def _trouble(model: Model, plan: Plan, run: Run) -> str:
    """Why a check is no use under a memory model: it must pass with all fences in place."""
    if plan.unsupported:
        return f"{plan.unsupported} are not supported yet"
    try:
        result = run_check(model, plan, run)
    except UserError as error:
        return f"{plan.name}: {error.diagnostics[0].message}"
    if result.exit_code is ExitCode.EXPECTED:
        return ""
    if result.broken:
        return f"{plan.name} does not pass as it is: {result.broken[0].property.name} fails"
    return f"{plan.name} does not pass as it is: {result.statistics.limit or 'something is not reached'}"


def _without(model: Model) -> Iterator[tuple[Fence, Model]]:
    """Each fence of the model's own files, and the model without it, in the order of the text."""
    found: list[tuple[Fence, Model]] = []
    for owner, body, put_back in bodies(model):
        for node in nodes(body):
            match node:
                case s.CallStmt(call=call) if call.callee.text in FENCES:
                    found.append((Fence(text_of(model, node), "", owner, node.span), put_back(_removed(body, node))))
                case s.CallStmt(call=call) if call.callee.text == "await_acquire":
                    plain = s.Await(call.args[0], attributes=node.attributes, span=node.span)
                    changed = substituted(body, node, (plain,))
                    found.append((Fence(text_of(model, node), "await", owner, node.span), put_back(changed)))
                case s.CallExpr(callee=callee) if (
                    weaker := _RELAXED.get(callee.text)
                ) and callee.text not in model.procs:
                    relaxed = replace(node, callee=replace(callee, text=weaker))
                    changed = substituted(body, node, (relaxed,))
                    found.append((Fence(text_of(model, node), weaker, owner, node.span), put_back(changed)))
                case _:
                    pass
    yield from sorted(found, key=lambda f: place_in(model, f[0].span))


def _removed(body: s.Block, node: s.Node) -> s.Block:
    block = substituted(body, node, ())
    assert isinstance(block, s.Block)
    return block


def _needs(task: _Task) -> Needs:
    return Needs(task.fence, {memory: _need(task, memory, under) for memory, under in task.plans})


def _need(task: _Task, memory: str, under: tuple[Plan, ...]) -> Need:
    part, undecided = False, ""
    for plan in under:
        try:
            changed = make_instance(task.model, plan).system
        except UserError:
            continue
        original = task.original[memory, plan.name]
        if _orders(task.model, plan) == task.orders[plan.name]:
            continue
        part = True
        if memory != "weak" and without_words(changed) == without_words(original):
            continue  # weak looks at the orders themselves, the others at what a step does
        result = run_check(task.model, plan, task.run)
        if result.first_broken is not None:
            first, steps = result.first_broken
            return Need(first.property.name, plan.name, steps)
        undecided = undecided or (result.statistics.limit or "" if not result.statistics.complete else "")
    return Need(undecided=undecided, part=part)


def _orders(model: Model, plan: Plan) -> list[object]:
    """The accesses and fences of all steps as the text has them, whatever a memory model makes of them."""
    return [a.memory for a in make_instance(model, replace(plan, memory_model="sc")).system.actions]
