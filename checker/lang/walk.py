"""Walks over pieces of syntax."""

from __future__ import annotations

from collections.abc import Iterator

from checker.lang import syntax as s
from checker.lang.names import Model


def nodes(node: object) -> Iterator[s.Node]:
    """All nodes of a piece of syntax, outer ones first."""
    open_ = [node]
    while open_:
        node = open_.pop()
        if isinstance(node, tuple):
            open_ += node[::-1]
        elif isinstance(node, s.Node):
            yield node
            open_ += [getattr(node, name) for name in _parts(type(node))]


_PARTS: dict[type, tuple[str, ...]] = {}


def _parts(kind: type[s.Node]) -> tuple[str, ...]:
    """The fields of a node that can hold others, the last first."""
    if kind not in _PARTS:
        _PARTS[kind] = tuple(name for name in reversed(kind.__dataclass_fields__) if name != "span")
    return _PARTS[kind]


def bodies(model: Model) -> tuple[object, ...]:
    """All statements of a model, by body."""
    return (
        *(p.body for p in model.procs.values()),
        *(i.body for i in model.interrupts.values()),
        *(x.body for x in model.threads.values()),
        *(x.preempted for x in model.threads.values()),
        *(i.body for i in model.inits),
    )


def last_name(place: s.Expr) -> str:
    """The variable or field that a place is of: `tlb_gen` of `m.tlb_gen[c]`."""
    match place:
        case s.NameExpr(name=name):
            return name
        case s.FieldExpr(field=field):
            return field.text
        case s.IndexExpr(base=base):
            return last_name(base)
        case _:
            return ""


def first_name(place: s.Expr) -> str:
    """The name that a place begins with: `m` of `m.tlb_gen[c]`."""
    while isinstance(place, s.FieldExpr | s.IndexExpr):
        place = place.base
    return place.name if isinstance(place, s.NameExpr) else ""


def called(node: object) -> Iterator[str]:
    """The names of all that is called in a piece of syntax, handlers run by `call` included."""
    for part in nodes(node):
        match part:
            case s.CallExpr(callee=callee):
                yield callee.text
            case s.IpiCall(handler=handler):
                yield handler.text
            case _:
                pass


def falls_through(block: s.Block) -> bool:
    """Whether the end of a block can be reached."""
    return not any(_ends(st) for st in block.body)


def _ends(st: s.Stmt) -> bool:
    match st:
        case s.Return() | s.Break() | s.Continue():
            return True
        case s.If(then=then, otherwise=otherwise):
            return otherwise is not None and not falls_through(then) and not falls_through(otherwise)
        case s.Either(branches=branches):
            return not any(falls_through(b) for b in branches)
        case s.While(condition=None, body=body):
            return not any(_breaks(body.body))
        case s.Section(body=body):
            return not falls_through(body)
        case _:
            return False


def _breaks(statements: tuple[s.Stmt, ...]) -> Iterator[bool]:
    """True for every `break` that belongs to the loop around the statements."""
    for st in statements:
        match st:
            case s.Break():
                yield True
            case s.If(then=then, otherwise=otherwise):
                yield from _breaks(then.body)
                yield from _breaks(otherwise.body if otherwise is not None else ())
            case s.Either(branches=branches):
                for branch in branches:
                    yield from _breaks(branch.body)
            case s.Section(body=body):
                yield from _breaks(body.body)
            case _:
                pass


def heads(model: Model) -> dict[str, list[s.FieldDecl | s.VarDecl]]:
    """The generation counters: what the text increments, with all that is declared as a gen by that name."""
    names: set[str] = set()
    for node in nodes(bodies(model)):
        match node:
            case s.Assign(place=place, op="+="):
                names.add(last_name(place))
            case s.CallExpr(callee=callee, args=(place, *_)) if callee.text.startswith("atomic_inc"):
                names.add(last_name(place))
            case _:
                pass
    found: dict[str, list[s.FieldDecl | s.VarDecl]] = {}
    everything: list[s.FieldDecl | s.VarDecl] = [*fields_of(model), *model.vars.values()]
    for declared in everything:
        if declared.name.text in names and _is_gen(declared.type):
            found.setdefault(declared.name.text, []).append(declared)
    return found


def fields_of(model: Model) -> list[s.FieldDecl]:
    """All fields of objects and records."""
    return [
        *(f for o in model.objects.values() for f in o.fields),
        *(f for r in model.records.values() for f in r.fields),
    ]


def _is_gen(type_: s.TypeExpr) -> bool:
    inner = type_.base if isinstance(type_, s.ArrayType) else type_
    return isinstance(inner, s.NamedType) and inner.name == "gen"
