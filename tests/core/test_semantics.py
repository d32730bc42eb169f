"""The meaning of a System, case by case."""

from __future__ import annotations

from dataclasses import replace

import pytest

from checker.core import semantics
from checker.core.instance import Instance
from checker.core.path import Choice, Path
from checker.core.semantics import UndefinedRead, canonical, evaluate
from checker.core.system import (
    BOOL,
    FALSE,
    NULL,
    TRUE,
    Elem,
    Enum,
    Expr,
    Gen,
    GenFamily,
    Int,
    Lit,
    Next,
    Null,
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
    Update,
    Value,
    Var,
)
from checker.core.trace import ReplayError, replay
from tests import systems
from tests.systems import C, M, action, control, num, op, thread

QUEUE = Seq(Int(0, 3), 2)
MM = Elem("mm", optional=True)


def small(*variables: Var, updates: tuple[Update, ...] = (), families: tuple[GenFamily, ...] = ()) -> Instance:
    """Two CPUs, init_mm and an mm, and one action per CPU that makes the updates."""
    run = thread("run", 2, ends=1)
    return Instance(
        System(
            name="small",
            sorts=(Sort("CPU", 2), Sort("mm", 1, statics=("init_mm",), is_object=True)),
            vars=(control(run), *variables),
            threads=(run,),
            actions=(action("go", 0, 1, updates=updates),),
            properties=(),
            families=families,
        )
    )


def test_slots_run_row_major_in_the_order_of_the_variables() -> None:
    mask = Var("mm.mask", ("mm", "CPU"), BOOL, FALSE, Storage.MEMORY)
    instance = small(mask, Var("last", (), BOOL, FALSE, Storage.MEMORY))
    assert [instance.slot("mm.mask", index) for index in ((0, 0), (0, 1), (1, 0), (1, 1))] == [2, 3, 4, 5]
    assert instance.slot("last", ()) == 6
    assert all(instance.slot(var.name, index) == n for n, (var, index) in enumerate(instance.slots))


def test_names_of_slots_and_elements() -> None:
    instance = small(
        Var("mm.mask", ("mm", "CPU"), BOOL, FALSE, Storage.MEMORY),
        Var("mm.count", ("mm",), Int(0, 3), num(0), Storage.MEMORY),
        Var("cur", ("CPU",), MM, Null("mm"), Storage.MEMORY),
        Var("run.next", ("CPU",), MM, Null("mm"), Storage.LOCAL),
        Var("run.seen", ("CPU", "CPU"), BOOL, FALSE, Storage.LOCAL),
        Var("total", (), Int(0, 3), num(0), Storage.MEMORY),
    )
    assert instance.format_slot("mm.mask", (1, 0)) == "mm0.mask[CPU0]"
    assert instance.format_slot("mm.count", (0,)) == "init_mm.count"
    assert instance.format_slot("cur", (1,)) == "cur[CPU1]"
    assert instance.format_slot("run.next", (0,)) == "next"
    assert instance.format_slot("run.seen", (0, 1)) == "seen[CPU1]"
    assert instance.format_slot("total", ()) == "total"


@pytest.mark.parametrize(
    ("kind", "value", "shown"),
    [
        (BOOL, True, "true"),
        (Int(0, 3), 2, "2"),
        (Enum("mode", ("COLD", "HOT")), 1, "HOT"),
        (MM, NULL, "null"),
        (MM, 0, "init_mm"),
        (MM, 1, "mm0"),
        (Seq(Elem("CPU"), 2), (1, 0), "[CPU1, CPU0]"),
        (Gen(), 3, "3"),
    ],
)
def test_values_are_shown_as_kernel_readers_write_them(kind: Elem, value: Value, shown: str) -> None:
    assert small().format_value(kind, value) == shown


def test_sizes_must_make_sense() -> None:
    system = small().system
    assert Instance(system, {"mm": 0}).count("mm") == 1
    for sizes in ({"CPU": 0}, {"CPU": -1}, {"page": 1}):
        with pytest.raises(ValueError, match=r"CPU|page"):
            Instance(system, sizes)


@pytest.mark.parametrize(
    ("expr", "value"),
    [
        (op("and"), True),
        (op("or"), False),
        (op("implies", FALSE, FALSE), True),
        (op("ite", TRUE, num(1), num(2), kind=Int(0, 3)), 1),
        (op("sub", num(1), num(3), kind=Int(-9, 9)), -2),
        (op("neg", num(3), kind=Int(-9, 9)), -3),
        (op("push", Lit((1,), QUEUE), num(2), kind=QUEUE), (1, 2)),
        (op("tail", Lit((1, 2), QUEUE), kind=QUEUE), (2,)),
        (op("get", Lit((1, 2), QUEUE), num(1), kind=Int(0, 3)), 2),
        (op("contains", Lit((1, 2), QUEUE), num(2)), True),
        (op("len", Lit((1, 2), QUEUE), kind=Int(0, 2)), 2),
        (Quant("count", "m", "mm", op("ne", M, Static("mm", "init_mm"))), 1),
        (Quant("forall", "m", "mm", op("eq", M, M)), True),
        (Quant("exists", "m", "mm", op("eq", M, Null("mm"))), False),
    ],
)
def test_operators(expr: Expr, value: Value) -> None:
    instance = small()
    assert evaluate(instance, expr, next(semantics.initial_states(instance)), {}) == value


def test_null_as_an_index_has_no_value_unless_it_is_not_looked_at() -> None:
    cur = Var("cur", ("CPU",), MM, Null("mm"), Storage.MEMORY)
    instance = small(Var("mm.live", ("mm",), BOOL, TRUE, Storage.GHOST), cur)
    state = next(semantics.initial_states(instance))
    pointer = Read("cur", (C,), MM)
    read = Read("mm.live", (pointer,), BOOL)
    with pytest.raises(UndefinedRead, match=r"null used as an index of mm\.live"):
        evaluate(instance, read, state, {"c": 0})
    guarded = op("implies", op("ne", pointer, Null("mm")), read)
    assert evaluate(instance, guarded, state, {"c": 0}) is True
    assert not semantics.holds(instance, Quant("forall", "c", "CPU", read), state)


def test_a_position_outside_a_sequence_has_no_value() -> None:
    instance = small(Var("queue", (), QUEUE, Lit((), QUEUE), Storage.MEMORY))
    first = op("get", Read("queue", (), QUEUE), num(0), kind=Int(0, 3))
    with pytest.raises(UndefinedRead, match="index outside queue"):
        evaluate(instance, first, next(semantics.initial_states(instance)), {})


def test_initial_states_come_in_the_order_of_the_values() -> None:
    free = Var("free", (), MM, None, Storage.MEMORY)
    diagonal = Var("own", ("CPU",), BOOL, op("eq", Param("i0", "CPU"), Param("i0", "CPU")), Storage.MEMORY)
    system = small(free, diagonal).system
    states = list(semantics.initial_states(Instance(system)))
    assert [state[2] for state in states] == [NULL, 0, 1]
    assert all(state[3:] == (True, True) for state in states)
    some = replace(system, initial=(op("ne", Read("free", (), MM), Null("mm")),))
    assert [state[2] for state in semantics.initial_states(Instance(some))] == [0, 1]


def test_updates_are_simultaneous_and_the_later_wins() -> None:
    number = Int(0, 3)
    a, b = (Var(name, (), number, num(n), Storage.MEMORY) for n, name in enumerate("ab"))
    swap = (
        Update("a", (), num(3)),
        Update("a", (), Read("b", (), number)),
        Update("b", (), Read("a", (), number)),
    )
    instance = small(a, b, updates=swap)
    state = next(semantics.initial_states(instance))
    assert semantics.apply(instance, state, Choice("go", (1,))) == (0, 1, 1, 0)


def test_choices_come_in_the_order_of_actions_and_arguments() -> None:
    instance = Instance(systems.objects(frees=True))
    state = next(semantics.initial_states(instance))
    args = [choice.args for choice in semantics.enabled(instance, state)]
    assert args == [(0, 0), (0, 1), (1, 0), (1, 1)]


def test_a_step_of_nobody_is_not_enabled() -> None:
    cur = Var("cur", ("CPU",), Elem("CPU", optional=True), Null("CPU"), Storage.MACHINE)
    system = small(cur).system
    idle = replace(system.actions[0], self=(Read("cur", (C,), cur.type),))
    instance = Instance(replace(system, actions=(idle,)))
    assert not list(semantics.enabled(instance, next(semantics.initial_states(instance))))


def test_all_threads_at_their_end_is_final() -> None:
    instance = small()
    assert not semantics.is_final(instance, (0, 1))
    assert semantics.is_final(instance, (1, 1))


# -- generations -------------------------------------------------------------


def families(*numbers: tuple[int, int | None], heads: tuple[int, int]) -> tuple[Instance, tuple[Value, ...]]:
    """Heads of init_mm and mm0, and a copy on each CPU with the mm that it belongs to."""
    instance = small(
        Var("mm.gen", ("mm",), Gen(), num(1, Gen()), Storage.MEMORY),
        Var("copy", ("CPU",), Gen(), num(0, Gen()), Storage.MEMORY),
        Var("of", ("CPU",), MM, Null("mm"), Storage.MEMORY),
        families=(GenFamily("mm.gen", (("copy", "of"),)),),
    )
    copies = tuple(number for number, _ in numbers)
    return instance, (0, 0, *heads, *copies, *(NULL if of is None else of for _, of in numbers))


@pytest.mark.parametrize(
    ("heads", "copies", "expected"),
    [
        ((7, 1), ((7, 0), (7, 0)), (1, 1, 1, 1)),
        ((7, 1), ((6, 0), (5, 0)), (3, 1, 2, 1)),
        ((9, 1), ((2, 0), (1, 0)), (4, 1, 2, 1)),
        ((9, 5), ((7, 0), (4, 1)), (3, 2, 1, 1)),
        ((1, 4), ((0, None), (-1, None)), (1, 1, 0, -1)),
    ],
)
def test_generations_keep_order_and_neighbours_only(
    heads: tuple[int, int], copies: tuple[tuple[int, int | None], ...], expected: tuple[int, ...]
) -> None:
    instance, state = families(*copies, heads=heads)
    assert canonical(instance, state)[2:6] == expected
    assert canonical(instance, canonical(instance, state)) == canonical(instance, state)


def test_a_family_without_an_index_knows_its_copies_by_their_numbers() -> None:
    instance = small(
        Var("gen", (), Gen(), num(1, Gen()), Storage.MEMORY),
        Var("copy", ("CPU",), Gen(), num(0, Gen()), Storage.MEMORY),
        families=(GenFamily("gen", (("copy", None),)),),
    )
    assert canonical(instance, (0, 0, 9, 0, 4)) == (0, 0, 3, 0, 1)


# -- replay ------------------------------------------------------------------


def test_replay_shows_steps_changes_and_columns() -> None:
    instance = Instance(systems.objects(frees=False))
    leak = instance.system.properties[0]
    trace = replay(instance, Path(0, (Choice("alloc", (1, 0)), Choice("forget", (1,)))), leak)
    assert [(step.thread, step.cpu) for step in trace.steps] == [("run", 1), ("run", 1)]
    assert [(c.var, c.index, c.old, c.new) for c in trace.steps[0].changes] == [
        ("mm.live", (0,), False, True),
        ("mine", (1,), NULL, 0),
    ]
    assert trace.switches == 0


def test_replay_refuses_what_does_not_show_its_claim() -> None:
    instance = Instance(systems.counters(1))
    apart = instance.system.properties[0]
    both = (Choice("step0", (0,)), Choice("step0", (1,)))
    assert replay(instance, Path(0, both), apart).last == (1, 1)
    with pytest.raises(ReplayError, match="does not end in"):
        replay(instance, Path(0, both[:1]), apart)
    with pytest.raises(ReplayError, match="not enabled") as error:
        replay(instance, Path(0, (both[0], both[0])), apart)
    assert error.value.step_number == 2
    with pytest.raises(ReplayError, match="no initial state"):
        replay(instance, Path(1, both), apart)


def test_replay_of_a_step_property_looks_at_the_last_transition() -> None:
    instance = Instance(systems.counters(1))
    pc = Read("run.pc", (C,), Int(0, 1))
    still = Quant("forall", "c", "CPU", op("eq", pc, Next(pc)))
    prop = Property("still", PropertyKind.STEP, expr=still)
    assert replay(instance, Path(0, (Choice("step0", (0,)),)), prop).last == (1, 0)
    with pytest.raises(ReplayError):
        replay(instance, Path(0, ()), prop)
