"""Types of expressions: what they are, what is wrong with them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import assert_never

from checker.lang import syntax as s
from checker.lang import types as t
from checker.lang.callcheck import CallChecker
from checker.lang.diagnostics import Collector, Note, among, suggest
from checker.lang.indexing import flatten_index, names_cpu, peel
from checker.lang.names import CPU, Model
from checker.lang.primitives import PRIMITIVES
from checker.lang.resolve import ConfigValue, TypeResolver
from checker.lang.scope import Local, Scope
from checker.lang.source import Span
from checker.lang.wording import a_type, declared_at, expected, fixed, not_a_value, remedy
from checker.records import dataclass

BUILTIN_NAMES = ("this_cpu",)

RESULT = "return"
"""The local that holds what a proc returns."""


@dataclass(frozen=True, slots=True)
class Context:
    """Where an expression stands.

    `cpu`: there is a current CPU (false in properties).  `ghost`: ghost variables
    may be read.  `step`: `next()` may be used.  `effects`: a call with effects may be the whole expression.
    `local`: a local gets the value.
    """

    cpu: bool = True
    ghost: bool = False
    step: bool = False
    effects: bool = False
    local: str = ""

    @property
    def inner(self) -> Context:
        """The context of a part of the expression."""
        return Context(self.cpu, self.ghost, self.step, local=self.local)


class ExprChecker:
    """Gives every expression its type and reports what does not fit, without cascades."""

    def __init__(self, model: Model, config: Mapping[str, ConfigValue], found: Collector) -> None:
        self.model = model
        self.found = found
        self.resolver = TypeResolver(model, config, found)
        self.calls = CallChecker(self)
        self._var_types: dict[str, t.Type] = {}
        self._fn: str | None = None
        self._fn_uses: dict[str, set[str]] = {}

    # -- types of declared things

    def var_type(self, name: str) -> t.Type:
        """The type of a variable, without the CPU of a per-CPU one."""
        if name not in self._var_types:
            self._var_types[name] = self.resolver.declared(self.model.vars[name])
        return self._var_types[name]

    # -- fns, which may stand in properties and in steps

    def fn(self, fn: s.FnDecl, scope: Scope) -> None:
        """Check a fn, and note whether it needs a CPU or reads a ghost: its calls answer for that."""
        self._fn = fn.name.text
        self._fn_uses[self._fn] = set()
        self.expect(fn.body, self.resolver.resolve(fn.result), scope, Context(ghost=True))
        self._fn = None

    def uses(self, fn: str) -> set[str]:
        """What a fn and those it calls use: `cpu`, `ghost`."""
        seen, todo, found = {fn}, [fn], set[str]()
        while todo:
            for use in self._fn_uses.get(todo.pop(), ()):
                if use in ("cpu", "ghost"):
                    found.add(use)
                elif use[2:] not in seen:
                    seen.add(use[2:])
                    todo.append(use[2:])
        return found

    def used_fn(self, expr: s.CallExpr, context: Context) -> None:
        """A fn is called: complain if it uses what is not there."""
        name = expr.callee.text
        if self._fn is not None:
            self._fn_uses[self._fn].add(f"f:{name}")
            return
        uses = self.uses(name)
        if "ghost" in uses and not context.ghost:
            self._ghost(name, expr.span, context)
        if "cpu" in uses and not context.cpu:
            self.found.error("LZ311", f"'{name}' asks for this CPU, and there is none in a property", expr.span)

    def _reads_ghost(self, name: str, span: Span, context: Context) -> None:
        if self._fn is not None:
            self._fn_uses[self._fn].add("ghost")
        elif not context.ghost:
            self._ghost(name, span, context)

    def _needs_cpu(self) -> None:
        if self._fn is not None:
            self._fn_uses[self._fn].add("cpu")

    # -- expressions

    def expect(self, expr: s.Expr, wanted: t.Type, scope: Scope, context: Context) -> t.Type:
        """Check that the expression can go where `wanted` is needed; its own type."""
        got = self.type_of(expr, scope, context)
        self.suits(got, wanted, expr.span)
        return got

    def suits(self, got: t.Type, wanted: t.Type, span: Span) -> None:
        """Complain about a value that cannot go where `wanted` is needed."""
        if not t.fits(got, wanted):
            self.found.error("LZ301", expected(wanted, got), span, hint=remedy(wanted, got))

    def condition(self, expr: s.Expr, scope: Scope, context: Context) -> None:
        """Check that the expression can be true or false; an optional element is true where it is not null."""
        if isinstance(expr, s.NameExpr) and expr.name.isupper() and self._unknown(expr.name, scope):
            hint = self._near(expr.name, scope) or f"declare it: config {expr.name} = true;"
            self.found.error("LZ201", f"unknown name '{expr.name}'", expr.span, hint=hint)
            return
        got = self.type_of(expr, scope, context)
        if isinstance(got, t.BoolType | t.ErrorType) or (isinstance(got, t.ElemType) and got.optional):
            return
        hint = "compare it with something" if t.is_number(got) else ""
        self.found.error("LZ301", f"expected a condition, but this is {a_type(got)}", expr.span, hint=hint)

    def type_of(self, expr: s.Expr, scope: Scope, context: Context) -> t.Type:
        """The type of an expression, ErrorType where something in it is already reported."""
        inner = context.inner
        match expr:
            case s.Number(value=value):
                return t.IntType(value, value)
            case s.Truth():
                return t.BOOL
            case s.NullExpr():
                return t.NullType()
            case s.NameExpr():
                return self._name(expr, scope, inner)
            case s.FieldExpr():
                return self._field(expr, scope, inner)
            case s.IndexExpr():
                return self._index(expr, scope, inner)
            case s.CallExpr():
                return self.calls.call(expr, scope, context)
            case s.Unary(op="!"):
                self.condition(expr.operand, scope, context)
                return t.BOOL
            case s.Unary():
                got = self.type_of(expr.operand, scope, inner)
                if isinstance(got, t.IntType):
                    return t.IntType(-got.hi, -got.lo)
                return self._no_operator("-", got, expr.span)
            case s.Binary():
                return self._binary(expr, scope, inner, context)
            case s.Conditional():
                self.condition(expr.condition, scope, inner)
                joined = self._joined(expr.then, expr.otherwise, scope, inner, expr.span)
                if isinstance(joined, t.GenType) and joined.after:
                    self.found.error("LZ310", "a gen + 1 can only be compared", expr.span)
                if isinstance(joined, t.ArrayType | t.LockType | t.SeqType | t.VoidType):
                    return self._no_operator("?", joined, expr.span)
                return joined
            case s.SetLiteral(elements=()):
                return t.EmptySetType()
            case s.SetLiteral():
                return self._set_literal(expr, scope, inner)
            case s.Comprehension() | s.Quantified():
                inside = self.bind(expr.binders, scope, "here")
                if expr.where is not None:
                    self.condition(expr.where, inside, inner)
                if isinstance(expr, s.Quantified):
                    self.condition(expr.body, inside, inner)
                    return t.BOOL
                return t.SetType(tuple(b.sort.text for b in expr.binders))
            case s.Alloc():
                self.found.error("LZ305", "alloc stands alone on the right of an assignment", expr.span)
                return t.ERROR
            case _:
                assert_never(expr)

    def bind(self, binders: tuple[s.Binder, ...], scope: Scope, by: str) -> Scope:
        """A scope in which the binders' names stand for elements; `by` says what binds them."""
        inside = Scope(scope)
        for binder in binders:
            type_: t.Type = t.ElemType(binder.sort.text) if self.resolver.sort(binder.sort) else t.ERROR
            self.declare(Local(binder.name.text, type_, binder.name.span, bound=f"bound {by}"), inside)
        return inside

    def declare(self, local: Local, scope: Scope) -> None:
        """Add a local; it may hide a callable, but no variable and no other local."""
        before = scope.find(local.name)
        if before is not None:
            note = Note(before.span, "the first time is here")
            self.found.error("LZ202", f"'{local.name}' is declared twice", local.span, notes=(note,))
        elif local.name in self.model.values or local.name in (*BUILTIN_NAMES, RESULT):
            declared = declared_at(local.name, self.model)
            hidden = (Note(declared, "what it would hide is declared here"),) if declared is not None else ()
            message = f"'{local.name}' hides what the model declares under that name"
            if declared is None:
                message = f"'{local.name}' means something else already"
            self.found.error("LZ202", message, local.span, notes=hidden, hint="" if hidden else "take another name")
        scope.names[local.name] = local

    # -- names, fields, indices

    def _name(self, expr: s.NameExpr, scope: Scope, context: Context) -> t.Type:
        name = expr.name
        local = scope.find(name)
        if local is not None:
            return local.type
        if name == "this_cpu":
            self._needs_cpu()
            if not context.cpu:
                self.found.error("LZ311", "there is no 'this_cpu' in a property", expr.span)
            if CPU not in self.model.sorts:
                self.found.error("LZ201", "'this_cpu' needs 'sort CPU'", expr.span)
                return t.ERROR
            return t.ElemType(CPU)
        value = self.model.values.get(name)
        match value:
            case s.Config():
                return self._config_type(value)
            case s.EnumDecl():
                return t.EnumType(value.name.text, tuple(m.text for m in value.members))
            case s.StaticDecl():
                return t.ElemType(value.sort.text)
            case s.VarDecl():
                if value.percpu and not context.cpu:
                    self.found.error(
                        "LZ311", f"'{name}' is a per-CPU variable: which CPU's?", expr.span, hint=f"write {name}[c]"
                    )
                if value.percpu:
                    self._needs_cpu()
                if value.storage == "ghost":
                    self._reads_ghost(name, expr.span, context)
                return self.var_type(name)
            case None if name == "this_task":
                self._needs_cpu()
                if not context.cpu:
                    hint = "the task that a CPU runs is task_on(c)"
                    self.found.error("LZ311", "there is no 'this_task' in a property", expr.span, hint=hint)
                    return t.ERROR
                return self.task(name, expr.span)
            case None:
                type_ = not_a_value(name, self.model)
                message, hint = type_ or (f"unknown name '{name}'", self._near(name, scope))
                if not hint and (name in self.model.fns or name in self.model.procs or name in PRIMITIVES):
                    hint = f"'{name}' is called with arguments: {name}(...)"
                if not hint:
                    hint = among(name, [*scope.all_names(), *self.model.values], "known here:")
                self.found.error("LZ201", message, expr.span, hint=hint)
                return t.ERROR

    def task(self, name: str, span: Span) -> t.Type:
        """The type of a task that a CPU runs; complains unless there is one sort of them."""
        sorts = self.model.task_sorts()
        if len(sorts) == 1:
            return t.ElemType(sorts[0], optional=True)
        hint = "declare one: task NAME[t : TASK] { ... }"
        message = f"'{name}' has no meaning: the model has no task"
        if sorts:
            hint = "ask with running(t)"
            message = f"'{name}' has no type: there are several sorts of tasks ({', '.join(sorts)})"
        self.found.error("LZ201", message, span, hint=hint)
        return t.ERROR

    def _unknown(self, name: str, scope: Scope) -> bool:
        """Whether nothing at all is of that name."""
        m = self.model
        named = name in (*BUILTIN_NAMES, *m.values, *m.fns, *m.procs) or not_a_value(name, m) is not None
        return not named and scope.find(name) is None

    def _near(self, name: str, scope: Scope) -> str:
        tasks = ["this_task"] if self.model.task_sorts() else []
        return suggest(name, [*scope.all_names(), *self.model.values, *BUILTIN_NAMES, *tasks])

    def _config_type(self, config: s.Config) -> t.Type:
        if config.type is not None:
            return self.resolver.resolve(config.type)
        match config.value:
            case s.Truth():
                return t.BOOL
            case s.Number(value=value):
                return t.IntType(min(value, 0), max(value, 1 << 16))
            case s.NameExpr(name=name) if self.model.enum_of(name):
                enum = self.model.enum_of(name)
                assert enum is not None
                return t.EnumType(enum.name.text, tuple(m.text for m in enum.members))
            case _:
                return t.ERROR

    def _field(self, expr: s.FieldExpr, scope: Scope, context: Context) -> t.Type:
        base = self.type_of(expr.base, scope, context)
        match base:
            case t.ElemType(sort=owner) if owner in self.model.objects:
                pass
            case t.RecordType(name=owner):
                pass
            case t.ErrorType():
                return t.ERROR
            case _:
                self.found.error("LZ207", f"{a_type(base)} has no fields", expr.field.span)
                return t.ERROR
        declared = self.model.field_of(owner, expr.field.text)
        if declared is None:
            known = (
                self.model.objects[owner].fields if owner in self.model.objects else self.model.records[owner].fields
            )
            hint = among(expr.field.text, [f.name.text for f in known], "it has")
            self.found.error("LZ207", f"'{owner}' has no field '{expr.field}'", expr.field.span, hint=hint)
            return t.ERROR
        if declared.storage == "ghost":
            self._reads_ghost(expr.field.text, expr.span, context)
        return self.resolver.declared(declared)

    def _index(self, expr: s.IndexExpr, scope: Scope, context: Context) -> t.Type:
        base, indices = flatten_index(expr)
        own: t.Type
        if isinstance(base, s.NameExpr) and scope.find(base.name) is None and base.name in self.model.vars:
            declared = self.model.vars[base.name]
            if declared.storage == "ghost":
                self._reads_ghost(base.name, base.span, context)
            own = self.var_type(base.name)
            if declared.percpu:
                first = self.type_of(indices[0], scope, context)
                if not names_cpu(own, first, len(indices), has_cpu=True):
                    self._needs_cpu()
                if names_cpu(own, first, len(indices), context.cpu):
                    own = t.ArrayType(own, (CPU,))
        else:
            own = self.type_of(base, scope, context)
        for number, index in enumerate(indices):
            wanted, rest = peel(own)
            if wanted is None:
                if not isinstance(own, t.ErrorType):
                    self.found.error("LZ302", f"{a_type(own)} cannot be indexed", expr.span)
                for other in indices[number:]:
                    self.type_of(other, scope, context)
                return t.ERROR
            self.expect(index, wanted, scope, context)
            own = rest
        if isinstance(own, t.ArrayType):
            self.found.error("LZ313", f"{a_type(own)} still needs an index", expr.span)
            return t.ERROR
        return own

    def _ghost(self, name: str, span: Span, context: Context) -> None:
        hint = "read it in properties, assertions and assignments to ghost variables only"
        if context.local:
            hint = f"a local is no ghost: declare ghost var {context.local} : TYPE; and assign to that"
        self.found.error("LZ306", f"ghost variable '{name}' would influence a step", span, hint=hint)

    # -- operators

    def _binary(self, expr: s.Binary, scope: Scope, context: Context, outer: Context) -> t.Type:
        first = outer if isinstance(expr.left, s.CallExpr) else context  # a call with effects may be compared
        match expr.op:
            case "=>" | "||" | "&&":
                self.condition(expr.left, scope, context)
                self.condition(expr.right, scope, context)
                return t.BOOL
            case "==" | "!=":
                joined = self._joined(expr.left, expr.right, scope, context, expr.span, first)
                if isinstance(joined, t.ArrayType | t.LockType | t.SeqType | t.VoidType):
                    self.found.error("LZ302", f"values of type {joined} cannot be compared", expr.span)
                return t.BOOL
            case "<" | "<=" | ">" | ">=":
                joined = self._joined(expr.left, expr.right, scope, context, expr.span, first)
                self._ordered(expr, joined)
                return t.BOOL
            case "in":
                return self._member(expr, scope, context)
            case _:
                return self._arithmetic(expr, scope, context)

    def _ordered(self, expr: s.Binary, joined: t.Type) -> None:
        match joined:
            case t.IntType() | t.RefcountType() | t.GenType() | t.ErrorType():
                return
            case t.SetType() if expr.op == "<=":
                return
            case t.ElemType(sort=sort):
                declared = self.model.sorts.get(sort)
                if declared is None or not declared.ordered:
                    message = f"the elements of '{sort}' have no order: they can only be equal or not"
                    hint = "declare it as an ordered sort where the order matters" if declared else ""
                    self.found.error("LZ307", message, expr.span, hint=hint)
            case _:
                self._no_operator(expr.op, joined, expr.span)

    def _member(self, expr: s.Binary, scope: Scope, context: Context) -> t.Type:
        container = self.type_of(expr.right, scope, context)
        match container:
            case t.SetType(sorts=(sort,)):
                self.expect(expr.left, t.ElemType(sort, optional=True), scope, context)
            case t.SeqType(element=element):
                self.expect(expr.left, element, scope, context)
            case t.EmptySetType() | t.ErrorType():
                self.type_of(expr.left, scope, context)
            case _:
                self.type_of(expr.left, scope, context)
                self.found.error("LZ302", f"{a_type(container)} has no members", expr.right.span)
        return t.BOOL

    def _arithmetic(self, expr: s.Binary, scope: Scope, context: Context) -> t.Type:
        left = self.type_of(expr.left, scope, context)
        right = self.type_of(expr.right, scope, context)
        match left, right:
            case (t.ErrorType(), _) | (_, t.ErrorType()):
                return t.ERROR
            case (t.GenType(head=head, after=False), t.IntType(lo=1, hi=1)) if expr.op == "+":
                return t.GenType(head, after=True)
            case (t.GenType(), _) | (_, t.GenType()):
                self.found.error("LZ310", "a gen can only be compared, copied and asked for + 1", expr.span)
                return t.ERROR
            case (t.SetType() | t.EmptySetType(), t.SetType() | t.EmptySetType()):
                joined = t.join(left, right)
                if joined is not None:
                    return joined
            case (t.IntType() | t.RefcountType(), t.IntType() | t.RefcountType()) if expr.op != "&":
                a, b = _range(left), _range(right)
                if expr.op == "+":
                    return t.IntType(a.lo + b.lo, a.hi + b.hi)
                return t.IntType(a.lo - b.hi, a.hi - b.lo)
        hint = "put the element into braces: {x}" if isinstance(left, t.SetType) else ""
        self.found.error(
            "LZ302", f"'{expr.op}' does not go with {a_type(left)} and {a_type(right)}", expr.span, hint=hint
        )
        return t.ERROR

    def _joined(
        self, left: s.Expr, right: s.Expr, scope: Scope, context: Context, span: Span, first: Context | None = None
    ) -> t.Type:
        a, b = self.type_of(left, scope, first or context), self.type_of(right, scope, context)
        joined = t.join(a, b)
        if joined is None:
            if isinstance(a, t.GenType) or isinstance(b, t.GenType):
                self.found.error("LZ310", "a gen is only compared with gens, and with 0", span)
            else:
                self.found.error("LZ301", f"{a_type(a)} and {a_type(b)} do not go together", span)
            return t.ERROR
        return joined

    def _set_literal(self, expr: s.SetLiteral, scope: Scope, context: Context) -> t.Type:
        sort: str | None = None
        for element in expr.elements:
            got = self.type_of(element, scope, context)
            if isinstance(got, t.ElemType) and sort in (None, got.sort):
                sort = got.sort
            elif not isinstance(got, t.ErrorType):
                self.found.error("LZ301", f"a set holds elements of one sort, but this is {a_type(got)}", element.span)
        return t.SetType((sort,)) if sort is not None else t.ERROR

    def _no_operator(self, op: str, got: t.Type, span: Span) -> t.Type:
        if not isinstance(got, t.ErrorType):
            self.found.error("LZ302", f"'{op}' does not go with {a_type(got)}", span)
        return t.ERROR

    # -- places

    def place(self, expr: s.Expr, scope: Scope) -> bool:
        """Whether the expression is something that can be assigned to; complains where not."""
        match expr:
            case s.NameExpr(name=name):
                local = scope.find(name)
                if local is not None:
                    if not local.mutable:
                        self.found.error("LZ303", f"'{name}' cannot be assigned to: it is {local.bound}", expr.span)
                    return local.mutable
                if name in self.model.vars or (name not in self.model.values and name not in BUILTIN_NAMES):
                    return True
                self.found.error("LZ303", fixed(name, self.model), expr.span)
                return False
            case s.FieldExpr(base=base):
                if isinstance(base, s.NameExpr | s.FieldExpr | s.IndexExpr):
                    return True
            case s.IndexExpr():
                return self.place(flatten_index(expr)[0], scope)
            case _:
                pass
        self.found.error("LZ303", "this is a value, not a variable or a field", expr.span)
        return False


def _range(type_: t.Type) -> t.IntType:
    if isinstance(type_, t.RefcountType):
        return t.IntType(0, type_.bound)
    assert isinstance(type_, t.IntType)
    return type_
