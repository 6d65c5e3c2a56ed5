"""A transaction per turn over a pool of 16 connections: a good implementation without group commit.

SELECT ... FOR UPDATE, UPDATE, INSERT, COMMIT through the raw driver and SQLAlchemy's QueuePool.
"""

from collections.abc import Mapping
from typing import Any

import psycopg
from sqlalchemy import QueuePool

from benchmarks import crowd
from benchmarks.contestant import Contestant
from benchmarks.crowd import Measured
from benchmarks.raw_driver import connect
from benchmarks.raw_rows import insert, record_rows, through, update, values
from benchmarks.stepkeep import DURABILITY, store_on

CONNECTIONS = 16


class RawPool(Contestant):
    """Threads as callers (``turns``), each with its own participant."""

    def __init__(self, url: str) -> None:
        is_postgresql = url.startswith("postgresql")
        self._durability = DURABILITY["postgresql" if is_postgresql else "mariadb"]
        self._pool = QueuePool(
            lambda: psycopg.connect(url) if is_postgresql else connect(url),
            pool_size=CONNECTIONS,
            max_overflow=0,
            timeout=60,
        )
        store, connection = store_on(url), self._pool.connect()
        cursor = connection.cursor()
        try:
            self._rows = rows = record_rows(store, through(cursor))
        finally:
            store.close()
        self._select = "SELECT * FROM sessions WHERE user_id = %s AND survey_id = %s FOR UPDATE"
        self._update = update(rows)
        self._insert = insert("session_history", rows.history_columns)
        columns = rows.session_columns
        first = rows.first()
        cursor.executemany(insert("sessions", columns), [values(session, columns) for session, _ in first])
        cursor.executemany(self._insert, [values(entry, rows.history_columns) for _, entry in first])
        connection.commit()
        connection.close()

    def measure(self, what: str, callers: int, seconds: float) -> Measured:
        """Measure this many threads."""
        assert what == "turns"
        return crowd.in_threads([lambda number=number: self._turn(number) for number in range(callers)], seconds)

    def facts(self) -> Mapping[str, str]:
        """Return the number of connections, and the durability."""
        return {"connections": str(CONNECTIONS), "durability": self._durability}

    def rest(self) -> None:
        """Close the idle connections."""
        self._pool.dispose()
        self._pool = self._pool.recreate()

    def close(self) -> None:
        """Close the pool."""
        self._pool.dispose()

    def _turn(self, number: int) -> None:
        session, entry = self._rows.next_of(number)
        connection = self._pool.connect()
        try:
            cursor = connection.cursor()
            cursor.execute(self._select, (session["user_id"], session["survey_id"]))
            cursor.fetchall()
            cursor.execute(self._update, values(session, self._rows.update_columns))
            cursor.execute(self._insert, values(entry, self._rows.history_columns))
            connection.commit()
        finally:
            connection.close()  # returns it to the pool, which rolls back uncommitted changes


def enter(spec: Mapping[str, Any]) -> RawPool:
    """Return the contestant on the database of the spec."""
    return RawPool(spec["url"])
