"""Which rows are one participant's: those under his id, and those of his sessions that were set aside. Pure."""

from typing import Any

from sqlalchemy import ColumnElement, and_, or_

from .encryption import SET_ASIDE


def belongs_to(column: ColumnElement[Any], user_id: str) -> ColumnElement[bool]:
    """Return the condition that a column holds his id, or the name of a session of his that was set aside.

    A range, not LIKE, in which ``_`` and ``%`` mean something else; and nobody else's, because an id holds no ``~``.
    """
    aside = f"{user_id}{SET_ASIDE}"
    beyond = f"{aside[:-1]}{chr(ord(aside[-1]) + 1)}"
    return or_(column == user_id, and_(column >= aside, column < beyond))


def owner_of(user_id: str) -> str:
    """Return whose session it is, be it one that was set aside."""
    return user_id.partition(SET_ASIDE)[0]
