"""A litmus test: what its threads do, what holds first and what is asked of the end."""

from __future__ import annotations

from dataclasses import field
from typing import Final, Literal

from checker.records import dataclass

Order = Literal["once", "acquire", "release", "relaxed", "full"]
Word = int | str
"""A value: a number, or the name of the location that a pointer points to."""

NOWHERE: Final = "(nowhere)"
"""The register of a read whose value nobody keeps."""


@dataclass(frozen=True, slots=True)
class Number:
    """A constant."""

    value: int


@dataclass(frozen=True, slots=True)
class Name:
    """A register, or, where a thread has none of that name, the address of a location."""

    name: str


@dataclass(frozen=True, slots=True)
class Apply:
    """An operator applied to one or two expressions."""

    op: str
    args: tuple[Expr, ...]


Expr = Number | Name | Apply


@dataclass(frozen=True, slots=True)
class Load:
    """`register = READ_ONCE(*address)` and its relatives."""

    register: str
    address: Expr
    order: Order


@dataclass(frozen=True, slots=True)
class Store:
    """`WRITE_ONCE(*address, value)` and its relatives."""

    address: Expr
    value: Expr
    order: Order


@dataclass(frozen=True, slots=True)
class Update:
    """An atomic operation: `new` is computed from what was read, which is the register named `OLD` in it.

    The register gets the value before or, where `after`, the one after.  With `expected` it is a cmpxchg.
    """

    register: str | None
    address: Expr
    new: Expr
    order: Order
    after: bool = False
    expected: Expr | None = None


@dataclass(frozen=True, slots=True)
class Fence:
    """A barrier: mb, rmb, wmb."""

    kind: str


@dataclass(frozen=True, slots=True)
class Lock:
    """`spin_lock` and `spin_unlock`."""

    address: Expr
    taking: bool


@dataclass(frozen=True, slots=True)
class Assign:
    """A register gets the value of an expression over registers."""

    register: str
    value: Expr


@dataclass(frozen=True, slots=True)
class Branch:
    """Go on at `otherwise` if the condition is false (0), else with the next instruction."""

    condition: Expr
    otherwise: int


@dataclass(frozen=True, slots=True)
class Jump:
    """Go on elsewhere."""

    target: int


Instruction = Load | Store | Update | Fence | Lock | Assign | Branch | Jump

OLD = "(old)"
"""The register that stands for what an atomic operation has read."""


@dataclass(frozen=True, slots=True)
class Thread:
    """The instructions of one thread, and the text of each."""

    code: tuple[Instruction, ...]
    texts: tuple[str, ...]
    registers: frozenset[str]


@dataclass(frozen=True, slots=True)
class Litmus:
    """A test.  `quantifier` is exists, ~exists or forall; `expected` what the file itself says of the result."""

    name: str
    threads: tuple[Thread, ...]
    locations: tuple[str, ...]
    first: dict[str, Word]
    registers: dict[tuple[int, str], Word]
    quantifier: str
    condition: Expr
    filter: Expr | None = None
    expected: str | None = None
    notes: tuple[str, ...] = field(default=())


def names(expr: Expr) -> frozenset[str]:
    """The names in an expression."""
    match expr:
        case Name(name):
            return frozenset({name})
        case Apply(_, args):
            return frozenset().union(*(names(a) for a in args))
        case _:
            return frozenset()


def sources(instruction: Instruction) -> frozenset[str]:
    """The registers that an instruction uses."""
    match instruction:
        case Load(_, address, _) | Lock(address, _):
            return names(address)
        case Store(address, value, _):
            return names(address) | names(value)
        case Update(_, address, new, _, _, expected):
            return names(address) | names(new) | (names(expected) if expected is not None else frozenset())
        case Assign(_, value) | Branch(value, _):
            return names(value)
        case _:
            return frozenset()


def written(instruction: Instruction) -> frozenset[str]:
    """The register that an instruction writes."""
    match instruction:
        case Load(register, _, _) | Assign(register, _):
            return frozenset({register}) - {NOWHERE}
        case Update(register=register) if register is not None:
            return frozenset({register})
        case _:
            return frozenset()
