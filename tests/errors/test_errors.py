"""Wrong models: every LZnnn_what.lzm here fails with that code, and LZnnn_what.expect is what a user reads.

To add one, write the model and run `pytest tests/errors --promote`; then read the new .expect as
somebody who has never seen the tool.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from checker.core.lower import lower_model
from checker.lang.diagnostics import CODES, UserError
from checker.lang.names import load_model
from checker.lang.parser import Parser
from checker.lang.typecheck import typecheck
from checker.plan import Overrides, make_instance, plans
from checker.report.diagnostics import render_diagnostics

FOLDER = Path(__file__).parent
WRONG = sorted(FOLDER.glob("*.lzm"))

ELSEWHERE = {
    "LZ402": "a finding of a search: tested with the verdicts",
    "LZ403": "a finding of a search: tested with the verdicts",
    "LZ404": "a finding of a search: tested with the verdicts",
    "LZ405": "a finding of a search: tested with the verdicts",
    "LZ406": "depends on the memory model that is asked for",
    "LZ501": "found when the initial states are made: tested with the command line",
    "LZ602": "said by an engine of what it cannot do: tested with the command line",
    "LZ603": "a file that is written: tested with the command line",
    "LZ604": "a trace that is read: tested with the command line",
    "LZ605": "an option: tested with the command line",
    "LZ901": "no model should be able to cause it",
}
"""The codes that no text of a model can cause before a state is looked at, and where they belong."""


@pytest.fixture(scope="module")
def parser() -> Parser:
    return Parser()


@pytest.fixture(autouse=True)
def beside_the_models(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(FOLDER)


def check(parser: Parser, name: str, text: str | None = None) -> None:
    """All that is looked at before the first state."""
    model = load_model(name, parser, text=text)
    lower_model(typecheck(model))
    for plan in plans(model, None, Overrides()):
        make_instance(model, plan)


def complaint(parser: Parser, name: str, text: str | None = None) -> UserError:
    """What is said of a wrong model."""
    with pytest.raises(UserError) as caught:
        check(parser, name, text)
    return caught.value


def codes(error: UserError) -> set[str]:
    return {d.code for d in error.diagnostics}


@pytest.mark.parametrize("path", WRONG, ids=lambda path: path.stem)
def test_wrong_model(path: Path, parser: Parser, golden: Callable[[str | Path, str], None]) -> None:
    error = complaint(parser, path.name)
    rendered = render_diagnostics(error)
    golden(path.with_suffix(".expect"), rendered)
    assert path.name[:5] in codes(error)
    assert rendered.isascii()
    assert all(line == line.rstrip() for line in rendered.splitlines())
    for diagnostic in error.diagnostics:
        assert diagnostic.span.file in error.sources or diagnostic.code == "LZ103"
        assert len(diagnostic.message) <= 100
        assert not diagnostic.message.endswith(".")


def test_every_code_has_a_wrong_model_or_a_reason() -> None:
    tested = {path.name[:5] for path in WRONG}
    assert tested | set(ELSEWHERE) == set(CODES)
    assert not tested & set(ELSEWHERE), "there is a model for it now: take it off the list"


def test_every_expectation_belongs_to_a_model() -> None:
    assert {path.stem for path in FOLDER.glob("*.expect")} == {path.stem for path in WRONG}


@pytest.mark.parametrize("path", [path for path in WRONG if path.name < "LZ2"], ids=lambda path: path.stem)
def test_a_syntax_error_comes_alone(path: Path, parser: Parser) -> None:
    assert len(complaint(parser, path.name).diagnostics) == 1


def test_many_errors_are_reported_in_one_run(parser: Parser) -> None:
    error = complaint(parser, "LZ201_many_errors.lzm")
    lines = [d.span.line for d in error.diagnostics]
    assert len(lines) == 12
    assert len(codes(error)) >= 5
    places = [(d.span.line, d.span.column) for d in error.diagnostics]
    assert len(set(places)) == len(places), "two complaints about one place are a cascade"


def test_the_near_miss_of_the_design(parser: Parser) -> None:
    text = "model m;\nsort CPU = 2;\nvar mm_cpumask : set of CPU;\nfinal mm_cpumsk == {};\n"
    assert render_diagnostics(complaint(parser, "m.lzm", text)) == (
        "m.lzm:4:7: error: unknown name 'mm_cpumsk' [LZ201]\n"
        "    4 | final mm_cpumsk == {};\n"
        "      |       ^~~~~~~~~\n"
        "hint: did you mean 'mm_cpumask'?\n"
    )


def test_a_file_that_is_not_there(parser: Parser) -> None:
    rendered = render_diagnostics(complaint(parser, "nowhere.lzm"))
    assert rendered == "lzcheck: error: cannot read 'nowhere.lzm': No such file or directory [LZ103]\n"


GOOD = """\
model whole;

sort CPU = 2;
object mm = 2 {
    users : refcount;
    mask : set of CPU;
}
static init_mm : mm;
percpu active_mm : mm = init_mm;
record flush { start : 0..3; end : 0..3; }
enum state { IDLE, BUSY }
config SHOOTDOWN = true;
var queue : seq of CPU max 2;
var now : state = IDLE;
ghost var seen : bool = false;

fn idle(c : CPU) : bool = active_mm[c] == init_mm ? true : now == IDLE;

@kernel("kernel/sched/core.c", "switch_mm")
proc switch_mm(m : mm) : bool irqs off {
    m.mask += this_cpu;
    active_mm = m;
    return true;
}

interrupt shoot(m : mm) {
    if active_mm == m { active_mm = init_mm; } else { skip; }
}

interrupt tick() when SHOOTDOWN { push(queue, this_cpu); }

thread cpu on CPU {
    loop {
        either { let m = alloc mm { mask = {this_cpu} }; let done = switch_mm(m); free m; }
        or { pick c : CPU where c != this_cpu; await idle(c); }
        or { forall c : CPU where idle(c) { active_mm[c] = init_mm; } now = BUSY; }
        or { call shoot(init_mm) on init_mm.mask; }
        for c : CPU { while now == BUSY { now = IDLE; break; } }
    }
}

invariant sane "what it says" : forall c : CPU { live(active_mm[c]) && !(now != IDLE => seen) };
cover busy : now == BUSY;
check upstream { CPU = 3; } expect pass in 3 steps;
"""


def tokens(text: str) -> list[re.Match[str]]:
    return list(re.finditer(r'"[^"]*"|\w+|\.\.|[-+=!<>]=|=>|&&|\|\||[^\w\s]', text))


def test_every_beginning_of_a_model_is_refused_politely(parser: Parser) -> None:
    for token in tokens(GOOD):
        text = GOOD[: token.start()]
        try:
            load_model("whole.lzm", parser, text=text)
        except UserError as error:
            rendered = render_diagnostics(error)
            assert len(error.diagnostics) == 1, rendered
            assert error.diagnostics[0].code in ("LZ104", "LZ204"), rendered


def test_the_undamaged_model_is_right(parser: Parser) -> None:
    check(parser, "whole.lzm", GOOD)


@pytest.mark.parametrize("change", ["leave out", "twice", "name", "number", "brace", "semicolon"])
def test_no_damage_to_a_model_is_a_crash(change: str, parser: Parser) -> None:
    instead = {"leave out": "", "name": " other ", "number": " 7 ", "brace": "{", "semicolon": ";"}
    for token in tokens(GOOD):
        word = instead.get(change, f" {token.group()} {token.group()} ")
        text = GOOD[: token.start()] + word + GOOD[token.end() :]
        try:
            check(parser, "whole.lzm", text)
        except UserError as error:
            assert render_diagnostics(error).isascii()


@pytest.mark.parametrize(
    "nested",
    [
        "await " + "(" * 60 + "n == 1" + ")" * 60 + ";",
        "await " + "n == 1 && " * 70 + "n == 1;",
        "n = " + "n + " * 70 + "1;",
        "if n == 1 { skip; }" + " else if n == 2 { n = 3; }" * 70,
        "if n == 1 { " * 20 + "n = 2;" + " }" * 20,
    ],
)
def test_what_is_nested_below_the_limit_does_not_exhaust_the_stack(nested: str, parser: Parser) -> None:
    text = f"model deep;\nsort CPU = 2;\nvar n : 0..3 = 0;\nthread cpu on CPU {{ {nested} }}\n"
    check(parser, "deep.lzm", text)


@pytest.mark.parametrize("nested", ["(" * 5000, "!" * 5000, "n + " * 5000, "{" * 5000, "f(" * 5000])
def test_what_is_nested_beyond_all_reason_is_refused(nested: str, parser: Parser) -> None:
    closing = {"(": ")", "{": "}"}
    close = "".join(closing.get(c, "") for c in reversed(nested))
    error = complaint(parser, "deep.lzm", f"model deep;\nvar n : 0..3 = 0;\nfinal {nested}n{close};\n")
    assert codes(error) <= {"LZ601", "LZ101"}
