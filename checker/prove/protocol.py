"""A System as proofs see it: no sizes, no bounds, each action with its guard and updates in full.

A proof is about all sizes at once, so what bounds an explicit instance falls away: a fault
that says that a range would be left, and the guard that it leaves to the step beside it. What
remains has every run of every instance, and more.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import field

from checker.core import fold
from checker.core import system as y
from checker.records import dataclass


@dataclass(frozen=True, slots=True)
class Rule:
    """One action: its whole guard, its updates with that of the control variable, and its fault."""

    name: str
    params: tuple[y.Param, ...]
    guard: tuple[y.Expr, ...]
    updates: tuple[y.Update, ...]
    fault: y.Fault | None
    action: y.Action

    def written(self) -> frozenset[str]:
        """The variables that it may change."""
        return frozenset(u.var for u in self.updates)


@dataclass(frozen=True, slots=True)
class Protocol:
    """What is proved of: rules without bounds, setups, and which numbers have lost their range."""

    system: y.System
    rules: tuple[Rule, ...]
    setups: tuple[Rule, ...]
    unbounded: frozenset[str]
    vars: Mapping[str, y.Var] = field(default_factory=dict)
    threads: Mapping[str, y.Thread] = field(default_factory=dict)
    by_pc: Mapping[str, y.Thread] = field(default_factory=dict)
    oldest: int = 0
    """No generation is less: all of them are numbers that the text has, copies, and successors."""

    def statics(self, sort: str) -> tuple[str, ...]:
        """The names of the elements that a sort always has."""
        return next(s.statics for s in self.system.sorts if s.name == sort)


def protocol(system: y.System) -> Protocol:
    """The System without its bounds."""
    threads = {t.name: t for t in system.threads}
    dropped = frozenset(g for a in (*system.actions, *system.setup) if _is_bound(a) for g in _forbidden(a))
    unbounded = frozenset(v for g in dropped for v in fold.variables(g))
    rules = tuple(_rule(a, threads, dropped) for a in system.actions if not _is_bound(a))
    setups = tuple(_rule(a, threads, dropped, running=False) for a in system.setup if not _is_bound(a))
    return Protocol(
        system, rules, setups, unbounded,
        {v.name: v for v in system.vars}, threads, {t.pc: t for t in system.threads}, _oldest(system),
    )  # fmt: skip


def _oldest(system: y.System) -> int:
    written = [u.value for a in (*system.actions, *system.setup) for u in a.updates]
    first = [v.init for v in system.vars if v.init is not None]
    parts = [e for part in (*written, *first) for e in fold.walk(part)]
    numbers = [e.value for e in parts if isinstance(e, y.Lit) and isinstance(e.type, y.Gen)]
    return min((n for n in numbers if isinstance(n, int)), default=0)


def _is_bound(action: y.Action) -> bool:
    return action.fault is not None and action.fault.bound


def _forbidden(action: y.Action) -> Iterator[y.Expr]:
    """What a bound's fault wants to be false, as the guard of the step beside it says it."""
    if action.guard:
        yield from fold.conjuncts([fold.not_(action.guard[-1])])


def _rule(
    action: y.Action, threads: Mapping[str, y.Thread], dropped: frozenset[y.Expr], *, running: bool = True
) -> Rule:
    guard = [g for g in fold.conjuncts(action.guard) if g not in dropped]
    updates = list(action.updates)
    if running:
        at = y.At(action.thread, action.self, frozenset({action.at}))
        guard = [*present(action.self), at, *guard]
        if action.fault is None and action.to != action.at:
            pc = threads[action.thread].pc
            updates.append(y.Update(pc, action.self, fold.int_lit(action.to)))
    return Rule(action.name, action.params, tuple(guard), tuple(updates), action.fault, action)


def present(index: tuple[y.Expr, ...]) -> Iterator[y.Expr]:
    """That an index names something: none of its parts is null."""
    for part in index:
        if isinstance(part.type, y.Elem) and part.type.optional:
            yield fold.ne(part, y.Null(part.type.sort))


# -- truth of properties


def holds(expr: y.Expr) -> y.Expr:
    """That an expression has a value and is true: an undefined property is violated."""
    if not any(True for _ in defined(expr)):
        return expr
    match expr:
        case y.Op(op="and", args=args):
            return fold.and_(holds(a) for a in args)
        case y.Op(op="or", args=args):
            return fold.or_(fold.and_([*(fails(b) for b in args[:n]), holds(a)]) for n, a in enumerate(args))
        case y.Op(op="implies", args=(premise, conclusion)):
            return fold.or_((fails(premise), fold.and_((holds(premise), holds(conclusion)))))
        case y.Op(op="not", args=(inner,)):
            return fails(inner)
        case y.Quant(kind="forall" | "exists" as kind, name=name, sort=sort, body=body):
            return fold.quantify(kind, name, sort, holds(body))
        case _:
            return fold.and_((*defined(expr), expr))


def fails(expr: y.Expr) -> y.Expr:
    """That an expression has a value and is false; not always when it is, where quantifiers stop early."""
    if not any(True for _ in defined(expr)):
        return fold.not_(expr)
    match expr:
        case y.Op(op="and", args=args):
            return fold.or_(fold.and_([*(holds(b) for b in args[:n]), fails(a)]) for n, a in enumerate(args))
        case y.Op(op="or", args=args):
            return fold.and_(fails(a) for a in args)
        case y.Op(op="implies", args=(premise, conclusion)):
            return fold.and_((holds(premise), fails(conclusion)))
        case y.Op(op="not", args=(inner,)):
            return holds(inner)
        case y.Quant(kind="forall" | "exists" as kind, name=name, sort=sort, body=body):
            if kind == "exists":
                return fold.quantify("forall", name, sort, fails(body))
            some = fold.quantify("exists", name, sort, fails(body))
            every = fold.quantify("forall", name, sort, fold.or_((fails(body), holds(body))))
            return fold.and_((some, every))
        case _:
            return fold.and_((*defined(expr), fold.not_(expr)))


def defined(expr: y.Expr) -> Iterator[y.Expr]:
    """That no index in the expression is null."""
    for part in fold.walk(expr):
        if isinstance(part, y.Read | y.At):
            yield from present(part.index)


# -- the state after


def after(expr: y.Expr, rule: Rule, apart: frozenset[tuple[y.Expr, y.Expr]] = frozenset()) -> y.Expr:
    """The value of `expr` after the rule, as an expression of the state before it.

    `apart` are pairs that are known to differ. Bound variables of updates stand for the
    parts of the index that they are; an update whose binder is no part of its index is the linter's to refuse.
    """

    def same(a: y.Expr, b: y.Expr) -> y.Expr:
        return y.FALSE if (a, b) in apart or (b, a) in apart else fold.eq(a, b)

    def met(update: y.Update, index: tuple[y.Expr, ...]) -> tuple[y.Expr, dict[str, y.Expr]]:
        binding: dict[str, y.Expr] = {}
        names = {b.name for b in update.binders}
        for place, actual in zip(update.index, index, strict=True):
            if isinstance(place, y.Param) and place.name in names and place.name not in binding:
                binding[place.name] = actual
        hits = [
            same(fold.substitute(place, binding), actual)
            for place, actual in zip(update.index, index, strict=True)
            if not (isinstance(place, y.Param) and place.name in binding)
        ]
        return fold.and_((*hits, fold.substitute(update.where, binding))), binding

    def go(e: y.Expr) -> y.Expr:
        match e:
            case y.Lit() | y.Static() | y.Null() | y.Param():
                return e
            case y.Read(var=var, index=index, type=type_):
                at = tuple(go(i) for i in index)
                value: y.Expr = y.Read(var, at, type_)
                for update in rule.updates:
                    if update.var == var:
                        hit, binding = met(update, at)
                        value = fold.ite(hit, fold.substitute(update.value, binding), value)
                return value
            case y.At(thread=thread, index=index, locations=locations):
                at = tuple(go(i) for i in index)
                here: y.Expr = y.At(thread, at, locations)
                pc = rule_pc(thread)
                for update in rule.updates:
                    if update.var == pc:
                        hit, _ = met(update, at)
                        assert isinstance(update.value, y.Lit)
                        inside = y.Lit(update.value.value in locations, y.BOOL)
                        stays = y.At(thread, update.index, frozenset({rule.action.at})) in rule.guard
                        if inside == y.TRUE and stays and rule.action.at in locations:
                            continue  # from one of these places to another
                        here = fold.ite(hit, inside, here)
                return here
            case y.Quant(kind=kind, name=name, sort=sort, body=body):
                return fold.quantify(kind, name, sort, go(body))
            case y.Op(op=op, args=args, type=type_):
                return fold.rebuild(op, tuple(go(a) for a in args), type_)
            case _:
                raise AssertionError(e)

    def rule_pc(thread: str) -> str:
        return f"{thread}.pc"

    return go(expr)
