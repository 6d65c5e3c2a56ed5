"""A server with sessions, and a browser tab with its dashboard."""

import secrets
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from playwright.sync_api import BrowserContext, Locator, Page, expect

from app.access.credentials import Credentials
from app.access.principals import SCOPES
from app.sessions.service import SessionStore, open_store
from app.settings import Settings
from app.survey.commands import Answer, AnyCommand, Back, Begin, Draft, SetMode
from app.survey.snapshot import SessionKey
from tests.conftest import SURVEYS, Server

SECOND_US = 1_000_000
HOUR_US = 3600 * SECOND_US
DAY_US = 24 * HOUR_US
SESSIONS = 12


def sessions(now: int) -> Iterator[tuple[SessionKey, AnyCommand]]:
    """Yield twelve sessions of the PHQ-9, one a day, each a step longer: half in audio mode, one with a pause."""
    for number in range(SESSIONS):
        key = SessionKey("phq9", f"p-{number:02}")
        at = now - (SESSIONS - number) * DAY_US
        yield key, Begin(at=at, is_audio_mode=number >= SESSIONS // 2)
        for step in range(1, min(number, 10) + 1):
            at += (5 + step) * SECOND_US + (2 * HOUR_US if (number, step) == (11, 3) else 0)
            yield key, Answer(at=at, step=f"Q{step}", value=0 if step == 9 else (number + step) % 4)
    yield from session_with_changes(SessionKey("phq9", "walker"), now - HOUR_US)


def session_with_changes(key: SessionKey, at: int) -> Iterator[tuple[SessionKey, AnyCommand]]:
    """Yield a session of seven events, with a step back, another mode and a draft."""
    commands: list[AnyCommand] = [
        Begin(at=at),
        Answer(at=at + 5 * SECOND_US, step="Q1", value=0),
        Answer(at=at + 12 * SECOND_US, step="Q2", value=3),
        Back(at=at + 20 * SECOND_US),
        Answer(at=at + 30 * SECOND_US, step="Q2", value=1),
        SetMode(at=at + 40 * SECOND_US, is_audio_mode=True),
        Draft(at=at + 50 * SECOND_US, step="Q3", value=2),
    ]
    for command in commands:
        yield key, command


class Ward:
    """A server in production with some sessions and three API keys."""

    def __init__(self, folder: Path) -> None:
        secret = secrets.token_urlsafe(32)
        environment = {
            "STEPKEEP_ENVIRONMENT": "production",
            "SECRET_KEY": secret,
            "STEPKEEP_ADDRESS_REQUESTS": "10000/minute",
        }
        self.server = Server(folder, environment=environment)
        self.url = self.server.url
        store = self.open()
        credentials = Credentials(store, [secret])
        self.key = credentials.create_key("Dr. Anna Weiß, ward 3", SCOPES)
        self.reading_key = credentials.create_key("reader", ["sessions:read"])
        self.export_key = credentials.create_key("nightly export", ["export"])
        store.turns.submit_many(list(sessions(time.time_ns() // 1000)))
        store.close()
        self.server.start()

    def open(self) -> SessionStore:
        return open_store(
            Settings(database_url=self.server.database_url, surveys_dir=SURVEYS, environment="development")
        )


class Desk:
    """A tab that is signed in to the dashboard, and records errors and warnings of its console."""

    def __init__(self, context: BrowserContext, ward: Ward, key: str) -> None:
        self.ward = ward
        self.page: Page = context.new_page()
        self.problems: list[str] = []
        self.page.on("console", lambda message: self.problems.append(message.text) if message.type != "log" else None)
        self.page.on("pageerror", lambda error: self.problems.append(str(error)))
        self.page.goto(f"{ward.url}/sign-in")
        self.page.get_by_label("API key").fill(key)
        self.page.keyboard.press("Enter")
        expect(self.page.get_by_role("heading", name="Dashboard", exact=True, level=1)).to_be_visible()

    def open_analytics(self, query: str = "", survey: str = "phq9") -> None:
        """Open a survey's analytics and wait until they are shown."""
        self.page.goto(f"{self.ward.url}/dashboard/surveys/{survey}{query}")
        self.expect_loaded()

    def expect_loaded(self) -> None:
        expect(self.page.locator("#figures")).to_have_attribute("aria-busy", "false")

    def get_json(self, path: str) -> Any:
        """Return the REST API's JSON for this sign-in."""
        return self.page.request.get(f"{self.ward.url}{path}").json()

    def table(self, figure: str) -> list[list[str]]:
        """Return the cells of a chart's table."""
        rows: list[list[str]] = self.page.locator(f"#{figure} tbody tr").evaluate_all(
            "rows => rows.map((row) => [...row.cells].map((cell) => cell.textContent))"
        )
        return rows

    def tile(self, name: str) -> Locator:
        return self.page.locator(f"[data-tile={name}] dd").first

    def open_session(self, user_id: str) -> None:
        """Open the page of a session of the PHQ-9."""
        self.page.goto(f"{self.ward.url}/dashboard/sessions/phq9/{user_id}")
        expect(self.page.get_by_test_id("version-text")).to_contain_text("Version")
