"""The mark of a database into which another one is being moved, and that is not whole yet: a row of ``leases``.

Its holder is the hash of the database that is moved. Every function works on a connection whose transaction its caller
owns.
"""

import datetime
from typing import cast

from sqlalchemy import Connection, delete, insert, select

from .tables import leases

MARK = "move"

_NEVER = datetime.datetime(9999, 12, 31)  # noqa: DTZ001 - the columns hold naive UTC


def mark(connection: Connection, source: str) -> None:
    """Mark the database as the target of a move from this source."""
    connection.execute(insert(leases).values(name=MARK, holder=source, until=_NEVER))


def source_of(connection: Connection) -> str | None:
    """Return the source of the move that is not done; None where there is none."""
    query = select(leases.c.holder).where(leases.c.name == MARK)
    return cast("str | None", connection.execute(query).scalar())


def unmark(connection: Connection) -> None:
    """Let the move be done."""
    connection.execute(delete(leases).where(leases.c.name == MARK))
