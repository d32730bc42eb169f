"""The types of the language, as the type checker sees them."""

from __future__ import annotations

from typing import Final

from checker.records import dataclass


@dataclass(frozen=True, slots=True)
class BoolType:
    def __str__(self) -> str:
        return "bool"


@dataclass(frozen=True, slots=True)
class IntType:
    """A range; an integer literal n has the range n..n."""

    lo: int
    hi: int

    def __str__(self) -> str:
        return f"{self.lo}..{self.hi}"


@dataclass(frozen=True, slots=True)
class EnumType:
    name: str
    members: tuple[str, ...]

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True, slots=True)
class ElemType:
    """An element of a sort or an object; `mm?` may also be null."""

    sort: str
    optional: bool = False

    def __str__(self) -> str:
        return self.sort + ("?" if self.optional else "")


@dataclass(frozen=True, slots=True)
class SetType:
    """A set of elements, or of tuples of elements."""

    sorts: tuple[str, ...]

    def __str__(self) -> str:
        return "set of " + (self.sorts[0] if len(self.sorts) == 1 else f"({', '.join(self.sorts)})")


@dataclass(frozen=True, slots=True)
class RecordType:
    name: str

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True, slots=True)
class SeqType:
    element: Type
    capacity: int

    def __str__(self) -> str:
        return f"seq of {self.element} max {self.capacity}"


@dataclass(frozen=True, slots=True)
class RefcountType:
    bound: int
    kinds: tuple[str, ...]

    def __str__(self) -> str:
        return "refcount"


@dataclass(frozen=True, slots=True)
class GenType:
    """A generation of the counter `head` (empty where nothing is ever incremented).

    `after`: it is `x + 1`, which can be compared and nothing else.
    """

    head: str = ""
    after: bool = False

    def __str__(self) -> str:
        return "gen + 1" if self.after else "gen"


@dataclass(frozen=True, slots=True)
class LockType:
    kind: str  # spinlock mutex rwlock

    def __str__(self) -> str:
        return self.kind


@dataclass(frozen=True, slots=True)
class ArrayType:
    element: Type
    index: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.element}[{', '.join(self.index)}]"


@dataclass(frozen=True, slots=True)
class NullType:
    """The type of `null`, before it is known of what."""

    def __str__(self) -> str:
        return "null"


@dataclass(frozen=True, slots=True)
class EmptySetType:
    """The type of `{}`, before it is known of what."""

    def __str__(self) -> str:
        return "an empty set"


@dataclass(frozen=True, slots=True)
class VoidType:
    """What a proc without a result returns."""

    def __str__(self) -> str:
        return "nothing"


@dataclass(frozen=True, slots=True)
class ErrorType:
    """The type of what is already reported; fits everything, so that errors do not cascade."""

    def __str__(self) -> str:
        return "unknown"


Type = (
    BoolType
    | IntType
    | EnumType
    | ElemType
    | SetType
    | RecordType
    | SeqType
    | RefcountType
    | GenType
    | LockType
    | ArrayType
    | NullType
    | EmptySetType
    | VoidType
    | ErrorType
)

BOOL: Final = BoolType()
VOID: Final = VoidType()
ERROR: Final = ErrorType()

DEFAULT_REFCOUNT_BOUND: Final = 15


def is_number(type_: Type) -> bool:
    """Whether a value of the type counts: a range or a refcount."""
    return isinstance(type_, IntType | RefcountType)


def fits(value: Type, place: Type) -> bool:
    """Whether a value may go where `place` is needed; ranges and null are checked at run time."""
    match value, place:
        case (ErrorType(), _) | (_, ErrorType()):
            return True
        case NullType(), ElemType(optional=optional):
            return optional
        case EmptySetType(), SetType() | SeqType():
            return True
        case ElemType(sort=a), ElemType(sort=b):
            return a == b
        case ((IntType() | RefcountType()), (IntType() | RefcountType())):
            return True
        case IntType(lo=0, hi=0), GenType():
            return True  # 0 is older than every generation
        case GenType(head=a, after=after), GenType(head=b):
            return a == b and not after
        case SeqType(element=a), SeqType(element=b):
            return fits(a, b)
        case _:
            return value == place


def join(a: Type, b: Type) -> Type | None:
    """The type of a value that may be of either; None where there is none."""
    match a, b:
        case (ErrorType(), other) | (other, ErrorType()):
            return other
        case (NullType(), ElemType(sort=sort)) | (ElemType(sort=sort), NullType()):
            return ElemType(sort, optional=True)
        case ElemType(), ElemType():
            return ElemType(a.sort, a.optional or b.optional) if a.sort == b.sort else None
        case (EmptySetType(), SetType() as other) | (SetType() as other, EmptySetType()):
            return other
        case IntType(), IntType():
            return IntType(min(a.lo, b.lo), max(a.hi, b.hi))
        case (RefcountType(bound=n), IntType() as i) | (IntType() as i, RefcountType(bound=n)):
            return IntType(min(0, i.lo), max(n, i.hi))
        case RefcountType(), RefcountType():
            return IntType(0, max(a.bound, b.bound))
        case GenType(head=x), GenType(head=y):
            return GenType(x, a.after or b.after) if x == y else None
        case (GenType() as gen, IntType(lo=0, hi=0)) | (IntType(lo=0, hi=0), GenType() as gen):
            return gen
        case _:
            return a if a == b else None
