"""The dashboard's pages without a browser: who sees which, what is not there, and what stands in titles and logs."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
from flask.testing import FlaskClient

from app.access.principals import Scope
from app.errors import DatabaseUnavailable
from app.settings import Settings
from app.survey.commands import Answer
from app.survey.snapshot import SessionKey
from app.web.pages.dashboard import EXPORT_FORMATS
from tests.web.production import EVIL, SITE, App, production_app

PAGES = (
    "/dashboard",
    "/dashboard/surveys/phq9",
    "/dashboard/sessions",
    "/dashboard/sessions/phq9/p-1",
)
SECRET_ANSWER = "the left knee"


class Visit:
    """A browser that asks the server in production; p-1 is under way in a survey."""

    def __init__(self, app: App) -> None:
        self.app = app
        self.client: FlaskClient = app.flask.test_client()
        app.begin_session("p-1")

    def get(self, path: str, **options: Any) -> Any:
        return self.client.get(path, base_url=SITE, **options)

    def sign_in(self, *scopes: Scope) -> None:
        answer = self.client.post(
            "/sign-in", base_url=SITE, data={"key": self.app.create_key(*scopes)}, headers={"Origin": SITE}
        )
        assert answer.status_code == 303


@pytest.fixture
def visit(settings: Settings) -> Iterator[Visit]:
    """A visit in production, with nobody signed in."""
    with production_app(settings) as app:
        yield Visit(app)


@pytest.mark.parametrize("path", PAGES)
def test_page_is_seen_by_who_may_read_sessions(visit: Visit, path: str) -> None:
    """Nobody else: who is not signed in is led to the form, and a key without the scope is told what it lacks."""
    assert visit.get(path).headers["Location"] == "/sign-in"
    visit.sign_in("sessions:read")
    page = visit.get(path)
    assert (page.status_code, page.headers["Cache-Control"]) == (200, "no-store")
    visit.sign_in("export", "admin")
    refused = visit.get(path)
    assert refused.status_code == 403
    assert "sessions:read" in refused.text
    assert "p-1" not in refused.text


@pytest.mark.parametrize("path", PAGES)
def test_page_needs_no_inline_script_or_style(visit: Visit, path: str) -> None:
    """The strict Content-Security-Policy is there, and nothing in the page goes against it."""
    visit.sign_in()
    page = visit.get(path)
    assert "script-src 'self'; style-src 'self'" in page.headers["Content-Security-Policy"]
    assert re.findall(r"<script(?![^>]* src=)|<style|\sstyle=|\son[a-z]+=", page.text) == []


@pytest.mark.parametrize(
    "path",
    [
        "/dashboard/surveys/none",
        "/dashboard/surveys/NOT-an-id",
        "/dashboard/sessions/phq9/nobody",
        "/dashboard/sessions/phq9/P-1",
        "/dashboard/sessions/none/p-1",
        "/dashboard/sessions/phq9/p-1~set-aside-1",
        "/dashboard/sessions/phq9/a/b",
        "/dashboard/sessions/phq9/%00",
    ],
)
def test_what_is_not_there_is_one_and_the_same_page(visit: Visit, path: str) -> None:
    """404 in words; before the sign-in nobody can find out what is there and what is not."""
    assert visit.get(path).headers["Location"] == "/sign-in"
    visit.sign_in("sessions:read")
    page = visit.get(path)
    assert page.status_code == 404
    assert page.text == visit.get("/dashboard/sessions/phq9/another").text


def test_survey_whose_file_is_gone_has_its_figures(visit: Visit) -> None:
    """Revisions of it are kept, so it can be looked at; a survey of which nothing is kept can't."""
    visit.sign_in("sessions:read")
    del visit.app.store.catalogue.surveys["phq9"]  # type: ignore[attr-defined]  # a plain dictionary
    page = visit.get("/dashboard/surveys/phq9")
    assert page.status_code == 200
    assert "its survey file no longer exists" in page.text


def test_downloads_are_offered_to_who_may_export(visit: Visit) -> None:
    """To others there is no link that would be refused."""
    visit.sign_in("sessions:read")
    assert "/export" not in visit.get("/dashboard/surveys/phq9").text
    visit.sign_in("sessions:read", "export")
    text = visit.get("/dashboard/surveys/phq9").text
    assert re.findall(r'href="/api/surveys/phq9/export\?format=([a-z]+)"', text) == list(EXPORT_FORMATS)


def test_every_download_is_one_that_rest_makes(visit: Visit) -> None:
    """And none that it makes is missing."""
    visit.sign_in("sessions:read", "export")
    for name in EXPORT_FORMATS:
        with visit.get(f"/api/surveys/phq9/export?format={name}") as answer:  # one that is open has a place of a few
            assert answer.status_code == 200, name
    offered = re.findall(r'href="(/api/surveys/phq9/codebook[^"]*)"', visit.get("/dashboard/surveys/phq9").text)
    assert [visit.get(path).status_code for path in offered] == [200]


def test_sign_in_of_the_dashboard_reads_rest_but_another_site_writes_nothing(visit: Visit) -> None:
    """What the pages' scripts ask is answered to the cookie; a write with it from a page of elsewhere is refused."""
    visit.sign_in()
    for path in ("/api/sessions", "/api/session/p-1?survey=phq9", "/api/session/p-1/history?survey=phq9"):
        assert visit.get(path).status_code == 200
    answer = visit.client.delete("/api/session/p-1?survey=phq9", base_url=SITE, headers={"Origin": EVIL})
    assert answer.status_code == 403
    assert visit.app.store.queries.load(SessionKey("phq9", "p-1")) is not None


def test_no_answer_stands_in_a_page(visit: Visit) -> None:
    """Pages are shells: answers come by REST alone, where each look is noted; a title names not even whose they are."""
    key = visit.app.begin_session("p-2", "intake")
    visit.app.store.turns.submit(key, Answer(at=visit.app.clock(), step="S1", value=None))
    visit.app.store.turns.submit(key, Answer(at=visit.app.clock(), step="S2", value="1980-05-03"))
    visit.app.store.turns.submit(key, Answer(at=visit.app.clock(), step="S3", value="A new problem"))
    visit.app.store.turns.submit(key, Answer(at=visit.app.clock(), step="S4", value=SECRET_ANSWER))
    visit.sign_in()
    page = visit.get("/dashboard/sessions/intake/p-2").text
    assert SECRET_ANSWER in visit.get("/api/session/p-2?survey=intake").text
    assert SECRET_ANSWER not in page
    assert re.findall(r"<title>(.*)</title>", page) == ["One session · Dashboard · Stepkeep"]


def test_page_says_so_when_the_database_is_away(visit: Visit, monkeypatch: pytest.MonkeyPatch) -> None:
    """503 in words."""
    visit.sign_in()

    def fail(_work: object) -> None:
        raise DatabaseUnavailable("away")

    monkeypatch.setattr(visit.app.store, "run_read", fail)
    page = visit.get("/dashboard/surveys/phq9")
    assert (page.status_code, page.headers["Retry-After"]) == (503, "5")


def test_sessions_are_searched_by_the_beginning_of_an_id(visit: Visit) -> None:
    """By REST as the page asks it: exactly, and what can be no id is refused."""
    for user_id in ("p-10", "P-1", "q-1"):
        visit.app.begin_session(user_id)
    visit.sign_in("sessions:read")
    found = visit.get("/api/sessions?user_id_prefix=p-1").get_json()
    assert [one["user_id"] for one in found["sessions"]] == ["p-1", "p-10"]
    assert visit.get("/api/sessions?user_id_prefix=%25").status_code == 422
