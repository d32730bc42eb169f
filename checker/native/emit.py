"""An Instance as C: what runtime/state.h asks of the generated part of a model."""

from __future__ import annotations

import os
import struct
from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import chain
from typing import cast

from checker.core.independence import solitary_locations
from checker.core.instance import Instance, State
from checker.core.memory.weak import is_weak
from checker.core.system import Expr, GenFamily, Property, PropertyKind, ThreadKind
from checker.native.domains import Domains
from checker.native.expressions import Code, Emitter, among, conjunction, disjunction, known, raw
from checker.native.layout import Layout, Unsupported
from checker.native.steps import Rule, StepWriter, rules_of
from checker.native.symmetry import Canonicaliser
from checker.native.weak import WeakModel
from checker.native.weakstate import memory_of
from checker.native.weaksteps import WeakStepWriter
from checker.records import dataclass

MAX_PROPERTIES = 60
_MAX_DEGREE = 32_000
_MAX_MEMBERS = 64
_MAX_LEAKS = 64

_SIZES = (4, 6, 8, 10, 12, 16, 20, 24, 32, 48, 64)
"""Words of a state under the weak memory model."""

PARTIAL_ORDER = "partial order"

_FILE_SIZE = 40_000
"""Characters of C for which another file, and another process that compiles it, is worth while."""


@dataclass(frozen=True, slots=True)
class Program:
    """The generated C of an Instance, in files that are compiled side by side, and what its numbers mean.

    `properties[n]` has number n; the premise of `properties[n]` has number `premises[n]`.
    """

    sources: tuple[str, ...]
    words: int
    rules: tuple[Rule, ...]
    properties: tuple[Property, ...]
    premises: dict[str, int]
    layout: Layout
    initial: tuple[State, ...]
    reductions: tuple[str, ...]
    weak: WeakModel | None = None

    def with_words(self, extra: int) -> Program:
        """The program with so many words for messages and views."""
        return replace(self, words=rounded(self.layout.words + extra))

    def pack(self, state: State) -> bytes:
        """An initial state as the engine reads it."""
        packed = self.layout.pack(state)
        return struct.pack(f"<{self.words}Q", *packed, *[0] * (self.words - len(packed)))

    def unpack(self, words: tuple[int, ...]) -> State:
        """The state that the engine writes; under the weak memory model with messages and views."""
        state = self.layout.unpack(words[: self.layout.words])
        if self.weak is None:
            return state
        return cast(State, (*state, memory_of(self.weak, state, words[self.layout.words :])))


def generate(
    instance: Instance,
    properties: tuple[Property, ...],
    initial: tuple[State, ...],
    *,
    symmetry: bool,
    por: bool = False,
    extra: int | None = None,
) -> Program:
    """The program that searches an Instance for the given properties.

    Under the weak memory model there is neither symmetry nor partial order, and a state has `extra` words for
    messages and views.  With `por` steps that commute with all that others can do are explored alone, where there are
    any.
    Raises Unsupported where the engine cannot do it.
    """
    rules = rules_of(instance)
    if len(rules) > _MAX_DEGREE:
        raise Unsupported(f"{len(rules)} rules are more than the engine can number")
    domains = Domains(instance, initial)
    layout = Layout(instance, domains)
    emitter = Emitter(instance, domains, layout)
    premised = [p.name for p in properties if p.premise is not None]
    if len(properties) + len(premised) > MAX_PROPERTIES:
        raise Unsupported(f"more than {MAX_PROPERTIES} properties and premises")
    premises = {name: len(properties) + n for n, name in enumerate(premised)}
    # a leak is about one object on all paths, whatever it is called on the way
    leaking = frozenset(p.sort for p in properties if p.kind is PropertyKind.LEAK and p.sort is not None)
    model = WeakModel(instance, layout) if is_weak(instance) else None
    canonicaliser = Canonicaliser(layout, leaking) if symmetry and model is None else None
    solitary: dict[str, frozenset[int]] = {}
    if por and model is None:
        solitary = solitary_locations(instance, properties, lambda a, args: domains.prepared(a, args) is not None)
    steps = StepWriter(emitter, solitary) if model is None else WeakStepWriter(emitter, model)
    writer = _Writer(emitter, rules, properties, premises, canonicaliser, steps, model)
    words = layout.words
    if model is not None:
        if model.degree > _MAX_DEGREE:
            raise Unsupported(f"{model.degree} successors of a state are more than the engine can number")
        words = rounded(words + (model.estimate() if extra is None else extra))
    sources = tuple(writer.sources())
    reductions: tuple[str, ...] = (symmetry_text(canonicaliser),) if canonicaliser and canonicaliser.sorts else ()
    if solitary:
        reductions += (PARTIAL_ORDER,)
    return Program(sources, words, rules, properties, premises, layout, initial, reductions, model)


def rounded(words: int) -> int:
    """A size of state that other models have too: the engine is compiled for each."""
    size = next((size for size in _SIZES if size >= words), None)
    if size is None:
        raise Unsupported(f"a state with its messages and views would need {words} words, and {_SIZES[-1]} is the most")
    return size


def symmetry_text(canonicaliser: Canonicaliser) -> str:
    """What the report says of symmetry: also which sorts are not permuted."""
    if not canonicaliser.left_out:
        return "symmetry"
    return f"symmetry of {' and '.join(canonicaliser.sorts)}, not of {' and '.join(canonicaliser.left_out)}"


class _Writer:
    def __init__(
        self,
        emitter: Emitter,
        rules: tuple[Rule, ...],
        properties: tuple[Property, ...],
        premises: dict[str, int],
        canonicaliser: Canonicaliser | None,
        steps: StepWriter,
        model: WeakModel | None,
    ) -> None:
        self._emit = emitter
        self._instance = emitter.instance
        self._rules = rules
        self._properties = properties
        self._premises = premises
        self._canonicaliser = canonicaliser
        self._steps = steps
        self._model = model
        self._number = {p.name: n for n, p in enumerate(properties)}

    def sources(self) -> Iterator[str]:
        """The files: one with all about single states, that of the memory model, and some that share the steps."""
        steps = self._steps.functions(self._rules)
        functions = [one.text for one in steps]
        head = '#include "model.h"\n'
        if isinstance(self._steps, WeakStepWriter):
            head = self._steps.tables()
        yield "\n".join(self._single([one.solitary for one in steps])) + "\n"
        if self._model is not None:
            yield self._model.machine()
            yield self._model.tables(self._steps.group_of)
        files = max(1, min(os.cpu_count() or 1, sum(map(len, functions)) // _FILE_SIZE))
        shares = [functions[n::files] for n in range(files)]
        yield from ("\n".join([head, *share]) for share in shares if share)

    def _single(self, solitary: list[Code]) -> Iterator[str]:
        yield '#include "symmetry.h"'
        if self._model is not None:
            yield '#include "weak.h"'
        yield ""
        yield from self._constants()
        yield from self._renumber()
        yield from self._canonical()
        yield from self._predicates()
        yield from self._put()
        for n in range(len(solitary)):
            yield f"void step_{n}(const struct state *from, struct sink *x);"
        yield ""
        if self._model is not None:
            functions = ", ".join(f"step_{n}" for n in range(len(solitary)))
            yield f"static weak_steps *const steps[] = {{{functions or 'NULL'}}};"
            yield ""
        yield "void model_expand(const struct state *from, struct sink *x)"
        yield "{"
        if self._model is not None:
            yield "\tweak_begin(from, x);"
        if any(code.value != 0 for code in solitary):
            yield from self._alone(solitary)
        yield from (f"\tstep_{n}(from, x);" for n in range(len(solitary)))
        if self._model is not None:
            yield "\tweak_make(x, steps);"
            yield "\tweak_end(x);"
        if not solitary:
            yield "\t(void)from, (void)x;"
        yield "}"

    def _alone(self, solitary: list[Code]) -> Iterator[str]:
        """The steps of one thread only, where that is enough; a step that is listed later is not reduced."""
        words = ", ".join(f"from->w[{n}]" for n in range(self._emit.layout.words))
        yield f"\tconst uint64_t s[LZ_WORDS] = {{{words}}};"
        yield ""
        for n, code in enumerate(solitary):
            if code.value != 0:
                yield f"\tif (!x->listen && {code.text}) {{"
                yield f"\t\tstep_{n}(from, x);"
                yield "\t\tif (x->enabled && !x->faults)"
                yield "\t\t\treturn;"
                yield "\t\tif (x->enabled || x->faults) {"
                yield from (f"\t\t\tstep_{other}(from, x);" for other in range(len(solitary)) if other != n)
                yield "\t\t\treturn;"
                yield "\t\t}"
                yield "\t}"

    def _of_kind(self, *kinds: PropertyKind) -> list[tuple[int, Expr]]:
        return [(n, p.expr) for n, p in enumerate(self._properties) if p.kind in kinds and p.expr is not None]

    def _constants(self) -> Iterator[str]:
        invariants = _bits(n for n, _ in self._of_kind(PropertyKind.INVARIANT))
        premises = _bits(self._premises.values())
        marks = _bits(n for n, p in enumerate(self._properties) if p.kind is PropertyKind.COVER) | premises
        deadlock = next((n for n, p in enumerate(self._properties) if p.kind is PropertyKind.DEADLOCK), -1)
        faults = [self._number.get(rule.action.fault.property, -1) if rule.action.fault else -1 for rule in self._rules]
        yield f"const uint32_t model_rules = {len(self._rules)};"
        yield f"const uint32_t model_degree = {self._model.degree if self._model else len(self._rules)};"
        yield f"const int16_t model_fault[] = {{{', '.join(map(str, faults)) or '0'}}};"
        yield f"const uint64_t model_state_properties = UINT64_C({hex(invariants)});"
        yield f"const uint64_t model_marks = UINT64_C({hex(marks)});"
        yield f"const uint64_t model_premises = UINT64_C({hex(premises)});"
        yield f"const int model_deadlock = {deadlock};"
        yield ""

    # -- predicates ----------------------------------------------------------

    def _predicates(self) -> Iterator[str]:
        yield from self._mask("model_broken", "const struct state *from", [
            (n, self._truth(expr).negated(), "") for n, expr in self._of_kind(PropertyKind.INVARIANT)
        ])  # fmt: skip
        marks = [*self._of_kind(PropertyKind.COVER)]
        marks += [(self._premises[p.name], p.premise) for p in self._properties if p.premise is not None]
        yield from self._mask("model_marked", "const struct state *from, uint64_t wanted", [
            (n, self._truth(expr), f"wanted >> {n} & 1") for n, expr in marks
        ], unused="wanted")  # fmt: skip
        yield from self._mask("model_missteps", "const struct state *from, const struct state *to", [
            (n, self._truth(expr).negated(), "") for n, expr in self._of_kind(PropertyKind.STEP)
        ], unused="to")  # fmt: skip
        yield from self._leaks()
        yield from self._function("bool", "model_final", "const struct state *from", [
            f"\treturn {self._final().text};",
        ])  # fmt: skip

    def _truth(self, expr: Expr) -> Code:
        """A property's expression; one without a value is not true, which `_mask` sees to."""
        return self._emit.expression(expr, {}, {})

    def _mask(self, name: str, parameters: str, cases: list[tuple[int, Code, str]], unused: str = "") -> Iterator[str]:
        """A function of the numbers of those that are true; being without a value counts as false of the expression."""
        body = ["\tuint64_t found = 0;", ""]
        positive = name == "model_marked"
        for number, code, condition in cases:
            margin = "\t"
            if condition:
                body.append(f"\tif ({condition}) {{")
                margin = "\t\t"
            if code.partial:
                body += [
                    f"{margin}trouble.undefined = false;",
                    f"{margin}if ({code.text})",
                    f"{margin}\tfound |= UINT64_C(1) << {number};",
                    f"{margin}if (trouble.undefined)",
                    f"{margin}\tfound {'&= ~' if positive else '|= '}(UINT64_C(1) << {number});",
                ]
            else:
                body += [f"{margin}if ({code.text})", f"{margin}\tfound |= UINT64_C(1) << {number};"]
            if condition:
                body.append("\t}")
        body.append("\treturn found;")
        yield from self._function("uint64_t", name, parameters, body, unused)

    def _leaks(self) -> Iterator[str]:
        objects = [
            (n, p.sort, element)
            for n, p in enumerate(self._properties)
            if p.kind is PropertyKind.LEAK and p.sort is not None
            for element in self._instance.objects(p.sort)
        ]
        if len(objects) > _MAX_LEAKS:
            raise Unsupported(f"more than {_MAX_LEAKS} objects that could leak")
        yield f"const unsigned model_leaks = {len(objects)};"
        yield f"const int16_t model_leak_property[] = {{{', '.join(str(n) for n, _, _ in objects) or '0'}}};"
        body = ["\tuint64_t found = 0;", ""]
        for bit, (_, sort, element) in enumerate(objects):
            field = self._emit.layout.field(f"{sort}.live", (element,))
            live = str(field.lo) if not field.bits else f"({raw(field, 's')})"
            body.append(f"\tfound |= (uint64_t){live} << {bit};")
        yield from self._function("uint64_t", "model_live", "const struct state *from", [*body, "\treturn found;"])
        yield from self._turned([sort for _, sort, _ in objects])

    def _turned(self, sorts: list[str]) -> Iterator[str]:
        """`model_turned`: the bits of the objects before they got other names; `sorts` says of what sort each is."""
        turned = self._canonicaliser.turned if self._canonicaliser is not None else None
        yield f"const bool model_turns = {'true' if turned else 'false'};"
        yield "uint64_t model_turned(uint64_t objects, unsigned turn)"
        yield "{"
        if turned is None:
            yield "\t(void)turn;"
        else:
            count, first = sorts.count(turned), sorts.index(turned)
            ones = (1 << count) - 1
            yield f"\tuint8_t to[{count}];"
            yield f"\tuint64_t found = objects & ~(UINT64_C({ones}) << {first});"
            yield ""
            yield f"\tnumbered_order(turn, {count}, to);"
            yield f"\tfor (unsigned i = 0; i < {count}; i++)"
            yield f"\t\tfound |= (objects >> ({first} + to[i]) & 1) << ({first} + i);"
            yield "\treturn found;"
        if turned is None:
            yield "\treturn objects;"
        yield "}"
        yield ""

    def _final(self) -> Code:
        ended: list[Code] = []
        for thread in self._instance.system.threads:
            if thread.kind is ThreadKind.HARDWARE:
                continue
            resting = thread.ended
            if thread.kind in (ThreadKind.INTERRUPT, ThreadKind.NMI):
                resting = frozenset({thread.start})
            for index in self._instance.tuples(thread.index):
                field = self._emit.layout.field(thread.pc, index)
                pc = Code(f"(int)({raw(field, 's')}) + {field.lo}") if field.bits else known(field.lo)
                pc = Code(f"({pc.text})", pc.value)
                ended.append(among(pc, resting, len(thread.locations)))
        rest = conjunction(ended)
        declared = self._instance.system.final
        if declared is None:
            return rest
        code = self._emit.expression(declared, {}, {})
        if code.partial:
            code = Code(f"({code.text} && !trouble.undefined)")
        return disjunction([code, rest])

    def _function(self, kind: str, name: str, parameters: str, body: Iterable[str], unused: str = "") -> Iterator[str]:
        words = range(self._emit.layout.words)
        yield f"{kind} {name}({parameters})"
        yield "{"
        yield f"\tconst uint64_t s[LZ_WORDS] = {{{', '.join(f'from->w[{n}]' for n in words)}}};"
        if unused == "to":
            yield f"\tconst uint64_t t[LZ_WORDS] = {{{', '.join(f'to->w[{n}]' for n in words)}}};"
        yield "\tstruct trouble trouble = {false, false};"
        yield ""
        yield f"\t(void)s, (void)trouble{f', (void){unused}' if unused else ''}{', (void)t' if unused == 'to' else ''};"
        yield from body
        yield "}"
        yield ""

    # -- what happens to a successor -----------------------------------------

    def _put(self) -> Iterator[str]:
        steps = bool(self._of_kind(PropertyKind.STEP))
        yield "void model_put(struct sink *x, uint32_t rule, struct state n)"
        yield "{"
        if steps:
            yield "\tuint64_t missteps = model_missteps(x->source, &n);"
            yield ""
        yield "\tx->enabled++;"
        yield "\tif (LZ_UNLIKELY(x->listen != NULL)) {"
        yield "\t\tstruct step step = {.rule = rule, .concrete = n, .canonical = n};"
        yield ""
        yield "\t\tmodel_canonical(&step.canonical);"
        if steps:
            yield "\t\tstep.missteps = missteps;"
        yield "\t\tsteps_add(x->listen, &step);"
        yield "\t\treturn;"
        yield "\t}"
        yield "\tx->fired[rule]++;"
        if steps:
            yield "\tif (LZ_UNLIKELY(missteps))"
            yield "\t\tsink_misstep(x, missteps, rule);"
        yield "\tunsigned turn = canonical(&n);"
        yield ""
        yield "\tsink_put(x, &n, turn);"
        yield "}"
        yield ""

    def _canonical(self) -> Iterator[str]:
        if self._canonicaliser is not None and self._canonicaliser.sorts:
            yield from self._canonicaliser.lines()
        else:
            yield "static inline unsigned canonical(struct state *n)"
            yield "{"
            yield "\t(void)n;"
            yield "\treturn 0;"
            yield "}"
        yield ""
        yield "void model_canonical(struct state *s)"
        yield "{"
        yield "\tcanonical(s);"
        yield "}"
        yield ""

    # -- generations ---------------------------------------------------------

    def _renumber(self) -> Iterator[str]:
        families = self._instance.system.families
        if not families or self._model is not None:
            return
        yield "void model_renumber(struct state *n)"
        yield "{"
        yield "\tuint64_t *s = n->w;"
        for family in families:
            for index in self._instance.tuples(self._instance.var(family.head).index):
                yield from self._renumber_one(family, index)
        yield "}"
        yield ""

    def _renumber_one(self, family: GenFamily, index: tuple[int, ...]) -> Iterator[str]:
        """Gather the numbers of one head's family, squeeze them, write them back."""
        members: list[tuple[str, tuple[int, ...], str | None]] = [(family.head, index, None)]
        members += [
            (copy, at, of) for copy, of in family.copies for at in self._instance.tuples(self._instance.var(copy).index)
        ]
        if len(members) > _MAX_MEMBERS:
            raise Unsupported(f"more than {_MAX_MEMBERS} copies of a generation")
        read: list[str] = []
        write: list[str] = []
        for n, (var, at, of) in enumerate(members):
            field = self._emit.layout.field(var, at)
            number = f"((int)({raw(field, 's')}) - {-field.lo})" if field.lo else f"(int)({raw(field, 's')})"
            if n == 0:
                belongs = ""
            elif of is None:
                belongs = f"if ({number} != 0)"
            else:
                owner = self._emit.layout.field(of, at)
                is_mine = (
                    f"(int)({raw(owner, 's')}) + {owner.lo} == {index[0]}"
                    if owner.bits
                    else str(int(owner.lo == index[0]))
                )
                belongs = f"if ({is_mine})"
            word, shift = divmod(field.position, 64)
            ones = hex((1 << field.bits) - 1)
            read.append(f"{belongs}\tnumbers[count++] = {number};".lstrip())
            write.append(
                f"{belongs}\ts[{word}] = (s[{word}] & ~(UINT64_C({ones}) << {shift}))"
                f" | (uint64_t)(numbers[k++] - {field.lo}) << {shift};".lstrip()
            )
        yield "\t{"
        yield f"\t\tint numbers[{len(members)}];"
        yield "\t\tunsigned count = 0, k = 0;"
        yield ""
        yield from ("\t\t" + line for line in read)
        yield "\t\tsqueeze(numbers, count);"
        yield from ("\t\t" + line for line in write)
        yield "\t}"


def _bits(numbers: Iterable[int]) -> int:
    return sum(1 << n for n in chain(numbers))
