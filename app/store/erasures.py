"""Erasing a participant: his sessions with drafts and history, those that were set aside, and his name in the log.

What stays says nothing of him: a row of ``erasures`` with a keyed hash and how many sessions went (the anonymous
count), entries of the audit log under ``erased:`` and a part of that hash, and for a while a row of
``token_revocations``, which has to name him: a token that was issued before must not open a new session. Servers remove
it when the longest life of a token (STEPKEEP_TOKEN_DAYS) is over.

Every function works on a connection whose transaction its caller owns; all of an erasure is one transaction.
"""

import secrets
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import groupby
from typing import Any, NamedTuple

from sqlalchemy import Connection, Select, String, func, or_, select, type_coerce

from ..core.timestamps import from_datetime, to_datetime
from ..survey import SessionKey
from . import audit, erasure_rows, outbox
from .credentials import revoke_tokens
from .erasure_journal import SALT_BYTES, ErasureJournal, ErasureRecord, hash_user_id
from .history import erase
from .participants import belongs_to, owner_of
from .tables import sessions, token_revocations

AUDIT_HASH_LENGTH = 16
"""Characters of the hash in the audit log: 64 bits tell the erased of one database apart."""


class ErasureTarget(NamedTuple):
    """Who is to be erased.

    Attributes:
        survey_id: where; None: in all surveys.
        invited: surveys in which his tokens are revoked though there be no session: he may not have begun yet.
    """

    user_id: str
    survey_id: str | None
    invited: Sequence[str] = ()


class Erasure:
    """The erasure of one participant, in one survey or in all: work for ``SessionStore.write``, tried again or not.

    His tokens are revoked wherever he was invited; where nothing else of him is there, nothing else is written. If the
    transaction fails, its line in the list may stay (``is_listed``): what was asked for may then be done when the store
    is next opened.

    Args:
        clock: gives microseconds since 1970 UTC.
        actor: who asks for it, for the audit log; None leaves the entry to the caller.
        listed: the list outside of the database, if there is one.
    """

    def __init__(
        self,
        whom: ErasureTarget,
        *,
        clock: Callable[[], int],
        actor: str | None = None,
        listed: ErasureJournal | None = None,
    ) -> None:
        self._whom = whom
        self._user_id = whom.user_id
        self._survey_id = whom.survey_id
        self._clock = clock
        self._actor = actor
        self._listed = listed
        self._new_salt = secrets.token_hex(SALT_BYTES)
        self._found: set[SessionKey] = set()
        self._lines: set[ErasureRecord] = set()
        self._at = 0

    @property
    def is_listed(self) -> bool:
        """Whether a try has left a line in the list outside of the database."""
        return bool(self._lines)

    def __call__(self, connection: Connection) -> list[SessionKey]:
        """Erase; return the keys of what was erased, by this try or by one before whose outcome was not known.

        Raises:
            ErasureNotListed: the list can't be written; nothing was erased.
        """
        keys = _locked(connection, _of_participant(self._user_id, self._survey_id))
        salt = erasure_rows.newest_salt(connection, self._new_salt)
        now = self._clock()
        # The time of the first try: then a line that it left is this erasure's too, and needs no second one.
        self._at = max([self._at or now, *_times(connection, keys)])
        self._revoke(connection, keys, now)
        erased = [self._erase(connection, survey_id, found, salt) for survey_id, found in _by_survey(keys)]
        outbox.remove_participant(connection, self._user_id, self._survey_id)
        self._forget_name(connection, salt, is_erased=bool(keys))
        self._found.update(keys)
        if self._listed is not None:
            # Last, so that a statement that fails leaves no line; and before the commit, which must not be without.
            self._listed.append(one for one in erased if one not in self._lines)
            self._lines.update(erased)
        return sorted(self._found)

    def _revoke(self, connection: Connection, keys: Iterable[SessionKey], now: int) -> None:
        """Revoke his tokens up to now, and no later: servers look for revocations by their time."""
        for survey_id in sorted({*self._whom.invited, *(key.survey_id for key in keys)}):
            revoke_tokens(connection, SessionKey(survey_id, self._user_id), now)

    def _forget_name(self, connection: Connection, salt: str, *, is_erased: bool) -> None:
        """Anonymise entries of the audit log; all of a participant of whom no session is left."""
        is_all = self._survey_id is None or (is_erased and not _surveys_left(connection, self._user_id))
        name = audit_name(hash_user_id(salt, self._survey_id or "", self._user_id))
        audit.anonymise(connection, self._user_id, None if is_all else self._survey_id, name)

    def _erase(self, connection: Connection, survey_id: str, keys: Sequence[SessionKey], salt: str) -> ErasureRecord:
        digest = hash_user_id(salt, survey_id, self._user_id)
        for key in keys:
            erase(connection, key)
        audit.anonymise(connection, self._user_id, survey_id, audit_name(digest))
        erased = ErasureRecord(survey_id, digest, salt, len(keys), self._at)
        # It may be there: by a process that found its line, and not yet its row, when it started.
        erasure_rows.add_missing(connection, [erased])
        if self._actor is not None:
            audit.record(connection, _entry(erased, erased.erased_at, len(keys), self._actor))
        return erased


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplayOptions:
    """How erasures are done again.

    Attributes:
        at: now, microseconds since 1970 UTC, for the audit log.
        actor: who asks for it, for the audit log.
        keeps_changed: whether a session stays that changed after its erasure. A line may be of an erasure that failed
            and was never repeated, and what was answered since was acknowledged.
    """

    at: int
    actor: str
    keeps_changed: bool


class ReplayResult(NamedTuple):
    """The sessions that were erased again, and those that were left because they had changed since."""

    erased: list[SessionKey]
    left: list[SessionKey]


def replay_erasure(connection: Connection, user_id: str, erased: ErasureRecord, how: ReplayOptions) -> ReplayResult:
    """Erase what an older backup brought back of a participant.

    What began after the erasure stays, and so do tokens that were issued and entries that were made later. The row of
    ``erasures`` is left to the caller.
    """
    at = to_datetime(erased.erased_at)
    column = sessions.c
    his = _of_participant(user_id, erased.survey_id).where(or_(column.created_at.is_(None), column.created_at <= at))
    found = _locked(connection, his)
    is_changed = func.coalesce(column.updated_at, column.created_at) > at
    left = _keys(connection, his.where(is_changed)) if how.keeps_changed else []
    keys = [key for key in found if key not in left]
    for key in keys:
        erase(connection, key)
    if keys:
        audit.record(connection, _entry(erased, how.at, len(keys), how.actor))
    if not left:
        _forget_again(connection, user_id, erased, is_erased=bool(keys))
    return ReplayResult(keys, left)


def _forget_again(connection: Connection, user_id: str, erased: ErasureRecord, *, is_erased: bool) -> None:
    if is_erased:
        revoke_tokens(connection, SessionKey(erased.survey_id, user_id), erased.erased_at)
    outbox.remove_participant(connection, user_id, erased.survey_id, erased.erased_at)
    audit.anonymise(connection, user_id, erased.survey_id, audit_name(erased.user_hash), erased.erased_at)
    if not _surveys_left(connection, user_id):
        audit.anonymise(connection, user_id, None, audit_name(erased.user_hash), erased.erased_at)


def anonymise_purged(connection: Connection, keys: Iterable[SessionKey], new_salt: str) -> None:
    """Let the audit log say nothing of those whose sessions were erased for their age, as far as none is left."""
    salt = erasure_rows.newest_salt(connection, new_salt)
    for survey_id, user_id in {SessionKey(key.survey_id, owner_of(key.user_id)) for key in keys}:
        left = _surveys_left(connection, user_id)
        if survey_id not in left:
            outbox.remove_participant(connection, user_id, survey_id)
            name = audit_name(hash_user_id(salt, survey_id, user_id))
            audit.anonymise(connection, user_id, survey_id if left else None, name)


def audit_name(digest: str) -> str:
    """Return the name that an erased participant bears in the audit log."""
    return f"erased:{digest[:AUDIT_HASH_LENGTH]}"


def read_keys(connection: Connection, user_id: str, survey_id: str | None) -> list[SessionKey]:
    """Return the keys of a participant's sessions, set-aside ones too, in their order."""
    return _keys(connection, _of_participant(user_id, survey_id))


def read_revocations(connection: Connection, user_id: str, survey_id: str | None) -> dict[str, int]:
    """Return up to when, microseconds since 1970 UTC, a participant's tokens are revoked, by survey."""
    column = token_revocations.c
    query = select(column.survey_id, column.revoked_at).where(column.user_id == user_id).order_by(column.survey_id)
    if survey_id is not None:
        query = query.where(column.survey_id == survey_id)
    return {row.survey_id: from_datetime(row.revoked_at) for row in connection.execute(query)}


def _of_participant(user_id: str, survey_id: str | None) -> Select[Any]:
    column = sessions.c
    query = select(column.survey_id, column.user_id).where(belongs_to(column.user_id, user_id))
    return query if survey_id is None else query.where(column.survey_id == survey_id)


def _locked(connection: Connection, query: Select[Any]) -> list[SessionKey]:
    """Return the keys of sessions, held until the transaction ends."""
    # A read that waited for a session that was being set aside finds it gone, and not yet under its new name: its
    # snapshot is older (PostgreSQL's manual, 13.2.1). The next read has a snapshot of its own.
    held = _keys(connection, query.with_for_update())
    while (again := _keys(connection, query.with_for_update())) != held:
        held = again
    return held


def _keys(connection: Connection, query: Select[Any]) -> list[SessionKey]:
    # In the order in which all writers lock.
    rows = connection.execute(query.order_by(sessions.c.user_id, sessions.c.survey_id))
    return [SessionKey(row.survey_id, row.user_id) for row in rows]


def _times(connection: Connection, keys: Iterable[SessionKey]) -> Iterator[int]:
    """Yield when the sessions began and changed, as far as that can be read: another server's clock may be ahead."""
    # A list must not be older than what it erases, or the backup would keep it. Without SQLAlchemy's type: a time
    # that somebody wrote by hand can't be read by it.
    column = sessions.c
    times = [type_coerce(time, String()) for time in (column.created_at, column.updated_at)]
    for key in keys:
        query = select(*times).where(column.user_id == key.user_id, column.survey_id == key.survey_id)
        for time in connection.execute(query).one():
            with suppress(ValueError, TypeError):
                yield from_datetime(time)


def _by_survey(keys: Iterable[SessionKey]) -> Iterator[tuple[str, list[SessionKey]]]:
    for survey_id, found in groupby(sorted(keys), key=lambda key: key.survey_id):
        yield survey_id, list(found)


def _surveys_left(connection: Connection, user_id: str) -> set[str]:
    """Return the surveys of which the participant has a session, be it one that was set aside."""
    query = select(sessions.c.survey_id).distinct().where(belongs_to(sessions.c.user_id, user_id))
    return set(connection.execute(query).scalars())


def _entry(erased: ErasureRecord, at: int, count: int, actor: str) -> audit.AuditEntry:
    return audit.AuditEntry(
        at=at,
        actor=actor,
        action="session_erased",
        survey_id=erased.survey_id,
        user_id=audit_name(erased.user_hash),
        detail={"sessions": count},
    )
