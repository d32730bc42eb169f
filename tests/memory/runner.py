"""All runs of a litmus test, by a runner of its own: what the lowered tests are compared with.

It shares the messages and views with the memory model of the checker, and with the lowering what an instruction
reads and writes and how computations are moved down. Nothing else: neither Systems nor their compiled steps, nor
how views are promoted.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Final, NamedTuple, TypeVar

from checker.core.memory.views import Memory, View, Work, initial, join
from checker.litmus.lower import sunk
from checker.litmus.program import (
    NOWHERE,
    OLD,
    Assign,
    Branch,
    Expr,
    Fence,
    Instruction,
    Jump,
    Litmus,
    Load,
    Lock,
    Name,
    Store,
    Thread,
    Update,
    Word,
    names,
    sources,
    written,
)
from checker.litmus.run import Result
from checker.litmus.values import evaluate

HISTORY: Final = 2
DEFER: Final = 1

_T = TypeVar("_T")

Registers = tuple[tuple[str, Word, View], ...]


class Deferred(NamedTuple):
    """An access that is made later than the text says: which, where, and whether smp_rmb() came behind it."""

    at: int
    location: int
    flagged: bool


class State(NamedTuple):
    """Where the threads are, their registers with the views that come with them, what they defer, and memory."""

    at: tuple[int, ...]
    registers: tuple[Registers, ...]
    deferred: tuple[tuple[Deferred, ...], ...]
    memory: Memory


def run(litmus: Litmus, history: int | None = HISTORY, defer: int = DEFER, limit: int = 2_000_000) -> Result:
    """Visit all states of a test."""
    return _Run(litmus, history, defer, limit).result()


class _Run:
    def __init__(self, litmus: Litmus, history: int | None, defer: int, limit: int) -> None:
        litmus = replace(litmus, threads=tuple(sunk(thread) for thread in litmus.threads))
        self._litmus = litmus
        self._history = history
        self._defer = defer
        self._limit = limit
        self._number = {name: n for n, name in enumerate(litmus.locations)}
        self._zero = (0,) * len(litmus.locations)
        self._cut = False
        self._needs = [_needs(thread, self._number) for thread in litmus.threads]

    def result(self) -> Result:
        """The number of ends, and a way to one."""
        litmus = self._litmus
        memory = initial(tuple(litmus.first[name] for name in litmus.locations), len(litmus.threads))
        registers = tuple(
            tuple((name, value, self._zero) for (t, name), value in sorted(litmus.registers.items()) if t == thread)
            for thread in range(len(litmus.threads))
        )
        start = State((0,) * len(litmus.threads), registers, ((),) * len(litmus.threads), memory)
        came: dict[State, tuple[State, str] | None] = {start: None}
        todo, positive, negative = [start], set[object](), set[object]()
        witness: State | None = None
        other: State | None = None
        while todo and len(came) < self._limit:
            state = todo.pop()
            steps = list(self._steps(state))
            for text, after in steps:
                if after not in came:
                    came[after] = state, text
                    todo.append(after)
            if not steps and self._ended(state):
                values = self._final(state)
                if litmus.filter is not None and not evaluate(litmus.filter, values):
                    continue
                outcome = tuple(sorted(values.items(), key=str))
                if evaluate(litmus.condition, values):
                    positive.add(outcome)
                    witness = witness or state
                else:
                    negative.add(outcome)
                    other = other or state
        if litmus.quantifier == "forall":
            witness = other
        steps_to: list[str] = []
        while witness is not None and (before := came[witness]) is not None:
            steps_to.append(before[1])
            witness = before[0]
        return Result(
            litmus, len(positive), len(negative), len(came), not todo, self._cut, tuple(reversed(steps_to))
        )  # fmt: skip

    def _ended(self, state: State) -> bool:
        threads = self._litmus.threads
        return all(at == len(t.code) for at, t in zip(state.at, threads, strict=True)) and not any(state.deferred)

    def _final(self, state: State) -> dict[str, Word]:
        """What is at the end in registers and in memory; names that occur nowhere are 0."""
        found: dict[str, Word] = {f"&{name}": name for name in self._litmus.locations}
        for n, name in enumerate(self._litmus.locations):
            value = state.memory.messages[n][-1].value
            assert isinstance(value, int | str)
            found[f"[{name}]"] = value
        for t, registers in enumerate(state.registers):
            for name, value, _ in registers:
                found[f"{t}:{name}"] = value
        asked = names(self._litmus.condition) | (names(self._litmus.filter) if self._litmus.filter else frozenset())
        values: dict[str, Word] = {}
        for name in asked:
            values[name] = found.get(f"[{name}]", found.get(name, 0))
        return values

    # -- steps

    def _steps(self, state: State) -> Iterator[tuple[str, State]]:
        for t, thread in enumerate(self._litmus.threads):
            for k, entry in enumerate(state.deferred[t]):
                if self._may_run(state, t, k):
                    rest = (*state.deferred[t][:k], *state.deferred[t][k + 1 :])
                    base = state._replace(deferred=_put(state.deferred, t, rest))
                    for note, after in self._access(base, t, thread.code[entry.at], entry):
                        yield f"P{t}: {thread.texts[entry.at]}  (late, {note})", after
            at = state.at[t]
            if at < len(thread.code):
                for note, after in self._instruction(state, t, thread.code[at]):
                    yield f"P{t}: {thread.texts[at]}{f'  ({note})' if note else ''}", after

    def _may_run(self, state: State, t: int, k: int) -> bool:
        """Whether a deferred access may be made before those in front of it."""
        code = self._litmus.threads[t].code
        entry = state.deferred[t][k]
        for earlier in state.deferred[t][:k]:
            if earlier.location == entry.location:
                return False
            if written(code[earlier.at]) & (sources(code[entry.at]) | written(code[entry.at])):
                return False
            if earlier.flagged and not isinstance(code[entry.at], Store):
                return False
        return True

    def _instruction(self, state: State, t: int, instruction: Instruction) -> Iterator[tuple[str, State]]:
        deferred = state.deferred[t]
        code = self._litmus.threads[t].code
        waiting = frozenset().union(*(written(code[d.at]) for d in deferred)) if deferred else frozenset()
        used = frozenset().union(*(sources(code[d.at]) for d in deferred)) if deferred else frozenset()
        forward = state._replace(at=_put(state.at, t, state.at[t] + 1))
        if written(instruction) & (waiting | used):
            return
        needed = sources(instruction) & waiting
        match instruction:
            case Jump(target):
                yield "", self._tidy(state._replace(at=_put(state.at, t, target)))
                return
            case Branch(condition, otherwise):
                if not needed:
                    value, _ = self._value(state, t, condition)
                    yield (
                        ("" if value else "false"),
                        self._tidy(forward if value else state._replace(at=_put(state.at, t, otherwise))),
                    )
                return
            case Assign(register, expr):
                if not needed:
                    value, view = self._value(state, t, expr)
                    yield "", self._tidy(self._with_register(forward, t, register, value, view))
                return
            case Fence(kind):
                yield from self._fence(forward, t, kind)
                return
        address = _address(instruction)
        if names(address) & waiting:
            return
        place, _ = self._value(state, t, address)
        if not isinstance(place, str):
            return  # a null pointer: nothing can be done with it
        location = self._number[place]
        if len(deferred) < self._defer and self._deferrable(instruction, t, state, bool(deferred)):
            entry = Deferred(state.at[t], location, False)
            yield "put off", self._tidy(forward._replace(deferred=_put(forward.deferred, t, (*deferred, entry))))
        if needed or any(d.location == location for d in deferred):
            return
        if deferred and _releases(instruction):
            return
        if any(d.flagged for d in deferred) and not isinstance(instruction, Store):
            return
        yield from self._access(forward, t, instruction, Deferred(state.at[t], location, False))

    def _deferrable(self, instruction: Instruction, t: int, state: State, behind: bool) -> bool:
        match instruction:
            case Load(order="once") | Update(order="relaxed", expected=None):
                later = self._litmus.threads[t].code[state.at[t] + 1 :]
                return any(isinstance(i, Store | Update | Lock) for i in later)
            case Store(order="once"):
                return behind
            case _:
                return False

    def _fence(self, state: State, t: int, kind: str) -> Iterator[tuple[str, State]]:
        deferred = state.deferred[t]
        code = self._litmus.threads[t].code
        work = Work(state.memory, t)
        match kind:
            case "mb":
                if deferred:
                    return
                work.mb()
            case "wmb":
                if any(not isinstance(code[d.at], Load) for d in deferred):
                    return
                work.wmb()
            case _:
                work.rmb()
                flagged = tuple(d._replace(flagged=d.flagged or not isinstance(code[d.at], Store)) for d in deferred)
                state = state._replace(deferred=_put(state.deferred, t, flagged))
        yield "", self._tidy(state._replace(memory=work.done()))

    def _access(self, state: State, t: int, instruction: Instruction, entry: Deferred) -> Iterator[tuple[str, State]]:
        """An access to memory is made; `state` is already behind it."""
        place = self._litmus.locations[entry.location]
        messages = state.memory.messages[entry.location]
        match instruction:
            case Load(register, address, order):
                _, floor = self._value(state, t, address)
                for i in Work(state.memory, t).readable(entry.location, floor[entry.location]):
                    work = Work(state.memory, t)
                    seen = work.load(entry.location, i, acquire=order == "acquire" or entry.flagged)
                    value = messages[i].value
                    assert isinstance(value, int | str)
                    after = self._with_register(
                        state._replace(memory=work.done()), t, register, value, join(seen, floor)
                    )
                    stale = "" if i == len(messages) - 1 else ", stale"
                    yield f"{place} is {value}{stale}", self._tidy(after)
            case Store(_, expr, order):
                value, _ = self._value(state, t, expr)
                for p in Work(state.memory, t).writable(entry.location):
                    work = Work(state.memory, t)
                    work.store(entry.location, p, value, release=order == "release")
                    note = "" if p == len(messages) else f"before {place} = {messages[p].value}"
                    yield note, self._tidy(_shifted(state, entry.location, p)._replace(memory=work.done()))
            case Lock(_, True):
                for i in Work(state.memory, t).updatable(entry.location):
                    if messages[i].value == 0:
                        work = Work(state.memory, t)
                        work.lock(entry.location, i, 1)
                        yield "", self._tidy(state._replace(memory=work.done()))
            case Lock(_, False):
                for p in Work(state.memory, t).writable(entry.location):
                    work = Work(state.memory, t)
                    work.store(entry.location, p, 0, release=True, unlock=True)
                    yield "", self._tidy(state._replace(memory=work.done()))
            case Update():
                yield from self._update(state, t, instruction, entry)

    def _update(self, state: State, t: int, instruction: Update, entry: Deferred) -> Iterator[tuple[str, State]]:
        order, register = instruction.order, instruction.register
        expected = None if instruction.expected is None else self._value(state, t, instruction.expected)[0]
        if expected is not None:  # one that fails is a relaxed load without fences
            for i in Work(state.memory, t).readable(entry.location):
                value = state.memory.messages[entry.location][i].value
                assert isinstance(value, int | str)
                if value != expected:
                    work = Work(state.memory, t)
                    seen = work.load(entry.location, i)
                    after = state._replace(memory=work.done())
                    if register is not None:
                        after = self._with_register(after, t, register, value, seen)
                    yield f"reads {value} and fails", self._tidy(after)
        before = Work(state.memory, t)
        if order == "full":
            before.mb()
        memory = before.done()
        for i in Work(memory, t).updatable(entry.location):
            old = memory.messages[entry.location][i].value
            assert isinstance(old, int | str)
            if expected is not None and old != expected:
                continue
            work = Work(memory, t)
            new = self._new(state, t, instruction.new, old)
            seen = work.update(
                entry.location, i, new, acquire=order == "acquire" or entry.flagged, release=order == "release"
            )
            if order == "full":
                work.mb()
            after = _shifted(state, entry.location, i + 1)._replace(memory=work.done())
            if register is not None:
                after = self._with_register(after, t, register, new if instruction.after else old, seen)
            yield f"{old} becomes {new}", self._tidy(after)

    # -- values

    def _value(self, state: State, t: int, expr: Expr) -> tuple[Word, View]:
        """The value of an expression, and the view that comes with the registers in it."""
        values: dict[str, Word] = {}
        view = self._zero
        for name, value, comes in state.registers[t]:
            if name in names(expr):
                values[name] = value
                view = join(view, comes)
        for name in names(expr) - values.keys():
            values[name] = name if name in self._number and name not in self._litmus.threads[t].registers else 0
        return evaluate(expr, values), view

    def _new(self, state: State, t: int, expr: Expr, old: Word) -> Word:
        values: dict[str, Word] = {name: value for name, value, _ in state.registers[t]}
        values[OLD] = old
        for name in names(expr) - values.keys():
            values[name] = name if name in self._number else 0
        return evaluate(expr, values)

    def _with_register(self, state: State, t: int, register: str, value: Word, view: View) -> State:
        if register == NOWHERE:
            return state
        kept = [r for r in state.registers[t] if r[0] != register]
        return state._replace(registers=_put(state.registers, t, tuple(sorted((*kept, (register, value, view))))))

    def _tidy(self, state: State) -> State:
        def needs(t: int) -> frozenset[int]:
            return self._needs[t][state.at[t]] | frozenset(d.location for d in state.deferred[t])

        work = Work(state.memory, 0)
        before = [len(m) for m in work.messages]
        self._cut = work.tidy(self._history, [needs(t) for t in range(len(self._litmus.threads))]) or self._cut
        drop = tuple(b - len(m) for b, m in zip(before, work.messages, strict=True))
        registers = state.registers
        if any(drop) or any(registers):
            registers = tuple(
                tuple((n, v, tuple(max(i - d, 0) for i, d in zip(view, drop, strict=True)) if needs(t) else self._zero)
                      for n, v, view in regs)
                for t, regs in enumerate(registers)
            )  # fmt: skip
        return state._replace(memory=work.done(), registers=registers)


def _shifted(state: State, location: int, p: int) -> State:
    """The registers after a message was put in."""
    return state._replace(registers=tuple(
        tuple((n, v, tuple(i + (k == location and i >= p) for k, i in enumerate(view))) for n, v, view in regs)
        for regs in state.registers
    ))  # fmt: skip


def _put(items: tuple[_T, ...], at: int, item: _T) -> tuple[_T, ...]:
    return (*items[:at], item, *items[at + 1 :])


def _address(instruction: Instruction) -> Expr:
    assert isinstance(instruction, Load | Store | Update | Lock)
    return instruction.address


def _releases(instruction: Instruction) -> bool:
    """Whether everything before an instruction must be done when it is made."""
    match instruction:
        case Store(order="release") | Update(order="release" | "full") | Lock(taking=False):
            return True
        case _:
            return False


def _needs(thread: Thread, number: Mapping[str, int]) -> list[frozenset[int]]:
    """For each point of a thread, the locations that it may access from there."""
    found = [frozenset[int]()]
    for instruction in reversed(thread.code):
        here = found[-1]
        if isinstance(instruction, Load | Store | Update | Lock):
            address = instruction.address
            if isinstance(address, Name) and address.name in number and address.name not in thread.registers:
                here = here | {number[address.name]}
            else:
                here = frozenset(number.values())
        found.append(here)
    return found[::-1]
