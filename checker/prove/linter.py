"""What stands in the way of a proof for all sizes: which line, which rule, what to write instead."""

from __future__ import annotations

from collections.abc import Iterator

from checker.core import fold
from checker.core import system as y
from checker.lang.source import Span
from checker.prove.protocol import Protocol, Rule
from checker.records import dataclass


@dataclass(frozen=True, slots=True)
class Obstacle:
    """One thing that a proof cannot have, where it is, and what can be written instead."""

    what: str
    instead: str
    span: Span


def obstacles(protocol: Protocol) -> list[Obstacle]:
    """All that makes a protocol one of a certain size."""
    return [*_memory(protocol), *_sorts(protocol), *_variables(protocol), *_rules(protocol)]


def _memory(protocol: Protocol) -> Iterator[Obstacle]:
    if protocol.system.memory_model != "sc":
        what = f"memory model {protocol.system.memory_model}: buffers and histories have a size"
        yield Obstacle(what, "memory = sc", protocol.system.sorts[0].span)


def _sorts(protocol: Protocol) -> Iterator[Obstacle]:
    for sort in protocol.system.sorts:
        if sort.ordered:
            instead = "compare elements for equality only, and say by a variable who comes next"
            yield Obstacle(f"sort {sort.name} is ordered", instead, sort.span)


def _variables(protocol: Protocol) -> Iterator[Obstacle]:
    for var in protocol.system.vars:
        if isinstance(var.type, y.Seq):
            instead = "a set, or a variable over a sort of entries"
            yield Obstacle(f"{var.name} is a sequence, whose length is bounded", instead, var.span)


def _rules(protocol: Protocol) -> Iterator[Obstacle]:
    for rule in protocol.rules:
        for part in (*rule.guard, *(u.value for u in rule.updates), *(u.where for u in rule.updates)):
            if counts(part):
                instead = "ask whether there is one, by exists, or keep a refcount"
                yield Obstacle("a number of elements is compared or kept", instead, rule.action.span)
                break
        else:
            yield from _updates(rule)


def _updates(rule: Rule) -> Iterator[Obstacle]:
    for update in rule.updates:
        if not {b.name for b in update.binders} <= {p.name for p in update.index if isinstance(p, y.Param)}:
            instead = "let each variable of the 'forall' be an index of what is assigned"
            yield Obstacle(f"several values could be assigned to {update.var} at once", instead, rule.action.span)


def counts(expr: y.Expr) -> bool:
    """Whether an expression has a number of elements in it."""
    return any(isinstance(e, y.Quant) and e.kind == "count" for e in fold.walk(expr))
