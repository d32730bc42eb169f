"""Proof obligations as SMT-LIB text: the second way from a System to a solver.

Nothing of the search is used here. The state after a rule is a second set of functions, defined
from the first; clauses are quantified formulas, as they stand.  Each script must be unsat.
"""

from __future__ import annotations

from collections.abc import Collection, Container, Iterable, Iterator, Mapping

from checker.core import fold
from checker.core import system as y
from checker.prove.clauses import Clause
from checker.prove.holders import Equation, axioms
from checker.prove.matching import Question
from checker.prove.protocol import Protocol, Rule


def quoted(name: str) -> str:
    """A name as a symbol of SMT-LIB."""
    return f"|{name}|"


class Writer:
    """Text of a protocol's state, rules and clauses."""

    def __init__(self, protocol: Protocol) -> None:
        self.protocol = protocol
        self.enums = {v.type.name: v.type.members for v in protocol.system.vars if isinstance(v.type, y.Enum)}

    # -- vocabulary

    def header(self, wanted: Container[str]) -> str:
        """Sorts, constants and the wanted functions of the state, with what their types say."""
        lines = ["(set-logic UFLIA)"]
        for sort in self.protocol.system.sorts:
            lines += [
                f"(declare-sort {quoted(sort.name)} 0)",
                f"(declare-const {self._null(sort.name)} {quoted(sort.name)})",
            ]
            names = [self._static(sort.name, n) for n in sort.statics]
            lines += [f"(declare-const {n} {quoted(sort.name)})" for n in names]
            if names:
                lines.append(f"(assert (distinct {self._null(sort.name)} {' '.join(names)}))")
            lines.append(f"(declare-const {quoted('some ' + sort.name)} {quoted(sort.name)})")
            lines.append(f"(assert (distinct {self._null(sort.name)} {quoted('some ' + sort.name)}))")
        for thread in self.protocol.system.threads:
            if thread.pc in wanted:
                lines += self._enumeration(thread.pc, [str(n) for n in range(len(thread.locations))])
        for name, members in self.enums.items():
            lines += self._enumeration(name, list(members))
        for var in self.protocol.system.vars:
            if var.name not in wanted:
                continue
            domain = " ".join(quoted(s) for s in var.index)
            lines.append(f"(declare-fun {quoted(var.name)} ({domain}) {self._range(var)})")
            lines += self._typed(var)
        return "\n".join(lines) + "\n"

    def _enumeration(self, kind: str, members: list[str]) -> list[str]:
        values = [self._value(kind, m) for m in members]
        lines = [f"(declare-sort {quoted('values of ' + kind)} 0)"]
        lines += [f"(declare-const {v} {quoted('values of ' + kind)})" for v in values]
        if len(values) > 1:
            lines.append(f"(assert (distinct {' '.join(values)}))")
        return lines

    def _value(self, kind: str, member: str) -> str:
        return quoted(f"{kind}={member}")

    def _null(self, sort: str) -> str:
        return quoted(f"null {sort}")

    def _static(self, sort: str, name: str) -> str:
        return quoted(f"{sort} {name}")

    def _kind(self, var: y.Var) -> str | None:
        if var.name in self.protocol.by_pc:
            return var.name
        return var.type.name if isinstance(var.type, y.Enum) else None

    def _range(self, var: y.Var) -> str:
        kind = self._kind(var)
        if kind is not None:
            return quoted(f"values of {kind}")
        match var.type:
            case y.Bool():
                return "Bool"
            case y.Elem(sort=sort):
                return quoted(sort)
            case _:
                return "Int"

    def _typed(self, var: y.Var) -> list[str]:
        names = [f"x{n}" for n in range(len(var.index))]
        binders = " ".join(f"({n} {quoted(s)})" for n, s in zip(names, var.index, strict=True))
        term = f"({quoted(var.name)} {' '.join(names)})" if names else quoted(var.name)
        kind = self._kind(var)
        facts: list[str] = []
        if kind is not None:
            thread = self.protocol.by_pc.get(var.name)
            members = [str(n) for n in range(len(thread.locations))] if thread else list(self.enums[kind])
            facts.append("(or " + " ".join(f"(= {term} {self._value(kind, m)})" for m in members) + ")")
        elif isinstance(var.type, y.Elem) and not var.type.optional:
            facts.append(f"(not (= {term} {self._null(var.type.sort)}))")
        elif isinstance(var.type, y.Int) and var.name not in self.protocol.unbounded:
            facts.append(f"(<= {var.type.lo} {term} {var.type.hi})")
        elif isinstance(var.type, y.Gen):
            facts.append(f"(>= {term} {_integer(self.protocol.oldest)})")
        if not names:
            return [f"(assert {f})" for f in facts]
        if kind is not None:  # also at null, where it may be anything: then it may be one of these
            return [f"(assert (forall ({binders}) (! {f} :pattern ({term}))))" for f in facts]
        there = " ".join(f"(not (= {n} {self._null(s)}))" for n, s in zip(names, var.index, strict=True))
        return [f"(assert (forall ({binders}) (! (=> (and {there}) {f}) :pattern ({term}))))" for f in facts]

    # -- expressions

    def expr(self, expr: y.Expr, names: Mapping[str, str], suffix: str = "", kind: str | None = None) -> str:
        """The text of an expression; `suffix` tells the state after a rule from the one before."""

        def go(e: y.Expr, of: str | None = None) -> str:
            return self.expr(e, names, suffix, of)

        match expr:
            case y.Lit(value=value, type=type_):
                if isinstance(type_, y.Bool):
                    return str(bool(value)).lower()
                if isinstance(type_, y.Enum):
                    return self._value(type_.name, type_.members[int(value)])  # type: ignore[arg-type]
                return self._value(kind, str(value)) if kind else _integer(int(value))  # type: ignore[arg-type]
            case y.Static(sort=sort, name=name):
                return self._static(sort, name)
            case y.Null(sort=sort):
                return self._null(sort)
            case y.Param(name=name):
                return names[name]
            case y.Read(var=var, index=index):
                return self._applied(var + suffix, [go(i) for i in index])
            case y.At(thread=thread, index=index, locations=locations):
                pc = self.protocol.threads[thread].pc
                term = self._applied(pc + suffix, [go(i) for i in index])
                return _joined("or", [f"(= {term} {self._value(pc, str(n))})" for n in sorted(locations)], "false")
            case y.Quant(kind="forall" | "exists" as quantifier, name=name, sort=sort, body=body):
                inner = self.expr(body, {**names, name: quoted(name)}, suffix)
                there = f"(not (= {quoted(name)} {self._null(sort)}))"
                joined = f"(=> {there} {inner})" if quantifier == "forall" else f"(and {there} {inner})"
                return f"({quantifier} (({quoted(name)} {quoted(sort)})) {joined})"
            case y.Quant(kind="count"):
                return quoted("count " + str(abs(hash(expr))))
            case y.Op(op="eq" | "ne" as op, args=(a, b)):
                enum = next((p.var for p in (a, b) if isinstance(p, y.Read) and p.var in self.protocol.by_pc), None)
                same = f"(= {go(a, enum)} {go(b, enum)})"
                return same if op == "eq" else f"(not {same})"
            case y.Op(op=op, args=args):
                sign = {"implies": "=>", "lt": "<", "le": "<=", "gt": ">", "ge": ">=",
                        "add": "+", "sub": "-", "neg": "-"}.get(op, op)  # fmt: skip
                if op in ("and", "or"):
                    return _joined(op, [go(a) for a in args], str(op == "and").lower())
                return f"({sign} {' '.join(go(a, kind) for a in args)})"
            case _:
                raise NotImplementedError(expr)

    def _applied(self, function: str, args: list[str]) -> str:
        return f"({quoted(function)} {' '.join(args)})" if args else quoted(function)

    # -- formulas

    def clause(self, clause: Clause) -> str:
        """That a clause holds."""
        names = {p.name: quoted(p.name) for p in clause.vars}
        body = f"(not {_joined('and', [self.expr(f, names) for f in clause.situation()], 'true')})"
        if not clause.vars:
            return f"(assert {body})"
        there = " ".join(f"(= {names[p.name]} {self._null(p.sort)})" for p in clause.vars)
        binders = " ".join(f"({names[p.name]} {quoted(p.sort)})" for p in clause.vars)
        return f"(assert (forall ({binders}) (or {there} {body})))"

    def elements(self, params: Iterable[y.Param]) -> str:
        """Elements that the question is about."""
        lines = []
        for p in params:
            lines += [f"(declare-const {quoted(p.name)} {quoted(p.sort)})",
                      f"(assert (not (= {quoted(p.name)} {self._null(p.sort)})))"]  # fmt: skip
        return "\n".join(lines)

    def after(self, rule: Rule, wanted: Container[str]) -> str:
        """The wanted functions of the state after a rule."""
        names = {p.name: quoted(p.name) for p in rule.params}
        lines = []
        for var in self.protocol.system.vars:
            if var.name not in wanted:
                continue
            updates = [u for u in rule.updates if u.var == var.name]
            here = [f"x{n}" for n in range(len(var.index))]
            value = self._applied(var.name, here)
            kind = self._kind(var) if var.name in self.protocol.by_pc else None
            for update in updates:
                inner = {**names, **{b.name: quoted(b.name) for b in update.binders}}
                hits = [f"(= {x} {self.expr(i, inner)})" for x, i in zip(here, update.index, strict=True)]
                if update.where != y.TRUE:
                    hits.append(self.expr(update.where, inner))
                hit, new = _joined("and", hits, "true"), self.expr(update.value, inner, kind=kind)
                for place, x in zip(update.index, here, strict=True):
                    if isinstance(place, y.Param) and place in update.binders:
                        hit, new = (t.replace(quoted(place.name), x) for t in (hit, new))
                value = f"(ite {hit} {new} {value})"
            domain = " ".join(f"({x} {quoted(s)})" for x, s in zip(here, var.index, strict=True))
            lines.append(f"(define-fun {quoted(var.name + ' after')} ({domain}) {self._range(var)} {value})")
        return "\n".join(lines)

    def consecution(self, clauses: Collection[Clause], rule: Rule, broken: Clause) -> str:
        """That a rule breaks a clause: to be unsat."""
        renamed = {p.name: y.Param(f"{p.name} broken", p.sort) for p in broken.vars}
        facts = [fold.substitute(f, renamed) for f in broken.situation()]
        params = [*rule.params, *renamed.values()]
        names = {p.name: quoted(p.name) for p in params}
        later = broken.variables()
        wanted = {
            *later, *self._variables(clauses, rule.guard),
            *(v for u in rule.updates if u.var in later for e in (*u.index, u.value, u.where) for v in variables(e)),
        }  # fmt: skip
        return "\n".join([
            self.header(wanted), *map(self.clause, clauses), self.elements(params),
            *(f"(assert {self.expr(g, names)})" for g in rule.guard), self.after(rule, later),
            *(f"(assert {self.expr(f, names, ' after')})" for f in facts), "(check-sat)\n",
        ])  # fmt: skip

    def _variables(self, clauses: Iterable[Clause], exprs: Iterable[y.Expr]) -> set[str]:
        return {*(v for c in clauses for v in c.variables()), *(v for e in exprs for v in variables(e))}

    def question(self, clauses: Collection[Clause], question: Question) -> str:
        """A question about one state: to be unsat."""
        params, assertions = question
        names = {p.name: quoted(p.name) for p in params}
        counts = {quoted("count " + str(abs(hash(e)))): int(e.body == y.TRUE) for a in assertions for e in fold.walk(a)
                  if isinstance(e, y.Quant) and e.kind == "count"}  # fmt: skip
        return "\n".join([
            self.header(self._variables(clauses, assertions)),
            *(f"(declare-const {c} Int) (assert (<= {least} {c}))" for c, least in counts.items()),
            *map(self.clause, clauses),
            self.elements(params), *(f"(assert {self.expr(a, names)})" for a in assertions), "(check-sat)\n",
        ])  # fmt: skip


def variables(expr: y.Expr) -> Iterator[str]:
    """The state variables that an expression reads, control variables among them."""
    for part in fold.walk(expr):
        if isinstance(part, y.Read):
            yield part.var
        elif isinstance(part, y.At):
            yield f"{part.thread}.pc"


def _integer(value: int) -> str:
    return str(value) if value >= 0 else f"(- {-value})"


def _joined(op: str, parts: list[str], empty: str) -> str:
    return empty if not parts else parts[0] if len(parts) == 1 else f"({op} {' '.join(parts)})"


def given(clauses: Iterable[Clause], equations: Iterable[Equation]) -> Iterator[Clause]:
    """All that may be assumed of a state."""
    for equation in equations:
        yield from axioms(equation)
    yield from clauses
