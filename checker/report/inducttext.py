"""What induction says of a check, in plain text."""

from __future__ import annotations

from collections.abc import Iterable

from checker.core.instance import Instance
from checker.core.system import Bool, Elem, Storage, Value
from checker.core.verdict import ExitCode
from checker.explain import slot_text, thread_name
from checker.induct import Cti, InductionResult
from checker.report.phrases import counted, number, sizes_text
from checker.report.table import WIDTH, wrap
from checker.report.tracetext import render_columns, render_why


def render_induction(model: str, check: str, result: InductionResult) -> str:
    """The counterexamples to induction first, then what is kept, then the verdict."""
    blocks = [_cti(result, cti) for cti in result.ctis]
    if result.kept:
        blocks.append(_listed("kept by every step", result.kept))
    if result.unknown:
        blocks.append(_listed("not decided in the time given", result.unknown))
    if result.base:
        blocks.append(_listed(f"violated within {counted(result.k - 1, 'step')} of the start", result.base))
    blocks.append("\n".join(wrap(f"{model}: {check}: {_verdict(result)}", WIDTH)) + "\n")
    return "\n".join(blocks)


def induction_status(result: InductionResult) -> ExitCode:
    """0 where the properties are proved, 3 where time ran out before that was known, else 1."""
    if result.proved:
        return ExitCode.EXPECTED
    return ExitCode.LIMIT if not (result.ctis or result.base) else ExitCode.SURPRISE


def _verdict(result: InductionResult) -> str:
    size = sizes_text(result.instance).replace(" ", ", ")
    how = f"k = {result.k}, {size}"
    if result.proved:
        return (
            f"proved by induction ({how}): {counted(len(result.kept), 'property').replace('propertys', 'properties')}"
        )
    if result.ctis:
        return f"not inductive ({how}): {', '.join(c.property.name for c in result.ctis)}; this is no bug by itself"
    return f"not decided ({how})"


def _listed(heading: str, names: Iterable[str]) -> str:
    return "\n".join([f"{heading}:", *(f"  {name}" for name in names)]) + "\n"


def _cti(result: InductionResult, cti: Cti) -> str:
    lines = wrap(f"{cti.property.name} is not inductive: a state in which all properties hold leads to one "
                 "in which it does not", WIDTH, hang=0)  # fmt: skip
    if cti.unusual:
        lines += wrap("beside the initial values:", WIDTH)
        lines += [line for slot, value in cti.unusual for line in wrap(fact(result.instance, slot, value), WIDTH, 4)]
    lines += ["", *render_columns(cti.trace, WIDTH), "", *render_why(cti.trace, WIDTH), ""]
    lines += wrap(_hint(result, cti), WIDTH, hang=0)
    lines += [line for slot, value in cti.apart for line in wrap(fact(result.instance, slot, value), WIDTH, 4)]
    return "\n".join(lines) + "\n"


def _hint(result: InductionResult, cti: Cti) -> str:
    samples = f"{'all' if result.complete else 'the first'} {number(result.sampled)} reachable states"
    if cti.reachable:
        return "This state can be reached: the property is violated."
    if not cti.apart:
        return f"No three facts tell this state from {samples}."
    what = "this" if len(cti.apart) == 1 else "all of this together"
    return f"In none of {samples} is {what} true; an invariant that rules it out would help:"


def fact(instance: Instance, slot: int, value: Value) -> str:
    """One slot of a state in the model's words: `cur[CPU0] == mm1`, `not live(mm0)`, `cpu_loop on CPU0 is at ...`."""
    var, index = instance.slots[slot]
    if var.storage is Storage.CONTROL:
        thread = next(t for t in instance.system.threads if t.pc == var.name)
        assert isinstance(value, int)
        return f"{thread_name(instance, thread.name, index)} is at {thread.locations[value].name}"
    text = slot_text(instance, var, index)
    if var.storage is Storage.LOCAL:
        owner = next((t for t in instance.system.threads if var.name.startswith(f"{t.name}.")), None)
        if owner is not None:
            text = f"{thread_name(instance, owner.name, index[: len(owner.index)])}: {text}"
    if isinstance(var.type, Bool):
        return text if value else f"not {text}"
    shown = instance.format_value(var.type, value)
    return f"{text} == {shown}" if isinstance(var.type, Elem) or shown else text
