"""What the page foresees is what the server decides, for random surveys and random commands."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from playwright.sync_api import BrowserContext, Page

from app.survey import commands, flow
from app.survey.commands import AnyCommand
from app.survey.definition import Survey
from app.survey.flow import Rejection
from app.survey.state import SessionState, apply
from tests.browser.participant import RunningServer
from tests.conftest import examples
from tests.survey.test_flow_properties import surveys

pytestmark = pytest.mark.browser

FORESEE = """async ([sessions, commands, steps, revision]) => {
  const { foresee, routeOf } = await import("/assets/client/optimistic.js");
  const byId = new Map(steps.map((step) => [step.id, step]));
  const newest = { first: steps[0].id, revision };
  const survey = { step: (id) => byId.get(id) ?? null, newest, size: steps.length };
  let known = null;
  for (const session of sessions) known = { session, route: routeOf(session, known, survey) };
  return foresee(known, commands, survey);
}"""


@pytest.fixture
def page(new_context: Callable[..., BrowserContext], server: RunningServer) -> Page:
    """A page of the server's origin that has no script."""
    plain = new_context().new_page()
    plain.goto(f"{server.url}/healthz")
    return plain


def shown(state: SessionState) -> dict[str, Any]:
    """Return the session as a message shows it."""
    return {
        "survey_revision": state.survey_revision,
        "status": state.status,
        "current_step": state.current_step,
        "answers": dict(state.answers),
        "step_history": list(state.step_history),
        "is_audio_mode": state.is_audio_mode,
        "draft": None,
    }


def steps_of(survey: Survey) -> list[dict[str, Any]]:
    """Return the steps as GET /api/surveys/{id} shows them, as far as it matters."""
    graph = survey.graph
    return [
        {
            "id": step.id,
            "leads_to": graph.fixed_next_step(step.id),
            "reads": None if (read := graph.dependencies(step.id)) is None else sorted(read),
        }
        for step in survey.steps
    ]


def orders(survey: Survey) -> st.SearchStrategy[dict[str, Any]]:
    """Commands as a client sends them, mostly such as a page gives."""
    step = st.sampled_from([one.id for one in survey.steps])
    answer = st.builds(lambda to, value: {"type": "answer", "step": to, "value": value}, step, st.integers(0, 3))
    onward = st.builds(lambda value: {"type": "answer", "step": None, "value": value}, st.integers(0, 3))
    goto = st.builds(lambda to: {"type": "goto", "step": to}, step)
    others = st.sampled_from([{"type": "back"}, {"type": "mode", "audio": True}, {"type": "restart"}])
    return st.one_of(onward, onward, onward, onward, onward, answer, goto, others)


def command_of(order: dict[str, Any]) -> AnyCommand:
    """Return the command that the server makes of it."""
    match order["type"]:
        case "answer":
            return commands.Answer(at=1, step=order["step"], value=order["value"])
        case "goto":
            return commands.Goto(at=1, step=order["step"])
        case "back":
            return commands.Back(at=1)
        case "mode":
            return commands.SetMode(at=1, is_audio_mode=order["audio"])
        case _:
            return commands.Restart(at=1)


def is_answer_to_info(survey: Survey, order: dict[str, Any]) -> bool:
    """Whether the server would refuse a value that the page, which knows the type, doesn't send."""
    step = survey.step(order.get("step") or "")
    return step is not None and step.type == "info"


@given(data=st.data())
@examples(150)
def test_foreseen_session_is_the_server_s_when_all_is_known(page: Page, data: st.DataObject) -> None:
    """Where the page says that it knows, position, history and mode are what `decide` makes of the commands.

    The commands before a cut are the server's own news; those after it are foreseen.
    """
    survey = data.draw(surveys())
    event = flow.decide(survey, None, commands.Begin(at=1, is_audio_mode=False))
    assert not isinstance(event, Rejection)
    state = apply(None, event)
    told, ahead = [shown(state)], []
    drawn = data.draw(st.lists(orders(survey), min_size=1, max_size=12))
    cut = data.draw(st.integers(0, len(drawn)))
    for number, order in enumerate(drawn):
        given_order = {**order, "id": str(number)}
        if "step" in order and order["step"] is None:
            given_order["step"] = state.current_step
        if is_answer_to_info(survey, given_order) and order["type"] == "answer":
            given_order["value"] = None
        event = flow.decide(survey, state, command_of(given_order))
        if not isinstance(event, Rejection):
            state = apply(state, event)
        elif event.code in {"invalid_answer", "required"}:
            continue
        if number < cut:
            told.append(shown(state))
        else:
            ahead.append(given_order)
    predicted = page.evaluate(FORESEE, [told, ahead, steps_of(survey), survey.revision])
    if predicted["endsAt"] is not None:
        return
    expected = shown(state)
    found = {name: predicted["session"][name] for name in expected}
    assert found == expected, json.dumps([survey.model_dump(mode="json"), told[-1], ahead])
