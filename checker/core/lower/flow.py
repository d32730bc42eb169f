"""The control flow of one thread: nodes, edges, and the small operations on them.

Operations happen one after the other, on the state as it then is; `paths`
turns stretches of them into actions with simultaneous updates.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import field
from typing import Literal

from checker.core import fold
from checker.core import system as y
from checker.lang.diagnostics import Diagnostic, Note, UserError
from checker.lang.source import NO_SPAN, Span
from checker.records import dataclass

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
    settled: bool = True  # where not, the first way here says what is disabled
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

    @property
    def never(self) -> bool:
        """Whether it waits for what a config makes false: nobody comes this way, and nobody has ended before it."""
        return Guard(y.FALSE) in self.operations


class Flow:
    """The graph of one thread, while it is built."""

    def __init__(self, variables: Mapping[str, y.Var], *, barriers: frozenset[str] = frozenset()) -> None:
        self.nodes: list[Node] = []
        self.edges: list[Edge] = []
        self._variables = variables
        self._inside = 0
        self._barriers = barriers

    def node(self, sections: Sections, span: Span = NO_SPAN, proc: str = "", *, settled: bool = True) -> int:
        """A new node."""
        self.nodes.append(Node(sections, self._inside > 0, span, proc, settled=settled))
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
        if Guard(y.FALSE) in kept and not blocking:
            return
        visible = step or (not self._only_ghosts(kept) and any(self._touches_shared(op) for op in kept))
        memory = self._memory(kept, order, rmw)
        self.nodes[source].out.append(len(self.edges))
        self.edges.append(Edge(source, target, kept, origin, visible, blocking, ends, branch, memory))

    def join(self, target: int, sections: Sections, span: Span, end: int | None = None, began: str = "") -> None:
        """Check that a way that ends with `sections` (at node `end`) may lead to a node; `span` is where they meet.

        `began`: what begins with the sections that the node has, a loop for its head and its exit.
        """
        node = self.nodes[target]
        if not node.settled:
            node.sections, node.settled = sections, True
        wanted = node.sections
        if wanted == sections:
            return
        irqs = wanted.irqs != sections.irqs
        what = "interrupts are" if irqs else "preemption is"
        low, high = sorted((wanted.irqs, sections.irqs) if irqs else (wanted.preempt, sections.preempt))
        message = f"{what} on or off here, depending on the way that was taken"
        if low > 0:
            message = f"{what} off {low} or {high} levels deep here, depending on the way that was taken"
        elif began:
            subject, was = ("interrupts are", "were") if irqs else ("preemption is", "was")
            here, there = ("off", "on") if (sections.irqs if irqs else sections.preempt) else ("on", "off")
            message = f"{subject} {here} here, but {was} {there} where {began} began"
        notes = self._turned(target, end, irqs) if end is not None else ()
        raise UserError([Diagnostic("LZ312", message, span, notes, "" if began else "make all ways agree")])

    def _turned(self, first: int, second: int, irqs: bool) -> tuple[Note, ...]:
        """Where only one of two ways has turned interrupts or preemption off or on."""
        ways = [self._before(first), self._before(second)]
        notes = []
        for way, other in (ways, ways[::-1]):
            for edge in way:
                note = self._turns(edge, irqs)
                if note is not None and edge not in other:
                    notes.append(note)
                    break
        return tuple(sorted(notes, key=lambda n: (n.span.line, n.span.column)))

    def turned_on(self, end: int, irqs: bool) -> tuple[Note, ...]:
        """Where interrupts or preemption were last turned on before a node."""
        notes = (self._turns(edge, irqs) for edge in self._before(end))
        return tuple(note for note in notes if note is not None and "on here" in note.message)[:1]

    def _turns(self, edge: Edge, irqs: bool) -> Note | None:
        before, after = self.nodes[edge.source].sections, self.nodes[edge.target].sections
        change = after.irqs - before.irqs if irqs else after.preempt - before.preempt
        if change == 0:
            return None
        what = "interrupts are" if irqs else "preemption is"
        return Note(edge.origin.span, f"{what} turned {'off' if change > 0 else 'on'} here")

    def _before(self, node: int) -> list[Edge]:
        """The edges on the ways to a node, the nearest first."""
        into: dict[int, list[Edge]] = {}
        for edge in self.edges:
            into.setdefault(edge.target, []).append(edge)
        found: list[Edge] = []
        seen, todo = {node}, [node]
        for at in todo:
            for edge in into.get(at, ()):
                found.append(edge)
                if edge.source not in seen:
                    seen.add(edge.source)
                    todo.append(edge.source)
        return found

    @property
    def ordered(self) -> bool:
        """Whether the memory model tells the accesses of one step apart."""
        return bool(self._barriers)

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
            return op.name in self._barriers
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
