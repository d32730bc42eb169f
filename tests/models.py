"""Models given as text: the shortest way from a few lines of the language to an answer."""

from __future__ import annotations

from checker.core.instance import Instance
from checker.core.lower import lower_model
from checker.core.system import System
from checker.core.trace import Trace, replay
from checker.core.verdict import Outcome
from checker.explorer import Exploration, explore
from checker.lang.diagnostics import UserError
from checker.lang.names import load_model
from checker.lang.parser import Parser
from checker.lang.resolve import ConfigValue
from checker.lang.typecheck import typecheck

_PARSER = Parser()

HEADER = "model t; sort CPU = 2;\n"


def system_of(text: str, config: dict[str, ConfigValue] | None = None) -> System:
    """The System of a model; the header may be left out."""
    full = text if text.lstrip().startswith(("model", "///", "library")) else HEADER + text
    return lower_model(typecheck(load_model("test.lzm", _PARSER, text=full), config))


def explore_text(text: str, config: dict[str, ConfigValue] | None = None, **sizes: int) -> Exploration:
    """All that can be said of a model, whatever is violated on the way."""
    system = system_of(text, config)
    return explore(Instance(system, sizes), system.properties, stop_on=frozenset())


def counts(run: Exploration) -> tuple[int, int]:
    """The numbers of states and transitions."""
    assert run.statistics.complete
    return run.statistics.states, run.statistics.transitions


def violated(run: Exploration) -> dict[str, int]:
    """The violated properties, and how many steps their shortest counterexamples have."""
    found = (Outcome.VIOLATED, Outcome.BOUND)
    return {n: len(r.path.choices) for n, r in run.results.items() if r.outcome in found and r.path is not None}


def reached(run: Exploration) -> set[str]:
    """The covers that are reached."""
    return {name for name, result in run.results.items() if result.outcome is Outcome.REACHED}


def trace_of(run: Exploration, name: str) -> Trace:
    """The replayed trace of a property."""
    result = run.results[name]
    assert result.path is not None
    return replay(run.instance, result.path, result.property)


def errors_of(text: str) -> list[str]:
    """The codes of what is wrong with a model, in the order of the text."""
    return [code for code, _ in complaints_of(text)]


def complaints_of(text: str) -> list[tuple[str, str]]:
    """Codes and messages of what is wrong with a model."""
    try:
        system_of(text)
    except UserError as error:
        return [(d.code, d.message) for d in error.diagnostics]
    return []


def weak_system_of(text: str, memory_model: str) -> System:
    """The System of a whole model as it is lowered for a memory model."""
    return lower_model(typecheck(load_model("test.lzm", _PARSER, text=text)), memory_model=memory_model)
