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
from tests.conftest import SHIPPED

SITE = "https://clinic.test"
SECRET = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFG"


class Browser:
    """A browser of the application in production, on the application's own site."""

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

    def create_key(self, *scopes: str) -> str:
        return self.access.credentials.create_key("ward 3", scopes or SCOPES)

    def sign_in(self, *scopes: str) -> None:
        """Sign in with a new key."""
        assert self.post("/sign-in", key=self.create_key(*scopes)).status_code == 303

    def csrf(self) -> str:
        """Return the CSRF token of the dashboard's forms."""
        match = re.search(r'name="csrf" value="([0-9a-f]+)"', self.get("/dashboard").text)
        assert match is not None
        return match[1]

    def actions(self) -> list[str]:
        """Return the actions in the audit log, oldest first."""
        query = select(audit_log.c.action).order_by(audit_log.c.id)
        return list(self.store.run_read(lambda connection: list(connection.execute(query).scalars())))


def open_browser(settings: Settings, **changes: object) -> Iterator[Browser]:
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


def test_valid_key_leads_to_the_dashboard(browser: Browser) -> None:
    """The cookie is HttpOnly and SameSite=Strict; the page is not cached."""
    answer = browser.post("/sign-in", key=f" {browser.create_key()} ")
    assert (answer.status_code, answer.headers["Location"]) == (303, "/dashboard")
    cookie = answer.headers["Set-Cookie"]
    assert cookie.startswith("__Host-stepkeep-sign-in=")
    assert {"HttpOnly", "Secure", "SameSite=Strict"} <= {part.strip() for part in cookie.split(";")}
    page = browser.get("/dashboard")
    assert (page.status_code, page.headers["Cache-Control"]) == (200, "no-store")
    assert "ward 3" in page.text
    assert browser.get("/sign-in").headers["Location"] == "/dashboard"


def test_invalid_keys_get_the_same_response(browser: Browser) -> None:
    """Unknown, malformed, revoked or empty: 401, without the key in the page."""
    revoked = browser.create_key()
    browser.access.credentials.revoke_key(revoked.split("_")[1])
    valid = browser.create_key()
    invalid = ["", "x", '"><script>', "\x00", revoked, f"{valid[:-1]}{'a' if valid[-1] != 'a' else 'b'}", "é" * 10_000]
    answers = [browser.post("/sign-in", key=key) for key in invalid]
    assert [answer.status_code for answer in answers] == [401] * len(invalid)
    assert len({answer.text for answer in answers}) == 1
    assert "Set-Cookie" not in "".join(str(answer.headers) for answer in answers)
    assert browser.get("/dashboard").status_code == 303


def test_dashboard_leads_to_the_sign_in_form_without_a_sign_in(browser: Browser) -> None:
    """Only after a sign-in do pages link to it."""
    answer = browser.get("/dashboard")
    assert (answer.status_code, answer.headers["Location"]) == (303, "/sign-in")
    assert "/dashboard" not in browser.get("/").text
    browser.sign_in()
    assert 'href="/dashboard"' in browser.get("/").text


def test_key_without_the_scope_sessions_read_gets_403(browser: Browser) -> None:
    """With a way to sign out."""
    browser.store.turns.get_or_create(SessionKey("phq9", "p-1"), is_audio_mode=False)
    browser.sign_in("export")
    page = browser.get("/dashboard")
    assert page.status_code == 403
    assert "sessions:read" in page.text
    assert "PHQ-9" not in page.text
    assert "Sign out" in page.text


def test_dashboard_counts_the_sessions_of_each_survey(browser: Browser) -> None:
    for survey, user_id in (("phq9", "p-1"), ("phq9", "p-2"), ("intake", "p-1")):
        browser.store.turns.get_or_create(SessionKey(survey, user_id), is_audio_mode=False)
    browser.sign_in("sessions:read")
    page = browser.get("/dashboard").text
    none = {survey: ["0", "0", "0"] for survey in SHIPPED}
    assert survey_counts(page) == none | {"intake": ["1", "0", "0"], "phq9": ["2", "0", "0"]}
    assert "Recent activity" not in page


def survey_counts(page: str) -> dict[str, list[str]]:
    """Return the dashboard's counts by survey: in progress, completed, expired."""
    parts = re.split(r'data-survey-id="([a-z0-9_-]+)"', page)[1:]
    return {
        survey: re.findall(r'<dd data-status="[a-z_]+">(\d+)</dd>', part)
        for survey, part in zip(parts[::2], parts[1::2], strict=True)
    }


def test_audit_log_is_shown_to_admins(browser: Browser) -> None:
    """Sign-ins, sign-outs and failures, newest first."""
    browser.post("/sign-in", key="wrong")
    browser.sign_in()
    page = browser.get("/dashboard").text
    assert "Recent activity" in page
    assert page.index("signed in</td>") < page.index("sign in failed</td>")
    browser.post("/sign-out", csrf=browser.csrf())
    assert browser.actions() == ["sign_in_failed", "signed_in", "audit_read", "audit_read", "signed_out"]


def test_new_sign_in_ends_the_previous_one(browser: Browser) -> None:
    """Of the same browser: the earlier cookie is invalid."""
    browser.sign_in()
    before = browser.client.get_cookie("__Host-stepkeep-sign-in", domain="clinic.test")
    assert before is not None
    browser.sign_in()
    assert browser.get("/dashboard").status_code == 200
    browser.client.set_cookie(before.key, before.value, domain="clinic.test", secure=True)
    assert browser.get("/dashboard").status_code == 303


def test_sign_out_invalidates_the_cookie(browser: Browser) -> None:
    """Also a copy that an attacker kept."""
    browser.sign_in()
    cookie = browser.client.get_cookie("__Host-stepkeep-sign-in", domain="clinic.test")
    assert cookie is not None
    answer = browser.post("/sign-out", csrf=browser.csrf())
    assert (answer.headers["Location"], answer.headers["Clear-Site-Data"]) == ("/sign-in", '"cache"')
    browser.client.set_cookie(cookie.key, cookie.value, domain="clinic.test", secure=True)
    assert browser.get("/dashboard").status_code == 303


def test_each_page_of_the_dashboard_can_sign_out(browser: Browser) -> None:
    """Errors included."""
    browser.store.turns.get_or_create(SessionKey("phq9", "p-1"), is_audio_mode=False)
    browser.sign_in()
    paths = ("", "/sessions", "/surveys/phq9", "/sessions/phq9/p-1", "/surveys/none", "/sessions/phq9/none")
    for path in paths:
        page = browser.get(f"/dashboard{path}").text
        assert page.count('action="/sign-out"') == 1, path
        assert re.search(r'name="csrf" value="[0-9a-f]{64}"', page), path


@pytest.mark.parametrize("form", [{}, {"csrf": ""}, {"csrf": "0" * 64}, {"csrf": "é"}])
def test_sign_out_is_refused_without_the_csrf_token(browser: Browser, form: dict[str, str]) -> None:
    browser.sign_in()
    assert browser.post("/sign-out", **form).status_code == 403
    assert browser.get("/dashboard").status_code == 200


@pytest.mark.parametrize("path", ["/sign-in", "/sign-out", "/s/phq9/anew"])
def test_forms_of_other_origins_are_refused(browser: Browser, path: str) -> None:
    """Even with a valid key and token; no cookie is set."""
    browser.sign_in()
    form = {"csrf": browser.csrf(), "key": browser.create_key()}
    for origin in ("https://evil.test", "null", "https://clinic.test.evil.test"):
        answer = browser.post(path, origin=origin, **form)
        assert answer.status_code == 403
        assert "Set-Cookie" not in answer.headers


def test_sign_in_is_limited_after_failures(strict_browser: Browser) -> None:
    """429 with Retry-After; a valid key still signs in."""
    for _ in range(2):
        assert strict_browser.post("/sign-in", key="wrong").status_code == 401
    answer = strict_browser.post("/sign-in", key="wrong")
    assert answer.status_code == 429
    assert int(answer.headers["Retry-After"]) > 0
    assert "Too many" in answer.text
    assert strict_browser.post("/sign-in", key=strict_browser.create_key()).status_code == 303


def test_dashboard_is_503_when_the_database_is_unavailable(browser: Browser, monkeypatch: pytest.MonkeyPatch) -> None:
    """The list of surveys is shown, without the link."""
    browser.sign_in()

    def fail(_work: object) -> None:
        raise DatabaseUnavailable("test")

    monkeypatch.setattr(browser.store, "run_read", fail)
    assert browser.get("/dashboard").status_code == 503
    assert browser.get("/").status_code == 200
