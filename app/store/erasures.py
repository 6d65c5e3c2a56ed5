"""Erasure of participants; each is one transaction. What remains identifies nobody: salted hashes."""

import secrets
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any, NamedTuple

from sqlalchemy import Connection, Select, delete, func, insert, or_, select

from ..core.timestamps import from_datetime
from ..survey import SessionKey
from . import audit, outbox
from .audit_chain import ERASED
from .credentials import CLOCK_SKEW_US, newest_salt, revoke_tokens, user_hashes
from .erasure_journal import SALT_BYTES, ErasureJournal, ErasureRecord, hash_user_id
from .history import erase
from .keyset import belongs_to, of_session, owner_of
from .tables import erasures, sessions, untyped_times

AUDIT_HASH_LENGTH = 16  # 64 bits distinguish the participants of a database
_RECORD = tuple(erasures.c[name] for name in ErasureRecord._fields)


@dataclass(slots=True, kw_only=True)
class Erasure:
    """The erasure of a participant: retryable work. Tokens are revoked even without sessions.

    After a failed transaction, its line may stay in the journal (``is_listed``), and the next start may erase.
    """

    user_id: str
    survey_id: str | None  # None for all
    invited: Sequence[str] = ()  # surveys whose tokens are revoked even without a session
    clock: Callable[[], int]
    actor: str | None = None  # None leaves the audit entry to the caller
    journal: ErasureJournal | None = None
    _new_salt: str = field(default_factory=lambda: secrets.token_hex(SALT_BYTES), init=False)
    _keys: set[SessionKey] = field(default_factory=set, init=False)
    _records: set[ErasureRecord] = field(default_factory=set, init=False)
    _at: int = field(default=0, init=False)

    @property
    def is_listed(self) -> bool:
        return bool(self._records)

    def __call__(self, connection: Connection) -> list[SessionKey]:
        """Return the keys erased, also by an earlier attempt with unknown outcome; raise ErasureJournalUnavailable."""
        keys = _lock(connection, _of_participant(self.user_id, self.survey_id))
        salt = newest_salt(connection, self._new_salt)
        surveys = sorted({*self.invited, *(key.survey_id for key in keys)})
        _exclude_begins(connection, {SessionKey(survey_id, self.user_id) for survey_id in surveys}.difference(keys))
        now = self.clock()
        # The first attempt's time: its line in the journal is this erasure's too.
        self._at = max([self._at or now, *_times(connection, keys)])
        for survey_id in surveys:
            # Tokens of a server whose clock is ahead, too.
            revoked_at = max(now, min(self._at, now + CLOCK_SKEW_US))
            revoke_tokens(connection, SessionKey(survey_id, self.user_id), revoked_at, salt=salt)
        by_survey = groupby(sorted(keys), key=lambda key: key.survey_id)
        records = [self._erase(connection, survey_id, list(group), salt) for survey_id, group in by_survey]
        outbox.remove_participant(connection, self.user_id, self.survey_id)
        self._anonymise(connection, salt, is_erased=bool(keys))
        self._keys.update(keys)
        if self.journal is not None:
            # Last: a failing statement leaves no line. Before the commit, which needs one.
            self.journal.append(record for record in records if record not in self._records)
            self._records.update(records)
        return sorted(self._keys)

    def _anonymise(self, connection: Connection, salt: str, *, is_erased: bool) -> None:
        is_all = self.survey_id is None or (is_erased and not _surveys_left(connection, self.user_id))
        name = audit_name(hash_user_id(salt, self.survey_id or "", self.user_id))
        audit.anonymise(connection, self.user_id, None if is_all else self.survey_id, name)

    def _erase(self, connection: Connection, survey_id: str, keys: Sequence[SessionKey], salt: str) -> ErasureRecord:
        digest = hash_user_id(salt, survey_id, self.user_id)
        for key in keys:
            erase(connection, key)
        audit.anonymise(connection, self.user_id, survey_id, audit_name(digest))
        record = ErasureRecord(survey_id, digest, salt, len(keys), self._at)
        # A process that started meanwhile may have added the row.
        add_missing(connection, [record])
        if self.actor is not None:
            audit.record(connection, _entry(record, record.erased_at, len(keys), self.actor))
        return record


class ReplayResult(NamedTuple):
    """The sessions erased again, and those kept as changed."""

    erased: list[SessionKey]
    left: list[SessionKey]


def replay_erasure(
    connection: Connection, user_id: str, record: ErasureRecord, *, at: int, actor: str, keeps_changed: bool
) -> ReplayResult:
    """Erase what a backup restored, but nothing younger than the erasure; the caller adds its row."""
    column, erased_at = sessions.c, record.erased_at
    is_older = or_(column.created_at.is_(None), column.created_at <= erased_at)
    query = _of_participant(user_id, record.survey_id).where(is_older)
    locked = _lock(connection, query)
    is_changed = func.coalesce(column.updated_at, column.created_at) > erased_at
    # The erasure may have failed, and later answers were acknowledged.
    left = _keys(connection, query.where(is_changed)) if keeps_changed else []
    keys = [key for key in locked if key not in left]
    for key in keys:
        erase(connection, key)
    if keys:
        audit.record(connection, _entry(record, at, len(keys), actor))
    if left:
        return ReplayResult(keys, left)
    if keys:
        revoke_tokens(connection, SessionKey(record.survey_id, user_id), erased_at)
    outbox.remove_participant(connection, user_id, record.survey_id, erased_at)
    name = audit_name(record.user_hash)
    audit.anonymise(connection, user_id, record.survey_id, name, erased_at)
    if not _surveys_left(connection, user_id):
        audit.anonymise(connection, user_id, None, name, erased_at)
    return ReplayResult(keys, left)


def anonymise_purged(connection: Connection, keys: Iterable[SessionKey]) -> None:
    salt = newest_salt(connection)
    for survey_id, user_id in {SessionKey(key.survey_id, owner_of(key.user_id)) for key in keys}:
        left = _surveys_left(connection, user_id)
        if survey_id not in left:
            outbox.remove_participant(connection, user_id, survey_id)
            name = audit_name(hash_user_id(salt, survey_id, user_id))
            audit.anonymise(connection, user_id, survey_id if left else None, name)


def audit_name(digest: str) -> str:
    return f"{ERASED}{digest[:AUDIT_HASH_LENGTH]}"


def read_keys(connection: Connection, user_id: str, survey_id: str | None) -> list[SessionKey]:
    return _keys(connection, _of_participant(user_id, survey_id))


def add_purge(connection: Connection, survey_id: str, count: int, at: int) -> None:
    connection.execute(insert(erasures).values(survey_id=survey_id, sessions=count, erased_at=at))


def read_after(connection: Connection, after_id: int, limit: int) -> list[tuple[int, ErasureRecord]]:
    column = erasures.c
    query = select(column.id, *_RECORD).where(column.id > after_id, column.user_hash.is_not(None))
    rows = connection.execute(query.order_by(column.id).limit(limit))
    return [(erasure_id, ErasureRecord(*record)) for erasure_id, *record in rows]


def read_participant(connection: Connection, user_id: str, survey_id: str | None) -> list[ErasureRecord]:
    hashes = user_hashes(connection, erasures, user_id, survey_id)
    rows = connection.execute(select(*_RECORD).where(erasures.c.user_hash.in_(hashes)).order_by(erasures.c.id))
    return [ErasureRecord(*row) for row in rows]


def add_missing(connection: Connection, records: Sequence[ErasureRecord]) -> None:
    """Add the erasures that the database lacks; a concurrent duplicate fails, to be retried."""
    column = erasures.c
    query = select(column.survey_id, column.user_hash, column.erased_at)
    rows = connection.execute(query.where(column.user_hash.in_([record.user_hash for record in records])))
    known = {tuple(row) for row in rows}
    missing = [record._asdict() for record in records if record.identity not in known]
    if missing:
        connection.execute(insert(erasures), missing)


def _of_participant(user_id: str, survey_id: str | None) -> Select[Any]:
    return select(sessions.c.survey_id, sessions.c.user_id).where(belongs_to(sessions, user_id, survey_id))


def _lock(connection: Connection, query: Select[Any]) -> list[SessionKey]:
    # A read that waited for a session being set aside misses its new name (PostgreSQL's manual, 13.2.1); a new snapshot
    # has it.
    keys = _keys(connection, query.with_for_update())
    while (again := _keys(connection, query.with_for_update())) != keys:
        keys = again
    return keys


def _exclude_begins(connection: Connection, absent: Iterable[SessionKey]) -> None:
    """Wait for transactions that begin these sessions; later ones wait for this one.

    A missing row is locked by inserting it. If it was inserted meanwhile, that fails; the retry finds it.
    """
    for key in sorted(absent, key=lambda key: (key.user_id, key.survey_id)):
        connection.execute(insert(sessions).values(**key._asdict(), current_step="", answers="{}", step_history="[]"))
        connection.execute(delete(sessions).where(of_session(sessions, key)))


def _keys(connection: Connection, query: Select[Any]) -> list[SessionKey]:
    # The order in which all writers lock.
    rows = connection.execute(query.order_by(sessions.c.user_id, sessions.c.survey_id))
    return [SessionKey(row.survey_id, row.user_id) for row in rows]


def _times(connection: Connection, keys: Iterable[SessionKey]) -> Iterator[int]:
    # Another server's clock may be ahead, and a replay keeps what is younger than the erasure.
    times = untyped_times((sessions.c.created_at, sessions.c.updated_at))
    for key in keys:
        for time in connection.execute(select(*times).where(of_session(sessions, key))).one():
            with suppress(ValueError, TypeError):
                yield from_datetime(time)


def _surveys_left(connection: Connection, user_id: str) -> set[str]:
    query = select(sessions.c.survey_id).distinct().where(belongs_to(sessions, user_id))
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
