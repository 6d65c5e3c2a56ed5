"""What this release requires of a database: one line for each fault."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

from sqlalchemy import URL, Connection, Dialect, Engine, String, text
from sqlalchemy.exc import SQLAlchemyError

from ..core.installation import COMMAND, STAMP, UPGRADE
from ..errors import (
    ConfigurationError,
    DatabaseFileLost,
    DatabaseRefused,
    DatabaseUnavailable,
    DatabaseUnreachable,
    ReadOnlyDatabase,
)
from .drivers import sqlite
from .tables import Key, metadata


class Requirement(NamedTuple):
    """A query, whose result must match the pattern."""

    query: str
    pattern: str
    problem: str
    error: type[ConfigurationError] = ConfigurationError


_DROPPED = (
    "{} instead of this server's setting: a proxy or pooler between them drops settings of the session. Connect "
    "directly, or with a pooler in session mode."
)
_BUILD = "this build of SQLite does not support what Stepkeep needs ({}). Install pysqlite3."

_REQUIREMENTS = {
    "sqlite": (
        Requirement("PRAGMA synchronous", "2", _BUILD),
        Requirement("PRAGMA foreign_keys", "1", _BUILD),
        Requirement("PRAGMA secure_delete", "1", _BUILD),
        Requirement(
            "SELECT max(compile_options) FROM pragma_compile_options WHERE compile_options LIKE 'THREADSAFE=%'",
            "THREADSAFE=[12]",
            _BUILD,
        ),
    ),
    "postgresql": (
        Requirement(
            "SHOW server_encoding",
            "UTF8",
            "its encoding is {}, which can't store every text. Restore a dump of it (pg_dump) into a database created "
            "with ENCODING 'UTF8' TEMPLATE template0.",
        ),
        Requirement("SHOW client_encoding", "UTF8", _DROPPED),
        Requirement("SHOW timezone", "UTC", _DROPPED),
        Requirement(
            "SHOW transaction_read_only",
            "off",
            "it is read-only (a standby, or default_transaction_read_only is on). Name the primary in DATABASE_URL, "
            "for example with target_session_attrs=read-write.",
            ReadOnlyDatabase,
        ),
        Requirement(
            "SHOW synchronous_commit",
            "(?!off).*",
            "synchronous_commit is {}, so a crash would lose acknowledged answers. Set it to on, for example with "
            "ALTER DATABASE … SET synchronous_commit = on.",
        ),
    ),
    "mysql": (
        Requirement("SELECT @@character_set_connection", "utf8mb4", _DROPPED),
        Requirement("SELECT @@time_zone", r"\+00:00", _DROPPED),
        Requirement("SELECT @@sql_mode", ".*STRICT_ALL_TABLES.*", _DROPPED),
        Requirement(
            "SELECT @@read_only",
            "0|OFF",
            "it is read-only (a replica). Name the primary in DATABASE_URL.",
            ReadOnlyDatabase,
        ),
    ),
}
_REQUIREMENTS["mariadb"] = _REQUIREMENTS["mysql"]

_LOCKED = "database is locked"
_FULL = "disk I/O error|disk is full"
_PASSING = f"{_LOCKED}|{_FULL}"

# What to do by a pattern in the database's message.
_REMEDIES = {
    "readonly database": "Make the file and its folder writable for the user of this process.",
    "unable to open database file": "Its folder must exist, and be writable for the user of this process.",
    "not a database|malformed": (
        "The file is damaged, or a -wal file of another copy is beside it. Move both away, and restore a backup with "
        f"`{COMMAND} backup restore FILE`."
    ),
    _FULL: "Its disk is full or faulty: `df` shows which.",
    _LOCKED: "Another program holds its lock: `lsof FILE` shows which one.",
    "read[- ]only": "Name a server in DATABASE_URL that accepts writes.",
    "permission denied for table|command denied": (
        "Grant SELECT, INSERT, UPDATE and DELETE on its tables to the account of DATABASE_URL."
    ),
    "permission denied for (database|schema)": (
        "Let an administrator create the schema and grant it, or name another account in STEPKEEP_MIGRATION_URL "
        "(docs/databases.md)."
    ),
    '(database|role) ".*" does not exist': "Create it, or correct its name in DATABASE_URL.",
    "unsupported startup parameter": "Remove the options from DATABASE_URL, which PgBouncer does not support.",
    "already exists|duplicate column|no such (table|column)|does not exist|doesn't exist|unknown column": (
        "Its tables are not those of the revision in alembic_version. Restore a backup, or correct the revision with "
        f"`{STAMP} REVISION` and run `{UPGRADE}`."
    ),
}


@contextmanager
def startup_errors(url: URL) -> Iterator[None]:
    """Raise DatabaseUnreachable if a retry may succeed, else ConfigurationError; one line without the password."""
    try:
        yield
    except DatabaseFileLost as error:
        raise DatabaseUnreachable(str(error)) from error
    except (SQLAlchemyError, DatabaseUnavailable, DatabaseRefused) as error:
        cause = error if isinstance(error, SQLAlchemyError) else error.__cause__ or error
        reason = " ".join(str(getattr(cause, "orig", None) or cause).split())[:300]
        remedy = next((text for pattern, text in _REMEDIES.items() if re.search(pattern, reason, re.IGNORECASE)), None)
        problem = f"the database {url.render_as_string()} can't be opened: {reason}"
        if remedy is None:
            raise DatabaseUnreachable(problem) from error
        raise (DatabaseUnreachable if re.search(_PASSING, reason) else ConfigurationError)(
            f"{problem.rstrip('.')}. {remedy}"
        ) from error


def connect_or_explain(engine: Engine) -> None:
    """Raise DatabaseUnreachable unless the database can be opened."""
    with startup_errors(engine.url), engine.connect() as connection:
        connection.execute(text("SELECT 1"))


def check_requirements(engine: Engine) -> None:
    """Check the database server before any table exists; raise ReadOnlyDatabase or ConfigurationError."""
    with startup_errors(engine.url), engine.connect() as connection:
        for requirement in _requirements(engine):
            found = str(connection.exec_driver_sql(requirement.query).scalar())
            if not re.fullmatch(requirement.pattern, found):
                problem = requirement.problem.format(found)
                raise requirement.error(f"the database {engine.url.render_as_string()}: {problem}")


def _requirements(engine: Engine) -> tuple[Requirement, ...]:
    dialect = engine.dialect.name
    if "schema" in engine.url.query:
        path = Requirement("SHOW search_path", f'"?{engine.url.query["schema"]}"?', _DROPPED)
        return (path, *_REQUIREMENTS[dialect])
    if dialect != "sqlite":
        return _REQUIREMENTS[dialect]
    problem = "its journal mode is {}, because its file system lacks shared memory. Move it to a local disk."
    journal = "delete" if sqlite.has_wal_reset_bug(sqlite.driver().sqlite_version_info) else "wal"
    return (Requirement("PRAGMA journal_mode", journal, problem), *_REQUIREMENTS[dialect])


def check_connections(writer: Engine, reader: Engine) -> None:
    """Raise ConfigurationError behind a pooler in transaction mode."""
    if writer.dialect.name != "postgresql":
        return
    query = text("SELECT pg_backend_pid()")
    with startup_errors(writer.url), writer.connect() as first, reader.connect() as second:
        process = first.scalar(query)
        first.rollback()  # a pooler gives the session to the next transaction
        if second.scalar(query) == process:
            raise ConfigurationError(
                f"the database {writer.url.render_as_string()}: a pooler (PgBouncer) in transaction mode is before it, "
                "which loses prepared statements, notifications and settings. Set its pool_mode to session, or connect "
                "directly."
            )


def check_tables(connection: Connection) -> None:
    """Check that tables can be written, and keep transactions and texts, without a change; raise ConfigurationError."""
    if connection.dialect.name in {"mysql", "mariadb"}:
        _check_mysql_tables(connection)
    if connection.dialect.name != "postgresql":
        for statement in _writes(connection.dialect):
            connection.exec_driver_sql(statement)
        return
    # In one round trip, which only a statement without parameters can be.
    connection.exec_driver_sql("; ".join(_writes(connection.dialect)), execution_options={"no_parameters": True})
    _check_sequences(connection)


def _writes(dialect: Dialect) -> Iterator[str]:
    # They change no row. As text: compiling them would take half of the time of a start.
    quote = dialect.identifier_preparer.quote
    for table in metadata.sorted_tables:
        name, columns = quote(table.name), [quote(column.name) for column in table.c]
        names, same = ", ".join(columns), ", ".join(f"{column} = {column}" for column in columns)
        yield f"INSERT INTO {name} ({names}) SELECT {names} FROM {name} WHERE 1 = 0"  # noqa: S608 - our names
        yield f"UPDATE {name} SET {same} WHERE 1 = 0"  # noqa: S608 - our names
        yield f"DELETE FROM {name} WHERE 1 = 0"  # noqa: S608 - our names


def _check_sequences(connection: Connection) -> None:
    usable = ", ".join(
        f"has_sequence_privilege(pg_get_serial_sequence('{table.name}', '{column.name}'), 'USAGE, UPDATE') {table.name}"
        for table in metadata.sorted_tables
        if (column := table.autoincrement_column) is not None
    )
    for table, is_usable in connection.exec_driver_sql(f"SELECT {usable}").mappings().one().items():
        if is_usable is False:
            raise ConfigurationError(
                f"permission denied for the sequence of the table {table}. Grant USAGE on all sequences of the "
                "schema to the account of DATABASE_URL (docs/databases.md)."
            )


def _check_mysql_tables(connection: Connection) -> None:
    engines = connection.exec_driver_sql(
        "SELECT table_name, engine FROM information_schema.tables WHERE table_schema = DATABASE()"
    )
    for table, engine in engines:
        if table in metadata.tables and engine != "InnoDB":
            raise ConfigurationError(
                f"the table {table} uses the engine {engine}, which has no transactions. Run `ALTER TABLE {table} "
                "ENGINE=InnoDB` on the database."
            )
    columns = connection.exec_driver_sql(
        "SELECT table_name, column_name, collation_name FROM information_schema.columns "
        "WHERE table_schema = DATABASE() AND collation_name IS NOT NULL"
    )
    for table, column, collation in columns:
        defined = metadata.tables[table].c.get(column) if table in metadata.tables else None
        if defined is None or type(defined.type) is String:  # ASCII codes, as status: any character set stores them
            continue
        if not collation.startswith("utf8mb4_") or (isinstance(defined.type, Key) and not collation.endswith("_bin")):
            needed = defined.type.compile(connection.dialect)
            null = "NULL" if defined.nullable else "NOT NULL"
            raise ConfigurationError(
                f"the column {column} of the table {table} has the collation {collation}, which can't store every "
                f"text, or takes different ids for equal. Run `ALTER TABLE {table} MODIFY {column} {needed} {null}` on "
                "the database."
            )
