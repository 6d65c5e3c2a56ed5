"""Alembic's environment: one upgrade at a time. Alembic imports it after setting its context."""

import sys
import zlib
from collections.abc import Callable

from alembic import context
from alembic.util import CommandError
from sqlalchemy import URL, Connection, Engine, inspect, text

from ..core.installation import STAMP, UPGRADE
from ..errors import ConfigurationError
from ..settings import read_settings
from . import tables
from .engine import migration_engine, migration_url, normalise_url
from .migrations import known_revision
from .requirements import check_requirements, startup_errors

LOCK_WAIT_S = 60
LOCK_KEY = 7_376_532_001  # arbitrary key of pg_advisory_lock


def run(default_survey: Callable[[], str]) -> None:
    """Run Alembic's command; adopted sessions belong to ``default_survey``, unless the calling program said so."""
    try:
        if context.is_offline_mode():
            refuse_sql()
        if "default_survey" not in context.config.attributes:
            context.config.attributes["default_survey"] = default_survey()
        run_online()
    except (ConfigurationError, CommandError) as error:
        if not hasattr(context.config.cmd_opts, "cmd"):  # called by a program, which handles its own errors
            raise
        sys.exit(f"alembic: {error}")  # alembic's own message is on standard output


def database_url() -> URL:
    url = context.config.attributes.get("url") or context.get_x_argument(as_dictionary=True).get("url")
    if isinstance(url, URL):
        return url
    settings = read_settings()
    return migration_url(settings) if url is None else normalise_url(url, settings.database_schema)


def lock(connection: Connection) -> None:
    if connection.dialect.name == "postgresql":
        connection.execute(text(f"SET lock_timeout = '{LOCK_WAIT_S}s'"))
        schema = str(connection.engine.url.query.get("schema", ""))
        key = LOCK_KEY + zlib.crc32(schema.encode())  # locks belong to the database; 0 without a schema
        connection.execute(text("SELECT pg_advisory_lock(:key)"), {"key": key})
        connection.execute(text("SET lock_timeout = 0"))
        connection.commit()
    elif connection.dialect.name in {"mysql", "mariadb"}:
        name = f"stepkeep.{connection.engine.url.database}"[:64]
        if connection.scalar(text("SELECT GET_LOCK(:name, :wait)"), {"name": name, "wait": LOCK_WAIT_S}) != 1:
            raise CommandError("another upgrade of this database has not ended within a minute")
        connection.commit()


def create_schema(connection: Connection) -> None:
    """Create the URL's schema; refuse if statements would not go there."""
    schema = connection.engine.url.query.get("schema")
    if schema is None or context.get_context().opts["fn"].__name__ != "upgrade":
        return
    if connection.scalar(text("SELECT to_regnamespace(:schema)"), {"schema": schema}) is None:
        connection.exec_driver_sql(f'CREATE SCHEMA "{schema}"')
    if connection.scalar(text("SELECT current_schema()")) != schema:
        raise CommandError(
            f"the account may not use the schema {schema} (GRANT USAGE, CREATE ON SCHEMA {schema}), or a pooler in "
            "transaction mode is before the database"
        )


def refuse_wrong_stamp(connection: Connection) -> None:
    """Stop an upgrade that would drop columns of later revisions."""
    if context.get_context().opts["fn"].__name__ != "upgrade":
        return
    revision = known_revision(connection)
    inspector = inspect(connection)
    is_wrong = (  # on SQLite, revision 0002 copies the tables, without later columns
        connection.dialect.name == "sqlite"
        and revision in {None, "0001"}
        and inspector.has_table("sessions")
        and "survey_id" in {column["name"] for column in inspector.get_columns("sessions")}
    )
    if is_wrong:
        raise CommandError(
            f"alembic_version says {revision or 'nothing'}, but the tables are newer; nothing was changed. Restore a "
            f"backup, or correct the revision with `{STAMP} REVISION`."
        )


def run_online() -> None:
    url = database_url()
    engine = migration_engine(url)
    try:
        with startup_errors(url):
            migrate(engine)
    finally:
        engine.dispose()  # otherwise its connections would keep the lock


def migrate(engine: Engine) -> None:
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
            create_schema(connection)
            refuse_wrong_stamp(connection)
            context.run_migrations()
            # Only after a change, because it reads the whole history while writers wait.
            is_checked = is_sqlite and applied
            if is_checked and connection.exec_driver_sql("PRAGMA foreign_key_check").first() is not None:
                raise CommandError("rows of session_history without their session: nothing was changed")
        connection.commit()
        if is_sqlite:
            connection.connection.dbapi_connection.execute("PRAGMA foreign_keys=ON")  # type: ignore[union-attr]


def refuse_sql() -> None:
    raise CommandError(
        f"--sql is not supported: the revisions depend on the tables that they find. Run `{UPGRADE}` on the "
        "database; to see the statements first, on a copy of it with its log of statements."
    )
