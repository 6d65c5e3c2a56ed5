"""Which process does what one alone should do: a row of ``leases`` says who, and until when.

A holder who works on renews before its time is over; one who dies is followed when it is over. Times come from the
holders' clocks: while these differ by less than what is left of a lease when it is renewed, only one holds it. Where
they differ by more, or a process stood still for longer than its lease, two may hold one at the same time; so what is
done under a lease must be safe when it is done twice.
Every function works on a connection whose transaction its caller owns; a lease is taken when that is committed.
"""

from sqlalchemy import Connection, and_, delete, insert, or_, update
from sqlalchemy.exc import IntegrityError

from ..core.timestamps import to_datetime
from .tables import leases

BELIEVED = 10
"""A lease that would hold for so many times its length was given by a clock that was wrong, and can be taken: else
nobody could until that time comes, which may be years."""


def take(connection: Connection, name: str, holder: str, at: int, for_us: int) -> bool:
    """Return whether the lease is the holder's, until ``at + for_us``: taken, or renewed if it was already.

    Args:
        name: what is to be done by one alone; 64 characters at most.
        holder: this process, and no other one; 64 characters at most.
        at: now, microseconds since 1970 UTC.
        for_us: microseconds; all holders of a name ask for about the same.
    """
    column = leases.c
    is_free = or_(column.until <= to_datetime(at), column.until > to_datetime(at + BELIEVED * for_us))
    values = {"holder": holder, "until": to_datetime(at + for_us)}
    mine = update(leases).where(column.name == name, or_(column.holder == holder, is_free)).values(values)
    if connection.execute(mine).rowcount == 1:
        return True
    return not _is_there(connection, name) and _is_inserted(connection, {"name": name, **values})


def release(connection: Connection, name: str, holder: str) -> None:
    """Give the lease back, for anybody to take; if it is another's by now, nothing happens."""
    connection.execute(delete(leases).where(and_(leases.c.name == name, leases.c.holder == holder)))


def _is_there(connection: Connection, name: str) -> bool:
    return connection.execute(leases.select().where(leases.c.name == name)).first() is not None


def _is_inserted(connection: Connection, row: dict[str, object]) -> bool:
    """Return whether the row is new; of two who insert it at once, the later one waits and is refused."""
    try:
        with connection.begin_nested():
            connection.execute(insert(leases).values(row))
    except IntegrityError:
        return False
    return True
