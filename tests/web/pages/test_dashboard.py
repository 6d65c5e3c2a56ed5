"""The dashboard's pages without a browser: authorization, missing pages, titles and logs."""

import html
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient

from app.access.principals import Scope
from app.errors import DatabaseUnavailable
from app.settings import Settings
from app.survey.commands import Answer, Begin
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


class Browser:
    """A browser on the server in production; the session p-1 has begun."""

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
def browser(settings: Settings) -> Iterator[Browser]:
    """A browser on the server in production, not signed in."""
    with production_app(settings) as app:
        yield Browser(app)


@pytest.mark.parametrize("path", PAGES)
def test_page_needs_the_scope_sessions_read(browser: Browser, path: str) -> None:
    """Without a sign-in it leads to the form; without the scope it names the missing one."""
    assert browser.get(path).headers["Location"] == "/sign-in"
    browser.sign_in("sessions:read")
    page = browser.get(path)
    assert (page.status_code, page.headers["Cache-Control"]) == (200, "no-store")
    browser.sign_in("export", "admin")
    refused = browser.get(path)
    assert refused.status_code == 403
    assert "sessions:read" in refused.text
    assert "p-1" not in refused.text


@pytest.mark.parametrize("path", PAGES)
def test_page_has_no_inline_script_or_style(browser: Browser, path: str) -> None:
    """The Content-Security-Policy would block them."""
    browser.sign_in()
    page = browser.get(path)
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
def test_missing_page_reveals_nothing(browser: Browser, path: str) -> None:
    """One 404 page for all; without a sign-in, missing and existing pages are alike."""
    assert browser.get(path).headers["Location"] == "/sign-in"
    browser.sign_in("sessions:read")
    page = browser.get(path)
    assert page.status_code == 404
    assert page.text == browser.get("/dashboard/sessions/phq9/another").text


def test_survey_without_its_file_has_its_figures(browser: Browser) -> None:
    """Its revisions are in the database."""
    browser.sign_in("sessions:read")
    del browser.app.store.catalogue.surveys["phq9"]  # type: ignore[attr-defined]  # a plain dictionary
    page = browser.get("/dashboard/surveys/phq9")
    assert page.status_code == 200
    assert "its survey file no longer exists" in page.text


def test_downloads_are_offered_with_the_scope_export_only(browser: Browser) -> None:
    browser.sign_in("sessions:read")
    assert "/export" not in browser.get("/dashboard/surveys/phq9").text
    browser.sign_in("sessions:read", "export")
    text = browser.get("/dashboard/surveys/phq9").text
    assert re.findall(r'href="/api/surveys/phq9/export\?format=([a-z]+)', text) == list(EXPORT_FORMATS)


def test_every_offered_download_exists_in_rest(browser: Browser) -> None:
    for path in offered_downloads(browser):
        with browser.get(path) as answer:  # closed, because open exports are limited
            assert answer.status_code == 200, path


def test_offered_csv_runs_no_formula_in_a_spreadsheet(browser: Browser) -> None:
    """A text that begins with ``=`` gets a prefix, unless the researcher asks for unchanged texts."""
    csv = [path for path in offered_downloads(browser) if re.search("format=(csv|long)", path)]
    assert len(csv) == 2
    assert all("spreadsheet_safe=true" in path for path in csv)


def offered_downloads(browser: Browser) -> list[str]:
    browser.sign_in("sessions:read", "export")
    text = browser.get("/dashboard/surveys/phq9").text
    offered = re.findall(r'href="(/api/surveys/phq9/(?:export|codebook)[^"]*)"', text)
    assert len(offered) == len(EXPORT_FORMATS) + 1
    return [html.unescape(path) for path in offered]


def test_sign_in_reads_rest_and_foreign_origin_writes_nothing(browser: Browser) -> None:
    """The pages' scripts send the cookie of the sign-in."""
    browser.sign_in()
    for path in ("/api/sessions", "/api/session/p-1?survey=phq9", "/api/session/p-1/history?survey=phq9"):
        assert browser.get(path).status_code == 200
    answer = browser.client.delete("/api/session/p-1?survey=phq9", base_url=SITE, headers={"Origin": EVIL})
    assert answer.status_code == 403
    assert browser.app.store.queries.load(SessionKey("phq9", "p-1")) is not None


def test_page_contains_no_answer(browser: Browser) -> None:
    """Answers come by REST only, where each read is audited; the title does not name the participant either."""
    key = browser.app.begin_session("p-2", "intake")
    browser.app.store.turns.submit(key, Answer(at=browser.app.clock(), step="S1", value=None))
    browser.app.store.turns.submit(key, Answer(at=browser.app.clock(), step="S2", value="1980-05-03"))
    browser.app.store.turns.submit(key, Answer(at=browser.app.clock(), step="S3", value="A new problem"))
    browser.app.store.turns.submit(key, Answer(at=browser.app.clock(), step="S4", value=SECRET_ANSWER))
    browser.sign_in()
    page = browser.get("/dashboard/sessions/intake/p-2").text
    assert SECRET_ANSWER in browser.get("/api/session/p-2?survey=intake").text
    assert SECRET_ANSWER not in page
    assert re.findall(r"<title>(.*)</title>", page) == ["One session · Dashboard · Stepkeep"]


def test_page_is_503_when_the_database_is_unavailable(browser: Browser, monkeypatch: pytest.MonkeyPatch) -> None:
    browser.sign_in()

    def fail(_work: object) -> None:
        raise DatabaseUnavailable("test")

    monkeypatch.setattr(browser.app.store, "run_read", fail)
    page = browser.get("/dashboard/surveys/phq9")
    assert (page.status_code, page.headers["Retry-After"]) == (503, "5")


def test_sessions_are_searched_by_the_prefix_of_an_id(browser: Browser) -> None:
    """Case-sensitive; a prefix that no id can have is refused."""
    for user_id in ("p-10", "P-1", "q-1"):
        browser.app.begin_session(user_id)
    browser.sign_in("sessions:read")
    page = browser.get("/api/sessions?user_id_prefix=p-1").get_json()
    assert [session["user_id"] for session in page["sessions"]] == ["p-1", "p-10"]
    assert browser.get("/api/sessions?user_id_prefix=%25").status_code == 422


def test_insertions_of_titles_have_words(sqlite_settings: Settings, tmp_path: Path) -> None:
    """No session fills them."""
    title = "Visit in {{ parameters.clinic }}"
    survey = {"id": "visit", "title": title, "language": "en", "steps": [{"id": "S", "type": "info", "prompt": "P"}]}
    survey["parameters"] = {"clinic": {"type": "text", "from": "url", "default": "north"}}
    (tmp_path / "visit.json").write_text(json.dumps(survey))
    with production_app(sqlite_settings, surveys_dir=tmp_path) as app:
        app.store.turns.submit(SessionKey("visit", "p-1"), Begin(at=app.clock(), parameters={"clinic": "north"}))
        client = app.flask.test_client()
        client.post("/sign-in", base_url=SITE, data={"key": app.create_key()}, headers={"Origin": SITE})
        for path in ("/dashboard", "/dashboard/surveys/visit", "/dashboard/sessions", "/dashboard/sessions/visit/p-1"):
            page = client.get(path, base_url=SITE).text
            assert "Visit in [clinic]" in page
            assert "{{" not in page
