"""Who runs a piece of code: the thread it belongs to, and how that thread is named in the System."""

from __future__ import annotations

from dataclasses import field

from checker.core import system as y
from checker.lang import types as t
from checker.lang.source import NO_SPAN, Span
from checker.records import dataclass

IRQ = "irq"
NMI = "nmi"
INIT = "init"

THIS_CPU = y.Param("this_cpu", "CPU")


@dataclass(frozen=True, slots=True)
class Runner:
    """A thread as lowering sees it.

    `self` is the index of its control variable and locals; `params` are the
    action parameters that this index and the CPU are made of.  `lock_class`
    and `holder` say how it is recorded as the holder of a lock; tasks hold
    sleeping locks under their own name (`sleeper`).
    """

    name: str
    kind: y.ThreadKind
    params: tuple[y.Param, ...]
    self: tuple[y.Param, ...]
    this_cpu: y.Expr | None
    lock_class: str
    holder: y.Param | None
    sleeper: y.Param | None
    span: Span = NO_SPAN

    @property
    def interrupt(self) -> bool:
        """Whether the code runs in interrupt or NMI context."""
        return self.kind in (y.ThreadKind.INTERRUPT, y.ThreadKind.NMI)


def current_name(sort: str) -> str:
    """The variable that says which task of a sort a CPU runs."""
    return f"current.{sort}"


@dataclass(slots=True)
class Locals:
    """The local variables of the threads, made as they are met."""

    variables: dict[str, y.Var]
    of: dict[str, set[str]] = field(default_factory=dict)  # by runner
    requested: set[tuple[str, bool]] = field(default_factory=set)  # handlers, and whether they are waited for
    _names: dict[tuple[str, str, str, t.Type], str] = field(default_factory=dict)
    _taken: set[str] = field(default_factory=set)

    def name(self, runner: Runner, proc: str, local: str, type_: t.Type, suffixes: tuple[str, ...]) -> str:
        """The name of a local's variables: the same for every call of a proc by one thread, and nobody else's."""
        key = (runner.name, proc, local, type_)
        if key not in self._names:
            base = f"{runner.name}.{proc}.{local}" if proc else f"{runner.name}.{local}"
            name, number = base, 1
            while any(self._is_taken(runner, name + suffix) for suffix in suffixes):
                number += 1
                name = f"{base}_{number}"
            self._taken |= {name + suffix for suffix in suffixes}
            self._names[key] = name
        return self._names[key]

    def _is_taken(self, runner: Runner, name: str) -> bool:
        return name in self._taken or name in self.variables or name == f"{runner.name}.pc"

    def declare(self, runner: Runner, var: y.Var) -> None:
        """A variable of a local of that runner."""
        self.variables.setdefault(var.name, var)
        self.of.setdefault(runner.name, set()).add(var.name)
