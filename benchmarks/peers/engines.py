"""Engines for the peers that take one: SQLAlchemy's defaults, with the durability that Stepkeep has.

On SQLite that is WAL with synchronous=FULL, set by the user of the peer in a ``connect`` listener.
"""

from typing import Any

from sqlalchemy import Engine, event, make_url
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

SQLITE_SET = "WAL, synchronous=FULL"

_ASYNC = {"sqlite": "sqlite+aiosqlite", "postgresql": "postgresql+asyncpg"}


def is_sqlite(url: str) -> bool:
    """Return whether this is a SQLite file."""
    return make_url(url).get_backend_name() == "sqlite"


def async_engine(url: str, connections: int | None) -> AsyncEngine:
    """Return an asyncio engine; ``connections`` bounds its pool, None leaves SQLAlchemy's 5 and 10 more."""
    parsed = make_url(url)
    pool = {} if connections is None else {"pool_size": connections, "max_overflow": 0}
    engine = create_async_engine(parsed.set(drivername=_ASYNC[parsed.get_backend_name()]), **pool)
    make_durable(engine.sync_engine)
    return engine


def make_durable(engine: Engine) -> None:
    """Set what Stepkeep sets, on SQLite; the servers' defaults are durable."""
    if engine.dialect.name != "sqlite":
        return

    @event.listens_for(engine, "connect")
    def _set_up(connection: Any, _record: object) -> None:
        cursor = connection.cursor()
        cursor.execute("PRAGMA journal_mode=WAL")
        cursor.execute("PRAGMA synchronous=FULL")
        cursor.close()
