"""The steps of an Instance as C under the weak memory model.

What reads a location is tried on each message that it may read: the same tests and assignments as without a
memory model, on words in which the message's value stands for the latest.  Which messages these are, and what
becomes of messages and views, runtime/weakmachine.h knows.
"""

from __future__ import annotations

from collections.abc import Iterator

from checker.core.system import Action, Expr, Storage
from checker.native.domains import Facts
from checker.native.expressions import Code, Emitter, Env
from checker.native.steps import Branch, StepWriter, Successor, nest
from checker.native.weak import WeakModel

_READING = ("read", "rmw")


class WeakStepWriter(StepWriter):
    """Writes the functions that list the successors of a state."""

    renumbers = False

    def __init__(self, emitter: Emitter, model: WeakModel) -> None:
        super().__init__(emitter, {})
        self._model = model
        self._tables: dict[str, int] = {}  # by declaration

    # -- locations

    def tables(self) -> str:
        """The numbers of the locations, by declaration and index: for what depends on the state."""
        instance, program = self._instance, self._model.program
        lines = ['#include "weak.h"', ""]
        for name, number in self._tables.items():
            numbers = []
            for index in self._indices(name):
                slot = next(
                    s for s, (var, at) in enumerate(instance.slots)
                    if s in program.of_slot and program.places.declaration(var.name) == name
                    and at[: len(at) - var.members] == index
                )  # fmt: skip
                numbers.append(str(program.of_slot[slot]))
            lines.append(f"static const int8_t location_{number}[] = {{{', '.join(numbers)}}};")
        return "\n".join(lines) + "\n"

    def _indices(self, name: str) -> Iterator[tuple[int, ...]]:
        var = self._instance.var(name)
        return self._instance.tuples(var.index[: len(var.index) - var.members])

    def _location(self, number: int, env: Env) -> str | list[str]:
        """The number of the location of a step, or the statements that declare it as `l`."""
        site = self._model.sites[number]
        if not site.places:
            return str(site.use.location)
        codes = [self._number(name, index, env) for name, index in site.places]
        lines = ["int l = -1;", "{"]
        if any(code.partial for code in codes):
            lines.append("\tstruct trouble trouble = {false, false};")
        lines.append(f"\tl = {codes[0].text};")
        lines += [f"\tif ({code.text} != l)\n\t\tl = -1;" for code in codes[1:]]
        if any(code.partial for code in codes):
            lines += ["\tif (trouble.undefined)", "\t\tl = -1;"]
        return [*lines, "}"]

    def _number(self, name: str, index: tuple[Expr, ...], env: Env) -> Code:
        table = self._tables.setdefault(name, len(self._tables))
        parts = [self._emit.expression(part, env, {}) for part in index]
        if any(part.value is not None and part.value < 0 for part in parts):
            return Code("-1", -1)
        terms: list[str] = []
        weight = 1
        for sort, part in reversed(list(zip(self._instance.var(name).index, parts, strict=False))):
            terms.append(f"{part.text} * {weight}" if weight != 1 else part.text)
            weight *= self._instance.count(sort)
        place = f"location_{table}[{' + '.join(reversed(terms)) or '0'}]"
        absent = " || ".join(f"{part.text} < 0" for part in parts if part.value is None)
        text = f"({absent} ? -1 : {place})" if absent else place
        return Code(text, None, "", any(part.partial for part in parts))

    def _declared(self, number: int, env: Env) -> tuple[list[str], str]:
        """Statements, and the text of the location behind them."""
        location = self._location(number, env)
        return ([], location) if isinstance(location, str) else (location, "l")

    # -- what becomes of a step

    def case(self, branches: list[Branch]) -> Iterator[str]:
        """The steps from one place: those that see the latest values, those that read, and what may be put off."""
        reading: dict[tuple[object, ...], list[Branch]] = {}
        others: list[Branch] = []
        for branch in branches:
            use = self._model.sites[branch.number].use
            if use.mode not in _READING:
                others.append(branch)
                continue
            lines, location = self._declared(branch.number, branch.env)
            key = (self._model.reads_as(branch.number), location, *lines)
            reading.setdefault(key, []).append(branch)
        late = [Branch(b.number, b.env, b.guard, b.late) for b in branches if b.late]
        if late:
            yield "\t\tweak_place(x);"
        yield from nest(others, 0, 2)
        for group in reading.values():
            yield from self._read(group)
        yield from nest(late, 0, 2)

    def _read(self, branches: list[Branch]) -> Iterator[str]:
        lines, location = self._declared(branches[0].number, branches[0].env)
        yield "\t\t{"
        yield from (f"\t\t\t{line}" for line in lines)
        yield f"\t\t\tunsigned choices = weak_choices(x, {branches[0].number}, {location});"
        yield ""
        yield "\t\t\tfor (; choices; choices &= choices - 1) {"
        yield "\t\t\t\tint i = __builtin_ctz(choices);"
        yield "\t\t\t\tuint64_t s[LZ_WORDS];"
        yield ""
        yield f"\t\t\t\tweak_view(x, {location}, i, s);"
        yield from nest(branches, 0, 4)
        yield "\t\t\t}"
        yield "\t\t}"

    def put(self, number: int, env: Env) -> list[str]:
        """The statements that take the successor `n` of a step; what reads is in a loop over messages `i`."""
        told = self._told(number, env)
        if self._model.sites[number].use.mode in _READING:
            return [*told, f"weak_put(x, {number}, {self._declared(number, env)[1]}, i, s, n);"]
        lines, location = self._declared(number, env)
        return [*lines, *told, f"weak_put(x, {number}, {location}, -1, s, n);"]

    def _told(self, number: int, env: Env) -> list[str]:
        """The statements that say which walkers hear of a step: the hardware whose state it changes."""
        program = self._model.program
        if not program.barriers[number]:
            return []
        walkers = {at[0]: agent for (name, at), agent in program.agents.items() if name == "hardware"}
        lines: list[str] = []
        for update in program.rules[number].action.updates:
            var = program.vars[update.var]
            if var.storage is not Storage.MACHINE or var.index[:1] != ("CPU",) or not walkers:
                continue
            for elements in self._instance.tuples(tuple(b.sort for b in update.binders)):
                bound = {**env, **{b.name: e for b, e in zip(update.binders, elements, strict=True)}}
                where = self._emit.expression(update.where, bound, {})
                cpu = self._emit.expression(update.index[0], bound, {})
                if where.value == 0 or (cpu.value is not None and cpu.value not in walkers):
                    continue
                masks = [f"({cpu.text} == {c} ? UINT64_C({hex(1 << a)}) : 0)" for c, a in walkers.items()]
                mask = " | ".join(masks) if cpu.value is None else f"UINT64_C({hex(1 << walkers[cpu.value])})"
                here = [
                    "trouble.undefined = false;",
                    f"here = {where.text} ? {mask} : 0;",
                    "told |= trouble.undefined ? 0 : here;",
                ]
                lines += here if where.partial or cpu.partial else [f"told |= {where.text} ? {mask} : 0;"]
        if not lines:
            return []
        head = ["struct trouble trouble = {false, false};", "uint64_t told = 0, here;", ""]
        return ["{", *("\t" + line for line in (*head, *lines, "weak_tell(x, told);")), "}"]

    def fault(self, number: int, env: Env) -> list[str]:
        """The statements that take a fault."""
        if self._model.sites[number].use.mode in _READING:
            return [f"weak_fault(x, {number}, {self._declared(number, env)[1]});"]
        lines, location = self._declared(number, env)
        return ["{", *("\t" + line for line in lines), f"\tweak_fault(x, {number}, {location});", "}"]

    def put_off(self, number: int, action: Action, env: Env, facts: Facts) -> list[str]:
        """The statements that put a step off, where that is possible: its thread goes on."""
        if number not in self._model.late_number:
            return []
        successor = Successor(self._emit)
        successor.move(self._instance.thread(action.thread), action, env, facts)
        lines, location = self._declared(number, env)
        lines += successor.lines()
        lines.append(f"weak_put_off(x, {number}, {self._model.late_number[number]}, {location}, n);")
        return ["{", *("\t" + line for line in lines), "}"]
