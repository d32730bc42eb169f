"""Which values a variable can take at all, found without searching.

An over-approximation: starting from the initial states, every action is tried on sets of
values instead of values, until nothing is added.  The elements of a sort that are not
static are treated alike, so that what is found is the same for all of them.  It
decides how many bits a field of the packed state has, which actions can never happen, and
which tests the generated code need not make.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cached_property
from itertools import product
from typing import Final, assert_never

from checker.core.instance import Instance, State
from checker.core.memory.weak import is_weak
from checker.core.system import (
    NULL,
    Action,
    At,
    Bool,
    Elem,
    Enum,
    Expr,
    Gen,
    Int,
    Lit,
    Next,
    Null,
    Op,
    Param,
    Quant,
    Read,
    Seq,
    Static,
    Type,
)
from checker.records import dataclass

Values = frozenset[int]
"""What a scalar may be; of a sequence, what its items may be."""

ANY: Final = -1
"""In a pattern: some element that is not static."""

Pattern = tuple[int, ...]
Facts = Mapping[Expr, Values]
"""What is known of the values of some reads."""

_NO: Final = frozenset({0})
_YES: Final = frozenset({1})
_EITHER: Final = frozenset({0, 1})
_NOTHING: Final = frozenset[int]()
_MANY: Final = 4096
"""Pairs of values beyond which sums are computed from the bounds."""

_OPPOSITE: Final[Mapping[str, str]] = {"eq": "ne", "ne": "eq", "lt": "ge", "ge": "lt", "gt": "le", "le": "gt"}
_MIRRORED: Final[Mapping[str, str]] = {"eq": "eq", "ne": "ne", "lt": "gt", "gt": "lt", "le": "ge", "ge": "le"}


@dataclass(frozen=True, slots=True)
class Prepared:
    """An action for arguments of one pattern: the conjuncts that need testing, and what is known.

    With each conjunct come the facts that hold where it is tested; `facts` hold where all of
    them are true.  `never` says that they never are, but testing them may find that one has no value.
    """

    guard: tuple[tuple[Expr, Facts], ...]
    facts: Facts
    never: bool = False


class Domains:
    """The values of all variables of an Instance, from the given initial states on."""

    def __init__(self, instance: Instance, initial: Iterable[State]) -> None:
        self.instance = instance
        self._known: dict[tuple[str, Pattern], Values] = {}
        self._gen_limit = _largest_generation(instance)
        self._changed: set[str] = set()
        for (var, index), values in zip(instance.slots, zip(*initial, strict=True), strict=False):
            key = var.name, self.pattern(var.index, index)
            found: set[int] = set()
            for value in values:
                found.update(value) if isinstance(value, tuple) else found.add(int(value))
            if isinstance(var.type, Gen):
                found.update(self._declared(var.type))  # renumbering may lead to any of them
            self._known[key] = self._known.get(key, _NOTHING) | found
        self._close()

    # -- answers -------------------------------------------------------------

    def pattern(self, sorts: tuple[str, ...], index: tuple[int, ...]) -> Pattern:
        """An index with the elements that are not static made alike."""
        return tuple(
            e if e < len(self.instance.sort(sort).statics) else ANY for sort, e in zip(sorts, index, strict=True)
        )

    def of(self, var: str, index: tuple[int, ...]) -> Values:
        """The values that a variable may have at an index."""
        declared = self.instance.var(var)
        return self._known.get((var, self.pattern(declared.index, index)), _NOTHING)

    def prepared(self, action: Action, args: tuple[int, ...]) -> Prepared | None:
        """How to test an action, None if it can never happen."""
        pattern = self.pattern(tuple(p.sort for p in action.params), args)
        return self._prepared.get((action.name, pattern))

    def values(self, expr: Expr, env: Mapping[str, Values], facts: Facts) -> Values:
        """The values that an expression may have; nothing where it never has one."""
        return self._values(expr, env, facts)

    @cached_property
    def _prepared(self) -> dict[tuple[str, Pattern], Prepared]:
        found: dict[tuple[str, Pattern], Prepared] = {}
        for action in self.instance.system.actions:
            for pattern in self._patterns(tuple(p.sort for p in action.params)):
                env = self._environment(action, pattern)
                prepared = self._prepare(action, env)
                if prepared is not None:
                    found[action.name, pattern] = prepared
        return found

    # -- the fixed point -----------------------------------------------------

    def _close(self) -> None:
        cases = [
            (action, self._environment(action, pattern), self._variables(action))
            for action in self.instance.system.actions
            if action.fault is None
            for pattern in self._patterns(tuple(p.sort for p in action.params))
        ]
        changed = {var.name for var in self.instance.system.vars}
        while changed:
            self._changed = set()
            for action, env, variables in cases:
                if variables.isdisjoint(changed) and variables.isdisjoint(self._changed):
                    continue
                prepared = self._prepare(action, env)
                if prepared is not None and not prepared.never:
                    self._apply(action, env, prepared.facts)
            changed = self._changed

    def _variables(self, action: Action) -> set[str]:
        """The variables that decide what an action does."""
        found = {self.instance.thread(action.thread).pc}
        updates = ((*u.index, u.value, u.where) for u in action.updates)
        for expr in (*action.self, *action.guard, *(e for es in updates for e in es)):
            _collect(expr, found, self.instance)
        return found

    def _prepare(self, action: Action, env: Mapping[str, Values]) -> Prepared | None:
        """The guard with what is certain left out; None if it cannot be true."""
        facts: dict[Expr, Values] = {}
        itself = [self._values(i, env, facts) - {NULL} for i in action.self]
        if not all(itself):
            return None
        pc = self.instance.thread(action.thread).pc
        if action.at not in self._read(pc, itself):
            return None
        for i, values in zip(action.self, itself, strict=True):
            if isinstance(i, Read):
                facts[i] = values
        guard: list[tuple[Expr, Facts]] = []
        for conjunct in action.guard:
            truth = self._values(conjunct, env, facts)
            if truth == _NO:
                return self._never([*guard, (conjunct, dict(facts))], env)
            if truth != _YES or self._partial(conjunct, env, facts):
                guard.append((conjunct, dict(facts)))
                self._refine(conjunct, env, facts, positive=True)
                if not all(facts.values()):
                    return self._never(guard, env)
        return Prepared(tuple(guard), facts)

    def _never(self, guard: list[tuple[Expr, Facts]], env: Mapping[str, Values]) -> Prepared | None:
        """A guard that is never true: nothing, unless testing it may find that something has no value."""
        if any(self._partial(conjunct, env, facts) for conjunct, facts in guard):
            return Prepared(tuple(guard), {}, never=True)
        return None

    def _apply(self, action: Action, env: Mapping[str, Values], facts: Facts) -> None:
        for update in action.updates:
            for elements in product(*(self._representatives(b.sort) for b in update.binders)):
                bound = {**env, **{b.name: e for b, e in zip(update.binders, elements, strict=True)}}
                if self._values(update.where, bound, facts) == _NO:
                    continue
                value = self._values(update.value, bound, facts) & self._declared(self.instance.var(update.var).type)
                self._join(update.var, [self._values(i, bound, facts) for i in update.index], value)
        pc = self.instance.thread(action.thread).pc
        self._join(pc, [self._values(i, env, facts) - {NULL} for i in action.self], frozenset({action.to}))

    def _join(self, var: str, index: list[Values], values: Values) -> None:
        for key in self._keys(var, index):
            old = self._known.get(key, _NOTHING)
            if not values <= old:
                self._known[key] = old | values
                self._changed.add(var)

    # -- expressions ---------------------------------------------------------

    def _values(self, expr: Expr, env: Mapping[str, Values], facts: Facts) -> Values:
        match expr:
            case Lit(value):
                return frozenset(value) if isinstance(value, tuple) else frozenset({int(value)})
            case Static(sort, name):
                return frozenset({self.instance.sort(sort).statics.index(name)})
            case Null():
                return frozenset({NULL})
            case Param(name):
                return env[name]
            case Read(var, index):
                known = facts.get(expr)
                return known if known is not None else self._read(var, [self._values(i, env, facts) for i in index])
            case At(thread, index, locations):
                pcs = self._read(self.instance.thread(thread).pc, [self._values(i, env, facts) for i in index])
                return frozenset(int(pc in locations) for pc in pcs)
            case Next(body):
                return self._values(body, env, {})
            case Quant(kind, name, sort, body):
                return self._quantified(kind, [
                    (e, self._values(body, {**env, name: e}, facts)) for e in self._representatives(sort)
                ])  # fmt: skip
            case Op(operator, args):
                return self._operation(operator, expr, [self._values(arg, env, facts) for arg in args])
            case _:
                assert_never(expr)

    def _quantified(self, kind: str, cases: list[tuple[Values, Values]]) -> Values:
        bodies = [truth for _, truth in cases]
        if kind == "count":
            least = sum(len(e) for e, truth in cases if truth == _YES)
            return frozenset(range(least, least + sum(len(e) for e, truth in cases if truth > _NO or not truth) + 1))
        decides, other = (_NO, _YES) if kind == "forall" else (_YES, _NO)
        if any(body == decides for body in bodies):
            return decides
        return other if all(body == other for body in bodies) else _EITHER

    def _operation(self, operator: str, op: Op, args: list[Values]) -> Values:
        match operator:
            case "not":
                return frozenset(1 - v for v in args[0])
            case "and":
                return _NO if _NO in args else _YES if all(a == _YES for a in args) else _EITHER
            case "or":
                return _YES if _YES in args else _NO if all(a == _NO for a in args) else _EITHER
            case "implies":
                if args[0] == _NO or args[1] == _YES:
                    return _YES
                return _NO if args[0] == _YES and args[1] == _NO else _EITHER
            case "ite":
                if args[0] == _YES:
                    return args[1]
                return args[2] if args[0] == _NO else args[1] | args[2]
            case "eq" | "ne" | "lt" | "le" | "gt" | "ge":
                return _EITHER if isinstance(op.args[0].type, Seq) else _compared(operator, args[0], args[1])
            case "add" | "sub":
                return _sums(args[0], args[1] if operator == "add" else frozenset(-v for v in args[1]))
            case "neg":
                return frozenset(-v for v in args[0])
            case "len":
                kind = op.args[0].type
                return frozenset(range((kind.capacity if isinstance(kind, Seq) else 0) + 2))
            case "get" | "tail":
                return args[0]
            case "push":
                return args[0] | args[1]
            case _:  # contains
                return _EITHER if args[0] & args[1] else _NO

    def _read(self, var: str, index: list[Values]) -> Values:
        found = _NOTHING
        for key in self._keys(var, index):
            found |= self._known.get(key, _NOTHING)
        return found

    def _partial(self, expr: Expr, env: Mapping[str, Values], facts: Facts) -> bool:
        """Whether an expression may have no value."""
        match expr:
            case Read(_, index) | At(_, index):
                return any(NULL in self._values(i, env, facts) or self._partial(i, env, facts) for i in index)
            case Op(operator, args):
                return operator == "get" or any(self._partial(arg, env, facts) for arg in args)
            case Quant(_, name, sort, body):
                return any(self._partial(body, {**env, name: e}, facts) for e in self._representatives(sort))
            case _:
                return False

    def _refine(self, expr: Expr, env: Mapping[str, Values], facts: dict[Expr, Values], *, positive: bool) -> None:
        """Add what the truth (or falsity) of an expression says about single reads."""
        match expr:
            case Read():
                facts[expr] = _YES if positive else _NO
            case Op("not", (body,)):
                self._refine(body, env, facts, positive=not positive)
            case Op("and", args) if positive:
                for arg in args:
                    self._refine(arg, env, facts, positive=True)
            case Op("or", args) if not positive:
                for arg in args:
                    self._refine(arg, env, facts, positive=False)
            case Op("eq" | "ne" | "lt" | "le" | "gt" | "ge" as operator, (left, right)):
                if isinstance(left.type, Seq):
                    return
                sign = operator if positive else _OPPOSITE[operator]
                self._compare(sign, left, self._values(right, env, facts), env, facts)
                self._compare(_MIRRORED[sign], right, self._values(left, env, facts), env, facts)
            case _:
                pass

    def _compare(
        self, sign: str, side: Expr, other: Values, env: Mapping[str, Values], facts: dict[Expr, Values]
    ) -> None:
        shift = 0
        match side:
            case Op("add", (Read() as read, Lit(int(k)))):
                side, shift = read, k
            case Op("sub", (Read() as read, Lit(int(k)))):
                side, shift = read, -k
            case _:
                pass
        if isinstance(side, Read) and other:
            values = self._values(side, env, facts)
            facts[side] = frozenset(v for v in values if 1 in _compared(sign, frozenset({v + shift}), other))

    # -- sorts ---------------------------------------------------------------

    def _representatives(self, sort: str) -> list[Values]:
        """Each static element, and all others at once."""
        statics = [frozenset({n}) for n in range(len(self.instance.sort(sort).statics))]
        objects = frozenset(self.instance.objects(sort))
        return [*statics, *([objects] if objects else [])]

    def _patterns(self, sorts: tuple[str, ...]) -> Iterable[Pattern]:
        return product(
            *([*range(len(self.instance.sort(s).statics)), *([ANY] if self.instance.objects(s) else [])] for s in sorts)
        )

    def _environment(self, action: Action, pattern: Pattern) -> dict[str, Values]:
        return {
            p.name: frozenset(self.instance.objects(p.sort)) if e == ANY else frozenset({e})
            for p, e in zip(action.params, pattern, strict=True)
        }

    def _keys(self, var: str, index: list[Values]) -> Iterable[tuple[str, Pattern]]:
        choices = []
        for sort, values in zip(self.instance.var(var).index, index, strict=True):
            statics = len(self.instance.sort(sort).statics)
            choices.append({v if v < statics else ANY for v in values if v != NULL})
        return ((var, pattern) for pattern in product(*choices))

    def _declared(self, kind: Type) -> Values:
        """The values of a type, or of its items."""
        match kind:
            case Seq(element):
                return self._declared(element)
            case Gen():
                return frozenset(range(-1, self._gen_limit + 1))
            case Bool() | Int() | Enum() | Elem():
                return self._scalars(kind)
            case _:
                assert_never(kind)

    def _scalars(self, kind: Bool | Int | Enum | Elem) -> Values:
        match kind:
            case Bool():
                return _EITHER
            case Int(lo, hi):
                return frozenset(range(lo, hi + 1))
            case Enum(_, members):
                return frozenset(range(len(members)))
            case Elem(sort, optional):
                return frozenset(self.instance.elements(sort)) | (frozenset({NULL}) if optional else _NOTHING)
            case _:
                assert_never(kind)


def _largest_generation(instance: Instance) -> int:
    """A bound on the numbers of all generations: none of a family is further from the smallest than 2 per member."""
    copies = max(
        (
            sum(1 for copy, _ in family.copies for _ in instance.tuples(instance.var(copy).index))
            for family in instance.system.families
        ),
        default=0,
    )
    if is_weak(instance):  # each may be kept by several messages, and one more while a step is made
        copies = (copies + 1) * ((instance.system.history or 0) + 1)
    return 2 + 2 * copies


def _collect(expr: Expr, found: set[str], instance: Instance) -> None:
    match expr:
        case Read(var, index):
            found.add(var)
            for part in index:
                _collect(part, found, instance)
        case At(thread, index):
            found.add(instance.thread(thread).pc)
            for part in index:
                _collect(part, found, instance)
        case Op(_, args):
            for part in args:
                _collect(part, found, instance)
        case Quant(_, _, _, body) | Next(body):
            _collect(body, found, instance)
        case _:
            pass


def _compared(operator: str, left: Values, right: Values) -> Values:
    if not left or not right:
        return _EITHER
    match operator:
        case "eq" | "ne":
            equal = _EITHER if left & right else _NO
            if len(left) == 1 and left == right:
                equal = _YES
            return equal if operator == "eq" else frozenset(1 - v for v in equal)
        case "lt":
            return _YES if max(left) < min(right) else _NO if min(left) >= max(right) else _EITHER
        case "le":
            return _YES if max(left) <= min(right) else _NO if min(left) > max(right) else _EITHER
        case "gt":
            return _compared("lt", right, left)
        case _:
            return _compared("le", right, left)


def _sums(left: Values, right: Values) -> Values:
    if not left or not right:
        return _NOTHING
    if len(left) * len(right) > _MANY:
        return frozenset(range(min(left) + min(right), max(left) + max(right) + 1))
    return frozenset(a + b for a in left for b in right)
