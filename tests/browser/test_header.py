"""What stands above the question: the header's tools on small screens, and the survey's description."""

from collections.abc import Callable

import pytest
from playwright.sync_api import BrowserContext, Page, expect

from app.core.languages import languages
from tests.browser.accessibility import PHONE, overflow, small_targets
from tests.browser.participant import Participant
from tests.browser.test_survey_page import double_text
from tests.conftest import Server

pytestmark = pytest.mark.browser

LANGUAGES = ("en", "de", "fr", "ja", "ar", "he", "pt-BR", "sr-Latn-BA")

SURVEY = f"""
id: visit
title: Your visit
description: Two questions
language: en
languages: [{", ".join(LANGUAGES)}]
steps:
  - {{id: pain, type: boolean, prompt: Pain}}
  - {{id: sleep, type: boolean, prompt: Sleep}}
"""

BOXES = """() => [".brand", "#audio", ".language"].map((name) => {
  const { left, right, top, height } = document.querySelector(name).getBoundingClientRect();
  return [Math.round(left), Math.round(right), Math.floor((top + height / 2) / 44)];
})"""
"""Left edge and right edge of the parts of the header, in pixels, and their row, of which each is 44 or more."""


TOPS = """async (language) => {
  const { changeLanguage, text } = await import("/assets/page/texts.js");
  const { SurveyView } = await import("/assets/page/survey-view.js");
  await changeLanguage(language);
  document.getElementById("position").textContent = text("script.position_of", { number: 12, total: 21 });
  const view = new SurveyView();
  return ["saving", "saved"].map((save) => {
    view.showSave(save);
    return document.getElementById("step-form").getBoundingClientRect().top;
  });
}"""
"""Where the question begins while an answer is saved, and after that."""


def boxes(page: Page) -> list[list[int]]:
    """Return the boxes of brand, audio button and language menu."""
    found: list[list[int]] = page.evaluate(BOXES)
    return found


def test_header_is_one_row_in_every_language(server: Server, new_context: Callable[..., BrowserContext]) -> None:
    """On phones too; nothing overlaps or leaves the screen, at twice the text size either."""
    page = new_context().new_page()
    problems = []
    for language in LANGUAGES:
        page.goto(f"{server.url}/s/visit?user={language}&lang={language}")
        expect(page.locator(f"html[lang={language}]")).to_have_count(1)
        expect(page.locator("#survey")).to_have_attribute("data-part", "step-form")
        for width in (320, 360, 400, 1280):
            page.set_viewport_size({"width": width, "height": 740})
            rows = {row for *_, row in boxes(page)}
            problems += [f"{language} {width}: {len(rows)} rows"] * (len(rows) - 1)
        double_text(page)
        for width in (320, 360, 400, 1280):
            page.set_viewport_size({"width": width, "height": 740})
            found = boxes(page)
            pairs = [(one, other) for one in found for other in found if one[2] == other[2] and one[0] < other[0]]
            is_apart = all(first[1] <= second[0] for first, second in pairs)
            is_inside = all(left >= 0 and right <= width for left, right, _ in found)
            problems += [f"{language} {width}, doubled: {found}"] * (
                not is_apart or not is_inside or len({row for *_, row in found}) > 2
            )
            problems += [f"{language} {width}, doubled: {one}" for one in (*overflow(page), *small_targets(page))]
    assert not problems, "\n".join(problems)


def test_question_keeps_its_place_while_an_answer_is_saved(
    server: Server, new_context: Callable[..., BrowserContext]
) -> None:
    """In languages whose "Saving…" is long, too."""
    page = new_context(viewport=PHONE).new_page()
    page.goto(f"{server.url}/s/visit?user=steady")
    expect(page.locator("#survey")).to_have_attribute("data-part", "step-form")
    page.locator("#step input").first.check()
    page.locator("#next").click()
    expect(page.locator("#survey")).to_have_attribute("data-step", "sleep")
    tops = {language: page.evaluate(TOPS, language) for language in languages()}
    assert {language: top for language, top in tops.items() if len(set(top)) > 1} == {}


def test_description_is_shown_before_the_first_step_only(
    server: Server, new_context: Callable[..., BrowserContext]
) -> None:
    """Whether the participant comes there, returns to it, or resumes elsewhere; not at the end either."""
    participant = Participant(new_context(viewport=PHONE), server.url)
    description = participant.page.get_by_text("Two questions")
    participant.open("visit")
    participant.expect_step("pain")
    expect(description).to_be_visible()
    participant.answer("pain", "No")
    participant.expect_step("sleep")
    expect(description).to_be_hidden()
    participant.back()
    participant.expect_step("pain")
    expect(description).to_be_visible()
    participant.next()
    participant.expect_step("sleep")
    participant.page.reload()
    participant.expect_step("sleep")
    expect(description).to_be_hidden()
    participant.answer("sleep", "No")
    participant.expect_done()
    expect(description).to_be_hidden()
    participant.page.locator("#restart").click()
    participant.page.locator("#restart-yes").click()
    participant.expect_step("pain")
    expect(description).to_be_visible()
