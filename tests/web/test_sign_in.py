"""The sign-in to the dashboard, without a browser: valid and invalid keys, forms of other sites, and scopes."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
from flask.testing import FlaskClient
from sqlalchemy import select

from app.access.principals import SCOPES
from app.errors import DatabaseUnavailable
from app.sessions.service import SessionStore, open_store
from app.settings import Settings
from app.store.tables import audit_log
from app.survey.snapshot import SessionKey
from app.web.authentication import Authenticator
from app.web.factory import create_app

SITE = "https://clinic.test"
SECRET = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFG"


class Browser:
    """The application in production, as a browser on its own site asks it."""

    def __init__(self, store: SessionStore) -> None:
        self.store = store
        self.app = create_app(store.settings, store)
        self.access: Authenticator = self.app.extensions["stepkeep"].authenticator
        self.client: FlaskClient = self.app.test_client()

    def get(self, path: str) -> Any:
        return self.client.get(path, base_url=SITE)

    def post(self, path: str, origin: str | None = SITE, **form: str) -> Any:
        headers = {} if origin is None else {"Origin": origin}
        return self.client.post(path, base_url=SITE, data=form, headers=headers)

    def new_key(self, *scopes: str) -> str:
        return self.access.credentials.create_key("ward 3", scopes or SCOPES)

    def sign_in(self, *scopes: str) -> None:
        """Sign in with a new key."""
        assert self.post("/sign-in", key=self.new_key(*scopes)).status_code == 303

    def csrf(self) -> str:
        """Return what the forms on the dashboard carry."""
        found = re.search(r'name="csrf" value="([0-9a-f]+)"', self.get("/dashboard").text)
        assert found is not None
        return found[1]

    def actions(self) -> list[str]:
        """Return what the audit log says was done, the oldest first."""
        query = select(audit_log.c.action).order_by(audit_log.c.id)
        return list(self.store.run_read(lambda connection: list(connection.execute(query).scalars())))


def open_browser(settings: Settings, **changes: object) -> Iterator[Browser]:
    """Yield a browser of the application on the test's database."""
    production = {"environment": "production", "secret_key": SECRET}
    store = open_store(Settings.model_validate({**settings.model_dump(), **production, **changes}))
    browser = Browser(store)
    yield browser
    browser.access.credentials.revocations.close()
    store.close()


@pytest.fixture
def browser(settings: Settings) -> Iterator[Browser]:
    """A browser of the application in production, not signed in."""
    yield from open_browser(settings)


@pytest.fixture
def strict_browser(settings: Settings) -> Iterator[Browser]:
    """A browser whose address may fail to sign in twice."""
    yield from open_browser(settings, address_failures="2/hour")


def test_right_key_leads_to_the_dashboard(browser: Browser) -> None:
    """A cookie that no script reads and no other site sends; the page is kept by no cache."""
    answer = browser.post("/sign-in", key=f" {browser.new_key()} ")
    assert (answer.status_code, answer.headers["Location"]) == (303, "/dashboard")
    cookie = answer.headers["Set-Cookie"]
    assert cookie.startswith("__Host-stepkeep-sign-in=")
    assert {"HttpOnly", "Secure", "SameSite=Strict"} <= {part.strip() for part in cookie.split(";")}
    page = browser.get("/dashboard")
    assert (page.status_code, page.headers["Cache-Control"]) == (200, "no-store")
    assert "ward 3" in page.text
    assert browser.get("/sign-in").headers["Location"] == "/dashboard"


def test_wrong_keys_are_answered_the_same_whatever_is_wrong(browser: Browser) -> None:
    """Unknown, malformed, revoked, empty: 401, one and the same page, and nothing of the key in it."""
    revoked = browser.new_key()
    browser.access.credentials.revoke_key(revoked.split("_")[1])
    good = browser.new_key()
    wrong = ["", "x", '"><script>', "\x00", revoked, f"{good[:-1]}{'a' if good[-1] != 'a' else 'b'}", "é" * 100_000]
    answers = [browser.post("/sign-in", key=key) for key in wrong]
    assert [answer.status_code for answer in answers] == [401] * len(wrong)
    assert len({answer.text for answer in answers}) == 1
    assert "Set-Cookie" not in "".join(str(answer.headers) for answer in answers)
    assert browser.get("/dashboard").status_code == 303


def test_dashboard_leads_to_the_sign_in_when_nobody_is_signed_in(browser: Browser) -> None:
    """And no other page has a link to it; to who is signed in every page has."""
    answer = browser.get("/dashboard")
    assert (answer.status_code, answer.headers["Location"]) == (303, "/sign-in")
    assert "/dashboard" not in browser.get("/").text
    browser.sign_in()
    assert 'href="/dashboard"' in browser.get("/").text


def test_key_that_may_not_read_sessions_sees_none(browser: Browser) -> None:
    """403 in words, with a way to sign out."""
    browser.store.turns.get_or_create(SessionKey("phq9", "p-1"), is_audio_mode=False)
    browser.sign_in("export")
    page = browser.get("/dashboard")
    assert page.status_code == 403
    assert "sessions:read" in page.text
    assert "PHQ-9" not in page.text
    assert "Sign out" in page.text


def test_dashboard_counts_the_sessions_of_each_survey(browser: Browser) -> None:
    """Those of a survey whose file is gone too, under its id."""
    for survey, user_id in (("phq9", "p-1"), ("phq9", "p-2"), ("intake", "p-1")):
        browser.store.turns.get_or_create(SessionKey(survey, user_id), is_audio_mode=False)
    browser.sign_in("sessions:read")
    page = browser.get("/dashboard").text
    assert counts_in(page) == {"intake": ["1", "0", "0"], "phq9": ["2", "0", "0"]}
    assert "Recent activity" not in page


def counts_in(page: str) -> dict[str, list[str]]:
    """Return what the dashboard says of each survey: in progress, completed, expired."""
    parts = re.split(r'data-survey-id="([a-z0-9_-]+)"', page)[1:]
    return {
        survey: re.findall(r'<dd data-status="[a-z_]+">(\d+)</dd>', part)
        for survey, part in zip(parts[::2], parts[1::2], strict=True)
    }


def test_audit_log_is_shown_to_admins(browser: Browser) -> None:
    """Who signed in, in and out, and that somebody failed to; newest first."""
    browser.post("/sign-in", key="wrong")
    browser.sign_in()
    page = browser.get("/dashboard").text
    assert "Recent activity" in page
    assert page.index("signed in</td>") < page.index("sign in failed</td>")
    browser.post("/sign-out", csrf=browser.csrf())
    assert browser.actions() == ["sign_in_failed", "signed_in", "audit_read", "audit_read", "signed_out"]


def test_new_sign_in_ends_the_one_before(browser: Browser) -> None:
    """In the same browser: the earlier cookie opens nothing any more."""
    browser.sign_in()
    before = browser.client.get_cookie("__Host-stepkeep-sign-in", domain="clinic.test")
    assert before is not None
    browser.sign_in()
    assert browser.get("/dashboard").status_code == 200
    browser.client.set_cookie(before.key, before.value, domain="clinic.test", secure=True)
    assert browser.get("/dashboard").status_code == 303


def test_signing_out_ends_the_sign_in_for_good(browser: Browser) -> None:
    """The cookie that a thief may have kept opens nothing any more."""
    browser.sign_in()
    cookie = browser.client.get_cookie("__Host-stepkeep-sign-in", domain="clinic.test")
    assert cookie is not None
    assert browser.post("/sign-out", csrf=browser.csrf()).headers["Location"] == "/sign-in"
    browser.client.set_cookie(cookie.key, cookie.value, domain="clinic.test", secure=True)
    assert browser.get("/dashboard").status_code == 303


@pytest.mark.parametrize("form", [{}, {"csrf": ""}, {"csrf": "0" * 64}, {"csrf": "é"}])
def test_signing_out_is_refused_without_the_forms_token(browser: Browser, form: dict[str, str]) -> None:
    """Nobody is signed out by another page: 403, and the sign-in stays."""
    browser.sign_in()
    assert browser.post("/sign-out", **form).status_code == 403
    assert browser.get("/dashboard").status_code == 200


@pytest.mark.parametrize("path", ["/sign-in", "/sign-out", "/s/phq9/anew"])
def test_forms_of_other_sites_are_refused(browser: Browser, path: str) -> None:
    """Whatever they carry: 403, and no cookie."""
    browser.sign_in()
    form = {"csrf": browser.csrf(), "key": browser.new_key()}
    for origin in ("https://evil.test", "null", "https://clinic.test.evil.test"):
        answer = browser.post(path, origin=origin, **form)
        assert answer.status_code == 403
        assert "Set-Cookie" not in answer.headers


def test_keys_are_looked_at_no_more_when_too_many_failed(strict_browser: Browser) -> None:
    """429 in words, with Retry-After; then a right key must wait too."""
    for _ in range(2):
        assert strict_browser.post("/sign-in", key="wrong").status_code == 401
    answer = strict_browser.post("/sign-in", key=strict_browser.new_key())
    assert answer.status_code == 429
    assert int(answer.headers["Retry-After"]) > 0
    assert "Too many" in answer.text


def test_dashboard_says_so_when_the_database_is_away(browser: Browser, monkeypatch: pytest.MonkeyPatch) -> None:
    """503 in words; the surveys' list is shown all the same, without the link."""
    browser.sign_in()

    def fail(_work: object) -> None:
        raise DatabaseUnavailable("away")

    monkeypatch.setattr(browser.store, "run_read", fail)
    assert browser.get("/dashboard").status_code == 503
    assert browser.get("/").status_code == 200
