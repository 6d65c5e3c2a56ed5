"""The author's default is shown as the answer, and is none until it is sent; what only the server knows is awaited."""

from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.browser.participant import Participant

pytestmark = pytest.mark.browser

SURVEY = """
id: defaults
title: Defaults
language: en
steps:
  - {id: cups, type: number, prompt: "How many cups?", default: 2, required: false}
  - {id: where, type: choice, prompt: "Where?", options: [here, there], default: there}
  - {id: what, type: choices, prompt: "What?", options: [a, b, c], default: [a, c]}
  - {id: more, type: text, prompt: "More?", default: nothing}
"""

VIEW = """async ([step]) => {
  const { OptimisticSession } = await import("/assets/client/optimistic-session.js");
  const known = { S1: { id: "S1", leads_to: "S2", reads: [] }, S2: { id: "S2", ...step } };
  const view = new OptimisticSession(() => ({ step: (id) => known[id] ?? null, newest: null, size: 2 }));
  const session = { survey_revision: "r", status: "in_progress", current_step: "S1", answers: {}, step_history: [] };
  view.receive({ type: "state", session, step: known.S1, progress: 0, version: 1 }, []);
  view.setUnacknowledged([{ type: "answer", id: "1", step: "S1", value: 1 }]);
  return [view.view().step.id, view.view().isBlocked];
}"""


def chosen(participant: Participant) -> list[str]:
    """Return the labels of the chosen options."""
    return [label.inner_text() for label in participant.page.locator("#step label:has(:checked)").all()]


def test_default_is_shown_and_is_no_answer_until_it_is_sent(participant: Participant) -> None:
    """Neither an answer nor a draft; Next sends it, as any other answer."""
    participant.open("defaults")
    participant.expect_step("cups")
    expect(participant.field()).to_have_value("2")
    participant.page.reload()
    participant.expect_step("cups")
    expect(participant.field()).to_have_value("2")
    assert [event["action"] for event in participant.events("defaults")] == ["started"]
    participant.next()
    participant.expect_step("where")
    assert chosen(participant) == ["there"]
    participant.next()
    participant.expect_step("what")
    assert chosen(participant) == ["a", "c"]
    participant.next()
    participant.expect_step("more")
    expect(participant.field()).to_have_value("nothing")
    participant.next()
    participant.expect_done()
    assert participant.answered("defaults") == [
        ("cups", 2),
        ("where", "there"),
        ("what", ["a", "c"]),
        ("more", "nothing"),
    ]


def test_default_is_not_shown_in_place_of_an_answer(participant: Participant) -> None:
    """Nor of a skipped question's, or of what was typed or emptied."""
    participant.open("defaults")
    participant.expect_step("cups")
    participant.skip()
    participant.answer("where", "here")
    participant.expect_step("what")
    participant.back()
    participant.expect_step("where")
    assert chosen(participant) == ["here"]
    participant.back()
    participant.expect_step("cups")
    expect(participant.field()).to_have_value("")
    participant.type("")
    participant.page.goto("about:blank")
    participant.open("defaults")
    participant.expect_step("cups")
    expect(participant.field()).to_have_value("")


@pytest.mark.parametrize(
    ("step", "shown"),
    [
        ({}, ["S2", False]),
        ({"depends_on": []}, ["S1", True]),
        ({"depends_on": ["S1"]}, ["S1", True]),
        ({"order": "random"}, ["S1", True]),
    ],
)
def test_step_that_depends_on_the_session_is_awaited(participant: Participant, step: Any, shown: Any) -> None:
    """The definition does not say what it looks like."""
    participant.open("defaults")
    page: Page = participant.page
    assert page.evaluate(VIEW, [step]) == shown
