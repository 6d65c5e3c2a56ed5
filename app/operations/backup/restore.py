"""Putting a backup into a database: all of it or nothing, in one transaction on each kind of database.

SQLite has one writer and its log (WAL) takes what is not committed, so a file is not exchanged for another under
somebody who has it open: one that is killed leaves what was there. Servers are to be stopped first; on SQLite it is
looked for, by the lock that its server holds.
"""

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from sqlalchemy import Connection

from ...errors import BackupBroken, InvalidInput
from ...sessions import erasure_replay
from ...sessions.service import SessionStore
from ...store import audit
from ...store.encryption import Cipher
from ...store.engine import normalise_url, server_lock
from ...store.erasure_journal import ErasureRecord
from ...store.erasures import ReplayResult
from ...store.tables import session_history, sessions
from .bulk import OpenDatabase
from .databases import transaction, writing
from .folding import check_folds
from .row_format import TABLES, Counter, Progress, Summed, no_progress
from .verify import Contents, Verified, look_through, opened, refuse_differing

T = TypeVar("T")

PASSES = 3
"""How often all rows are gone through: looked at, put in, and read back."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Restored:
    """What a restore did.

    Attributes:
        verified: what was found in the backup.
        erased_again: sessions of people who were erased after the backup was made, and that are erased again.
        left: sessions of such people that have changed since their erasure, and were left.
    """

    verified: Verified
    erased_again: int
    left: int


@dataclass(frozen=True, slots=True, kw_only=True)
class How:
    """How a backup is restored.

    Attributes:
        replace: a database with rows in it is emptied; else it is refused.
        accepts_differing: sessions that are not the fold of their history are taken as they are; else refused.
        actor: who asks for it, for the audit log.
    """

    replace: bool = False
    accepts_differing: bool = False
    actor: str = "operator"


def restore_backup(
    store: SessionStore, path: Path, how: How | None = None, *, progress: Progress = no_progress
) -> Restored:
    """Return what was done: the database holds what the backup holds, and who was erased since is erased again.

    The backup is looked through before anything is touched. What is read back is, byte for byte, what was put in, and
    each session the fold of its history, or nothing is committed. The erasures are those of the list outside of the
    database (STEPKEEP_ERASURES_FILE) and those of the database that is replaced.

    Raises:
        BackupBroken, SchemaMismatch: as ``verify_backup``.
        InvalidInput: there are rows in the database and ``replace`` was not said; or no such file.
        StoreInUse: a server has the SQLite file.
        Unavailable, DatabaseRefused: the database failed; it is as it was.
    """
    wanted = how or How()
    url = normalise_url(store.settings.database_url)
    with ExitStack() as stack:
        contents = stack.enter_context(opened(path))
        lock = server_lock(url)
        if lock is not None:
            stack.callback(lock.release)
        verified = look_through(contents, store.cipher, _part(progress, 0))
        if verified.folded is not None and not wanted.accepts_differing:
            refuse_differing(verified.folded)
        with writing(url) as engine, transaction(engine) as database:
            again = _replace(database, contents, store, wanted, progress)
            _note(database.connection, store, verified, wanted)
    store.erasure.replay(())  # lets the list outside of the database have what only the backup knew
    return Restored(verified=verified, erased_again=len(again.erased), left=len(again.left))


def _replace(
    database: OpenDatabase, contents: Contents, store: SessionStore, how: How, progress: Progress
) -> ReplayResult:
    database.lock()
    occupied = database.occupied()
    if occupied and not how.replace:
        raise InvalidInput(
            f"the database is not empty (there are rows in {', '.join(occupied)}): name an empty one in DATABASE_URL, "
            "or say --replace, and all that is in it now is gone"
        )
    connection = database.connection

    def run(work: Callable[[Connection], T]) -> T:
        return work(connection)  # in the restore's own transaction

    access = erasure_replay.Access(store.clock, run, run)
    lines = [*store.erasure.journal_records(), *erasure_replay.read_all(access.read)]
    for table in reversed(TABLES):
        database.clear(table)
    _put_in(database, contents, how, store.cipher, progress)
    database.follow_numbers()
    return _erase_again(access, lines)


def _put_in(database: OpenDatabase, contents: Contents, how: How, cipher: Cipher, progress: Progress) -> None:
    counter = Counter(_part(progress, 1), contents.total)
    written = {table.name: Summed(table, counter.one) for table in TABLES}
    for table in TABLES:
        database.insert(table, written[table.name].passing(contents.rows(table)))
    counter = Counter(_part(progress, 2), contents.total)
    read = {table.name: Summed(table, counter.one) for table in TABLES}
    for table in TABLES:
        if table not in {sessions, session_history}:
            for _ in read[table.name].passing(database.rows(table)):
                pass
    folded = check_folds(database.pairs(read[sessions.name].passing, read[session_history.name].passing), cipher)
    for name, one in written.items():
        if (one.rows, one.sha256) != (read[name].rows, read[name].sha256):
            raise BackupBroken(f"the database gives other rows of {name} back than were put in; nothing was changed")
    if not how.accepts_differing:
        refuse_differing(folded)
    counter.end()


def _erase_again(access: erasure_replay.Access, lines: list[ErasureRecord]) -> ReplayResult:
    known = {one.identity for one in erasure_replay.read_all(access.read)}
    lacking = [one for one in lines if one.identity not in known]
    return erasure_replay.apply_lines(access, lacking, actor=erasure_replay.BY_ITSELF, keeps_changed=True)


def _note(connection: Connection, store: SessionStore, verified: Verified, how: How) -> None:
    detail = {"made_at": verified.made_at, "form": verified.form, "rows": sum(verified.rows.values())}
    audit.record(
        connection, audit.AuditEntry(at=store.clock(), actor=how.actor, action="backup_restored", detail=detail)
    )


def _part(progress: Progress, number: int) -> Progress:
    return lambda done, total: progress(number * total + done, PASSES * total)
