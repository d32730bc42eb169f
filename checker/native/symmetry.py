"""Canonical representatives under permutation of the elements of sorts.

Elements that are not static and not ordered can be exchanged without anything noticing.  The
representative of a class is the smallest of its states that are *sorted*: one sort after the other, the signatures
of the elements ascend.  A signature is what can be said of an element without naming elements of its own sort
or of sorts that come later, so being sorted is a matter of the state alone, and the
representative is exact.  Only among elements with equal signatures all orders are tried.

To permute a sort is to move its blocks (see `layout`) and to rename, in every block, the bits
that mention its elements.  Where these are few, tables say what becomes of them, by permutation.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from math import factorial
from typing import Final

from checker.core.system import Elem, Seq, Type
from checker.native.layout import WORD, Block, Cell, Field, Layout
from checker.records import dataclass

_TABLE_BITS: Final = 10
"""The most bits that one table renames at once."""

_TABLE_ORDERS: Final = 120
"""Sorts with more permutations are renamed cell by cell."""

_MOST: Final = 16
"""The most elements of a sort that are permuted: their numbers take 4 bits of a key."""


@dataclass(frozen=True, slots=True)
class _Chunk:
    """Neighbouring bits of a block that mention elements of a sort, whole rows of variables."""

    offset: int
    bits: int


class Canonicaliser:
    """Writes the function that replaces a state by the representative of its class.

    `sorts` are those whose elements are permuted, in the order in which they are sorted; `left_out`
    those that are not.  Where elements of the sorts `told` get other names it must be told how:
    that is done for one of them (`turned`), and the others, or one that is too large, are left out.
    """

    def __init__(self, layout: Layout, told: frozenset[str] = frozenset()) -> None:
        self._layout = layout
        self._instance = layout.instance
        sizes = {s.name: len(self._instance.objects(s.name)) for s in self._instance.system.sorts if not s.ordered}
        able = [name for name, size in sizes.items() if 2 <= size <= _MOST]
        turned = [name for name in able if name in told and factorial(sizes[name]) <= _TABLE_ORDERS]
        self.turned = max(turned, key=sizes.__getitem__, default=None)
        able = [name for name in able if name not in told or name == self.turned]
        self.sorts = tuple(sorted(able, key=sizes.__getitem__))
        self.left_out = tuple(name for name, size in sizes.items() if size >= 2 and name not in able)

    def lines(self) -> Iterator[str]:
        """The definition of `canonical`."""
        for b, block in enumerate(self._layout.blocks):
            if block.sort in self.sorts:
                yield f"static const uint16_t places_{b}[] = {{{', '.join(map(str, block.positions))}}};"
        yield ""
        for number, sort in enumerate(self.sorts):
            yield from self._sort(number, sort)
        for number in reversed(range(len(self.sorts))):
            yield from self._level(number)
        yield "/* The number of the order of the objects that may leak. */"
        yield "static inline unsigned canonical(struct state *n)"
        yield "{"
        yield "\tstruct best best = {.found = false};"
        yield ""
        yield "\tlevel_0(n, &best);"
        yield "\t*n = best.state;"
        yield "\treturn best.turn;"
        yield "}"
        yield ""
        yield from self._init()

    # -- what mentions a sort ------------------------------------------------

    def _refers(self, kind: Type, sort: str) -> bool:
        element = kind.element if isinstance(kind, Seq) else kind
        return isinstance(element, Elem) and element.sort == sort

    def _mentions(self, cell: Cell, sort: str) -> bool:
        var = self._instance.var(cell.var)
        return cell.bits > 0 and (self._refers(var.type, sort) or sort in var.index[1:])

    def _units(self, block: Block, sort: str) -> Iterator[list[Cell]]:
        """Cells that mention a sort, those together that a permutation mixes."""
        unit: list[Cell] = []
        for cell in block.cells:
            if not self._mentions(cell, sort):
                continue
            row = sort in self._instance.var(cell.var).index[1:]
            if unit and not (row and unit[-1].var == cell.var):
                yield unit
                unit = []
            unit.append(cell)
        if unit:
            yield unit

    def _chunks(self, block: Block, sort: str) -> tuple[list[_Chunk], list[Cell]]:
        """What tables rename, and the cells that are renamed one by one."""
        chunks: list[_Chunk] = []
        single: list[Cell] = []
        for unit in self._units(block, sort):
            offset, end = unit[0].offset, unit[-1].offset + unit[-1].bits
            if end - offset > _TABLE_BITS or not self._tabled(sort):
                single += unit
            elif chunks and chunks[-1].offset + chunks[-1].bits == offset and end - chunks[-1].offset <= _TABLE_BITS:
                chunks[-1] = _Chunk(chunks[-1].offset, end - chunks[-1].offset)
            else:
                chunks.append(_Chunk(offset, end - offset))
        return chunks, single

    def _tabled(self, sort: str) -> bool:
        return factorial(len(self._instance.objects(sort))) <= _TABLE_ORDERS

    def _loose(self) -> Iterator[tuple[str, tuple[int, ...], Field]]:
        """The fields that lie in no block."""
        inside = {
            (cell.var, (element, *cell.rest))
            for block in self._layout.blocks
            for element in self._instance.objects(block.sort)
            for cell in block.cells
        }
        for var, index in self._instance.slots:
            field = self._layout.field(var.name, index)
            if field.bits and (var.name, index) not in inside:
                yield var.name, index, field

    # -- permuting -----------------------------------------------------------

    def _sort(self, number: int, sort: str) -> Iterator[str]:
        """The functions that permute a sort and compute its signatures."""
        for b, block in enumerate(self._layout.blocks):
            yield from self._renaming(number, sort, b, block)
        yield from self._arranging(number, sort)
        yield from self._signatures(number, sort)

    def _renaming(self, number: int, sort: str, b: int, block: Block) -> Iterator[str]:
        """`renamed_<sort>_<block>`: what becomes of one copy of a block, cell by cell."""
        cells = [cell for unit in self._units(block, sort) for cell in unit]
        if not cells:
            return
        keep = _ones(block.width) & ~_mask(cells)
        yield f"static uint64_t renamed_{number}_{b}(uint64_t block, const uint8_t *to)"
        yield "{"
        yield f"\tuint64_t result = block & {_hex(keep)};"
        yield ""
        for cell in cells:
            value = self._renamed(
                sort, self._instance.var(cell.var).type, self._field(block, cell), f"block >> {cell.offset}"
            )
            yield f"\tresult |= {value} << ({self._target(sort, block, cell)});"
        yield "\treturn result;"
        yield "}"
        yield ""
        chunks, _ = self._chunks(block, sort)
        orders = factorial(len(self._instance.objects(sort)))
        for c, chunk in enumerate(chunks):
            yield f"static uint16_t table_{number}_{b}_{c}[{orders}][{1 << chunk.bits}];"
            if block.sort == sort:
                yield f"static uint16_t least_{number}_{b}_{c}[{1 << chunk.bits}];"
        yield ""

    def _field(self, block: Block, cell: Cell) -> Field:
        return self._layout.field(cell.var, (self._instance.objects(block.sort)[0], *cell.rest))

    def _renamed(self, sort: str, kind: Type, field: Field, source: str) -> str:
        """The text of a field's bits after renaming; `source` has them from bit 0."""
        bits = f"({source} & {_hex(_ones(field.bits))})"
        if not self._refers(kind, sort):
            return bits
        first, count = self._instance.objects(sort)[0], len(self._instance.objects(sort))
        if isinstance(kind, Seq):
            how = self._layout.packing(kind)
            return f"seq_renamed({bits}, {how.bits}, {how.capacity}, {first - how.lo}, {count}, to)"
        return f"element_renamed({bits}, {first - field.lo}, {count}, to)"

    def _target(self, sort: str, block: Block, cell: Cell) -> str:
        """Where a cell goes within its block."""
        var = self._instance.var(cell.var)
        first = self._instance.objects(sort)[0]
        offsets = {c.rest: c.offset for c in block.cells if c.var == cell.var}
        moved = [n for n, s in enumerate(var.index[1:]) if s == sort and cell.rest[n] >= first]
        origin = list(cell.rest)
        for n in moved:
            origin[n] = first
        terms = [str(offsets[tuple(origin)])]
        for n in moved:
            there = [*origin[:n], first + 1, *origin[n + 1 :]]
            terms.append(f"to[{cell.rest[n] - first}] * {offsets[tuple(there)] - offsets[tuple(origin)]}u")
        return " + ".join(terms)

    def _arranging(self, number: int, sort: str) -> Iterator[str]:
        """`arranged_<sort>`: a state with the elements of a sort in another order."""
        count = len(self._instance.objects(sort))
        loose = list(self._loose())
        yield f"static void arranged_{number}(const struct state *s, const uint8_t *order, struct state *n)"
        yield "{"
        yield f"\tuint8_t to[{count}];"
        yield "\tuint64_t block = 0;"
        if self._tabled(sort):
            yield f"\tunsigned p = order_number(order, {count});"
        yield ""
        yield f"\tfor (unsigned i = 0; i < {count}; i++)"
        yield "\t\tto[order[i]] = (uint8_t)i;"
        yield "\t(void)to, (void)block;" + ("\n\t(void)p;" if self._tabled(sort) else "")
        still = [0] * self._layout.words
        moving: list[str] = []
        for b, block in enumerate(self._layout.blocks):
            chunks, single = self._chunks(block, sort)
            if block.sort != sort and not chunks and not single:
                for position in block.positions:
                    still[position // WORD] |= _ones(block.width) << position % WORD
                continue
            for i, position in enumerate(block.positions):
                if block.sort == sort:
                    same_word = len({p // WORD for p in block.positions}) == 1
                    places = f"places_{b}[order[{i}]]"
                    word = str(position // WORD) if same_word else f"{places} >> 6"
                    source = f"s->w[{word}] >> ({places} & 63)"
                else:
                    source = f"s->w[{position // WORD}] >> {position % WORD}"
                moving.append(f"block = {source} & {_hex(_ones(block.width))};")
                if single:
                    moving.append(f"block = renamed_{number}_{b}(block, to);")
                elif chunks:
                    keep = _ones(block.width)
                    parts = []
                    for c, chunk in enumerate(chunks):
                        keep &= ~(_ones(chunk.bits) << chunk.offset)
                        index = f"block >> {chunk.offset} & {_hex(_ones(chunk.bits))}"
                        parts.append(f"(uint64_t)table_{number}_{b}_{c}[p][{index}] << {chunk.offset}")
                    moving.append(f"block = (block & {_hex(keep)}) | {' | '.join(parts)};")
                moving.append(f"n->w[{position // WORD}] |= block << {position % WORD};")
        for name, at, field in loose:
            kind = self._instance.var(name).type
            if not self._refers(kind, sort) and sort not in self._instance.var(name).index:
                still[field.position // WORD] |= _ones(field.bits) << field.position % WORD
                continue
            value = self._renamed(sort, kind, field, f"s->w[{field.position // WORD}] >> {field.position % WORD}")
            moving.append(f"place = {self._loose_target(sort, name, at)};")
            moving.append(f"n->w[place >> 6] |= {value} << (place & 63);")
        if any(line.startswith("place") for line in moving):
            yield "\tunsigned place;"
            yield ""
        for n, bits in enumerate(still):
            yield f"\tn->w[{n}] = s->w[{n}] & {_hex(bits)};"
        yield from ("\t" + line for line in moving)
        yield "}"
        yield ""

    def _loose_target(self, sort: str, var: str, index: tuple[int, ...]) -> str:
        """Where a field outside the blocks goes: one of the places of its variable."""
        declared = self._instance.var(var)
        first = self._instance.objects(sort)[0]
        moved = [n for n, s in enumerate(declared.index) if s == sort and index[n] >= first]

        def choose(at: tuple[int, ...], rest: list[int]) -> str:
            if not rest:
                return str(self._layout.field(var, at).position)
            n, *others = rest
            cases = [(e, choose((*at[:n], e, *at[n + 1 :]), others)) for e in self._instance.objects(sort)]
            text = cases[-1][1]
            for e, case in reversed(cases[:-1]):
                text = f"(to[{index[n] - first}] == {e - first} ? {case} : {text})"
            return text

        return choose(index, moved)

    # -- signatures ----------------------------------------------------------

    def _signatures(self, number: int, sort: str) -> Iterator[str]:
        """`keys_<sort>`: for each element its signature, with its own number in the lowest bits."""
        later = self.sorts[number + 1 :]
        count = len(self._instance.objects(sort))
        yield f"static inline void keys_{number}(const struct state *s, uint64_t *keys)"
        yield "{"
        yield "\tuint64_t block = 0, more;"
        yield ""
        yield "\t(void)block;"
        for i in range(count):
            yield "\tmore = 0;"
            yield f"\tkeys[{i}] = 0;"
            for b, block in enumerate(self._layout.blocks):
                if block.sort == sort:
                    yield from self._own(number, sort, later, b, block, i)
            yield from self._columns(sort, later, i)
            yield f"\tkeys[{i}] = ((keys[{i}] + more * UINT64_C(0x9e3779b97f4a7c15)) & ~UINT64_C(15)) | {i};"
        yield "}"
        yield ""

    def _own(self, number: int, sort: str, later: Iterable[str], b: int, block: Block, i: int) -> Iterator[str]:
        """What the element's own block says."""
        position = block.positions[i]
        chunks, _ = self._chunks(block, sort)
        hidden = [cell for cell in block.cells if any(self._mentions(cell, s) for s in (sort, *later))]
        plain = _ones(block.width) & ~_mask(hidden)
        yield f"\tblock = s->w[{position // WORD}] >> {position % WORD} & {_hex(_ones(block.width))};"
        if plain:
            yield f"\tkeys[{i}] = (keys[{i}] + (block & {_hex(plain)})) * UINT64_C(0xd6e8feb86659fd93);"
        for c, chunk in enumerate(chunks):
            inside = [x for x in block.cells if chunk.offset <= x.offset < chunk.offset + chunk.bits]
            if not any(self._mentions(cell, s) for cell in inside for s in later):
                index = f"block >> {chunk.offset} & {_hex(_ones(chunk.bits))}"
                yield f"\tmore = more * 0x9e5 + least_{number}_{b}_{c}[{index}];"
        for rest in later:
            for unit in self._units(block, rest):
                if len(unit) > 1 and all(cell.bits == 1 for cell in unit) and not self._any_mention(unit, sort):
                    bits = " + ".join(f"(block >> {cell.offset} & 1)" for cell in unit)
                    yield f"\tmore = more * 0x9e5 + ({bits});"

    def _any_mention(self, cells: Iterable[Cell], sort: str) -> bool:
        return any(self._mentions(cell, sort) for cell in cells)

    def _columns(self, sort: str, later: Iterable[str], i: int) -> Iterator[str]:
        """What the rows of other blocks hold at the element: bits as they are, or how often each value occurs."""
        element = self._instance.objects(sort)[i]
        for block in self._layout.blocks:
            fixed = block.sort != sort and block.sort not in later
            for cell in block.cells:
                var = self._instance.var(cell.var)
                if not cell.bits or cell.bits > 3 or len(cell.rest) != 1:
                    continue
                if var.index[1] != sort or cell.rest[0] != element:
                    continue
                if any(self._refers(var.type, s) for s in (sort, *later)):
                    continue
                parts = [
                    f"(s->w[{(p + cell.offset) // WORD}] >> {(p + cell.offset) % WORD} & {_hex(_ones(cell.bits))})"
                    for p in block.positions
                ]
                if fixed:
                    for part in parts:
                        yield f"\tmore = more << {cell.bits} | {part};"
                elif cell.bits == 1:
                    yield f"\tmore = more * 0x9e5 + ({' + '.join(parts)});"
                else:
                    counts = " + ".join(f"(UINT64_C(1) << ({part} * 4))" for part in parts)
                    yield f"\tmore = more * 0x9e5 + ({counts});"

    # -- putting it together -------------------------------------------------

    def _level(self, number: int) -> Iterator[str]:
        """`level_<sort>`: try the orders of a sort that make its signatures ascend."""
        count = len(self._instance.objects(self.sorts[number]))
        last = number == len(self.sorts) - 1
        yield f"static void level_{number}(const struct state *s, struct best *best)"
        yield "{"
        yield f"\tuint64_t keys[{count}];"
        yield f"\tuint8_t order[{count}];"
        yield "\tstruct state n;"
        yield "\tbool ties = false, still = true;"
        yield ""
        yield f"\tkeys_{number}(s, keys);"
        for a, b in _network(count):
            yield f"\texchange(&keys[{a}], &keys[{b}]);"
        for i in range(count):
            yield f"\torder[{i}] = keys[{i}] & 15;"
            yield f"\tstill &= order[{i}] == {i};"
        for i in range(count - 1):
            yield f"\tties |= keys[{i}] >> 4 == keys[{i + 1}] >> 4;"
        then = "consider(best, {0});" if last else f"level_{number + 1}({{0}}, best);"
        turning = f"best->turning = order_number(order, {count});" if self.sorts[number] == self.turned else ""
        yield "\tif (still) {"
        if turning:
            yield "\t\tbest->turning = 0;"
        yield f"\t\t{then.format('s')}"
        yield "\t} else {"
        if turning:
            yield f"\t\t{turning}"
        yield f"\t\tarranged_{number}(s, order, &n);"
        yield f"\t\t{then.format('&n')}"
        yield "\t}"
        yield f"\twhile (LZ_UNLIKELY(ties) && next_order(order, keys, {count})) {{"
        if turning:
            yield f"\t\t{turning}"
        yield f"\t\tarranged_{number}(s, order, &n);"
        yield f"\t\t{then.format('&n')}"
        yield "\t}"
        yield "}"
        yield ""

    def _init(self) -> Iterator[str]:
        """Fill the tables before anything else happens."""
        yield "static void __attribute__((constructor)) fill_tables(void)"
        yield "{"
        for number, sort in enumerate(self.sorts):
            if not self._tabled(sort):
                continue
            count = len(self._instance.objects(sort))
            yield f"\tfor (unsigned p = 0; p < {factorial(count)}; p++) {{"
            yield f"\t\tuint8_t to[{count}];"
            yield ""
            yield f"\t\tnumbered_order(p, {count}, to);"
            for b, block in enumerate(self._layout.blocks):
                chunks, _ = self._chunks(block, sort)
                for c, chunk in enumerate(chunks):
                    yield f"\t\tfor (uint64_t v = 0; v < {1 << chunk.bits}; v++) {{"
                    yield f"\t\t\tuint64_t block = renamed_{number}_{b}(v << {chunk.offset}, to) >> {chunk.offset}"
                    yield f"\t\t\t\t& {_hex(_ones(chunk.bits))};"
                    yield ""
                    yield f"\t\t\ttable_{number}_{b}_{c}[p][v] = (uint16_t)block;"
                    if block.sort == sort:
                        yield f"\t\t\tif (!p || block < least_{number}_{b}_{c}[v])"
                        yield f"\t\t\t\tleast_{number}_{b}_{c}[v] = (uint16_t)block;"
                    yield "\t\t}"
            yield "\t}"
        yield "}"


def _network(count: int) -> Iterator[tuple[int, int]]:
    """Exchanges that sort so many keys."""
    for end in range(count - 1, 0, -1):
        for i in range(end):
            yield i, i + 1


def _mask(cells: Iterable[Cell]) -> int:
    return sum(_ones(cell.bits) << cell.offset for cell in cells)


def _ones(bits: int) -> int:
    return (1 << bits) - 1


def _hex(number: int) -> str:
    return f"UINT64_C({hex(number)})"
