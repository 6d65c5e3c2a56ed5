"""The append-only audit log, without answers, tokens or keys; only :func:`anonymise` changes entries.

It is a hash chain (audit_chain.py).
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from itertools import takewhile
from typing import Any, Literal

import orjson
from sqlalchemy import Connection, Row, case, delete, func, or_, select, update

from ..core.timestamps import format_timestamp
from ..errors import InvalidInput
from . import audit_chain
from .keyset import Page, belongs_to
from .rows import dumps
from .tables import audit_head, audit_log

Action = Literal[
    "session_read",
    "session_written",
    "sessions_listed",
    "history_read",
    "participant_exported",
    "session_erased",
    "sessions_purged",
    "key_created",
    "key_revoked",
    "signed_in",
    "signed_out",
    "sign_in_failed",
    "token_issued",
    "tokens_revoked",
    "audit_read",
    "audit_purged",
    "answers_key_rotated",
    "analytics_read",
    "survey_exported",
    "sessions_expired",
    "session_rebuilt",
    "backup_created",
    "backup_restored",
    "webhook_added",
    "webhook_changed",
    "webhook_removed",
    "webhooks_read",
    "webhooks_replayed",
    "surveys_reloaded",
]

Detail = Mapping[str, str | int | bool | None]

ACTOR_LENGTH = 160

SCAN_LIMIT = 50_000
"""Entries examined at once without an index."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditEntry:
    """One recorded action.

    Attributes:
        at: microseconds since 1970 UTC.
        actor: e.g. ``key:ab12cd34 (name)``, ``participant``, ``operator``.
        survey_id, user_id: None for none or several.
    """

    at: int
    actor: str
    action: Action
    survey_id: str | None = None
    user_id: str | None = None
    detail: Detail = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedEntry:
    """A stored entry."""

    id: int
    entry: AuditEntry

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON form."""
        return {"id": self.id, **asdict(self.entry), "at": format_timestamp(self.entry.at)}


_COLUMNS = (audit_log.c.id, *(audit_log.c[entry_field.name] for entry_field in fields(AuditEntry)))

_ENTRIES = select(audit_head.c.entries).scalar_subquery()

_FILTERS = ("actor", "action", "survey_id", "user_id")


def record(connection: Connection, entry: AuditEntry) -> None:
    """Add an entry; truncate a long actor."""
    detail = dumps(dict(entry.detail)) if entry.detail else None
    audit_chain.append(connection, {**asdict(entry), "actor": entry.actor[:ACTOR_LENGTH], "detail": detail})


@dataclass(frozen=True, slots=True, kw_only=True)
class Purge:
    """The removal of the oldest entries, in any number of transactions: retryable work for each.

    Each records where the chain begins since then.

    Attributes:
        before: the first entry as recent as this stays, and all after it.
        last_id: the newest entry's id before the first transaction.
        number: of the entry before the first in the chain at that time.
    """

    before: int
    actor: str
    last_id: int
    number: int

    def __call__(self, connection: Connection, at: int, limit: int) -> int:
        """Remove up to ``limit`` entries; return how many."""
        column = audit_log.c
        is_kept = case((column.at >= self.before, 1), else_=0).label("is_kept")
        oldest = select(column.id, column.link, is_kept).order_by(column.id).limit(limit)
        # Entries, then the head, as an erasure locks them.
        removed = list(takewhile(lambda row: not row.is_kept, connection.execute(oldest.with_for_update())))
        if not removed:
            return 0
        audit_chain.lock_head(connection)
        # An earlier transaction's, or that of another purge.
        number, link = audit_chain.read_start(connection, self.last_id, audit_chain.Start(self.number))
        number += sum(row.link is not None for row in removed)
        connection.execute(delete(audit_log).where(column.id <= removed[-1].id))
        detail = {"entries": len(removed), "number": number, "link": removed[-1].link or link}
        record(connection, AuditEntry(at=at, actor=self.actor, action=audit_chain.PURGED, detail=detail))
        return len(removed)


def read_newest(connection: Connection) -> tuple[int, int]:
    """Return the newest entry's id and its number in the chain, 0 without any."""
    newest = select(func.coalesce(func.max(audit_log.c.id), 0), func.coalesce(_ENTRIES, 0))  # one snapshot for both
    last_id, number = connection.execute(newest).one()
    return last_id, number


def count_chained(connection: Connection, after_id: int | None, last_id: int) -> tuple[int, int | None]:
    """Return how many of the next SCAN_LIMIT entries are in the chain, and the last id, None at the end."""
    column = audit_log.c
    entries = select(column.id, column.link).where(column.id <= last_id)
    if after_id is not None:
        entries = entries.where(column.id > after_id)
    page = entries.order_by(column.id).limit(SCAN_LIMIT).subquery()
    count, after_id = connection.execute(select(func.count(page.c.link), func.max(page.c.id))).one()
    return count, after_id


def read_page(
    connection: Connection, after_id: int | None, limit: int, filters: Mapping[str, str]
) -> Page[RecordedEntry, int]:
    """Return the next entries, newest first.

    With a filter other than ``user_id``, a page holds the matches among SCAN_LIMIT entries: even none, though more
    follow.

    Raises:
        InvalidInput: unknown filter.
    """
    unknown = sorted(set(filters) - set(_FILTERS))
    if unknown:
        raise InvalidInput(f"the audit log has no filter {unknown[0]!r}: use {', '.join(_FILTERS)}")
    column = audit_log.c
    start = after_id
    if start is None:
        start = connection.execute(select(func.coalesce(func.max(column.id), 0) + 1)).scalar_one()
    is_indexed = not filters or "user_id" in filters
    lowest = 0 if is_indexed else max(0, start - SCAN_LIMIT)
    query = select(*_COLUMNS).where(column.id < start, column.id >= lowest)
    query = query.where(*(column[name] == value for name, value in filters.items()))
    entries = [_recorded(row) for row in connection.execute(query.order_by(column.id.desc()).limit(limit))]
    if len(entries) == limit:
        return Page(entries, entries[-1].id)
    return Page(entries, lowest or None)


def read_participant(
    connection: Connection, user_id: str, survey_id: str | None, before_id: int | None, limit: int
) -> list[RecordedEntry]:
    """Return the next entries about a participant, newest first; entries without survey match any."""
    column = audit_log.c
    query = select(*_COLUMNS).where(belongs_to(audit_log, user_id))
    if survey_id is not None:
        query = query.where(or_(column.survey_id == survey_id, column.survey_id.is_(None)))
    if before_id is not None:
        query = query.where(column.id < before_id)
    return [_recorded(row) for row in connection.execute(query.order_by(column.id.desc()).limit(limit))]


def anonymise(connection: Connection, user_id: str, survey_id: str | None, name: str, until: int | None = None) -> None:
    """Rename a participant in entries of one survey or all, up to ``until``, also about sessions set aside.

    Without the salt, the commitment in the chain can't be compared with a guessed user id.
    """
    change = update(audit_log).where(belongs_to(audit_log, user_id, survey_id))
    if until is not None:
        change = change.where(audit_log.c.at <= until)
    connection.execute(change.values(user_id=name, salt=None))


def read_user_ids_after(connection: Connection, after: str, limit: int) -> list[str]:
    """Return the next user ids in entries."""
    column = audit_log.c.user_id
    query = select(column).distinct().where(column > after).order_by(column).limit(limit)
    return list(connection.execute(query).scalars())


def _recorded(row: Row[Any]) -> RecordedEntry:
    values = row._asdict()
    values["detail"] = orjson.loads(values["detail"] or "{}")
    return RecordedEntry(id=values.pop("id"), entry=AuditEntry(**values))
