"""Starting: what can't work is one clear line and exit code 1."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from app.serve import _meant
from app.settings import Settings
from tests.conftest import ROOT, SURVEYS, free_port


def start(tmp_path: Path, **environment: str) -> "subprocess.CompletedProcess[str]":
    given = {
        **os.environ,
        "PORT": str(free_port()),
        "DATABASE_URL": f"sqlite:///{tmp_path / 's.db'}",
        "STEPKEEP_SURVEYS_DIR": str(SURVEYS),
        **environment,
    }
    return subprocess.run(
        [sys.executable, "-m", "app.serve"],
        cwd=ROOT,
        env=given,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize(
    ("variable", "value", "problem"),
    [
        ("PORT", "no", "PORT"),
        ("DATABASE_URL", "sqlite:////nowhere/at/all.db", "all.db"),
        ("DATABASE_URL", "oracle://u:secret@h/d", "oracle"),
        ("DATABASE_URL", "postgresql://u:secret@127.0.0.1:1/d", "can't be opened"),
        ("STEPKEEP_DEFAULT_SURVEY", "none", "STEPKEEP_DEFAULT_SURVEY"),
    ],
)
def test_what_cannot_work_is_one_clear_line(tmp_path: Path, variable: str, value: str, problem: str) -> None:
    """It names the cause, never a password, and shows no traceback."""
    done = start(tmp_path, **{variable: value})
    assert done.returncode == 1
    assert problem in done.stderr
    assert len(done.stderr.splitlines()) == 1, done.stderr
    assert "secret" not in done.stderr


def test_broken_survey_file_is_one_clear_line(tmp_path: Path) -> None:
    """The file, the place and what is wrong."""
    (tmp_path / "mine.yaml").write_text("id: a\ntitle: t\nlanguage: en\nsteps: [{id: S1, type: info}]\n")
    done = start(tmp_path, STEPKEEP_SURVEYS_DIR=str(tmp_path))
    assert done.returncode == 1
    assert "mine.yaml: steps[0].prompt" in done.stderr


def test_port_that_is_taken_is_one_clear_line(tmp_path: Path) -> None:
    """And what to do."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        done = start(tmp_path, PORT=str(taken.getsockname()[1]))
    assert done.returncode == 1
    assert "PORT=" in done.stderr
    assert len(done.stderr.splitlines()) == 1


FOR_OTHERS = ({"STEPKEEP_PUBLIC_URL": "https://survey.example.org"}, {"STEPKEEP_PROXIES": "1"})


def test_loopback_is_development_unless_others_are_meant_to_come(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who names the public address, or a proxy, is in production: else everybody would be let in through it."""
    for name in ("STEPKEEP_ENVIRONMENT", "STEPKEEP_PUBLIC_URL", "STEPKEEP_PROXIES", "HOST"):
        monkeypatch.delenv(name, raising=False)
    assert _meant(Settings()).environment == "development"
    for given in FOR_OTHERS:
        with monkeypatch.context() as environment:
            for name, value in given.items():
                environment.setenv(name, value)
            assert _meant(Settings()).environment == "production"
            environment.setenv("STEPKEEP_ENVIRONMENT", "development")
            assert _meant(Settings()).environment == "development"


@pytest.mark.parametrize("given", FOR_OTHERS, ids=["STEPKEEP_PUBLIC_URL", "STEPKEEP_PROXIES"])
def test_server_for_others_wants_a_secret_key(tmp_path: Path, given: dict[str, str]) -> None:
    """On loopback too, behind a proxy: one line that says how to make one."""
    done = start(tmp_path, SECRET_KEY="", **given)
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert "SECRET_KEY" in line
    assert "secrets.token_urlsafe(32)" in line
