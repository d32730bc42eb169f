"""Expressions and Systems on paper."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from checker.core.printer import format_expr, format_system, format_type
from checker.core.system import (
    BOOL,
    FALSE,
    TRUE,
    At,
    Elem,
    Enum,
    Expr,
    Int,
    Lit,
    Next,
    Null,
    Op,
    Param,
    Quant,
    Seq,
    Static,
)
from tests.report import sample

A, B, C, M = Lit(1, Int(0, 9)), Lit(2, Int(0, 9)), Param("c", "CPU"), Param("m", "mm")
LIVE, COUNT = sample.read("mm.live", M), sample.read("mm.count", M)
CUR = sample.read("cur", C)


def op(name: str, *args: Expr) -> Op:
    return Op(name, args)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("expr", "text"),
    [
        (LIVE, "live(m)"),
        (COUNT, "m.count"),
        (sample.read("mm.mask", M, C), "m.mask[c]"),
        (sample.read("mm.count", sample.read("active_mm", C)), "active_mm[c].count"),
        (sample.read("cpu_loop.next", C), "next"),
        (Lit(1, Enum("e", ("OFF", "ON"))), "ON"),
        (Static("mm", "init_mm"), "init_mm"),
        (op("eq", CUR, Null("mm")), "cur[c] == null"),
        (op("not", op("eq", CUR, M)), "!(cur[c] == m)"),
        (op("not", LIVE), "!live(m)"),
        (op("and", op("or", LIVE, TRUE), FALSE), "(live(m) || true) && false"),
        (op("or", op("and", LIVE, TRUE), FALSE), "live(m) && true || false"),
        (op("implies", LIVE, op("implies", TRUE, FALSE)), "live(m) => true => false"),
        (op("implies", op("implies", LIVE, TRUE), FALSE), "(live(m) => true) => false"),
        (op("sub", A, op("sub", B, A)), "1 - (2 - 1)"),
        (op("sub", op("add", A, B), A), "1 + 2 - 1"),
        (op("neg", op("add", A, B)), "-(1 + 2)"),
        (op("lt", op("add", A, B), COUNT), "1 + 2 < m.count"),
        (op("eq", op("lt", A, B), TRUE), "(1 < 2) == true"),
        (op("ite", LIVE, A, B), "live(m) ? 1 : 2"),
        (op("add", op("ite", LIVE, A, B), A), "(live(m) ? 1 : 2) + 1"),
        (op("contains", Lit((), Seq(Elem("mm"), 2)), M), "m in []"),
        (op("and"), "true"),
        (op("or"), "false"),
        (Quant("forall", "c", "CPU", Quant("forall", "m", "mm", LIVE)), "forall c : CPU, m : mm { live(m) }"),
        (Quant("count", "m", "mm", LIVE), "count m : mm { live(m) }"),
        (op("not", Quant("exists", "m", "mm", LIVE)), "!exists m : mm { live(m) }"),
        (Next(COUNT), "next(m.count)"),
    ],
)  # fmt: skip
def test_expression(expr: Expr, text: str) -> None:
    assert format_expr(expr) == text


def test_membership_has_the_element_first() -> None:
    queue = Lit((0, 1), Seq(Int(0, 9), 2))
    assert format_expr(op("contains", queue, A)) == "1 in [0, 1]"


def test_names_stand_in_for_parameters_but_not_for_bound_ones() -> None:
    expr = op("and", LIVE, Quant("exists", "m", "mm", LIVE))
    assert format_expr(expr, names={"m": "mm0"}) == "live(mm0) && exists m : mm { live(m) }"


def test_numbered_names_lose_their_number_where_that_is_clear() -> None:
    second = Param("m_2", "mm")
    alone = Quant("forall", "m_2", "mm", sample.read("mm.live", second))
    assert format_expr(alone) == "forall m : mm { live(m) }"
    assert format_expr(alone, qualified=True) == "forall m_2 : mm { live(m_2) }"
    beside = Quant("forall", "m_2", "mm", op("eq", second, M))
    assert format_expr(beside) == "forall m_2 : mm { m_2 == m }"
    assert format_expr(Quant("exists", "m", "mm", beside)) == "exists m : mm { forall m_2 : mm { m_2 == m } }"


def test_locations_by_name_where_the_system_is_known() -> None:
    at = At("cpu_loop", (C,), frozenset({1, 2}))
    assert format_expr(at, system=sample.sample_system()) == "at(cpu_loop[c], masked, loaded)"
    assert format_expr(At("cpu_loop", (C,), frozenset(range(9)))) == "at(cpu_loop[c], 0, 1, 7 more)"


def test_types() -> None:
    assert format_type(BOOL) == "bool"
    assert format_type(Int(0, 3)) == "0..3"
    assert format_type(Elem("mm", optional=True)) == "mm?"
    assert format_type(Seq(Elem("mm"), 4)) == "seq of mm max 4"


def test_system_golden(golden: Callable[[str, str], None]) -> None:
    golden("system_lazies.txt", format_system(sample.sample_system(SHOOTDOWN=False)))
    assert format_system(sample.sample_system()) == format_system(sample.sample_system())
