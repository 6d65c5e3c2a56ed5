"""A participant at the page: the words that the browser tests are written in."""

import json
import re
from collections.abc import Callable
from typing import Any, Protocol

from playwright.sync_api import BrowserContext, Locator, Page, WebSocketRoute, expect

Message = dict[str, Any]


class RunningServer(Protocol):
    """The real server as a process of its own; the fixture `server` of tests/conftest.py."""

    @property
    def url(self) -> str:
        """Its address, without a slash at the end."""

    def kill(self) -> None:
        """Kill it with SIGKILL."""

    def start(self) -> None:
        """Start it again, on the same port and database."""


class Participant:
    """One tab with the survey page. Every method waits for what it needs; none sleeps."""

    def __init__(self, context: BrowserContext, url: str) -> None:
        self.page: Page = context.new_page()
        self._url = url

    @property
    def root(self) -> Locator:
        """The element whose data attributes tell the page's state."""
        return self.page.locator("#survey")

    @property
    def heading(self) -> Locator:
        """The heading of the step in view."""
        return self.page.locator("#prompt")

    def open(self, survey: str, **query: str) -> None:
        """Open the survey and wait until the server has greeted the page."""
        asked = "&".join(f"{name}={value}" for name, value in query.items())
        self.page.goto(f"{self._url}/s/{survey}?{asked}")
        expect(self.root).to_have_attribute("data-connection", "online")

    def intercept(self, goes_on: Callable[[Message, Callable[[Message], None]], bool]) -> None:
        """Let ``goes_on`` see each message of the page, and answer it; it says whether the server gets it too."""

        def connect(socket: WebSocketRoute) -> None:
            upstream = socket.connect_to_server()

            def pass_on(frame: str | bytes) -> None:
                if goes_on(json.loads(frame), lambda message: socket.send(json.dumps(message))):
                    upstream.send(frame)

            socket.on_message(pass_on)

        self.page.route_web_socket("**/ws/survey/**", connect)

    def is_at(self, step: str) -> None:
        """Wait until this step is in view and all is saved."""
        expect(self.root).to_have_attribute("data-step", step)
        expect(self.root).to_have_attribute("data-save", "saved")

    def is_offline_at(self, step: str) -> None:
        """Wait until this step is in view, without a connection."""
        expect(self.root).to_have_attribute("data-step", step)
        expect(self.root).to_have_attribute("data-save", "offline")

    def is_done(self) -> None:
        """Wait for the completion screen."""
        self.is_at("end")
        expect(self.page.get_by_role("heading", name="Thank you")).to_be_visible()

    def choose(self, *labels: str) -> None:
        """Pick the options of these labels."""
        for label in labels:
            exactly = re.compile(rf"^{re.escape(label)}$")
            self.page.locator("#step label", has_text=exactly).locator("input").check()

    def type(self, text: str) -> None:
        """Fill the step's text, number or date."""
        self.page.locator("#answer").fill(text)

    def field(self) -> Locator:
        """The field that a text, number or date is typed into."""
        return self.page.locator("#answer")

    def next(self) -> None:
        """Press the button that goes on."""
        self.page.locator("#next").click()

    def skip(self) -> None:
        """Press Skip."""
        self.page.get_by_role("button", name="Skip", exact=True).click()

    def back(self) -> None:
        """Press Back."""
        self.page.get_by_role("button", name="Back", exact=True).click()

    def answer(self, step: str, *labels: str) -> None:
        """At this step, pick the options and go on."""
        self.is_at(step)
        self.choose(*labels)
        self.next()

    def answer_offline(self, step: str, *labels: str) -> None:
        """At this step, without a connection, pick the options and go on."""
        self.is_offline_at(step)
        self.choose(*labels)
        self.next()

    def write(self, step: str, text: str) -> None:
        """At this step, type the text and go on."""
        self.is_at(step)
        self.type(text)
        self.next()

    def edit(self, question: str) -> None:
        """Open the list of answers and press Edit beside this question."""
        self.page.locator("#answers-panel summary").click()
        self.page.get_by_role("button", name=f"Edit: {question}").click()

    def user_id(self) -> str:
        """The id that this browser keeps for the participant."""
        kept: str = self.page.evaluate("localStorage.getItem('stepkeep:user')")
        return kept

    def events(self, survey: str, action: str | None = None) -> list[dict[str, Any]]:
        """Read the session's events from REST, oldest first; of one action, or all."""
        address = f"{self._url}/api/session/{self.user_id()}/history"
        answer = self.page.context.request.get(address, params={"survey": survey})
        found: list[dict[str, Any]] = answer.json()["events"]
        return [event for event in found if action in (None, event["action"])]

    def answered(self, survey: str) -> list[tuple[str, Any]]:
        """Return which steps were answered, and how, in the order in which that was saved."""
        return [(event["step"], event["answer"]) for event in self.events(survey, "answered")]

    def close(self) -> None:
        """Close the tab, as a person does."""
        self.page.close(run_before_unload=True)
