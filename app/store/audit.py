"""The append-only audit log, without answers, tokens or keys; only :func:`anonymise` changes entries.

It is a hash chain (audit_chain.py).
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Literal

import orjson
from sqlalchemy import Connection, Row, delete, func, not_, or_, select, true, update

from ..core.timestamps import format_timestamp
from ..errors import InvalidInput
from . import audit_chain
from .keyset import Page, belongs_to
from .rows import dumps
from .tables import audit_log

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
]

Detail = Mapping[str, str | int | bool | None]

ACTOR_LENGTH = 160

SCAN_LIMIT = 50_000
"""Entries examined for a page filtered without an index."""


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

_FILTERS = ("actor", "action", "survey_id", "user_id")


def record(connection: Connection, entry: AuditEntry) -> None:
    """Add an entry; truncate a long actor."""
    detail = dumps(dict(entry.detail)) if entry.detail else None
    audit_chain.append(connection, {**asdict(entry), "actor": entry.actor[:ACTOR_LENGTH], "detail": detail})


def purge(connection: Connection, before: int, at: int, actor: str) -> int:
    """Remove the oldest entries, up to the first that is as recent as ``before``; return how many.

    An entry records where the chain begins since then.
    """
    head = audit_chain.lock_head(connection)
    column = audit_log.c
    kept_from = connection.execute(select(func.min(column.id)).where(column.at >= before)).scalar()
    is_old = true() if kept_from is None else column.id < kept_from
    link = connection.execute(select(column.link).where(is_old).order_by(column.id.desc()).limit(1)).scalar()
    kept = select(func.count()).where(not_(is_old), column.link.is_not(None))
    number = 0 if head is None else head.entries - connection.execute(kept).scalar_one()
    removed = connection.execute(delete(audit_log).where(is_old)).rowcount
    if removed:
        detail = {"entries": removed, "number": number, "link": link or ""}
        record(connection, AuditEntry(at=at, actor=actor, action=audit_chain.PURGED, detail=detail))
    return removed


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
