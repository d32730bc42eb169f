"""Procs, fns and handlers that call themselves, which nothing that is inlined can."""

from __future__ import annotations

from collections.abc import Mapping

from checker.lang.diagnostics import Collector
from checker.lang.names import Model
from checker.lang.walk import called


def report_circles(model: Model, found: Collector) -> None:
    """Complain about every circle of calls."""
    callees = {name: set(called(p.body)) for name, p in model.procs.items() if p.body is not None}
    callees |= {name: set(called(f.body)) for name, f in model.fns.items()}
    callees |= {name: set(called(i.body)) for name, i in model.interrupts.items()}
    done: set[str] = set()
    for name in callees:
        _follow(name, [], callees, done, model, found)


def _follow(
    name: str, path: list[str], callees: Mapping[str, set[str]], done: set[str], model: Model, found: Collector
) -> None:
    if name in path:
        declared = model.procs.get(name) or model.fns.get(name) or model.interrupts[name]
        circle = " -> ".join([*path[path.index(name) :], name])
        found.error("LZ205", f"procs are inlined, so they cannot call themselves: {circle}", declared.name.span)
    elif name in callees and name not in done:
        for callee in sorted(callees[name]):
            _follow(callee, [*path, name], callees, done, model, found)
        done.add(name)
