"""The panel "Continue on another device": links and QR codes, signing out other devices, leaving this one."""

import json
from collections.abc import Callable

import pytest
from playwright.sync_api import BrowserContext, Route, expect

from tests.browser.accessibility import PHONE
from tests.browser.clinic import (
    CLOSED,
    Clinic,
    expect_heading,
    make_link,
    open_device_link,
    open_panel,
    user_id_on,
)
from tests.browser.participant import Participant

pytestmark = pytest.mark.browser


def test_qr_code_is_dark_on_light_in_dark_mode(new_context: Callable[..., BrowserContext], clinic: Clinic) -> None:
    """The QR code is an SVG on white in both colour schemes, and large enough for a camera."""
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
    """The clipboard has the whole link, and opening the panel again creates another: the first may be used."""
    participant = Participant(new_context(permissions=["clipboard-read", "clipboard-write"]), clinic.url)
    participant.open("phq9")
    link = make_link(participant)
    participant.page.get_by_role("button", name="Copy").click()
    expect(participant.page.locator("#device-note")).to_have_text("The link is copied.")
    assert participant.page.evaluate("navigator.clipboard.readText()") == link
    assert another_link(participant) != link
    close_panel(participant)


def test_link_that_arrives_after_the_panel_is_closed_is_not_shown(first_device: Participant) -> None:
    """The next person at this device finds no link."""
    first_device.open("phq9")
    held: list[Route] = []

    def hold(route: Route) -> None:
        held.append(route)

    first_device.page.route("**/link?*", hold)
    with first_device.page.expect_request("**/link?*"):
        open_panel(first_device)
    close_panel(first_device)
    with first_device.page.expect_response("**/link?*") as answered:
        held[0].continue_()
    assert answered.value.ok
    first_device.page.evaluate("new Promise((resolve) => setTimeout(resolve, 100))")  # for the page to handle it
    expect(first_device.page.locator("#device-url")).to_have_value("")


def test_other_devices_stop_when_they_are_signed_out(
    first_device: Participant, second_device: Participant, clinic: Clinic
) -> None:
    """The second device's page stops, shows no answers and says why; the first one continues."""
    first_device.open("phq9")
    first_device.answer("Q1", "Several days")
    link, unopened = make_link(first_device), another_link(first_device)
    open_device_link(second_device, link)
    second_device.expect_step("Q2")
    first_device.page.get_by_role("button", name="Sign out other devices").click()
    expect(first_device.page.locator("#device-others-question")).to_be_focused()
    first_device.page.get_by_role("button", name="Yes, sign out").click()
    expect(first_device.page.locator("#device-note")).to_contain_text("All other devices are signed out")
    first_device.answer("Q2", "Several days")
    first_device.expect_step("Q3")
    expect(second_device.page.locator("#stopped-reason")).to_contain_text("open a newer link")
    assert "Several days" not in second_device.page.locator("body").inner_html()
    second_device.page.get_by_role("button", name="Try again").click()
    expect_heading(second_device.page, "You are signed out on this device")
    second_device.page.goto(unopened)
    expect_heading(second_device.page, "This link no longer works")


def another_link(participant: Participant) -> str:
    """Close the panel, open it again and return the link."""
    close_panel(participant)
    return make_link(participant)


def close_panel(participant: Participant) -> None:
    """The link is hidden at once, and removed from the field when the page handles the event."""
    participant.page.locator("#device summary").click()
    expect(participant.page.locator("#device-created")).to_be_hidden()
    expect(participant.page.locator("#device-url")).to_have_value("")


def test_tabs_of_this_browser_reconnect_when_others_are_signed_out(first_device: Participant, clinic: Clinic) -> None:
    """A second tab of the browser reconnects with the new cookie."""
    first_device.open("phq9")
    tab = Participant(first_device.page.context, clinic.url)
    tab.open("phq9")
    open_panel(first_device)
    first_device.page.get_by_role("button", name="Sign out other devices").click()
    first_device.page.get_by_role("button", name="Yes, sign out").click()
    expect(tab.root).to_have_attribute("data-connection", "offline")
    tab.answer("Q1", "Several days")
    first_device.expect_step("Q2")


def test_device_is_left_only_when_everything_is_saved(first_device: Participant, clinic: Clinic) -> None:
    """Unsaved answers prevent leaving; afterwards cookie and drafts are deleted, and the link resumes the session."""
    first_device.page.goto(clinic.link("p-1"))
    first_device.answer("Q1", "Several days")
    first_device.expect_step("Q2")
    open_panel(first_device)
    first_device.page.context.set_offline(True)
    expect(first_device.root).to_have_attribute("data-connection", "offline")
    first_device.answer_offline("Q2", "Several days")
    first_device.expect_offline_step("Q3")
    first_device.page.get_by_role("button", name="Leave this device").click()
    expect(first_device.page.locator("#device-note")).to_contain_text("not saved yet")
    expect(first_device.page.locator("#device-leave-confirm")).to_be_hidden()
    first_device.page.context.set_offline(False)
    first_device.expect_step("Q3")
    first_device.choose("Several days")
    first_device.expect_step("Q3")
    leave(first_device)
    assert json.loads(first_device.page.evaluate("JSON.stringify(localStorage)")) == {}
    assert first_device.page.context.cookies() == []
    first_device.page.goto(f"{clinic.url}/s/{CLOSED}")
    expect_heading(first_device.page, "This survey can’t be opened here")  # noqa: RUF001 - as on the page
    first_device.page.goto(clinic.link("p-1"))
    first_device.expect_step("Q3")


def leave(participant: Participant) -> None:
    """Leave the device, and confirm it."""
    participant.page.get_by_role("button", name="Leave this device").click()
    expect(participant.page.locator("#device-leave-question")).to_be_focused()
    participant.page.get_by_role("button", name="Yes, leave").click()
    expect_heading(participant.page, "This device is cleared")


def test_panel_works_when_only_a_keyboard_is_used(first_device: Participant, clinic: Clinic) -> None:
    """Enter opens the panel, which creates a link; a confirmation takes the focus and returns it."""
    first_device.open("phq9")
    keyboard = first_device.page.keyboard
    first_device.page.locator("#device summary").focus()
    keyboard.press("Enter")
    expect(first_device.page.locator("#device-note")).to_have_text("Your link is ready.")
    for key in ("Tab", "Tab"):
        keyboard.press(key)
    expect(first_device.page.get_by_label("Your link", exact=True)).to_be_focused()
    for key in ("Tab", "Tab"):
        keyboard.press(key)
    expect(first_device.page.get_by_role("button", name="Sign out other devices")).to_be_focused()
    keyboard.press("Enter")
    expect(first_device.page.locator("#device-others-question")).to_be_focused()
    for key in ("Tab", "Tab", "Enter"):
        keyboard.press(key)
    expect(first_device.page.get_by_role("button", name="Sign out other devices")).to_be_focused()


def test_panel_is_missing_when_no_credentials_are_required(participant: Participant) -> None:
    """In development the URL or the browser names the participant, and there is no panel."""
    participant.open("phq9", user="p-1")
    expect(participant.page.locator("#device")).to_have_count(0)
    assert user_id_on(participant) == ""
