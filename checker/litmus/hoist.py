"""Stores that stand behind an `if` and do not depend on it.

A control dependency reaches the stores inside an `if` and none behind it, so such a store may be made before
what the condition has read.  The machine makes accesses in the order of the text but for those that it puts off, and
a condition does not wait: here are the texts in which such stores have been moved in front of the `if`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import product

from checker.litmus.program import Assign, Branch, Instruction, Jump, Litmus, Load, Name, Store, Thread, names

_MOST = 16


def hoisted(litmus: Litmus) -> Iterator[Litmus]:
    """The test, and with it the tests that differ in where stores behind an `if` stand."""
    variants = [[thread, *_moved(thread)] for thread in litmus.threads]
    for number, threads in enumerate(product(*variants)):
        if number == _MOST:
            return
        yield replace(litmus, threads=threads)


def _moved(thread: Thread) -> Iterator[Thread]:
    """The thread with all stores moved that can be, if there are any."""
    moved = thread
    for at in range(len(thread.code)):
        to = _earliest(moved.code, at)
        if to < at and any(isinstance(i, Branch) for i in moved.code[to:at]):
            moved = _with_moved(moved, at, to)
    if moved is not thread:
        yield moved


def _earliest(code: tuple[Instruction, ...], at: int) -> int:
    """How far up a store can go: to in front of an `if` that it stands behind."""
    store = code[at]
    if not isinstance(store, Store) or store.order != "once" or not isinstance(store.address, Name):
        return at
    to = best = at
    while to > 0 and _passes(store, code[to - 1]):
        to -= 1
        if isinstance(code[to], Branch) and _closed(code, to, at):
            best = to
    return best


def _passes(store: Store, other: Instruction) -> bool:
    """Whether nothing keeps a store behind another instruction."""
    assert isinstance(store.address, Name)
    match other:
        case Load(register, Name(place), "once"):
            return place != store.address.name and register not in names(store.value)
        case Store(Name(place), _, "once"):
            return place != store.address.name
        case Assign(register, _):
            return register not in names(store.value)
        case Branch() | Jump():
            return True
        case _:
            return False


def _closed(code: tuple[Instruction, ...], first: int, end: int) -> bool:
    """Whether all ways through [first, end) come in at its beginning and go out at its end."""
    for number, instruction in enumerate(code):
        if isinstance(instruction, Jump | Branch):
            target = instruction.target if isinstance(instruction, Jump) else instruction.otherwise
            inside = first <= number < end
            if (inside and target > end) or (not inside and first < target <= end):
                return False
    return True


def _with_moved(thread: Thread, at: int, to: int) -> Thread:
    """The thread with the instruction at one place moved up to another."""

    def now(target: int) -> int:
        return target + 1 if to < target <= at else target

    code: list[Instruction] = []
    for instruction in thread.code:
        match instruction:
            case Jump(target):
                code.append(Jump(now(target)))
            case Branch(condition, otherwise):
                code.append(Branch(condition, now(otherwise)))
            case _:
                code.append(instruction)
    texts = list(thread.texts)
    code.insert(to, code.pop(at))
    texts.insert(to, texts.pop(at))
    return Thread(tuple(code), tuple(texts), thread.registers)
