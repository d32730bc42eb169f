"""What came of a proof, as text: the certificate's summary, or what stands against a proof."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator

from checker.core import system as y
from checker.core.printer import format_expr
from checker.prove.clauses import Clause
from checker.prove.protocol import Rule
from checker.prove.recheck import Recheck
from checker.prove.run import Proof
from checker.prove.search import Stuck
from checker.prove.structure import Structure
from checker.prove.wording import clause_text
from checker.report.phrases import counted
from checker.report.table import WIDTH

_SHOWN = 3  # counterexamples to induction


def render_proof(model: str, check: str, sorts: tuple[str, ...], proof: Proof) -> str:
    """All there is to say of an attempt."""
    sizes = f"any number of {', '.join(sorts)}"
    lines: list[str] = []
    if proof.verdict == "proved" and proof.certificate is not None and proof.rechecked is not None:
        lines.append(f"{model}: {check}: proved for {sizes} ({proof.seconds:.1f} s)")
        equations = counted(len(proof.certificate.equations), "counter")
        lines.append(f"  {counted(len(proof.certificate.clauses), 'clause')}; {equations} explained by holders")
        lines.append(f"  {recheck_text(proof.rechecked)}")
    elif proof.verdict == "time":
        lines.append(f"{model}: {check}: not proved for {sizes}: the time was up after {proof.seconds:.1f} s")
    else:
        lines.append(f"{model}: {check}: not proved for {sizes} ({proof.seconds:.1f} s)")
        lines += textwrap.wrap("No violation is known. The states below satisfy every clause that was found, and no "
                               "further clause over three elements tells them from the reachable states that were "
                               "sampled. They may or may not be reachable.", WIDTH)  # fmt: skip
        for stuck in proof.stuck[:_SHOWN]:
            lines += ["", *_stuck(proof, stuck)]
        if len(proof.stuck) > _SHOWN:
            lines.append(f"  and {len(proof.stuck) - _SHOWN} more")
    if proof.verdict == "proved" and (proof.lemmas or proof.hints):
        help_ = f"{counted(proof.lemmas, 'lemma')} and {counted(proof.hints, 'hint')}"
        lines.append(f"  with the help of {help_}, proved like the rest")
    lines += [f"  this hint is not so: {line}" for line in proof.refuted]
    if proof.verdict != "proved":
        lines += [f"  this hint is not kept by {_step(rule)}: {line}" for line, rule in proof.lost]
    if proof.left_out:
        lines.append(f"  not part of it, as they count elements: {', '.join(proof.left_out)}")
    return "\n".join(lines) + "\n"


def recheck_text(again: Recheck) -> str:
    """What the recheck found."""
    if again.failure is not None:
        return f"fails its recheck after {again.obligations} obligations"
    if again.good:
        return f"rechecked: {again.obligations} obligations, as SMT-LIB too ({again.seconds:.1f} s)"
    return f"recheck: {again.obligations} obligations hold, {again.confirmed} of them as SMT-LIB too"


def _stuck(proof: Proof, stuck: Stuck) -> Iterator[str]:
    obligation = stuck.obligation
    rule, clause = obligation.rule, obligation.clause
    if clause is not None:
        yield f"not kept: {clause.name or clause_text(proof.protocol, clause)}"
    elif rule is not None and rule.fault is not None:
        yield f"not excluded: {rule.fault.message}"
    if rule is not None:
        action = rule.action
        yield f"  by {action.span.file}:{action.span.line}: {action.label}"
    if stuck.counterexample.open:
        yield "  Z3 came to no answer"
        return
    structure = stuck.counterexample.structure
    for name, element in stuck.counterexample.roles.items():
        yield f"  {name} is {structure.name(_sort(obligation.clause, rule, name), element)}"
    yield "  in a state with"
    yield from (f"    {text}" for text in state_text(structure))


def _step(rule: Rule | None) -> str:
    """Where a step is in the text."""
    return f"{rule.action.span.file}:{rule.action.span.line}" if rule is not None else "the first states"


def _sort(clause: Clause | None, rule: object, name: str) -> str:
    params = [*(clause.vars if clause else ()), *getattr(rule, "params", ())]
    plain = name.removesuffix("'")
    return next((p.sort for p in params if p.name == plain or p.name == name), "")


def state_text(structure: Structure) -> Iterator[str]:
    """What is known of a structure, one variable at an index a line."""
    for var, key in sorted(structure.known):
        if -1 in key:
            continue
        declared = structure.protocol.vars[var]
        value = structure.read(var, key)
        thread = structure.protocol.by_pc.get(var)
        names = {f"e{n}": structure.name(s, e) for n, (s, e) in enumerate(zip(declared.index, key, strict=True))}
        params = tuple(y.Param(f"e{n}", s) for n, s in enumerate(declared.index))
        if thread is not None:
            owner = ", ".join(names.values())
            yield f"{thread.name}[{owner}] at {thread.locations[value].name}"
            continue
        shown: str
        match declared.type:
            case y.Elem(sort=sort):
                shown = structure.name(sort, value)
            case y.Enum(members=members):
                shown = members[value]
            case y.Bool():
                shown = "true" if value else "false"
            case _:
                shown = str(value)
        yield f"{format_expr(y.Read(var, params, declared.type), names=names, qualified=True)} = {shown}"
