"""A finite structure: what a model of Z3 says of a state, as tables, and clauses evaluated in it.

Elements of a sort are numbers from 0, the statics first, `null` is -1, as in a state of an
instance.  What the solver left open has its first value, so that a structure is as
plain as it can be.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import field
from typing import Any

from checker.core import fold
from checker.core import system as y
from checker.core.instance import Instance, State
from checker.prove.protocol import Protocol
from checker.records import dataclass

Key = tuple[int, ...]


@dataclass(slots=True)
class Structure:
    """Sizes of the sorts and a table for each variable; `known` is what was not left open."""

    protocol: Protocol
    sizes: dict[str, int]
    tables: dict[str, dict[Key, Any]] = field(default_factory=dict)
    known: set[tuple[str, Key]] = field(default_factory=set)
    defaults: dict[tuple[str, Key], Any] = field(default_factory=dict)

    def read(self, var: str, key: Key) -> Any:
        """The value of a variable at elements."""
        found = self.tables[var].get(key) if var in self.tables else None
        if found is not None:
            return found
        if (var, key) not in self.defaults:
            self.defaults[var, key] = self._default(var, key)
        return self.defaults[var, key]

    def _default(self, var: str, key: Key) -> Any:
        declared = self.protocol.vars[var]
        thread = self.protocol.by_pc.get(var)
        if thread is not None:
            return thread.start
        if -1 not in key and declared.init is not None:
            env = {p.name: e for p, e in zip(declared.index_params(), key, strict=True)}
            try:
                return evaluate(declared.init, self, env)
            except NotImplementedError:
                pass
        match declared.type:
            case y.Bool():
                return False
            case y.Elem(optional=optional):
                return -1 if optional else 0
            case y.Int(lo=lo):
                return lo
            case _:
                return 0

    def elements(self, sort: str) -> range:
        """The elements of a sort."""
        return range(self.sizes[sort])

    def name(self, sort: str, element: int) -> str:
        """What an element is called."""
        statics = self.protocol.statics(sort)
        if element < 0:
            return "null"
        return statics[element] if element < len(statics) else f"{sort}{element - len(statics)}"


def as_state(structure: Structure) -> tuple[Instance, State]:
    """The structure as a state of an instance that is as large."""
    system = structure.protocol.system
    sizes = {s.name: max(structure.sizes.get(s.name, 0), 1) - len(s.statics) for s in system.sorts}
    instance = Instance(system, sizes)
    return instance, tuple(structure.read(var.name, index) for var, index in instance.slots)


def evaluate(expr: y.Expr, structure: Structure, env: Mapping[str, int]) -> Any:
    """The value of an expression; NotImplementedError for `count`."""
    return compiled(expr, structure.protocol, tuple(env))(structure, *env.values())


def compiled(expr: y.Expr, protocol: Protocol, params: tuple[str, ...]) -> Callable[..., Any]:
    """The expression as a Python function of a structure and the elements that its parameters stand for."""
    names = {p: f"v{n}" for n, p in enumerate(params)}
    text = f"lambda S, {', '.join(names.values())}: {source(expr, protocol, names)}"
    made: Callable[..., Any] = eval(text)
    return made


def violations(
    params: tuple[y.Param, ...],
    never: tuple[y.Expr, ...],
    distinct: bool,
    protocol: Protocol,
    given: tuple[str, ...] = (),
) -> Callable[..., Any]:
    """A generator of a structure and what `given` stands for: the elements of which all of `never` are true."""
    names = {name: f"g{n}" for n, name in enumerate(given)} | {p.name: f"v{n}" for n, p in enumerate(params)}
    lines = [f"def found({', '.join(['S', *(names[g] for g in given)])}):"]
    left = list(never)
    bound = set(given)
    for depth, param in enumerate((None, *params)):
        indent = " " * (depth + 1)
        if param is not None:
            lines.append(f"{indent[1:]}for {names[param.name]} in S.elements({param.sort!r}):")
            bound.add(param.name)
            others = [names[p.name] for p in params[: depth - 1] if p.sort == param.sort]
            if distinct and others:
                alike = " or ".join(f"{names[param.name]} == {o}" for o in others)
                lines.append(f"{indent}if {alike}: continue")
        now = [f for f in left if fold.free_params(f) & names.keys() <= bound]
        left = [f for f in left if f not in now]
        stop = "continue" if param is not None else "return"
        for fact in now:
            lines.append(f"{indent}if not {source(fact, protocol, names)}: {stop}")
    lines.append(" " * (len(params) + 1) + "yield (" + "".join(f"{names[p.name]}, " for p in params) + ")")
    space: dict[str, Any] = {}
    exec("\n".join(lines), space)
    made: Callable[..., Any] = space["found"]
    return made


def source(expr: y.Expr, protocol: Protocol, names: Mapping[str, str]) -> str:
    """Python text of an expression."""

    def go(e: y.Expr) -> str:
        return source(e, protocol, names)

    def key(index: tuple[y.Expr, ...]) -> str:
        return "(" + "".join(f"{go(i)}, " for i in index) + ")"

    match expr:
        case y.Lit(value=value):
            return repr(value)
        case y.Static(sort=sort, name=name):
            return str(protocol.statics(sort).index(name))
        case y.Null():
            return "-1"
        case y.Param(name=name):
            return names[name]
        case y.Read(var=var, index=index):
            return f"S.read({var!r}, {key(index)})"
        case y.At(thread=thread, index=index, locations=locations):
            places = "(" + "".join(f"{n}, " for n in sorted(locations)) + ")"
            return f"(S.read({protocol.threads[thread].pc!r}, {key(index)}) in {places})"
        case y.Quant(kind="forall" | "exists" as kind, name=name, sort=sort, body=body):
            bound = f"b{len(names)}"
            inside = source(body, protocol, {**names, name: bound})
            return f"{'all' if kind == 'forall' else 'any'}({inside} for {bound} in S.elements({sort!r}))"
        case y.Op(op="and" | "or" as op, args=args):
            return "(" + f" {op} ".join(go(a) for a in args) + ")" if args else str(op == "and")
        case y.Op(op="not", args=(a,)):
            return f"(not {go(a)})"
        case y.Op(op="implies", args=(a, b)):
            return f"(not {go(a)} or {go(b)})"
        case y.Op(op="ite", args=(a, b, c)):
            return f"({go(b)} if {go(a)} else {go(c)})"
        case y.Op(op="neg", args=(a,)):
            return f"(-{go(a)})"
        case y.Op(op=op, args=(a, b)) if op in _INFIX:
            return f"({go(a)} {_INFIX[op]} {go(b)})"
        case _:
            raise NotImplementedError(expr)


_INFIX = {"eq": "==", "ne": "!=", "lt": "<", "le": "<=", "gt": ">", "ge": ">=", "add": "+", "sub": "-"}
