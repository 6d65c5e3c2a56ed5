"""The limit of each raw driver: the same two rows per turn, without reading and deciding."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, ClassVar

import psycopg
import pymysql
from pymysql.connections import Connection
from sqlalchemy import make_url

from app.store import engine as engines
from app.store.drivers import sqlite
from benchmarks import crowd
from benchmarks.contestant import Contestant
from benchmarks.crowd import Measured
from benchmarks.raw_rows import Row, insert, record_rows, through, update, values
from benchmarks.stepkeep import DURABILITY, store_on


class Raw(Contestant):
    """One connection: a transaction per turn (``turns``), or executemany of many turns.

    Args:
        connection: sees new commits of others until the rows were recorded.
    """

    kind: ClassVar[str]
    placeholder: ClassVar[str] = "%s"

    def __init__(self, url: str, connection: Any) -> None:
        self.connection = connection
        self.cursor = connection.cursor()
        store = store_on(url)
        try:
            self.rows = record_rows(store, through(self.cursor))
        finally:
            store.close()
        self.changed = self.rows.update_columns
        self.history = self.rows.history_columns
        self._update = update(self.rows, self.placeholder)
        self._insert = insert("session_history", self.history, self.placeholder)
        columns = self.rows.session_columns
        self.begin()
        self._write(self.rows.first(), insert("sessions", columns, self.placeholder), columns)

    def version(self) -> str:
        """Return the version of the database."""
        raise NotImplementedError

    def begin(self) -> None:
        """Begin a transaction; most drivers do so themselves."""

    def ways(self) -> Mapping[str, Callable[[int], int]]:
        """Return the ways to write a number of turns, by the name of the operation."""
        return {"turns": self._turn, "groups": self.executemany}

    def measure(self, what: str, callers: int, seconds: float) -> Measured:
        """Measure one caller with ``callers`` turns per transaction."""
        return crowd.in_groups(partial(self.ways()[what], callers), seconds)

    def facts(self) -> Mapping[str, str]:
        """Return the version of the database, and the durability."""
        return {"version": self.version(), "durability": DURABILITY[self.kind]}

    def close(self) -> None:
        """Close the connection."""
        self.connection.close()

    def executemany(self, size: int, statement: str | None = None, columns: Sequence[str] | None = None) -> int:
        """Write a group; ``statement`` writes the sessions' rows, by default the UPDATE of one."""
        pairs = [self.rows.next() for _ in range(size)]
        self.begin()
        self._write(pairs, statement or self._update, columns or self.changed)
        return size

    def _turn(self, _size: int) -> int:
        session, entry = self.rows.next()
        self.begin()
        self.cursor.execute(self._update, values(session, self.changed))
        self.cursor.execute(self._insert, values(entry, self.history))
        self.connection.commit()
        return 1

    def _write(self, pairs: Sequence[tuple[Row, Row]], statement: str, columns: Sequence[str]) -> None:
        self.cursor.executemany(statement, [values(session, columns) for session, _ in pairs])
        self.cursor.executemany(self._insert, [values(entry, self.history) for _, entry in pairs])
        self.connection.commit()


class RawSqlite(Raw):
    """Over a connection like the writer's: the same library and PRAGMAs."""

    kind = "sqlite"
    placeholder = "?"

    def __init__(self, url: str) -> None:
        store_on(url).close()  # creates the file with its PRAGMAs
        self._engine = engines.writer_engine(engines.normalise_url(url))
        super().__init__(url, self._engine.raw_connection().driver_connection)

    def version(self) -> str:
        """Return the library's version."""
        return sqlite.driver().sqlite_version

    def begin(self) -> None:
        """Begin a transaction that writes."""
        self.cursor.execute("BEGIN IMMEDIATE")


class RawPostgresql(Raw):
    """Two fast ways to write a group.

    ``groups`` unnests binary arrays, one per column; ``pipelined`` is psycopg's executemany.
    """

    kind = "postgresql"

    def __init__(self, url: str) -> None:
        super().__init__(url, psycopg.connect(url, autocommit=True))
        self.connection.autocommit = False
        types = self._types("sessions")
        assignments = ", ".join(f"{name} = given.{name}" for name in self.rows.changed_columns)
        arrays = ", ".join(f"%b::{types[name]}[]" for name in self.changed)
        self._update_all = (
            f"UPDATE sessions SET {assignments} FROM unnest({arrays}) AS given({', '.join(self.changed)}) "  # noqa: S608 - fixed names
            "WHERE sessions.user_id = given.user_id AND sessions.survey_id = given.survey_id"
        )
        types = self._types("session_history")
        arrays = ", ".join(f"%b::{types[name]}[]" for name in self.history)
        self._insert_all = f"INSERT INTO session_history ({', '.join(self.history)}) SELECT * FROM unnest({arrays})"  # noqa: S608 - fixed names

    def version(self) -> str:
        """Return the server's version."""
        return str(self.connection.info.server_version)

    def ways(self) -> Mapping[str, Callable[[int], int]]:
        """Add the binary arrays."""
        return {**super().ways(), "groups": self._unnested, "pipelined": self.executemany}

    def _unnested(self, size: int) -> int:
        pairs = [self.rows.next() for _ in range(size)]
        self.cursor.execute(self._update_all, _columns([pair[0] for pair in pairs], self.changed))
        self.cursor.execute(self._insert_all, _columns([pair[1] for pair in pairs], self.history))
        self.connection.commit()
        return size

    def _types(self, table: str) -> dict[str, str]:
        query = "SELECT column_name, udt_name FROM information_schema.columns WHERE table_name = %s"
        types = dict(self.connection.execute(query, [table]).fetchall())
        self.connection.commit()
        return types


class RawMysql(Raw):
    """Groups are INSERTs of many rows, which the driver joins into one statement."""

    kind = "mariadb"

    def __init__(self, url: str) -> None:
        connection = connect(url)
        connection.autocommit(True)
        super().__init__(url, connection)
        connection.autocommit(False)
        assignments = ", ".join(f"{name} = VALUES({name})" for name in self.rows.changed_columns)
        columns = self.rows.session_columns
        self._upsert = f"{insert('sessions', columns)} ON DUPLICATE KEY UPDATE {assignments}"

    def version(self) -> str:
        """Return the server's version."""
        return str(self.connection.get_server_info())

    def ways(self) -> Mapping[str, Callable[[int], int]]:
        """Write sessions by INSERT ... ON DUPLICATE KEY UPDATE."""
        columns = self.rows.session_columns
        return {**super().ways(), "groups": partial(self.executemany, statement=self._upsert, columns=columns)}


def connect(url: str) -> Connection:
    """Return a connection to MariaDB that is configured like the store's, with autocommit off."""
    parsed = make_url(url)
    return pymysql.connect(
        host=parsed.host,
        port=parsed.port or 3306,
        user=parsed.username,
        password=parsed.password or "",
        database=parsed.database,
        charset="utf8mb4",
        init_command="SET time_zone='+00:00', sql_mode='STRICT_ALL_TABLES,NO_ENGINE_SUBSTITUTION', "
        "tx_isolation='READ-COMMITTED'",
    )


def _columns(rows: Sequence[Row], names: Sequence[str]) -> list[list[Any]]:
    return [[row[name] for row in rows] for name in names]


def enter(spec: Mapping[str, Any]) -> Raw:
    """Return the contestant on the database of the spec."""
    contestants = {"sqlite": RawSqlite, "postgresql": RawPostgresql, "mysql": RawMysql}
    return contestants[make_url(spec["url"]).get_backend_name()](spec["url"])
