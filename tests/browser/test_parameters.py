"""Parameters of the page's address: in its texts, in the session, and refused in the participant's language."""

from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import BrowserContext, Page, expect

from tests.browser.accessibility import assert_accessible
from tests.browser.clinic import Clinic, expect_heading, open_clinic
from tests.conftest import Server

pytestmark = pytest.mark.browser

SURVEY = """
id: arrival
title: {en: "Before your visit to {{ parameters.clinic }}", de: "Vor Ihrem Besuch in {{ parameters.clinic }}"}
description: {en: "Welcome to {{ parameters.clinic }}.", de: "Willkommen in {{ parameters.clinic }}."}
language: en
languages: [en, de]
parameters:
  clinic: {type: choice, from: url, options: [north, south]}
steps:
  - {id: why, type: text, prompt: {en: "Why {{ parameters.clinic }}?", de: "Warum {{ parameters.clinic }}?"}}
"""

Open = Callable[..., Page]


@pytest.fixture(scope="module")
def clinic(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Clinic]:
    """A server in production, for shared devices."""
    with open_clinic(tmp_path_factory.mktemp("parameters"), {"arrival": SURVEY}, STEPKEEP_KIOSK_MINUTES="5") as opened:
        yield opened


@pytest.fixture
def open_page(server: Server, new_context: Callable[..., BrowserContext]) -> Open:
    """Open the survey's page on a device."""

    def open_(query: str, locale: str = "en-US") -> Page:
        page = new_context(locale=locale, viewport={"width": 360, "height": 640}).new_page()
        page.goto(f"{server.url}/s/arrival?{query}")
        return page

    return open_


def test_page_has_the_parameters_of_its_address(open_page: Open) -> None:
    """In its title and description, and in the steps; later addresses change nothing."""
    page = open_page("user=ann&clinic=north")
    expect(page.locator("#step")).to_contain_text("Why north?")
    expect(page.get_by_role("heading", name="Before your visit to north", exact=True)).to_be_visible()
    expect(page.locator("#description")).to_have_text("Welcome to north.")
    expect(page).to_have_title("Step 1 of 1 · Before your visit to north · Stepkeep")
    again = open_page("user=ann&clinic=south")
    expect(again.locator("#step")).to_contain_text("Why north?")


def test_title_keeps_its_values_in_another_language(open_page: Open) -> None:
    """Its texts come from the server."""
    page = open_page("user=ben&clinic=north&lang=en")
    expect(page.locator("#step")).to_contain_text("Why north?")
    page.get_by_label("Language").select_option("de")
    expect(page.get_by_role("heading", name="Vor Ihrem Besuch in north", exact=True)).to_be_visible()
    expect(page.locator("#description")).to_have_text("Willkommen in north.")
    expect(page.locator("#step")).to_contain_text("Warum north?")
    expect(page.locator("#language")).to_have_value("de")


@pytest.mark.parametrize("query", ["", "&clinic=east", "&clinic=north&clinic=south"])
def test_page_says_that_the_link_is_wrong(open_page: Open, query: str) -> None:
    """In the participant's language, and without the survey's steps or another connection."""
    page = open_page(f"user=cleo{query}", locale="de-DE")
    expect(page.locator("#stopped-reason")).to_contain_text("Link")
    expect(page.locator("#step-form")).to_be_hidden()
    expect(page.get_by_role("heading", level=1)).not_to_contain_text("{")
    assert_accessible(page, ["stopped"])


def test_personal_link_begins_a_session_with_the_parameters_of_its_address(
    new_context: Callable[..., BrowserContext], clinic: Clinic
) -> None:
    """In the language of its address too; a wrong one is refused, and Back leads before the link."""
    address, token = clinic.link("invited", "arrival").split("#")
    page = new_context(locale="en-US").new_page()
    page.goto(f"{clinic.url}/")
    page.goto(f"{address}?clinic=east&lang=de#{token}")
    expect(page.locator("#stopped-reason")).to_contain_text("Link")
    page.go_back()
    expect(page).to_have_url(f"{clinic.url}/")
    page.goto(f"{address}?clinic=north&lang=de&is_audio=true#{token}")
    expect(page.locator("#survey")).to_have_attribute("data-mode", "audio")
    expect(page).to_have_url(f"{clinic.url}/s/arrival?clinic=north&lang=de&is_audio=true")
    expect(page.locator("#step")).to_contain_text("Warum north?")


def leave(page: Page) -> None:
    """Leave the device."""
    page.locator("#device summary").click()
    page.locator("#device-leave").click()
    page.locator("#device-leave-yes").click()
    expect_heading(page, "This device is cleared")


def test_shared_device_begins_again_with_the_parameters_of_its_address(
    new_context: Callable[..., BrowserContext], clinic: Clinic
) -> None:
    """The next participant is in the same clinic; but nothing of a personal link stays."""
    page = new_context(locale="en-US").new_page()
    page.goto(f"{clinic.url}/s/arrival?clinic=south&utm=letter")
    expect(page.locator("#step")).to_contain_text("Why south?")
    first = page.locator("#survey").get_attribute("data-user-id")
    leave(page)
    expect(page).to_have_url(f"{clinic.url}/left?survey=arrival&clinic=south")
    page.get_by_role("link", name="Begin a new survey").click()
    expect(page.locator("#step")).to_contain_text("Why south?")
    assert page.locator("#survey").get_attribute("data-user-id") not in {"", first}
    leave(page)
    address, token = clinic.link("personal", "arrival").split("#")
    page.goto(f"{address}?clinic=north#{token}")
    expect(page.locator("#step")).to_contain_text("Why north?")
    leave(page)
    expect(page).to_have_url(f"{clinic.url}/left")
    expect(page.get_by_role("link", name="Begin a new survey")).to_be_hidden()
