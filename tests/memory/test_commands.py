"""Other commands on models under a weaker memory model: saved traces, graphs, and what has none."""

from __future__ import annotations

from pathlib import Path

import pytest

from checker.cli import main
from checker.core.verdict import ExitCode

MODEL = """model buffers;
config MB = false;
var x : bool; var y : bool; ghost var a : bool = true; ghost var b : bool = true;
thread p { x = true; if MB { smp_mb(); } let r = y; a = r; }
thread q { y = true; if MB { smp_mb(); } let r = x; b = r; }
invariant one: a || b;
check plain expect pass;
check tso { memory = tso; } expect fail one;
check weak { memory = weak; } expect fail one in 4 steps;
check fenced_tso { MB = true; memory = tso; } expect pass;
check fenced_weak { MB = true; memory = weak; } expect pass;
"""


@pytest.fixture
def model(tmp_path: Path) -> str:
    file = tmp_path / "buffers.lzm"
    file.write_text(MODEL)
    return str(file)


def test_the_checks_of_one_text(model: str) -> None:
    assert main([model, "--all"]) == ExitCode.EXPECTED
    assert main([model, "--check", "plain", "--memory", "tso"]) == ExitCode.SURPRISE
    assert main([model, "--check", "weak", "--memory", "sc"]) == ExitCode.SURPRISE


@pytest.mark.parametrize("memory", ["tso", "weak"])
def test_a_saved_trace_keeps_its_memory_model(
    model: str, tmp_path: Path, memory: str, capsys: pytest.CaptureFixture[str]
) -> None:
    trace = str(tmp_path / "trace.json")
    main([model, "--check", "plain", "--memory", memory, "--trace", trace])
    assert main(["replay", trace]) == ExitCode.EXPECTED
    assert "still there: one fails after the same 4 steps" in capsys.readouterr().out
    fixed = tmp_path / "fixed.lzm"
    fixed.write_text(MODEL.replace("config MB = false", "config NO = false").replace("if MB { smp_mb(); }", "smp_mb();")
                     .replace("MB = true; ", ""))  # fmt: skip
    assert main(["replay", trace, "--model", str(fixed)]) == ExitCode.SURPRISE
    assert "blocked at step 2 of 4" in capsys.readouterr().out


def test_the_graph_under_the_weak_memory_model(model: str, tmp_path: Path) -> None:
    assert main(["graph", model, "--check", "fenced_weak", "-o", str(tmp_path / "g.json")]) == ExitCode.EXPECTED


@pytest.mark.parametrize(
    "arguments", [("induct", "--check", "weak"), ("check", "--check", "weak", "--engine", "smt")],
)  # fmt: skip
def test_who_has_no_weak_memory_model_says_so(
    model: str, arguments: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    command, *options = arguments
    assert main([command, model, *options]) == ExitCode.USAGE
    assert "no weak memory model" in capsys.readouterr().err


def test_the_bound_is_said(model: str, capsys: pytest.CaptureFixture[str]) -> None:
    main([model, "--check", "fenced_weak"])
    assert "weak with 2 messages kept of a location, which was enough" in " ".join(capsys.readouterr().out.split())
    main([model, "--check", "fenced_weak", "--history", "0"])
    assert "weak with all messages kept" in " ".join(capsys.readouterr().out.split())
    main([model, "--check", "weak", "--history", "1"])
    assert "older ones that could be read were dropped" in " ".join(capsys.readouterr().out.split())
