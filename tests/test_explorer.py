"""What the explorer finds, and how it counts."""

from __future__ import annotations

from collections import deque
from dataclasses import replace
from itertools import islice

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from checker import explorer
from checker.core import semantics
from checker.core.instance import Instance, State
from checker.core.system import (
    At,
    Expr,
    Fault,
    Property,
    PropertyKind,
    Quant,
    Read,
    Sort,
    Storage,
    System,
    Update,
    Var,
)
from checker.core.trace import replay
from checker.core.verdict import Limits, Outcome
from checker.explorer import Exploration, Strategy, explore, state_graph
from tests import systems
from tests.systems import C, M, action, control, counters, generations, locks, num, objects, op, thread

NEVER_STOP = frozenset[str]()


def named(system: System, *names: str) -> tuple[Property, ...]:
    return tuple(p for p in system.properties if p.name in names)


def run(system: System, *names: str, stop_on: frozenset[str] | None = None) -> Exploration:
    """Explore with the named properties, and replay all paths that come back."""
    instance = Instance(system)
    exploration = explore(instance, named(system, *names), stop_on=stop_on)
    for result in exploration.results.values():
        if result.path is not None:
            replay(instance, result.path, result.property)
    return exploration


def brute_force(instance: Instance, invariants: tuple[Property, ...] = ()) -> tuple[int, int, int, dict[str, int]]:
    """States, transitions, depth and transitions by action, straight from the semantics."""
    depths: dict[State, int] = {}
    for state in semantics.initial_states(instance):
        depths.setdefault(state, 0)
    todo = deque(depths)
    fired = {a.name: 0 for a in instance.system.actions if a.fault is None}
    while todo:
        state = todo.popleft()
        if not all(semantics.holds(instance, p.expr, state) for p in invariants if p.expr):
            continue
        for choice in semantics.enabled(instance, state):
            if instance.action(choice.action).fault:
                continue
            fired[choice.action] += 1
            target = semantics.apply(instance, state, choice)
            if target not in depths:
                depths[target] = depths[state] + 1
                todo.append(target)
    return len(depths), sum(fired.values()), max(depths.values(), default=0), fired


@pytest.mark.parametrize(
    ("system", "states", "transitions"),
    [
        (counters(3), 16, 24),
        (locks(ordered=False), 13, 14),
        (objects(frees=True), 7, 16),
        (generations(late=True), None, None),
    ],
)  # fmt: skip
def test_counts_are_those_of_brute_force(system: System, states: int | None, transitions: int | None) -> None:
    instance = Instance(system)
    for strategy in ("bfs", "dfs"):
        statistics = explore(instance, (), strategy=strategy).statistics
        expected = brute_force(instance)
        assert (statistics.states, statistics.transitions, statistics.fired) == (
            expected[0],
            expected[1],
            expected[3],
        )
        assert statistics.complete
        if states is not None:
            assert (statistics.states, statistics.transitions) == (states, transitions)
        if strategy == "bfs":
            assert statistics.depth == expected[2]


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(systems.systems())
def test_random_systems_are_explored_and_replayed(system: System) -> None:
    instance = Instance(system)
    try:
        limits = Limits(states=100)
        exploration = explore(instance, system.properties, limits, stop_on=NEVER_STOP)
        if exploration.statistics.complete:
            states, transitions, depth, fired = brute_force(instance, named(system, "inv"))
            statistics = exploration.statistics
            assert (statistics.states, statistics.transitions, statistics.depth) == (
                states,
                transitions,
                depth,
            )
            assert statistics.fired == fired
        for result in exploration.results.values():
            if result.path is not None:
                replay(instance, result.path, result.property)
        assert explore(instance, system.properties, limits, stop_on=NEVER_STOP).results == exploration.results
    except semantics.UndefinedRead:
        pass  # the front end guards the reads of actions; a random System does not


# -- paths -------------------------------------------------------------------


def test_a_shortest_counterexample_has_the_fewest_switches() -> None:
    result = run(counters(3), "apart").results["apart"]
    assert result.outcome is Outcome.VIOLATED
    assert result.path is not None
    assert [choice.args for choice in result.path.choices] == [(0,), (0,), (0,), (1,), (1,), (1,)]


def fewest(instance: Instance, prop: Property, length: int) -> int:
    """The least number of switches over all paths of that length to a violation; the first argument is the CPU."""
    assert prop.expr is not None
    ends: set[tuple[State, int | None, int]] = {(s, None, 0) for s in semantics.initial_states(instance)}
    for _ in range(length):
        ends = {
            (
                semantics.apply(instance, state, choice),
                choice.args[0],
                switches + (last not in (None, choice.args[0])),
            )
            for state, last, switches in ends
            for choice in semantics.enabled(instance, state)
        }
    return min(switches for state, _, switches in ends if not semantics.holds(instance, prop.expr, state))


@st.composite
def races(draw: st.DrawFn) -> System:
    """CPUs that count up and down, through three locations; they may not meet at one of them, or not reach 3."""
    run = thread("run", 3)
    total = Read("total", (), systems.RANGE)
    actions = []
    for n in range(draw(st.integers(3, 6))):
        place, value = st.integers(0, 2), st.integers(0, 3)
        guard = op(draw(st.sampled_from(["eq", "le", "ge", "ne"])), total, num(draw(value)))
        update = Update("total", (), num(draw(value))) if draw(st.booleans()) else None
        actions.append(action(f"a{n}", draw(place), draw(place), guard=(guard,), updates=(update,) if update else ()))
    elsewhere = op("not", At("run", (C,), frozenset({draw(st.integers(1, 2))})))
    below = op("ne", total, num(3))
    lagging = Quant("exists", "c", "CPU", elsewhere)
    rules: tuple[Expr, ...] = (lagging, below, op("or", below, lagging))
    return System(
        name="races",
        sorts=(Sort("CPU", 2),),
        vars=(control(run), Var("total", (), systems.RANGE, num(0), Storage.MEMORY)),
        threads=(run,),
        actions=tuple(actions),
        properties=(Property("low", PropertyKind.INVARIANT, expr=draw(st.sampled_from(rules))),),
    )


@settings(max_examples=150, deadline=None)
@given(races())
def test_no_shortest_counterexample_has_fewer_switches(system: System) -> None:
    instance = Instance(system)
    (prop,) = system.properties
    path = explore(instance, (prop,)).results["low"].path
    if path is not None and path.choices:
        assert replay(instance, path, prop).switches == fewest(instance, prop, len(path.choices))


def test_without_the_second_look_the_path_is_still_shortest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(explorer, "_REEXPANSIONS", 0)
    result = run(counters(3), "apart").results["apart"]
    assert result.path is not None
    assert len(result.path.choices) == 6
    assert "fewest switches" in result.note


def test_the_violation_may_be_in_the_first_state() -> None:
    result = run(objects(frees=True), "fresh").results["fresh"]
    assert result.path is not None
    assert result.path.choices == ()
    assert result.note == "null used as an index of mm.live"


def test_covers_do_not_stop_the_run() -> None:
    exploration = run(counters(2), "one_ends")
    assert exploration.statistics.complete
    assert exploration.results["one_ends"].outcome is Outcome.REACHED
    assert exploration.reached == {"one_ends"}


def test_a_premise_that_never_holds_is_told() -> None:
    exploration = run(objects(frees=True), "owned")
    assert exploration.results["owned"].outcome is Outcome.VACUOUS


def test_stop_on_waits_for_all_that_it_names() -> None:
    system = counters(2)
    idle = op("eq", Read("run.pc", (C,), systems.RANGE), num(0))
    still = Property("idle", PropertyKind.STEP, expr=Quant("forall", "c", "CPU", idle))
    system = replace(system, properties=(*system.properties, still))
    first = run(system, "idle", "apart")
    assert first.results["apart"].outcome is Outcome.HOLDS_TO
    both = run(system, "idle", "apart", stop_on=frozenset({"idle", "apart"}))
    assert {result.property.name for result in both.violated} == {"idle", "apart"}
    everything = run(system, "idle", "apart", stop_on=NEVER_STOP)
    assert everything.statistics.complete


def faulty(*, bound: bool) -> System:
    system = counters(2)
    fault = Fault("overrun", "too far", bound=bound)
    wrong = action("overrun", 1, 1, fault=fault)
    return replace(
        system,
        actions=(*system.actions, wrong),
        properties=(Property("overrun", PropertyKind.FAULT), *system.properties),
    )


@pytest.mark.parametrize("bound", [False, True])
def test_a_fault_leads_nowhere_and_is_not_counted(*, bound: bool) -> None:
    exploration = run(faulty(bound=bound), "overrun", stop_on=NEVER_STOP)
    assert exploration.results["overrun"].outcome is (Outcome.BOUND if bound else Outcome.VIOLATED)
    assert exploration.statistics.transitions == explore(Instance(counters(2)), ()).statistics.transitions
    path = exploration.results["overrun"].path
    assert path is not None
    assert [choice.action for choice in path.choices] == ["step0", "overrun"]


def test_deadlock_is_not_the_end_of_all_threads() -> None:
    assert run(counters(2), "no_deadlock").results["no_deadlock"].outcome is Outcome.HOLDS
    assert run(locks(ordered=True), "no_deadlock").results["no_deadlock"].outcome is Outcome.HOLDS
    result = run(locks(ordered=False), "no_deadlock").results["no_deadlock"]
    assert result.outcome is Outcome.VIOLATED
    assert result.path is not None
    assert len(result.path.choices) == 2


def test_an_object_that_no_path_frees_is_a_leak() -> None:
    assert run(objects(frees=True), "leak").results["leak"].outcome is Outcome.HOLDS
    result = run(objects(frees=False), "leak").results["leak"]
    assert result.outcome is Outcome.VIOLATED
    assert result.path is not None
    assert [choice.action for choice in result.path.choices] == ["alloc", "forget"]


# -- generations -------------------------------------------------------------


@pytest.mark.parametrize("late", [False, True])
def test_canonical_generations_decide_what_counting_decides(*, late: bool) -> None:
    canonical = run(generations(late=late), "near", "never_ahead", stop_on=NEVER_STOP)
    assert canonical.statistics.complete
    counted = run(generations(late=late, bound=9), "near", "never_ahead", stop_on=NEVER_STOP)
    for name in ("near", "never_ahead"):
        first, second = canonical.results[name], counted.results[name]
        assert (first.outcome is Outcome.VIOLATED) == (second.outcome is Outcome.VIOLATED)
        if first.path is not None and second.path is not None:
            assert len(first.path.choices) == len(second.path.choices)


# -- limits ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("limits", "limit"),
    [
        (Limits(states=5), "states"),
        (Limits(depth=2), "depth"),
    ],
)
@pytest.mark.parametrize("strategy", ["bfs", "dfs"])
def test_limits_end_the_run(limits: Limits, limit: str, strategy: Strategy) -> None:
    system = counters(3)
    exploration = explore(Instance(system), named(system, "apart"), limits, strategy=strategy)
    assert not exploration.statistics.complete
    assert exploration.statistics.limit == limit
    assert exploration.statistics.depth <= (limits.depth or 6)
    assert exploration.results["apart"].outcome is Outcome.HOLDS_TO


def test_time_and_memory_are_looked_at() -> None:
    instance = Instance(counters(40))
    assert explore(instance, (), Limits(seconds=0.0)).statistics.limit == "seconds"
    assert explore(instance, (), Limits(memory=1)).statistics.limit == "memory"


class Interrupter:
    """A listener that presses Ctrl-C."""

    def progress(self, states: int, transitions: int, depth: int, frontier: int, seconds: float) -> None:
        assert states > 0
        assert transitions > 0
        raise KeyboardInterrupt


def test_an_interrupt_tells_what_was_covered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("checker.search._PROGRESS_SECONDS", 0.0)
    exploration = explore(Instance(counters(40)), (), events=Interrupter())
    assert exploration.statistics.limit == "interrupted"
    assert 0 < exploration.statistics.states < 41 * 41


# -- other strategies --------------------------------------------------------


def test_random_walks_are_repeatable_and_never_complete() -> None:
    system = counters(3)
    instance = Instance(system)
    runs = [explore(instance, system.properties, strategy="random", seed=7, walks=20) for _ in range(2)]
    assert runs[0].results == runs[1].results
    assert not runs[0].statistics.complete
    result = runs[0].results["apart"]
    assert result.path is not None
    replay(instance, result.path, result.property)


def test_depth_first_finds_the_same_violations() -> None:
    system = counters(3)
    instance = Instance(system)
    exploration = explore(instance, system.properties, strategy="dfs")
    path = exploration.results["apart"].path
    assert path is not None
    replay(instance, path, exploration.results["apart"].property)


# -- the graph ---------------------------------------------------------------


def test_the_graph_has_all_states_and_steps() -> None:
    graph = state_graph(Instance(counters(2)))
    assert graph.number_of_nodes() == 9
    assert graph.number_of_edges() == 12
    assert graph.nodes[0] == {"label": "{}", "initial": True, "depth": 0, "violated": ""}
    assert graph.nodes[8]["violated"] == "apart"
    assert graph.nodes[8]["label"] == "{'run.pc[CPU0]': 'L2', 'run.pc[CPU1]': 'L2'}"
    assert graph.edges[0, 1] == {"label": "step0(CPU0)", "thread": "run", "cpu": "0"}


def test_steps_between_the_same_states_share_an_edge() -> None:
    system = counters(1)
    twice = replace(
        system,
        actions=(*system.actions, action("also", 0, 1, params=(C, M))),
        sorts=(*system.sorts, objects(frees=True).sorts[1]),
    )
    graph = state_graph(Instance(twice))
    assert graph.edges[0, 1]["label"] == "step0(CPU0),also(CPU0, mm0),also(CPU0, mm1)"


def test_initial_states_are_numbered_as_the_semantics_does() -> None:
    system = objects(frees=True)
    anything = replace(system, vars=(*system.vars[:2], replace(system.vars[2], init=None)), initial=())
    instance = Instance(anything)
    assert len(list(islice(semantics.initial_states(instance), 20))) == 9
    dangling = named(anything, "fresh")
    result = explore(instance, dangling).results["fresh"]
    assert result.path is not None
    replay(instance, result.path, dangling[0])
