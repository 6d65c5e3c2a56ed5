"""A participant on the survey page, for the browser tests."""

import json
import re
from collections.abc import Callable
from typing import Any, Protocol

from playwright.sync_api import BrowserContext, Locator, Page, WebSocketRoute, expect

Message = dict[str, Any]


class RunningServer(Protocol):
    """The server as a process; the fixture ``server`` of ``tests/conftest.py``."""

    @property
    def url(self) -> str:
        """The URL, without a trailing slash."""

    def kill(self) -> None:
        """Kill the process with SIGKILL."""

    def start(self) -> None:
        """Start the server again on the same port and database."""


class Participant:
    """A tab with the survey page. Every method waits for the elements that it needs."""

    def __init__(self, context: BrowserContext, url: str) -> None:
        self.page: Page = context.new_page()
        self._url = url

    @property
    def root(self) -> Locator:
        """The element whose data attributes hold the page's state."""
        return self.page.locator("#survey")

    @property
    def heading(self) -> Locator:
        """The heading of the current step."""
        return self.page.locator("#prompt")

    def open(self, survey: str, **query: str) -> None:
        """Open the survey and wait until the page is connected."""
        parameters = "&".join(f"{name}={value}" for name, value in query.items())
        self.page.goto(f"{self._url}/s/{survey}?{parameters}")
        expect(self.root).to_have_attribute("data-connection", "online")

    def intercept(self, handle: Callable[[Message, Callable[[Message], None]], bool]) -> None:
        """Pass each message of the page to ``handle``, with a function to reply.

        The server gets the message if ``handle`` returns True.
        """

        def connect(socket: WebSocketRoute) -> None:
            upstream = socket.connect_to_server()

            def forward(frame: str | bytes) -> None:
                if handle(json.loads(frame), lambda message: socket.send(json.dumps(message))):
                    upstream.send(frame)

            socket.on_message(forward)

        self.page.route_web_socket("**/ws/survey/**", connect)

    def expect_step(self, step: str) -> None:
        """Wait until this step is shown and everything is saved."""
        expect(self.root).to_have_attribute("data-step", step)
        expect(self.root).to_have_attribute("data-save", "saved")

    def expect_offline_step(self, step: str) -> None:
        """Wait until this step is shown and the page is offline."""
        expect(self.root).to_have_attribute("data-step", step)
        expect(self.root).to_have_attribute("data-save", "offline")

    def expect_done(self) -> None:
        """Wait for the completion screen."""
        self.expect_step("end")
        expect(self.page.get_by_role("heading", name="Thank you")).to_be_visible()

    def choose(self, *labels: str) -> None:
        """Check the options with these labels."""
        for label in labels:
            exactly = re.compile(rf"^{re.escape(label)}$")
            self.page.locator("#step label", has_text=exactly).locator("input").check()

    def type(self, text: str) -> None:
        """Fill the step's text, number or date field."""
        self.page.locator("#answer").fill(text)

    def field(self) -> Locator:
        """The field of a text, number or date step."""
        return self.page.locator("#answer")

    def next(self) -> None:
        """Press Next or Continue."""
        self.page.locator("#next").click()

    def skip(self) -> None:
        """Press Skip."""
        self.page.get_by_role("button", name="Skip", exact=True).click()

    def back(self) -> None:
        """Press Back."""
        self.page.get_by_role("button", name="Back", exact=True).click()

    def answer(self, step: str, *labels: str) -> None:
        """Wait for this step, check the options and press Next."""
        self.expect_step(step)
        self.choose(*labels)
        self.next()

    def answer_offline(self, step: str, *labels: str) -> None:
        """Wait for this step while offline, check the options and press Next."""
        self.expect_offline_step(step)
        self.choose(*labels)
        self.next()

    def write(self, step: str, text: str) -> None:
        """Wait for this step, fill its field and press Next."""
        self.expect_step(step)
        self.type(text)
        self.next()

    def edit(self, question: str) -> None:
        """Open the list of answers and press Edit beside this question."""
        self.page.locator("#answers-panel summary").click()
        self.page.get_by_role("button", name=f"Edit: {question}").click()

    def user_id(self) -> str:
        """Return the browser's stored participant id."""
        user_id: str = self.page.evaluate("localStorage.getItem('stepkeep:user')")
        return user_id

    def events(self, survey: str, action: str | None = None) -> list[dict[str, Any]]:
        """Return the session's events from REST, oldest first: of one action, or all."""
        url = f"{self._url}/api/session/{self.user_id()}/history"
        response = self.page.context.request.get(url, params={"survey": survey})
        events: list[dict[str, Any]] = response.json()["events"]
        return [event for event in events if action in (None, event["action"])]

    def answered(self, survey: str) -> list[tuple[str, Any]]:
        """Return the steps and values of the saved answers, in order."""
        return [(event["step"], event["answer"]) for event in self.events(survey, "answered")]

    def close(self) -> None:
        """Close the tab, with the events that a browser dispatches then."""
        self.page.close(run_before_unload=True)
