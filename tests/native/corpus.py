"""The checks of the models, for tests that go through them: a few in every run, all where LZCHECK_CORPUS=all."""

from __future__ import annotations

import os
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from checker.core.instance import Instance
from checker.core.memory.weak import is_weak
from checker.core.system import Property
from checker.lang.names import load_model
from checker.lang.parser import Parser
from checker.plan import Overrides, make_instance, plans

ROOT = Path(__file__).parents[2]
ALL = os.environ.get("LZCHECK_CORPUS") == "all"
SANITIZE = os.environ.get("LZCHECK_SANITIZE", "")
_PARSER = Parser()


def files() -> Iterator[Path]:
    """The models; what only others use is none."""
    for path in [*sorted((ROOT / "models").glob("*.lzm")), ROOT / "bench" / "peers" / "shoot_lazies" / "shoot.lzm"]:
        lines = (line.strip() for line in path.read_text(encoding="utf-8").splitlines())
        if not next((x for x in lines if x and not x.startswith("/")), "").startswith("library"):
            yield path


@cache
def checks() -> tuple[object, ...]:
    """Parameters (file, check): of each model the first check and one that shall fail, or all."""
    found: list[object] = []
    for path in files():
        declared = load_model(str(path), _PARSER).checks
        first = dict.fromkeys([*list(declared)[:1], *[n for n, c in declared.items() if c.verdict == "fail"][:1]])
        found += [pytest.param(path, name, id=f"{path.stem}-{name}") for name in (declared if ALL else first)]
    return tuple(found)


def question(path: Path, check: str) -> tuple[Instance, tuple[Property, ...]]:
    """The instance of a check, and all its properties."""
    model = load_model(str(path), _PARSER)
    (plan,) = plans(model, (check,), Overrides())
    if plan.unsupported:
        pytest.skip(plan.unsupported)
    instance = make_instance(model, plan)
    if is_weak(instance):
        pytest.skip("tests/native/test_weak.py has the weak memory model")
    return instance, instance.system.properties
