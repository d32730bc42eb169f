"""Calls in expressions: fns, procs and primitives, and what their arguments must be."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from checker.lang import syntax as s
from checker.lang import types as t
from checker.lang.diagnostics import Note, among, suggest
from checker.lang.names import CPU
from checker.lang.primitives import PRIMITIVES, Primitive
from checker.lang.scope import Scope
from checker.lang.walk import first_name, last_name
from checker.lang.wording import a_type, article

if TYPE_CHECKING:
    from checker.lang.exprcheck import Context, ExprChecker

_REFS = (t.LockType, t.RefcountType, t.SeqType)
"""What is passed by reference even where the parameter does not say `ref`."""

_WANTED = {"seq": "a sequence", "set": "a set", "number": "a number", "flag": "a bool", "object": "an object",
           "cpu": "a CPU"}  # fmt: skip


class CallChecker:
    """Checks calls for an expression checker."""

    def __init__(self, exprs: ExprChecker) -> None:
        self._exprs = exprs
        self._model = exprs.model
        self._found = exprs.found
        self._resolver = exprs.resolver

    def call(self, expr: s.CallExpr, scope: Scope, context: Context) -> t.Type:
        """The type that a call returns; VoidType where it returns nothing."""
        name = expr.callee.text
        inner = context.inner
        if name in self._model.fns:
            fn = self._model.fns[name]
            self._exprs.used_fn(expr, context)
            self.arguments(expr.callee, fn.params, expr.args, scope, inner)
            return self._resolver.resolve(fn.result)
        if name in self._model.procs:
            proc = self._model.procs[name]
            if not context.effects:
                self._effect(expr)
            self.arguments(expr.callee, proc.params, expr.args, scope, inner)
            return self._resolver.resolve(proc.result) if proc.result is not None else t.VOID
        if name in PRIMITIVES:
            return self._primitive(expr, PRIMITIVES[name], scope, context)
        for argument in expr.args:
            self._exprs.type_of(argument, scope, inner)
        hint = suggest(name, [*self._model.fns, *self._model.procs, *PRIMITIVES])
        if name in self._model.interrupts:
            hint = f"an interrupt is called with 'call {name}(...) on MASK'"
        elif not hint:
            hint = among(name, [*self._model.fns, *self._model.procs], "known here:")
        self._found.error("LZ201", f"unknown proc or fn '{name}'", expr.callee.span, hint=hint)
        return t.ERROR

    def arguments(
        self,
        callee: s.Name,
        params: tuple[s.ParamDecl, ...],
        args: tuple[s.Expr, ...],
        scope: Scope,
        context: Context,
    ) -> None:
        """Check the arguments of a call against the parameters."""
        if len(params) != len(args):
            wanted = f"{len(params)} argument{'s' * (len(params) != 1)}"
            message = f"'{callee}' takes {wanted}, but this gives {len(args)}"
            self._found.error("LZ304", message, callee.span, notes=self._declared(callee.text))
        for index, argument in enumerate(args):
            if index >= len(params):
                self._exprs.type_of(argument, scope, context)
                continue
            wanted_type = self._resolver.resolve(params[index].type)
            self._exprs.expect(argument, wanted_type, scope, context)
            if params[index].ref or isinstance(wanted_type, _REFS):
                self._exprs.place(argument, scope)

    def _declared(self, callee: str) -> tuple[Note, ...]:
        """Where something that can be called is declared."""
        m = self._model
        found = m.fns.get(callee) or m.procs.get(callee) or m.interrupts.get(callee)
        return (Note(found.name.span, "it is declared here"),) if found is not None else ()

    def _effect(self, expr: s.CallExpr) -> None:
        self._found.error(
            "LZ305", f"'{expr.callee}' has effects, so it cannot be a part of an expression", expr.span,
            hint=f"give it a line of its own: let x = {expr.callee}(...);",
        )  # fmt: skip

    def _primitive(self, expr: s.CallExpr, primitive: Primitive, scope: Scope, context: Context) -> t.Type:
        name, args = expr.callee.text, expr.args
        if primitive.effect and not context.effects:
            self._effect(expr)
        if name == "next" and not context.step:
            self._found.error("LZ309", "'next' can only stand in a step property", expr.span)
        least = sum(1 for p in primitive.params if not p.endswith("?"))
        inner = replace(context.inner, step=False) if name == "next" else context.inner
        if not least <= len(args) <= len(primitive.params):
            for argument in args:
                self._exprs.type_of(argument, scope, inner)
            message = f"'{name}' takes {least} argument{'s' * (least != 1)}, but this gives {len(args)}"
            self._found.error("LZ304", message, expr.callee.span)
            return t.ERROR
        first: t.Type = t.ERROR
        for word, argument in zip(primitive.params, args, strict=False):
            if word == "kind?":
                self._kind(argument, first)
                continue
            if word in ("value", "element"):
                self._exprs.expect(argument, _element(first) if word == "element" else first, scope, inner)
                continue
            first = self._argument(name, word, argument, scope, inner)
        if isinstance(first, t.RefcountType) and first.kinds and len(args) == 1 and "kind?" in primitive.params:
            message = f"say what kind of reference this is: {', '.join(first.kinds)}"
            self._found.error("LZ304", message, expr.span)
        match primitive.result:
            case "bool":
                return t.BOOL
            case "int":
                return t.IntType(0, 1 << 16)
            case "place":
                return t.IntType(0, first.bound) if isinstance(first, t.RefcountType) else first
            case "element":
                return _element(first)
            case "task":
                return self._exprs.task(name, expr.callee.span)
            case _:
                return t.VOID

    def _argument(self, name: str, word: str, argument: s.Expr, scope: Scope, context: Context) -> t.Type:
        if word == "bool":
            self._exprs.condition(argument, scope, context)
            return t.BOOL
        got = self._exprs.type_of(argument, scope, context)
        if isinstance(got, t.ErrorType):
            return got
        changes = PRIMITIVES[name].effect
        is_place = word in ("refcount", "spinlock", "mutex", "rwlock", "lock", "seq", "number", "flag")
        if (is_place or (word == "place" and changes)) and not self._exprs.place(argument, scope):
            return t.ERROR
        if not self._suits(word, got, cas="cmpxchg" in name):
            wanted = _WANTED.get(word, article(word) if word != "place" else "something with a value")
            self._found.error("LZ301", f"expected {wanted}, but this is {a_type(got)}", argument.span)
            return t.ERROR
        if changes and word in ("place", "number") and not self._may_change(name, argument, got, scope):
            return t.ERROR
        return got

    def _suits(self, word: str, got: t.Type, *, cas: bool) -> bool:
        """Whether an argument of this type is what a primitive's parameter asks for."""
        match word:
            case "refcount":
                return isinstance(got, t.RefcountType)
            case "spinlock" | "mutex" | "rwlock":
                return got == t.LockType(word)
            case "lock":
                return isinstance(got, t.LockType)
            case "seq":
                return isinstance(got, t.SeqType)
            case "set":
                return isinstance(got, t.SetType) and len(got.sorts) == 1
            case "number":
                return isinstance(got, t.IntType | t.RefcountType | t.GenType)
            case "flag":
                return isinstance(got, t.BoolType)
            case "task":
                return isinstance(got, t.ElemType) and got.sort in self._model.task_sorts()
            case "cpu":
                return isinstance(got, t.ElemType) and got.sort == CPU
            case "object":
                return isinstance(got, t.ElemType) and got.sort in self._model.objects
            case "place" if cas:
                values = t.BoolType | t.IntType | t.EnumType | t.ElemType | t.RefcountType | t.RecordType
                return isinstance(got, values)
            case _:
                return not isinstance(
                    got, t.LockType | t.SeqType | t.ArrayType | t.VoidType | t.NullType | t.EmptySetType
                )

    def _may_change(self, name: str, place: s.Expr, got: t.Type, scope: Scope) -> bool:
        """Whether a primitive may change a place of this type; complains where not."""
        match got:
            case t.RefcountType(kinds=kinds) if kinds:
                self._found.error("LZ303", "a refcount with kinds is only changed by get and put", place.span)
            case t.GenType() if name in ("atomic_inc", "atomic_inc_return"):
                return self.counter(place, scope)
            case t.GenType() if self.is_counter(place, scope) or PRIMITIVES[name].params[0] == "number":
                self._found.error("LZ310", "a generation counter is only incremented", place.span)
            case _:
                return True
        return False

    def is_counter(self, place: s.Expr, scope: Scope) -> bool:
        """Whether a place is a generation counter itself, not a copy of its value."""
        return (last_name(place) in self._resolver.heads and scope.find(first_name(place)) is None) or (
            isinstance(place, s.FieldExpr) and place.field.text in self._resolver.heads
        )

    def counter(self, place: s.Expr, scope: Scope) -> bool:
        """Whether a place can be incremented as a generation counter; complains where not."""
        if self.is_counter(place, scope):
            return True
        self._found.error(
            "LZ310", "only a counter is incremented, not a copy of its value", place.span,
            hint="a counter is a field or variable that is incremented by its own name",
        )  # fmt: skip
        return False

    def _kind(self, argument: s.Expr, refcount: t.Type) -> None:
        if not isinstance(refcount, t.RefcountType):
            return
        name = argument.name if isinstance(argument, s.NameExpr) else None
        if name is None or name not in refcount.kinds:
            hint = suggest(name or "", refcount.kinds)
            known = ", ".join(refcount.kinds) or "no kinds at all"
            self._found.error(
                "LZ201", f"not a kind of holder of this refcount, which has {known}", argument.span, hint=hint
            )


def _element(type_: t.Type) -> t.Type:
    return type_.element if isinstance(type_, t.SeqType) else t.ERROR
