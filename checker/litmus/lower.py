"""A litmus test as a System: its threads and registers, with all its memory in one array.

Words, which are numbers and addresses, are numbered: the addresses first, so that an address is an index of the
array.  What can be where is found out beforehand, and what is computed with words becomes a choice among them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from itertools import product
from typing import Final

from checker.core import fold
from checker.core import system as y
from checker.lang.diagnostics import UserError
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
    Order,
    Store,
    Thread,
    Update,
    Word,
    names,
    sources,
    written,
)
from checker.litmus.values import evaluate
from checker.records import dataclass

_MEMORY: Final = "mem"
_PLACE: Final = "place"
_MOST: Final = 20_000  # combinations of words that are tried for one expression
_HOLDER: Final = y.Enum("holder", ("free", "process"))
_FENCES: Final = {"mb": "smp_mb", "wmb": "smp_wmb", "rmb": "smp_rmb"}

Domain = dict[tuple[int, str], frozenset[Word]]


@dataclass(frozen=True, slots=True)
class Lowered:
    """The System of a test, the words by number, and for each of its actions the thread and the instruction."""

    system: y.System
    words: tuple[Word, ...]
    origins: Mapping[str, tuple[int, int]]
    locks: frozenset[str]
    code: tuple[tuple[Instruction, ...], ...]


def register_name(thread: int, register: str) -> str:
    """The variable of a register."""
    return f"P{thread}.{register}"


def lock_name(location: str) -> str:
    """The variable of a lock."""
    return f"lock.{location}"


def lower(litmus: Litmus) -> Lowered:
    """The System of a litmus test."""
    return _Lowerer(replace(litmus, threads=tuple(sunk(t) for t in litmus.threads))).lowered()


class _Lowerer:
    def __init__(self, litmus: Litmus) -> None:
        self._litmus = litmus
        locks = [i.address for t in litmus.threads for i in t.code if isinstance(i, Lock)]
        self._locks = frozenset(a.name for a in locks if isinstance(a, Name))
        self._memory = {name: frozenset([value]) for name, value in litmus.first.items()}
        self._registers: Domain = {}
        for t, thread in enumerate(litmus.threads):
            for name in thread.registers:
                self._registers[t, name] = frozenset([litmus.registers.get((t, name), 0)])
        self._close()
        known = frozenset().union(*self._memory.values(), *self._registers.values(), {0, 1})
        numbers = sorted(w for w in known if isinstance(w, int))
        self._words: tuple[Word, ...] = (*litmus.locations, *numbers)
        self._number = {word: n for n, word in enumerate(self._words)}
        self._type = y.Int(0, len(self._words) - 1)
        self._origins: dict[str, tuple[int, int]] = {}

    # -- what can be where

    def _close(self) -> None:
        """Every word that a register or a location can hold: without loops, no chain is longer than the text."""
        for _ in range(sum(len(t.code) for t in self._litmus.threads) + 1):
            before = dict(self._memory), dict(self._registers)
            for t, thread in enumerate(self._litmus.threads):
                for instruction in thread.code:
                    self._step(t, instruction)
            if before == (self._memory, self._registers):
                return

    def _step(self, t: int, instruction: Instruction) -> None:
        match instruction:
            case Load(register, address, _):
                found = (self._memory[place] for place in self._places(t, address))
                self._may_hold(t, register, frozenset().union(*found))
            case Store(address, value, _):
                for place in self._places(t, address):
                    self._memory[place] |= self._values(t, value)
            case Update(register, address, new, _, after, _):
                for place in self._places(t, address):
                    old = self._memory[place]
                    made = self._values(t, new, old)
                    self._memory[place] |= made
                    self._may_hold(t, register or NOWHERE, made if after else old)
            case Assign(register, value):
                self._may_hold(t, register, self._values(t, value))
            case _:
                pass

    def _may_hold(self, t: int, register: str, found: frozenset[Word]) -> None:
        if register != NOWHERE:
            self._registers[t, register] = self._registers.get((t, register), frozenset([0])) | found

    def _domains(self, t: int, expr: Expr, old: frozenset[Word]) -> dict[str, list[Word]]:
        """What each name in an expression can be."""
        found: dict[str, list[Word]] = {}
        for name in sorted(names(expr)):
            if name == OLD:
                values: frozenset[Word] = old
            elif (t, name) in self._registers:
                values = self._registers[t, name]
            else:
                values = frozenset([name if name in self._litmus.first else 0])
            found[name] = sorted(values, key=lambda w: (isinstance(w, str), w))
        return found

    def _values(self, t: int, expr: Expr, old: frozenset[Word] = frozenset()) -> frozenset[Word]:
        domains = self._domains(t, expr, old)
        count = 1
        for values in domains.values():
            count *= len(values)
        if count > _MOST:
            raise UserError.of("LZ101", f"{self._litmus.name}: an expression can have too many values")
        return frozenset(evaluate(expr, dict(zip(domains, words, strict=True))) for words in product(*domains.values()))

    def _places(self, t: int, address: Expr) -> list[str]:
        return [word for word in self._values(t, address) if isinstance(word, str)]

    # -- the System

    def lowered(self) -> Lowered:
        """The System, and what leads back from it."""
        litmus = self._litmus
        places = y.Sort(_PLACE, 0, statics=litmus.locations)
        index = y.Param("i0", _PLACE)
        first: y.Expr = self._literal(0)
        for name in litmus.locations:
            first = fold.ite(fold.eq(index, y.Static(_PLACE, name)), self._literal(litmus.first[name]), first)
        variables = [y.Var(_MEMORY, (_PLACE,), self._type, first, y.Storage.MEMORY)]
        for name in sorted(self._locks):
            held = y.Lit(int(litmus.first[name] != 0), _HOLDER)
            variables.append(y.Var(lock_name(name), (), _HOLDER, held, y.Storage.MEMORY))
        threads, actions = [], list[y.Action]()
        for t, thread in enumerate(litmus.threads):
            pc = f"P{t}.pc"
            last = len(thread.code)
            start = _target(thread.code, 0)
            at = tuple(y.Location(text) for text in (*thread.texts, "end"))
            threads.append(y.Thread(f"P{t}", y.ThreadKind.THREAD, (), pc, at, start, frozenset({last})))
            variables.append(y.Var(pc, (), y.Int(0, last), y.Lit(start, y.Int(0, last)), y.Storage.CONTROL))
            for (of, name), _ in sorted(self._registers.items()):
                if of == t:
                    init = self._literal(litmus.registers.get((t, name), 0))
                    variables.append(y.Var(register_name(t, name), (), self._type, init, y.Storage.LOCAL))
            for number, instruction in enumerate(thread.code):
                for action in self._actions(t, number, instruction):
                    action = replace(action, name=f"P{t}:{number}:{len(actions)}", label=thread.texts[number])
                    self._origins[action.name] = t, number
                    actions.append(action)
        system = y.System(
            litmus.name, (places,), tuple(variables), tuple(threads), tuple(actions), (), memory_model="weak"
        )  # fmt: skip
        code = tuple(thread.code for thread in litmus.threads)
        return Lowered(system, self._words, self._origins, self._locks, code)

    def _literal(self, word: Word) -> y.Expr:
        # every word that is ever made is known; one that is not comes from words that never meet
        return y.Lit(self._number.get(word, 0), self._type)

    def _register(self, t: int, name: str) -> y.Expr:
        return y.Read(register_name(t, name), (), self._type)

    def _value(self, t: int, expr: Expr, old: y.Expr | None = None, olds: frozenset[Word] = frozenset()) -> y.Expr:
        """An expression over words, as the choice among all that it can be."""
        domains = self._domains(t, expr, olds)

        def choose(rest: list[str], values: dict[str, Word]) -> y.Expr:
            if not rest:
                return self._literal(evaluate(expr, values))
            name, *others = rest
            if not is_register(name):
                return choose(others, {**values, name: domains[name][0]})
            holds = old if name == OLD and old is not None else self._register(t, name)
            words = domains[name]
            found = choose(others, {**values, name: words[-1]})
            for word in words[-2::-1] if len(words) > 1 else words:  # a register is used even if it makes no difference
                same = y.Op("eq", (holds, self._literal(word)))
                found = y.Op("ite", (same, choose(others, {**values, name: word}), found), self._type)
            return found

        def is_register(name: str) -> bool:
            return name == OLD or (t, name) in self._registers

        if isinstance(expr, Name) and is_register(expr.name):
            return old if expr.name == OLD and old is not None else self._register(t, expr.name)
        return choose(list(domains), {})

    def _actions(self, t: int, number: int, instruction: Instruction) -> Iterator[y.Action]:
        code = self._litmus.threads[t].code
        to = _target(code, number + 1)
        match instruction:
            case Jump():
                return
            case Branch(condition, otherwise):
                zero = y.Op("eq", (self._value(t, condition), self._literal(0)))
                yield _action(t, number, to, (fold.not_(zero),))
                yield _action(t, number, _target(code, otherwise), (zero,))
            case Assign(register, value):
                yield _action(t, number, to, (), (y.Update(register_name(t, register), (), self._value(t, value)),))
            case Fence(kind):
                yield _action(t, number, to, (), (), (y.Fence(_FENCES[kind]),))
            case Load(register, address, order):
                yield self._load(t, number, to, register, address, order)
            case Store(address, value, order):
                guard, place = self._address(t, address)
                stored = y.Update(_MEMORY, (place,), self._value(t, value))
                yield _action(t, number, to, guard, (stored,), (y.Access("write", _MEMORY, (place,), order),))
            case Lock(address, taking):
                yield self._lock(t, number, to, address, taking=taking)
            case Update():
                yield from self._update(t, number, to, instruction)

    def _load(self, t: int, number: int, to: int, register: str, address: Expr, order: Order) -> y.Action:
        guard: tuple[y.Expr, ...] = ()
        if isinstance(address, Name) and address.name in self._locks:  # spin_is_locked()
            lock = y.Read(lock_name(address.name), (), _HOLDER)
            read: y.Expr = fold.ite(fold.eq(lock, y.Lit(0, _HOLDER)), self._literal(0), self._literal(1))
            access = y.Access("read", lock_name(address.name), (), order)
        else:
            guard, place = self._address(t, address)
            read = y.Read(_MEMORY, (place,), self._type)
            access = y.Access("read", _MEMORY, (place,), order)
        updates = () if register == NOWHERE else (y.Update(register_name(t, register), (), read),)
        return _action(t, number, to, guard, updates, (access,))

    def _lock(self, t: int, number: int, to: int, address: Expr, *, taking: bool) -> y.Action:
        if not isinstance(address, Name) or address.name not in self._locks:
            raise UserError.of("LZ101", f"{self._litmus.name}: a lock behind a pointer is not supported")
        name = lock_name(address.name)
        made = y.Update(name, (), y.Lit(int(taking), _HOLDER))
        if not taking:
            return _action(t, number, to, (), (made,), (y.Access("write", name, (), "release"),))
        free = fold.eq(y.Read(name, (), _HOLDER), y.Lit(0, _HOLDER))
        return _action(t, number, to, (free,), (made,), (y.Access("rmw", name, (), "acquire"),))

    def _update(self, t: int, number: int, to: int, update: Update) -> Iterator[y.Action]:
        guard, place = self._address(t, update.address)
        old = y.Read(_MEMORY, (place,), self._type)
        olds = frozenset[Word]().union(*(self._memory[p] for p in self._places(t, update.address)))
        new = self._value(t, update.new, old, olds)
        access = (y.Access("rmw", _MEMORY, (place,), update.order),)
        kept = update.register is not None and update.register != NOWHERE
        into = (y.Update(register_name(t, update.register), (), new if update.after else old),) if kept and \
            update.register is not None else ()  # fmt: skip
        made = (*into, y.Update(_MEMORY, (place,), new))
        if update.expected is None:
            yield _action(t, number, to, guard, made, access)
            return
        same = y.Op("eq", (old, self._value(t, update.expected)))
        yield _action(t, number, to, (*guard, same), made, access)
        yield _action(t, number, to, (*guard, fold.not_(same)), into, access)

    def _address(self, t: int, address: Expr) -> tuple[tuple[y.Expr, ...], y.Expr]:
        """The place that an address means, where it is one: with a null pointer nothing can be done."""
        value = self._value(t, address)
        count = len(self._litmus.locations)
        if isinstance(value, y.Lit):
            word = self._words[int(value.value)] if not isinstance(value.value, tuple) else 0
            return (
                ((), y.Static(_PLACE, word)) if isinstance(word, str) else ((y.FALSE,), y.Static(_PLACE, self._first))
            )
        if all(isinstance(word, str) for word in self._values(t, address)):
            return (), value
        return (fold.compare("lt", value, y.Lit(count, self._type)),), value

    @property
    def _first(self) -> str:
        return self._litmus.locations[0]


def _action(
    t: int, at: int, to: int, guard: tuple[y.Expr, ...], updates: tuple[y.Update, ...] = (),
    memory: tuple[y.Access | y.Fence, ...] = (),
) -> y.Action:  # fmt: skip
    return y.Action("", f"P{t}", (), (), None, at, to, guard, updates, memory=memory)


def _target(code: tuple[Instruction, ...], at: int) -> int:
    """Where a thread goes on, jumps followed."""
    while at < len(code) and isinstance(jump := code[at], Jump):
        at = jump.target
    return at


def sunk(thread: Thread) -> Thread:
    """The thread with computations moved down to where their results are used: until then they hold nothing back."""
    code, texts = list(thread.code), list(thread.texts)
    targets = {i.target if isinstance(i, Jump) else i.otherwise for i in code if isinstance(i, Jump | Branch)}
    for start in reversed(range(len(code))):
        at = start
        while isinstance(here := code[at], Assign) and at + 1 < len(code) and at + 1 not in targets:
            after = code[at + 1]
            touched = written(after) | sources(after)
            if isinstance(after, Jump | Branch) or here.register in touched or written(after) & sources(here):
                break
            code[at : at + 2], texts[at : at + 2] = [after, here], [texts[at + 1], texts[at]]
            at += 1
    return Thread(tuple(code), tuple(texts), thread.registers)
