"""`lzcheck prove`: a proof for each check that asks for one, its certificate beside the model, and rechecks."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final

from checker.check import find_violation, small_instance
from checker.core.instance import Instance
from checker.core.system import System
from checker.core.verdict import ExitCode
from checker.engines import Run
from checker.lang.diagnostics import Diagnostic, UserError
from checker.lang.names import Model, load_model
from checker.plan import Overrides, Plan, make_instance, plans
from checker.pool import in_parallel
from checker.prove import hints
from checker.prove.certificate import Certificate, path_of, read, render
from checker.prove.legend import legend
from checker.prove.protocol import protocol
from checker.prove.run import Proof, check_certificate, prove, size_text, smaller, stored
from checker.prove.wording import Unreadable
from checker.records import dataclass
from checker.report.output import write_text
from checker.report.prooftext import recheck_text, render_proof

_WORST: Final = (ExitCode.SURPRISE, ExitCode.LIMIT)

Print = Callable[[str], None]


def prove_checks(
    model: Model,
    names: list[str] | None,
    overrides: Overrides,
    seconds: float | None,
    smtlib: str | None,
    tell: Print,
    say: Print | None,
    jobs: int = 1,
) -> ExitCode:
    """Prove the named checks, or all that are for any size, and keep the certificates."""
    codes = set()
    for plan in _asked(model, names, overrides):
        instance = small_instance(make_instance(model, plan), plan)
        answer = find_violation(instance, plan, Run(engine="explorer"), None)
        violated = [r.property.name for r in answer.exploration.violated if r.property.name != "bound"]
        sorts = tuple(sorted(plan.unbounded))
        if violated:
            tell(_violation(model, plan, overrides, violated, dict.fromkeys(sorts, 2)))
            codes.add(ExitCode.SURPRISE)
            continue
        save = None if smtlib is None else _saver(Path(smtlib) / plan.name)
        try:
            lines = hints.stored(model.file, plan.name)
            proof = prove(
                instance, plan.name, plan.expectation.properties,
                seconds=seconds, say=say, save=save, lines=lines, jobs=jobs,
            )  # fmt: skip
        except Unreadable as reason:
            raise UserError.of("LZ605", f"{hints.path_of(model.file).name}: {reason}") from None
        if proof.obstacles:
            found = [Diagnostic("LZ602", o.what, o.span, hint=o.instead) for o in proof.obstacles]
            raise UserError(found, model.sources)
        if proof.verdict == "violated":
            tell(_violation(model, plan, overrides, proof.violated, proof.sizes))
            codes.add(ExitCode.SURPRISE)
            continue
        tell(render_proof(model.file, plan.name, sorts, proof).rstrip("\n"))
        if proof.verdict == "proved":
            _keep(model, plan, proof, instance.system)
            tell(f"  kept in {path_of(model.file)}")
        codes.add({"proved": ExitCode.EXPECTED, "time": ExitCode.LIMIT}.get(proof.verdict, ExitCode.SURPRISE))
    return next((c for c in _WORST if c in codes), ExitCode.EXPECTED)


def _violation(model: Model, plan: Plan, overrides: Overrides, names: Iterable[str], sizes: Mapping[str, int]) -> str:
    """What is violated, at which sizes, and the command that shows how."""
    options = [f"-D {name}={value}" for name, value in overrides.config.items()]
    options += [f"--size {sort}={size}" for sort, size in sorted(sizes.items())]
    return (
        f"{model.file}: {plan.name}: VIOLATED: {', '.join(names)} ({size_text(sizes)})\n"
        f"  lzcheck {model.file} --check {plan.name} {' '.join(options)} shows how"
    )


@dataclass(frozen=True, slots=True)
class _Piece:
    """A certificate to recheck."""

    path: str
    check: str
    section: str
    smtlib: str | None


def recheck_models(
    paths: Sequence[str], names: list[str] | None, smtlib: str | None, tell: Print, jobs: int = 1
) -> ExitCode:
    """Recheck the certificates that there are beside some models, so many at a time."""
    pieces = [
        _Piece(path, check, section, smtlib)
        for path in paths for check, section in stored(path).items() if not names or check in names
    ]  # fmt: skip
    if not pieces:
        for path in paths:  # which may be missing, or wrong
            load_model(path)
        raise UserError.of("LZ605", "there is no certificate to recheck", hint="lzcheck prove MODEL finds one")
    every = True
    for piece, outcome in zip(pieces, in_parallel(_rechecked, pieces, jobs), strict=True):
        if isinstance(outcome, UserError):
            raise outcome
        verdict, good = outcome
        tell(f"{piece.path}: {piece.check}: {verdict}")
        every = every and good
    return ExitCode.EXPECTED if every else ExitCode.SURPRISE


def _rechecked(piece: _Piece) -> tuple[str, bool] | UserError:
    try:
        return _verdict(load_model(piece.path), piece)
    except UserError as error:
        return error


def _verdict(model: Model, piece: _Piece) -> tuple[str, bool]:
    if piece.check not in model.checks:
        return "the model has no such check any more", False
    (plan,) = plans(model, [piece.check], Overrides())
    instance = smaller(make_instance(model, plan), plan.expectation.properties)
    try:
        certificate = read(protocol(instance.system), piece.check, piece.section)
    except Unreadable as reason:
        return f"the certificate is for another version of the model: {reason}", False
    missing = _missing(instance, plan, certificate)
    if missing:
        return f"the certificate says nothing of {', '.join(missing)}", False
    save = None if piece.smtlib is None else _saver(Path(piece.smtlib) / piece.check)
    again = check_certificate(instance, certificate, save=save)
    text = recheck_text(again)
    if again.failure is not None:
        text += f": {again.failure.obligation.text(instance.system)}"
    return text, again.good


def _missing(instance: Instance, plan: Plan, certificate: Certificate) -> list[str]:
    """What the check asks and the certificate leaves out."""
    from checker.prove.run import asked

    properties, _, faults = asked(instance, plan.expectation.properties)
    wanted = [p.name for p in properties] + faults
    return [name for name in wanted if name not in certificate.properties]


def _asked(model: Model, names: list[str] | None, overrides: Overrides) -> list[Plan]:
    chosen = plans(model, names or None, overrides)
    for plan in chosen:
        if names and not plan.unbounded:
            raise UserError.of(
                "LZ605", f"'{plan.name}' is for certain sizes", hint="--size CPU=any, or CPU = any; in it"
            )
    found = [p for p in chosen if p.unbounded]
    if not found:
        hint = "add a check: check all_sizes { CPU = any; } expect proved;"
        raise UserError.of("LZ605", "the model has no check for any number of anything", hint=hint)
    return found


def _keep(model: Model, plan: Plan, proof: Proof, system: System) -> None:
    """Write the certificate into the model's file of certificates, in place of an older one."""
    assert proof.certificate is not None and proof.found is not None
    sorts = ", ".join(sorted(plan.unbounded))
    progress = proof.found.progress
    how = [
        f"For any number of {sorts}: no reachable state is one that is said never to be,",
        "and each counter is the number of its holders.",
        f"Found by lzcheck prove from {_source(proof, progress.counterexamples)};",
        f"lzcheck prove --check-only {path_of(model.file).with_suffix('.lzm').name} rechecks it.",
    ]
    kept = stored(model.file)
    text = render(proof.protocol, proof.certificate, [])
    how += legend(system, proof.protocol.system, text)
    kept[plan.name] = "".join(f"// {line}\n" for line in how) + text
    write_text(str(path_of(model.file)), "\n".join(kept[name] for name in sorted(kept)))


def _source(proof: Proof, counterexamples: int) -> str:
    """What a proof was made from."""
    found = f"{counterexamples} counterexamples to induction"
    return f"{proof.lemmas} lemmas, {proof.hints} hints and {found}" if proof.lemmas or proof.hints else found


def _saver(folder: Path) -> Callable[[int, str], None]:
    folder.mkdir(parents=True, exist_ok=True)

    def save(number: int, script: str) -> None:
        write_text(str(folder / f"{number:05}.smt2"), script)

    return save
