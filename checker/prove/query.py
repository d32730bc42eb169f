"""One question to Z3: can a situation be, in a state where all clauses hold?

Everything handed to Z3 is ground.  Sorts are uninterpreted, state variables are functions, `null`
and the statics are constants.  What must hold for all elements is instantiated where a
model violates it, over the terms that occur, until Z3 says unsat or nothing is violated any
more; then the model, as a finite structure, is a counterexample.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from itertools import count
from typing import Any, Final

import z3

from checker.core import fold
from checker.core import system as y
from checker.prove.clauses import Clause
from checker.prove.protocol import Protocol
from checker.prove.structure import Structure, violations
from checker.records import dataclass
from checker.symbolic.terms import both, either, implied, negated, same_truth

_ROUNDS: Final = 400  # after so many models the question counts as open
Application = tuple[str, tuple[Any, ...], Any]
"""A variable, the terms that are its index, and the term that is its value there."""

_AT_ONCE: Final = 6  # instances of one clause that are added for one model


@dataclass(frozen=True, slots=True)
class Universal:
    """Something that holds for all elements, where `when` (a Z3 truth value) is true."""

    vars: tuple[y.Param, ...]
    body: y.Expr
    env: Mapping[str, Any]  # what its other parameters stand for
    test: Callable[..., Any]  # of a structure and the env's elements: those of vars for which the body is false
    when: Any = None
    clause: Clause | None = None
    distinct: bool = False


class Vocabulary:
    """The protocol's sorts, functions and constants in Z3."""

    def __init__(self, protocol: Protocol) -> None:
        self.protocol = protocol
        self.sorts = {s.name: z3.DeclareSort(s.name) for s in protocol.system.sorts}
        self.nulls = {name: z3.Const(f"null_{name}", sort) for name, sort in self.sorts.items()}
        self.statics = {
            s.name: tuple(z3.Const(f"{s.name}_{n}", self.sorts[s.name]) for n in s.statics)
            for s in protocol.system.sorts
        }
        self.values: dict[str, tuple[Any, ...]] = {}  # of control variables and enums, by kind
        self.kinds: dict[str, str] = {}  # of control variables and enums, by variable
        self.facts: list[Any] = []
        for thread in protocol.system.threads:
            self._enumerate(thread.pc, [f"{thread.name}_{n}" for n in range(len(thread.locations))])
        for var in protocol.system.vars:
            if isinstance(var.type, y.Enum) and var.type.name not in self.values:
                self._enumerate(var.type.name, list(var.type.members))
        for name, null in self.nulls.items():
            if self.statics[name]:
                self.facts.append(z3.Distinct(null, *self.statics[name]))
        self.functions = {v.name: self._function(v) for v in protocol.system.vars}
        self.made: dict[tuple[Clause, tuple[int, ...]], tuple[Any, tuple[Application, ...]]] = {}
        self.at: dict[tuple[int, frozenset[int]], tuple[Any, Any]] = {}
        self._universals: dict[int, Universal] = {}
        self._tests: dict[tuple[int, bool, tuple[str, ...]], tuple[y.Quant, y.Expr, Callable[..., Any]]] = {}

    def universal(self, clause: Clause) -> Universal:
        """A clause, ready to be looked for in structures."""
        found = self._universals.get(id(clause))  # a hash takes long, and a search has each clause once
        if found is None:
            body = fold.or_(fold.not_(fact) for fact in clause.never)
            test = violations(clause.vars, clause.never, clause.distinct, self.protocol)
            found = self._universals[id(clause)] = Universal(clause.vars, body, {}, test, None, clause, clause.distinct)
        return found

    def test(self, quant: y.Quant, positive: bool, body: y.Expr, params: tuple[str, ...]) -> Callable[..., Any]:
        """The body of a quantifier, to be looked for in structures; rules are asked about many times."""
        key = id(quant), positive, params
        if key not in self._tests:
            self._tests[key] = quant, body, self._violations(quant, body, params)
        return self._tests[key][2]

    def _violations(self, quant: y.Quant, body: y.Expr, params: tuple[str, ...]) -> Callable[..., Any]:
        bound = (y.Param(quant.name, quant.sort),)
        return violations(bound, (fold.not_(body),), False, self.protocol, params[:-1])

    def _enumerate(self, kind: str, members: list[str]) -> None:
        bits = max(1, (len(members) - 1).bit_length())
        self.values[kind] = tuple(z3.BitVecVal(n, bits) for n in range(len(members)))

    def _function(self, var: y.Var) -> Any:
        domain = [self.sorts[s] for s in var.index]
        return z3.Function(var.name, *domain, self.range(var))

    def kind(self, var: y.Var) -> str | None:
        """Which enumeration the values of a variable belong to, if any."""
        if var.name in self.protocol.by_pc:
            return var.name
        return var.type.name if isinstance(var.type, y.Enum) else None

    def range(self, var: y.Var) -> Any:
        """The Z3 sort of a variable's values."""
        kind = self.kind(var)
        if kind is not None:
            return self.values[kind][0].sort()
        return self.sort_of(var.type)

    def sort_of(self, type_: y.Type) -> Any:
        """The Z3 sort of a type."""
        match type_:
            case y.Bool():
                return z3.BoolSort()
            case y.Elem(sort=sort):
                return self.sorts[sort]
            case y.Enum(name=name):
                return self.values[name][0].sort()
            case _:
                return z3.IntSort()


@dataclass(slots=True)
class Counterexample:
    """A structure, and which elements the question's parameters stand for."""

    structure: Structure
    roles: Mapping[str, int]
    open: bool = False


class Query:
    """A question: `assertions` about elements called by `params`, given clauses."""

    def __init__(
        self, words: Vocabulary, params: Iterable[y.Param], assertions: Iterable[y.Expr], *, milliseconds: int = 20_000
    ) -> None:
        self.words = words
        self.protocol = words.protocol
        self.solver = z3.SimpleSolver()
        self.solver.set("timeout", milliseconds)
        self.solver.add(*words.facts)
        self.applied: dict[int, Application] = {}
        self.elements: dict[str, dict[int, Any]] = {name: {} for name in words.sorts}
        self.universals: list[Universal] = []
        self.used: set[Clause] = set()
        self._marks: dict[Clause, Any] = {}
        self._aside: set[Clause] = set()  # clauses that were only tried
        self.instances = 0
        self.env: dict[str, Any] = {}
        self._fresh = count()
        self._recorded: list[Application] | None = None
        self._done: set[tuple[int, tuple[int, ...]]] = set()
        for name, constants in words.statics.items():
            for constant in constants:
                self._meet(name, constant)
        for param in params:
            self.env[param.name] = self._skolem(param.name, param.sort)
        for name in words.sorts:  # no sort is empty
            if not self.elements[name]:
                self._skolem("some", name)
        for assertion in assertions:
            self.add(assertion)

    def add(self, assertion: y.Expr) -> None:
        """One more thing that is so."""
        self.solver.add(self.truth(assertion, self.env, True))

    def given(self, clauses: Iterable[Clause]) -> None:
        """Clauses that hold."""
        clauses = list(clauses)
        self._aside.difference_update(clauses)
        self.universals += map(self.words.universal, clauses)

    # -- terms

    def _skolem(self, name: str, sort: str) -> Any:
        constant = z3.Const(f"{name}!{next(self._fresh)}", self.words.sorts[sort])
        self.solver.add(constant != self.words.nulls[sort])
        self._meet(sort, constant)
        return constant

    def _meet(self, sort: str, term: Any) -> None:
        self.elements[sort].setdefault(term.get_id(), term)

    def value(self, expr: y.Expr, env: Mapping[str, Any], kind: str | None = None) -> Any:
        """The Z3 term of a ground expression without quantifiers."""
        match expr:
            case y.Lit(value=value, type=type_):
                if isinstance(type_, y.Bool):
                    return bool(value)
                if isinstance(type_, y.Enum):
                    return self.words.values[type_.name][int(value)]  # type: ignore[arg-type]
                return self.words.values[kind][int(value)] if kind else z3.IntVal(value)  # type: ignore[arg-type]
            case y.Static(sort=sort, name=name):
                return self.words.statics[sort][self.protocol.statics(sort).index(name)]
            case y.Null(sort=sort):
                return self.words.nulls[sort]
            case y.Param(name=name):
                return env[name]
            case y.Read(var=var, index=index):
                return self._apply(var, tuple(self.value(i, env) for i in index))
            case y.Op(op="ite", args=(condition, then, otherwise)):
                chosen = self.truth(condition, env, None)
                if isinstance(chosen, bool):
                    return self.value(then if chosen else otherwise, env, kind)
                return z3.If(chosen, self.value(then, env, kind), self.value(otherwise, env, kind))
            case y.Op(op="add", args=(a, b)):
                return self.value(a, env) + self.value(b, env)
            case y.Op(op="sub", args=(a, b)):
                return self.value(a, env) - self.value(b, env)
            case y.Op(op="neg", args=(a,)):
                return -self.value(a, env)
            case y.Quant(kind="count"):
                number = z3.Int(f"count!{abs(hash(expr))}")
                self.solver.add(number >= (1 if expr.body == y.TRUE else 0))  # no sort is empty
                return number
            case _:
                return self.truth(expr, env, None)

    def _apply(self, var: str, args: tuple[Any, ...]) -> Any:
        application = var, args, _applied(self.words.functions[var], args)
        if self._recorded is not None:
            self._recorded.append(application)
        self._register(application)
        return application[2]

    def _register(self, application: Application) -> None:
        """Note a term that occurs, and what its type says of it."""
        var, args, term = application
        ident = term.get_id()
        if ident not in self.applied:
            self.applied[ident] = application
            declared = self.protocol.vars[var]
            if isinstance(declared.type, y.Elem):
                self._meet(declared.type.sort, term)
            self._typed(declared, args, term)

    def _typed(self, var: y.Var, args: tuple[Any, ...], term: Any) -> None:
        """What the type of a variable says of a value."""
        absent = [_equal(a, self.words.nulls[s]) for a, s in zip(args, var.index, strict=True) if not _is_skolem(a)]
        facts: list[Any] = []
        if isinstance(var.type, y.Elem) and not var.type.optional:
            facts.append(negated(_equal(term, self.words.nulls[var.type.sort])))
        elif isinstance(var.type, y.Int) and self.words.kind(var) is None and var.name not in self.protocol.unbounded:
            facts += [term >= var.type.lo, term <= var.type.hi]
        elif isinstance(var.type, y.Gen):
            facts.append(term >= self.protocol.oldest)
        for fact in facts:
            self.solver.add(either([*absent, fact]))

    # -- formulas

    def truth(self, expr: y.Expr, env: Mapping[str, Any], positive: bool | None) -> Any:
        """The Z3 formula of an expression that is asserted (`positive`), denied, or both (None)."""
        if positive is None and any(isinstance(e, y.Quant) and e.kind != "count" for e in fold.walk(expr)):
            name = z3.Bool(f"both!{next(self._fresh)}")
            self.solver.add(implied(name, self.truth(expr, env, True)))
            self.solver.add(implied(negated(name), negated(self.truth(expr, env, False))))
            return name
        match expr:
            case y.Lit(value=value):
                return bool(value)
            case y.Read(var=var, index=index):
                return self._apply(var, tuple(self.value(i, env) for i in index))
            case y.At(thread=thread, index=index, locations=locations):
                pc = self.protocol.threads[thread].pc
                return self._at(self._apply(pc, tuple(self.value(i, env) for i in index)), pc, locations)
            case y.Op(op="and", args=args):
                return both(self.truth(a, env, positive) for a in args)
            case y.Op(op="or", args=args):
                return either(self.truth(a, env, positive) for a in args)
            case y.Op(op="not", args=(a,)):
                return negated(self.truth(a, env, None if positive is None else not positive))
            case y.Op(op="implies", args=(a, b)):
                opposite = None if positive is None else not positive
                return implied(self.truth(a, env, opposite), self.truth(b, env, positive))
            case y.Op(op="ite", args=(a, b, c)):
                condition = self.truth(a, env, None)
                then, otherwise = self.truth(b, env, positive), self.truth(c, env, positive)
                return both((implied(condition, then), either((condition, otherwise))))
            case y.Op(op="eq" | "ne" as op, args=(a, b)):
                kind = self._kind(a) or self._kind(b)
                same = _equal(self.value(a, env, kind), self.value(b, env, kind))
                return same if op == "eq" else negated(same)
            case y.Op(op="lt" | "le" | "gt" | "ge" as op, args=(a, b)):
                left, right = self.value(a, env), self.value(b, env)
                return {"lt": left < right, "le": left <= right, "gt": left > right, "ge": left >= right}[op]
            case y.Quant(kind="forall" | "exists" as kind):
                assert positive is not None
                if (kind == "exists") == positive:
                    inner = {**env, expr.name: self._skolem(expr.name, expr.sort)}
                    return self.truth(expr.body, inner, positive)
                return self._universal(expr, env, positive)
            case _:
                raise NotImplementedError(expr)

    def _at(self, term: Any, pc: str, locations: frozenset[int]) -> Any:
        mark = term.get_id(), locations
        if mark not in self.words.at:
            values = self.words.values[pc]
            if 2 * len(locations) > len(values):
                made = both(negated(_equal(term, v)) for n, v in enumerate(values) if n not in locations)
            else:
                made = either(_equal(term, values[n]) for n in sorted(locations))
            self.words.at[mark] = made, term
        return self.words.at[mark][0]

    def _universal(self, quant: y.Quant, env: Mapping[str, Any], positive: bool) -> Any:
        """A name for what holds for all elements, where it is asserted; for its negation where it is denied."""
        when = z3.Bool(f"all!{next(self._fresh)}")
        body = quant.body if positive else fold.not_(quant.body)
        needed = (fold.free_params(body) - {quant.name}) & env.keys()  # others are bound further inside
        test = self.words.test(quant, positive, body, (*sorted(needed), quant.name))
        bound = {n: env[n] for n in sorted(needed)}
        self.universals.append(Universal((y.Param(quant.name, quant.sort),), body, bound, test, when))
        return when if positive else negated(when)

    def _kind(self, expr: y.Expr) -> str | None:
        return expr.var if isinstance(expr, y.Read) and expr.var in self.protocol.by_pc else None

    # -- solving

    def solve(self, rounds: int = _ROUNDS) -> Counterexample | None:
        """None where the situation cannot be; else a counterexample, `open` if Z3 gave up or models were too many."""
        self.solver.push()  # incremental from the start, so no query is simplified away
        for _ in range(rounds):
            answer = self.solver.check(*(m for c, m in self._marks.items() if c not in self._aside))
            if answer == z3.unsat:
                core = {mark.get_id() for mark in self.solver.unsat_core()}
                self.used = {clause for clause, mark in self._marks.items() if mark.get_id() in core}
                return None
            if answer == z3.unknown:
                return Counterexample(Structure(self.protocol, {}), {}, open=True)
            found, terms = self._structure(self.solver.model())
            if not self._unnamed and not self._refine(found, terms):
                return found
        return Counterexample(found.structure, found.roles, open=True)

    def without(self, clauses: Iterable[Clause]) -> None:
        """Take clauses back."""
        self._aside.update(clauses)

    def least(self, tried: Iterable[Clause]) -> list[Clause]:
        """Of clauses that were given, those that it takes; the first ones are rather done without."""
        left = dict.fromkeys(c for c in tried if c in self.used)
        for clause in list(left):
            if clause not in left:
                continue
            self._aside.update(tried)
            self._aside.difference_update(c for c in left if c is not clause)
            if self.solve() is None:
                left = dict.fromkeys(c for c in left if c in self.used)
        self._aside.update(tried)
        self._aside.difference_update(left)
        return list(left)

    def _structure(self, model: Any) -> tuple[Counterexample, dict[str, list[Any]]]:
        """The model as tables, and for each element a term."""
        self._unnamed = False
        number: dict[str, dict[int, int]] = {}
        terms: dict[str, list[Any]] = {}
        keep: dict[int, Any] = {}  # values, so that no identifier is used twice

        def named(term: Any) -> Any:
            ident = term.get_id()
            value = keep.get(ident)
            if value is None:
                value = keep[ident] = model.eval(term, model_completion=True)
            return value

        for sort, met in self.elements.items():
            numbers = number[sort] = {named(self.words.nulls[sort]).get_id(): -1}
            terms[sort] = []
            for term in met.values():
                ident = named(term).get_id()
                if ident not in numbers:
                    numbers[ident] = len(terms[sort])
                    terms[sort].append(term)
        structure = Structure(self.protocol, {s: len(t) for s, t in terms.items()})
        for var, args, term in self.applied.values():
            declared = self.protocol.vars[var]
            key = tuple(number[s][named(a).get_id()] for a, s in zip(args, declared.index, strict=True))
            value = named(term)
            kind = self.words.kind(declared)
            shown: Any
            if kind is not None:
                shown = value.as_long()
                if shown >= len(self.words.values[kind]):  # none of the values that there are
                    self.solver.add(z3.Or(*(term == v for v in self.words.values[kind])))
                    self._unnamed = True
            elif isinstance(declared.type, y.Elem):
                shown = number[declared.type.sort][value.get_id()]
            elif isinstance(declared.type, y.Bool):
                shown = z3.is_true(value)
            else:
                shown = value.as_long()
            structure.tables.setdefault(var, {})[key] = shown
            structure.known.add((var, key))
        roles = {
            name: next(n[i] for n in number.values() if (i := named(term).get_id()) in n)
            for name, term in self.env.items()
        }
        self._model, self._number, self._keep = model, number, keep
        return Counterexample(structure, roles), terms

    def _refine(self, found: Counterexample, terms: dict[str, list[Any]]) -> bool:
        """Add instances that the structure violates; whether there were any."""
        added = False
        for universal in list(self.universals):
            if universal.when is not None and not z3.is_true(self._model.eval(universal.when)):
                continue
            if universal.clause in self._aside:
                continue
            fixed = tuple(self._element(term) for term in universal.env.values())
            few = 0
            for chosen in universal.test(found.structure, *fixed):
                env = {
                    **universal.env,
                    **{v.name: terms[v.sort][e] for v, e in zip(universal.vars, chosen, strict=True)},
                }
                mark = id(universal), tuple(env[v.name].get_id() for v in universal.vars)
                if mark in self._done:
                    continue
                self._done.add(mark)
                self._instantiate(universal, env)
                added = True
                few += 1
                if few == _AT_ONCE:
                    break
        return added

    def _element(self, term: Any) -> int:
        ident = self._model.eval(term, model_completion=True).get_id()
        return next(n[ident] for n in self._number.values() if ident in n)

    def _instantiate(self, universal: Universal, env: Mapping[str, Any]) -> None:
        self.instances += 1
        clause = universal.clause
        if clause is None:
            self.solver.add(self._instance(universal, env))
        elif any(isinstance(e, y.Quant) for e in fold.walk(universal.body)):
            self.solver.add(implied(self._mark(clause), self._instance(universal, env)))
        else:
            mark = clause, tuple(env[v.name].get_id() for v in universal.vars)
            if mark not in self.words.made:
                self._recorded = []
                made = self._instance(universal, env)
                self.words.made[mark] = made, tuple(self._recorded)
                self._recorded = None
            formula, applications = self.words.made[mark]
            for application in applications:
                self._register(application)
            self.solver.add(implied(self._mark(clause), formula))

    def _mark(self, clause: Clause) -> Any:
        """A truth value that says that a clause is used."""
        if clause not in self._marks:
            self._marks[clause] = z3.Bool(f"use!{len(self._marks)}")
        return self._marks[clause]

    def _instance(self, universal: Universal, env: Mapping[str, Any]) -> Any:
        instance = self.truth(universal.body, env, True)
        unless = []
        if universal.distinct:
            for n, a in enumerate(universal.vars):
                unless += [_equal(env[a.name], env[b.name]) for b in universal.vars[:n] if a.sort == b.sort]
        unless += [_equal(env[v.name], self.words.nulls[v.sort]) for v in universal.vars if not _is_skolem(env[v.name])]
        if universal.when is not None:
            unless.append(negated(universal.when))
        return either([*unless, instance])


def _equal(a: Any, b: Any) -> Any:
    """Equality of two terms of one sort; Z3's own wrapper takes ten times as long."""
    if isinstance(a, bool) or isinstance(b, bool) or z3.is_bool(a):
        return same_truth(a, b)
    if a.get_id() == b.get_id():
        return True
    context = z3.main_ctx()
    return z3.BoolRef(z3.Z3_mk_eq(context.ref(), a.as_ast(), b.as_ast()), context)


def _applied(function: Any, args: tuple[Any, ...]) -> Any:
    """A function applied to terms of its sorts."""
    if not args:
        return function()
    context = z3.main_ctx()
    array = (z3.Ast * len(args))(*(a.as_ast() for a in args))
    made = z3.Z3_mk_app(context.ref(), function.ast, len(args), array)
    return z3.z3._to_expr_ref(made, context)


def _is_skolem(term: Any) -> bool:
    """Whether a term is a constant that is known not to be null."""
    return term.num_args() == 0 and "!" in term.decl().name()
