"""Expressions of an Instance as Python source, for `compile`.

Parameters are numbers by the time an expression is emitted, so quantifiers are
unrolled and whatever is constant is folded.  A name is emitted only for the states
(`s`, and `t` for the next one) and for the tables below.

Where the meaning is that there is no value (`null` as an index), the emitted
source raises IndexError: an index that may be null is looked up in a table whose
last entry, which is what -1 finds, lies far outside any state.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Final, assert_never

from checker.core.instance import Instance
from checker.core.system import (
    NULL,
    At,
    Elem,
    Expr,
    Int,
    Lit,
    Next,
    Null,
    Op,
    Param,
    Quant,
    Read,
    Static,
    Value,
)
from checker.records import dataclass

Env = Mapping[str, int]

_NOWHERE: Final = 1 << 40
"""A slot that no state has."""

_COMPARISONS: Final[Mapping[str, tuple[str, str]]] = {
    "eq": ("==", "!="),
    "ne": ("!=", "=="),
    "lt": ("<", ">="),
    "le": ("<=", ">"),
    "gt": (">", "<="),
    "ge": (">=", "<"),
}
"""How each comparison is spelt, and its negation."""


@dataclass(frozen=True, slots=True)
class Code:
    """Source of an expression that needs no parentheses around it.

    `value` is what it is known to be, `inverse` a source of its negation if there is
    a good one, and `partial` says that running it may raise IndexError.
    """

    text: str
    value: Value | None = None
    partial: bool = False
    inverse: str = ""

    def negated(self) -> Code:
        """The source of `not` this."""
        if self.value is not None:
            return known(not self.value)
        return Code(self.inverse or f"(not {self.text})", None, self.partial, self.text)


def known(value: Value) -> Code:
    """The source of a constant."""
    return Code(f"({value})" if isinstance(value, int) and value < 0 else repr(value), value)


class Emitter:
    """Turns expressions into source; `tables` collects the constants that the source refers to by name."""

    def __init__(self, instance: Instance) -> None:
        self.instance = instance
        self._names: dict[tuple[int, ...], str] = {}

    @property
    def tables(self) -> dict[str, tuple[int, ...]]:
        """The tables by their names."""
        return {name: table for table, name in self._names.items()}

    def expression(self, expr: Expr, env: Env, state: str = "s") -> Code:
        """The source of an expression whose state is named `state`."""
        match expr:
            case Lit(value):
                return known(value)
            case Static(sort, name):
                return known(self.instance.sort(sort).statics.index(name))
            case Null():
                return known(NULL)
            case Param(name):
                return known(env[name])
            case Read(var, index):
                slot = self.slot(var, index, env, state)
                return Code(f"{state}[{slot.text}]", None, slot.partial)
            case At():
                return self._at(expr, env, state)
            case Next(body):
                return self.expression(body, env, "t")
            case Quant(kind, name, sort, body):
                cases = [
                    self.expression(body, {**env, name: element}, state) for element in self.instance.elements(sort)
                ]
                match kind:
                    case "forall":
                        return conjunction(cases)
                    case "exists":
                        return disjunction(cases)
                    case "count":
                        return _arithmetic("+", [known(0), *cases])
                    case _:
                        assert_never(kind)
            case Op():
                return self._operation(expr, [self.expression(arg, env, state) for arg in expr.args])
            case _:
                assert_never(expr)

    def slot(self, var: str, index: tuple[Expr, ...], env: Env, state: str = "s") -> Code:
        """The source of the position of a variable at an index."""
        base, strides = self.instance.layout(var)
        terms: list[str] = []
        partial = False
        sorts = self.instance.var(var).index
        for part, sort, stride in zip(index, sorts, strides, strict=True):
            code = self.expression(part, env, state)
            if code.value is not None:
                base = _NOWHERE if code.value == NULL else base + _int(code.value) * stride
                partial = partial or code.value == NULL
            elif isinstance(part.type, Elem) and not part.type.optional:
                partial = partial or code.partial
                terms.append(code.text if stride == 1 else f"{code.text}*{stride}")
            else:
                partial = True
                entries = (*(element * stride for element in self.instance.elements(sort)), _NOWHERE)
                terms.append(f"{self._table(entries)}[{code.text}]")
        if not terms:
            return Code(str(base), base, partial)
        return Code("+".join([str(base), *terms] if base else terms), None, partial)

    def _table(self, entries: tuple[int, ...]) -> str:
        return self._names.setdefault(entries, f"T{len(self._names)}")

    def _at(self, expr: At, env: Env, state: str) -> Code:
        thread = self.instance.thread(expr.thread)
        slot = self.slot(thread.pc, expr.index, env, state)
        everywhere = range(len(thread.locations))
        inside = [at for at in everywhere if at in expr.locations]
        outside = [at for at in everywhere if at not in expr.locations]
        if not slot.partial and (not inside or not outside):
            return known(bool(inside))
        pc = f"{state}[{slot.text}]"
        return Code(among(pc, inside), None, slot.partial, among(pc, outside))

    def _operation(self, op: Op, args: list[Code]) -> Code:
        partial = any(arg.partial for arg in args)
        match op.op:
            case "not":
                return args[0].negated()
            case "and":
                return conjunction(args)
            case "or":
                return disjunction(args)
            case "implies":
                return disjunction([args[0].negated(), args[1]])
            case "ite":
                return _choice(*args)
            case "eq" | "ne" | "lt" | "le" | "gt" | "ge":
                return _comparison(op.op, args[0], args[1])
            case "add":
                return _arithmetic("+", args)
            case "sub":
                return _arithmetic("-", args)
            case "neg":
                return _arithmetic("-", [known(0), args[0]])
            case "len":
                return Code(f"len({args[0].text})", None, partial)
            case "get":
                kind = op.args[1].type
                natural = isinstance(kind, Int) and kind.lo >= 0
                position = args[1].text if natural else f"position({args[1].text})"
                return Code(f"{args[0].text}[{position}]", None, True)
            case "push":
                return Code(f"(*{args[0].text}, {args[1].text})", None, partial)
            case "tail":
                return Code(f"{args[0].text}[1:]", None, partial)
            case "contains":
                items, item = args
                if items.value == () and not partial:
                    return known(False)
                text = f"({item.text} in {items.text})"
                return Code(text, None, partial, f"({item.text} not in {items.text})")
            case _:
                assert_never(op.op)


def position(number: int) -> int:
    """A position in a sequence, as emitted source uses it; IndexError where Python would count from the end."""
    if number < 0:
        raise IndexError
    return number


def conjunction(parts: list[Code]) -> Code:
    """All of the parts, evaluated from the left, as far as needed."""
    return _chain(parts, "and", stop=False)


def disjunction(parts: list[Code]) -> Code:
    """Any of the parts, evaluated from the left, as far as needed."""
    return _chain(parts, "or", stop=True)


def _chain(parts: list[Code], word: str, *, stop: bool) -> Code:
    kept: list[Code] = []
    for part in parts:
        if part.value is None:
            kept.append(part)
        elif bool(part.value) is stop:
            # what stands before must still run if it may have no value
            if not any(code.partial for code in kept):
                return known(stop)
            kept.append(known(stop))
            break
    if not kept:
        return known(not stop)
    if len(kept) == 1:
        return kept[0]
    text = "(" + f" {word} ".join(code.text for code in kept) + ")"
    return Code(text, None, any(code.partial for code in kept))


def _choice(condition: Code, then: Code, other: Code) -> Code:
    if condition.value is not None:
        return then if condition.value else other
    if then.text == other.text and not condition.partial:
        return then
    if then.value is True and other.value is False:
        return condition
    if then.value is False and other.value is True:
        return condition.negated()
    partial = condition.partial or then.partial or other.partial
    return Code(f"({then.text} if {condition.text} else {other.text})", None, partial)


def _comparison(operator: str, left: Code, right: Code) -> Code:
    sign, opposite = _COMPARISONS[operator]
    if left.value is not None and right.value is not None:
        return known(_compare(operator, left.value, right.value))
    if operator in ("eq", "ne"):
        for constant, other in ((left, right), (right, left)):
            if isinstance(constant.value, bool):
                return other if constant.value is (operator == "eq") else other.negated()
    return Code(
        f"({left.text} {sign} {right.text})",
        None,
        left.partial or right.partial,
        f"({left.text} {opposite} {right.text})",
    )


def _compare(operator: str, left: Value, right: Value) -> bool:
    match operator:
        case "eq":
            return left == right
        case "ne":
            return left != right
        case "lt":
            return _int(left) < _int(right)
        case "le":
            return _int(left) <= _int(right)
        case "gt":
            return _int(left) > _int(right)
        case _:
            return _int(left) >= _int(right)


def _arithmetic(sign: str, args: list[Code]) -> Code:
    if all(arg.value is not None for arg in args):
        first, *rest = (_int(arg.value) for arg in args if arg.value is not None)
        return known(first + sum(rest) if sign == "+" else first - sum(rest))
    text = "(" + f" {sign} ".join(arg.text for arg in args) + ")"
    return Code(text, None, any(arg.partial for arg in args))


def among(pc: str, locations: Collection[int]) -> str:
    """The source of whether a control variable is at one of some locations."""
    ordered = sorted(locations)
    if len(ordered) == 1:
        return f"({pc} == {ordered[0]})"
    return f"({pc} in {{{', '.join(map(str, ordered))}}})" if ordered else f"({pc} < 0)"


def _int(value: Value) -> int:
    assert not isinstance(value, tuple)
    return value
