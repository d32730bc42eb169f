"""Why: the leaves that make an expression false, and the conjuncts that hold a step back.

Everything is asked of the reference semantics; nothing here knows a way of its
own to evaluate an expression.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final, assert_never

from checker.core.instance import Instance, State
from checker.core.path import Choice
from checker.core.printer import format_expr, parts
from checker.core.semantics import Env, UndefinedRead, evaluate, thread_instance
from checker.core.system import (
    NULL,
    TRUE,
    Action,
    Bool,
    Expr,
    Lit,
    Next,
    Null,
    Op,
    Param,
    PropertyKind,
    Quant,
    Read,
    Static,
    Thread,
    ThreadKind,
    Value,
    Var,
)
from checker.core.trace import Trace
from checker.records import dataclass

MAX_WITNESSES: Final = 3
"""How many elements of one quantifier are shown."""


@dataclass(frozen=True, slots=True)
class Fact:
    """The value that a leaf read, and the step that wrote it last (0: from the start)."""

    text: str
    step: int | None


@dataclass(frozen=True, slots=True)
class Leaf:
    """A part of an expression that cannot be broken down further, elements substituted.

    It has had its value (None: undefined) since step `since` (0: from the start), or
    `since` is None for what looks at two states.  `facts` are the values it rests on.
    """

    text: str
    value: bool | None
    since: int | None
    facts: tuple[Fact, ...] = ()


@dataclass(frozen=True, slots=True)
class Stuck:
    """A thread instance that has not ended and cannot go on, and what it waits for."""

    thread: str
    location: str
    waits: tuple[str, ...]


def explain_false(instance: Instance, expr: Expr, trace: Trace) -> tuple[Leaf, ...]:
    """The leaves that make `expr` false at the end of the trace."""
    return _explain(_History.of(instance, trace, expr), expr, value=False)


def explain_true(instance: Instance, expr: Expr, trace: Trace) -> tuple[Leaf, ...]:
    """The leaves that make `expr` true at the end of the trace."""
    return _explain(_History.of(instance, trace, expr), expr, value=True)


def explain_fault(trace: Trace) -> tuple[Leaf, ...]:
    """What made it possible to take the faulting action that ends the trace."""
    step = trace.steps[-1]
    guard = step.action.guard
    if not guard:
        return ()
    history = _History.of(trace.instance, trace, guard[-1])
    scope = _Scope.of(trace.instance, step.action, step.args)
    return _reasons(history, guard[-1], scope, value=True)


def explain_blocked(instance: Instance, action: Action, args: tuple[int, ...], state: State) -> list[str]:
    """Why the action cannot be taken in `state`: where its thread is, or what is false of its guard.

    An empty list says that it can be taken.
    """
    index = thread_instance(instance, state, Choice(action.name, args))
    if NULL in index:
        return ["the thread that takes the step does not exist"]
    thread = instance.thread(action.thread)
    here = state[instance.slot(thread.pc, index)]
    if here != action.at:
        name = thread_name(instance, thread.name, index)
        needed = thread.locations[action.at].name
        return [f"{name} is at {_location(instance, thread.name, here)}, the step starts at {needed}"]
    history, scope = _History(instance, (state,), {}), _Scope.of(instance, action, args)
    leaves: list[Leaf] = []
    for conjunct in action.guard:
        value = history.value(conjunct, scope.env)
        if value is None and leaves:
            break
        if not value:
            leaves.extend(_reasons(history, conjunct, scope, value=False))
    return list(dict.fromkeys(_blocked_text(leaf) for leaf in leaves))


def explain_deadlock(instance: Instance, state: State) -> tuple[Stuck, ...]:
    """Every thread instance but the hardware that has not ended, and why it cannot take a step."""
    stuck = []
    for thread in instance.system.threads:
        resting = _resting(thread)
        for index in instance.tuples(thread.index):
            here = state[instance.slot(thread.pc, index)]
            if here in resting:
                continue
            waits: dict[str, None] = {}
            for action in instance.system.actions:
                if action.thread == thread.name and action.at == here and action.fault is None:
                    for args in _assignments(instance, action, index, state):
                        waits.update(dict.fromkeys(explain_blocked(instance, action, args, state)[:1]))
            name = thread_name(instance, thread.name, index)
            stuck.append(Stuck(name, _location(instance, thread.name, here), tuple(waits)))
    return tuple(stuck)


def truth_text(value: bool | None) -> str:
    """`true`, `false`, or `undefined`."""
    return "undefined" if value is None else str(value).lower()


def _resting(thread: Thread) -> frozenset[int]:
    """The locations at which nobody is surprised to see an instance of the thread rest."""
    match thread.kind:
        case ThreadKind.HARDWARE:
            return frozenset(range(len(thread.locations)))
        case ThreadKind.INTERRUPT | ThreadKind.NMI:
            return frozenset({thread.start})
        case ThreadKind.THREAD | ThreadKind.TASK:
            return thread.ended
        case _:
            assert_never(thread.kind)


def thread_name(instance: Instance, thread: str, index: tuple[int, ...]) -> str:
    """The name of a thread instance: `cpu_loop[CPU0]`."""
    sorts = instance.thread(thread).index
    names = ", ".join(instance.element_name(sort, e) for sort, e in zip(sorts, index, strict=True))
    return f"{thread}[{names}]" if names else thread


# -- the states an explanation looks at --------------------------------------


@dataclass(frozen=True, slots=True)
class _History:
    """The states up to the one explained, and the last write to each variable.

    `pair` asks for a step (the last two states) rather than for a state.
    """

    instance: Instance
    states: tuple[State, ...]
    writes: Mapping[tuple[str, tuple[int, ...]], int]
    pair: bool = False

    @classmethod
    def of(cls, instance: Instance, trace: Trace, expr: Expr) -> _History:
        """The history of a trace, as `expr` looks at it."""
        states = (trace.initial, *(step.state for step in trace.steps))
        steps = (p.expr for p in instance.system.properties if p.kind is PropertyKind.STEP)
        pair = len(states) > 1 and (_has_next(expr) or any(expr is step for step in steps))
        return cls(instance, states, _writes(trace), pair)

    def value(self, expr: Expr, env: Env, back: int = 0) -> Value | None:
        """The value of `expr` in the state `back` states before the last; None if undefined."""
        number = len(self.states) - 1 - back
        try:
            if self.pair:
                state, successor = self.states[number - 1], self.states[number]
                return evaluate(self.instance, expr, state, env, successor)
            return evaluate(self.instance, expr, self.states[number], env)
        except UndefinedRead:
            return None

    def since(self, expr: Expr, env: Env) -> int | None:
        """The number of the step after which `expr` got the value it has in the last state."""
        if self.pair:
            return None
        last = self.value(expr, env)
        number = len(self.states) - 1
        while number and self.value(expr, env, len(self.states) - number) == last:
            number -= 1
        return number


def _writes(trace: Trace) -> dict[tuple[str, tuple[int, ...]], int]:
    return {(change.var, change.index): step.number for step in trace.steps for change in step.changes}


@dataclass(frozen=True, slots=True)
class _Scope:
    """What the free parameters of an expression stand for, and what those elements are called."""

    env: Env
    names: Mapping[str, str]

    @classmethod
    def of(cls, instance: Instance, action: Action, args: tuple[int, ...]) -> _Scope:
        """The scope of an action's guard."""
        scope = cls({}, {})
        for param, element in zip(action.params, args, strict=True):
            scope = scope.bind(instance, param.name, param.sort, element)
        return scope

    def bind(self, instance: Instance, name: str, sort: str, element: int) -> _Scope:
        """This scope and one parameter more."""
        shown = instance.element_name(sort, element)
        return _Scope({**self.env, name: element}, {**self.names, name: shown})


# -- breaking down -----------------------------------------------------------


def _explain(history: _History, expr: Expr, *, value: bool) -> tuple[Leaf, ...]:
    return _reasons(history, expr, _Scope({}, {}), value=value)


def _reasons(history: _History, expr: Expr, scope: _Scope, *, value: bool) -> tuple[Leaf, ...]:
    """The leaves without repetition; the whole expression where it has none (no element, a constant)."""
    leaves = dict.fromkeys(_leaves(history, expr, scope, value=value))
    return tuple(leaves) or (_leaf(history, expr, scope),)


def _leaves(history: _History, expr: Expr, scope: _Scope, *, value: bool) -> Iterator[Leaf]:
    """The leaves that make `expr` have the truth value `value`, which it has (or is undefined)."""
    if history.value(expr, scope.env) is None:
        yield _undefined(history, expr, scope)
        return
    match expr:
        case Op("not", (body,)):
            yield from _leaves(history, body, scope, value=not value)
        case Op("and" | "or" as op, args):
            # A conjunction is false by its false arguments and true by all of them; dually `or`.
            for arg in args:
                if value == (op == "and") or _has_value(history, arg, scope, value):
                    yield from _leaves(history, arg, scope, value=value)
        case Op("implies", (premise, conclusion)):
            if not value:
                yield from _leaves(history, premise, scope, value=True)
                yield from _leaves(history, conclusion, scope, value=False)
            elif history.value(premise, scope.env) is False:
                yield from _leaves(history, premise, scope, value=False)
            else:
                yield from _leaves(history, conclusion, scope, value=True)
        case Op("ite", (condition, then, otherwise)):
            chosen = bool(history.value(condition, scope.env))
            yield from _leaves(history, condition, scope, value=chosen)
            yield from _leaves(history, then if chosen else otherwise, scope, value=value)
        case Quant("forall" | "exists" as kind, name, sort, body):
            cases = [c for c in _cases(history, scope, name, sort) if _has_value(history, body, c, value)]
            if value == (kind == "forall") and len(cases) > MAX_WITNESSES:
                yield _leaf(history, expr, scope)
                return
            for case in cases[: MAX_WITNESSES if kind == "forall" or not value else 1]:
                yield from _leaves(history, body, case, value=value)
        case Lit():
            if expr != TRUE or not value:
                yield _leaf(history, expr, scope)
        case Next(body) if isinstance(body, (Op, Quant)) and body.type == Bool():
            yield from _leaves(history, _push_next(body), scope, value=value)
        case _:
            yield _leaf(history, expr, scope)


def _has_value(history: _History, expr: Expr, scope: _Scope, value: bool) -> bool:
    found = history.value(expr, scope.env)
    return found is not None and bool(found) == value


def _cases(history: _History, scope: _Scope, name: str, sort: str) -> list[_Scope]:
    """The scopes in which a quantifier looks at its body."""
    return [scope.bind(history.instance, name, sort, e) for e in history.instance.elements(sort)]


def _undefined(history: _History, expr: Expr, scope: _Scope) -> Leaf:
    """The first part of an undefined expression that has no value."""
    match expr:
        case Op("not" | "and" | "or" | "implies" | "ite", args):
            within = [(arg, scope) for arg in args]
        case Quant("forall" | "exists", name, sort, body):
            within = [(body, case) for case in _cases(history, scope, name, sort)]
        case _:
            within = []
    for part, where in within:
        if history.value(part, where.env) is None:
            return _undefined(history, part, where)
    return _leaf(history, expr, scope)


def _push_next(expr: Op | Quant) -> Expr:
    """`next(a && b)` as `next(a) && next(b)`: the same meaning, one leaf each."""
    if isinstance(expr, Quant):
        return Quant(expr.kind, expr.name, expr.sort, Next(expr.body))
    if expr.op in {"not", "and", "or", "implies", "ite"}:
        return Op(expr.op, tuple(Next(arg) for arg in expr.args), expr.type)
    return Op(expr.op, tuple(_next_reads(arg) for arg in expr.args), expr.type)


def _next_reads(expr: Expr) -> Expr:
    return expr if isinstance(expr, (Lit, Static, Null, Param)) else Next(expr)


def _has_next(expr: Expr) -> bool:
    return isinstance(expr, Next) or any(map(_has_next, parts(expr)))


# -- leaves and facts --------------------------------------------------------


def _leaf(history: _History, expr: Expr, scope: _Scope) -> Leaf:
    text, found = _text(history, expr, scope), history.value(expr, scope.env)
    value = None if found is None else bool(found)
    facts = tuple(dict.fromkeys(_facts(history, expr, scope)))
    if len(facts) == 1 and (isinstance(expr, Read) or facts[0].text == text):
        facts = ()  # the value is all there is to say
    return Leaf(text, value, history.since(expr, scope.env), facts)


def _text(history: _History, expr: Expr, scope: _Scope) -> str:
    return format_expr(expr, names=scope.names, system=history.instance.system)


def _facts(history: _History, expr: Expr, scope: _Scope, *, successor: bool = False) -> Iterator[Fact]:
    """The values read for `expr`, inner reads before those they lead to."""
    if isinstance(expr, Next):
        yield from _facts(history, expr.body, scope, successor=True)
        return
    if isinstance(expr, Quant):
        if expr.kind == "count" and (number := history.value(expr, scope.env)) is not None:
            yield Fact(f"{_text(history, expr, scope)} == {number}", None)
        return
    for part in parts(expr):
        yield from _facts(history, part, scope, successor=successor)
    if not isinstance(expr, Read):
        return
    around: Expr = Next(expr) if successor else expr
    values = [history.value(Next(i) if successor else i, scope.env) for i in expr.index]
    index = tuple(int(value) for value in values if isinstance(value, int))
    if len(index) != len(values) or (value := history.value(around, scope.env)) is None:
        yield Fact(f"{_text(history, expr, scope)} is undefined", None)
        return
    var = history.instance.var(expr.var)
    text = f"{slot_text(history.instance, var, index)} == {history.instance.format_value(var.type, value)}"
    written = history.writes.get((expr.var, index), 0)
    if not history.pair:
        yield Fact(text, written)
    else:
        yield Fact(f"{'after' if successor else 'before'}: {text}", None)


def slot_text(instance: Instance, var: Var, index: tuple[int, ...]) -> str:
    """A variable at an index as properties write it: `live(mm0)`, `mm0.count`, `cur[CPU1]`."""
    if is_live(var):
        return f"live({instance.element_name(var.index[0], index[0])})"
    return instance.format_slot(var.name, index)


def is_live(var: Var) -> bool:
    """Whether the variable says which objects of a sort are live."""
    return len(var.index) == 1 and var.name == f"{var.index[0]}.live"


# -- blocked steps -----------------------------------------------------------


def _blocked_text(leaf: Leaf) -> str:
    facts = f" ({', '.join(fact.text for fact in leaf.facts)})" if leaf.facts else ""
    return f"{leaf.text} is {truth_text(leaf.value)}{facts}"


def _location(instance: Instance, thread: str, number: Value) -> str:
    locations = instance.thread(thread).locations
    return locations[number].name if isinstance(number, int) else str(number)


def _assignments(instance: Instance, action: Action, index: tuple[int, ...], state: State) -> Iterator[tuple[int, ...]]:
    """The arguments with which the action is a step of the thread instance `index`."""
    for args in instance.tuples(tuple(param.sort for param in action.params)):
        if thread_instance(instance, state, Choice(action.name, args)) == index:
            yield args
