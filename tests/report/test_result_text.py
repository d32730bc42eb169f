"""What is said of a check and of many: never more than was done."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from io import StringIO

from checker.core.verdict import Expectation, Limits, Outcome, PropertyVerdict, Statistics
from checker.report.phrases import expectation_text, verdict_sentence
from checker.report.progress import Progress, progress_text
from checker.report.text import render_email, render_result, render_suite, render_trace
from tests.report import sample


def limited(limit: str, strategy: str = "bfs") -> str:
    instance = sample.sample()
    verdict = PropertyVerdict(sample.find(instance, "no_freed_mm"), Outcome.HOLDS_TO)
    statistics = Statistics(1000, 3000, 12, 1.0, limit=limit)
    limits = Limits(depth=12)
    return verdict_sentence(sample.result_of(verdict, statistics=statistics, limits=limits, strategy=strategy))


def test_passing_golden(golden: Callable[[str, str], None]) -> None:
    golden("result_passing.txt", render_result(sample.passing()))


def test_failing_golden(golden: Callable[[str, str], None]) -> None:
    golden("result_failing.txt", render_result(sample.failing()))


def test_suite_golden(golden: Callable[[str, str], None]) -> None:
    limit = replace(sample.passing(), statistics=Statistics(10, 20, 3, 0.5, limit="seconds"))
    golden("suite.txt", render_suite([sample.passing(), sample.failing(), limit]))


def test_a_passing_result_is_one_screen() -> None:
    assert len(render_result(sample.passing()).splitlines()) < 24


def test_email_is_the_trace_and_nothing_else() -> None:
    failing = sample.failing()
    trace = failing.verdicts[0].trace
    assert trace is not None
    assert render_email(failing) == render_trace(trace)
    assert render_email(sample.passing()) == ""


def test_all_states_is_said_only_of_a_complete_run() -> None:
    assert verdict_sentence(sample.passing()) == "holds for all 48,210 states (CPU=2, mm=1)"
    assert limited("depth") == "no violation within 12 steps (limit: depth; CPU=2, mm=1)"
    assert limited("states") == "no violation in the 1,000 states visited (limit: states; CPU=2, mm=1)"
    assert limited("depth", strategy="dfs").startswith("no violation in the 1,000 states visited")


def test_reductions_are_part_of_the_claim() -> None:
    sentence = verdict_sentence(replace(sample.passing(), reductions=("symmetry",)))
    assert sentence == "holds for all states (CPU=2, mm=1); 48,210 states visited, reduced by symmetry"


def test_vacuous_and_unreached_are_no_pass() -> None:
    instance = sample.sample()
    vacuous = PropertyVerdict(sample.find(instance, "no_freed_mm"), Outcome.VACUOUS)
    unreached = PropertyVerdict(sample.find(instance, "lazy_at_drop"), Outcome.UNREACHED)
    assert "premise is never met" in verdict_sentence(sample.result_of(vacuous))
    assert verdict_sentence(sample.result_of(unreached)) == "never reached: lazy_at_drop (CPU=2, mm=1)"
    assert "nothing was asked" in verdict_sentence(sample.result_of())


def test_faults_that_were_not_found_share_a_row() -> None:
    instance = sample.sample()
    prop = sample.find(instance, "use_after_free")
    others = [replace(prop, name=name) for name in ("double_free", "get_on_zero", "bad_unlock")]
    verdicts = [PropertyVerdict(p, Outcome.HOLDS) for p in (prop, *others)]
    words = render_result(sample.result_of(*verdicts)).split()
    assert words.count("fault") == 1
    assert {"use_after_free,", "double_free,", "get_on_zero,", "bad_unlock"} <= set(words)


def test_expectations_in_the_models_words() -> None:
    assert expectation_text(Expectation()) == "pass"
    assert expectation_text(Expectation("fail", ("a", "b"), 6)) == "fail a, b in 6 steps"
    assert expectation_text(Expectation(states=1842)) == "pass states 1,842"


class Terminal(StringIO):
    """A terminal, as far as anybody asks."""

    def isatty(self) -> bool:
        return True


def test_progress_is_one_line_that_is_wiped() -> None:
    stream = Terminal()
    with Progress(stream) as progress:
        progress.progress(1000, 3000, 4, 20, 0.5)
        progress.progress(1001, 3000, 4, 20, 0.55)
        progress.progress(9000, 30000, 5, 7, 1.5)
    lines = stream.getvalue().split("\r")
    assert lines[1] == "1,000 states (2,000/s), 3,000 transitions, depth 4, 20 waiting, 0 s"
    assert lines[2].startswith("9,000 states")
    assert lines[-1] == "" and not lines[-2].strip() and len(lines) == 5
    assert "\n" not in stream.getvalue()


def test_progress_keeps_quiet_elsewhere() -> None:
    stream = StringIO()
    with Progress(stream) as progress:
        progress.progress(1, 1, 1, 1, 1.0)
    assert stream.getvalue() == ""
    assert progress_text(1, 1, 0, 1, 0.0) == "1 state, 1 transition, depth 0, 1 waiting, 0 s"
