"""A System with a number of elements for each sort, and where its state is kept.

A state is one flat tuple.  Each variable occupies a contiguous block of it, in
the order of `System.vars`; within a block the index sorts run row-major.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import field
from functools import cached_property
from itertools import product
from typing import assert_never

from checker.core.system import (
    NULL,
    Action,
    Bool,
    Elem,
    Enum,
    Gen,
    Int,
    Seq,
    Sort,
    Storage,
    System,
    Thread,
    Type,
    Value,
    Var,
)
from checker.records import dataclass

State = tuple[Value, ...]


@dataclass(frozen=True)
class Instance:
    """A System whose sorts have sizes.

    `sizes` gives the number of elements besides the statics; a sort that it leaves
    out has its default.  Raises ValueError for a sort that the System does not
    have, for a negative size and for a sort that would be empty.
    """

    system: System
    sizes: Mapping[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name, size in self.sizes.items():
            if name not in self._sorts:
                raise ValueError(f"no sort named {name}")
            if size < 0:
                raise ValueError(f"sort {name} cannot have {size} elements")
        for sort in self.system.sorts:
            if self.count(sort.name) == 0:
                raise ValueError(f"sort {sort.name} has no element")

    # -- names ---------------------------------------------------------------

    @cached_property
    def _sorts(self) -> dict[str, Sort]:
        return {sort.name: sort for sort in self.system.sorts}

    @cached_property
    def _vars(self) -> dict[str, Var]:
        return {var.name: var for var in self.system.vars}

    @cached_property
    def _threads(self) -> dict[str, Thread]:
        return {thread.name: thread for thread in self.system.threads}

    @cached_property
    def _actions(self) -> dict[str, Action]:
        return {action.name: action for action in self.system.actions}

    def sort(self, name: str) -> Sort:
        """The sort of that name; KeyError if there is none."""
        return self._sorts[name]

    def var(self, name: str) -> Var:
        """The variable of that name; KeyError if there is none."""
        return self._vars[name]

    def thread(self, name: str) -> Thread:
        """The thread of that name; KeyError if there is none."""
        return self._threads[name]

    def action(self, name: str) -> Action:
        """The action of that name; KeyError if there is none."""
        return self._actions[name]

    # -- sizes and slots -----------------------------------------------------

    @cached_property
    def _counts(self) -> dict[str, int]:
        return {s.name: len(s.statics) + self.sizes.get(s.name, s.size) for s in self.system.sorts}

    def count(self, sort: str) -> int:
        """How many elements a sort has, statics included."""
        return self._counts[sort]

    def elements(self, sort: str) -> range:
        """The elements of a sort, the statics first."""
        return range(self._counts[sort])

    def objects(self, sort: str) -> range:
        """The elements of a sort that are not static."""
        return range(len(self._sorts[sort].statics), self._counts[sort])

    def tuples(self, sorts: tuple[str, ...]) -> Iterator[tuple[int, ...]]:
        """All tuples of elements of the given sorts, in lexicographic order."""
        return product(*(self.elements(sort) for sort in sorts))

    def values(self, kind: Type) -> Iterator[Value]:
        """All values of a type, in a fixed order; ValueError for a generation, which has no end."""
        match kind:
            case Bool():
                yield from (False, True)
            case Int(lo, hi):
                yield from range(lo, hi + 1)
            case Enum(_, members):
                yield from range(len(members))
            case Elem(sort, optional):
                if optional:
                    yield NULL
                yield from self.elements(sort)
            case Seq(element, capacity):
                scalars = [int(value) for value in self.values(element) if not isinstance(value, tuple)]
                for length in range(capacity + 1):
                    yield from product(scalars, repeat=length)
            case Gen():
                raise ValueError("a generation has no set of all its values")
            case _:
                assert_never(kind)

    @cached_property
    def _layout(self) -> dict[str, tuple[int, tuple[int, ...]]]:
        layout: dict[str, tuple[int, tuple[int, ...]]] = {}
        base = 0
        for var in self.system.vars:
            stride, strides = 1, []
            for sort in reversed(var.index):
                strides.append(stride)
                stride *= self.count(sort)
            layout[var.name] = base, tuple(reversed(strides))
            base += stride
        return layout

    def layout(self, var: str) -> tuple[int, tuple[int, ...]]:
        """The first slot of a variable and, for each index sort, the slots from one element to the next."""
        return self._layout[var]

    def slot(self, var: str, index: tuple[int, ...]) -> int:
        """The position in the state of a variable at an index, whose elements must exist (no null)."""
        base, strides = self._layout[var]
        return base + sum(i * stride for i, stride in zip(index, strides, strict=True))

    @cached_property
    def slots(self) -> tuple[tuple[Var, tuple[int, ...]], ...]:
        """For each position in the state, the variable and the index kept there."""
        return tuple((var, index) for var in self.system.vars for index in self.tuples(var.index))

    # -- how things are shown ------------------------------------------------

    def element_name(self, sort: str, element: int) -> str:
        """A static's own name, else the sort's name and a number from 0: `CPU0`, `mm1`; `null`."""
        if element == NULL:
            return "null"
        statics = self._sorts[sort].statics
        return statics[element] if element < len(statics) else f"{sort}{element - len(statics)}"

    def format_value(self, kind: Type, value: Value) -> str:
        """A value as the reader of a trace sees it: `true`, `3`, `TLB_LAZY`, `mm0`, `[CPU0, CPU1]`."""
        match kind:
            case Bool():
                return "true" if value else "false"
            case Int() | Gen():
                return str(value)
            case Enum(_, members):
                return members[_number(value)]
            case Elem(sort):
                return self.element_name(sort, _number(value))
            case Seq(element):
                if not isinstance(value, tuple):
                    raise TypeError(f"{value!r} is not a sequence")
                return "[" + ", ".join(self.format_value(element, item) for item in value) + "]"
            case _:
                assert_never(kind)

    def format_slot(self, var: str, index: tuple[int, ...]) -> str:
        """A variable at an index as kernel readers write it.

        A field of an object goes behind it, `mm1.count`, `mm1.mask[CPU0]`; other
        indices stand in brackets, `cur[CPU0]`; the register of a thread is its
        bare name, `next`, because the trace's column says whose it is.
        """
        declared = self._vars[var]
        names = [self.element_name(sort, e) for sort, e in zip(declared.index, index, strict=True)]
        owner, dot, last = var.rpartition(".")
        if declared.storage in (Storage.LOCAL, Storage.CONTROL) and dot:
            thread = self._threads.get(owner.partition(".")[0])
            shown, names = last, names[len(thread.index) if thread else len(names) :]
        elif dot and declared.index and owner == declared.index[0]:
            shown, names = f"{names[0]}.{last}", names[1:]
        else:
            shown = var
        return shown + "".join(f"[{name}]" for name in names)


def _number(value: Value) -> int:
    if isinstance(value, tuple):
        raise TypeError(f"{value!r} is not a scalar")
    return int(value)
