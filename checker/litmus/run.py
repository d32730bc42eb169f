"""All runs of a litmus test under the weak memory model."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Final, cast

from checker.core.instance import Instance, State
from checker.core.memory import DEFER, HISTORY
from checker.core.memory.weak import Move, WeakProgram
from checker.litmus.hoist import hoisted
from checker.litmus.lower import lock_name, lower, register_name
from checker.litmus.program import Litmus, Load, Update, Word, names
from checker.litmus.values import evaluate
from checker.records import dataclass

LIMIT: Final = 2_000_000


@dataclass(frozen=True, slots=True)
class Result:
    """How many ends there are with and without what is asked; `witness` leads to one that has it, or has it not."""

    litmus: Litmus
    positive: int
    negative: int
    states: int
    complete: bool
    cut: bool
    witness: tuple[str, ...]

    @property
    def observation(self) -> str:
        """Never, Sometimes or Always, as herd says it."""
        if self.litmus.quantifier == "forall":
            return "Always" if not self.negative else "Sometimes" if self.positive else "Never"
        return "Never" if not self.positive else "Sometimes" if self.negative else "Always"

    @property
    def as_expected(self) -> bool | None:
        """Whether the file states this result; None where it states none."""
        return None if self.litmus.expected is None else self.litmus.expected == self.observation


def run(litmus: Litmus, history: int | None = HISTORY, defer: int = DEFER, limit: int = LIMIT) -> Result:
    """Visit all states of a test; stores behind an `if` that do not depend on it come before it, too."""
    ends = _Ends(set(), set(), {})
    states, complete, cut = 0, True, False
    for variant in hoisted(litmus):
        one = _Run(variant, history, defer, limit - states, ends)
        one.visit()
        states, complete, cut = states + one.states, complete and one.complete, cut or one.cut
    witness = ends.shown.get(litmus.quantifier != "forall", ())
    return Result(litmus, len(ends.positive), len(ends.negative), states, complete, cut, witness)


@dataclass(frozen=True, slots=True)
class _Ends:
    """The outcomes with what is asked, those without it, and a way to one of each."""

    positive: set[object]
    negative: set[object]
    shown: dict[bool, tuple[str, ...]]


class _Run:
    def __init__(self, litmus: Litmus, history: int | None, defer: int, limit: int, ends: _Ends) -> None:
        self._litmus = litmus
        self._ends = ends
        self._lowered = lower(litmus)
        system = replace(self._lowered.system, history=history, defer=defer)
        self._instance = Instance(system)
        self._program = WeakProgram(self._instance)
        self._limit = limit
        self.states = 0
        self.complete = self.cut = False

    def visit(self) -> None:
        """Note all ends, and a way to one of each kind."""
        litmus, program = self._litmus, self._program
        (start,) = program.initial()
        came: dict[State, tuple[State, Move] | None] = {start: None}
        todo = [start]
        while todo and len(came) < self._limit:
            state = todo.pop()
            stuck = True
            for move in program.moves(state):
                stuck = False
                if move.target is not None and move.target not in came:
                    came[move.target] = state, move
                    todo.append(move.target)
            if stuck and program.final(state):
                values = self._final(state)
                if litmus.filter is not None and not evaluate(litmus.filter, values):
                    continue
                holds = bool(evaluate(litmus.condition, values))
                (self._ends.positive if holds else self._ends.negative).add(tuple(sorted(values.items(), key=str)))
                if holds not in self._ends.shown:
                    self._ends.shown[holds] = self._way(came, state)
        self.states, self.complete, self.cut = len(came), not todo, program.cut

    def _way(self, came: dict[State, tuple[State, Move] | None], end: State) -> tuple[str, ...]:
        steps: list[str] = []
        while (before := came[end]) is not None:
            end, move = before
            steps.append(self._text(move))
        return tuple(reversed(steps))

    def _final(self, state: State) -> dict[str, Word]:
        """What is at the end in registers and in memory; names that occur nowhere are 0."""
        litmus = self._litmus
        found: dict[str, Word] = {f"&{name}": name for name in litmus.locations}
        for n, name in enumerate(litmus.locations):
            if name in self._lowered.locks:
                found[f"[{name}]"] = cast(int, state[self._instance.slot(lock_name(name), ())])
            else:
                found[f"[{name}]"] = self._word(state, "mem", (n,))
        for t, thread in enumerate(litmus.threads):
            for name in self._registers(t) | thread.registers:
                found[f"{t}:{name}"] = self._word(state, register_name(t, name), ())
        asked = names(litmus.condition) | (names(litmus.filter) if litmus.filter else frozenset())
        return {name: found.get(f"[{name}]", found.get(name, 0)) for name in asked}

    def _registers(self, t: int) -> set[str]:
        prefix = register_name(t, "")
        known = (v.name for v in self._instance.system.vars if v.name != f"P{t}.pc")
        return {name.removeprefix(prefix) for name in known if name.startswith(prefix)}

    def _word(self, state: State, var: str, index: tuple[int, ...]) -> Word:
        return self._lowered.words[cast(int, state[self._instance.slot(var, index)])]

    # -- what is said of a step

    def _text(self, move: Move) -> str:
        t, number = self._lowered.origins[self._program.rules[move.rule].action.name]
        notes = ["put off"] if move.how == "off" else ["late"] if move.how == "made" else []
        if move.how != "off":
            notes += self._notes(move, t, number)
        text = self._instance.system.threads[t].locations[number].name
        return f"P{t}: {text}" + (f"  ({', '.join(notes)})" if notes else "")

    def _notes(self, move: Move, t: int, number: int) -> Iterator[str]:
        """What a step has read, and whether it comes before something that was stored."""
        instruction = self._lowered.code[t][number]
        assert move.target is not None
        register = instruction.register if isinstance(instruction, Load | Update) else None
        if register is not None and register in self._registers(t):
            yield f"{register} is {self._word(move.target, register_name(t, register), ())}"
        if move.note.startswith("reads"):
            yield "stale"
        elif move.note:
            yield "before what was stored"
