"""Who may run on a CPU: the guards that contexts put on each other's steps.

A CPU runs its highest context: an NMI, else an interrupt, else a thread.  An
interrupt is taken where every thread of the CPU is at a point with interrupts
on; threads that share a CPU interleave where all others can be preempted.
Hardware agents and threads without a CPU are held back by nobody.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from checker.core import fold
from checker.core import system as y
from checker.core.lower.context import IRQ, NMI, THIS_CPU, Runner, current_name
from checker.core.lower.paths import Program

Threads = list[tuple[Runner, Program]]
PREEMPTED = ".preempted"


def with_guards(threads: Threads) -> tuple[y.Action, ...]:
    """All actions, with the guards of the contexts around them in front of their own."""
    found: list[y.Action] = []
    for runner, program in threads:
        for action in program.actions:
            context = fold.and_(_guards(runner, action, threads))
            found.append(replace(action, guard=(*fold.conjuncts((context,)), *action.guard)))
    return tuple(found)


def _guards(runner: Runner, action: y.Action, threads: Threads) -> Iterator[y.Expr]:
    by_name = {r.name: (r, p) for r, p in threads}
    match runner.kind:
        case y.ThreadKind.HARDWARE | y.ThreadKind.NMI:
            return
        case y.ThreadKind.INTERRUPT:
            yield from _idle(NMI, by_name)
            if action.at == 0:
                for other, program in _processes(threads):
                    yield _where(other, program, _interruptible(program), None)
        case _ if runner.this_cpu is None:
            return
        case _:
            yield from _idle(NMI, by_name)
            yield from _idle(IRQ, by_name)
            if runner.kind is y.ThreadKind.TASK:
                yield from _task(runner, action, by_name)
            for other, program in _processes(threads):
                same_task = runner.kind is y.ThreadKind.TASK and other.kind is y.ThreadKind.TASK
                if not same_task:
                    yield _where(other, program, _preemptible(program), runner)


def _idle(context: str, by_name: dict[str, tuple[Runner, Program]]) -> Iterator[y.Expr]:
    if context in by_name:
        yield _at(by_name[context][0].name, (THIS_CPU,), by_name[context][1], frozenset({0}))


def _task(runner: Runner, action: y.Action, by_name: dict[str, tuple[Runner, Program]]) -> Iterator[y.Expr]:
    """A task steps where its CPU runs it; its preempted part starts where it can be preempted."""
    me = runner.self[0]
    yield fold.eq(y.Read(current_name(me.sort), (THIS_CPU,), y.Elem(me.sort, True)), me)
    if runner.name.endswith(PREEMPTED):
        if action.at == 0:
            main, program = by_name[runner.name.removesuffix(PREEMPTED)]
            yield _at(main.name, (me,), program, _preemptible(program))
    elif runner.name + PREEMPTED in by_name:
        other, program = by_name[runner.name + PREEMPTED]
        yield _at(other.name, (me,), program, frozenset({0}))


def _processes(threads: Threads) -> Iterator[tuple[Runner, Program]]:
    for runner, program in threads:
        if runner.this_cpu is not None and runner.kind in (y.ThreadKind.THREAD, y.ThreadKind.TASK):
            yield runner, program


def _where(other: Runner, program: Program, locations: frozenset[int], me: Runner | None) -> y.Expr:
    """That a thread of this CPU (other than `me`) is at one of some locations."""
    if other.kind is y.ThreadKind.TASK:
        sort = other.self[0].sort
        running = y.Read(current_name(sort), (THIS_CPU,), y.Elem(sort, True))
        there = _at(other.name, (running,), program, locations)
        return fold.or_((fold.eq(running, y.Null(sort)), there))
    if len(other.self) == 1:
        same = me is not None and other.name == me.name
        return y.TRUE if same else _at(other.name, other.self, program, locations)
    probe = y.Param(f"{other.name}.other", other.self[1].sort)
    there = _at(other.name, (THIS_CPU, probe), program, locations)
    if me is not None and other.name == me.name:
        there = fold.or_((fold.eq(probe, me.self[1]), there))
    return fold.quantify("forall", probe.name, probe.sort, there)


def _at(thread: str, index: tuple[y.Expr, ...], program: Program, locations: frozenset[int]) -> y.Expr:
    if len(locations) == len(program.locations):
        return y.TRUE
    return y.At(thread, index, locations)


def _interruptible(program: Program) -> frozenset[int]:
    return frozenset(n for n, place in enumerate(program.locations) if not place.irqs_off)


def _preemptible(program: Program) -> frozenset[int]:
    return frozenset(n for n, place in enumerate(program.locations) if not place.irqs_off and not place.preempt_off)
