"""A smaller System to prove about: without what nobody asks about, with fewer locals and fewer places.

Three steps, each of which keeps what the properties say of every reachable state:

* variables that no guard and no asked property depends on are left out;
* locals of a thread of which never two are in use become one: it is whichever is not null;
* places from which the same things happen become one place.

A proc that is called from several lines has its body once for each, with the caller's locals as its
arguments.  Afterwards these copies differ only in where they go on, and often not at all, so that
an invariant speaks of one place and one local where the System had many.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace

from checker.core import fold
from checker.core import system as y

Rewrite = Callable[[y.Expr], y.Expr]


def reduced(system: y.System, asked: Iterable[str]) -> y.System:
    """The System with the asked properties only, and with no more than they depend on."""
    names = frozenset(asked)
    system = replace(system, properties=tuple(p for p in system.properties if p.name in names))
    return _merged_places(_merged_locals(_relevant(system)))


def origins(before: y.System, after: y.System) -> dict[str, tuple[str, ...]]:
    """For each local that stands for several, these; for readers."""
    found = {}
    kept = {v.name for v in before.vars}
    for thread in before.threads:
        for name, group in _groups(before, thread).items():
            if name not in kept and any(v.name == name for v in after.vars):
                found[name] = group
    return found


# -- what matters


def _relevant(system: y.System) -> y.System:
    """Without the variables that nothing depends on which can be observed."""
    actions = (*system.actions, *system.setup)
    wanted = {v for p in system.properties if p.expr is not None for v in fold.variables(p.expr)}
    wanted |= {v for a in actions for g in a.guard for v in fold.variables(g)}
    wanted |= {v for e in system.initial for v in fold.variables(e)}
    while True:
        more = set(wanted)
        for action in actions:
            more |= {v for e in action.self for v in fold.variables(e)}
            for update in action.updates:
                if update.var in more:
                    for part in (*update.index, update.value, update.where):
                        more |= fold.variables(part)
        for family in system.families:
            members = {family.head, *(v for pair in family.copies for v in pair if v is not None)}
            if members & more:
                more |= members
        if more == wanted:
            break
        wanted = more
    wanted |= {t.pc for t in system.threads}

    def without(action: y.Action) -> y.Action:
        return replace(action, updates=tuple(u for u in action.updates if u.var in wanted), memory=())

    return replace(
        system,
        vars=tuple(v for v in system.vars if v.name in wanted),
        actions=tuple(map(without, system.actions)),
        setup=tuple(map(without, system.setup)),
        families=tuple(f for f in system.families if f.head in wanted),
    )


# -- locals


def _merged_locals(system: y.System) -> y.System:
    for thread in system.threads:
        system = _with_fewer_locals(system, thread)
    return system


def _candidates(system: y.System, thread: y.Thread) -> list[y.Var]:
    """The locals of a thread that only its own steps read and write, at its own index, and that begin with null."""
    found = {
        v.name: v for v in system.vars
        if v.storage is y.Storage.LOCAL and v.index == thread.index and v.name.startswith(f"{thread.name}.")
        and isinstance(v.type, y.Elem) and v.type.optional and isinstance(v.init, y.Null)
    }  # fmt: skip
    in_family = {v for f in system.families for v in (f.head, *(c for pair in f.copies for c in pair if c))}
    refused = found.keys() & in_family
    for outside in (*(p.expr for p in system.properties if p.expr is not None), *system.initial):
        refused |= found.keys() & fold.variables(outside)
    for action in (*system.actions, *system.setup):
        own = action.thread == thread.name
        for part in _parts(action):
            for read in fold.walk(part):
                if isinstance(read, y.Read) and read.var in found and not (own and read.index == action.self):
                    refused.add(read.var)
        for update in action.updates:
            plain = own and update.index == action.self and not update.binders and update.where == y.TRUE
            if update.var in found and not plain:
                refused.add(update.var)
    return [v for name, v in found.items() if name not in refused]


def _parts(action: y.Action) -> Iterator[y.Expr]:
    yield from action.self
    yield from action.guard
    for update in action.updates:
        yield from (*update.index, update.value, update.where)


def _in_use(system: y.System, thread: y.Thread, names: frozenset[str]) -> list[frozenset[str]]:
    """For each place of a thread, the locals that may be other than null there."""
    steps = [a for a in system.actions if a.thread == thread.name and a.fault is None]
    found: list[frozenset[str] | None] = [None] * len(thread.locations)
    found[thread.start] = frozenset()
    changed = True
    while changed:
        changed = False
        for action in steps:
            before = found[action.at]
            if before is None:
                continue
            later = set(before)
            for update in action.updates:
                if update.var in names:
                    later.discard(update.var)
                    if not isinstance(update.value, y.Null):
                        later.add(update.var)
            there = found[action.to]
            union = frozenset(later) | (there or frozenset())
            if union != there:
                found[action.to] = union
                changed = True
    return [used or frozenset() for used in found]


def _groups(system: y.System, thread: y.Thread) -> dict[str, tuple[str, ...]]:
    """The locals of a thread, those together of which never two are in use; by the name they get."""
    candidates = _candidates(system, thread)
    used = _in_use(system, thread, frozenset(v.name for v in candidates))
    groups: list[list[y.Var]] = []
    for var in candidates:
        for group in groups:
            if var.type == group[0].type and not any({var.name, o.name} <= place for o in group for place in used):
                group.append(var)
                break
        else:
            groups.append([var])
    taken = {v.name for v in system.vars}
    named = {}
    for group in groups:
        name = group[0].name
        if len(group) > 1:
            assert isinstance(group[0].type, y.Elem)
            sort = group[0].type.sort
            base = name = f"{thread.name}.its_{sort}"
            number = 1
            while name in taken:
                number += 1
                name = f"{base}_{number}"
        taken.add(name)
        named[name] = tuple(v.name for v in group)
    return named


def _with_fewer_locals(system: y.System, thread: y.Thread) -> y.System:
    groups = {name: group for name, group in _groups(system, thread).items() if len(group) > 1}
    if not groups:
        return system
    merged = {old: name for name, group in groups.items() for old in group}
    used = _in_use(system, thread, frozenset(merged))
    types = {v.name: v.type for v in system.vars}

    def rewritten(action: y.Action) -> y.Action:
        if action.thread != thread.name:
            return action

        def read(var: str, index: tuple[y.Expr, ...], type_: y.Type) -> y.Expr:
            if var not in merged:
                return y.Read(var, index, type_)
            if var in used[action.at]:
                return y.Read(merged[var], index, type_)
            assert isinstance(type_, y.Elem)
            return y.Null(type_.sort)

        def new(e: y.Expr) -> y.Expr:
            return fold.rewrite(e, read, {})

        guard = tuple(g for g in map(new, action.guard) if g != y.TRUE)
        updates = [
            replace(u, index=tuple(map(new, u.index)), value=new(u.value), where=new(u.where))
            for u in action.updates if u.var not in merged
        ]  # fmt: skip
        if action.fault is None:
            updates += _assignments(action, groups, used, types, new)
        return replace(action, guard=guard, updates=tuple(updates))

    kept = [v for v in system.vars if v.name not in merged]
    place = min(n for n, v in enumerate(system.vars) if v.name in merged)
    first = {name: next(v for v in system.vars if v.name == group[0]) for name, group in groups.items()}
    fresh = [replace(var, name=name) for name, var in first.items()]
    before = sum(1 for v in system.vars[:place] if v.name not in merged)
    actions = (rewritten(a) for a in system.actions)
    return replace(
        system,
        vars=(*kept[:before], *fresh, *kept[before:]),
        actions=tuple(a for a in actions if y.FALSE not in a.guard),
    )


def _assignments(
    action: y.Action,
    groups: Mapping[str, tuple[str, ...]],
    used: list[frozenset[str]],
    types: Mapping[str, y.Type],
    new: Rewrite,
) -> Iterator[y.Update]:
    """What becomes of the merged locals in a step."""
    for name, group in groups.items():
        values = {u.var: u.value for u in action.updates}  # the last one counts
        owner = next((v for v in group if v in used[action.to]), None)
        was_used = any(v in used[action.at] for v in group)
        type_ = types[group[0]]
        assert isinstance(type_, y.Elem)
        if owner is None:
            if was_used:
                yield y.Update(name, action.self, y.Null(type_.sort))
        elif owner in values:
            value = new(values[owner])
            if value != y.Read(name, action.self, type_):
                yield y.Update(name, action.self, value)
        elif owner not in used[action.at] and was_used:
            yield y.Update(name, action.self, y.Null(type_.sort))


# -- places


def _merged_places(system: y.System) -> y.System:
    for thread in system.threads:
        system = _with_fewer_places(system, thread)
    return system


def _with_fewer_places(system: y.System, thread: y.Thread) -> y.System:
    own = [a for a in system.actions if a.thread == thread.name]
    reached = _reached(thread, own)
    own = [a for a in own if a.at in reached]
    sets = {part.locations for e in _expressions(system) for part in fold.walk(e)
            if isinstance(part, y.At) and part.thread == thread.name}  # fmt: skip
    order = sorted(sets, key=sorted)
    steps = {n: [(_signature(a), a) for a in own if a.at == n] for n in sorted(reached)}
    block: dict[int, int] = _numbered({n: (n in thread.ended, *(n in s for s in order)) for n in sorted(reached)})
    while True:
        finer = _numbered({
            n: (block[n], frozenset((s, None if a.fault is not None else block[a.to]) for s, a in steps[n]))
            for n in sorted(reached)
        })  # fmt: skip
        if len(set(finer.values())) == len(set(block.values())):
            break
        block = finer
    if len(set(block.values())) == len(thread.locations):
        return system
    first = {b: min(n for n in block if block[n] == b) for b in set(block.values())}

    def moved(e: y.Expr) -> y.Expr:
        return _with_places(e, thread.name, block)

    def renumbered(action: y.Action) -> y.Action:
        here = action.thread == thread.name
        return replace(
            action,
            at=block[action.at] if here else action.at,
            to=block.get(action.to, block[action.at]) if here else action.to,
            self=tuple(map(moved, action.self)),
            guard=tuple(map(moved, action.guard)),
            updates=tuple(
                replace(u, index=tuple(map(moved, u.index)), value=moved(u.value), where=moved(u.where))
                for u in action.updates
            ),
        )

    locations = tuple(thread.locations[first[b]] for b in sorted(first))
    smaller = replace(
        thread, locations=locations, start=block[thread.start],
        ended=frozenset(block[n] for n in thread.ended if n in block),
    )  # fmt: skip
    leaders = set(first.values())
    actions = tuple(
        renumbered(a) for a in system.actions
        if a.thread != thread.name or a.at in leaders
    )  # fmt: skip
    return replace(
        system,
        threads=tuple(smaller if t is thread else t for t in system.threads),
        vars=tuple(
            replace(v, type=y.Int(0, len(locations) - 1), init=fold.int_lit(smaller.start)) if v.name == thread.pc
            else v for v in system.vars
        ),
        actions=actions,
        setup=tuple(renumbered(a) if a.thread != thread.name else a for a in system.setup),
        properties=tuple(p if p.expr is None else replace(p, expr=moved(p.expr)) for p in system.properties),
        final=None,
    )  # fmt: skip


def _reached(thread: y.Thread, own: list[y.Action]) -> set[int]:
    reached, waiting = {thread.start}, [thread.start]
    while waiting:
        here = waiting.pop()
        for action in own:
            if action.at == here and action.fault is None and action.to not in reached:
                reached.add(action.to)
                waiting.append(action.to)
    return reached


def _expressions(system: y.System) -> Iterator[y.Expr]:
    for action in (*system.actions, *system.setup):
        yield from _parts(action)
    yield from (p.expr for p in system.properties if p.expr is not None)


def _numbered(keys: Mapping[int, object]) -> dict[int, int]:
    numbers: dict[object, int] = {}
    return {n: numbers.setdefault(key, len(numbers)) for n, key in keys.items()}


def _with_places(expr: y.Expr, thread: str, block: Mapping[int, int]) -> y.Expr:
    match expr:
        case y.At(thread=name, index=index, locations=locations):
            parts = tuple(_with_places(i, thread, block) for i in index)
            if name == thread:
                locations = frozenset(block[n] for n in locations if n in block)
            return y.At(name, parts, locations)
        case y.Read(var=var, index=index, type=type_):
            return y.Read(var, tuple(_with_places(i, thread, block) for i in index), type_)
        case y.Quant(kind=kind, name=name, sort=sort, body=body):
            return y.Quant(kind, name, sort, _with_places(body, thread, block))
        case y.Op(op=op, args=args, type=type_):
            return y.Op(op, tuple(_with_places(a, thread, block) for a in args), type_)
        case y.Next(body=body):
            return y.Next(_with_places(body, thread, block))
        case _:
            return expr


def _signature(action: y.Action) -> object:
    """What an action does, whatever its parameters and bound variables are called, but for where it leads."""
    names = {p.name: f"#{n}" for n, p in enumerate(action.params)}
    written = [u.var for u in action.updates]
    updates = [
        (u.var, tuple(_plain(i, inner) for i in u.index), _plain(u.value, inner), _plain(u.where, inner),
         tuple(b.sort for b in u.binders))
        for u in action.updates
        for inner in [{**names, **{b.name: f"##{n}" for n, b in enumerate(u.binders)}}]
    ]  # fmt: skip
    if len(set(written)) == len(written):  # then their order means nothing
        updates.sort(key=lambda u: u[0])
    fault = None if action.fault is None else (action.fault.property, action.fault.bound)
    return (
        tuple(p.sort for p in action.params), tuple(_plain(e, names) for e in action.self),
        tuple(_plain(g, names) for g in action.guard), tuple(updates), fault,
    )  # fmt: skip


def _plain(expr: y.Expr, names: Mapping[str, str], depth: int = 0) -> object:
    match expr:
        case y.Param(name=name, sort=sort):
            return "param", names.get(name, name), sort
        case y.Read(var=var, index=index):
            return "read", var, tuple(_plain(i, names, depth) for i in index)
        case y.At(thread=thread, index=index, locations=locations):
            return "at", thread, tuple(_plain(i, names, depth) for i in index), locations
        case y.Quant(kind=kind, name=name, sort=sort, body=body):
            return kind, sort, _plain(body, {**names, name: f"###{depth}"}, depth + 1)
        case y.Op(op=op, args=args):
            return op, tuple(_plain(a, names, depth) for a in args)
        case _:
            return expr
