"""Counters that begin with a number of elements: 1 + size({c : CPU}), say, is one holder more than there are CPUs.

That so many elements are so many holders is shown by a way from each of them to a holder of its own, which
leaves no holder over.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Protocol as Like

from checker.core import fold
from checker.core import system as y
from checker.prove.protocol import Protocol
from checker.prove.query import Query, Vocabulary
from checker.records import dataclass

Question = tuple[list[y.Param], list[y.Expr]]


class Counted(Like):
    """A kind of holder."""

    @property
    def index(self) -> tuple[y.Param, ...]:
        """What there is one for each value of."""
        ...

    @property
    def holds(self) -> y.Expr:
        """Where there is one."""
        ...


@dataclass(frozen=True, slots=True)
class Match:
    """A number of elements that is the number of a kind of holder, since `way` leads from each one to another one.

    Without a `way` the elements are themselves the holders.
    """

    number: y.Quant
    holder: Counted
    way: str | None
    type: y.Elem

    def questions(self, params: list[y.Param], given: list[y.Expr], start: y.Expr) -> Iterator[Question]:
        """How that could be wrong, in the first states, where the counter is `start`."""
        (place,) = self.holder.index
        one, other = (y.Param(f"{self.number.name}{n}'", self.number.sort) for n in (1, 2))

        def counted(p: y.Param) -> y.Expr:
            return fold.substitute(self.number.body, {self.number.name: p})

        def led(p: y.Param) -> y.Expr:
            return p if self.way is None else y.Read(self.way, (p,), self.type)

        none, single = (with_number(start, {self.number: n}) for n in (0, 1))
        used = fold.ne(none, single)
        yield params, [*given, used, fold.ne(single, fold.add(none, fold.int_lit(1)))]
        yield [*params, place], [*given, fold.eq(none, single), self.holder.holds]
        reached = fold.substitute(self.holder.holds, {place.name: led(one)})
        missed = fold.or_((fold.eq(led(one), y.Null(self.type.sort)), fold.not_(reached)))
        yield [*params, one], [*given, used, counted(one), missed]
        same = fold.eq(led(one), led(other))
        yield [*params, one, other], [*given, used, counted(one), counted(other), fold.ne(one, other), same]
        nobody = fold.not_(fold.and_((counted(one), fold.eq(led(one), place))))
        alone = fold.quantify("forall", one.name, one.sort, nobody)
        yield [*params, place], [*given, used, self.holder.holds, alone]


def matched(
    protocol: Protocol,
    params: list[y.Param],
    given: list[y.Expr],
    start: y.Expr,
    numbers: list[y.Quant],
    counted: Sequence[Counted],
) -> list[Match]:
    """For each number of elements that a counter begins with, the holders that it counts."""
    if not numbers:
        return []
    words = Vocabulary(protocol)
    found: list[Match] = []
    for number in numbers:
        for holder in counted:
            if len(holder.index) != 1 or any(holder is m.holder for m in found):
                continue
            sort = holder.index[0].sort
            ways = [Match(number, holder, None, y.Elem(sort))] if sort == number.sort else []
            ways += [
                Match(number, holder, v.name, v.type)
                for v in protocol.system.vars
                if v.index == (number.sort,) and isinstance(v.type, y.Elem) and v.type.sort == sort
            ]
            match = next((m for m in ways if _is_answered(words, m.questions(params, given, start))), None)
            if match is not None:
                found.append(match)
                break
    return found


def _is_answered(words: Vocabulary, questions: Iterator[Question]) -> bool:
    return all(Query(words, params, assertions).solve() is None for params, assertions in questions)


def with_number(expr: y.Expr, numbers: Mapping[y.Quant, int]) -> y.Expr:
    """An expression in which numbers of elements that are summands or alternatives are replaced by these."""
    match expr:
        case y.Quant(kind="count") if expr in numbers:
            return fold.int_lit(numbers[expr])
        case y.Op(op="add" | "ite" as op, args=args):
            parts = args if op == "add" else args[1:]
            changed = tuple(with_number(a, numbers) for a in parts)
            return fold.rebuild(op, changed if op == "add" else (args[0], *changed), expr.type)
        case _:
            return expr
