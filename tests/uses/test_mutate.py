"""Leaving things out of a model: what is left out, who notices, and what is said of it."""

from __future__ import annotations

import json
from importlib import resources
from pathlib import Path

import jsonschema
import pytest

from checker.cli import main
from checker.core.verdict import ExitCode
from checker.engines import Run
from checker.lang.names import load_model
from checker.mutate import Fate, Mutant, mutants
from checker.plan import Overrides, plans

MODEL = """model seats;
sort CPU = 2;
config CAREFUL = true;
var lock : spinlock;
var mask : set of CPU;
var owner : CPU? = null;
ghost var looked : bool;
percpu stale : bool;

interrupt flush() { stale = false; }

thread taker on CPU {
    await !stale;
    spin_lock(lock);
    if CAREFUL && !owner {
        owner = this_cpu;
        mask += this_cpu;
        @survives("nobody looks at it before the flush")
        stale = true;
    } else {
        spin_unlock(lock);
        return;
    }
    spin_unlock(lock);
    looked = true;
    smp_mb();
    call flush() on {c : CPU};
    assert !stale;
}
invariant one: size(mask) <= 1;
invariant owned: forall c : CPU where c in mask { owner == c };
check upstream                    expect pass;
check careless { CAREFUL = false; } expect fail "assert";
"""


@pytest.fixture
def seats(tmp_path: Path) -> str:
    file = tmp_path / "seats.lzm"
    file.write_text(MODEL)
    return str(file)


def fates(path: str, *, jobs: int = 1, check: str = "upstream") -> dict[str, Mutant]:
    model = load_model(path)
    (plan,) = plans(model, (check,), Overrides())
    found = list(mutants(model, (plan,), Run(engine="explorer"), jobs))
    by_text = {f"{m.what}: {m.text}": m for m in found}
    assert len(by_text) == len(found)
    return by_text


def test_each_part_of_the_protocol_is_left_out_once(seats: str) -> None:
    assert {name: m.fate for name, m in fates(seats).items()} == {
        "wait: !stale": Fate.SURVIVES,
        "guard: !owner": Fate.NOTICED,
        "assignment: owner = this_cpu;": Fate.NOTICED,
        "mask update: mask += this_cpu;": Fate.UNREACHED,
        "assignment: stale = true;": Fate.EXPLAINED,
        "lock: spin_lock(lock);": Fate.NOTICED,
        "barrier: smp_mb();": Fate.WEAK,
        "IPI: call flush() on {c : CPU};": Fate.NOTICED,
        "wait for IPI: call flush() on {c : CPU};": Fate.SURVIVES,
        "assignment: stale = false;": Fate.NOTICED,
    }


def test_who_notices_is_named_with_the_steps(seats: str) -> None:
    guard = fates(seats)["guard: !owner"]
    assert guard.by in ("one", "owned")
    assert guard.steps is not None and guard.steps > 0


def test_several_jobs_find_the_same(seats: str) -> None:
    assert fates(seats, jobs=2) == fates(seats)


def test_the_table_ends_with_what_nobody_notices(seats: str, capsys: pytest.CaptureFixture[str]) -> None:
    status = main(["mutate", seats, "--engine", "explorer", "--jobs", "1"])
    text = capsys.readouterr().out
    assert status == ExitCode.SURPRISE
    assert "Nothing notices when one of these is left out:" in text
    ending = "10 mutations, 5 noticed, 1 only unreached, 1 explained, 2 SURVIVES, 1 needs weak memory\n"
    assert text.endswith(ending)


def test_the_records_fit_their_schema(seats: str, tmp_path: Path) -> None:
    file = tmp_path / "mutants.json"
    main(["mutate", seats, "--engine", "explorer", "--jobs", "1", "--json", str(file)])
    folder = resources.files("checker.report.schema")
    schema = json.loads((folder / "mutation-1.schema.json").read_text())
    record = json.loads(file.read_text())
    jsonschema.Draft202012Validator(schema).validate(record)
    assert len(record["mutants"]) == 10


@pytest.mark.parametrize("check", ["careless", "nothing"])
def test_only_a_check_that_passes_can_be_asked(seats: str, check: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["mutate", seats, "--check", check, "--engine", "explorer"]) == ExitCode.USAGE
    assert "error:" in capsys.readouterr().err
