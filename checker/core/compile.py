"""The fast path of the semantics: an Instance as generated Python.

One function per thread instance and location tries the actions that can start
there, with all parameters substituted.  What it computes is what `semantics` says,
transition by transition and in the same order; tests compare the two.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import field
from typing import Final, cast

from checker.core import semantics
from checker.core.emit import Code, Emitter, among, conjunction, disjunction, known, position
from checker.core.instance import Instance, State
from checker.core.path import Choice
from checker.core.system import Action, Elem, Expr, Fault, ThreadKind, Value
from checker.records import dataclass

Transition = tuple[int, State | None]
"""The number of a choice, and the state it leads to: None for a fault."""

Predicate = Callable[[State], bool]
StepPredicate = Callable[[State, State], bool]


@dataclass(frozen=True, slots=True)
class Rule:
    """An action with its arguments; its number is its position in `Program.rules`."""

    choice: Choice
    action: Action
    fault: Fault | None


class Program:
    """The compiled transition relation of an Instance.

    `rules` holds every action with every arguments, in the order of `semantics.enabled`.
    """

    def __init__(self, instance: Instance) -> None:
        self.instance = instance
        self.rules = tuple(_rules(instance))
        self._emitter = Emitter(instance)
        writer = _Writer(instance, self._emitter)
        self.source: Final = writer.module(self.rules)
        namespace = self._run(self.source)
        self._successors = cast(Callable[[State], list[Transition]], namespace["successors"])
        self.final = cast(Predicate, namespace["final"])
        """Whether having no successor is no deadlock in a state."""

    @property
    def successors(self) -> Callable[[State], list[Transition]]:
        """All transitions from a state, faults included, by ascending number.

        Raises IndexError where the semantics raises UndefinedRead; see `explain`.
        """
        return self._successors

    def initial(self) -> Iterator[State]:
        """The initial states, in the order of the semantics."""
        return semantics.initial_states(self.instance)

    def predicate(self, expr: Expr) -> Predicate:
        """Whether an expression is true in a state; one without a value is not."""
        return cast(Predicate, self._predicate("s", [expr]))

    def all_hold(self, exprs: Iterable[Expr]) -> Predicate:
        """Whether all of the expressions are true in a state."""
        return cast(Predicate, self._predicate("s", exprs))

    def all_hold_over(self, exprs: Iterable[Expr]) -> StepPredicate:
        """Whether all of the expressions are true of a state and its successor."""
        return cast(StepPredicate, self._predicate("s, t", exprs))

    def compiled(self, exprs: Iterable[Expr], env: Mapping[str, int]) -> Callable[[State], tuple[Value, ...]]:
        """The values of some expressions in a state; IndexError where one has none."""
        texts = [self._emitter.expression(expr, env).text for expr in exprs]
        source = f"def values(s):\n    return ({''.join(text + ', ' for text in texts)})\n"
        return cast("Callable[[State], tuple[Value, ...]]", self._run(source)["values"])

    def explain(self, state: State) -> None:
        """Raise the UndefinedRead that made `successors` fail with an IndexError in this state."""
        for choice in semantics.enabled(self.instance, state):
            if self.instance.action(choice.action).fault is None:
                semantics.apply(self.instance, state, choice)

    def _canonicaliser(self) -> Callable[[list[Value]], None]:
        """What numbers the generations of a new state anew, in place."""
        return _canonicaliser(self.instance)

    def _predicate(self, parameters: str, exprs: Iterable[Expr]) -> object:
        code = conjunction([self._emitter.expression(expr, {}) for expr in exprs])
        lines = _function("predicate", parameters, code)
        return self._run("\n".join(lines))["predicate"]

    def _run(self, source: str) -> dict[str, object]:
        namespace: dict[str, object] = {"position": position, **self._emitter.tables}
        if self.instance.system.families:
            namespace["canon"] = self._canonicaliser()
        exec(compile(source, f"<{self.instance.system.name}>", "exec"), namespace)
        return namespace


def compile_instance(instance: Instance) -> Program:
    """Generate and load the transition relation of an Instance."""
    return Program(instance)


def _rules(instance: Instance) -> Iterator[Rule]:
    for action in instance.system.actions:
        for args in instance.tuples(tuple(param.sort for param in action.params)):
            yield Rule(Choice(action.name, args), action, action.fault)


def _function(name: str, parameters: str, code: Code) -> list[str]:
    if not code.partial:
        return [f"def {name}({parameters}):", f"    return {code.text}"]
    return [
        f"def {name}({parameters}):",
        "    try:",
        f"        return {code.text}",
        "    except IndexError:",
        "        return False",
    ]


# -- actions -----------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Branch:
    """A rule at its location: what must hold, and the statements that make the transition."""

    guard: tuple[Code, ...]
    body: tuple[str, ...]


@dataclass(slots=True)
class _Group:
    """The rules of one thread instance, known by the source of its index, by their locations."""

    pc: Code
    present: Code
    locations: dict[int, list[_Branch]] = field(default_factory=dict)


class _Writer:
    """Writes the module that `Program` loads."""

    def __init__(self, instance: Instance, emitter: Emitter) -> None:
        self._instance = instance
        self._emitter = emitter
        self._generations = {
            var
            for family in instance.system.families
            for var in (family.head, *(name for pair in family.copies for name in pair))
        }

    def module(self, rules: tuple[Rule, ...]) -> str:
        """Definitions of `successors(s)` and `final(s)`."""
        groups: dict[tuple[str, tuple[str, ...]], _Group] = {}
        for number, rule in enumerate(rules):
            self._place(number, rule, groups)
        lines: list[str] = ["def nothing(s, add):", "    pass"]
        calls: list[str] = []
        for g, ((thread, _), group) in enumerate(groups.items()):
            entries = ["nothing"] * len(self._instance.thread(thread).locations)
            for location, branches in sorted(group.locations.items()):
                entries[location] = f"at{g}_{location}"
                lines += [f"def at{g}_{location}(s, add):", *_nest(branches, 0, 1)]
            lines.append(f"L{g} = ({', '.join(entries)},)")
            call = f"L{g}[s[{group.pc.text}]](s, add)"
            calls.append(call if group.present.value else f"if {group.present.text}: {call}")
        lines += ["def successors(s):", "    out = []", "    add = out.append"]
        lines += ["    " + call for call in calls]
        if len(calls) > 1:
            lines += ["    if len(out) > 1: out.sort()"]
        lines += ["    return out", *self._final()]
        return "\n".join(lines) + "\n"

    def _place(self, number: int, rule: Rule, groups: dict[tuple[str, tuple[str, ...]], _Group]) -> None:
        action, emit = rule.action, self._emitter
        env = semantics.environment(action, rule.choice)
        guard: list[Code] = []
        for conjunct in action.guard:
            code = emit.expression(conjunct, env)
            if code.value is None:
                guard.append(code)
            elif not code.value:
                if not any(part.partial for part in guard):
                    return
                guard.append(code)  # never enabled, but what stands before may have no value
                break
        itself = [emit.expression(i, env) for i in action.self]
        optional = [
            code if code.value is not None else Code(f"({code.text} >= 0)", None, code.partial)
            for code, i in zip(itself, action.self, strict=True)
            if code.value == -1 or (code.value is None and not (isinstance(i.type, Elem) and not i.type.optional))
        ]
        if any(code.value is not None for code in optional):
            return  # nobody is there
        pc = emit.slot(self._instance.thread(action.thread).pc, action.self, env)
        group = groups.setdefault(
            (action.thread, tuple(code.text for code in itself)), _Group(pc, conjunction(optional))
        )
        if rule.fault is None:
            body = self._transition(number, action, env, pc)
        else:
            body = [f"add(({number}, None))"]
        group.locations.setdefault(action.at, []).append(_Branch(tuple(guard), tuple(body)))

    def _transition(self, number: int, action: Action, env: dict[str, int], pc: Code) -> list[str]:
        lines = ["n = [*s]"]
        written = set()
        for update in action.updates:
            for elements in self._instance.tuples(tuple(binder.sort for binder in update.binders)):
                bound = {**env, **{b.name: e for b, e in zip(update.binders, elements, strict=True)}}
                where = self._emitter.expression(update.where, bound)
                if where.value is not None and not where.value:
                    continue
                slot = self._emitter.slot(update.var, update.index, bound)
                value = self._emitter.expression(update.value, bound)
                condition = "" if where.value is not None else f"if {where.text}: "
                lines.append(f"{condition}n[{slot.text}] = {value.text}")
                written.add(update.var)
        if action.at != action.to or self._instance.thread(action.thread).pc in written:
            lines.append(f"n[{pc.text}] = {action.to}")
        if not written.isdisjoint(self._generations):
            lines.append("canon(n)")
        if len(lines) == 1:
            return [f"add(({number}, s))"]
        return [*lines, f"add(({number}, tuple(n)))"]

    def _final(self) -> list[str]:
        ended: list[Code] = []
        for thread in self._instance.system.threads:
            if thread.kind is ThreadKind.HARDWARE:
                continue
            resting = thread.ended
            if thread.kind in (ThreadKind.INTERRUPT, ThreadKind.NMI):
                resting = frozenset({thread.start})
            for index in self._instance.tuples(thread.index):
                pc = f"s[{self._instance.slot(thread.pc, index)}]"
                ended.append(Code(among(pc, resting)) if resting else known(False))
        rest = conjunction(ended)
        lines = _function("rest", "s", rest)
        if self._instance.system.final is None:
            return [*lines, "final = rest"]
        declared = self._emitter.expression(self._instance.system.final, {})
        lines += _function("declared", "s", declared)
        return [*lines, *_function("final", "s", disjunction([Code("declared(s)"), Code("rest(s)")]))]


def _nest(branches: list[_Branch], depth: int, indent: int) -> Iterator[str]:
    """Nested conditions for consecutive branches that share the beginnings of their guards."""
    margin = "    " * indent
    before: Code | None = None
    i = 0
    while i < len(branches):
        branch = branches[i]
        if depth == len(branch.guard):
            yield from (margin + line for line in branch.body)
            before, i = None, i + 1
            continue
        test = branch.guard[depth]
        j = i + 1
        while j < len(branches) and len(branches[j].guard) > depth and branches[j].guard[depth].text == test.text:
            j += 1
        if before is not None and test.text == before.negated().text:
            yield margin + "else:"
            before = None
        else:
            yield margin + f"if {test.text}:"
            before = test
        yield from _nest(branches[i:j], depth + 1, indent + 1)
        i = j


# -- generations -------------------------------------------------------------


def _canonicaliser(instance: Instance) -> Callable[[list[Value]], None]:
    """`semantics.canonical`, in place."""
    heads: list[tuple[int, int, tuple[tuple[int, int | None], ...]]] = []
    for family in instance.system.families:
        copies = tuple(
            (instance.slot(copy, at), None if of is None else instance.slot(of, at))
            for copy, of in family.copies
            for at in instance.tuples(instance.var(copy).index)
        )
        for index in instance.tuples(instance.var(family.head).index):
            heads.append((instance.slot(family.head, index), index[0] if index else 0, copies))

    def canon(n: list[Value]) -> None:
        numbers = cast(list[int], n)
        for head, element, copies in heads:
            members = [head]
            for copy, of in copies:
                if numbers[copy] if of is None else numbers[of] == element:
                    members.append(copy)
            renumbered = semantics.squeeze({numbers[slot] for slot in members})
            for slot in members:
                numbers[slot] = renumbered[numbers[slot]]

    return canon
