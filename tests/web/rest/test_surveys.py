"""REST for surveys: their definitions by revision, and taking changed files."""

import html
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.settings import Settings
from app.survey import Begin, SessionKey
from tests.databases import create_sqlite
from tests.web.production import App, production_app

VISIT = "id: visit\ntitle: Visit\nlanguage: en\nsteps:\n  - {id: S1, type: text, prompt: First}\n"
UNKNOWN = "0" * 32


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Return the survey's file, beside one of a closed survey."""
    folder = tmp_path / "surveys"
    folder.mkdir()
    (folder / "closed.yaml").write_text(VISIT.replace("id: visit", "id: closed\naccess: closed"))
    (folder / "visit.yaml").write_text(VISIT)
    return folder / "visit.yaml"


@pytest.fixture
def app(tmp_path: Path, file: Path) -> Iterator[App]:
    url = create_sqlite(tmp_path / "surveys.db")
    with production_app(Settings(database_url=url, surveys_dir=file.parent)) as app:
        yield app


def test_reload_takes_right_files_and_reports_wrong_ones(app: App, file: Path) -> None:
    """In the answer, by `/readyz` and in the audit log; the old definition stays in place."""
    key = app.create_key("admin")
    wrong = file.parent / "wrong.yaml"
    wrong.write_text(VISIT.replace("title", "titel").replace("id: visit", "id: wrong"))
    (file.parent / "added.yaml").write_text(VISIT.replace("id: visit", "id: added"))
    file.write_text(VISIT.replace("First", "Changed"))
    answer = app.request("POST", "/api/surveys/reload", key)
    finding = {
        "level": "error",
        "file": str(wrong),
        "line": 2,
        "column": 1,
        "step_id": None,
        "message": "unknown field titel; did you mean title?",
    }
    assert answer.json == {
        "success": True,
        "added": ["added"],
        "changed": ["visit"],
        "removed": [],
        "findings": [finding],
    }
    ready = app.request("GET", "/readyz", key).json
    (check,) = [check for check in ready["checks"] if check["name"] == "surveys"]
    assert (ready["status"], check["status"]) == ("ready", "warning")
    assert f"{wrong}:2:1: unknown field titel" in check["hint"]
    assert app.store.audit_log.page(limit=1).items[0].entry.action == "surveys_reloaded"
    wrong.unlink()
    assert app.request("POST", "/api/surveys/reload", key).json["findings"] == []
    ready = app.request("GET", "/readyz", key).json
    assert {"name": "surveys", "status": "ok", "hint": None} in ready["checks"]


IMMUTABLE = "private, max-age=31536000, immutable"


def address_of_the_page(app: App) -> str:
    """Return the address at which the page of the survey visit asks for its steps."""
    (address,) = re.findall('data-survey-url="([^"]+)"', app.request("GET", "/s/visit").text)
    return str(html.unescape(address))


def test_survey_at_a_revision_is_that_of_its_sessions(app: App, file: Path) -> None:
    """Without a revision the newest is returned. Neither may be kept: access and retention are those of today's file."""
    old = app.store.catalogue.surveys["visit"].revision
    app.store.turns.submit(SessionKey("visit", "ada"), Begin(at=1))
    file.write_text(VISIT.replace("First", "Changed"))
    app.request("POST", "/api/surveys/reload", app.create_key("admin"))
    new = app.request("GET", "/api/surveys/visit")
    assert new.json["survey"]["steps"][0]["prompt"] == "Changed"
    assert "immutable" not in new.headers["Cache-Control"]
    pinned = app.request("GET", f"/api/surveys/visit?revision={old}")
    assert (pinned.json["survey"]["revision"], pinned.json["survey"]["steps"][0]["prompt"]) == (old, "First")
    assert "immutable" not in pinned.headers["Cache-Control"]
    same = app.request("GET", f"/api/surveys/visit?revision={new.json['survey']['revision']}")
    assert same.json == new.json
    assert app.request("GET", f"/api/surveys/visit?revision={UNKNOWN}").status_code == 404
    assert app.request("GET", f"/api/surveys/none?revision={old}").status_code == 404


def test_page_keeps_the_survey_for_good_at_an_address_of_its_revision_and_release(
    app: App, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So that neither an upgrade nor a survey that is closed later leaves an old answer in a cache."""
    before = address_of_the_page(app)
    assert app.request("GET", before).headers["Cache-Control"] == IMMUTABLE
    with monkeypatch.context() as patch:
        patch.setattr("app.web.context.__version__", "99.0")
        upgraded = address_of_the_page(app)
        assert upgraded != before
        assert app.request("GET", upgraded).headers["Cache-Control"] == IMMUTABLE
        assert "immutable" not in app.request("GET", before).headers["Cache-Control"]
    file.write_text(VISIT.replace("id: visit", "id: visit\nretention: 30d"))
    app.request("POST", "/api/surveys/reload", app.create_key("admin"))
    assert address_of_the_page(app) != before
    assert "immutable" not in app.request("GET", before).headers["Cache-Control"]


def test_survey_has_no_rules(app: App, file: Path) -> None:
    """Neither those between steps nor the expressions of values, on which these may depend."""
    secret = "values: {score: answers.S1 + 'x'}\nend: [{when: values.score == 'ax', title: T}]\n"
    file.write_text(VISIT.replace("First}", "First, next: [{when: values.score == 'bx', go: end}]}") + secret)
    app.request("POST", "/api/surveys/reload", app.create_key("admin"))
    answer = app.request("GET", "/api/surveys/visit")
    assert answer.json["survey"]["steps"][0]["reads"] == []
    assert "score" not in answer.text


def test_listed_title_has_words_for_insertions(app: App, file: Path) -> None:
    file.write_text(VISIT.replace("title: Visit", "title: 'Visit {{ 1 + 1 }}'"))
    app.request("POST", "/api/surveys/reload", app.create_key("admin"))
    (listed,) = app.request("GET", "/api/surveys").json["surveys"]
    assert listed["title"] == "Visit [1 + 1]"


@pytest.mark.parametrize("query", ["revision=abc", "revision=", f"revision={'G' * 32}", "form=x", "lang=" + "a-" * 18])
def test_malformed_parameter_of_a_survey_is_refused_unread(app: App, query: str) -> None:
    """A revision has 32 hexadecimal digits: nothing else reaches the database."""
    assert app.request("GET", f"/api/surveys/visit?{query}").status_code == 422


def test_closed_survey_at_a_revision_is_for_those_who_may_see_it(app: App) -> None:
    """No shared cache may keep it."""
    path = f"/api/surveys/closed?revision={app.store.catalogue.surveys['closed'].revision}"
    assert app.request("GET", path).status_code == 404
    seen = app.request("GET", path, app.create_key("sessions:read"))
    assert "public" not in seen.headers["Cache-Control"]


def test_removed_survey_at_a_revision_is_for_those_who_may_read_its_sessions(app: App, file: Path) -> None:
    """They can still be answered and exported. Nobody else learns that there was such a survey."""
    old = app.store.catalogue.surveys["visit"].revision
    app.store.turns.submit(SessionKey("visit", "ada"), Begin(at=1))
    file.unlink()
    app.request("POST", "/api/surveys/reload", app.create_key("admin"))
    path = f"/api/surveys/visit?revision={old}"
    for credential in (app.create_key("sessions:read"), app.create_token("ada", "visit")):
        survey = app.request("GET", path, credential).json["survey"]
        assert (survey["revision"], survey["access"], survey["retention"]) == (old, "closed", None)
        assert survey["steps"][0]["prompt"] == "First"
        assert app.request("GET", f"/api/surveys/visit?revision={UNKNOWN}", credential).status_code == 404
        assert app.request("GET", "/api/surveys/visit", credential).status_code == 404
        assert app.request("GET", f"/api/surveys/vi%00sit?revision={old}", credential).status_code == 404
    for other in (None, app.create_key("export"), app.create_token("ada", "closed")):
        assert app.request("GET", path, other).status_code == 404


@pytest.mark.parametrize("language", ["en", "de"])
def test_server_durations_are_shown_in_each_language(tmp_path: Path, file: Path, language: str) -> None:
    """Only the texts are in the language."""
    file.write_text(VISIT.replace("title: Visit", "title: {en: Visit, de: Besuch}\nlanguages: [en, de]"))
    database_url = create_sqlite(tmp_path / "durations.db")
    settings = Settings(database_url=database_url, surveys_dir=file.parent, expires_after="1d", retention="9d")
    with production_app(settings) as app:
        shown = app.request("GET", f"/api/surveys/visit?lang={language}").json["survey"]
    title = {"en": "Visit", "de": "Besuch"}[language]
    assert (shown["title"], shown["expires_after"], shown["retention"]) == (title, "1d", "9d")
