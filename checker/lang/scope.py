"""What a name in the body of a proc, fn or property can stand for."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import field

from checker.lang import types as t
from checker.lang.source import Span
from checker.records import dataclass


@dataclass(frozen=True, slots=True)
class Local:
    """A local variable, parameter or bound variable."""

    name: str
    type: t.Type
    span: Span
    place: bool = False  # a `ref` parameter
    bound: str = ""  # why it cannot be assigned to

    @property
    def mutable(self) -> bool:
        """Whether it can be assigned to."""
        return not self.bound


@dataclass(slots=True)
class Scope:
    """A block's locals, inside those of the block around it."""

    outer: Scope | None = None
    names: dict[str, Local] = field(default_factory=dict)

    def find(self, name: str) -> Local | None:
        """The innermost local of that name."""
        scope: Scope | None = self
        while scope is not None:
            if name in scope.names:
                return scope.names[name]
            scope = scope.outer
        return None

    def all_names(self) -> Iterator[str]:
        """Every visible local."""
        scope: Scope | None = self
        while scope is not None:
            yield from scope.names
            scope = scope.outer
