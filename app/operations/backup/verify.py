"""Looking a backup through, whole: is it what was written, and are its sessions the folds of their history."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from sqlalchemy import Table

from ...errors import BackupBroken, InvalidInput, SchemaMismatch
from ...store.encryption import Cipher
from ...store.migrations import head_revision
from ...store.tables import session_history, sessions
from . import native
from .databases import check_revision, file_url, snapshot
from .folding import Folded, check_folds
from .pairs import Pairs, merged
from .row_format import TABLES, Counter, Progress, Row, Summed, no_progress
from .zip_archive import Archive, is_archive

SQLITE = "sqlite"


@dataclass(frozen=True, slots=True, kw_only=True)
class Verified:
    """A backup in which nothing is broken.

    Attributes:
        form: ``portable``, or the database whose own form it has.
        made_at: ISO 8601, UTC; None where the form does not say.
        schema_revision: None where the form does not say.
        rows: by table; empty where the form can't be looked into.
        folded: of its sessions; None where the form can't be looked into.
        looked_at: what was looked at, in words.
    """

    form: str
    made_at: str | None
    schema_revision: str | None
    rows: dict[str, int] = field(default_factory=dict)
    folded: Folded | None = None
    looked_at: str


class Contents(Protocol):
    """A backup whose rows can be read, again and again."""

    @property
    def form(self) -> str:
        """As :class:`Verified` has it."""
        ...

    @property
    def made_at(self) -> str | None:
        """As :class:`Verified` has it."""
        ...

    @property
    def schema_revision(self) -> str:
        """As :class:`Verified` has it."""
        ...

    @property
    def total(self) -> int:
        """How many rows it has."""
        ...

    def rows(self, table: Table) -> Iterator[Row]:
        """Yield a table's rows in the order of their keys."""
        ...

    def pairs(self, sessions_pass: Any, history_pass: Any) -> Pairs:  # noqa: ANN401 - functions from rows to rows
        """Yield each session with its history."""
        ...


def verify_backup(path: Path, cipher: Cipher, *, progress: Progress = no_progress) -> Verified:
    """Return what is in a backup, looked through from the first byte to the last; nothing is changed anywhere.

    Of the forms of ``pg_dump`` and ``mariadb-dump`` only that is looked at which their own programs tell.

    Args:
        sealing: opens what is sealed; what it has no key for is counted as locked.

    Raises:
        BackupBroken: something in it is not as it was written.
        InvalidInput: there is no such file.
        SchemaMismatch: it was made by another version of this program.
    """
    kind = "" if is_portable(path) else native.kind_of(path)
    if kind not in {"", SQLITE}:
        return Verified(form=kind, made_at=None, schema_revision=None, looked_at=native.verify(path, kind))
    with opened(path) as contents:
        return look_through(contents, cipher, progress)


def look_through(contents: Contents, cipher: Cipher, progress: Progress) -> Verified:
    """Return what is in it; raises as :func:`verify_backup`."""
    counter = Counter(progress, contents.total)
    sums = {table.name: Summed(table, counter.one) for table in TABLES}
    for table in TABLES:
        if table not in {sessions, session_history}:
            for _ in sums[table.name].passing(contents.rows(table)):
                pass
    pairs = contents.pairs(sums[sessions.name].passing, sums[session_history.name].passing)
    folded = check_folds(pairs, cipher)
    counter.end()
    return Verified(
        form=contents.form,
        made_at=contents.made_at,
        schema_revision=contents.schema_revision,
        rows={name: one.rows for name, one in sums.items()},
        folded=folded,
        looked_at="every byte, row and session",
    )


@contextmanager
def opened(path: Path) -> Iterator[Contents]:
    """Give a backup whose rows can be read.

    Raises:
        BackupBroken, InvalidInput, SchemaMismatch: as :func:`verify_backup`.
    """
    if is_portable(path):
        archive = Archive(path)
        try:
            check_revision_of(archive.manifest.schema_revision)
            archive.check_tables()
            yield _Portable(archive)
        finally:
            archive.close()
        return
    kind = native.kind_of(path)
    if kind != SQLITE:
        raise InvalidInput(native.how_to_restore(path, kind))
    native.check_sqlite(path)
    with snapshot(file_url(path)) as database:
        revision = database.revision()
        check_revision_of(revision)
        yield _Sqlite(database, revision or "")


def check_revision_of(revision: str | None) -> None:
    """Return if a backup has this program's schema.

    Raises:
        SchemaMismatch: saying what to do.
    """
    try:
        check_revision(revision, head_revision())
    except SchemaMismatch as error:
        raise OtherVersion(revision, head_revision()) from error


class OtherVersion(SchemaMismatch):
    """A backup was made by another version of this program."""

    def __init__(self, found: str | None, needed: str) -> None:
        super().__init__(found, needed)
        problem = (
            f"the backup's schema is {found or 'not there'}, this program's is {needed}: restore it with the version "
            "of the program that made it, into an empty database on which that version ran `alembic upgrade head`; "
            "then run `alembic upgrade head` with this one"
        )
        self.args = (problem,)


def is_portable(path: Path) -> bool:
    """Return whether a file is in the portable form.

    Raises:
        InvalidInput: there is no such file, or it can't be read.
    """
    try:
        return is_archive(path)
    except OSError as error:
        raise InvalidInput(f"{path} can't be read: {error.strerror}") from error


class _Portable:
    form = "portable"

    def __init__(self, archive: Archive) -> None:
        self._archive = archive
        self.made_at = archive.manifest.made_at
        self.schema_revision = archive.manifest.schema_revision
        self.total = sum(entry.rows for entry in archive.manifest.tables)

    def rows(self, table: Table) -> Iterator[Row]:
        return self._archive.rows(table)

    def pairs(self, sessions_pass: Any, history_pass: Any) -> Pairs:  # noqa: ANN401 - functions from rows to rows
        return merged(sessions_pass(self.rows(sessions)), history_pass(self.rows(session_history)))


class _Sqlite:
    form = SQLITE
    made_at = None

    def __init__(self, database: Any, revision: str) -> None:  # noqa: ANN401 - OpenDatabase
        self._database = database
        self.schema_revision = revision
        self.total = database.count_all()
        self.rows = database.rows
        self.pairs = database.pairs


def refuse_differing(folded: Folded) -> None:
    """Return if every session is the fold of its history.

    Raises:
        BackupBroken: some are not; names the first ones.
    """
    if folded.differing:
        named = ", ".join(f"{key.survey_id}/{key.user_id}" for key in folded.named)
        raise BackupBroken(
            f"{folded.differing} sessions are not what their history says: {named}"
            f"{' and others' if folded.differing > len(folded.named) else ''}"
        )
