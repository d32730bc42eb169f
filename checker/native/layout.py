"""Where each variable of an Instance lies in the packed state.

A state is a few 64-bit words.  What belongs to one element of a sort (the variables whose
first index it is) lies together in a block, and the blocks of all elements of a sort that are not
static look alike: so a permutation of the elements moves blocks, and an index that is not known before
the model runs becomes a shift.  What can have one value only takes no bits.

A field holds a value less the smallest one the variable can have, so that `null` becomes 0.
A sequence is a field too: its items from bit 0, its length above them.
"""

from __future__ import annotations

from checker.core.instance import Instance, State
from checker.core.system import Bool, Elem, Enum, Int, Seq, Type, Value, Var
from checker.native.domains import Domains, Values
from checker.records import dataclass

WORD = 64

MAX_WORDS = 16
"""States larger than this are left to the explorer."""


class Unsupported(Exception):
    """The native engine cannot run this Instance; the text says why."""


@dataclass(frozen=True, slots=True)
class Packing:
    """How a sequence is packed: each item, less `lo`, in `bits`; at most `capacity` of them."""

    lo: int
    bits: int
    capacity: int

    @property
    def length_bits(self) -> int:
        """The bits of the length."""
        return self.capacity.bit_length()

    @property
    def width(self) -> int:
        """The bits of the whole field."""
        return self.capacity * self.bits + self.length_bits


@dataclass(frozen=True, slots=True)
class Field:
    """The value of a variable at one index: `bits` at bit `position` of the state, holding value - lo.

    With no bits the value is always `lo` (a sequence: always empty).
    """

    position: int
    bits: int
    lo: int
    values: Values


@dataclass(frozen=True, slots=True)
class Cell:
    """A part of a block: a variable at some rest of its index, `offset` bits into the block."""

    var: str
    rest: tuple[int, ...]
    offset: int
    bits: int


@dataclass(frozen=True, slots=True)
class Block:
    """What belongs to each element of a sort that is not static: one copy of `cells` for each.

    `positions` says where the copy of each element begins; no copy crosses a word.
    """

    sort: str
    width: int
    cells: tuple[Cell, ...]
    positions: tuple[int, ...]


def packing(kind: Seq) -> Packing:
    """How sequences of a type are packed; Unsupported if one does not fit."""
    element = kind.element
    match element:
        case Bool():
            lo, count = 0, 2
        case Int(low, high):
            lo, count = low, high - low + 1
        case Enum(_, members):
            lo, count = 0, len(members)
        case Elem():
            raise TypeError("the number of elements is not known here")
    return Packing(lo, (count - 1).bit_length(), kind.capacity)


class Layout:
    """The fields of an Instance; `words` is the size of a state.

    Raises Unsupported where a state would be too large.
    """

    def __init__(self, instance: Instance, domains: Domains) -> None:
        self.instance = instance
        self.domains = domains
        self._used = [0]  # bits taken of each word
        self._fields: dict[tuple[str, tuple[int, ...]], Field] = {}
        self.blocks: list[Block] = []
        self._place()
        self.words = len(self._used)
        self.bits = sum(self._used)
        if self.words > MAX_WORDS:
            raise Unsupported(f"a state would need {self.words} words of 64 bits, and {MAX_WORDS} is the most")

    # -- answers -------------------------------------------------------------

    def field(self, var: str, index: tuple[int, ...]) -> Field:
        """Where a variable is kept at an index."""
        return self._fields[var, index]

    def packing(self, kind: Type) -> Packing:
        """How sequences of a type are packed."""
        if not isinstance(kind, Seq):
            raise TypeError(f"{kind} is no sequence")
        element = kind.element
        if isinstance(element, Elem):
            count = self.instance.count(element.sort) + element.optional
            result = Packing(-1 if element.optional else 0, (count - 1).bit_length(), kind.capacity)
        else:
            result = packing(kind)
        if (result.capacity + 1) * result.bits > 56 or result.capacity > 31:
            raise Unsupported(f"a sequence of {kind.capacity} does not fit in a word")
        return result

    def pack(self, state: State) -> tuple[int, ...]:
        """The words of a state."""
        whole = 0
        for (var, index), value in zip(self.instance.slots, state, strict=True):
            field = self._fields[var.name, index]
            whole |= self._encode(var.type, field, value) << field.position
        return tuple(whole >> (WORD * n) & ((1 << WORD) - 1) for n in range(self.words))

    def unpack(self, words: tuple[int, ...]) -> State:
        """The state that some words hold."""
        whole = sum(word << (WORD * n) for n, word in enumerate(words))
        return tuple(self.decode(var.type, self._fields[var.name, index], whole) for var, index in self.instance.slots)

    def decode(self, kind: Type, field: Field, whole: int) -> Value:
        """The value of a field of the words of a state, as one number."""
        return self._decode(kind, field, whole >> field.position & ((1 << field.bits) - 1))

    def _encode(self, kind: Type, field: Field, value: Value) -> int:
        if not isinstance(value, tuple):
            return int(value) - field.lo
        if not field.bits:
            return 0
        how = self.packing(kind)
        items = sum((int(item) - how.lo) << (n * how.bits) for n, item in enumerate(value))
        return items | len(value) << (how.capacity * how.bits)

    def _decode(self, kind: Type, field: Field, raw: int) -> Value:
        if not isinstance(kind, Seq):
            value = raw + field.lo
            return bool(value) if isinstance(kind, Bool) else value
        how = self.packing(kind)
        length = raw >> (how.capacity * how.bits)
        items = (raw >> (n * how.bits) & ((1 << how.bits) - 1) for n in range(length))
        return tuple(bool(i) if isinstance(kind.element, Bool) else i + how.lo for i in items)

    # -- placing -------------------------------------------------------------

    def _place(self) -> None:
        for name in self._block_sorts():
            self._place_blocks(name)
        for var, index in self.instance.slots:
            if (var.name, index) not in self._fields:
                bits, lo, values = self._shape(var, index)
                self._fields[var.name, index] = Field(self._take(bits), bits, lo, values)

    def _block_sorts(self) -> list[str]:
        """The sorts whose elements get blocks, those that need most bits first."""
        sizes: dict[str, int] = {}
        for var in self.instance.system.vars:
            if var.index and self.instance.objects(var.index[0]):
                sizes[var.index[0]] = sizes.get(var.index[0], 0) + sum(b for _, b in self._row(var))
        return sorted(sizes, key=lambda name: -sizes[name])

    def _row(self, var: Var) -> list[tuple[tuple[int, ...], int]]:
        """The rest of each index that begins with an element that is not static, and the bits needed."""
        first = self.instance.objects(var.index[0])[0]
        return [(rest, self._shape(var, (first, *rest))[0]) for rest in self.instance.tuples(var.index[1:])]

    def _place_blocks(self, sort: str) -> None:
        """One block per element if it fits a word; otherwise as many as are needed, of whole variables."""
        parts: list[list[tuple[Var, list[tuple[tuple[int, ...], int]]]]] = []
        room = 0
        for var in self._ordered(sort):
            row = self._row(var)
            width = sum(bits for _, bits in row)
            if width > WORD:
                continue  # placed one by one, like what has no index
            if not parts or width > room:
                parts.append([])
                room = WORD
            parts[-1].append((var, row))
            room -= width
        for part in parts:
            self._place_part(sort, part)

    def _ordered(self, sort: str) -> list[Var]:
        """The variables of a block: those that need no renumbering first, then by the sort they refer to."""

        def rank(var: Var) -> tuple[int, str]:
            return len(var.index), var.type.sort if isinstance(var.type, Elem) else ""

        return sorted((v for v in self.instance.system.vars if v.index and v.index[0] == sort), key=rank)

    def _place_part(self, sort: str, part: list[tuple[Var, list[tuple[tuple[int, ...], int]]]]) -> None:
        cells: list[Cell] = []
        offset = 0
        for var, row in part:
            for rest, bits in row:
                cells.append(Cell(var.name, rest, offset, bits))
                offset += bits
        objects = self.instance.objects(sort)
        positions = tuple(self._take(offset) for _ in objects)
        self.blocks.append(Block(sort, offset, tuple(cells), positions))
        for element, position in zip(objects, positions, strict=True):
            for cell in cells:
                index = (element, *cell.rest)
                bits, lo, values = self._shape(self.instance.var(cell.var), index)
                self._fields[cell.var, index] = Field(position + cell.offset, bits, lo, values)

    def _shape(self, var: Var, index: tuple[int, ...]) -> tuple[int, int, Values]:
        """Bits, smallest value and values of a variable at an index."""
        values = self.domains.of(var.name, index)
        if isinstance(var.type, Seq):
            return self.packing(var.type).width if values else 0, 0, values
        if not values:
            return 0, 0, values
        lo = min(values)
        return (max(values) - lo).bit_length(), lo, values

    def _take(self, bits: int) -> int:
        """Room for some bits in the first word that has it."""
        if not bits:
            return 0
        for word, used in enumerate(self._used):
            if used + bits <= WORD:
                self._used[word] += bits
                return word * WORD + used
        self._used.append(bits)
        return (len(self._used) - 1) * WORD
