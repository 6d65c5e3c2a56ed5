"""The reference of REST and the WebSocket at ``/docs``."""

import contextlib
from collections.abc import Iterator

import pytest
from playwright.sync_api import BrowserContext, Page, expect

from tests.browser.accessibility import axe_violations, in_every_appearance, opposite_appearance, overflow
from tests.browser.clinic import STORED, Clinic
from tests.browser.participant import RunningServer

pytestmark = pytest.mark.browser

OPEN_ALL = "() => document.querySelectorAll('details').forEach((each) => { each.open = true; })"


@pytest.fixture
def page(context: BrowserContext) -> Iterator[Page]:
    """A tab in which no script fails, and which the Content-Security-Policy refuses nothing."""
    problems: list[str] = []
    page = context.new_page()
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("console", lambda message: problems.append(message.text) if "Content Security" in message.text else None)
    yield page
    assert problems == []


@in_every_appearance
def test_reference_is_accessible(page: Page, server: RunningServer, scheme: str, viewport: dict[str, int]) -> None:
    """Long addresses and examples are broken, every form is labelled, and the contents lead to an operation."""
    page.set_viewport_size({"width": viewport["width"], "height": viewport["height"]})
    page.emulate_media(color_scheme="light" if scheme == "light" else "dark")
    page.goto(f"{server.url}/docs")
    page.get_by_role("link", name="GET /api/sessions", exact=True).click()
    expect(page.get_by_role("heading", name="GET /api/sessions", exact=True)).to_be_in_viewport()
    page.evaluate(OPEN_ALL)
    for appearance in (contextlib.nullcontext(), opposite_appearance(page)):
        with appearance:
            assert overflow(page) == []
            assert axe_violations(page) == []


def test_request_is_sent_with_the_entered_key(page: Page, clinic: Clinic) -> None:
    """By keyboard alone: without credentials 401, with an API key the response; the key is stored nowhere."""
    page.goto(f"{clinic.url}/docs")
    section = page.locator("#get_sessions")
    section.get_by_text("Send a request").press("Enter")
    section.get_by_label("limit").press("Enter")
    expect(section.get_by_role("status")).to_have_text("401 UNAUTHORIZED")
    page.get_by_label("Token or API key").fill(clinic.key)
    section.get_by_label("limit").fill("7")
    section.get_by_role("button", name="Send GET").press("Enter")
    expect(section.get_by_role("status")).to_have_text("200 OK")
    expect(section.locator("form pre")).to_contain_text('"sessions": []')
    assert clinic.key not in page.evaluate(STORED)


def test_body_and_path_of_a_request_are_what_the_fields_have(page: Page, server: RunningServer) -> None:
    """A command answers a step; a rejected one shows its problem details."""
    page.goto(f"{server.url}/docs")
    section = page.locator("#post_session_commands")
    section.get_by_text("Send a request").click()
    section.get_by_label("user_id").fill("a@b")
    section.get_by_label("survey").fill("phq9")
    section.get_by_role("button").click()
    expect(section.get_by_role("status")).to_have_text("200 OK")
    expect(section.locator("form pre")).to_contain_text('"user_id": "a@b"')
    section.get_by_label("Body").fill('{"type": "answer", "id": "x", "step": "Q1", "value": 99}')
    section.get_by_role("button").click()
    expect(section.get_by_role("status")).to_have_text("409 CONFLICT")
    expect(section.locator("form pre")).to_contain_text('"code": "invalid_answer"')


def test_connection_shows_the_messages_of_both_sides(page: Page, clinic: Clinic) -> None:
    """Without a token the close code is shown; with one, messages are sent and received."""
    page.goto(f"{clinic.url}/docs")
    section = page.locator("#websocket")
    section.get_by_text("Open a connection").click()
    section.get_by_label("survey").fill("phq9")
    page.get_by_label("Token or API key").fill("wrong")
    section.get_by_role("button", name="Connect").click()
    expect(section.get_by_role("status")).to_contain_text("Closed with 4401")
    expect(section.get_by_role("button", name="Send the message")).to_be_disabled()
    page.get_by_label("Token or API key").fill(clinic.link("ann", "phq9").partition("#")[2])
    section.get_by_label("user_id").fill("ann")
    section.get_by_role("button", name="Connect").click()
    section.get_by_role("button", name="Send the message").click()
    log = section.get_by_role("log")
    expect(log).to_contain_text('< {"type":"state"')
    expect(log).to_contain_text('> {"type": "ping"}')
    expect(log).to_contain_text('< {"type":"pong"}')
