"""What is said of a litmus test."""

from __future__ import annotations

from collections.abc import Sequence

from checker.litmus.run import Result
from checker.report.values import Json


def render_litmus(result: Result, *, witness: bool = True) -> str:
    """The verdict, and one run that shows it."""
    litmus = result.litmus
    expected = {None: "", True: " as expected", False: f" NOT as expected: {litmus.expected}"}[result.as_expected]
    within = "" if result.complete else ", not all states were visited"
    cut = ", older messages were dropped" if result.cut else ""
    lines = [
        f"{litmus.name}: {result.observation}{expected}",
        f"  {result.positive} outcomes with and {result.negative} without; {result.states:,} states{cut}{within}",
    ]
    lines += [f"  note: {note}" for note in litmus.notes]
    if witness and result.witness:
        about = "not " if litmus.quantifier == "forall" else ""
        lines.append(f"  {about}{litmus.quantifier.removeprefix('~')}: a run that ends so")
        lines += [f"  {number:3}  {step}" for number, step in enumerate(result.witness, start=1)]
    return "\n".join(lines) + "\n"


def render_summary(results: Sequence[Result]) -> str:
    """How many are as their files state."""
    stated = [r for r in results if r.as_expected is not None]
    good = sum(bool(r.as_expected) for r in stated)
    return f"{good} of {len(stated)} stated results as expected; {len(results)} tests\n"


def litmus_record(result: Result, file: str) -> dict[str, Json]:
    """The result as JSON has it."""
    return {
        "file": file,
        "name": result.litmus.name,
        "observation": result.observation,
        "expected": result.litmus.expected,
        "positive": result.positive,
        "negative": result.negative,
        "states": result.states,
        "complete": result.complete,
        "history_cut": result.cut,
        "witness": [*result.witness],
        "notes": [*result.litmus.notes],
    }
