"""Verify a backup: hashes, rows, and replays of sessions."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from ...errors import BackupBroken, InvalidInput, SchemaMismatch
from ...store import Cipher, head_revision, tables
from .databases import require_revision
from .replay_check import ReplayCounts, check_replays, pair_with_history
from .row_format import TABLES, ChecksummedRows, Progress, RowCounter, no_progress
from .zip_archive import Archive


@dataclass(frozen=True, slots=True, kw_only=True)
class Verified:
    """An intact backup; ``rows`` are by table."""

    created_at: str
    schema_revision: str
    rows: dict[str, int]
    replay: ReplayCounts


def verify_backup(path: Path, cipher: Cipher, *, progress: Progress = no_progress) -> Verified:
    """Read a whole backup and return what it contains.

    Raises:
        BackupBroken: the file is no backup, or damaged.
        InvalidInput: it can't be read.
        SchemaMismatch: another release's schema.
    """
    with open_backup(path) as archive:
        return verify_archive(archive, cipher, progress)


def verify_archive(archive: Archive, cipher: Cipher, progress: Progress) -> Verified:
    """Verify an open backup; raises as :func:`verify_backup`."""
    counter = RowCounter(progress, archive.total_rows)
    streams = {table.name: ChecksummedRows(table, counter.increment) for table in TABLES}
    for table in TABLES:
        if table not in {tables.sessions, tables.session_history}:
            streams[table.name].consume(archive.rows(table))
    session_rows = pair_with_history(
        streams[tables.sessions.name].pass_through(archive.rows(tables.sessions)),
        streams[tables.session_history.name].pass_through(archive.rows(tables.session_history)),
    )
    replay = check_replays(session_rows, cipher)
    counter.finish()
    return Verified(
        created_at=archive.manifest.created_at,
        schema_revision=archive.manifest.schema_revision,
        rows={name: stream.rows for name, stream in streams.items()},
        replay=replay,
    )


@contextmanager
def open_backup(path: Path) -> Iterator[Archive]:
    """Open a backup; raises as :func:`verify_backup`."""
    try:
        archive = Archive(path)
    except OSError as error:
        raise InvalidInput(f"{path} can't be read: {error.strerror}") from error
    try:
        _require_schema(archive.manifest.schema_revision)
        archive.require_tables()
        yield archive
    finally:
        archive.close()


def require_matching_history(counts: ReplayCounts) -> None:
    """Raise BackupBroken if checked sessions differ from their history."""
    if counts.differing:
        sample = ", ".join(f"{key.survey_id}/{key.user_id}" for key in counts.sample)
        raise BackupBroken(
            f"{counts.differing} sessions differ from the replay of their history: {sample}"
            f"{' and others' if counts.differing > len(counts.sample) else ''}"
        )


class BackupSchemaMismatch(SchemaMismatch):
    """The backup has another schema."""

    def __init__(self, current: str | None, needed: str) -> None:
        super().__init__(current, needed)
        problem = (
            f"the backup has schema revision {current or 'none'}, this release needs {needed}: restore it with the "
            "release that created it, into an empty database on which that release ran `alembic upgrade head`; "
            "then run `alembic upgrade head` with this one"
        )
        self.args = (problem,)


def _require_schema(revision: str | None) -> None:
    try:
        require_revision(revision, head_revision())
    except SchemaMismatch as error:
        raise BackupSchemaMismatch(revision, head_revision()) from error
