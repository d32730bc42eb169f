"""The weak memory model for the native engine: the tables that runtime/weakmachine.h works with.

What is the same in all states comes from the reference (`checker/core/memory`): locations, agents, orders, what lies
ahead of each agent, what may be put off.  What happens to messages and views is written anew in C.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from checker.core import fold, semantics
from checker.core.instance import Instance
from checker.core.memory.ahead import BARRIER
from checker.core.memory.places import is_location
from checker.core.memory.sites import NOT_FULL, Mode, Use
from checker.core.memory.views import Deferred
from checker.core.memory.weak import WeakProgram
from checker.core.system import Access, Enum, Expr, Fence
from checker.native.layout import WORD, Layout, Unsupported
from checker.records import dataclass

_MAX_LOCATIONS: Final = 62
_MAX_REGISTERS: Final = 64
_MAX_HISTORY: Final = 16
_MAX_DEFER: Final = 4
_MAX_AGENTS: Final = 64
_MAX_FENCES: Final = 16
LATE_BITS: Final = 12
"""The bits of the number of a step that is put off; see runtime/weakbits.h."""

_OTHER, _NOTHING, _MB = -2, -1, -3
_ENTRIES = {"plain": 0, "sync": 1, "barrier": 2}
_MODES = {"none": 0, "read": 1, "write": 2, "rmw": 3, "many": 4, "born": 5, "freed": 6}
_ORDERS = {"acquire": 1, "release": 2, "full": 3}
_ONE_PLACE = ("read", "write", "rmw")

_MACHINE = """\
#define LZ_LOCATIONS {locations}
#define LZ_AGENTS {agents}
#define LZ_REGISTERS {registers}
#define LZ_CONTROLS {controls}
#define LZ_HISTORY {history}
#define LZ_DEFER {defer}
#define LZ_LOCKS {locks}
#define LZ_SPREAD {spread}
#define LZ_BASE {base}
#define LZ_GENERATIONS {generations}
#define LZ_COUNTERS {counters}
#define LZ_LARGEST {largest}
#include "weakmachine.h"
"""

_TABLES = """\
#define LZ_SPREAD {spread}
#include "weaktypes.h"
"""


@dataclass(frozen=True, slots=True)
class Site:
    """What a step does with memory; where that depends on the state, `use` holds if all of `places` are one location.

    `places` are declarations with their indices; else the location is that of `use`.
    """

    use: Use
    places: tuple[tuple[str, tuple[Expr, ...]], ...] = ()


class WeakModel:
    """An Instance under the weak memory model, as numbers and tables.

    Raises Unsupported where there are more of something than the engine has room for.
    """

    def __init__(self, instance: Instance, layout: Layout) -> None:
        system = instance.system
        if system.history is None:
            raise Unsupported("the native engine does not keep all messages of a location")
        self.instance = instance
        self.layout = layout
        self.history: Final = system.history
        self.program: Final = WeakProgram(instance)
        program = self.program
        self.rules = range(len(program.rules))
        self.sites = [self._site(n) for n in self.rules]
        self.late: Final = sorted(program.deferral.early | program.deferral.behind) if system.defer else []
        """The steps that may be put off."""
        self.late_number: Final = {rule: n for n, rule in enumerate(self.late)}
        self.defer: Final = system.defer if self.late else 0
        self._controls = {slot: n for n, slot in enumerate(dict.fromkeys(program.pc_of))}
        self._actions = {id(action): n for n, action in enumerate(system.actions)}
        for what, count, most in (
            ("locations", len(program.slots_of), _MAX_LOCATIONS),
            ("CPUs and threads", len(program.agents), _MAX_AGENTS),
            ("registers in addresses", program.registers.count, _MAX_REGISTERS),
            ("messages of a location", self.history, _MAX_HISTORY),
            ("accesses that are put off", self.defer, _MAX_DEFER),
            ("steps that may be put off", len(self.late), 1 << LATE_BITS),
            ("barriers in a step", max((len(program.fences(n)) for n in self.rules), default=0), _MAX_FENCES),
        ):
            if count > most:
                raise Unsupported(f"{count} {what} are more than the {most} that the native engine has under weak")
        self.masks = [self._masks(n) for n in range(len(program.slots_of))]

    # -- sites

    def _site(self, number: int) -> Site:
        """What a step does, also where it depends on the state."""
        program = self.program
        use = program.uses[number]
        if use is not None:
            return Site(use)
        action = program.rules[number].action
        env = semantics.environment(action, program.rules[number].choice)
        if any(u.var.endswith(".live") for u in action.updates):
            return Site(program.use(number, None))
        accesses = [a for a in action.memory if isinstance(a, Access)]
        places = {}
        for access in accesses:
            own = program.places.own(access.var, access.index)
            for part in own:
                if not fold.free_params(part) <= env.keys():
                    return Site(Use("many"))
                if any(is_location(program.vars[v]) for v in fold.variables(part)):
                    return Site(Use("many"))
            places[program.places.declaration(access.var), own] = access
        order = next((a.order for a in accesses if a.order != "once"), "once")
        kinds = {a.kind for a in accesses}
        mode: Mode = "read" if kinds == {"read"} else "write" if kinds == {"write"} else "rmw"
        return Site(Use(mode, -1, order), tuple(places))

    def _masks(self, location: int) -> dict[int, int]:
        """By word, the bits of a location."""
        found: dict[int, int] = {}
        for slot in self.program.slots_of[location]:
            var, index = self.instance.slots[slot]
            field = self.layout.field(var.name, index)
            if field.bits:
                word, shift = divmod(field.position, WORD)
                found[word] = found.get(word, 0) | ((1 << field.bits) - 1) << shift
        return dict(sorted(found.items()))

    @property
    def degree(self) -> int:
        """More transitions than this no state has."""
        return len(self.rules) * (self.history + 1) * (self.defer + 1)

    def estimate(self) -> int:
        """Words for messages and views: enough for most models, and twice as many are tried next."""
        locations, agents = len(self.masks), len(self.program.agents)
        entry = (self.history - 1).bit_length()
        several = min(locations, 8) * entry
        bits = locations * (entry + 2) + (agents * 5 + 1) * several + 16 * several + 40
        bits += agents * self.defer * 20 + self.program.registers.count
        return max(-(-bits // (2 * WORD)), 4)

    # -- tables

    def machine(self) -> str:
        """The part of the program that knows the memory model: the same for all models of the same sizes."""
        program = self.program
        families = self.instance.system.families
        return _MACHINE.format(
            locations=max(len(self.masks), 1), agents=max(len(program.agents), 1), registers=program.registers.count,
            controls=max(len(self._controls), 1), history=self.history, defer=self.defer,
            locks=int(bool(program.locks)), spread=max((len(m) for m in self.masks), default=1) or 1,
            base=self.layout.words, generations=int(bool(families)), counters=max(self._counters(), 1),
            largest=self._largest(),
        )  # fmt: skip

    def tables(self, groups: Mapping[int, int]) -> str:
        """What it works with; `groups` numbers the functions of the late steps."""
        parts = [
            _TABLES.format(spread=max((len(m) for m in self.masks), default=1) or 1),
            *self._memory(),
            *self._rules(),
            *self._ahead(),
            *self._late(groups),
            *self._generations(),
        ]
        return "\n".join(parts) + "\n"

    def _memory(self) -> Iterator[str]:
        whole = [0] * self.layout.words
        rows = []
        for number, masks in enumerate(self.masks):
            for word, mask in masks.items():
                whole[word] |= mask
            bits = ", ".join(map(_hex, masks.values()))
            lock = int(number in self.program.locks)
            words = ", ".join(map(str, masks))
            rows.append(f"{{{len(masks)}, {{{words or '0'}}}, {{{bits or '0'}}}, {lock}, {self._holder(number)}}}")
        yield _table("uint64_t in_memory", [_hex(w) for w in whole])
        yield _table("struct place places", rows)
        yield f"const uint64_t newest = {_hex(_set(self.program.newest))};"
        rows = []
        for slot in self._controls:
            var, index = self.instance.slots[slot]
            field = self.layout.field(var.name, index)
            word, shift = divmod(field.position, WORD)
            rows.append(f"{{{word}, {shift}, {_hex((1 << field.bits) - 1)}, {field.lo}}}")
        yield _table("struct control controls", rows)

    def _holder(self, location: int) -> str:
        """Where a lock says who holds it."""
        for slot in self.program.slots_of[location]:
            var, index = self.instance.slots[slot]
            if isinstance(var.type, Enum) and var.type.name == "holder":
                return self._piece(var.name, index, location)
        return "{0}"

    def _rules(self) -> Iterator[str]:
        program = self.program
        rows: list[str] = []
        flows: list[str] = []
        self._kinds: dict[tuple[int, str, str], int] = {}
        self._kind_of = []
        for n in self.rules:
            use = self.sites[n].use
            key = self._actions[id(program.rules[n].action)], use.mode, use.order
            self._kind_of.append(self._kinds.setdefault(key, len(self._kinds)))
            fences = [{"smp_wmb": 1, "smp_rmb": 2, "barrier": 0}.get(f, 3) for f in program.fences(n)]
            ordered = sum(f << 4 * k for k, f in enumerate(f for f in fences if f))
            first = len(flows)
            for flow in program.registers.flows[n]:
                sources = _hex(sum(1 << s for s in flow.sources))
                flows.append(f"{{{flow.register}, {int(flow.read)}, {int(flow.always)}, {sources}}}")
            address = sum(1 << r for r in program.registers.addresses[n])
            numbers = [
                program.agent_of[n], _MODES[use.mode], _ORDERS.get(use.order, 0), _ENTRIES[self._entry(n)],
                int(program.always_writes(n)), int(program.hardware[n]), int(program.barriers[n]), _hex(ordered),
                self._controls[program.pc_of[n]], self._kind_of[n], first, len(flows), _hex(address),
                _hex(sum(1 << r for r in program.registers.stores[n])),
            ]  # fmt: skip
            rows.append(f"{{{', '.join(map(str, numbers))}}}")
        yield _table("struct rule rules", rows)
        yield _table("struct flow flows", flows)
        yield _table("uint64_t users", [_hex(sum(1 << a for a in agents)) for agents in program.registers.agents])

    def reads_as(self, number: int) -> tuple[object, ...]:
        """What decides which messages a step may read: the same for steps that can share them."""
        program = self.program
        exclusive = self.sites[number].use.mode == "rmw", program.always_writes(number)
        return program.agent_of[number], self._entry(number), exclusive, program.registers.addresses[number]

    def _entry(self, number: int) -> str:
        """The barriers that a step begins with."""
        program, use = self.program, self.sites[number].use
        first = next(iter(program.rules[number].action.memory), None)
        fenced = isinstance(first, Fence) and first.name not in NOT_FULL and use.mode != "none"
        if program.barriers[number] or fenced or (use.mode == "rmw" and use.order == "full"):
            return "barrier"
        return "sync" if program.syncs[number] else "plain"

    def _ahead(self) -> Iterator[str]:
        """What the place of each thread says of each agent: locations ahead, and its next step."""
        program, horizon = self.program, self.program.horizon
        pools: dict[str, _Pool] = {"aheads": _Pool(), "nexts": _Pool()}
        tells: dict[str, list[list[str]]] = {name: [[] for _ in program.agents] for name in pools}
        spans: dict[tuple[int, int], int] = {}
        nexts: dict[tuple[int, int], dict[int, set[str]]] = {}
        for n in self.rules:
            key, action = (program.pc_of[n], program.agent_of[n]), program.rules[n].action
            spans[key] = len(self.instance.thread(action.thread).locations)
            # what a walker does next, its CPU does
            key = program.pc_of[n], program.cpu_of.get(program.agent_of[n], program.agent_of[n])
            nexts.setdefault(key, {}).setdefault(action.at, set()).add(horizon.first(n))
        for (pc, agent), span in spans.items():
            parts = [found[pc, agent] for found in horizon.tables]
            rows = [f"{{{', '.join(_hex(_set(part[at])) for part in parts)}}}" for at in range(span)]
            tells["aheads"][agent].append(f"{{{self._controls[pc]}, {pools['aheads'].add(rows)}}}")
            agent = program.cpu_of.get(agent, agent)
            rows = [str(_next(nexts[pc, agent].get(at, set()))) for at in range(span)]
            tells["nexts"][agent].append(f"{{{self._controls[pc]}, {pools['nexts'].add(rows)}}}")
        yield _table("struct walker walkers", [f"{{{walker}, {cpu}}}" for walker, cpu in program.cpu_of.items()])
        yield f"const unsigned walker_count = {len(program.cpu_of)};"
        yield f"const uint64_t silent = {_hex(sum(1 << a for a in program.silent))};"
        yield _table("struct ahead aheads", pools["aheads"].rows)
        yield _table("int8_t nexts", pools["nexts"].rows)
        for name, what in (("telling", "aheads"), ("following", "nexts")):
            begins = [0]
            for told in tells[what]:
                begins.append(begins[-1] + len(told))
            yield _table(f"struct tells {name}", [row for told in tells[what] for row in told])
            yield _table(f"uint32_t {name}_begin", [str(b) for b in begins])

    def _late(self, groups: Mapping[int, int]) -> Iterator[str]:
        """What may be put off, and what waits for it."""
        program, deferral = self.program, self.program.deferral
        kinds: dict[int, int] = {}  # of the actions
        first: dict[tuple[int, int], int] = {}  # by thread instance and action, a step
        rows = []
        for n in self.late:
            action = self._actions[id(program.rules[n].action)]
            kind = kinds.setdefault(action, len(kinds))
            first.setdefault((program.pc_of[n], kind), n)
            numbers = [
                n, groups.get(n, 0), program.rules[n].action.at, kind,
                int(n in deferral.early), int(deferral.writes(n)),
            ]  # fmt: skip
            rows.append(f"{{{', '.join(map(str, numbers))}}}")
        size = max(len(kinds), 1)
        forces = [[0] * max(len(self._kinds), 1) for _ in range(size)]
        enters = [[0] * size for _ in range(size)]
        ordered = [[0] * size for _ in range(size)]
        thread = {kind: program.rules[n].action.thread for (_, kind), n in first.items()}
        some = {kind: n for (_, kind), n in first.items()}
        for n in self.rules:
            use = self.sites[n].use
            for kind, d in some.items():
                if program.rules[n].action.thread == thread[kind]:
                    without = Use(use.mode, -1, use.order)
                    forces[kind][self._kind_of[n]] = int(deferral.forces(Deferred(d, -1, False), n, without))
        for (pc, one), d in first.items():
            for (other_pc, other), n in first.items():
                if pc == other_pc:
                    enters[one][other] = int(deferral.may_enter(n, Use("read"), (Deferred(d, -1, False),)))
                    ordered[one][other] = int(deferral.in_order(d, n))
        yield _table("struct late lates", rows)
        for name, matrix in (("forces", forces), ("enters", enters), ("ordered", ordered)):
            yield _table(f"bool {name}", [", ".join(map(str, row)) for row in matrix])
        yield f"const unsigned rule_kinds = {len(forces[0])}, late_kinds = {size};"

    # -- generations

    def _counters(self) -> int:
        heads = [self.instance.var(family.head) for family in self.instance.system.families]
        return sum(self.instance.count(head.index[0]) if head.index else 1 for head in heads)

    def _generations(self) -> Iterator[str]:
        """Where generations are kept, and the objects that have counters."""
        instance, of_slot = self.instance, self.program.of_slot
        rows: list[str] = []
        first = 0
        for number, family in enumerate(instance.system.families):
            head = instance.var(family.head)
            kept: list[tuple[str, tuple[int, ...], str | None, int]] = [
                (family.head, index, None, index[0] if index else 0) for index in instance.tuples(head.index)
            ]
            for copy, of in family.copies:
                kept += [(copy, at, of, -1) for at in instance.tuples(instance.var(copy).index)]
            for name, at, of, counter in kept:
                location = of_slot.get(instance.slot(name, at), -1)
                whose = self._piece(of, at, location) if of is not None else "{0}"
                parts = [location, counter, first, number, self._piece(name, at, location), whose, int(of is not None)]
                rows.append(f"{{{', '.join(map(str, parts))}}}")
            first += instance.count(head.index[0]) if head.index else 1
        yield _table("struct generation generations", rows)
        yield f"const unsigned generation_count = {len(rows)};"
        owners = self._owners()
        yield _table("struct owner owners", owners)
        yield f"const unsigned owner_count = {len(owners)};"

    def _owners(self) -> list[str]:
        """The objects with counters."""
        rows = []
        for var, index in self.instance.slots:
            if var.name.endswith(".live"):
                sort = var.name.removesuffix("live")
                mine = sum(1 << n for n, f in enumerate(self.instance.system.families) if f.head.startswith(sort))
                if mine:
                    rows.append(f"{{{self._piece(var.name, index, -1)}, {index[0]}, {_hex(mine)}}}")
        return rows

    def _piece(self, var: str, index: tuple[int, ...], location: int) -> str:
        field = self.layout.field(var, index)
        word, shift = divmod(field.position, WORD)
        part = list(self.masks[location]).index(word) if location >= 0 and field.bits else 0
        return f"{{{word}, {part}, {shift}, {_hex((1 << field.bits) - 1)}, {field.lo}}}"

    def _largest(self) -> int:
        """The largest number that a field of a generation can hold."""
        found = [1]
        for family in self.instance.system.families:
            for name in (family.head, *(copy for copy, _ in family.copies)):
                for at in self.instance.tuples(self.instance.var(name).index):
                    field = self.layout.field(name, at)
                    found.append(field.lo + (1 << field.bits) - 1)
        return max(found)


class _Pool:
    """Rows of several tables in one, each table once."""

    def __init__(self) -> None:
        self.rows: list[str] = []
        self._at: dict[tuple[str, ...], int] = {}

    def add(self, rows: list[str]) -> int:
        """Where a table begins."""
        key = tuple(rows)
        if key not in self._at:
            self._at[key] = len(self.rows)
            self.rows += rows
        return self._at[key]


def _set(locations: Iterable[int]) -> int:
    return sum(1 << (63 if n == BARRIER else n) for n in locations)


def _next(kinds: set[str]) -> int:
    """The next step of an agent as a number, as far as one thread of it tells."""
    if not kinds:
        return _NOTHING
    kind = kinds.pop() if len(kinds) == 1 else "other"
    return _OTHER if kind == "other" else _MB if kind == "mb" else int(kind)


def _table(name: str, rows: list[str]) -> str:
    nothing = "{}" if name.startswith("struct") else "0"
    return "\n".join([f"const {name}[] = {{", *(f"\t{row}," for row in rows or [nothing]), "};"])


def _hex(number: int) -> str:
    return f"UINT64_C({hex(number)})"
