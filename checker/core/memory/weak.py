"""The weak memory model for a System: its compiled steps, each made on what its thread may see.

A state is that of the System, in which memory holds the latest value of every location, with the
messages and views of `views` as one more component.  A step that reads a location is tried once for
each message that may be read: the compiled code runs on the state with that message's value in
place of the latest, and what it has stored becomes a message.  So the System and its code are
those of the sequentially consistent semantics, and nothing of them knows about views.

A step that accesses several locations, or changes what is not memory, is a full barrier before and
after, and sees the latest values.  `alloc` and `free` begin the history of an object's fields anew.

A step that is put off (`defer`) is passed over: its thread goes on, and the step is made later as if
the thread were still there.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator
from typing import Final, NamedTuple, cast

from checker.core import semantics
from checker.core.compile import Program, Transition
from checker.core.instance import Instance, State
from checker.core.memory.ahead import BARRIER, Ahead, Horizon
from checker.core.memory.defer import Deferral
from checker.core.memory.generations import Generations
from checker.core.memory.registers import Registers
from checker.core.memory.sites import NOT_FULL, Sites, Use
from checker.core.memory.views import Deferred, Memory, View, Work, initial, join
from checker.core.system import Enum, Fence, Value

HISTORY: Final = 2
"""Messages kept of a location, where nobody says otherwise."""

_KEPT: Final = 20_000


class Move(NamedTuple):
    """A transition, and what there is to say of the value that it read.

    `late`: the location of which it read or stored something that is not the latest; `how`: that the step is put
    off ("off"), or made after it was ("made").
    """

    rule: int
    target: State | None
    note: str
    late: int = -1
    how: str = ""


class WeakProgram(Sites):
    """The transition relation of an Instance under the weak memory model."""

    def __init__(self, instance: Instance) -> None:
        super().__init__(instance)
        self.cut = False
        """Whether something was dropped that somebody could still have read."""
        self.refused = False
        """Whether something was not put off because too much was already."""
        self._plain = super().successors
        self._history = instance.system.history
        self._defer = instance.system.defer
        self._reading = self._by_place()
        self._faults = self._faults_by_place()
        self.horizon = Horizon(self)
        self.registers = Registers(self)
        self.generations = Generations(self)
        self.deferral = Deferral(self)
        self._free = {n: self._is_free(n) for n in self.locks}
        self._tidy: dict[tuple[Memory, tuple[Value, ...]], Memory] = {}

    def _by_place(self) -> dict[tuple[int, int], list[int]]:
        """The steps that read, by where the state says that their thread is, and where it is."""
        found: dict[tuple[int, int], list[int]] = {}
        for number, rule in enumerate(self.rules):
            use = self.uses[number]
            if use is None or use.mode in ("read", "rmw"):
                found.setdefault((self.pc_of[number], rule.action.at), []).append(number)
        return found

    def _is_free(self, lock: int) -> Callable[[Hashable], bool]:
        """What says of the values of a lock whether nobody holds it."""
        types = [self.instance.slots[slot][0].type for slot in self.slots_of[lock]]
        holder = next(n for n, t in enumerate(types) if isinstance(t, Enum) and t.name == "holder")
        return lambda value: cast(tuple[Value, ...], value)[holder] == 0

    def _faults_by_place(self) -> dict[tuple[int, int], list[int]]:
        found: dict[tuple[int, int], list[int]] = {}
        for number, rule in enumerate(self.rules):
            if rule.fault is not None:
                found.setdefault((self.pc_of[number], rule.action.at), []).append(number)
        return found

    # -- states

    def initial(self) -> Iterator[State]:
        """The initial states: one message a location."""
        for state in semantics.initial_states(self.instance):
            values = tuple(self.value(state, n) for n in range(len(self.slots_of)))
            yield cast(State, (*state, initial(values, len(self.agents), self.registers.count)))

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
            use = self.uses[number] or self.use(number, base)
            deferred = memory.deferred[self.agent_of[number]]
            if target is not None:
                yield from self._put_off(number, use, base, memory)
            if use.mode not in ("read", "rmw") and not self.deferral.waits(number, use, deferred):
                yield from self._other(number, use, memory, base, target)
        places = {pc: cast(int, base[pc]) for pc, _ in self._reading}
        for pc, at in places.items():
            yield from self._readings(self._reading.get((pc, at), ()), base, memory)
        for agent, deferred in enumerate(memory.deferred):
            for k in range(len(deferred)):
                if self.deferral.may_run(deferred, k):
                    yield from self._made(agent, k, base, memory)

    def _readings(self, numbers: list[int] | tuple[int, ...], base: State, memory: Memory) -> Iterator[Move]:
        """The steps that read, on each message that they may read."""
        tried: dict[tuple[int, int, bool, Hashable], list[int]] = {}
        for number in numbers:
            use = self.uses[number] or self.use(number, base)
            if use.mode in ("read", "rmw"):
                agent = self.agent_of[number]
                if not self.deferral.waits(number, use, memory.deferred[agent]):
                    exclusive = use.mode == "rmw" and (self.always_writes(number) or use.location in self.locks)
                    key = agent, use.location, exclusive, self._begins(number, use)
                    tried.setdefault(key, []).append(number)
        for (agent, location, exclusive, _), rules in tried.items():
            wanted = frozenset(rules)
            first = rules[0]
            work = self._begun(memory, agent, first, self.uses[first] or self.use(first, base))
            if self._can_fail(first, base):
                work = Work(memory, agent)
            for i in self._choices(first, work, location, exclusive=exclusive):
                view = self.with_value(base, location, memory.messages[location][i].value)
                for number, target in self._plain(view):
                    if number in wanted:
                        use = self.uses[number] or self.use(number, base)
                        yield from self._read(number, use, i, view, base, memory, target)

    def _begins(self, number: int, use: Use) -> Hashable:
        """What decides, besides the location, which messages a step may read."""
        can_fail = use.mode == "rmw" and use.location not in self.locks and not self.always_writes(number)
        first = next(iter(self.rules[number].action.memory), None)
        full = use.order == "full" or (isinstance(first, Fence) and first.name not in NOT_FULL)
        return can_fail, self.syncs[number], self.barriers[number], full, self.registers.addresses[number]

    def _can_fail(self, number: int, base: State) -> bool:
        """Whether a step is an atomic operation that does nothing where it does not find what it expects."""
        use = self.uses[number] or self.use(number, base)
        return use.mode == "rmw" and use.location not in self.locks and not self.always_writes(number)

    def _choices(self, number: int, work: Work, location: int, *, exclusive: bool) -> list[int]:
        """The messages that a step may read; it reads none that is older than its address."""
        floor = self.registers.floor(number, work)
        least = 0 if floor is None else floor[location]
        found = work.updatable(location) if exclusive else iter(work.readable(location))
        return [i for i in found if i >= least]

    def _begun(self, memory: Memory, agent: int, number: int, use: Use) -> Work:
        """The memory as a step finds it, after the barriers that come with it."""
        work = Work(memory, agent)
        first = next(iter(self.rules[number].action.memory), None)
        if self.syncs[number]:
            work.synchronise()
        if self.barriers[number] or (use.mode == "rmw" and use.order == "full"):
            work.mb()
        if isinstance(first, Fence) and first.name not in NOT_FULL and use.mode != "none":
            work.mb()
        return work

    def _read(
        self, number: int, use: Use, i: int, view: State, base: State, memory: Memory, target: State | None,
        flagged: bool = False,
    ) -> Iterator[Move]:  # fmt: skip
        last = len(memory.messages[use.location]) - 1
        note = "" if i == last else self._stale(use.location, view, base)
        if target is None:
            yield Move(number, None, note, use.location if note else -1)
            return
        agent = self.agent_of[number]
        value = self.value(target, use.location)
        written = use.mode == "rmw" and (value != self.value(view, use.location) or self.always_writes(number))
        fails = not written and use.mode == "rmw" and use.location not in self.locks
        work = Work(memory, agent) if fails else self._begun(memory, agent, number, use)
        if written and i not in work.updatable(use.location):
            return
        floor = self.registers.floor(number, work)
        acquire = (use.order == "acquire" and not fails) or flagged
        seen: View | None = None
        if not written:
            if not self.hardware[number]:
                seen = work.load(use.location, i, acquire=acquire)
        elif use.location in self.locks and use.order == "acquire":
            work.lock(use.location, i, value)
        else:
            dep = self.registers.stored(number, work)
            seen = work.update(use.location, i, value, acquire=acquire, release=use.order == "release", dep=dep)
            if use.order == "full":
                work.mb()
        if seen is not None and floor is not None:
            seen = join(seen, floor)
        self.registers.set(number, work, seen)
        yield self._done(number, work, target, note, view)._replace(late=use.location if note else -1)

    def _other(self, number: int, use: Use, memory: Memory, base: State, target: State | None) -> Iterator[Move]:
        """A step that reads no location, or several."""
        if target is None:
            yield Move(number, None, "")
            return
        agent = self.agent_of[number]
        if use.mode == "write":
            places = list(self._begun(memory, agent, number, use).writable(use.location))
            value = self.value(target, use.location)
            unlocks = use.location in self.locks
            for p in places[-1:] if unlocks else places:
                work = self._begun(memory, agent, number, use)
                dep = self.registers.stored(number, work)
                work.store(use.location, p, value, release=use.order == "release", unlock=unlocks, dep=dep)
                late = p < len(memory.messages[use.location])
                note = f"comes before {self._text(base, use.location)}, which was stored" if late else ""
                self.registers.set(number, work, None)
                yield self._done(number, work, target, note, base)._replace(late=use.location if note else -1)
            return
        work = self._begun(memory, agent, number, use)
        if use.mode in ("many", "freed"):
            work.mb()
        for location in sorted({self.of_slot[s] for s in self.of_slot if base[s] != target[s]}):
            work.forget(location, self.value(target, location))
        if use.mode == "many":
            work.mb()
        if use.mode == "freed" and self.generations.any:
            self.generations.forget(work, base, target)
        if use.mode == "none":
            for fence in self.fences(number):
                {"smp_wmb": work.wmb, "smp_rmb": work.rmb, "barrier": _nothing}.get(fence, work.mb)()
                if fence == "smp_rmb":
                    self._flag(work)
        self.registers.set(number, work, None)
        yield self._done(number, work, target, "", base)

    # -- what is put off

    def _put_off(self, number: int, use: Use, base: State, memory: Memory) -> Iterator[Move]:
        """The thread goes on, and the step is made later."""
        agent = self.agent_of[number]
        deferred = memory.deferred[agent]
        if not self._defer or not self.deferral.may_enter(number, use, deferred):
            return
        if len(deferred) >= self._defer:
            self.refused = True
            return
        pc, action = self.pc_of[number], self.rules[number].action
        if any(n in self._faults.get((pc, action.at), ()) for n, _ in self._plain(base)):
            return
        work = Work(memory, agent)
        work.deferred[agent] = (*deferred, Deferred(number, use.location, False))
        target = (*base[:pc], action.to, *base[pc + 1 :])
        yield self._done(number, work, target, "", base)._replace(how="off")

    def _made(self, agent: int, k: int, base: State, memory: Memory) -> Iterator[Move]:
        """A step that was put off is made."""
        entry = memory.deferred[agent][k]
        rest = (*memory.deferred[agent][:k], *memory.deferred[agent][k + 1 :])
        memory = memory._replace(deferred=(*memory.deferred[:agent], rest, *memory.deferred[agent + 1 :]))
        number, pc = entry.rule, self.pc_of[entry.rule]
        here = base[pc]
        then = (*base[:pc], self.rules[number].action.at, *base[pc + 1 :])
        use = self.uses[number] or self.use(number, then)
        for fault, target in self._plain(then):
            if target is None and fault in self._faults.get((pc, self.rules[number].action.at), ()):
                yield Move(fault, None, "", how="made")
        if use.mode == "write":
            for other, target in self._plain(then):
                if other == number and target is not None:
                    target = (*target[:pc], here, *target[pc + 1 :])
                    for move in self._other(number, use, memory, base, target):
                        yield move._replace(how="made")
            return
        work = Work(memory, agent)
        for i in self._choices(number, work, entry.location, exclusive=use.mode == "rmw"):
            view = self.with_value(then, entry.location, memory.messages[entry.location][i].value)
            for other, target in self._plain(view):
                if other == number and target is not None:
                    target = (*target[:pc], here, *target[pc + 1 :])
                    for move in self._read(number, use, i, view, base, memory, target, entry.flagged):
                        yield move._replace(how="made")

    def _flag(self, work: Work) -> None:
        """smp_rmb() comes behind what its agent has put off."""
        work.deferred[work.me] = tuple(
            d._replace(flagged=d.flagged or not self.deferral.writes(d.rule)) for d in work.deferred[work.me]
        )

    # -- the state after a step

    def _done(self, number: int, work: Work, target: State, note: str, before: State) -> Move:
        if self.barriers[number]:
            told = self.told(number, before)
            for walker in told:
                work.hear(walker)
            work.mb()
            for walker in told:
                work.tell(walker)
        if work.me in self.cpu_of:
            work.follow(self.cpu_of[work.me])
        changed = list(target)
        for location, messages in enumerate(work.messages):
            latest = cast(tuple[Value, ...], messages[-1].value)
            for slot, part in zip(self.slots_of[location], latest, strict=True):
                changed[slot] = part
        state = tuple(changed)
        memory = self._tidied(work, state)
        if self.generations.any:
            state, memory = self.generations.canonical(state, memory)
        return Move(number, cast(State, (*state, memory)), note)

    def _tidied(self, work: Work, base: State) -> Memory:
        """The canonical form of the memory, which many steps lead to: what was found is kept for a while."""
        key = work.done(), self.horizon.controls(base)
        if key not in self._tidy:
            ahead = self.horizon.of(base)
            work.walk(self.cpu_of)
            if any(work.deferred):
                ahead = self._with_deferred(ahead, work)
            before = None
            while before != (before := work.done()):  # what is dropped can show that more is known
                for agent, taken in ahead.next:
                    if taken is None:
                        work.before_mb(agent)
                    else:
                        work.before_acquire(agent, taken, self._free.get(taken))
                for agent, firsts in enumerate(ahead.firsts):
                    later = ahead.needs[agent] - ahead.before_any[agent]
                    if firsts and later:
                        locks = {n: self._free[n] for n in sorted(firsts - {BARRIER})}
                        work.before_any(agent, later, BARRIER in firsts, locks)
                dropped = work.tidy(
                    self._history, ahead.needs, ahead.before_mb, self.registers.agents, self.silent, self.newest
                )
                self.cut = dropped or self.cut
            if len(self._tidy) >= _KEPT:
                self._tidy.clear()
            self._tidy[key] = work.done()
        return self._tidy[key]

    def _with_deferred(self, ahead: Ahead, work: Work) -> Ahead:
        """What is ahead, where something that is behind is still to be made."""
        late = [frozenset(d.location for d in deferred) for deferred in work.deferred]
        return Ahead(
            tuple(a | b for a, b in zip(ahead.needs, late, strict=True)),
            tuple(a | b for a, b in zip(ahead.before_mb, late, strict=True)),
            tuple(a | b for a, b in zip(ahead.before_any, late, strict=True)),
            ahead.firsts,
            tuple((agent, taken) for agent, taken in ahead.next if not late[agent]),
        )

    # -- what is said

    def _text(self, state: State, location: int) -> str:
        shown = []
        for slot in self.slots_of[location][:4]:
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
