"""The System: the one thing an engine sees of a model.

An immutable transition system: typed variables over sorts, the states it may
start in, guarded actions, properties.  All nondeterminism sits in the choice
of an action and of its parameters.  Nothing here depends on how many elements
a sort has: sizes come with an `Instance` (core/instance.py).  What a System
means is said in core/semantics.py; how it reads on paper in core/printer.py.

Conventions of the encoding, used by every engine:

* an element of a sort is a number from 0; the statics of the sort come first;
* `null` is -1; a truth value is a bool; an enum value is its position;
* a sequence is a tuple; a generation is a number (see `GenFamily`).
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import field, replace
from typing import Final, Literal

from checker.lang.source import NO_SPAN, Span
from checker.records import dataclass

NULL: Final = -1
"""The encoding of `null`."""

Value = bool | int | tuple[int, ...]


# -- sorts and types ---------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Sort:
    """A set of identities; `size` is the default number of non-static ones.

    Elements of a sort that is not `ordered` can only be compared for equality,
    so any permutation of the non-static ones is a symmetry of the System.
    """

    name: str
    size: int
    ordered: bool = False
    statics: tuple[str, ...] = ()
    is_object: bool = False
    span: Span = field(default=NO_SPAN, compare=False)


@dataclass(frozen=True, slots=True)
class Bool:
    """Truth values."""


@dataclass(frozen=True, slots=True)
class Int:
    """The integers from `lo` to `hi`, both included."""

    lo: int
    hi: int


@dataclass(frozen=True, slots=True)
class Enum:
    """Named values, encoded by position."""

    name: str
    members: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Elem:
    """An element of a sort, or, where `optional`, `null`."""

    sort: str
    optional: bool = False


@dataclass(frozen=True, slots=True)
class Seq:
    """A sequence of at most `capacity` scalars."""

    element: Bool | Int | Enum | Elem
    capacity: int


@dataclass(frozen=True, slots=True)
class Gen:
    """A generation: an unbounded counter of which only order and adjacency count."""


Type = Bool | Int | Enum | Elem | Seq | Gen

BOOL: Final = Bool()


# -- expressions -------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Lit:
    """A constant of a sort-free type (bool, int, enum, empty sequence)."""

    value: Value
    type: Type


@dataclass(frozen=True, slots=True)
class Static:
    """A static element of a sort, by name."""

    sort: str
    name: str

    @property
    def type(self) -> Type:
        return Elem(self.sort)


@dataclass(frozen=True, slots=True)
class Null:
    """`null` of an optional sort."""

    sort: str

    @property
    def type(self) -> Type:
        return Elem(self.sort, optional=True)


@dataclass(frozen=True, slots=True)
class Param:
    """A parameter of an action, or a variable bound by a quantifier, update or `init`."""

    name: str
    sort: str

    @property
    def type(self) -> Type:
        return Elem(self.sort)


@dataclass(frozen=True, slots=True)
class Read:
    """The value of a variable at an index (one expression per sort of the variable's index)."""

    var: str
    index: tuple[Expr, ...]
    type: Type


Operator = Literal[
    "not", "and", "or", "implies",  # bool; and, or take any number of arguments
    "eq", "ne",  # two values of one type
    "lt", "le", "gt", "ge",  # two ints, two elements of an ordered sort, two generations
    "add", "sub", "neg",  # ints (and generation + 1)
    "ite",  # condition, then, else
    "len", "get", "push", "tail", "contains",  # sequences, first: |q|, q[i], q + x, q without its first, x in q
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Op:
    """An operator applied; `and`, `or`, `implies` and `ite` evaluate left to right and stop early."""

    op: Operator
    args: tuple[Expr, ...]
    type: Type = BOOL


@dataclass(frozen=True, slots=True)
class Quant:
    """`forall`, `exists` (bool) or `count` (how many, an int) over all elements of a sort."""

    kind: Literal["forall", "exists", "count"]
    name: str
    sort: str
    body: Expr

    @property
    def type(self) -> Type:
        return BOOL if self.kind != "count" else Int(0, 1 << 30)


@dataclass(frozen=True, slots=True)
class At:
    """Whether an instance of a thread is at one of some locations."""

    thread: str
    index: tuple[Expr, ...]
    locations: frozenset[int]

    @property
    def type(self) -> Type:
        return BOOL


@dataclass(frozen=True, slots=True)
class Next:
    """The value of an expression in the successor state; only in `step` properties."""

    body: Expr

    @property
    def type(self) -> Type:
        return self.body.type


Expr = Lit | Static | Null | Param | Read | Op | Quant | At | Next

TRUE: Final = Lit(True, BOOL)
FALSE: Final = Lit(False, BOOL)


# -- state -------------------------------------------------------------------


class Storage(enum.Enum):
    """What a variable is, for the memory model and for what may read it."""

    MEMORY = "memory"  # a memory location, subject to the memory model
    MACHINE = "hw"  # state of a CPU or device, which is not
    GHOST = "ghost"  # read by properties only
    LOCAL = "local"  # a register of one thread
    CONTROL = "control"  # where a thread is


@dataclass(frozen=True, slots=True)
class Var:
    """A state variable: a function from its index sorts to values of `type`.

    `init` is the initial value as a function of the parameters `i0`, `i1`, ...
    (one per index sort), or None where any value of the type may be the first.
    A set is a relation: the last `members` indices are what is in it or not.
    """

    name: str
    index: tuple[str, ...]
    type: Type
    init: Expr | None
    storage: Storage
    members: int = 0
    span: Span = field(default=NO_SPAN, compare=False)

    def index_params(self) -> tuple[Param, ...]:
        """The parameters that `init` may use."""
        return tuple(Param(f"i{n}", sort) for n, sort in enumerate(self.index))


@dataclass(frozen=True, slots=True)
class GenFamily:
    """A head counter and the variables that hold copies of its values.

    Each copy is a pair of variables with the same index: the number, and the
    element of the head's index sort whose family it belongs to (`null` and
    number 0: never assigned; `null` and number -1: its object is gone).  When the head has
    no index, the second is None and a copy with number 0 was never assigned.
    """

    head: str
    copies: tuple[tuple[str, str | None], ...]


# -- actions -----------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Location:
    """A point where a thread can rest between two steps."""

    name: str
    irqs_off: bool = False
    preempt_off: bool = False
    span: Span = field(default=NO_SPAN, compare=False)


class ThreadKind(enum.Enum):
    """Who runs: decides the trace's column and indentation, nothing else."""

    THREAD = "thread"
    TASK = "task"
    INTERRUPT = "interrupt"
    NMI = "nmi"
    HARDWARE = "hardware"


@dataclass(frozen=True, slots=True)
class Thread:
    """A family of sequential programs, one per value of `index`.

    `pc` names the control variable (type `Int(0, len(locations) - 1)`), `start`
    is where each instance begins, `ended` the locations where it is at its end.
    """

    name: str
    kind: ThreadKind
    index: tuple[str, ...]
    pc: str
    locations: tuple[Location, ...]
    start: int
    ended: frozenset[int]
    span: Span = field(default=NO_SPAN, compare=False)


@dataclass(frozen=True, slots=True)
class Update:
    """`var[index] := value` for all values of `binders` for which `where` holds.

    All expressions are evaluated in the state before the action.  Updates of one
    action are made in their order: a later one wins over an earlier one.
    """

    var: str
    index: tuple[Expr, ...]
    value: Expr
    binders: tuple[Param, ...] = ()
    where: Expr = TRUE


@dataclass(frozen=True, slots=True)
class Fault:
    """Why an action that can fire is an error, found without stepping further.

    `bound` tells a bound of the model that would be outgrown from a violation.
    """

    property: str
    message: str
    bound: bool = False


@dataclass(frozen=True, slots=True)
class Access:
    """One access to a memory location, as the model's text orders it."""

    kind: Literal["read", "write", "rmw"]
    var: str
    index: tuple[Expr, ...]
    order: Literal["once", "acquire", "release", "full", "relaxed"]


@dataclass(frozen=True, slots=True)
class Fence:
    """A memory barrier (`smp_mb`, `smp_wmb`, ...); nothing under sequential consistency."""

    name: str


@dataclass(frozen=True, slots=True)
class Frame:
    """A proc on the way from a thread's body to a statement, and where it was called."""

    proc: str
    kernel: str | None
    call: Span = field(default=NO_SPAN, compare=False)


@dataclass(frozen=True, slots=True)
class Action:
    """One atomic step of one thread.

    It can be taken when the thread instance `self` (index of the control
    variable, in terms of `params`) is at location `at` and every conjunct of `guard` is true,
    left to right; it makes `updates` and moves the instance to `to`.  With a
    `fault` it is an error to be able to take it, and it leads nowhere.

    `statement` is the same for all actions that stem from one statement of the
    text, whatever call path leads there; `covers` are all statements that the step
    executes, a condition with ` true` or ` false` behind it; `branch` says which way the
    first condition went.  `key` names the action in saved traces: it holds no line numbers.
    """

    name: str
    thread: str
    params: tuple[Param, ...]
    self: tuple[Expr, ...]
    cpu: Expr | None
    at: int
    to: int
    guard: tuple[Expr, ...]
    updates: tuple[Update, ...]
    fault: Fault | None = None
    label: str = ""
    key: str = ""
    frames: tuple[Frame, ...] = ()
    kernel: str | None = None
    statement: str = ""
    covers: tuple[str, ...] = ()
    branch: bool | None = None
    memory: tuple[Access | Fence, ...] = ()
    span: Span = field(default=NO_SPAN, compare=False)


# -- store buffers -----------------------------------------------------------


@dataclass(frozen=True, slots=True)
class BufferedPart:
    """Where a buffer keeps one of the stores of a step: its indices (None: the owner itself) and its value."""

    var: str
    index: tuple[str | None, ...]
    value: str


@dataclass(frozen=True, slots=True)
class BufferedStore:
    """A kind of entry of a store buffer: what one step stores, of which all becomes visible together."""

    parts: tuple[BufferedPart, ...]


@dataclass(frozen=True, slots=True)
class StoreBuffer:
    """The store buffers of one kind of owner, for reports; to an engine they are variables like others.

    The variable `PREFIX.what` of each of the `positions`, the oldest first, says which kind is there
    (0: nothing, else its number from 1); `PREFIX.SLOT` holds what a part names as SLOT.
    """

    thread: str
    index: tuple[str, ...]
    positions: tuple[str, ...]
    kinds: tuple[BufferedStore, ...]


# -- properties --------------------------------------------------------------


class PropertyKind(enum.Enum):
    """What is asked."""

    INVARIANT = "invariant"  # true in every state
    STEP = "step"  # true of every state and its successor
    COVER = "cover"  # true in some state
    FAULT = "fault"  # no action with this fault can be taken
    DEADLOCK = "deadlock"  # a state without a successor is final
    LEAK = "leak"  # a live object can still be freed


@dataclass(frozen=True, slots=True)
class Property:
    """Something to decide.  `expr` is None for faults, deadlock and leak.

    `premise` is, for an invariant that is an implication, the condition that
    must be met somewhere for it to say anything.  `sort` is the leak's object.
    An invariant that is a `lemma` is stated for the sake of proofs.
    """

    name: str
    kind: PropertyKind
    text: str = ""
    expr: Expr | None = None
    premise: Expr | None = None
    sort: str | None = None
    span: Span = field(default=NO_SPAN, compare=False)
    lemma: bool = False

    @property
    def kind_text(self) -> str:
        """What a reader calls it."""
        return "lemma" if self.lemma else self.kind.value


@dataclass(frozen=True, slots=True)
class System:
    """A model under one configuration, for any sizes.

    `initial` further restricts the states that the variables' `init`s allow; where there
    is a `setup`, an initial state is what one of its actions makes of such a state.
    `final` says in which states having no successor is an end, not a deadlock;
    a state in which every thread but the hardware has ended always is.  `config` is the
    configuration it was made under, `defaults` what the model has where nobody says otherwise.
    """

    name: str
    sorts: tuple[Sort, ...]
    vars: tuple[Var, ...]
    threads: tuple[Thread, ...]
    actions: tuple[Action, ...]
    properties: tuple[Property, ...]
    initial: tuple[Expr, ...] = ()
    final: Expr | None = None
    families: tuple[GenFamily, ...] = ()
    setup: tuple[Action, ...] = ()
    config: Mapping[str, bool | int | str] = field(default_factory=dict)
    defaults: Mapping[str, bool | int | str] = field(default_factory=dict)
    memory_model: str = "sc"
    buffers: tuple[StoreBuffer, ...] = ()
    history: int | None = 2  # messages kept of a location, under the weak memory model
    defer: int = 1  # accesses that a thread may put off at a time, under the weak memory model


def without_words(system: System) -> System:
    """The System without what is for readers and memory models only: two that mean the same under sc are equal."""
    return replace(system, actions=tuple(
        replace(a, name="", label="", key="", frames=(), kernel=None, statement="", covers=(), memory=())
        for a in system.actions
    ))  # fmt: skip
