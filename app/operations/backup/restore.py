"""Restore a backup in one transaction, with servers stopped."""

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from sqlalchemy import Connection

from ...core.progress import Progress, no_progress
from ...errors import BackupBroken, InvalidInput
from ...sessions import SessionStore, erasure_replay
from ...store import audit, audit_chain, database_url, erasures, server_lock, tables
from .bulk import BulkDatabase, transaction, write_engine
from .files import Verified, open_backup, require_matching_history, verify_archive
from .row_format import TABLES, RowCounter
from .zip_archive import Archive

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class RestoreResult:
    """``left`` sessions have changed since their erasure."""

    verified: Verified
    erased_again: int
    left: int


def restore_backup(
    store: SessionStore,
    path: Path,
    *,
    replace: bool = False,
    accepts_differing: bool = False,
    progress: Progress = no_progress,
) -> RestoreResult:
    """Replace the database's contents with a backup's, and replay later erasures.

    Nothing is committed unless every row reads back as it was in the backup.

    Raises:
        BackupBroken: also if sessions differ from their history, unless ``accepts_differing``.
        SchemaMismatch: as ``verify_backup``.
        InvalidInput: the database has rows, or the file can't be read.
        StoreInUse: a server uses the SQLite file.
    """
    url = database_url(store.settings)
    with ExitStack() as stack:
        archive = stack.enter_context(open_backup(path))
        lock = server_lock(url)
        if lock is not None:
            stack.callback(lock.release)
        counter = RowCounter(progress, 3 * archive.total_rows)  # verified, inserted, read back
        verified = verify_archive(archive, store.cipher, counter)
        if not accepts_differing:
            require_matching_history(verified.replay)
        engine = stack.enter_context(write_engine(url))
        audit_chain.set_keys(engine, audit_chain.AuditKeys.derive(store.settings.secret_keys))  # before it connects
        with transaction(engine) as database:
            database.lock()
            if not replace and (occupied := database.occupied()):
                raise InvalidInput(
                    f"the database is not empty (it has rows in {', '.join(occupied)}): set DATABASE_URL to an empty "
                    "one, or use --replace to delete everything in it"
                )
            replaced = database.count(tables.audit_log)
            erased = _replace(database, archive, store, counter)
            detail: audit.Detail = {
                "created_at": verified.created_at,
                "rows": sum(verified.rows.values()),
                "replaced_audit_entries": replaced,
            }
            entry = audit.AuditEntry(at=store.clock(), actor="operator", action="backup_restored", detail=detail)
            audit.record(database.connection, entry)
    store.erasure.replay(())  # the journal gets the erasures that only the backup has
    return RestoreResult(verified=verified, erased_again=len(erased.erased), left=len(erased.left))


def _replace(
    database: BulkDatabase, archive: Archive, store: SessionStore, counter: RowCounter
) -> erasures.ReplayResult:
    connection = database.connection

    def run(work: Callable[[Connection], T]) -> T:
        return work(connection)  # in the transaction of the restore

    replayed = erasure_replay.Database(store.clock, run, run)
    journal = store.erasure.journal
    records = [*(journal.read() if journal is not None else ()), *erasure_replay.read_all(replayed.read)]
    for table in reversed(TABLES):
        database.clear(table)
    for table in TABLES:
        database.insert(table, archive.rows(table, counter.increment))
    for table in TABLES:
        if database.checksum(table, counter.increment) != archive.digest(table):
            raise BackupBroken(
                f"the rows of {table.name} that the database returns differ from the backup; nothing changed"
            )
    counter.finish()
    database.reset_sequences()
    known = {record.identity for record in erasure_replay.read_all(replayed.read)}
    missing = [record for record in records if record.identity not in known]
    return erasure_replay.replay(replayed, missing, actor=erasure_replay.AUTOMATIC_ACTOR, keeps_changed=True)
