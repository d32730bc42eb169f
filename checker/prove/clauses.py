"""Clauses: what holds for all elements, written as the situation that never occurs."""

from __future__ import annotations

from checker.core import fold
from checker.core import system as y
from checker.core.printer import format_expr
from checker.records import dataclass


@dataclass(frozen=True, slots=True)
class Clause:
    """For all `vars`, not all of `never` are true at once.

    With `distinct`, variables of one sort stand for different elements.  `name` is the
    property that it is, where it is one.
    """

    vars: tuple[y.Param, ...]
    never: tuple[y.Expr, ...]
    distinct: bool = True
    name: str = ""

    def __hash__(self) -> int:
        # most clauses differ in where threads are; a deep hash each time took longer than the solver
        return hash((self.vars, self.name, len(self.never), *(f.locations for f in self.never if isinstance(f, y.At))))

    def variables(self) -> frozenset[str]:
        """The state variables that it speaks of; control variables among them."""
        parts = [part for fact in self.never for part in fold.walk(fact)]
        return frozenset(p.var if isinstance(p, y.Read) else f"{p.thread}.pc"
                         for p in parts if isinstance(p, y.Read | y.At))  # fmt: skip

    def apart(self) -> tuple[tuple[y.Param, y.Param], ...]:
        """The pairs of variables that stand for different elements."""
        if not self.distinct:
            return ()
        return tuple((a, b) for n, a in enumerate(self.vars) for b in self.vars[:n] if a.sort == b.sort)

    def situation(self) -> tuple[y.Expr, ...]:
        """What never is, that variables differ included."""
        return (*(fold.ne(a, b) for a, b in self.apart()), *self.never)

    def text(self, system: y.System) -> str:
        """The clause in words of the model: never ...."""
        shown = " && ".join(format_expr(f, system=system, qualified=True) for f in self.never)
        binders = ", ".join(f"{v.name} : {v.sort}" for v in self.vars)
        return f"never {binders}: {shown}" if binders else f"never {shown}"


def of_property(prop: y.Property, truth: y.Expr) -> Clause:
    """A property as a clause: its outer universal quantifiers are the variables."""
    params: list[y.Param] = []
    body = truth
    while isinstance(body, y.Quant) and body.kind == "forall":
        params.append(y.Param(body.name, body.sort))
        body = body.body
    return Clause(tuple(params), (fold.not_(body),), distinct=False, name=prop.name)
