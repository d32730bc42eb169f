"""A check in plain text, to be read in a terminal or quoted in a mail."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import Final

from checker.core.system import PropertyKind
from checker.core.verdict import BROKEN, CheckResult, ExitCode, PropertyVerdict, is_one_of
from checker.report.phrases import (
    config_text,
    counted,
    expectation_text,
    number,
    outcome_text,
    verdict_sentence,
)
from checker.report.table import WIDTH, plain_table
from checker.report.tracetext import render_trace

__all__ = ["render_email", "render_result", "render_suite", "render_trace"]

_NAMES_WIDTH: Final = 34


def render_email(result: CheckResult, *, values: bool = True) -> str:
    """The counterexamples and nothing else: what one pastes below a `---` line."""
    return "\n".join(render_trace(v.trace, values=values) for v in _failing(result) if v.trace is not None)


def render_result(result: CheckResult, *, values: bool = True) -> str:
    """All there is to say of a check: the counterexamples first, then the verdicts."""
    blocks = [render_trace(v.trace, values=values) for v in _failing(result) if v.trace is not None]
    blocks.append(_heading(result))
    if table := _properties(result.verdicts):
        blocks.append(table)
    if result.findings:
        blocks.append("".join(f"{f.where}: {f.message} [{f.code}]\n" for f in result.findings))
    blocks.append(_ending(result))
    return "\n".join(blocks)


def render_suite(results: Sequence[CheckResult]) -> str:
    """One line for each check, and a line that sums up."""
    from tabulate import tabulate  # here, as a single check can do without it

    headers = ("model", "check", "property", "expected", "got", "states", "steps", "time", "")
    rows = [_suite_row(result) for result in results]
    align = ("left",) * 5 + ("right",) * 3 + ("left",)
    colalign = align if rows else None
    table = tabulate(rows, headers, tablefmt="simple", disable_numparse=True, colalign=colalign)
    return f"{table}\n\n{_suite_summary(results)}\n"


def _failing(result: CheckResult) -> list[PropertyVerdict]:
    """The violations worth showing: the expected ones where there are any, else all."""
    failing = list(result.broken)
    expected = [v for v in failing if is_one_of(v.property, result.expectation.properties)]
    return expected or failing


# -- one check ---------------------------------------------------------------


def _heading(result: CheckResult) -> str:
    bug = f' (bug: "{result.bug}")' if result.bug else ""
    lines = textwrap.wrap(f"{result.model}: {result.check}{bug}: {verdict_sentence(result)}", WIDTH)
    config = config_text(result.instance.system)
    if config:
        lines.extend(textwrap.wrap(config, WIDTH, initial_indent="  ", subsequent_indent="  "))
    return "\n".join(lines) + "\n"


def _properties(verdicts: Sequence[PropertyVerdict]) -> str:
    """The table of verdicts; faults that none was found of share a row."""
    quiet = [v for v in verdicts if v.property.kind is PropertyKind.FAULT and v.outcome not in BROKEN]
    shared = quiet if len({(v.outcome, v.note) for v in quiet}) == 1 else []
    rows = [(v.property.name, v.property.kind_text, outcome_text(v)) for v in verdicts if v not in shared]
    if shared:
        names = textwrap.fill(", ".join(v.property.name for v in shared), _NAMES_WIDTH)
        rows.append((names, PropertyKind.FAULT.value, outcome_text(shared[0])))
    if not rows:
        return ""
    return textwrap.indent(plain_table(rows), "  ")


def _ending(result: CheckResult) -> str:
    statistics = result.statistics
    expected = expectation_text(result.expectation)
    lines = []
    match result.exit_code:
        case ExitCode.EXPECTED:
            lines.append(f"as expected: {expected}")
        case ExitCode.LIMIT:
            lines.append(f"expected: {expected}; a limit ended the run before an answer ({statistics.limit})")
        case _:
            lines.append(f"NOT as expected: {expected}")
    lines.extend(f"  {surprise}" for surprise in result.surprises)
    lines.extend(f"note: {note}" for note in result.notes)
    lines.extend(textwrap.wrap(_statistics(result), WIDTH))
    return "\n".join(lines) + "\n"


def _statistics(result: CheckResult) -> str:
    statistics = result.statistics
    parts = [f"depth {number(statistics.depth)}", f"{statistics.seconds:.2f} s"]
    if statistics.states:  # bounded search visits none
        parts = [counted(statistics.states, "state"), counted(statistics.transitions, "transition"), *parts]
    if statistics.peak_memory:
        memory = f"{number(round(statistics.peak_memory))} MiB"
        if statistics.state_bytes:
            memory += f" ({round(statistics.state_bytes)} bytes a state)"
        parts.append(memory)
    how = [result.engine, result.strategy, f"memory {result.instance.system.memory_model}"]
    if result.seed is not None:
        how.append(f"seed {result.seed}")
    how.extend(result.reductions)
    if statistics.omission is not None:
        how.append(f"fingerprints (some state was left out: probability at most {statistics.omission:.1g})")
    return f"{', '.join(how)}: {', '.join(parts)}"


# -- many checks -------------------------------------------------------------


def _suite_row(result: CheckResult) -> tuple[str, ...]:
    failing = _failing(result)
    got = ", ".join(dict.fromkeys(v.outcome.value for v in failing))
    if not got:
        missed = [v for v in result.verdicts if v.missed()]
        passed = "proved" if result.expectation.verdict == "proved" else "pass"
        got = missed[0].outcome.value if missed else (passed if result.statistics.complete else "no answer")
        failing = missed
    steps = [len(v.trace.steps) for v in failing if v.trace is not None]
    return (
        result.model,
        result.check,
        ", ".join(v.property.name for v in failing) or "-",
        expectation_text(result.expectation, most=3),
        got,
        number(result.statistics.states),
        number(min(steps)) if steps else "-",
        f"{result.statistics.seconds:.2f} s",
        _judgement(result),
    )


def _judgement(result: CheckResult) -> str:
    match result.exit_code:
        case ExitCode.EXPECTED:
            return "ok"
        case ExitCode.LIMIT:
            return "LIMIT"
        case _:
            return "NOT"


def _suite_summary(results: Sequence[CheckResult]) -> str:
    judgements = [_judgement(result) for result in results]
    parts = [f"{number(judgements.count('ok'))} of {counted(len(results), 'check')} as expected"]
    if surprises := judgements.count("NOT"):
        parts.append(f"{number(surprises)} NOT")
    if limits := judgements.count("LIMIT"):
        parts.append(f"{number(limits)} ended by a limit")
    states = sum(result.statistics.states for result in results)
    seconds = sum(result.statistics.seconds for result in results)
    return f"{', '.join(parts)}; {counted(states, 'state')} in {seconds:.2f} s"
