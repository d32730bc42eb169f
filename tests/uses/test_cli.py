"""The command as its users meet it: outputs, files, exit statuses, wrong input."""

from __future__ import annotations

import json
from collections.abc import Callable
from importlib import resources
from pathlib import Path

import jsonschema
import pytest
from referencing import Registry, Resource

from checker.cli import main
from checker.core.verdict import ExitCode
from checker.native.build import NoCompiler
from tests.uses.gate import GATE


@pytest.fixture
def gate(tmp_path: Path) -> str:
    """The gate, in a file."""
    file = tmp_path / "gate.lzm"
    file.write_text(GATE)
    return str(file)


Command = Callable[..., tuple[int, str, str]]


@pytest.fixture
def lzcheck(capsys: pytest.CaptureFixture[str]) -> Command:
    """Runs the command, with the explorer unless it says otherwise; exit status, standard output and error."""

    def run(*arguments: str) -> tuple[int, str, str]:
        searches = arguments and arguments[0] not in ("graph", "replay", "explain")
        if searches and "--engine" not in arguments:
            arguments = (*arguments, "--engine", "explorer")
        status = main(arguments)
        captured = capsys.readouterr()
        assert "Traceback" not in captured.err
        return status, captured.out, captured.err

    return run


def schemas() -> Registry:
    folder = resources.files("checker.report.schema")
    documents = [json.loads(f.read_text()) for f in folder.iterdir() if f.name.endswith(".json")]
    return Registry().with_resources((d["$id"], Resource.from_contents(d)) for d in documents)


def validate(record: object, name: str) -> None:
    registry = schemas()
    schema = registry.contents(f"urn:lzcheck:schema:{name}")
    jsonschema.Draft202012Validator(schema, registry=registry).validate(record)


# -- verdicts


def test_default_check_passes(lzcheck: Command, gate: str) -> None:
    status, out, err = lzcheck(gate)
    assert status == ExitCode.EXPECTED
    # by hand: a CPU has 6 points (test, enter, leave, count, test, end), and never are both about to leave
    assert "upstream: holds for all 35 states (CPU=2)" in out
    assert "as expected: pass" in out
    assert err == ""


def test_mutant_fails_as_expected(lzcheck: Command, gate: str) -> None:
    status, out, _ = lzcheck(gate, "--check", "unguarded")
    assert status == ExitCode.EXPECTED
    assert "alone fails after 4 steps" in out
    assert "as expected: fail alone in 4 steps" in out


def test_surprise_is_exit_status_1(lzcheck: Command, gate: str) -> None:
    status, out, _ = lzcheck(gate, "-D", "GUARDED=false")
    assert status == ExitCode.SURPRISE
    assert "NOT as expected: pass" in out


def test_expected_failure_that_holds_is_a_surprise(lzcheck: Command, gate: str) -> None:
    status, out, _ = lzcheck(gate, "--check", "unguarded", "-D", "GUARDED=true")
    assert status == ExitCode.SURPRISE
    assert "alone: expected to fail, but holds" in out


def test_wrong_number_of_steps_is_a_surprise(lzcheck: Command, tmp_path: Path) -> None:
    file = tmp_path / "gate.lzm"
    file.write_text(GATE.replace("in 4 steps", "in 5 steps"))
    status, out, _ = lzcheck(str(file), "--check", "unguarded")
    assert status == ExitCode.SURPRISE
    assert "alone: fails in 4 steps where 5 are expected" in out


def test_wrong_number_of_states_is_a_surprise(lzcheck: Command, tmp_path: Path) -> None:
    file = tmp_path / "gate.lzm"
    file.write_text(GATE.replace("expect pass;", "expect pass states 36;", 1))
    status, out, _ = lzcheck(str(file))
    assert status == ExitCode.SURPRISE
    assert "35 states where 36 are expected" in out


def test_all_prints_a_table(lzcheck: Command, gate: str) -> None:
    status, out, _ = lzcheck(gate, "--all")
    assert status == ExitCode.EXPECTED
    assert [line.split()[1] for line in out.splitlines()[2:6]] == ["upstream", "three", "unguarded", "stays"]
    assert "4 of 4 checks as expected" in out


def test_suite_of_a_folder(lzcheck: Command, gate: str, tmp_path: Path) -> None:
    (tmp_path / "part.lzm").write_text("library part;\n")
    status, out, _ = lzcheck("suite", str(tmp_path))
    assert status == ExitCode.EXPECTED
    assert "4 of 4 checks as expected" in out


def test_suite_goes_on_after_a_wrong_model(lzcheck: Command, gate: str, tmp_path: Path) -> None:
    (tmp_path / "bad.lzm").write_text("model bad;\nthread t { x = 1; }\n")
    status, out, err = lzcheck("suite", str(tmp_path))
    assert status == ExitCode.USAGE
    assert "4 of 4 checks as expected" in out
    assert "unknown name 'x'" in err


@pytest.mark.parametrize("limit", ["--max-states=3", "--max-depth=1"])
def test_limit_is_exit_status_3(lzcheck: Command, gate: str, limit: str) -> None:
    status, out, _ = lzcheck(gate, limit)
    assert status == ExitCode.LIMIT
    assert "a limit ended the run before an answer" in out
    assert "holds for all" not in out


def test_random_walks_never_say_holds(lzcheck: Command, gate: str) -> None:
    status, out, _ = lzcheck(gate, "--strategy", "random", "--seed", "7", "--walks", "50")
    assert status == ExitCode.LIMIT
    assert "seed 7" in out
    assert "holds for all" not in out
    assert (
        lzcheck(gate, "--strategy", "random", "--seed", "7", "--walks", "50")[1].split("\nexplorer")[0]
        == out.split("\nexplorer")[0]
    )


def test_depth_first_agrees(lzcheck: Command, gate: str) -> None:
    status, out, _ = lzcheck(gate, "--strategy", "dfs")
    assert status == ExitCode.EXPECTED
    assert "holds for all 35 states" in out


def test_what_is_not_supported_is_no_verdict(lzcheck: Command, tmp_path: Path) -> None:
    file = tmp_path / "any.lzm"
    file.write_text(
        "model any_number;\nsort CPU = 2;\nvar x : bool;\nthread t on CPU { x = true; }\ninvariant i: x || !x;\n"
    )
    status, out, _ = lzcheck(str(file), "--memory", "weak", "--size", "CPU=any")
    assert status == ExitCode.LIMIT
    assert "not supported" in out
    assert "holds" not in out


@pytest.mark.parametrize("memory", ["tso", "weak"])
def test_steps_too_large_for_a_weaker_memory_model_are_named(lzcheck: Command, tmp_path: Path, memory: str) -> None:
    file = tmp_path / "two.lzm"
    file.write_text("model two;\nvar x : bool = false;\nvar y : bool = false;\nthread t { x = y; y = true; }\n")
    _, out, _ = lzcheck(str(file), "--memory", memory)
    assert "note: a step with several accesses to memory is taken as one" in out
    assert f"{file}:4:12 [LZ406]" in out
    assert "LZ406" not in lzcheck(str(file))[1]


def test_size_and_config_are_overridden(lzcheck: Command, gate: str) -> None:
    status, out, _ = lzcheck(gate, "--size", "CPU=1", "-D", "ROUNDS=2", "--check", "upstream")
    assert status == ExitCode.EXPECTED
    # test, enter, leave, count; again; test, end
    assert "holds for all 10 states (CPU=1)" in out


def test_no_step_at_all_is_an_error(lzcheck: Command, gate: str) -> None:
    status, out, err = lzcheck(gate, "-D", "ROUNDS=0")
    assert status == ExitCode.USAGE
    assert out == ""
    assert "nothing to check in 'upstream': no step is possible [LZ405]" in err


def test_cover_that_is_not_reached_is_a_surprise(lzcheck: Command, tmp_path: Path) -> None:
    file = tmp_path / "gate.lzm"
    file.write_text(GATE + "cover both: inside == {c : CPU};\n")
    status, out, _ = lzcheck(str(file))
    assert status == ExitCode.SURPRISE
    assert "both: the cover is not reached in any state [LZ404]" in out


def test_premise_that_is_never_met_is_a_surprise(lzcheck: Command, tmp_path: Path) -> None:
    file = tmp_path / "gate.lzm"
    file.write_text(GATE + "invariant idle: forall c : CPU { rounds[c] > 1 => c in inside };\n")
    status, out, _ = lzcheck(str(file))
    assert status == ExitCode.SURPRISE
    assert "idle: its premise is not met in any state [LZ403]" in out


def test_unreached_statement_is_named(lzcheck: Command, tmp_path: Path) -> None:
    file = tmp_path / "dead.lzm"
    file.write_text(GATE.replace("rounds += 1;", "rounds += 1;\n        if rounds == 3 { inside = {}; }"))
    status, out, _ = lzcheck(str(file))
    assert status == ExitCode.SURPRISE
    assert f"{file}:26:9: a condition is never true [LZ402]" in out


def test_what_may_stay_unreached_is_named_one_by_one(lzcheck: Command, tmp_path: Path) -> None:
    file = tmp_path / "gate.lzm"
    idle = "invariant idle: forall c : CPU { rounds[c] > 1 => c in inside };\n"
    covers = GATE + idle + "cover far: exists c : CPU { rounds[c] == 3 };\n"
    file.write_text(covers + "check all { allow unreached far, idle; } expect pass;\n")
    status, out, _ = lzcheck(str(file), "--check", "all")
    assert status == ExitCode.EXPECTED
    assert "unreached (allowed)" in out and "vacuous (allowed)" in out and "holds for" in out
    assert lzcheck(str(file), "--check", "all", "--json", "-")[0] == ExitCode.EXPECTED
    file.write_text(covers + "check one { allow unreached idle; } expect pass;\n")
    status, out, _ = lzcheck(str(file), "--check", "one")
    assert status == ExitCode.SURPRISE
    assert "never reached: far" in out and "idle:" not in out
    file.write_text(covers + "check statements { allow unreached; } expect pass;\n")
    assert lzcheck(str(file), "--check", "statements")[0] == ExitCode.SURPRISE


# -- engines


@pytest.mark.parametrize("threads", ["1", "2"])
def test_native_engine_says_the_same(lzcheck: Command, gate: str, threads: str) -> None:
    plain = ("--engine", "native", "--no-symmetry", "--threads", threads)
    status, out, _ = lzcheck(gate, *plain)
    assert status == ExitCode.EXPECTED
    assert "holds for all 35 states (CPU=2)" in out
    assert lzcheck(gate, "--all", *plain)[0] == ExitCode.EXPECTED


def test_symmetry_is_said_and_counts_classes(lzcheck: Command, gate: str) -> None:
    status, out, _ = lzcheck(gate, "--engine", "native")
    assert status == ExitCode.EXPECTED
    # of the 35 states 5 have both CPUs at the same point; the others come in pairs
    assert "holds for all states (CPU=2); 20 states visited, reduced by symmetry" in out.replace("\n", " ")


def test_expected_number_of_states_is_that_of_the_whole_space(lzcheck: Command, tmp_path: Path) -> None:
    file = tmp_path / "gate.lzm"
    file.write_text(GATE.replace("expect pass;", "expect pass states 35;", 1))
    assert lzcheck(str(file), "--engine", "native")[0] == ExitCode.EXPECTED


def test_without_a_compiler_the_explorer_answers(lzcheck: Command, gate: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(*_: object, **__: object) -> None:
        raise NoCompiler

    monkeypatch.setattr("checker.engines.SMALL", 0)
    monkeypatch.setattr("checker.engines.explore_native", missing)
    status, out, _ = lzcheck(gate, "--engine", "auto")
    assert status == ExitCode.EXPECTED
    assert "note: the explorer answered instead of the native engine: no C compiler found" in out
    assert lzcheck(gate, "--engine", "native")[0] == ExitCode.USAGE


# -- files


def test_json_records_follow_their_schema(lzcheck: Command, gate: str, tmp_path: Path) -> None:
    target = tmp_path / "out.json"
    assert lzcheck(gate, "--all", "--json", str(target))[0] == ExitCode.EXPECTED
    records = json.loads(target.read_text())
    assert [r["check"] for r in records] == ["upstream", "three", "unguarded", "stays"]
    for record in records:
        validate(record, "result-1")
    (alone,) = [p for p in records[2]["properties"] if p["name"] == "alone"]
    assert (alone["expected"], alone["verdict"], alone["steps"]) == ("violated", "violated", 4)


def test_json_on_standard_output_stands_alone(lzcheck: Command, gate: str) -> None:
    _, out, _ = lzcheck(gate, "--json", "-")
    assert json.loads(out)[0]["states"] == 35


def test_trace_is_saved_and_replayed(lzcheck: Command, gate: str, tmp_path: Path) -> None:
    trace = tmp_path / "trace.json"
    lzcheck(gate, "--check", "unguarded", "--trace", str(trace))
    validate(json.loads(trace.read_text()), "trace-1")
    status, out, _ = lzcheck("replay", str(trace))
    assert status == ExitCode.EXPECTED
    assert "still there: alone fails after the same 4 steps" in out


def test_replay_against_a_mended_model_says_what_blocks_it(lzcheck: Command, gate: str, tmp_path: Path) -> None:
    trace, mended = tmp_path / "trace.json", tmp_path / "mended.lzm"
    lzcheck(gate, "--check", "unguarded", "--trace", str(trace))
    mended.write_text("\n\n" + GATE.replace("await !GUARDED || inside == {}", "await inside == {}"))
    status, out, _ = lzcheck("replay", str(trace), "--model", str(mended))
    assert status == ExitCode.SURPRISE
    assert "blocked at step 4 of 4" in out
    assert "inside" in out.splitlines()[-1]


def test_replay_against_a_model_without_the_statement(lzcheck: Command, gate: str, tmp_path: Path) -> None:
    trace, other = tmp_path / "trace.json", tmp_path / "other.lzm"
    lzcheck(gate, "--check", "unguarded", "--trace", str(trace))
    other.write_text(GATE.replace("inside += this_cpu", "inside = inside + {this_cpu}"))
    status, out, _ = lzcheck("replay", str(trace), "--model", str(other))
    assert status == ExitCode.SURPRISE
    assert "no such statement any more" in out


def test_itf(lzcheck: Command, gate: str, tmp_path: Path) -> None:
    target = tmp_path / "t.itf.json"
    lzcheck(gate, "--check", "unguarded", "--itf", str(target))
    assert len(json.loads(target.read_text())["states"]) == 5


@pytest.mark.parametrize("form", ["dot", "graphml", "json", "svg"])
def test_graph(lzcheck: Command, gate: str, tmp_path: Path, form: str) -> None:
    target = tmp_path / f"g.{form}"
    status, _, err = lzcheck("graph", gate, "-o", str(target))
    assert status == ExitCode.EXPECTED
    assert "35 states" in err
    assert target.read_text().strip()


def test_dump_system(lzcheck: Command, gate: str) -> None:
    status, out, _ = lzcheck(gate, "--dump-system")
    assert status == ExitCode.EXPECTED
    assert out.startswith("system gate\n")


def test_email_is_the_trace_alone(lzcheck: Command, gate: str) -> None:
    _, out, _ = lzcheck(gate, "--check", "unguarded", "--email")
    assert out.isascii()
    assert max(map(len, out.splitlines())) <= 72
    assert "expected" not in out


# -- wrong input


WRONG = [
    ((), "which model?"),
    (("nowhere.lzm",), "cannot read 'nowhere.lzm': No such file or directory"),
    (("GATE", "--size", "CPU"), "'CPU' is not of the form --size SORT=NUMBER"),
    (("GATE", "--size", "CPUS=3"), "did you mean 'CPU'?"),
    (("GATE", "--size", "CPU=-1"), "a size is a number from 0 to 64"),
    (("GATE", "--size", "CPU=0"), "LZ601"),
    (("GATE", "-D", "GUARD=true"), "did you mean 'GUARDED'?"),
    (("GATE", "-D", "GUARDED=7"), "not a value of this config"),
    (("GATE", "-D", "ROUNDS=4"), "not a value of this config"),
    (("GATE", "--check", "upsteam"), "did you mean 'upstream'?"),
    (("GATE", "--property", "alon"), "did you mean 'alone'?"),
    (("GATE", "--strategy", "best"), "invalid choice"),
    (("GATE", "--strategy", "dfs", "--engine", "native"), "the native engine has no strategy 'dfs'"),
    (("GATE", "--max-states", "many"), "'many' is not a number"),
    (("GATE", "--time", "-1"), "is not a number of seconds"),
    (("GATE", "--defer", "9"), "a thread may put off 0 to 8 accesses"),
    (("GATE", "--store-buffer", "0"), "a store buffer holds 1 to 8 stores"),
    (("GATE", "--frobnicate"), "unrecognized arguments"),
    (("graph", "GATE", "-o", "g.pdf"), "which format?"),
    (("explain", "LZ999"), "there is no code"),
    (("replay", "GATE"), "is not a trace of lzcheck"),
    (("replay", "nowhere.json"), "cannot read"),
]


@pytest.mark.parametrize(
    ("arguments", "message"), WRONG, ids=lambda x: " ".join(x)[:40] if isinstance(x, tuple) else ""
)
def test_wrong_command_line(lzcheck: Command, gate: str, arguments: tuple[str, ...], message: str) -> None:
    status, out, err = lzcheck(*(gate if a == "GATE" else a for a in arguments))
    assert status == ExitCode.USAGE
    assert message in err
    assert out == ""


def test_full_disk_leaves_nothing(lzcheck: Command, gate: str) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("no /dev/full here")
    status, _, err = lzcheck(gate, "--json", "/dev/full")
    assert status == ExitCode.USAGE
    assert "No space left on device" in err


def test_unwritable_folder(lzcheck: Command, gate: str, tmp_path: Path) -> None:
    status, _, err = lzcheck(gate, "--json", str(tmp_path / "no" / "such.json"))
    assert status == ExitCode.USAGE
    assert "cannot write" in err
    assert sorted(p.name for p in tmp_path.iterdir()) == ["gate.lzm"]


def test_keyboard_interrupt_reports_what_was_covered(
    lzcheck: Command, gate: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from checker import search

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(search.Search, "expand", interrupt)
    status, out, _ = lzcheck(gate)
    assert status in (ExitCode.LIMIT, ExitCode.USAGE)
    assert "holds for all" not in out


def test_our_own_mistakes_are_exit_status_4(
    gate: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError("oops")

    monkeypatch.setattr("checker.suite.run_check", broken)
    assert main([gate, "--engine", "explorer"]) == ExitCode.INTERNAL
    assert "internal error" in capsys.readouterr().err


def test_path_that_does_not_replay_is_an_internal_error(
    gate: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from checker.core import semantics

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(semantics, "is_enabled", lambda *_: False)
    assert main([gate, "--check", "unguarded", "--engine", "explorer"]) == ExitCode.INTERNAL
    assert "does not replay" in capsys.readouterr().err
    assert "path from initial state 0" in (tmp_path / "lzcheck-internal-error.txt").read_text()


def test_initial_state_that_cannot_be_made(lzcheck: Command, tmp_path: Path) -> None:
    file = tmp_path / "init.lzm"
    file.write_text(
        "model x;\nobject mm = 1 { users : refcount; }\n"
        "init {\n    let m = alloc mm;\n    put(m.users);\n}\nthread t { skip; }\n"
    )
    status, _, err = lzcheck(str(file))
    assert status == ExitCode.USAGE
    assert f"{file}:5:5: error: the initial state cannot be made: put of a reference that nobody holds" in err
    assert "LZ501" in err
