"""Leases: rows of the table ``leases`` that say which process does a task that only one should do, and until when.

A holder renews its lease before it expires; the lease of a process that died expires. Times come from the holders'
clocks: only while these differ by less than what is left of a lease at its renewal is there one holder. Clocks that
differ by more, or a process that was suspended for longer than its lease, give two holders; work under a lease must
therefore be idempotent.

The same table marks a database into which another one is being moved, until the move is complete; the holder is then
the hash of the source database's URL.

Every function takes a connection whose transaction its caller owns; a lease is acquired when that commits.
"""

import datetime
from typing import cast

from sqlalchemy import Connection, and_, delete, insert, or_, select, update
from sqlalchemy.exc import IntegrityError

from ..core.timestamps import to_datetime
from .tables import leases

MAX_LENGTHS = 10
"""A lease that would expire after more than this many times its length comes from a wrong clock, and can be taken;
otherwise nobody could take it for years."""

MIGRATION = "move"
"""Name of the row that marks an unfinished move into this database."""

_NEVER = datetime.datetime(9999, 12, 31)  # noqa: DTZ001 - the columns hold naive UTC


def acquire(connection: Connection, name: str, holder: str, at: int, for_us: int) -> bool:
    """Acquire or renew a lease until ``at + for_us``; return whether the holder has it.

    Args:
        name: of the task; 64 characters at most.
        holder: identifies this process; 64 characters at most.
        at: now, microseconds since 1970 UTC.
        for_us: length in microseconds; about the same for all holders of a name.
    """
    column = leases.c
    is_free = or_(column.until <= to_datetime(at), column.until > to_datetime(at + MAX_LENGTHS * for_us))
    values = {"holder": holder, "until": to_datetime(at + for_us)}
    own = update(leases).where(column.name == name, or_(column.holder == holder, is_free)).values(values)
    if connection.execute(own).rowcount == 1:
        return True
    return not _exists(connection, name) and _try_to_insert(connection, {"name": name, **values})


def release(connection: Connection, name: str, holder: str) -> None:
    """Release the lease, unless another process holds it by now."""
    connection.execute(delete(leases).where(and_(leases.c.name == name, leases.c.holder == holder)))


def mark_migration(connection: Connection, source: str) -> None:
    """Mark the database as the target of a move from this source."""
    connection.execute(insert(leases).values(name=MIGRATION, holder=source, until=_NEVER))


def migration_source(connection: Connection) -> str | None:
    """Return the source of the unfinished move; None if there is none."""
    query = select(leases.c.holder).where(leases.c.name == MIGRATION)
    return cast("str | None", connection.execute(query).scalar())


def unmark_migration(connection: Connection) -> None:
    """Mark the move as complete."""
    connection.execute(delete(leases).where(leases.c.name == MIGRATION))


def _exists(connection: Connection, name: str) -> bool:
    return connection.execute(leases.select().where(leases.c.name == name)).first() is not None


def _try_to_insert(connection: Connection, row: dict[str, object]) -> bool:
    """Insert the row unless a concurrent transaction did: the second one waits for the first, and then fails."""
    try:
        with connection.begin_nested():
            connection.execute(insert(leases).values(row))
    except IntegrityError:
        return False
    return True
