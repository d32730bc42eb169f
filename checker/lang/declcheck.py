"""Whether declarations make sense: their types, first values and attributes."""

from __future__ import annotations

from collections.abc import Iterable

from checker.lang import syntax as s
from checker.lang import types as t
from checker.lang.diagnostics import suggest
from checker.lang.exprcheck import Context, ExprChecker
from checker.lang.names import CPU
from checker.lang.scope import Scope
from checker.lang.walk import fields_of
from checker.lang.wording import a_type

ATTRIBUTES = ("kernel", "survives")


class DeclarationChecker:
    """Checks the declarations of an expression checker's model."""

    def __init__(self, exprs: ExprChecker) -> None:
        self._exprs = exprs
        self._model = exprs.model
        self._found = exprs.found
        self._resolver = exprs.resolver

    def run(self) -> None:
        """Check all types and first values, those of configs included."""
        m = self._model
        for config in m.configs.values():
            if config.type is not None:
                self._config(config, self._resolver.resolve(config.type))
        for name, sort in m.statics.items():
            self._resolver.sort(s.Name(sort, span=m.values[name].span))
        for declared in fields_of(m):
            self._initial(self._resolver.declared(declared), declared.init)
        for record in m.records.values():
            for declared in record.fields:
                self._record_field(declared)
        for var in m.vars.values():
            if var.percpu and CPU not in m.sorts:
                self._found.error("LZ201", "a per-CPU variable needs 'sort CPU'", var.name.span)
            self._initial(self._exprs.var_type(var.name.text), var.init)

    def _config(self, config: s.Config, wanted: t.Type) -> None:
        if not isinstance(wanted, t.BoolType | t.IntType | t.EnumType | t.ErrorType):
            self._found.error("LZ313", f"a config cannot be {a_type(wanted)}", config.name.span)
            return
        got = self._exprs.expect(config.value, wanted, Scope(), Context(cpu=False))
        self._fits_range(got, wanted, config.value)

    def _record_field(self, declared: s.FieldDecl) -> None:
        got = self._resolver.declared(declared)
        if not isinstance(got, t.BoolType | t.IntType | t.EnumType | t.ElemType | t.ErrorType | t.GenType | t.SetType):
            self._found.error("LZ313", f"a record cannot hold {a_type(got)}", declared.type.span)

    def _initial(self, type_: t.Type, init: s.Expr | s.AnyInit | None) -> None:
        element = type_
        while isinstance(element, t.ArrayType):
            element = element.element
        match init:
            case None:
                pass
            case s.AnyInit():
                values = t.BoolType | t.IntType | t.EnumType | t.ElemType | t.SetType | t.ErrorType
                if not isinstance(element, values):
                    self._found.error("LZ313", f"'any' cannot stand for {a_type(element)}", init.span)
            case _:
                got = self._exprs.expect(init, element, Scope(), Context(cpu=False, ghost=True))
                self._fits_range(got, element, init)
                if isinstance(element, t.RefcountType) and element.kinds:
                    self._found.error("LZ303", "a refcount with kinds starts at 0", init.span,
                                      hint="take the first references in alloc or in init")  # fmt: skip

    def _fits_range(self, got: t.Type, wanted: t.Type, value: s.Expr) -> None:
        """Complain about a constant outside the range that it is to begin with."""
        if not isinstance(got, t.IntType) or not isinstance(wanted, t.IntType | t.RefcountType):
            return
        lo, hi = (wanted.lo, wanted.hi) if isinstance(wanted, t.IntType) else (0, wanted.bound)
        if got.hi < lo or got.lo > hi:
            self._found.error("LZ601", f"{got.lo} is outside the range {lo}..{hi}", value.span)

    def attributes(self, attributes: Iterable[s.Attribute]) -> None:
        """Check that attributes mean something."""
        for attribute in attributes:
            if attribute.name not in ATTRIBUTES:
                hint = suggest(attribute.name, ATTRIBUTES) or f"there is @{', @'.join(ATTRIBUTES)}"
                self._found.error("LZ209", f"unknown attribute '@{attribute.name}'", attribute.span, hint=hint)
            elif attribute.name == "kernel" and len(attribute.args) not in (1, 2):
                self._found.error("LZ209", "@kernel takes a function, or a file and a function", attribute.span)
            elif attribute.name == "survives" and len(attribute.args) != 1:
                message = "@survives takes the reason why nothing notices when this is left out"
                self._found.error("LZ209", message, attribute.span)

    def handler_param(self, param: s.ParamDecl) -> None:
        """Check a parameter of an interrupt."""
        got = self._resolver.resolve(param.type)
        if param.ref or isinstance(got, t.LockType | t.RefcountType | t.SeqType):
            self._found.error("LZ313", "an interrupt is given values, not places", param.span)
