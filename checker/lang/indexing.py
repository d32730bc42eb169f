"""What indices do to types."""

from __future__ import annotations

from checker.lang import syntax as s
from checker.lang import types as t
from checker.lang.names import CPU


def flatten_index(expr: s.IndexExpr) -> tuple[s.Expr, tuple[s.Expr, ...]]:
    """`a[i][j, k]` as `a` and `(i, j, k)`."""
    if isinstance(expr.base, s.IndexExpr):
        base, indices = flatten_index(expr.base)
        return base, indices + expr.index
    return expr.base, expr.index


def dimensions(type_: t.Type) -> int:
    """How many indices a value of the type can take."""
    match type_:
        case t.ArrayType():
            return len(type_.index) + dimensions(type_.element)
        case t.SetType():
            return len(type_.sorts)
        case t.SeqType():
            return 1
        case _:
            return 0


def names_cpu(own: t.Type, first: t.Type, given: int, has_cpu: bool) -> bool:
    """Whether the first of the indices given on a per-CPU variable says which CPU's; else it is this CPU's.

    It does where there is no current CPU or an index too many, and where it is a CPU and
    the variable's own first index is something else.
    """
    if not has_cpu or given > dimensions(own):
        return True
    wanted, _ = peel(own)
    return wanted != t.ElemType(CPU) and isinstance(first, t.ElemType) and first.sort == CPU


def peel(own: t.Type) -> tuple[t.Type | None, t.Type]:
    """The type of the next index, and what is left after it."""
    match own:
        case t.ArrayType(element=element, index=(sort, *rest)):
            return t.ElemType(sort), t.ArrayType(element, tuple(rest)) if rest else element
        case t.SetType(sorts=(sort, *rest)):
            return t.ElemType(sort), t.SetType(tuple(rest)) if rest else t.BOOL
        case t.SeqType(element=element, capacity=capacity):
            return t.IntType(0, capacity - 1), element
        case _:
            return None, own
