"""Of all shortest paths to a goal, the one that is easiest to read.

A counterexample in which the CPU changes with every step is hard to follow, and
breadth-first search returns whichever shortest path it met first.  Going back through
its layers tells which of them changes the column of the trace least often.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from checker.core import semantics
from checker.core.compile import Predicate, Program
from checker.core.instance import State
from checker.core.path import Path
from checker.records import dataclass

Column = tuple[str, int | None]


@dataclass(frozen=True, slots=True)
class Goal:
    """Where a path may end: in a state, or with a transition (whose target is None for a fault)."""

    state: Predicate | None = None
    transition: Callable[[State, int, State | None], bool] | None = None


def column(program: Program, rule: int, state: State) -> Column:
    """The column of a trace that a step stands in: that of its CPU, or of the thread where there is none."""
    choice, action = program.rules[rule].choice, program.rules[rule].action
    cpu = semantics.cpu_of(program.instance, state, choice)
    if cpu is not None:
        return "cpu", cpu
    itself = semantics.thread_instance(program.instance, state, choice)
    return action.thread, itself[0] if itself else None


def fewest_switches(
    program: Program,
    layers: Sequence[Sequence[State]],
    initial: Sequence[int],
    goal: Goal,
    passable: Predicate,
) -> Path | None:
    """A path with one choice per layer that changes columns least often; ties go by action order.

    `layers[k]` holds all states that k choices reach and no fewer, `initial` the numbers
    of the initial states in `layers[0]`.  No shorter path may end in the goal.  States that are not
    `passable` have no successors.  None if nothing reaches the goal.
    """
    # for each layer from the last, the changes still to come, by the column of the next step
    stages: list[dict[State, dict[Column, int]]] = []
    ends: dict[State, bool] = {}

    def arrives(state: State, rule: int, target: State | None) -> bool:
        if goal.transition is not None:
            return goal.transition(state, rule, target)
        if target is None or goal.state is None:
            return False
        if target not in ends:
            ends[target] = goal.state(target)
        return ends[target]

    def steps(state: State, later: int) -> Iterator[tuple[int, State | None, Column, int]]:
        """The steps that lead on to the goal, with `later` layers after this one, and the changes after each."""
        for rule, target in program.successors(state):
            if later == 0:
                if arrives(state, rule, target):
                    yield rule, target, column(program, rule, state), 0
            elif target is not None and (options := stages[later - 1].get(target)):
                at = column(program, rule, state)
                yield rule, target, at, min(cost + (other != at) for other, cost in options.items())

    for later, layer in enumerate(reversed(layers)):
        stage: dict[State, dict[Column, int]] = {}
        for state in layer:
            if not passable(state):
                continue
            options: dict[Column, int] = {}
            for _, _, at, cost in steps(state, later):
                options[at] = min(cost, options.get(at, cost))
            if options:
                stage[state] = options
        stages.append(stage)

    starts = [(min(stages[-1][s].values()), n) for n, s in enumerate(layers[0]) if s in stages[-1]]
    if not starts:
        return None
    budget, first = min(starts)
    here: State | None = layers[0][first]
    rules: list[int] = []
    last: Column | None = None
    for later in reversed(range(len(layers))):
        assert here is not None
        for rule, target, at, cost in steps(here, later):
            if cost + (last is not None and at != last) == budget:
                budget, last, here = cost, at, target
                rules.append(rule)
                break
    return Path(initial[first], tuple(program.rules[rule].choice for rule in rules))
