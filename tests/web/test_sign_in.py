"""The dashboard's door, without a browser: keys right and wrong, forms of other sites, what is shown to whom."""

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
from app.web.authentication import Access
from app.web.factory import create_app

SITE = "https://clinic.test"
SECRET = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFG"


class Door:
    """The application in production, as a browser on its own site asks it."""

    def __init__(self, store: SessionStore) -> None:
        self.store = store
        self.app = create_app(store.settings, store)
        self.access: Access = self.app.extensions["stepkeep_access"]
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


def opened(settings: Settings, **changes: object) -> Iterator[Door]:
    """Open a door on the test's database."""
    production = {"environment": "production", "secret_key": SECRET}
    store = open_store(Settings.model_validate({**settings.model_dump(), **production, **changes}))
    door = Door(store)
    yield door
    door.access.credentials.revocations.close()
    store.close()


@pytest.fixture
def door(settings: Settings) -> Iterator[Door]:
    """A door in production, with nobody signed in."""
    yield from opened(settings)


@pytest.fixture
def strict_door(settings: Settings) -> Iterator[Door]:
    """A door at which one address may fail twice."""
    yield from opened(settings, address_failures="2/hour")


def test_right_key_leads_to_the_dashboard(door: Door) -> None:
    """A cookie that no script reads and no other site sends; the page is kept by no cache."""
    answer = door.post("/sign-in", key=f" {door.new_key()} ")
    assert (answer.status_code, answer.headers["Location"]) == (303, "/dashboard")
    cookie = answer.headers["Set-Cookie"]
    assert cookie.startswith("__Host-stepkeep-sign-in=")
    assert {"HttpOnly", "Secure", "SameSite=Strict"} <= {part.strip() for part in cookie.split(";")}
    page = door.get("/dashboard")
    assert (page.status_code, page.headers["Cache-Control"]) == (200, "no-store")
    assert "ward 3" in page.text
    assert door.get("/sign-in").headers["Location"] == "/dashboard"


def test_wrong_keys_are_answered_the_same_whatever_is_wrong(door: Door) -> None:
    """Unknown, malformed, revoked, empty: 401, one and the same page, and nothing of the key in it."""
    revoked = door.new_key()
    door.access.credentials.revoke_key(revoked.split("_")[1])
    good = door.new_key()
    wrong = ["", "x", '"><script>', "\x00", revoked, f"{good[:-1]}{'a' if good[-1] != 'a' else 'b'}", "é" * 100_000]
    answers = [door.post("/sign-in", key=key) for key in wrong]
    assert [answer.status_code for answer in answers] == [401] * len(wrong)
    assert len({answer.text for answer in answers}) == 1
    assert "Set-Cookie" not in "".join(str(answer.headers) for answer in answers)
    assert door.get("/dashboard").status_code == 303


def test_dashboard_leads_to_the_sign_in_when_nobody_is_signed_in(door: Door) -> None:
    """And no other page has a link to it; to who is signed in every page has."""
    answer = door.get("/dashboard")
    assert (answer.status_code, answer.headers["Location"]) == (303, "/sign-in")
    assert "/dashboard" not in door.get("/").text
    door.sign_in()
    assert 'href="/dashboard"' in door.get("/").text


def test_key_that_may_not_read_sessions_sees_none(door: Door) -> None:
    """403 in words, with a way to sign out."""
    door.store.turns.get_or_create(SessionKey("phq9", "p-1"), is_audio_mode=False)
    door.sign_in("export")
    page = door.get("/dashboard")
    assert page.status_code == 403
    assert "sessions:read" in page.text
    assert "PHQ-9" not in page.text
    assert "Sign out" in page.text


def test_dashboard_counts_the_sessions_of_each_survey(door: Door) -> None:
    """Those of a survey whose file is gone too, under its id."""
    for survey, user_id in (("phq9", "p-1"), ("phq9", "p-2"), ("intake", "p-1")):
        door.store.turns.get_or_create(SessionKey(survey, user_id), is_audio_mode=False)
    door.sign_in("sessions:read")
    page = door.get("/dashboard").text
    assert counts_in(page) == {"intake": ["1", "0", "0"], "phq9": ["2", "0", "0"]}
    assert "Recent activity" not in page


def counts_in(page: str) -> dict[str, list[str]]:
    """Return what the dashboard says of each survey: in progress, completed, expired."""
    parts = re.split(r'data-survey-id="([a-z0-9_-]+)"', page)[1:]
    return {
        survey: re.findall(r'<dd data-status="[a-z_]+">(\d+)</dd>', part)
        for survey, part in zip(parts[::2], parts[1::2], strict=True)
    }


def test_audit_log_is_shown_to_admins(door: Door) -> None:
    """Who signed in, in and out, and that somebody failed to; newest first."""
    door.post("/sign-in", key="wrong")
    door.sign_in()
    page = door.get("/dashboard").text
    assert "Recent activity" in page
    assert page.index("signed in</td>") < page.index("sign in failed</td>")
    door.post("/sign-out", csrf=door.csrf())
    assert door.actions() == ["sign_in_failed", "signed_in", "audit_read", "audit_read", "signed_out"]


def test_new_sign_in_ends_the_one_before(door: Door) -> None:
    """In the same browser: the earlier cookie opens nothing any more."""
    door.sign_in()
    before = door.client.get_cookie("__Host-stepkeep-sign-in", domain="clinic.test")
    assert before is not None
    door.sign_in()
    assert door.get("/dashboard").status_code == 200
    door.client.set_cookie(before.key, before.value, domain="clinic.test", secure=True)
    assert door.get("/dashboard").status_code == 303


def test_signing_out_ends_the_sign_in_for_good(door: Door) -> None:
    """The cookie that a thief may have kept opens nothing any more."""
    door.sign_in()
    cookie = door.client.get_cookie("__Host-stepkeep-sign-in", domain="clinic.test")
    assert cookie is not None
    assert door.post("/sign-out", csrf=door.csrf()).headers["Location"] == "/sign-in"
    door.client.set_cookie(cookie.key, cookie.value, domain="clinic.test", secure=True)
    assert door.get("/dashboard").status_code == 303


@pytest.mark.parametrize("form", [{}, {"csrf": ""}, {"csrf": "0" * 64}, {"csrf": "é"}])
def test_signing_out_is_refused_without_the_forms_token(door: Door, form: dict[str, str]) -> None:
    """Nobody is signed out by another page: 403, and the sign-in stays."""
    door.sign_in()
    assert door.post("/sign-out", **form).status_code == 403
    assert door.get("/dashboard").status_code == 200


@pytest.mark.parametrize("path", ["/sign-in", "/sign-out", "/s/phq9/anew"])
def test_forms_of_other_sites_are_refused(door: Door, path: str) -> None:
    """Whatever they carry: 403, and no cookie."""
    door.sign_in()
    form = {"csrf": door.csrf(), "key": door.new_key()}
    for origin in ("https://evil.test", "null", "https://clinic.test.evil.test"):
        answer = door.post(path, origin=origin, **form)
        assert answer.status_code == 403
        assert "Set-Cookie" not in answer.headers


def test_keys_are_looked_at_no_more_when_too_many_failed(strict_door: Door) -> None:
    """429 in words, with Retry-After; then a right key must wait too."""
    for _ in range(2):
        assert strict_door.post("/sign-in", key="wrong").status_code == 401
    answer = strict_door.post("/sign-in", key=strict_door.new_key())
    assert answer.status_code == 429
    assert int(answer.headers["Retry-After"]) > 0
    assert "Too many" in answer.text


def test_dashboard_says_so_when_the_database_is_away(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    """503 in words; the surveys' list is shown all the same, without the link."""
    door.sign_in()

    def fail(_work: object) -> None:
        raise DatabaseUnavailable("away")

    monkeypatch.setattr(door.store, "run_read", fail)
    assert door.get("/dashboard").status_code == 503
    assert door.get("/").status_code == 200
