"""The menu of a survey's languages, and the language of the page."""

from collections.abc import Callable

import pytest
from playwright.sync_api import BrowserContext, Page, expect

from tests.browser.accessibility import assert_accessible
from tests.browser.participant import Participant
from tests.browser.test_audio import EAR, VOICE, hear
from tests.conftest import Server

pytestmark = pytest.mark.browser

SURVEY = """
id: visit
title: {en: Your visit, de: Ihr Besuch, ar: زيارتك}
description: {en: Two questions, de: Zwei Fragen, ar: سؤالان}
language: en
languages: [en, de, ar]
steps:
  - {id: name, type: text, prompt: {en: Your name, de: Ihr Name, ar: اسمك}}
  - {id: weight, type: number, prompt: {en: Your weight, de: Ihr Gewicht, ar: وزنك}, max: 300.5}
"""

Open = Callable[..., Page]


@pytest.fixture
def open_page(server: Server, new_context: Callable[..., BrowserContext]) -> Open:
    """Open the survey's page on a device."""

    def open_(user: str, query: str = "", locale: str = "en-US") -> Page:
        page = new_context(locale=locale).new_page()
        page.goto(f"{server.url}/s/visit?user={user}{query}")
        return page

    return open_


def expect_language(page: Page, language: str, title: str, prompt: str, button: str) -> None:
    expect(page.locator(f"html[lang={language}]")).to_have_count(1)
    expect(page.get_by_role("heading", name=title, exact=True)).to_be_visible()
    expect(page.locator("#step")).to_contain_text(prompt)
    expect(page.locator("#next")).to_have_text(button)
    expect(page.locator("#language")).to_have_value(language)


def test_page_begins_in_the_language_of_the_browser(open_page: Open) -> None:
    """Its first one that the survey has, for the survey and for the page."""
    expect_language(open_page("begins", locale="de-AT"), "de", "Ihr Besuch", "Ihr Name", "Weiter")


def test_chosen_language_is_shown_without_a_reload_and_stays(open_page: Open) -> None:
    """Input that is not submitted stays too, as does the focus; a reload and another device show the same language."""
    page = open_page("chosen")
    expect_language(page, "en", "Your visit", "Your name", "Next")
    page.evaluate("window.isSamePage = true")
    page.locator("#step input, #step textarea").first.fill("Anna")
    page.get_by_label("Language").focus()
    page.get_by_label("Language").select_option("de")
    expect_language(page, "de", "Ihr Besuch", "Ihr Name", "Weiter")
    expect(page.locator("#step input, #step textarea").first).to_have_value("Anna")
    expect(page.locator("#language")).to_be_focused()
    expect(page.get_by_text("Zwei Fragen")).to_be_visible()
    assert page.evaluate("window.isSamePage")
    page.reload()
    expect_language(page, "de", "Ihr Besuch", "Ihr Name", "Weiter")
    expect_language(open_page("chosen"), "de", "Ihr Besuch", "Ihr Name", "Weiter")


def test_refusals_and_numbers_are_in_the_chosen_language(open_page: Open) -> None:
    """Also those that the page itself finds, with the language's decimal comma."""
    page = open_page("refused", locale="de")
    page.locator("#step input, #step textarea").first.fill("Anna")
    page.locator("#next").click()
    expect(page.locator("#step")).to_contain_text("Ihr Gewicht")
    page.locator("#step input").first.fill("301")
    page.locator("#next").click()
    expect(page.locator("#problem")).to_contain_text("300,5")


def test_language_of_the_address_is_chosen_for_the_session(open_page: Open) -> None:
    """A link with `?lang=` changes the language of a session that has another."""
    expect_language(open_page("linked"), "en", "Your visit", "Your name", "Next")
    expect_language(open_page("linked", "&lang=ar"), "ar", "زيارتك", "اسمك", "التالي")
    page = open_page("linked")
    expect_language(page, "ar", "زيارتك", "اسمك", "التالي")
    expect(page.locator("html")).to_have_attribute("dir", "rtl")


def test_another_open_device_follows(open_page: Open) -> None:
    """The language is the session's."""
    first, second = open_page("both"), open_page("both")
    expect_language(second, "en", "Your visit", "Your name", "Next")
    first.locator("#language").select_option("ar")
    expect_language(second, "ar", "زيارتك", "اسمك", "التالي")


def test_menu_is_accessible(open_page: Open) -> None:
    """Also in a language from right to left."""
    page = open_page("accessible", "&lang=ar")
    expect_language(page, "ar", "زيارتك", "اسمك", "التالي")
    assert_accessible(page, ["the step"])


def test_voice_is_of_the_chosen_language(server: Server, context: BrowserContext) -> None:
    """The step is read again, and commands and recognition are of the language; what was said before stays."""
    participant = Participant(context, server.url)
    page = participant.page
    page.add_init_script(VOICE + EAR)
    participant.open("visit", user="speaks", is_audio="true")
    hear(participant, "Ann")
    expect(participant.field()).to_have_value("Ann")
    page.locator("#language").select_option("de")
    expect(page.locator("html[lang=de]")).to_have_count(1)
    expect(page.locator("#step")).to_contain_text("Ihr Name")
    expect(participant.field()).to_have_value("Ann")
    page.wait_for_function("window.spoken.at(-1) === 'Ihr Name'")
    hear(participant, "weiter")
    participant.expect_step("weight")
