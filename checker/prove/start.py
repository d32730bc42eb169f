"""The first states: what an expression is worth before anything happened."""

from __future__ import annotations

from collections.abc import Iterator

from checker.core import fold
from checker.core import system as y
from checker.prove.clauses import Clause
from checker.prove.protocol import Protocol, after


def initially(protocol: Protocol, clause: Clause) -> Iterator[tuple[list[y.Param], list[y.Expr]]]:
    """The questions whether a clause can be broken in an initial state."""
    renamed = {p.name: y.Param(f"{p.name}'", p.sort) for p in clause.vars}
    situation = [fold.substitute(f, renamed) for f in clause.situation()]
    limits = list(protocol.system.initial)
    if not protocol.setups:
        yield list(renamed.values()), [first(protocol, f) for f in (*situation, *limits)]
    for rule in protocol.setups:
        if rule.fault is not None:
            yield list(rule.params), [first(protocol, f) for f in (*rule.guard, *limits)]
        else:
            later = [after(f, rule) for f in situation]
            yield (
                [*renamed.values(), *rule.params],
                [first(protocol, f) for f in (*rule.guard, *later, *limits)],
            )


def first(protocol: Protocol, expr: y.Expr) -> y.Expr:
    """The value of an expression before anything happened, as far as the variables' first values tell."""

    def read(var: str, index: tuple[y.Expr, ...], type_: y.Type) -> y.Expr:
        declared = protocol.vars[var]
        if declared.init is None:
            return y.Read(var, index, type_)
        return fold.substitute(declared.init, {p.name: i for p, i in zip(declared.index_params(), index, strict=True)})

    def start(e: y.Expr) -> y.Expr:
        match e:
            case y.At(thread=thread, locations=locations):
                return y.Lit(protocol.threads[thread].start in locations, y.BOOL)
            case y.Read(var=var, index=index, type=type_):
                return read(var, tuple(start(i) for i in index), type_)
            case y.Quant(kind=kind, name=name, sort=sort, body=body):
                return fold.quantify(kind, name, sort, start(body))
            case y.Op(op=op, args=args, type=type_):
                return fold.rebuild(op, tuple(start(a) for a in args), type_)
            case _:
                return e

    return start(expr)
