"""Proofs for all sizes: found, kept, rechecked, refused where something is wrong."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from checker.check import run_check
from checker.cli import main
from checker.core.instance import Instance
from checker.core.verdict import ExitCode, Outcome
from checker.engines import Run
from checker.lang.diagnostics import UserError
from checker.lang.names import load_model
from checker.plan import Overrides, make_instance, plans
from checker.prove.certificate import path_of, read, render, sections
from checker.prove.holders import learn
from checker.prove.protocol import after, protocol
from checker.prove.run import Proof, check_certificate, checked_before, prove
from checker.prove.structure import Structure, evaluate
from checker.search import reachable
from tests.models import system_of
from tests.prove import protocols


def instance(text: str, config: dict[str, bool | int | str] | None = None, **sizes: int) -> Instance:
    return Instance(system_of(text, config), sizes)


@pytest.fixture(scope="module")
def refs() -> Proof:
    return prove(instance(protocols.REFS), "all_sizes")


# -- finding


def test_a_lock_is_proved_and_without_its_test_it_is_not() -> None:
    assert prove(instance(protocols.FLAG), "all_sizes").verdict == "proved"
    broken = prove(instance(protocols.FLAG, {"TEST": False}), "all_sizes")
    assert broken.verdict == "violated" and broken.violated == ("alone",)


def test_the_last_put_is_the_last_holder(refs: Proof) -> None:
    assert refs.verdict == "proved"
    assert refs.certificate is not None and refs.rechecked is not None
    (equation,) = refs.certificate.equations
    assert equation.var == "obj.refs" and len(equation.holders) == 2
    assert refs.rechecked.good and refs.rechecked.obligations > 10


def test_a_reference_that_is_not_taken_is_no_proof() -> None:
    proof = prove(instance(protocols.REFS, {"GET": False}), "all_sizes")
    assert proof.verdict == "violated" and "live_handles" in proof.violated
    assert set(proof.violated) & {"use_after_free", "refcount"}


def test_true_but_out_of_reach_is_not_proved_and_not_called_a_bug(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "neighbours.lzm"
    path.write_text(protocols.NEIGHBOURS, encoding="utf-8")
    assert main(["prove", str(path)]) == ExitCode.SURPRISE
    out = capsys.readouterr().out
    assert "not proved for any number of CPU" in out and "No violation is known" in out
    assert "VIOLATED" not in out and "not kept: same" in out
    assert not path_of(str(path)).exists()


# -- what clauses and equations rest on


@pytest.mark.parametrize("text", [protocols.REFS, protocols.SHOOT])
def test_the_state_after_a_rule_is_that_of_the_semantics(text: str) -> None:
    """Every variable at every index, read after each transition, and as an expression of the state before it."""
    from checker.core import semantics
    from checker.core.system import Param, Read

    small = instance(text)
    made = protocol(small.system)
    rules = {r.name: r for r in made.rules}
    states, _ = reachable(small, 400)
    compared = 0
    for state in states[:: max(1, len(states) // 60)]:
        before = _structure(small, state)
        for choice in semantics.enabled(small, state):
            rule = rules.get(choice.action)
            if rule is None or rule.fault is not None:
                continue
            later = semantics.apply(small, state, choice)
            args = dict(zip((p.name for p in rule.params), choice.args, strict=True))
            for slot, (var, index) in enumerate(small.slots):
                params = tuple(Param(f"x{n}", s) for n, s in enumerate(var.index))
                env = {**args, **{p.name: e for p, e in zip(params, index, strict=True)}}
                value = evaluate(after(Read(var.name, params, var.type), rule), before, env)
                assert int(value) == int(later[slot]), (choice, var.name, index)  # type: ignore[arg-type]
                compared += 1
    assert compared > 500


def _structure(small: Instance, state: tuple[object, ...]) -> Structure:
    sizes = {s.name: small.count(s.name) for s in small.system.sorts}
    structure = Structure(protocol(small.system), sizes)
    for (var, index), value in zip(small.slots, state, strict=True):
        structure.tables.setdefault(var.name, {})[index] = value
    return structure


def test_counters_are_their_holders_in_every_state_of_larger_instances() -> None:
    """Learned from two CPUs and two objects, counted at three and three."""
    small = instance(protocols.REFS)
    (equation,) = learn(protocol(small.system), [(small, reachable(small, 10_000)[0])])
    large = instance(protocols.REFS, CPU=3, obj=3)
    states, complete = reachable(large, 10_000)
    assert complete and len(states) > 500
    for state in states:
        structure = _structure(large, state)
        for element in large.elements("obj"):
            env = {equation.object.name: element}
            count = sum(
                bool(evaluate(h.holds, structure, {**env, **dict(zip((p.name for p in h.index), key, strict=True))}))
                for h in equation.holders for key in large.tuples(tuple(p.sort for p in h.index))
            )  # fmt: skip
            assert count == evaluate(equation.counter(), structure, env)


def test_a_proof_s_clauses_hold_in_every_state_of_larger_instances(refs: Proof) -> None:
    assert refs.certificate is not None
    large = instance(protocols.REFS, CPU=3, obj=3)
    states, complete = reachable(large, 10_000)
    assert complete
    for state in states[::5]:
        structure = _structure(large, state)
        for clause in refs.certificate.clauses:
            for key in large.tuples(tuple(p.sort for p in clause.vars)):
                env = dict(zip((p.name for p in clause.vars), key, strict=True))
                assert not all(evaluate(f, structure, env) for f in clause.situation()), clause.text(large.system)


# -- certificates


def test_a_certificate_is_read_as_it_was_written(refs: Proof) -> None:
    assert refs.certificate is not None
    text = render(refs.protocol, refs.certificate, ["how it was found"])
    (section,) = sections(text).values()
    assert read(refs.protocol, "all_sizes", section) == refs.certificate


def test_a_certificate_fails_where_the_model_is_mutated(refs: Proof) -> None:
    assert refs.certificate is not None
    assert check_certificate(instance(protocols.REFS), refs.certificate).good
    again = check_certificate(instance(protocols.REFS, {"GET": False}), refs.certificate)
    assert not again.good and again.failure is not None and again.failure.counterexample is not None


def test_a_recheck_is_remembered_for_the_same_model_and_certificate_only(
    refs: Proof, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert refs.certificate is not None
    assert checked_before(instance(protocols.REFS), refs.certificate) is None
    again = check_certificate(instance(protocols.REFS), refs.certificate)
    assert again.good and checked_before(instance(protocols.REFS), refs.certificate) == again.obligations
    other = instance(protocols.REFS, {"GET": False})
    assert checked_before(other, refs.certificate) is None
    assert not check_certificate(other, refs.certificate).good and checked_before(other, refs.certificate) is None
    fewer = dataclasses.replace(refs.certificate, clauses=refs.certificate.clauses[1:])
    assert checked_before(instance(protocols.REFS), fewer) is None


def test_a_certificate_without_what_it_rests_on_is_no_proof(refs: Proof) -> None:
    assert refs.certificate is not None
    clauses = refs.certificate.clauses
    fewer = [dataclasses.replace(refs.certificate, clauses=clauses[:n] + clauses[n + 1 :]) for n in range(len(clauses))]
    fewer.append(dataclasses.replace(refs.certificate, equations=()))
    verdicts = [check_certificate(instance(protocols.REFS), part).good for part in fewer]
    assert verdicts.count(False) >= 3 and not verdicts[-1]


def test_a_false_clause_is_not_believed(refs: Proof) -> None:
    assert refs.certificate is not None
    from checker.prove.wording import read_line

    wrong = read_line(refs.protocol, "never c : CPU, o : obj: handle[c] == o;")
    more = dataclasses.replace(refs.certificate, clauses=(*refs.certificate.clauses, wrong))
    assert not check_certificate(instance(protocols.REFS), more).good


# -- the command


def test_no_certificate_is_no_success(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "flag.lzm"
    assert main(["prove", "--check-only", str(path)]) == ExitCode.USAGE
    assert "cannot read" in capsys.readouterr().err
    path.write_text(protocols.FLAG)
    assert main(["prove", "--check-only", str(path)]) == ExitCode.USAGE
    assert "there is no certificate" in capsys.readouterr().err


def test_prove_keeps_a_certificate_that_the_check_then_uses(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "refs.lzm"
    path.write_text(protocols.REFS, encoding="utf-8")
    assert main(["prove", str(path), "--smtlib", str(tmp_path / "text")]) == ExitCode.EXPECTED
    assert "proved for any number of CPU, obj" in capsys.readouterr().out
    scripts = list((tmp_path / "text").rglob("*.smt2"))
    assert len(scripts) > 10
    assert main(["prove", "--check-only", str(tmp_path)]) == ExitCode.EXPECTED
    assert main([str(path), "--check", "all_sizes"]) == ExitCode.EXPECTED
    assert "by the certificate in refs.inv" in capsys.readouterr().out
    mutated = protocols.REFS.replace("config GET = true", "config GET = false")
    path.write_text(mutated, encoding="utf-8")
    assert main(["prove", "--check-only", str(path)]) == ExitCode.SURPRISE
    assert main([str(path), "--check", "all_sizes"]) == ExitCode.SURPRISE
    assert "VIOLATED: live_handles" in capsys.readouterr().out


def test_another_solver_agrees(tmp_path: Path) -> None:
    cvc5 = pytest.importorskip("cvc5")
    texts: list[str] = []
    proof = prove(instance(protocols.REFS), "all_sizes", save=lambda number, text: texts.append(text))
    assert proof.verdict == "proved" and len(texts) > 10
    for text in texts:
        solver = cvc5.Solver()
        parser = cvc5.InputParser(solver)
        parser.setStringInput(cvc5.InputLanguage.SMT_LIB_2_6, text, "obligation")
        symbols = parser.getSymbolManager()
        answers = []
        while not (command := parser.nextCommand()).isNull():
            answers.append(command.invoke(solver, symbols).strip())
        assert [a for a in answers if a] == ["unsat"]


def test_what_stands_in_the_way_is_named_with_what_to_write_instead() -> None:
    proof = prove(instance(protocols.ORDERED), "all_sizes")
    assert proof.verdict == "obstacle"
    assert [o.what for o in proof.obstacles] == [
        "sort CPU is ordered",
        "queue is a sequence, whose length is bounded",
        "a number of elements is compared or kept",
    ]
    assert all(o.instead and o.span.line for o in proof.obstacles)


@pytest.mark.parametrize(
    ("check", "wrong"),
    [
        ("check x { CPU = 2; } expect proved;", "a proof is for any number of something"),
        ("check x { CPU = any; } expect fail alone;", "a violation is found at some size"),
    ],
)
def test_checks_that_make_no_sense(tmp_path: Path, check: str, wrong: str) -> None:
    path = tmp_path / "flag.lzm"
    path.write_text(protocols.FLAG + check, encoding="utf-8")
    with pytest.raises(UserError, match=wrong):
        plans(load_model(str(path)), ["x"], Overrides())


def test_a_size_on_the_command_line_asks_for_an_ordinary_check(tmp_path: Path) -> None:
    path = tmp_path / "flag.lzm"
    path.write_text(protocols.FLAG, encoding="utf-8")
    model = load_model(str(path))
    (plan,) = plans(model, ["all_sizes"], Overrides(sizes={"CPU": "3"}))
    result = run_check(model, plan, Run())
    assert not result.unbounded and result.exit_code is ExitCode.EXPECTED
    assert {v.outcome for v in result.verdicts if v.property.name == "alone"} == {Outcome.HOLDS}
    assert make_instance(model, plan).count("CPU") == 3
