"""``flask backup``: made, looked through, restored and moved by an operator; what fails is one line and exit code 1."""

import json
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import flask
import pytest
from flask.testing import FlaskCliRunner

from app.operations.backup.verify import Verified, verify_backup
from app.sessions.service import SessionStore
from app.store import audit
from app.survey.snapshot import SessionKey
from tests.conftest import SURVEYS
from tests.operations.backup.conftest import contents, fill
from tests.test_cli_privacy import closed, opened

ANN = SessionKey("phq9", "user0")


@pytest.fixture
def app(tmp_path: Path) -> Iterator[flask.Flask]:
    """The application on a database with rows in all tables."""
    made = opened(tmp_path, SURVEYS)
    fill(made.extensions["stepkeep"])
    yield made
    closed(made)


@pytest.fixture
def store(app: flask.Flask) -> SessionStore:
    """Its store."""
    found: SessionStore = app.extensions["stepkeep"]
    return found


@pytest.fixture
def run(app: flask.Flask) -> FlaskCliRunner:
    """Runs its commands."""
    return app.test_cli_runner()


def test_backup_is_made_looked_through_and_restored(store: SessionStore, run: FlaskCliRunner, tmp_path: Path) -> None:
    """Each command says what it did, and the log has who made and restored what."""
    file = str(tmp_path / "file")
    made = run.invoke(args=["backup", "create", file])
    assert made.exit_code == 0, made.output
    assert "session_history" in made.output
    seen = run.invoke(args=["backup", "verify", file])
    assert seen.exit_code == 0, seen.output
    assert "3 sessions are what their history says." in seen.output
    assert "1 were set aside for support." in seen.output
    refused = run.invoke(args=["backup", "restore", file])
    assert (refused.exit_code, "not empty" in refused.output) == (1, True)
    store.erasure.forget("user0", actor="operator")
    done = run.invoke(args=["backup", "restore", file, "--replace"])
    assert done.exit_code == 0, done.output
    assert "1 sessions of people erased since then were erased again." in done.output
    assert store.queries.load(ANN) is None
    log = store.run_read(lambda connection: audit.read_page(connection, None, 50, {"action": "backup_restored"}))
    assert [one.entry.detail["form"] for one in log.entries] == ["portable"]


def test_what_programs_read_is_json(run: FlaskCliRunner, tmp_path: Path) -> None:
    """Counts by table, what came of the sessions, and what was erased again."""
    file = str(tmp_path / "file")
    made = json.loads(run.invoke(args=["backup", "create", file, "--json"]).output)
    assert (made["form"], made["rows"]["sessions"]) == ("portable", 6)
    seen = json.loads(run.invoke(args=["backup", "verify", file, "--json"]).output)
    assert (seen["rows"], seen["folded"]["same"]) == (made["rows"], 3)
    done = json.loads(run.invoke(args=["backup", "restore", file, "--replace", "--json"]).output)
    assert (done["rows"], done["erased_again"]) == (made["rows"], 0)


def test_native_backup_is_made_and_restored(run: FlaskCliRunner, store: SessionStore, tmp_path: Path) -> None:
    """Of SQLite, by SQLite."""
    file = str(tmp_path / "file")
    before = contents(store.settings.database_url)["sessions"]
    made = run.invoke(args=["backup", "create", file, "--native"])
    assert made.exit_code == 0, made.output
    assert run.invoke(args=["backup", "verify", file]).exit_code == 0
    done = run.invoke(args=["backup", "restore", file, "--replace"])
    assert done.exit_code == 0, done.output
    assert contents(store.settings.database_url)["sessions"] == before


def test_broken_backup_is_one_line(run: FlaskCliRunner, tmp_path: Path) -> None:
    """And nothing is restored from it."""
    file = tmp_path / "file"
    run.invoke(args=["backup", "create", str(file)])
    damaged = bytearray(file.read_bytes())
    damaged[1000] ^= 1
    file.write_bytes(damaged)
    for arguments in (["verify", str(file)], ["restore", str(file), "--replace"]):
        done = run.invoke(args=["backup", *arguments])
        assert done.exit_code == 1
        assert "SHA-256 is not the one" in done.output
        assert len(done.output.splitlines()) == 1


def test_move_says_what_to_do_next(run: FlaskCliRunner, store: SessionStore, tmp_path: Path) -> None:
    """And refuses the database that it moves from."""
    url = store.settings.database_url
    target = f"sqlite:///{tmp_path / 'new.db'}"
    done = run.invoke(args=["backup", "move", "--to", target])
    assert done.exit_code == 0, done.output
    assert "set DATABASE_URL to the new one" in done.output
    assert contents(target) == contents(url)
    refused = run.invoke(args=["backup", "move", "--to", url])
    assert (refused.exit_code, "the one to move from" in refused.output) == (1, True)


def test_verify_ends_with_1_where_a_key_is_missing(
    run: FlaskCliRunner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What could not be looked at is not said to be well."""
    file = str(tmp_path / "file")
    assert run.invoke(args=["backup", "create", file]).exit_code == 0

    def locked(*args: Any, **kwargs: Any) -> Verified:
        found = verify_backup(*args, **kwargs)
        assert found.folded is not None
        return replace(found, folded=replace(found.folded, locked=1))

    monkeypatch.setattr(sys.modules["app.cli.backup"], "verify_backup", locked)
    assert run.invoke(args=["backup", "verify", file]).exit_code == 1
