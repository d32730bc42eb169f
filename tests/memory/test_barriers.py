"""Which barriers would forbid what a trace shows: found by trying, on shapes whose answer is known."""

from __future__ import annotations

from pathlib import Path

import pytest

from checker.barriers import advice, advice_text
from checker.check import run_check
from checker.cli import main
from checker.engines import Run
from checker.lang.names import load_model
from checker.lang.parser import Parser
from checker.plan import Overrides, plans

RUN = Run(engine="explorer")

SB = """model sb;
var x : bool; var y : bool; ghost var a : bool = true; ghost var b : bool = true;
thread p {
    x = true;
    let r = y;
    a = r;
}
thread q {
    y = true;
    let r = x;
    b = r;
}
invariant property: a || b;
"""

MP = """model mp;
var data : bool; var flag : bool; ghost var a : bool = true;
thread w {
    data = true;
    W flag = true;
}
thread r {
    await flag;
    R let d = data;
    a = d;
}
invariant property: a;
"""

LOST = """model lost;
var x : 0..2;
thread p { let r = x; x = r + 1; }
thread q { let r = x; x = r + 1; }
invariant property: x < 1;
"""


def said(text: str, memory: str) -> list[tuple[tuple[str, int], ...]]:
    """The ways to forbid the violation: the barriers, and the lines of the statements that they are in front of."""
    model = load_model("test.lzm", Parser(), text=text)
    (plan,) = plans(model, [], Overrides(memory_model=memory))
    result = run_check(model, plan, RUN)
    found = advice(model, plan, result, RUN)
    assert found is not None
    return [tuple((fence, gap.at.line) for fence, gap in way) for way in found.ways]


@pytest.mark.parametrize("memory", ["tso", "weak"])
def test_store_buffering_needs_two(memory: str) -> None:
    assert said(SB, memory) == [(("smp_mb", 5), ("smp_mb", 10))]


def test_the_weakest_barriers_that_do_are_named() -> None:
    assert said(MP.replace("W ", "").replace("R ", ""), "weak") == [(("smp_wmb", 5), ("smp_rmb", 9))]
    assert said(MP.replace("W ", "smp_wmb(); ").replace("R ", ""), "weak") == [(("smp_rmb", 9),)]
    assert said(MP.replace("W ", "").replace("R ", "smp_rmb(); "), "weak") == [(("smp_wmb", 5),)]


def test_several_ways_are_all_named() -> None:
    three = SB.replace("    let r = y;", "    z = true;\n    let r = y;").replace("var x", "var z : bool; var x")
    three = three.replace("    y = true;\n", "    y = true;\n    smp_mb();\n")
    assert said(three, "tso") == [(("smp_mb", 5),), (("smp_mb", 6),)]


def test_what_barriers_do_not_forbid_is_said() -> None:
    model = load_model("test.lzm", Parser(), text=LOST)
    (plan,) = plans(model, [], Overrides(memory_model="weak"))
    found = advice(model, plan, run_check(model, plan, RUN), RUN)
    assert found is not None
    assert found.ways == ()
    assert advice_text(found).startswith("no barrier would forbid that property fails")


def test_nothing_is_said_where_time_is_over() -> None:
    model = load_model("test.lzm", Parser(), text=SB)
    (plan,) = plans(model, [], Overrides(memory_model="weak"))
    assert advice(model, plan, run_check(model, plan, RUN), RUN, seconds=0.0) is None


def test_the_command_says_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "sb.lzm"
    file.write_text(f"{SB}check w {{ memory = weak; }} expect fail property;\ncheck s expect pass;\n")
    main([str(file), "--check", "w"])
    out = " ".join(capsys.readouterr().out.split())
    assert "smp_mb() between 'x = true' (line 4) and 'let r = y' (line 5), together with smp_mb() between" in out
    main([str(file), "--check", "s"])
    assert "would forbid" not in capsys.readouterr().out
