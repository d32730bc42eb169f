"""`lzcheck prove`: a proof for each check that asks for one, its certificate beside the model, and rechecks."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final

from checker.check import find_violation, small_instance
from checker.core.instance import Instance
from checker.core.verdict import ExitCode
from checker.engines import Run
from checker.lang.diagnostics import Diagnostic, UserError
from checker.lang.names import Model, load_model
from checker.plan import Overrides, Plan, make_instance, plans
from checker.prove.certificate import Certificate, path_of, read, render
from checker.prove.protocol import protocol
from checker.prove.run import Proof, check_certificate, prove, stored
from checker.prove.wording import Unreadable
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
) -> ExitCode:
    """Prove the named checks, or all that are for any size, and keep the certificates."""
    codes = set()
    for plan in _asked(model, names, overrides):
        instance = small_instance(make_instance(model, plan), plan)
        answer = find_violation(instance, plan, Run(engine="explorer"), None)
        violated = [r.property.name for r in answer.exploration.violated if r.property.name != "bound"]
        sorts = tuple(sorted(plan.unbounded))
        if violated:
            sizes = ", ".join(f"{s}=2" for s in sorts)
            tell(f"{model.file}: {plan.name}: VIOLATED: {', '.join(violated)} ({sizes})")
            tell(f"  lzcheck {model.file} --check {plan.name} shows how")
            codes.add(ExitCode.SURPRISE)
            continue
        save = None if smtlib is None else _saver(Path(smtlib) / plan.name)
        proof = prove(instance, plan.name, plan.expectation.properties, seconds=seconds, say=say, save=save)
        if proof.obstacles:
            found = [Diagnostic("LZ602", o.what, o.span, hint=o.instead) for o in proof.obstacles]
            raise UserError(found, model.sources)
        tell(render_proof(model.file, plan.name, sorts, proof).rstrip("\n"))
        if proof.verdict == "proved":
            _keep(model, plan, proof)
            tell(f"  kept in {path_of(model.file)}")
        codes.add({"proved": ExitCode.EXPECTED, "time": ExitCode.LIMIT}.get(proof.verdict, ExitCode.SURPRISE))
    return next((c for c in _WORST if c in codes), ExitCode.EXPECTED)


def recheck_models(paths: Iterable[str], names: list[str] | None, smtlib: str | None, tell: Print) -> ExitCode:
    """Recheck the certificates that there are beside some models."""
    good, count = True, 0
    for path in paths:
        kept = stored(path)
        if not kept:
            continue
        model = load_model(path)
        for check, section in kept.items():
            if names and check not in names:
                continue
            count += 1
            verdict, ok = _rechecked(model, check, section, smtlib)
            tell(f"{path}: {check}: {verdict}")
            good = good and ok
    if not count:
        raise UserError.of("LZ605", "there is no certificate to recheck", hint="lzcheck prove MODEL finds one")
    return ExitCode.EXPECTED if good else ExitCode.SURPRISE


def _rechecked(model: Model, check: str, section: str, smtlib: str | None) -> tuple[str, bool]:
    if check not in model.checks:
        return "the model has no such check any more", False
    (plan,) = plans(model, [check], Overrides())
    instance = make_instance(model, plan)
    try:
        certificate = read(protocol(instance.system), check, section)
    except Unreadable as reason:
        return f"the certificate is for another version of the model: {reason}", False
    missing = _missing(instance, plan, certificate)
    if missing:
        return f"the certificate says nothing of {', '.join(missing)}", False
    save = None if smtlib is None else _saver(Path(smtlib) / check)
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


def _keep(model: Model, plan: Plan, proof: Proof) -> None:
    """Write the certificate into the model's file of certificates, in place of an older one."""
    assert proof.certificate is not None and proof.found is not None
    sorts = ", ".join(sorted(plan.unbounded))
    progress = proof.found.progress
    how = [
        f"For any number of {sorts}: no reachable state is one that is said never to be,",
        "and each counter is the number of its holders.",
        f"Found by lzcheck prove from {progress.counterexamples} counterexamples to induction;",
        f"lzcheck prove --check-only {path_of(model.file).with_suffix('.lzm').name} rechecks it.",
    ]
    kept = stored(model.file)
    kept[plan.name] = render(proof.protocol, proof.certificate, how)
    write_text(str(path_of(model.file)), "\n".join(kept[name] for name in sorted(kept)))


def _saver(folder: Path) -> Callable[[int, str], None]:
    folder.mkdir(parents=True, exist_ok=True)

    def save(number: int, script: str) -> None:
        write_text(str(folder / f"{number:05}.smt2"), script)

    return save
