"""What all tests share: golden files, rewritten with `--promote`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import settings

# The same examples in every run; `--hypothesis-profile=default` draws new ones.
settings.register_profile("repeatable", derandomize=True, database=None)
settings.load_profile("repeatable")

GOLDEN = Path(__file__).parent / "golden"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add `--promote`."""
    parser.addoption("--promote", action="store_true", help="rewrite the golden files to what is seen now")


@pytest.fixture
def golden(request: pytest.FixtureRequest) -> Callable[[str | Path, str], None]:
    """A check that a text equals the golden file of that name; with `--promote` the file follows the text.

    A relative name is one in tests/golden; an absolute path is a golden file beside its input.
    """
    promote = request.config.getoption("--promote")

    def check(name: str | Path, text: str) -> None:
        path = GOLDEN / name
        if promote:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        assert path.exists(), f"there is no {path.name}; write it with --promote"
        assert text == path.read_text(encoding="utf-8")

    return check
