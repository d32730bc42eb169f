"""Every whole model in the documents runs, and its checks are as expected."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from checker.check import run_check
from checker.core.verdict import ExitCode
from checker.engines import Run
from checker.lang.names import load_model
from checker.plan import Overrides, plans
from checker.report.phrases import verdict_sentence

ROOT = Path(__file__).parents[2]
FILES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def models() -> Iterator[tuple[str, str]]:
    """The fenced blocks that are whole models, with where they stand."""
    for file in FILES:
        text = file.read_text(encoding="utf-8")
        for block in re.finditer(r"^```(?:lzm)?\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
            if re.match(r"\s*(///.*\n)*\s*model \w+;", block.group(1)):
                line = text[: block.start()].count("\n") + 2
                yield f"{file.name}:{line}", block.group(1)


@pytest.mark.parametrize(("place", "text"), [pytest.param(*m, id=m[0]) for m in models()])
def test_model_in_a_document(place: str, text: str) -> None:
    model = load_model(place, text=text)
    for plan in plans(model, None, Overrides()):
        result = run_check(model, plan, Run(engine="auto"))
        assert result.exit_code is ExitCode.EXPECTED, (plan.name, result.surprises, result.findings)


def test_quoted_verdicts_are_what_is_said() -> None:
    for file in FILES:
        text = file.read_text(encoding="utf-8")
        for block in re.finditer(r"^```\n(model (\w+);.*?)^```$(.*?)(?=^```|\Z)", text, re.MULTILINE | re.DOTALL):
            source, name, after = block.groups()
            for check, said in re.findall(rf"^    {name}\.lzm: (\w+): (.*)$", after, re.MULTILINE):
                model = load_model(name, text=source)
                (plan,) = plans(model, (check,), Overrides())
                assert verdict_sentence(run_check(model, plan, Run(engine="auto"))) == said


def test_documents_have_models() -> None:
    assert len(list(models())) >= 5


def test_links_lead_somewhere() -> None:
    for file in FILES:
        for target in re.findall(r"\]\(([^)#:]+)\)", file.read_text(encoding="utf-8")):
            assert (file.parent / target).exists(), f"{file.name} links to {target}"
