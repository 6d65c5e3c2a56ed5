"""``flask backup``: create, verify, restore and move; a failure prints one line and exits with 1."""

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import flask
import pytest
from flask.testing import FlaskCliRunner

from app.operations.backup.files import Verified, verify_backup
from app.sessions.service import SessionStore
from app.store import audit
from app.survey.snapshot import SessionKey
from tests.operations.backup.conftest import contents, fill

ANN = SessionKey("phq9", "user0")


@pytest.fixture
def store(app: flask.Flask, store: SessionStore) -> SessionStore:
    """Return a store with rows in all tables."""
    app.extensions["stepkeep"].webhooks.close()  # a delivery would change the database during a move
    fill(store)
    return store


def test_backup_is_created_verified_and_restored(store: SessionStore, run: FlaskCliRunner, tmp_path: Path) -> None:
    """Each command prints its result, and the audit log records the restore."""
    file = str(tmp_path / "file")
    made = run.invoke(args=["backup", "create", file])
    assert made.exit_code == 0, made.output
    assert "session_history" in made.output
    seen = run.invoke(args=["backup", "verify", file])
    assert seen.exit_code == 0, seen.output
    assert "3 sessions match their history." in seen.output
    assert "1 are set aside for support." in seen.output
    refused = run.invoke(args=["backup", "restore", file])
    assert (refused.exit_code, "not empty" in refused.output) == (1, True)
    store.erasure.erase_participant("user0", actor="operator")
    done = run.invoke(args=["backup", "restore", file, "--replace"])
    assert done.exit_code == 0, done.output
    assert "1 sessions were erased again." in done.output
    assert store.queries.load(ANN) is None
    log = store.run_read(lambda connection: audit.read_page(connection, None, 50, {"action": "backup_restored"}))
    assert [recorded.entry.detail["rows"] > 0 for recorded in log.items] == [True]


def test_json_has_counts_by_table_and_replay(run: FlaskCliRunner, tmp_path: Path) -> None:
    """And the number of sessions that were erased again."""
    file = str(tmp_path / "file")
    created = json.loads(run.invoke(args=["backup", "create", file, "--json"]).output)
    assert created["rows"]["sessions"] == 6
    seen = json.loads(run.invoke(args=["backup", "verify", file, "--json"]).output)
    assert (seen["rows"], seen["replay"]["same"]) == (created["rows"], 3)
    done = json.loads(run.invoke(args=["backup", "restore", file, "--replace", "--json"]).output)
    assert (done["rows"], done["erased_again"]) == (created["rows"], 0)


def test_damaged_backup_prints_one_line(run: FlaskCliRunner, tmp_path: Path) -> None:
    """Nothing is restored."""
    file = tmp_path / "file"
    run.invoke(args=["backup", "create", str(file)])
    damaged = bytearray(file.read_bytes())
    damaged[1000] ^= 1
    file.write_bytes(damaged)
    for arguments in (["verify", str(file)], ["restore", str(file), "--replace"]):
        done = run.invoke(args=["backup", *arguments])
        assert done.exit_code == 1
        assert "SHA-256 is wrong" in done.output
        assert len(done.output.splitlines()) == 1


def test_move_prints_the_next_step(run: FlaskCliRunner, store: SessionStore, tmp_path: Path) -> None:
    """Source and target must differ."""
    url = store.settings.database_url
    target = f"sqlite:///{tmp_path / 'new.db'}"
    done = run.invoke(args=["backup", "move", "--to", target])
    assert done.exit_code == 0, done.output
    assert "Set DATABASE_URL to the new one" in done.output
    assert contents(target) == contents(url)
    refused = run.invoke(args=["backup", "move", "--to", url])
    assert (refused.exit_code, "source and target are the same" in refused.output) == (1, True)


def test_verify_exits_with_1_when_a_key_is_missing(
    run: FlaskCliRunner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Unchecked sessions do not count as verified."""
    file = str(tmp_path / "file")
    assert run.invoke(args=["backup", "create", file]).exit_code == 0

    def locked(*args: Any, **kwargs: Any) -> Verified:
        verified = verify_backup(*args, **kwargs)
        return replace(verified, replay=replace(verified.replay, locked=1))

    monkeypatch.setattr(sys.modules["app.cli.backup"], "verify_backup", locked)
    assert run.invoke(args=["backup", "verify", file]).exit_code == 1
