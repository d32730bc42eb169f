"""The reference explorer: all reachable states of an Instance, one after the other.

Breadth first it finds shortest counterexamples; depth first and random walks are
there for a first look at what is too large.  It answers with paths and counts;
what a path shows is for `trace.replay` to say.

What is counted is said in `search`.
"""

from __future__ import annotations

import random
import time
from bisect import bisect_right
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Final, Literal, assert_never

from checker.core import semantics
from checker.core.instance import Instance, State
from checker.core.layers import Goal, fewest_switches
from checker.core.memory.weak import WeakProgram
from checker.core.path import Path
from checker.core.resources import peak_memory
from checker.core.system import Property, PropertyKind, Storage, Value, Var
from checker.core.verdict import Limits, Outcome, Statistics
from checker.records import dataclass
from checker.search import Listener, Search, Stop, Witness

if TYPE_CHECKING:
    import networkx

Strategy = Literal["bfs", "dfs", "random"]

_REEXPANSIONS: Final = 300_000
"""How many states may be expanded again to find the counterexample with the fewest switches."""


@dataclass(frozen=True, slots=True)
class Result:
    """What the run says of one property.

    `path` leads to the violation, or to what a cover asks for; with breadth-first
    search no path is shorter.
    """

    property: Property
    outcome: Outcome
    path: Path | None = None
    note: str = ""


@dataclass(frozen=True, slots=True)
class Exploration:
    """What a run found.

    `results` has an entry for each property asked about, by name, in their order.
    `reached` names the covers that were true, and the invariants whose premise was true, in some
    state.  `reductions` are those that were in force: empty where every state counts.  `cut`: the weak
    memory model has dropped a message that could still have been read; `refused`: it would have put off more.
    """

    instance: Instance
    results: Mapping[str, Result]
    statistics: Statistics
    reached: frozenset[str]
    reductions: tuple[str, ...] = ()
    cut: bool = False
    refused: bool = False

    @property
    def violated(self) -> tuple[Result, ...]:
        """The results that are violations, bounds that were outgrown among them."""
        return tuple(r for r in self.results.values() if r.outcome in (Outcome.VIOLATED, Outcome.BOUND))


def explore(
    instance: Instance,
    properties: Iterable[Property],
    limits: Limits | None = None,
    *,
    strategy: Strategy = "bfs",
    seed: int = 0,
    walks: int = 100,
    walk_length: int = 1000,
    stop_on: frozenset[str] | None = None,
    events: Listener | None = None,
) -> Exploration:
    """Visit the reachable states and decide the properties.

    The run ends when the properties named in `stop_on` are all violated: with None at the
    first violation of any, with an empty set never before the end.  `seed`, `walks` and
    `walk_length` are for random walks, which never cover everything.  An interrupt from the
    keyboard and lack of memory end the run like a limit.

    Raises UndefinedRead if the model itself uses a null as an index.
    """
    search = Search(instance, tuple(properties), limits or Limits(), stop_on, events)
    try:
        match strategy:
            case "bfs":
                search.breadth_first()
            case "dfs":
                search.depth_first()
            case "random":
                search.walk(random.Random(seed), walks, walk_length)
            case _:
                assert_never(strategy)
    except Stop as stop:
        search.limit = stop.limit
    except KeyboardInterrupt:
        search.limit = "interrupted"
    except MemoryError:
        search.limit = "memory"
    return _exploration(search, shortest=strategy == "bfs")


# -- the answer ----------------------------------------------------------


def _exploration(search: Search, *, shortest: bool) -> Exploration:
    """The record of the run; with `shortest`, violations are shown with the fewest switches."""
    seconds = time.monotonic() - search.started
    results = {p.name: _result(search, p, shortest=shortest) for p in search.properties}
    fired: dict[str, int] = {action.name: 0 for action in search.instance.system.actions if not action.fault}
    for rule, times in zip(search.program.rules, search.fired, strict=True):
        if rule.fault is None:
            fired[rule.action.name] += times
    statistics = Statistics(
        states=len(search.seen),
        transitions=sum(search.fired),
        depth=search.deepest,
        seconds=seconds,
        peak_memory=peak_memory(),
        complete=search.complete,
        limit=search.limit,
        fired=fired,
    )
    cut = isinstance(search.program, WeakProgram) and search.program.cut
    refused = isinstance(search.program, WeakProgram) and search.program.refused
    return Exploration(search.instance, results, statistics, frozenset(search.reached), cut=cut, refused=refused)


def _result(search: Search, property: Property, *, shortest: bool) -> Result:
    """What is known of one property."""
    witness = search.found.get(property.name)
    if witness is None:
        return Result(property, _unfound(search, property))
    note = ""
    if isinstance(witness, Path):
        path = witness
    else:
        path = search.path_to(witness)
        if shortest and property.kind is not PropertyKind.COVER:
            path, note = _readable(search, property, witness, path)
    if property.kind is PropertyKind.COVER:
        return Result(property, Outcome.REACHED, path, note)
    if property.kind is PropertyKind.FAULT:
        fault = search.instance.action(path.choices[-1].action).fault
        return Result(property, Outcome.BOUND if fault and fault.bound else Outcome.VIOLATED, path, note)
    notes = (_undefined(search, property, path), note)
    return Result(property, Outcome.VIOLATED, path, "; ".join(filter(None, notes)))


def _unfound(search: Search, property: Property) -> Outcome:
    """The outcome for a property of which no state or step was found."""
    everything = search.complete and not search.cut
    match property.kind:
        case PropertyKind.COVER:
            return Outcome.UNREACHED if everything else Outcome.UNKNOWN
        case PropertyKind.LEAK:
            return Outcome.HOLDS if everything else Outcome.UNKNOWN
        case _:
            if not everything:
                return Outcome.HOLDS_TO
            idle = property.premise is not None and property.name not in search.reached
            return Outcome.VACUOUS if idle else Outcome.HOLDS


def _undefined(search: Search, property: Property, path: Path) -> str:
    """Why a property has no value at the end of a path, if that is what is wrong."""
    if property.expr is None or isinstance(search.program, WeakProgram):
        return ""  # its steps have read other values than the states of a path show
    states = [next(s for n, s in enumerate(semantics.initial_states(search.instance)) if n == path.initial)]
    for choice in path.choices:
        states.append(semantics.apply(search.instance, states[-1], choice))
    try:
        if property.kind is PropertyKind.STEP:
            semantics.evaluate(search.instance, property.expr, states[-2], {}, states[-1])
        else:
            semantics.evaluate(search.instance, property.expr, states[-1], {})
    except semantics.UndefinedRead as undefined:
        return str(undefined)
    return ""


def _readable(search: Search, property: Property, witness: Witness, path: Path) -> tuple[Path, str]:
    """Of all shortest paths the one with the fewest switches, or the given one and why it is not."""
    depth = bisect_right(search.levels, witness.state) - 1
    layers = depth + (witness.rule is not None)
    if layers == 0:
        return path, ""
    unsure = "perhaps not with the fewest switches: "
    if search.levels[layers] > _REEXPANSIONS:
        return path, unsure + "too many states come before it"
    states = list(search.seen)
    levels = [states[a:b] for a, b in zip(search.levels, search.levels[1 : layers + 1], strict=False)]
    initial = search.rules[: search.levels[1]]
    try:
        found = fewest_switches(search.program, levels, initial, _goal(search, property), search.all_hold)
    except (KeyboardInterrupt, MemoryError):
        return path, unsure + "interrupted"
    return found or path, ""


def _goal(search: Search, property: Property) -> Goal:
    """Where the shortest counterexamples of a property end."""
    name, program = property.name, search.program
    match property.kind:
        case PropertyKind.INVARIANT:
            holds = search.invariants[name]
            return Goal(state=lambda state: not holds(state))
        case PropertyKind.STEP:
            fine = search.steps[name]
            return Goal(transition=lambda s, _, t: t is not None and not fine(s, t))
        case PropertyKind.COVER:
            return Goal(state=search.covers[name])
        case PropertyKind.FAULT:
            return Goal(transition=lambda s, rule, t: t is None and _blames(search, rule, name))
        case PropertyKind.DEADLOCK:
            return Goal(state=lambda s: search.all_hold(s) and not program.final(s) and not program.successors(s))
        case PropertyKind.LEAK:
            return Goal(state=search.doomed[name].__contains__)
        case _:
            assert_never(property.kind)


def _blames(search: Search, rule: int, name: str) -> bool:
    """Whether a rule is a fault of that property."""
    fault = search.program.rules[rule].fault
    return fault is not None and fault.property == name


# -- the graph ---------------------------------------------------------------


def state_graph(instance: Instance, limits: Limits | None = None) -> networkx.DiGraph[int]:
    """The reachable states, numbered breadth first, and the steps between them.

    A node has `label` (the values that differ from the first initial state's), `initial`,
    `depth` and `violated` (names joined by commas); an edge has `label`, `thread` and `cpu`, joined
    by commas where several steps lead from one state to the same other one.
    States that violate an invariant have no successors.  Limits cut the graph.
    """
    import networkx

    search = Search(instance, instance.system.properties, limits or Limits(), frozenset(), None)
    try:
        search.breadth_first()
    except Stop:
        pass  # what was visited is the graph
    graph: networkx.DiGraph[int] = networkx.DiGraph()
    states = list(search.seen)
    for number, state in enumerate(states):
        violated = [name for name, holds in search.invariants.items() if not holds(state)]
        graph.add_node(
            number,
            label=str(_differences(instance, states[0], state)),
            initial=search.parents[number] < 0,
            depth=bisect_right(search.levels, number) - 1,
            violated=",".join(violated),
        )
    for number, state in enumerate(states):
        steps: dict[int, list[tuple[str, str, str]]] = {}
        transitions = search.successors(state) if search.all_hold(state) else []
        for rule, target in transitions:
            if target is not None and target in search.seen:
                steps.setdefault(search.seen[target], []).append(_edge(instance, search, rule, state))
        for successor, parts in steps.items():
            label, thread, cpu = (",".join(dict.fromkeys(column)) for column in zip(*parts, strict=True))
            graph.add_edge(number, successor, label=label, thread=thread, cpu=cpu)
    return graph


def _edge(instance: Instance, search: Search, rule: int, state: State) -> tuple[str, str, str]:
    choice, action = search.program.rules[rule].choice, search.program.rules[rule].action
    names = (instance.element_name(p.sort, e) for p, e in zip(action.params, choice.args, strict=True))
    label = action.label or f"{action.name}({', '.join(names)})"
    cpu = semantics.cpu_of(instance, state, choice)
    return label, action.thread, "" if cpu is None else str(cpu)


def _differences(instance: Instance, usual: State, state: State) -> dict[str, str]:
    count = len(instance.slots)  # the weak memory model keeps its messages behind them
    return {
        _full_name(instance, var, index): _shown(instance, var, new)
        for (var, index), old, new in zip(instance.slots, usual[:count], state[:count], strict=True)
        if old != new
    }


def _full_name(instance: Instance, var: Var, index: tuple[int, ...]) -> str:
    if var.storage not in (Storage.LOCAL, Storage.CONTROL):
        return instance.format_slot(var.name, index)
    names = (instance.element_name(sort, e) for sort, e in zip(var.index, index, strict=True))
    return var.name + "".join(f"[{name}]" for name in names)


def _shown(instance: Instance, var: Var, value: Value) -> str:
    for thread in instance.system.threads:
        if thread.pc == var.name and isinstance(value, int):
            return thread.locations[value].name
    return instance.format_value(var.type, value)
