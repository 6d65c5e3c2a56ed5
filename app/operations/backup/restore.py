"""Restore a backup: everything or nothing, in one transaction.

Servers must be stopped; for SQLite, a lock checks this. Its file is never replaced, so an interrupted restore leaves
the previous contents.
"""

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from sqlalchemy import Connection

from ...errors import BackupBroken, InvalidInput
from ...sessions import SessionStore, erasure_replay
from ...store import Cipher, ErasureRecord, ReplayResult, audit, normalise_url, server_lock, tables
from .bulk import BulkDatabase
from .databases import transaction, write_engine
from .replay_check import check_replays
from .row_format import TABLES, ChecksummedRows, Progress, RowCounter, no_progress, stage
from .verify import Verified, open_backup, require_matching_history, verify_archive
from .zip_archive import Archive

T = TypeVar("T")

STAGES = 3
"""Verified, inserted, read back."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RestoreResult:
    """What a restore did.

    Attributes:
        erased_again: sessions of participants erased after the backup.
        left: those changed since their erasure, which were kept.
    """

    verified: Verified
    erased_again: int
    left: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RestoreOptions:
    """How a backup is restored.

    Attributes:
        replace: empty the database first, instead of refusing it.
        accepts_differing: accept sessions that differ from their history.
        actor: for the audit log.
    """

    replace: bool = False
    accepts_differing: bool = False
    actor: str = "operator"


def restore_backup(
    store: SessionStore, path: Path, options: RestoreOptions | None = None, *, progress: Progress = no_progress
) -> RestoreResult:
    """Replace the database's contents with a backup's, and replay later erasures.

    Nothing is committed unless every row reads back byte for byte. Erasures come from the journal
    (STEPKEEP_ERASURES_FILE) and the replaced database.

    Raises:
        BackupBroken, SchemaMismatch: as ``verify_backup``.
        InvalidInput: the database has rows, or the file can't be read.
        StoreInUse: a server uses the SQLite file.
        Unavailable, DatabaseRefused: the database is unchanged.
    """
    options = options or RestoreOptions()
    url = normalise_url(store.settings.database_url)
    with ExitStack() as stack:
        archive = stack.enter_context(open_backup(path))
        lock = server_lock(url)
        if lock is not None:
            stack.callback(lock.release)
        verified = verify_archive(archive, store.cipher, stage(progress, 0, STAGES))
        if not options.accepts_differing:
            require_matching_history(verified.replay)
        with write_engine(url) as engine, transaction(engine) as database:
            erased = _replace(database, archive, store, options, progress)
            _record(database.connection, store, verified, options)
    store.erasure.replay(())  # the journal gets the erasures that only the backup has
    return RestoreResult(verified=verified, erased_again=len(erased.erased), left=len(erased.left))


def _replace(
    database: BulkDatabase, archive: Archive, store: SessionStore, options: RestoreOptions, progress: Progress
) -> ReplayResult:
    database.lock()
    occupied = database.occupied()
    if occupied and not options.replace:
        raise InvalidInput(
            f"the database is not empty (it has rows in {', '.join(occupied)}): set DATABASE_URL to an empty one, "
            "or use --replace to delete everything in it"
        )
    connection = database.connection

    def run(work: Callable[[Connection], T]) -> T:
        return work(connection)  # in the transaction of the restore

    replayed = erasure_replay.Database(store.clock, run, run)
    records = [*store.erasure.journal_records(), *erasure_replay.read_all(replayed.read)]
    for table in reversed(TABLES):
        database.clear(table)
    _insert(database, archive, options, store.cipher, progress)
    database.reset_sequences()
    return _replay_erasures(replayed, records)


def _insert(
    database: BulkDatabase, archive: Archive, options: RestoreOptions, cipher: Cipher, progress: Progress
) -> None:
    counter = RowCounter(stage(progress, 1, STAGES), archive.total_rows)
    written = {table.name: ChecksummedRows(table, counter.increment) for table in TABLES}
    for table in TABLES:
        database.insert(table, written[table.name].pass_through(archive.rows(table)))
    counter = RowCounter(stage(progress, 2, STAGES), archive.total_rows)
    read = {table.name: ChecksummedRows(table, counter.increment) for table in TABLES}
    for table in TABLES:
        if table not in {tables.sessions, tables.session_history}:
            read[table.name].consume(database.rows(table))
    session_rows = database.session_rows(
        read[tables.sessions.name].pass_through, read[tables.session_history.name].pass_through
    )
    replay = check_replays(session_rows, cipher)
    for name, rows in written.items():
        if (rows.rows, rows.sha256) != (read[name].rows, read[name].sha256):
            raise BackupBroken(f"the rows of {name} that the database returns differ from the backup; nothing changed")
    if not options.accepts_differing:
        require_matching_history(replay)
    counter.finish()


def _replay_erasures(database: erasure_replay.Database, records: list[ErasureRecord]) -> ReplayResult:
    known = {record.identity for record in erasure_replay.read_all(database.read)}
    missing = [record for record in records if record.identity not in known]
    return erasure_replay.replay(database, missing, actor=erasure_replay.AUTOMATIC_ACTOR, keeps_changed=True)


def _record(connection: Connection, store: SessionStore, verified: Verified, options: RestoreOptions) -> None:
    entry = audit.AuditEntry(
        at=store.clock(),
        actor=options.actor,
        action="backup_restored",
        detail={"created_at": verified.created_at, "rows": sum(verified.rows.values())},
    )
    audit.record(connection, entry)
