"""Constructors of System expressions that simplify as they build, and substitution.

Only what is certain for every size of every sort is simplified.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import assert_never

from checker.core import system as y

Substitution = Mapping[str, y.Expr]


def int_lit(value: int) -> y.Lit:
    """An integer constant."""
    return y.Lit(value, y.Int(value, value))


def range_of(expr: y.Expr) -> y.Int:
    """The range of an integer expression, as far as its text tells."""
    assert isinstance(expr.type, y.Int), expr
    return expr.type


def not_(a: y.Expr) -> y.Expr:
    """Negation."""
    match a:
        case y.Lit(value=value):
            return y.Lit(not value, y.BOOL)
        case y.Op(op="not", args=(inner,)):
            return inner
        case y.Op(op="eq", args=args):
            return y.Op("ne", args)
        case y.Op(op="ne", args=args):
            return y.Op("eq", args)
        case _:
            return y.Op("not", (a,))


def and_(args: Iterable[y.Expr]) -> y.Expr:
    """Conjunction, flattened, without repetitions."""
    parts: list[y.Expr] = []
    for arg in conjuncts(args):
        if arg == y.FALSE:
            return y.FALSE
        if arg not in parts:
            parts.append(arg)
    if any(not_(p) in parts for p in parts):
        return y.FALSE
    if not parts:
        return y.TRUE
    return parts[0] if len(parts) == 1 else y.Op("and", tuple(parts))


def conjuncts(args: Iterable[y.Expr]) -> Iterator[y.Expr]:
    """The parts of a conjunction that are not themselves conjunctions nor true."""
    for arg in args:
        if isinstance(arg, y.Op) and arg.op == "and":
            yield from conjuncts(arg.args)
        elif arg != y.TRUE:
            yield arg


def or_(args: Iterable[y.Expr]) -> y.Expr:
    """Disjunction, flattened, without repetitions."""
    parts: list[y.Expr] = []
    for arg in args:
        for part in arg.args if isinstance(arg, y.Op) and arg.op == "or" else (arg,):
            if part == y.TRUE:
                return y.TRUE
            if part != y.FALSE and part not in parts:
                parts.append(part)
    if not parts:
        return y.FALSE
    return parts[0] if len(parts) == 1 else y.Op("or", tuple(parts))


def implies(a: y.Expr, b: y.Expr) -> y.Expr:
    """Implication."""
    if a == y.FALSE or b == y.TRUE or a == b:
        return y.TRUE
    if a == y.TRUE:
        return b
    if b == y.FALSE:
        return not_(a)
    return y.Op("implies", (a, b))


def ite(condition: y.Expr, then: y.Expr, otherwise: y.Expr) -> y.Expr:
    """If-then-else."""
    if condition == y.TRUE or then == otherwise:
        return then
    if condition == y.FALSE:
        return otherwise
    if isinstance(then.type, y.Bool):
        if then == y.TRUE:
            return or_((condition, otherwise))
        if then == y.FALSE:
            return and_((not_(condition), otherwise))
        if otherwise == y.FALSE:
            return and_((condition, then))
        if otherwise == y.TRUE:
            return or_((not_(condition), then))
    return y.Op("ite", (condition, then, otherwise), _wider(then.type, otherwise.type))


def _wider(a: y.Type, b: y.Type) -> y.Type:
    match a, b:
        case y.Int(), y.Int():
            return y.Int(min(a.lo, b.lo), max(a.hi, b.hi))
        case y.Elem(), y.Elem():
            return y.Elem(a.sort, a.optional or b.optional)
        case _:
            return a


def eq(a: y.Expr, b: y.Expr) -> y.Expr:
    """Equality."""
    if a == b:
        return y.TRUE
    if differ(a, b):
        return y.FALSE
    for this, other in ((a, b), (b, a)):
        if this == y.TRUE:
            return other
        if this == y.FALSE:
            return not_(other)
        if isinstance(this, y.Lit | y.Static | y.Null) and isinstance(other, y.Op) and other.op == "ite":
            condition, then, otherwise = other.args
            if _constant(then) or _constant(otherwise):
                return ite(condition, eq(then, this), eq(otherwise, this))
    return y.Op("eq", (a, b))


def ne(a: y.Expr, b: y.Expr) -> y.Expr:
    """Inequality."""
    return not_(eq(a, b))


def differ(a: y.Expr, b: y.Expr) -> bool:
    """Whether two expressions differ in every state."""
    match a, b:
        case ((y.Lit() | y.Static() | y.Null()), (y.Lit() | y.Static() | y.Null())):
            return a != b
        case y.Null(), y.Param():
            return True
        case y.Param(), y.Null():
            return True
        case _:
            if isinstance(a.type, y.Int) and isinstance(b.type, y.Int):
                return a.type.hi < b.type.lo or b.type.hi < a.type.lo
            null_and_other = (
                (isinstance(a, y.Null), b.type) if isinstance(a, y.Null) else (isinstance(b, y.Null), a.type)
            )
            return null_and_other[0] and isinstance(null_and_other[1], y.Elem) and not null_and_other[1].optional


def _constant(expr: y.Expr) -> bool:
    return isinstance(expr, y.Lit | y.Static | y.Null)


_COMPARE: Mapping[str, Callable[[int, int], bool]] = {
    "lt": lambda a, b: a < b,
    "le": lambda a, b: a <= b,
    "gt": lambda a, b: a > b,
    "ge": lambda a, b: a >= b,
}


def compare(op: y.Operator, a: y.Expr, b: y.Expr) -> y.Expr:
    """An order comparison; ranges that do not meet decide it."""
    if isinstance(a, y.Lit) and isinstance(b, y.Lit):
        assert not isinstance(a.value, tuple) and not isinstance(b.value, tuple)
        return y.Lit(_COMPARE[op](a.value, b.value), y.BOOL)
    if isinstance(a.type, y.Int) and isinstance(b.type, y.Int):
        outcomes = {_COMPARE[op](p, q) for p, q in _corners(a.type, b.type)}
        if len(outcomes) == 1:
            return y.Lit(outcomes.pop(), y.BOOL)
    return y.Op(op, (a, b))


def _corners(a: y.Int, b: y.Int) -> Iterator[tuple[int, int]]:
    for p in (a.lo, a.hi):
        for q in (b.lo, b.hi):
            yield p, q
    if a.lo <= b.hi and b.lo <= a.hi:  # they overlap: equal values and neighbours are possible
        low, high = max(a.lo, b.lo), min(a.hi, b.hi)
        yield low, low
        yield high, high


def add(a: y.Expr, b: y.Expr) -> y.Expr:
    """A sum; the range of an integer sum is computed."""
    if isinstance(a.type, y.Gen):
        return y.Op("add", (a, b), a.type)
    if isinstance(a, y.Lit) and isinstance(b, y.Lit):
        assert not isinstance(a.value, tuple) and not isinstance(b.value, tuple)
        return int_lit(a.value + b.value)
    ra, rb = range_of(a), range_of(b)
    if isinstance(b, y.Lit) and b.value == 0:
        return a
    if isinstance(a, y.Lit) and a.value == 0:
        return b
    return y.Op("add", (a, b), y.Int(ra.lo + rb.lo, ra.hi + rb.hi))


def sub(a: y.Expr, b: y.Expr) -> y.Expr:
    """A difference."""
    if isinstance(a, y.Lit) and isinstance(b, y.Lit):
        assert not isinstance(a.value, tuple) and not isinstance(b.value, tuple)
        return int_lit(a.value - b.value)
    if isinstance(b, y.Lit) and b.value == 0:
        return a
    ra, rb = range_of(a), range_of(b)
    return y.Op("sub", (a, b), y.Int(ra.lo - rb.hi, ra.hi - rb.lo))


def quantify(kind: str, name: str, sort: str, body: y.Expr) -> y.Expr:
    """A quantifier; a body that does not depend on the variable stands alone.

    No sort is ever empty in an instance, so this is sound.
    """
    if kind in ("forall", "exists") and name not in free_params(body):
        return body
    assert kind in ("forall", "exists", "count")
    return y.Quant(kind, name, sort, body)  # type: ignore[arg-type]


# -- walking and substituting


def children(expr: y.Expr) -> tuple[y.Expr, ...]:
    """The direct parts of an expression."""
    match expr:
        case y.Lit() | y.Static() | y.Null() | y.Param():
            return ()
        case y.Read(index=index) | y.At(index=index):
            return index
        case y.Op(args=args):
            return args
        case y.Quant(body=body) | y.Next(body=body):
            return (body,)
        case _:
            assert_never(expr)


def walk(expr: y.Expr) -> Iterator[y.Expr]:
    """The expression and all its parts."""
    yield expr
    for child in children(expr):
        yield from walk(child)


def free_params(expr: y.Expr) -> set[str]:
    """The parameters that an expression mentions (bound ones have names of their own)."""
    return {part.name for part in walk(expr) if isinstance(part, y.Param)}


def variables(expr: y.Expr) -> set[str]:
    """The state variables that an expression reads."""
    return {part.var for part in walk(expr) if isinstance(part, y.Read)}


def rewrite(
    expr: y.Expr,
    read: Callable[[str, tuple[y.Expr, ...], y.Type], y.Expr],
    params: Substitution,
) -> y.Expr:
    """The expression with its parameters replaced and its reads given by `read`, simplified again."""

    def go(e: y.Expr) -> y.Expr:
        match e:
            case y.Lit() | y.Static() | y.Null():
                return e
            case y.Param(name=name):
                return params.get(name, e)
            case y.Read(var=var, index=index, type=type_):
                return read(var, tuple(go(i) for i in index), type_)
            case y.At(thread=thread, index=index, locations=locations):
                return y.At(thread, tuple(go(i) for i in index), locations)
            case y.Quant(kind=kind, name=name, sort=sort, body=body):
                return quantify(kind, name, sort, go(body))
            case y.Next(body=body):
                return y.Next(go(body))
            case y.Op(op=op, args=args, type=type_):
                return rebuild(op, tuple(go(a) for a in args), type_)
            case _:
                assert_never(e)

    return go(expr)


def substitute(expr: y.Expr, params: Substitution) -> y.Expr:
    """The expression with parameters replaced."""
    return rewrite(expr, y.Read, params) if params else expr


def rebuild(op: y.Operator, args: tuple[y.Expr, ...], type_: y.Type) -> y.Expr:
    """An operator applied, by the simplifying constructor it has."""
    match op:
        case "not":
            return not_(args[0])
        case "and":
            return and_(args)
        case "or":
            return or_(args)
        case "implies":
            return implies(*args)
        case "eq":
            return eq(*args)
        case "ne":
            return ne(*args)
        case "lt" | "le" | "gt" | "ge":
            return compare(op, *args)
        case "ite":
            return ite(*args)
        case "add":
            return add(*args)
        case "sub":
            return sub(*args)
        case _:
            return y.Op(op, args, type_)
