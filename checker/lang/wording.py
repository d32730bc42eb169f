"""How messages speak of types and of what names stand for."""

from __future__ import annotations

import re

from checker.lang import syntax as s
from checker.lang import types as t
from checker.lang.names import CPU, Model
from checker.lang.source import Span


def article(phrase: str) -> str:
    """A phrase with `a` or `an`, as it is spoken: an element, a user, an mm."""
    word = re.match(r"[A-Za-z]*", phrase)
    spoken = word.group().lower() if word else ""
    initials = not re.search(r"[aeiouy]", spoken)  # spelt out: em em
    vowel = spoken[:1] in tuple("fhlmnrsx") if initials else bool(re.match(r"[aeio]|u(?!s|ni)", spoken))
    return f"{'an' if vowel else 'a'} {phrase}"


def a_type(type_: t.Type) -> str:
    """A value of the type, as messages name it."""
    match type_:
        case t.IntType(lo=lo, hi=hi) if lo == hi:
            return f"the number {lo}"
        case t.IntType():
            return f"a number {type_}"
        case t.NullType() | t.EmptySetType() | t.VoidType():
            return str(type_)
        case _:
            return article(str(type_))


def expected(wanted: t.Type, got: t.Type) -> str:
    """What is said of a value of one type where another is needed."""
    if isinstance(wanted, t.GenType) and isinstance(got, t.GenType) and wanted.head != got.head:
        return f"expected a generation of {wanted.head}, but this is one of {got.head}"
    return f"expected {a_type(wanted)}, but this is {a_type(got)}"


def remedy(wanted: t.Type, got: t.Type) -> str:
    """What helps where a value of one type stands for another, or an empty string."""
    match wanted, got:
        case t.ElemType(sort=sort, optional=False), t.NullType():
            return f"declare it as {sort}? if it may be null"
        case t.BoolType(), t.IntType(lo=lo, hi=hi) if lo == hi and lo in (0, 1):
            return f"write {'true' if lo else 'false'}"
        case t.SetType(sorts=(sort,)), t.ElemType(sort=own) if own == sort:
            return "put the element into braces: {x}"
        case _:
            return ""


def not_a_value(name: str, model: Model) -> tuple[str, str] | None:
    """What is said of the name of a type where a value is needed, and what to write; None for other names."""
    message = f"'{name}' is a type, not a value"
    if name in model.objects:
        return message, f"a new one is made by alloc {name}"
    if name == CPU and CPU in model.sorts:
        return message, "the CPU that runs this is 'this_cpu'"
    if name in model.sorts:
        return message, f"any of its elements is chosen by pick x : {name};"
    if name in model.enums:
        return message, f"its values are {', '.join(m.text for m in model.enums[name].members)}"
    if name in model.records:
        return message, "a record is a variable's or a local's, and is given its fields one by one"
    return None


def fixed(name: str, model: Model) -> str:
    """What a name of the model is that nothing can assign to."""
    match model.values.get(name):
        case s.Config():
            return f"'{name}' is a config, which no statement changes"
        case s.StaticDecl():
            return f"'{name}' is a static, always the same object"
        case s.EnumDecl(name=enum):
            return f"'{name}' is a value of enum {enum}"
        case _:
            return f"'{name}' is the CPU that runs this"


def declared_at(name: str, model: Model) -> Span | None:
    """Where a config, static, variable or member of an enum is declared; None for what no text declares."""
    match model.values.get(name):
        case s.Config(name=own) | s.VarDecl(name=own):
            return own.span
        case s.StaticDecl(names=names) | s.EnumDecl(members=names):
            return next(n.span for n in names if n.text == name)
        case _:
            return None
