"""Taking fences away: which memory models need them, and what is said of it."""

from __future__ import annotations

import json
from importlib import resources
from pathlib import Path

import jsonschema
import pytest

from checker.cli import main
from checker.core.verdict import ExitCode

STORE_BUFFERING = """model buffering;
sort CPU = 2;
var x : bool;
var y : bool;
ghost var first : bool;
ghost var second : bool;
ghost var ended_first : bool;
ghost var ended_second : bool;

thread writer {
    let seen = false;
    x = true;
    smp_mb();
    seen = y;
    atomic { first = seen; ended_first = true; }
}
thread reader {
    let seen = false;
    smp_store_release(y, true);
    smp_mb();
    smp_rmb();
    seen = x;
    atomic { second = seen; ended_second = true; }
}
invariant one_sees: ended_first && ended_second => first || second;
check upstream                 expect pass;
check tso { memory = tso; }    expect pass;
check wrong                    expect fail one_sees;
"""


@pytest.fixture
def buffering(tmp_path: Path) -> str:
    file = tmp_path / "buffering.lzm"
    file.write_text(STORE_BUFFERING)
    return str(file)


def test_a_full_barrier_between_store_and_load(buffering: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["fences", buffering, "--json", "-"]) == ExitCode.EXPECTED
    record = json.loads(capsys.readouterr().out)
    schema = json.loads((resources.files("checker.report") / "schema" / "fences-1.schema.json").read_text())
    jsonschema.validate(record, schema)
    fences = {(f["fence"], f["in"]): f["under"] for f in record["fences"]}
    assert fences["smp_mb();", "writer"]["sc"]["needed"] is False
    assert fences["smp_mb();", "writer"]["tso"]["property"] == "one_sees"
    assert fences["smp_mb();", "reader"]["tso"]["needed"] is True
    assert fences["smp_rmb();", "reader"]["tso"]["needed"] is False
    assert fences["smp_store_release(y, true);", "reader"]["tso"]["needed"] is False


def test_the_table_says_the_same(buffering: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["fences", buffering, "--memory", "tso"]) == ExitCode.EXPECTED
    out = capsys.readouterr().out
    assert "needed: one_sees in" in out
    assert "4 fences, 2 needed under tso" in out
    assert "WRITE_ONCE" in out


def test_a_check_that_fails_is_refused(buffering: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["fences", buffering, "--check", "wrong"]) == ExitCode.USAGE
    assert "does not pass" in capsys.readouterr().err
