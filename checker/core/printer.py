"""How a System reads on paper: expressions in the model language's own syntax.

Nothing here is parsed back: where the System is more explicit than the language
(the index of a local, the location of a thread), the text says what it means.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import field, replace
from typing import Final, assert_never, cast

from checker.core.system import (
    NULL,
    TRUE,
    Access,
    Action,
    At,
    Bool,
    Elem,
    Enum,
    Expr,
    Fence,
    Gen,
    GenFamily,
    Int,
    Lit,
    Next,
    Null,
    Op,
    Param,
    Property,
    Quant,
    Read,
    Seq,
    Sort,
    Static,
    System,
    Thread,
    Type,
    Update,
    Var,
)
from checker.records import dataclass

_INFIX: Final = {
    "implies": ("=>", 2),
    "or": ("||", 3),
    "and": ("&&", 4),
    "eq": ("==", 5),
    "ne": ("!=", 5),
    "lt": ("<", 5),
    "le": ("<=", 5),
    "gt": (">", 5),
    "ge": (">=", 5),
    "add": ("+", 6),
    "push": ("+", 6),
    "sub": ("-", 6),
}
_CONDITIONAL, _IMPLIES, _COMPARISON, _UNARY, _POSTFIX = 1, 2, 5, 7, 8
_MANY_LOCATIONS: Final = 3


def format_expr(
    expr: Expr,
    *,
    names: Mapping[str, str] | None = None,
    system: System | None = None,
    qualified: bool = False,
) -> str:
    """The expression in the language's syntax, with no more parentheses than it needs.

    `names` says what to print for a parameter (an element's name, say), `system`
    gives the names of locations.  A thread's local prints as the language has it,
    `next`, or, if `qualified`, with its thread and index: `cpu_loop.next[c]`.
    """
    return _Printer(names or {}, _locations(system), _members(system), qualified).text(expr)


def format_type(type_: Type) -> str:
    """The type as the language writes it."""
    match type_:
        case Bool():
            return "bool"
        case Int(lo, hi):
            return f"{lo}..{hi}"
        case Enum(name):
            return name
        case Elem(sort, optional):
            return sort + "?" * optional
        case Seq(element, capacity):
            return f"seq of {format_type(element)} max {capacity}"
        case Gen():
            return "gen"
        case _:
            assert_never(type_)


def is_field(var: str, index: tuple[str, ...]) -> bool:
    """Whether a variable of this name and index sorts is a field of an object."""
    owner, dot, _ = var.partition(".")
    return bool(dot) and bool(index) and index[0] == owner


def parts(expr: Expr) -> tuple[Expr, ...]:
    """The expressions that `expr` is directly made of."""
    match expr:
        case Read(_, index) | At(_, index):
            return index
        case Op(_, args):
            return args
        case Quant() | Next():
            return (expr.body,)
        case Lit() | Static() | Null() | Param():
            return ()
        case _:
            assert_never(expr)


def _words(expr: Expr) -> set[str]:
    """The names of the variables and parameters that occur in an expression."""
    own = {expr.var} if isinstance(expr, Read) else {expr.name} if isinstance(expr, (Param, Static)) else set()
    return own.union(*map(_words, parts(expr)))


def _locations(system: System | None) -> Mapping[str, tuple[str, ...]]:
    if system is None:
        return {}
    return {thread.name: tuple(location.name for location in thread.locations) for thread in system.threads}


def _members(system: System | None) -> Mapping[str, int]:
    return {var.name: var.members for var in system.vars} if system is not None else {}


@dataclass(frozen=True, slots=True)
class _Printer:
    """An expression printer: what the parameters and the locations are called, which variables are sets."""

    names: Mapping[str, str] = field(default_factory=dict)
    locations: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    members: Mapping[str, int] = field(default_factory=dict)
    qualified: bool = False

    def text(self, expr: Expr, level: int = 0) -> str:
        """The text of `expr` where an operand must bind at least as tightly as `level`."""
        text, binds = self._render(expr)
        return text if binds >= level else f"({text})"

    def _list(self, exprs: Iterable[Expr]) -> str:
        return ", ".join(self.text(expr) for expr in exprs)

    def _render(self, expr: Expr) -> tuple[str, int]:
        """The text of `expr` and how tightly it binds."""
        match expr:
            case Lit():
                return _literal(expr), _POSTFIX
            case Static(_, name):
                return name, _POSTFIX
            case Null():
                return "null", _POSTFIX
            case Param(name):
                return self.names.get(name, name), _POSTFIX
            case Read(var, (*owner, member)) if self.members.get(var) == 1:
                of = self._read(replace(expr, index=tuple(owner)))
                return f"{self.text(member, _COMPARISON + 1)} in {of}", _COMPARISON
            case Read():
                return self._read(expr), _POSTFIX
            case Op():
                return self._op(expr)
            case Quant():
                return self._quant(expr), _POSTFIX
            case At():
                return self._at(expr), _POSTFIX
            case Next(body):
                return f"next({self.text(body)})", _POSTFIX
            case _:
                assert_never(expr)

    def _quant(self, quant: Quant) -> str:
        """A quantifier; those of one kind that stand directly within it share its braces."""
        binders: list[str] = []
        inner, body = self, cast(Expr, quant)
        while isinstance(body, Quant) and body.kind == quant.kind:
            inner, shown = inner._bind(body.name, body.body)
            binders.append(f"{shown} : {body.sort}")
            body = body.body
            if quant.kind == "count":
                break
        return f"{quant.kind} {', '.join(binders)} {{ {inner.text(body)} }}"

    def _bind(self, name: str, body: Expr) -> tuple[_Printer, str]:
        """The printer for the body of a quantifier, and what the bound variable is called.

        Lowering makes all bound names differ; `c_2` prints as `c` where nothing else is called `c`.
        """
        base, _, number = name.rpartition("_")
        taken = {self.names.get(word, word) for word in _words(body) - {name}}
        shown = base if base and number.isdigit() and not self.qualified and base not in taken else name
        return replace(self, names={**self.names, name: shown}), shown

    def _read(self, read: Read) -> str:
        _, _, name = read.var.partition(".")
        if is_field(read.var, tuple(_sort_of(i) for i in read.index)):
            if name == "live":
                return f"live({self._list(read.index)})"
            return f"{self.text(read.index[0], _POSTFIX)}.{name}" + self.brackets(read.index[1:])
        if name and not self.qualified:
            return name.rpartition(".")[2]
        return read.var + self.brackets(read.index)

    def brackets(self, index: tuple[Expr, ...]) -> str:
        return f"[{self._list(index)}]" if index else ""

    def _at(self, at: At) -> str:
        names = self.locations.get(at.thread, ())
        where = [names[n] if n < len(names) else str(n) for n in sorted(at.locations)]
        if len(where) > _MANY_LOCATIONS:
            where = [*where[: _MANY_LOCATIONS - 1], f"{len(where) - _MANY_LOCATIONS + 1} more"]
        return f"at({', '.join([at.thread + self.brackets(at.index), *where])})"

    def _op(self, op: Op) -> tuple[str, int]:
        args = op.args
        match op.op:
            case "and" | "or" if len(args) < 2:
                return (self._render(args[0])) if args else (str(op.op == "and").lower(), _POSTFIX)
            case "and" | "or":
                sign, level = _INFIX[op.op]
                return f" {sign} ".join(self.text(arg, level + 1) for arg in args), level
            case "implies":
                return f"{self.text(args[0], _IMPLIES + 1)} => {self.text(args[1], _IMPLIES)}", _IMPLIES
            case "contains":
                queue, element = (self.text(arg, _COMPARISON + 1) for arg in args)
                return f"{element} in {queue}", _COMPARISON
            case "eq" | "ne" | "lt" | "le" | "gt" | "ge":
                sign, level = _INFIX[op.op]
                return f"{self.text(args[0], level + 1)} {sign} {self.text(args[1], level + 1)}", level
            case "add" | "sub" | "push":
                sign, level = _INFIX[op.op]
                return f"{self.text(args[0], level)} {sign} {self.text(args[1], level + 1)}", level
            case "not":
                return f"!{self.text(args[0], _UNARY)}", _UNARY
            case "neg":
                return f"-{self.text(args[0], _UNARY)}", _UNARY
            case "ite":
                condition, then, otherwise = args
                text = f"{self.text(condition, _IMPLIES)} ? {self.text(then)} : {self.text(otherwise)}"
                return text, _CONDITIONAL
            case "get":
                return f"{self.text(args[0], _POSTFIX)}[{self.text(args[1])}]", _POSTFIX
            case "len" | "tail":
                return f"{op.op}({self.text(args[0])})", _POSTFIX
            case _:
                assert_never(op.op)


def _sort_of(expr: Expr) -> str:
    return expr.type.sort if isinstance(expr.type, Elem) else ""


def _literal(lit: Lit) -> str:
    match lit.type:
        case Bool():
            return str(bool(lit.value)).lower()
        case Enum(_, members) if isinstance(lit.value, int):
            return members[lit.value]
        case Elem() if lit.value == NULL:
            return "null"
        case _ if isinstance(lit.value, tuple):
            return f"[{', '.join(map(str, lit.value))}]"
        case _:
            return str(lit.value)


# -- systems -----------------------------------------------------------------


def format_system(system: System) -> str:
    """The whole System, in the order it is held in: equal Systems give equal texts."""
    printer = _Printer({}, _locations(system), _members(system), qualified=True)
    parts: list[Iterable[str]] = [_header(system)]
    parts.append(_sort(sort) for sort in system.sorts)
    parts.append(_var(printer, var) for var in system.vars)
    parts.append(_family(family) for family in system.families)
    parts.append(f"initially {printer.text(expr)}" for expr in system.initial)
    parts.extend(_thread(thread) for thread in system.threads)
    threads = {thread.name: thread for thread in system.threads}
    parts.extend(_action(printer, action, threads[action.thread]) for action in system.actions)
    if system.final is not None:
        parts.append([f"final {printer.text(system.final)}"])
    parts.extend(_property(printer, prop) for prop in system.properties)
    return "\n\n".join(text for part in parts if (text := "\n".join(part))) + "\n"


def _header(system: System) -> Iterator[str]:
    yield f"system {system.name}"
    yield f"memory {system.memory_model}"
    for name, value in sorted(system.config.items()):
        yield f"config {name} = {str(value).lower() if isinstance(value, bool) else value}"


def _sort(sort: Sort) -> str:
    order = "ordered " if sort.ordered else ""
    statics = f" with {', '.join(sort.statics)}" if sort.statics else ""
    return f"{order}{'object' if sort.is_object else 'sort'} {sort.name} = {sort.size}{statics}"


def _var(printer: _Printer, var: Var) -> str:
    params = ", ".join(f"{param.name} : {param.sort}" for param in var.index_params())
    index = f"[{params}]" if params else ""
    init = "any" if var.init is None else printer.text(var.init)
    return f"{var.storage.value} {var.name}{index} : {format_type(var.type)} = {init}"


def _family(family: GenFamily) -> str:
    copies = (number if owner is None else f"{number} of {owner}" for number, owner in family.copies)
    return f"family {family.head}: {', '.join(copies) or 'no copies'}"


def _thread(thread: Thread) -> Iterator[str]:
    index = f"[{', '.join(thread.index)}]" if thread.index else ""
    yield f"{thread.kind.value} {thread.name}{index} at {thread.pc}"
    for number, location in enumerate(thread.locations):
        flags = [
            flag
            for flag, is_on in (
                ("start", number == thread.start),
                ("ended", number in thread.ended),
                ("irqs off", location.irqs_off),
                ("preempt off", location.preempt_off),
            )
            if is_on
        ]
        notes = f" ({', '.join(flags)})" if flags else ""
        yield f"  {number:>3}  {location.name}{notes}"


def _action(printer: _Printer, action: Action, thread: Thread) -> Iterator[str]:
    params = ", ".join(f"{param.name} : {param.sort}" for param in action.params)
    yield f"action {action.name}({params})"
    owner = action.thread + printer.brackets(action.self)
    cpu = f" on {printer.text(action.cpu)}" if action.cpu is not None else ""
    goal = "" if action.fault else f" -> {thread.locations[action.to].name}"
    yield f"  {owner}{cpu}: {thread.locations[action.at].name}{goal}"
    if action.label:
        yield f"  text {action.label}"
    if action.key:
        yield f"  key {action.key}"
    if action.frames:
        yield f"  in {' > '.join(frame.proc for frame in action.frames)}"
    if action.kernel:
        yield f"  kernel {action.kernel}"
    for access in action.memory:
        yield f"  {_access(printer, access)}"
    for guard in action.guard:
        yield f"  when {printer.text(guard)}"
    for update in action.updates:
        yield f"  {_update(printer, update)}"
    if action.fault:
        kind = "bound" if action.fault.bound else "fault"
        yield f"  {kind} {action.fault.property}: {action.fault.message}"


def _access(printer: _Printer, access: Access | Fence) -> str:
    match access:
        case Access(kind, var, index, order):
            return f"{kind} {var}{printer.brackets(index)} ({order})"
        case Fence(name):
            return f"fence {name}"
        case _:
            assert_never(access)


def _update(printer: _Printer, update: Update) -> str:
    binders = ", ".join(f"{param.name} : {param.sort}" for param in update.binders)
    where = "" if update.where == TRUE else f" where {printer.text(update.where)}"
    scope = f"for {binders}{where}: " if binders else where.replace(" where", "if", 1) + ": " * bool(where)
    return f"{scope}{update.var}{printer.brackets(update.index)} := {printer.text(update.value)}"


def _property(printer: _Printer, prop: Property) -> Iterator[str]:
    sort = f" of {prop.sort}" if prop.sort else ""
    text = f' "{prop.text}"' if prop.text else ""
    yield f"{prop.kind_text} {prop.name}{sort}{text}"
    if prop.premise is not None:
        yield f"  premise {printer.text(prop.premise)}"
    if prop.expr is not None:
        yield f"  {printer.text(prop.expr)}"
