"""Alembic environment: the server's database URL, one upgrade at a time, SQLite in one transaction."""

from alembic import context
from alembic.migration import MigrationContext
from alembic.util import CommandError
from sqlalchemy import URL, Connection, Engine, inspect, text

from app.catalogue import read_catalogue
from app.errors import ConfigurationError
from app.settings import read_settings
from app.store import check_requirements, migration_engine, normalise_url, tables

LOCK_WAIT_S = 60
LOCK_KEY = 7_376_532_001  # arbitrary key of pg_advisory_lock


def database_url() -> URL:
    """Return the URL from the calling program, from ``-x url=``, or from the environment."""
    url = context.config.attributes.get("url") or context.get_x_argument(as_dictionary=True).get("url")
    if isinstance(url, URL):
        return url
    return normalise_url(url or read_settings().database_url)


def set_default_survey() -> None:
    """Tell the revisions to which survey adopted sessions belong."""
    if "default_survey" not in context.config.attributes:
        context.config.attributes["default_survey"] = read_catalogue(read_settings()).default_id


def lock(connection: Connection) -> None:
    """Wait for a concurrent upgrade of the same database."""
    if connection.dialect.name == "postgresql":
        connection.execute(text(f"SET lock_timeout = '{LOCK_WAIT_S}s'"))
        connection.execute(text("SELECT pg_advisory_lock(:key)"), {"key": LOCK_KEY})
        connection.execute(text("SET lock_timeout = 0"))
        connection.commit()
    elif connection.dialect.name in {"mysql", "mariadb"}:
        name = f"stepkeep.{connection.engine.url.database}"[:64]
        acquired = connection.execute(
            text("SELECT GET_LOCK(:name, :wait)"), {"name": name, "wait": LOCK_WAIT_S}
        ).scalar()
        if acquired != 1:
            raise CommandError("another upgrade of this database has not ended within a minute")
        connection.commit()


def refuse_wrong_stamp(connection: Connection) -> None:
    """Stop an upgrade in which revision 0002, which copies SQLite's tables, would drop columns of later revisions."""
    revision = MigrationContext.configure(connection).get_current_revision()
    inspector = inspect(connection)
    is_wrong = (
        context.get_context().opts["fn"].__name__ == "upgrade"
        and revision in {None, "0001"}
        and inspector.has_table("sessions")
        and "survey_id" in {column["name"] for column in inspector.get_columns("sessions")}
    )
    if is_wrong:
        raise CommandError(
            f"alembic_version says {revision or 'nothing'}, but the tables are newer; nothing was changed. Restore a "
            "backup, or correct the revision with `alembic stamp --purge REVISION`."
        )


def run_online() -> None:
    """Migrate the database, and close the connections, which would otherwise keep the lock."""
    engine = migration_engine(database_url())
    try:
        migrate(engine)
    finally:
        engine.dispose()


def migrate(engine: Engine) -> None:
    """Run the revisions under the upgrade lock."""
    check_requirements(engine)
    is_sqlite = engine.dialect.name == "sqlite"
    with engine.connect() as connection:
        lock(connection)
        if is_sqlite:
            # Before BEGIN, because it has no effect in a transaction. With foreign keys on, rebuilding a parent table
            # deletes its child rows.
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
            if is_sqlite:
                refuse_wrong_stamp(connection)
            context.run_migrations()
            # Only after a change, because it reads the whole history while writers wait.
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
    if context.config.cmd_opts is None:  # called by the program, which handles its own errors
        raise
    raise CommandError(error.message) from error
