"""Backups and moves between all kinds of databases preserve every byte of every table."""

import itertools
from collections.abc import Callable
from pathlib import Path

import pytest
from pydantic import SecretStr
from sqlalchemy import insert

from app.errors import ConfigurationError, InvalidInput, StoreInUse
from app.operations.backup.files import create_backup, verify_backup
from app.operations.backup.migrate import move_database
from app.operations.backup.restore import restore_backup
from app.operations.backup.row_format import TABLES
from app.operations.integrity import verify_audit_log
from app.store.engine import normalise_url, server_lock
from app.store.tables import audit_log
from app.survey.commands import Answer, Begin
from app.survey.snapshot import SessionKey
from tests.conftest import KINDS
from tests.migrations.sample import migrate
from tests.operations.backup.conftest import AT, KEY, Opened, contents, fill, without_audit

NewUrl = Callable[[str], str]


ONCE = (("sqlite", "postgresql"), ("postgresql", "mysql"), ("mysql", "sqlite"))
# Each kind is a source once and a target once; the tests of the other pairs run the same code of the two.
PAIRS = [
    pytest.param(source, target, marks=() if (source, target) in ONCE else pytest.mark.long)
    for source, target in itertools.product(KINDS, KINDS)
]


@pytest.mark.parametrize(("source", "target"), PAIRS)
def test_backup_restores_every_row_into_each_kind_of_database(
    source: str, target: str, new_url: NewUrl, opened: Opened, tmp_path: Path
) -> None:
    """Naughty strings, encrypted values, microseconds, set-aside, corrupt and legacy rows are preserved.

    The audit log continues with the secret key.
    """
    url, file = new_url(source), tmp_path / "file"
    keys = {"answers_keys": KEY, "secret_key": SecretStr("a secret key for the tests that is long enough")}
    store = opened(url, **keys)
    fill(store)
    before = contents(url)
    assert all(before[table.name] for table in TABLES)
    rows = create_backup(store, file)
    assert rows == {name: len(rows) for name, rows in before.items()}
    assert file.stat().st_mode & 0o777 == 0o600
    assert b"half" not in file.read_bytes()
    verified = verify_backup(file, store.cipher)
    assert verified.rows == rows
    counts = (
        verified.replay.same,
        verified.replay.set_aside,
        verified.replay.unreadable,
        verified.replay.without_history,
    )
    assert counts == (3, 1, 1, 1)
    other = new_url(target)
    restored = opened(other, **keys)
    assert restore_backup(restored, file).verified == verified
    assert without_audit(contents(other)) == without_audit(before)
    actions = [row[3] for row in contents(other)["audit_log"]]
    assert actions == [*(row[3] for row in before["audit_log"]), "backup_restored"]
    check = verify_audit_log(restored)
    assert (check.entries, check.unkeyed, check.problem) == (len(actions), 0, None)
    _insert_new_rows(other, opened)


def _insert_new_rows(url: str, opened: Opened) -> None:
    """Insert new rows: automatic ids continue after the restored ones."""
    store = opened(url, answers_keys=KEY)
    key = SessionKey("phq9", "later")
    results = store.turns.submit_many([(key, Begin(at=AT)), (key, Answer(at=AT, message_id="m", step="Q1", value=1))])
    assert not [one for one in results if isinstance(one, Exception)]
    row = {"at": AT, "actor": "operator", "action": "session_read"}
    store.run_transaction(lambda connection: connection.execute(insert(audit_log), [row]))


@pytest.mark.parametrize(("source", "target"), PAIRS)
def test_move_copies_every_row_and_leaves_the_source_unchanged(
    source: str, target: str, new_url: NewUrl, opened: Opened
) -> None:
    """The target accepts new rows."""
    url, other = new_url(source), new_url(target)
    store = opened(url, answers_keys=KEY)
    fill(store)
    before = contents(url)
    store.close()
    moved = move_database(url, other)
    assert moved.rows == {name: len(rows) for name, rows in before.items()}
    assert not moved.resumed
    assert contents(other) == before == contents(url)
    _insert_new_rows(other, opened)


def test_sessions_are_counted_as_locked_when_the_key_is_missing(
    new_url: NewUrl, opened: Opened, tmp_path: Path
) -> None:
    """A backup can be created and verified without a key; the ids of the missing keys are listed."""
    store = opened(new_url("sqlite"), answers_keys=KEY)
    fill(store)
    create_backup(store, tmp_path / "file")
    verified = verify_backup(tmp_path / "file", opened(new_url("sqlite")).cipher)
    assert (verified.replay.locked, verified.replay.same, verified.replay.differing) == (3, 0, 0)
    assert len(verified.replay.missing_keys) == 1


def test_restore_and_move_are_refused_when_the_database_has_rows(
    new_url: NewUrl, opened: Opened, tmp_path: Path
) -> None:
    """Nothing changes unless `replace` is set; an existing backup file is never overwritten."""
    store = opened(new_url("sqlite"))
    fill(store, 1)
    create_backup(store, tmp_path / "file")
    with pytest.raises(InvalidInput, match="already exists"):
        create_backup(store, tmp_path / "file")
    for kind in KINDS:
        url = new_url(kind)
        other = opened(url)
        fill(other, 2)
        before = contents(url)
        with pytest.raises(InvalidInput, match="not empty"):
            restore_backup(other, tmp_path / "file")
        with pytest.raises(InvalidInput, match="not empty"):
            move_database(store.settings.database_url, url)
        assert contents(url) == before
        restore_backup(other, tmp_path / "file", replace=True)
        assert len(contents(url)["sessions"]) == len(contents(store.settings.database_url)["sessions"])


@pytest.mark.parametrize("kind", KINDS)
def test_restore_and_move_replace_the_audit_log_of_an_empty_database(
    new_url: NewUrl, opened: Opened, tmp_path: Path, kind: str
) -> None:
    """After ``flask sessions list`` on a new database; one that was used before, e.g. all sessions erased, is refused."""
    store = opened(new_url("sqlite"))
    fill(store, 1)
    create_backup(store, tmp_path / "file")
    expected = len(contents(store.settings.database_url)["audit_log"])
    restored, moved, used = (opened(new_url(kind)) for _ in range(3))
    for other in (restored, moved, used):
        other.audit_log.record("operator", "sessions_listed")
        other.audit_log.record("operator", "backup_created")
    used.audit_log.record("operator", "session_erased")
    with pytest.raises(InvalidInput, match=r"not empty \(it has rows in audit_log"):
        restore_backup(used, tmp_path / "file")
    with pytest.raises(InvalidInput, match=r"not empty \(it has rows in audit_log"):
        move_database(store.settings.database_url, used.settings.database_url)
    restore_backup(restored, tmp_path / "file")
    newest = restored.audit_log.page(limit=1).items[0].entry
    assert (newest.action, newest.detail["replaced_audit_entries"]) == ("backup_restored", 2)
    assert len(contents(restored.settings.database_url)["audit_log"]) == expected + 1
    move_database(store.settings.database_url, moved.settings.database_url)
    assert len(contents(moved.settings.database_url)["audit_log"]) == expected


def test_restore_and_move_are_refused_when_a_server_uses_the_database(
    new_url: NewUrl, opened: Opened, tmp_path: Path
) -> None:
    """A server of a SQLite file holds a lock."""
    url = new_url("sqlite")
    store = opened(url)
    create_backup(store, tmp_path / "file")
    lock = server_lock(normalise_url(url))
    assert lock is not None
    with lock:
        with pytest.raises(StoreInUse):
            restore_backup(store, tmp_path / "file")
        with pytest.raises(StoreInUse):
            move_database(url, new_url("sqlite"))


def test_move_is_refused_when_the_target_has_another_schema(new_url: NewUrl) -> None:
    """The error names the command that upgrades the target."""
    source, old = new_url("sqlite"), new_url("postgresql")
    migrate(old, "-1", down=True)
    with pytest.raises(ConfigurationError, match="alembic upgrade head"):
        move_database(source, old)


def test_later_erasures_are_replayed_when_a_backup_is_restored(new_url: NewUrl, opened: Opened, tmp_path: Path) -> None:
    """From the replaced database, and from the erasure journal for a new database."""
    for number, kind in enumerate(KINDS):
        url, file = new_url(kind), tmp_path / f"file{number}"
        store = opened(url)
        fill(store)
        now = store.clock()
        store.turns.submit_many(
            [(SessionKey("phq9", "ann"), Begin(at=now)), (SessionKey("phq9", "ben"), Begin(at=now))]
        )
        create_backup(store, file)
        store.erasure.erase_participant("ann", actor="operator")
        assert restore_backup(store, file, replace=True).erased_again == 1
        assert store.queries.load(SessionKey("phq9", "ann")) is None
        assert store.queries.load(SessionKey("phq9", "ben")) is not None
        listed = tmp_path / f"erasures{number}"
        store.close()
        again = opened(url, erasures_file=listed)
        again.erasure.erase_participant("ben", actor="operator")
        new = opened(new_url(kind), erasures_file=listed)
        assert restore_backup(new, file).erased_again == 2
        assert new.queries.load(SessionKey("phq9", "ben")) is None
