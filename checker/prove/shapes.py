"""The elements that clauses are about: names, what leads from one to another, what a counterexample depends on."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from checker.core import system as y
from checker.prove.census import Shape
from checker.prove.protocol import Protocol
from checker.prove.structure import Key, Structure, compiled

Cells = frozenset[tuple[str, Key]]
"""Variables at elements."""


def ways(protocol: Protocol) -> dict[str, list[tuple[str, ...]]]:
    """The variables that lead to what has threads of its own, one or two of them after each other, by where to."""
    threads = {t.index[0] for t in protocol.system.threads if len(t.index) == 1}
    single = [
        (v.name, v.index[0], v.type.sort) for v in protocol.system.vars
        if len(v.index) == 1 and isinstance(v.type, y.Elem)
    ]  # fmt: skip
    found: dict[str, list[tuple[str, ...]]] = {}
    for name, start, to in single:
        found.setdefault(to, []).append((name,))
        if to in threads:
            found[to] += [(other, name) for other, _, between in single if between == start]
    return found


def linked(protocol: Protocol, sort: str) -> bool:
    """Whether elements of a sort lead to others of it."""
    return any(v.index == (sort,) and isinstance(v.type, y.Elem) and v.type.sort == sort for v in protocol.system.vars)


def connected(about: Iterable[Iterable[int]]) -> bool:
    """Whether facts are about each other's elements, given by position, so that no part of them stands for itself."""
    parts = [set(places) for places in about]
    whole = parts.pop()
    while parts:
        joined = [p for p in parts if p & whole]
        if not joined:
            return False
        parts = [p for p in parts if not p & whole]
        whole.update(*joined)
    return True


class _Watched:
    """A structure that remembers what was read of it."""

    def __init__(self, structure: Structure) -> None:
        self._structure = structure
        self.cells: set[tuple[str, Key]] = set()

    def read(self, var: str, key: Key) -> Any:
        """The value of a variable at elements."""
        self.cells.add((var, key))
        return self._structure.read(var, key)

    def elements(self, sort: str) -> range:
        """The elements of a sort."""
        return self._structure.elements(sort)


def why(protocol: Protocol, structure: Structure, roles: Mapping[str, int], assertions: Iterable[y.Expr]) -> Cells:
    """What of a structure some assertions depend on."""
    watched = _Watched(structure)
    names = tuple(roles)
    for assertion in assertions:
        try:
            compiled(assertion, protocol, names)(watched, *(roles[n] for n in names))
        except NotImplementedError:
            continue
    return frozenset(watched.cells)


def alike(sorts: Sequence[str]) -> int:
    """How many elements of one sort there are at most."""
    return max(map(sorts.count, sorts), default=0)


def met_by(protocol: Protocol, structure: Structure, cells: Cells) -> Iterator[tuple[str, int]]:
    """The elements that some cells are about, by sort; an element may be met again."""
    for var, key in cells:
        declared = protocol.vars[var]
        yield from (e for e in zip(declared.index, key, strict=True) if e[1] >= 0)
        if isinstance(declared.type, y.Elem) and (value := structure.read(var, key)) != y.NULL:
            yield declared.type.sort, value


def variables(shape: Shape) -> tuple[y.Param, ...]:
    """The variables of clauses of a shape: c, c2, m for two CPUs and an mm."""
    seen: dict[str, int] = {}
    made = []
    letters: dict[str, str] = {}
    for sort in shape:
        letter = letters.setdefault(sort, _letter(sort, set(letters.values())))
        seen[sort] = seen.get(sort, 0) + 1
        made.append(y.Param(letter + (str(seen[sort]) if seen[sort] > 1 else ""), sort))
    return tuple(made)


def _letter(sort: str, taken: set[str]) -> str:
    for end in range(1, len(sort) + 1):
        if sort[:end].lower() not in taken:
            return sort[:end].lower()
    return f"{sort.lower()}_"
