"""Models of several files, and what their checks ask."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from checker.core.lower import lower_model
from checker.core.verdict import Expectation
from checker.lang.diagnostics import Diagnostic, UserError
from checker.lang.names import STD, Model, load_model
from checker.lang.parser import Parser
from checker.lang.typecheck import typecheck
from checker.plan import Overrides, Plan, make_instance, plans

_PARSER = Parser()

Load = Callable[..., Model]
LIBRARY = "library lib; "


@pytest.fixture
def load(tmp_path: Path) -> Load:
    """Writes a model and the files beside it, and reads them as one model."""

    def read(text: str, **files: str) -> Model:
        for name, content in files.items():
            (tmp_path / f"{name}.lzm").write_text(content, encoding="utf-8")
        (tmp_path / "main.lzm").write_text(f"model main; {text}", encoding="utf-8")
        return load_model(str(tmp_path / "main.lzm"), _PARSER)

    return read


def complaint(load: Load, text: str, **files: str) -> Diagnostic:
    """The only thing that is wrong."""
    with pytest.raises(UserError) as caught:
        load(text, **files)
    (found,) = caught.value.diagnostics
    assert found.span.file in caught.value.sources
    return found


# -- files


@pytest.mark.parametrize("name", sorted(path.stem for path in STD.glob("*.lzm")))
def test_every_library_can_be_used_alone(name: str, load: Load) -> None:
    text = f'use "std/{name}"; sort CPU = 2; var b : bool = false; thread t on CPU {{ b = true; }}'
    text += " config MMU_LAZY_TLB_REFCOUNT = true;" if name in ("mm", "sched", "exec") else ""
    text += " sort TASK = 1; task k[p : TASK] { skip; }" if name in ("sched", "exec") else ""
    model = load(text)
    assert f"std/{name}.lzm" in model.sources
    lower_model(typecheck(model))


def test_a_library_stands_beside_the_model_that_uses_it(load: Load) -> None:
    model = load('use "lib"; var y : bool = x;', lib=LIBRARY + "var x : bool = true;")
    assert list(model.vars) == ["x", "y"]
    assert sorted(Path(name).name for name in model.sources) == ["lib.lzm", "main.lzm"]


def test_a_library_is_read_once(load: Load) -> None:
    common = LIBRARY + "var x : bool;"
    model = load('use "a"; use "b"; use "b"; use "common";', a='library a; use "common";', b='library b; use "common";',
                 common=common)  # fmt: skip
    assert list(model.vars) == ["x"]


def test_libraries_cannot_use_each_other(load: Load) -> None:
    found = complaint(load, 'use "a";', a='library a; use "b";', b='library b; use "a";')
    assert found.code == "LZ205"
    assert Path(found.span.file).name == "b.lzm"


def test_a_library_that_is_missing(load: Load) -> None:
    found = complaint(load, 'use "lib";')
    assert (found.code, found.message) == ("LZ203", "there is no 'lib'")
    assert complaint(load, 'use "std/shced";').hint == "did you mean 'std/sched'?"
    assert "std/mm" in complaint(load, 'use "std/nothing";').hint


def test_a_model_is_no_library_and_a_library_no_model(load: Load, tmp_path: Path) -> None:
    found = complaint(load, 'use "lib";', lib="model lib; var x : bool;")
    assert (found.code, found.message) == ("LZ203", "'lib' is a model, not a library")
    (tmp_path / "alone.lzm").write_text("library alone;", encoding="utf-8")
    with pytest.raises(UserError, match="is a library: it has nothing to check"):
        load_model(str(tmp_path / "alone.lzm"), _PARSER)


def test_errors_in_a_library_point_into_it(load: Load) -> None:
    found = complaint(load, 'use "lib";', lib=LIBRARY + "var x : bool; var x : bool;")
    assert found.code == "LZ202"
    assert Path(found.span.file).name == "lib.lzm"


def test_the_checks_of_a_library_are_left_out(load: Load) -> None:
    assert not load('use "lib";', lib=LIBRARY + "var x : bool; check own expect pass;").checks


# -- declarations that are joined


def test_an_object_has_the_fields_of_all_files(load: Load) -> None:
    model = load('use "lib"; object mm = 3 { own : bool; }', lib=LIBRARY + "object mm = 1 { users : refcount; }")
    assert [f.name.text for f in model.objects["mm"].fields] == ["users", "own"]
    assert model.objects["mm"].size == 3


def test_an_object_without_a_size_has_that_of_the_library(load: Load) -> None:
    model = load('use "lib"; object mm { own : bool; }', lib=LIBRARY + "object mm = 4 { users : refcount; }")
    assert model.objects["mm"].size == 4


def test_a_sort_has_the_size_that_the_model_gives_it(load: Load) -> None:
    assert load('use "lib"; sort CPU = 3;', lib=LIBRARY + "sort CPU = 2;").sorts["CPU"].size == 3


@pytest.mark.parametrize(
    ("library", "text", "what"),
    [
        ("object mm { users : refcount; }", "object mm { users : bool; }", "users"),
        ("var x : bool;", "var x : bool;", "x"),
        ("enum e { A, B }", "config B = true;", "B"),
        ("record r { a : bool; }", "sort r = 1;", "r"),
        ("proc f() { skip; }", "proc f() { skip; }", "f"),
        ("proc f() { skip; }", "fn f() : bool = true;", "f"),
    ],
)
def test_nothing_is_declared_in_two_files(library: str, text: str, what: str, load: Load) -> None:
    found = complaint(load, f'use "lib"; {text}', lib=LIBRARY + library)
    assert (found.code, found.message) == ("LZ202", f"'{what}' is declared twice")
    assert Path(found.span.file).name == "main.lzm"
    assert Path(found.notes[0].span.file).name == "lib.lzm"


def test_a_model_replaces_a_weak_proc(load: Load) -> None:
    weak = "weak proc f() { skip; } proc g() { f(); }"
    model = load('use "lib"; proc f() { assert false; }', lib=LIBRARY + weak)
    assert Path(model.procs["f"].span.file).name == "main.lzm"
    assert not model.procs["f"].weak


def test_a_weak_proc_stays_where_nothing_replaces_it(load: Load) -> None:
    assert load('use "lib";', lib=LIBRARY + "weak proc f() { skip; }").procs["f"].weak


def test_a_weak_proc_replaces_nothing(load: Load) -> None:
    model = load('use "lib"; weak proc f() { skip; }', lib=LIBRARY + "proc f() { skip; }")
    assert Path(model.procs["f"].span.file).name == "lib.lzm"


def test_a_library_may_leave_a_proc_to_the_model(load: Load) -> None:
    library = LIBRARY + "proc f(); proc g() { f(); }"
    assert load('use "lib"; proc f() { skip; }', lib=library).procs["f"].body is not None
    found = complaint(load, 'use "lib";', lib=library)
    assert (found.code, found.message) == ("LZ204", "proc 'f' is declared but nowhere defined")


# -- checks

MODEL = """
sort CPU = 2; sort TASK = 1; object mm = 1 { users : refcount; }
enum mode { OFF, ON }
config SET_MASK = true; config LIMIT : 0..3 = 1; config MODE = OFF;
var n : 0..3 = 0;
proc f() { n = 1; }
thread t on CPU { f(); assert n == 1, "n is one"; }
invariant sane : n < 3;
cover busy : n == 1;
"""


def plan_of(load: Load, check: str, overrides: Overrides | None = None) -> Plan:
    """The only plan of a model with that check."""
    (plan,) = plans(load(f"{MODEL} check c {check};"), None, overrides or Overrides())
    return plan


def refused(load: Load, check: str, overrides: Overrides | None = None) -> Diagnostic:
    """The only thing that is wrong with a check."""
    with pytest.raises(UserError) as caught:
        plan_of(load, check, overrides)
    (found,) = caught.value.diagnostics
    return found


def test_a_model_without_checks_has_one(load: Load) -> None:
    (plan,) = plans(load(MODEL), None, Overrides())
    assert (plan.name, plan.expectation, plan.sizes) == ("default", Expectation(), {})
    assert plan.config == {"SET_MASK": True, "LIMIT": 1, "MODE": "OFF"}


def test_settings_of_a_check(load: Load) -> None:
    plan = plan_of(load, "{ CPU = 3; mm = 2; SET_MASK = false; LIMIT = 3; MODE = ON; } expect pass")
    assert plan.sizes == {"CPU": 3, "mm": 2}
    assert plan.config == {"SET_MASK": False, "LIMIT": 3, "MODE": "ON"}
    assert (plan.memory_model, plan.unsupported) == ("sc", "")


def test_the_memory_model_and_its_bounds(load: Load) -> None:
    weak = plan_of(load, "{ memory = weak; history = 3; } expect pass states 30")
    assert (weak.memory_model, weak.history, weak.store_buffer, weak.expectation.states) == ("weak", 3, 2, 30)
    tso = plan_of(load, "{ memory = tso; store_buffer = 3; } expect pass")
    assert (tso.memory_model, tso.store_buffer, tso.history) == ("tso", 3, 2)
    again = plan_of(load, "{ memory = weak; } expect pass states 30", Overrides(memory_model="sc"))
    assert (again.memory_model, again.expectation.states) == ("sc", None)
    assert plan_of(load, "{ memory = weak; } expect pass", Overrides(history=0)).history == 0


def test_any_number(load: Load) -> None:
    assert plan_of(load, "{ CPU = any; } expect proved").unbounded == {"CPU"}
    assert not plan_of(load, "{ CPU = any; } expect proved", Overrides(sizes={"CPU": "2"})).unbounded


@pytest.mark.parametrize(
    ("expect", "wanted"),
    [
        ("expect pass", Expectation("pass")),
        ("expect pass states 30", Expectation("pass", states=30)),
        ("expect fail sane", Expectation("fail", ("sane",))),
        ("expect fail sane, leak in 4 steps", Expectation("fail", ("sane", "leak"), steps=4)),
        ('expect fail "n is one" in 1 step', Expectation("fail", ("assert: n is one",), steps=1)),
        ("expect deadlock in 3 steps", Expectation("fail", ("deadlock",), steps=3)),
    ],
)
def test_what_a_check_expects(expect: str, wanted: Expectation, load: Load) -> None:
    assert plan_of(load, expect).expectation == wanted


def test_what_may_stay_unreached(load: Load) -> None:
    plan = plan_of(load, "{ allow unreached f, t, busy, sane; } expect pass")
    assert (plan.allow_all, plan.allowed) == (False, {"f", "t", "busy", "sane"})
    assert plan_of(load, "{ allow unreached; } expect pass").allow_all
    assert not plan_of(load, "expect pass").allow_all


def test_a_check_may_name_its_bug(load: Load) -> None:
    assert plan_of(load, 'bug "lazy-tlb-race" expect fail sane').bug == "lazy-tlb-race"
    assert plan_of(load, "expect pass").bug is None


@pytest.mark.parametrize(
    ("check", "code", "hint"),
    [
        ("{ SET_MSK = true; } expect pass", "LZ206", "did you mean 'SET_MASK'?"),
        ("{ CPUS = 3; } expect pass", "LZ206", "did you mean 'CPU'?"),
        ("{ memory = arm; } expect pass", "LZ206", "sc, tso or weak"),
        ("expect fail sain", "LZ208", "did you mean 'sane'?"),
        ("expect fail busy", "LZ208", ""),
        ("expect fail", "LZ208", "expect fail PROPERTY"),
        ("{ SET_MASK = 3; } expect pass", "LZ301", ""),
        ("{ LIMIT = 7; } expect pass", "LZ301", ""),
        ("{ MODE = true; } expect pass", "LZ301", ""),
        ("{ CPU = true; } expect pass", "LZ601", ""),
    ],
)
def test_what_a_check_cannot_ask(check: str, code: str, hint: str, load: Load) -> None:
    found = refused(load, check)
    assert (found.code, found.hint) == (code, hint)
    assert found.span.line > 0


def test_other_numbers_make_the_counts_void(load: Load) -> None:
    check = "{ CPU = 1; } expect fail sane in 4 steps states 9"
    assert plan_of(load, check, Overrides(sizes={"CPU": "1"})).expectation.steps == 4
    changed = plan_of(load, check, Overrides(sizes={"CPU": "3"}))
    assert (changed.sizes, changed.expectation) == ({"CPU": 3}, Expectation("fail", ("sane",)))
    changed = plan_of(load, check, Overrides(config={"SET_MASK": "false"}))
    assert (changed.config["SET_MASK"], changed.expectation.states) == (False, None)


@pytest.mark.parametrize(
    ("overrides", "hint"),
    [
        (Overrides(config={"SET_MSK": "true"}), "did you mean 'SET_MASK'?"),
        (Overrides(config={"LIMIT": "9"}), ""),
        (Overrides(sizes={"CPUS": "2"}), "did you mean 'CPU'?"),
        (Overrides(sizes={"CPU": "many"}), ""),
    ],
)
def test_what_the_command_line_cannot_set(overrides: Overrides, hint: str, load: Load) -> None:
    found = refused(load, "expect pass", overrides)
    assert (found.code, found.hint) == ("LZ605", hint)


def test_checks_are_chosen_by_name(load: Load) -> None:
    model = load(f"{MODEL} check first expect pass; check second expect pass; check third expect pass;")

    def names(chosen: list[str] | None) -> list[str]:
        return [plan.name for plan in plans(model, chosen, Overrides())]

    assert names(None) == ["first", "second", "third"]
    assert names([]) == ["first"]
    assert names(["third", "first"]) == ["third", "first"]
    with pytest.raises(UserError) as caught:
        names(["secnd"])
    assert caught.value.diagnostics[0].hint == "did you mean 'second'?"


def test_a_sort_needs_an_element(load: Load) -> None:
    model = load(f"{MODEL} check c {{ TASK = 0; }} expect pass;")
    (plan,) = plans(model, None, Overrides())
    with pytest.raises(UserError) as caught:
        make_instance(model, plan)
    (found,) = caught.value.diagnostics
    assert (found.code, found.message) == ("LZ601", "sort 'TASK' has no element")
    assert plan.declared is not None
    assert found.span == plan.declared.settings[0].span


def test_the_models_default_of_a_config_wins(tmp_path: Path) -> None:
    (tmp_path / "part.lzm").write_text("library part;\nconfig A = true;\n")
    file = tmp_path / "model.lzm"
    file.write_text('model m;\nuse "part";\nconfig A = false;\nvar x : bool = A;\nthread t { x = !x; }\n')
    model = load_model(str(file))
    (plan,) = plans(model, None, Overrides())
    assert plan.config == {"A": False}


def test_one_file_has_one_default_of_a_config(tmp_path: Path) -> None:
    file = tmp_path / "model.lzm"
    file.write_text("model m;\nconfig A = false;\nconfig A = true;\nthread t { skip; }\n")
    with pytest.raises(UserError, match="declared twice"):
        load_model(str(file))


WORDS = (
    *("use", "config", "enum", "sort", "object", "static", "record", "fn", "proc", "init", "final", "check"),
    *("ordered", "hw", "ghost", "var", "percpu", "weak", "interrupt", "nmi", "thread", "task", "hardware"),
    *("invariant", "lemma", "step", "cover"),
)


@pytest.mark.parametrize("word", WORDS)
def test_a_word_of_declarations_may_begin_a_statement_even_after_a_block(word: str, load: Load) -> None:
    changes = f"{word} = 1; {word} += 1; {word} -= 1;"
    model = load(
        f"sort CPU = 2; var {word} : 0..3; var marks : set of CPU; thread t on CPU {{ "
        f"if this_cpu in marks {{ skip; }} {changes} loop {{ {changes} break; }} {word}\n = 2; }} "
        f"thread u[{word}s : CPU] {{ {changes} }}"
    )
    lower_model(typecheck(model))


def test_behind_a_body_these_words_begin_declarations(load: Load) -> None:
    model = load("sort CPU = 2; var x : bool; proc f() { skip; } final (x); fn g() : bool = x; init { x = true; }")
    assert (len(model.finals), len(model.inits), list(model.fns)) == (1, 1, ["g"])
