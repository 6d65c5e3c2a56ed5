"""The route after an edit, and how much of it a turn follows: its work grows with the steps, not with their square."""

import sys
from dataclasses import replace
from types import FrameType
from typing import Any

import pytest

from app.core import strict_json
from app.survey.commands import Answer, Begin, Rejection
from app.survey.definition import Survey, parse_definition
from app.survey.flow import decide
from app.survey.state import SessionState, apply
from tests.survey.test_flow_properties import check_laws
from tests.survey.test_pages import after, definition

GATE = "answers.Q0 == 1"
CHAIN = "answered(answers.Q{before})"
READS_ALL = "answers.exists(id, answers[id] == 1)"


def numbers(count: int, show_if: str, first: dict[str, Any]) -> Survey:
    """Return a survey of numbers Q0, Q1 and so on, all but the first with this condition."""
    steps = [{"id": "Q0", **first}]
    steps += [{"id": f"Q{i}", "show_if": show_if.format(before=i - 1)} for i in range(1, count)]
    for step in steps:
        step |= {"type": "number", "prompt": "p", "required": False}
    document = {"id": "numbers", "title": "t", "language": "en", "steps": steps}
    return parse_definition(strict_json.encode(document), "numbers")


def all_answered(survey: Survey) -> SessionState:
    """Return a session at the last step, with an answer to each."""
    begun = decide(survey, None, Begin(at=1))
    assert not isinstance(begun, Rejection)
    ids = survey.graph.ids
    return replace(
        apply(None, begun), answers=dict.fromkeys(ids, 1), step_history=tuple(ids[:-1]), current_step=ids[-1]
    )


def calls_of(survey: Survey, state: SessionState, command: Answer) -> tuple[int, SessionState]:
    """Return how many functions a turn calls, and the state after it."""
    assert survey.graph.ids
    calls = 0

    def count(_frame: FrameType, kind: str, _argument: object) -> None:
        nonlocal calls
        calls += kind in {"call", "c_call"}

    before = sys.getprofile()
    sys.setprofile(count)
    try:
        event = decide(survey, state, command)
    finally:
        sys.setprofile(before)
    assert not isinstance(event, Rejection)
    return calls, apply(state, event)


@pytest.mark.parametrize(
    ("show_if", "first"),
    [(GATE, {}), (CHAIN, {}), (CHAIN, {"next": [{"when": READS_ALL.replace("1", "99"), "go": "Q1"}]})],
    ids=["one question shows all", "each shows the next", "each shows the next and a rule reads all"],
)
def test_edit_takes_twice_the_work_when_the_survey_is_twice_as_long(show_if: str, first: dict[str, Any]) -> None:
    """Though it hides every other step."""
    work = []
    for count in (100, 200):
        survey = numbers(count, show_if, first)
        calls, after = calls_of(survey, all_answered(survey), Answer(at=1, step="Q0", value=None))
        check_laws(survey, after)
        work.append(calls)
    assert work[1] < 2.5 * work[0]


@pytest.mark.parametrize("show_if", [GATE, CHAIN])
def test_first_answer_takes_the_same_work_however_long_the_survey_is(show_if: str) -> None:
    """The steps that it shows are not visited, nor those before."""
    work = []
    for count in (10, 200):
        survey = numbers(count, show_if, {})
        state = replace(all_answered(survey), answers={}, step_history=(), current_step="Q0")
        calls, after = calls_of(survey, state, Answer(at=1, step="Q0", value=1))
        assert after.current_step == "Q1"
        work.append(calls)
    assert work[1] == work[0]


def test_readers_take_no_more_space_when_conditions_read_all_answers() -> None:
    """A condition that reads everything is kept once, not with each step."""
    readers = numbers(100, READS_ALL, {}).graph.readers
    assert sum(map(len, readers.own.values())) + sum(map(len, readers.gates.values())) < 100


@pytest.mark.parametrize(
    ("shown", "left"),
    [
        ({"Q2": "answers.Q0 == 1"}, ["Q0", "Q1", "Q3"]),
        ({"Q1": "answers.Q0 == 1", "Q3": "answered(answers.Q1)"}, ["Q0", "Q2"]),
        ({"Q1": "answers.Q0 == 1", "Q2": "answers.Q0 == 1 || !answered(answers.Q1)"}, ["Q0", "Q2", "Q3"]),
    ],
    ids=["behind another step", "by one that has left", "never for an answer that has left already"],
)
def test_edit_hides_a_step(shown: dict[str, str], left: list[str]) -> None:
    """What has left the route is not read, and what stays on it keeps its answer."""
    conditions = ({"show_if": shown[step]} if step in shown else {} for step in ("Q0", "Q1", "Q2", "Q3"))
    steps = [{"id": f"Q{i}", "type": "number", "prompt": "p", **own} for i, own in enumerate(conditions)]
    document = {"id": "example", "title": "t", "language": "en", "steps": steps}
    survey = parse_definition(strict_json.encode(document), "example")
    event = decide(survey, all_answered(survey), Answer(at=1, step="Q0", value=2))
    assert not isinstance(event, Rejection)
    after = apply(all_answered(survey), event)
    assert list(after.answers) == left
    check_laws(survey, after)


def test_step_after_a_field_that_is_hidden_later_is_led_on_from_anew() -> None:
    """It reads a page that the edit changes, not the edited step itself."""
    survey = definition("""
id: example
title: Example
language: en
steps:
  - {id: a, type: boolean, prompt: p}
  - {id: b, type: page, prompt: p, fields: [{id: c, type: boolean, prompt: p, show_if: answers.a},
                                            {id: d, type: info, prompt: p}]}
  - {id: e, type: boolean, prompt: p, next: [{when: answers.c, go: g}]}
  - {id: f, type: boolean, prompt: p, show_if: answers.c != true}
  - {id: g, type: boolean, prompt: p}
""")
    given = (("a", True), ("b", {"c": True}), ("e", True), ("a", False))
    state, _ = after(*given, survey=survey)
    assert (state.current_step, state.step_history) == ("f", ("a", "b", "e"))


def test_page_that_an_earlier_rule_reads_loses_a_field_that_it_hides() -> None:
    """The rule is evaluated again without the field; here the page is reached on another way, and asks for it again."""
    survey = definition("""
id: example
title: Example
language: en
steps:
  - {id: a, type: boolean, prompt: p, next: [{when: answers.d, go: c}]}
  - {id: b, type: boolean, prompt: p, required: false}
  - {id: c, type: page, prompt: p, fields: [{id: d, type: boolean, prompt: p, show_if: answers.b}, {id: e, type: info, prompt: p}]}
  - {id: f, type: boolean, prompt: p}
""")
    state, _ = after(("a", True), ("b", True), ("c", {"d": True}), survey=survey)
    assert (state.current_step, state.answers) == ("c", {"a": True, "b": True})
    assert (state.step_history, state.drafts["c"]) == (("a", "b"), {"d": True, "e": None})
