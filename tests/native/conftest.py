"""The engine compiled with sanitizers, where LZCHECK_SANITIZE names some."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from checker.native import run
from checker.native.build import Building
from tests.native.corpus import SANITIZE


@pytest.fixture(scope="session")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What is compiled with sanitizers: the engine itself only once."""
    return tmp_path_factory.mktemp("programs")


@pytest.fixture
def sanitizers(programs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """For the tests of a module that asks for them."""
    if SANITIZE:
        flags = (f"-fsanitize={SANITIZE}", "-fno-sanitize-recover=all", "-g1")
        cache = {**os.environ, "XDG_CACHE_HOME": str(programs)}
        monkeypatch.setattr(run, "Building", lambda sources, words: Building(sources, words, cache, flags))
