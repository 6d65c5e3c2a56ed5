"""Backups beside writers are consistent snapshots; killed restores and moves leave a usable database."""

import os
import signal
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from app.errors import ConfigurationError, InvalidInput
from app.operations.backup import migrate
from app.operations.backup.files import create_backup, verify_backup
from app.operations.backup.migrate import move_database
from app.survey.commands import Answer, Begin, Restart
from app.survey.snapshot import SessionKey
from tests.conftest import KINDS, SURVEYS
from tests.forked import run_module
from tests.operations.backup.conftest import Opened, contents, fill

NewUrl = Callable[[str], str]

WAIT_S = 60

# Kills itself while it inserts rows of history.
DYING = """
import os, signal, sys
from pathlib import Path
from app.operations.backup import bulk, migrate
from app.operations.backup.restore import restore_backup
from app.sessions.service import open_store
from app.settings import Settings

what, given, target = sys.argv[1:]
migrate.ROWS_A_COMMIT = 7
inserted = 0

def dying(real):
    def insert(self, table, rows):
        def rows_until_killed():
            global inserted
            for row in rows:
                yield row
                inserted += table.name == "session_history"
                if inserted == 17:
                    os.kill(os.getpid(), signal.SIGKILL)
        real(self, table, rows_until_killed())
    return insert

bulk.BulkDatabase.insert = dying(bulk.BulkDatabase.insert)
if what == "move":
    migrate.move_database(given, target)
else:
    store = open_store(Settings(database_url=target, surveys_dir=Path("surveys")))
    restore_backup(store, Path(given), replace=True)
"""


def die(what: str, given: str, target: str) -> None:
    """Run a restore or a move that kills itself."""
    done = run_module(["-c", DYING, what, given, target], os.environ)
    assert done.returncode == -signal.SIGKILL, done.stderr


@pytest.mark.parametrize("kind", KINDS)
def test_database_is_unchanged_when_a_restore_is_killed(
    kind: str, new_url: NewUrl, opened: Opened, tmp_path: Path
) -> None:
    """It has all of its rows, and none of the backup."""
    store = opened(new_url("sqlite"))
    fill(store, 4)
    create_backup(store, tmp_path / "file")
    url = new_url(kind)
    old = opened(url)
    fill(old, 2)
    before = contents(url)
    old.close()
    die("restore", str(tmp_path / "file"), url)
    assert contents(url) == before


@pytest.mark.parametrize("kind", KINDS)
def test_move_is_resumed_when_it_was_killed(kind: str, new_url: NewUrl, opened: Opened) -> None:
    """Committed rows are not copied again, and no server starts on the target before the move is complete."""
    source, target = new_url("sqlite"), new_url(kind)
    store = opened(source)
    fill(store, 4)
    before = contents(source)
    store.close()
    die("move", source, target)
    assert 7 <= len(contents(target)["session_history"]) < len(before["session_history"])
    with pytest.raises(ConfigurationError, match="is unfinished"):
        opened(target)
    with pytest.raises(InvalidInput, match="unfinished move from another database"):
        move_database(new_url("sqlite"), target)
    assert move_database(source, target).resumed
    assert contents(target) == before
    opened(target)


def test_move_is_refused_when_the_source_changed(
    new_url: NewUrl, opened: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The comparison at the end finds every change; only a restarted move completes."""
    source, target = new_url("sqlite"), new_url("postgresql")
    store = opened(source)
    fill(store)
    copy = migrate._copy

    def copy_and_answer(*given: object) -> object:
        counter = copy(*given)  # type: ignore[arg-type]
        key = SessionKey("phq9", "user0")
        store.turns.submit(key, Restart(at=store.clock(), message_id="late"))
        return counter

    monkeypatch.setattr(migrate, "_copy", copy_and_answer)
    with pytest.raises(InvalidInput, match="sessions, session_history"):
        move_database(source, target)
    monkeypatch.undo()
    with pytest.raises(InvalidInput, match="--restart"):
        move_database(source, target)
    assert not move_database(source, target, restart=True).resumed
    assert contents(target) == contents(source)


@pytest.mark.parametrize("kind", KINDS)
def test_backup_is_a_consistent_snapshot_when_writers_are_active(
    kind: str, new_url: NewUrl, opened: Opened, tmp_path: Path
) -> None:
    """Each session in it equals the replay of its history."""
    store = opened(new_url(kind), surveys_dir=SURVEYS)
    keys = [SessionKey("phq9", f"user{number:03d}") for number in range(60)]
    store.turns.submit_many([(key, Begin(at=1)) for key in keys])
    stop, wrote, rounds = threading.Event(), threading.Event(), 0

    def write() -> None:
        nonlocal rounds
        while not stop.is_set():
            rounds += 1
            answers = [(key, Answer(at=2, message_id=f"m{rounds}", step="Q1", value=rounds % 4)) for key in keys]
            store.turns.submit_many(answers)
            wrote.set()

    writer = threading.Thread(target=write)
    writer.start()
    try:
        for number in range(4):
            wrote.clear()
            assert wrote.wait(WAIT_S), "the writer does not write"
            before = rounds
            create_backup(store, tmp_path / f"file{number}")
            verified = verify_backup(tmp_path / f"file{number}", store.cipher)
            assert (verified.replay.same, verified.replay.differing) == (60, 0)
            assert verified.rows["session_history"] >= 60 * before
    finally:
        stop.set()
        writer.join(WAIT_S)
