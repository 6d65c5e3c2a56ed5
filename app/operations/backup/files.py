"""Create and verify the files of backups."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from ...core.files import create_file
from ...core.installation import UPGRADE
from ...core.progress import Progress, no_progress
from ...core.timestamps import format_timestamp
from ...errors import BackupBroken, InvalidInput, SchemaMismatch
from ...sessions import SessionStore
from ...store import Cipher, database_url, head_revision, schema_mismatch, stored_revision, tables
from .bulk import snapshot
from .replay_check import ReplayCounts, check_replays, pair_with_history
from .row_format import TABLES, RowCounter
from .zip_archive import Archive, write_archive


@dataclass(frozen=True, slots=True, kw_only=True)
class Verified:
    """An intact backup; ``rows`` are by table."""

    created_at: str
    schema_revision: str
    rows: dict[str, int]
    replay: ReplayCounts


def create_backup(store: SessionStore, path: Path, *, progress: Progress = no_progress) -> dict[str, int]:
    """Write a snapshot into a new file, which appears when it is complete; return the rows by table.

    Raises InvalidInput if it exists or can't be written, or a row doesn't fit.
    """
    url = database_url(store.settings)
    facts = store.queries.database_facts()
    with create_file(path) as unfinished, snapshot(url) as database:
        revision = stored_revision(database.connection)
        if revision != head_revision():
            raise schema_mismatch(revision)
        counter = RowCounter(progress, database.count_all())
        try:
            with unfinished.open("r+b") as file:
                manifest = write_archive(
                    file,
                    database.rows,
                    counter.increment,
                    schema_revision=revision,
                    created_at=format_timestamp(store.clock()),
                    database={"kind": facts["database"], "version": facts["version"]},
                )
        except BackupBroken as error:
            raise InvalidInput(f"the database can't be written in the portable format: {error.problem}") from error
        counter.finish()
    return manifest.rows_by_table


def verify_backup(path: Path, cipher: Cipher, *, progress: Progress = no_progress) -> Verified:
    """Read a whole backup and return what it contains.

    Raises:
        BackupBroken: the file is no backup, or damaged.
        InvalidInput: it can't be read.
        SchemaMismatch: another release's schema.
    """
    with open_backup(path) as archive:
        counter = RowCounter(progress, archive.total_rows)
        verified = verify_archive(archive, cipher, counter)
        counter.finish()
        return verified


def verify_archive(archive: Archive, cipher: Cipher, counter: RowCounter) -> Verified:
    for table in TABLES:
        if table not in {tables.sessions, tables.session_history}:
            for _ in archive.rows(table, counter.increment):
                pass
    pairs = pair_with_history(*(archive.rows(t, counter.increment) for t in (tables.sessions, tables.session_history)))
    replay = check_replays(pairs, cipher)
    manifest = archive.manifest
    return Verified(
        created_at=manifest.created_at,
        schema_revision=manifest.schema_revision,
        rows=manifest.rows_by_table,
        replay=replay,
    )


@contextmanager
def open_backup(path: Path) -> Iterator[Archive]:
    try:
        file = path.open("rb")
    except OSError as error:
        raise InvalidInput(f"{path} can't be read: {error.strerror}") from error
    with file:
        archive = Archive(file)
        if archive.manifest.schema_revision != head_revision():
            raise SchemaMismatch(
                f"the backup has schema revision {archive.manifest.schema_revision}, this release needs "
                f"{head_revision()}: restore it with the release that created it, into an empty database on which that "
                f"release ran `{UPGRADE}`; then run `{UPGRADE}` with this one"
            )
        archive.require_tables()
        yield archive


def require_matching_history(counts: ReplayCounts) -> None:
    """Raise BackupBroken if checked sessions differ from their history."""
    if counts.differing:
        sample = ", ".join(f"{key.survey_id}/{key.user_id}" for key in counts.sample)
        raise BackupBroken(
            f"{counts.differing} sessions differ from the replay of their history: {sample}"
            f"{' and others' if counts.differing > len(counts.sample) else ''}"
        )
