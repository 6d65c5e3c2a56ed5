"""Computed values: as the answers are, and recorded when the session is completed."""

import json
from typing import Any

import pytest
import yaml

from app.survey import conditions
from app.survey.checks.answers import value_facts
from app.survey.commands import Answer, Begin, Rejection, Restart, Save, Update
from app.survey.definition import Survey, parse_definition
from app.survey.events import Answered, AnyEvent, from_record, to_record
from app.survey.flow import decide
from app.survey.snapshot import SessionKey, Snapshot
from app.survey.state import SessionState, apply
from app.web.ws.messages import session_fields
from tests.survey.test_scopes import DAY, NEW_YEAR

BMI = """
id: example
title: Example
language: en
values:
  bmi: round(answers.weight / (answers.height * answers.height), 1)
  band: 'values.bmi >= 30 ? "high" : "usual"'
  parts: '[answers.height, answers.weight]'
  day: today
steps:
  - {id: height, type: number, prompt: p}
  - {id: weight, type: number, prompt: p, next: [{when: 'values.band == "high"', go: more}, {go: end}]}
  - {id: more, type: text, prompt: p, required: false}
  - {id: last, type: info, prompt: p, show_if: values.bmi > 35}
end:
  - {when: values.bmi >= 30, title: High}
  - {title: Usual}
"""


def definition(text: str) -> Survey:
    return parse_definition(json.dumps(yaml.safe_load(text)), "example.yaml")


SURVEY = definition(BMI)


def after(*commands: Any, survey: Survey = SURVEY) -> tuple[SessionState, AnyEvent]:
    """Return the state and the last event of these commands."""
    state, event = None, None
    for command in commands:
        event = decide(survey, state, command)
        assert not isinstance(event, Rejection), event
        assert from_record(to_record(event)) == event
        state = apply(state, event)
    assert state is not None
    assert event is not None
    return state, event


def values(state: SessionState, survey: Survey | None = SURVEY) -> Any:
    return Snapshot(key=SessionKey("example", "ann"), state=state, survey=survey).to_dict(NEW_YEAR + DAY)["values"]


def answers(**by_step: Any) -> list[Answer]:
    return [Answer(at=NEW_YEAR, step=step, value=value) for step, value in by_step.items()]


BEGIN = Begin(at=NEW_YEAR)


def test_values_follow_the_answers_in_order() -> None:
    """Null where the expression has no value; the time is that of the walk's start."""
    state, _ = after(BEGIN, *answers(height=2))
    assert values(state) == {"bmi": None, "band": None, "parts": [2, None], "day": "2026-01-01"}
    state, _ = after(BEGIN, *answers(height=2, weight=130))
    assert values(state) == {"bmi": 32.5, "band": "high", "parts": [2, 130], "day": "2026-01-01"}


@pytest.mark.parametrize(
    ("weight", "to", "ending"), [(100, "end", 2), (130, "more", None), (160, "more", None)], ids=str
)
def test_rules_and_endings_read_values(weight: int, to: str, ending: int | None) -> None:
    """As they are at this point of the walk."""
    state, _ = after(BEGIN, *answers(height=2, weight=weight))
    assert (state.current_step, state.ending) == (to, ending)


@pytest.mark.parametrize(("weight", "to"), [(130, "end"), (160, "last")])
def test_show_if_reads_values(weight: int, to: str) -> None:
    state, _ = after(BEGIN, *answers(height=2, weight=weight, more="x"))
    assert state.current_step == to


def test_edit_changes_the_route_through_a_value() -> None:
    """The readers of a value are those of the answers that it reads."""
    state, event = after(BEGIN, *answers(height=2, weight=160, more="x"), Answer(at=NEW_YEAR, step="height", value=3))
    assert state.current_step == "end"
    assert dict(state.answers) == {"height": 3, "weight": 160}
    assert getattr(event, "dropped", ()) == ("more",)


def test_completion_records_the_values() -> None:
    """From then on they count, whatever the survey's later revisions compute."""
    state, event = after(BEGIN, *answers(height=2, weight=100))
    recorded = {"bmi": 25, "band": "usual", "parts": [2, 100], "day": "2026-01-01"}
    assert getattr(event, "values", None) == recorded
    assert values(state, None) == recorded
    assert values(state, definition(BMI.replace("round(", "1 + round("))) == recorded


def test_restart_computes_them_anew() -> None:
    state, _ = after(BEGIN, *answers(height=2, weight=100), Restart(at=NEW_YEAR + DAY))
    assert values(state) == {"bmi": None, "band": None, "parts": [None, None], "day": "2026-01-02"}


def saved(step: str, **by_step: Any) -> Save:
    return Save(
        at=NEW_YEAR,
        current_step=step,
        answers=by_step,
        step_history=tuple(by_step),
        is_audio_mode=False,
        session_data=None,
    )


def test_saved_state_that_is_completed_records_values() -> None:
    """A later change of its answers records them again, a change of other fields does not."""
    state, _ = after(saved("end", height=2, weight=130))
    assert state.values is not None
    assert (state.values["bmi"], state.ending) == (32.5, 1)
    kept, _ = after(saved("end", height=2, weight=130), Update(at=NEW_YEAR, changes={"session_data": {"a": 1}}))
    assert kept.values == state.values
    changed, _ = after(
        saved("end", height=2, weight=130), Update(at=NEW_YEAR, changes={"answers": {"height": 2, "weight": 100}})
    )
    assert changed.values is not None
    assert (changed.values["bmi"], changed.ending) == (25, 2)
    reopened, _ = after(saved("end", height=2, weight=130), saved("weight", height=2))
    assert reopened.values is None


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("answers.a", 1e300),
        ("[answers.a, 2]", [1e300, 2]),
        ("answers.b", 2**53),
        ("answers.b * 4", 2.0**55),
        (r'"\u0000"', None),
        (r'{"\u0000": 1}', None),
        ("[" * 33 + "1" + "]" * 33, None),
    ],
)
def test_value_that_no_database_stores_is_null(expression: str, value: object) -> None:
    """A number is one of JSON, however large."""
    one = definition(f"""
        id: e
        title: t
        language: en
        values: {{v: '{expression}'}}
        steps: [{{id: a, type: number, prompt: p}}, {{id: b, type: number, prompt: p}}]
    """)
    state, _ = after(BEGIN, *answers(a=1e300, b=2**53), survey=one)
    assert state.values == {"v": value}
    assert type(state.values["v"]) is type(value)


def test_option_with_another_text_is_its_value() -> None:
    """In a field of a page as in a step, and in `answer`."""
    one = definition("""
        id: e
        title: t
        language: en
        values: {k: answers.k, t: other_text(answers.k), l: 'answers.l == ["x", "o"]', g: answers.g}
        steps:
          - {id: g, type: grid, prompt: p, rows: [{id: r, label: R}], options: [0, 2.5]}
          - id: p
            type: page
            prompt: p
            fields:
              - {id: k, type: choice, prompt: p, options: [x, {value: o, other: true}]}
              - {id: l, type: choices, prompt: p, options: [x, {value: o, other: true}]}
            next: [{when: 'answer.k == "o" && answer.l.exists(one, one == "o")', go: end}]
          - {id: z, type: info, prompt: p}
    """)
    other = {"value": "o", "text": "t"}
    state, _ = after(BEGIN, *answers(g={"r": 2.5}, p={"k": other, "l": ["x", other]}), survey=one)
    assert (state.status, state.values) == ("completed", {"k": "o", "t": "t", "l": True, "g": {"r": 2.5}})


def test_survey_that_shows_nothing_records_values() -> None:
    """It completes at once."""
    nothing = definition(
        "{id: e, title: t, language: en, values: {two: 1 + 1},"
        " steps: [{id: a, type: info, prompt: p, show_if: values.two == 3}]}"
    )
    state, event = after(BEGIN, survey=nothing)
    assert (state.status, state.values, getattr(event, "values", None)) == ("completed", {"two": 2}, {"two": 2})


def test_kind_of_a_value_is_known_from_the_fields_of_pages_too() -> None:
    """Exports and analytics take it as a number or a boolean."""
    body = "[{id: height, type: number, prompt: p}, {id: weight, type: number, prompt: p}]"
    paged = BMI.replace(
        "- {id: height, type: number, prompt: p}", f"- {{id: body, type: page, prompt: p, fields: {body}}}"
    )
    paged = paged.replace("- {id: weight, type: number, prompt: p, next", "- {id: next, type: info, prompt: p, next")
    assert [facts.kind for facts in value_facts(definition(paged)).values()] == ["number", "text", "text", "text"]
    assert value_facts(definition(paged)) == value_facts(SURVEY)


def test_fields_of_a_page_compute_a_value_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Checks at load count it once for a command."""
    fields = [f'{{id: f{n}, type: number, prompt: p, max: "{{{{ values.v }}}}"}}' for n in range(3)]
    one = definition(f"""
        {{id: example, title: t, language: en, values: {{v: answers.a + 1}}, steps: [
        {{id: a, type: number, prompt: p}}, {{id: p, type: page, prompt: p, fields: [{", ".join(fields)}]}}]}}""")
    state, _ = after(BEGIN, Answer(at=NEW_YEAR, step="a", value=4), survey=one)
    computed: list[str] = []
    compute = conditions._value
    monkeypatch.setattr(conditions, "_value", lambda one, *rest: computed.append(one.source) or compute(one, *rest))
    found = decide(one, state, Answer(at=NEW_YEAR, step="p", value={"f0": 5, "f1": 6, "f2": 7}))
    assert isinstance(found, Rejection)
    assert [*(found.fields or {})] == ["f1", "f2"]
    assert computed == ["answers.a + 1"]


@pytest.mark.parametrize(
    "part",
    [
        'type: number, show_if: "values.v > 4"',
        'type: choice, options: [{value: 5, label: five, show_if: "values.v > 4"}, {value: 6, label: six}]',
    ],
)
def test_conditions_of_many_fields_compute_a_value_as_often_as_that_of_one(
    part: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of those that read no field of the page: others can have another value at each field."""
    computed: list[str] = []
    compute = conditions._value
    monkeypatch.setattr(conditions, "_value", lambda one, *rest: computed.append(one.source) or compute(one, *rest))

    def count(number: int) -> int:
        fields = [f"{{id: f{n}, prompt: p, {part}}}" for n in range(number)]
        one = definition(f"""
            {{id: example, title: t, language: en, values: {{v: answers.a + 1}}, steps: [
            {{id: a, type: number, prompt: p}}, {{id: p, type: page, prompt: p, fields: [{", ".join(fields)}]}}]}}""")
        state, _ = after(BEGIN, Answer(at=NEW_YEAR, step="a", value=4), survey=one)
        computed.clear()
        event = decide(one, state, Answer(at=NEW_YEAR, step="p", value={f"f{n}": 5 for n in range(number)}))
        assert not isinstance(event, Rejection)
        return len(computed)

    assert count(9) == count(1)


def test_value_that_reads_fields_of_a_page_changes_from_field_to_field() -> None:
    """So does what their conditions read."""
    one = definition("""
        {id: example, title: t, language: en,
        values: {v: "coalesce(answers.a, 0) + coalesce(answers.b, 0)"}, steps: [{id: p, type: page, prompt: p, fields: [
        {id: a, type: number, prompt: p},
        {id: b, type: number, prompt: p, show_if: values.v == 2},
        {id: c, type: number, prompt: p, show_if: values.v == 5}]}]}""")
    state, _ = after(BEGIN, survey=one)
    event = decide(one, state, Answer(at=NEW_YEAR, step="p", value={"a": 2, "b": 3, "c": 4}))
    assert isinstance(event, Answered)
    assert event.answer == {"a": 2, "b": 3, "c": 4}


def test_message_computes_each_value_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """It has the values, and a step whose condition, bounds and prompt read them."""
    one = definition("""
        {id: example, title: t, language: en, values: {v: answers.a + 1}, steps: [
        {id: a, type: number, prompt: p}, {id: p, type: page, prompt: "{{ values.v }}", fields: [
        {id: b, type: number, prompt: p, show_if: values.v == 5, max: "{{ values.v }}"}]}]}""")
    state, _ = after(BEGIN, Answer(at=NEW_YEAR, step="a", value=4), survey=one)
    computed: list[str] = []
    compute = conditions._value
    monkeypatch.setattr(conditions, "_value", lambda one, *rest: computed.append(one.source) or compute(one, *rest))
    message = session_fields(Snapshot(key=SessionKey("example", "ann"), state=state, survey=one), NEW_YEAR)
    assert message["session"]["values"] == {"v": 5}
    assert (message["step"]["prompt"], message["step"]["fields"][0]["max"]) == ("5", 5)
    assert computed == ["answers.a + 1"]
