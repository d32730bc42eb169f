"""Lark's tree to ours: one method a grammar rule, named as the rule."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

from lark import Token, Tree

from checker.lang import syntax as s
from checker.lang.source import SourceFile, Span

Child = Any  # a node of ours, a Token, a list of them, or None where an optional part is absent


class TreeBuilder:
    """Builds the syntax tree of one file."""

    def __init__(self, source: SourceFile) -> None:
        self._source = source
        self._docs = _doc_comments(source)

    def build(self, tree: Tree[Token]) -> s.File:
        """The file's node."""
        header, *declarations = tree.children
        assert isinstance(header, Tree)
        return s.File(
            name=self._name(header.children[0]),
            library=header.data == "library_header",
            declarations=tuple(self._visit(d) for d in declarations),
            doc=self._doc(header.meta.line, after=True),
            span=self._span(header),
        )

    # -- the walk

    def _visit(self, node: Child) -> Child:
        if not isinstance(node, Tree):
            return node
        rule = str(node.data)
        build: Callable[[Tree[Token], list[Child]], Child] = getattr(self, "_" + rule)
        return build(node, [self._visit(child) for child in node.children])

    def _span(self, node: Tree[Token] | Token) -> Span:
        at = node if isinstance(node, Token) else node.meta
        if isinstance(at, Token) or not at.empty:
            return Span(self._source.name, at.line or 0, at.column or 0, at.end_line or 0, at.end_column or 0)
        return Span(self._source.name, 1, 1, 1, 1)

    def _name(self, token: Child) -> s.Name:
        assert isinstance(token, Token)
        return s.Name(str(token), span=self._span(token))

    def _doc(self, line: int, *, after: bool = False) -> str:
        """The `///` lines just above (or, for the header, below) a line."""
        step, at, found = (1, line + 1, []) if after else (-1, line - 1, [])
        while at in self._docs:
            found.append(self._docs[at])
            at += step
        return "\n".join(found if after else reversed(found))

    def _declared(self, node: Tree[Token]) -> dict[str, Any]:
        return {"span": self._span(node), "doc": self._doc(node.meta.line)}

    # -- declarations

    def _use(self, n: Tree[Token], c: list[Child]) -> s.Use:
        return s.Use(_string(c[0]), **self._declared(n))

    def _config(self, n: Tree[Token], c: list[Child]) -> s.Config:
        return s.Config(self._name(c[0]), c[1], c[2], **self._declared(n))

    def _enum(self, n: Tree[Token], c: list[Child]) -> s.EnumDecl:
        return s.EnumDecl(self._name(c[0]), self._names(c[1:]), **self._declared(n))

    def _sort(self, n: Tree[Token], c: list[Child]) -> s.SortDecl:
        return s.SortDecl(self._name(c[1]), int(c[2]), c[0] is not None, **self._declared(n))

    def _object(self, n: Tree[Token], c: list[Child]) -> s.ObjectDecl:
        size = int(c[1]) if c[1] is not None else None
        return s.ObjectDecl(self._name(c[0]), size, c[2] if len(c) > 2 and c[2] else (), **self._declared(n))

    def _fields(self, n: Tree[Token], c: list[Child]) -> tuple[s.FieldDecl, ...]:
        return tuple(c)

    def _field(self, n: Tree[Token], c: list[Child]) -> s.FieldDecl:
        return s.FieldDecl(self._name(c[1]), c[2], c[0], c[3], **self._declared(n))

    def _static(self, n: Tree[Token], c: list[Child]) -> s.StaticDecl:
        return s.StaticDecl(self._names(c[:-1]), self._name(c[-1]), **self._declared(n))

    def _record(self, n: Tree[Token], c: list[Child]) -> s.RecordDecl:
        return s.RecordDecl(self._name(c[0]), c[1], **self._declared(n))

    def _var(self, n: Tree[Token], c: list[Child]) -> s.VarDecl:
        return s.VarDecl(self._name(c[2]), c[3], c[0], str(c[1]) == "percpu", c[4], **self._declared(n))

    def _storage(self, n: Tree[Token], c: list[Child]) -> str:
        return str(c[0])

    def _initial_any(self, n: Tree[Token], c: list[Child]) -> s.AnyInit:
        return s.AnyInit(span=self._span(n))

    def _initial(self, n: Tree[Token], c: list[Child]) -> s.Expr:
        expr: s.Expr = c[0]
        return expr

    def _fn(self, n: Tree[Token], c: list[Child]) -> s.FnDecl:
        attributes, c = _split(c, s.Attribute)
        return s.FnDecl(self._name(c[0]), c[1] or (), c[2], c[3], attributes, **self._declared(n))

    def _proc(self, n: Tree[Token], c: list[Child]) -> s.ProcDecl:
        attributes, c = _split(c, s.Attribute)
        weak, name, params, result, *rest = c
        sections = tuple(str(x) for x in rest if isinstance(x, str))
        body = next((x for x in rest if isinstance(x, s.Block)), None)
        return s.ProcDecl(
            self._name(name), params or (), result, sections, body, weak is not None, attributes, **self._declared(n)
        )

    def _interrupt(self, n: Tree[Token], c: list[Child]) -> s.InterruptDecl:
        attributes, c = _split(c, s.Attribute)
        kind, name, params, when, body = c
        return s.InterruptDecl(
            self._name(name), params or (), str(kind) == "nmi", when, body, attributes, **self._declared(n)
        )

    def _thread(self, n: Tree[Token], c: list[Child]) -> s.ThreadDecl:
        attributes, c = _split(c, s.Attribute)
        kind, name, param, sort, on, body, preempted = c
        binder = None
        if param is not None:
            first, second = self._name(param), self._name(sort)
            binder = s.Binder(first, second, span=first.span.to(second.span))
        return s.ThreadDecl(
            str(kind), self._name(name), binder, self._name(on) if on is not None else None,
            body, preempted, attributes, **self._declared(n),
        )  # fmt: skip

    def _preempted(self, n: Tree[Token], c: list[Child]) -> s.Block:
        block: s.Block = c[0]
        return block

    def _init(self, n: Tree[Token], c: list[Child]) -> s.InitDecl:
        return s.InitDecl(c[0], **self._declared(n))

    def _section(self, n: Tree[Token], c: list[Child]) -> str:
        return str(c[0])

    def _params(self, n: Tree[Token], c: list[Child]) -> tuple[s.ParamDecl, ...]:
        return tuple(c)

    def _param(self, n: Tree[Token], c: list[Child]) -> s.ParamDecl:
        return s.ParamDecl(self._name(c[0]), c[2], c[1] is not None, span=self._span(n))

    def _attribute(self, n: Tree[Token], c: list[Child]) -> s.Attribute:
        args = tuple(_string(x) for x in c[1:] if x is not None)
        return s.Attribute(str(c[0]), args, span=self._span(n))

    def _property(self, n: Tree[Token], c: list[Child]) -> s.PropertyDecl:
        text = _string(c[2]) if c[2] is not None else None
        return s.PropertyDecl(str(c[0]), self._name(c[1]), text, c[3], **self._declared(n))

    def _final(self, n: Tree[Token], c: list[Child]) -> s.FinalDecl:
        return s.FinalDecl(c[0], **self._declared(n))

    def _check(self, n: Tree[Token], c: list[Child]) -> s.CheckDecl:
        settings = tuple(x for x in c if isinstance(x, s.Setting))
        allowances = [x for x in c if isinstance(x, list)]
        bug = next((x for x in c if isinstance(x, str) and not isinstance(x, Token)), None)
        verdict, targets, steps, states = c[-1]
        return s.CheckDecl(
            self._name(c[0]), settings, verdict, targets, steps, states, bug,
            any(not names for names in allowances), tuple(name for names in allowances for name in names),
            **self._declared(n),
        )  # fmt: skip

    def _bug(self, n: Tree[Token], c: list[Child]) -> str:
        return _string(c[0])

    def _setting(self, n: Tree[Token], c: list[Child]) -> s.Setting:
        return s.Setting(self._name(c[0]), c[1], span=self._span(n))

    def _setting_value(self, n: Tree[Token], c: list[Child]) -> int | str:
        return int(c[0]) if c[0].type == "SIGNED" else str(c[0])

    def _allow_unreached(self, n: Tree[Token], c: list[Child]) -> list[s.Name]:
        return [self._name(x) for x in c if x is not None]

    def _expectation(self, n: Tree[Token], c: list[Child]) -> tuple[str, tuple[s.Target, ...], int | None, int | None]:
        targets = tuple(x for x in c if isinstance(x, s.Target))
        *_, steps, _word, states = c
        return str(c[0]), targets, int(steps) if steps else None, int(states) if states else None

    def _target(self, n: Tree[Token], c: list[Child]) -> s.Target:
        quoted = c[0].type == "STRING"
        return s.Target(_string(c[0]) if quoted else str(c[0]), quoted, span=self._span(n))

    # -- types

    def _type(self, n: Tree[Token], c: list[Child]) -> s.TypeExpr:
        built: s.TypeExpr = c[0]
        if c[1] is not None:
            built = s.OptionalType(built, span=self._span(n))
        index = self._names([x for x in c[2:] if x is not None])
        return s.ArrayType(built, index, span=self._span(n)) if index else built

    def _named_type(self, n: Tree[Token], c: list[Child]) -> s.NamedType:
        return s.NamedType(str(c[0]), span=self._span(n))

    def _range_type(self, n: Tree[Token], c: list[Child]) -> s.RangeType:
        return s.RangeType(c[0], c[1], span=self._span(n))

    def _set_type(self, n: Tree[Token], c: list[Child]) -> s.SetType:
        return s.SetType(self._names(c), span=self._span(n))

    def _seq_type(self, n: Tree[Token], c: list[Child]) -> s.SeqType:
        element = s.OptionalType(c[0], span=c[0].span) if c[1] is not None else c[0]
        return s.SeqType(element, c[2], span=self._span(n))

    def _gen_type(self, n: Tree[Token], c: list[Child]) -> s.GenOfType:
        return s.GenOfType(str(c[0]), self._name(c[1]), span=self._span(n))

    def _refcount_type(self, n: Tree[Token], c: list[Child]) -> s.RefcountType:
        return s.RefcountType(c[0], self._names([x for x in c[1:] if x is not None]), span=self._span(n))

    def _bound(self, n: Tree[Token], c: list[Child]) -> int | s.Name:
        return int(c[0]) if c[0].type == "SIGNED" else self._name(c[0])

    # -- statements

    def _block(self, n: Tree[Token], c: list[Child]) -> s.Block:
        return s.Block(tuple(c), span=self._span(n))

    def _attributed(self, n: Tree[Token], c: list[Child]) -> s.Stmt:
        attributes, rest = _split(c, s.Attribute)
        statement: s.Stmt = rest[0]
        if not attributes:
            return statement
        values = {name: getattr(statement, name) for name in statement.__dataclass_fields__}
        return type(statement)(**{**values, "attributes": attributes})

    def _let(self, n: Tree[Token], c: list[Child]) -> s.Let:
        return s.Let(self._name(c[0]), c[1], c[2], span=self._span(n))

    def _assign(self, n: Tree[Token], c: list[Child]) -> s.Assign:
        return s.Assign(c[0], str(c[1]), c[2], span=self._span(n))

    def _call_statement(self, n: Tree[Token], c: list[Child]) -> s.CallStmt:
        return s.CallStmt(self._call(n, c), span=self._span(n))

    def _if_statement(self, n: Tree[Token], c: list[Child]) -> s.If:
        otherwise = c[2]
        if isinstance(otherwise, s.If):
            otherwise = s.Block((otherwise,), span=otherwise.span)
        return s.If(c[0], c[1], otherwise, span=self._span(n))

    def _while(self, n: Tree[Token], c: list[Child]) -> s.While:
        return s.While(c[0], c[1], span=self._span(n))

    def _loop(self, n: Tree[Token], c: list[Child]) -> s.While:
        return s.While(None, c[0], span=self._span(n))

    def _either(self, n: Tree[Token], c: list[Child]) -> s.Either:
        return s.Either(tuple(c), span=self._span(n))

    def _for_each(self, n: Tree[Token], c: list[Child]) -> s.ForEach:
        return s.ForEach(self._bound_by(c[0], c[1]), c[2], c[3], span=self._span(n))

    def _for_all(self, n: Tree[Token], c: list[Child]) -> s.ForAll:
        *binders, where, body = c
        return s.ForAll(tuple(binders), where, body, span=self._span(n))

    def _pick(self, n: Tree[Token], c: list[Child]) -> s.Pick:
        return s.Pick(self._bound_by(c[0], c[1]), c[2], span=self._span(n))

    def _await_statement(self, n: Tree[Token], c: list[Child]) -> s.Await:
        return s.Await(c[0], span=self._span(n))

    def _assert_statement(self, n: Tree[Token], c: list[Child]) -> s.Assert:
        return s.Assert(c[0], _string(c[1]) if c[1] is not None else None, span=self._span(n))

    def _break_statement(self, n: Tree[Token], c: list[Child]) -> s.Break:
        return s.Break(span=self._span(n))

    def _continue_statement(self, n: Tree[Token], c: list[Child]) -> s.Continue:
        return s.Continue(span=self._span(n))

    def _return_statement(self, n: Tree[Token], c: list[Child]) -> s.Return:
        return s.Return(c[0], span=self._span(n))

    def _skip(self, n: Tree[Token], c: list[Child]) -> s.Skip:
        return s.Skip(span=self._span(n))

    def _section_block(self, n: Tree[Token], c: list[Child]) -> s.Section:
        return s.Section(c[0], c[1], span=self._span(n))

    def _ipi_call(self, n: Tree[Token], c: list[Child]) -> s.IpiCall:
        return s.IpiCall(self._name(c[0]), c[1] or (), c[2], c[3] is not None, span=self._span(n))

    def _ipi_send(self, n: Tree[Token], c: list[Child]) -> s.IpiSend:
        return s.IpiSend(self._name(c[0]), c[1] or (), c[2], span=self._span(n))

    def _ipi_wait(self, n: Tree[Token], c: list[Child]) -> s.IpiWait:
        return s.IpiWait(self._name(c[0]), span=self._span(n))

    def _switch_to(self, n: Tree[Token], c: list[Child]) -> s.SwitchTo:
        return s.SwitchTo(c[0], span=self._span(n))

    def _free(self, n: Tree[Token], c: list[Child]) -> s.Free:
        return s.Free(c[0], span=self._span(n))

    def _alloc(self, n: Tree[Token], c: list[Child]) -> s.Alloc:
        return s.Alloc(self._name(c[0]), tuple(x for x in c[1:] if x is not None), span=self._span(n))

    def _field_init(self, n: Tree[Token], c: list[Child]) -> s.FieldInit:
        kind = self._name(c[2]) if c[2] is not None else None
        return s.FieldInit(self._name(c[0]), c[1], kind, span=self._span(n))

    # -- expressions

    def _conditional(self, n: Tree[Token], c: list[Child]) -> s.Conditional:
        return s.Conditional(c[0], c[1], c[2], span=self._span(n))

    def _implies(self, n: Tree[Token], c: list[Child]) -> s.Binary:
        return s.Binary("=>", c[0], c[1], span=self._span(n))

    def _or_(self, n: Tree[Token], c: list[Child]) -> s.Binary:
        return s.Binary("||", c[0], c[1], span=self._span(n))

    def _and_(self, n: Tree[Token], c: list[Child]) -> s.Binary:
        return s.Binary("&&", c[0], c[1], span=self._span(n))

    def _compare(self, n: Tree[Token], c: list[Child]) -> s.Binary:
        return s.Binary(str(c[1]), c[0], c[2], span=self._span(n))

    def _member(self, n: Tree[Token], c: list[Child]) -> s.Binary:
        return s.Binary("in", c[0], c[1], span=self._span(n))

    def _not_member(self, n: Tree[Token], c: list[Child]) -> s.Unary:
        return s.Unary("!", self._member(n, c), span=self._span(n))

    def _arithmetic(self, n: Tree[Token], c: list[Child]) -> s.Binary:
        return s.Binary(str(c[1]), c[0], c[2], span=self._span(n))

    def _not_(self, n: Tree[Token], c: list[Child]) -> s.Unary:
        return s.Unary("!", c[0], span=self._span(n))

    def _negate(self, n: Tree[Token], c: list[Child]) -> s.Unary:
        return s.Unary("-", c[0], span=self._span(n))

    def _field_access(self, n: Tree[Token], c: list[Child]) -> s.FieldExpr:
        return s.FieldExpr(c[0], self._name(c[1]), span=self._span(n))

    def _index(self, n: Tree[Token], c: list[Child]) -> s.IndexExpr:
        return s.IndexExpr(c[0], c[1], span=self._span(n))

    def _call(self, n: Tree[Token], c: list[Child]) -> s.CallExpr:
        return s.CallExpr(self._name(c[0]), c[1] or (), span=self._span(n))

    def _number(self, n: Tree[Token], c: list[Child]) -> s.Number:
        return s.Number(int(c[0]), span=self._span(n))

    def _true(self, n: Tree[Token], c: list[Child]) -> s.Truth:
        return s.Truth(True, span=self._span(n))

    def _false(self, n: Tree[Token], c: list[Child]) -> s.Truth:
        return s.Truth(False, span=self._span(n))

    def _null(self, n: Tree[Token], c: list[Child]) -> s.NullExpr:
        return s.NullExpr(span=self._span(n))

    def _reference(self, n: Tree[Token], c: list[Child]) -> s.NameExpr:
        return s.NameExpr(str(c[0]), span=self._span(n))

    def _parenthesised(self, n: Tree[Token], c: list[Child]) -> s.Expr:
        expr: s.Expr = c[0]
        return expr

    def _set_empty(self, n: Tree[Token], c: list[Child]) -> s.SetLiteral:
        return s.SetLiteral((), span=self._span(n))

    def _set_literal(self, n: Tree[Token], c: list[Child]) -> s.SetLiteral:
        return s.SetLiteral(tuple(c), span=self._span(n))

    def _set_comprehension(self, n: Tree[Token], c: list[Child]) -> s.Comprehension:
        return s.Comprehension(tuple(c[:-1]), c[-1], span=self._span(n))

    def _quantified(self, n: Tree[Token], c: list[Child]) -> s.Quantified:
        kind, *binders, where, body = c
        return s.Quantified(str(kind), tuple(binders), where, body, span=self._span(n))

    def _binder(self, n: Tree[Token], c: list[Child]) -> s.Binder:
        return s.Binder(self._name(c[0]), self._name(c[1]), span=self._span(n))

    def _arguments(self, n: Tree[Token], c: list[Child]) -> tuple[s.Expr, ...]:
        return tuple(c)

    def _bound_by(self, name: Child, sort: Child) -> s.Binder:
        first, second = self._name(name), self._name(sort)
        return s.Binder(first, second, span=first.span.to(second.span))

    def _names(self, tokens: Sequence[Child]) -> tuple[s.Name, ...]:
        return tuple(self._name(token) for token in tokens if token is not None)


def _string(token: Child) -> str:
    return str(token)[1:-1]


def _split(children: list[Child], kind: type[s.Attribute]) -> tuple[tuple[s.Attribute, ...], list[Child]]:
    """The leading attributes, and the rest."""
    count = 0
    while count < len(children) and isinstance(children[count], kind):
        count += 1
    return tuple(children[:count]), children[count:]


def _doc_comments(source: SourceFile) -> dict[int, str]:
    """The `///` comments by line number."""
    found = {}
    for number, line in enumerate(source.lines, start=1):
        match = re.match(r"\s*///\s?(.*)$", line)
        if match:
            found[number] = match.group(1).rstrip()
    return found
