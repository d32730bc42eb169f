"""A compiler that works beside the explorer: who answers does not depend on it, and nothing of it stays behind."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from checker import engines
from checker.core.instance import Instance
from checker.engines import Run, search
from tests.systems import counters

pytestmark = pytest.mark.skipif(shutil.which("cc") is None, reason="no C compiler")


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize(("top", "cpus", "states"), [(1, 3, 8), (5, 3, 216), (6, 4, 2401)])
def test_the_same_engine_answers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, top: int, cpus: int, states: int, threads: int
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(engines, "_TINY", 100)
    monkeypatch.setattr(engines, "SMALL", 1000)
    prepared = []
    prepare = engines.prepare_native

    def watched(*arguments: object, **more: object) -> object:
        prepared.append(prepare(*arguments, **more))  # type: ignore[arg-type]
        return prepared[-1]

    monkeypatch.setattr(engines, "prepare_native", watched)
    instance = Instance(counters(top), {"CPU": cpus})
    answer = search(instance, (), Run(engine="auto", threads=threads, symmetry=False), None, None)
    assert answer.exploration.statistics.states == states
    assert answer.exploration.statistics.complete
    assert answer.engine == ("native" if states > 1000 else "explorer")
    assert len(prepared) == (threads > 1 and states > 100)
    left = [path.name for path in (tmp_path / "lzcheck").glob("*")] if (tmp_path / "lzcheck").exists() else []
    assert not any(name.startswith("build-") for name in left)
    assert any(name.startswith("model-") for name in left) == (states > 1000)
