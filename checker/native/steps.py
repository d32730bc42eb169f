"""The actions of an Instance as C: for each thread instance a switch over its locations."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import field
from itertools import product

from checker.core.instance import Instance
from checker.core.path import Choice
from checker.core.system import NULL, Action, Expr, Read, Seq, Thread, Update
from checker.native.domains import Facts, Prepared, Values
from checker.native.expressions import Code, Emitter, Env, among, conjunction, known, mask, regular
from checker.native.layout import WORD, Field
from checker.records import dataclass

_ALL = (1 << WORD) - 1


@dataclass(frozen=True, slots=True)
class Rule:
    """An action with its arguments; its number is its position among all of them."""

    choice: Choice
    action: Action


def rules_of(instance: Instance) -> tuple[Rule, ...]:
    """Every action with every arguments, in the order of the semantics."""
    return tuple(
        Rule(Choice(action.name, args), action)
        for action in instance.system.actions
        for args in instance.tuples(tuple(param.sort for param in action.params))
    )


@dataclass(frozen=True, slots=True)
class Branch:
    """A rule at its location: what must hold, and the statements that make the step, or put it off."""

    number: int
    env: Env
    guard: tuple[Code, ...]
    body: tuple[str, ...]
    late: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Steps:
    """A function that lists the steps of one thread instance, and when these are all that need be explored."""

    text: str
    solitary: Code


@dataclass(slots=True)
class _Group:
    """The rules of one thread instance, by their locations."""

    pc: Code
    present: Code
    solitary: Code
    locations: dict[int, list[Branch]] = field(default_factory=dict)


class StepWriter:
    """Writes the function that lists the successors of a state."""

    renumbers = True
    """Whether generations are numbered anew by the steps that set some."""

    def __init__(self, emitter: Emitter, solitary: Mapping[str, frozenset[int]]) -> None:
        self.group_of: dict[int, int] = {}
        """The number of the function that a rule is in."""
        self._emit = emitter
        self._instance = emitter.instance
        self._layout = emitter.layout
        self._solitary = solitary
        self._generations = {
            var
            for family in self._instance.system.families
            for var in (family.head, *(name for pair in family.copies for name in pair if name))
        }

    def functions(self, rules: tuple[Rule, ...]) -> list[Steps]:
        """The definitions of `step_0`, `step_1`, ...: the steps of one thread instance each."""
        groups: dict[tuple[str, tuple[str, ...]], _Group] = {}
        for number, rule in enumerate(rules):
            prepared = self._emit.domains.prepared(rule.action, rule.choice.args)
            if prepared is not None:
                self._place(number, rule, prepared, groups)
        return [
            Steps(
                "\n".join([f"/* {thread}[{', '.join(index)}] */", *self._function(number, group)]) + "\n",
                group.solitary,
            )
            for number, ((thread, index), group) in enumerate(groups.items())
        ]

    def _function(self, number: int, group: _Group) -> Iterator[str]:
        yield f"void step_{number}(const struct state *from, struct sink *x)"
        yield "{"
        words = ", ".join(f"from->w[{n}]" for n in range(self._layout.words))
        yield f"\tconst uint64_t s[LZ_WORDS] = {{{words}}};"
        yield "\tstruct trouble trouble = {false, false};"
        yield ""
        if group.present.value is None:
            yield f"\tif (!{group.present.text})"
            yield "\t\treturn;"
        yield f"\tswitch ({group.pc.text}) {{"
        for location, branches in sorted(group.locations.items()):
            yield f"\tcase {location}:"
            yield from self.case(branches)
            yield "\t\tbreak;"
        yield "\t}"
        yield "\tx->undefined |= trouble.undefined;"
        yield "\tx->outgrown |= trouble.outgrown;"
        yield "}"

    def _place(
        self, number: int, rule: Rule, prepared: Prepared, groups: dict[tuple[str, tuple[str, ...]], _Group]
    ) -> None:
        action, emit = rule.action, self._emit
        env = {param.name: e for param, e in zip(action.params, rule.choice.args, strict=True)}
        guard: list[Code] = []
        for conjunct, facts in prepared.guard:
            code = emit.expression(conjunct, env, facts)
            if code.value is None:
                guard.append(code)
            elif not code.value:
                if not any(part.partial for part in guard):
                    return
                guard.append(code)
                break
        itself = [emit.expression(i, env, {}) for i in action.self]
        optional: list[Code] = []
        for code, i in zip(itself, action.self, strict=True):
            if code.value is None and NULL in emit.values(i, env, {}):
                optional.append(Code(f"({code.text} >= 0)", None, "", code.partial))
            elif code.value == NULL:
                return
        thread = self._instance.thread(action.thread)
        there: dict[Expr, frozenset[int]] = {
            i: emit.values(i, env, {}) - {NULL} for i in action.self if isinstance(i, Read)
        }
        key = action.thread, tuple(code.text for code in itself)
        if key not in groups:
            pc = emit.read(thread.pc, action.self, env, there, "s")
            alone = self._solitary.get(action.thread, frozenset()) if all(c.value is not None for c in itself) else ()
            solitary = among(pc, frozenset(alone), len(thread.locations)) if alone else known(0)
            groups[key] = _Group(pc, conjunction(optional), solitary)
        self.group_of[number] = list(groups).index(key)
        late: list[str] = []
        if prepared.never:
            body = []
        elif action.fault is None:
            body = self._transition(number, action, env, prepared.facts)
            late = self.put_off(number, action, env, prepared.facts)
        else:
            body = self.fault(number, env)
        branch = Branch(number, env, tuple(guard), tuple(body), tuple(late))
        groups[key].locations.setdefault(action.at, []).append(branch)

    # -- what becomes of a step; the weak memory model does more

    def case(self, branches: list[Branch]) -> Iterator[str]:
        """The steps from one place of a text."""
        yield from nest(branches, 0, 2)

    def put(self, number: int, env: Env) -> list[str]:
        """The statements that take the successor `n` of a step."""
        return [f"model_put(x, {number}, n);"]

    def fault(self, number: int, env: Env) -> list[str]:
        """The statements that take a fault."""
        return [f"sink_fault(x, {number});"]

    def put_off(self, number: int, action: Action, env: Env, facts: Facts) -> list[str]:
        """The statements that put a step off, where that is possible."""
        return []

    # -- updates -------------------------------------------------------------

    def _transition(self, number: int, action: Action, env: Env, facts: Facts) -> list[str]:
        successor = Successor(self._emit)
        written: set[str] = set()
        for update in action.updates:
            written.add(update.var)
            for elements in self._instance.tuples(tuple(binder.sort for binder in update.binders)):
                bound = {**env, **{b.name: e for b, e in zip(update.binders, elements, strict=True)}}
                inner = facts if not any(b.name in env for b in update.binders) else {}
                where = self._emit.expression(update.where, bound, inner)
                if where.value is None:
                    successor.conditional(where, update, bound, inner)
                elif where.value:
                    successor.assign(update, bound, inner)
        thread: Thread = self._instance.thread(action.thread)
        if action.at != action.to or thread.pc in written:
            successor.move(thread, action, env, facts)
        lines = successor.lines()
        if self.renumbers and not written.isdisjoint(self._generations):
            lines.append("model_renumber(&n);")
        return ["{", *("\t" + line for line in (*lines, *self.put(number, env))), "}"]


class Successor:
    """The statements that make the successor `n` from `s`.

    Assignments to known places are gathered into one expression per word; what depends on
    the state becomes a statement of its own.
    """

    def __init__(self, emit: Emitter) -> None:
        self._emit = emit
        self._layout = emit.layout
        self._pending: dict[int, tuple[Field, Code | str]] = {}  # by position
        self._lines: list[str] = []

    def assign(self, update: Update, env: Env, facts: Facts) -> None:
        """`var[index] := value`."""
        value = self._emit.expression(update.value, env, facts)
        values = frozenset({value.value}) if value.value is not None else self._emit.values(update.value, env, facts)
        self._write(update.var, update.index, value, values, env, facts)

    def conditional(self, where: Code, update: Update, env: Env, facts: Facts) -> None:
        """The same where a condition holds."""
        inside = Successor(self._emit)
        inside.assign(update, env, facts)
        self._flush()
        self._lines += [f"if ({where.text}) {{", *("\t" + line for line in inside._statements()), "}"]

    def move(self, thread: Thread, action: Action, env: Env, facts: Facts) -> None:
        """The thread instance goes to where the action ends."""
        there = dict(facts)
        for i in action.self:
            if isinstance(i, Read):
                there[i] = self._emit.values(i, env, facts) - {NULL}
        self._write(thread.pc, action.self, known(action.to), frozenset({action.to}), env, there)

    def lines(self) -> list[str]:
        """All statements, the declaration of `n` first."""
        words = range(self._layout.words)
        if self._lines:
            self._flush()
            start = ", ".join(f"s[{n}]" for n in words)
            return [f"struct state n = {{{{{start}}}}};", *self._lines]
        return [f"struct state n = {{{{{', '.join(self._gathered(n, 's') for n in words)}}}}};"]

    def _statements(self) -> list[str]:
        self._flush()
        return self._lines

    def _flush(self) -> None:
        for word in sorted({position // WORD for position in self._pending}):
            self._lines.append(f"n.w[{word}] = {self._gathered(word, 'n.w')};")
        self._pending.clear()

    def _gathered(self, word: int, base: str) -> str:
        clear = constant = 0
        terms: list[str] = []
        for position, (at, value) in self._pending.items():
            if position // WORD != word:
                continue
            shift = position % WORD
            clear |= ((1 << at.bits) - 1) << shift
            if isinstance(value, Code) and value.value is not None:
                constant |= (value.value - at.lo) << shift
            else:
                text = value if isinstance(value, str) else _biased(value, at.lo)
                terms.append(f"{text} << {shift}" if shift else text)
        if not clear:
            return f"{base}[{word}]"
        parts = [f"({base}[{word}] & UINT64_C({hex(_ALL & ~clear)}))"] if clear != _ALL else []
        parts += [f"UINT64_C({hex(constant)})"] if constant else []
        return " | ".join([*parts, *terms]) or "0"

    def _write(self, var: str, index: tuple[Expr, ...], value: Code, values: Values, env: Env, facts: Facts) -> None:
        codes, choices, optional = self._emit.candidates(var, index, env, facts, "s")
        if not all(choices) or any(code.value == NULL for code in codes):
            self._flush()
            self._lines.append("trouble.undefined = true;")
            return
        fields = {at: self._layout.field(var, at) for at in product(*choices)}
        kind = self._emit.instance.var(var).type
        first = next(iter(fields.values()))
        stored: Code | str = value
        if isinstance(kind, Seq):
            how = self._layout.packing(kind)
            if value.text != "UINT64_C(0)":
                self._guard(f"seq_len({value.text}) > {how.capacity}")
            stored = f"seq_store({value.text}, {how.capacity * how.bits})"
        else:
            lowest = max(min(f.values, default=0) for f in fields.values())
            highest = min(max(f.values, default=0) for f in fields.values())
            stored = self._checked(value, values, lowest, highest)
        for code in codes:
            if code.partial:
                self._lines.append(f"(void){code.text};")
        if value.partial and (not first.bits or first.position in self._pending):
            self._lines.append(f"(void){value.text};")
        if len(fields) == 1 and not optional:
            if first.bits:
                self._pending[first.position] = first, stored
            return
        self._flush()
        if optional:
            absent = " || ".join(f"{c.text} < 0" for c in codes if c.value is None)
            self._lines += [f"if ({absent})", "\ttrouble.undefined = true;", "else {"]
            self._lines += ["\t" + line for line in self._dispatch(var, codes, choices, stored)]
            self._lines.append("}")
        else:
            self._lines += self._dispatch(var, codes, choices, stored)

    def _guard(self, bad: str) -> None:
        self._flush()
        self._lines += [f"if (LZ_UNLIKELY({bad}))", "\ttrouble.outgrown = true;"]

    def _checked(self, value: Code, values: Values, lowest: int, highest: int) -> Code:
        """A value; where it may be outside its range, that is reported."""
        if all(lowest <= v <= highest for v in values):
            return value
        if value.value is not None:
            self._guard("true")
            return known(lowest)
        outside = f"{value.text} < {lowest} || {value.text} > {highest}"
        self._guard(outside)
        return Code(f"({outside} ? {lowest} : {value.text})")

    def _dispatch(self, var: str, codes: list[Code], choices: list[list[int]], value: Code | str) -> list[str]:
        """Statements that write a field whose index is known only when they run."""
        fields = {at: self._layout.field(var, at) for at in product(*choices)}
        first = next(iter(fields.values()))
        position = str(first.position % WORD) if len(fields) == 1 else regular(fields, codes, choices)
        if len(fields) == 1 and not first.bits:
            return []
        if position is not None:
            word = f"n.w[{first.position // WORD}]"
            text = value if isinstance(value, str) else _biased(value, first.lo)
            ones = f"(uint64_t){mask(first.bits)}"
            return [f"{word} = ({word} & ~({ones} << {position})) | {text} << {position};"]
        part = next(n for n, options in enumerate(choices) if len(options) > 1)
        lines: list[str] = []
        for n, e in enumerate(choices[part]):
            inside = self._dispatch(var, codes, [*choices[:part], [e], *choices[part + 1 :]], value)
            lines.append(f"{'else ' if n else ''}if ({codes[part].text} == {e}) {{")
            lines += ["\t" + line for line in inside]
            lines.append("}")
        return lines


def _biased(value: Code, lo: int) -> str:
    """A value as its field holds it."""
    if value.value is not None:
        return f"UINT64_C({value.value - lo})"
    # reading a field and writing a like one: without the way over the value
    if lo < 0 and value.text.startswith("((int)(") and value.text.endswith(f") - {-lo})"):
        inner = value.text[7 : -len(f") - {-lo})")]
        if _balanced(inner):
            return f"({inner})"
    bias = f"{value.text} - {lo}" if lo > 0 else f"{value.text} + {-lo}" if lo else value.text
    return f"(uint64_t)({bias})"


def _balanced(text: str) -> bool:
    depth = 0
    for char in text:
        depth += (char == "(") - (char == ")")
        if depth < 0:
            return False
    return depth == 0


def nest(branches: list[Branch], depth: int, indent: int) -> Iterator[str]:
    """Nested conditions, shared by all branches whose guards begin alike.

    The order of the branches does not matter: nothing that a branch tests is changed by another.
    """
    margin = "\t" * indent
    tests: dict[str, Code] = {}
    groups: dict[str, list[Branch]] = {}
    for branch in branches:
        if depth == len(branch.guard):
            yield from (margin + line for line in branch.body)
        else:
            test = branch.guard[depth]
            tests[test.text] = test
            groups.setdefault(test.text, []).append(branch)
    while groups:
        text = next(iter(groups))
        test = tests[text]
        yield f"{margin}if ({text}) {{"
        yield from nest(groups.pop(text), depth + 1, indent + 1)
        opposite = groups.pop(test.negated().text, None)
        if opposite is not None and not test.partial:
            yield margin + "} else {"
            yield from nest(opposite, depth + 1, indent + 1)
        elif opposite is not None:
            yield f"{margin}}} if ({test.negated().text}) {{"
            yield from nest(opposite, depth + 1, indent + 1)
        yield margin + "}"
