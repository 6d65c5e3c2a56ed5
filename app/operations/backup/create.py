"""Making a backup in the portable form, beside a server that goes on."""

from dataclasses import dataclass
from pathlib import Path

from ...core.files import create_file
from ...core.timestamps import format_timestamp
from ...errors import BackupBroken, InvalidInput
from ...sessions.service import SessionStore
from ...store.engine import normalise_url
from ...store.migrations import head_revision
from .bulk import OpenDatabase
from .databases import check_revision, snapshot
from .row_format import TABLES, Counter, Progress, no_progress
from .zip_archive import ArchiveWriter, Manifest


@dataclass(frozen=True, slots=True, kw_only=True)
class Created:
    """A backup that was made.

    Attributes:
        form: ``portable``, or the database whose own form it has.
        rows: by table; empty in a database's own form.
    """

    path: Path
    form: str
    size_bytes: int
    rows: dict[str, int]


def create_backup(store: SessionStore, path: Path, *, progress: Progress = no_progress) -> Created:
    """Return what was written: all tables as they were at one moment, in one file for every database.

    The file is there when it is whole and on the disk, and only its owner can read it. Answers that are sealed stay
    so: whoever restores it needs STEPKEEP_ANSWERS_KEYS, which is not in it.

    Raises:
        InvalidInput: there is such a file, it can't be written, or a row can't be kept in this form.
        Unavailable: the database is away.
    """
    url = normalise_url(store.settings.database_url)
    facts = store.queries.database_facts()
    with create_file(path) as unfinished, snapshot(url) as database:
        made_at = format_timestamp(store.clock())
        try:
            manifest = _write(
                unfinished, database, made_at, {"kind": facts["database"], "version": facts["version"]}, progress
            )
        except BackupBroken as error:
            raise InvalidInput(
                f"the database can't be kept in the portable form: {error.problem}; `flask backup create --native` "
                "keeps it as it is"
            ) from error
    return Created(
        path=path,
        form="portable",
        size_bytes=path.stat().st_size,
        rows={entry.name: entry.rows for entry in manifest.tables},
    )


def _write(path: Path, database: OpenDatabase, made_at: str, facts: dict[str, str], progress: Progress) -> Manifest:
    revision = database.revision()
    check_revision(revision, head_revision())
    counter = Counter(progress, database.count_all())
    with path.open("r+b") as file, ArchiveWriter(file) as archive:
        for table in TABLES:
            archive.write_table(table, database.rows(table), counter.one)
        counter.end()
        return archive.close(head_revision(), made_at, facts)
