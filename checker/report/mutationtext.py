"""What became of a model's mutations, as a table and as records."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from typing import Final

from checker.core.verdict import ExitCode
from checker.mutate import Fate, Mutant
from checker.report.phrases import counted, number
from checker.report.table import to_ascii
from checker.report.values import Json

MUTATION_SCHEMA: Final = "lzcheck-mutation/1"
_TEXT_WIDTH: Final = 44
_BY_WIDTH: Final = 48


def render_mutants(model: str, checks: str, mutants: Sequence[Mutant]) -> str:
    """A line for each mutation, those that nothing notices once more at the end, and a line that sums up.

    A reason for what is noticed after all gets a note.
    """
    from tabulate import tabulate  # here, as most runs do without it

    several = len({m.check for m in mutants}) > 1
    rows = [(*_row(model, m), *((m.check,) if several else ())) for m in mutants]
    headers = ("line", "in", "what", "left out", "fate", "by", "steps", *(("in check",) if several else ()))
    align = ("right", "left", "left", "left", "left", "left", "right", *(("left",) if several else ()))
    table = tabulate(rows, headers, tablefmt="simple", disable_numparse=True, colalign=align if rows else None)
    survivors = [m for m in mutants if m.fate is Fate.SURVIVES]
    lines = [table, ""]
    if survivors:
        lines.append("Nothing notices when one of these is left out:")
        lines += [f"  {m.span}: {m.what}: {to_ascii(m.text)}" for m in survivors]
        lines += ['Is a property missing?  If not, say why in the model: @survives("...") before the statement.', ""]
    for where in _contradicted(model, mutants):
        lines += [f"note: {where}: @survives, but a property notices all that stands there", ""]
    lines.append(f"{model}: {checks}: {_summary(mutants)}")
    return "\n".join(lines) + "\n"


def mutant_records(model: str, checks: str, mutants: Sequence[Mutant]) -> dict[str, Json]:
    """The same for programs."""
    records: list[Json] = []
    for m in mutants:
        records.append({
            "what": m.what, "text": m.text, "in": m.owner, "file": m.span.file, "line": m.span.line,
            "column": m.span.column, "fate": m.fate.name.lower(), "by": m.by or None, "steps": m.steps,
            "states": m.states, "check": m.check,
        })  # fmt: skip
    return {"schema": MUTATION_SCHEMA, "model": model, "check": checks, "mutants": records}


def mutants_status(mutants: Sequence[Mutant]) -> ExitCode:
    """0 where every mutation is noticed or explained, 1 where one is not, 3 where one is undecided."""
    fates = {m.fate for m in mutants}
    if Fate.SURVIVES in fates:
        return ExitCode.SURPRISE
    return ExitCode.LIMIT if Fate.UNDECIDED in fates else ExitCode.EXPECTED


def _row(model: str, m: Mutant) -> tuple[str, ...]:
    place = str(m.span.line) if m.span.file == model else f"{m.span.file}:{m.span.line}"
    return (
        place, m.owner, m.what, _cut(m.text, _TEXT_WIDTH), m.fate.value, _cut(m.by, _BY_WIDTH),
        "-" if m.steps is None else number(m.steps),
    )  # fmt: skip


def _contradicted(model: str, mutants: Sequence[Mutant]) -> Iterator[str]:
    """Where a reason of the model itself stands before what is noticed; a library's may be for other models."""
    of: dict[tuple[str, str], list[Mutant]] = defaultdict(list)
    for m in mutants:
        if m.reason and m.span.file == model:
            of[m.owner, m.reason].append(m)
    for group in of.values():
        if all(m.fate is Fate.NOTICED for m in group):
            yield str(group[0].span)


def _cut(text: str, width: int) -> str:
    text = to_ascii(text)
    return text if len(text) <= width else text[: width - 3] + "..."


def _summary(mutants: Sequence[Mutant]) -> str:
    count = Counter(m.fate for m in mutants)
    parts = [counted(len(mutants), "mutation")]
    parts += [f"{number(count[fate])} {fate.value}" for fate in Fate if count[fate]]
    return ", ".join(parts)
