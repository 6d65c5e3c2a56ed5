"""The page's prediction is what the server decides, for random surveys and commands."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from playwright.sync_api import BrowserContext, Page

from app.survey import commands, flow
from app.survey.checks import parse_survey
from app.survey.commands import AnyCommand, Rejection
from app.survey.definition import Survey
from app.survey.resolve import depends_on
from app.survey.state import SessionState, apply
from tests.browser.participant import RunningServer
from tests.conftest import examples
from tests.survey.test_flow_properties import surveys

pytestmark = pytest.mark.browser

PREDICT = """async ([sessions, commands, steps, revision]) => {
  const { knownRoute, predict } = await import("/assets/client/optimistic.js");
  const byId = new Map(steps.map((step) => [step.id, step]));
  const newest = { first: steps[0].id, revision };
  const survey = { step: (id) => byId.get(id) ?? null, newest, size: steps.length };
  let position = null;
  for (const session of sessions) position = { session, route: knownRoute(session, position, survey) };
  return predict(position, commands, survey);
}"""


@pytest.fixture
def page(new_context: Callable[..., BrowserContext], server: RunningServer) -> Page:
    """An empty page of the server's origin."""
    plain = new_context().new_page()
    plain.goto(f"{server.url}/healthz")
    return plain


def session_json(state: SessionState) -> dict[str, Any]:
    """Return the session as in the server's messages."""
    return {
        "survey_revision": state.survey_revision,
        "status": state.status,
        "current_step": state.current_step,
        "answers": dict(state.answers),
        "step_history": list(state.step_history),
        "is_audio_mode": state.is_audio_mode,
        "draft": None,
    }


def steps_json(survey: Survey) -> list[dict[str, Any]]:
    """Return what predictions read of the steps in ``GET /api/surveys/{id}``."""
    graph = survey.graph
    return [
        {
            "id": step.id,
            "leads_to": graph.fixed_next_step(step.id),
            "reads": None if (read := graph.dependencies(step.id)) is None else sorted(read),
            **depends_on(survey, step.id),
        }
        for step in survey.steps
    ]


def messages(survey: Survey) -> st.SearchStrategy[dict[str, Any]]:
    """Generate commands as a client sends them; an answer without a step is to the current one."""
    step = st.sampled_from([step.id for step in survey.steps])
    answer = st.builds(
        lambda target, value: {"type": "answer", "step": target, "value": value}, step, st.integers(0, 3)
    )
    onward = st.builds(lambda value: {"type": "answer", "step": None, "value": value}, st.integers(0, 3))
    goto = st.builds(lambda target: {"type": "goto", "step": target}, step)
    others = st.sampled_from([{"type": "back"}, {"type": "mode", "audio": True}, {"type": "restart"}])
    return st.one_of(onward, onward, onward, onward, onward, answer, goto, others)


def to_command(message: dict[str, Any]) -> AnyCommand:
    """Return the command that the server parses from a message."""
    match message["type"]:
        case "answer":
            return commands.Answer(at=1, step=message["step"], value=message["value"])
        case "goto":
            return commands.Goto(at=1, step=message["step"])
        case "back":
            return commands.Back(at=1)
        case "mode":
            return commands.SetMode(at=1, is_audio_mode=message["audio"])
        case _:
            return commands.Restart(at=1)


def is_answer_to_info(survey: Survey, message: dict[str, Any]) -> bool:
    """Whether the message answers an info step, which accepts null only; the page sends nothing else."""
    step = survey.step(message.get("step") or "")
    return message["type"] == "answer" and step is not None and step.type == "info"


@given(data=st.data())
@examples(150)
def test_prediction_is_the_server_s_decision_when_nothing_blocks_it(page: Page, data: st.DataObject) -> None:
    """Position, history and mode are what `decide` makes of the commands.

    The server's sessions up to a random command are given to the page; the commands after it are predicted.
    """
    survey = data.draw(surveys())
    event = flow.decide(survey, None, commands.Begin(at=1, is_audio_mode=False))
    assert not isinstance(event, Rejection)
    state = apply(None, event)
    sessions, predicted = [session_json(state)], []
    drawn = data.draw(st.lists(messages(survey), min_size=1, max_size=12))
    cut = data.draw(st.integers(0, len(drawn)))
    for number, content in enumerate(drawn):
        message = {**content, "id": str(number)}
        if "step" in content and content["step"] is None:
            message["step"] = state.current_step
        if is_answer_to_info(survey, message):
            message["value"] = None
        event = flow.decide(survey, state, to_command(message))
        if not isinstance(event, Rejection):
            state = apply(state, event)
        elif event.code in {"invalid_answer", "required"}:
            continue
        if number < cut:
            sessions.append(session_json(state))
        else:
            predicted.append(message)
    prediction = page.evaluate(PREDICT, [sessions, predicted, steps_json(survey), survey.revision])
    if prediction["blockedBy"] is not None:
        return
    expected = session_json(state)
    actual = {name: prediction["session"][name] for name in expected}
    assert actual == expected, json.dumps([survey.model_dump(mode="json"), sessions[-1], predicted])


def test_prediction_stops_when_an_edit_may_hide_a_chosen_option(page: Page) -> None:
    """The server may turn the answer with that option into a draft."""
    survey = parse_survey(
        "id: s\ntitle: S\nlanguage: en\nsteps:\n  - {id: a, type: scale, prompt: p, min: 0, max: 3}\n"
        "  - {id: b, type: choice, prompt: p, options: [x, {value: y, show_if: answers.a > 1}]}\n"
        "  - {id: c, type: info, prompt: p}\n",
        "s.yaml",
    )
    answers = [commands.Answer(at=1, step=step, value=value) for step, value in (("a", 3), ("b", "y"))]
    state: SessionState | None = None
    for command in (commands.Begin(at=1), *answers):
        event = flow.decide(survey, state, command)
        assert not isinstance(event, Rejection)
        state = apply(state, event)
    assert state is not None
    edit = {"type": "answer", "id": "edit", "step": "a", "value": 1}
    same = {"type": "answer", "id": "same", "step": "b", "value": "x"}
    predictions = [
        page.evaluate(PREDICT, [[session_json(state)], [command], steps_json(survey), survey.revision])
        for command in (edit, same)
    ]
    assert [prediction["blockedBy"] for prediction in predictions] == ["edit", None]
