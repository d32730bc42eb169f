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
from checker.mutate import Fate, Mutant, chosen_checks, mutants
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


CHECKS = """model pages;
sort CPU = 1;
object page = 1;
config RUNS = true;
var mapped : page? = null;
var flag : bool;
proc never() { flag = true; }
thread owner on CPU {
    loop {
        either {
            atomic { await RUNS && !mapped; mapped = alloc page; }
        } or {
            atomic { await mapped; let p = mapped; mapped = null; free p; }
        } or {
            flag = !flag;
        } or {
            await !RUNS && mapped;
            never();
        }
    }
}
invariant one: mapped => live(mapped);
check upstream { allow unreached; }                   expect pass;
check upstream_idle { RUNS = false; allow unreached one; allow unreached; } expect pass;
check other { allow unreached; }                      expect pass;
"""


@pytest.fixture
def pages(tmp_path: Path) -> str:
    file = tmp_path / "pages.lzm"
    file.write_text(CHECKS)
    return str(file)


def test_an_object_that_is_no_longer_freed_leaks(pages: str) -> None:
    free = fates(pages)["free: free p;"]
    assert (free.fate, free.by) == (Fate.NOTICED, "leak")


def test_what_is_never_executed_is_not_left_out(pages: str) -> None:
    assert not [m for m in fates(pages).values() if m.owner == "never"]


def test_the_checks_named_upstream_are_asked(pages: str) -> None:
    assert chosen_checks(load_model(pages), ()) == ["upstream", "upstream_idle"]
    assert chosen_checks(load_model(pages), ("other",)) == ["other"]


def test_one_check_that_notices_is_enough(pages: str) -> None:
    model = load_model(pages)
    asked = plans(model, ("upstream_idle", "upstream"), Overrides())
    found = {m.text: m for m in mutants(model, asked, Run(engine="explorer"))}
    assert found["free p;"].fate is Fate.NOTICED
    assert found["free p;"].check == "upstream"


def test_the_tools_libraries_are_left_alone_unless_asked_for(tmp_path: Path) -> None:
    file = tmp_path / "user.lzm"
    file.write_text(
        'model user;\nuse "std/mm";\nconfig MMU_LAZY_TLB_REFCOUNT = true;\nobject mm = 1;\n'
        "thread t on CPU { loop { let m = mm_alloc(); mmput(m); } }\ncheck upstream { CPU = 1; } expect pass;\n"
    )
    model = load_model(str(file))
    asked = plans(model, ("upstream",), Overrides())
    run = Run(engine="explorer")
    assert {m.span.file for m in mutants(model, asked, run)} == {str(file)}
    assert "std/mm.lzm" in {m.span.file for m in mutants(model, asked, run, libraries=True)}
