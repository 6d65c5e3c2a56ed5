"""The limit of the raw PostgreSQL driver: the same two rows per turn, without reading and deciding."""

from collections.abc import Mapping, Sequence
from typing import Any

import psycopg

from benchmarks import crowd
from benchmarks.contestant import Contestant
from benchmarks.crowd import Measured
from benchmarks.raw_rows import Row, insert, record_rows, through, update, values
from benchmarks.stepkeep import DURABILITY, store_on


class RawPostgresql(Contestant):
    """One connection: a transaction per turn (``turns``), or one of two fast ways to write a group.

    ``groups`` unnests binary arrays, one per column; ``pipelined`` is psycopg's executemany.
    """

    def __init__(self, url: str) -> None:
        self._connection = psycopg.connect(url, autocommit=True)
        store = store_on(url)
        try:
            self._rows = record_rows(store, through(self._connection.cursor()))
        finally:
            store.close()
        rows = self._rows
        self._changed = rows.update_columns
        self._history = rows.history_columns
        self._update = update(rows)
        self._insert = insert("session_history", self._history)
        self._update_all = self._unnest_update()
        self._insert_all = self._unnest_insert()
        self._begin()
        self._connection.autocommit = False

    def measure(self, what: str, callers: int, seconds: float) -> Measured:
        """Measure one caller with ``callers`` turns per transaction."""
        write = {"turns": self._one, "groups": self._unnested, "pipelined": self._pipelined}[what]
        return crowd.in_groups(lambda: write(callers), seconds)

    def facts(self) -> Mapping[str, str]:
        """Return the version of the server, and the durability."""
        version = str(self._connection.info.server_version)
        return {"version": version, "durability": DURABILITY["postgresql"]}

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def _one(self, _size: int) -> int:
        session, entry = self._rows.next()
        self._connection.execute(self._update, values(session, self._changed))
        self._connection.execute(self._insert, values(entry, self._history))
        self._connection.commit()
        return 1

    def _unnested(self, size: int) -> int:
        pairs = [self._rows.next() for _ in range(size)]
        self._connection.execute(self._update_all, _columns([pair[0] for pair in pairs], self._changed))
        self._connection.execute(self._insert_all, _columns([pair[1] for pair in pairs], self._history))
        self._connection.commit()
        return size

    def _pipelined(self, size: int) -> int:
        pairs = [self._rows.next() for _ in range(size)]
        cursor = self._connection.cursor()
        cursor.executemany(self._update, [values(session, self._changed) for session, _ in pairs])
        cursor.executemany(self._insert, [values(entry, self._history) for _, entry in pairs])
        self._connection.commit()
        return size

    def _unnest_update(self) -> str:
        types = self._types("sessions")
        assignments = ", ".join(f"{name} = given.{name}" for name in self._rows.changed_columns)
        arrays = ", ".join(f"%b::{types[name]}[]" for name in self._changed)
        return (
            f"UPDATE sessions SET {assignments} FROM unnest({arrays}) AS given({', '.join(self._changed)}) "  # noqa: S608 - fixed names
            "WHERE sessions.user_id = given.user_id AND sessions.survey_id = given.survey_id"
        )

    def _unnest_insert(self) -> str:
        types = self._types("session_history")
        arrays = ", ".join(f"%b::{types[name]}[]" for name in self._history)
        return f"INSERT INTO session_history ({', '.join(self._history)}) SELECT * FROM unnest({arrays})"  # noqa: S608 - fixed names

    def _types(self, table: str) -> dict[str, str]:
        query = "SELECT column_name, udt_name FROM information_schema.columns WHERE table_name = %s"
        return dict(self._connection.execute(query, [table]).fetchall())

    def _begin(self) -> None:
        rows, first = self._rows, self._rows.first()
        cursor = self._connection.cursor()
        sessions = [values(session, rows.session_columns) for session, _ in first]
        cursor.executemany(insert("sessions", rows.session_columns), sessions)
        cursor.executemany(self._insert, [values(entry, self._history) for _, entry in first])


def _columns(rows: Sequence[Row], names: Sequence[str]) -> list[list[Any]]:
    return [[row[name] for row in rows] for name in names]


def enter(spec: Mapping[str, Any]) -> RawPostgresql:
    """Return the contestant on the database of the spec."""
    return RawPostgresql(spec["url"])
