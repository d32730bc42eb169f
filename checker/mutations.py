"""What a wrong patch could leave out: every guard, flush, mask update, lock, IPI and barrier of a model's text.

Each mutation is a model that differs from the given one in one statement or
condition.  Ghosts, assertions and what only concerns locals are no part of the
protocol and stay.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import fields, replace
from typing import Any, Final

from checker.lang import syntax as s
from checker.lang.names import Model
from checker.lang.primitives import FENCES
from checker.lang.source import Span
from checker.lang.walk import falls_through, fields_of, first_name, last_name, nodes
from checker.records import dataclass

TAKES: Final = {
    "spin_lock": "spin_unlock",
    "mutex_lock": "mutex_unlock",
    "read_lock": "read_unlock",
    "write_lock": "write_unlock",
    "spin_lock_irq": "spin_unlock_irq",
    "spin_lock_irqsave": "spin_unlock_irqrestore",
    "down_read": "up_read",
    "down_write": "up_write",
    "local_irq_disable": "local_irq_enable",
    "local_irq_save": "local_irq_restore",
    "preempt_disable": "preempt_enable",
    "rcu_read_lock": "rcu_read_unlock",
}
"""What takes a lock or begins a section, and what ends it: they go together."""

_EVERY: Final = s.Truth(True)
_NEVER: Final = s.Truth(False)


@dataclass(frozen=True, slots=True)
class Mutation:
    """One thing left out: `what` it is, its `text`, the proc or thread it stands in, and the model without it.

    `statement` is where the whole statement stands, `reason` what the model's @survives says of why nothing may notice.
    """

    what: str
    text: str
    owner: str
    span: Span
    statement: Span
    model: Model
    reason: str = ""


def mutations(model: Model) -> Iterator[Mutation]:
    """Every mutation of a model and its libraries, proc by proc."""
    for owner, body, put_back in bodies(model):
        for what, part, statement, changed in _Mutator(model).of(body):
            text, reason = text_of(model, part), _reason(statement)
            yield Mutation(what, text, owner, part.span, statement.span, put_back(changed), reason)


_PutBack = Callable[[s.Block], Model]
_Found = tuple[str, s.Node, s.Node, s.Block]


def bodies(model: Model) -> Iterator[tuple[str, s.Block, _PutBack]]:
    """What patches may change: each proc's, handler's and thread's statements, and how the model is with others."""
    for name, proc in model.procs.items():
        if proc.body is not None:
            yield (
                name,
                proc.body,
                lambda b, n=name, p=proc: replace(  # type: ignore[misc]
                    model, procs={**model.procs, n: replace(p, body=b)}
                ),
            )
    for name, handler in model.interrupts.items():
        yield (
            name,
            handler.body,
            lambda b, n=name, h=handler: replace(  # type: ignore[misc]
                model, interrupts={**model.interrupts, n: replace(h, body=b)}
            ),
        )
    for name, thread in model.threads.items():
        if thread.kind == "hardware":
            continue  # what the hardware does is no patch's to change
        yield (
            name,
            thread.body,
            lambda b, n=name, t=thread: replace(  # type: ignore[misc]
                model, threads={**model.threads, n: replace(t, body=b)}
            ),
        )


class _Mutator:
    """The mutations of one body."""

    def __init__(self, model: Model) -> None:
        self._model = model
        self._ghosts = {v.name.text for v in model.vars.values() if v.storage == "ghost"}
        self._ghosts |= {f.name.text for f in fields_of(model) if f.storage == "ghost"}
        self._fields = {f.name.text for o in model.objects.values() for f in o.fields}

    def of(self, body: s.Block) -> Iterator[_Found]:
        pairs: dict[tuple[str, str], list[s.CallStmt]] = defaultdict(list)
        for node in nodes(body):
            match node:
                case s.CallStmt(call=call) if (begin := _begin(call.callee.text)) is not None:
                    pairs[begin, text_of(self._model, call).partition("(")[2]].append(node)
                case s.Assert() | s.ForAll():
                    pass
                case _:
                    for what, part, new in self._variants(node):
                        yield what, part, node, substituted(body, node, new)
        for (begin, _), calls in pairs.items():
            if {_begin(c.call.callee.text) == c.call.callee.text for c in calls} == {True, False}:
                changed = body
                for statement in calls:
                    changed = substituted(changed, statement, ())
                what = "lock" if "lock" in begin or begin.startswith("down") else "section"
                yield what, calls[0].call, calls[0], changed

    def _variants(self, node: s.Node) -> Iterator[tuple[str, s.Node, tuple[s.Node, ...]]]:
        """What could be left out of a node: what it is, the part that goes, and what then stands for the node."""
        match node:
            case s.Assign(place=place) if self._is_shared(place):
                yield ("mask update" if node.op != "=" else "assignment"), node, ()
            case s.CallStmt(call=call):
                yield self._kind_of(call), node, ()
            case s.IpiCall(nowait=nowait):
                yield "IPI", node, ()
                if not nowait:
                    yield "wait for IPI", node, (replace(node, nowait=True),)
            case s.IpiSend():
                yield "IPI", node, ()
            case s.IpiWait():
                yield "wait for IPI", node, ()
            case s.Free():
                # it stays in the text, as what the text frees can leak
                yield "free", node, (s.If(_NEVER, s.Block((node,), span=node.span), None, span=node.span),)
            case s.Section(kind=kind, body=body) if kind != "atomic":
                yield f"{kind} off", node, body.body
            case s.If():
                yield from self._guards(node)
            case s.Await(condition=condition):
                for part, rest in _conjuncts(condition):
                    if self._is_state(part):
                        yield "wait", part, () if rest is None else (replace(node, condition=rest),)
            case s.Pick(where=where) if where is not None:
                for part, rest in _conjuncts(where):
                    if self._is_state(part):
                        yield "choice", part, (replace(node, where=rest),)
            case s.While(condition=condition) if condition is not None:
                yield "loop", node, ()
            case _:
                pass

    def _guards(self, node: s.If) -> Iterator[tuple[str, s.Node, tuple[s.Node, ...]]]:
        """An `if` that leaves early guards what follows it; any other one guards its block."""
        if not falls_through(node.then) and node.otherwise is None:
            for part, rest in _disjuncts(node.condition):
                if self._is_state(part):
                    yield "guard", part, () if rest is None else (replace(node, condition=rest),)
            return
        for part, rest in _conjuncts(node.condition):
            if self._is_state(part):
                yield "guard", part, (replace(node, condition=rest or replace(_EVERY, span=part.span)),)

    def _is_state(self, condition: s.Expr) -> bool:
        """Whether a condition is about the state, and not about the configuration alone."""
        known = {*self._model.configs, *(m.text for e in self._model.enums.values() for m in e.members)}
        parts = [n for n in nodes(condition) if isinstance(n, s.NameExpr | s.CallExpr | s.FieldExpr)]
        return any(not isinstance(n, s.NameExpr) or n.name not in known for n in parts)

    def _is_shared(self, place: s.Expr) -> bool:
        if last_name(place) in self._ghosts or first_name(place) in self._ghosts:
            return False
        return first_name(place) in self._model.vars or (
            any(isinstance(n, s.FieldExpr) and n.field.text in self._fields for n in nodes(place))
        )

    def _kind_of(self, call: s.CallExpr) -> str:
        name = call.callee.text
        if name in self._model.procs:
            return "call"
        if name in FENCES:
            return "barrier"
        return "reference" if name in ("get", "put") else "update"


def place_in(model: Model, span: Span) -> tuple[bool, str, int, int]:
    """To sort by: as in the text, libraries first."""
    return span.file == model.file, span.file, span.line, span.column


def text_of(model: Model, node: s.Node) -> str:
    """A node as the model writes it."""
    source = model.sources.get(node.span.file)
    return source.excerpt(node.span) if source is not None else ""


def _reason(node: s.Node) -> str:
    """What @survives says of a statement."""
    attributes = node.attributes if isinstance(node, s.Statement) else ()
    return next((a.args[0] for a in attributes if a.name == "survives"), "")


def _begin(name: str) -> str | None:
    """The taking half of a pair; None for what is not half of one."""
    if name in TAKES:
        return name
    return next((take for take, release in TAKES.items() if release == name), None)


def _conjuncts(condition: s.Expr) -> Iterator[tuple[s.Expr, s.Expr | None]]:
    """Each part of a conjunction with the rest of it."""
    yield from _parts(condition, "&&")


def _disjuncts(condition: s.Expr) -> Iterator[tuple[s.Expr, s.Expr | None]]:
    yield from _parts(condition, "||")


def _parts(condition: s.Expr, op: str) -> Iterator[tuple[s.Expr, s.Expr | None]]:
    flat = list(_flat(condition, op))
    for n, part in enumerate(flat):
        rest: s.Expr | None = None
        for other in flat[:n] + flat[n + 1 :]:
            rest = other if rest is None else s.Binary(op, rest, other, span=condition.span)
        yield part, rest


def _flat(condition: s.Expr, op: str) -> Iterator[s.Expr]:
    if isinstance(condition, s.Binary) and condition.op == op:
        yield from _flat(condition.left, op)
        yield from _flat(condition.right, op)
    else:
        yield condition


def substituted(tree: Any, old: s.Node, new: tuple[s.Node, ...]) -> Any:
    """The tree with `new` in the place of `old`, which is found by identity; other parts stay the same objects.

    What is no statement is replaced by one node.
    """
    if tree is old:
        (tree,) = new
        return tree
    if isinstance(tree, tuple):
        changed: list[Any] = []
        for part in tree:
            changed += new if part is old else (substituted(part, old, new),)
        same = len(changed) == len(tree) and all(a is b for a, b in zip(changed, tree, strict=True))
        return tree if same else tuple(changed)
    if not isinstance(tree, s.Node):
        return tree
    values = {f.name: (v, substituted(v, old, new)) for f in fields(tree) if (v := getattr(tree, f.name)) is not None}
    different = {name: now for name, (before, now) in values.items() if now is not before}
    return replace(tree, **different) if different else tree
