"""A database for each contestant, created and dropped by the parent, so that a worker can be killed."""

import contextlib
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import psycopg
import pymysql
from sqlalchemy import make_url

from benchmarks.raw_driver import connect

SERVERS = {
    "postgresql": os.environ.get("BENCH_POSTGRESQL_URL", "postgresql://postgres@127.0.0.1:5432/postgres"),
    "mariadb": os.environ.get("BENCH_MYSQL_URL", "mysql://root@127.0.0.1:3306/mysql"),
}
"""Servers, with a user who may create databases."""

KINDS = ("sqlite", *SERVERS)


def unavailable_reason(kind: str) -> str | None:
    """Return why this kind of database is unavailable, or None."""
    try:
        _execute(kind, "SELECT 1")
    except (psycopg.Error, pymysql.Error) as error:
        return " ".join(str(error).split())
    return None


def available(kinds: Sequence[str] = KINDS) -> Iterator[str]:
    """Yield the available kinds of databases; print why others are skipped."""
    for kind in kinds:
        if reason := unavailable_reason(kind):
            print(f"{kind} is skipped: {reason}", flush=True)
        else:
            yield kind


@contextlib.contextmanager
def fresh(kind: str, name: str, folder: Path) -> Iterator[str]:
    """Create an empty database, yield its URL, and drop it afterwards."""
    if kind == "sqlite":
        yield f"sqlite:///{folder / name}.db"
        for file in folder.glob(f"{name}.db*"):
            file.unlink()
        return
    database = f"stepkeep_bench_{os.getpid()}_{name}"
    _execute(kind, f"CREATE DATABASE {database}")
    try:
        yield make_url(SERVERS[kind]).set(database=database).render_as_string(hide_password=False)
    finally:
        _execute(kind, f"DROP DATABASE {database}{' WITH (FORCE)' if kind == 'postgresql' else ''}")


def refresh_statistics(url: str) -> None:
    """Refresh PostgreSQL's statistics, as autovacuum does within a minute of a table's first rows."""
    parsed = make_url(url)
    if parsed.get_backend_name() == "postgresql":
        plain = parsed.set(drivername="postgresql").render_as_string(hide_password=False)
        with psycopg.connect(plain, autocommit=True, connect_timeout=5) as connection:
            connection.execute("ANALYZE")


def server_version(kind: str) -> str:
    """Return the server's description of its version."""
    return _execute(kind, "SELECT version()")


def _execute(kind: str, statement: str) -> str:
    if kind == "sqlite":
        return ""
    if kind == "postgresql":
        with psycopg.connect(SERVERS[kind], autocommit=True, connect_timeout=5) as connection:
            result = connection.execute(statement)  # type: ignore[call-overload]
            return str(result.fetchone()[0]) if result.description else ""
    with contextlib.closing(connect(SERVERS[kind])) as connection, connection.cursor() as cursor:
        cursor.execute(statement)
        row = cursor.fetchone()
        return str(row[0]) if row else ""
