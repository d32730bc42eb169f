"""Which fences are needed under which memory model, as a table and as records."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from checker.core.verdict import ExitCode
from checker.fences import Need, Needs
from checker.report.phrases import counted, number
from checker.report.table import to_ascii
from checker.report.values import Json

FENCES_SCHEMA: Final = "lzcheck-fences/1"
_WIDTH: Final = 40


def render_fences(model: str, refused: Mapping[str, str], needs: Sequence[Needs]) -> str:
    """A line for each fence with a column for each memory model, what could not be asked, and a line that sums up."""
    from tabulate import tabulate  # here, as most runs do without it

    memories = list(needs[0].under) if needs else []
    rows = [
        (_line(model, n), n.fence.owner, _text(n), *(_cell(n.under[m]) for m in memories))
        for n in needs
    ]  # fmt: skip
    headers = ("line", "in", "fence", *memories)
    align = ("right", *("left",) * (len(headers) - 1))
    lines = [tabulate(rows, headers, tablefmt="simple", disable_numparse=True, colalign=align if rows else None), ""]
    for memory, reason in refused.items():
        lines.append(f"{memory} was not asked{' for all checks' if memory in memories else ''}: {reason}")
    if refused:
        lines.append("")
    sums = [f"{sum(n.under[m].property is not None for n in needs)} needed under {m}" for m in memories]
    lines.append(f"{model}: {', '.join([counted(len(needs), 'fence'), *sums])}")
    return "\n".join(lines) + "\n"


def fences_record(model: str, refused: Mapping[str, str], needs: Sequence[Needs]) -> dict[str, Json]:
    """The same for programs."""
    records: list[Json] = []
    for n in needs:
        under: dict[str, Json] = {
            memory: {
                "needed": None if need.undecided or not need.part else need.property is not None,
                "property": need.property, "check": need.check or None, "steps": need.steps,
            }
            for memory, need in n.under.items()
        }  # fmt: skip
        records.append({
            "fence": n.fence.text, "without": n.fence.without, "in": n.fence.owner, "file": n.fence.span.file,
            "line": n.fence.span.line, "column": n.fence.span.column, "under": under,
        })  # fmt: skip
    return {"schema": FENCES_SCHEMA, "model": model, "not_asked": dict(refused), "fences": records}


def fences_status(needs: Sequence[Needs]) -> ExitCode:
    """3 where a limit came first, else 0: that a fence is not needed is no mistake."""
    undecided = any(need.undecided and need.property is None for n in needs for need in n.under.values())
    return ExitCode.LIMIT if undecided else ExitCode.EXPECTED


def _line(model: str, needs: Needs) -> str:
    span = needs.fence.span
    return str(span.line) if span.file == model else f"{span.file}:{span.line}"


def _text(needs: Needs) -> str:
    text = to_ascii(needs.fence.text)
    text = text if len(text) <= _WIDTH else text[: _WIDTH - 3] + "..."
    return f"{text} -> {needs.fence.without}" if needs.fence.without else text


def _cell(need: Need) -> str:
    if need.property is not None:
        steps = "" if need.steps is None else f" in {number(need.steps)} steps"
        return f"needed: {need.property}{steps} ({need.check})"
    if not need.part:
        return "-"
    return f"? ({need.undecided})" if need.undecided else "not needed"
