"""How a page loads: few requests, none twice, and the question before the connection."""

import re
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Page, Request, WebSocketRoute, expect

from tests.browser.desk import Desk, Ward
from tests.browser.participant import Participant

pytestmark = pytest.mark.browser

MOST_REQUESTS = 10


def requests_of(page: Page) -> list[str]:
    """Return a list to which the paths are added that the page requests from now on, of its WebSocket too."""
    paths: list[str] = []

    def add(request: Request) -> None:
        paths.append(urlsplit(request.url).path)

    page.on("request", add)
    page.on("websocket", lambda socket: paths.append(urlsplit(socket.url).path))
    return paths


def from_the_network(page: Page) -> list[str]:
    """Return the files that the page did not take from the browser's cache."""
    names: list[str] = page.evaluate(
        "performance.getEntriesByType('resource').filter((entry) => entry.transferSize > 0).map((entry) => entry.name)"
    )
    return [urlsplit(name).path for name in names]


class HeldSocket:
    """A participant's WebSocket that receives nothing until it is released."""

    def __init__(self, page: Page) -> None:
        self._held: list[str | bytes] | None = []
        self._socket: WebSocketRoute | None = None
        page.route_web_socket("**/ws/survey/**", self._connect)

    def release(self) -> None:
        """Deliver what was held, and all that follows."""
        assert self._socket is not None
        held, self._held = self._held or [], None
        for message in held:
            self._socket.send(message)

    def _connect(self, socket: WebSocketRoute) -> None:
        self._socket = socket
        server = socket.connect_to_server()
        socket.on_message(lambda message: server.send(message))  # noqa: PLW0108 - Playwright can't take a built-in method
        server.on_message(self._receive)

    def _receive(self, message: str | bytes) -> None:
        assert self._socket is not None
        if self._held is None:
            self._socket.send(message)
        else:
            self._held.append(message)


def test_first_question_takes_few_requests_and_a_return_none_again(first_device: Participant) -> None:
    """For static files and the definition; the page itself and the WebSocket are the participant's own."""
    first = requests_of(first_device.page)
    first_device.open("phq9")
    first_device.expect_step("Q1")
    assert len(first) <= MOST_REQUESTS, first
    assert [path for path in first if path.startswith("/assets/")]
    page = first_device.page = first_device.page.context.new_page()
    first_device.open("phq9")
    first_device.expect_step("Q1")
    assert from_the_network(page) == []


def test_dashboard_takes_few_requests(desk: Desk, ward: Ward) -> None:
    """Also the page of a survey, with its charts."""
    for path, shown in (
        ("/dashboard", "h1"),
        ("/dashboard/sessions", "tbody tr"),
        ("/dashboard/surveys/phq9", "#figures[aria-busy=false]"),
        ("/dashboard/sessions/phq9/p-05", "[data-testid=version-text]"),
    ):
        requests = requests_of(desk.page)
        desk.page.goto(f"{ward.url}{path}")
        expect(desk.page.locator(shown).first).to_be_visible()
        assert len(requests) <= MOST_REQUESTS, requests


def test_question_is_shown_before_the_connection(first_device: Participant) -> None:
    """And what is entered meanwhile stays, and is saved when the WebSocket is open."""
    page = first_device.page
    socket = HeldSocket(page)
    page.goto(f"{first_device._url}/s/phq9")
    expect(first_device.heading).to_be_visible()
    expect(page.locator("#save-text")).to_have_text("Connecting…")
    expect(first_device.root).to_have_attribute("data-connection", "connecting")
    first_device.choose("Several days")
    page.evaluate("document.querySelector('#prompt').dataset.same = 'yes'")
    socket.release()
    first_device.expect_step("Q1")
    expect(page.get_by_role("radio", name="Several days")).to_be_checked()
    expect(first_device.heading).to_have_attribute("data-same", "yes")  # not drawn again
    first_device.next()
    first_device.expect_step("Q2")


def test_answer_that_is_given_before_the_connection_is_sent(first_device: Participant) -> None:
    """It waits in the outbox, as one that is given offline."""
    page = first_device.page
    socket = HeldSocket(page)
    page.goto(f"{first_device._url}/s/phq9")
    expect(first_device.heading).to_be_visible()
    first_device.choose("Several days")
    first_device.next()
    expect(first_device.root).to_have_attribute("data-step", "Q2")
    socket.release()
    first_device.expect_step("Q2")
    page.reload()
    first_device.back()
    expect(page.get_by_role("radio", name="Several days")).to_be_checked()


def test_returning_participant_sees_their_step_before_the_connection(first_device: Participant) -> None:
    """With Back; the message is not left in the page, where another participant of the device could find it."""
    page = first_device.page
    first_device.open("phq9")
    first_device.answer("Q1", "Several days")
    first_device.expect_step("Q2")
    page.route_web_socket("**/ws/**", lambda _: None)
    page.reload()
    expect(first_device.root).to_have_attribute("data-step", "Q2")
    expect(page.get_by_role("button", name="Back", exact=True)).to_be_visible()
    expect(page.locator("#resumed")).to_have_text(re.compile("step 2"))
    assert page.locator("#opening-state").count() == 0
