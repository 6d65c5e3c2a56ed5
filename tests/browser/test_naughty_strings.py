"""The Big List of Naughty Strings in a browser: shown unchanged, and never executed."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import BrowserContext, Page, expect

from tests.conftest import Server, Servers
from tests.web.conftest import Participant, running_server
from tests.web.test_naughty_strings import STRINGS, write_survey

MARKUP = [text for text in STRINGS if text and ("<" in text or "alert" in text)][:60]
"""Strings that a page without escaping would execute."""


@pytest.fixture
def shown(servers: Servers, tmp_path: Path) -> Iterator[Server]:
    """A server whose survey has a step for each string."""
    (tmp_path / "surveys").mkdir()
    surveys = write_survey(tmp_path / "surveys", len(MARKUP) + 1)
    with running_server("sqlite", servers, tmp_path, surveys, STEPKEEP_ENVIRONMENT="development") as running:
        yield running


_WATCH = """
    localStorage.setItem("stepkeep:user", "browser");
    window.ran = [];
    for (const name of ["alert", "confirm", "prompt", "print"]) window[name] = () => window.ran.push(name);
    addEventListener("securitypolicyviolation", (event) => window.ran.push(event.violatedDirective));
    addEventListener("error", (event) => window.ran.push(`error: ${event.message}`));
"""


@pytest.mark.browser
def test_naughty_string_is_shown_unchanged_and_not_executed(context: BrowserContext, shown: Server) -> None:
    """The list of answers and the field have the string itself: no dialog, no script, no CSP violation."""
    page: Page = context.new_page()
    problems: list[str] = []
    page.on("dialog", lambda dialog: problems.append(dialog.message) or dialog.dismiss())
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("console", lambda line: problems.append(line.text) if line.type == "error" else None)
    page.add_init_script(_WATCH)
    client = Participant(shown, "browser", "naughty")
    for number, text in enumerate(MARKUP):
        assert client.answer(f"S{number}", text)["type"] == "ack"
    client.ws.close()
    page.goto(f"{shown.url}/s/naughty")
    expect(page.locator("#survey")).to_have_attribute("data-step", f"S{len(MARKUP)}")
    page.locator("#answers-panel summary").click()
    answers = page.locator("#answers-panel dd.answer")
    expect(answers).to_have_count(len(MARKUP))
    assert answers.all_text_contents() == MARKUP
    page.locator("#answer").fill(MARKUP[0])
    page.locator("#next").click()
    expect(page.locator("#survey")).to_have_attribute("data-step", "end")
    assert page.evaluate("window.ran") == []
    assert problems == []
