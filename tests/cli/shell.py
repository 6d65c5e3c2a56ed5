"""A shell on the server's machine, which runs commands with the server's environment."""

import contextlib
import io
import json
import os
import runpy
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import flask
import httpx
import pytest
from flask.cli import ScriptInfo

from app.cli import register
from app.settings import Settings
from app.web.factory import create_app
from tests.conftest import ROOT, SURVEYS, Server
from tests.databases import create_sqlite
from tests.forked import run_module
from tests.web.production import CLOSED_SURVEY, in_production, production

SITE = "https://survey.example.org"
COMMAND_S = 120

Done = subprocess.CompletedProcess[str]


class Operator:
    """Runs commands with the server's environment."""

    def __init__(self, database_url: str, surveys: Path) -> None:
        self.environment = {
            **in_production(DATABASE_URL=database_url, STEPKEEP_SURVEYS_DIR=str(surveys), STEPKEEP_PUBLIC_URL=SITE),
            "PATH": os.environ["PATH"],
        }

    def run(self, *arguments: str, **changes: str) -> Done:
        """Run a command in this process, which is ten times faster, and return its output."""
        out, err = io.StringIO(), io.StringIO()
        environment = {**self.environment, **changes, "FLASK_RUN_FROM_CLI": "true"}
        with (
            mock.patch.dict(os.environ, environment, clear=True),
            contextlib.redirect_stdout(out),
            contextlib.redirect_stderr(err),
            pytest.raises(SystemExit) as ended,
        ):
            app = runpy.run_path(str(ROOT / "wsgi.py"))["app"]
            try:
                app.cli.main(arguments, prog_name="flask", obj=ScriptInfo(create_app=lambda: app))
            finally:
                close(app)
        code = ended.value.code
        return Done(arguments, code if isinstance(code, int) else int(code is not None), out.getvalue(), err.getvalue())

    def run_process(self, *arguments: str, **changes: str) -> Done:
        """Run a command in a separate process, and return its output."""
        return run_module(["flask", *arguments], {**self.environment, **changes}, COMMAND_S)

    def does(self, *arguments: str, **changes: str) -> str:
        """Return the output of a command that must succeed."""
        done = self.run(*arguments, **changes)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def new_key(self, *scopes: str) -> dict[str, Any]:
        """Create an API key, and return it."""
        named = [part for scope in scopes for part in ("--scope", scope)]
        made: dict[str, Any] = json.loads(self.does("api-keys", "create", "--name", "test", *named, "--json"))
        return made

    def audit(self, *arguments: str) -> list[dict[str, Any]]:
        """Return the audit log, newest first."""
        return [json.loads(line) for line in self.does("audit", "--json", *arguments).splitlines()]


def close(app: flask.Flask) -> None:
    """End the background threads of the application."""
    app.extensions["stepkeep"].authenticator.credentials.revocations.close()
    app.extensions["stepkeep"].store.close()


@contextlib.contextmanager
def opened(folder: Path, surveys: Path, **changes: object) -> Iterator[flask.Flask]:
    """Yield the application in production with its commands, in this process, on the database in this folder."""
    file = folder / "sessions.db"
    url = f"sqlite:///{file}" if file.exists() else create_sqlite(file)
    app = create_app(production(Settings(database_url=url, surveys_dir=surveys), **changes))
    register(app)
    try:
        yield app
    finally:
        close(app)


def make_surveys(folder: Path) -> Path:
    """Return a folder with an open and a closed survey."""
    surveys = folder / "surveys"
    surveys.mkdir()
    (surveys / "phq9.yaml").write_text((SURVEYS / "phq9.yaml").read_text())
    (surveys / "closed.yaml").write_text(CLOSED_SURVEY)
    return surveys


def request_status(server: Server, path: str, shown: str) -> int:
    """Return the status of a request with a key or token."""
    return httpx.get(server.url + path, headers={"Authorization": f"Bearer {shown}"}).status_code


def assert_fails(done: Done, *parts: str, code: int = 1) -> None:
    """Assert that a command failed with one line on standard error, this exit code, and no other output."""
    assert done.returncode == code, done.stderr
    assert done.stdout == ""
    lines = done.stderr.splitlines()
    if code == 1:
        assert len(lines) == 1, done.stderr
    for part in parts:
        assert part in lines[-1], done.stderr
