"""What makes a result worth less: statements never executed, steps too large for a memory model.

A result is worth something only where things happen.  Of a stretch that is
never reached, only its beginning is reported.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from checker.core.memory.places import Places
from checker.core.system import Action, System, Thread
from checker.core.verdict import Finding
from checker.lang.source import Span


def never_executed(
    system: System, fired: Mapping[str, int], allowed: frozenset[str] = frozenset()
) -> tuple[Finding, ...]:
    """A finding for each statement of the text that no transition executed, though the point before it was reached.

    `fired` counts transitions by action name.  Statements inside the procs, handlers and threads
    named in `allowed` are passed over.
    """
    steps = [a for a in system.actions if a.fault is None]
    executed = {item for a in steps if fired.get(a.name, 0) for item in a.covers}
    entered = {thread.name: _entered(thread, steps, fired) for thread in system.threads}
    found: dict[str, Finding] = {}
    for action in steps:
        if fired.get(action.name, 0) or action.at not in entered[action.thread] or _is_allowed(action, allowed):
            continue
        for item in _missing(action, executed):
            place = item.removesuffix(" true")
            found.setdefault(item, Finding("LZ402", _message(item, action, place), place, item))
            break  # what follows in the same step is a consequence
    return tuple(sorted(found.values(), key=lambda f: _order(f.where)))


def is_executed(system: System, fired: Mapping[str, int], span: Span, owner: str) -> bool:
    """Whether some transition executed a part of this stretch of the text of proc, handler or thread `owner`.

    Of what is no step of its own, the begin of a section for instance, the steps of its owner tell.
    """
    begin, end = (span.line, span.column), (span.end_line, span.end_column)
    inside: list[Action] = []
    around: list[Action] = []
    for action in system.actions:
        if action.fault is not None:
            continue
        places = (_order(item.partition(" ")[0]) for item in action.covers)
        if any(file == span.file and begin <= (line, column) < end for file, line, column in places):
            inside.append(action)
        elif action.thread == owner or any(frame.proc == owner for frame in action.frames):
            around.append(action)
    return any(fired.get(action.name, 0) for action in inside or around)


def several_accesses(system: System) -> tuple[Finding, ...]:
    """A finding for each step that accesses several memory locations, which only sequential consistency allows."""
    found: dict[str, Finding] = {}
    locations = Places(system)
    for action in system.actions:
        places = locations.of(action.memory)
        if action.fault is None and len(places) > 1:
            names = ", ".join(dict.fromkeys(var for var, _ in places))
            message = f"one step accesses several memory locations ({names}), which only sc allows"
            found.setdefault(action.statement, Finding("LZ406", message, action.statement, action.statement))
    return tuple(sorted(found.values(), key=lambda f: _order(f.where)))


def _entered(thread: Thread, steps: list[Action], fired: Mapping[str, int]) -> set[int]:
    """The locations that some instance of a thread was at."""
    return {thread.start} | {a.to for a in steps if a.thread == thread.name and fired.get(a.name, 0)}


def _missing(action: Action, executed: set[str]) -> Iterator[str]:
    """What a step would execute and no other did; that a condition is never false is no fault."""
    for item in action.covers:
        if item not in executed and not item.endswith(" false"):
            yield item


def _is_allowed(action: Action, allowed: frozenset[str]) -> bool:
    return action.thread in allowed or any(frame.proc in allowed for frame in action.frames)


def _message(item: str, action: Action, place: str) -> str:
    where = f" in {action.frames[-1].proc}()" if action.frames else ""
    if item.endswith(" true"):
        return f"a condition{where} is never true"
    text = f": {action.label}" if action.statement == place and action.label else ""
    return f"a statement{where} is never executed{text}"


def _order(where: str) -> tuple[str, int, int]:
    file, line, column = where.rsplit(":", 2)
    return file, int(line), int(column)
