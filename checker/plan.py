"""Which checks a model has, and what exactly each of them asks: configuration, sizes, expectation."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import field, replace
from typing import Final

from checker.core.instance import Instance
from checker.core.lower import lower_model
from checker.core.memory import DEFER, DEPTH, HISTORY, with_store_buffers
from checker.core.verdict import Expectation
from checker.lang import syntax as s
from checker.lang.diagnostics import Collector, Diagnostic, UserError, among, suggest
from checker.lang.names import Model
from checker.lang.resolve import ConfigValue, TypeResolver
from checker.lang.source import NO_SPAN, Span
from checker.lang.typecheck import default_config, typecheck
from checker.lang.types import IntType
from checker.records import dataclass

MEMORY_MODELS = ("sc", "tso", "weak")
MOST: Final = 8  # stores in a buffer, and accesses that a thread may put off


@dataclass(frozen=True, slots=True)
class Plan:
    """A check, resolved: everything that an engine is asked.

    `unbounded` are the sorts of any size: where there are any, a proof is asked for.
    `unsupported` says why this version has no engine for it, where it has none.
    `allowed` names what may stay unreached: procs, handlers and threads whose statements may stay unexecuted,
    covers, and invariants whose premise may never be met; `allow_all`: any statement may.
    """

    name: str
    config: Mapping[str, ConfigValue]
    sizes: Mapping[str, int]
    expectation: Expectation
    memory_model: str = "sc"
    store_buffer: int = DEPTH
    history: int = HISTORY
    defer: int = DEFER
    unsupported: str = ""
    allow_all: bool = False
    allowed: frozenset[str] = frozenset()
    bug: str | None = None
    declared: s.CheckDecl | None = field(default=None, compare=False)
    unbounded: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Overrides:
    """What the command line sets: config values as written, sizes, the memory model, its bounds."""

    config: Mapping[str, str] = field(default_factory=dict)
    sizes: Mapping[str, str] = field(default_factory=dict)
    memory_model: str | None = None
    store_buffer: int | None = None
    history: int | None = None
    defer: int | None = None


def plans(model: Model, names: Iterable[str] | None, overrides: Overrides) -> list[Plan]:
    """The plans of the named checks; of the default check for an empty list; of all for None.

    A model without checks has one, `default`, which expects `pass`.  Raises
    UserError for what the model does not have.
    """
    chosen = _chosen(model, names)
    found = Collector()
    made = [_plan(model, check, found) for check in chosen]
    if found.failed:
        raise UserError(found.diagnostics, model.sources)
    return [_overridden(model, plan, overrides) for plan in made]


def make_instance(model: Model, plan: Plan) -> Instance:
    """The System of the plan's configuration, at its sizes; raises UserError where they make no sense."""
    system = lower_model(typecheck(model, plan.config), memory_model=plan.memory_model)
    if plan.memory_model == "tso":
        system = with_store_buffers(system, plan.store_buffer)
    system = replace(system, history=plan.history or None, defer=plan.defer)
    for sort in system.sorts:
        if not sort.statics and plan.sizes.get(sort.name, sort.size) == 0:
            settings = plan.declared.settings if plan.declared is not None else ()
            span = next((x.span for x in settings if x.name.text == sort.name), sort.span)
            wrong = Diagnostic("LZ601", f"sort '{sort.name}' has no element", span, hint="its size is at least 1")
            raise UserError([wrong], model.sources)
    try:
        return Instance(system, plan.sizes)
    except ValueError as error:
        wrong = Diagnostic("LZ601", str(error), plan.declared.span if plan.declared else NO_SPAN)
        raise UserError([wrong], model.sources) from None


def _chosen(model: Model, names: Iterable[str] | None) -> list[s.CheckDecl | None]:
    if not model.checks:
        wanted = list(names or ())
        if wanted:
            raise UserError.of("LZ605", f"the model has no check '{wanted[0]}': it has none at all")
        return [None]
    if names is None:
        return list(model.checks.values())
    chosen: list[s.CheckDecl | None] = []
    for name in names:
        if name not in model.checks:
            known = ", ".join(model.checks)
            hint = suggest(name, model.checks) or f"it has {known}"
            raise UserError.of("LZ605", f"the model has no check '{name}'", hint=hint)
        chosen.append(model.checks[name])
    return chosen or [next(iter(model.checks.values()))]


def _plan(model: Model, check: s.CheckDecl | None, found: Collector) -> Plan:
    config = default_config(model, found)
    if check is None:
        return Plan("default", config, {}, Expectation())
    sizes: dict[str, int] = {}
    unbounded: set[str] = set()
    memory, unsupported, store_buffer, history, defer = "sc", "", DEPTH, HISTORY, DEFER
    for setting in check.settings:
        name, value = setting.name.text, setting.value
        if name in model.configs:
            converted = _config_value(model, name, value)
            if converted is None:
                _wrong_value(found, name, value, config[name], setting.span)
            else:
                config[name] = converted
        elif model.has_sort(name):
            if value == "any":
                unbounded.add(name)
            elif isinstance(value, int) and value >= 0:
                sizes[name] = value
            else:
                found.error("LZ601", f"the size of {name} is a number, or any", setting.span)
        elif name == "memory":
            memory = str(value)
        elif name == "store_buffer":
            if isinstance(value, int) and 1 <= value <= MOST:
                store_buffer = value
            else:
                found.error("LZ601", f"store_buffer is how many stores a buffer holds, from 1 to {MOST}", setting.span)
        elif name == "history":
            if isinstance(value, int) and value >= 0:
                history = value
            else:
                found.error("LZ601", "history is how many messages of a location are kept; 0: all", setting.span)
        elif name == "defer":
            if isinstance(value, int) and 0 <= value <= MOST:
                defer = value
            else:
                found.error("LZ601", f"defer is how many accesses a thread may put off, from 0 to {MOST}", setting.span)
        else:
            known = [*model.configs, *model.sorts, *model.objects, "memory", "store_buffer", "history", "defer"]
            hint = among(name, known, "known here:")
            found.error("LZ206", f"the model has no config or sort '{name}'", setting.name.span, hint=hint)
    if memory not in MEMORY_MODELS:
        found.error("LZ206", f"there is no memory model '{memory}'", check.span, hint="sc, tso or weak")
    if check.verdict == "proved" and not unbounded:
        found.error("LZ208", "a proof is for any number of something", check.span, hint="CPU = any;")
    if check.verdict in ("fail", "deadlock") and unbounded:
        found.error("LZ208", "a violation is found at some size, not at any", check.span, hint="CPU = 2;")
    _known_targets(model, check, found)
    expectation = Expectation(check.verdict, tuple(_target(x) for x in check.targets), check.steps, check.states)
    if check.verdict == "deadlock":
        expectation = replace(expectation, verdict="fail", properties=("deadlock", *expectation.properties))
    return Plan(
        check.name.text, config, sizes, expectation, memory, store_buffer, history, defer, unsupported,
        check.allow_unreached,
        frozenset(n.text for n in check.allowed), check.bug, check, frozenset(unbounded),
    )  # fmt: skip


def _target(target: s.Target) -> str:
    return f"assert: {target.text}" if target.quoted else target.text


def _known_targets(model: Model, check: s.CheckDecl, found: Collector) -> None:
    """A target must be a property of the model or one that every model has."""
    from checker.core.lower.model import FAULTS

    known = [n for n, p in model.properties.items() if p.kind != "cover"]
    known += [*FAULTS, "deadlock", "leak", *(f"leak_{o}" for o in model.objects)]
    for target in check.targets:
        if not target.quoted and target.text not in known:
            hint = suggest(target.text, known)
            found.error("LZ208", f"the model has no property '{target.text}'", target.span, hint=hint)
    reachable = [*model.procs, *model.interrupts, *model.threads]
    reachable += [n for n, p in model.properties.items() if p.kind != "step"]
    for name in check.allowed:
        if name.text not in reachable:
            hint = suggest(name.text, reachable) or "name a proc, interrupt, thread, cover or invariant"
            found.error("LZ208", f"there is no '{name}' that could stay unreached", name.span, hint=hint)
    if check.verdict == "fail" and not check.targets:
        found.error("LZ208", "which property is expected to fail?", check.span, hint="expect fail PROPERTY")


def _config_value(model: Model, name: str, value: int | str) -> ConfigValue | None:
    """The value as the config's type has it; None where it does not fit."""
    before = default_config(model, Collector())[name]
    if isinstance(before, bool):
        return {"true": True, "false": False}.get(str(value))
    if isinstance(before, int):
        return value if isinstance(value, int) and _in_range(model, name, value) else None
    enum = model.enum_of(str(value))
    return str(value) if enum is not None and enum is model.enum_of(before) else None


def _in_range(model: Model, name: str, value: int) -> bool:
    declared = TypeResolver(model, default_config(model, Collector()), Collector()).resolve
    type_ = model.configs[name].type
    wanted = declared(type_) if type_ is not None else None
    return not isinstance(wanted, IntType) or wanted.lo <= value <= wanted.hi


def _wrong_value(found: Collector, name: str, value: int | str, before: ConfigValue, span: Span) -> None:
    wanted = "a number in its range" if isinstance(before, int) else "a member of its enum"
    if isinstance(before, bool):
        wanted = "true or false"
    found.error("LZ301", f"config '{name}' cannot be '{value}': it is {wanted}", span)


def _overridden(model: Model, plan: Plan, overrides: Overrides) -> Plan:
    """The plan with what the command line sets.  Other numbers make `in N steps` and `states N` void."""
    config, sizes, unbounded = dict(plan.config), dict(plan.sizes), plan.unbounded
    for name, text in overrides.config.items():
        if name not in model.configs:
            hint = suggest(name, model.configs)
            raise UserError.of("LZ605", f"-D {name}: the model has no config of that name", hint=hint)
        value = _config_value(model, name, int(text) if text.lstrip("-").isdigit() else text)
        if value is None:
            default = str(config[name]).lower() if isinstance(config[name], bool) else config[name]
            raise UserError.of("LZ605", f"-D {name}={text}: not a value of this config, which is {default} by default")
        config[name] = value
    for name, text in overrides.sizes.items():
        if not model.has_sort(name):
            known = [*model.sorts, *model.objects]
            raise UserError.of("LZ605", f"--size {name}: the model has no sort of that name", hint=suggest(name, known))
        if text == "any":
            unbounded |= {name}
            continue
        if not text.isdigit() or int(text) > 64:
            raise UserError.of("LZ605", f"--size {name}={text}: a size is a number from 0 to 64")
        sizes[name] = int(text)
        unbounded -= {name}
    memory = overrides.memory_model or plan.memory_model
    expectation = plan.expectation
    store_buffer = overrides.store_buffer or plan.store_buffer
    history = plan.history if overrides.history is None else overrides.history
    defer = plan.defer if overrides.defer is None else overrides.defer
    was = (plan.config, plan.sizes, plan.memory_model, plan.store_buffer, plan.history, plan.defer)
    if (config, sizes, memory, store_buffer, history, defer) != was:
        expectation = replace(expectation, steps=None, states=None)
    if expectation.verdict == "proved" and not unbounded:
        expectation = replace(expectation, verdict="pass", properties=())
    return replace(
        plan, config=config, sizes=sizes, memory_model=memory, store_buffer=store_buffer, history=history,
        defer=defer, expectation=expectation, unbounded=unbounded,
    )  # fmt: skip
