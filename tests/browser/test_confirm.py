"""An unusual answer: the page asks whether it is right before it is saved."""

from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import expect

from tests.browser.accessibility import assert_accessible, in_every_appearance
from tests.browser.participant import Message, Participant
from tests.browser.test_audio import EAR, VOICE, hear
from tests.conftest import Server

pytestmark = pytest.mark.browser

SURVEY = """
id: body
title: About you
language: en
steps:
  - id: weight
    type: number
    prompt: How much do you weigh?
    unit: kg
    check: [{that: answer < 250.0, message: "That is a lot. Is it kilograms?", level: warning}]
  - {id: height, type: number, prompt: "How tall are you?", unit: cm}
  - {id: more, type: text, prompt: "Anything else?"}
"""
WARNING = "That is a lot. Is it kilograms?"


@pytest.fixture
def sent(participant: Participant) -> list[Message]:
    """The answers that the page sends."""
    answers: list[Message] = []

    def record(message: Message, _reply: Any) -> bool:
        if message["type"] == "answer":
            answers.append(message)
        return True

    participant.intercept(record)
    return answers


def confirmation(participant: Participant) -> Any:
    return participant.page.get_by_role("group", name="Please check your answer")


def test_answer_is_saved_when_the_participant_says_that_it_is_right(
    participant: Participant, sent: list[Message]
) -> None:
    """The warning stands below the field and is focused; the answer is sent again, with a new id."""
    participant.open("body")
    participant.write("weight", "300")
    expect(confirmation(participant)).to_contain_text(WARNING)
    expect(confirmation(participant)).to_be_focused()
    expect(participant.page.locator("#next")).to_be_hidden()
    participant.page.get_by_role("button", name="Yes, it is right").click()
    participant.expect_step("height")
    assert participant.answered("body") == [("weight", 300)]
    assert [answer.get("confirmed") for answer in sent] == [None, True]
    assert len({answer["id"] for answer in sent}) == 2
    participant.write("height", "170")
    participant.expect_step("more")


def test_answer_can_be_changed_instead(participant: Participant, sent: list[Message]) -> None:
    """Typing closes the question; Enter in the field sends nothing while it is open."""
    participant.open("body")
    participant.write("weight", "300")
    expect(confirmation(participant)).to_be_focused()
    participant.field().press("Enter")
    expect(confirmation(participant)).to_be_focused()
    participant.page.get_by_role("button", name="Change my answer").click()
    expect(participant.field()).to_be_focused()
    expect(participant.field()).to_have_value("300")
    expect(confirmation(participant)).to_be_hidden()
    participant.next()
    expect(confirmation(participant)).to_be_visible()
    participant.type("80")
    expect(confirmation(participant)).to_be_hidden()
    participant.next()
    participant.expect_step("height")
    assert participant.answered("body") == [("weight", 80)]
    assert len(sent) == 3


def test_page_asks_when_it_is_online_again(participant: Participant, server: Server) -> None:
    """The page had gone on, and returns to the step."""
    with participant.page.expect_response("**/api/surveys/body*"):
        participant.open("body")
    participant.expect_step("weight")
    server.kill()
    participant.expect_offline_step("weight")
    participant.type("300")
    participant.next()
    participant.expect_offline_step("height")
    server.start()
    expect(participant.root).to_have_attribute("data-step", "weight")
    expect(confirmation(participant)).to_contain_text(WARNING)
    expect(participant.field()).to_have_value("300")
    participant.page.get_by_role("button", name="Yes, it is right").click()
    participant.expect_step("height")
    assert participant.answered("body") == [("weight", 300)]


def test_page_names_the_question_when_the_participant_has_gone_on(participant: Participant, server: Server) -> None:
    """A warning about an answer that is no longer in view is a note; the earlier answer stays."""
    with participant.page.expect_response("**/api/surveys/body*"):
        participant.open("body")
    participant.write("weight", "80")
    participant.write("height", "170")
    participant.expect_step("more")
    server.kill()
    participant.expect_offline_step("more")
    participant.edit("How much do you weigh?")
    participant.expect_offline_step("weight")
    participant.type("300")
    participant.next()
    participant.expect_offline_step("height")
    participant.page.get_by_role("button", name="Return to where you were").click()
    participant.expect_offline_step("more")
    server.start()
    expect(participant.page.locator("#notice")).to_have_text(
        f"Your answer to “How much do you weigh?” is not saved yet. {WARNING}"
    )
    participant.expect_step("more")
    assert participant.answered("body") == [("weight", 80), ("height", 170)]


def test_warning_is_read_and_answered_by_voice(participant: Participant) -> None:
    """It is read again on request; another answer replaces the one in question."""
    participant.page.add_init_script(VOICE + EAR)
    participant.open("body", is_audio="true")
    note = participant.page.locator("#voice-note")
    hear(participant, "300")
    hear(participant, "next")
    expect(note).to_contain_text(f"{WARNING} Listening… Say “yes” if it is right, or “change my answer”.")
    hear(participant, "repeat")
    expect(note).to_contain_text(WARNING)
    hear(participant, "change my answer")
    expect(confirmation(participant)).to_be_hidden()
    hear(participant, "next")
    expect(confirmation(participant)).to_be_visible()
    hear(participant, "310")
    expect(confirmation(participant)).to_be_hidden()
    expect(participant.field()).to_have_value("310")
    hear(participant, "next")
    expect(confirmation(participant)).to_be_visible()
    hear(participant, "yes it is right")
    participant.expect_step("height")
    assert participant.answered("body") == [("weight", 310)]
    assert participant.page.evaluate("window.spoken").count(WARNING) == 4


@in_every_appearance
def test_question_is_accessible(new_context: Any, server: Server, scheme: Any, viewport: Any) -> None:
    """Axe finds no violation in it, and in the summary of a problem."""
    participant = Participant(new_context(color_scheme=scheme, viewport=viewport), server.url)

    def views() -> Iterator[str]:
        participant.open("body")
        participant.write("weight", "300")
        expect(confirmation(participant)).to_be_visible()
        yield "warning"
        participant.type("heavy")
        participant.next()
        expect(participant.page.get_by_role("alert")).to_be_focused()
        expect(participant.page).to_have_title("Error: Step 1 of 3 · About you · Stepkeep")
        yield "problem"

    assert_accessible(participant.page, views())
