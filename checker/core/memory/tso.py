"""Total store order: the System in which every CPU has a store buffer.

Each CPU, and each thread that runs on none, gets a first-in first-out buffer of stores,
kept in ordinary variables, and an agent of the hardware that takes the oldest store to
memory.  The steps are rewritten:

* a plain store goes to the end of the buffer, and waits while that is full;
* what the program reads it finds in its own buffer, the newest store first, else in memory;
* smp_mb, read-modify-writes, operations on locks, `free`, changes of what is not memory (loading a
  page table, dropping a TLB entry, asking for an interrupt, switching to a task) and the return
  from an interrupt wait until the buffer is empty, and write to memory;
* hardware agents and properties look at memory alone.

The stores of one step are one entry, and become visible together.  A step that reads memory and
writes it is indivisible, so it waits for an empty buffer.  So does what changes many elements at
once, or a sequence: it has no counterpart in one instruction.
The fields that `alloc` gives a value are written to memory at once: nobody else has a pointer yet.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Final

from checker.core import system as y
from checker.core.memory.buffers import Layout, Owner, Stored
from checker.core.memory.places import Place, Places
from checker.records import dataclass

DEPTH: Final = 2
"""Stores that a buffer holds, where nobody says otherwise."""

_CONTEXTS = (y.ThreadKind.INTERRUPT, y.ThreadKind.NMI)


def with_store_buffers(system: y.System, depth: int = DEPTH) -> y.System:
    """The System under total store order, with buffers for `depth` stores."""
    return _Rewriter(system, depth).system()


@dataclass(frozen=True, slots=True)
class _Sorted:
    """An action, whose buffer it uses, and what it does with it."""

    action: y.Action
    owner: Owner | None  # None: an agent of the hardware
    drained: bool  # the buffer must be empty
    stores: tuple[y.Update, ...]  # what goes into it


class _Rewriter:
    def __init__(self, system: y.System, depth: int) -> None:
        self._system = system
        self._places = Places(system)
        self._vars = {v.name: v for v in system.vars}
        self._threads = {t.name: t for t in system.threads}
        self._sorted = [self._sort(a) for a in system.actions]
        self._layouts: dict[str, Layout] = {}
        for owner in dict.fromkeys(s.owner for s in self._sorted if s.owner is not None):
            stored = [Stored.of(s.stores, s.action, owner) for s in self._sorted if s.stores and s.owner == owner]
            if stored:
                self._layouts[owner.name] = Layout.of(system, owner, tuple(dict.fromkeys(stored)), depth)

    def system(self) -> y.System:
        """The rewritten System."""
        layouts = self._layouts.values()
        actions = [self._rewritten(s) for s in self._sorted]
        drains = [a for layout in layouts for a in layout.drains(self._freed())]
        properties = self._system.properties
        if any(a.fault is not None for a in drains) and not any(p.name == "use_after_free" for p in properties):
            text = "no field of a freed object is accessed"
            properties = (*properties, y.Property("use_after_free", y.PropertyKind.FAULT, text))
        return replace(
            self._system,
            vars=(*self._system.vars, *(v for layout in layouts for v in layout.variables())),
            threads=(*self._system.threads, *(layout.thread() for layout in layouts)),
            actions=(*actions, *drains),
            properties=properties,
            families=tuple(self._family(f) for f in self._system.families),
            buffers=tuple(layout.described() for layout in layouts),
        )

    def _freed(self) -> frozenset[str]:
        """The objects that some step frees."""
        return frozenset(u.var.removesuffix(".live") for a in self._system.actions for u in a.updates if _frees(u))

    def _family(self, family: y.GenFamily) -> y.GenFamily:
        copies = [c for layout in self._layouts.values() for c in layout.copies(family)]
        return replace(family, copies=(*family.copies, *copies))

    # -- what a step does with the buffer

    def _sort(self, action: y.Action) -> _Sorted:
        owner = self._owner(action)
        if owner is None:
            return _Sorted(action, None, False, ())
        written = tuple(u for u in action.updates if self._in_memory(u))
        if self._waits(action):
            return _Sorted(action, owner, True, ())
        if any(u.var.endswith(".live") for u in action.updates):
            born = {u.index[0] for u in action.updates if u.var.endswith(".live")}
            alone = all(u.index and u.index[0] in born for u in written)
            return _Sorted(action, owner, not alone, ())
        if not all(self._fits(u, written) for u in written):
            return _Sorted(action, owner, True, ())
        return _Sorted(action, owner, False, written)

    def _owner(self, action: y.Action) -> Owner | None:
        thread = self._threads[action.thread]
        if thread.kind is y.ThreadKind.HARDWARE:
            return None
        if action.cpu is not None:
            return Owner("cpu", ("CPU",))
        return Owner(thread.name, thread.index)

    def _waits(self, action: y.Action) -> bool:
        """Whether the step can be taken with an empty buffer only."""
        read, written = self._locations(action, "read"), self._locations(action, "write")
        if read and written:
            return True  # indivisible, as an atomic block is
        kinds = {m.kind if isinstance(m, y.Access) else m.name for m in action.memory}
        if kinds & {"rmw", "smp_mb"}:
            return True
        thread = self._threads[action.thread]
        if thread.kind in _CONTEXTS and action.to == thread.start:
            return True
        if any(_frees(u) for u in action.updates):
            return True
        enters = thread.kind in _CONTEXTS and action.at == thread.start
        return not enters and any(self._vars[u.var].storage is y.Storage.MACHINE for u in action.updates)

    def _locations(self, action: y.Action, kind: str) -> list[Place]:
        return self._places.of(m for m in action.memory if isinstance(m, y.Access) and m.kind == kind)

    def _in_memory(self, update: y.Update) -> bool:
        return self._vars[update.var].storage is y.Storage.MEMORY and not update.var.endswith(".live")

    def _fits(self, update: y.Update, together: tuple[y.Update, ...]) -> bool:
        """Whether a buffer can hold a store: of one value, to one place."""
        type_ = self._vars[update.var].type
        if update.binders or update.where != y.TRUE or isinstance(type_, y.Seq):
            return False
        if not isinstance(type_, y.Gen):
            return True
        of = next((of for f in self._system.families for copy, of in f.copies if copy == update.var), update.var)
        return of != update.var and (of is None or any(u.var == of for u in together))

    # -- the rewritten steps

    def _rewritten(self, step: _Sorted) -> y.Action:
        action = replace(step.action, updates=(*step.action.updates, *self._forgotten(step.action)))
        layout = self._layouts.get(step.owner.name) if step.owner is not None else None
        if layout is None or step.owner is None:
            return action
        whose = step.owner.whose(action)
        if step.drained:
            return replace(action, guard=(layout.empty(whose), *action.guard))
        updates: list[y.Update] = []
        for update in action.updates:
            if update not in step.stores:
                updates.append(_forwarded(update, layout, whose))
        guard = tuple(layout.forward(c, whose) for c in action.guard)
        if step.stores and action.fault is None:
            stored = Stored.of(step.stores, action, step.owner)
            guard = (layout.room(whose), *guard)
            updates += layout.store(stored, tuple(_forwarded(u, layout, whose) for u in step.stores), whose)
        return replace(action, guard=guard, updates=tuple(updates))

    def _forgotten(self, action: y.Action) -> Iterator[y.Update]:
        """Generations of an object that is freed are of nobody in the buffers too."""
        for update in action.updates:
            if _frees(update):
                for layout in self._layouts.values():
                    yield from layout.forget(update.var.removesuffix(".live"), update.index[0], self._system.families)


def _frees(update: y.Update) -> bool:
    return update.var.endswith(".live") and update.value == y.FALSE


def _forwarded(update: y.Update, layout: Layout, whose: tuple[y.Expr, ...]) -> y.Update:
    return replace(
        update,
        index=tuple(layout.forward(i, whose) for i in update.index),
        value=layout.forward(update.value, whose),
        where=layout.forward(update.where, whose),
    )
