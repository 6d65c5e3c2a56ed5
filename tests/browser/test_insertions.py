"""Texts with values of the session, where the page shows them later."""

import pytest
from playwright.sync_api import BrowserContext, expect

from tests.browser.participant import Participant
from tests.conftest import Server

pytestmark = pytest.mark.browser

SURVEY = """
id: inserted
title: Inserted values
language: en
markdown: true
steps:
  - {id: name, type: text, prompt: Name, max_length: 20}
  - {id: mood, type: text, prompt: "How are *you*, {{ answers.name }}?", max_length: 20}
  - {id: more, type: text, prompt: "More, {{ coalesce(answers.mood, '}') }}?", required: false, max_length: 20}
"""


def test_list_of_answers_shows_no_expression(context: BrowserContext, server: Server) -> None:
    """After a reload, the page knows an earlier question only from the survey's definition."""
    participant = Participant(context, server.url)
    page = participant.page
    participant.open("inserted")
    participant.write("name", "Ada")
    participant.expect_step("mood")
    expect(page.get_by_role("heading", name="How are you, Ada?")).to_be_visible()
    participant.write("mood", "Fine")
    participant.expect_step("more")
    expect(page.locator("#answers dt").last).to_have_text("How are you, Ada?")
    page.reload()
    participant.expect_step("more")
    expect(page.get_by_role("heading", name="More, Fine?")).to_be_visible()
    expect(page.locator("#answers dt").last).to_have_text("How are you, …?")
