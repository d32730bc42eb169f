"""Expressions of litmus tests: numbers, and pointers that are passed on."""

from __future__ import annotations

from collections.abc import Mapping

from checker.litmus.program import Apply, Expr, Name, Number, Word


def evaluate(expr: Expr, values: Mapping[str, Word]) -> Word:
    """The value of an expression, given those of its names."""
    match expr:
        case Number(value):
            return value
        case Name(name):
            return values[name]
        case Apply("!", (arg,)):
            return int(not _true(evaluate(arg, values)))
        case Apply("&&", (a, b)):
            return int(_true(evaluate(a, values)) and _true(evaluate(b, values)))
        case Apply("||", (a, b)):
            return int(_true(evaluate(a, values)) or _true(evaluate(b, values)))
        case Apply(op, (a, b)):
            left, right = evaluate(a, values), evaluate(b, values)
            if op in ("==", "!="):
                return int((left == right) == (op == "=="))
            if isinstance(left, str) or isinstance(right, str):
                # pointers are not computed with, but x + 0 * r and x ^ r ^ r are the pointer again
                return left if isinstance(left, str) else right
            return _number(op, left, right)
        case _:
            raise AssertionError(expr)


def _true(value: Word) -> bool:
    return value != 0


def _number(op: str, a: int, b: int) -> int:
    match op:
        case "+":
            return a + b
        case "-":
            return a - b
        case "*":
            return a * b
        case "&":
            return a & b
        case "|":
            return a | b
        case "^":
            return a ^ b
        case "<":
            return int(a < b)
        case ">":
            return int(a > b)
        case "<=":
            return int(a <= b)
        case ">=":
            return int(a >= b)
        case _:
            raise AssertionError(op)
