"""All states as sets, and what is learned from them."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest

from checker.cli import main
from checker.core import fold, semantics
from checker.core import system as y
from checker.core.instance import Instance
from checker.core.verdict import ExitCode
from checker.lang.names import load_model
from checker.native.build import NoCompiler, find_compiler
from checker.native.dump import dump_states
from checker.plan import Overrides, make_instance, plans
from checker.prove.census import Census, fact_of
from checker.prove.certificate import read, sections
from checker.prove.clauses import Clause
from checker.prove.holders import learn
from checker.prove.learning import Learner
from checker.prove.protocol import protocol
from checker.prove.run import check_certificate, property_clauses, prove, smaller
from checker.prove.sampling import censuses
from checker.prove.shapes import why
from checker.prove.structure import Structure
from checker.prove.wording import clause_text, read_line
from checker.search import reachable
from tests.models import system_of
from tests.prove import protocols

USERS = """model users;
sort CPU = 2;
object obj = 1 { users : set of CPU; }
percpu seen : obj?;
thread t on CPU {
    loop {
        pick o : obj;
        atomic { seen = o; o.users += this_cpu; }
        atomic {
            o.users -= this_cpu;
            seen = null;
        }
    }
}
invariant used: forall c : CPU { seen[c] => c in seen[c].users };
"""

BOOT = """model boot;
/// Each CPU holds a reference on the first object from the beginning.
sort CPU = 2;
object obj = 1 { refs : refcount; }
static first : obj;
config COUNTED = true;
percpu uses : obj? = first;
init { first.refs = 1 + (COUNTED ? size({c : CPU}) : 1); }
thread t on CPU {
    loop {
        if uses {
            atomic { put(uses.refs); uses = null; }
        } else {
            atomic { get(first.refs); uses = first; }
        }
    }
}
invariant counted: forall c : CPU where uses[c] { uses[c].refs > 0 };
check all_sizes { CPU = any; obj = any; } expect proved;
"""


def has_compiler() -> bool:
    try:
        find_compiler()
    except NoCompiler:
        return False
    return True


def small(text: str, **sizes: int) -> Instance:
    return Instance(system_of(text), sizes)


def expressions(instance: Instance) -> list[tuple[y.Expr, tuple[y.Param, ...]]]:
    """Guards of all actions, those of faults too, and what the updates assign; and the properties."""
    found: list[tuple[y.Expr, tuple[y.Param, ...]]] = [
        (p.expr, ()) for p in instance.system.properties if p.expr is not None
    ]
    for action in instance.system.actions:
        found += [(fold.and_(action.guard), action.params)]
        found += [(u.where, (*action.params, *u.binders)) for u in action.updates]
    return found


@pytest.mark.parametrize("text", [protocols.REFS, protocols.SHOOT, protocols.FLAG])
def test_an_expression_is_true_where_the_semantics_says_so(text: str) -> None:
    instance = small(text)
    states, complete = reachable(instance, 3_000)
    census = Census(instance, states, complete=complete)
    compared = 0
    for expr, params in expressions(instance):
        for chosen in itertools.islice(instance.tuples(tuple(p.sort for p in params)), 6):
            env = dict(zip((p.name for p in params), chosen, strict=True))
            truth = census.truth(expr, env)
            for number in range(0, len(states), 7):
                try:
                    meant = bool(semantics.evaluate(instance, expr, states[number], env))
                except semantics.UndefinedRead:  # where that is, nobody asks
                    continue
                assert bool(truth >> (len(states) - 1 - number) & 1) == meant, (expr, env)
                compared += 1
    assert compared > 15


@pytest.mark.skipif(not has_compiler(), reason="no C compiler")
def test_packed_states_of_the_native_engine_are_the_same_states() -> None:
    instance = small(protocols.SHOOT)
    dump = dump_states(instance, 1_000_000, 500)
    census = Census(instance, dump, complete=dump.complete)
    listed = set(reachable(instance, 100_000)[0])
    packed = [census.state(n) for n in range(census.count)]
    assert dump.complete and set(packed) <= listed and len(set(packed)) == len(packed) < len(listed)
    again = Census(instance, packed, complete=True)
    for slot in range(len(instance.slots)):
        assert census.table(slot) == again.table(slot)
    few = census.sampled(50)
    assert 25 <= few.count <= 50 and {few.state(n) for n in range(few.count)} <= set(packed)


@pytest.mark.skipif(not has_compiler(), reason="no C compiler")
def test_instances_grow_until_there_are_too_many_states() -> None:
    sizes = [dict(c.instance.sizes) for c in censuses(small(protocols.REFS))]
    assert any(s["CPU"] >= 3 and s["obj"] >= 3 for s in sizes)
    assert all(c.complete for c in censuses(small(protocols.FLAG)))


def test_a_learned_clause_excludes_its_counterexample_and_no_state() -> None:
    instance = small(protocols.REFS)
    made = protocol(instance.system)
    states, complete = reachable(instance, 100_000)
    census = Census(instance, states, complete=complete)
    learner = Learner(made, [census])
    sizes = {s.name: instance.count(s.name) for s in instance.system.sorts}
    structure = Structure(made, sizes)
    structure.tables = {
        "handle": {(0,): 0, (1,): -1},
        "obj.live": {(0,): False, (1,): True},
        "t.pc": {(0,): 0, (1,): 0},
    }
    structure.known = {(var, key) for var, table in structure.tables.items() for key in table}
    (prop,) = property_clauses(p for p in instance.system.properties if p.name == "live_handles")
    cells = why(made, structure, {p.name: 0 for p in prop.vars}, prop.never)
    assert cells == {("handle", (0,)), ("obj.live", (0,))}
    learned = learner.learn(structure, cells)
    assert learned and not any(census.violates(clause) for clause in learned)
    best = max(learned, key=learned.__getitem__)
    assert clause_text(made, best) == "never c : CPU: !live(handle[c]) && handle[c] != null;"
    assert "never c : CPU, o : obj: !live(o) && handle[c] == o;" in [clause_text(made, c) for c in learned]
    others = learner.learn(structure, cells, {best})
    assert others and best not in others
    assert not any(census.violates(clause) for clause in others)


@pytest.mark.parametrize(
    "text",
    [
        "never c : CPU: !live(handle[c]) && handle[c] != null;",
        "never c : CPU: handle[c].refs <= 0 && handle[c] != null;",
        "never c : CPU, c2 : CPU: c2 in seen[c].users && seen[c2] == null;",
        "never c : CPU, c2 : CPU: !(c2 in seen[c].users) && seen[c] != null;",
    ],
)
def test_clauses_through_pointers_are_read_as_they_are_written(text: str) -> None:
    made = protocol(system_of(USERS))
    if "handle" in text:
        made = protocol(small(protocols.REFS).system)
    clause = read_line(made, text)
    assert isinstance(clause, Clause) and clause_text(made, clause) == text


def test_no_clause_contradicts_what_is_believed() -> None:
    instance = small(protocols.REFS)
    made = protocol(instance.system)
    learner = Learner(made, [Census(instance, reachable(instance, 100_000)[0], complete=True)])
    structure = Structure(made, {s.name: instance.count(s.name) for s in instance.system.sorts})
    structure.tables = {"handle": {(0,): 0, (1,): -1}, "obj.live": {(0,): False, (1,): True}}
    structure.known = {(var, key) for var, table in structure.tables.items() for key in table}
    cells = frozenset({("handle", (0,)), ("obj.live", (0,))})
    before = learner.learn(structure, cells)
    assert before
    believed = learner.beliefs.add(structure, None, {})
    assert all(believed.violates(clause) for clause in before)
    assert not learner.learn(structure, cells, late=True)


def test_the_same_words_about_elements_in_another_order_are_another_fact() -> None:
    instance = small(protocols.REFS)
    states = reachable(instance, 100_000)[0]
    c, o = y.Param("c", "CPU"), y.Param("o", "obj")
    holds = y.Op("eq", (y.Read("handle", (c,), y.Elem("obj", optional=True)), o))
    one, other = fact_of(holds, (c, o)), fact_of(holds, (o, c))
    both, alone = Census(instance, states, complete=True), Census(instance, states, complete=True)
    assert both.fact(one, (0, 1)) == both.fact(other, (1, 0))
    assert both.fact(other, (0, 1)) == alone.fact(other, (0, 1)) != both.fact(one, (0, 1))


def test_a_clause_that_some_state_violates_is_seen_to() -> None:
    instance = small(protocols.REFS)
    made = protocol(instance.system)
    census = Census(instance, reachable(instance, 100_000)[0], complete=True)
    for text, violated in (
        ("never c : CPU, o : obj: !live(o) && handle[c] == o;", False),
        ("never c : CPU, o : obj: live(o) && handle[c] == o;", True),
        ("never c : CPU, c2 : CPU, o : obj: handle[c] == o && handle[c2] == o;", True),
        ("never c : CPU, c2 : CPU, o : obj: handle[c] == o && handle[c2] == o && o.refs <= 1;", False),
    ):
        clause = read_line(made, text)
        assert isinstance(clause, Clause) and census.violates(clause) == violated, text


def test_a_counter_may_begin_with_the_number_of_cpus() -> None:
    proof = prove(small(BOOT), "all_sizes")
    assert proof.verdict == "proved" and proof.certificate is not None
    (equation,) = proof.certificate.equations
    assert [len(h.index) for h in equation.holders] == [0, 1]
    wrong = Instance(system_of(BOOT, {"COUNTED": False}))
    assert prove(wrong, "all_sizes").verdict == "violated"
    instance = small(BOOT)
    states = [(instance, reachable(instance, 10_000)[0])]
    assert [e.var for e in learn(protocol(instance.system), states)] == ["obj.refs"]


@pytest.mark.parametrize(
    ("model", "wrong", "violated"),
    [
        ("shoot_lazies", "SET_MASK=false", "mask_covers"),
        ("shoot_lazies", "MMU_LAZY_TLB_SHOOTDOWN=false", "WARN_ON_ONCE(mm == current->active_mm)"),
    ],
)
def test_what_is_wrong_is_violated_at_some_size(
    model: str, wrong: str, violated: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = Path(__file__).parents[2] / "models" / f"{model}.lzm"
    assert main(["prove", str(path), "--check", "all_sizes", "-D", wrong]) == ExitCode.SURPRISE
    out = capsys.readouterr().out
    assert "VIOLATED" in out and violated in out and f"-D {wrong}" in out


@pytest.mark.parametrize(
    ("name", "line", "wrong"),
    [
        ("shoot_lazies", "next.mask += this_cpu;", "next.mask -= this_cpu;"),
        ("shoot_lazies", "active_mm = next;", "active_mm = init_mm;"),
        ("lazy_refcount", "if GRAB_ON_BORROW {", "if !GRAB_ON_BORROW {"),
        ("lazy_refcount", "rq.prev_mm = tsk[prev].active_mm;", "rq.prev_mm = null;"),
    ],
)
def test_the_certificate_of_a_model_is_none_for_a_wrong_one(name: str, line: str, wrong: str) -> None:
    path = Path(__file__).parents[2] / "models" / f"{name}.lzm"
    text = path.read_text(encoding="utf-8")
    assert line in text
    model = load_model(str(path), text=text.replace(line, wrong))
    (plan,) = plans(model, ["all_sizes"], Overrides())
    mutant = smaller(make_instance(model, plan), ())
    section = sections(path.with_suffix(".inv").read_text(encoding="utf-8"))["all_sizes"]
    again = check_certificate(mutant, read(protocol(mutant.system), "all_sizes", section))
    assert not again.good and again.failure is not None and again.failure.counterexample is not None
