"""A small System made by hand, and traces of it: lazy mms that nobody shoots down."""

from __future__ import annotations

import random
from collections import deque

from checker.core import semantics
from checker.core.instance import Instance, State
from checker.core.path import Choice, Path
from checker.core.system import (
    BOOL,
    FALSE,
    TRUE,
    Access,
    Action,
    At,
    Elem,
    Expr,
    Fault,
    Frame,
    Int,
    Lit,
    Location,
    Next,
    Null,
    Op,
    Param,
    Property,
    PropertyKind,
    Quant,
    Read,
    Sort,
    Static,
    Storage,
    System,
    Thread,
    ThreadKind,
    Update,
    Var,
)
from checker.core.trace import Change, Step, Trace, replay
from checker.core.verdict import (
    CheckResult,
    Expectation,
    Finding,
    Limits,
    Outcome,
    PropertyVerdict,
    Statistics,
)
from checker.lang.source import Span

CPU, MM, PC = Elem("CPU"), Elem("mm"), Int(0, 3)
C, M = Param("this_cpu", "CPU"), Param("m", "mm")
FILE = "lazies.lzm"


def place(line: int) -> Span:
    """A line of the file that the System would come from."""
    return Span(FILE, line, 1, line, 20)


def read(name: str, *index: Expr) -> Read:
    """A variable of the sample, with its type."""
    return Read(name, index, next(var.type for var in VARS if var.name == name))


VARS = (
    Var("mm.live", ("mm",), BOOL, Op("eq", (Param("i0", "mm"), Static("mm", "init_mm"))), Storage.MEMORY),
    Var("mm.count", ("mm",), Int(0, 3), Lit(0, Int(0, 3)), Storage.MEMORY),
    Var("mm.mask", ("mm", "CPU"), BOOL, FALSE, Storage.MEMORY, 1),
    Var("cur", ("CPU",), Elem("mm", optional=True), Null("mm"), Storage.MEMORY),
    Var("active_mm", ("CPU",), MM, Static("mm", "init_mm"), Storage.MEMORY),
    Var("cpu_loop.next", ("CPU",), MM, Static("mm", "init_mm"), Storage.LOCAL),
    Var("cpu_loop.pc", ("CPU",), PC, Lit(0, PC), Storage.CONTROL),
    Var("flush.pc", ("CPU",), PC, Lit(0, PC), Storage.CONTROL),
    Var("reaper.pc", (), PC, Lit(0, PC), Storage.CONTROL),
)

NEXT = read("cpu_loop.next", C)
CUR, ACTIVE = read("cur", C), read("active_mm", C)


def step(
    name: str,
    at: int,
    to: int,
    label: str,
    guard: tuple[Expr, ...],
    updates: tuple[Update, ...],
    *,
    proc: str | None = None,
    thread: str = "cpu_loop",
    params: tuple[Param, ...] = (C,),
    fault: Fault | None = None,
    branch: bool | None = None,
    line: int = 1,
) -> Action:
    """An action of the sample."""
    on_cpu = thread != "reaper"
    return Action(
        name=name,
        thread=thread,
        params=params,
        self=(C,) if on_cpu else (),
        cpu=C if on_cpu else None,
        at=at,
        to=to,
        guard=guard,
        updates=updates,
        fault=fault,
        label=label if branch is None else f"{label} [{str(branch).lower()}]",
        key=f"{thread}/{label}",
        frames=(Frame(proc, proc),) if proc else (),
        branch=branch,
        memory=tuple(Access("write", u.var, u.index, "once") for u in updates if u.var == "active_mm"),
        span=place(line),
    )


def actions() -> tuple[Action, ...]:
    """Exec, lazy switch and exit on each CPU, an interrupt that leaves a lazy mm, a reaper."""
    one = Lit(1, Int(0, 3))
    is_lazy = Op("eq", (CUR, Null("mm")))
    live, count = read("mm.live", M), read("mm.count", M)
    unused = Quant("forall", "c", "CPU", Op("ne", (read("cur", Param("c", "CPU")), M)))
    return (
        step(
            "exec", 0, 1, "next = alloc mm { count = 1 }", (Op("not", (live,)), is_lazy),
            (Update("mm.live", (M,), TRUE), Update("mm.count", (M,), one), Update("cpu_loop.next", (C,), M)),
            proc="exec_mmap", params=(C, M), line=20,
        ),
        step(
            "mask", 1, 2, "next.mask += this_cpu", (), (Update("mm.mask", (NEXT, C), TRUE),),
            proc="switch_mm_irqs_off", line=30,
        ),
        step(
            "load", 2, 0, "active_mm = next", (),
            (Update("active_mm", (C,), NEXT), Update("cur", (C,), NEXT)),
            proc="switch_mm_irqs_off", line=31,
        ),
        step("lazy", 0, 0, "cur = null", (Op("not", (is_lazy,)),), (Update("cur", (C,), Null("mm")),),
             proc="context_switch", line=40),
        step("again", 0, 0, "next = active_mm", (is_lazy, Op("ne", (NEXT, ACTIVE))),
             (Update("cpu_loop.next", (C,), ACTIVE),), line=44),
        step("flush", 0, 0, "active_mm = init_mm", (is_lazy, Op("ne", (ACTIVE, Static("mm", "init_mm")))),
             (Update("active_mm", (C,), Static("mm", "init_mm")),), thread="flush", proc="do_shoot_lazy_tlb",
             line=50),
        step("put", 0, 0, "if put(m.count)", (live, Op("eq", (count, one)), unused),
             (Update("mm.count", (M,), Lit(0, Int(0, 3))),), proc="mmdrop", thread="reaper", params=(M,),
             branch=True, line=60),
        step(
            "free", 0, 0, "free m", (live, Op("eq", (count, Lit(0, Int(0, 3)))),
                                     Op("ne", (M, Static("mm", "init_mm")))),
            (Update("mm.live", (M,), FALSE),
             Update("mm.mask", (M, Param("c", "CPU")), FALSE, (Param("c", "CPU"),))),
            proc="__mmdrop", thread="reaper", params=(M,), line=61,
        ),
        step("uaf", 0, 0, "active_mm.count", (is_lazy, Op("not", (read("mm.live", ACTIVE),))), (),
             proc="mmgrab_lazy_tlb", fault=Fault("use_after_free", "active_mm.count of a freed mm is read"),
             line=70),
    )  # fmt: skip


def properties() -> tuple[Property, ...]:
    """One property of each kind."""
    c, m = Param("c", "CPU"), Param("m", "mm")
    active_live = read("mm.live", read("active_mm", c))
    cur_is_active = Op("eq", (read("cur", c), read("active_mm", c)))
    has_user = Op("ne", (read("cur", c), Null("mm")))
    loaded = Op("or", (Op("implies", (has_user, cur_is_active)), At("cpu_loop", (c,), frozenset({1, 2}))))
    is_static = Op("eq", (m, Static("mm", "init_mm")))
    is_unused = Op("eq", (read("mm.count", m), Lit(0, Int(0, 3))))
    holder = Op("and", (Op("eq", (read("active_mm", c), m)), is_unused, Op("not", (is_static,))))
    grows = Op("le", (read("mm.count", m), Next(read("mm.count", m))))
    return (
        Property(
            "no_freed_mm", PropertyKind.INVARIANT, "a freed mm is never any CPU's active_mm",
            Quant("forall", "c", "CPU", active_live), span=place(90),
        ),
        Property("cur_loaded", PropertyKind.INVARIANT, "", Quant("forall", "c", "CPU", loaded),
                 span=place(91)),
        Property("count_grows", PropertyKind.STEP, "", Quant("forall", "m", "mm", grows), span=place(92)),
        Property("lazy_at_drop", PropertyKind.COVER, "",
                 Quant("exists", "c", "CPU", Quant("exists", "m", "mm", holder)), span=place(93)),
        Property("use_after_free", PropertyKind.FAULT),
        Property("deadlock", PropertyKind.DEADLOCK),
        Property("leak_mm", PropertyKind.LEAK, sort="mm"),
    )  # fmt: skip


def sample_system(**config: bool | int | str) -> System:
    """The sample under a configuration, which changes nothing but the text."""
    rest = Location("rest", span=place(1))
    return System(
        name="lazies",
        sorts=(Sort("CPU", 2), Sort("mm", 1, statics=("init_mm",), is_object=True)),
        vars=VARS,
        threads=(
            Thread("cpu_loop", ThreadKind.THREAD, ("CPU",), "cpu_loop.pc",
                   (rest, Location("masked", irqs_off=True), Location("loaded", irqs_off=True)), 0,
                   frozenset()),
            Thread("flush", ThreadKind.INTERRUPT, ("CPU",), "flush.pc", (rest,), 0, frozenset()),
            Thread("reaper", ThreadKind.THREAD, (), "reaper.pc", (rest,), 0, frozenset()),
        ),
        actions=actions(),
        properties=properties(),
        config=config,
    )  # fmt: skip


def sample(**sizes: int) -> Instance:
    """The sample with these sizes."""
    return Instance(sample_system(SHOOTDOWN=False, SET_MASK=True), sizes)


def find(instance: Instance, name: str) -> Property:
    """A property of the instance's System."""
    return next(prop for prop in instance.system.properties if prop.name == name)


def path_of(instance: Instance, *choices: tuple[str, tuple[int, ...]]) -> Path:
    """A path from the first initial state."""
    return Path(0, tuple(Choice(action, args) for action, args in choices))


def freed_trace(instance: Instance | None = None) -> Trace:
    """CPU1 keeps an mm lazily while the reaper frees it."""
    instance = instance or sample()
    path = path_of(
        instance,
        ("exec", (1, 1)),
        ("mask", (1,)),
        ("load", (1,)),
        ("lazy", (1,)),
        ("put", (1,)),
        ("free", (1,)),
    )
    return replay(instance, path, find(instance, "no_freed_mm"))


def fault_trace() -> Trace:
    """The same, and then CPU1 takes a reference to the freed mm."""
    instance = sample()
    before = freed_trace(instance)
    choices = tuple(Choice(step.action.name, step.args) for step in before.steps)
    return replay(instance, Path(0, (*choices, Choice("uaf", (1,)))), find(instance, "use_after_free"))


def shortest(instance: Instance, name: str) -> Trace:
    """A shortest trace to the violation of an invariant, or to a cover."""
    prop = find(instance, name)
    assert prop.expr is not None
    goal = prop.kind is PropertyKind.COVER
    first = next(semantics.initial_states(instance))
    frontier: deque[tuple[State, tuple[Choice, ...]]] = deque([(first, ())])
    seen = {first}
    while frontier:
        state, choices = frontier.popleft()
        if semantics.holds(instance, prop.expr, state) == goal:
            return replay(instance, Path(0, choices), prop)
        for choice in semantics.enabled(instance, state):
            if instance.action(choice.action).fault is None:
                successor = semantics.apply(instance, state, choice)
                if successor not in seen:
                    seen.add(successor)
                    frontier.append((successor, (*choices, choice)))
    raise LookupError(name)


def random_trace(seed: int, length: int, **sizes: int) -> Trace:
    """A random walk, with the first property's name on it whether or not it is violated."""
    chance, instance = random.Random(seed), sample(**sizes)
    initial = state = next(semantics.initial_states(instance))
    steps: list[Step] = []
    while len(steps) < length:
        may_fault = len(steps) + 1 == length
        choices = [c for c in semantics.enabled(instance, state) if may_fault or not instance.action(c.action).fault]
        if not choices:
            break
        choice = chance.choice(choices)
        walked = one_step(instance, state, choice, len(steps) + 1)
        steps.append(walked)
        state = walked.state
    name = "use_after_free" if steps and steps[-1].action.fault else "no_freed_mm"
    return Trace(instance, name, initial, tuple(steps))


def one_step(instance: Instance, state: State, choice: Choice, number: int) -> Step:
    """One step, as `replay` records it, but whatever it leads to."""
    action = instance.action(choice.action)
    successor = state if action.fault else semantics.apply(instance, state, choice)
    changes = tuple(
        Change(var.name, index, old, new)
        for (var, index), old, new in zip(instance.slots, state, successor, strict=True)
        if old != new and var.storage is not Storage.CONTROL
    )
    who = semantics.thread_instance(instance, state, choice)
    cpu = semantics.cpu_of(instance, state, choice)
    return Step(number, action, choice.args, action.thread, who, cpu, changes, successor)


def result_of(*verdicts: PropertyVerdict, instance: Instance | None = None, **fields: object) -> CheckResult:
    """A result of the sample, passing unless `fields` say otherwise."""
    values: dict[str, object] = {
        "model": FILE,
        "system": "lazies",
        "check": "upstream",
        "engine": "explorer",
        "instance": instance or sample(),
        "expectation": Expectation(),
        "verdicts": verdicts,
        "statistics": Statistics(48_210, 120_001, 17, 2.5, 101.5, complete=True),
        "limits": Limits(),
        **fields,
    }
    return CheckResult(**values)  # type: ignore[arg-type]


def passing() -> CheckResult:
    """Every property holds and the cover is reached."""
    instance = sample()
    cover = shortest(instance, "lazy_at_drop")
    return result_of(
        *(
            PropertyVerdict(prop, Outcome.REACHED, cover)
            if prop.kind is PropertyKind.COVER
            else PropertyVerdict(prop, Outcome.HOLDS)
            for prop in instance.system.properties
        ),
        instance=instance,
    )


def failing() -> CheckResult:
    """The freed mm, expected by nobody."""
    instance = sample()
    trace = freed_trace(instance)
    return result_of(
        PropertyVerdict(find(instance, "no_freed_mm"), Outcome.VIOLATED, trace),
        PropertyVerdict(find(instance, "cur_loaded"), Outcome.HOLDS_TO),
        instance=instance,
        surprises=("no_freed_mm is violated, which is not expected",),
        findings=(Finding("LZ401", "this step was never taken", f"{FILE}:50:1", "active_mm = init_mm"),),
        statistics=Statistics(300, 700, 6, 0.25, 40.0, limit="violation"),
        bug="no shootdown",
        seed=7,
    )
