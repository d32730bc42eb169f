"""Running the native engine: it says what `explorer.explore` says, only sooner."""

from __future__ import annotations

import contextlib
import signal
import struct
import subprocess
import time
from collections.abc import Iterable, Iterator
from dataclasses import field, replace
from itertools import islice
from pathlib import Path
from typing import Final

from checker.cache import keep_entry, key, read_entry
from checker.core import semantics
from checker.core.compile import Program as Reference
from checker.core.compile import compile_instance
from checker.core.instance import Instance, State
from checker.core.layers import Goal, fewest_switches
from checker.core.path import Path as Way
from checker.core.resources import peak_memory
from checker.core.system import Property, PropertyKind
from checker.core.verdict import Limits, Outcome, Statistics
from checker.explorer import Exploration, Result
from checker.native.build import Building
from checker.native.emit import PARTIAL_ORDER, Program, generate
from checker.native.layout import Unsupported
from checker.records import dataclass
from checker.search import Listener

_PERHAPS: Final = "perhaps not with the fewest switches: too many states come before it"
_ROUNDABOUT: Final = "perhaps not with the fewest steps: partial order"
_OUT_OF_MEMORY: Final = 3
_FROM_OUTSIDE: Final = frozenset({signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT, signal.SIGXCPU})
"""Signals that do not come from what a program does wrong."""
_HASHED_LEAK: Final = "fingerprints say nothing of leaks"
_REMEMBERED: Final = 1000
"""Programs whose size of state is remembered."""
_NO_LEAK: Final = "leaks were not looked for: there is no memory left for it"


class EngineFailed(Exception):
    """The engine's process ended without an answer; the text says how.

    `starved`: it was killed, or said itself that it got no memory.  `stopped`: somebody else ended it.
    Otherwise the error is ours.
    """

    def __init__(self, text: str, *, starved: bool = False, stopped: bool = False) -> None:
        self.starved = starved
        self.stopped = stopped
        super().__init__(text)


class _Cramped(Exception):
    """Messages and views of some state did not fit into the words that it has."""


@dataclass(slots=True)
class _Answer:
    """What the process said."""

    fired: dict[int, int] = field(default_factory=dict)
    marks: int = 0
    paths: dict[int, tuple[int, tuple[int, ...]]] = field(default_factory=dict)
    layers: dict[int, list[list[State]]] = field(default_factory=dict)
    depths: dict[int, int] = field(default_factory=dict)  # with fingerprints, in place of paths
    trouble: tuple[str, State] | None = None
    weak: tuple[bool, bool] = False, False  # messages were dropped, accesses not put off
    done: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Prepared:
    """The program for a question, while it is being compiled."""

    program: Program
    building: Building

    def abandon(self) -> None:
        """Nobody will ask for it."""
        self.building.abandon()


def prepare_native(
    instance: Instance, properties: Iterable[Property], *, symmetry: bool = True, por: bool = False
) -> Prepared:
    """Begin to make what `explore_native` needs for the same question; raises what that raises before it runs."""
    return _prepare(instance, tuple(properties), symmetry=symmetry, por=por)


def _prepare(
    instance: Instance, properties: tuple[Property, ...], *, symmetry: bool, por: bool, extra: int | None = None
) -> Prepared:
    initial = tuple(semantics.initial_states(instance))
    if not initial:
        raise Unsupported("there is no initial state")
    program = generate(instance, properties, initial, symmetry=symmetry, por=por, extra=extra)
    if program.weak is not None and extra is None and (known := read_entry(_roomy(program))) is not None:
        program = program.with_words(int(known))
    return Prepared(program, Building(program.sources, program.words))


def explore_native(
    instance: Instance,
    properties: Iterable[Property],
    limits: Limits | None = None,
    *,
    stop_on: frozenset[str] | None = None,
    events: Listener | None = None,
    threads: int = 1,
    symmetry: bool = True,
    por: bool = False,
    fingerprints: bool = False,
    prepared: Prepared | None = None,
) -> Exploration:
    """Visit the reachable states breadth first and decide the properties, as `explorer.explore` does.

    A run that ends early finishes the level it is in, so that what it says does not depend on `threads`.
    With `symmetry` the states counted are classes of states.  With `por` steps that commute with all others are
    explored alone: verdicts stay the same, but ways may be longer than they need be.  With `fingerprints`
    64 bits stand for a state: `Statistics.omission` bounds the probability that one was taken for another, nothing is
    said of leaks, and ways to violations are searched for again, with states.  `prepared` is what `prepare_native` has
    begun for this question, if anything.

    Raises Unsupported for what the engine cannot do, NoCompiler, CompilerFailed and NoRoom where no program can be
    made, UndefinedRead if the model itself uses a null as an index, and EngineFailed.
    """
    started = time.monotonic()
    asked = tuple(properties)
    prepared = prepared or prepare_native(instance, asked, symmetry=symmetry, por=por)
    limits = limits or Limits()
    while True:
        try:
            return _explore(instance, limits, prepared, stop_on, events, threads, fingerprints, started)
        except _Cramped:
            extra = 2 * (prepared.program.words - prepared.program.layout.words)
            keep_entry(_roomy(prepared.program), str(extra).encode(), of="words-", at_most=_REMEMBERED)
            prepared = _prepare(instance, asked, symmetry=symmetry, por=por, extra=extra)
        if limits.seconds is not None:
            limits = replace(limits, seconds=max(limits.seconds - (time.monotonic() - started), 0.0))


def _roomy(program: Program) -> str:
    """What the words that a program needs are remembered by; its text does not say how many they are."""
    return f"words-{key(*program.sources)}"


def _explore(
    instance: Instance, limits: Limits, prepared: Prepared, stop_on: frozenset[str] | None, events: Listener | None,
    threads: int, fingerprints: bool, started: float,
) -> Exploration:  # fmt: skip
    try:
        program, executable = prepared.program, prepared.building.finish()
    finally:
        prepared.abandon()
    arguments = _arguments(program, limits, stop_on, threads)
    if not fingerprints:
        answer = _run(executable, arguments, program, events)
        return _exploration(instance, program, answer, time.monotonic() - started)
    answer = _run(executable, [*arguments, "fingerprints=1"], program, events)
    violated = {n: d for n, d in answer.depths.items() if program.properties[n].kind is not PropertyKind.COVER}
    if violated:
        # what was found is shown by a search that keeps the states that far; a deadlock shows one level later
        again = replace(limits, depth=max(violated.values()) + 1)
        shown = _run(executable, _arguments(program, again, stop_on, threads), program, events)
        if shown.paths.keys() >= violated.keys():
            return _exploration(instance, program, shown, time.monotonic() - started)
    return _exploration(instance, program, answer, time.monotonic() - started, hashed=True)


# -- the process -------------------------------------------------------------


def _arguments(program: Program, limits: Limits, stop_on: frozenset[str] | None, threads: int) -> list[str]:
    arguments = [f"threads={max(threads, 1)}"]
    if stop_on is not None:
        wanted = sum(
            1 << n for n, p in enumerate(program.properties) if p.name in stop_on and p.kind is not PropertyKind.COVER
        )
        arguments.append(f"stop_on={wanted}")
    if limits.states is not None:
        arguments.append(f"states={limits.states}")
    if limits.depth is not None:
        arguments.append(f"depth={limits.depth}")
    if limits.seconds is not None:
        arguments.append(f"milliseconds={int(limits.seconds * 1000)}")
    if limits.memory is not None:
        arguments.append(f"memory={limits.memory << 20}")
    return arguments


def _run(executable: Path, arguments: list[str], program: Program, events: Listener | None) -> _Answer:
    """Start the engine and listen to it until it is done; an interrupt makes it report what it has."""
    states = b"".join(program.pack(state) for state in program.initial)
    try:
        process = subprocess.Popen(
            [executable, *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
    except OSError as error:
        raise Unsupported(f"the compiled program cannot be run: {error.strerror or error}") from None
    answer = _Answer()
    interrupts = 0
    try:
        assert process.stdin is not None and process.stdout is not None
        with contextlib.suppress(BrokenPipeError):
            process.stdin.write(struct.pack("<Q", len(program.initial)) + states)
            process.stdin.close()
        while True:
            try:
                for line in process.stdout:
                    _understand(line.decode("ascii").split(), answer, program, events)
                break
            except KeyboardInterrupt:
                interrupts += 1
                if interrupts > 1:
                    raise
                process.send_signal(signal.SIGINT)
        complaint = process.stderr.read().decode("utf-8", "replace").strip() if process.stderr else ""
        status = process.wait()
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
        for stream in (process.stdin, process.stdout, process.stderr):
            if stream is not None:
                with contextlib.suppress(OSError):
                    stream.close()
    if status < 0:
        how = f"the native engine was killed by {_signal_name(-status)}"
        raise EngineFailed(how, starved=-status == signal.SIGKILL, stopped=-status in _FROM_OUTSIDE)
    if status or not answer.done:
        said = complaint.splitlines()[0] if complaint else "it said nothing"
        raise EngineFailed(f"the native engine ended with status {status}: {said}", starved=status == _OUT_OF_MEMORY)
    return answer


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _understand(words: list[str], answer: _Answer, program: Program, events: Listener | None) -> None:
    """Take in one line of what the engine writes."""
    match words:
        case ["progress", states, transitions, depth, frontier, seconds]:
            if events is not None:
                events.progress(int(states), int(transitions), int(depth), int(frontier), float(seconds))
        case ["fired", rule, times]:
            answer.fired[int(rule)] = int(times)
        case ["marks", marks]:
            answer.marks = int(marks)
        case ["path", prop, initial, *rules]:
            answer.paths[int(prop)] = int(initial), tuple(map(int, rules))
        case ["deep", prop, depth]:
            answer.depths[int(prop)] = int(depth)
        case ["way", level, *hexadecimal]:
            ways = answer.layers.setdefault(-1, [])
            while len(ways) <= int(level):
                ways.append([])
            ways[int(level)].append(_state(program, hexadecimal))
        case ["ways", prop, _]:
            answer.layers[int(prop)] = answer.layers.pop(-1, [])
        case ["undefined" | "outgrown" as what, *hexadecimal]:
            answer.trouble = what, _state(program, hexadecimal)
        case ["weak", dropped, refused, cramped]:
            if cramped == "1":
                raise _Cramped
            answer.weak = dropped == "1", refused == "1"
        case ["done", *rest]:
            answer.done = rest
        case _:
            raise EngineFailed(f"the native engine said {' '.join(words)!r}")


def _state(program: Program, hexadecimal: list[str]) -> State:
    return program.unpack(tuple(int(word, 16) for word in hexadecimal))


# -- the answer --------------------------------------------------------------


def _exploration(
    instance: Instance, program: Program, answer: _Answer, seconds: float, *, hashed: bool = False
) -> Exploration:
    states, transitions, depth, limit, complete, violated, no_leak, _, peak, stored = answer.done
    if answer.trouble is not None:
        what, state = answer.trouble
        if what == "undefined":
            compile_instance(instance).explain(state[: len(instance.slots)])
        raise Unsupported("an action gives a variable a value outside its type")
    all_visited = complete == "1"
    starved = all_visited and no_leak == "1" and not hashed
    fired = {action.name: 0 for action in instance.system.actions if not action.fault}
    for rule, times in answer.fired.items():
        fired[program.rules[rule].action.name] += times
    statistics = Statistics(
        states=int(states),
        transitions=int(transitions),
        depth=int(depth),
        seconds=seconds,
        peak_memory=max(float(peak), peak_memory()),
        state_bytes=int(stored) / max(int(states), 1),
        omission=min(int(states) ** 2 / 2**65, 1.0) if hashed else None,
        complete=all_visited and not starved,
        limit="memory" if starved else None if limit == "none" else limit,
        fired=fired,
    )
    everything = all_visited and violated == "0"
    reached = frozenset(
        p.name
        for n, p in enumerate(program.properties)
        if answer.marks >> (n if p.kind is PropertyKind.COVER else program.premises.get(p.name, 63)) & 1
    )
    reader = _Reader(instance, program, answer)
    results: dict[str, Result] = {}
    for number, prop in enumerate(program.properties):
        if number in answer.paths:
            results[prop.name] = reader.found(number, prop)
        elif number in answer.depths:
            results[prop.name] = _without_way(prop, answer.depths[number])
        else:
            results[prop.name] = _unfound(prop, everything, reached, leaks_known=no_leak == "0", hashed=hashed)
    cut, refused = answer.weak
    return Exploration(instance, results, statistics, reached, program.reductions, cut=cut, refused=refused)


def _without_way(prop: Property, depth: int) -> Result:
    if prop.kind is PropertyKind.COVER:
        return Result(prop, Outcome.REACHED)
    return Result(prop, Outcome.UNKNOWN, None, f"violated after {depth} steps, but no memory is left to show how")


def _unfound(
    prop: Property, everything: bool, reached: frozenset[str], *, leaks_known: bool, hashed: bool = False
) -> Result:
    match prop.kind:
        case PropertyKind.COVER:
            return Result(prop, Outcome.UNREACHED if everything else Outcome.UNKNOWN)
        case PropertyKind.LEAK:
            if not leaks_known:
                return Result(prop, Outcome.UNKNOWN, None, _HASHED_LEAK if hashed else _NO_LEAK)
            return Result(prop, Outcome.HOLDS if everything else Outcome.UNKNOWN)
        case _:
            if not everything:
                return Result(prop, Outcome.HOLDS_TO)
            idle = prop.premise is not None and prop.name not in reached
            return Result(prop, Outcome.VACUOUS if idle else Outcome.HOLDS)


class _Reader:
    """Makes results of the paths that the engine found."""

    def __init__(self, instance: Instance, program: Program, answer: _Answer) -> None:
        self._instance = instance
        self._program = program
        self._answer = answer
        self._compiled: Reference | None = None

    def found(self, number: int, prop: Property) -> Result:
        """The result for a property that was decided by a path."""
        initial, rules = self._answer.paths[number]
        path = Way(initial, tuple(self._program.rules[rule].choice for rule in rules))
        if prop.kind is PropertyKind.COVER:
            return Result(prop, Outcome.REACHED, path, _ROUNDABOUT if PARTIAL_ORDER in self._program.reductions else "")
        note = ""
        layers = self._answer.layers.get(number)
        if rules and not layers:
            note = _PERHAPS
        elif rules and layers:
            path = self._readable(prop, layers, len(rules)) or path
        if prop.kind is PropertyKind.FAULT:
            fault = self._instance.action(path.choices[-1].action).fault
            return Result(prop, Outcome.BOUND if fault and fault.bound else Outcome.VIOLATED, path, note)
        return Result(prop, Outcome.VIOLATED, path, "; ".join(filter(None, (self._undefined(prop, path), note))))

    def _readable(self, prop: Property, layers: list[list[State]], length: int) -> Way | None:
        """Of all shortest paths, whose states are in `layers`, the one with the fewest switches."""
        if self._compiled is None:
            self._compiled = self._program.weak.program if self._program.weak else compile_instance(self._instance)
        program = self._compiled
        invariants = [p.expr for p in self._program.properties if p.kind is PropertyKind.INVARIANT and p.expr]
        passable = program.all_hold(invariants)
        numbers: dict[State, int] = {}
        for number, state in enumerate(self._program.initial):
            numbers.setdefault(state, number)
        count = len(self._instance.slots)
        initial = [numbers[state[:count]] for state in layers[0]]
        ends = set(layers[-1])
        goal = Goal(state=ends.__contains__)
        if prop.kind is PropertyKind.STEP and prop.expr is not None:
            fine = program.all_hold_over([prop.expr])
            goal = Goal(transition=lambda s, _, t: t is not None and not fine(s, t))
        elif prop.kind is PropertyKind.FAULT:
            name = prop.name

            def blames(_: State, rule: int, target: State | None) -> bool:
                fault = program.rules[rule].fault
                return target is None and fault is not None and fault.property == name

            goal = Goal(transition=blames)
        return fewest_switches(program, layers[:length], initial, goal, passable)

    def _undefined(self, prop: Property, path: Way) -> str:
        """Why a property has no value at the end of a path, if that is what is wrong."""
        if (
            prop.expr is None or self._program.weak
        ):  # where a path names no messages, nothing is known without its replay
            return ""
        try:
            states = list(_states(self._instance, path))
            if prop.kind is PropertyKind.STEP:
                semantics.evaluate(self._instance, prop.expr, states[-2], {}, states[-1])
            else:
                semantics.evaluate(self._instance, prop.expr, states[-1], {})
        except semantics.UndefinedRead as undefined:
            return str(undefined)
        return ""


def _states(instance: Instance, path: Way) -> Iterator[State]:
    """The states that a path goes through."""
    state = next(islice(semantics.initial_states(instance), path.initial, None))
    yield state
    for choice in path.choices:
        state = semantics.apply(instance, state, choice)
        yield state
