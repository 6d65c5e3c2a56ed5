"""Erasure of participants; each is one transaction.

What remains identifies nobody: a keyed hash in ``erasures``, audit entries under ``erased:`` and a part of it. Only
``token_revocations`` names the participant, so that an older token can't open a new session, until tokens expire
(STEPKEEP_TOKEN_DAYS).
"""

import secrets
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import groupby
from typing import Any, NamedTuple

from sqlalchemy import Connection, Select, String, func, insert, or_, select, type_coerce

from ..core.timestamps import from_datetime, to_datetime
from ..survey import SessionKey
from . import audit, outbox
from .credentials import revoke_tokens
from .erasure_journal import SALT_BYTES, ErasureJournal, ErasureRecord, Identity, hash_user_id
from .history import erase
from .keyset import belongs_to, of_session, owner_of
from .tables import erasures, sessions, token_revocations

AUDIT_HASH_LENGTH = 16
"""64 bits distinguish the participants of a database."""


class ErasureTarget(NamedTuple):
    """The participant to erase.

    Attributes:
        survey_id: None for all.
        invited: surveys whose tokens are revoked even without a session.
    """

    user_id: str
    survey_id: str | None
    invited: Sequence[str] = ()


class Erasure:
    """The erasure of a participant: retryable work for ``SessionStore.run_transaction``.

    Tokens are revoked in any case; nothing else is written unless there are sessions. After a failed transaction, its
    line may stay in the journal (``is_listed``), and the next start of a server may erase.

    Args:
        clock: returns microseconds since 1970 UTC.
        actor: None leaves the audit entry to the caller.
    """

    def __init__(
        self,
        target: ErasureTarget,
        *,
        clock: Callable[[], int],
        actor: str | None = None,
        journal: ErasureJournal | None = None,
    ) -> None:
        self._target = target
        self._user_id = target.user_id
        self._survey_id = target.survey_id
        self._clock = clock
        self._actor = actor
        self._journal = journal
        self._new_salt = secrets.token_hex(SALT_BYTES)
        self._keys: set[SessionKey] = set()
        self._records: set[ErasureRecord] = set()
        self._at = 0

    @property
    def is_listed(self) -> bool:
        return bool(self._records)

    def __call__(self, connection: Connection) -> list[SessionKey]:
        """Return the keys erased by this attempt, or by an earlier one with unknown outcome.

        Raises:
            ErasureJournalUnavailable: the journal can't be written; nothing was erased.
        """
        keys = _lock(connection, _of_participant(self._user_id, self._survey_id))
        salt = newest_salt(connection, self._new_salt)
        now = self._clock()
        # The first attempt's time: its line in the journal is this erasure's too.
        self._at = max([self._at or now, *_times(connection, keys)])
        self._revoke(connection, keys, now)
        records = [self._erase(connection, survey_id, group, salt) for survey_id, group in _by_survey(keys)]
        outbox.remove_participant(connection, self._user_id, self._survey_id)
        self._anonymise(connection, salt, is_erased=bool(keys))
        self._keys.update(keys)
        if self._journal is not None:
            # Last: a failing statement leaves no line. Before the commit, which needs one.
            self._journal.append(record for record in records if record not in self._records)
            self._records.update(records)
        return sorted(self._keys)

    def _revoke(self, connection: Connection, keys: Iterable[SessionKey], now: int) -> None:
        # No later than now: servers look for revocations by time.
        for survey_id in sorted({*self._target.invited, *(key.survey_id for key in keys)}):
            revoke_tokens(connection, SessionKey(survey_id, self._user_id), now)

    def _anonymise(self, connection: Connection, salt: str, *, is_erased: bool) -> None:
        is_all = self._survey_id is None or (is_erased and not _surveys_left(connection, self._user_id))
        name = audit_name(hash_user_id(salt, self._survey_id or "", self._user_id))
        audit.anonymise(connection, self._user_id, None if is_all else self._survey_id, name)

    def _erase(self, connection: Connection, survey_id: str, keys: Sequence[SessionKey], salt: str) -> ErasureRecord:
        digest = hash_user_id(salt, survey_id, self._user_id)
        for key in keys:
            erase(connection, key)
        audit.anonymise(connection, self._user_id, survey_id, audit_name(digest))
        record = ErasureRecord(survey_id, digest, salt, len(keys), self._at)
        # A process that started meanwhile may have added the row.
        add_missing(connection, [record])
        if self._actor is not None:
            audit.record(connection, _entry(record, record.erased_at, len(keys), self._actor))
        return record


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplayOptions:
    """How erasures are replayed.

    Attributes:
        at: now.
        keeps_changed: keep sessions changed after their erasure: it may have failed, and later answers were
            acknowledged.
    """

    at: int
    actor: str
    keeps_changed: bool


class ReplayResult(NamedTuple):
    """The sessions erased again, and those kept as changed."""

    erased: list[SessionKey]
    left: list[SessionKey]


def replay_erasure(connection: Connection, user_id: str, record: ErasureRecord, options: ReplayOptions) -> ReplayResult:
    """Erase what a backup restored, but nothing younger than the erasure. The caller adds the row of ``erasures``."""
    at = to_datetime(record.erased_at)
    column = sessions.c
    query = _of_participant(user_id, record.survey_id).where(or_(column.created_at.is_(None), column.created_at <= at))
    locked = _lock(connection, query)
    is_changed = func.coalesce(column.updated_at, column.created_at) > at
    left = _keys(connection, query.where(is_changed)) if options.keeps_changed else []
    keys = [key for key in locked if key not in left]
    for key in keys:
        erase(connection, key)
    if keys:
        audit.record(connection, _entry(record, options.at, len(keys), options.actor))
    if not left:
        _forget_again(connection, user_id, record, is_erased=bool(keys))
    return ReplayResult(keys, left)


def _forget_again(connection: Connection, user_id: str, record: ErasureRecord, *, is_erased: bool) -> None:
    if is_erased:
        revoke_tokens(connection, SessionKey(record.survey_id, user_id), record.erased_at)
    outbox.remove_participant(connection, user_id, record.survey_id, record.erased_at)
    name = audit_name(record.user_hash)
    audit.anonymise(connection, user_id, record.survey_id, name, record.erased_at)
    if not _surveys_left(connection, user_id):
        audit.anonymise(connection, user_id, None, name, record.erased_at)


def anonymise_purged(connection: Connection, keys: Iterable[SessionKey], new_salt: str) -> None:
    """Anonymise the audit entries of participants left without sessions."""
    salt = newest_salt(connection, new_salt)
    for survey_id, user_id in {SessionKey(key.survey_id, owner_of(key.user_id)) for key in keys}:
        left = _surveys_left(connection, user_id)
        if survey_id not in left:
            outbox.remove_participant(connection, user_id, survey_id)
            name = audit_name(hash_user_id(salt, survey_id, user_id))
            audit.anonymise(connection, user_id, survey_id if left else None, name)


def audit_name(digest: str) -> str:
    """Return an erased participant's name in the audit log."""
    return f"erased:{digest[:AUDIT_HASH_LENGTH]}"


def read_keys(connection: Connection, user_id: str, survey_id: str | None) -> list[SessionKey]:
    """Return a participant's keys, those set aside included, in order."""
    return _keys(connection, _of_participant(user_id, survey_id))


def read_revocations(connection: Connection, user_id: str, survey_id: str | None) -> dict[str, int]:
    """Return by survey until when tokens are revoked."""
    column = token_revocations.c
    query = select(column.survey_id, column.revoked_at).where(column.user_id == user_id).order_by(column.survey_id)
    if survey_id is not None:
        query = query.where(column.survey_id == survey_id)
    return {row.survey_id: from_datetime(row.revoked_at) for row in connection.execute(query)}


def newest_salt(connection: Connection, new: str) -> str:
    """Return the newest erasure's salt, so that a database has few; else ``new``."""
    column = erasures.c
    query = select(column.salt).where(column.salt.is_not(None)).order_by(column.id.desc()).limit(1)
    return connection.execute(query).scalar() or new


def add_purge(connection: Connection, survey_id: str, count: int, at: int) -> None:
    """Record a purge's count, without participants."""
    connection.execute(insert(erasures).values(survey_id=survey_id, sessions=count, erased_at=to_datetime(at)))


def read_after(connection: Connection, after_id: int, limit: int) -> list[tuple[int, ErasureRecord]]:
    """Return the next erasures, oldest first, with their ids."""
    column = erasures.c
    query = select(erasures).where(column.id > after_id, column.user_hash.is_not(None)).order_by(column.id).limit(limit)
    return [(row.id, _record(row)) for row in connection.execute(query)]


def read_participant(connection: Connection, user_id: str, survey_id: str | None) -> list[ErasureRecord]:
    """Return a participant's earlier erasures, oldest first."""
    column = erasures.c
    pairs = select(column.survey_id, column.salt).where(column.salt.is_not(None)).distinct()
    if survey_id is not None:
        pairs = pairs.where(column.survey_id == survey_id)
    hashes = [hash_user_id(row.salt, row.survey_id, user_id) for row in connection.execute(pairs)]
    rows = connection.execute(select(erasures).where(column.user_hash.in_(hashes)).order_by(column.id))
    return [_record(row) for row in rows]


def add_missing(connection: Connection, records: Sequence[ErasureRecord]) -> None:
    """Add the erasures that the database lacks. A concurrent duplicate fails by the unique index and is retried."""
    known = _known(connection, records)
    missing = [record for record in records if record.identity not in known]
    if missing:
        rows = [{**record._asdict(), "erased_at": to_datetime(record.erased_at)} for record in missing]
        connection.execute(insert(erasures), rows)


def _known(connection: Connection, records: Sequence[ErasureRecord]) -> set[Identity]:
    column = erasures.c
    query = select(column.survey_id, column.user_hash, column.erased_at)
    rows = connection.execute(query.where(column.user_hash.in_([record.user_hash for record in records])))
    return {(row.survey_id, row.user_hash, from_datetime(row.erased_at)) for row in rows}


def _record(row: Any) -> ErasureRecord:  # noqa: ANN401 - a row
    return ErasureRecord(row.survey_id, row.user_hash, row.salt, row.sessions, from_datetime(row.erased_at))


def _of_participant(user_id: str, survey_id: str | None) -> Select[Any]:
    column = sessions.c
    query = select(column.survey_id, column.user_id).where(belongs_to(column.user_id, user_id))
    return query if survey_id is None else query.where(column.survey_id == survey_id)


def _lock(connection: Connection, query: Select[Any]) -> list[SessionKey]:
    # A read that waited for a session being set aside misses its new name (PostgreSQL's manual, 13.2.1); a new snapshot
    # has it.
    keys = _keys(connection, query.with_for_update())
    while (again := _keys(connection, query.with_for_update())) != keys:
        keys = again
    return keys


def _keys(connection: Connection, query: Select[Any]) -> list[SessionKey]:
    # The order in which all writers lock.
    rows = connection.execute(query.order_by(sessions.c.user_id, sessions.c.survey_id))
    return [SessionKey(row.survey_id, row.user_id) for row in rows]


def _times(connection: Connection, keys: Iterable[SessionKey]) -> Iterator[int]:
    # Another server's clock may be ahead, and a replay keeps what is younger than the erasure.
    column = sessions.c
    times = [type_coerce(time, String()) for time in (column.created_at, column.updated_at)]
    for key in keys:
        for time in connection.execute(select(*times).where(of_session(sessions, key))).one():
            with suppress(ValueError, TypeError):
                yield from_datetime(time)


def _by_survey(keys: Iterable[SessionKey]) -> Iterator[tuple[str, list[SessionKey]]]:
    for survey_id, group in groupby(sorted(keys), key=lambda key: key.survey_id):
        yield survey_id, list(group)


def _surveys_left(connection: Connection, user_id: str) -> set[str]:
    query = select(sessions.c.survey_id).distinct().where(belongs_to(sessions.c.user_id, user_id))
    return set(connection.execute(query).scalars())


def _entry(record: ErasureRecord, at: int, count: int, actor: str) -> audit.AuditEntry:
    return audit.AuditEntry(
        at=at,
        actor=actor,
        action="session_erased",
        survey_id=record.survey_id,
        user_id=audit_name(record.user_hash),
        detail={"sessions": count},
    )
