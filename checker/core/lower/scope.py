"""What names mean in a piece of code: the environment that expressions are lowered in."""

from __future__ import annotations

from dataclasses import field, replace

from checker.core import system as y
from checker.core.lower.shapes import Place, Value
from checker.lang import types as t
from checker.records import dataclass


@dataclass(frozen=True, slots=True)
class Bound:
    """What a local name stands for: a place, or a value of a type.

    `pointer` is false for quantified variables: looking at the fields of a freed
    object through them is an observation, not a dereference.
    """

    type: t.Type
    value: Value | Place
    pointer: bool = True


@dataclass(slots=True)
class Env:
    """The names an expression can use, the CPU it runs on (None in properties) and the task whose code it is."""

    this_cpu: y.Expr | None
    names: dict[str, Bound] = field(default_factory=dict)
    irqs_off: bool = False
    in_property: bool = False
    in_fn: bool = False
    this_task: y.Param | None = None

    def child(self) -> Env:
        """A copy that can be added to."""
        return replace(self, names=dict(self.names))


Typed = tuple[Value, t.Type]
