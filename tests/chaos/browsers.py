"""Participants in a headless Chromium: pages that import the browser's client and nothing else of ours.

One thread drives them all, since playwright wants that; each has a profile of its own. Now and then a page is
loaded anew: its outbox is what IndexedDB has kept.
"""

import shutil
import threading
import time
from collections.abc import Iterator
from typing import Any

from playwright.sync_api import Error, Page, sync_playwright

from tests.chaos.logs import ClientLog, open_file
from tests.chaos.participants import IMPATIENT_S, MAX_UNANSWERED, WISHES_A_VISIT, Crowd
from tests.chaos.walks import SURVEYS, Walk, Wish

TIMEOUTS_MS = {
    "connectAttempts": 5,
    "connectDelayMs": 100,
    "slowDelayMs": 1000,
    "busyDelayMs": 500,
    "openTimeoutMs": 4000,
    "pingIntervalMs": 1000,
    "pingTimeoutMs": 2000,
}

LOADED_ANEW_EVERY = 15
LOAD_MS = 5000
PAUSE_S = 0.01

BEGIN = """async ({surveyId, userId, timeouts}) => {
    const {SurveyClient} = await import("/assets/client/client.js");
    const messages = [];
    const client = new SurveyClient({origin: location.origin, surveyId, userId, timeouts});
    for (const type of ["state", "ack", "pending", "reject", "sync", "error"]) {
        client.addEventListener(type, (event) => messages.push(event.detail));
    }
    window.chaos = {client, messages};
    await client.start();
}"""

GIVE = """(command) => {
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

LEAVE = """() => {
    window.chaos.client.stop();
    return window.chaos.messages.splice(0);
}"""


def chromium() -> str | None:
    """Return the path of the machine's Chromium."""
    return next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


class BrowserCrowd:
    """Some pages, driven by one thread."""

    def __init__(self, pages: int, crowd: Crowd) -> None:
        self._crowd = crowd
        self._pages = pages
        self.failure: BaseException | None = None
        self.thread = threading.Thread(target=self._run, name="chaos-browsers", daemon=True)

    def _run(self) -> None:
        try:
            with sync_playwright() as playwright:
                browser = playwright.chromium.launch(executable_path=chromium(), args=["--no-sandbox"])
                try:
                    self._drive([_Visitor(number, browser.new_page(), self._crowd) for number in range(self._pages)])
                finally:
                    browser.close()
        except BaseException as error:  # noqa: BLE001 - the run reports it
            self.failure = error

    def _drive(self, visitors: list["_Visitor"]) -> None:
        going = [visitor.visits() for visitor in visitors]
        while going and not self._crowd.ending.is_set():
            going = [one for one in going if next(one, "over") != "over"]
            time.sleep(PAUSE_S)
        for visitor in visitors:
            visitor.close()


class _Visitor:
    """One page, and who uses it."""

    def __init__(self, number: int, page: Page, crowd: Crowd) -> None:
        self._number = number
        self._page = page
        self._crowd = crowd
        self._survey_id = SURVEYS[number % len(SURVEYS)]
        self._file = open_file(crowd.folder, f"browser-{number}")

    def close(self) -> None:
        self._file.close()

    def visits(self) -> Iterator[None]:
        """Take part again and again; yields whenever it waits."""
        visit = 0
        while self._crowd.giving.is_set():
            visit += 1
            user_id = f"{self._crowd.seed}-b{self._number}-v{visit}"
            log = self._crowd.new_log(f"b{self._number}v{visit}", self._survey_id, user_id, self._file)
            yield from self._visit(log, Walk(user_id, self._survey_id))

    def _visit(self, log: ClientLog, walk: Walk) -> Iterator[None]:
        yield from self._load(log)
        for number in range(1, WISHES_A_VISIT + 1):
            yield from self._until_shown(log)
            if not self._crowd.giving.is_set() or log.newest is None:
                break
            if number % LOADED_ANEW_EVERY == 0:
                self._take(log, LEAVE)
                log.note("loaded anew")
                yield from self._load(log)
            yield from self._wish(log, walk.next(log.newest))
        while log.unanswered():
            self._take(log, TAKE)
            yield
        self._take(log, LEAVE)

    def _load(self, log: ClientLog) -> Iterator[None]:
        """Load the client into a fresh page; again, while there is no server."""
        who: dict[str, Any] = {"surveyId": log.survey_id, "userId": log.user_id, "timeouts": TIMEOUTS_MS}
        while True:
            try:
                self._page.goto(f"{self._crowd.origin}/healthz", timeout=LOAD_MS)
                self._page.evaluate(BEGIN, who)
            except Error:
                yield
            else:
                return

    def _until_shown(self, log: ClientLog) -> Iterator[None]:
        while log.newest is None and self._crowd.giving.is_set():
            self._take(log, TAKE)
            yield

    def _wish(self, log: ClientLog, wish: Wish) -> Iterator[None]:
        at_s = time.monotonic()
        command_id = self._page.evaluate(GIVE, dict(wish.command))
        log.give(at_s, command_id, wish.command, is_wrong=wish.is_wrong)
        while command_id is not None and command_id not in log.answered:
            self._take(log, TAKE)
            yield
            if time.monotonic() - at_s > IMPATIENT_S and len(log.unanswered()) < MAX_UNANSWERED:
                return

    def _take(self, log: ClientLog, how: str) -> None:
        for message in self._page.evaluate(how):
            log.receive(message)
