"""The page's step types: every one of the server's is supported, and an unknown one is never answered."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import BrowserContext, Page, Route, WebSocketRoute, expect

from app.survey.types import STEP_TYPES
from tests.browser.participant import Message, Participant, RunningServer

pytestmark = pytest.mark.browser

UNSUPPORTED = """async (types) => {
  const { stepType } = await import("/assets/page/controls/index.js");
  const functions = ["createControl", "formatAnswer", "parseSpeech"];
  return types.filter((type) => functions.some((name) => typeof stepType({ type })?.[name] !== "function"));
}"""


def with_unknown_type(value: Any, name: str) -> Any:
    """Return JSON in which a step or field, wherever it occurs, has a type that no page supports."""
    if isinstance(value, list):
        return [with_unknown_type(item, name) for item in value]
    if not isinstance(value, dict):
        return value
    changed = {key: with_unknown_type(item, name) for key, item in value.items()}
    return {**changed, "type": "hologram"} if value.get("id") == name and "prompt" in value else changed


def make_unknown(page: Page, name: str) -> None:
    """Rewrite a step or field in everything that the server sends to the page."""

    def rewrite_response(route: Route) -> None:
        route.fulfill(json=with_unknown_type(route.fetch().json(), name))

    def rewrite_messages(socket: WebSocketRoute) -> None:
        upstream = socket.connect_to_server()
        upstream.on_message(lambda frame: socket.send(json.dumps(with_unknown_type(json.loads(frame), name))))

    page.route("**/api/surveys/*", rewrite_response)
    page.route_web_socket("**/ws/survey/**", rewrite_messages)


def test_page_supports_every_step_type_of_the_server(context: BrowserContext, server: RunningServer) -> None:
    """Each type has a module in ``static/page/controls``, listed in its ``index.js``."""
    page = context.new_page()
    page.goto(server.url)
    assert page.evaluate(UNSUPPORTED, list(STEP_TYPES)) == []
    assert page.evaluate(UNSUPPORTED, ["hologram"]) == ["hologram"]


def test_page_asks_to_be_reloaded_when_the_server_says_so(participant: Participant) -> None:
    """By the error `reload`; the page sends nothing more of that step."""

    def refuse(message: Message, reply: Callable[[Message], None]) -> bool:
        if message["type"] == "answer":
            reply({"type": "error", "id": message["id"], "code": "reload", "message": "Please reload the page."})
        return message["type"] != "answer"

    participant.intercept(refuse)
    participant.open("phq9")
    participant.answer("Q1", "Several days")
    expect(participant.page.get_by_role("heading", name="Please reload this page")).to_be_visible()
    expect(participant.page.locator("#step-form")).to_be_hidden()
    expect(participant.page.get_by_role("button", name="Reload")).to_be_visible()


def test_page_asks_to_be_reloaded_when_a_step_has_an_unknown_type(
    participant: Participant, context: BrowserContext, server: RunningServer
) -> None:
    """The page sends no answer to it, and continues when another tab has answered it."""
    make_unknown(participant.page, "Q2")
    participant.open("phq9")
    participant.answer("Q1", "Several days")
    participant.expect_step("Q2")
    expect(participant.page.get_by_role("heading", name="Please reload this page")).to_be_visible()
    expect(participant.page.locator("#step-form")).to_be_hidden()
    participant.page.keyboard.press("Enter")
    other = Participant(context, server.url)
    other.open("phq9")
    other.answer("Q2", "Not at all")
    participant.expect_step("Q3")
    expect(participant.page.locator("#step-form")).to_be_visible()
    assert participant.answered("phq9") == [("Q1", 1), ("Q2", 0)]
    participant.back()
    participant.expect_step("Q2")
    participant.page.get_by_role("button", name="Reload").click()
    participant.expect_step("Q2")
    expect(participant.page.get_by_role("heading", name="Please reload this page")).to_be_visible()
