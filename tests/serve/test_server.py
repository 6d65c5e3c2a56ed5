"""The start of the server: an error prints one line and exits with 1."""

import contextlib
import os
import socket
import sqlite3
from pathlib import Path
from unittest import mock

import pytest

from app.serve.__main__ import main
from app.serve.server import effective_settings
from app.settings import Settings
from app.store import normalise_url, server_lock
from tests.conftest import SURVEYS, free_port
from tests.databases import create_sqlite
from tests.forked import run_module
from tests.programs import Done, run_here


def variables(tmp_path: Path, **environment: str) -> dict[str, str]:
    return {
        "PORT": str(free_port()),
        "DATABASE_URL": f"sqlite:///{tmp_path / 's.db'}",
        "STEPKEEP_SURVEYS_DIR": str(SURVEYS),
        **environment,
    }


def start(tmp_path: Path, *arguments: str, **environment: str) -> Done:
    """Run the start in this process, up to gunicorn."""
    with mock.patch.object(os, "execv", side_effect=AssertionError("the server started")):
        return run_here(main, *arguments, **variables(tmp_path, **environment))


@pytest.mark.parametrize(
    ("variable", "value", "problem"),
    [
        ("PORT", "no", "PORT"),
        ("DATABASE_URL", "sqlite:////nowhere/at/all.db", "all.db"),
        ("DATABASE_URL", "oracle://u:secret@h/d", "oracle"),
        ("DATABASE_URL", "postgresql://u:secret@127.0.0.1:1/d", "can't be opened"),
        ("STEPKEEP_DEFAULT_SURVEY", "none", "STEPKEEP_DEFAULT_SURVEY"),
        ("STEPKEEP_ARCHIVE_DIR", "/nowhere/at/all", "STEPKEEP_ARCHIVE_DIR"),
        ("STEPKEEP_ARCHIVE_DIR", "/dev/null", "STEPKEEP_ARCHIVE_DIR"),
        ("STEPKEEP_SURVEYS_DIR", "/nowhere/at/all", "STEPKEEP_SURVEYS_DIR"),
        ("STEPKEEP_ERASURES_FILE", "/nowhere/at/all", "STEPKEEP_ERASURES_FILE"),
        ("STEPKEEP_SECRETS_DIR", "/nowhere/at/all", "STEPKEEP_SECRETS_DIR"),
    ],
)
def test_wrong_setting_is_reported_in_one_line(tmp_path: Path, variable: str, value: str, problem: str) -> None:
    """The line has neither a password nor a traceback."""
    done = start(tmp_path, **{variable: value})
    assert done.returncode == 1
    assert problem in done.stderr
    assert len(done.stderr.splitlines()) == 1, done.stderr
    assert "secret" not in done.stderr


def test_invalid_survey_file_is_reported_with_its_place(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text("id: a\ntitle: t\nlanguage: en\nsteps: [{id: S1, type: info}]\n")
    done = start(tmp_path, STEPKEEP_SURVEYS_DIR=str(tmp_path))
    assert done.returncode == 1
    assert "mine.yaml:4:9: step S1: the field prompt is required" in done.stderr


@pytest.mark.parametrize(
    ("revision", "problem"),
    [(None, ""), ("0001", ""), ("9999", "upgraded by a newer release")],
    ids=["same", "older", "newer"],
)
def test_check_beside_a_running_server_changes_nothing(tmp_path: Path, revision: str | None, problem: str) -> None:
    """Neither its lock nor its port is needed; an older SQLite file is upgraded by the start, not by the check."""
    url = create_sqlite(tmp_path / "s.db")
    if revision is not None:
        with contextlib.closing(sqlite3.connect(tmp_path / "s.db")) as connection, connection:
            connection.execute("UPDATE alembic_version SET version_num = ?", (revision,))
    lock = server_lock(normalise_url(url))
    assert lock is not None
    with lock, contextlib.closing(sqlite3.connect(tmp_path / "s.db")) as other:
        before = other.execute("PRAGMA data_version").fetchone()
        done = start(tmp_path, "--check", DATABASE_URL=url)
        assert other.execute("PRAGMA data_version").fetchone() == before
    assert (done.returncode, problem in done.stderr, len(done.stderr.splitlines())) == (
        bool(problem),
        True,
        bool(problem),
    )


def test_check_names_an_invalid_survey_file(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text("id: a\n")
    done = start(tmp_path, "--check", STEPKEEP_SURVEYS_DIR=str(tmp_path))
    assert done.returncode == 1
    assert "mine.yaml" in done.stderr
    assert not (tmp_path / "s.db").exists()


@pytest.mark.parametrize("variable", ["PORT", "STEPKEEP_METRICS_DIR"])
def test_process_reports_what_it_cannot_use_in_one_line(tmp_path: Path, variable: str) -> None:
    """A port in use is found before gunicorn starts, a wrong folder of the metrics by its configuration file."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        values = {"PORT": str(taken.getsockname()[1]), "STEPKEEP_METRICS_DIR": "/dev/null/metrics"}
        done = run_module(["app.serve"], {**os.environ, **variables(tmp_path, **{variable: values[variable]})})
    assert done.returncode == 1
    assert variable in done.stderr
    assert len(done.stderr.splitlines()) == 1


PUBLIC = ({"STEPKEEP_PUBLIC_URL": "https://survey.example.org"}, {"STEPKEEP_PROXIES": "1"})


def test_loopback_is_development_unless_the_server_is_public(monkeypatch: pytest.MonkeyPatch) -> None:
    """A public address or a proxy selects production; development has no authentication."""
    for name in ("STEPKEEP_ENVIRONMENT", "STEPKEEP_PUBLIC_URL", "STEPKEEP_PROXIES", "HOST"):
        monkeypatch.delenv(name, raising=False)
    assert effective_settings(Settings()).environment == "development"
    for public in PUBLIC:
        with monkeypatch.context() as environment:
            for name, value in public.items():
                environment.setenv(name, value)
            assert effective_settings(Settings()).environment == "production"
            environment.setenv("STEPKEEP_ENVIRONMENT", "development")
            assert effective_settings(Settings()).environment == "development"


@pytest.mark.parametrize("public", PUBLIC, ids=["STEPKEEP_PUBLIC_URL", "STEPKEEP_PROXIES"])
def test_public_server_requires_a_secret_key(tmp_path: Path, public: dict[str, str]) -> None:
    """Also on loopback behind a proxy; the message says how to create one."""
    done = start(tmp_path, SECRET_KEY="", **public)
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert "SECRET_KEY" in line
    assert "secrets.token_urlsafe(32)" in line
