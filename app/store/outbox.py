"""Webhooks, and the outbox of their deliveries (transactional outbox pattern).

A batch of turns inserts deliveries in its own transaction (``drivers/``). They hold no answers.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, cast, get_args

from sqlalchemy import ColumnElement, Connection, and_, bindparam, case, delete, insert, or_, select, update

from ..core.timestamps import from_datetime, to_datetime
from ..survey import SessionKey
from .keyset import belongs_to
from .tables import webhook_deliveries, webhooks

WebhookEvent = Literal["session.started", "session.completed", "session.expired"]
"""None may be part of another: statements match with LIKE."""

EVENTS: tuple[WebhookEvent, ...] = get_args(WebhookEvent)

SECRET = "webhooks.secret"  # noqa: S105 - the name of a column
"""Location for encryption, followed by the webhook's id."""

ERROR_LENGTH = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Webhook:
    """An endpoint and the events that it subscribes to.

    Attributes:
        secret: as stored; must not appear in logs, lists or errors.
        survey_id: None for all.
        disabled_at: None while enabled.
    """

    id: str
    url: str
    secret: str
    events: tuple[WebhookEvent, ...]
    survey_id: str | None
    created_at: int
    disabled_at: int | None

    def __repr__(self) -> str:
        return f"Webhook({self.id})"


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """An event for a webhook.

    Attributes:
        version: the session's, created by the event.
        next_attempt_at: None if delivered or given up.
        last_status: HTTP status of the last response.
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
    """The result of an attempt, or a rescheduling.

    Attributes:
        attempts: this one included.
        retry_at: None for never.
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
        if self.is_delivered:
            return "delivered"
        return "given_up" if self.retry_at is None else "failed"


class Page(NamedTuple):
    """Deliveries, newest first, and the next ``before_id``, if any."""

    deliveries: list[Delivery]
    following: int | None


class RetentionCutoffs(NamedTuple):
    """Cutoffs of the retention of deliveries.

    Attributes:
        delivered_before: earlier deliveries are old.
        failed_before: those given up, or due to a disabled webhook, before this are old; earlier events due to an
            enabled webhook are overdue.
    """

    delivered_before: int
    failed_before: int


class OldDeliveries(NamedTuple):
    """Ids of a chunk's old and overdue deliveries, and the next ``after_id``."""

    old: list[int]
    overdue: list[int]
    following: int | None


def add_webhook(connection: Connection, webhook: Webhook) -> None:
    """Store a new webhook."""
    connection.execute(
        insert(webhooks).values(
            id=webhook.id,
            url=webhook.url,
            secret=webhook.secret,
            events=" ".join(webhook.events),
            survey_id=webhook.survey_id,
            created_at=to_datetime(webhook.created_at),
        )
    )


def read_webhooks(connection: Connection) -> list[Webhook]:
    """Return all webhooks, oldest first."""
    rows = connection.execute(select(webhooks).order_by(webhooks.c.created_at, webhooks.c.id))
    return [_webhook(row) for row in rows]


def read_webhook(connection: Connection, webhook_id: str, *, locked: bool = False) -> Webhook | None:
    """Return the webhook; ``locked`` until the transaction ends."""
    query = select(webhooks).where(webhooks.c.id == webhook_id)
    row = connection.execute(query.with_for_update() if locked else query).first()
    return None if row is None else _webhook(row)


def set_secret(connection: Connection, webhook_id: str, secret: str) -> None:
    """Replace a webhook's secret."""
    connection.execute(update(webhooks).where(webhooks.c.id == webhook_id).values(secret=secret))


def disable_webhook(connection: Connection, webhook_id: str, at: int) -> None:
    """Pause a webhook; its deliveries stay due. Idempotent."""
    column = webhooks.c
    change = update(webhooks).where(column.id == webhook_id, column.disabled_at.is_(None))
    connection.execute(change.values(disabled_at=to_datetime(at)))


def enable_webhook(connection: Connection, webhook_id: str) -> None:
    """Resume a webhook. Idempotent."""
    connection.execute(update(webhooks).where(webhooks.c.id == webhook_id).values(disabled_at=None))


def remove_deliveries(connection: Connection, webhook_id: str, limit: int) -> int:
    """Remove up to ``limit`` deliveries; return how many."""
    column = webhook_deliveries.c
    ids = connection.execute(select(column.id).where(column.webhook_id == webhook_id).limit(limit)).scalars().all()
    if ids:
        connection.execute(delete(webhook_deliveries).where(column.id.in_(ids)))
    return len(ids)


def remove_webhook(connection: Connection, webhook_id: str) -> bool:
    """Remove a webhook and its deliveries; return whether it existed.

    Turns wait for this, so remove most deliveries beforehand.
    """
    if read_webhook(connection, webhook_id, locked=True) is None:  # concurrent turns wait, then find no webhook
        return False
    connection.execute(delete(webhook_deliveries).where(webhook_deliveries.c.webhook_id == webhook_id))
    return connection.execute(delete(webhooks).where(webhooks.c.id == webhook_id)).rowcount > 0


def read_due(
    connection: Connection, webhook_id: str, at: int, limit: int, without: Collection[int] = ()
) -> list[Delivery]:
    """Return a webhook's due deliveries, longest due first.

    Args:
        without: ids in progress.
    """
    column = webhook_deliveries.c
    query = select(webhook_deliveries).where(column.webhook_id == webhook_id, column.next_attempt_at <= to_datetime(at))
    if without:
        query = query.where(column.id.not_in(without))
    rows = connection.execute(query.order_by(column.next_attempt_at, column.id).limit(limit))
    return [_delivery(row) for row in rows]


def record_attempts(connection: Connection, attempts: Iterable[AttemptResult]) -> None:
    """Record attempts, except of deliveries erased or delivered meanwhile."""
    changes = [
        {
            "delivery_id": attempt.id,
            "attempt_count": attempt.attempts,
            "retry": None if attempt.retry_at is None else to_datetime(attempt.retry_at),
            "delivered": to_datetime(attempt.at) if attempt.is_delivered else None,
            "failed": to_datetime(attempt.at) if attempt.retry_at is None and not attempt.is_delivered else None,
            "status": attempt.status,
            "error": None if attempt.error is None else attempt.error[:ERROR_LENGTH],
        }
        for attempt in attempts
    ]
    if changes:
        connection.execute(_SETTLE, changes)


def read_page(
    connection: Connection, webhook_id: str | None, before_id: int | None, limit: int, *, failed: bool = False
) -> Page:
    """Return the next deliveries, newest first; if ``failed``, only those given up."""
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
    """Return the next ids, ascending, of finished deliveries; if ``failed``, only those given up.

    Args:
        since: of the events.
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
    """Make finished deliveries due as if never attempted; return how many."""
    column = webhook_deliveries.c
    values = {"attempts": 0, "next_attempt_at": to_datetime(at), "delivered_at": None, "failed_at": None}
    change = update(webhook_deliveries).where(column.id.in_(ids), column.next_attempt_at.is_(None))
    return connection.execute(change.values(**values)).rowcount


def scan_old(connection: Connection, ages: RetentionCutoffs, after_id: int, limit: int) -> OldDeliveries:
    """Return what is old and overdue among ``limit`` deliveries."""
    column = webhook_deliveries.c
    marks = (case((_is_old(ages), 1), else_=0).label("is_old"), case((_is_overdue(ages), 1), else_=0).label("is_late"))
    query = select(column.id, *marks).where(column.id > after_id).order_by(column.id).limit(limit)
    rows = connection.execute(query).all()
    following = rows[-1].id if len(rows) == limit else None
    return OldDeliveries([row.id for row in rows if row.is_old], [row.id for row in rows if row.is_late], following)


def remove_old(connection: Connection, ages: RetentionCutoffs, ids: Collection[int]) -> int:
    """Remove deliveries still old; return how many."""
    change = delete(webhook_deliveries).where(webhook_deliveries.c.id.in_(ids), _is_old(ages))
    return connection.execute(change).rowcount


def give_up(connection: Connection, ages: RetentionCutoffs, ids: Collection[int], at: int) -> int:
    """Give up deliveries still overdue; return how many."""
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
    """Remove a participant's deliveries in one survey or all, up to ``until``; one in progress may still arrive."""
    connection.execute(delete(webhook_deliveries).where(*_about(user_id, survey_id, until)))


def read_participant(
    connection: Connection, user_id: str, survey_id: str | None, after_id: int, limit: int
) -> list[tuple[Delivery, str]]:
    """Return the next deliveries about a participant, with URLs."""
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
    .where(webhook_deliveries.c.id == bindparam("delivery_id"), webhook_deliveries.c.delivered_at.is_(None))
    .values(
        attempts=bindparam("attempt_count"),
        next_attempt_at=bindparam("retry"),
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


def _webhook(row: Any) -> Webhook:  # noqa: ANN401 - a row
    return Webhook(
        id=row.id,
        url=row.url,
        secret=row.secret,
        events=cast("tuple[WebhookEvent, ...]", tuple(row.events.split())),
        survey_id=row.survey_id,
        created_at=from_datetime(row.created_at),
        disabled_at=_at(row.disabled_at),
    )
