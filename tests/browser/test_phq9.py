"""The PHQ-9 survey, to both of its ends."""

from typing import Any

import pytest
from playwright.sync_api import BrowserContext, expect

from tests.browser.participant import Participant, RunningServer

pytestmark = pytest.mark.browser

QUESTIONS = [f"Q{number}" for number in range(1, 10)]


def session_of(context: BrowserContext, url: str, user_id: str, survey: str) -> dict[str, Any]:
    """Return the session from REST."""
    answer = context.request.get(f"{url}/api/session/{user_id}", params={"survey": survey})
    session: dict[str, Any] = answer.json()["session"]
    return session


def test_phq9_asks_how_difficult_when_a_problem_was_reported(
    participant: Participant, context: BrowserContext, server: RunningServer
) -> None:
    """Q10 follows Q9 if any answer was above "Not at all"; values keep their JSON type."""
    participant.open("phq9")
    for question in QUESTIONS:
        participant.answer(question, "Several days" if question == "Q4" else "Not at all")
    participant.answer("Q10", "Somewhat difficult")
    participant.expect_done()
    session = session_of(context, server.url, participant.user_id(), "phq9")
    assert session["answers"] == {**dict.fromkeys(QUESTIONS, 0), "Q4": 1, "Q10": 1}
    assert session["current_step"] == "end"


def test_phq9_tells_about_help_after_thoughts_of_being_better_off_dead(participant: Participant) -> None:
    """Right after the answer; another answer to Q9 takes the step off the route."""
    participant.open("phq9")
    for question in QUESTIONS:
        participant.answer(question, "Nearly every day")
    participant.expect_step("help")
    expect(participant.heading).to_contain_text("call your local emergency number")
    participant.back()
    participant.answer("Q9", "Not at all")
    participant.expect_step("Q10")
    participant.back()
    participant.answer("Q9", "Several days")
    participant.expect_step("help")
    participant.next()
    participant.answer("Q10", "Very difficult")
    participant.expect_done()


def test_phq9_ends_after_q9_when_no_problem_was_reported(participant: Participant) -> None:
    """Q10 is skipped if no problem was reported."""
    participant.open("phq9")
    for question in QUESTIONS:
        participant.answer(question, "Not at all")
    participant.expect_done()
    participant.page.locator("#done summary").click()
    expect(participant.page.locator("#done-answers .answered")).to_have_count(len(QUESTIONS))


def test_next_asks_for_an_answer_when_none_was_chosen(participant: Participant) -> None:
    """A required question shows that it needs an answer, and nothing is sent."""
    participant.open("phq9")
    participant.next()
    expect(participant.page.locator("#problem")).to_have_text("Please choose an answer to continue.")
    expect(participant.page.get_by_role("radiogroup")).to_have_attribute("aria-invalid", "true")
    expect(participant.page.get_by_role("alert")).to_be_focused()
    participant.page.get_by_role("link", name="Please choose an answer to continue.").click()
    expect(participant.page.get_by_role("radio").first).to_be_focused()
    participant.choose("Not at all")
    expect(participant.page.locator("#problem-box")).to_be_hidden()
    participant.next()
    participant.expect_step("Q2")


def test_progress_grows_when_questions_are_answered(participant: Participant) -> None:
    """The bar and its text show the position."""
    participant.open("phq9")
    bar = participant.page.get_by_role("progressbar")
    seen = [float(bar.get_attribute("value") or bar.evaluate("bar => bar.value"))]
    for question in QUESTIONS[:4]:
        participant.answer(question, "Nearly every day")
        participant.expect_step(f"Q{int(question[1:]) + 1}")
        seen.append(float(bar.evaluate("bar => bar.value")))
    assert seen == sorted(set(seen))
    expect(participant.page.locator("#position")).to_have_text("Step 5 of 11")


def test_survey_restarts_when_it_is_confirmed(participant: Participant) -> None:
    """Start again asks for confirmation, then restarts without the old answers."""
    participant.open("phq9")
    for question in QUESTIONS:
        participant.answer(question, "Not at all")
    participant.expect_done()
    participant.page.get_by_role("button", name="Start again", exact=True).click()
    participant.page.get_by_role("button", name="Cancel").click()
    participant.page.get_by_role("button", name="Start again", exact=True).click()
    participant.page.get_by_role("button", name="Yes, start again").click()
    participant.expect_step("Q1")
    expect(participant.page.locator("#step input:checked")).to_have_count(0)
    expect(participant.page.get_by_role("button", name="Back", exact=True)).to_be_hidden()
