"""What is one memory location: the variables of one declaration at one index.

A record, a lock and a reference count with kinds are several variables each, and a set is one for
each element that could be in it; in memory each of them is one word.
"""

from __future__ import annotations

from collections.abc import Iterable

from checker.core.system import Access, Expr, Fence, Storage, System, Var
from checker.lang.source import NO_SPAN

Place = tuple[str, tuple[Expr, ...]]
"""A declaration, named by its first variable, and the indices of what was declared."""


class Places:
    """The memory locations of a System."""

    def __init__(self, system: System) -> None:
        self._vars = {v.name: v for v in system.vars}
        self._first: dict[object, str] = {}
        for var in system.vars:
            if is_location(var):
                self._first.setdefault(self._key(var), var.name)

    def _key(self, var: Var) -> object:
        return var.name if var.span == NO_SPAN else var.span

    def declaration(self, var: str) -> str:
        """The first of the variables that were declared together with one."""
        return self._first[self._key(self._vars[var])]

    def own(self, var: str, index: tuple[Expr, ...]) -> tuple[Expr, ...]:
        """The indices of the location, without those that say which element of a set is meant."""
        return index[: len(index) - self._vars[var].members]

    def of(self, memory: Iterable[Access | Fence]) -> list[Place]:
        """The locations that a step accesses, each once, in order."""
        accesses = (a for a in memory if isinstance(a, Access))
        return list(dict.fromkeys((self.declaration(a.var), self.own(a.var, a.index)) for a in accesses))


def is_location(var: Var) -> bool:
    """Whether a variable is in memory; that an object is live is nothing that memory holds."""
    return var.storage is Storage.MEMORY and not var.name.endswith(".live")
