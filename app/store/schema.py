"""The schema's revision: is it the one that this program needs, and bringing a database to it."""

import threading
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import URL, Engine
from sqlalchemy.exc import DBAPIError

from app.errors import ConfigurationError, SchemaMismatch

_ROOT = Path(__file__).resolve().parents[2]

_UPGRADING = threading.Lock()  # alembic.command is not thread-safe


def check_schema(engine: Engine) -> None:
    """Return if the database has the schema of this program.

    Raises:
        SchemaMismatch: saying which command to run.
    """
    needed = ScriptDirectory.from_config(_config()).get_current_head() or ""
    with engine.connect() as connection:
        found = MigrationContext.configure(connection).get_current_revision()
    if found != needed:
        raise SchemaMismatch(found, needed)


def upgrade_schema(url: URL) -> None:
    """Bring the database to the newest schema; the embedded default needs no command.

    Raises:
        ConfigurationError: it can't be opened or upgraded.
    """
    config = _config()
    config.attributes["url"] = url
    try:
        with _UPGRADING:
            command.upgrade(config, "head")
    except DBAPIError as error:
        reason = " ".join(str(error.orig).split())[:300]
        shown = url.render_as_string(hide_password=True)
        raise ConfigurationError(f"the database {shown} can't be opened: {reason}") from error


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(_ROOT / "alembic").replace("%", "%%"))
    return config
