"""Results and traces as JSON records, described by the schemas beside this module.

A saved trace names its steps by what does not change with the line numbers, the
key of the action, the branch and the elements, so that it can be replayed
against a changed model.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Final

from checker.core.printer import format_expr
from checker.core.system import PropertyKind
from checker.core.trace import Change, Step, Trace
from checker.core.verdict import CheckResult, ExitCode, Expectation, Outcome, PropertyVerdict, is_one_of
from checker.report.phrases import sizes
from checker.report.tracetext import function_name
from checker.report.values import Json, index_names, json_state, slot_value

RESULT_SCHEMA: Final = "lzcheck-result/1"
TRACE_SCHEMA: Final = "lzcheck-trace/1"


def result_record(result: CheckResult) -> dict[str, Json]:
    """The whole result, with the traces."""
    system, statistics = result.instance.system, result.statistics
    covers: dict[str, Json] = {
        verdict.property.name: {"reached": verdict.outcome is Outcome.REACHED, "steps": _steps(verdict)}
        for verdict in result.verdicts
        if verdict.property.kind is PropertyKind.COVER
    }
    return {
        "schema": RESULT_SCHEMA,
        "model": result.model,
        "name": result.system,
        "check": result.check,
        "bug": result.bug,
        "sizes": {**sizes(result.instance)},
        "config": {**system.config},
        "memory_model": system.memory_model,
        "engine": result.engine,
        "strategy": result.strategy,
        "seed": result.seed,
        "reductions": [*result.reductions],
        "states": statistics.states,
        "transitions": statistics.transitions,
        "depth": statistics.depth,
        "seconds": statistics.seconds,
        "peak_memory_mib": statistics.peak_memory,
        "bytes_per_state": statistics.state_bytes,
        "omission_probability": statistics.omission,
        "complete": statistics.complete,
        "limits": {name: value for name, value in asdict(result.limits).items() if value is not None},
        "limit_hit": statistics.limit,
        "fired": dict(sorted(statistics.fired.items())),
        "expectation": {
            "verdict": result.expectation.verdict,
            "properties": [*result.expectation.properties],
            "steps": result.expectation.steps,
            "states": result.expectation.states,
        },
        "properties": [_property(result, verdict) for verdict in result.verdicts],
        "covers": covers,
        "findings": [
            {"code": f.code, "message": f.message, "where": f.where, "statement": f.statement} for f in result.findings
        ],
        "surprises": [*result.surprises],
        "notes": [*result.notes],
        "as_expected": result.exit_code is ExitCode.EXPECTED,
        "exit_status": int(result.exit_code),
    }


def trace_record(trace: Trace, *, model: str = "", check: str = "") -> dict[str, Json]:
    """A trace that can be read by a program and replayed later; `model` is the model's file."""
    instance = trace.instance
    system = instance.system
    return {
        "schema": TRACE_SCHEMA,
        "model": model,
        "name": system.name,
        "check": check,
        "property": trace.property,
        "sizes": {**sizes(instance)},
        "config": {**system.config},
        "memory_model": system.memory_model,
        "initial": {"number": trace.number, "state": json_state(instance, trace.initial)},
        "steps": [_step(trace, step) for step in trace.steps],
    }


# -- parts -------------------------------------------------------------------


def _property(result: CheckResult, verdict: PropertyVerdict) -> dict[str, Json]:
    prop = verdict.property
    record: dict[str, Json] = {
        "name": prop.name,
        "kind": prop.kind.value,
        "text": prop.text,
        "expression": format_expr(prop.expr, system=result.instance.system) if prop.expr else None,
        "file": prop.span.file or None,
        "line": prop.span.line or None,
        "expected": _expected(result.expectation, verdict),
        "verdict": verdict.outcome.value,
        "steps": _steps(verdict),
        "note": verdict.note,
    }
    if verdict.trace is not None:
        record["trace"] = trace_record(verdict.trace, model=result.model, check=result.check)
    return record


def _expected(expectation: Expectation, verdict: PropertyVerdict) -> str | None:
    """The verdict that the check asks of this property; None where it asks for none."""
    prop = verdict.property
    if verdict.allowed:
        return None
    if expectation.verdict != "proved" and is_one_of(prop, expectation.properties):
        return Outcome.VIOLATED.value
    match expectation.verdict:
        case "pass" | "proved":
            is_cover = prop.kind is PropertyKind.COVER
            return Outcome.REACHED.value if is_cover else Outcome.HOLDS.value
        case "deadlock" if prop.kind is PropertyKind.DEADLOCK:
            return Outcome.VIOLATED.value
        case _:
            return None


def _steps(verdict: PropertyVerdict) -> int | None:
    return None if verdict.trace is None else len(verdict.trace.steps)


def _step(trace: Trace, step: Step) -> dict[str, Json]:
    instance, action = trace.instance, step.action
    thread = instance.thread(step.thread)
    args = zip(action.params, step.args, strict=True)
    cpu_sort = getattr(action.cpu.type, "sort", None) if action.cpu is not None else None
    return {
        "number": step.number,
        "thread": step.thread,
        "kind": thread.kind.value,
        "instance": [instance.element_name(s, e) for s, e in zip(thread.index, step.instance, strict=True)],
        "cpu": instance.element_name(cpu_sort, step.cpu) if cpu_sort and step.cpu is not None else None,
        "action": action.key,
        "name": action.name,
        "branch": action.branch,
        "label": action.label,
        "function": function_name(step),
        "kernel": action.kernel,
        "file": action.span.file or None,
        "line": action.span.line or None,
        "args": {param.name: instance.element_name(param.sort, element) for param, element in args},
        "fault": action.fault.message if action.fault else None,
        "changes": [_change(trace, change) for change in step.changes],
    }


def _change(trace: Trace, change: Change) -> dict[str, Json]:
    instance = trace.instance
    var = instance.var(change.var)
    return {
        "var": change.var,
        "index": [*index_names(instance, var, change.index)],
        "slot": instance.format_slot(change.var, change.index),
        "old": slot_value(instance, var, change.old),
        "new": slot_value(instance, var, change.new),
    }
