"""An ORM session per turn, as most applications would do it, over a pool of 16 connections.

Each turn uses a SQLAlchemy ``Session``: load the row locked, change it, add a history row, commit. It writes the same
rows as the raw drivers, and has the advantage that nothing is decided.
"""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Engine, create_engine, event, insert, select
from sqlalchemy.orm import Session, registry

from app.store import engine as engines
from app.store.drivers import sqlite
from app.store.tables import metadata, session_history, sessions
from benchmarks import crowd
from benchmarks.contestant import Contestant
from benchmarks.crowd import Measured
from benchmarks.raw_rows import TEMPLATE, Row, record_rows
from benchmarks.stepkeep import DURABILITY, store_on

CONNECTIONS = 16


class SessionRow:
    """A row of ``sessions``."""


class HistoryRow:
    """A row of ``session_history``."""


_MAPPING = registry(metadata=metadata)
_MAPPING.map_imperatively(SessionRow, sessions)
_MAPPING.map_imperatively(HistoryRow, session_history)


class Orm(Contestant):
    """Threads as callers (``turns``), each with its own participant."""

    def __init__(self, url: str) -> None:
        self._engine = _engine(url)
        store = store_on(url)
        try:
            self._rows = record_rows(store, self._read)
        finally:
            store.close()
        first = self._rows.first()
        with self._engine.begin() as connection:
            connection.execute(insert(sessions), [session for session, _ in first])
            connection.execute(insert(session_history), [entry for _, entry in first])

    def measure(self, what: str, callers: int, seconds: float) -> Measured:
        """Measure this many threads."""
        assert what == "turns"
        return crowd.in_threads([lambda number=number: self._turn(number) for number in range(callers)], seconds)

    def facts(self) -> Mapping[str, str]:
        """Return the number of connections, and the durability."""
        return {"connections": str(CONNECTIONS), "durability": DURABILITY[self._engine.dialect.name]}

    def rest(self) -> None:
        """Close the idle connections."""
        self._engine.dispose()

    def close(self) -> None:
        """Close the pool."""
        self._engine.dispose()

    def _turn(self, number: int) -> None:
        after, entry = self._rows.next_of(number)
        with Session(self._engine) as session, session.begin():
            row = session.get_one(SessionRow, (after["user_id"], after["survey_id"]), with_for_update=True)
            for name in self._rows.changed_columns:
                setattr(row, name, after[name])
            session.add(_history_row(entry))

    def _read(self, table: str, order: str) -> list[Row]:
        source = metadata.tables[table]
        query = select(source).where(source.c.user_id == TEMPLATE.user_id).order_by(source.c[order])
        with self._engine.connect() as connection:
            return [dict(row) for row in connection.execute(query).mappings()]


def _history_row(entry: Row) -> HistoryRow:
    row = HistoryRow()
    for name, value in entry.items():
        setattr(row, name, value)
    return row


def _engine(url: str) -> Engine:
    normal = engines.normalise_url(url)
    pool: dict[str, Any] = {"pool_size": CONNECTIONS, "max_overflow": 0, "pool_timeout": 60}
    if normal.get_backend_name() != "sqlite":
        return create_engine(normal, isolation_level="READ COMMITTED", **pool)
    engine = create_engine(normal, module=sqlite.driver(), connect_args={"timeout": 30}, **pool)

    @event.listens_for(engine, "connect")
    def _set_up(connection: Any, _record: object) -> None:
        connection.isolation_level = None
        for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
            connection.execute(f"PRAGMA {pragma}")

    @event.listens_for(engine, "begin")
    def _begin(connection: Any) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE")

    return engine


def enter(spec: Mapping[str, Any]) -> Orm:
    """Return the contestant on the database of the spec."""
    return Orm(spec["url"])
