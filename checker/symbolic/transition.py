"""The step of an Instance as one formula over a state and its successor.

The formula is written once, over template variables; each further step of a
search is a copy with other variables, which Z3 makes itself.
"""

from __future__ import annotations

from collections.abc import Iterator
from collections.abc import Sequence as Places
from typing import Any

import z3

from checker.core.instance import Instance, State
from checker.core.path import Choice
from checker.core.system import Action, Bool, Gen, Int, Lit, Seq, Thread, ThreadKind, Type, Update, Value
from checker.core.unbounded import is_unbounded
from checker.records import dataclass
from checker.symbolic.expressions import Translator, literal
from checker.symbolic.terms import (
    Cond,
    Finite,
    Number,
    Sequence,
    Term,
    as_number,
    both,
    either,
    equal,
    implied,
    merged,
    negated,
    same,
    same_truth,
)

__all__ = ["Ground", "Step", "Symbols", "same_state", "slot_is", "symbols"]


# -- states ------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Symbols:
    """A symbolic state: a term for each slot, and all Z3 variables that it is made of."""

    terms: tuple[Term, ...]
    variables: tuple[Any, ...]

    def well_formed(self) -> Cond:
        """That each finite value is one of its cases."""
        return both(c for term in self.terms for c in _one_case(term))

    def value(self, model: z3.ModelRef, slot: int) -> Value:
        """What a model of Z3 says of a slot."""
        return _value(model, self.terms[slot])

    def state(self, model: z3.ModelRef) -> State:
        """What a model of Z3 says of the whole state."""
        return tuple(_value(model, term) for term in self.terms)


def symbols(instance: Instance, name: str) -> Symbols:
    """A state of fresh variables."""
    made: list[Any] = []

    def truth(label: str) -> Any:
        made.append(z3.Bool(label))
        return made[-1]

    def finite(values: list[int], label: str) -> Finite:
        if len(values) == 1:
            return Finite({values[0]: True})
        return Finite({value: truth(f"{label}={value}") for value in values})

    def term(type_: Type, label: str) -> Term:
        match type_:
            case Bool():
                return truth(label)
            case Gen() | Int() if isinstance(type_, Gen) or is_unbounded(type_):
                made.append(z3.Int(label))
                return Number(made[-1])
            case Seq(element, capacity):
                length = finite(list(range(capacity + 1)), f"{label}.len")
                values = [int(v) for v in instance.values(element) if not isinstance(v, tuple)]
                return Sequence(length, tuple(finite(values, f"{label}.{n}") for n in range(capacity)))
            case _:
                return finite([int(v) for v in instance.values(type_) if not isinstance(v, tuple)], label)

    terms = tuple(term(var.type, f"{name}:{var.name}{list(index)}") for var, index in instance.slots)
    return Symbols(terms, tuple(made))


def same_state(instance: Instance, terms: Places[Term], state: State) -> Cond:
    """That a symbolic state is a given one."""
    return both(
        condition
        for term, value, (var, _) in zip(terms, state, instance.slots, strict=True)
        for condition in _becomes(term, literal(value, var.type), True)
    )


def slot_is(instance: Instance, symbols: Symbols, slot: int, value: Value) -> Cond:
    """That a slot of a symbolic state has a value."""
    var, _ = instance.slots[slot]
    return equal(symbols.terms[slot], literal(value, var.type))


def _one_case(term: Term) -> Iterator[Cond]:
    match term:
        case Finite(cases):
            if len(cases) > 1:
                yield either(cases.values())
                yield z3.AtMost(*cases.values(), 1)
        case Sequence(length, items):
            for part in (length, *items):
                yield from _one_case(part)
        case Number(value):
            yield value >= 0
        case _:
            pass


def _value(model: z3.ModelRef, term: Term) -> Value:
    match term:
        case Finite(cases):
            return next(value for value, when in cases.items() if when is True or _holds(model, when))
        case Sequence(length, items):
            count = _value(model, length)
            assert isinstance(count, int)
            return tuple(int(v) for v in (_value(model, i) for i in items[:count]) if not isinstance(v, tuple))
        case Number(value):
            return int(model.eval(value, model_completion=True).as_long())
        case _:
            return term if isinstance(term, bool) else _holds(model, term)


def _holds(model: z3.ModelRef, condition: Cond) -> bool:
    return bool(z3.is_true(model.eval(condition, model_completion=True)))


# -- actions -----------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Ground:
    """An action with its parameters given: when it can be taken, and the Z3 variable that says that it is."""

    choice: Choice
    action: Action
    guard: Cond
    taken: Any


class Step:
    """All steps of an instance, over a template state and its successor."""

    def __init__(self, instance: Instance) -> None:
        self.instance = instance
        self.before = symbols(instance, "s")
        self.after = symbols(instance, "t")
        self._translator = Translator(instance, self.before.terms)
        self.grounds = tuple(self._ground())
        self.moves = tuple(g for g in self.grounds if g.action.fault is None)
        self.faults = tuple(g for g in self.grounds if g.action.fault is not None)
        self.formula = both(self._formulas())

    @property
    def variables(self) -> tuple[Any, ...]:
        """All template variables: before, after, and which step is taken."""
        return (*self.before.variables, *self.after.variables, *(g.taken for g in self.moves))

    def fault(self, property: str) -> Cond:
        """That a fault can happen in the state before."""
        return either(
            g.guard for g in self.faults if g.action.fault is not None and g.action.fault.property == property
        )

    def stuck(self) -> Cond:
        """That nothing can happen in the state before, and that it is no end."""
        return both((*(negated(g.guard) for g in self.grounds), negated(self._final())))

    def truth(self, expr: Any) -> Cond:
        """That a property's expression is true, over the state before (and after, for step properties)."""
        return Translator(self.instance, self.before.terms, self.after.terms).truth(expr)

    # -- building

    def _ground(self) -> Iterator[Ground]:
        for number, action in enumerate(self.instance.system.actions):
            for args in self.instance.tuples(tuple(p.sort for p in action.params)):
                env = {p.name: a for p, a in zip(action.params, args, strict=True)}
                guard = self._guard(action, env)
                if guard is not False:
                    yield Ground(Choice(action.name, args), action, guard, z3.Bool(f"a{number}{list(args)}"))

    def _guard(self, action: Action, env: dict[str, int]) -> Cond:
        pc = self.instance.thread(action.thread).pc
        at = []
        for when, slot in self._translator.places(pc, action.self, env):
            place = self.before.terms[slot]
            assert isinstance(place, Finite)
            at.append(both((when, place.cases.get(action.at, False))))
        parts: list[Cond] = [either(at)]
        for conjunct in action.guard:
            if parts[-1] is False:
                return False
            parts.append(self._translator.truth(conjunct, env))
        return both(parts)

    def _formulas(self) -> Iterator[Cond]:
        """Exactly one move is taken, it can be taken, and the state after it is what it makes of the one before."""
        yield either(g.taken for g in self.moves)
        if len(self.moves) > 1:
            yield z3.AtMost(*(g.taken for g in self.moves), 1)
        written: dict[int, list[tuple[Any, Term]]] = {}
        self.meaning: list[Cond] = []
        for g in self.moves:
            if g.guard is not True:
                yield implied(g.taken, g.guard)
            for slot, term in self._writes(g).items():
                written.setdefault(slot, []).append((g.taken, term))
        for slot, (before, after) in enumerate(zip(self.before.terms, self.after.terms, strict=True)):
            changes = written.get(slot, [])
            kept = negated(either(taken for taken, _ in changes)) if changes else True
            yield from _becomes(after, before, kept)
            for taken, term in changes:
                yield from _becomes(after, term, taken)
        yield from self.meaning  # that every read and write of the move has a place: no question in reachable states

    def _writes(self, ground: Ground) -> dict[int, Term]:
        """The slots that a move writes, with their new values; where it writes under a condition, the old one else."""
        env = {p.name: a for p, a in zip(ground.action.params, ground.choice.args, strict=True)}
        pc = self.instance.thread(ground.action.thread).pc
        at = Lit(ground.action.to, self.instance.var(pc).type)
        updates = (*ground.action.updates, Update(pc, ground.action.self, at))
        made: dict[int, Term] = {}
        for update in updates:
            for elements in self.instance.tuples(tuple(b.sort for b in update.binders)):
                bound = {**env, **{b.name: e for b, e in zip(update.binders, elements, strict=True)}}
                where = self._translator.truth(update.where, bound)
                if where is False:
                    continue
                found = self._translator.valued(update.value, bound)
                value = found.term
                meant = [found.defined, *self._translator.defined(update.index, bound)]
                self.meaning.append(implied(both((ground.taken, where)), both(meant)))
                for when, slot in self._translator.places(update.var, update.index, bound):
                    condition = both((where, when))
                    old = made.get(slot, self.before.terms[slot])
                    made[slot] = merged([(condition, value), (negated(condition), old)])
        return made

    def _final(self) -> Cond:
        final = self.instance.system.final
        ended = both(
            either(when for place, when in self._pc(thread, index) if place in _resting(thread))
            for thread in self.instance.system.threads
            if thread.kind is not ThreadKind.HARDWARE
            for index in self.instance.tuples(thread.index)
        )
        return ended if final is None else either((ended, self._translator.truth(final)))

    def _pc(self, thread: Thread, index: tuple[int, ...]) -> list[tuple[int, Cond]]:
        term = self.before.terms[self.instance.slot(thread.pc, index)]
        assert isinstance(term, Finite)
        return list(term.cases.items())


def _resting(thread: Thread) -> frozenset[int]:
    if thread.kind in (ThreadKind.INTERRUPT, ThreadKind.NMI):
        return frozenset({thread.start})
    return thread.ended


def _becomes(after: Term, value: Term, when: Cond) -> Iterator[Cond]:
    """That `after` has a value, under a condition."""
    match after, value:
        case Finite(), Finite():
            for case, now in after.cases.items():
                then = value.cases.get(case, False)
                if now is not True:
                    yield implied(when, same(now, then))
            # from states that nobody reaches a step might leave the type: that is no step
            yield from (implied(when, negated(c)) for case, c in value.cases.items() if case not in after.cases)
        case Sequence(), Sequence():
            yield from _becomes(after.length, value.length, when)
            for n, item in enumerate(after.items):  # what stands beyond the length is fixed, whatever it is
                if n < len(value.items):
                    yield from _becomes(item, value.items[n], when)
                else:
                    first = min(item.cases)
                    yield from _becomes(item, Finite({first: True}), when)
        case Number(), _:
            yield implied(when, after.value == as_number(value))
        case Finite(), Number():
            for case, now in after.cases.items():
                yield implied(when, same_truth(now, value.value == case))
            yield implied(when, either(value.value == case for case in after.cases))
        case _:
            yield implied(when, same(after, value))
