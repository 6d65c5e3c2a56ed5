"""A device that several people use: "Finish and clear this device", and what remains."""

import json
from collections.abc import Callable

import pytest
from playwright.sync_api import BrowserContext, expect

from tests.browser.clinic import CLOSED, STORED, Clinic, expect_heading, open_panel, user_id_on
from tests.browser.participant import Participant

pytestmark = pytest.mark.browser

SECRET = "Nearly every day"


def complete(participant: Participant, survey: str = "phq9") -> None:
    """Answer all of the PHQ-9."""
    participant.open(survey)
    for number in range(1, 10):
        participant.answer(f"Q{number}", SECRET)
    participant.answer("help")
    participant.answer("Q10", "Very difficult")
    participant.expect_done()


def finish(participant: Participant) -> None:
    """Press the button at the end, and wait for the page that confirms it."""
    participant.page.get_by_role("button", name="Finish and clear this device").click()
    expect_heading(participant.page, "This device is cleared")


def test_nothing_is_left_when_the_device_is_cleared_at_the_end(first_device: Participant, clinic: Clinic) -> None:
    """No cookie, draft, command or database; the next person starts their own survey, and Back does not show answers."""
    complete(first_device)
    page, before = first_device.page, user_id_on(first_device)
    finish(first_device)
    assert page.context.cookies() == []
    assert page.evaluate("indexedDB.databases().then((all) => all.map((each) => each.name))") in ([], ["stepkeep"])
    assert "PHQ" not in page.evaluate(STORED) + page.content()
    assert json.loads(page.evaluate("JSON.stringify(localStorage)")) == {}
    expect(page.locator("#remaining")).to_be_hidden()
    page.go_back()
    assert SECRET not in page.content()
    first_device.open("phq9")
    first_device.expect_step("Q1")
    assert user_id_on(first_device) not in {"", before}


def test_other_tabs_are_cleared_too(first_device: Participant, clinic: Clinic) -> None:
    """A second tab with the same session would go on showing the answers."""
    complete(first_device)
    tab = Participant(first_device.page.context, clinic.url)
    tab.open("phq9")
    tab.expect_done()
    finish(first_device)
    expect_heading(tab.page, "This device is cleared")
    assert SECRET not in tab.page.content()


def test_device_is_not_cleared_while_an_answer_is_not_saved(first_device: Participant, clinic: Clinic) -> None:
    """The page says so; nothing is lost."""
    first_device.open("phq9")
    for number in range(1, 10):
        first_device.answer(f"Q{number}", SECRET)
    first_device.answer("help")
    first_device.expect_step("Q10")
    first_device.page.context.set_offline(True)
    first_device.answer_offline("Q10", "Very difficult")
    expect(first_device.root).to_have_attribute("data-step", "end")
    first_device.page.get_by_role("button", name="Finish and clear this device").click()
    expect(first_device.page.locator("#finish-note")).to_contain_text("not saved yet")
    first_device.page.context.set_offline(False)
    first_device.expect_done()
    finish(first_device)


def test_unsent_answers_of_another_survey_are_kept_and_named(first_device: Participant, clinic: Clinic) -> None:
    """They are sent when that survey is opened again."""
    context = first_device.page.context
    other = Participant(context, clinic.url)
    other.page.goto(clinic.link("p-1"))
    other.expect_step("Q1")
    other.intercept(lambda message, _reply: message["type"] != "answer")
    other.page.reload()
    expect(other.root).to_have_attribute("data-step", "Q1")
    other.choose(SECRET)
    other.next()
    expect(other.root).to_have_attribute("data-save", "saving")
    other.page.close()
    complete(first_device)
    finish(first_device)
    remaining = first_device.page.locator(f"#remaining-surveys [data-survey-id={CLOSED}]")
    expect(remaining).to_contain_text("not sent yet")
    remaining.get_by_role("link").click()
    first_device.expect_step("Q2")
    assert user_id_on(first_device) == "p-1"


def test_device_is_not_left_while_another_tab_has_an_unsent_answer(first_device: Participant, clinic: Clinic) -> None:
    """Both tabs stay; once it is sent, both are cleared."""
    tab = Participant(first_device.page.context, clinic.url)
    is_lost = [True]
    tab.intercept(lambda message, _reply: message["type"] != "answer" or not is_lost[0])
    tab.open("phq9")
    first_device.open("phq9")
    tab.choose(SECRET)
    tab.next()
    expect(tab.root).to_have_attribute("data-save", "saving")
    open_panel(first_device)
    first_device.page.get_by_role("button", name="Leave this device").click()
    first_device.page.get_by_role("button", name="Yes, leave").click()
    expect(first_device.page.locator("#device-note")).to_contain_text("not saved yet")
    is_lost[0] = False
    tab.page.reload()
    tab.expect_step("Q2")
    first_device.expect_step("Q2")
    first_device.page.get_by_role("button", name="Leave this device").click()
    first_device.page.get_by_role("button", name="Yes, leave").click()
    for page in (first_device.page, tab.page):
        expect_heading(page, "This device is cleared")


def test_other_sessions_of_the_device_are_named(first_device: Participant, clinic: Clinic) -> None:
    """The page does not claim that all is cleared."""
    first_device.page.goto(clinic.link("p-1"))
    first_device.answer("Q1", SECRET)
    first_device.expect_step("Q2")
    complete(first_device)
    finish(first_device)
    items = first_device.page.locator("#remaining-surveys li")
    expect(items).to_have_count(1)
    expect(items).to_have_attribute("data-survey-id", CLOSED)
    expect(items).not_to_contain_text("not sent yet")


def test_clearing_says_when_the_server_is_not_reached(first_device: Participant, clinic: Clinic) -> None:
    """The device is not cleared, the page stays connected, and the button works again."""
    complete(first_device)
    first_device.page.route("**/leave?**", lambda route: route.abort("connectionfailed"))
    first_device.page.get_by_role("button", name="Finish and clear this device").click()
    expect(first_device.page.locator("#finish-note")).to_contain_text("no connection")
    first_device.expect_done()
    expect(first_device.page.get_by_role("button", name="Finish and clear this device")).to_be_focused()
    first_device.page.unroute("**/leave?**")
    finish(first_device)


def test_end_is_reachable_when_only_a_keyboard_is_used(
    new_context: Callable[..., BrowserContext], clinic: Clinic
) -> None:
    """The button comes first after the heading that has the focus."""
    participant = Participant(new_context(), clinic.url)
    complete(participant)
    expect(participant.page.get_by_role("heading", name="Thank you")).to_be_focused()
    participant.page.keyboard.press("Tab")
    expect(participant.page.get_by_role("button", name="Finish and clear this device")).to_be_focused()
    participant.page.keyboard.press("Enter")
    expect_heading(participant.page, "This device is cleared")
