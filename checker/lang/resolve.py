"""Type expressions to types, under one configuration."""

from __future__ import annotations

from collections.abc import Mapping

from checker.lang import syntax as s
from checker.lang import types as t
from checker.lang.diagnostics import Collector, Note, among, suggest
from checker.lang.names import Model
from checker.lang.walk import heads, nodes
from checker.lang.wording import a_type

ConfigValue = bool | int | str

_LOCKS = ("spinlock", "mutex", "rwlock")


class TypeResolver:
    """Gives the type that a type expression means; complaints go to `found`."""

    def __init__(self, model: Model, config: Mapping[str, ConfigValue], found: Collector) -> None:
        self._model = model
        self._config = config
        self._found = found
        self.heads = {name: found[0] for name, found in heads(model).items()}
        """The declarations of the generation counters, by name."""

    def check_heads(self) -> None:
        """Complain about counters that cannot be told apart or have too many indices."""
        for name, declared in heads(self._model).items():
            for other in declared[1:]:
                self._found.error(
                    "LZ310", f"several gens are named '{name}', and something increments '{name}'", other.name.span,
                    hint="give the counter a name of its own",
                    notes=(Note(declared[0].name.span, "another one is here"),),
                )  # fmt: skip
            head = declared[0]
            is_field = isinstance(head, s.FieldDecl)
            fixed = is_field or (isinstance(head, s.VarDecl) and head.percpu)
            indices = fixed + (len(head.type.index) if isinstance(head.type, s.ArrayType) else 0)
            if indices > 1:
                self._found.error("LZ310", f"the counter '{name}' has more than one index", head.name.span)
            if is_field and any(f is head for r in self._model.records.values() for f in r.fields):
                self._found.error("LZ310", f"the counter '{name}' is a record's: only copies can be", head.name.span)

    def declared(self, declaration: s.FieldDecl | s.VarDecl) -> t.Type:
        """The type of a field or variable; a counter is of its own kind of generation."""
        name = declaration.name.text
        if self.heads.get(name) is not declaration:
            return self.resolve(declaration.type)
        if isinstance(declaration.type, s.ArrayType):
            return t.ArrayType(t.GenType(name), tuple(n.text for n in declaration.type.index))
        return t.GenType(name)

    def resolve(self, expr: s.TypeExpr) -> t.Type:
        """The type meant, or ErrorType after a complaint."""
        match expr:
            case s.NamedType(name=name):
                return self._named(name, expr)
            case s.RangeType():
                lo, hi = self.bound(expr.lo), self.bound(expr.hi)
                if lo > hi:
                    self._found.error("LZ601", f"the range {lo}..{hi} is empty", expr.span)
                    return t.ERROR
                return t.IntType(lo, hi)
            case s.SetType():
                known = [self.sort(name) for name in expr.sorts]
                return t.SetType(tuple(n.text for n in expr.sorts)) if all(known) else t.ERROR
            case s.SeqType():
                return self._seq(expr)
            case s.GenOfType(name=name):
                return self._gen_of(name, expr)
            case s.RefcountType():
                bound = t.DEFAULT_REFCOUNT_BOUND if expr.bound is None else self.bound(expr.bound)
                return t.RefcountType(bound, tuple(k.text for k in expr.kinds))
            case s.OptionalType():
                base = self.resolve(expr.base)
                if isinstance(base, t.ElemType):
                    return t.ElemType(base.sort, optional=True)
                if not isinstance(base, t.ErrorType):
                    message = f"only an element of a sort can be optional, not {a_type(base)}"
                    self._found.error("LZ313", message, expr.span)
                return t.ERROR
            case s.ArrayType():
                element = self.resolve(expr.base)
                known = [self.sort(name) for name in expr.index]
                if isinstance(element, t.ErrorType) or not all(known):
                    return t.ERROR
                return t.ArrayType(element, tuple(n.text for n in expr.index))

    def sort(self, name: s.Name) -> bool:
        """Whether the name is a sort; complains where not."""
        if self._model.has_sort(name.text):
            return True
        known = [*self._model.sorts, *self._model.objects]
        hint = among(name.text, known, "known here:")
        self._found.error("LZ201", f"unknown sort '{name}'", name.span, hint=hint)
        return False

    def bound(self, bound: int | s.Name) -> int:
        """The number that a bound means; 0 after a complaint."""
        if isinstance(bound, int):
            return bound
        value = self._config.get(bound.text)
        if isinstance(value, int) and not isinstance(value, bool):
            return value
        if bound.text in self._model.configs:
            self._found.error("LZ301", f"config '{bound}' is not a number", bound.span)
        else:
            hint = among(bound.text, self._model.configs, "known here:")
            message = f"unknown name '{bound}': a bound is a number or a config"
            self._found.error("LZ201", message, bound.span, hint=hint)
        return 0

    def _named(self, name: str, expr: s.NamedType) -> t.Type:
        if name == "bool":
            return t.BOOL
        if name == "gen":
            return self._gen(expr)
        if name in _LOCKS:
            return t.LockType(name)
        if self._model.has_sort(name):
            return t.ElemType(name)
        if name in self._model.enums:
            return t.EnumType(name, tuple(m.text for m in self._model.enums[name].members))
        if name in self._model.records:
            return t.RecordType(name)
        known = ["bool", "gen", "refcount", *_LOCKS, *self._model.sorts, *self._model.objects, *self._model.enums]
        hint = suggest(name, [*known, *self._model.records])
        self._found.error("LZ201", f"unknown type '{name}'", expr.span, hint=hint)
        return t.ERROR

    def _gen(self, expr: s.NamedType) -> t.Type:
        """A `gen`: of the only counter there is, if the text has not several."""
        if len(self.heads) > 1:
            hint = " or ".join(f"gen of {name}" for name in self.heads)
            self._found.error("LZ310", "the model has several counters: of which one is this?", expr.span, hint=hint)
            return t.ERROR
        return t.GenType(next(iter(self.heads), ""))

    def _gen_of(self, name: str, expr: s.GenOfType) -> t.Type:
        if name != "gen":
            self._found.error("LZ201", f"unknown type '{name} of'", expr.span, hint="set of, seq of, gen of")
        elif expr.head.text not in self.heads:
            hint = among(expr.head.text, self.heads, "known here:")
            self._found.error("LZ201", f"nothing increments a gen named '{expr.head}'", expr.head.span, hint=hint)
        else:
            return t.GenType(expr.head.text)
        return t.ERROR

    def _seq(self, expr: s.SeqType) -> t.Type:
        element = self.resolve(expr.element)
        capacity = self.bound(expr.capacity)
        if isinstance(element, t.ErrorType):
            return t.ERROR
        if not isinstance(element, t.BoolType | t.IntType | t.EnumType | t.ElemType | t.RecordType):
            self._found.error("LZ313", f"a sequence cannot hold {a_type(element)}", expr.span)
            return t.ERROR
        if isinstance(element, t.RecordType) and not self._plain(element.name, expr):
            return t.ERROR
        if capacity < 1:
            self._found.error("LZ601", f"a sequence of at most {capacity} holds nothing", expr.span)
        return t.SeqType(element, capacity)

    def _plain(self, record: str, expr: s.SeqType) -> bool:
        """Whether all fields of a record are scalars, so that a sequence can hold it; complains where not."""
        for declared in self._model.records[record].fields:
            if any(isinstance(part, s.SeqType) for part in nodes(declared.type)):
                return False  # no record can have that field: reported there
            got = self.declared(declared)
            if isinstance(got, t.BoolType | t.IntType | t.EnumType | t.ElemType | t.ErrorType):
                continue
            if isinstance(got, t.GenType | t.SetType):
                holder = a_type(t.RecordType(record))
                message = f"a sequence cannot hold {holder}: its '{declared.name}' is {a_type(got)}"
                notes = (Note(declared.name.span, f"'{declared.name}' is declared here"),)
                hint = "in a sequence, fields are bools, numbers, enums and elements of sorts"
                self._found.error("LZ313", message, expr.span, hint=hint, notes=notes)
            return False
        return True
