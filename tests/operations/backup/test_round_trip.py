"""Backups and moves from any database to any: what comes out is what went in, to the last byte of every table."""

from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import insert

from app.core.timestamps import to_datetime
from app.errors import ConfigurationError, InvalidInput, SchemaMismatch, StoreInUse
from app.operations.backup.create import create_backup
from app.operations.backup.migrate import move_database
from app.operations.backup.native import create_native
from app.operations.backup.restore import How, restore_backup
from app.operations.backup.row_format import TABLES
from app.operations.backup.verify import verify_backup
from app.store.engine import normalise_url, server_lock
from app.store.tables import audit_log
from app.survey.commands import Answer, Begin
from app.survey.snapshot import SessionKey
from tests.conftest import KINDS
from tests.migrations.sample import migrate
from tests.operations.backup.conftest import AT, KEY, Opened, contents, fill, without_audit

NewUrl = Callable[[str], str]


@pytest.mark.parametrize("kind", KINDS)
def test_backup_holds_every_row_of_every_table_and_restores_into_each_database(
    kind: str, new_url: NewUrl, opened: Opened, tmp_path: Path
) -> None:
    """Naughty texts, sealed values, microseconds, what was set aside, corrupt and old rows: all as they were."""
    url, file = new_url(kind), tmp_path / "file"
    store = opened(url, answers_keys=KEY)
    fill(store)
    before = contents(url)
    assert all(before[table.name] for table in TABLES)
    created = create_backup(store, file)
    assert created.rows == {name: len(rows) for name, rows in before.items()}
    assert file.stat().st_mode & 0o777 == 0o600
    assert b"half" not in file.read_bytes()
    found = verify_backup(file, store.cipher)
    assert found.rows == created.rows
    assert found.folded is not None
    counts = (found.folded.same, found.folded.set_aside, found.folded.unreadable, found.folded.without_history)
    assert counts == (3, 1, 1, 1)
    for other in KINDS:
        target = new_url(other)
        restored = opened(target, answers_keys=KEY)
        assert restore_backup(restored, file).verified == found
        assert without_audit(contents(target)) == without_audit(before)
        actions = [row[3] for row in contents(target)["audit_log"]]
        assert actions == [*(row[3] for row in before["audit_log"]), "backup_restored"]
        _goes_on(target, opened)


def _goes_on(url: str, opened: Opened) -> None:
    """New rows get numbers that are free, also in a table whose numbers the database gives."""
    store = opened(url, answers_keys=KEY)
    key = SessionKey("phq9", "later")
    results = store.turns.submit_many([(key, Begin(at=AT)), (key, Answer(at=AT, message_id="m", step="Q1", value=1))])
    assert not [one for one in results if isinstance(one, Exception)]
    row = {"at": to_datetime(AT), "actor": "operator", "action": "session_read"}
    store.run_transaction(lambda connection: connection.execute(insert(audit_log), [row]))


@pytest.mark.parametrize("kind", KINDS)
def test_move_leaves_the_same_in_each_database_and_the_source_as_it_was(
    kind: str, new_url: NewUrl, opened: Opened
) -> None:
    """All tables; a server can go on from there."""
    url = new_url(kind)
    store = opened(url, answers_keys=KEY)
    fill(store)
    before = contents(url)
    store.close()
    for other in KINDS:
        target = new_url(other)
        moved = move_database(url, target)
        assert moved.rows == {name: len(rows) for name, rows in before.items()}
        assert not moved.continued
        assert contents(target) == before == contents(url)
        _goes_on(target, opened)


def test_backup_without_the_key_is_made_and_verified_and_says_what_is_locked(
    new_url: NewUrl, opened: Opened, tmp_path: Path
) -> None:
    """No key is needed to keep a backup; how many sessions need one is told, and which."""
    store = opened(new_url("sqlite"), answers_keys=KEY)
    fill(store)
    create_backup(store, tmp_path / "file")
    found = verify_backup(tmp_path / "file", opened(new_url("sqlite")).cipher)
    assert found.folded is not None
    assert (found.folded.locked, found.folded.same, found.folded.differing) == (3, 0, 0)
    assert len(found.folded.missing_keys) == 1


def test_native_backup_of_sqlite_is_one_file_that_restores_anywhere(
    new_url: NewUrl, opened: Opened, tmp_path: Path
) -> None:
    """It is a database that SQLite finds whole, without a log beside it."""
    url, file = new_url("sqlite"), tmp_path / "file"
    store = opened(url)
    fill(store)
    assert create_native(store, file).form == "sqlite"
    assert [one.name for one in tmp_path.glob("file*")] == ["file"]
    found = verify_backup(file, store.cipher)
    assert found.folded is not None
    assert found.folded.same == 3
    for other in KINDS:
        target = new_url(other)
        restore_backup(opened(target), file)
        assert without_audit(contents(target)) == without_audit(contents(url))


def test_database_with_rows_is_refused_unless_it_is_to_be_replaced(
    new_url: NewUrl, opened: Opened, tmp_path: Path
) -> None:
    """And refused means that nothing was touched; a file that is there already is not written over."""
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
        restore_backup(other, tmp_path / "file", How(replace=True))
        assert len(contents(url)["sessions"]) == len(contents(store.settings.database_url)["sessions"])


def test_database_that_is_served_is_neither_replaced_nor_moved(new_url: NewUrl, opened: Opened, tmp_path: Path) -> None:
    """SQLite's server holds a lock on its file."""
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


def test_other_schema_is_refused_with_the_command_to_run(new_url: NewUrl, opened: Opened, tmp_path: Path) -> None:
    """Of a target, and of a backup in SQLite's own form."""
    source = new_url("sqlite")
    old = new_url("postgresql")
    migrate(old, "-1", down=True)
    with pytest.raises(ConfigurationError, match="alembic upgrade head"):
        move_database(source, old)
    file = tmp_path / "file"
    create_native(opened(source), file)
    migrate(f"sqlite:///{file}", "-1", down=True)
    with pytest.raises(SchemaMismatch, match="alembic upgrade head"):
        restore_backup(opened(new_url("sqlite")), file)


def test_who_was_erased_since_the_backup_is_erased_again(new_url: NewUrl, opened: Opened, tmp_path: Path) -> None:
    """By the erasures of the database that is replaced, and by the list outside of a database that is new."""
    for number, kind in enumerate(KINDS):
        url, file = new_url(kind), tmp_path / f"file{number}"
        store = opened(url)
        fill(store)
        now = store.clock()
        store.turns.submit_many(
            [(SessionKey("phq9", "ann"), Begin(at=now)), (SessionKey("phq9", "ben"), Begin(at=now))]
        )
        create_backup(store, file)
        store.erasure.forget("ann", actor="operator")
        assert restore_backup(store, file, How(replace=True)).erased_again == 1
        assert store.queries.load(SessionKey("phq9", "ann")) is None
        assert store.queries.load(SessionKey("phq9", "ben")) is not None
        listed = tmp_path / f"erasures{number}"
        store.close()
        again = opened(url, erasures_file=listed)
        again.erasure.forget("ben", actor="operator")
        new = opened(new_url(kind), erasures_file=listed)
        assert restore_backup(new, file).erased_again == 2
        assert new.queries.load(SessionKey("phq9", "ben")) is None
