"""Induction: what it proves, what it does not, and what it says of that."""

from __future__ import annotations

from pathlib import Path

import pytest

from checker.cli import main
from checker.core.instance import Instance
from checker.core.verdict import ExitCode, Outcome
from checker.induct import InductionResult, check_induction, distinguish
from tests.models import HEADER, explore_text, system_of

TURNS = """
var turn : CPU? = null;
percpu inside : bool;
thread worker on CPU {
    loop {
        atomic { await !turn; turn = this_cpu; }
        inside = true;
        inside = false;
        turn = null;
    }
}
invariant alone: forall a : CPU, b : CPU { inside[a] && inside[b] => a == b };
"""

NESTED = """
percpu outer : bool; percpu inner : bool;
thread worker on CPU { loop { outer = true; inner = true; inner = false; outer = false; } }
invariant nested: forall c : CPU { inner[c] => outer[c] };
"""

COUNTED = """
object mm = 1 { count : refcount; }
var the : mm? = null;
init { let m = alloc mm { count = 1 }; the = m; }
thread user on CPU {
    loop {
        either { atomic { await the; get(the.count); } }
        or { atomic { await the && the.count > 1; let last = put(the.count); } }
    }
}
invariant alive: forall m : mm { the == m => m.count > 0 };
"""


def induction(text: str, k: int = 1, cpus: int = 2) -> InductionResult:
    return check_induction(Instance(system_of(text), {"CPU": cpus}), k)


def test_an_invariant_that_is_not_inductive_is_shown_with_one_step() -> None:
    result = induction(TURNS)
    (cti,) = result.ctis
    assert cti.property.name == "alone"
    assert len(cti.trace.steps) == 1
    assert not cti.reachable
    assert not result.proved


def test_what_no_reachable_state_has_is_suggested() -> None:
    (cti,) = induction(TURNS).ctis
    assert cti.apart
    instance = cti.trace.instance
    assert all(cti.trace.initial[slot] == value for slot, value in cti.apart)
    assert len(instance.slots) > len(cti.apart)


def test_counts_have_no_bound_in_induction() -> None:
    assert induction(COUNTED).proved
    assert explore_text(HEADER + COUNTED).results["bound"].outcome is Outcome.BOUND
    assert not induction(COUNTED.replace("the.count > 1", "the.count > 0")).proved


def test_deeper_induction_needs_no_further_invariant() -> None:
    assert not induction(NESTED, 1, cpus=1).proved
    deep = induction(NESTED, 2, cpus=1)
    assert deep.proved
    assert "nested" in deep.kept


def test_an_inductive_set_is_proved() -> None:
    text = """
    percpu n : 0..3;
    thread t on CPU { loop { either { atomic { await n < 2; n = n + 1; } } or { n = 0; } } }
    invariant small: forall c : CPU { n[c] <= 2 };
    """
    assert induction(text).proved


def test_a_violated_property_is_never_proved() -> None:
    text = "var x : bool; thread t on CPU { x = true; } invariant never: !x;"
    for k in (1, 2, 5):
        assert not induction(text, k).proved


def test_nothing_to_tell_apart_without_samples() -> None:
    instance = Instance(system_of(TURNS))
    assert distinguish(instance, (), []) == ()


def test_the_command_says_where_induction_breaks(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "turns.lzm"
    file.write_text(HEADER + TURNS)
    assert main(["induct", str(file)]) == ExitCode.SURPRISE
    text = " ".join(capsys.readouterr().out.split())
    assert "alone is not inductive" in text
    assert "this is no bug by itself" in text
    file.write_text(HEADER + NESTED)
    assert main(["induct", str(file), "-k", "2", "--size", "CPU=1"]) == ExitCode.EXPECTED
    assert "proved by induction" in capsys.readouterr().out


@pytest.mark.parametrize("wrong", [["-k", "0"], ["-k", "two"], ["--time", "-1"], ["--check", "none"]])
def test_wrong_options_are_the_users(wrong: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "turns.lzm"
    file.write_text(HEADER + TURNS)
    assert main(["induct", str(file), *wrong]) == ExitCode.USAGE
    assert "Traceback" not in capsys.readouterr().err
