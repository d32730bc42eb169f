"""The control flow of one thread: nodes, edges, and the small operations on them.

Operations happen one after the other, on the state as it then is; `paths`
turns stretches of them into actions with simultaneous updates.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from checker.core import fold
from checker.core import system as y
from checker.lang.diagnostics import Diagnostic, Note, UserError
from checker.lang.source import NO_SPAN, Span

# -- operations


@dataclass(frozen=True, slots=True)
class Guard:
    """Go on only if true."""

    expr: y.Expr


@dataclass(frozen=True, slots=True)
class Check:
    """A fault if not true."""

    expr: y.Expr
    fault: y.Fault


@dataclass(frozen=True, slots=True)
class Choose:
    """A parameter of the action: any element of its sort."""

    param: y.Param


@dataclass(frozen=True, slots=True)
class Assign:
    """`var[index] := value` for all `binders` where `where` holds."""

    var: str
    index: tuple[y.Expr, ...]
    value: y.Expr
    binders: tuple[y.Param, ...] = ()
    where: y.Expr = y.TRUE


@dataclass(frozen=True, slots=True)
class Together:
    """Assignments whose expressions are all evaluated before any of them is made; a later one wins."""

    assigns: tuple[Assign, ...]


@dataclass(frozen=True, slots=True)
class Barrier:
    """A memory barrier."""

    name: str


Operation = Guard | Check | Choose | Assign | Together | Barrier
Order = Literal["once", "acquire", "release", "full", "relaxed"]


def expressions(op: Operation) -> tuple[y.Expr, ...]:
    """The expressions that an operation evaluates."""
    match op:
        case Guard(expr=expr) | Check(expr=expr):
            return (expr,)
        case Assign(index=index, value=value, where=where):
            return (*index, value, where)
        case Together(assigns=assigns):
            return tuple(e for a in assigns for e in expressions(a))
        case Choose() | Barrier():
            return ()


def assignments(op: Operation) -> tuple[Assign, ...]:
    """The assignments that an operation makes."""
    match op:
        case Assign():
            return (op,)
        case Together(assigns=assigns):
            return assigns
        case _:
            return ()


# -- the graph


@dataclass(frozen=True, slots=True)
class Sections:
    """How deep interrupts and preemption are disabled; where both are 0, both are on."""

    irqs: int = 0
    preempt: int = 0

    def deeper_than(self, other: Sections, *, preemption: bool = True) -> bool:
        """Whether anything is disabled here that is not there; `preemption`: whether that counts."""
        irqs = self.irqs > 0 and other.irqs == 0
        return irqs or (preemption and self.preempt > 0 and other.preempt == 0)

    def within(self, kinds: tuple[str, ...]) -> Sections:
        """These, with further sections (`irqs`, `preempt`) opened."""
        return Sections(self.irqs + kinds.count("irqs"), self.preempt + kinds.count("preempt"))

    def without(self, kinds: tuple[str, ...]) -> Sections | None:
        """These, with sections closed; None where they are not open."""
        after = Sections(self.irqs - kinds.count("irqs"), self.preempt - kinds.count("preempt"))
        return after if min(after.irqs, after.preempt) >= 0 else None


@dataclass(slots=True)
class Node:
    """A point of the text; `choice`: several ways lead on whatever the state; `inside`: within an atomic block."""

    sections: Sections
    inside: bool
    span: Span
    proc: str
    choice: bool = False
    out: list[int] = field(default_factory=list)  # edge numbers


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a step comes from."""

    span: Span
    label: str
    frames: tuple[y.Frame, ...]
    kernel: str | None
    statement: str


@dataclass(frozen=True, slots=True)
class Edge:
    """Operations from one node to another.

    `visible`: it touches more than locals and ghosts, so it is a step.
    `blocking`: it may have to wait.  `ends`: the step ends with it, whatever follows.
    """

    source: int
    target: int
    operations: tuple[Operation, ...]
    origin: Origin
    visible: bool
    blocking: bool = False
    ends: bool = False
    branch: bool | None = None
    memory: tuple[y.Access | y.Fence, ...] = ()


class Flow:
    """The graph of one thread, while it is built."""

    def __init__(self, variables: Mapping[str, y.Var]) -> None:
        self.nodes: list[Node] = []
        self.edges: list[Edge] = []
        self._variables = variables
        self._inside = 0

    def node(self, sections: Sections, span: Span = NO_SPAN, proc: str = "") -> int:
        """A new node."""
        self.nodes.append(Node(sections, self._inside > 0, span, proc))
        return len(self.nodes) - 1

    def enter_atomic(self) -> None:
        """Nodes made from here on are inside an atomic block."""
        self._inside += 1

    def leave_atomic(self) -> None:
        """The end of an atomic block."""
        self._inside -= 1

    @property
    def in_atomic(self) -> bool:
        """Whether nodes made now are inside an atomic block."""
        return self._inside > 0

    def edge(
        self,
        source: int,
        target: int,
        operations: Iterable[Operation],
        origin: Origin,
        *,
        blocking: bool = False,
        ends: bool = False,
        branch: bool | None = None,
        order: Order = "once",
        rmw: bool = False,
        step: bool = False,
    ) -> None:
        """A new edge; `step` makes it a step even if it touches nothing shared."""
        kept = tuple(op for op in operations if op not in (Guard(y.TRUE), Check(y.TRUE, _ANY)))
        if Guard(y.FALSE) in kept:
            return
        visible = step or (not self._only_ghosts(kept) and any(self._touches_shared(op) for op in kept))
        memory = self._memory(kept, order, rmw)
        self.nodes[source].out.append(len(self.edges))
        self.edges.append(Edge(source, target, kept, origin, visible, blocking, ends, branch, memory))

    def join(self, target: int, sections: Sections, span: Span) -> None:
        """Check that a way that ends with `sections` may lead to a node."""
        wanted = self.nodes[target].sections
        if wanted != sections:
            what = "interrupts are" if wanted.irqs != sections.irqs else "preemption is"
            depth = sections.irqs if wanted.irqs != sections.irqs else sections.preempt
            state = "off" if depth else "on"
            message = f"{what} {state} on this way here, but not on another"
            note = Note(self.nodes[target].span, "the ways meet here")
            notes = (note,) if self.nodes[target].span != NO_SPAN else ()
            raise UserError([Diagnostic("LZ312", message, span, notes, "make both ways agree")])

    def shared(self, var: str) -> bool:
        """Whether a variable is seen by others."""
        return self._variables[var].storage in (y.Storage.MEMORY, y.Storage.MACHINE)

    def ghost(self, var: str) -> bool:
        """Whether only properties look at a variable."""
        return self._variables[var].storage is y.Storage.GHOST

    def _only_ghosts(self, operations: tuple[Operation, ...]) -> bool:
        """Whether operations do nothing but change ghosts; what that takes is part of the step before or after."""
        made = [a for op in operations for a in assignments(op)]
        silent = all(isinstance(op, Check | Assign | Together) for op in operations)
        return silent and bool(made) and all(self.ghost(a.var) for a in made)

    def _touches_shared(self, op: Operation) -> bool:
        if isinstance(op, Barrier):
            return True
        if isinstance(op, Together):
            return any(self._touches_shared(a) for a in op.assigns)
        if isinstance(op, Assign) and self.ghost(op.var):
            return False
        if isinstance(op, Assign) and self.shared(op.var):
            return True
        return any(self.shared(v) for e in expressions(op) for v in fold.variables(e))

    def _memory(self, operations: tuple[Operation, ...], order: Order, rmw: bool) -> tuple[y.Access | y.Fence, ...]:
        """The accesses to memory locations, in order."""
        found: list[y.Access | y.Fence] = []
        for op in operations:
            match op:
                case Barrier(name=name):
                    found.append(y.Fence(name))
                case Guard(expr=expr):
                    found += self._reads((expr,), order)
                case Assign() | Together():
                    real = [a for a in assignments(op) if not self.ghost(a.var)]
                    found += [access for a in real for access in self._reads(expressions(a), order)]
                    found += [y.Access("write", a.var, a.index, order) for a in real if self._in_memory(a.var)]
                case _:
                    pass
        unique = list(dict.fromkeys(found))
        if not rmw:
            return tuple(unique)
        written = [a for a in unique if isinstance(a, y.Access) and a.kind == "write"]
        both = {(a.var, a.index) for a in written}
        merged: list[y.Access | y.Fence] = [y.Access("rmw", a.var, a.index, a.order) for a in written]
        rest = [a for a in unique if isinstance(a, y.Fence) or (a.var, a.index) not in both]
        return tuple(rest + merged)

    def _reads(self, exprs: tuple[y.Expr, ...], order: Order) -> list[y.Access]:
        return [
            y.Access("read", part.var, part.index, order)
            for expr in exprs
            for part in fold.walk(expr)
            if isinstance(part, y.Read) and self._in_memory(part.var)
        ]

    def _in_memory(self, var: str) -> bool:
        return self._variables[var].storage is y.Storage.MEMORY and not var.endswith(".live")


_ANY = y.Fault("", "")
