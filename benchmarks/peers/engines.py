"""Engines for peers: SQLAlchemy's defaults, with the same durability as Stepkeep.

On SQLite that is WAL with synchronous=FULL, set in a ``connect`` listener.
"""

from typing import Any

from sqlalchemy import Engine, event, make_url
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

SQLITE_SET = "WAL, synchronous=FULL"

_ASYNC = {"sqlite": "sqlite+aiosqlite", "postgresql": "postgresql+asyncpg"}


def is_sqlite(url: str) -> bool:
    """Return whether the URL is of a SQLite file."""
    return make_url(url).get_backend_name() == "sqlite"


def async_engine(url: str, connections: int | None) -> AsyncEngine:
    """Return an asyncio engine; ``connections`` limits its pool, None keeps SQLAlchemy's 5, and 10 overflow."""
    parsed = make_url(url)
    pool = {} if connections is None else {"pool_size": connections, "max_overflow": 0}
    engine = create_async_engine(parsed.set(drivername=_ASYNC[parsed.get_backend_name()]), **pool)
    make_durable(engine.sync_engine)
    return engine


def make_durable(engine: Engine) -> None:
    """Configure SQLite as Stepkeep does; the servers' defaults are durable."""
    if engine.dialect.name != "sqlite":
        return

    @event.listens_for(engine, "connect")
    def _set_up(connection: Any, _record: object) -> None:
        cursor = connection.cursor()
        cursor.execute("PRAGMA journal_mode=WAL")
        cursor.execute("PRAGMA synchronous=FULL")
        cursor.close()
