"""The limit of the raw SQLite driver: the same two rows per turn, without reading and deciding."""

from collections.abc import Mapping
from typing import Any

from app.store import engine as engines
from app.store.drivers import sqlite
from benchmarks import crowd
from benchmarks.contestant import Contestant
from benchmarks.crowd import Measured
from benchmarks.raw_rows import insert, record_rows, through, update, values
from benchmarks.stepkeep import DURABILITY, store_on


class RawSqlite(Contestant):
    """One connection: a transaction per turn (``turns``), or executemany of a group (``groups``)."""

    def __init__(self, url: str) -> None:
        store = store_on(url)
        # Configured like the writer's connection: the same library and PRAGMAs.
        self._engine = engines.writer_engine(engines.normalise_url(url))
        self._connection: Any = self._engine.raw_connection().driver_connection
        try:
            self._rows = record_rows(store, through(self._connection.cursor()))
        finally:
            store.close()
        rows = self._rows
        self._changed = rows.update_columns
        self._update = update(rows, "?")
        self._insert = insert("session_history", rows.history_columns, "?")
        self._begin()

    def measure(self, what: str, callers: int, seconds: float) -> Measured:
        """Measure one caller with ``callers`` turns per transaction."""
        write = self._one if what == "turns" else self._many
        return crowd.in_groups(lambda: write(callers), seconds)

    def facts(self) -> Mapping[str, str]:
        """Return the version of SQLite, and the durability."""
        return {"version": sqlite.driver().sqlite_version, "durability": DURABILITY["sqlite"]}

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def _one(self, _size: int) -> int:
        session, entry = self._rows.next()
        execute = self._connection.execute
        execute("BEGIN IMMEDIATE")
        execute(self._update, values(session, self._changed))
        execute(self._insert, values(entry, self._rows.history_columns))
        execute("COMMIT")
        return 1

    def _many(self, size: int) -> int:
        pairs = [self._rows.next() for _ in range(size)]
        self._connection.execute("BEGIN IMMEDIATE")
        self._connection.executemany(self._update, [values(session, self._changed) for session, _ in pairs])
        columns = self._rows.history_columns
        self._connection.executemany(self._insert, [values(entry, columns) for _, entry in pairs])
        self._connection.execute("COMMIT")
        return size

    def _begin(self) -> None:
        rows, first = self._rows, self._rows.first()
        self._connection.execute("BEGIN IMMEDIATE")
        sessions = [values(session, rows.session_columns) for session, _ in first]
        self._connection.executemany(insert("sessions", rows.session_columns, "?"), sessions)
        self._connection.executemany(self._insert, [values(entry, rows.history_columns) for _, entry in first])
        self._connection.execute("COMMIT")


def enter(spec: Mapping[str, Any]) -> RawSqlite:
    """Return the contestant on the database of the spec."""
    return RawSqlite(spec["url"])
