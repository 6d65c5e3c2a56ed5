"""The revision of the database schema."""

import threading
from collections.abc import Callable
from functools import cache
from pathlib import Path
from time import monotonic
from typing import Any

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import URL, Connection, Engine
from sqlalchemy.exc import DBAPIError

from ..errors import ConfigurationError, OtherRelease, SchemaMismatch
from .drivers import in_use_mark
from .engine import migration_engine
from .requirements import startup_errors

_ROOT = Path(__file__).resolve().parents[2]

CHECK_S = 1.0
"""Between two checks of the schema while a server runs."""

_UPGRADE_LOCK = threading.Lock()  # alembic.command is not thread-safe


class SchemaGuard:
    """Refuses work on a schema of another release, to which the database may be upgraded at any time.

    What that release's columns mean is unknown here, so a write could contradict them. Safe from any thread.
    """

    def __init__(self) -> None:
        self._check_at = monotonic() + CHECK_S
        self._mismatch: str | None = None

    def check(self, read_revision: Callable[[], Any]) -> None:
        """Raise OtherRelease unless the schema was this release's when it was last read, at most CHECK_S ago.

        Args:
            read_revision: returns the rows of Alembic's table.
        """
        if monotonic() >= self._check_at:
            self._check_at = monotonic() + CHECK_S  # first: other threads need not read it too
            revision = next((row[0] for row in read_revision()), None)
            is_own = revision == head_revision()
            self._mismatch = (
                None if is_own else SchemaMismatch(revision, head_revision(), is_newer=_is_unknown(revision)).message
            )
        if self._mismatch is not None:
            raise OtherRelease(self._mismatch)


def check_schema(engine: Engine) -> None:
    """Raise SchemaMismatch, naming the command to run, unless the schema is this release's."""
    with engine.connect() as connection:
        revision = _stored_revision(connection)
    if revision != head_revision():
        raise SchemaMismatch(revision, head_revision(), is_newer=_is_unknown(revision))


def upgrade_schema(url: URL) -> None:
    """Upgrade the database to the newest schema.

    Raises:
        SchemaMismatch: its schema is newer than this release.
        ConfigurationError: it can't be opened or upgraded.
    """
    config = _config()
    config.attributes["url"] = url
    try:
        with _UPGRADE_LOCK, startup_errors(url):
            if _revision(url) != head_revision():  # Alembic takes a tenth of a second
                command.upgrade(config, "head")
    except CommandError as error:
        raise ConfigurationError(f"the database can't be upgraded: {error}") from error


def needs_upgrade(url: URL) -> bool:
    """Return whether a server would create or upgrade this SQLite file at its start."""
    if not Path(url.database or "").exists():
        return not in_use_mark(url.database or "").exists()
    try:
        revision = _revision(url)
    except DBAPIError:  # opening the database explains it
        return False
    return revision != head_revision() and not _is_unknown(revision)


def known_revision(connection: Connection) -> str | None:
    """Return the schema's revision.

    Raises:
        ConfigurationError: it has several.
        SchemaMismatch: it is of a newer release.
    """
    revision = _stored_revision(connection)
    if _is_unknown(revision):
        raise SchemaMismatch(revision, head_revision(), is_newer=True)
    return revision


def _revision(url: URL) -> str | None:
    engine = migration_engine(url)
    try:
        with engine.connect() as connection:
            return _stored_revision(connection)
    finally:
        engine.dispose()


def _stored_revision(connection: Connection) -> str | None:
    revisions = MigrationContext.configure(connection).get_current_heads()
    if len(revisions) > 1:
        raise ConfigurationError(
            f"the table alembic_version has {len(revisions)} rows ({', '.join(sorted(revisions))}); a schema has one "
            "revision. Restore a backup, or set the right one with `alembic stamp --purge REVISION`."
        )
    return revisions[0] if revisions else None


@cache
def head_revision() -> str:
    """Return the revision that this release needs."""
    return ScriptDirectory.from_config(_config()).get_current_head() or ""


def _is_unknown(revision: str | None) -> bool:
    known = {script.revision for script in ScriptDirectory.from_config(_config()).walk_revisions()}
    return revision is not None and revision not in known


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(_ROOT / "alembic").replace("%", "%%"))
    return config
