"""A server in production with invited participants, and helpers for its pages."""

import contextlib
import dataclasses
import re
import secrets
import shutil
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

from playwright.sync_api import Page, expect

from app.access.credentials import Credentials
from app.access.principals import INVITATION
from app.access.tokens import ResumeTokens
from app.sessions.service import open_store
from app.settings import Settings
from app.survey.snapshot import SessionKey
from tests.browser.participant import Participant
from tests.conftest import SURVEYS, Server

CLOSED = "follow-up"
TITLE = "Follow-up after the ward"
HOUR_US = 3600 * 1_000_000
STORED = """async () => {
  const texts = [document.cookie, JSON.stringify(localStorage), JSON.stringify(sessionStorage)];
  for (const { name } of await indexedDB.databases()) {
    const database = await new Promise((resolve, reject) => {
      const request = indexedDB.open(name);
      request.onsuccess = () => resolve(request.result);
      request.onerror = () => reject(request.error);
    });
    for (const store of database.objectStoreNames) {
      const all = database.transaction(store).objectStore(store).getAll();
      texts.push(JSON.stringify(await new Promise((resolve) => { all.onsuccess = () => resolve(all.result); })));
    }
    database.close();
  }
  return texts.join(" ");
}"""


@dataclasses.dataclass
class Clinic:
    """A server in production with a public and a closed survey, and an API key that can invite."""

    server: Server
    secret: str
    key: str

    @property
    def url(self) -> str:
        return self.server.url

    def reset(self) -> None:
        """Erase all sessions that an earlier test left."""
        self.server.reset(Authorization=f"Bearer {self.key}")

    def link(self, user_id: str, survey: str = CLOSED, *, made_at: int | None = None, life_us: int = HOUR_US) -> str:
        """Return an invitation, issued now or at another time."""
        at = time.time_ns() // 1000 if made_at is None else made_at
        token = ResumeTokens([self.secret]).issue(SessionKey(survey, user_id), at, life_us, mark=INVITATION)
        return f"{self.url}/resume#{token}"


@contextlib.contextmanager
def open_clinic(folder: Path, added: Mapping[str, str] | None = None, **environment: str) -> Iterator[Clinic]:
    """Start a clinic with an empty database and these settings.

    Args:
        added: surveys in YAML by id, beside those of the repository.
    """
    surveys = folder / "surveys"
    shutil.copytree(SURVEYS, surveys)
    closed = (surveys / "phq9.yaml").read_text().replace("id: phq9", f"id: {CLOSED}\naccess: closed")
    (surveys / f"{CLOSED}.yaml").write_text(re.sub("title: .*", f"title: {TITLE}", closed, count=1))
    for survey_id, text in (added or {}).items():
        (surveys / f"{survey_id}.yaml").write_text(text)
    secret = secrets.token_urlsafe(32)
    environment |= {
        "STEPKEEP_ENVIRONMENT": "production",
        "SECRET_KEY": secret,
        "STEPKEEP_ADDRESS_FAILURES": "10000/minute",
        "STEPKEEP_AUTH_TIMEOUT_S": "0.5",
    }
    server = Server(folder, surveys, environment=environment)
    store = open_store(Settings(database_url=server.database_url, surveys_dir=surveys, environment="development"))
    key = Credentials(store, [secret]).create_key("ward 3", ["sessions:read", "sessions:write"])
    store.close()
    try:
        server.start()
        yield Clinic(server, secret, key)
    finally:
        server.stop()


def open_panel(participant: Participant) -> None:
    """Open the panel for other devices."""
    participant.page.locator("#device summary").click()


def make_link(participant: Participant) -> str:
    """Open the panel, and return the link that it creates."""
    open_panel(participant)
    expect(participant.page.locator("#device-created")).to_be_visible()
    return participant.page.get_by_label("Your link", exact=True).input_value()


def open_device_link(participant: Participant, link: str) -> None:
    """Open a link that was created on another device, and confirm that it is one's own."""
    participant.page.goto(link)
    expect_heading(participant.page, "Was that you?")
    participant.page.get_by_role("button", name="Yes, continue").click()


def user_id_on(participant: Participant) -> str:
    """Return the id of the page's participant."""
    return participant.root.get_attribute("data-user-id") or ""


def expect_heading(page: Page, heading: str) -> None:
    """Wait until this heading is visible."""
    expect(page.get_by_role("heading", name=heading)).to_be_visible()
