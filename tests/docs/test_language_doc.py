"""The examples of the language reference are what the tool accepts."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from checker.core.lower.model import FAULTS
from checker.lang.primitives import PRIMITIVES
from tests.models import explore_text, violated

TEXT = (Path(__file__).parents[2] / "docs" / "language.md").read_text(encoding="utf-8")
MODELS = [block for block in re.findall(r"```\w+\n(.*?)```", TEXT, re.DOTALL) if block.startswith("model")]


@pytest.mark.parametrize("text", MODELS, ids=[block.split(";")[0] for block in MODELS])
def test_models_hold(text: str) -> None:
    first_check = text.partition("\ncheck ")[2].partition("\n")[0]
    sizes = {name: int(size) for name, size in re.findall(r"(\w+) = (\d+);", first_check)}
    run = explore_text(text, **sizes)
    assert run.statistics.complete
    assert violated(run) == {}


def test_every_primitive_is_named() -> None:
    bases = {re.sub(r"_(relaxed|acquire|release)$", "", name) if "xchg" in name else name for name in PRIMITIVES}
    assert [name for name in sorted(bases) if name not in TEXT] == []


def test_every_built_in_violation_is_named() -> None:
    assert [name for name in FAULTS if f"`{name}" not in TEXT] == []
