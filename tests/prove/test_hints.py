"""Hints, lemmas and generations: what people add to a proof is proved like the rest."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from checker.check import small_instance
from checker.cli import main
from checker.core.instance import Instance
from checker.core.verdict import ExitCode
from checker.lang.names import load_model
from checker.plan import Overrides, make_instance, plans
from checker.prove import hints
from checker.prove.census import Census
from checker.prove.certificate import path_of, read, sections
from checker.prove.clauses import Clause
from checker.prove.houdini import Houdini
from checker.prove.protocol import protocol
from checker.prove.query import Vocabulary
from checker.prove.run import check_certificate, prove, with_only
from checker.prove.wording import read_line
from checker.search import reachable
from tests.models import explore_text, system_of, violated
from tests.prove import protocols

MODELS = Path(__file__).parents[2] / "models"
FLAG_HINTS = [
    "never c : CPU: at(t[c] : ?) && !taken;",
    "never c : CPU, d : CPU: at(t[c] : ?) && at(t[d] : ?);",
    "never c : CPU: at(t[c] : ?) && inside[c];",
]


def instance(text: str, config: dict[str, bool | int | str] | None = None, **sizes: int) -> Instance:
    return Instance(system_of(text, config), sizes)


def census(small: Instance) -> Census:
    states, complete = reachable(small, 10_000)
    assert complete
    return Census(small, states, complete=True)


# -- lemmas


def test_a_lemma_is_checked_like_an_invariant_and_reported_as_what_it_is(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    wrong = protocols.FLAG.replace("check all", "lemma free: !taken;\ncheck all", 1)
    assert "free" in violated(explore_text(wrong))
    path = tmp_path / "flag.lzm"
    path.write_text(protocols.FLAG + "lemma held: forall c : CPU { inside[c] => taken };\ncheck two expect pass;")
    assert main([str(path), "--check", "two"]) == ExitCode.EXPECTED
    assert [x.split()[1:3] for x in capsys.readouterr().out.splitlines() if x.split()[:1] == ["held"]] == [
        ["lemma", "holds"]
    ]


def test_a_lemma_that_is_not_so_is_no_proof() -> None:
    wrong = protocols.FLAG.replace("check all", "lemma free: forall c : CPU { inside[c] => !taken };\ncheck all", 1)
    proof = prove(instance(wrong), "all_sizes", ("alone",))
    assert proof.verdict == "violated" and proof.violated == ("free",)


# -- hints


def test_open_places_are_those_that_no_sample_has() -> None:
    small = instance(protocols.FLAG)
    made = protocol(small.system)
    found = dict(hints.clauses(made, FLAG_HINTS, [census(small)]))
    assert all(found.values())
    (taken,) = found[FLAG_HINTS[0]]
    (busy,) = [f for f in taken.never if hasattr(f, "locations")]
    assert busy.locations == frozenset({1, 2, 3})  # type: ignore[union-attr]
    pairs = {
        (a, b) for clause in found[FLAG_HINTS[1]] for a in clause.never[0].locations  # type: ignore[union-attr]
        for b in clause.never[1].locations  # type: ignore[union-attr]
    }  # fmt: skip
    assert pairs == {(a, b) for a in (1, 2, 3) for b in (1, 2, 3)}


def test_hints_make_a_proof_without_a_search(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "flag.lzm"
    path.write_text(protocols.FLAG)
    path.with_suffix(".hints").write_text("// a lock\n" + "\n".join(FLAG_HINTS) + "\nproof another:\nnever : taken;\n")
    assert main(["prove", str(path), "--check", "all_sizes"]) == ExitCode.EXPECTED
    out = capsys.readouterr().out
    assert "0 lemmas and 3 hints" in out and "is not so" not in out
    assert main(["prove", "--check-only", str(path)]) == ExitCode.EXPECTED
    assert "?" not in path_of(str(path)).read_text()


def test_hints_are_neither_assumed_nor_needed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One is contradicted by a sample, the other true of all samples and not kept by every step."""
    wrong = "never c : CPU: inside[c];"
    small = instance(protocols.FLAG)
    proof = prove(small, "all_sizes", lines=[wrong, *FLAG_HINTS])
    assert proof.verdict == "proved" and proof.refuted == (wrong,)
    broken = instance(protocols.FLAG, {"TEST": False})
    assert prove(broken, "all_sizes", lines=FLAG_HINTS[1:]).verdict == "violated"


def test_what_a_step_breaks_is_weakened_by_the_place_or_dropped() -> None:
    made = protocol(system_of(protocols.FLAG))
    everywhere = frozenset(range(len(made.threads["t"].locations)))
    wide = read_line(made, "never c : CPU: at(t[c] : ?) && !taken;")
    alone = read_line(made, "never c : CPU, d : CPU: inside[c] && inside[d];")
    assert isinstance(wide, Clause) and isinstance(alone, Clause)
    at = wide.never[0]
    wide = Clause(wide.vars, (type(at)("t", at.index, everywhere), wide.never[1]))  # type: ignore[union-attr,call-arg,arg-type]
    kept = Houdini(made, Vocabulary(made), []).run([wide, alone])
    assert alone not in kept and wide not in kept
    assert all(set(c.never[0].locations) < everywhere for c in kept)  # type: ignore[union-attr]


def test_a_hint_that_makes_no_sense_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "flag.lzm"
    path.write_text(protocols.FLAG)
    path.with_suffix(".hints").write_text("never c : CPU: at(t[c] : ?) && nobody[c];\n")
    assert main(["prove", str(path), "--check", "all_sizes"]) == ExitCode.USAGE
    assert "flag.hints: the model knows no 'nobody'" in capsys.readouterr().err


# -- generations


def test_generations_are_compared_in_proofs() -> None:
    proof = prove(instance(protocols.GENS), "all_sizes")
    assert proof.verdict == "proved" and proof.certificate is not None
    assert {"caught_up", "never_ahead", "gen_family"} <= set(proof.certificate.properties)
    assert prove(instance(protocols.GENS, {"WAIT": False}), "all_sizes").verdict == "violated"


# -- the certificates of the models

MUTANTS = [
    ("x86_tlb_gen_any", "INCREMENT"),
    ("x86_tlb_gen_any", "ASK_SWITCHING"),
    ("x86_tlb_gen_any", "PARTIAL_IF_NEXT"),
    ("x86_tlb_gen_any", "PARTIAL_IF_CURRENT"),
    ("mmu_gather", "RANGE_GROWS"),
    ("mmu_gather_tables", "NOTE_FREED_TABLES"),
    ("hash_pte_batch", "UPDATE_WAITS_FOR_BUSY"),
]


def mutated(name: str, config: str) -> tuple[Instance, str]:
    """A model with a config that is off, and the certificate of the model as it is."""
    model = load_model(str(MODELS / f"{name}.lzm"))
    (plan,) = plans(model, ["all_sizes"], Overrides(config={config: "false"}))
    section = sections((MODELS / f"{name}.inv").read_text(encoding="utf-8"))["all_sizes"]
    return small_instance(make_instance(model, plan), plan), section


@pytest.mark.parametrize(("name", "config"), MUTANTS)
def test_a_certificate_fails_where_its_model_is_mutated(name: str, config: str) -> None:
    mutant, section = mutated(name, config)
    names = [line.strip()[9:-1] for line in section.splitlines() if line.strip().startswith("property ")]
    certificate = read(protocol(with_only(mutant, names).system), "all_sizes", section)
    again = check_certificate(mutant, certificate)
    assert not again.good and again.failure is not None and again.failure.counterexample is not None


def test_another_solver_agrees_with_a_certificate_of_generations() -> None:
    cvc5 = pytest.importorskip("cvc5")
    texts: list[str] = []
    small = instance(protocols.GENS)
    proof = prove(small, "all_sizes", save=lambda number, text: texts.append(text))
    assert proof.verdict == "proved" and any("tlb_gen" in text for text in texts)
    for text in texts:
        assert answers(cvc5, text) == ["unsat"]


def answers(cvc5: Any, text: str) -> list[str]:
    """What cvc5 says to a script."""
    solver = cvc5.Solver()
    parser = cvc5.InputParser(solver)
    parser.setStringInput(cvc5.InputLanguage.SMT_LIB_2_6, text, "obligation")
    symbols = parser.getSymbolManager()
    found = []
    while not (command := parser.nextCommand()).isNull():
        found.append(command.invoke(solver, symbols).strip())
    return [a for a in found if a]
