"""What the weak memory model needs to know of a System's steps, whatever the state: locations, agents, orders.

A location is what one declaration declares at one index; an agent is a CPU, the hardware of a CPU that walks
page tables, or a thread that runs on none.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Final, Literal, NamedTuple, cast

from checker.core import fold, semantics
from checker.core.compile import Program
from checker.core.instance import Instance, State
from checker.core.memory.places import Places, is_location
from checker.core.system import FALSE, TRUE, Access, Action, Enum, Expr, Fence, Read, Storage, ThreadKind, Value, Var

NOT_FULL: Final = ("smp_wmb", "smp_rmb", "barrier")
"""The barriers that order some accesses only."""

_CONTEXTS = (ThreadKind.INTERRUPT, ThreadKind.NMI)

Mode = Literal["none", "read", "write", "rmw", "many", "born", "freed"]


class Use(NamedTuple):
    """What a step does with memory: with which location, and in which order."""

    mode: Mode
    location: int = -1
    order: str = "once"


_Index = Callable[[State], tuple[Value, ...]]


class Sites(Program):
    """The compiled steps of an Instance, with what each of them does with memory.

    `uses` is None where the location depends on the state: `use` tells it then.  `agent_of`, `pc_of`, `syncs` and
    `barriers` say of each step whose views it uses, where the state says where its thread is, whether it
    waits for what others change without memory, and whether it is a full barrier because it changes that itself.
    """

    def __init__(self, instance: Instance) -> None:
        super().__init__(instance)
        self.places = Places(instance.system)
        self.vars: dict[str, Var] = {v.name: v for v in instance.system.vars}
        self.slots_of: list[list[int]] = []  # of each location
        self.of_slot: dict[int, int] = {}
        self.declared: list[str] = []  # the declaration of each location
        self.locks: set[int] = set()
        self._number: dict[tuple[str, tuple[int, ...]], int] = {}
        for slot, (var, index) in enumerate(instance.slots):
            if is_location(var):
                self._add(slot, var, index)
        self.on_cpu = {a.thread for a in instance.system.actions if a.cpu is not None}
        self.agents: dict[tuple[str, tuple[int, ...]], int] = {}
        self.agent_of: list[int] = [self._agent(n) for n in range(len(self.rules))]
        self.cpu_of = {n: self.agents["cpu", at] for (name, at), n in self._walkers() if ("cpu", at) in self.agents}
        """Of the hardware of a CPU, the CPU."""
        self.silent = frozenset(self.cpu_of) - {
            self.agent_of[n] for n, r in enumerate(self.rules)
            if any(isinstance(m, Access) and m.kind != "read" for m in r.action.memory)
        }  # fmt: skip
        """The hardware that only reads, which tells nobody anything."""
        self._walker_on = {at[0]: n for (_, at), n in self._walkers()}
        self.pc_of = [self._pc_slot(n) for n in range(len(self.rules))]
        self._indices = [self._compiled_indices(n) for n in range(len(self.rules))]
        self.uses = [self.use(n, None) if self._is_fixed(n) else None for n in range(len(self.rules))]
        self.syncs = [self._synchronises(rule.action) for rule in self.rules]
        self.barriers = [self.is_barrier(rule.action) for rule in self.rules]
        self.newest = self._newest()
        """The locations of which nobody can read any but the last message: locks, and what is only counted."""
        self._told = [self._told_by(n) if self.barriers[n] else () for n in range(len(self.rules))]
        self.hardware = [instance.thread(r.action.thread).kind is ThreadKind.HARDWARE for r in self.rules]

    def _canonicaliser(self) -> Callable[[list[Value]], None]:
        return lambda state: None  # messages hold generations, too: see `generations`

    def _add(self, slot: int, var: Var, index: tuple[int, ...]) -> None:
        key = self.places.declaration(var.name), index[: len(index) - var.members]
        if key not in self._number:
            self._number[key] = len(self.slots_of)
            self.slots_of.append([])
            self.declared.append(key[0])
        number = self._number[key]
        self.slots_of[number].append(slot)
        self.of_slot[slot] = number
        if isinstance(var.type, Enum) and var.type.name == "holder":
            self.locks.add(number)

    # -- what is the same in all states

    def _agent(self, number: int) -> int:
        """Whose views a step uses: those of its CPU, or of its thread where that runs on none."""
        rule = self.rules[number]
        env = semantics.environment(rule.action, rule.choice)
        thread = self.instance.thread(rule.action.thread)
        key: tuple[str, tuple[int, ...]]
        if rule.action.cpu is not None:
            walks = thread.kind is ThreadKind.HARDWARE
            key = ("hardware" if walks else "cpu", (self._constant(rule.action.cpu, env),))
        else:
            key = (thread.name, tuple(self._constant(i, env) for i in rule.action.self))
        return self.agents.setdefault(key, len(self.agents))

    def _walkers(self) -> list[tuple[tuple[str, tuple[int, ...]], int]]:
        return [(key, number) for key, number in self.agents.items() if key[0] == "hardware"]

    def _told_by(self, number: int) -> tuple[tuple[int, _Index], ...]:
        """The hardware whose state a step changes, with what says whether it does: it walks with all that is known."""
        rule = self.rules[number]
        env = semantics.environment(rule.action, rule.choice)
        found: list[tuple[int, _Index]] = []
        for update in rule.action.updates:
            if self.vars[update.var].storage is not Storage.MACHINE or self.vars[update.var].index[:1] != ("CPU",):
                continue
            for elements in self.instance.tuples(tuple(b.sort for b in update.binders)):
                bound = {**env, **{b.name: e for b, e in zip(update.binders, elements, strict=True)}}
                tells = self.compiled((update.index[0], update.where), bound)
                found += [(walker, _if(tells, cpu)) for cpu, walker in self._walker_on.items()]
        return tuple(found)

    def told(self, number: int, base: State) -> set[int]:
        """The hardware whose state a step changes: after that it walks with all that is known."""
        return {walker for walker, tells in self._told[number] if tells(base)[0]}

    def _pc_slot(self, number: int) -> int:
        """Where the state says where the thread of a step is."""
        rule = self.rules[number]
        env = semantics.environment(rule.action, rule.choice)
        index = tuple(self._constant(i, env) for i in rule.action.self)
        return self.instance.slot(self.instance.thread(rule.action.thread).pc, index)

    def _constant(self, expr: Expr, env: dict[str, int]) -> int:
        value = semantics.evaluate(self.instance, expr, (), env)
        assert not isinstance(value, tuple)
        return int(value)

    def _is_fixed(self, number: int) -> bool:
        memory = self.rules[number].action.memory
        return all(not fold.variables(i) for a in memory if isinstance(a, Access) for i in a.index)

    def use(self, number: int, state: State | None) -> Use:
        """What a step does with memory in a state."""
        rule = self.rules[number]
        action = rule.action
        lives = [u for u in action.updates if u.var.endswith(".live")]
        if lives:
            return Use("freed" if any(u.value == FALSE for u in lives) else "born")
        found: dict[int, list[Access]] = {}
        for access, index_of in self._indices[number]:
            location = self._location(access, index_of, state)
            if location is None:
                return Use("many")
            found.setdefault(location, []).append(access)
        if len(found) != 1:
            return Use("many" if found else "none")
        ((location, accesses),) = found.items()
        order = next((a.order for a in accesses if a.order != "once"), "once")
        kinds = {a.kind for a in accesses}
        mode: Mode = "read" if kinds == {"read"} else "write" if kinds == {"write"} else "rmw"
        return Use(mode, location, order)

    def _compiled_indices(self, number: int) -> tuple[tuple[Access, _Index | None], ...]:
        """The accesses of a step, and what gives the index of each: None where it depends on what is bound inside."""
        rule = self.rules[number]
        env = semantics.environment(rule.action, rule.choice)
        return tuple((a, self._index(a, env)) for a in rule.action.memory if isinstance(a, Access))

    def _index(self, access: Access, env: dict[str, int]) -> _Index | None:
        own = self.places.own(access.var, access.index)
        for part in own:
            if not fold.free_params(part) <= env.keys():
                return None
            if any(is_location(self.vars[v]) for v in fold.variables(part)):
                return None
        return self.compiled(own, env)

    def _location(self, access: Access, index_of: _Index | None, state: State | None) -> int | None:
        """The number of a location; None where which one it is cannot be told before the step is made."""
        if index_of is None:
            return None
        try:
            index = index_of(state or ())
        except IndexError:
            return None
        return self._number.get((self.places.declaration(access.var), cast(tuple[int, ...], index)))

    def _synchronises(self, action: Action) -> bool:
        """Whether a step waits for what others change without memory: requests, or what stands for a lock."""
        reads = (part for conjunct in action.guard for part in fold.walk(conjunct) if isinstance(part, Read))
        return any(
            self.vars[r.var].storage is Storage.MACHINE and (len(r.index) != 1 or r.index[0] != action.cpu)
            for r in reads
        )

    def is_barrier(self, action: Action) -> bool:
        """Whether a step changes what is not memory, and is a full barrier for it."""
        thread = self.instance.thread(action.thread)
        if thread.kind is ThreadKind.HARDWARE or (thread.kind in _CONTEXTS and action.at == thread.start):
            return False
        return any(self.vars[u.var].storage is Storage.MACHINE for u in action.updates)

    def always_writes(self, number: int) -> bool:
        """Whether an atomic operation is one that cannot fail."""
        return any(is_location(self.vars[u.var]) and u.where == TRUE for u in self.rules[number].action.updates)

    def _newest(self) -> frozenset[int]:
        """Locations with atomic operations alone that always store, each of which reads what no other has read.

        Locks that are only taken and given back are such, too: who gives one back stores behind all.
        """
        locks = {self.declared[n] for n in self.locks}
        others: set[str] = set()
        for action in self.instance.system.actions:
            kinds: dict[str, set[str]] = {}
            for access in action.memory:
                if isinstance(access, Access):
                    kinds.setdefault(self.places.declaration(access.var), set()).add(access.kind)
            written = {u.var for u in action.updates if u.where == TRUE and is_location(self.vars[u.var])}
            stored = {self.places.declaration(var) for var in written}
            for name, found in kinds.items():
                atomic = found not in ({"read"}, {"write"}) and (action.fault is not None or name in stored)
                if not (atomic or (found == {"write"} and name in locks)):
                    others.add(name)
        return frozenset(n for n, name in enumerate(self.declared) if name not in others)

    def fences(self, number: int) -> list[str]:
        """The barriers that a step is, or has."""
        return [m.name for m in self.rules[number].action.memory if isinstance(m, Fence)]

    def begins_with_mb(self, number: int, use: Use) -> bool:
        """Whether a step is a full barrier before it does anything else."""
        if self.barriers[number] or use.mode in ("many", "freed"):
            return True
        first = next(iter(self.rules[number].action.memory), None)
        if isinstance(first, Fence) and first.name not in NOT_FULL:
            return True
        return use.mode == "rmw" and use.order == "full" and self.always_writes(number)

    def touched(self, number: int) -> frozenset[int]:
        """The locations that a step may access: all of a declaration where the index depends on the state."""
        rule = self.rules[number]
        action = rule.action
        env = semantics.environment(action, rule.choice)
        found: set[int] = set()
        parts = [(a.var, a.index) for a in action.memory if isinstance(a, Access)]
        parts += [(u.var, u.index) for u in action.updates]
        for expr in (*action.guard, *(e for u in action.updates for e in (*u.index, u.value, u.where))):
            parts += [(r.var, r.index) for r in fold.walk(expr) if isinstance(r, Read)]
        for var, index in parts:
            if is_location(self.vars[var]):
                found |= self._all_of(var, self.places.own(var, index), env)
        return frozenset(found)

    def _all_of(self, var: str, own: tuple[Expr, ...], env: dict[str, int]) -> set[int]:
        name = self.places.declaration(var)
        if all(not fold.variables(i) and fold.free_params(i) <= env.keys() for i in own):
            at = tuple(self._constant(i, env) for i in own)
            return {self._number[name, at]} if (name, at) in self._number else set()
        return {n for n, declared in enumerate(self.declared) if declared == name}

    # -- values

    def value(self, state: State, location: int) -> Hashable:
        """What a location holds in a state."""
        return tuple(state[slot] for slot in self.slots_of[location])

    def with_value(self, state: State, location: int, value: Hashable) -> State:
        """The state with another value in a location."""
        changed = list(state)
        for slot, part in zip(self.slots_of[location], cast(tuple[Value, ...], value), strict=True):
            changed[slot] = part
        return tuple(changed)

    def is_of(self, location: int, var: str, index: tuple[int, ...]) -> bool:
        """Whether a variable at an index is part of a location."""
        return self.of_slot.get(self.instance.slot(var, index)) == location


def _if(tells: _Index, cpu: int) -> _Index:
    """Whether what an update changes is of a CPU."""

    def of(state: State) -> tuple[Value, ...]:
        try:
            at, where = tells(state)
        except IndexError:
            return (False,)
        return (bool(where) and at == cpu,)

    return of
