"""The revision of the database schema."""

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

_UPGRADE_LOCK = threading.Lock()  # alembic.command is not thread-safe


def check_schema(engine: Engine) -> None:
    """Raise SchemaMismatch, naming the command to run, unless the schema is this release's."""
    with engine.connect() as connection:
        revision = MigrationContext.configure(connection).get_current_revision()
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
        with _UPGRADE_LOCK:
            if _revision(url) != head_revision():  # Alembic takes a tenth of a second
                command.upgrade(config, "head")
    except DBAPIError as error:
        reason = " ".join(str(error.orig).split())[:300]
        safe_url = url.render_as_string(hide_password=True)
        raise ConfigurationError(f"the database {safe_url} can't be opened: {reason}") from error
    except CommandError as error:
        revision = _revision(url)
        if _is_unknown(revision):
            raise SchemaMismatch(revision, head_revision(), is_newer=True) from error
        raise ConfigurationError(f"the database can't be upgraded: {error}") from error


def _revision(url: URL) -> str | None:
    engine = migration_engine(url)
    try:
        with engine.connect() as connection:
            return MigrationContext.configure(connection).get_current_revision()
    finally:
        engine.dispose()


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
