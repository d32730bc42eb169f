"""Litmus tests: results derived from the definition of the Linux-kernel memory model, and what the parser refuses."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from checker.cli import main
from checker.lang.diagnostics import UserError
from checker.litmus.parse import parse
from checker.litmus.run import run
from tests.memory import runner as reference
from tests.memory.random_litmus import random_litmus

FILES = sorted((Path(__file__).parent / "litmus").glob("*.litmus"))

LATE = """C LB3
{}
P0(int *x, int *y) { int r0; r0 = READ_ONCE(*x); WRITE_ONCE(*y, 1); }
P1(int *x, int *y) { int r0; r0 = READ_ONCE(*y); WRITE_ONCE(*x, 1); }
exists (0:r0=1 /\\ 1:r0=1)
"""


@pytest.mark.parametrize("file", FILES, ids=lambda f: f.stem)
def test_the_result_is_the_stated_one(file: Path) -> None:
    result = run(parse(file.read_text(), str(file)))
    assert result.complete
    assert (result.litmus.name, result.observation) == (file.stem, result.litmus.expected)
    assert bool(result.witness) == (result.positive > 0)


@pytest.mark.parametrize("file", FILES[::6], ids=lambda f: f.stem)
def test_more_history_and_more_deferral_allow_nothing_else(file: Path) -> None:
    result = run(parse(file.read_text(), str(file)), history=None, defer=2)
    assert (result.observation, result.cut) == (result.litmus.expected, False)


def test_there_are_enough() -> None:
    assert len(FILES) >= 60


def test_a_store_can_be_early_only_where_a_load_is_put_off() -> None:
    assert run(parse(LATE, "lb")).observation == "Sometimes"
    assert run(parse(LATE, "lb"), defer=0).observation == "Never"


def test_too_little_history_is_said() -> None:
    many = LATE.replace("WRITE_ONCE(*y, 1);", "WRITE_ONCE(*y, 1); WRITE_ONCE(*y, 2); WRITE_ONCE(*y, 3);")
    assert run(parse(many, "lb"), history=1).cut
    assert not run(parse(many, "lb"), history=None).cut


@pytest.mark.parametrize(
    "text",
    [
        "LB x",
        LATE.replace("exists", "whatever"),
        LATE.replace("READ_ONCE(*x)", "synchronize_rcu()"),
        LATE.replace("int r0;", "while (1) r0 = 0;"),
        LATE[:90],
    ],
)
def test_what_is_not_supported_is_refused(text: str) -> None:
    with pytest.raises(UserError):
        parse(text, "wrong")


def test_the_command(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    def lzcheck(*arguments: str) -> tuple[int, str, str]:
        status = main(arguments)
        out, err = capsys.readouterr()
        return status, out, err

    file = tmp_path / "lb.litmus"
    file.write_text(LATE)
    status, out, _ = lzcheck("litmus", str(file))
    assert status == 0
    assert "LB3: Sometimes" in out
    assert "(put off)" in out
    assert "(late, " in out
    file.write_text(LATE.replace("C LB3\n", "C LB3\n(* Result: Never *)\n"))
    status, out, _ = lzcheck("litmus", str(file), "--brief")
    assert (status, "NOT as expected: Never" in out) == (1, True)
    status, _, err = lzcheck("litmus", str(tmp_path / "none.litmus"))
    assert (status, "cannot read" in err) == (2, True)


@pytest.mark.parametrize("seed", range(0, 60, 3))
def test_lowered_tests_end_as_a_runner_of_its_own_says(seed: int) -> None:
    litmus = parse(random_litmus(random.Random(seed), pointers=bool(seed % 2)), "random")
    defer, history = seed % 4 % 3, (2, None)[seed // 3 % 2]
    found, asked = run(litmus, history, defer), reference.run(litmus, history, defer)
    assert (found.positive, found.negative) == (asked.positive, asked.negative)


JOINED = """C joined
{}
P0(int *x, int *y, int *z) {
    int r0; r0 = READ_ONCE(*x);
    if (r0) { ARM } else { WRITE_ONCE(*z, 2); }
    WRITE_ONCE(*y, 1);
}
P1(int *x, int *y) { int r0; r0 = READ_ONCE(*y); smp_mb(); WRITE_ONCE(*x, 1); }
exists (0:r0=1 /\\ 1:r0=1)
"""


@pytest.mark.parametrize(
    ("arm", "observation"),
    [
        ("WRITE_ONCE(*z, 1);", "Sometimes"),
        ("r0 = READ_ONCE(*z); r0 = 1;", "Sometimes"),
        ("smp_store_release(z, 1);", "Never"),
        ("WRITE_ONCE(*y, 2);", "Never"),
        ("smp_wmb();", "Never"),
    ],
)
def test_a_store_behind_an_if_waits_only_for_what_orders_it(arm: str, observation: str) -> None:
    assert run(parse(JOINED.replace("ARM", arm), "joined")).observation == observation
