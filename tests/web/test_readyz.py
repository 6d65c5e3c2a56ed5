"""``/readyz``: 200 or 503 for everybody, and for who may know it what is wrong and what to do."""

import logging
import shutil
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from app.errors import DatabaseUnavailable
from app.settings import Settings
from app.store import history
from app.web.health import LOW_DISK_BYTES, MIN_DISK_BYTES
from app.web.rest import health
from app.web.rest.models import Problem
from app.writer.pending import Backlog
from tests.conftest import SURVEYS
from tests.databases import create_sqlite
from tests.web.production import App, production_app

NAMES = ["database", "schema", "answers_key", "writer", "disk", "surveys", "server"]


@pytest.fixture
def app(tmp_path: Path) -> Iterator[App]:
    """The application in production, on an empty SQLite file."""
    url = create_sqlite(tmp_path / "ready.db")
    with production_app(Settings(database_url=url, surveys_dir=SURVEYS)) as app:
        yield app


class Readiness(NamedTuple):
    status: int
    code: str | None
    checks: dict[str, tuple[str, str]]


def readiness(app: App) -> Readiness:
    """Return what a key's holder is told; a stranger gets the same status and nothing more."""
    answer = app.request("GET", "/readyz", app.create_key("metrics"))
    body: dict[str, Any] = answer.json
    (health.Readiness if answer.status_code == 200 else Problem).model_validate(body)
    stranger = app.request("GET", "/readyz")
    assert stranger.status_code == answer.status_code
    assert "checks" not in stranger.json
    assert stranger.json.get("detail", "") in {"", "the server is not ready; its log says why"}
    checks = {one["name"]: (one["status"], one["hint"] or "") for one in body.get("checks", [])}
    return Readiness(answer.status_code, body.get("code"), checks)


def test_server_that_is_well_is_ready(app: App) -> None:
    """Each check by its name."""
    found = readiness(app)
    assert found.status == 200
    assert list(found.checks) == NAMES
    assert set(found.checks.values()) == {("ok", "")}


@pytest.mark.parametrize("scope", ["metrics", "admin", "sessions:read", "export"])
def test_checks_are_told_to_keys_that_may_know_them(app: App, scope: Any) -> None:
    """With the scope metrics or admin; nobody is refused the status itself, whatever he shows."""
    answer = app.request("GET", "/readyz", app.create_key(scope))
    assert answer.status_code == 200
    assert ("checks" in answer.json) is (scope in {"metrics", "admin"})
    assert app.request("GET", "/readyz", "nonsense").json == {"status": "ready"}


def test_database_that_is_away_is_told_with_a_key_that_was_good(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    """503, and what to do; the key's row can't be read then."""
    key = app.create_key("metrics")
    app.request("GET", "/readyz", key)

    def away(*_: object) -> None:
        raise DatabaseUnavailable("away")

    monkeypatch.setattr(app.store, "run_read", away)
    monkeypatch.setattr(app.store.queries, "database_facts", away)
    answer = app.request("GET", "/readyz", key)
    assert (answer.status_code, answer.json["code"]) == (503, "unavailable")
    assert {one["name"]: one["status"] for one in answer.json["checks"]}["database"] == "failing"
    assert answer.headers["Retry-After"] == "5"


def test_other_schema_is_told_with_its_command(app: App, tmp_path: Path) -> None:
    """The database is there, its schema is not this program's."""
    with sqlite3.connect(tmp_path / "ready.db") as other:
        other.execute("UPDATE alembic_version SET version_num = '0001'")
    other.close()
    found = readiness(app)
    assert (found.status, found.code) == (503, "schema_mismatch")
    assert found.checks["database"] == ("ok", "")
    assert "alembic upgrade head" in found.checks["schema"][1]


def test_server_goes_on_under_the_schema_of_a_newer_release(app: App, tmp_path: Path) -> None:
    """Ready, with a warning: while processes are replaced one after the other, those of before take participants."""
    with sqlite3.connect(tmp_path / "ready.db") as other:
        other.execute("UPDATE alembic_version SET version_num = '9999'")
    other.close()
    found = readiness(app)
    assert found.status == 200
    assert found.checks["schema"] == (
        "warning",
        "A newer release has upgraded the schema. Replace this server with that release.",
    )


def test_missing_key_of_answers_is_told(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another server seals with a key that this one lacks: it could not show the newest answers."""
    monkeypatch.setattr(history, "find_missing_key", lambda *_: "0123456789ab")
    found = readiness(app)
    assert (found.status, found.code) == (503, "answers_locked")
    assert "0123456789ab" in found.checks["answers_key"][1]


def test_writer_that_gets_nowhere_is_told(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    """Turns wait in memory: not ready. A full queue is a warning."""
    monkeypatch.setattr(app.store, "backlog", lambda: Backlog(0, 17, is_unavailable=True))
    found = readiness(app)
    assert found.status == 503
    assert found.checks["writer"][0] == "failing"
    assert "17 turns" in found.checks["writer"][1]
    limit = app.store.settings.queue_limit
    monkeypatch.setattr(app.store, "backlog", lambda: Backlog(limit, 0, is_unavailable=False))
    assert (readiness(app).status, readiness(app).checks["writer"][0]) == (200, "warning")


@pytest.mark.parametrize(
    ("free", "status", "check"),
    [
        (LOW_DISK_BYTES, 200, "ok"),
        (LOW_DISK_BYTES - 1, 200, "warning"),
        (MIN_DISK_BYTES, 200, "warning"),
        (MIN_DISK_BYTES - 1, 503, "failing"),
    ],
)
def test_full_disk_is_told_before_it_is_full(
    app: App, monkeypatch: pytest.MonkeyPatch, free: int, status: int, check: str
) -> None:
    """Of the disk that the SQLite file is on."""
    usage = shutil.disk_usage("/")._replace(free=free)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    found = readiness(app)
    assert (found.status, found.checks["disk"][0]) == (status, check)


def test_server_that_stops_is_not_ready(app: App) -> None:
    """So that a load balancer sends nobody any more."""
    app.flask.extensions["stepkeep"].connections.stopping = True
    found = readiness(app)
    assert (found.status, found.checks["server"]) == (503, ("failing", "The server is shutting down."))


def test_server_without_surveys_is_ready_and_says_so(tmp_path: Path) -> None:
    """It has nothing to offer, but sessions of surveys that are gone can be read."""
    (tmp_path / "none").mkdir()
    url = create_sqlite(tmp_path / "ready.db")
    with production_app(Settings(database_url=url, surveys_dir=tmp_path / "none")) as app:
        found = readiness(app)
    assert (found.status, found.checks["surveys"][0]) == (200, "warning")


def test_what_begins_to_fail_is_logged_once(
    app: App, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A balancer asks every second; the log has one line for the fault and one for its end."""
    caplog.set_level(logging.WARNING, "stepkeep.readiness")
    connections = app.flask.extensions["stepkeep"].connections
    for stopping in (False, True, True, True, False, False):
        connections.stopping = stopping
        app.request("GET", "/readyz")
    lines = [one.getMessage() for one in caplog.records if one.name == "stepkeep.readiness"]
    assert lines == ["not ready: server: The server is shutting down.", "ready again"]


def test_databases_of_others_have_no_disk_of_ours(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    """PostgreSQL and MariaDB look after their own."""
    monkeypatch.setattr(app.store, "sqlite_path", None)
    assert "disk" not in readiness(app).checks
