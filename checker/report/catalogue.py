"""The page that lists a folder's models and the real bugs that they show."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import PurePath

from checker.core.verdict import BROKEN, CheckResult, is_one_of
from checker.report.phrases import counted, number, sizes


def render_catalogue(docs: Mapping[str, str], results: Sequence[CheckResult], command: str) -> str:
    """Markdown; `docs` are the models' descriptions by file, `command` is what made the page."""
    passing = [r for r in results if r.expectation.verdict == "pass"]
    states = sum(r.statistics.states for r in passing)
    parts = [
        "# The models\n",
        f"Made by `{command}`; do not edit.  {counted(len(docs), 'model')}, {counted(len(results), 'check')},"
        f" of which {number(len(passing))} pass, over {counted(states, 'state')}.\n",
        _models(docs, results),
        "## Real bugs\n",
        "A bug is listed with the check that has the buggy form of the code.  `steps` is the length of the"
        " shortest counterexample, `states` what was visited until it was found.  Bugs that need a weaker memory"
        " model than a check's hold there.\n",
        _bugs(results),
    ]
    return "\n".join(parts)


def _models(docs: Mapping[str, str], results: Sequence[CheckResult]) -> str:
    rows = []
    for file, doc in docs.items():
        own = [r for r in results if r.model == file]
        passing = sum(r.expectation.verdict == "pass" for r in own)
        first = doc.strip().split("\n\n")[0].replace("\n", " ")
        rows.append((_link(file), first, number(passing), number(len(own) - passing)))
    headers = ("model", "what it is about", "pass", "fail")
    return _table(rows, headers, ("left", "left", "right", "right"))


def _bugs(results: Sequence[CheckResult]) -> str:
    rows = [_bug(r) for r in results if r.bug]
    headers = ("bug", "model", "check", "sizes", "memory", "property", "verdict", "states", "steps")
    align = ("left",) * 7 + ("right",) * 2
    return _table(sorted(rows), headers, align)


def _bug(result: CheckResult) -> tuple[str, ...]:
    asked = [v for v in result.verdicts if is_one_of(v.property, result.expectation.properties)]
    failing = [v for v in asked if v.outcome in BROKEN]
    steps = [len(v.trace.steps) for v in failing if v.trace is not None]
    return (
        result.bug or "",
        _link(result.model),
        result.check,
        ", ".join(f"{name} {size}" for name, size in sizes(result.instance).items()),
        result.instance.system.memory_model,
        ", ".join(v.property.name for v in failing) or "-",
        ", ".join(dict.fromkeys(v.outcome.value for v in failing)) or "holds",
        number(result.statistics.states),
        number(min(steps)) if steps else "-",
    )


def _link(file: str) -> str:
    name = PurePath(file).name
    return f"[{name.removesuffix('.lzm')}]({name})"


def _table(rows: Sequence[Sequence[str]], headers: Sequence[str], align: Sequence[str]) -> str:
    from tabulate import tabulate  # here, as most runs do without it

    return tabulate(rows, headers, tablefmt="pipe", disable_numparse=True, colalign=align if rows else None) + "\n"
