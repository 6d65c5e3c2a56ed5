"""Leases: which process does a task that only one should do, and until when.

If the holders' clocks differ, or a process was suspended, there can be two: the work must be idempotent.
"""

from contextlib import suppress
from typing import cast

from sqlalchemy import ColumnElement, Connection, and_, delete, insert, or_, select, update
from sqlalchemy.exc import IntegrityError

from ..core.timestamps import from_datetime
from .tables import leases

MAX_LENGTHS = 10  # a lease expiring more lengths ahead comes from a wrong clock: it can be taken
MIGRATION = "move"  # marks a database into which another is moved; held by the hash of the source's URL
RELOAD = "surveys"  # held by the last request to read the survey files again
_LINK = "link "  # marks a link as used until it expires; held by the hash of the exchange that used it
_NEVER = from_datetime("9999-12-31")


def acquire(connection: Connection, name: str, holder: str, at: int, for_us: int) -> bool:
    """Acquire or renew a lease; return whether the holder has it. ``for_us`` is about the same for all holders."""
    column = leases.c
    is_free = or_(column.until <= at, column.until > at + MAX_LENGTHS * for_us)
    values = {"holder": holder, "until": at + for_us}
    own = update(leases).where(column.name == name, or_(column.holder == holder, is_free)).values(values)
    if connection.execute(own).rowcount == 1:
        return True
    if connection.execute(select(column.name).where(column.name == name)).first() is not None:
        return False
    try:
        with connection.begin_nested():  # waits for a concurrent transaction that inserts the row, then fails
            connection.execute(insert(leases).values(name=name, **values))
    except IntegrityError:
        return False
    return True


def release(connection: Connection, name: str, holder: str) -> None:
    connection.execute(delete(leases).where(and_(leases.c.name == name, leases.c.holder == holder)))


def read_holder(connection: Connection, name: str) -> str | None:
    """Return who has the lease, or had it last."""
    return cast("str | None", connection.execute(select(leases.c.holder).where(leases.c.name == name)).scalar())


def link_name(link_id: str, expires_at: int) -> str:
    """Return the lease of a used link; expired ones sort first."""
    return f"{_LINK}{expires_at:016} {link_id}"


def has_expired_links(connection: Connection, at: int) -> bool:
    return connection.execute(select(leases.c.name).where(_expired_links(at)).limit(1)).first() is not None


def remove_expired_links(connection: Connection, at: int) -> int:
    return connection.execute(delete(leases).where(_expired_links(at))).rowcount


def _expired_links(at: int) -> ColumnElement[bool]:
    return and_(leases.c.name > _LINK, leases.c.name < link_name("", at))


def request_reload(connection: Connection, request: str) -> None:
    if connection.execute(update(leases).where(leases.c.name == RELOAD).values(holder=request)).rowcount == 0:
        with suppress(IntegrityError), connection.begin_nested():  # another process may insert it now
            connection.execute(insert(leases).values(name=RELOAD, holder=request, until=_NEVER))


def mark_migration(connection: Connection, source: str) -> None:
    connection.execute(insert(leases).values(name=MIGRATION, holder=source, until=_NEVER))
