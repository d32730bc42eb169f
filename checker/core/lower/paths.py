"""From a flow graph to actions: where a thread rests, and what it does in between.

A step starts where the thread rests, makes one visible edge (or one atomic
block), and goes on through what is invisible: locals, ghosts, jumps.  Sections:
disabling interrupts or preemption is part of the step that follows, unless that
step may have to wait; enabling them is part of the step before, if there is one.  Both are
exact, as nothing else of the same CPU can happen in between that could not happen before or after.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import field, replace

from checker.core import fold
from checker.core import system as y
from checker.core.lower.context import Runner
from checker.core.lower.flow import (
    Assign,
    Check,
    Choose,
    Edge,
    Flow,
    Guard,
    Operation,
    Origin,
    Together,
    assignments,
    expressions,
)
from checker.lang.diagnostics import UserError
from checker.records import dataclass


@dataclass(frozen=True, slots=True)
class Program:
    """A thread's locations and actions; the guards do not yet say when the CPU lets it run."""

    locations: tuple[y.Location, ...]
    start: int
    ended: frozenset[int]
    actions: tuple[y.Action, ...]


@dataclass(frozen=True, slots=True)
class _Run:
    """A stretch of edges, executed symbolically: expressions are in terms of the state before."""

    at: int
    used: bool = False
    seen: frozenset[int] = frozenset()
    guard: tuple[y.Expr, ...] = ()
    params: tuple[y.Param, ...] = ()
    writes: tuple[y.Update, ...] = ()
    memory: tuple[y.Access | y.Fence, ...] = ()
    origin: Origin | None = None
    frames: tuple[y.Frame, ...] | None = None
    labels: tuple[str, ...] = ()
    covers: tuple[str, ...] = ()
    branch: bool | None = None
    fault: y.Fault | None = None
    stopped: bool = False


class PathMaker:
    """Makes the program of one thread from its flow.

    `one_step`: all of it is one step.  `preemption`: somebody else could run on the thread's
    CPU, so that it matters where preemption is disabled.
    """

    def __init__(
        self,
        flow: Flow,
        runner: Runner,
        locals_: set[str],
        variables: Mapping[str, y.Var],
        *,
        one_step: bool = False,
        preemption: bool = True,
    ) -> None:
        self._flow = flow
        self._runner = runner
        self._variables = variables
        self._locals = sorted(locals_)
        self._one_step = one_step
        self._preemption = preemption
        self._live = _liveness(flow, locals_, len(runner.self))

    def program(self, start: int) -> Program:
        """All that can be reached from a node."""
        rests: dict[int, int] = {}
        order: list[int] = []

        def rest(node: int) -> int:
            node = self._behind_jumps(node)
            if node not in rests:
                rests[node] = len(order)
                order.append(node)
            return rests[node]

        start = self._settle(start)
        rest(start)
        actions: list[y.Action] = []
        done = 0
        while done < len(order):
            node = order[done]
            faults: set[tuple[tuple[y.Expr, ...], y.Fault]] = set()
            for run in self._runs(_Run(node), node):
                if run.fault is not None:
                    if (run.guard, run.fault) in faults:
                        continue
                    faults.add((run.guard, run.fault))
                to = rests[node] if run.fault is not None else rest(run.at)
                actions.append(self._action(run, node, rests[node], to))
            done += 1
        ended = frozenset(rests[n] for n in order if not self._flow.nodes[n].out)
        locations = tuple(self._location(n) for n in order)
        return Program(locations, 0, ended, tuple(_number(actions)))

    # -- where to rest

    def _settle(self, start: int) -> int:
        """Where a thread begins: behind the jumps that its body opens with."""
        node, seen = start, {start}
        while len(self._flow.nodes[node].out) == 1 and not self._flow.nodes[node].choice:
            edge = self._flow.edges[self._flow.nodes[node].out[0]]
            if self._deeper(edge.target, node) or self._flow.nodes[edge.target].inside:
                break
            if edge.visible or edge.target in seen or not all(self._changes_nothing(op) for op in edge.operations):
                break
            node = edge.target
            seen.add(node)
        return node

    def _behind_jumps(self, node: int) -> int:
        """Where mere jumps lead from a node: one point of the text is one location."""
        nodes, seen = self._flow.nodes, {node}
        while len(nodes[node].out) == 1 and not nodes[node].choice and not self._one_step:
            edge = self._flow.edges[nodes[node].out[0]]
            target = nodes[edge.target]
            differs = self._deeper(edge.target, node) or self._deeper(node, edge.target)
            if edge.operations or edge.visible or differs or target.inside or edge.target in seen:
                break
            node = edge.target
            seen.add(node)
        return node

    def _deeper(self, node: int, than: int) -> bool:
        """Whether something that matters is disabled at a node that is not at the other."""
        nodes = self._flow.nodes
        return nodes[node].sections.deeper_than(nodes[than].sections, preemption=self._preemption)

    def _changes_nothing(self, op: Operation) -> bool:
        """Whether an operation gives locals the values that they begin with."""
        made = assignments(op)
        return bool(made) and all(a.var in self._locals and a.value == self._variables[a.var].init for a in made)

    def _rests(self, run: _Run, start: int) -> bool:
        """Whether the thread rests at the node that a run has come to."""
        node = self._flow.nodes[run.at]
        if run.stopped:
            return True
        if (self._one_step or node.inside) and run.at in run.seen:
            raise UserError.of("LZ309", "a loop cannot be inside one atomic step", node.span)
        if self._one_step:
            return not node.out
        if node.inside:
            return False
        edges = [self._flow.edges[n] for n in node.out]
        if not edges or run.at in run.seen:
            return True
        if not run.used:
            if self._deeper(start, run.at):
                return True  # nothing was done yet, and here others may come in between
            if all(e.never for e in edges) and any(self._flow.nodes[n].choice for n in run.seen):
                return False  # a choice that cannot go on is none
            return self._deeper(run.at, start) and any(e.blocking for e in edges)
        if node.choice or any(e.blocking or self._is_step(e) for e in edges):
            return True  # what was done is done, even if the thread can never go on
        return any(self._deeper(e.target, run.at) for e in edges)

    def _is_step(self, edge: Edge) -> bool:
        """Whether an edge is visible, or leads into an atomic block in which something is."""
        seen, work = set[int](), [edge]
        while work:
            edge = work.pop()
            if edge.visible:
                return True
            if self._flow.nodes[edge.target].inside and edge.target not in seen:
                seen.add(edge.target)
                work += [self._flow.edges[n] for n in self._flow.nodes[edge.target].out]
        return False

    def _runs(self, run: _Run, start: int) -> Iterator[_Run]:
        for number in self._flow.nodes[run.at].out:
            edge = self._flow.edges[number]
            for after in self._follow(run, edge):
                if after.fault is not None:
                    yield after
                elif self._rests(after, start):
                    yield self._settled(after, edge, start)
                else:
                    yield from self._runs(after, start)

    def _settled(self, run: _Run, edge: Edge, start: int) -> _Run:
        if run.at == start and not run.writes and not run.used and run.guard == ():
            hint = "put an await into it, or leave it with break"
            raise UserError.of("LZ401", "a loop in which nothing happens", edge.origin.span, hint=hint)
        return run

    # -- symbolic execution

    def _follow(self, run: _Run, edge: Edge) -> Iterator[_Run]:
        """The run continued over an edge; before that, the faults that can be met on it."""
        run = self._marked(run, edge)
        for op in edge.operations:
            if isinstance(op, Check):
                holds = self._now(run, op.expr)
                if holds == y.TRUE:
                    continue
                failing = fold.not_(holds)
                if failing != y.FALSE and fold.and_((*run.guard, failing)) != y.FALSE:
                    origin = edge.origin
                    yield replace(run, guard=(*run.guard, failing), fault=op.fault, origin=origin)
                guarded = self._guarded(run, holds)
            elif isinstance(op, Guard):
                guarded = self._guarded(run, self._now(run, op.expr))
            else:
                guarded = self._done(run, op)
            if guarded is None:
                return
            run = guarded
        yield run

    def _marked(self, run: _Run, edge: Edge) -> _Run:
        first = edge.visible and not run.used
        origin = run.origin
        deeper = self._flow.nodes[edge.target].sections.deeper_than(self._flow.nodes[edge.source].sections)
        if first or origin is None or (not run.used and (edge.operations or deeper)):
            origin = edge.origin
        branch = run.branch
        if edge.branch is not None and (first or (not run.used and branch is None)):
            branch = edge.branch
        return replace(
            run,
            at=edge.target,
            used=run.used or edge.visible,
            seen=run.seen | {edge.source},
            memory=run.memory + tuple(self._accessed(run, access) for access in edge.memory),
            origin=origin,
            frames=_frames_of(run, edge),
            labels=_with(run.labels, _label(edge) if _says_something(edge) else ""),
            covers=_with(run.covers, _covered(edge)),
            branch=branch,
            stopped=edge.ends,
        )

    def _accessed(self, run: _Run, access: y.Access | y.Fence) -> y.Access | y.Fence:
        """An access with its indices in terms of the state before."""
        if isinstance(access, y.Fence):
            return access
        return replace(access, index=tuple(self._now(run, i) for i in access.index))

    def _guarded(self, run: _Run, condition: y.Expr) -> _Run | None:
        if condition == y.FALSE or fold.and_((*run.guard, condition)) == y.FALSE:
            return None
        new = tuple(c for c in fold.conjuncts((condition,)) if c not in run.guard)
        return replace(run, guard=run.guard + new)

    def _done(self, run: _Run, op: Operation) -> _Run:
        match op:
            case Choose(param=param):
                return replace(run, params=(*run.params, param))
            case Assign() | Together():
                updates = (self._update(run, a) for a in assignments(op))
                return replace(run, writes=(*run.writes, *(u for u in updates if u.where != y.FALSE)))
            case _:
                return run

    def _update(self, run: _Run, op: Assign) -> y.Update:
        index = tuple(self._now(run, i) for i in op.index)
        return y.Update(op.var, index, self._now(run, op.value), op.binders, self._now(run, op.where))

    def _now(self, run: _Run, expr: y.Expr) -> y.Expr:
        """What an expression is after the run's writes, in terms of the state before."""
        if not run.writes:
            return expr
        return fold.rewrite(expr, lambda v, i, t: _read_after(run.writes, v, i, t), {})

    # -- actions

    def _action(self, run: _Run, node: int, at: int, to: int) -> y.Action:
        origin = run.origin
        assert origin is not None
        updates = run.writes
        if run.fault is None:
            updates = (*updates, *self._deaths(run, node))
        frames = run.frames if run.frames is not None and run.fault is None else origin.frames
        name = frames[-1].proc if frames else ""
        path = ".".join(f.proc for f in frames)
        label = "; ".join(run.labels) or origin.label
        key = f"{self._runner.name}/{path}/{label}"
        return y.Action(
            name=f"{self._runner.name}.{name}" if name else self._runner.name,
            thread=self._runner.name,
            params=(*self._runner.params, *run.params),
            self=self._runner.self,
            cpu=self._runner.this_cpu,
            at=at,
            to=to,
            guard=run.guard,
            updates=() if run.fault is not None else _tidy(updates),
            fault=run.fault,
            label=label,
            key=key + (f"/{run.fault.property}" if run.fault else ""),
            frames=frames,
            kernel=origin.kernel,
            statement=origin.statement,
            covers=run.covers,
            branch=run.branch,
            memory=run.memory,
            span=origin.span,
        )

    def _deaths(self, run: _Run, node: int) -> Iterator[y.Update]:
        """Locals that nobody reads any more go back to their first value, so that they make no states."""
        written = {w.var for w in run.writes}
        after = self._live[run.at]
        for name in self._locals:
            if name in after or (name not in self._live[node] and name not in written):
                continue
            var = self._variables[name]
            assert var.init is not None
            extra = tuple(y.Param(f"{name}.{n}", sort) for n, sort in enumerate(var.index[len(self._runner.self) :]))
            yield y.Update(name, (*self._runner.self, *extra), var.init, extra)

    def _location(self, node: int) -> y.Location:
        n = self._flow.nodes[node]
        where = next((self._flow.edges[e].origin for e in n.out if self._flow.edges[e].visible), None)
        origins = [self._flow.edges[e].origin for e in n.out]
        origin = where or (origins[0] if origins else None)
        span = origin.span if origin is not None else n.span
        name = f"{n.proc or self._runner.name}:{span.line}" if n.out else "end"
        irqs_off = n.sections.irqs > 0 or (self._runner.interrupt and bool(n.proc))
        return y.Location(name, irqs_off, n.sections.preempt > 0, span)


def _read_after(writes: tuple[y.Update, ...], var: str, index: tuple[y.Expr, ...], type_: y.Type) -> y.Expr:
    """The value of a variable after some writes, in terms of the state before them."""
    value: y.Expr = y.Read(var, index, type_)
    for write in writes:
        if write.var == var:
            value = _written(write, index, value)
    return value


def _written(write: y.Update, index: tuple[y.Expr, ...], otherwise: y.Expr) -> y.Expr:
    """What is found at an index after a write."""
    bound = {p.name: p for p in write.binders}
    binding: dict[str, y.Expr] = {}
    other: list[tuple[y.Expr, y.Expr]] = []
    for written, read in zip(write.index, index, strict=True):
        if isinstance(written, y.Param) and written.name in bound and written.name not in binding:
            binding[written.name] = read
        else:
            other.append((written, read))
    same = [fold.eq(fold.substitute(written, binding), read) for written, read in other]
    condition = fold.and_((*same, fold.substitute(write.where, binding)))
    for name in bound.keys() - binding.keys():  # the write was for some element: which one makes no difference
        condition = fold.quantify("exists", name, bound[name].sort, condition)
    return fold.ite(condition, fold.substitute(write.value, binding), otherwise)


def _tidy(updates: tuple[y.Update, ...]) -> tuple[y.Update, ...]:
    """Without updates that a later one makes void, or that change nothing."""
    kept: list[y.Update] = []
    for number, update in enumerate(updates):
        later = updates[number + 1 :]
        covered = any(u.var == update.var and u.where == y.TRUE and _covers(u, update) for u in later)
        unchanged = update.value == y.Read(update.var, update.index, update.value.type)
        if not covered and not unchanged:
            kept.append(update)
    return tuple(kept)


def _covers(later: y.Update, earlier: y.Update) -> bool:
    """Whether a later update writes wherever an earlier one does."""
    free = [p.name for p in later.binders]
    for a, b in zip(later.index, earlier.index, strict=True):
        if isinstance(a, y.Param) and a.name in free:
            free.remove(a.name)  # a second index with the same binder is no longer free
        elif a != b or fold.free_params(a) & {p.name for p in (*later.binders, *earlier.binders)}:
            return False
    return True


def _with(items: tuple[str, ...], item: str) -> tuple[str, ...]:
    return items if not item or item in items else (*items, item)


def _frames_of(run: _Run, edge: Edge) -> tuple[y.Frame, ...] | None:
    """The procs that all statements of a step are in."""
    if not _says_something(edge):
        return run.frames
    frames = edge.origin.frames
    if run.frames is None:
        return frames
    return tuple(
        a for a, b in itertools.takewhile(lambda pair: pair[0] == pair[1], zip(run.frames, frames, strict=False))
    )


def _says_something(edge: Edge) -> bool:
    """Whether an edge belongs into the text of a step; an assertion that holds does not."""
    return edge.visible and not (edge.operations and all(isinstance(op, Check) for op in edge.operations))


def _label(edge: Edge) -> str:
    """The text of a step's part, and which way a condition went."""
    return edge.origin.label + {None: "", True: " [true]", False: " [false]"}[edge.branch]


def _covered(edge: Edge) -> str:
    """What counts as executed when an edge is taken: a statement, or one way of a condition."""
    if not (edge.operations or edge.visible) or not edge.origin.statement:
        return ""
    return edge.origin.statement + {None: "", True: " true", False: " false"}[edge.branch]


def _number(actions: list[y.Action]) -> Iterator[y.Action]:
    """The actions with names and keys made unique by a number."""
    names: dict[str, int] = {}
    keys: dict[str, int] = {}
    for action in actions:
        line = f"{action.name}:{action.span.line}"
        names[line] = names.get(line, 0) + 1
        keys[action.key] = keys.get(action.key, 0) + 1
        name = line if names[line] == 1 else f"{line}#{names[line]}"
        key = action.key if keys[action.key] == 1 else f"{action.key}#{keys[action.key]}"
        yield replace(action, name=name, key=key)


@dataclass(slots=True)
class _Use:
    reads: set[str] = field(default_factory=set)
    kills: set[str] = field(default_factory=set)


def _liveness(flow: Flow, locals_: set[str], own: int) -> list[set[str]]:
    """The locals that may still be read, for every node; `own` is how many indices say whose they are."""
    uses = [_uses(edge, locals_, own) for edge in flow.edges]
    live: list[set[str]] = [set() for _ in flow.nodes]
    incoming: list[list[int]] = [[] for _ in flow.nodes]
    for edge in flow.edges:
        if not edge.never:
            incoming[edge.target].append(edge.source)
    work = list(range(len(flow.nodes)))
    while work:
        node = work.pop()
        now: set[str] = set()
        for number in flow.nodes[node].out:
            if flow.edges[number].never:
                continue
            use = uses[number]
            now |= use.reads | (live[flow.edges[number].target] - use.kills)
        if now != live[node]:
            live[node] = now
            work += incoming[node]
    return live


def _uses(edge: Edge, locals_: set[str], own: int) -> _Use:
    use = _Use()
    for op in edge.operations:
        for expr in expressions(op):
            use.reads |= (fold.variables(expr) & locals_) - use.kills
        for made in assignments(op):
            binders = [p for i in made.index[own:] for p in made.binders if i == p]
            whole = made.where == y.TRUE and len(set(binders)) == len(made.index) - own
            if made.var in locals_ and whole:
                use.kills.add(made.var)
    use.reads |= {f"{var}.of" for var in use.reads} & locals_  # a generation is read with its family
    return use
