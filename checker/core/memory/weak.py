"""The weak memory model for a System: its compiled steps, each made on what its thread may see.

A state is that of the System, in which memory holds the latest value of every location, with the
messages and views of `views` as one more component.  A step that reads a location is tried once for
each message that may be read: the compiled code runs on the state with that message's value in
place of the latest, and what it has stored becomes a message.  So the System and its code are
those of the sequentially consistent semantics, and nothing of them knows about views.

A step that accesses several locations, or changes what is not memory, is a full barrier before and
after, and sees the latest values.  `alloc` and `free` begin the history of an object's fields anew.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator
from typing import Final, Literal, NamedTuple, cast

from checker.core import fold, semantics
from checker.core.compile import Program, Transition
from checker.core.instance import Instance, State
from checker.core.memory.places import Places, is_location
from checker.core.memory.views import Memory, Work, initial
from checker.core.system import FALSE, TRUE, Access, Action, Enum, Expr, Fence, Read, Storage, ThreadKind, Value, Var

HISTORY: Final = 2
"""Messages kept of a location, where nobody says otherwise."""

_NOT_FULL: Final = ("smp_wmb", "smp_rmb", "barrier")
_KEPT: Final = 20_000
_CONTEXTS = (ThreadKind.INTERRUPT, ThreadKind.NMI)

Mode = Literal["none", "read", "write", "rmw", "many", "born", "freed"]


class _Use(NamedTuple):
    """What a step does with memory: with which location, and in which order."""

    mode: Mode
    location: int = -1
    order: str = "once"


_Index = Callable[[State], tuple[Value, ...]]


class Move(NamedTuple):
    """A transition, and what there is to say of the value that it read."""

    rule: int
    target: State | None
    note: str
    late: int = -1  # the location of which it read or stored something that is not the latest


class WeakProgram(Program):
    """The transition relation of an Instance under the weak memory model; deferred accesses are not modelled."""

    def __init__(self, instance: Instance) -> None:
        super().__init__(instance)
        self.cut = False
        """Whether something was dropped that somebody could still have read."""
        self._plain = super().successors
        self._history = instance.system.history
        self._places = Places(instance.system)
        self._vars: dict[str, Var] = {v.name: v for v in instance.system.vars}
        self._slots: list[list[int]] = []  # of each location
        self._of_slot: dict[int, int] = {}
        self._declared: list[str] = []
        self._locks: set[int] = set()
        self._number: dict[tuple[str, tuple[int, ...]], int] = {}
        for slot, (var, index) in enumerate(instance.slots):
            if is_location(var):
                self._add(slot, var, index)
        self._on_cpu = {a.thread for a in instance.system.actions if a.cpu is not None}
        self._agents: dict[tuple[str, tuple[int, ...]], int] = {}
        self._agent_of: list[int] = [self._agent(n) for n in range(len(self.rules))]
        self._pc_of = [self._pc_slot(n) for n in range(len(self.rules))]
        self._indices = [self._compiled_indices(n) for n in range(len(self.rules))]
        self._uses = [self._use(n, None) if self._is_fixed(n) else None for n in range(len(self.rules))]
        self._syncs = [self._synchronises(rule.action) for rule in self.rules]
        self._barriers = [self._is_barrier(rule.action) for rule in self.rules]
        self._reading = self._by_location()
        self._controls = [n for n, (var, _) in enumerate(instance.slots) if var.storage is Storage.CONTROL]
        self._tidy: dict[tuple[Memory, tuple[Value, ...]], Memory] = {}
        self._next_at: dict[tuple[Value, ...], tuple[tuple[int, int | None], ...]] = {}
        self._needs_at: dict[tuple[Value, ...], dict[int, frozenset[int]]] = {}
        self._needed = {t.name: self._accessed(t.name) for t in instance.system.threads}

    def _add(self, slot: int, var: Var, index: tuple[int, ...]) -> None:
        key = self._places.declaration(var.name), index[: len(index) - var.members]
        if key not in self._number:
            self._number[key] = len(self._slots)
            self._slots.append([])
            self._declared.append(key[0])
        number = self._number[key]
        self._slots[number].append(slot)
        self._of_slot[slot] = number
        if isinstance(var.type, Enum) and var.type.name == "holder":
            self._locks.add(number)

    # -- what is the same in all states

    def _agent(self, number: int) -> int:
        """Whose views a step uses: those of its CPU, or of its thread where that runs on none."""
        rule = self.rules[number]
        env = semantics.environment(rule.action, rule.choice)
        thread = self.instance.thread(rule.action.thread)
        if rule.action.cpu is not None and isinstance(cpu := self._constant(rule.action.cpu, env), int):
            key: tuple[str, tuple[int, ...]] = ("cpu", (cpu,))
        else:
            key = (thread.name, tuple(self._constant(i, env) for i in rule.action.self))
        return self._agents.setdefault(key, len(self._agents))

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

    def _use(self, number: int, state: State | None) -> _Use:
        rule = self.rules[number]
        action = rule.action
        lives = [u for u in action.updates if u.var.endswith(".live")]
        if lives:
            return _Use("freed" if any(u.value == FALSE for u in lives) else "born")
        found: dict[int, list[Access]] = {}
        for access, index_of in self._indices[number]:
            location = self._location(access, index_of, state)
            if location is None:
                return _Use("many")
            found.setdefault(location, []).append(access)
        if len(found) != 1:
            return _Use("many" if found else "none")
        ((location, accesses),) = found.items()
        order = next((a.order for a in accesses if a.order != "once"), "once")
        kinds = {a.kind for a in accesses}
        mode: Mode = "read" if kinds == {"read"} else "write" if kinds == {"write"} else "rmw"
        return _Use(mode, location, order)

    def _compiled_indices(self, number: int) -> tuple[tuple[Access, _Index | None], ...]:
        """The accesses of a step, and what gives the index of each: None where it depends on what is bound inside."""
        rule = self.rules[number]
        env = semantics.environment(rule.action, rule.choice)
        return tuple((a, self._index(a, env)) for a in rule.action.memory if isinstance(a, Access))

    def _index(self, access: Access, env: dict[str, int]) -> _Index | None:
        own = self._places.own(access.var, access.index)
        for part in own:
            if not fold.free_params(part) <= env.keys():
                return None
            if any(is_location(self._vars[v]) for v in fold.variables(part)):
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
        return self._number.get((self._places.declaration(access.var), cast(tuple[int, ...], index)))

    def _synchronises(self, action: Action) -> bool:
        """Whether a step waits for what others change without memory: requests, or what stands for a lock."""
        reads = (part for conjunct in action.guard for part in fold.walk(conjunct) if isinstance(part, Read))
        return any(
            self._vars[r.var].storage is Storage.MACHINE and (len(r.index) != 1 or r.index[0] != action.cpu)
            for r in reads
        )

    def _is_barrier(self, action: Action) -> bool:
        thread = self.instance.thread(action.thread)
        if thread.kind is ThreadKind.HARDWARE or (thread.kind in _CONTEXTS and action.at == thread.start):
            return False
        return any(self._vars[u.var].storage is Storage.MACHINE for u in action.updates)

    def _by_location(self) -> dict[str, dict[int, list[int]]]:
        """The steps that read, by thread and location."""
        found: dict[str, dict[int, list[int]]] = {}
        for number, rule in enumerate(self.rules):
            use = self._uses[number]
            if use is None or use.mode in ("read", "rmw"):
                found.setdefault(rule.action.thread, {}).setdefault(rule.action.at, []).append(number)
        return found

    def _accessed(self, thread: str) -> list[frozenset[str]]:
        """For each location of a thread's text, the declarations that it may access from there on.

        An empty name stands for a barrier: it makes known what was seen, even if nothing is accessed any more.
        """
        found = [set[str]() for _ in self.instance.thread(thread).locations]
        mine = [a for a in self.instance.system.actions if a.thread == thread]
        for action in mine:
            accessed = {a.var for a in action.memory if isinstance(a, Access)}
            accessed |= {u.var for u in action.updates if is_location(self._vars[u.var])}
            for expr in (*action.guard, *(e for u in action.updates for e in (*u.index, u.value, u.where))):
                accessed |= {v for v in fold.variables(expr) if is_location(self._vars[v])}
            found[action.at] |= {self._places.declaration(v) for v in accessed}
            if self._is_barrier(action) or any(isinstance(m, Fence) for m in action.memory):
                found[action.at].add("")
        changed = True
        while changed:
            changed = False
            for action in mine:
                if action.fault is None and not found[action.to] <= found[action.at]:
                    found[action.at] |= found[action.to]
                    changed = True
        return [frozenset(f) for f in found]

    # -- states

    def initial(self) -> Iterator[State]:
        """The initial states: one message a location."""
        for state in semantics.initial_states(self.instance):
            values = tuple(self._value(state, n) for n in range(len(self._slots)))
            yield cast(State, (*state, initial(values, len(self._agents))))

    def _value(self, state: State, location: int) -> Hashable:
        return tuple(state[slot] for slot in self._slots[location])

    def _with(self, state: State, location: int, value: Hashable) -> State:
        changed = list(state)
        for slot, part in zip(self._slots[location], cast(tuple[Value, ...], value), strict=True):
            changed[slot] = part
        return tuple(changed)

    # -- transitions

    @property
    def successors(self) -> Callable[[State], list[Transition]]:
        """All transitions from a state; a step that may read several messages is there for each of them."""
        return self._successors_of

    def _successors_of(self, state: State) -> list[Transition]:
        return sorted(dict.fromkeys((m.rule, m.target) for m in self.moves(state)), key=lambda t: t[0])

    def moves(self, state: State) -> Iterator[Move]:
        """All transitions from a state, with what there is to say of them."""
        base, memory = state[:-1], cast(Memory, state[-1])
        for number, target in self._plain(base):
            use = self._uses[number] or self._use(number, base)
            if use.mode not in ("read", "rmw"):
                yield from self._other(number, use, base, memory, target)
        for thread in self.instance.system.threads:
            by_location = self._reading.get(thread.name)
            if by_location is None:
                continue
            for at in {base[self.instance.slot(thread.pc, i)] for i in self.instance.tuples(thread.index)}:
                yield from self._readings(by_location.get(cast(int, at), ()), base, memory)

    def _readings(self, numbers: list[int] | tuple[int, ...], base: State, memory: Memory) -> Iterator[Move]:
        """The steps that read, on each message that they may read."""
        tried: dict[tuple[int, int, bool], list[int]] = {}
        for number in numbers:
            use = self._uses[number] or self._use(number, base)
            if use.mode in ("read", "rmw"):
                key = self._agent_of[number], use.location, use.mode == "rmw"
                tried.setdefault(key, []).append(number)
        for (agent, location, exclusive), rules in tried.items():
            wanted = frozenset(rules)
            work = self._begun(memory, agent, rules[0])
            for i in work.updatable(location) if exclusive else work.readable(location):
                view = self._with(base, location, memory.messages[location][i].value)
                for number, target in self._plain(view):
                    if number in wanted:
                        use = self._uses[number] or self._use(number, base)
                        yield from self._read(number, use, i, view, base, memory, target)

    def _begun(self, memory: Memory, agent: int, number: int) -> Work:
        """The memory as a step finds it, after the barriers that come with it."""
        work = Work(memory, agent)
        use = self._uses[number]
        action = self.rules[number].action
        fences = [m.name for m in action.memory if isinstance(m, Fence)]
        if self._syncs[number]:
            work.synchronise()
        if self._barriers[number] or (use is not None and use.mode == "rmw" and use.order == "full"):
            work.mb()
        if fences and fences[0] not in _NOT_FULL and not isinstance(action.memory[-1], Fence):
            work.mb()
        return work

    def _read(
        self, number: int, use: _Use, i: int, view: State, base: State, memory: Memory, target: State | None
    ) -> Iterator[Move]:
        last = len(memory.messages[use.location]) - 1
        note = "" if i == last else self._stale(use.location, view, base)
        if target is None:
            yield Move(number, None, note, use.location if note else -1)
            return
        agent = self._agent_of[number]
        value = self._value(target, use.location)
        written = use.mode == "rmw" and (value != self._value(view, use.location) or self._always_writes(number))
        plain_full = use.mode == "rmw" and use.order == "full"
        work = self._begun(memory, agent, number) if written or not plain_full else Work(memory, agent)
        if not written:
            hardware = self.instance.thread(self.rules[number].action.thread).kind is ThreadKind.HARDWARE
            if not hardware:
                work.load(use.location, i, acquire=use.order == "acquire")
        elif use.location in self._locks and use.order == "acquire":
            work.lock(use.location, i, value)
        else:
            work.update(
                use.location, i, value, acquire=use.order == "acquire", release=use.order == "release",
            )  # fmt: skip
            if use.order == "full":
                work.mb()
        yield self._done(number, work, target, note)._replace(late=use.location if note else -1)

    def _always_writes(self, number: int) -> bool:
        action = self.rules[number].action
        return any(is_location(self._vars[u.var]) and u.where == TRUE for u in action.updates)

    def _other(self, number: int, use: _Use, base: State, memory: Memory, target: State | None) -> Iterator[Move]:
        """A step that reads no location, or several."""
        if target is None:
            yield Move(number, None, "")
            return
        agent = self._agent_of[number]
        if use.mode == "write":
            places = list(self._begun(memory, agent, number).writable(use.location))
            value = self._value(target, use.location)
            unlocks = use.location in self._locks
            for p in places[-1:] if unlocks else places:
                work = self._begun(memory, agent, number)
                work.store(use.location, p, value, release=use.order == "release", unlock=unlocks)
                late = p < len(memory.messages[use.location])
                note = f"comes before {self._text(base, use.location)}, which was stored" if late else ""
                yield self._done(number, work, target, note)._replace(late=use.location if note else -1)
            return
        work = self._begun(memory, agent, number)
        if use.mode in ("many", "freed"):
            work.mb()
        for location in sorted({self._of_slot[s] for s in self._of_slot if base[s] != target[s]}):
            work.forget(location, self._value(target, location))
        if use.mode == "many":
            work.mb()
        if use.mode == "none":
            for fence in self.rules[number].action.memory:
                if isinstance(fence, Fence):
                    {"smp_wmb": work.wmb, "smp_rmb": work.rmb, "barrier": _nothing}.get(fence.name, work.mb)()
        yield self._done(number, work, target, "")

    def _done(self, number: int, work: Work, target: State, note: str) -> Move:
        if self._barriers[number]:
            work.mb()
        changed = list(target)
        for location, messages in enumerate(work.messages):
            latest = cast(tuple[Value, ...], messages[-1].value)
            for slot, part in zip(self._slots[location], latest, strict=True):
                changed[slot] = part
        return Move(number, cast(State, (*changed, self._tidied(work, tuple(changed)))), note)

    def _tidied(self, work: Work, base: State) -> Memory:
        """The canonical form of the memory, which many steps lead to: what was found is kept for a while."""
        key = work.done(), tuple(base[slot] for slot in self._controls)
        if key not in self._tidy:
            for agent, taken in self._next(base):
                if taken is None:
                    work.before_mb(agent)
                else:
                    work.before_acquire(agent, taken)
            self.cut = work.tidy(self._history, self._needs(base)) or self.cut
            if len(self._tidy) >= _KEPT:
                self._tidy.clear()
            self._tidy[key] = work.done()
        return self._tidy[key]

    def _next(self, base: State) -> tuple[tuple[int, int | None], ...]:
        """The agents that can do nothing before a full barrier (None), or before an atomic acquire of some location."""
        places = tuple(base[slot] for slot in self._controls)
        if places not in self._next_at:
            self._next_at[places] = tuple(self._next_now(base))
        return self._next_at[places]

    def _next_now(self, base: State) -> Iterator[tuple[int, int | None]]:
        candidates: dict[int, list[int]] = {}
        for number, rule in enumerate(self.rules):
            if base[self._pc_of[number]] == rule.action.at:
                candidates.setdefault(self._agent_of[number], []).append(number)
        for agent, numbers in candidates.items():
            kinds = {self._first(number) for number in numbers}
            if len(kinds) == 1 and (kind := kinds.pop()) != "other":
                yield agent, None if kind == "mb" else int(kind)

    def _first(self, number: int) -> str:
        """What a step does first: a full barrier, an atomic acquire of a location (its number), or something else."""
        use = self._uses[number]
        memory = self.rules[number].action.memory
        if self._syncs[number] or use is None:
            return "other"
        first = memory[0] if memory else None
        if self._barriers[number] or use.mode in ("many", "freed"):
            return "mb"
        if isinstance(first, Fence) and first.name not in _NOT_FULL:
            return "mb"
        if use.mode == "rmw" and use.order == "full" and self._always_writes(number):
            return "mb"
        return str(use.location) if use.mode == "rmw" and use.order == "acquire" else "other"

    def _needs(self, base: State) -> Callable[[int], frozenset[int]]:
        """The locations that an agent may still access."""
        places = tuple(base[slot] for slot in self._controls)
        if places not in self._needs_at:
            self._needs_at[places] = self._needs_now(base)
        return self._needs_at[places].__getitem__

    def _needs_now(self, base: State) -> dict[int, frozenset[int]]:
        declared: dict[int, set[str]] = {number: set() for number in self._agents.values()}
        for thread in self.instance.system.threads:
            accessed = self._needed[thread.name]
            for index in self.instance.tuples(thread.index):
                at = cast(int, base[self.instance.slot(thread.pc, index)])
                for (owner, whose), number in self._agents.items():
                    here = thread.name in self._on_cpu and owner == "cpu"
                    anywhere = thread.index[:1] != ("CPU",)
                    if (owner, whose) == (thread.name, index) or (here and (anywhere or index[0] == whose[0])):
                        declared[number] |= accessed[at]
        return {
            number: frozenset(n for n, name in enumerate(("", *self._declared), start=-1) if name in names)
            for number, names in declared.items()
        }

    # -- what is said

    def is_of(self, location: int, var: str, index: tuple[int, ...]) -> bool:
        """Whether a variable at an index is part of a location."""
        return self._of_slot.get(self.instance.slot(var, index)) == location

    def _text(self, state: State, location: int) -> str:
        shown = []
        for slot in self._slots[location][:4]:
            var, index = self.instance.slots[slot]
            shown.append(
                f"{self.instance.format_slot(var.name, index)} = {self.instance.format_value(var.type, state[slot])}"
            )
        return ", ".join(shown)

    def _stale(self, location: int, view: State, base: State) -> str:
        return f"reads {self._text(view, location)}, though {self._text(base, location)} was stored"


def _nothing() -> None:
    return None


def is_weak(instance: Instance) -> bool:
    """Whether an Instance is to run under the weak memory model."""
    return instance.system.memory_model == "weak"


def program_of(instance: Instance) -> Program:
    """The compiled transition relation of an Instance, under the memory model of its System."""
    return WeakProgram(instance) if is_weak(instance) else Program(instance)
