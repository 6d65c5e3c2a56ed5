"""``flask sessions expire`` and ``flask sessions purge``."""

import json
import sys
from pathlib import Path

import pytest
from flask.testing import FlaskCliRunner

from app.operations.maintenance.expiry import ExpiryResult
from app.sessions.service import SessionStore
from app.survey.snapshot import SessionKey
from tests.cli.test_privacy import ANN, BEN, answer, surveys
from tests.operations.maintenance.archives import read_archive

__all__ = ["surveys"]

DAY_US = 86_400 * 1_000_000
CAT = SessionKey("phq9", "cat")


@pytest.fixture
def store(store: SessionStore) -> SessionStore:
    """Return a store with sessions that were answered 366, 20 and 0 days ago."""
    for key, days in ((ANN, 366), (BEN, 20), (CAT, 0)):
        answer(store, key, store.clock() - days * DAY_US)
    return store


def there(store: SessionStore) -> set[SessionKey]:
    return {key for key in (ANN, BEN, CAT) if store.queries.load(key) is not None}


def test_expire_counts_and_closes_expired_sessions(store: SessionStore, run: FlaskCliRunner) -> None:
    """--dry-run changes nothing; a second run finds nothing."""
    counted = json.loads(run.invoke(args=["sessions", "expire", "--dry-run", "--json"]).stdout)
    assert counted == {"dry_run": True, "expired": {"phq9": 2}, "deadlines_updated": 0, "locked": 0, "unreadable": 0}
    assert {key: found.state.status for key in (ANN, CAT) if (found := store.queries.load(key))} == dict.fromkeys(
        (ANN, CAT), "in_progress"
    )
    assert "phq9    2" in run.invoke(args=["sessions", "expire"]).stdout
    assert {key: found.state.status for key in (ANN, CAT) if (found := store.queries.load(key))} == {
        ANN: "expired",
        CAT: "in_progress",
    }
    assert run.invoke(args=["sessions", "expire"]).stdout == "No session is past its deadline.\n"


def test_purge_counts_and_asks_for_confirmation(store: SessionStore, run: FlaskCliRunner) -> None:
    """Without an answer it is declined; --dry-run only counts; --yes does not ask."""
    counted = run.invoke(args=["sessions", "purge", "--dry-run"])
    assert (counted.exit_code, "phq9    1" in counted.stdout) == (0, True)
    refused = run.invoke(args=["sessions", "purge"], input="n\n")
    assert (refused.exit_code, "phq9: 1" in refused.stderr) == (1, True)
    assert run.invoke(args=["sessions", "purge"], input="").exit_code == 1
    assert there(store) == {ANN, BEN, CAT}
    done = run.invoke(args=["sessions", "purge", "--yes", "--json"])
    assert json.loads(done.stdout) == {"dry_run": False, "sessions": {"phq9": 1}}
    assert there(store) == {BEN, CAT}


def test_purge_does_not_ask_when_there_is_nothing_to_erase(store: SessionStore, run: FlaskCliRunner) -> None:
    """A confirmation purges; a second run succeeds without one, as from cron."""
    done = run.invoke(args=["sessions", "purge"], input="y\n")
    assert (done.exit_code, there(store)) == (0, {BEN, CAT})
    assert run.invoke(args=["sessions", "purge"], input="").exit_code == 0


def test_purge_writes_an_archive_first(store: SessionStore, run: FlaskCliRunner, tmp_path: Path) -> None:
    """An existing file is refused before anything is erased."""
    file = tmp_path / "old.jsonl.gz"
    file.write_text("kept")
    refused = run.invoke(args=["sessions", "purge", "--yes", "--archive", str(file)])
    assert (refused.exit_code, "already exists" in refused.stderr) == (1, True)
    assert there(store) == {ANN, BEN, CAT}
    file.unlink()
    assert run.invoke(args=["sessions", "purge", "--yes", "--archive", str(file)]).exit_code == 0
    assert [one.key for one in read_archive(file)] == [ANN]
    assert there(store) == {BEN, CAT}


def test_expire_exits_with_1_when_a_key_is_missing(run: FlaskCliRunner, monkeypatch: pytest.MonkeyPatch) -> None:
    """The output has the number of sessions that stay open."""
    done = ExpiryResult(expired={}, deadlines_updated=0, locked=2)
    monkeypatch.setattr(sys.modules["app.cli.maintenance"], "expire", lambda *_args, **_kwargs: done)
    said = run.invoke(args=["sessions", "expire"])
    assert said.exit_code == 1
    assert "2 sessions stay open: STEPKEEP_ANSWERS_KEYS" in said.output
