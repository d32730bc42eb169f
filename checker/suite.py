"""Many checks, side by side on all cores."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from checker.check import run_check
from checker.core.verdict import CheckResult
from checker.engines import Run
from checker.lang.diagnostics import UserError
from checker.lang.names import Model
from checker.plan import Plan
from checker.pool import in_parallel
from checker.records import dataclass
from checker.search import Listener


@dataclass(frozen=True, slots=True)
class _Task:
    model: Model
    plan: Plan
    run: Run


def run_checks(
    asked: Sequence[tuple[Model, Plan]], run: Run, jobs: int, events: Listener | None = None
) -> Iterator[CheckResult | UserError]:
    """The results in order, or what is wrong with a check.

    With one job the engines report to `events`, with several each has one thread.
    """
    if jobs <= 1 or len(asked) <= 1:
        for model, plan in asked:
            yield _run(_Task(model, plan, run), events)
        return
    alone = replace(run, threads=1)
    yield from in_parallel(_run, [_Task(model, plan, alone) for model, plan in asked], jobs)


def _run(task: _Task, events: Listener | None = None) -> CheckResult | UserError:
    try:
        return run_check(task.model, task.plan, task.run, events)
    except UserError as error:
        return error
