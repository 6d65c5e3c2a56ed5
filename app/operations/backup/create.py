"""Create a backup while servers run."""

from pathlib import Path

from ...core.files import create_file
from ...core.progress import Progress, no_progress
from ...core.timestamps import format_timestamp
from ...errors import BackupBroken, InvalidInput
from ...sessions import SessionStore
from ...store import database_url, head_revision, schema_mismatch, stored_revision
from .bulk import snapshot
from .row_format import RowCounter
from .zip_archive import write_archive


def create_backup(store: SessionStore, path: Path, *, progress: Progress = no_progress) -> dict[str, int]:
    """Write one snapshot of all tables into a new file, which appears when it is complete; return the rows by table.

    Raises:
        InvalidInput: it exists or can't be written, or a row doesn't fit.
        Unavailable: the database failed.
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
