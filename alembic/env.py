"""How migrations run: the URL as the server reads it, one upgrade at a time, SQLite in one transaction."""

from alembic import context
from alembic.util import CommandError
from sqlalchemy import URL, Connection, Engine, text

from app.catalogue import default_survey_id
from app.errors import ConfigurationError
from app.settings import read_settings
from app.store import connect_or_explain, migration_engine, normalise_url, tables

LOCK_WAIT_S = 60
LOCK_KEY = 7_376_532_001  # any number that no other program takes for pg_advisory_lock


def database_url() -> URL:
    """Return the database that was asked for: by the caller, by ``-x url=``, or by the environment."""
    given = context.config.attributes.get("url") or context.get_x_argument(as_dictionary=True).get("url")
    if isinstance(given, URL):
        return given
    return normalise_url(given or read_settings().database_url)


def set_default_survey() -> None:
    """Hand the revisions the survey that sessions without a survey belong to."""
    if "default_survey" not in context.config.attributes:
        context.config.attributes["default_survey"] = default_survey_id(read_settings())


def lock(connection: Connection) -> None:
    """Wait for another upgrade of the same database to end."""
    if connection.dialect.name == "postgresql":
        connection.execute(text(f"SET lock_timeout = '{LOCK_WAIT_S}s'"))
        connection.execute(text("SELECT pg_advisory_lock(:key)"), {"key": LOCK_KEY})
        connection.execute(text("SET lock_timeout = 0"))
        connection.commit()
    elif connection.dialect.name in {"mysql", "mariadb"}:
        name = f"stepkeep.{connection.engine.url.database}"[:64]
        got = connection.execute(text("SELECT GET_LOCK(:name, :wait)"), {"name": name, "wait": LOCK_WAIT_S}).scalar()
        if got != 1:
            raise CommandError("another upgrade of this database has not ended within a minute")
        connection.commit()


def run_online() -> None:
    """Migrate the database; however it ends, no connection stays, which would hold the lock."""
    engine = migration_engine(database_url())
    try:
        migrate(engine)
    finally:
        engine.dispose()


def migrate(engine: Engine) -> None:
    """Run the revisions, when no other process does."""
    connect_or_explain(engine)
    is_sqlite = engine.dialect.name == "sqlite"
    with engine.connect() as connection:
        lock(connection)
        if is_sqlite:
            # Before BEGIN, where alone it works: with it on, rebuilding a parent table deletes its children.
            connection.connection.dbapi_connection.execute("PRAGMA foreign_keys=OFF")  # type: ignore[union-attr]
        applied: list[object] = []
        context.configure(
            connection=connection,
            target_metadata=tables.metadata,
            render_as_batch=is_sqlite,
            transactional_ddl=is_sqlite or None,
            on_version_apply=lambda step, **_: applied.append(step),
        )
        with context.begin_transaction():
            context.run_migrations()
            # It reads all of the history while nobody can write: only where something was changed.
            is_checked = is_sqlite and applied
            if is_checked and connection.exec_driver_sql("PRAGMA foreign_key_check").first() is not None:
                raise CommandError("rows of session_history without their session: nothing was changed")
        connection.commit()
        if is_sqlite:
            connection.connection.dbapi_connection.execute("PRAGMA foreign_keys=ON")  # type: ignore[union-attr]


def run_offline() -> None:
    """Print the SQL of an upgrade."""
    context.configure(url=database_url(), target_metadata=tables.metadata, literal_binds=True)
    with context.begin_transaction():
        context.run_migrations()


try:
    set_default_survey()
    if context.is_offline_mode():
        run_offline()
    else:
        run_online()
except ConfigurationError as error:
    if context.config.cmd_opts is None:  # called by the program, which wants its own error
        raise
    raise CommandError(error.message) from error
