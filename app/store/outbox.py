"""Webhooks, and the outbox of their deliveries (transactional outbox pattern), without answers and values."""

from collections.abc import Collection, Iterable
from dataclasses import asdict, dataclass
from typing import Any, Literal, NamedTuple, get_args

from sqlalchemy import ColumnElement, Connection, Row, and_, bindparam, case, delete, insert, or_, select, update

from ..survey import SessionKey
from .keyset import Page, belongs_to
from .tables import webhook_deliveries, webhooks

# None may be part of another: statements match with LIKE.
WebhookEvent = Literal["session.started", "session.completed", "session.expired"]
EVENTS: tuple[WebhookEvent, ...] = get_args(WebhookEvent)
# Location for encryption, followed by the webhook's id.
SECRET = "webhooks.secret"  # noqa: S105 - the name of a column
ERROR_LENGTH = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Webhook:
    """An endpoint and the events that it subscribes to."""

    id: str
    url: str
    secret: str  # as stored; must not appear in logs, lists or errors
    events: tuple[WebhookEvent, ...]
    survey_id: str | None  # None for all
    created_at: int
    disabled_at: int | None
    includes_values: bool = False  # whether messages have the session's parameters and computed values

    def __repr__(self) -> str:
        return f"Webhook({self.id})"


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """An event for a webhook."""

    id: int
    webhook_id: str
    event: WebhookEvent
    key: SessionKey
    version: int  # the session's, created by the event
    occurred_at: int
    attempts: int
    next_attempt_at: int | None  # None if delivered or failed for good
    delivered_at: int | None
    failed_at: int | None
    last_status: int | None
    last_error: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptResult:
    """The result of an attempt, or a rescheduling."""

    delivery: Delivery
    at: int
    attempts: int  # this one included
    retry_at: int | None  # None for never
    is_delivered: bool
    status: int | None
    error: str | None

    @property
    def outcome(self) -> Literal["delivered", "failed", "given_up"]:
        if self.is_delivered:
            return "delivered"
        return "given_up" if self.retry_at is None else "failed"


class RetentionCutoffs(NamedTuple):
    """Times before which deliveries are old; events before ``failed_before`` are overdue if still due."""

    delivered_before: int
    failed_before: int  # of those that failed, or are due to a disabled webhook


class OldDeliveries(NamedTuple):
    """A chunk's old and overdue deliveries, and where the next begins."""

    old: list[int]
    overdue: list[int]
    following: int | None


def add_webhook(connection: Connection, webhook: Webhook) -> None:
    connection.execute(insert(webhooks).values({**asdict(webhook), "events": " ".join(webhook.events)}))


def read_webhooks(connection: Connection) -> list[Webhook]:
    rows = connection.execute(select(webhooks).order_by(webhooks.c.created_at, webhooks.c.id))
    return [_webhook(row) for row in rows]


def read_webhook(connection: Connection, webhook_id: str, *, locked: bool = False) -> Webhook | None:
    query = select(webhooks).where(webhooks.c.id == webhook_id)
    row = connection.execute(query.with_for_update() if locked else query).first()
    return None if row is None else _webhook(row)


def update_webhook(connection: Connection, webhook_id: str, **values: str | bool | None) -> None:
    connection.execute(update(webhooks).where(webhooks.c.id == webhook_id).values(values))


def disable_webhook(connection: Connection, webhook_id: str, at: int) -> None:
    """Pause a webhook; its deliveries stay due."""
    column = webhooks.c
    change = update(webhooks).where(column.id == webhook_id, column.disabled_at.is_(None))
    connection.execute(change.values(disabled_at=at))


def remove_deliveries(connection: Connection, webhook_id: str, limit: int) -> int:
    column = webhook_deliveries.c
    ids = connection.execute(select(column.id).where(column.webhook_id == webhook_id).limit(limit)).scalars().all()
    if ids:
        connection.execute(delete(webhook_deliveries).where(column.id.in_(ids)))
    return len(ids)


def remove_webhook(connection: Connection, webhook_id: str) -> bool:
    # Concurrent turns wait, so most deliveries are removed beforehand; then they find no webhook.
    if read_webhook(connection, webhook_id, locked=True) is None:
        return False
    connection.execute(delete(webhook_deliveries).where(webhook_deliveries.c.webhook_id == webhook_id))
    return connection.execute(delete(webhooks).where(webhooks.c.id == webhook_id)).rowcount > 0


def read_due(
    connection: Connection, webhook_id: str, at: int, limit: int, without: Collection[int] = ()
) -> list[Delivery]:
    column = webhook_deliveries.c
    query = select(webhook_deliveries).where(column.webhook_id == webhook_id, column.next_attempt_at <= at)
    if without:
        query = query.where(column.id.not_in(without))
    rows = connection.execute(query.order_by(column.next_attempt_at, column.id).limit(limit))
    return [_delivery(row) for row in rows]


def record_attempts(connection: Connection, attempts: Iterable[AttemptResult]) -> None:
    """Record attempts, except of deliveries erased or delivered meanwhile."""
    changes = [
        {
            "delivery_id": attempt.delivery.id,
            "delivery_time": attempt.delivery.occurred_at,
            "attempts": attempt.attempts,
            "next_attempt_at": attempt.retry_at,
            "delivered_at": attempt.at if attempt.is_delivered else None,
            "failed_at": attempt.at if attempt.retry_at is None and not attempt.is_delivered else None,
            "last_status": attempt.status,
            "last_error": None if attempt.error is None else attempt.error[:ERROR_LENGTH],
        }
        for attempt in attempts
    ]
    if changes:
        column = webhook_deliveries.c
        # SQLite gives the id of an erased delivery to another.
        is_same = column.id == bindparam("delivery_id"), column.occurred_at == bindparam("delivery_time")
        connection.execute(update(webhook_deliveries).where(*is_same, column.delivered_at.is_(None)), changes)


def read_page(
    connection: Connection, webhook_id: str | None, before_id: int | None, limit: int, *, failed: bool = False
) -> Page[Delivery, int]:
    column = webhook_deliveries.c
    query = select(webhook_deliveries)
    if webhook_id is not None:
        query = query.where(column.webhook_id == webhook_id)
    if before_id is not None:
        query = query.where(column.id < before_id)
    if failed:
        query = query.where(column.failed_at.is_not(None))
    deliveries = [_delivery(row) for row in connection.execute(query.order_by(column.id.desc()).limit(limit))]
    return Page(deliveries, deliveries[-1].id if len(deliveries) == limit else None)


def read_finished_ids(
    connection: Connection, webhook_id: str, after_id: int, limit: int, *, since: int | None, failed: bool
) -> list[int]:
    column = webhook_deliveries.c
    is_finished = column.next_attempt_at.is_(None)
    query = select(column.id).where(column.webhook_id == webhook_id, column.id > after_id, is_finished)
    if since is not None:
        query = query.where(column.occurred_at >= since)
    if failed:
        query = query.where(column.failed_at.is_not(None))
    return list(connection.execute(query.order_by(column.id).limit(limit)).scalars())


def replay(connection: Connection, ids: Collection[int], at: int) -> int:
    """Make finished deliveries due as if never attempted."""
    column = webhook_deliveries.c
    values = {"attempts": 0, "next_attempt_at": at, "delivered_at": None, "failed_at": None}
    change = update(webhook_deliveries).where(column.id.in_(ids), column.next_attempt_at.is_(None))
    return connection.execute(change.values(**values)).rowcount


def scan_old(connection: Connection, ages: RetentionCutoffs, after_id: int, limit: int) -> OldDeliveries:
    column = webhook_deliveries.c
    marks = (case((_is_old(ages), 1), else_=0).label("is_old"), case((_is_overdue(ages), 1), else_=0).label("is_late"))
    query = select(column.id, *marks).where(column.id > after_id).order_by(column.id).limit(limit)
    rows = connection.execute(query).all()
    following = rows[-1].id if len(rows) == limit else None
    return OldDeliveries([row.id for row in rows if row.is_old], [row.id for row in rows if row.is_late], following)


def remove_old(connection: Connection, ages: RetentionCutoffs, ids: Collection[int]) -> int:
    is_found = webhook_deliveries.c.id.in_(ids)
    return connection.execute(delete(webhook_deliveries).where(is_found, _is_old(ages))).rowcount


def give_up(connection: Connection, ages: RetentionCutoffs, ids: Collection[int], at: int) -> int:
    change = update(webhook_deliveries).where(webhook_deliveries.c.id.in_(ids), _is_overdue(ages))
    return connection.execute(change.values(next_attempt_at=None, failed_at=at)).rowcount


def _is_old(ages: RetentionCutoffs) -> ColumnElement[bool]:
    column = webhook_deliveries.c
    disabled = select(webhooks.c.id).where(webhooks.c.disabled_at < ages.failed_before)
    return or_(
        column.delivered_at < ages.delivered_before,
        column.failed_at < ages.failed_before,
        and_(column.webhook_id.in_(disabled), column.next_attempt_at < ages.failed_before),
    )


def _is_overdue(ages: RetentionCutoffs) -> ColumnElement[bool]:
    column = webhook_deliveries.c
    enabled = select(webhooks.c.id).where(webhooks.c.disabled_at.is_(None))
    is_late = column.occurred_at < ages.failed_before
    return and_(column.next_attempt_at.is_not(None), is_late, column.webhook_id.in_(enabled))


def remove_participant(connection: Connection, user_id: str, survey_id: str | None, until: int | None = None) -> None:
    """Remove a participant's deliveries; one in progress may still arrive."""
    removal = delete(webhook_deliveries).where(belongs_to(webhook_deliveries, user_id, survey_id))
    if until is not None:
        removal = removal.where(webhook_deliveries.c.occurred_at <= until)
    connection.execute(removal)


def read_participant(
    connection: Connection, user_id: str, survey_id: str | None, after_id: int, limit: int
) -> list[tuple[Delivery, Webhook]]:
    column = webhook_deliveries.c
    receivers = {webhook.id: webhook for webhook in read_webhooks(connection)}
    query = select(webhook_deliveries).where(column.id > after_id, belongs_to(webhook_deliveries, user_id, survey_id))
    deliveries = [_delivery(row) for row in connection.execute(query.order_by(column.id).limit(limit))]
    return [(delivery, receivers[delivery.webhook_id]) for delivery in deliveries]


def _delivery(row: Row[Any]) -> Delivery:
    values = row._asdict()
    key = SessionKey(values.pop("survey_id"), values.pop("user_id"))
    return Delivery(key=key, **values)


def _webhook(row: Row[Any]) -> Webhook:
    return Webhook(**{**row._asdict(), "events": tuple(row.events.split())})
