"""On the models themselves: every engine says what the semantics says, and what the checks expect."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from checker.check import run_check
from checker.core.verdict import ExitCode, Limits
from checker.engines import Run
from checker.lang.names import load_model
from checker.lang.parser import Parser
from checker.plan import Overrides, Plan, make_instance, plans
from tests.core.test_compile import agree

ROOT = Path(__file__).parents[2]
YARDSTICK = ROOT / "bench" / "peers" / "shoot_lazies" / "shoot.lzm"
PARSER = Parser()


def checks() -> Iterator[tuple[str, str]]:
    """Every check of every model."""
    for file in [*sorted((ROOT / "models").glob("*.lzm")), YARDSTICK]:
        if is_library(file):
            continue
        for name in load_model(str(file), PARSER).checks:
            yield str(file.relative_to(ROOT)), name


def is_library(file: Path) -> bool:
    lines = (line.strip() for line in file.read_text(encoding="utf-8").splitlines())
    return next(x for x in lines if x and not x.startswith("/")).startswith("library")


def plan_of(file: str, name: str) -> Plan:
    (plan,) = plans(load_model(str(ROOT / file), PARSER), (name,), Overrides())
    return plan


@pytest.mark.parametrize(("file", "name"), [pytest.param(*c, id="-".join(c)) for c in checks()])
def test_compiled_transitions_are_those_of_the_semantics(file: str, name: str) -> None:
    model = load_model(str(ROOT / file), PARSER)
    assert agree(make_instance(model, plan_of(file, name)), 12) > 1


@pytest.mark.parametrize(("check", "states", "transitions"), [("two_one", 865, 2_294), ("three_one", 10_443, 39_915)])
def test_yardstick_has_the_states_of_the_other_checkers(check: str, states: int, transitions: int) -> None:
    """The counts are those of the same protocol in Promela, Murphi and TLA+."""
    model = load_model(str(YARDSTICK), PARSER)
    result = run_check(model, plan_of(str(YARDSTICK), check), Run())
    assert (result.statistics.states, result.statistics.transitions) == (states, transitions)
    assert result.exit_code is ExitCode.EXPECTED


@pytest.mark.parametrize("check", ["no_ipis", "no_mask"])
def test_yardstick_bugs_are_found_at_the_same_depth(check: str) -> None:
    result = run_check(load_model(str(YARDSTICK), PARSER), plan_of(str(YARDSTICK), check), Run())
    assert result.exit_code is ExitCode.EXPECTED


@pytest.mark.parametrize(("file", "name"), [pytest.param(*c, id="-".join(c)) for c in checks()])
def test_shortest_counterexample_is_no_longer_than_any_other(file: str, name: str) -> None:
    """Depth-first search finds the same violations, never by a shorter way."""
    plan = plan_of(file, name)
    if plan.expectation.verdict != "fail" or plan.unsupported:
        pytest.skip("nothing is expected to fail")
    model = load_model(str(ROOT / file), PARSER)
    limits = Limits(states=3_000)
    shortest = {v.property.name: v.trace for v in run_check(model, plan, Run(limits=limits)).verdicts}
    other = run_check(model, plan, Run(strategy="dfs", limits=limits))
    for verdict in other.verdicts:
        trace = shortest.get(verdict.property.name)
        if verdict.trace is not None and trace is not None:
            assert len(trace.steps) <= len(verdict.trace.steps)
