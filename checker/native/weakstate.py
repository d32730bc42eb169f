"""States of the weak memory model, as the native engine writes them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from checker.core.instance import State
from checker.core.memory.views import Agent, Deferred, Memory, Message, View
from checker.core.system import Value
from checker.native.layout import WORD
from checker.native.weak import LATE_BITS, WeakModel


class _Bits:
    def __init__(self, whole: int) -> None:
        self._left = whole

    def take(self, count: int) -> int:
        found = self._left & ((1 << count) - 1)
        self._left >>= count
        return found


def memory_of(model: WeakModel, state: State, extra: Sequence[int]) -> Memory:
    """The messages and views of a state, from the words behind the packed one; see runtime/weakbits.h."""
    program = model.program
    bits = _Bits(sum(word << (WORD * n) for n, word in enumerate(extra)))
    entry = (model.history - 1).bit_length()
    counts = [bits.take(entry) + 1 for _ in range(max(len(model.masks), 1))]
    several = [n for n, count in enumerate(counts) if count > 1]
    zero = (0,) * len(model.masks)

    def view() -> View:
        found = list(zero)
        for n in several:
            found[n] = bits.take(entry)
        return tuple(found)

    def some() -> View:
        return view() if several and bits.take(1) else zero

    def like(other: View) -> View:
        return some() if several and bits.take(1) else other

    messages: list[tuple[Message, ...]] = []
    for n in range(len(model.masks)):
        here: list[Message] = []
        for i in range(counts[n]):
            cf, fv = (some(), some()) if several and bits.take(1) else (zero, zero)
            ownv = view() if n in program.locks and bits.take(1) else None
            depends = bool(several and program.registers.count and bits.take(1))
            dep = (bits.take(6), view()) if depends else None
            last = i == counts[n] - 1
            att = not last and bool(bits.take(1))
            here.append(Message(program.value(state, n) if last else _older(model, n, bits), cf, fv, ownv, att, dep))
        messages.append(tuple(here))
    barriers = some()
    agents = []
    for _ in program.agents:
        acq = like(barriers)
        cur = like(acq)
        own = like(cur)
        wmb = like(own)
        f = like(wmb)
        unlocked = bool(program.locks) and bits.take(1)
        ul_acq, ul_own = (some(), some()) if unlocked else (None, None)
        agents.append(Agent(cur, acq, wmb, own, f, ul_acq, ul_own))
    registers = tuple(some() for _ in range(program.registers.count))
    deferred = tuple(tuple(_deferred(model, bits)) for _ in program.agents)
    return Memory(tuple(messages), barriers, tuple(agents), registers, deferred)


def _older(model: WeakModel, location: int, bits: _Bits) -> tuple[Value, ...]:
    whole = 0
    for word, mask in model.masks[location].items():
        for shift, count in _runs(mask):
            whole |= bits.take(count) << (word * WORD + shift)
    found = []
    for slot in model.program.slots_of[location]:
        var, index = model.instance.slots[slot]
        found.append(model.layout.decode(var.type, model.layout.field(var.name, index), whole))
    return tuple(found)


def _deferred(model: WeakModel, bits: _Bits) -> Iterator[Deferred]:
    for _ in range(bits.take(model.defer.bit_length())):
        rule = model.late[bits.take(LATE_BITS)]
        location = bits.take(6) - 1
        yield Deferred(rule, location, bool(bits.take(1)))


def _runs(mask: int) -> Iterator[tuple[int, int]]:
    """Where the runs of ones in a mask begin, and how long they are."""
    shift = 0
    while mask >> shift:
        if mask >> shift & 1:
            count = 1
            while mask >> (shift + count) & 1:
                count += 1
            yield shift, count
            shift += count
        else:
            shift += 1
