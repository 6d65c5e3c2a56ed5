"""The end of a survey: the author's words, the way on, and the participant's own answers on paper or in a file."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import BrowserContext, expect

from tests.browser.accessibility import assert_accessible, in_every_appearance
from tests.browser.participant import Participant
from tests.browser.test_audio import EAR, VOICE, hear
from tests.conftest import Server

pytestmark = pytest.mark.browser

SURVEY = """
id: ends
title: "Your <visit>"
language: en
markdown: true
steps:
  - {id: felt, type: choice, prompt: "How do you *feel*?", options: [bad, well, so-so]}
end:
  - when: answers.felt == "bad"
    title: We are sorry
    text: "Please **call** us.\\n\\n- day: [0800](https://clinic.example/day)\\n- night"
    redirect: "https://clinic.example/call?from=survey"
  - {when: answers.felt == "well", title: "Goodbye", summary: true}
"""


def finish(participant: Participant, answer: str) -> None:
    """Take the survey, and wait until it is saved."""
    participant.open("ends")
    participant.answer("felt", answer)
    participant.expect_step("end")


def save(participant: Participant, folder: Path) -> Path:
    """Save the answers, and return the file."""
    with participant.page.expect_download() as downloading:
        participant.page.get_by_role("button", name="Save as a file").click()
    file = folder / downloading.value.suggested_filename
    downloading.value.save_as(file)
    return file


def test_author_s_ending_is_shown(participant: Participant) -> None:
    """Its title, text and redirect, in place of the page's own thanks; also after a reload."""
    finish(participant, "bad")
    page = participant.page
    for _ in range(2):
        expect(page.get_by_role("heading", name="We are sorry")).to_be_focused()
        expect(page.locator("#ending strong")).to_have_text("call")
        expect(page.locator("#ending li")).to_have_text(["day: 0800", "night"])
        expect(page.get_by_role("link", name="0800")).to_have_attribute("target", "_blank")
        link = page.get_by_role("link", name="Continue to clinic.example")
        expect(link).to_have_attribute("href", "https://clinic.example/call?from=survey")
        expect(link).to_have_class("button")
        expect(page.get_by_text("Thank you", exact=True)).to_have_count(0)
        expect(page.locator("#done-answers")).to_be_hidden()
        expect(page.get_by_text("Your answers are saved, and you may close this page.")).to_be_visible()
        page.reload()
        participant.expect_step("end")


def test_summary_shows_the_answers(participant: Participant) -> None:
    """They stay as the participant leaves them."""
    finish(participant, "well")
    page = participant.page
    expect(page.get_by_role("heading", name="Goodbye")).to_be_visible()
    expect(page.locator("#done-answers .answer")).to_have_text("well")
    expect(page.locator("#redirect-box")).to_be_hidden()
    page.locator("#done summary").click()
    expect(page.locator("#done-answers")).to_be_hidden()


def test_page_has_its_own_thanks_without_an_ending_that_applies(participant: Participant) -> None:
    """Also when another ending was shown before a restart."""
    finish(participant, "bad")
    participant.page.get_by_role("button", name="Start again", exact=True).click()
    participant.page.get_by_role("button", name="Yes, start again").click()
    participant.answer("felt", "so-so")
    participant.expect_done()
    expect(participant.page.locator("#ending")).to_be_hidden()
    expect(participant.page.locator("#redirect-box")).to_be_hidden()
    expect(participant.page.locator("#done-answers")).to_be_hidden()


def test_answers_are_saved_as_a_file(participant: Participant, tmp_path: Path) -> None:
    """A page that needs nothing else, with the time and the reference."""
    finish(participant, "well")
    file = save(participant, tmp_path)
    assert file.name == "ends.html"
    text = file.read_text(encoding="utf-8")
    assert text.startswith(
        '<!DOCTYPE html><html xmlns="http://www.w3.org/1999/xhtml" lang="en" dir="ltr"><head><meta charset="utf-8"'
    )
    assert "<h1>Your &lt;visit&gt;</h1>" in text
    assert '<dt>How do you feel?</dt><dd class="answer"><bdi>well</bdi></dd>' in text
    assert participant.user_id() in text
    assert re.search(r"<(script|button|link|img)", text) is None


def test_file_has_the_author_s_ending(participant: Participant, tmp_path: Path) -> None:
    """Which may have a result, such as a score; the page's own thanks is no part of the answers."""
    finish(participant, "bad")
    text = save(participant, tmp_path).read_text(encoding="utf-8")
    assert "<h2>We are sorry</h2>" in text
    assert "<p>Please <strong>call</strong> us.</p>" in text
    participant.page.get_by_role("button", name="Start again", exact=True).click()
    participant.page.get_by_role("button", name="Yes, start again").click()
    participant.answer("felt", "so-so")
    participant.expect_done()
    assert "<h2>" not in save(participant, tmp_path).read_text(encoding="utf-8")


def test_copy_of_a_consent_form_has_its_text(context: BrowserContext, shared_server: Server, tmp_path: Path) -> None:
    """What the participant has read is on paper and in the file, in its place; also after a reload. On the screen are answers."""
    shared_server.reset()
    participant = Participant(context, shared_server.url)
    page = participant.page
    participant.open("consent")
    for step in ("about", "data"):
        participant.expect_step(step)
        participant.next()
    participant.answer("understood", "Yes")
    participant.answer("agrees", "No, I do not want to take part")
    participant.expect_step("end")
    page.reload()
    participant.expect_step("end")
    page.locator("#done summary").click()
    read = page.locator("#done-answers .read")
    expect(page.locator("#done-answers .answered:visible")).to_have_count(2)
    expect(read).to_have_count(2)
    expect(read.first).to_be_hidden()
    page.emulate_media(media="print")
    steps = [str(row.get_attribute("data-step")) for row in page.locator("#done-answers > :visible").all()]
    assert steps == ["about", "data", "understood", "agrees"]
    expect(read.first.locator("li")).to_have_text(["once today,", "once in a week,", "once in three months."])
    expect(read.last.locator("dt")).to_have_text("What happens to your answers")
    expect(read.last).to_contain_text("They are deleted after ten years, or when you ask for it.")
    page.emulate_media(media="screen")
    saved = context.new_page()
    saved.goto(save(participant, tmp_path).as_uri())
    expect(saved.get_by_text("What happens to your answers")).to_be_visible()
    expect(saved.get_by_role("listitem").first).to_have_text("once today,")
    expect(saved.get_by_text("Taking part is voluntary.")).to_have_css("font-weight", "400")
    expect(saved.get_by_text("No, I do not want to take part")).to_have_css("font-weight", "600")


def test_ending_is_read_aloud(participant: Participant) -> None:
    """In audio mode, once."""
    participant.page.add_init_script(VOICE + EAR)
    participant.open("ends", is_audio="true")
    hear(participant, "bad")
    hear(participant, "next")
    participant.expect_step("end")
    participant.page.wait_for_function("window.spoken.some((text) => text.startsWith('We are sorry Please call us.'))")
    spoken = participant.page.evaluate("window.spoken.filter((text) => text.includes('you may close this page'))")
    assert len(spoken) == 1


@in_every_appearance
def test_endings_are_accessible(new_context: Any, server: Server, scheme: Any, viewport: Any) -> None:
    participant = Participant(new_context(color_scheme=scheme, viewport=viewport), server.url)

    def views() -> Iterator[str]:
        finish(participant, "bad")
        yield "text and redirect"
        participant.page.get_by_role("button", name="Start again", exact=True).click()
        participant.page.get_by_role("button", name="Yes, start again").click()
        participant.answer("felt", "well")
        participant.expect_step("end")
        yield "summary"

    assert_accessible(participant.page, views())
