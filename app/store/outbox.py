"""The outbox: what webhooks are still to be told, and what they were told, through SQLAlchemy's Core.

A batch of turns puts rows here in its own transaction (``batch.py``, the gateways), one for each webhook that wants to
know. ``next_attempt_at`` is null where nothing is left to do. Rows hold who, what and when; no answers. Every function
works on a connection whose transaction its caller owns.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, cast

from sqlalchemy import ColumnElement, Connection, and_, bindparam, case, delete, or_, select, update

from ..core.timestamps import from_datetime, to_datetime
from ..survey import SessionKey
from .participants import belongs_to
from .tables import webhook_deliveries, webhooks
from .webhooks import WebhookEvent

ERROR_LENGTH = 200
"""Characters of what went wrong that are kept."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """One event that one webhook is told; times in microseconds since 1970 UTC.

    Attributes:
        version: of the session, that the event made.
        attempts: that were made until now.
        next_attempt_at: None where it was delivered or given up.
        last_status: of HTTP, of the last answer that came; None where none came.
    """

    id: int
    webhook_id: str
    event: WebhookEvent
    key: SessionKey
    version: int
    occurred_at: int
    attempts: int
    next_attempt_at: int | None
    delivered_at: int | None
    failed_at: int | None
    last_status: int | None
    last_error: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptResult:
    """What came of one attempt at a delivery, or that it is due again without one.

    Attributes:
        attempts: that were made until now, this one among them.
        again_at: when it is tried again; None: never.
        is_delivered: whether it was taken; what is neither that nor tried again has failed.
    """

    id: int
    at: int
    attempts: int
    retry_at: int | None
    is_delivered: bool
    status: int | None
    error: str | None

    @property
    def outcome(self) -> Literal["delivered", "failed", "given_up"]:
        """What it came to."""
        if self.is_delivered:
            return "delivered"
        return "given_up" if self.retry_at is None else "failed"


class Page(NamedTuple):
    """Deliveries, the newest first, and the ``before_id`` of the next page; None after the last one."""

    deliveries: list[Delivery]
    following: int | None


class RetentionCutoffs(NamedTuple):
    """Until when deliveries are kept, microseconds since 1970 UTC.

    Attributes:
        delivered_before: those that were made before then are old.
        failed_before: so are those that were given up before then, and those that a webhook which is disabled has
            waited for; what happened before then and is still due to another webhook is overdue.
    """

    delivered_before: int
    failed_before: int


class OldDeliveries(NamedTuple):
    """The ids of old and of overdue deliveries in a part of all, and the ``after_id`` of the next part, if any."""

    old: list[int]
    overdue: list[int]
    following: int | None


def read_due(
    connection: Connection, webhook_id: str, at: int, limit: int, without: Collection[int] = ()
) -> list[Delivery]:
    """Return the deliveries of a webhook whose time has come, the longest due first.

    Args:
        without: ids that are left out: those that are under way.
    """
    column = webhook_deliveries.c
    query = select(webhook_deliveries).where(column.webhook_id == webhook_id, column.next_attempt_at <= to_datetime(at))
    if without:
        query = query.where(column.id.not_in(without))
    rows = connection.execute(query.order_by(column.next_attempt_at, column.id).limit(limit))
    return [_delivery(row) for row in rows]


def record_attempts(connection: Connection, attempted: Iterable[AttemptResult]) -> None:
    """Write what came of attempts; nothing of a delivery that was erased or, by another process, made meanwhile."""
    changes = [
        {
            "of_id": one.id,
            "made": one.attempts,
            "again": None if one.retry_at is None else to_datetime(one.retry_at),
            "delivered": to_datetime(one.at) if one.is_delivered else None,
            "failed": to_datetime(one.at) if one.retry_at is None and not one.is_delivered else None,
            "status": one.status,
            "error": None if one.error is None else one.error[:ERROR_LENGTH],
        }
        for one in attempted
    ]
    if changes:
        connection.execute(_SETTLE, changes)


def read_page(
    connection: Connection, webhook_id: str | None, before_id: int | None, limit: int, *, failed: bool = False
) -> Page:
    """Return the next deliveries, the newest first.

    Args:
        webhook_id: only this webhook's; None: all.
        before_id: the ``following`` of the page before; None begins with the newest.
        failed: only those that were given up.
    """
    column = webhook_deliveries.c
    query = select(webhook_deliveries)
    if webhook_id is not None:
        query = query.where(column.webhook_id == webhook_id)
    if before_id is not None:
        query = query.where(column.id < before_id)
    if failed:
        query = query.where(column.failed_at.is_not(None))
    found = [_delivery(row) for row in connection.execute(query.order_by(column.id.desc()).limit(limit))]
    return Page(found, found[-1].id if len(found) == limit else None)


def read_finished_ids(
    connection: Connection, webhook_id: str, after_id: int, limit: int, *, since: int | None, failed: bool
) -> list[int]:
    """Return the next ids, in their order, of deliveries that were made or given up.

    Args:
        since: only of what happened then or later, microseconds since 1970 UTC.
        failed: only those that were given up.
    """
    column = webhook_deliveries.c
    query = select(column.id).where(
        column.webhook_id == webhook_id, column.id > after_id, column.next_attempt_at.is_(None)
    )
    if since is not None:
        query = query.where(column.occurred_at >= to_datetime(since))
    if failed:
        query = query.where(column.failed_at.is_not(None))
    return list(connection.execute(query.order_by(column.id).limit(limit)).scalars())


def replay(connection: Connection, ids: Collection[int], at: int) -> int:
    """Let deliveries that were made or given up be due again, as if never attempted; return how many."""
    column = webhook_deliveries.c
    again = {"attempts": 0, "next_attempt_at": to_datetime(at), "delivered_at": None, "failed_at": None}
    change = update(webhook_deliveries).where(column.id.in_(ids), column.next_attempt_at.is_(None))
    return connection.execute(change.values(**again)).rowcount


def scan_old(connection: Connection, ages: RetentionCutoffs, after_id: int, limit: int) -> OldDeliveries:
    """Return what is old and what is overdue among the next ``limit`` deliveries, in the order of their ids."""
    column = webhook_deliveries.c
    marks = (case((_is_old(ages), 1), else_=0).label("is_old"), case((_is_overdue(ages), 1), else_=0).label("is_late"))
    query = select(column.id, *marks).where(column.id > after_id).order_by(column.id).limit(limit)
    rows = connection.execute(query).all()
    following = rows[-1].id if len(rows) == limit else None
    return OldDeliveries([row.id for row in rows if row.is_old], [row.id for row in rows if row.is_late], following)


def remove_old(connection: Connection, ages: RetentionCutoffs, ids: Collection[int]) -> int:
    """Remove those of the deliveries that are still old; return how many."""
    change = delete(webhook_deliveries).where(webhook_deliveries.c.id.in_(ids), _is_old(ages))
    return connection.execute(change).rowcount


def give_up(connection: Connection, ages: RetentionCutoffs, ids: Collection[int], at: int) -> int:
    """Try those of the deliveries that are still overdue no more; return how many."""
    change = update(webhook_deliveries).where(webhook_deliveries.c.id.in_(ids), _is_overdue(ages))
    return connection.execute(change.values(next_attempt_at=None, failed_at=to_datetime(at))).rowcount


def _is_old(ages: RetentionCutoffs) -> ColumnElement[bool]:
    column = webhook_deliveries.c
    failed_before = to_datetime(ages.failed_before)
    disabled = select(webhooks.c.id).where(webhooks.c.disabled_at < failed_before)
    return or_(
        column.delivered_at < to_datetime(ages.delivered_before),
        column.failed_at < failed_before,
        and_(column.webhook_id.in_(disabled), column.next_attempt_at < failed_before),
    )


def _is_overdue(ages: RetentionCutoffs) -> ColumnElement[bool]:
    column = webhook_deliveries.c
    enabled = select(webhooks.c.id).where(webhooks.c.disabled_at.is_(None))
    is_late = column.occurred_at < to_datetime(ages.failed_before)
    return and_(column.next_attempt_at.is_not(None), is_late, column.webhook_id.in_(enabled))


def remove_participant(connection: Connection, user_id: str, survey_id: str | None, until: int | None = None) -> None:
    """Remove what webhooks were or would be told of a participant; one that is under way may still arrive.

    Args:
        survey_id: only of this survey; None: of all.
        until: only what happened then or before, microseconds since 1970 UTC.
    """
    connection.execute(delete(webhook_deliveries).where(*_about(user_id, survey_id, until)))


def read_participant(
    connection: Connection, user_id: str, survey_id: str | None, after_id: int, limit: int
) -> list[tuple[Delivery, str]]:
    """Return the next deliveries about a participant, in their order, each with the address that was told."""
    column = webhook_deliveries.c
    query = select(webhook_deliveries, webhooks.c.url).join(webhooks, webhooks.c.id == column.webhook_id)
    query = query.where(column.id > after_id, *_about(user_id, survey_id, None)).order_by(column.id).limit(limit)
    return [(_delivery(row), row.url) for row in connection.execute(query)]


def _about(user_id: str, survey_id: str | None, until: int | None) -> list[ColumnElement[bool]]:
    where = [belongs_to(webhook_deliveries.c.user_id, user_id)]
    if survey_id is not None:
        where.append(webhook_deliveries.c.survey_id == survey_id)
    if until is not None:
        where.append(webhook_deliveries.c.occurred_at <= to_datetime(until))
    return where


_SETTLE = (
    update(webhook_deliveries)
    .where(webhook_deliveries.c.id == bindparam("of_id"), webhook_deliveries.c.delivered_at.is_(None))
    .values(
        attempts=bindparam("made"),
        next_attempt_at=bindparam("again"),
        delivered_at=bindparam("delivered"),
        failed_at=bindparam("failed"),
        last_status=bindparam("status"),
        last_error=bindparam("error"),
    )
)


def _delivery(row: Any) -> Delivery:  # noqa: ANN401 - a row
    return Delivery(
        id=row.id,
        webhook_id=row.webhook_id,
        event=cast("WebhookEvent", row.event),
        key=SessionKey(row.survey_id, row.user_id),
        version=row.version,
        occurred_at=from_datetime(row.occurred_at),
        attempts=row.attempts,
        next_attempt_at=_at(row.next_attempt_at),
        delivered_at=_at(row.delivered_at),
        failed_at=_at(row.failed_at),
        last_status=row.last_status,
        last_error=row.last_error,
    )


def _at(time: object) -> int | None:
    return None if time is None else from_datetime(time)
