"""Accesses that are put off: a load, or an atomic operation without order, is made after accesses behind it.

So a load can see what was stored after a later store of its own thread: load buffering.  What may be put off,
and what must wait for it, follows from the texts of the steps: who uses or changes a register that it sets, who
changes one that it uses, full barriers, releases, and accesses to the same location wait.
"""

from __future__ import annotations

from typing import Final

from checker.core import fold
from checker.core.memory.places import is_location
from checker.core.memory.sites import NOT_FULL, Sites, Use
from checker.core.memory.views import Deferred
from checker.core.system import Access, Action, Storage

DEFER: Final = 1
"""Accesses that a thread may put off at a time, where nobody says otherwise."""

_OWN = (Storage.LOCAL, Storage.GHOST)


class Deferral:
    """Which steps may be put off, and which wait for those that are."""

    def __init__(self, sites: Sites) -> None:
        self._sites = sites
        self._used: list[frozenset[str]] = []
        self._set: list[frozenset[str]] = []
        for rule in sites.rules:
            used, made = _registers(sites, rule.action)
            self._used.append(used)
            self._set.append(made)
        self._at: dict[tuple[int, int], list[int]] = {}
        for number, rule in enumerate(sites.rules):
            self._at.setdefault((sites.pc_of[number], rule.action.at), []).append(number)
        numbers = range(len(sites.rules))
        self.early: Final = frozenset(n for n in numbers if self._can(n, "read") and self._overtaken(n))
        """The steps that may be put off when nothing else is."""
        self.behind: Final = frozenset(n for n in numbers if self._can(n, "write"))
        """The stores that may be put off behind something."""

    # -- what may be put off

    def _can(self, number: int, kind: str) -> bool:
        sites, action = self._sites, self._sites.rules[number].action
        use = sites.uses[number] or Use("none")
        accesses = [m for m in action.memory if isinstance(m, Access)]
        if sites.uses[number] is None:  # which location it is depends on registers: one access is enough to know
            use = Use(accesses[0].kind, -1, accesses[0].order) if len(set(accesses)) == 1 else Use("many")
        if action.fault is not None or sites.hardware[number] or sites.fences(number) or action.at == action.to:
            return False
        if sites.barriers[number] or sites.syncs[number] or use.location in sites.locks:
            return False
        if kind == "write":
            fits = use.mode == "write" and use.order == "once"
        else:
            atomic = use.mode == "rmw" and use.order == "relaxed" and sites.always_writes(number)
            fits = atomic or (use.mode == "read" and use.order == "once")
        if not fits or not all(self._plain(action, u.var, kind) for u in action.updates):
            return False
        if kind == "read" and not all(_depends(sites, action, u.var) for u in action.updates):
            return False
        together = self._at[sites.pc_of[number], action.at]
        return not any(self._looks(sites.rules[n].action) for n in together if n == number or sites.rules[n].fault)

    def _plain(self, action: Action, var: str, kind: str) -> bool:
        storage = self._sites.vars[var].storage
        return (
            storage is Storage.LOCAL
            or is_location(self._sites.vars[var])
            or (storage is Storage.GHOST and kind == "read")
        )

    def _looks(self, action: Action) -> bool:
        """Whether what a step can do depends on memory, or on what is not the thread's own."""
        return any(not self._is_own(v) for conjunct in action.guard for v in fold.variables(conjunct))

    def _is_own(self, var: str) -> bool:
        return self._sites.vars[var].storage is Storage.LOCAL or var.endswith(".live") or var.startswith("current.")

    def _overtaken(self, number: int) -> bool:
        """Whether a store can come before what waits for a step."""
        sites = self._sites
        pc = sites.pc_of[number]
        todo = [(sites.rules[number].action.to, False)]
        seen = set(todo)
        while todo:
            at, flagged = todo.pop()
            for other in self._at.get((pc, at), ()):
                action = sites.rules[other].action
                if action.fault is not None:
                    continue
                use = sites.uses[other] or _static_use(action)
                if self.forces(Deferred(number, -1, flagged), other, use):
                    continue
                if use.mode in ("write", "rmw"):
                    return True
                after = action.to, flagged or "smp_rmb" in sites.fences(other)
                if after not in seen:
                    seen.add(after)
                    todo.append(after)
        return False

    # -- what waits

    def waits(self, number: int, use: Use, deferred: tuple[Deferred, ...]) -> bool:
        """Whether a step cannot be made while its agent puts something off."""
        if not deferred or self._sites.hardware[number]:
            return False
        if self._sites.pc_of[deferred[0].rule] != self._sites.pc_of[number]:
            return True  # another thread, or a handler, of the same CPU
        return any(self.forces(d, number, use) for d in deferred)

    def forces(self, deferred: Deferred, number: int, use: Use) -> bool:
        """Whether a deferred access must be made before a step."""
        sites = self._sites
        if self.in_order(deferred.rule, number) or use.location == deferred.location != -1:
            return True
        if use.mode in ("many", "born", "freed") or sites.barriers[number] or sites.syncs[number]:
            return True
        atomic = sites.rules[deferred.rule].action.memory
        stores = any(isinstance(m, Access) and m.kind != "read" for m in atomic)
        for fence in sites.fences(number):
            if fence not in NOT_FULL or (fence == "smp_wmb" and stores):
                return True
        if use.mode in ("write", "rmw") and use.order in ("release", "full"):
            return True
        return deferred.flagged and use.mode in ("read", "rmw")

    def in_order(self, earlier: int, later: int) -> bool:
        """Whether two steps of a thread keep their order because of registers."""
        made, used = self._set[earlier], self._used[earlier]
        return bool(made & (self._used[later] | self._set[later]) or used & self._set[later])

    def may_enter(self, number: int, use: Use, deferred: tuple[Deferred, ...]) -> bool:
        """Whether a step may be put off behind what is deferred already."""
        if not deferred:
            return number in self.early
        if self._sites.pc_of[deferred[0].rule] != self._sites.pc_of[number]:
            return False
        if number not in self.early and number not in self.behind:
            return False
        action = self._sites.rules[number].action
        fixed = {v for conjunct in action.guard for v in fold.variables(conjunct)}
        fixed |= {v for m in action.memory if isinstance(m, Access) for i in m.index for v in fold.variables(i)}
        for d in deferred:
            if self._set[number] & (self._set[d.rule] | self._used[d.rule]) or fixed & self._set[d.rule]:
                return False
        return use.mode in ("read", "write", "rmw")

    def writes(self, number: int) -> bool:
        """Whether a step stores without reading."""
        return (self._sites.uses[number] or _static_use(self._sites.rules[number].action)).mode == "write"

    def may_run(self, deferred: tuple[Deferred, ...], k: int) -> bool:
        """Whether a deferred access may be made before those in front of it."""
        entry = deferred[k]
        for earlier in deferred[:k]:
            if earlier.location == entry.location or self.in_order(earlier.rule, entry.rule):
                return False
            if earlier.flagged and not self.writes(entry.rule):
                return False
        return True


def _static_use(action: Action) -> Use:
    """What a step does with memory, where its location is not known."""
    accesses = list(dict.fromkeys(m for m in action.memory if isinstance(m, Access)))
    if any(u.var.endswith(".live") for u in action.updates) or len(accesses) > 1:
        return Use("many")
    return Use(accesses[0].kind, -1, accesses[0].order) if accesses else Use("none")


def _registers(sites: Sites, action: Action) -> tuple[frozenset[str], frozenset[str]]:
    """The registers and ghosts that a step uses, and those that it sets."""
    used: set[str] = set()
    exprs = [*action.guard, *(e for u in action.updates for e in (*u.index, u.value, u.where))]
    exprs += [i for m in action.memory if isinstance(m, Access) for i in m.index]
    for expr in exprs:
        used |= {v for v in fold.variables(expr) if sites.vars[v].storage in _OWN}
    made = {u.var for u in action.updates if sites.vars[u.var].storage in _OWN}
    return frozenset(used), frozenset(made)


def _depends(sites: Sites, action: Action, var: str) -> bool:
    """Whether all that a step does to a ghost comes from what it has read."""
    if sites.vars[var].storage is not Storage.GHOST:
        return True
    updates = [u for u in action.updates if u.var == var]
    return all(any(is_location(sites.vars[v]) for v in fold.variables(u.value)) for u in updates)
