"""The append-only audit log: a hash chain (audit_chain.py) without answers, tokens or keys."""

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
SCAN_LIMIT = 50_000  # entries examined at once without an index


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditEntry:
    """One recorded action."""

    at: int
    actor: str
    action: Action
    survey_id: str | None = None  # None for none or several, as of user_id
    user_id: str | None = None
    detail: Detail = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedEntry:
    """A stored entry."""

    id: int
    entry: AuditEntry

    def to_dict(self) -> dict[str, Any]:
        return {"id": self.id, **asdict(self.entry), "at": format_timestamp(self.entry.at)}


_COLUMNS = (audit_log.c.id, *(audit_log.c[entry_field.name] for entry_field in fields(AuditEntry)))
_FILTERS = ("actor", "action", "survey_id", "user_id")


def record(connection: Connection, entry: AuditEntry) -> None:
    detail = dumps(dict(entry.detail)) if entry.detail else None
    audit_chain.append(connection, {**asdict(entry), "actor": entry.actor[:ACTOR_LENGTH], "detail": detail})


@dataclass(frozen=True, slots=True, kw_only=True)
class Purge:
    """The removal of the oldest entries in several transactions; each records where the chain now begins."""

    before: int  # the first entry as recent as this stays, and all after it
    actor: str
    last_id: int  # of the newest entry before the first transaction
    number: int  # of the entry before the first in the chain at that time

    def __call__(self, connection: Connection, at: int, limit: int) -> int:
        column = audit_log.c
        is_kept = case((column.at >= self.before, 1), else_=0).label("is_kept")
        oldest = select(column.id, column.link, is_kept).order_by(column.id).limit(limit)
        # Entries, then the head, as an erasure locks them.
        removed = list(takewhile(lambda row: not row.is_kept, connection.execute(oldest.with_for_update())))
        if not removed:
            return 0
        audit_chain.read_head(connection, locked=True)
        # An earlier transaction's, or that of another purge.
        number, link = audit_chain.read_start(connection, self.last_id, audit_chain.Start(self.number))
        number += sum(row.link is not None for row in removed)
        connection.execute(delete(audit_log).where(column.id <= removed[-1].id))
        detail = {"entries": len(removed), "number": number, "link": removed[-1].link or link}
        record(connection, AuditEntry(at=at, actor=self.actor, action=audit_chain.PURGED, detail=detail))
        return len(removed)


def read_newest(connection: Connection) -> tuple[int, int]:
    """Return the newest entry's id and number in the chain, 0 without any."""
    entries = select(audit_head.c.entries).scalar_subquery()  # one snapshot for both
    newest = select(func.coalesce(func.max(audit_log.c.id), 0), func.coalesce(entries, 0))
    last_id, number = connection.execute(newest).one()
    return last_id, number


def count_chained(connection: Connection, after_id: int | None, last_id: int) -> tuple[int, int | None]:
    """Return how many of the next SCAN_LIMIT entries are chained, and the last id, None at the end."""
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
    """Return the next entries, newest first; raise InvalidInput for an unknown filter."""
    unknown = sorted(set(filters) - set(_FILTERS))
    if unknown:
        raise InvalidInput(f"the audit log has no filter {unknown[0]!r}: use {', '.join(_FILTERS)}")
    column = audit_log.c
    if after_id is None:
        after_id = connection.execute(select(func.coalesce(func.max(column.id), 0) + 1)).scalar_one()
    is_indexed = not filters or "user_id" in filters
    # Without an index, a page has the matches among SCAN_LIMIT entries: perhaps none, though more follow.
    lowest = 0 if is_indexed else max(0, after_id - SCAN_LIMIT)
    query = select(*_COLUMNS).where(column.id < after_id, column.id >= lowest)
    query = query.where(*(column[name] == value for name, value in filters.items()))
    entries = [_recorded(row) for row in connection.execute(query.order_by(column.id.desc()).limit(limit))]
    return Page(entries, entries[-1].id if len(entries) == limit else lowest or None)


def read_participant(
    connection: Connection, user_id: str, survey_id: str | None, before_id: int | None, limit: int
) -> list[RecordedEntry]:
    column = audit_log.c
    query = select(*_COLUMNS).where(belongs_to(audit_log, user_id))
    if survey_id is not None:
        query = query.where(or_(column.survey_id == survey_id, column.survey_id.is_(None)))
    if before_id is not None:
        query = query.where(column.id < before_id)
    return [_recorded(row) for row in connection.execute(query.order_by(column.id.desc()).limit(limit))]


def anonymise(connection: Connection, user_id: str, survey_id: str | None, name: str, until: int | None = None) -> None:
    """Rename a participant; without the salt, a guessed user id can't be checked."""
    change = update(audit_log).where(belongs_to(audit_log, user_id, survey_id))
    if until is not None:
        change = change.where(audit_log.c.at <= until)
    connection.execute(change.values(user_id=name, salt=None))


def read_user_ids_after(connection: Connection, after: str, limit: int) -> list[str]:
    column = audit_log.c.user_id
    query = select(column).distinct().where(column > after).order_by(column).limit(limit)
    return list(connection.execute(query).scalars())


def _recorded(row: Row[Any]) -> RecordedEntry:
    values = row._asdict()
    values["detail"] = orjson.loads(values["detail"] or "{}")
    return RecordedEntry(id=values.pop("id"), entry=AuditEntry(**values))
