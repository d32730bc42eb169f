"""Expressions of an Instance as C.

Parameters are numbers by the time an expression is emitted, so quantifiers are unrolled and
what is constant is folded.  A scalar is an `int` with the value of the System's encoding, a
sequence a `seq` (runtime/model.h).  The words of the state are `s[0]`, `s[1]`, ..., those of the
next one `t[0]`, ...; where there is no value, `trouble` hears of it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import product
from typing import Final, assert_never

from checker.core.instance import Instance
from checker.core.system import (
    NULL,
    At,
    Expr,
    Lit,
    Next,
    Null,
    Op,
    Param,
    Quant,
    Read,
    Seq,
    Static,
    Type,
)
from checker.native.domains import Domains, Facts, Values
from checker.native.layout import WORD, Field, Layout, Unsupported
from checker.records import dataclass

Env = Mapping[str, int]
"""The elements that parameters and bound variables stand for."""

_SIGNS: Final[Mapping[str, tuple[str, str]]] = {
    "eq": ("==", "!="),
    "ne": ("!=", "=="),
    "lt": ("<", ">="),
    "le": ("<=", ">"),
    "gt": (">", "<="),
    "ge": (">=", "<"),
}

UNDEFINED: Final = "undefined(&trouble)"

_MOST: Final = 1 << 20
"""No expression is emitted whose text is longer."""


@dataclass(frozen=True, slots=True)
class Code:
    """The text of an expression that needs no parentheses around it.

    `value` is what it is known to be, `inverse` its negation if there is a good text for it;
    `partial` says that computing it may report trouble.
    """

    text: str
    value: int | None = None
    inverse: str = ""
    partial: bool = False

    def negated(self) -> Code:
        """Not this."""
        if self.value is not None:
            return known(not self.value)
        return Code(self.inverse or f"(!{self.text})", None, self.text, self.partial)


def known(value: int) -> Code:
    """A constant."""
    number = int(value)
    return Code(f"({number})" if number < 0 else str(number), number)


class Emitter:
    """Turns expressions into C, for one Instance and its packed states."""

    def __init__(self, instance: Instance, domains: Domains, layout: Layout) -> None:
        self.instance = instance
        self.domains = domains
        self.layout = layout

    def expression(self, expr: Expr, env: Env, facts: Facts, state: str = "s") -> Code:
        """The text of an expression about the state in `state`; `facts` are what holds where it stands."""
        match expr:
            case Lit(value):
                return Code("UINT64_C(0)") if isinstance(value, tuple) else known(value)
            case Static(sort, name):
                return known(self.instance.sort(sort).statics.index(name))
            case Null():
                return known(NULL)
            case Param(name):
                return known(env[name])
            case Read(var, index):
                return self.read(var, index, env, facts, state, known_values=facts.get(expr))
            case At(thread, index, locations):
                pc = self.read(self.instance.thread(thread).pc, index, env, facts, state)
                return among(pc, locations, len(self.instance.thread(thread).locations))
            case Next(body):
                return self.expression(body, env, {}, "t")
            case Quant(kind, name, sort, body):
                inner = facts if name not in env else {}
                cases = [self.expression(body, {**env, name: e}, inner, state) for e in self.instance.elements(sort)]
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
                return self._operation(expr, env, facts, state)
            case _:
                assert_never(expr)

    def values(self, expr: Expr, env: Env, facts: Facts) -> Values:
        """The values that an expression may have."""
        return self.domains.values(expr, {name: frozenset({e}) for name, e in env.items()}, facts)

    # -- reading -------------------------------------------------------------

    def read(
        self, var: str, index: tuple[Expr, ...], env: Env, facts: Facts, state: str, known_values: Values | None = None
    ) -> Code:
        """The value of a variable at an index."""
        kind = self.instance.var(var).type

        def value(at: Field) -> Code:
            return self._load(kind, at, state)

        def shifted(at: Field, position: str) -> Code:
            return self._load(kind, at, state, position)

        if known_values is not None and len(known_values) == 1 and not isinstance(kind, Seq):
            parts = [self.expression(part, env, facts, state) for part in index]
            if not any(part.partial or (part.value == NULL) for part in parts) and not self._optional(
                index, env, facts
            ):
                return known(*known_values)
        return self._select(var, index, env, facts, state, value, shifted)

    def _optional(self, index: tuple[Expr, ...], env: Env, facts: Facts) -> bool:
        return any(NULL in self.values(part, env, facts) for part in index)

    def candidates(
        self, var: str, index: tuple[Expr, ...], env: Env, facts: Facts, state: str
    ) -> tuple[list[Code], list[list[int]], bool]:
        """The codes of an index, the elements each part may be, and whether one may be null."""
        codes = [self.expression(part, env, facts, state) for part in index]
        choices: list[list[int]] = []
        optional = False
        for part, code in zip(index, codes, strict=True):
            if code.value is not None:
                values = frozenset({code.value})
            else:
                values = self.values(part, env, {} if state == "t" else facts)
            optional = optional or NULL in values
            choices.append(sorted(values - {NULL}))
        return codes, choices, optional

    def _select(
        self, var: str, index: tuple[Expr, ...], env: Env, facts: Facts, state: str,
        value: Callable[[Field], Code], shifted: Callable[[Field, str], Code],
    ) -> Code:  # fmt: skip
        codes, choices, optional = self.candidates(var, index, env, facts, state)
        if not all(choices):
            return Code(UNDEFINED, None, "", True)
        unknown = [n for n, code in enumerate(codes) if code.value is None]
        result = self._chosen(var, codes, choices, unknown, value, shifted)
        trying = [code.text for code in codes if code.partial]
        if trying:
            # an index that has no value counts, also where there is nothing to choose by it
            result = Code(f"({', '.join(f'(void){text}' for text in trying)}, {result.text})", None, "", True)
        if not optional:
            return result
        absent = " || ".join(f"{codes[n].text} < 0" for n in unknown if NULL in self.values(index[n], env, facts))
        if any(code.value == NULL for code in codes):
            return Code(UNDEFINED, None, "", True)
        return Code(f"(LZ_UNLIKELY({absent}) ? {UNDEFINED} : {result.text})", None, "", True)

    def _chosen(
        self, var: str, codes: list[Code], choices: list[list[int]], unknown: list[int],
        value: Callable[[Field], Code], shifted: Callable[[Field, str], Code],
    ) -> Code:  # fmt: skip
        """The value where the unknown parts of the index are among the choices."""
        fields = {at: self.layout.field(var, at) for at in product(*choices)}
        if len(fields) == 1:
            return value(next(iter(fields.values())))
        position = regular(fields, codes, choices)
        if position is not None:
            return shifted(next(iter(fields.values())), position)
        part = next(n for n in unknown if len(choices[n]) > 1)
        cases = [
            (e, self._chosen(var, codes, [*choices[:part], [e], *choices[part + 1 :]], unknown, value, shifted))
            for e in choices[part]
        ]
        text = cases[-1][1].text
        for e, case in reversed(cases[:-1]):
            if case.text != text:
                text = f"({codes[part].text} == {e} ? {case.text} : {text})"
        if len(text) > _MOST:
            raise Unsupported("an expression is too large")
        single = {case.value for _, case in cases}
        return Code(text, single.pop() if len(single) == 1 else None)

    def _load(self, kind: Type, at: Field, state: str, position: str = "") -> Code:
        if isinstance(kind, Seq):
            how = self.layout.packing(kind)
            if not at.bits:
                return Code("UINT64_C(0)")
            return Code(f"seq_load({raw(at, state, position)}, {how.capacity * how.bits})")
        if not at.bits:
            return known(at.lo)
        text = f"(int)({raw(at, state, position)})"
        return Code(f"({text} + {at.lo})" if at.lo > 0 else f"({text} - {-at.lo})" if at.lo else f"({text})")

    # -- operators -----------------------------------------------------------

    def _operation(self, op: Op, env: Env, facts: Facts, state: str) -> Code:
        args = [self.expression(arg, env, facts, state) for arg in op.args]
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
                return _comparison(op.op, *args)
            case "add":
                return _arithmetic("+", args)
            case "sub":
                return _arithmetic("-", args)
            case "neg":
                return _arithmetic("-", [known(0), args[0]])
            case "len":
                return Code(f"seq_len({args[0].text})", None, "", partial)
            case "get":
                how = self.layout.packing(op.args[0].type)
                text = f"seq_get({args[0].text}, {args[1].text}, {how.bits}, {how.lo}, &trouble)"
                return Code(text, None, "", True)
            case "push":
                how = self.layout.packing(op.type)
                text = f"seq_push({args[0].text}, {args[1].text}, {how.bits}, {how.lo}, {how.capacity}, &trouble)"
                return Code(text, None, "", partial)
            case "tail":
                how = self.layout.packing(op.type)
                return Code(f"seq_tail({args[0].text}, {how.bits})", None, "", partial)
            case "contains":
                how = self.layout.packing(op.args[0].type)
                return Code(f"seq_has({args[0].text}, {args[1].text}, {how.bits}, {how.lo})", None, "", partial)
            case _:
                assert_never(op.op)


# -- positions -----------------------------------------------------------------


def mask(bits: int) -> str:
    """As many ones."""
    return f"{hex((1 << bits) - 1)}u" if bits <= 32 else f"UINT64_C({hex((1 << bits) - 1)})"


def raw(at: Field, state: str, position: str = "") -> str:
    """The bits of a field; `position` is its place in its word where that is not the field's own."""
    word, shift = divmod(at.position, WORD)
    if not position and shift + at.bits == WORD:
        return f"{state}[{word}] >> {shift}"
    return f"{state}[{word}] >> {position or shift} & {mask(at.bits)}"


def regular(fields: Mapping[tuple[int, ...], Field], codes: list[Code], choices: list[list[int]]) -> str | None:
    """A field's place in its word as a sum over an index, if the fields lie in one word and look alike."""
    first = next(iter(fields.values()))
    if len({(f.position // WORD, f.bits, f.lo) for f in fields.values()}) > 1 or not first.bits:
        return None
    origin = tuple(options[0] for options in choices)
    base, terms, weights = first.position % WORD, [], []
    for n, options in enumerate(choices):
        if len(options) == 1:
            weights.append(0)
            continue
        there = fields[*origin[:n], options[1], *origin[n + 1 :]].position
        weight, rest = divmod(there - first.position, options[1] - options[0])
        if rest:
            return None
        weights.append(weight)
        base -= weight * options[0]
        terms.append(codes[n].text if weight == 1 else f"{codes[n].text} * {weight}")
    for at, found in fields.items():
        if found.position != first.position + sum((a - o) * w for a, o, w in zip(at, origin, weights, strict=True)):
            return None
    total = " + ".join(terms)
    return f"({total} + {base})" if base > 0 else f"({total} - {-base})" if base else f"({total})"


# -- operators -----------------------------------------------------------------


def among(pc: Code, locations: frozenset[int], count: int) -> Code:
    """Whether a control variable is at one of some of its `count` locations."""
    if pc.value is not None:
        return known(pc.value in locations)
    inside = [n for n in range(count) if n in locations]
    if not pc.partial and len(inside) in (0, count):
        return known(bool(inside))
    if len(inside) == 1:
        return Code(f"({pc.text} == {inside[0]})", None, f"({pc.text} != {inside[0]})", pc.partial)
    if count > WORD:
        text = "(" + " || ".join(f"{pc.text} == {n}" for n in inside) + ")" if inside else f"({pc.text} < 0)"
        return Code(text, None, "", pc.partial)
    bits = sum(1 << n for n in inside)
    text = f"(UINT64_C({hex(bits)}) >> {pc.text} & 1)"
    inverse = f"(UINT64_C({hex((1 << count) - 1 - bits)}) >> {pc.text} & 1)"
    return Code(text, None, inverse, pc.partial)


def conjunction(parts: list[Code]) -> Code:
    """All of the parts, evaluated from the left, as far as needed."""
    return _chain(parts, "&&", stop=False)


def disjunction(parts: list[Code]) -> Code:
    """Any of the parts, evaluated from the left, as far as needed."""
    return _chain(parts, "||", stop=True)


def _chain(parts: list[Code], word: str, *, stop: bool) -> Code:
    kept: list[Code] = []
    for part in parts:
        if part.value is None:
            kept.append(part)
        elif bool(part.value) is stop:
            if not any(code.partial for code in kept):
                return known(stop)
            kept.append(known(stop))
            break
    if not kept:
        return known(not stop)
    if len(kept) == 1:
        return kept[0]
    text = "(" + f" {word} ".join(code.text for code in kept) + ")"
    if len(text) > _MOST:
        raise Unsupported("an expression is too large")
    return Code(text, None, "", any(code.partial for code in kept))


def _choice(condition: Code, then: Code, other: Code) -> Code:
    if condition.value is not None:
        return then if condition.value else other
    if then.text == other.text and not condition.partial:
        return then
    partial = condition.partial or then.partial or other.partial
    return Code(f"({condition.text} ? {then.text} : {other.text})", None, "", partial)


def _comparison(operator: str, left: Code, right: Code) -> Code:
    sign, opposite = _SIGNS[operator]
    if left.value is not None and right.value is not None:
        return known(_compare(operator, left.value, right.value))
    partial = left.partial or right.partial
    return Code(f"({left.text} {sign} {right.text})", None, f"({left.text} {opposite} {right.text})", partial)


def _compare(operator: str, left: int, right: int) -> bool:
    match operator:
        case "eq":
            return left == right
        case "ne":
            return left != right
        case "lt":
            return left < right
        case "le":
            return left <= right
        case "gt":
            return left > right
        case _:
            return left >= right


def _arithmetic(sign: str, args: list[Code]) -> Code:
    constants = [arg.value for arg in args if arg.value is not None]
    if len(constants) == len(args):
        first, *rest = constants
        return known(first + sum(rest) if sign == "+" else first - sum(rest))
    text = "(" + f" {sign} ".join(arg.text for arg in args if sign == "-" or arg.value != 0) + ")"
    return Code(text, None, "", any(arg.partial for arg in args))
