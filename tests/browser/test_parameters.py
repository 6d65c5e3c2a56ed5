"""Parameters of the page's address: in its texts, in the session, and refused in the participant's language."""

from collections.abc import Callable

import pytest
from playwright.sync_api import BrowserContext, Page, expect

from tests.browser.accessibility import assert_accessible
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
