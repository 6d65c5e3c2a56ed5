"""Manage webhooks. A secret is returned only when it is created."""

import secrets
from collections.abc import Iterable
from functools import partial
from typing import Any, NamedTuple, cast

from sqlalchemy import Connection

from ...core.progress import Progress, no_progress
from ...core.timestamps import format_timestamp
from ...errors import InvalidInput, NoSuchSurvey, NoSuchWebhook, SessionUnreadable
from ...sessions import SessionStore
from ...store import DecryptionError, Delivery, Page, Webhook, WebhookEvent, outbox
from .backoff import SECOND_US
from .http import PostResult, post_signed
from .signing import Secret, encode_message, message_id, new_secret, parse_secrets, serialize_secrets
from .url_policy import validate_url

HOUR_US = 3600 * SECOND_US

EVENTS = outbox.EVENTS

OVERLAP_HOURS = 24  # how long a replaced secret signs together with the new one
MAX_WEBHOOKS = 100  # each can use several threads, and adds a row for each event
BATCH_SIZE = 1000

ID_PATTERN = r"^wh_[0-9a-f]{16}$"
_ID_BYTES = 8


class NewWebhook(NamedTuple):
    """A webhook and its secret in plain text."""

    webhook: Webhook
    secret: str


def add_webhook(
    store: SessionStore,
    url: object,
    events: Iterable[str],
    survey_id: str | None = None,
    *,
    includes_values: bool = False,
) -> NewWebhook:
    """Add a webhook for events from now on, of one survey or all.

    Raises:
        InvalidInput: the URL or an event is invalid, or there are too many webhooks.
        NoSuchSurvey: unknown survey.
    """
    url, events = validate_url(url, store.settings), _validate_events(events)
    if survey_id is not None and store.queries.survey_id(survey_id) not in store.catalogue.surveys:
        raise NoSuchSurvey(survey_id, store.catalogue.public_ids)
    webhook_id, secret = f"wh_{secrets.token_hex(_ID_BYTES)}", new_secret()
    webhook = Webhook(
        id=webhook_id,
        url=url,
        secret=store.cipher.encrypt(secret, (outbox.SECRET, webhook_id)),
        events=events,
        survey_id=survey_id,
        created_at=store.clock(),
        disabled_at=None,
        includes_values=includes_values,
    )

    def insert(connection: Connection) -> None:
        if len(outbox.read_webhooks(connection)) >= MAX_WEBHOOKS:
            raise InvalidInput(f"there are already {MAX_WEBHOOKS} webhooks, the maximum: remove one first")
        # If it exists, a transaction that is being retried was committed after all.
        if outbox.read_webhook(connection, webhook_id) is None:
            outbox.add_webhook(connection, webhook)

    store.run_transaction(insert)
    return NewWebhook(webhook, secret)


def list_webhooks(store: SessionStore) -> list[Webhook]:
    """Return all webhooks, oldest first."""
    return store.run_read(outbox.read_webhooks)


def get_webhook(store: SessionStore, webhook_id: str) -> Webhook:
    """Return a webhook, or raise NoSuchWebhook."""
    webhook = store.run_read(partial(outbox.read_webhook, webhook_id=webhook_id))
    if webhook is None:
        raise NoSuchWebhook(webhook_id)
    return webhook


def set_enabled(store: SessionStore, webhook_id: str, *, enabled: bool) -> None:
    """Enable or disable a webhook; events meanwhile are not delivered later."""
    get_webhook(store, webhook_id)
    if enabled:
        store.run_transaction(partial(outbox.update_webhook, webhook_id=webhook_id, disabled_at=None))
    else:
        store.run_transaction(partial(outbox.disable_webhook, webhook_id=webhook_id, at=store.clock()))


def set_includes_values(store: SessionStore, webhook_id: str, *, includes_values: bool) -> None:
    """Set whether later messages have parameters and computed values."""
    get_webhook(store, webhook_id)
    store.run_transaction(partial(outbox.update_webhook, webhook_id=webhook_id, includes_values=includes_values))


def rotate_secret(store: SessionStore, webhook_id: str, overlap_hours: float = OVERLAP_HOURS) -> str:
    """Replace the secret and return the new one; both sign during the overlap."""
    secret, until = new_secret(), store.clock() + int(overlap_hours * HOUR_US)

    def replace(connection: Connection) -> None:
        webhook = outbox.read_webhook(connection, webhook_id)
        if webhook is None:
            raise NoSuchWebhook(webhook_id)
        previous = [old.text for old in read_secrets(store, webhook) if old.text != secret]
        text = serialize_secrets([Secret(secret, None), *(Secret(old, until) for old in previous[:1])])
        encrypted = store.cipher.encrypt(text, (outbox.SECRET, webhook_id))
        outbox.update_webhook(connection, webhook_id, secret=encrypted)

    store.run_transaction(replace)
    return secret


def remove_webhook(store: SessionStore, webhook_id: str, progress: Progress = no_progress) -> None:
    """Remove a webhook and its deliveries."""
    set_enabled(store, webhook_id, enabled=False)
    done = 0
    # Turns that add deliveries wait for each transaction.
    while removed := store.run_transaction(partial(outbox.remove_deliveries, webhook_id=webhook_id, limit=BATCH_SIZE)):
        done += removed
        progress(done, done + BATCH_SIZE)
    store.run_transaction(partial(outbox.remove_webhook, webhook_id=webhook_id))


def list_deliveries(
    store: SessionStore, webhook_id: str | None, before_id: int | None, limit: int, *, failed: bool = False
) -> Page[Delivery, int]:
    """Return a page of deliveries, newest first."""
    if webhook_id is not None:
        get_webhook(store, webhook_id)
    return store.run_read(
        partial(outbox.read_page, webhook_id=webhook_id, before_id=before_id, limit=limit, failed=failed)
    )


def replay_deliveries(
    store: SessionStore,
    webhook_id: str,
    *,
    since: int | None = None,
    failed: bool = False,
    progress: Progress = no_progress,
) -> int:
    """Make finished deliveries due again; return their number."""
    get_webhook(store, webhook_id)
    after = done = 0
    read = partial(outbox.read_finished_ids, webhook_id=webhook_id, limit=BATCH_SIZE, since=since, failed=failed)
    while ids := store.run_read(partial(read, after_id=after)):
        done += store.run_transaction(partial(outbox.replay, ids=ids, at=store.clock()))
        after = ids[-1]
        progress(done, done + BATCH_SIZE)
    return done


def send_test(store: SessionStore, webhook_id: str) -> PostResult:
    """Send a signed ``webhook.test`` now; nothing is stored."""
    webhook, at = get_webhook(store, webhook_id), store.clock()
    body = encode_message("webhook.test", at, {"webhook_id": webhook.id})
    test_id = f"msg_test_{secrets.token_hex(_ID_BYTES)}"
    return post_signed(webhook.url, read_secrets(store, webhook), test_id, at, body, store.settings)


def webhook_to_dict(webhook: Webhook) -> dict[str, Any]:
    """Return the JSON form, without the secret."""
    return _fields(webhook, "id", "url", "events", "survey_id", "includes_values", "created_at", "disabled_at")


def delivery_to_dict(delivery: Delivery) -> dict[str, Any]:
    """Return the JSON form."""
    return {
        "id": delivery.id,
        "message_id": message_id(delivery),
        "event": delivery.event,
        **delivery.key._asdict(),
        **_fields(delivery, "version", "occurred_at", "attempts", "next_attempt_at", "delivered_at", "failed_at"),
        **_fields(delivery, "last_status", "last_error"),
    }


def _fields(item: Webhook | Delivery, *names: str) -> dict[str, Any]:
    values = ((name, getattr(item, name)) for name in names)
    return {name: format_timestamp(value) if name.endswith("_at") else value for name, value in values}


def read_secrets(store: SessionStore, webhook: Webhook) -> list[Secret]:
    try:
        return parse_secrets(store.cipher.decrypt(webhook.secret, (outbox.SECRET, webhook.id)))
    except DecryptionError as error:
        raise SessionUnreadable("webhooks", webhook.id, "its secret can't be decrypted: rotate it") from error


def _validate_events(events: Iterable[str]) -> tuple[WebhookEvent, ...]:
    names = list(dict.fromkeys(events))
    unknown = [name for name in names if name not in EVENTS]
    if unknown or not names:
        problem = f"unknown event {str(unknown[0])[:40]!r}" if unknown else "no events"
        raise InvalidInput(f"{problem}: choose from {', '.join(EVENTS)}")
    return cast("tuple[WebhookEvent, ...]", tuple(names))
