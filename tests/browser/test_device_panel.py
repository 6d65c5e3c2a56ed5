"""The panel "Go on with another device": a link and its QR code, signing out other devices, leaving this one."""

import json
from collections.abc import Callable

import pytest
from playwright.sync_api import BrowserContext, expect

from tests.browser.clinic import (
    CLOSED,
    Clinic,
    make_link,
    panel,
    says,
    user_of,
)
from tests.browser.participant import Participant
from tests.browser.test_access import PHONE

pytestmark = pytest.mark.browser


def test_qr_code_is_drawn_dark_on_light_when_the_room_is_dark(
    new_context: Callable[..., BrowserContext], clinic: Clinic
) -> None:
    """The code is an SVG of its own, on white in both schemes, and large enough for a camera."""
    participant = Participant(new_context(color_scheme="dark", viewport=PHONE), clinic.url)
    participant.open("phq9")
    make_link(participant)
    code = participant.page.get_by_role("img", name="QR code of your link").locator("svg")
    expect(code).to_be_visible()
    assert code.evaluate("(svg) => svg.namespaceURI") == "http://www.w3.org/2000/svg"
    assert code.locator("path").last.evaluate("(path) => getComputedStyle(path).stroke") == "rgb(0, 0, 0)"
    frame = participant.page.locator("#device-qr")
    assert frame.evaluate("(frame) => getComputedStyle(frame).backgroundColor") == "rgb(255, 255, 255)"
    box = code.bounding_box()
    assert box is not None
    assert min(box["width"], box["height"]) >= 200


def test_link_is_copied_when_copy_is_pressed(new_context: Callable[..., BrowserContext], clinic: Clinic) -> None:
    """The clipboard has the whole link; and a closed panel shows it to nobody."""
    participant = Participant(new_context(permissions=["clipboard-read", "clipboard-write"]), clinic.url)
    participant.open("phq9")
    link = make_link(participant)
    participant.page.get_by_role("button", name="Copy").click()
    expect(participant.page.locator("#device-note")).to_have_text("The link is copied.")
    assert participant.page.evaluate("navigator.clipboard.readText()") == link
    panel(participant)
    panel(participant)
    expect(participant.page.locator("#device-created")).to_be_hidden()
    assert participant.page.locator("#device-url").input_value() == ""


def test_others_are_out_when_they_are_signed_out(one: Participant, other: Participant, clinic: Clinic) -> None:
    """The second device's page closes, shows no answer any more and says why; the first one goes on."""
    one.open("phq9")
    one.answer("Q1", "Several days")
    link = make_link(one)
    other.page.goto(link)
    other.is_at("Q2")
    one.page.get_by_role("button", name="Sign out other devices").click()
    expect(one.page.locator("#device-others-question")).to_be_focused()
    one.page.get_by_role("button", name="Yes, sign out").click()
    expect(one.page.locator("#device-note")).to_contain_text("All other devices are signed out")
    one.answer("Q2", "Several days")
    one.is_at("Q3")
    expect(other.page.locator("#stopped-reason")).to_contain_text("open a newer link")
    assert "Several days" not in other.page.locator("body").inner_html()
    other.page.get_by_role("button", name="Try again").click()
    says(other.page, "This visit has ended on this device")
    other.page.goto(link)
    says(other.page, "This link does not hold any more")


def test_tabs_of_this_browser_go_on_when_others_are_signed_out(one: Participant, clinic: Clinic) -> None:
    """A second tab shares the new cookie, and comes back by itself."""
    one.open("phq9")
    tab = Participant(one.page.context, clinic.url)
    tab.open("phq9")
    panel(one)
    one.page.get_by_role("button", name="Sign out other devices").click()
    one.page.get_by_role("button", name="Yes, sign out").click()
    expect(tab.root).to_have_attribute("data-connection", "offline")
    tab.answer("Q1", "Several days")
    one.is_at("Q2")


def test_device_is_left_only_when_all_is_saved(one: Participant, clinic: Clinic) -> None:
    """While answers wait nothing is forgotten; then the cookie and the drafts are gone, and the link leads back."""
    one.page.goto(clinic.link("p-1"))
    one.answer("Q1", "Several days")
    one.is_at("Q2")
    panel(one)
    one.page.context.set_offline(True)
    expect(one.root).to_have_attribute("data-connection", "offline")
    one.answer_offline("Q2", "Several days")
    one.is_offline_at("Q3")
    one.page.get_by_role("button", name="Leave this device").click()
    expect(one.page.locator("#device-note")).to_contain_text("not saved yet")
    expect(one.page.locator("#device-leave-confirm")).to_be_hidden()
    one.page.context.set_offline(False)
    one.is_at("Q3")
    one.choose("Several days")
    one.is_at("Q3")
    leave(one)
    assert json.loads(one.page.evaluate("JSON.stringify(localStorage)")) == {}
    assert one.page.context.cookies() == []
    one.page.goto(f"{clinic.url}/s/{CLOSED}")
    says(one.page, "Please open your personal link")
    one.page.goto(clinic.link("p-1"))
    one.is_at("Q3")


def leave(participant: Participant) -> None:
    """Leave the device, and say yes."""
    participant.page.get_by_role("button", name="Leave this device").click()
    expect(participant.page.locator("#device-leave-question")).to_be_focused()
    participant.page.get_by_role("button", name="Yes, leave").click()
    says(participant.page, "You have left on this device")


def test_panel_is_worked_when_there_is_only_a_keyboard(one: Participant, clinic: Clinic) -> None:
    """Enter opens it and makes the link; a question takes the focus and gives it back."""
    one.open("phq9")
    keyboard = one.page.keyboard
    one.page.locator("#device summary").focus()
    for key in ("Enter", "Tab", "Enter"):
        keyboard.press(key)
    expect(one.page.locator("#device-note")).to_have_text("Your link is ready.")
    keyboard.press("Tab")
    expect(one.page.get_by_label("Your link", exact=True)).to_be_focused()
    for key in ("Tab", "Tab"):
        keyboard.press(key)
    expect(one.page.get_by_role("button", name="Sign out other devices")).to_be_focused()
    keyboard.press("Enter")
    expect(one.page.locator("#device-others-question")).to_be_focused()
    for key in ("Tab", "Tab", "Enter"):
        keyboard.press(key)
    expect(one.page.get_by_role("button", name="Sign out other devices")).to_be_focused()


def test_panel_is_not_there_when_nobody_needs_credentials(participant: Participant) -> None:
    """In development the page is as it was: the address or this browser says who it is."""
    participant.open("phq9", user="p-1")
    expect(participant.page.locator("#device")).to_have_count(0)
    assert user_of(participant) == ""
