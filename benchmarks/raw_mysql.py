"""The limit of the raw MariaDB driver: the same two rows per turn, without reading and deciding."""

from collections.abc import Mapping
from typing import Any

import pymysql
from pymysql.connections import Connection
from sqlalchemy import make_url

from benchmarks import crowd
from benchmarks.contestant import Contestant
from benchmarks.crowd import Measured
from benchmarks.raw_rows import insert, record_rows, through, update, values
from benchmarks.stepkeep import DURABILITY, store_on


def connect(url: str) -> Connection:
    """Return a connection configured like the store's, with autocommit off."""
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


class RawMysql(Contestant):
    """One connection: a transaction per turn (``turns``), or INSERTs of many rows (``groups``)."""

    def __init__(self, url: str) -> None:
        self._connection = connect(url)
        self._connection.autocommit(True)
        store = store_on(url)
        try:
            self._rows = record_rows(store, through(self._connection.cursor()))
        finally:
            store.close()
        rows = self._rows
        self._changed = rows.update_columns
        self._update = update(rows)
        assignments = ", ".join(f"{name} = VALUES({name})" for name in rows.changed_columns)
        self._upsert = f"{insert('sessions', rows.session_columns)} ON DUPLICATE KEY UPDATE {assignments}"
        self._insert = insert("session_history", rows.history_columns)
        self._begin()
        self._connection.autocommit(False)

    def measure(self, what: str, callers: int, seconds: float) -> Measured:
        """Measure one caller with ``callers`` turns per transaction."""
        write = self._one if what == "turns" else self._many
        return crowd.in_groups(lambda: write(callers), seconds)

    def facts(self) -> Mapping[str, str]:
        """Return the version of the server, and the durability."""
        return {"version": self._connection.get_server_info(), "durability": DURABILITY["mariadb"]}

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def _one(self, _size: int) -> int:
        session, entry = self._rows.next()
        cursor = self._connection.cursor()
        cursor.execute(self._update, values(session, self._changed))
        cursor.execute(self._insert, values(entry, self._rows.history_columns))
        self._connection.commit()
        return 1

    def _many(self, size: int) -> int:
        pairs = [self._rows.next() for _ in range(size)]
        cursor = self._connection.cursor()
        columns = self._rows.session_columns
        cursor.executemany(self._upsert, [values(session, columns) for session, _ in pairs])
        cursor.executemany(self._insert, [values(entry, self._rows.history_columns) for _, entry in pairs])
        self._connection.commit()
        return size

    def _begin(self) -> None:
        rows, first = self._rows, self._rows.first()
        cursor = self._connection.cursor()
        cursor.executemany(
            insert("sessions", rows.session_columns),
            [values(session, rows.session_columns) for session, _ in first],
        )
        cursor.executemany(self._insert, [values(entry, rows.history_columns) for _, entry in first])


def enter(spec: Mapping[str, Any]) -> RawMysql:
    """Return the contestant on the database of the spec."""
    return RawMysql(spec["url"])
