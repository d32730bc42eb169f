"""Tiny Systems made by hand, and a strategy for random ones."""

from __future__ import annotations

from hypothesis import strategies as st

from checker.core.system import (
    BOOL,
    FALSE,
    TRUE,
    Action,
    At,
    Bool,
    Elem,
    Enum,
    Expr,
    Fault,
    Gen,
    GenFamily,
    Int,
    Lit,
    Location,
    Next,
    Null,
    Op,
    Operator,
    Param,
    Property,
    PropertyKind,
    Quant,
    Read,
    Seq,
    Sort,
    Static,
    Storage,
    System,
    Thread,
    ThreadKind,
    Type,
    Update,
    Var,
)

CPU = Elem("CPU")
C, D, M = Param("c", "CPU"), Param("d", "CPU"), Param("m", "mm")
RANGE = Int(0, 3)


def num(value: int, kind: Type = RANGE) -> Lit:
    return Lit(value, kind)


def op(name: Operator, *args: Expr, kind: Type = BOOL) -> Op:
    return Op(name, args, kind)


def thread(name: str, locations: int, *, kind: ThreadKind = ThreadKind.THREAD, ends: int | None = None) -> Thread:
    """A thread per CPU, that has ended at location `ends`."""
    places = tuple(Location(f"L{n}") for n in range(locations))
    ended = frozenset[int]() if ends is None else frozenset({ends})
    return Thread(name, kind, ("CPU",), f"{name}.pc", places, 0, ended)


def control(of: Thread) -> Var:
    return Var(of.pc, of.index, Int(0, len(of.locations) - 1), num(of.start), Storage.CONTROL)


def action(name: str, at: int, to: int, *, guard: tuple[Expr, ...] = (), fault: Fault | None = None,
           updates: tuple[Update, ...] = (), params: tuple[Param, ...] = (C,), of: str = "run") -> Action:  # fmt: skip
    return Action(name, of, params, (C,), C, at, to, guard, updates, fault)


def counters(steps: int) -> System:
    """Each CPU makes `steps` steps and ends; `apart` says that not all of them have ended."""
    run = thread("run", steps + 1, ends=steps)
    ended = At("run", (C,), frozenset({steps}))
    return System(
        name="counters",
        sorts=(Sort("CPU", 2),),
        vars=(control(run),),
        threads=(run,),
        actions=tuple(action(f"step{n}", n, n + 1) for n in range(steps)),
        properties=(
            Property("apart", PropertyKind.INVARIANT, expr=op("not", Quant("forall", "c", "CPU", ended))),
            Property("no_deadlock", PropertyKind.DEADLOCK),
            Property("one_ends", PropertyKind.COVER, expr=Quant("exists", "c", "CPU", ended)),
        ),
    )


def locks(*, ordered: bool) -> System:
    """Two CPUs take two locks, in the same order or each its own first, and let go of both."""
    run = thread("run", 4, ends=3)
    lock = Var("lock", ("CPU",), Elem("CPU", optional=True), Null("CPU"), Storage.MEMORY)
    boot = Static("CPU", "boot")

    def free(which: Expr) -> Expr:
        return op("eq", Read("lock", (which,), lock.type), Null("CPU"))

    first: Expr = boot if ordered else C
    second, other = D, op("ne", D, first)
    mine = op("eq", Read("lock", (D,), lock.type), C)
    return System(
        name="locks",
        sorts=(Sort("CPU", 1, statics=("boot",)),),
        vars=(control(run), lock),
        threads=(run,),
        actions=(
            action("first", 0, 1, guard=(free(first),), updates=(Update("lock", (first,), C),)),
            action("second", 1, 2, guard=(other, free(second)), params=(C, D), updates=(Update("lock", (D,), C),)),
            action("drop", 2, 3, updates=(Update("lock", (D,), Null("CPU"), (D,), mine),)),
        ),
        properties=(Property("no_deadlock", PropertyKind.DEADLOCK),),
    )


def objects(*, frees: bool) -> System:
    """CPUs allocate mms and free them, or may also drop the only pointer to one."""
    run = thread("run", 1, ends=0)
    live = Var("mm.live", ("mm",), BOOL, FALSE, Storage.GHOST)
    mine = Var("mine", ("CPU",), Elem("mm", optional=True), Null("mm"), Storage.MEMORY)
    pointer = Read("mine", (C,), mine.type)
    has = op("ne", pointer, Null("mm"))
    freed, dropped = Update("mm.live", (pointer,), FALSE), Update("mine", (C,), Null("mm"))
    is_live = Read("mm.live", (M,), BOOL)
    return System(
        name="objects",
        sorts=(Sort("CPU", 2), Sort("mm", 2, is_object=True)),
        vars=(control(run), live, mine),
        threads=(run,),
        actions=(
            action("alloc", 0, 0, guard=(op("not", has), op("not", is_live)), params=(C, M),
                   updates=(Update("mm.live", (M,), TRUE), Update("mine", (C,), M))),
            action("free", 0, 0, guard=(has,), updates=(freed, dropped)),
            *(() if frees else (action("forget", 0, 0, guard=(has,), updates=(dropped,)),)),
        ),
        properties=(
            Property("leak", PropertyKind.LEAK, sort="mm"),
            Property("fresh", PropertyKind.INVARIANT,
                     expr=Quant("forall", "c", "CPU", Read("mm.live", (pointer,), BOOL))),
            Property("owned", PropertyKind.INVARIANT, premise=FALSE, expr=TRUE),
        ),
    )  # fmt: skip


def generations(*, late: bool, bound: int | None = None) -> System:
    """mms grow a generation that CPUs copy; `late` lets a CPU copy it without looking at the mm again.

    With a `bound` the counters are plain integers and stop growing there.
    """
    run = thread("run", 1)
    number: Type = Gen() if bound is None else Int(-1, bound)
    head = Var("mm.gen", ("mm",), number, num(1, number), Storage.MEMORY)
    copy = Var("copy", ("CPU",), number, num(0, number), Storage.MEMORY)
    of = Var("copy.of", ("CPU",), Elem("mm", optional=True), Null("mm"), Storage.MEMORY)
    newest, mine = Read("mm.gen", (M,), number), Read("copy", (C,), number)
    grown = op("add", newest, num(1, number), kind=number)
    follows = op("eq", Read("copy.of", (C,), of.type), M)
    behind = op("and", follows, op("lt", mine, newest))
    room = () if bound is None else (op("lt", newest, num(bound, number)),)
    far = op("gt", newest, op("add", mine, num(1, number), kind=number))
    return System(
        name="generations",
        sorts=(Sort("CPU", 2), Sort("mm", 1)),
        vars=(control(run), head, copy, of),
        threads=(run,),
        actions=(
            action("grow", 0, 0, guard=room if late else (*room, op("not", Quant("exists", "d", "CPU", op(
                "and", op("eq", Read("copy.of", (D,), of.type), M), op("lt", Read("copy", (D,), number), newest))))),
                params=(C, M), updates=(Update("mm.gen", (M,), grown),)),
            action("copy", 0, 0, params=(C, M), updates=(Update("copy", (C,), newest), Update("copy.of", (C,), M))),
            action("next", 0, 0, params=(C, M), guard=(behind,),
                   updates=(Update("copy", (C,), op("add", mine, num(1, number), kind=number)),)),
        ),
        properties=(
            Property("near", PropertyKind.INVARIANT, expr=Quant("forall", "c", "CPU", Quant(
                "forall", "m", "mm", op("implies", follows, op("not", far))))),
            Property("never_ahead", PropertyKind.INVARIANT, expr=Quant("forall", "c", "CPU", Quant(
                "forall", "m", "mm", op("implies", follows, op("le", mine, newest))))),
        ),
        families=(GenFamily("mm.gen", (("copy", "copy.of"),)),) if bound is None else (),
    )  # fmt: skip


# -- random Systems ----------------------------------------------------------

MM_OR_NULL = Elem("mm", optional=True)
MODE = Enum("mode", ("COLD", "WARM", "HOT"))
QUEUE = Seq(Elem("CPU"), 2)

MENU = (
    Var("flag", ("CPU",), BOOL, FALSE, Storage.MEMORY),
    Var("once", (), BOOL, None, Storage.MEMORY),
    Var("small", (), RANGE, num(1), Storage.MEMORY),
    Var("cur", ("CPU",), MM_OR_NULL, Null("mm"), Storage.MEMORY),
    Var("owner", ("mm",), CPU, Static("CPU", "boot"), Storage.MEMORY),
    Var("mask", ("mm", "CPU"), BOOL, op("eq", Param("i1", "CPU"), Static("CPU", "boot")), Storage.MEMORY),
    Var("mode", ("mm",), MODE, Lit(0, MODE), Storage.MEMORY),
    Var("queue", (), QUEUE, Lit((), QUEUE), Storage.MEMORY),
    Var("mm.gen", ("mm",), Gen(), num(1, Gen()), Storage.MEMORY),
    Var("copy", ("CPU",), Gen(), num(0, Gen()), Storage.MEMORY),
    Var("copy.of", ("CPU",), MM_OR_NULL, Null("mm"), Storage.MEMORY),
    Var("curr", ("CPU",), Elem("task", optional=True), Null("task"), Storage.MACHINE),
)
"""The variables of every random System."""

COPIES = ("copy", "copy.of")

COMPARED: st.SearchStrategy[Type] = st.sampled_from([RANGE, Gen()])
EQUATED: st.SearchStrategy[Type] = st.sampled_from([BOOL, RANGE, MODE, CPU, MM_OR_NULL, QUEUE, Gen()])


@st.composite
def expressions(draw: st.DrawFn, kind: Type, scope: tuple[Param, ...], depth: int = 3, step: bool = False) -> Expr:
    """A well-typed expression over the MENU, the parameters in scope and, with `step`, the next state."""

    def sub(part: Type, scope: tuple[Param, ...] = scope) -> Expr:
        return draw(expressions(part, scope, depth - 1, step))

    leaves: list[Expr] = []
    match kind:
        case Bool():
            leaves += [TRUE, FALSE]
        case Int():
            leaves += [num(n) for n in range(4)]
        case Enum(_, members):
            leaves += [Lit(n, kind) for n in range(len(members))]
        case Elem(sort, optional):
            leaves += [param for param in scope if param.sort == sort]
            leaves += [Null(sort)] if optional else []
            leaves += [Static("CPU", "boot")] if sort == "CPU" else []
            leaves += [Static("mm", "init_mm")] if sort == "mm" else []
            leaves += [Static("task", "idle")] if sort == "task" else []
        case Seq():
            leaves += [Lit((), kind)]
        case Gen():
            leaves += [num(1, Gen())]
    sources = [var for var in MENU if var.type == kind]
    if depth == 0 or (depth < 3 and draw(st.booleans())):
        plain = [Read(v.name, (), v.type) for v in sources if not v.index]
        leaf: Expr = draw(st.sampled_from([*leaves, *plain]))
        return leaf
    forms = ["read"] * 2 if sources else []
    forms += ["ite"]
    forms += {
        Bool: ["not", "and", "or", "implies", "compare", "same", "forall", "exists", "at", "contains"],
        Int: ["add", "sub", "neg", "count", "len"],
        Elem: ["get"] if kind == CPU else [],
        Seq: ["push", "tail"],
    }.get(type(kind), [])  # fmt: skip
    if step:
        forms.append("next")
    match draw(st.sampled_from(forms)):
        case "read":
            var = draw(st.sampled_from(sources))
            # where a null may come in, the front end would have put a guard; here it may be missing
            index = tuple(sub(draw(st.sampled_from([Elem(s), Elem(s), Elem(s, optional=True)]))) for s in var.index)
            return Read(var.name, index, var.type)
        case "ite":
            return op("ite", sub(BOOL), sub(kind), sub(kind), kind=kind)
        case "not":
            return op("not", sub(BOOL))
        case "and" | "or" as word:
            return Op(word, tuple(sub(BOOL) for _ in range(draw(st.integers(0, 3)))), BOOL)
        case "implies":
            return op("implies", sub(BOOL), sub(BOOL))
        case "compare":
            part = draw(COMPARED)
            return op(draw(st.sampled_from(["lt", "le", "gt", "ge"])), sub(part), sub(part))
        case "same":
            part = draw(EQUATED)
            return op(draw(st.sampled_from(["eq", "ne"])), sub(part), sub(part))
        case "forall" | "exists" | "count" as quantifier:
            bound = Param(f"q{depth}", draw(st.sampled_from(["CPU", "mm"])))
            return Quant(quantifier, bound.name, bound.sort, sub(BOOL, (*scope, bound)))
        case "at":
            places = draw(st.frozensets(st.integers(0, 2)))
            return At(draw(st.sampled_from(["run", "irq"])), (sub(CPU),), places)
        case "contains":
            return op("contains", sub(QUEUE), sub(CPU))
        case "add" | "sub" as sign:
            return op(sign, sub(RANGE), sub(RANGE), kind=Int(-100, 100))
        case "neg":
            return op("neg", sub(RANGE), kind=Int(-100, 100))
        case "len":
            return op("len", sub(QUEUE), kind=RANGE)
        case "get":
            return op("get", sub(QUEUE), sub(RANGE), kind=CPU)
        case "push":
            return op("push", sub(QUEUE), sub(CPU), kind=QUEUE)
        case "tail":
            return op("tail", sub(QUEUE), kind=QUEUE)
        case _:
            return Next(draw(expressions(kind, scope, depth - 1)))


@st.composite
def random_updates(draw: st.DrawFn, scope: tuple[Param, ...]) -> tuple[Update, ...]:
    updates: list[Update] = []
    for _ in range(draw(st.integers(0, 3))):
        var = draw(st.sampled_from([v for v in MENU if not isinstance(v.type, Gen) and v.name not in COPIES]))
        binders = (Param("b", "CPU"),) if "CPU" in var.index and draw(st.booleans()) else ()
        inner = (*scope, *binders)
        index = tuple(
            binders[0] if binders and sort == "CPU" else draw(expressions(Elem(sort), inner, 1)) for sort in var.index
        )
        where = draw(expressions(BOOL, inner, 1)) if binders else TRUE
        updates.append(Update(var.name, index, draw(expressions(var.type, inner, 2)), binders, where))
    mm = draw(expressions(Elem("mm"), scope, 0))
    newest = Read("mm.gen", (mm,), Gen())
    if draw(st.booleans()):
        updates.append(Update("mm.gen", (mm,), op("add", newest, num(1, Gen()), kind=Gen())))
    if scope and scope[0].sort == "CPU" and draw(st.booleans()):
        updates += [Update("copy", (scope[0],), newest), Update("copy.of", (scope[0],), mm)]
    return tuple(updates)


@st.composite
def systems(draw: st.DrawFn) -> System:
    """A random System with a thread and an interrupt per CPU and tasks that CPUs run."""
    run, irq = thread("run", 3, ends=2), thread("irq", 3, kind=ThreadKind.INTERRUPT)
    places = tuple(Location(f"L{n}") for n in range(2))
    task = Thread("task", ThreadKind.TASK, ("task",), "task.pc", places, 0, frozenset({1}))
    actions = []
    for n in range(draw(st.integers(1, 6))):
        of = draw(st.sampled_from([run, run, irq, task]))
        scope = (C, *draw(st.sampled_from([(), (M,), (D,)])))
        itself: Expr = Read("curr", (C,), Elem("task", optional=True)) if of is task else C
        place = st.integers(0, len(of.locations) - 1)
        guard = tuple(draw(expressions(BOOL, scope, 2)) for _ in range(draw(st.integers(0, 2))))
        fault = Fault("wrong", "this is wrong") if draw(st.integers(0, 9)) == 0 else None
        actions.append(
            Action(f"a{n}", of.name, scope, (itself,), C, draw(place), draw(place), guard,
                   draw(random_updates(scope)), fault)
        )  # fmt: skip
        if draw(st.booleans()) and guard:
            # the other way of the same condition, as an `if` gives
            actions.append(
                Action(f"b{n}", of.name, scope, (itself,), C, actions[-1].at, draw(place),
                       (*guard[:-1], op("not", guard[-1])), draw(random_updates(scope)))
            )  # fmt: skip
    return System(
        name="random",
        sorts=(
            Sort("CPU", 1, statics=("boot",)),
            Sort("mm", 1, statics=("init_mm",), is_object=True),
            Sort("task", 1, statics=("idle",)),
        ),
        vars=(*MENU, control(run), control(irq), control(task)),
        threads=(run, irq, task),
        actions=tuple(actions),
        properties=(
            Property("inv", PropertyKind.INVARIANT, expr=draw(expressions(BOOL, ()))),
            Property("step", PropertyKind.STEP, expr=draw(expressions(BOOL, (), 3, step=True))),
            Property("cover", PropertyKind.COVER, expr=draw(expressions(BOOL, ()))),
            Property("wrong", PropertyKind.FAULT),
            Property("no_deadlock", PropertyKind.DEADLOCK),
        ),
        final=draw(st.none() | expressions(BOOL, ())),
        families=(GenFamily("mm.gen", (COPIES,)),),
    )
