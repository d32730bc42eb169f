"""The counterexamples in docs/protocols.md are what the tool says; `--promote` writes them anew."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

import pytest

from checker.check import run_check
from checker.engines import Run
from checker.lang.names import Model, load_model
from checker.lang.parser import Parser
from checker.plan import Overrides, plans
from checker.report.text import render_email

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "protocols.md"
PLACE = re.compile(r"^<!-- counterexample: (\S+) (\S+) -->\n(?:```\n(.*?)```\n)?", re.MULTILINE | re.DOTALL)
PLACES = [(m[1], m[2]) for m in PLACE.finditer(PAGE.read_text(encoding="utf-8"))]
_PARSER = Parser()


@cache
def model(file: str) -> Model:
    return load_model(file, _PARSER)


def table(file: str, check: str) -> str:
    """The counterexample of a check, as `lzcheck --email` prints it."""
    (plan,) = plans(model(file), (check,), Overrides())
    return render_email(run_check(model(file), plan, Run(engine="auto")))


@pytest.mark.parametrize(("file", "check"), PLACES)
def test_counterexample_is_the_tools(
    file: str, check: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    page = PAGE.read_text(encoding="utf-8")
    found = next(m for m in PLACE.finditer(page) if (m[1], m[2]) == (file, check))
    text = table(file, check)
    assert text
    if request.config.getoption("--promote"):
        new = f"<!-- counterexample: {file} {check} -->\n```\n{text}```\n"
        PAGE.write_text(page[: found.start()] + new + page[found.end() :], encoding="utf-8")
    else:
        assert found[3] == text
