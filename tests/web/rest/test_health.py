"""``/readyz``: 200 or 503 for all callers; the checks and their hints for authorized keys."""

import logging
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from sqlalchemy import make_url

from app.errors import DatabaseUnavailable
from app.settings import Settings
from app.store import history, migrations
from app.store.drivers import sqlite
from app.web import health as checks_module
from app.web.health import DATABASE_CALLS, MIN_DISK_BYTES
from app.web.rest import health
from app.web.rest.models import Problem
from app.writer.pending import Backlog
from tests.conftest import SURVEYS, Servers
from tests.databases import create_sqlite
from tests.proxy import Proxy
from tests.waiting import START_S
from tests.web.production import App, production_app

LOW_DISK = Settings().low_disk_mib * 2**20
NAMES = ["database", "schema", "answers_key", "writer", "disk", "surveys", "server"]


@pytest.fixture
def app(tmp_path: Path) -> Iterator[App]:
    url = create_sqlite(tmp_path / "ready.db")
    with production_app(Settings(database_url=url, surveys_dir=SURVEYS)) as app:
        yield app


class Readiness(NamedTuple):
    status: int
    code: str | None
    checks: dict[str, tuple[str, str]]


def readiness(app: App) -> Readiness:
    """Return the readiness as a key sees it; without one the same status and no details."""
    answer = app.request("GET", "/readyz", app.create_key("metrics"))
    body: dict[str, Any] = answer.json
    (health.Readiness if answer.status_code == 200 else Problem).model_validate(body)
    anonymous = app.request("GET", "/readyz")
    assert anonymous.status_code == answer.status_code
    assert "checks" not in anonymous.json
    assert anonymous.json.get("detail", "") in {"", "The server is not ready. Its log says why."}
    checks = {check["name"]: (check["status"], check["hint"] or "") for check in body.get("checks", [])}
    return Readiness(answer.status_code, body.get("code"), checks)


def test_healthy_server_is_ready(app: App) -> None:
    report = readiness(app)
    assert report.status == 200
    assert list(report.checks) == NAMES
    assert set(report.checks.values()) == {("ok", "")}


@pytest.mark.parametrize("scope", ["metrics", "admin", "sessions:read", "export"])
def test_checks_need_the_scope_metrics_or_admin(app: App, scope: Any) -> None:
    """The status itself is for all callers."""
    answer = app.request("GET", "/readyz", app.create_key(scope))
    assert answer.status_code == 200
    assert ("checks" in answer.json) is (scope in {"metrics", "admin"})
    assert app.request("GET", "/readyz", "nonsense").json == {"status": "ready"}


def test_unavailable_database_is_reported_to_a_verified_key(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    """The key cannot be verified at that time."""
    key = app.create_key("metrics")
    app.request("GET", "/readyz", key)

    def fail(*_: object) -> None:
        raise DatabaseUnavailable("test")

    monkeypatch.setattr(app.store, "run_read", fail)
    monkeypatch.setattr(app.store.queries, "database_facts", fail)
    answer = app.request("GET", "/readyz", key)
    assert (answer.status_code, answer.json["code"]) == (503, "unavailable")
    assert {check["name"]: check["status"] for check in answer.json["checks"]}["database"] == "failing"
    assert answer.headers["Retry-After"] == "5"


@pytest.mark.parametrize("kind", ["postgresql", "mysql"])
def test_database_that_accepts_and_never_responds_is_failing(
    kind: str, servers: Servers, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The response comes while the database hangs, for each of many probes, with a verified key and with another one."""
    database = servers(kind)
    url = database.create_migrated()
    proxy = Proxy("127.0.0.1", make_url(url).port or 0)
    behind = make_url(url).set(host="127.0.0.1", port=proxy.port).render_as_string(hide_password=False)
    try:
        with production_app(Settings(database_url=behind, surveys_dir=SURVEYS)) as app:
            verified, other = app.create_key("metrics"), app.create_key("metrics")
            assert app.request("GET", "/readyz", verified).status_code == 200
            monkeypatch.setattr(checks_module, "DATABASE_S", 0.2)
            proxy.hold()
            with ThreadPoolExecutor(1) as pool:
                probes = [
                    pool.submit(app.request, "GET", "/readyz", key)
                    for key in (verified, other, None) * (DATABASE_CALLS + 1)
                ]
                _, late = wait(probes, START_S)
                proxy.heal()
            assert not late
            answers = [probe.result() for probe in probes[-3:]]
            assert {probe.result().status_code for probe in probes} == {503}
            hints = {check["name"]: check["hint"] for check in answers[0].json["checks"]}
            assert "did not respond within" in hints["database"]
            assert "checks" not in answers[1].json
    finally:
        proxy.close()
        database.drop_database(url)


@pytest.fixture
def schema_checked_at_start(monkeypatch: pytest.MonkeyPatch) -> None:
    """Until the next check, a second later, the server still creates and verifies keys, which the details need."""
    monkeypatch.setattr(migrations, "CHECK_S", 60.0)


@pytest.mark.usefixtures("schema_checked_at_start")
def test_older_schema_is_reported_with_the_command_to_run(app: App, tmp_path: Path) -> None:
    with sqlite.driver().connect(tmp_path / "ready.db") as other:
        other.execute("UPDATE alembic_version SET version_num = '0001'")
    other.close()
    report = readiness(app)
    assert (report.status, report.code) == (503, "schema_mismatch")
    assert report.checks["database"] == ("ok", "")
    assert "alembic upgrade head" in report.checks["schema"][1]


@pytest.mark.usefixtures("schema_checked_at_start")
def test_newer_schema_is_failing(app: App, tmp_path: Path) -> None:
    """The server refuses all work until it is replaced."""
    with sqlite.driver().connect(tmp_path / "ready.db") as other:
        other.execute("UPDATE alembic_version SET version_num = '9999'")
    other.close()
    report = readiness(app)
    assert (report.status, report.code) == (503, "schema_mismatch")
    assert report.checks["schema"][0] == "failing"
    assert "upgraded by a newer release" in report.checks["schema"][1]


def test_missing_answers_key_is_reported(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another server encrypts with a key that this one lacks."""
    monkeypatch.setattr(history, "find_missing_key", lambda *_: "0123456789ab")
    report = readiness(app)
    assert (report.status, report.code) == (503, "missing_key")
    assert "0123456789ab" in report.checks["answers_key"][1]


def test_blocked_writer_is_failing_and_full_queue_is_a_warning(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(app.store, "backlog", lambda: Backlog(0, 17, is_unavailable=True))
    report = readiness(app)
    assert report.status == 503
    assert report.checks["writer"][0] == "failing"
    assert "17 turns" in report.checks["writer"][1]
    limit = app.store.settings.queue_limit
    monkeypatch.setattr(app.store, "backlog", lambda: Backlog(limit, 0, is_unavailable=False))
    assert (readiness(app).status, readiness(app).checks["writer"][0]) == (200, "warning")


@pytest.mark.parametrize(
    ("free", "status", "check"),
    [
        (LOW_DISK, 200, "ok"),
        (LOW_DISK - 1, 200, "warning"),
        (MIN_DISK_BYTES, 200, "warning"),
        (MIN_DISK_BYTES - 1, 503, "failing"),
    ],
)
def test_low_disk_space_is_a_warning_then_failing(
    app: App, monkeypatch: pytest.MonkeyPatch, free: int, status: int, check: str
) -> None:
    """Of the file systems of the SQLite file and the erasure journal."""
    usage = shutil.disk_usage("/")._replace(free=free)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    report = readiness(app)
    assert (report.status, report.checks["disk"][0]) == (status, check)


def test_stopping_server_is_not_ready(app: App) -> None:
    """So that a load balancer sends no new clients."""
    app.flask.extensions["stepkeep"].connections.stopping = True
    report = readiness(app)
    assert (report.status, report.checks["server"]) == (503, ("failing", "The server is shutting down."))


def test_server_without_surveys_is_ready_with_a_warning(tmp_path: Path) -> None:
    """Sessions of earlier surveys can be read."""
    (tmp_path / "none").mkdir()
    url = create_sqlite(tmp_path / "ready.db")
    with production_app(Settings(database_url=url, surveys_dir=tmp_path / "none")) as app:
        report = readiness(app)
    assert (report.status, report.checks["surveys"][0]) == (200, "warning")


def test_change_of_readiness_is_logged_once(
    app: App, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However often the balancer polls."""
    caplog.set_level(logging.WARNING, "stepkeep.readiness")
    connections = app.flask.extensions["stepkeep"].connections
    for stopping in (False, True, True, True, False, False):
        connections.stopping = stopping
        app.request("GET", "/readyz")
    lines = [record.getMessage() for record in caplog.records if record.name == "stepkeep.readiness"]
    assert lines == ["not ready: server: The server is shutting down.", "ready again"]


def test_database_servers_have_no_disk_check(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    """PostgreSQL and MariaDB monitor their own; only a journal is on this machine."""
    monkeypatch.setattr(app.store, "sqlite_path", None)
    assert "disk" in readiness(app).checks
    monkeypatch.setattr(app.store.erasure, "journal", None)
    assert "disk" not in readiness(app).checks
