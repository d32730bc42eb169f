"""Values and indices of states as the machine-readable formats have them: elements by their names."""

from __future__ import annotations

from typing import assert_never

from checker.core.instance import Instance, State
from checker.core.system import NULL, Bool, Elem, Enum, Gen, Int, Seq, Storage, Type, Value, Var

Json = bool | int | float | str | None | list["Json"] | dict[str, "Json"]
"""What a JSON document is made of."""


def index_names(instance: Instance, var: Var, index: tuple[int, ...]) -> list[str]:
    """The names of the elements at which a variable is read."""
    return [instance.element_name(sort, element) for sort, element in zip(var.index, index, strict=True)]


def json_value(instance: Instance, kind: Type, value: Value) -> Json:
    """The value for a JSON reader: `null` is null, an element and an enum value its name."""
    match kind:
        case Bool():
            return bool(value)
        case Int() | Gen():
            return value if isinstance(value, int) else list(value)
        case Enum():
            return instance.format_value(kind, value)
        case Elem():
            return None if value == NULL else instance.format_value(kind, value)
        case Seq(element):
            items = value if isinstance(value, tuple) else (value,)
            return [json_value(instance, element, item) for item in items]
        case _:
            assert_never(kind)


def slot_value(instance: Instance, var: Var, value: Value) -> Json:
    """The value of a variable for a JSON reader; of a control variable, the location's name."""
    if var.storage is Storage.CONTROL and isinstance(value, int):
        for thread in instance.system.threads:
            if thread.pc == var.name and value < len(thread.locations):
                return thread.locations[value].name
    return json_value(instance, var.type, value)


def json_state(instance: Instance, state: State) -> dict[str, Json]:
    """The state by variable; each index is one more level: `{"mm.mask": {"mm0": {"CPU0": true}}}`."""
    record: dict[str, Json] = {}
    for (var, index), value in zip(instance.slots, state, strict=True):
        inner, key = record, var.name
        for name in index_names(instance, var, index):
            level = inner.setdefault(key, {})
            assert isinstance(level, dict)
            inner, key = level, name
        inner[key] = slot_value(instance, var, value)
    return record


def set_owner(var: Var) -> int | None:
    """How many indices name the set that the variable says the members of; None if it is no set."""
    return len(var.index) - var.members if var.members else None
