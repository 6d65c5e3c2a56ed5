"""Sessions of demo data: found by their user ids, and erased. Nobody's ids: ``demo-<seed>-<number>``.

Every function works on a connection whose transaction its caller owns.
"""

import re

from sqlalchemy import ColumnElement, Connection, and_, not_, select

from ..survey import SessionKey
from .history import erase
from .participants import owner_of
from .tables import sessions

_DEMO_ID = re.compile(r"demo-[0-9]+-[0-9]{7,}")
_FROM, _BEFORE = "demo-", "demo."


def demo_user_id(seed: int, number: int) -> str:
    """Return the user id of a participant of demo data; ids of one seed are in the order of their numbers."""
    return f"demo-{seed}-{number:07}"


def is_demo(user_id: str) -> bool:
    """Return whether the session is of demo data, be it one that was set aside."""
    return _DEMO_ID.fullmatch(owner_of(user_id)) is not None


def find_person(connection: Connection) -> SessionKey | None:
    """Return a session that is of a person, None where there is none."""
    column = sessions.c
    query = select(column.survey_id, column.user_id).where(not_(_in_range())).limit(1)
    found = connection.execute(query).first()
    return None if found is None else SessionKey(found.survey_id, found.user_id)


def read_demo_keys(connection: Connection, after: SessionKey | None, limit: int) -> tuple[list[SessionKey], bool]:
    """Return the next sessions of demo data, in their order, and whether more may follow."""
    column = sessions.c
    query = select(column.survey_id, column.user_id).where(_in_range())
    if after is not None:
        later = and_(column.user_id == after.user_id, column.survey_id > after.survey_id)
        query = query.where(column.user_id >= after.user_id, (column.user_id > after.user_id) | later)
    rows = connection.execute(query.order_by(column.user_id, column.survey_id).limit(limit)).all()
    keys = [SessionKey(survey_id, user_id) for survey_id, user_id in rows]
    return keys, len(keys) == limit


def erase_demo(connection: Connection, keys: list[SessionKey]) -> int:
    """Erase these sessions of demo data with all that belongs to them; return how many there were."""
    return sum(erase(connection, key) for key in keys)


def _in_range() -> ColumnElement[bool]:
    # A range that the primary key answers; is_demo then tells exactly.
    return and_(sessions.c.user_id >= _FROM, sessions.c.user_id < _BEFORE)
