"""Participants in headless Chromium, on pages that import only the JavaScript client.

One thread drives all pages, as Playwright requires; each page has its own profile. Pages are reloaded now and then:
the outbox then is the one in IndexedDB.
"""

import threading
import time
from collections.abc import Iterator
from typing import Any

from playwright.sync_api import Error, Page, sync_playwright

from tests.chaos.logs import ClientLog, open_file
from tests.chaos.participants import ANSWER_TIMEOUT_S, MAX_UNANSWERED, Crowd
from tests.chaos.walks import SURVEYS, PlannedCommand, Walk
from tests.conftest import find_chromium

TIMEOUTS_MS = {
    "connectAttempts": 5,
    "connectDelayMs": 100,
    "slowDelayMs": 1000,
    "busyDelayMs": 500,
    "openTimeoutMs": 4000,
    "pingIntervalMs": 1000,
    "pingTimeoutMs": 2000,
}

RELOAD_EVERY = 15
LOAD_MS = 5000
PAUSE_S = 0.01

START = """async ({surveyId, userId, token, timeouts}) => {
    const {SurveyClient} = await import("/assets/client/client.js");
    const messages = [];
    const client = new SurveyClient({origin: location.origin, surveyId, userId, token, timeouts});
    for (const type of ["state", "ack", "pending", "reject", "sync", "error"]) {
        client.addEventListener(type, (event) => messages.push(event.detail));
    }
    client.addEventListener("stopped", () => messages.push({type: "stopped"}));
    window.chaos = {client, messages};
    await client.start();
}"""

SEND = """(command) => {
    const client = window.chaos.client;
    switch (command.type) {
        case "answer": void client.answer(command.step, command.value); break;
        case "back": void client.back(); break;
        case "goto": void client.goto(command.step); break;
        case "mode": void client.setMode(command.audio); break;
        case "restart": void client.restart(); break;
        default: client.draft(command.step, command.value); return null;
    }
    return client.unacknowledgedCommands.at(-1).id;
}"""

TAKE = "() => window.chaos.messages.splice(0)"

STOP = """() => {
    window.chaos.client.stop();
    return window.chaos.messages.splice(0);
}"""


class BrowserCrowd:
    """Several pages, driven by one thread."""

    def __init__(self, pages: int, crowd: Crowd) -> None:
        self._crowd = crowd
        self._pages = pages
        self.failure: BaseException | None = None
        self.thread = threading.Thread(target=self._run, name="chaos-browsers", daemon=True)

    def _run(self) -> None:
        try:
            with sync_playwright() as playwright:
                browser = playwright.chromium.launch(executable_path=find_chromium(), args=["--no-sandbox"])
                try:
                    self._drive([_Visitor(number, browser.new_page(), self._crowd) for number in range(self._pages)])
                finally:
                    browser.close()
        except BaseException as error:  # noqa: BLE001 - the run reports it
            self.failure = error

    def _drive(self, visitors: list["_Visitor"]) -> None:
        visits = [visitor.visits() for visitor in visitors]
        while visits and not self._crowd.stopping.is_set():
            visits = [visit for visit in visits if next(visit, "done") != "done"]
            time.sleep(PAUSE_S)
        for visitor in visitors:
            visitor.close()


class _Visitor:
    """A participant using one page."""

    def __init__(self, number: int, page: Page, crowd: Crowd) -> None:
        self._number = number
        self._page = page
        self._crowd = crowd
        self._survey_id = SURVEYS[number % len(SURVEYS)]
        self._file = open_file(crowd.world.folder, f"browser-{number}")

    def close(self) -> None:
        self._file.close()

    def visits(self) -> Iterator[None]:
        """Complete one session after another; yield while waiting."""
        visit = 0
        while self._crowd.sending.is_set():
            visit += 1
            user_id = f"{self._crowd.seed}-b{self._number}-v{visit}"
            log = self._crowd.new_log(f"b{self._number}v{visit}", self._survey_id, user_id, self._file)
            yield from self._visit(log, Walk(user_id, self._survey_id))

    def _visit(self, log: ClientLog, walk: Walk) -> Iterator[None]:
        yield from self._load(log)
        number = 0
        while self._crowd.is_visiting(log, number := number + 1):
            yield from self._wait_for_session(log)
            if log.newest is None:
                break
            if number % RELOAD_EVERY == 0:
                self._take(log, STOP)
                log.note("reloaded")
                yield from self._load(log)
            yield from self._send(log, walk.next(log.newest))
        while log.unanswered() and not log.is_refused:
            self._take(log, TAKE)
            yield
        self._take(log, STOP)

    def _load(self, log: ClientLog) -> Iterator[None]:
        """Load the client into a new page; retry while the server is unavailable."""
        arguments: dict[str, Any] = {
            "surveyId": log.survey_id,
            "userId": log.user_id,
            "token": self._crowd.world.token(log.key),
            "timeouts": TIMEOUTS_MS,
        }
        while True:
            try:
                self._page.goto(f"{self._crowd.world.origin}/healthz", timeout=LOAD_MS)
                self._page.evaluate(START, arguments)
            except Error:
                yield
            else:
                return

    def _wait_for_session(self, log: ClientLog) -> Iterator[None]:
        while log.newest is None and not log.is_refused and self._crowd.sending.is_set():
            self._take(log, TAKE)
            yield

    def _send(self, log: ClientLog, planned: PlannedCommand) -> Iterator[None]:
        at_s = time.monotonic()
        command_id = self._page.evaluate(SEND, dict(planned.command))
        log.record_sent(at_s, command_id, planned.command, is_invalid=planned.is_invalid)
        while command_id is not None and command_id not in log.answered and not log.is_refused:
            self._take(log, TAKE)
            yield
            if time.monotonic() - at_s > ANSWER_TIMEOUT_S and len(log.unanswered()) < MAX_UNANSWERED:
                return

    def _take(self, log: ClientLog, script: str) -> None:
        for message in self._page.evaluate(script):
            if message["type"] == "stopped":
                log.is_refused = True
            else:
                log.record_received(message)
