"""The start of the server: secret key, public URL, and loopback in development."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from app.errors import ConfigurationError
from app.sessions.service import open_store
from app.settings import Settings
from app.web.factory import create_app
from tests.conftest import ROOT, Server
from tests.databases import create_sqlite
from tests.waiting import children, free_port, wait_for
from tests.web.http_client import WEAK_KEYS, run_gunicorn, run_server
from tests.web.production import production, production_app, random_secret


class ServeModule(Server):
    """A server started with ``python -m app.serve``, as by `make run`."""

    @property
    def command(self) -> list[str]:
        return ["app.serve"]


@pytest.mark.parametrize(
    "weak", ["none", *(pytest.param(weak, marks=pytest.mark.long) for weak in WEAK_KEYS if weak != "none")]
)
def test_production_does_not_start_without_a_strong_secret_key(tmp_path: Path, weak: str) -> None:
    """One line that says what to do, exit code 1, and no database file."""
    results = [run_gunicorn(tmp_path, **WEAK_KEYS[weak])]
    results.append(run_server("app.serve", folder=tmp_path, HOST="0.0.0.0", **WEAK_KEYS[weak]))  # noqa: S104 - it must not start
    if weak == "none":
        results.append(run_server("flask", "--app", "wsgi", "api-keys", "list", folder=tmp_path))
    for result in results:
        assert result.returncode == 1, result.stderr
        (line,) = result.stderr.splitlines()
        assert "SECRET_KEY" in line
        assert "secrets.token_urlsafe(32)" in line
        assert not [value for value in WEAK_KEYS[weak].values() if value and value in line]
    assert not list(tmp_path.iterdir())


def test_server_on_sqlite_imports_no_module_that_its_start_does_not_need(tmp_path: Path) -> None:
    """They took a third of the time until a server or command could begin; the first use of one imports it."""
    done = subprocess.run(
        [sys.executable, "-c", "import sys, wsgi; print(*sys.modules)"],
        cwd=ROOT,
        env={
            **os.environ,
            "DATABASE_URL": create_sqlite(tmp_path / "sessions.db"),
            "STEPKEEP_ENVIRONMENT": "development",
        },
        capture_output=True,
        text=True,
        check=True,
    )
    assert {"numpy", "psycopg", "alembic", "app.cli"}.isdisjoint(done.stdout.split())


def test_development_mode_is_logged_in_one_line(tmp_path: Path) -> None:
    server = ServeModule(tmp_path)
    server.start()
    try:
        lines = [line for line in server.log.splitlines() if "Development mode" in line]
    finally:
        server.stop()
    assert lines == ["Development mode: no authentication, and only this machine is served."]


def test_development_serves_loopback_only(tmp_path: Path, sqlite_settings: Settings) -> None:
    """It binds to no other address, and refuses other clients and hosts."""
    everywhere = "0.0.0.0"  # noqa: S104 - it must not start
    for result in (
        run_server("app.serve", folder=tmp_path, HOST=everywhere, STEPKEEP_ENVIRONMENT="development"),
        run_gunicorn(tmp_path, HOST=everywhere, STEPKEEP_ENVIRONMENT="development"),
        run_gunicorn(
            tmp_path, STEPKEEP_ENVIRONMENT="development", GUNICORN_CMD_ARGS=f"--bind {everywhere}:{free_port()}"
        ),
        run_gunicorn(tmp_path, STEPKEEP_ENVIRONMENT="development", GUNICORN_CMD_ARGS=f"--bind [::]:{free_port()}"),
    ):
        assert result.returncode == 1
        assert "evelopment mode has no authentication" in result.stderr
    store = open_store(sqlite_settings.model_copy(update={"environment": "development"}))
    app = create_app(store.settings, store)
    cases = [
        ("http://127.0.0.1:8000", "127.0.0.1", 200),
        ("http://localhost:8000", "127.0.0.1", 200),
        ("http://[::1]:8000", "::1", 200),
        ("http://evil.test", "127.0.0.1", 403),
        ("http://127.0.0.1.evil.test", "127.0.0.1", 403),
        ("http://192.0.2.1", "127.0.0.1", 403),
        ("http://127.0.0.1:8000", "192.0.2.7", 403),
    ]
    for base, remote, status in cases:
        for path in ("/", "/api/sessions", "/healthz", "/assets/style.css"):
            with app.test_client() as client:
                answer = client.get(path, base_url=base, environ_base={"REMOTE_ADDR": remote}, buffered=True)
            assert answer.status_code == status, (base, remote, path)
    app.extensions["stepkeep"].authenticator.credentials.revocations.close()
    store.close()


def test_production_needs_an_https_public_url(tmp_path: Path, sqlite_settings: Settings) -> None:
    """Another URL stops the start with one line; loopback is allowed with http."""
    for module, arguments in (("gunicorn", ["--config", "gunicorn.conf.py", "wsgi:app"]), ("app.serve", [])):
        address = {"STEPKEEP_PUBLIC_URL": "http://survey.example.org", "SECRET_KEY": random_secret()}
        result = run_server(module, *arguments, folder=tmp_path, STEPKEEP_ENVIRONMENT="production", **address)
        assert result.returncode == 1
        (line,) = result.stderr.splitlines()
        assert "STEPKEEP_PUBLIC_URL must begin with https://" in line
    with pytest.raises(ConfigurationError, match="https"):
        create_app(production(sqlite_settings, public_url="http://survey.example.org"))
    for url in ("http://localhost:8000", "http://127.0.0.1:8000", "https://survey.example.org"):
        with production_app(sqlite_settings, public_url=url):
            pass


def test_worker_without_heartbeat_is_named_as_such(tmp_path: Path) -> None:
    """The log blames the load, and the next worker serves."""
    server = Server(tmp_path, environment={"GUNICORN_CMD_ARGS": "--timeout 2"})
    server.start()
    try:
        assert server.process is not None
        (worker,) = children(server.process.pid)
        os.kill(worker, signal.SIGSTOP)
        message = f"Worker {worker} gave no heartbeat for 2 s and was replaced"
        wait_for(lambda: message in server.log, lambda: server.log)
        server.wait_until_it_answers()
    finally:
        server.stop()
