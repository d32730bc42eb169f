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
PLACE = re.compile(
    r"^<!-- counterexample: (\S+) (\S+) -->\n(?:<details><summary>\S+</summary>\n\n```\n(.*?)```\n</details>\n)?",
    re.MULTILINE | re.DOTALL,
)
PLACES = [(m[1], m[2]) for m in PLACE.finditer(PAGE.read_text(encoding="utf-8"))]
_PARSER = Parser()


@cache
def model(file: str) -> Model:
    return load_model(file, _PARSER)


def table(file: str, check: str) -> str:
    """The counterexample of a check, as `lzcheck --email --brief` prints it."""
    (plan,) = plans(model(file), (check,), Overrides())
    return render_email(run_check(model(file), plan, Run(engine="auto")), values=False)


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
        new = (
            f"<!-- counterexample: {file} {check} -->\n"
            f"<details><summary>{check}</summary>\n\n```\n{text}```\n</details>\n"
        )
        PAGE.write_text(page[: found.start()] + new + page[found.end() :], encoding="utf-8")
    else:
        assert found[3] == text


def test_every_model_has_a_section() -> None:
    page = PAGE.read_text(encoding="utf-8")
    protocols = {
        model.name for model in (ROOT / "models").glob("*.lzm") if "\ncheck " in model.read_text(encoding="utf-8")
    }
    assert protocols == set(re.findall(r"^\[models/\S+\]\(\.\./models/(\S+)\)$", page, re.MULTILINE))


def test_every_bug_is_on_the_page_or_in_the_table() -> None:
    """A model's bugs are told where the model is, each by its name."""
    page = PAGE.read_text(encoding="utf-8")
    named = {
        name
        for model in (ROOT / "models").glob("*.lzm")
        for name in re.findall(r'bug "([^"]+)"', model.read_text("utf-8"))
    }
    assert named
    assert not {name for name in named if name not in page}
