"""The words for counts, sizes and verdicts; they never say more than was done."""

from __future__ import annotations

from typing import assert_never

from checker.core.instance import Instance
from checker.core.system import System
from checker.core.trace import Trace
from checker.core.verdict import CheckResult, Expectation, Outcome, PropertyVerdict


def number(value: int) -> str:
    """The number with its thousands apart."""
    return f"{value:,}"


def counted(value: int, noun: str) -> str:
    """The number and its noun: `1 step`, `2 steps`."""
    return f"{number(value)} {noun}{'' if value == 1 else 's'}"


def sizes_text(instance: Instance) -> str:
    """The sizes of the instance: `CPU=2 mm=2`."""
    return " ".join(f"{sort}={size}" for sort, size in sizes(instance).items())


def sizes(instance: Instance) -> dict[str, int]:
    """The size of every sort, statics not counted, in the order of the model."""
    return {sort.name: instance.sizes.get(sort.name, sort.size) for sort in instance.system.sorts}


def config_text(system: System) -> str:
    """What the configuration has other than by default: `SET_MASK=false`; empty where that is nothing."""
    changed = {name: value for name, value in system.config.items() if value != system.defaults.get(name)}
    return " ".join(f"{name}={value_text(value)}" for name, value in sorted(changed.items()))


def value_text(value: bool | int | str) -> str:
    """A configuration value as the model writes it."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def expectation_text(expectation: Expectation, most: int | None = None) -> str:
    """What a check expects, in the words of its `expect` clause; the first property for more than `most`."""
    parts: list[str] = [expectation.verdict]
    names = expectation.properties
    if most is not None and len(names) > most:
        parts.append(f"{names[0]} and {counted(len(names) - 1, 'other')}")
    elif names:
        parts.append(", ".join(names))
    if expectation.steps is not None:
        parts.append(f"in {counted(expectation.steps, 'step')}")
    if expectation.states is not None:
        parts.append(f"states {number(expectation.states)}")
    return " ".join(parts)


def after_steps(trace: Trace) -> str:
    """When the trace ends: `after 3 steps`, `in the initial state`."""
    return f"after {counted(len(trace.steps), 'step')}" if trace.steps else "in the initial state"


def outcome_text(verdict: PropertyVerdict) -> str:
    """The verdict on one property, with the length of what shows it."""
    text = verdict.outcome.value
    if verdict.trace is not None:
        text += f" {after_steps(verdict.trace)}"
    return f"{text} ({verdict.note})" if verdict.note else text


def verdict_sentence(result: CheckResult) -> str:
    """The verdict of the whole check."""
    by_outcome = {
        outcome: [v for v in result.verdicts if v.outcome is outcome and not v.allowed] for outcome in Outcome
    }
    size = sizes_text(result.instance).replace(" ", ", ")
    for outcome in (Outcome.VIOLATED, Outcome.BOUND, Outcome.VACUOUS, Outcome.UNREACHED, Outcome.UNSUPPORTED):
        if found := by_outcome[outcome]:
            names = ", ".join(v.property.name for v in found)
            return f"{_finding_word(outcome)}: {names} ({size})"
    if result.unbounded:
        unknown = not result.verdicts or by_outcome[Outcome.UNKNOWN] or not result.statistics.complete
        return f"{'not proved' if unknown else 'proved'} for any number of {', '.join(result.unbounded)}"
    if not result.verdicts:
        return f"nothing was asked ({size})"
    if result.statistics.complete and not by_outcome[Outcome.UNKNOWN] and not by_outcome[Outcome.HOLDS_TO]:
        return _complete_sentence(result, size)
    return _partial_sentence(result, size)


def _finding_word(outcome: Outcome) -> str:
    match outcome:
        case Outcome.VIOLATED:
            return "VIOLATED"
        case Outcome.BOUND:
            return "a bound of the model is too small"
        case Outcome.UNREACHED:
            return "never reached"
        case Outcome.VACUOUS:
            return "says nothing, its premise is never met"
        case Outcome.UNSUPPORTED:
            return "not supported"
        case Outcome.HOLDS | Outcome.HOLDS_TO | Outcome.REACHED | Outcome.UNKNOWN:
            return str(outcome.value)
        case _:
            assert_never(outcome)


def _complete_sentence(result: CheckResult, size: str) -> str:
    states = result.statistics.states
    if not states:
        return f"holds in all reachable states ({size})"
    if result.reductions:
        using = ", ".join(result.reductions)
        return f"holds for all states ({size}); {counted(states, 'state')} visited, reduced by {using}{_unless(result)}"
    return f"holds for {'all ' * (states > 1)}{counted(states, 'state')} ({size}){_unless(result)}"


def _unless(result: CheckResult) -> str:
    """What must be said where only hashes of states were kept."""
    omission = result.statistics.omission
    return "" if omission is None else f", unless one was left out (probability at most {omission:.1g})"


def _partial_sentence(result: CheckResult, size: str) -> str:
    statistics = result.statistics
    limit = f"limit: {statistics.limit}; " if statistics.limit else ""
    exhaustive = statistics.limit == "depth" and result.strategy not in ("dfs", "random")
    if exhaustive or not statistics.states:
        return f"no violation within {counted(statistics.depth, 'step')} ({limit}{size})"
    return f"no violation in the {counted(statistics.states, 'state')} visited ({limit}{size})"
