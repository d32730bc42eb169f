"""The weak memory model: messages, and the views that threads have of them.

A location holds the messages of its stores in coherence order.  A view says, of each location, how
far along that order something has got.  Who reads takes any message that its `cur` view does not
rule out; what was read, written or fenced moves the views.  Made to agree with the Linux-kernel
memory model; docs/memory-models.md says how far.

Locations and agents are numbers here and values are opaque: the machine knows nothing of a System.
All states are immutable; `Work` is one that is being changed.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator
from typing import NamedTuple

View = tuple[int, ...]


class Message(NamedTuple):
    """A store: its value, the view it publishes (`cf`), what it proves to have reached everybody (`fv`).

    `ownv` is, for an unlock, the closure of the unlocker's own stores; `att`: the next message is the store of an
    atomic operation that read this one, and nothing may come between.
    """

    value: Hashable
    cf: View
    fv: View
    ownv: View | None
    att: bool


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


class Memory(NamedTuple):
    """All messages, the view `S` of the full barriers, and the agents."""

    messages: tuple[tuple[Message, ...], ...]
    barriers: View
    agents: tuple[Agent, ...]


def join(a: View, b: View) -> View:
    """The pointwise maximum."""
    if a == b or not any(b):
        return a
    return tuple(map(max, a, b))


def initial(values: tuple[Hashable, ...], agents: int) -> Memory:
    """One message a location, which everybody has seen."""
    zero = (0,) * len(values)
    nobody = Agent(zero, zero, zero, zero, zero, None, None)
    return Memory(tuple((Message(v, zero, zero, None, False),) for v in values), zero, (nobody,) * agents)


class Work:
    """A state of the memory that one step changes."""

    def __init__(self, memory: Memory, agent: int) -> None:
        self.messages = [list(m) for m in memory.messages]
        self.barriers = memory.barriers
        self.agents = list(memory.agents)
        self.me = agent

    def done(self) -> Memory:
        """The state after the step."""
        return Memory(tuple(tuple(m) for m in self.messages), self.barriers, tuple(self.agents))

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
        """Read message i; what it publishes is the view of the register it goes to."""
        message = self.messages[location][i]
        seen = _at_least(join(message.cf, message.fv), location, i)
        a = self.agent
        cur = _at_least(a.cur, location, i)
        self._set(
            acq=join(a.acq, seen), f=join(a.f, message.fv), cur=join(cur, seen) if acquire else cur,
        )  # fmt: skip
        return seen

    def store(
        self, location: int, p: int, value: Hashable, *, release: bool = False, unlock: bool = False,
        also: View | None = None,
    ) -> None:  # fmt: skip
        """Store at position p; `also` is what the new message publishes besides."""
        self._shift(location, p)
        a = self.agent
        cf = _at_least(a.acq if release else a.wmb, location, p)
        if also is not None:
            cf = join(cf, _moved(also, location, p))
        self.messages[location].insert(p, Message(value, cf, a.f, a.own if unlock else None, False))
        self._set(cur=_at_least(a.cur, location, p), acq=join(a.acq, cf), own=join(a.own, cf))
        if unlock:
            self._set(ul_acq=self.agent.acq, ul_own=self.agent.own)

    def update(self, location: int, i: int, value: Hashable, *, acquire: bool = False, release: bool = False) -> View:
        """An atomic operation on message i, without the fences of one that is fully ordered."""
        published = self.messages[location][i].cf
        seen = self.load(location, i, acquire=acquire)
        self.store(location, i + 1, value, release=release, also=published)
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
            messages[:] = [Message(m.value, go(m.cf), go(m.fv), go(m.ownv), m.att) for m in messages]  # type: ignore[arg-type]
        self.barriers = change(self.barriers)
        self.agents = [Agent(*(go(view) for view in a)) for a in self.agents]  # type: ignore[arg-type]

    def _mentions(self, locations: frozenset[int]) -> bool:
        """Whether some view says anything of some locations."""
        views = {self.barriers, *(v for a in self.agents for v in a if v is not None)}
        views.update(v for messages in self.messages for m in messages for v in (m.cf, m.fv, m.ownv) if v is not None)
        return any(view[n] for view in views for n in locations)

    # -- the canonical form

    def tidy(self, history: int | None, needs: Callable[[int], frozenset[int]]) -> bool:
        """Drop what nobody can read any more; whether something had to go that somebody could have read.

        At most `history` messages of a location are kept.  `needs` says which locations an agent may still
        access.
        """
        cut = False
        count = len(self.messages)
        wanted = [needs(agent) for agent in range(len(self.agents))]
        drop = [0] * count
        for location, messages in enumerate(self.messages):
            if len(messages) == 1:
                continue
            floors = [a.cur[location] for a, need in zip(self.agents, wanted, strict=True) if location in need]
            low = min(floors, default=len(messages) - 1)
            if history is not None and len(messages) - low > history:
                low, cut = len(messages) - history, True
            drop[location] = low
        lows = tuple(drop)
        if any(lows):
            for location, low in enumerate(drop):
                del self.messages[location][:low]
            self._map(lambda view: tuple(max(i - low, 0) for i, low in zip(view, lows, strict=True)))
        gone = frozenset(range(count)) - frozenset().union(*wanted)
        if gone and self._mentions(gone):
            self._map(lambda view: tuple(0 if n in gone else i for n, i in enumerate(view)))
        for number, need in enumerate(wanted):
            a = self.agents[number]
            if not need:
                zero = (0,) * count
                self.agents[number] = Agent(zero, zero, zero, zero, zero, None, None)
            elif any(a.cur) or any(a.acq):
                cur = tuple(i if n in need else a.acq[n] for n, i in enumerate(a.cur))
                self.agents[number] = a._replace(cur=cur)
        for location, messages in enumerate(self.messages):
            if not any(any(m.cf) or any(m.fv) or (m.ownv is not None and any(m.ownv)) for m in messages):
                continue
            readers = [a for a, need in zip(self.agents, wanted, strict=True) if location in need]
            messages[:] = _without_known(messages, readers, count)
        return cut

    def before_mb(self, agent: int) -> None:
        """An agent whose next step is a full barrier: what that will make of its views, as far as it is known."""
        x = join(self.agents[agent].acq, self.barriers)
        self.agents[agent] = self.agents[agent]._replace(cur=x, acq=x, wmb=x, own=x, f=x)

    def before_acquire(self, agent: int, location: int) -> None:
        """An agent whose next step is an atomic acquire: whatever message it takes, it will know so much."""
        work, self.me = self.me, agent
        taken = [join(self.messages[location][i].cf, self.messages[location][i].fv) for i in self.updatable(location)]
        self.me = work
        if taken:
            least = tuple(map(min, *taken)) if len(taken) > 1 else taken[0]
            a = self.agents[agent]
            self.agents[agent] = a._replace(cur=join(a.cur, least), acq=join(a.acq, least))


def _without_known(messages: list[Message], readers: list[Agent], count: int) -> list[Message]:
    """Messages without what all who could read them know already."""
    if not readers:
        zero = (0,) * count
        return [m._replace(cf=zero, fv=zero, ownv=None if m.ownv is None else zero) for m in messages]
    known = _least([a.cur for a in readers])
    reached = _least([known, *(a.f for a in readers)])
    stored = _least([a.wmb for a in readers])
    return [
        m._replace(
            cf=_beyond(m.cf, known), fv=_beyond(m.fv, reached),
            ownv=None if m.ownv is None else _beyond(m.ownv, stored),
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
