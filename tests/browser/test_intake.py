"""The intake survey: every step type, and each branch."""

from typing import Any

import pytest
from playwright.sync_api import BrowserContext, expect

from tests.browser.participant import Participant, RunningServer

pytestmark = pytest.mark.browser


def answers_of(context: BrowserContext, url: str, user_id: str) -> dict[str, Any]:
    """Return the session's answers from REST."""
    answer = context.request.get(f"{url}/api/session/{user_id}", params={"survey": "intake"})
    answers: dict[str, Any] = answer.json()["session"]["answers"]
    return answers


def begin(participant: Participant, reason: str) -> None:
    """Answer up to the first branch."""
    participant.open("intake")
    participant.expect_step("S1")
    participant.next()
    participant.write("S2", "1980-05-03")
    participant.answer("S3", reason)


def test_intake_asks_about_the_problem_when_it_is_new(
    participant: Participant, context: BrowserContext, server: RunningServer
) -> None:
    """A new problem is described and rated, and each answer has its JSON type."""
    begin(participant, "A new problem")
    participant.write("S4", "My knee hurts.\nSince Monday.")
    participant.answer("S5", "7")
    participant.answer("S6", "Physiotherapy", "Rest")
    participant.write("S8", "72,5")
    participant.answer("S9", "Yes")
    participant.write("S10", "12")
    participant.write("S11", "")
    participant.expect_step("S12")
    participant.next()
    participant.expect_done()
    assert answers_of(context, server.url, participant.user_id()) == {
        "S1": None,
        "S2": "1980-05-03",
        "S3": "A new problem",
        "S4": "My knee hurts.\nSince Monday.",
        "S5": 7,
        "S6": ["Rest", "Physiotherapy"],
        "S8": 72.5,
        "S9": True,
        "S10": 12,
        "S11": None,
        "S12": None,
    }


def test_intake_skips_the_problem_when_it_is_a_check_up(participant: Participant) -> None:
    """A check-up skips to the weight, and a non-smoker skips the number of cigarettes."""
    begin(participant, "A check-up")
    participant.expect_step("S8")
    participant.skip()
    participant.answer("S9", "No")
    participant.expect_step("S11")


def test_intake_asks_about_medicine_when_it_is_a_follow_up(participant: Participant) -> None:
    """A follow-up asks about medicine and joins the other branches."""
    begin(participant, "A follow-up")
    participant.answer("S7", "No")
    participant.expect_step("S8")


def test_branch_changes_when_an_earlier_answer_is_edited(participant: Participant) -> None:
    """An edit moves to the new route, and the old answers are shown again on the old one."""
    begin(participant, "A new problem")
    participant.write("S4", "My knee hurts.")
    participant.expect_step("S5")
    participant.edit("Why are you coming?")
    participant.answer("S3", "A check-up")
    participant.expect_step("S8")
    participant.back()
    participant.answer("S3", "A new problem")
    participant.expect_step("S4")
    expect(participant.field()).to_have_value("My knee hurts.")


def test_answer_is_kept_when_an_edit_is_done(participant: Participant) -> None:
    """Edit opens the earlier question, and one button returns from it."""
    begin(participant, "A new problem")
    participant.write("S4", "My knee hurts.")
    participant.expect_step("S5")
    participant.edit("When were you born?")
    participant.expect_step("S2")
    expect(participant.field()).to_have_value("1980-05-03")
    participant.write("S2", "1981-06-04")
    participant.expect_step("S3")
    participant.page.get_by_role("button", name="Return to where you were").click()
    participant.expect_step("S5")
    participant.page.locator("#answers-panel summary").click()
    answers = participant.page.locator("#answers .answered[data-step=S2] .answer")
    expect(answers).to_have_text("June 4, 1981")


def test_number_is_rejected_when_it_is_invalid(participant: Participant) -> None:
    """The problem is shown beside the field, which keeps the input, and in a summary that leads to the field."""
    begin(participant, "A check-up")
    for typed, problem in (("heavy", "in digits"), ("500", "from 1 to 400"), ("0", "from 1 to 400")):
        participant.write("S8", typed)
        expect(participant.page.locator("#problem")).to_contain_text(problem)
        participant.page.get_by_role("alert").get_by_role("link", name=problem).click()
        expect(participant.field()).to_be_focused()
        expect(participant.field()).to_have_value(typed)
        expect(participant.field()).to_have_attribute("aria-invalid", "true")


def test_required_text_is_rejected_when_it_is_blank(participant: Participant) -> None:
    """White space is not an answer."""
    begin(participant, "A new problem")
    participant.write("S4", "   ")
    expect(participant.page.locator("#problem")).to_have_text("Please enter an answer to continue.")


def test_counter_is_shown_when_a_text_nears_its_limit(participant: Participant) -> None:
    """A counter appears at 80 % of the limit; longer text is rejected, not truncated."""
    begin(participant, "A new problem")
    participant.expect_step("S4")
    participant.type("x" * 3000)
    expect(participant.page.locator("#left")).to_have_text("")
    participant.type("x" * 3999)
    expect(participant.page.locator("#left")).to_have_text("1 character left")
    participant.type("x" * 4001)
    participant.next()
    expect(participant.page.locator("#problem")).to_contain_text("too many")
    expect(participant.field()).to_have_value("x" * 4001)
