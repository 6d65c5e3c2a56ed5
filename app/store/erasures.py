"""Erasing a participant: his sessions with drafts and history, those that were set aside, and his name in the log.

What stays says nothing of him: a row of ``erasures`` with a keyed hash and how many sessions went (the anonymous
count), entries of the audit log under ``erased:`` and a part of that hash, and for a while a row of
``token_revocations``, which has to name him: a token that was issued before must not open a new session. It goes when
the longest life of a token is over (``credentials.forget_revocations``).

Every function works on a connection whose transaction its caller owns; all of an erasure is one transaction.
"""

import secrets
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import groupby
from typing import Any

from sqlalchemy import Connection, Select, String, or_, select, type_coerce

from app.store import audit, erasure_rows
from app.store.credentials import revoke_tokens
from app.store.erasure_list import SALT_BYTES, Erased, ErasureList, hash_of
from app.store.history import erase
from app.store.models import sessions, token_revocations
from app.store.participants import is_his, participant_of
from app.store.rows import SessionKey, from_time, to_time

SHOWN = 16
"""Characters of the hash in the audit log: 64 bits tell the erased of one database apart."""


class Erasure:
    """The erasure of one participant, in one survey or in all: work for ``SessionStore.write``, tried again or not.

    Where nothing of him is there, nothing is written. If the transaction fails, its line in the list may stay: what
    was asked for is then done when the store is next opened.

    Args:
        clock: gives microseconds since 1970 UTC.
        actor: who asks for it, for the audit log; None leaves the entry to the caller.
        listed: the list outside of the database, if there is one.
    """

    def __init__(
        self,
        user_id: str,
        survey_id: str | None,
        *,
        clock: Callable[[], int],
        actor: str | None = None,
        listed: ErasureList | None = None,
    ) -> None:
        self._user_id = user_id
        self._survey_id = survey_id
        self._clock = clock
        self._actor = actor
        self._listed = listed
        self._new_salt = secrets.token_hex(SALT_BYTES)
        self._found: set[SessionKey] = set()
        self._lines: set[Erased] = set()
        self._at = 0

    def __call__(self, connection: Connection) -> list[SessionKey]:
        """Erase; return the keys of what was erased, by this try or by one before whose outcome was not known.

        Raises:
            ErasureNotListed: the list can't be written; nothing was erased.
        """
        keys = _locked(connection, _his(self._user_id, self._survey_id))
        salt = erasure_rows.salt_of(connection, self._new_salt)
        # The time of the first try: then a line that it left is this erasure's too, and needs no second one.
        self._at = max([self._at or self._clock(), *_starts(connection, keys)])
        erased = [self._erase(connection, survey_id, found, salt) for survey_id, found in _by_survey(keys)]
        self._forget_name(connection, salt, is_erased=bool(keys))
        self._found.update(keys)
        if self._listed is not None:
            # Last, so that a statement that fails leaves no line; and before the commit, which must not be without.
            self._listed.append(one for one in erased if one not in self._lines)
            self._lines.update(erased)
        return sorted(self._found)

    def _forget_name(self, connection: Connection, salt: str, *, is_erased: bool) -> None:
        """Anonymise entries of the audit log; all of a participant of whom no session is left."""
        is_all = self._survey_id is None or (is_erased and not _surveys_left(connection, self._user_id))
        name = shown(hash_of(salt, self._survey_id or "", self._user_id))
        audit.anonymise(connection, self._user_id, None if is_all else self._survey_id, name)

    def _erase(self, connection: Connection, survey_id: str, keys: Sequence[SessionKey], salt: str) -> Erased:
        digest = hash_of(salt, survey_id, self._user_id)
        for key in keys:
            erase(connection, key)
        revoke_tokens(connection, SessionKey(survey_id, self._user_id), self._at)
        audit.anonymise(connection, self._user_id, survey_id, shown(digest))
        erased = Erased(survey_id, digest, salt, len(keys), self._at)
        erasure_rows.add(connection, [erased])
        if self._actor is not None:
            audit.record(connection, _entry(erased, self._actor))
        return erased


def erase_again(connection: Connection, user_id: str, erased: Erased) -> list[SessionKey]:
    """Erase what an older backup brought back of a participant; return the keys of what was erased.

    What began after the erasure stays, and so do tokens that were issued and entries that were made later. The row of
    ``erasures`` is left to the caller.
    """
    before = or_(sessions.c.created_at.is_(None), sessions.c.created_at <= to_time(erased.erased_at))
    keys = _locked(connection, _his(user_id, erased.survey_id).where(before))
    for key in keys:
        erase(connection, key)
    if keys and not _is_revoked_since(connection, user_id, erased):
        revoke_tokens(connection, SessionKey(erased.survey_id, user_id), erased.erased_at)
    audit.anonymise(connection, user_id, erased.survey_id, shown(erased.user_hash), erased.erased_at)
    if not _surveys_left(connection, user_id):
        audit.anonymise(connection, user_id, None, shown(erased.user_hash), erased.erased_at)
    return keys


def forget_names(connection: Connection, keys: Iterable[SessionKey], new_salt: str) -> None:
    """Let the audit log say nothing of those whose sessions were erased for their age, as far as none is left."""
    salt = erasure_rows.salt_of(connection, new_salt)
    for survey_id, user_id in {SessionKey(key.survey_id, participant_of(key.user_id)) for key in keys}:
        left = _surveys_left(connection, user_id)
        if survey_id not in left:
            name = shown(hash_of(salt, survey_id, user_id))
            audit.anonymise(connection, user_id, survey_id if left else None, name)


def shown(digest: str) -> str:
    """Return the name that an erased participant bears in the audit log."""
    return f"erased:{digest[:SHOWN]}"


def read_keys(connection: Connection, user_id: str, survey_id: str | None) -> list[SessionKey]:
    """Return the keys of a participant's sessions, set-aside ones too, in their order."""
    return _keys(connection, _his(user_id, survey_id))


def read_revocations(connection: Connection, user_id: str, survey_id: str | None) -> dict[str, int]:
    """Return up to when, microseconds since 1970 UTC, a participant's tokens are revoked, by survey."""
    column = token_revocations.c
    query = select(column.survey_id, column.revoked_at).where(column.user_id == user_id).order_by(column.survey_id)
    if survey_id is not None:
        query = query.where(column.survey_id == survey_id)
    return {row.survey_id: from_time(row.revoked_at) for row in connection.execute(query)}


def _his(user_id: str, survey_id: str | None) -> Select[Any]:
    column = sessions.c
    query = select(column.survey_id, column.user_id).where(is_his(column.user_id, user_id))
    return query if survey_id is None else query.where(column.survey_id == survey_id)


def _locked(connection: Connection, query: Select[Any]) -> list[SessionKey]:
    """Return the keys of sessions, held until the transaction ends."""
    return _keys(connection, query.with_for_update())


def _keys(connection: Connection, query: Select[Any]) -> list[SessionKey]:
    # In the order in which all writers lock.
    rows = connection.execute(query.order_by(sessions.c.user_id, sessions.c.survey_id))
    return [SessionKey(row.survey_id, row.user_id) for row in rows]


def _starts(connection: Connection, keys: Iterable[SessionKey]) -> Iterator[int]:
    """Yield when the sessions began, as far as their rows can be read: another server's clock may be ahead."""
    # A list must not be older than what it erases, or the backup would keep it. Without SQLAlchemy's type: a time
    # that somebody wrote by hand can't be read by it.
    began = type_coerce(sessions.c.created_at, String())
    for key in keys:
        query = select(began).where(sessions.c.user_id == key.user_id, sessions.c.survey_id == key.survey_id)
        try:
            yield from_time(connection.execute(query).scalar())
        except (ValueError, TypeError):
            continue


def _by_survey(keys: Iterable[SessionKey]) -> Iterator[tuple[str, list[SessionKey]]]:
    for survey_id, found in groupby(sorted(keys), key=lambda key: key.survey_id):
        yield survey_id, list(found)


def _surveys_left(connection: Connection, user_id: str) -> set[str]:
    """Return the surveys of which the participant has a session, be it one that was set aside."""
    query = select(sessions.c.survey_id).distinct().where(is_his(sessions.c.user_id, user_id))
    return set(connection.execute(query).scalars())


def _is_revoked_since(connection: Connection, user_id: str, erased: Erased) -> bool:
    column = token_revocations.c
    query = select(column.revoked_at).where(column.user_id == user_id, column.survey_id == erased.survey_id)
    found = connection.execute(query.where(column.revoked_at >= to_time(erased.erased_at)))
    return found.first() is not None


def _entry(erased: Erased, actor: str) -> audit.Entry:
    return audit.Entry(
        at=erased.erased_at,
        actor=actor,
        action="session_erased",
        survey_id=erased.survey_id,
        user_id=shown(erased.user_hash),
        detail={"sessions": erased.sessions},
    )
