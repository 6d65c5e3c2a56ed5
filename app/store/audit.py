"""The append-only audit log, without answers, tokens or keys; only :func:`anonymise` changes entries."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, NamedTuple, cast

import orjson
from sqlalchemy import ColumnElement, Connection, and_, func, insert, or_, select, update

from ..core.timestamps import format_timestamp, from_datetime, to_datetime
from ..errors import InvalidInput
from .keyset import belongs_to
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


class AuditPage(NamedTuple):
    """Entries, newest first, and the next ``after_id``, if any."""

    entries: list[RecordedEntry]
    following: int | None


_FILTERS = ("actor", "action", "survey_id", "user_id")


def record(connection: Connection, entry: AuditEntry) -> None:
    """Add an entry; truncate a long actor."""
    connection.execute(
        insert(audit_log).values(
            at=to_datetime(entry.at),
            actor=entry.actor[:ACTOR_LENGTH],
            action=entry.action,
            survey_id=entry.survey_id,
            user_id=entry.user_id,
            detail=dumps(dict(entry.detail)) if entry.detail else None,
        )
    )


def read_page(connection: Connection, after_id: int | None, limit: int, filters: Mapping[str, str]) -> AuditPage:
    """Return the next entries, newest first.

    With a filter other than ``user_id``, a page holds the matches among SCAN_LIMIT entries: even none, though more
    follow.

    Raises:
        InvalidInput: unknown filter.
    """
    unknown = sorted(set(filters) - set(_FILTERS))
    if unknown:
        raise InvalidInput(f"the audit log has no filter {unknown[0]!r}: use {', '.join(_FILTERS)}")
    start = _newest(connection) + 1 if after_id is None else after_id
    column = audit_log.c
    is_indexed = not filters or "user_id" in filters
    lowest = 0 if is_indexed else max(0, start - SCAN_LIMIT)
    query = select(audit_log).where(column.id < start, column.id >= lowest)
    query = query.where(*(column[name] == value for name, value in filters.items()))
    entries = [_recorded(row) for row in connection.execute(query.order_by(column.id.desc()).limit(limit))]
    if len(entries) == limit:
        return AuditPage(entries, entries[-1].id)
    return AuditPage(entries, lowest or None)


def read_participant(
    connection: Connection, user_id: str, survey_id: str | None, before_id: int | None, limit: int
) -> list[RecordedEntry]:
    """Return the next entries about a participant, newest first; entries without survey match any."""
    column = audit_log.c
    query = select(audit_log).where(_is_about(user_id, survey_id))
    if before_id is not None:
        query = query.where(column.id < before_id)
    return [_recorded(row) for row in connection.execute(query.order_by(column.id.desc()).limit(limit))]


def anonymise(connection: Connection, user_id: str, survey_id: str | None, name: str, until: int | None = None) -> None:
    """Rename a participant in entries of one survey or all, up to ``until``, also about sessions set aside."""
    where = [belongs_to(audit_log.c.user_id, user_id)]
    if survey_id is not None:
        where.append(audit_log.c.survey_id == survey_id)
    if until is not None:
        where.append(audit_log.c.at <= to_datetime(until))
    connection.execute(update(audit_log).where(*where).values(user_id=name))


def read_user_ids_after(connection: Connection, after: str, limit: int) -> list[str]:
    """Return the next user ids in entries."""
    column = audit_log.c.user_id
    query = select(column).distinct().where(column > after).order_by(column).limit(limit)
    return list(connection.execute(query).scalars())


def _is_about(user_id: str, survey_id: str | None) -> ColumnElement[bool]:
    if survey_id is None:
        return belongs_to(audit_log.c.user_id, user_id)
    column = audit_log.c.survey_id
    return and_(belongs_to(audit_log.c.user_id, user_id), or_(column == survey_id, column.is_(None)))


def _newest(connection: Connection) -> int:
    return cast("int | None", connection.execute(select(func.max(audit_log.c.id))).scalar()) or 0


def _recorded(row: Any) -> RecordedEntry:  # noqa: ANN401 - a row
    entry = AuditEntry(
        at=from_datetime(row.at),
        actor=row.actor,
        action=cast("Action", row.action),
        survey_id=row.survey_id,
        user_id=row.user_id,
        detail={} if row.detail is None else orjson.loads(row.detail),
    )
    return RecordedEntry(id=row.id, entry=entry)
