"""Where integrators want to be told of sessions, in the database, through SQLAlchemy's Core.

Every function works on a connection whose transaction its caller owns. A webhook's secret lies as it is given: sealed,
where there are keys (``operations/webhooks/management.py``).
"""

from dataclasses import dataclass
from typing import Any, Literal, cast, get_args

from sqlalchemy import Connection, delete, insert, select, update

from ..core.timestamps import from_datetime, to_datetime
from .tables import webhook_deliveries, webhooks

WebhookEvent = Literal["session.started", "session.completed", "session.expired"]
"""What can be told. No name is a part of another one: the statements that fill the outbox look for it in a list."""

EVENTS: tuple[WebhookEvent, ...] = get_args(WebhookEvent)

SECRET = "webhooks.secret"  # noqa: S105 - the name of a column
"""Where a webhook's secret lies, followed by its id: what a sealed one is bound to."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Webhook:
    """One address, and what it is told.

    Attributes:
        secret: what lies in the column; no log, list or error may show it.
        events: what it is told of.
        survey_id: only of this survey; None: of all.
        created_at, disabled_at: microseconds since 1970 UTC; None where it is told.
    """

    id: str
    url: str
    secret: str
    events: tuple[WebhookEvent, ...]
    survey_id: str | None
    created_at: int
    disabled_at: int | None

    def __repr__(self) -> str:
        """Say which one it is, and never its secret."""
        return f"Webhook({self.id})"


def add(connection: Connection, webhook: Webhook) -> None:
    """Keep a new webhook."""
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


def read_all(connection: Connection) -> list[Webhook]:
    """Return all webhooks, the oldest first."""
    rows = connection.execute(select(webhooks).order_by(webhooks.c.created_at, webhooks.c.id))
    return [_webhook(row) for row in rows]


def read(connection: Connection, webhook_id: str) -> Webhook | None:
    """Return the webhook of this id."""
    row = connection.execute(select(webhooks).where(webhooks.c.id == webhook_id)).first()
    return None if row is None else _webhook(row)


def read_locked(connection: Connection, webhook_id: str) -> Webhook | None:
    """Return the webhook of this id, held until the transaction ends."""
    row = connection.execute(select(webhooks).where(webhooks.c.id == webhook_id).with_for_update()).first()
    return None if row is None else _webhook(row)


def set_secret(connection: Connection, webhook_id: str, secret: str) -> None:
    """Keep another secret of a webhook."""
    connection.execute(update(webhooks).where(webhooks.c.id == webhook_id).values(secret=secret))


def disable(connection: Connection, webhook_id: str, at: int) -> None:
    """Tell a webhook nothing more; what waits for it stays until it is enabled again. Again is harmless."""
    column = webhooks.c
    change = update(webhooks).where(column.id == webhook_id, column.disabled_at.is_(None))
    connection.execute(change.values(disabled_at=to_datetime(at)))


def enable(connection: Connection, webhook_id: str) -> None:
    """Go on telling a webhook: what waits for it, and what happens from now on. Again is harmless."""
    connection.execute(update(webhooks).where(webhooks.c.id == webhook_id).values(disabled_at=None))


def remove_deliveries(connection: Connection, webhook_id: str, limit: int) -> int:
    """Remove some of a webhook's deliveries, at most ``limit``; return how many."""
    column = webhook_deliveries.c
    ids = connection.execute(select(column.id).where(column.webhook_id == webhook_id).limit(limit)).scalars().all()
    if ids:
        connection.execute(delete(webhook_deliveries).where(column.id.in_(ids)))
    return len(ids)


def remove(connection: Connection, webhook_id: str) -> bool:
    """Remove a webhook with the deliveries that it has left; return whether there was one.

    Turns that begin or complete sessions wait for it: remove most of its deliveries first.
    """
    if read_locked(connection, webhook_id) is None:  # held: what happens meanwhile waits, and then finds no webhook
        return False
    connection.execute(delete(webhook_deliveries).where(webhook_deliveries.c.webhook_id == webhook_id))
    return connection.execute(delete(webhooks).where(webhooks.c.id == webhook_id)).rowcount > 0


def _webhook(row: Any) -> Webhook:  # noqa: ANN401 - a row
    return Webhook(
        id=row.id,
        url=row.url,
        secret=row.secret,
        events=cast("tuple[WebhookEvent, ...]", tuple(row.events.split())),
        survey_id=row.survey_id,
        created_at=from_datetime(row.created_at),
        disabled_at=None if row.disabled_at is None else from_datetime(row.disabled_at),
    )
