"""What a System means.

This module is the reference that every engine is held against: which states come
first, which choices a state allows and what a choice leads to.  It is written
to be read, not to be fast, and knows nothing of search, hashing or solvers.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import product
from typing import assert_never

from checker.core.instance import Instance, State
from checker.core.path import Choice
from checker.core.system import (
    NULL,
    Action,
    At,
    Expr,
    GenFamily,
    Lit,
    Next,
    Null,
    Op,
    Param,
    Quant,
    Read,
    Static,
    ThreadKind,
    Update,
    Value,
)

Env = Mapping[str, int]
"""The elements that parameters and bound variables stand for."""


class SetupFault(Exception):
    """An initial state cannot be made: the setup runs into the fault of `action`."""

    def __init__(self, action: Action) -> None:
        assert action.fault is not None
        self.action = action
        super().__init__(action.fault.message)


class UndefinedRead(Exception):
    """`null` was used as an index of `var`, or an index lies outside the sequence in it.

    The front end guards the reads of actions, so only a property can run into this;
    a property without a value in a state is violated there.
    """

    def __init__(self, var: str, *, sequence: bool = False) -> None:
        self.var = var
        super().__init__(f"index outside {var}" if sequence else f"null used as an index of {var}")


# -- expressions -------------------------------------------------------------


def evaluate(instance: Instance, expr: Expr, state: State, env: Env, successor: State | None = None) -> Value:
    """The value of `expr` in `state`; `successor` is what `Next` looks at.

    Raises UndefinedRead where the expression has no value.
    """

    def value(part: Expr) -> Value:
        return evaluate(instance, part, state, env, successor)

    match expr:
        case Lit(constant):
            return constant
        case Static(sort, name):
            return instance.sort(sort).statics.index(name)
        case Null():
            return NULL
        case Param(name):
            return env[name]
        case Read(var, index):
            return state[_slot(instance, var, tuple(_int(value(i)) for i in index))]
        case At(thread, index, locations):
            pc = instance.thread(thread).pc
            return state[_slot(instance, pc, tuple(_int(value(i)) for i in index))] in locations
        case Next(body):
            if successor is None:
                raise ValueError("there is no next state here")
            return evaluate(instance, body, successor, env)
        case Quant(kind, name, sort, body):
            cases = (
                bool(evaluate(instance, body, state, {**env, name: element}, successor))
                for element in instance.elements(sort)
            )
            match kind:
                case "forall":
                    return all(cases)
                case "exists":
                    return any(cases)
                case "count":
                    return sum(cases)
                case _:
                    assert_never(kind)
        case Op(operator, args):
            match operator:
                case "not":
                    return not value(args[0])
                case "and":
                    return all(value(arg) for arg in args)
                case "or":
                    return any(value(arg) for arg in args)
                case "implies":
                    return not value(args[0]) or bool(value(args[1]))
                case "ite":
                    return value(args[1]) if value(args[0]) else value(args[2])
                case "eq":
                    return value(args[0]) == value(args[1])
                case "ne":
                    return value(args[0]) != value(args[1])
                case "lt":
                    return _int(value(args[0])) < _int(value(args[1]))
                case "le":
                    return _int(value(args[0])) <= _int(value(args[1]))
                case "gt":
                    return _int(value(args[0])) > _int(value(args[1]))
                case "ge":
                    return _int(value(args[0])) >= _int(value(args[1]))
                case "add":
                    return _int(value(args[0])) + _int(value(args[1]))
                case "sub":
                    return _int(value(args[0])) - _int(value(args[1]))
                case "neg":
                    return -_int(value(args[0]))
                case "len":
                    return len(_seq(value(args[0])))
                case "get":
                    items, position = _seq(value(args[0])), _int(value(args[1]))
                    if not 0 <= position < len(items):
                        raise UndefinedRead(args[0].var if isinstance(args[0], Read) else "a sequence", sequence=True)
                    return items[position]
                case "push":
                    return (*_seq(value(args[0])), _int(value(args[1])))
                case "tail":
                    return _seq(value(args[0]))[1:]
                case "contains":
                    items = _seq(value(args[0]))
                    return _int(value(args[1])) in items
                case _:
                    assert_never(operator)
        case _:
            assert_never(expr)


def holds(instance: Instance, expr: Expr, state: State, successor: State | None = None) -> bool:
    """Whether a property's expression is true; one without a value is not."""
    try:
        return bool(evaluate(instance, expr, state, {}, successor))
    except UndefinedRead:
        return False


def _slot(instance: Instance, var: str, index: tuple[int, ...]) -> int:
    if NULL in index:
        raise UndefinedRead(var)
    return instance.slot(var, index)


def _int(value: Value) -> int:
    assert not isinstance(value, tuple)
    return value


def _seq(value: Value) -> tuple[int, ...]:
    assert isinstance(value, tuple)
    return value


# -- states and steps --------------------------------------------------------


def initial_states(instance: Instance) -> Iterator[State]:
    """The states that a run may begin with, in a fixed order, each once.

    Raises ValueError where a generation is to begin with any value at all, and SetupFault
    where the setup itself is at fault.
    """
    seen: set[State] = set()
    for valuation in _valuations(instance):
        for state in _set_up(instance, valuation) if instance.system.setup else (valuation,):
            first = canonical(instance, state)
            if first not in seen:
                seen.add(first)
                yield first


def _valuations(instance: Instance) -> Iterator[State]:
    """What the first values of the variables allow."""
    candidates: list[tuple[Value, ...]] = []
    for var, index in instance.slots:
        if var.init is None:
            candidates.append(tuple(instance.values(var.type)))
        else:
            env = {param.name: element for param, element in zip(var.index_params(), index, strict=True)}
            candidates.append((evaluate(instance, var.init, (), env),))
    for state in product(*candidates):
        if all(holds(instance, expr, state) for expr in instance.system.initial):
            yield state


def _set_up(instance: Instance, valuation: State) -> Iterator[State]:
    """What the setup makes of a valuation: any one of its actions that can be taken."""
    for action in instance.system.setup:
        for args in instance.tuples(tuple(param.sort for param in action.params)):
            env = environment(action, Choice(action.name, args))
            if all(evaluate(instance, conjunct, valuation, env) for conjunct in action.guard):
                if action.fault is not None:
                    raise SetupFault(action)
                yield _updated(instance, action, valuation, env)


def enabled(instance: Instance, state: State) -> Iterator[Choice]:
    """All choices that a state allows: actions in the System's order, arguments in lexicographic order.

    A choice whose action has a fault is an error to be able to make, and is not to be applied.
    """
    for action in instance.system.actions:
        for args in instance.tuples(tuple(param.sort for param in action.params)):
            choice = Choice(action.name, args)
            if is_enabled(instance, state, choice):
                yield choice


def is_enabled(instance: Instance, state: State, choice: Choice) -> bool:
    """Whether a state allows a choice."""
    action = instance.action(choice.action)
    env = environment(action, choice)
    itself = thread_instance(instance, state, choice)
    if NULL in itself:
        return False  # nobody is there to take the step
    if state[instance.slot(instance.thread(action.thread).pc, itself)] != action.at:
        return False
    return all(evaluate(instance, conjunct, state, env) for conjunct in action.guard)


def apply(instance: Instance, state: State, choice: Choice) -> State:
    """The state that a choice leads to; the choice must be enabled and without a fault."""
    action = instance.action(choice.action)
    env = environment(action, choice)
    successor = list(_updated(instance, action, state, env))
    pc = instance.thread(action.thread).pc
    successor[instance.slot(pc, thread_instance(instance, state, choice))] = action.to
    return canonical(instance, tuple(successor))


def _updated(instance: Instance, action: Action, state: State, env: Env) -> State:
    """A state with the updates of an action made."""
    successor = list(state)
    for update in action.updates:
        for slot, value in _writes(instance, update, state, env):
            successor[slot] = value
    return tuple(successor)


def _writes(instance: Instance, update: Update, state: State, env: Env) -> Iterator[tuple[int, Value]]:
    """The slots that an update writes and their new values, all computed in the old state."""
    for elements in instance.tuples(tuple(binder.sort for binder in update.binders)):
        bound = {**env, **{binder.name: e for binder, e in zip(update.binders, elements, strict=True)}}
        if evaluate(instance, update.where, state, bound):
            index = tuple(_int(evaluate(instance, i, state, bound)) for i in update.index)
            yield _slot(instance, update.var, index), evaluate(instance, update.value, state, bound)


def environment(action: Action, choice: Choice) -> dict[str, int]:
    """What the parameters of an action stand for under a choice of it."""
    return {param.name: element for param, element in zip(action.params, choice.args, strict=True)}


def thread_instance(instance: Instance, state: State, choice: Choice) -> tuple[int, ...]:
    """The index of the thread instance that takes the step (with a null in it: nobody)."""
    action = instance.action(choice.action)
    env = environment(action, choice)
    return tuple(_int(evaluate(instance, i, state, env)) for i in action.self)


def cpu_of(instance: Instance, state: State, choice: Choice) -> int | None:
    """The CPU that a step runs on, None where its thread has none."""
    action = instance.action(choice.action)
    if action.cpu is None:
        return None
    return _int(evaluate(instance, action.cpu, state, environment(action, choice)))


def is_final(instance: Instance, state: State) -> bool:
    """Whether it is no deadlock for nothing to be able to happen in this state."""
    final = instance.system.final
    if final is not None and holds(instance, final, state):
        return True
    for thread in instance.system.threads:
        match thread.kind:
            case ThreadKind.HARDWARE:
                continue
            case ThreadKind.INTERRUPT | ThreadKind.NMI:
                resting = frozenset({thread.start})
            case ThreadKind.THREAD | ThreadKind.TASK:
                resting = thread.ended
            case _:
                assert_never(thread.kind)
        if any(state[instance.slot(thread.pc, index)] not in resting for index in instance.tuples(thread.index)):
            return False
    return True


# -- generations -------------------------------------------------------------


def canonical(instance: Instance, state: State) -> State:
    """The representative of all states that differ from this one in the sizes of generation gaps only.

    Only the head of a family grows, by one; copies are copied; and all that
    can be asked of two values is which is larger, and whether they are the same or
    neighbours.  So of each family the smallest value becomes 1, and a gap larger
    than 2 becomes 2: no present or future answer changes by that.
    """
    successor = list(state)
    for family in instance.system.families:
        for index in instance.tuples(instance.var(family.head).index):
            members = _members(instance, family, state, index)
            renumbered = squeeze({_int(state[slot]) for slot in members})
            for slot in members:
                successor[slot] = renumbered[_int(state[slot])]
    return tuple(successor)


def squeeze(numbers: set[int]) -> dict[int, int]:
    """Numbers from 1, in the same order, with the same neighbours and no gap larger than 2."""
    renumbered: dict[int, int] = {}
    last = None
    for number in sorted(numbers):
        renumbered[number] = 1 if last is None else renumbered[last] + min(number - last, 2)
        last = number
    return renumbered


def _members(instance: Instance, family: GenFamily, state: State, index: tuple[int, ...]) -> list[int]:
    """The slots that hold a number of the family whose head is at `index`, the head's first."""
    members = [instance.slot(family.head, index)]
    for copy, of in family.copies:
        for at in instance.tuples(instance.var(copy).index):
            slot = instance.slot(copy, at)
            if of is None:
                belongs = state[slot] != 0
            else:
                belongs = state[instance.slot(of, at)] == index[0]
            if belongs:
                members.append(slot)
    return members
