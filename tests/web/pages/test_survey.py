"""The participant's pages in production, without a browser: their participant and their cookie."""

import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient
from hypothesis import given
from hypothesis import strategies as st

from app.access.tokens import DAY_US
from app.sessions.queries import now_us
from app.sessions.service import open_store
from app.settings import Settings
from app.survey.snapshot import SessionKey
from app.web.authentication import Authenticator
from app.web.factory import create_app
from tests.conftest import SURVEYS
from tests.databases import create_sqlite

SITE = "https://clinic.test"
SECRET = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFG"
TITLE = "Follow-up after the ward"


@dataclass
class Clinic:
    """The application in production, with a clock that a test sets."""

    access: Authenticator
    client: FlaskClient
    clock: list[int]

    def get(self, path: str) -> Any:
        return self.client.get(path, base_url=SITE)

    def set_cookie(self, survey: str, token: str) -> None:
        """Set the survey's cookie in the browser."""
        self.client.set_cookie(f"__Host-stepkeep.{survey}", token, domain="clinic.test", secure=True)

    def create_token(self, survey: str, user_id: str) -> str:
        return self.access.credentials.issue_token(SessionKey(survey, user_id))[0]


@pytest.fixture(scope="module")
def clinic(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Clinic]:
    """The application with a public and a closed survey."""
    folder = tmp_path_factory.mktemp("pages")
    surveys = folder / "surveys"
    shutil.copytree(SURVEYS, surveys)
    add_closed_survey(surveys)
    clock = [now_us()]
    store = open_store(
        Settings(database_url=create_sqlite(folder / "pages.db"), surveys_dir=surveys, secret_key=SECRET),  # type: ignore[arg-type]
        lambda: clock[0],
    )
    app = create_app(store.settings, store)
    access = app.extensions["stepkeep"].authenticator
    yield Clinic(access, app.test_client(), clock)
    access.credentials.revocations.close()
    store.close()


@pytest.fixture(autouse=True)
def clear_cookies(clinic: Clinic) -> None:
    """Start each test with a browser without cookies."""
    clinic.client._cookies.clear()  # type: ignore[attr-defined]


def add_closed_survey(surveys: Path) -> None:
    """Add a survey for who was invited."""
    text = (surveys / "phq9.yaml").read_text().replace("id: phq9", "id: follow-up\naccess: closed")
    (surveys / "follow-up.yaml").write_text(re.sub("title: .*", f"title: {TITLE}", text, count=1))


def page_user_id(page: Any) -> str | None:
    """Return the user id of the page."""
    match = re.search(r'data-user-id="([^"]*)"', page.text)
    return match and match[1]


def test_new_participant_keeps_their_id(clinic: Clinic) -> None:
    """The cookie stays as it is, and no cache stores the page."""
    first = clinic.get("/s/phq9")
    assert first.headers["Cache-Control"] == "no-store"
    assert re.fullmatch(r"[A-Za-z0-9._@:-]{22,128}", page_user_id(first) or "")
    second = clinic.get("/s/phq9?user=somebody-else")
    assert page_user_id(second) == page_user_id(first)
    assert "Set-Cookie" not in second.headers
    assert page_user_id(clinic.get("/s/intake")) != page_user_id(first)


def test_cookie_is_renewed_after_half_of_its_lifetime(clinic: Clinic) -> None:
    """So that a regular participant never loses access."""
    clinic.set_cookie("follow-up", clinic.create_token("follow-up", "p-1"))
    assert "Set-Cookie" not in clinic.get("/s/follow-up").headers
    for _ in range(3):
        clinic.clock[0] += 60 * DAY_US
        page = clinic.get("/s/follow-up")
        assert (page.status_code, page_user_id(page)) == (200, "p-1")
        assert "__Host-stepkeep.follow-up=" in page.headers["Set-Cookie"]


def test_expired_cookie_gets_401_without_a_new_cookie(clinic: Clinic) -> None:
    """A public survey can be begun again; a closed one is not named."""
    clinic.set_cookie("phq9", clinic.create_token("phq9", "p-1"))
    clinic.set_cookie("follow-up", clinic.create_token("follow-up", "p-1"))
    clinic.clock[0] += 91 * DAY_US
    public, closed = clinic.get("/s/phq9"), clinic.get("/s/follow-up")
    assert (public.status_code, closed.status_code) == (401, 401)
    assert "Set-Cookie" not in f"{public.headers}{closed.headers}"
    assert "Start again" in public.text
    assert "Start again" not in closed.text
    assert TITLE not in closed.text + clinic.get("/").text


def test_closed_survey_is_never_begun_again(clinic: Clinic) -> None:
    answer = clinic.client.post("/s/follow-up/anew", base_url=SITE, headers={"Origin": SITE})
    assert answer.status_code == 404
    assert "Set-Cookie" not in answer.headers
    assert clinic.client.post("/s/nothing/anew", base_url=SITE).status_code == 404


def test_closed_survey_is_listed_to_the_invited_only(clinic: Clinic) -> None:
    """A cookie of another survey is no invitation."""
    assert TITLE not in clinic.get("/").text
    clinic.set_cookie("follow-up", clinic.create_token("phq9", "p-1"))
    assert TITLE not in clinic.get("/").text
    clinic.set_cookie("follow-up", clinic.create_token("follow-up", "p-1"))
    assert TITLE in clinic.get("/").text


@given(st.text(alphabet=st.characters(min_codepoint=33, max_codepoint=126, exclude_characters='";,\\'), min_size=1))
def test_forged_cookie_opens_no_session(clinic: Clinic, token: str) -> None:
    clinic.set_cookie("follow-up", token)
    page = clinic.get("/s/follow-up")
    assert (page.status_code, page_user_id(page)) == (401, None)
    assert TITLE not in page.text
