"""The database's own list of erasures: whom it has erased, as keyed hashes, and how many sessions for their age.

Every function works on a connection whose transaction its caller owns.
"""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, insert, select

from ..core.timestamps import from_datetime, to_datetime
from .erasure_journal import ErasureRecord, Identity, hash_user_id
from .tables import erasures

_PAGE = 1000


def newest_salt(connection: Connection, new: str) -> str:
    """Return the salt of the newest erasure, so that a database has few; ``new`` where there is none."""
    column = erasures.c
    query = select(column.salt).where(column.salt.is_not(None)).order_by(column.id.desc()).limit(1)
    return connection.execute(query).scalar() or new


def add_purge(connection: Connection, survey_id: str, count: int, at: int) -> None:
    """Keep that sessions were erased for their age: how many, and nothing that could tell whose."""
    connection.execute(insert(erasures).values(survey_id=survey_id, sessions=count, erased_at=to_datetime(at)))


def read_after(connection: Connection, after_id: int) -> tuple[list[ErasureRecord], int | None]:
    """Return the next erasures of participants, the oldest first, and the id to go on after; None after the last."""
    column = erasures.c
    query = select(erasures).where(column.id > after_id, column.user_hash.is_not(None)).order_by(column.id).limit(_PAGE)
    rows = connection.execute(query).all()
    found = [_erased_of(row) for row in rows]
    return found, rows[-1].id if len(rows) == _PAGE else None


def read_participant(connection: Connection, user_id: str, survey_id: str | None) -> list[ErasureRecord]:
    """Return the earlier erasures of a participant, found by all salts that there are, the oldest first."""
    column = erasures.c
    pairs = select(column.survey_id, column.salt).where(column.salt.is_not(None)).distinct()
    if survey_id is not None:
        pairs = pairs.where(column.survey_id == survey_id)
    hashes = [hash_user_id(row.salt, row.survey_id, user_id) for row in connection.execute(pairs)]
    rows = connection.execute(select(erasures).where(column.user_hash.in_(hashes)).order_by(column.id))
    return [_erased_of(row) for row in rows]


def add_missing(connection: Connection, erased: Sequence[ErasureRecord]) -> None:
    """Keep those of the erasures that the database's own list does not have yet.

    Another transaction may add the same: then one of the two fails by the unique index, and is tried again.
    """
    known = _known(connection, erased)
    lacking = [one for one in erased if one.identity not in known]
    if lacking:
        rows = [{**one._asdict(), "erased_at": to_datetime(one.erased_at)} for one in lacking]
        connection.execute(insert(erasures), rows)


def _known(connection: Connection, erased: Sequence[ErasureRecord]) -> set[Identity]:
    column = erasures.c
    query = select(column.survey_id, column.user_hash, column.erased_at)
    rows = connection.execute(query.where(column.user_hash.in_([one.user_hash for one in erased])))
    return {(row.survey_id, row.user_hash, from_datetime(row.erased_at)) for row in rows}


def _erased_of(row: Any) -> ErasureRecord:  # noqa: ANN401 - a row
    return ErasureRecord(row.survey_id, row.user_hash, row.salt, row.sessions, from_datetime(row.erased_at))
