"""A trace in the Informal Trace Format, which the tools around Apalache and Quint read.

Elements of sorts, enum values and locations are strings; a variable with an index
is a map, with more than one a map from tuples; a variable that says the members
of sets is a set, or a map to sets.  The action and its choices stand under
the names that Quint gives them.
"""

from __future__ import annotations

from typing import Final

from checker.core.instance import Instance, State
from checker.core.printer import format_expr
from checker.core.system import Var
from checker.core.trace import Step, Trace
from checker.report.values import Json, index_names, set_owner, slot_value

ACTION: Final = "mbt::actionTaken"
PICKS: Final = "mbt::nondetPicks"


def itf_record(trace: Trace, *, model: str = "") -> dict[str, Json]:
    """The trace as an ITF document; `model` is the model's file."""
    instance = trace.instance
    params = sorted({param.name for step in trace.steps for param in step.action.params})
    steps: list[Step | None] = [None, *trace.steps]
    states = [trace.initial, *(step.state for step in trace.steps)]
    prop = next((p for p in instance.system.properties if p.name == trace.property), None)
    expression = f": {format_expr(prop.expr, system=instance.system)}" if prop and prop.expr else ""
    return {
        "#meta": {
            "format": "ITF",
            "format-description": "https://apalache-mc.org/docs/adr/015adr-trace.html",
            "description": f"{instance.system.name}: {trace.property}{expression}",
            "source": model,
        },
        "vars": [*(var.name for var in instance.system.vars), ACTION, PICKS],
        "states": [
            {
                "#meta": {"index": index},
                **_variables(instance, state),
                ACTION: step.action.name if step else "init",
                PICKS: _picks(instance, step, params),
            }
            for index, (state, step) in enumerate(zip(states, steps, strict=True))
        ],
    }


def _variables(instance: Instance, state: State) -> dict[str, Json]:
    return {var.name: _variable(instance, var, state) for var in instance.system.vars}


def _variable(instance: Instance, var: Var, state: State) -> Json:
    owned = set_owner(var)
    pairs: dict[tuple[str, ...], Json] = {}
    sets: dict[tuple[str, ...], list[Json]] = {}
    for index in instance.tuples(var.index):
        value = state[instance.slot(var.name, index)]
        names = index_names(instance, var, index)
        if owned is None:
            pairs[tuple(names)] = _value(slot_value(instance, var, value))
        else:
            members = sets.setdefault(tuple(names[:owned]), [])
            members += [_key(tuple(names[owned:]))] if value else []
    pairs.update({owner: {"#set": members} for owner, members in sets.items()})
    return pairs[()] if () in pairs else {"#map": [[_key(names), value] for names, value in pairs.items()]}


def _key(names: tuple[str, ...]) -> Json:
    return names[0] if len(names) == 1 else {"#tup": [*names]}


def _value(value: Json) -> Json:
    match value:
        case bool() | str():
            return value
        case int():
            return {"#bigint": str(value)}
        case list():
            return [_value(item) for item in value]
        case None:
            return "null"
        case _:
            raise TypeError(f"{value!r} is no value of a variable")


def _picks(instance: Instance, step: Step | None, params: list[str]) -> Json:
    chosen: dict[str, str] = {}
    if step is not None:
        for param, element in zip(step.action.params, step.args, strict=True):
            chosen[param.name] = instance.element_name(param.sort, element)
    none: Json = {"tag": "None", "value": {"#tup": []}}
    return {name: {"tag": "Some", "value": chosen[name]} if name in chosen else none for name in params}
