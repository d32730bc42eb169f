"""The syntax tree: what the text says, before names and types mean anything.

Nodes are frozen and carry their span, which takes no part in their equality.
Built by `parser`, read by `names`, `typecheck` and `core/lower`.
"""

from __future__ import annotations

from dataclasses import field

from checker.lang.source import NO_SPAN, Span
from checker.records import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """Anything with a place in the text."""

    span: Span = field(default=NO_SPAN, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Name(Node):
    """An identifier where it stands."""

    text: str

    def __str__(self) -> str:
        return self.text


# -- expressions -------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Number(Node):
    value: int


@dataclass(frozen=True, slots=True)
class Truth(Node):
    value: bool


@dataclass(frozen=True, slots=True)
class NullExpr(Node):
    """`null`."""


@dataclass(frozen=True, slots=True)
class NameExpr(Node):
    name: str


@dataclass(frozen=True, slots=True)
class FieldExpr(Node):
    """`object.field` of an object or a record."""

    base: Expr
    field: Name


@dataclass(frozen=True, slots=True)
class IndexExpr(Node):
    """`base[i, j]`."""

    base: Expr
    index: tuple[Expr, ...]


@dataclass(frozen=True, slots=True)
class CallExpr(Node):
    """A fn, a proc that returns a value, or a primitive."""

    callee: Name
    args: tuple[Expr, ...]


@dataclass(frozen=True, slots=True)
class Unary(Node):
    op: str  # ! -
    operand: Expr


@dataclass(frozen=True, slots=True)
class Binary(Node):
    op: str  # => || && == != < <= > >= in + - &
    left: Expr
    right: Expr


@dataclass(frozen=True, slots=True)
class Conditional(Node):
    condition: Expr
    then: Expr
    otherwise: Expr


@dataclass(frozen=True, slots=True)
class Binder(Node):
    """`name : Sort`, bound in a quantifier, a set or a loop."""

    name: Name
    sort: Name


@dataclass(frozen=True, slots=True)
class SetLiteral(Node):
    elements: tuple[Expr, ...]


@dataclass(frozen=True, slots=True)
class Comprehension(Node):
    """`{c : CPU where P}`; several binders make a set of tuples."""

    binders: tuple[Binder, ...]
    where: Expr | None


@dataclass(frozen=True, slots=True)
class Quantified(Node):
    kind: str  # forall exists
    binders: tuple[Binder, ...]
    where: Expr | None
    body: Expr


@dataclass(frozen=True, slots=True)
class FieldInit(Node):
    """`count = 1 of users`; the kind only for refcounts that have kinds."""

    name: Name
    value: Expr
    kind: Name | None


@dataclass(frozen=True, slots=True)
class Alloc(Node):
    """`alloc mm { users = 1 }`; only on the right of `let` or an assignment."""

    sort: Name
    fields: tuple[FieldInit, ...]


Expr = (
    Number
    | Truth
    | NullExpr
    | NameExpr
    | FieldExpr
    | IndexExpr
    | CallExpr
    | Unary
    | Binary
    | Conditional
    | SetLiteral
    | Comprehension
    | Quantified
    | Alloc
)


# -- types -------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class NamedType(Node):
    name: str


@dataclass(frozen=True, slots=True)
class RangeType(Node):
    lo: int | Name
    hi: int | Name


@dataclass(frozen=True, slots=True)
class SetType(Node):
    sorts: tuple[Name, ...]


@dataclass(frozen=True, slots=True)
class SeqType(Node):
    element: TypeExpr
    capacity: int | Name


@dataclass(frozen=True, slots=True)
class GenOfType(Node):
    """`gen of tlb_gen`: a generation of the named counter; needed where there are several."""

    name: str
    head: Name


@dataclass(frozen=True, slots=True)
class RefcountType(Node):
    """`refcount max N of a, b`: N is the bound, a and b the kinds of holders."""

    bound: int | Name | None
    kinds: tuple[Name, ...]


@dataclass(frozen=True, slots=True)
class OptionalType(Node):
    base: TypeExpr


@dataclass(frozen=True, slots=True)
class ArrayType(Node):
    base: TypeExpr
    index: tuple[Name, ...]


TypeExpr = NamedType | RangeType | SetType | SeqType | GenOfType | RefcountType | OptionalType | ArrayType


# -- statements --------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Attribute(Node):
    """`@kernel("kernel/fork.c", "__mmdrop")`."""

    name: str
    args: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Block(Node):
    body: tuple[Stmt, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement(Node):
    attributes: tuple[Attribute, ...] = ()


@dataclass(frozen=True, slots=True)
class Let(Statement):
    name: Name
    type: TypeExpr | None
    value: Expr


@dataclass(frozen=True, slots=True)
class Assign(Statement):
    place: Expr
    op: str  # = += -= &=
    value: Expr


@dataclass(frozen=True, slots=True)
class CallStmt(Statement):
    call: CallExpr


@dataclass(frozen=True, slots=True)
class If(Statement):
    condition: Expr
    then: Block
    otherwise: Block | None


@dataclass(frozen=True, slots=True)
class While(Statement):
    """`while condition`; `loop` where there is none."""

    condition: Expr | None
    body: Block


@dataclass(frozen=True, slots=True)
class Either(Statement):
    branches: tuple[Block, ...]


@dataclass(frozen=True, slots=True)
class ForEach(Statement):
    """`for c : CPU where P { }`: one after the other, in any order."""

    binder: Binder
    where: Expr | None
    body: Block


@dataclass(frozen=True, slots=True)
class ForAll(Statement):
    """`forall c : CPU where P { x[c] = e; }`: all at once."""

    binders: tuple[Binder, ...]
    where: Expr | None
    body: Block


@dataclass(frozen=True, slots=True)
class Pick(Statement):
    binder: Binder
    where: Expr | None


@dataclass(frozen=True, slots=True)
class Await(Statement):
    condition: Expr


@dataclass(frozen=True, slots=True)
class Assert(Statement):
    condition: Expr
    message: str | None


@dataclass(frozen=True, slots=True)
class Break(Statement):
    pass


@dataclass(frozen=True, slots=True)
class Continue(Statement):
    pass


@dataclass(frozen=True, slots=True)
class Return(Statement):
    value: Expr | None


@dataclass(frozen=True, slots=True)
class Skip(Statement):
    pass


@dataclass(frozen=True, slots=True)
class Section(Statement):
    """`irqs off { }`, `preempt off { }`, `atomic { }`."""

    kind: str  # irqs preempt atomic
    body: Block


@dataclass(frozen=True, slots=True)
class IpiCall(Statement):
    """`call handler(args) on mask`: run it on every CPU of the mask; wait unless `nowait`."""

    handler: Name
    args: tuple[Expr, ...]
    mask: Expr
    nowait: bool


@dataclass(frozen=True, slots=True)
class IpiSend(Statement):
    """`send handler(args) to mask`: queue it on the other CPUs of the mask and go on."""

    handler: Name
    args: tuple[Expr, ...]
    mask: Expr


@dataclass(frozen=True, slots=True)
class IpiWait(Statement):
    """`wait handler`: until every request that this CPU made has been handled."""

    handler: Name


@dataclass(frozen=True, slots=True)
class SwitchTo(Statement):
    task: Expr


@dataclass(frozen=True, slots=True)
class Free(Statement):
    object: Expr


Stmt = (
    Let
    | Assign
    | CallStmt
    | If
    | While
    | Either
    | ForEach
    | ForAll
    | Pick
    | Await
    | Assert
    | Break
    | Continue
    | Return
    | Skip
    | Section
    | IpiCall
    | IpiSend
    | IpiWait
    | SwitchTo
    | Free
)


# -- declarations ------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Declaration(Node):
    doc: str = field(default="", compare=False)


@dataclass(frozen=True, slots=True)
class Use(Declaration):
    path: str


@dataclass(frozen=True, slots=True)
class Config(Declaration):
    name: Name
    type: TypeExpr | None
    value: Expr


@dataclass(frozen=True, slots=True)
class EnumDecl(Declaration):
    name: Name
    members: tuple[Name, ...]


@dataclass(frozen=True, slots=True)
class SortDecl(Declaration):
    name: Name
    size: int
    ordered: bool


@dataclass(frozen=True, slots=True)
class AnyInit(Node):
    """`= any`: every value of the type may be the first."""


@dataclass(frozen=True, slots=True)
class FieldDecl(Declaration):
    name: Name
    type: TypeExpr
    storage: str | None  # hw ghost
    init: Expr | AnyInit | None


@dataclass(frozen=True, slots=True)
class ObjectDecl(Declaration):
    """A sort with a life; the declarations of one object in several files are joined."""

    name: Name
    size: int | None
    fields: tuple[FieldDecl, ...]


@dataclass(frozen=True, slots=True)
class StaticDecl(Declaration):
    names: tuple[Name, ...]
    sort: Name


@dataclass(frozen=True, slots=True)
class RecordDecl(Declaration):
    name: Name
    fields: tuple[FieldDecl, ...]


@dataclass(frozen=True, slots=True)
class VarDecl(Declaration):
    name: Name
    type: TypeExpr
    storage: str | None  # hw ghost
    percpu: bool
    init: Expr | AnyInit | None


@dataclass(frozen=True, slots=True)
class ParamDecl(Node):
    name: Name
    type: TypeExpr
    ref: bool


@dataclass(frozen=True, slots=True)
class FnDecl(Declaration):
    name: Name
    params: tuple[ParamDecl, ...]
    result: TypeExpr
    body: Expr
    attributes: tuple[Attribute, ...] = ()


@dataclass(frozen=True, slots=True)
class ProcDecl(Declaration):
    """A proc, inlined where it is called; without a body it must be defined elsewhere."""

    name: Name
    params: tuple[ParamDecl, ...]
    result: TypeExpr | None
    sections: tuple[str, ...]  # irqs preempt atomic
    body: Block | None
    weak: bool
    attributes: tuple[Attribute, ...]


@dataclass(frozen=True, slots=True)
class InterruptDecl(Declaration):
    """A handler; `when` makes it raise itself wherever the condition holds."""

    name: Name
    params: tuple[ParamDecl, ...]
    nmi: bool
    when: Expr | None
    body: Block
    attributes: tuple[Attribute, ...]


@dataclass(frozen=True, slots=True)
class ThreadDecl(Declaration):
    """`thread X on CPU`, `thread X[p : S]`, `task X[t : S]`, `hardware X on CPU`."""

    kind: str  # thread task hardware
    name: Name
    param: Binder | None
    on: Name | None
    body: Block
    preempted: Block | None
    attributes: tuple[Attribute, ...]


@dataclass(frozen=True, slots=True)
class InitDecl(Declaration):
    """Statements that make the initial state, all at once, before anybody runs."""

    body: Block


@dataclass(frozen=True, slots=True)
class PropertyDecl(Declaration):
    kind: str  # invariant lemma step cover
    name: Name
    text: str | None
    expr: Expr


@dataclass(frozen=True, slots=True)
class FinalDecl(Declaration):
    expr: Expr


@dataclass(frozen=True, slots=True)
class Setting(Node):
    """`name = value` in a check; value is an int, a word (config value, `any`, memory model)."""

    name: Name
    value: int | str


@dataclass(frozen=True, slots=True)
class Target(Node):
    """What must fail: a property's name, or (quoted) the message of an assertion."""

    text: str
    quoted: bool


@dataclass(frozen=True, slots=True)
class CheckDecl(Declaration):
    name: Name
    settings: tuple[Setting, ...]
    verdict: str  # pass fail proved deadlock
    targets: tuple[Target, ...]
    steps: int | None
    states: int | None
    bug: str | None
    allow_unreached: bool
    allowed: tuple[Name, ...]


Decl = (
    Use
    | Config
    | EnumDecl
    | SortDecl
    | ObjectDecl
    | StaticDecl
    | RecordDecl
    | VarDecl
    | FnDecl
    | ProcDecl
    | InterruptDecl
    | ThreadDecl
    | InitDecl
    | PropertyDecl
    | FinalDecl
    | CheckDecl
)


@dataclass(frozen=True, slots=True)
class File(Node):
    """One .lzm file: a model, or a library that models use."""

    name: Name
    library: bool
    declarations: tuple[Decl, ...]
    doc: str = field(default="", compare=False)
