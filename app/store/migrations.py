"""The revision of the database schema."""

import threading
from argparse import Namespace
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from time import monotonic
from typing import Any

from sqlalchemy import URL, Connection, Engine, inspect
from sqlalchemy.exc import DBAPIError

from ..core.installation import DOWNGRADE, LOSSY_DOWNGRADE, STAMP, UPGRADE
from ..errors import ConfigurationError, OtherRelease, SchemaMismatch
from .drivers import REVISION, in_use_mark
from .engine import migration_engine
from .requirements import startup_errors

_PACKAGE = Path(__file__).resolve().parents[1]
CHECK_S = 1.0  # between two checks of the schema while a server runs
# Messages of revisions, which are never edited, name a clone's commands.
_COMMANDS_OF_REVISIONS = {
    "`alembic upgrade head`": f"`{UPGRADE}`",
    "`alembic -x lossy=yes downgrade`": f"`{LOSSY_DOWNGRADE}`",
}
_UPGRADE_LOCK = threading.Lock()  # alembic.command is not thread-safe


class SchemaGuard:
    """Refuses work on the schema of another release, whose meaning is unknown. Safe from any thread."""

    def __init__(self) -> None:
        self._check_at = monotonic() + CHECK_S
        self._mismatch: str | None = None

    def check(self, read_revision: Callable[[], Any]) -> None:
        """Raise OtherRelease unless the schema was this release's when it was last read, at most CHECK_S ago."""
        if monotonic() >= self._check_at:
            self._check_at = monotonic() + CHECK_S  # first: other threads need not read it too
            revision = next((row[0] for row in read_revision()), None)
            self._mismatch = None if revision == head_revision() else schema_mismatch(revision).message
        if self._mismatch is not None:
            raise OtherRelease(self._mismatch)


def check_schema(engine: Engine) -> None:
    """Raise SchemaMismatch unless the schema is this release's."""
    with engine.connect() as connection:
        revision = stored_revision(connection)
    if revision != head_revision():
        raise schema_mismatch(revision)


def schema_mismatch(found: str | None) -> SchemaMismatch:
    """Return the error for a database with another revision than this release's, which names the command to run."""
    state = f"Database schema is at revision {found}" if found else "Database has no schema"
    remedy = f"Run `{UPGRADE}` with the same DATABASE_URL."
    if _is_unknown(found):
        remedy = f"It was upgraded by a newer release: install that, or run `{DOWNGRADE} {head_revision()}` with it."
    return SchemaMismatch(f"{state}; this release needs {head_revision()}. {remedy}")


def upgrade_schema(url: URL, default_survey: str | None = None) -> None:
    """Upgrade the schema; raise SchemaMismatch if it is newer, ConfigurationError if it can't be upgraded."""
    with _UPGRADE_LOCK, startup_errors(url):
        if _revision(url) != head_revision():
            _run("upgrade", url, "head", default_survey=default_survey)


def downgrade_schema(url: URL, revision: str, *, is_lossy: bool = False) -> None:
    """Go back to an earlier schema; raise ConfigurationError if rows would be lost without ``is_lossy``."""
    with _UPGRADE_LOCK, startup_errors(url):
        _run("downgrade", url, revision, options=["lossy=yes"] if is_lossy else [])


def stamp_schema(url: URL, revision: str) -> None:
    """Record a revision, without a change of tables."""
    with _UPGRADE_LOCK, startup_errors(url):
        _run("stamp", url, revision, purge=True)


def _run(
    name: str,
    url: URL,
    revision: str,
    *,
    options: Sequence[str] = (),
    default_survey: str | None = None,
    **arguments: bool,
) -> None:
    # Here, because importing Alembic takes a fifth of a start.
    from alembic import command  # noqa: PLC0415
    from alembic.config import Config  # noqa: PLC0415
    from alembic.util import CommandError  # noqa: PLC0415

    config = Config(cmd_opts=Namespace(x=list(options)))
    config.set_main_option("script_location", str(_scripts()).replace("%", "%%"))
    config.attributes["package"] = __package__.partition(".")[0]
    config.attributes["url"] = url
    if default_survey is not None:
        config.attributes["default_survey"] = default_survey
    try:
        getattr(command, name)(config, revision, **arguments)
    except CommandError as error:
        done = {"upgrade": "upgraded", "downgrade": "downgraded", "stamp": "stamped"}[name]
        problem = str(error)
        for command_of_clone, command_here in _COMMANDS_OF_REVISIONS.items():
            problem = problem.replace(command_of_clone, command_here)
        raise ConfigurationError(f"the database can't be {done}: {problem}") from error


def schema_revision(url: URL) -> str | None:
    """Return the schema's revision; create no SQLite file."""
    is_missing = url.get_backend_name() == "sqlite" and not Path(url.database or "").exists()
    with startup_errors(url):
        return None if is_missing else _revision(url)


def require_revision(url: URL) -> None:
    """Raise SchemaMismatch unless the schema is this release's."""
    revision = schema_revision(url)
    if revision != head_revision():
        raise schema_mismatch(revision)


def needs_upgrade(url: URL) -> bool:
    """Return whether a server's start would create or upgrade this SQLite file."""
    if not Path(url.database or "").exists():
        return not in_use_mark(url.database or "").exists()
    try:
        revision = _revision(url)
    except DBAPIError:  # opening the database explains it
        return False
    return revision != head_revision() and not _is_unknown(revision)


def known_revision(connection: Connection) -> str | None:
    """Return the schema's revision; raise SchemaMismatch if it is newer."""
    revision = stored_revision(connection)
    if _is_unknown(revision):
        raise schema_mismatch(revision)
    return revision


def _revision(url: URL) -> str | None:
    engine = migration_engine(url)
    try:
        with engine.connect() as connection:
            return stored_revision(connection)
    finally:
        engine.dispose()


def stored_revision(connection: Connection) -> str | None:
    """Return the revision in Alembic's table, if any; raise ConfigurationError for several."""
    if not inspect(connection).has_table("alembic_version"):
        return None
    revisions = connection.exec_driver_sql(REVISION).scalars().all()
    if len(revisions) > 1:
        raise ConfigurationError(
            f"the table alembic_version has {len(revisions)} rows ({', '.join(sorted(revisions))}); a schema has one "
            f"revision. Restore a backup, or set the right one with `{STAMP} REVISION`."
        )
    return revisions[0] if revisions else None


def head_revision() -> str:
    """Return this release's revision."""
    return max(_known_revisions())


def _is_unknown(revision: str | None) -> bool:
    return revision is not None and revision not in _known_revisions()


@cache
def _known_revisions() -> frozenset[str]:
    return frozenset(file.name.partition("_")[0] for file in (_scripts() / "versions").glob("[0-9]*_*.py"))


def _scripts() -> Path:
    folder = _PACKAGE / "migrations"  # of the wheel
    return folder if folder.is_dir() else _PACKAGE.parent / "alembic"  # of the clone
