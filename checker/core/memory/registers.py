"""Address dependencies: what a register says of the past travels with it to the accesses whose address it is.

A register that can become part of an address has a view: that of the message that it was loaded from, and of
all that was computed with it.  A load through it reads nothing older.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from checker.core import fold, semantics
from checker.core.memory.places import is_location
from checker.core.memory.sites import Sites
from checker.core.memory.views import View, Work, join
from checker.core.system import TRUE, Access, Action, Expr, Param, Read, Storage, Update


class Flow(NamedTuple):
    """That a step sets a register: from what it has read, from registers."""

    register: int
    read: bool
    sources: tuple[int, ...]
    always: bool


class Registers:
    """The registers of an Instance that have views, and what each step does with them."""

    def __init__(self, sites: Sites) -> None:
        self._sites = sites
        names = self._names()
        self._number: dict[int, int] = {}  # by slot
        for slot, (var, _) in enumerate(sites.instance.slots):
            if var.name in names:
                self._number[slot] = len(self._number)
        self.flows = [self._flows_of(n) for n in range(len(sites.rules))]
        self.addresses = [self._address_of(n) for n in range(len(sites.rules))]
        self.stores = [self._stores_of(n) for n in range(len(sites.rules))]
        users: list[set[int]] = [set() for _ in self._number]
        for number, flows in enumerate(self.flows):
            for flow in flows:
                users[flow.register].add(sites.agent_of[number])
            for register in self.addresses[number]:
                users[register].add(sites.agent_of[number])
        self.agents: Final = tuple(tuple(sorted(u)) for u in users)
        """Of each register, the agents that use it."""

    def _names(self) -> frozenset[str]:
        """The locals that can become part of an address."""
        sites = self._sites
        actions = sites.instance.system.actions
        local = {v.name for v in sites.vars.values() if v.storage is Storage.LOCAL}
        found: set[str] = set()
        for action in actions:
            for access in action.memory:
                if isinstance(access, Access):
                    for part in sites.places.own(access.var, access.index):
                        found |= fold.variables(part) & local
        loaded_from: set[tuple[str, str]] = set()  # whose loads of which declarations
        before = -1
        while before != (before := len(found) + len(loaded_from)):
            for action in actions:
                for update in action.updates:
                    read = fold.variables(update.value)
                    if update.var in found:
                        found |= read & local
                        loaded_from |= {self._whose(action, v) for v in read if is_location(sites.vars[v])}
                    elif is_location(sites.vars[update.var]) and self._whose(action, update.var) in loaded_from:
                        found |= read & local
        loaded = {
            u.var for a in actions for u in a.updates
            if u.var in found and any(is_location(sites.vars[v]) for v in fold.variables(u.value))
        }  # fmt: skip
        return frozenset(found) if loaded else frozenset()

    def _whose(self, action: Action, var: str) -> tuple[str, str]:
        """Who accesses what: a CPU, or the thread; the declaration."""
        who = "cpu" if action.cpu is not None else action.thread
        return who, self._sites.places.declaration(var)

    def _slots(self, var: str, index: tuple[Expr, ...], env: dict[str, int]) -> tuple[int, ...]:
        """The numbers of the registers that a read or an update may mean."""
        instance = self._sites.instance
        declared = instance.var(var)
        known: list[int | None] = []
        for part in index:
            fixed = not fold.variables(part) and fold.free_params(part) <= env.keys()
            value = semantics.evaluate(instance, part, (), env) if fixed else None
            known.append(int(value) if isinstance(value, int) else None)
        found = []
        for at in instance.tuples(declared.index):
            if all(k is None or k == i for k, i in zip(known, at, strict=True)):
                slot = instance.slot(var, at)
                if slot in self._number:
                    found.append(self._number[slot])
        return tuple(found)

    def _reads(self, expr: Expr, env: dict[str, int]) -> set[int]:
        return {
            n for part in fold.walk(expr) if isinstance(part, Read) and self._is_register(part.var)
            for n in self._slots(part.var, part.index, env)
        }  # fmt: skip

    def _is_register(self, var: str) -> bool:
        return self._sites.vars[var].storage is Storage.LOCAL

    def _flows_of(self, number: int) -> tuple[Flow, ...]:
        if not self._number:
            return ()
        rule = self._sites.rules[number]
        env = semantics.environment(rule.action, rule.choice)
        found = []
        for update in rule.action.updates:
            if self._is_register(update.var):
                sources = self._reads(update.value, env)
                read = any(is_location(self._sites.vars[v]) for v in fold.variables(update.value))
                whole = update.where == TRUE and self._exact(update, env)
                for register in self._slots(update.var, update.index, env):
                    found.append(Flow(register, read, tuple(sorted(sources)), whole))
        return tuple(found)

    def _exact(self, update: Update, env: dict[str, int]) -> bool:
        """Whether an update sets all the registers that it may mean."""
        binders = {p.name for p in update.binders}
        return all(
            (isinstance(i, Param) and i.name in binders)
            or (not fold.variables(i) and fold.free_params(i) <= env.keys())
            for i in update.index
        )

    def _address_of(self, number: int) -> tuple[int, ...]:
        if not self._number:
            return ()
        rule = self._sites.rules[number]
        env = semantics.environment(rule.action, rule.choice)
        found: set[int] = set()
        for access in rule.action.memory:
            if isinstance(access, Access):
                for part in self._sites.places.own(access.var, access.index):
                    found |= self._reads(part, env)
        return tuple(sorted(found))

    def _stores_of(self, number: int) -> tuple[int, ...]:
        """The registers that the values and addresses of a step's stores come from."""
        if not self._number:
            return ()
        rule = self._sites.rules[number]
        env = semantics.environment(rule.action, rule.choice)
        found: set[int] = set()
        for update in rule.action.updates:
            if is_location(self._sites.vars[update.var]):
                for expr in (update.value, *update.index):
                    found |= self._reads(expr, env)
        return tuple(sorted(found))

    # -- in a step

    @property
    def count(self) -> int:
        """How many registers have views."""
        return len(self._number)

    def floor(self, number: int, work: Work) -> View | None:
        """What the address of an access brings along; None if nothing."""
        found: View | None = None
        for register in self.addresses[number]:
            view = work.registers[register]
            found = view if found is None else join(found, view)
        return found if found is not None and any(found) else None

    def stored(self, number: int, work: Work) -> View | None:
        """What the value and the address that a step stores come from; None if from nothing that has a view."""
        found: View | None = None
        for register in self.stores[number]:
            view = work.registers[register]
            found = view if found is None else join(found, view)
        return found if found is not None and any(found) else None

    def set(self, number: int, work: Work, seen: View | None) -> None:
        """The views of the registers after a step that has read a message that publishes `seen`."""
        flows = self.flows[number]
        if not flows:
            return
        before = list(work.registers)
        for flow in flows:
            view = (0,) * len(work.messages)
            if flow.read and seen is not None:
                view = join(view, seen)
            for source in flow.sources:
                view = join(view, before[source])
            work.registers[flow.register] = view if flow.always else join(before[flow.register], view)
