"""The machine-readable records: JSON by their schemas, ITF by its rules."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from referencing import Registry, Resource

import checker.report
from checker.core.semantics import apply, initial_states
from checker.core.trace import Choice
from checker.core.verdict import CheckResult, Expectation, Limits, Outcome, PropertyVerdict
from checker.report.itf import ACTION, PICKS, itf_record
from checker.report.jsonfmt import result_record, trace_record
from checker.report.output import json_text
from tests.report import sample

SCHEMAS = Path(checker.report.__file__).parent / "schema"


def validator(name: str) -> Draft202012Validator:
    """The validator of a schema, which may refer to the others."""
    documents = {path.name: json.loads(path.read_text()) for path in SCHEMAS.glob("*.schema.json")}
    for document in documents.values():
        Draft202012Validator.check_schema(document)
    registry: Registry[Any] = Registry().with_resources(
        (document["$id"], Resource.from_contents(document)) for document in documents.values()
    )
    return Draft202012Validator(documents[name], registry=registry)


def results() -> Iterator[CheckResult]:
    yield sample.passing()
    yield sample.failing()
    yield sample.result_of()
    instance = sample.sample()
    for outcome in Outcome:
        verdicts = tuple(PropertyVerdict(prop, outcome, note="why") for prop in instance.system.properties)
        limits = Limits(states=10, depth=3, seconds=1.5, memory=512)
        yield sample.result_of(*verdicts, limits=limits, expectation=Expectation("fail", ("no_freed_mm",), 6, 10))


@pytest.mark.parametrize("result", list(results()))
def test_results_follow_their_schema(result: CheckResult) -> None:
    validator("result-1.schema.json").validate(json.loads(json_text(result_record(result))))


@pytest.mark.parametrize("seed", range(6))
def test_traces_follow_their_schema(seed: int) -> None:
    trace = sample.random_trace(seed, 20, CPU=3, mm=2)
    record = json.loads(json_text(trace_record(trace, model="lazies.lzm", check="upstream")))
    validator("trace-1.schema.json").validate(record)


def test_the_schemas_refuse_what_is_foreign() -> None:
    record = {**result_record(sample.passing()), "extra": 1}
    assert not validator("result-1.schema.json").is_valid(record)


def test_a_saved_trace_is_found_again_by_key_branch_and_elements() -> None:
    trace = sample.fault_trace()
    record = json.loads(json_text(trace_record(trace)))
    instance = trace.instance
    assert record["initial"]["number"] == 0
    state = list(initial_states(instance))[record["initial"]["number"]]
    for saved, step in zip(record["steps"], trace.steps, strict=True):
        (action,) = (a for a in instance.system.actions if a.key == saved["action"] and a.branch == saved["branch"])
        assert action is step.action
        names = {param.name: [instance.element_name(param.sort, e) for e in instance.elements(param.sort)]
                 for param in action.params}  # fmt: skip
        args = tuple(names[param.name].index(saved["args"][param.name]) for param in action.params)
        if action.fault is None:
            state = apply(instance, state, Choice(action.name, args))
        assert state == step.state


def test_the_initial_state_reads_well() -> None:
    state: Any = trace_record(sample.freed_trace())["initial"]
    assert state["state"]["mm.live"] == {"init_mm": True, "mm0": False}
    assert state["state"]["mm.mask"]["mm0"] == {"CPU0": False, "CPU1": False}
    assert state["state"]["cur"] == {"CPU0": None, "CPU1": None}
    assert state["state"]["cpu_loop.pc"]["CPU0"] == "rest"
    assert state["state"]["reaper.pc"] == "rest"


def test_steps_say_who_and_where() -> None:
    steps: Any = trace_record(sample.freed_trace())["steps"]
    assert steps[1]["cpu"] == "CPU1" and steps[1]["function"] == "switch_mm_irqs_off"
    assert steps[1]["changes"] == [
        {"var": "mm.mask", "index": ["mm0", "CPU1"], "slot": "mm0.mask[CPU1]", "old": False, "new": True}
    ]
    assert steps[4]["cpu"] is None and steps[4]["branch"] is True and steps[4]["args"] == {"m": "mm0"}


def test_result_says_what_was_expected() -> None:
    record: Any = result_record(sample.failing())
    assert record["as_expected"] is False and record["exit_status"] == 1
    assert record["properties"][0]["expected"] == "holds"
    expected = replace(sample.failing(), surprises=(), expectation=Expectation("fail", ("no_freed_mm",)))
    record = result_record(expected)
    assert record["as_expected"] is True and record["exit_status"] == 0
    assert [prop["expected"] for prop in record["properties"]] == ["violated", None]
    assert result_record(sample.passing())["covers"] == {"lazy_at_drop": {"reached": True, "steps": 4}}


def itf_values(value: Any) -> Iterator[Any]:
    """All values within an ITF value; each must have one of the format's forms."""
    yield value
    match value:
        case {"#map": pairs}:
            for key, inner in pairs:
                yield from itf_values(key)
                yield from itf_values(inner)
        case {"#set": items} | {"#tup": items} | [*items]:
            for item in items:
                yield from itf_values(item)
        case {"#bigint": text}:
            assert str(int(text)) == text
        case dict():
            assert not any(key.startswith("#") for key in value)
            for inner in value.values():
                yield from itf_values(inner)
        case _:
            assert isinstance(value, (bool, str))


@pytest.mark.parametrize("seed", range(4))
def test_itf_structure(seed: int) -> None:
    trace = sample.random_trace(seed, 15, CPU=2, mm=2)
    record: Any = json.loads(json_text(itf_record(trace, model="lazies.lzm")))
    assert record["#meta"]["format"] == "ITF"
    assert len(record["states"]) == len(trace.steps) + 1
    for number, state in enumerate(record["states"]):
        assert state["#meta"] == {"index": number}
        assert set(state) == {"#meta", *record["vars"]}
        for name in record["vars"]:
            assert list(itf_values(state[name]))


def test_itf_values() -> None:
    record: Any = itf_record(sample.freed_trace())
    first, last = record["states"][0], record["states"][2]
    assert first[ACTION] == "init"
    assert first[PICKS]["m"] == {"tag": "None", "value": {"#tup": []}}
    assert last[ACTION] == "mask"
    assert last[PICKS] == {
        "m": {"tag": "None", "value": {"#tup": []}},
        "this_cpu": {"tag": "Some", "value": "CPU1"},
    }
    assert last["mm.mask"] == {"#map": [["init_mm", {"#set": []}], ["mm0", {"#set": ["CPU1"]}]]}
    assert last["mm.count"] == {"#map": [["init_mm", {"#bigint": "0"}], ["mm0", {"#bigint": "1"}]]}
    assert last["cur"] == {"#map": [["CPU0", "null"], ["CPU1", "null"]]}
    assert last["reaper.pc"] == "rest"
