"""The schema's revision: is it the one that this program needs, and bringing a database to it."""

import threading
from functools import cache
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import URL, Engine
from sqlalchemy.exc import DBAPIError

from ..errors import ConfigurationError, SchemaMismatch
from .engine import migration_engine

_ROOT = Path(__file__).resolve().parents[2]

_UPGRADING = threading.Lock()  # alembic.command is not thread-safe


def check_schema(engine: Engine) -> None:
    """Return if the database has the schema of this program.

    Raises:
        SchemaMismatch: saying which command to run.
    """
    with engine.connect() as connection:
        found = MigrationContext.configure(connection).get_current_revision()
    if found != head_revision():
        raise SchemaMismatch(found, head_revision(), is_newer=_is_unknown(found))


def upgrade_schema(url: URL) -> None:
    """Bring the database to the newest schema; the embedded default needs no command.

    Raises:
        SchemaMismatch: it has a newer schema than this program knows.
        ConfigurationError: it can't be opened or upgraded.
    """
    config = _config()
    config.attributes["url"] = url
    try:
        with _UPGRADING:
            if not _is_current(url):
                command.upgrade(config, "head")
    except DBAPIError as error:
        reason = " ".join(str(error.orig).split())[:300]
        shown = url.render_as_string(hide_password=True)
        raise ConfigurationError(f"the database {shown} can't be opened: {reason}") from error
    except CommandError as error:
        found = _found(url)
        if _is_unknown(found):
            raise SchemaMismatch(found, head_revision(), is_newer=True) from error
        raise ConfigurationError(f"the database can't be upgraded: {error}") from error


def _is_current(url: URL) -> bool:
    """Return whether nothing is to be done: alembic takes a tenth of a second to find that out."""
    try:
        return _found(url) == head_revision()
    except DBAPIError:  # the upgrade explains it
        return False


def _found(url: URL) -> str | None:
    engine = migration_engine(url)
    try:
        with engine.connect() as connection:
            return MigrationContext.configure(connection).get_current_revision()
    finally:
        engine.dispose()


@cache
def head_revision() -> str:
    """Return the revision of the schema that this program needs."""
    return ScriptDirectory.from_config(_config()).get_current_head() or ""


def _is_unknown(revision: str | None) -> bool:
    known = {script.revision for script in ScriptDirectory.from_config(_config()).walk_revisions()}
    return revision is not None and revision not in known


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(_ROOT / "alembic").replace("%", "%%"))
    return config
