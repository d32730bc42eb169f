"""What a reference count counts: the equation between a counter and its holders, learned and proved.

A counter of an object has, in all sampled states, the value of a sum: so many threads at certain
places with the object in a certain local, so many variables that point to it, one for another
counter that is not zero.  Such an equation is found by asking Z3 for weights of 0 or 1, and then
proved: it holds at first, and every rule changes both sides alike.  A rule moves one thread and
writes a few variables, so the change of the sum is a finite calculation whatever the sizes.
What follows for clauses is that a holder makes a counter at least 1, two different ones at least 2.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import combinations_with_replacement
from typing import Final

import z3

from checker.core import fold
from checker.core import system as y
from checker.core.instance import Instance, State
from checker.core.printer import format_expr
from checker.prove.clauses import Clause
from checker.prove.matching import Question, matched, with_number
from checker.prove.protocol import Protocol, Rule, after
from checker.prove.start import first
from checker.records import dataclass

_STATES: Final = 3_000  # of each sample
_NO_COMPANION: Final = (y.Storage.GHOST, y.Storage.LOCAL, y.Storage.CONTROL)
_MILLISECONDS: Final = 1_500  # for one step of the search for few holders


@dataclass(frozen=True, slots=True)
class Holder:
    """A kind of holder: for each value of `index`, one where `holds` is true of it and of the object."""

    index: tuple[y.Param, ...]
    holds: y.Expr


@dataclass(frozen=True, slots=True)
class Equation:
    """`var[object]` is the number of its holders."""

    var: str
    object: y.Param
    holders: tuple[Holder, ...]

    def counter(self) -> y.Read:
        """The left side."""
        return y.Read(self.var, (self.object,), y.Int(0, 1 << 30))

    def text(self, system: y.System) -> str:
        """The equation in words of the model."""
        counter = format_expr(self.counter(), system=system, qualified=True)
        shown = []
        for holder in self.holders:
            text = format_expr(holder.holds, system=system, qualified=True)
            over = ", ".join(f"{p.name} : {p.sort}" for p in holder.index)
            shown.append(f"#{{{over} | {text}}}" if over else f"[{text}]")
        return f"holders {self.object.name} : {self.object.sort}: {counter} == {' + '.join(shown) or '0'}"


# -- learning


@dataclass(frozen=True, slots=True)
class _Feature:
    """A kind of holder that might count; `group` is what it is merged with, `place` where its thread is."""

    group: str
    index: tuple[str, ...]
    facts: tuple[tuple[str, str], ...]  # variable, what it is: "object", "null", "some", "true", "positive"
    thread: str | None = None
    place: int = 0


def learn(protocol: Protocol, samples: Sequence[tuple[Instance, Sequence[State]]]) -> list[Equation]:
    """An equation for each counter of objects that has one in all samples."""
    found = []
    for var in protocol.system.vars:
        if isinstance(var.type, y.Int) and len(var.index) == 1 and var.name in protocol.unbounded:
            equation = _equation(protocol, var, samples)
            if equation is not None:
                found.append(equation)
    return found


def _features(protocol: Protocol, counter: y.Var) -> list[_Feature]:
    (sort,) = counter.index
    features: list[_Feature] = []
    for static in protocol.statics(sort):
        features.append(_Feature(f"static {static}", (), ((static, "static"),)))
    for var in protocol.system.vars:
        if var.index == (sort,) and isinstance(var.type, y.Bool):
            features.append(_Feature(var.name, (), ((var.name, "true"),)))
        if var.index == (sort,) and var.name in protocol.unbounded and var.name != counter.name:
            features.append(_Feature(var.name, (), ((var.name, "positive"),)))
        if not (isinstance(var.type, y.Elem) and var.type.sort == sort):
            continue
        is_object = (var.name, "object")
        thread = next((t for t in protocol.system.threads if var.storage is y.Storage.LOCAL and _owns(t, var)), None)
        if thread is not None:
            for n in range(len(thread.locations)):
                features.append(_Feature(var.name, var.index, (is_object,), thread.name, n))
            for other in protocol.system.vars:
                own = other.name != var.name and _owns(thread, other) and other.storage is y.Storage.LOCAL
                if not (own and isinstance(other.type, y.Elem) and other.type.optional):
                    continue
                for what in ("null", "some"):
                    facts, group = (is_object, (other.name, what)), f"{var.name} {other.name} {what}"
                    for n in range(len(thread.locations)):
                        features.append(_Feature(group, var.index, facts, thread.name, n))
            continue
        if var.storage is y.Storage.GHOST:
            continue
        features.append(_Feature(var.name, var.index, (is_object,)))
        for other in protocol.system.vars:
            alike = other.index == var.index and other.name != var.name and other.storage not in _NO_COMPANION
            if alike and isinstance(other.type, y.Elem) and other.type.optional:
                for what in ("null", "some"):
                    facts = (is_object, (other.name, what))
                    features.append(_Feature(f"{var.name} {other.name} {what}", var.index, facts))
    return features


def _owns(thread: y.Thread, var: y.Var) -> bool:
    return var.name.startswith(f"{thread.name}.") and var.index == thread.index


def _counts(
    protocol: Protocol, features: list[_Feature], instance: Instance, states: Sequence[State], sort: str, counter: str
) -> set[tuple[tuple[tuple[int, int], ...], int]]:
    """For each state and object, how often each feature is there that is, and the counter."""
    found_rows: set[tuple[tuple[tuple[int, int], ...], int]] = set()
    statics = protocol.statics(sort)
    objects = instance.elements(sort)
    fixed: list[tuple[int, str, int]] = []  # features of the object alone: number, what, static or first slot
    # features of locals: slot, slot of the location, location; with further tests
    at: dict[tuple[int, int, int], list[tuple[int, tuple[tuple[int, str], ...]]]] = {}
    pairs: set[tuple[int, int]] = set()
    plain: list[tuple[int, int, tuple[tuple[int, str], ...]]] = []  # others: number, slot, further tests
    for number, feature in enumerate(features):
        (name, what), *more = feature.facts
        if what == "static":
            fixed.append((number, what, statics.index(name)))
        elif what in ("true", "positive"):
            fixed.append((number, what, instance.layout(name)[0]))
        else:
            for key in instance.tuples(feature.index):
                slot = instance.slot(name, key)
                if feature.thread is None:
                    plain.append((number, slot, tuple((instance.slot(v, key), w) for v, w in more)))
                else:
                    pc = instance.slot(protocol.threads[feature.thread].pc, key)
                    pairs.add((slot, pc))
                    tests = tuple((instance.slot(v, key), w) for v, w in more)
                    at.setdefault((slot, pc, feature.place), []).append((number, tests))
    base = instance.layout(counter)[0]
    for state in states:
        counts: list[dict[int, int]] = [{} for _ in objects]
        for number, what, place in fixed:
            for element in objects:
                if element == place if what == "static" else int(state[place + element]) > 0:  # type: ignore[arg-type]
                    counts[element][number] = 1
        for slot, pc in pairs:
            value = state[slot]
            if value == -1:
                continue
            for found, tests in at.get((slot, pc, state[pc]), ()):  # type: ignore[arg-type]
                if all((state[t] == -1) == (w == "null") for t, w in tests):
                    counts[value][found] = counts[value].get(found, 0) + 1  # type: ignore[index]
        for number, slot, more_tests in plain:
            value = state[slot]
            if value != -1 and all((state[t] == -1) == (w == "null") for t, w in more_tests):
                counts[value][number] = counts[value].get(number, 0) + 1  # type: ignore[index]
        for element in objects:
            found_rows.add((tuple(sorted(counts[element].items())), int(state[base + element])))  # type: ignore[arg-type]
    return found_rows


def _equation(
    protocol: Protocol, counter: y.Var, samples: Sequence[tuple[Instance, Sequence[State]]]
) -> Equation | None:
    for combined in (False, True):
        features = [f for f in _features(protocol, counter) if combined or len(f.facts) == 1]
        found = _fitted(protocol, counter, features, samples)
        if found is not None:
            return found
    return None


def _fitted(
    protocol: Protocol,
    counter: y.Var,
    features: list[_Feature],
    samples: Sequence[tuple[Instance, Sequence[State]]],
) -> Equation | None:
    (sort,) = counter.index
    rows: dict[tuple[int, ...], None] = {}
    for instance, states in samples:
        some = states[:: max(1, len(states) // _STATES)]
        for counts, value in sorted(_counts(protocol, features, instance, some, sort, counter.name)):
            met = dict(counts)
            rows[*(met.get(n, 0) for n in range(len(features))), value] = None
    # what never occurs need not be considered, nor what occurs more often than is counted
    never = {n for n in range(len(features)) if not any(row[n] for row in rows)}
    never |= {n for row in rows for n in range(len(features)) if row[n] > row[-1]}
    kept = [n for n in range(len(features)) if n not in never]
    projected = list(dict.fromkeys((*(row[n] for n in kept), row[-1]) for row in rows))
    twice = [k for k, n in enumerate(kept) if features[n].thread is not None]  # a thread may have two references
    candidates = [features[n] for n in kept]
    candidates += [replace(features[kept[k]], group=f"{features[kept[k]].group} again") for k in twice]
    weights = _weights([(*row[:-1], *(row[k] for k in twice), row[-1]) for row in projected], candidates)
    if weights is None:
        return None
    return _assembled(protocol, counter, [f for f, w in zip(candidates, weights, strict=True) if w])


def _weights(rows: list[tuple[int, ...]], features: list[_Feature]) -> list[bool] | None:
    """Which features count; None where no choice fits all rows. As few groups as can be found soon."""
    chosen = [z3.Bool(f"w{n}") for n in range(len(features))]
    groups: dict[str, z3.BoolRef] = {}
    solver = z3.SolverFor("QF_FD")
    solver.set("timeout", _MILLISECONDS)
    for n, feature in enumerate(features):
        group = groups.setdefault(feature.group, z3.Bool(f"group {feature.group}"))
        if feature.group.endswith(" again"):
            solver.add(z3.Implies(chosen[n], _first_of(feature, features, chosen)))
        solver.add(z3.Implies(chosen[n], group))
    cost = [(w, 1) for w in chosen] + [(g, 10 + 2 * name.count(" ")) for name, g in groups.items()]
    rows = sorted(rows, key=sum)
    best: list[bool] | None = None
    while solver.check() == z3.sat:
        model = solver.model()
        weights = [z3.is_true(model.eval(w, model_completion=True)) for w in chosen]
        wrong = [r for r in rows if sum(c for c, w in zip(r, weights, strict=False) if w) != r[-1]]
        for row in (*wrong[:20], *wrong[-20:]):
            solver.add(z3.PbEq([(w, c) for w, c in zip(chosen, row, strict=False) if c], row[-1]) if any(row[:-1])
                       else z3.BoolVal(row[-1] == 0))  # fmt: skip
        if not wrong:
            best = weights
            paid = sum(k for w, k in cost if z3.is_true(model.eval(w, model_completion=True)))
            solver.add(z3.PbLe(cost, paid - 1))
    return best


def _first_of(feature: _Feature, features: list[_Feature], chosen: list[z3.BoolRef]) -> z3.BoolRef:
    """That the same feature counts once already."""
    group = feature.group.removesuffix(" again")
    return chosen[features.index(replace(feature, group=group))]


def _assembled(protocol: Protocol, counter: y.Var, features: list[_Feature]) -> Equation:
    (sort,) = counter.index
    name = sort[0].lower()
    if any(p in {x.lower() for x in ("i", "j")} for p in (name,)):
        name = "o"
    subject = y.Param(name, sort)
    holders: list[Holder] = []
    by_group: dict[str, list[_Feature]] = {}
    for feature in features:
        by_group.setdefault(feature.group, []).append(feature)
    for members in by_group.values():
        like = members[0]
        index = tuple(y.Param(f"{s[0].lower()}{n + 1 if like.index.count(s) > 1 else ''}", s)
                      for n, s in enumerate(like.index))  # fmt: skip
        if any(p.name == subject.name for p in index):
            index = tuple(y.Param(f"{p.name}_{n}", p.sort) for n, p in enumerate(index))
        parts: list[y.Expr] = []
        if like.thread is not None:
            parts.append(y.At(like.thread, index, frozenset(f.place for f in members)))
        for var, what in like.facts:
            if what == "static":
                parts.append(fold.eq(subject, y.Static(sort, var)))
                continue
            type_ = protocol.vars[var].type
            match what:
                case "true":
                    parts.append(y.Read(var, (subject,), type_))
                case "positive":
                    parts.append(y.Op("gt", (y.Read(var, (subject,), type_), fold.int_lit(0))))
                case "object":
                    parts.append(fold.eq(y.Read(var, index, type_), subject))
                case _:
                    assert isinstance(type_, y.Elem)
                    same = fold.eq(y.Read(var, index, type_), y.Null(type_.sort))
                    parts.append(same if what == "null" else fold.not_(same))
        holders.append(Holder(index, fold.and_(parts)))
    return Equation(counter.name, subject, tuple(holders))


# -- what follows


def axioms(equation: Equation) -> Iterator[Clause]:
    """What clauses may use: a counter is never negative, one holder makes it 1, two make it 2."""
    counter, subject = equation.counter(), equation.object
    name = f"holders of {equation.var}"
    yield Clause((subject,), (y.Op("lt", (counter, fold.int_lit(0))),), distinct=False, name=name)
    none, one = (y.Op("le", (counter, fold.int_lit(n))) for n in (0, 1))
    for holder in equation.holders:
        yield Clause((*holder.index, subject), (holder.holds, none), distinct=False, name=name)
    for (n, a), (k, b) in combinations_with_replacement(list(enumerate(equation.holders)), 2):
        renamed = {p.name: y.Param(f"{p.name}_other", p.sort) for p in b.index}
        other = tuple(renamed.values())
        different = y.TRUE if n != k else fold.or_(fold.ne(p, q) for p, q in zip(a.index, other, strict=True))
        if different == y.FALSE:
            continue
        never = [f for f in (a.holds, fold.substitute(b.holds, renamed), different, one) if f != y.TRUE]
        yield Clause((*a.index, *other, subject), tuple(never), distinct=False, name=name)


# -- proving


def _apart(equation: Equation) -> Equation:
    """The equation with variables that no rule has."""
    subject = y.Param(f"{equation.object.name}'", equation.object.sort)
    holders = []
    for holder in equation.holders:
        renamed = {p.name: y.Param(f"{p.name}'", p.sort) for p in holder.index}
        every = {**renamed, equation.object.name: subject}
        holders.append(Holder(tuple(renamed.values()), fold.substitute(holder.holds, every)))
    return Equation(equation.var, subject, tuple(holders))


def initially(protocol: Protocol, equation: Equation) -> Iterator[Question]:
    """How the equation could be wrong at first: a counted holder too many, or another number without one."""
    equation = _apart(equation)
    limits = [first(protocol, e) for e in protocol.system.initial]
    for setup in protocol.setups or (None,):
        guard = [first(protocol, g) for g in setup.guard] if setup is not None else []
        params = list(setup.params) if setup is not None else []
        if setup is not None and setup.fault is not None:
            continue

        def then(e: y.Expr, setup: Rule | None = setup) -> y.Expr:
            return first(protocol, after(e, setup) if setup is not None else e)

        start = then(equation.counter())
        numbers = list(dict.fromkeys(e for e in fold.walk(start) if isinstance(e, y.Quant) and e.kind == "count"))
        total: y.Expr = fold.int_lit(0)
        for holder in equation.holders:
            if not holder.index:
                total = fold.add(total, _number(then(holder.holds)))
        counted = [Holder(h.index, then(h.holds)) for h in equation.holders if h.index]
        given = [*limits, *guard]
        params = [*params, equation.object]
        matches = matched(protocol, params, given, start, numbers, counted)
        for holder in counted:
            if not any(holder is m.holder for m in matches):
                yield [*params, *holder.index], [*given, holder.holds]
        for match in matches:
            yield from match.questions(params, given, start)
        without = with_number(start, dict.fromkeys(numbers, 0))
        yield params, [*given, fold.ne(without, total)]


def kept_by(equation: Equation, rule: Rule) -> Iterator[Question]:
    """How a rule could change the two sides differently."""
    equation = _apart(equation)
    counter = equation.counter()
    change: y.Expr = fold.int_lit(0)
    for holder in equation.holders:
        later = after(holder.holds, rule)
        if later == holder.holds:
            continue
        touched = list(dict.fromkeys(_touched(holder, rule)))
        if _spread(holder, rule):
            yield _elsewhere(equation, holder, rule, touched)
        for n, place in enumerate(touched):
            here = {p.name: e for p, e in zip(holder.index, place, strict=True)}
            now = fold.substitute(holder.holds, here)
            fresh = fold.and_(
                fold.or_(fold.ne(a, b) for a, b in zip(place, earlier, strict=True)) for earlier in touched[:n]
            )
            present = fold.and_(fold.ne(e, y.Null(e.type.sort)) for e in place
                                if isinstance(e.type, y.Elem) and e.type.optional)  # fmt: skip
            difference = fold.sub(_number(after(now, rule)), _number(now))
            change = fold.add(change, fold.ite(fold.and_((fresh, present)), difference, fold.int_lit(0)))
    difference = y.Op("sub", (after(counter, rule), counter), y.Int(-9, 9))
    if change == fold.int_lit(0) and after(counter, rule) == counter:
        return
    yield [*rule.params, equation.object], [*rule.guard, y.Op("ne", (difference, change))]


def _spread(holder: Holder, rule: Rule) -> bool:
    """Whether a rule may change the holder at an index that no single update names."""
    return any(_partial(holder, part, rule) for part in fold.walk(holder.holds))


def _partial(holder: Holder, part: y.Expr, rule: Rule) -> bool:
    """Whether a rule writes, anywhere, or at less than the holder's whole index, a variable that the holder reads."""
    if not isinstance(part, y.Read | y.At):
        return False
    var = part.var if isinstance(part, y.Read) else f"{part.thread}.pc"
    whole = set(holder.index) <= set(part.index)
    return any(u.var == var and (u.binders or not whole) for u in rule.updates)


def _elsewhere(equation: Equation, holder: Holder, rule: Rule, touched: list[tuple[y.Expr, ...]]) -> Question:
    """How a holder could change at an index that no single update names."""
    renamed = {p.name: y.Param(f"{p.name}'", p.sort) for p in holder.index}
    others = tuple(renamed.values())
    outside = [fold.or_(fold.ne(p, e) for p, e in zip(others, place, strict=True)) for place in touched]
    held = fold.substitute(holder.holds, renamed)
    return [*rule.params, *others, equation.object], [*rule.guard, *outside, fold.ne(held, after(held, rule))]


def _number(truth: y.Expr) -> y.Expr:
    if isinstance(truth, y.Lit):
        return fold.int_lit(int(bool(truth.value)))
    return y.Op("ite", (truth, fold.int_lit(1), fold.int_lit(0)), y.Int(0, 1))


def _touched(holder: Holder, rule: Rule) -> Iterator[tuple[y.Expr, ...]]:
    """The values of a holder's index at which a rule may change it, those of updates with binders left out."""
    if not holder.index:
        yield ()
        return
    names = [p.name for p in holder.index]
    for part in fold.walk(holder.holds):
        if not isinstance(part, y.Read | y.At):
            continue
        var = part.var if isinstance(part, y.Read) else f"{part.thread}.pc"
        for update in rule.updates:
            if update.var != var or update.binders:
                continue
            found = {
                place.name: actual for place, actual in zip(part.index, update.index, strict=True)
                if isinstance(place, y.Param)
            }  # fmt: skip
            if all(n in found for n in names):
                yield tuple(found[n] for n in names)
