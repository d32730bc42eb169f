"""The weak memory model: messages, and the views that threads have of them.

A location holds the messages of its stores in coherence order.  A view says, of each location, how
far along that order something has got.  Who reads takes any message that its `cur` view does not
rule out; what was read, written or fenced moves the views.  Made to agree with the Linux-kernel
memory model; docs/memory-models.md says how far.

Locations and agents are numbers here and values are opaque: the machine knows nothing of a System.
All states are immutable; `Work` is one that is being changed.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from typing import NamedTuple

View = tuple[int, ...]


class Message(NamedTuple):
    """A store: its value, the view it publishes (`cf`), what it proves to have reached everybody (`fv`).

    `ownv` is, for an unlock, the closure of the unlocker's own stores; `att`: the next message is the store of an
    atomic operation that read this one, and nothing may come between.  `dep`: who stored it, and the view of
    the registers that its value and address came from, which the loads of that agent go on with.
    """

    value: Hashable
    cf: View
    fv: View
    ownv: View | None
    att: bool
    dep: tuple[int, View] | None = None


class Agent(NamedTuple):
    """The views of one thread of execution.

    `cur`: what it must not read older than; `acq`: all it has seen; `wmb`: what its relaxed stores publish;
    `own`: the closure of its own stores; `f`: what it knows to have reached everybody; `ul_acq` and `ul_own`:
    the first and the last of them at its last unlock.
    """

    cur: View
    acq: View
    wmb: View
    own: View
    f: View
    ul_acq: View | None
    ul_own: View | None


class Deferred(NamedTuple):
    """An access that is made later than the text says: which step, where, and whether smp_rmb() came behind it."""

    rule: int
    location: int
    flagged: bool


class Memory(NamedTuple):
    """All messages, the view `S` of the full barriers, and the agents.

    `registers`: the views of those that can become part of an address; `deferred`: what each agent has put off.
    """

    messages: tuple[tuple[Message, ...], ...]
    barriers: View
    agents: tuple[Agent, ...]
    registers: tuple[View, ...] = ()
    deferred: tuple[tuple[Deferred, ...], ...] = ()


def join(a: View, b: View) -> View:
    """The pointwise maximum."""
    if a == b or not any(b):
        return a
    return tuple(map(max, a, b))


def initial(values: tuple[Hashable, ...], agents: int, registers: int = 0) -> Memory:
    """One message a location, which everybody has seen."""
    zero = (0,) * len(values)
    nobody = Agent(zero, zero, zero, zero, zero, None, None)
    messages = tuple((Message(v, zero, zero, None, False),) for v in values)
    return Memory(messages, zero, (nobody,) * agents, (zero,) * registers, ((),) * agents)


class Work:
    """A state of the memory that one step changes."""

    def __init__(self, memory: Memory, agent: int) -> None:
        self.messages = [list(m) for m in memory.messages]
        self.barriers = memory.barriers
        self.agents = list(memory.agents)
        self.registers = list(memory.registers)
        self.deferred = list(memory.deferred)
        self.me = agent

    def done(self) -> Memory:
        """The state after the step."""
        messages = tuple(tuple(m) for m in self.messages)
        return Memory(messages, self.barriers, tuple(self.agents), tuple(self.registers), tuple(self.deferred))

    @property
    def agent(self) -> Agent:
        """Who makes the step."""
        return self.agents[self.me]

    def _set(self, **views: View) -> None:
        self.agents[self.me] = self.agent._replace(**views)

    # -- what can be chosen

    def readable(self, location: int, floor: int = 0) -> range:
        """The messages that a load may read."""
        return range(max(self.agent.cur[location], floor), len(self.messages[location]))

    def updatable(self, location: int) -> Iterator[int]:
        """The messages that an atomic operation may read."""
        first = max(self.agent.cur[location], self.agent.acq[location])
        for i in range(first, len(self.messages[location])):
            if not self.messages[location][i].att:
                yield i

    def writable(self, location: int) -> Iterator[int]:
        """The positions that a store may take."""
        for p in range(self.agent.acq[location] + 1, len(self.messages[location]) + 1):
            if not self.messages[location][p - 1].att:
                yield p

    # -- steps

    def load(self, location: int, i: int, *, acquire: bool = False) -> View:
        """Read message i; what it publishes is returned: the view of the register it goes to."""
        message = self.messages[location][i]
        seen = _at_least(join(message.cf, message.fv), location, i)
        a = self.agent
        cur = _at_least(a.cur, location, i)
        self._set(
            acq=join(a.acq, seen), f=join(a.f, message.fv), cur=join(cur, seen) if acquire else cur,
        )  # fmt: skip
        return join(seen, message.dep[1]) if message.dep is not None and message.dep[0] == self.me else seen

    def store(
        self, location: int, p: int, value: Hashable, *, release: bool = False, unlock: bool = False,
        also: View | None = None, dep: View | None = None,
    ) -> None:  # fmt: skip
        """Store at position p; `also` is what the new message publishes besides, `dep` what its value comes from."""
        self._shift(location, p)
        a = self.agent
        cf = _at_least(a.acq if release else a.wmb, location, p)
        if also is not None:
            cf = join(cf, _moved(also, location, p))
        mine = None if dep is None else (self.me, _moved(dep, location, p))
        self.messages[location].insert(p, Message(value, cf, a.f, a.own if unlock else None, False, mine))
        self._set(cur=_at_least(a.cur, location, p), acq=join(a.acq, cf), own=join(a.own, cf))
        if unlock:
            self._set(ul_acq=self.agent.acq, ul_own=self.agent.own)

    def update(
        self, location: int, i: int, value: Hashable, *, acquire: bool = False, release: bool = False,
        dep: View | None = None,
    ) -> View:  # fmt: skip
        """An atomic operation on message i, without the fences of one that is fully ordered."""
        published = self.messages[location][i].cf
        seen = self.load(location, i, acquire=acquire)
        self.store(location, i + 1, value, release=release, also=published, dep=dep)
        self.messages[location][i] = self.messages[location][i]._replace(att=True)
        return _moved(seen, location, i + 1)

    def lock(self, location: int, i: int, value: Hashable) -> None:
        """Take a lock whose message i says that it is free."""
        theirs = self.messages[location][i].ownv
        self.update(location, i, value, acquire=True)
        a = self.agent
        wmb = a.wmb if theirs is None else join(a.wmb, theirs)
        cur = a.cur
        if a.ul_acq is not None and a.ul_own is not None:
            cur, wmb = join(cur, a.ul_acq), join(wmb, a.ul_own)
        self._set(cur=cur, wmb=wmb)

    def mb(self) -> None:
        """A full barrier."""
        x = join(self.agent.acq, self.barriers)
        self._set(cur=x, acq=x, wmb=x, own=x, f=x)
        self.barriers = x

    def walk(self, cpu_of: Mapping[int, int]) -> None:
        """Page-table walkers read no older than their CPUs may."""
        for walker, cpu in cpu_of.items():
            a = self.agents[walker]
            cur = join(a.cur, self.agents[cpu].cur)
            self.agents[walker] = a._replace(cur=cur, acq=join(a.acq, cur))

    def hear(self, walker: int) -> None:
        """What the hardware has stored through what this step takes from it is known: it has been waited for."""
        self._set(acq=join(self.agent.acq, self.agents[walker].own))

    def follow(self, cpu: int) -> None:
        """What the hardware of a CPU has stored comes before what the CPU does next."""
        a, own = self.agents[cpu], self.agent.own
        self.agents[cpu] = a._replace(cur=join(a.cur, own), acq=join(a.acq, own), own=join(a.own, own))

    def tell(self, walker: int) -> None:
        """A walker whose TLB this step changes reads no older than what the step's agent knows from then on."""
        a, x = self.agents[walker], self.agent.acq
        self.agents[walker] = a._replace(cur=join(a.cur, x), acq=join(a.acq, x))

    def synchronise(self) -> None:
        """What full barriers have made known to all is known here too."""
        x = join(self.agent.acq, self.barriers)
        self._set(cur=join(self.agent.cur, x), acq=x)

    def wmb(self) -> None:
        """What was stored before is published by what is stored after."""
        self._set(wmb=join(self.agent.wmb, self.agent.own))

    def rmb(self) -> None:
        """What is read after is no older than what was read before."""
        self._set(cur=join(self.agent.cur, self.agent.acq))

    def forget(self, location: int, value: Hashable) -> None:
        """All of a location's history is over: it begins anew with one message."""

        def none(view: View) -> View:
            return view if view[location] == 0 else (*view[:location], 0, *view[location + 1 :])

        self._map(none)
        zero = (0,) * len(self.messages)
        self.messages[location] = [Message(value, zero, zero, None, False)]

    # -- views

    def _shift(self, location: int, p: int) -> None:
        """Make room at a position: what was there and behind it moves up."""
        if p < len(self.messages[location]):
            self._map(lambda view: _moved(view, location, p))

    def _map(self, change: Callable[[View], View]) -> None:
        cache: dict[View, View] = {}

        def go(view: View | None) -> View | None:
            if view is None:
                return None
            if view not in cache:
                cache[view] = change(view)
            return cache[view]

        for messages in self.messages:
            messages[:] = [
                m._replace(
                    cf=change(m.cf), fv=change(m.fv), ownv=go(m.ownv),
                    dep=None if m.dep is None else (m.dep[0], change(m.dep[1])),
                ) for m in messages
            ]  # fmt: skip
        self.barriers = change(self.barriers)
        self.agents = [Agent(*(go(view) for view in a)) for a in self.agents]  # type: ignore[arg-type]
        self.registers = [change(view) for view in self.registers]

    def _mentions(self, locations: frozenset[int]) -> bool:
        """Whether some view says anything of some locations."""
        views = {self.barriers, *self.registers, *(v for a in self.agents for v in a if v is not None)}
        for m in (m for messages in self.messages for m in messages):
            views.update(v for v in (m.cf, m.fv, m.ownv, m.dep and m.dep[1]) if v is not None)
        return any(view[n] for view in views for n in locations)

    # -- the canonical form

    def tidy(
        self, history: int | None, needs: Sequence[frozenset[int]],
        before_mb: Sequence[frozenset[int]] | None = None, owners: Sequence[Sequence[int]] = (),
        silent: frozenset[int] = frozenset(), newest: frozenset[int] = frozenset(),
    ) -> bool:  # fmt: skip
        """Drop what nobody can read any more; whether something had to go that somebody could have read.

        At most `history` messages of a location are kept.  `needs` says which locations each agent may still
        access, `before_mb` which of them before it meets a full barrier, `owners` who uses the registers, `silent`
        who only reads, and learns nothing from it, `newest` the locations of which only the last message can be read.
        """
        cut = False
        count = len(self.messages)
        if before_mb is not None:
            self._promote(needs, before_mb)
        drop = [0] * count
        for location, messages in enumerate(self.messages):
            if len(messages) == 1:
                continue
            if location in newest:
                drop[location] = len(messages) - 1
                continue
            floors = [a.cur[location] for a, need in zip(self.agents, needs, strict=True) if location in need]
            low = min(floors, default=len(messages) - 1)
            if history is not None and len(messages) - low > history:
                low, cut = len(messages) - history, True
            drop[location] = low
        lows = tuple(drop)
        if any(lows):
            for location, low in enumerate(drop):
                del self.messages[location][:low]
            self._map(lambda view: tuple(max(i - low, 0) for i, low in zip(view, lows, strict=True)))
        gone = frozenset(range(count)) - frozenset().union(*needs)
        if gone and self._mentions(gone):
            self._map(lambda view: tuple(0 if n in gone else i for n, i in enumerate(view)))
        for number, need in enumerate(needs):
            a = self.agents[number]
            if not need or number in silent:
                zero = (0,) * count
                cur = tuple(i if n in need else 0 for n, i in enumerate(a.cur))
                a = self.agents[number] = Agent(cur, cur, zero, zero, zero, None, None)
            elif any(a.cur) or any(a.acq):
                cur = tuple(i if n in need else a.acq[n] for n, i in enumerate(a.cur))
                a = self.agents[number] = a._replace(cur=cur)
            if a.ul_acq is not None and a.ul_own is not None:  # what is known already makes no difference at a lock
                ul_acq, ul_own = _beyond(a.ul_acq, a.cur), _beyond(a.ul_own, a.wmb)
                any_left = any(ul_acq) or any(ul_own)
                self.agents[number] = a._replace(
                    ul_acq=ul_acq if any_left else None, ul_own=ul_own if any_left else None
                )  # fmt: skip
        for number, users in enumerate(owners):
            if any(self.registers[number]):
                self.registers[number] = self._useful(self.registers[number], users, needs)
        if owners:
            self._tidy_dependencies(needs)
        for location, messages in enumerate(self.messages):
            if not any(any(m.cf) or any(m.fv) or m.ownv is not None for m in messages):
                continue
            learning = (n for n, need in enumerate(needs) if location in need and n not in silent)
            readers = [self.agents[n] for n in learning]
            messages[:] = _without_known(messages, readers, count)
        return cut

    def _tidy_dependencies(self, needs: Sequence[frozenset[int]]) -> None:
        """Dependencies through memory, without what their agent may not read older anyhow."""
        for location, messages in enumerate(self.messages):
            for n, m in enumerate(messages):
                if m.dep is not None:
                    agent, view = m.dep
                    left = self._useful(view, (agent,), needs) if location in needs[agent] else ()
                    messages[n] = m._replace(dep=(agent, left) if any(left) else None)

    def _promote(self, needs: Sequence[frozenset[int]], before_mb: Sequence[frozenset[int]]) -> None:
        """What an agent does not read before a full barrier it reads with all that the barrier will have told it."""
        for number, (need, exposed) in enumerate(zip(needs, before_mb, strict=True)):
            a = self.agents[number]
            later = need - exposed
            if later and any(max(a.acq[n], self.barriers[n]) > a.cur[n] for n in later if n >= 0):
                cur = tuple(
                    max(i, a.acq[n], self.barriers[n]) if n in later else i for n, i in enumerate(a.cur)
                )  # fmt: skip
                self.agents[number] = a._replace(cur=cur)

    def _useful(self, view: View, users: Sequence[int], needs: Sequence[frozenset[int]]) -> View:
        """A register's view, without what all who use it may not read older anyhow."""
        known = _least([self.agents[u].cur for u in users])
        need = frozenset().union(*(needs[u] for u in users))
        return tuple(i if i > k and n in need else 0 for n, (i, k) in enumerate(zip(view, known, strict=True)))

    def before_mb(self, agent: int) -> None:
        """An agent whose next step is a full barrier: what that will make of its views, as far as it is known."""
        x = join(self.agents[agent].acq, self.barriers)
        self.agents[agent] = self.agents[agent]._replace(cur=x, acq=x, wmb=x, own=x, f=x)

    def before_acquire(self, agent: int, location: int, free: Callable[[Hashable], bool] | None) -> None:
        """An agent whose next step is an atomic acquire: whatever message it takes, it will know so much.

        `free` says of a lock whether a message is one that can be taken; where none is, one comes that knows
        at least what the latest does.
        """
        known, owned = self._acquired(agent, location, free)
        a = self.agents[agent]
        cur, wmb = join(a.cur, known), a.wmb
        if free is not None:
            wmb = join(wmb, owned)
            if a.ul_acq is not None and a.ul_own is not None:
                cur, wmb = join(cur, a.ul_acq), join(wmb, a.ul_own)
        self.agents[agent] = a._replace(cur=cur, acq=join(a.acq, known), wmb=wmb)

    def before_any(
        self, agent: int, locations: frozenset[int], barrier: bool,
        locks: Mapping[int, Callable[[Hashable], bool]],
    ) -> None:  # fmt: skip
        """What is not accessed before a full barrier or a lock is read with what any of them will have told.

        `barrier` and `locks`: those that it can meet first.
        """
        a = self.agents[agent]
        told = [join(a.acq, self.barriers)] if barrier else []
        for lock, free in locks.items():
            known, _ = self._acquired(agent, lock, free)
            told.append(known if a.ul_acq is None else join(known, a.ul_acq))
        if told:
            least = _smallest(told)
            cur = tuple(max(i, least[n]) if n in locations else i for n, i in enumerate(a.cur))
            self.agents[agent] = a._replace(cur=cur)

    def _acquired(self, agent: int, location: int, free: Callable[[Hashable], bool] | None) -> tuple[View, View]:
        """What an agent will know when it has made an atomic acquire: of all stores, and of a lock holder's."""
        zero = (0,) * len(self.messages)
        work, self.me = self.me, agent
        messages = self.messages[location]
        taken = [messages[i] for i in self.updatable(location) if free is None or free(messages[i].value)]
        self.me = work
        if free is not None and not taken:
            taken = [messages[-1]._replace(ownv=None)]
        if not taken:
            return zero, zero
        return _smallest([join(m.cf, m.fv) for m in taken]), _smallest([m.ownv or zero for m in taken])


def _smallest(views: list[View]) -> View:
    return tuple(map(min, *views)) if len(views) > 1 else views[0]


def _without_known(messages: list[Message], readers: list[Agent], count: int) -> list[Message]:
    """Messages without what all who could read them know already."""
    if not readers:
        zero = (0,) * count
        return [m._replace(cf=zero, fv=zero, ownv=None) for m in messages]
    known = _least([tuple(map(min, a.cur, a.acq)) for a in readers])  # a promoted cur is no knowledge yet
    reached = _least([known, *(a.f for a in readers)])
    stored = _least([a.wmb for a in readers])
    return [
        m._replace(
            cf=_beyond(m.cf, known), fv=_beyond(m.fv, reached),
            ownv=None if m.ownv is None or not any(left := _beyond(m.ownv, stored)) else left,
        )
        for m in messages
    ]  # fmt: skip


def _least(views: list[View]) -> View:
    different = set(views)
    return views[0] if len(different) == 1 else tuple(map(min, *different))


def _beyond(view: View, known: View) -> View:
    """A view without what is known."""
    if not any(view):
        return view
    return tuple(i if i > k else 0 for i, k in zip(view, known, strict=True))


def _at_least(view: View, location: int, i: int) -> View:
    if view[location] >= i:
        return view
    return (*view[:location], i, *view[location + 1 :])


def _moved(view: View, location: int, p: int) -> View:
    """A view after a message was put in at p."""
    if view[location] < p:
        return view
    return (*view[:location], view[location] + 1, *view[location + 1 :])
