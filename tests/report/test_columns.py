"""The CPU-column trace: its width, its characters, its words."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from checker.core.instance import Instance
from checker.core.trace import Change, Choice, Trace
from checker.report.table import WIDTH, Line, Row, lay_out, to_ascii, wrap
from checker.report.tracetext import change_texts, render_trace
from tests.report import sample


def assert_fits(text: str, width: int = WIDTH) -> None:
    """Every line is printable ASCII, without white space at its end, and not too long."""
    for line in text.splitlines():
        assert len(line) <= width, line
        assert line.isascii(), line
        assert line.isprintable(), line
        assert line == line.rstrip(), repr(line)


@pytest.mark.parametrize("cpus", [1, 2, 3, 4, 6])
@pytest.mark.parametrize("seed", range(8))
def test_random_traces_fit_a_mail(seed: int, cpus: int) -> None:
    trace = sample.random_trace(seed, 30, CPU=cpus, mm=3)
    text = render_trace(trace)
    assert_fits(text)
    for step in trace.steps:
        assert any(line.startswith(f"{step.number:>3}  ") for line in text.splitlines())


@pytest.mark.parametrize("width", [40, 50, 60, 100])
def test_any_width_is_kept(width: int) -> None:
    assert_fits(render_trace(sample.random_trace(5, 25, CPU=2, mm=2), width), width)


def test_trace_golden(golden: Callable[[str, str], None]) -> None:
    golden("trace_freed_mm.txt", render_trace(sample.freed_trace()))


def test_fault_golden(golden: Callable[[str, str], None]) -> None:
    golden("trace_use_after_free.txt", render_trace(sample.fault_trace()))


def test_many_columns_golden(golden: Callable[[str, str], None]) -> None:
    golden("trace_four_cpus.txt", render_trace(sample.random_trace(3, 12, CPU=4, mm=2)))


def test_consecutive_steps_of_one_function_name_it_once() -> None:
    text = render_trace(sample.freed_trace())
    assert text.count("switch_mm_irqs_off()") == 1


def test_interrupt_is_indented_and_marked() -> None:
    traces = (sample.random_trace(seed, 20, CPU=1, mm=1) for seed in range(50))
    trace = next(trace for trace in traces if any(step.thread == "flush" for step in trace.steps))
    lines = render_trace(trace).splitlines()
    number = next(n for n, line in enumerate(lines) if "<IRQ>" in line)
    assert lines[number][5:40].rstrip() == "  <IRQ> do_shoot_lazy_tlb()"
    assert lines[number + 1].rstrip() == " " * 9 + "active_mm = init_mm"


def test_a_local_is_shown_only_where_nothing_else_changes() -> None:
    trace = sample.freed_trace()
    assert "next: " not in render_trace(trace)
    instance = sample.sample()
    lone = sample.random_trace(0, 0).initial
    choices = [
        ("exec", (0, 1)),
        ("mask", (0,)),
        ("load", (0,)),
        ("lazy", (0,)),
        ("flush", (0,)),
        ("again", (0,)),
    ]
    steps = []
    for number, (name, args) in enumerate(choices, start=1):
        step = sample.one_step(instance, lone, Choice(name, args), number)
        steps.append(step)
        lone = step.state
    text = render_trace(Trace(instance, "no_freed_mm", trace.initial, tuple(steps)))
    assert "next: mm0 -> init_mm" in text


def test_changes_read_as_the_kernel_says_them() -> None:
    instance = sample.sample()
    changes = [
        Change("mm.live", (1,), False, True),
        Change("mm.mask", (1, 0), False, True),
        Change("mm.mask", (1, 1), False, True),
        Change("mm.mask", (0, 1), True, False),
        Change("mm.count", (1,), 1, 0),
        Change("cur", (1,), -1, 1),
    ]
    assert list(change_texts(instance, changes)) == [
        "mm0: free -> live",
        "mm0.mask += {CPU0, CPU1}",
        "init_mm.mask -= CPU1",
        "mm0.count: 1 -> 0",
        "cur[CPU1]: null -> mm0",
    ]


def test_fields_of_what_is_freed_are_left_out() -> None:
    changes = [Change("mm.live", (1,), True, False), Change("mm.mask", (1, 0), True, False)]
    assert list(change_texts(sample.sample(), changes)) == ["mm0: live -> freed"]


def test_the_reason_names_the_false_leaf_and_its_steps() -> None:
    text = render_trace(sample.freed_trace())
    assert "*** no_freed_mm is false: a freed mm is never any CPU's active_mm" in text
    assert "live(active_mm[CPU1])     false since step 6" in text
    assert "active_mm[CPU1] == mm0  since step 3" in text
    assert "live(mm0) == false      since step 6" in text


def test_heading_counts_steps_and_switches() -> None:
    first, second, *_ = render_trace(sample.freed_trace()).splitlines()
    assert first == "lazies.lzm:90: no_freed_mm fails after 6 steps"
    assert second == "CPU=2 mm=1; 1 CPU switch; replayed by the reference semantics"


@pytest.mark.parametrize("name", ["deadlock", "leak_mm", "count_grows", "cur_loaded", "lazy_at_drop"])
def test_every_kind_of_property_has_a_reason(name: str) -> None:
    before = sample.freed_trace()
    text = render_trace(Trace(before.instance, name, before.initial, before.steps))
    assert "*** " in text
    assert_fits(text)


def test_leak_shows_what_is_live() -> None:
    before = sample.freed_trace()
    text = render_trace(Trace(before.instance, "leak_mm", before.initial, before.steps[:4]))
    assert "live(mm0)                 true since step 1" in text
    assert "mm0.count == 1          since step 1" in text


def test_a_free_choice_of_the_first_value_is_told() -> None:
    before = sample.freed_trace()
    system = before.instance.system
    loose = tuple(replace(var, init=None) if var.name == "cur" else var for var in system.vars)
    instance = Instance(replace(system, vars=loose), {})
    text = render_trace(Trace(instance, "no_freed_mm", before.initial, before.steps))
    assert "\ninitially cur[CPU0] == null, cur[CPU1] == null\n" in text
    assert_fits(text)


def test_no_step_at_all() -> None:
    trace = sample.random_trace(0, 0)
    assert "no_freed_mm fails in the initial state" in render_trace(trace)


def test_foreign_characters_and_long_words_are_tamed() -> None:
    assert to_ascii("a\t b\n\u00e9") == "a b \\xe9"
    assert all(len(line) <= 20 for line in wrap("x" * 75 + " y", 20, 6))


@pytest.mark.parametrize("columns", [2, 3])
def test_a_step_stays_in_its_column(columns: int) -> None:
    """Two columns keep apart; of three, one may reach a little into the space that is empty beside it."""
    rows = [Row(n, n % columns, (Line(0, "f()"), Line(2, f"statement {n} " + "word " * n))) for n in range(1, 12)]
    lines = lay_out([f"CPU{n}" for n in range(columns)], rows)
    starts = [lines[0].index(f"CPU{n}") for n in range(columns)] + [WIDTH + 1]
    column = 0
    for line in filter(None, lines[2:]):
        column = int(line[:5]) % columns if line[:5].strip() else column
        assert not line[5 : starts[column]].strip()
        assert len(line) <= min(WIDTH, starts[column + 1] - 1 + (10 if columns == 3 else 0))
