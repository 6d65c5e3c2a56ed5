"""Adding, changing, trying, replaying and removing webhooks: what the command line and REST both do.

A secret is shown when it is made, and never again. At rest it is sealed where STEPKEEP_ANSWERS_KEYS are.
"""

import secrets
from collections.abc import Callable, Iterable
from functools import partial
from typing import NamedTuple, cast

from sqlalchemy import Connection

from ...errors import InvalidInput, NoSuchSurvey, NoSuchWebhook, SessionUnreadable
from ...sessions.service import SessionStore
from ...store import outbox, webhooks
from ...store.encryption import DecryptionError
from ...store.webhooks import EVENTS, SECRET, Webhook, WebhookEvent
from .backoff import SECOND_US
from .http import Answer, post
from .signing import Secret, encoded, headers, kept_text, new_secret, secrets_in
from .url_policy import check_url, is_private_allowed

HOUR_US = 3600 * SECOND_US

OVERLAP_HOURS = 24
"""For which the old secret signs beside a new one."""

MAX_WEBHOOKS = 100
"""Each may hold a few threads, and each event of a session makes a row for each."""

BATCH = 1000
"""Deliveries that are removed, or are due again, in one transaction."""

ID_PATTERN = r"^wh_[0-9a-f]{16}$"
_ID_BYTES = 8

Progress = Callable[[int], None]
"""Gets how many deliveries are done, after each batch."""


class Added(NamedTuple):
    """A webhook, and its new secret, as its receiver is to be given it."""

    webhook: Webhook
    secret: str


def add(store: SessionStore, url: object, events: Iterable[str], survey_id: str | None = None) -> Added:
    """Keep a new webhook; it is told of what happens from now on.

    Raises:
        InvalidInput: no address that a webhook may have, no such event, or too many webhooks.
        NoSuchSurvey: there is no such survey.
    """
    address = check_url(url, store.settings)
    chosen = _events(events)
    if survey_id is not None and store.queries.key("x", survey_id).survey_id not in store.catalogue.surveys:
        raise NoSuchSurvey(survey_id, tuple(store.catalogue.surveys))
    webhook_id, secret = f"wh_{secrets.token_hex(_ID_BYTES)}", new_secret()
    webhook = Webhook(
        id=webhook_id,
        url=address,
        secret=store.cipher.encrypt(secret, (SECRET, webhook_id)),
        events=chosen,
        survey_id=survey_id,
        created_at=store.clock(),
        disabled_at=None,
    )

    def keep(connection: Connection) -> None:
        if len(webhooks.read_all(connection)) >= MAX_WEBHOOKS:
            raise InvalidInput(f"there are {MAX_WEBHOOKS} webhooks, which is the most: remove one first")
        if webhooks.read(connection, webhook_id) is None:  # else a try before, whose outcome was not known, did it
            webhooks.add(connection, webhook)

    store.run_transaction(keep)
    return Added(webhook, secret)


def find(store: SessionStore, webhook_id: str) -> Webhook:
    """Return the webhook.

    Raises:
        NoSuchWebhook: there is none of this id.
    """
    found = store.run_read(partial(webhooks.read, webhook_id=webhook_id))
    if found is None:
        raise NoSuchWebhook(webhook_id)
    return found


def set_enabled(store: SessionStore, webhook_id: str, *, enabled: bool) -> Webhook:
    """Return the webhook, enabled or disabled; while it is disabled nothing is told it, nor kept for later.

    Raises:
        NoSuchWebhook: there is none of this id.
    """
    find(store, webhook_id)
    if enabled:
        store.run_transaction(partial(webhooks.enable, webhook_id=webhook_id))
    else:
        store.run_transaction(partial(webhooks.disable, webhook_id=webhook_id, at=store.clock()))
    return find(store, webhook_id)


def rotate_secret(store: SessionStore, webhook_id: str, overlap_hours: float = OVERLAP_HOURS) -> str:
    """Return a new secret, with which all is signed from now on; the one before signs too for a while.

    Raises:
        NoSuchWebhook: there is none of this id.
        MissingKey, SessionUnreadable: its secret can't be read.
    """
    secret, until = new_secret(), store.clock() + int(overlap_hours * HOUR_US)

    def change(connection: Connection) -> None:
        found = webhooks.read_locked(connection, webhook_id)
        if found is None:
            raise NoSuchWebhook(webhook_id)
        before = [one.text for one in secrets_of(store, found) if one.text != secret]
        kept = kept_text([Secret(secret, None), *(Secret(text, until) for text in before[:1])])
        webhooks.set_secret(connection, webhook_id, store.cipher.encrypt(kept, (SECRET, webhook_id)))

    store.run_transaction(change)
    return secret


def remove(store: SessionStore, webhook_id: str, progress: Progress = lambda _done: None) -> None:
    """Remove a webhook and all its deliveries.

    Raises:
        NoSuchWebhook: there is none of this id.
    """
    set_enabled(store, webhook_id, enabled=False)
    done = 0
    # In parts: turns that begin or complete sessions wait for each.
    while removed := store.run_transaction(partial(webhooks.remove_deliveries, webhook_id=webhook_id, limit=BATCH)):
        done += removed
        progress(done)
    store.run_transaction(partial(webhooks.remove, webhook_id=webhook_id))


def replay(
    store: SessionStore,
    webhook_id: str,
    *,
    since: int | None = None,
    failed: bool = False,
    progress: Progress = lambda _done: None,
) -> int:
    """Let what was delivered, or given up, be delivered again, with the same ids; return how many.

    Args:
        since: only of what happened then or later, microseconds since 1970 UTC.
        failed: only what was given up.

    Raises:
        NoSuchWebhook: there is none of this id.
    """
    find(store, webhook_id)
    after = done = 0
    while ids := store.run_read(
        partial(
            outbox.read_finished_ids, webhook_id=webhook_id, after_id=after, limit=BATCH, since=since, failed=failed
        )
    ):
        done += store.run_transaction(partial(outbox.replay, ids=ids, at=store.clock()))
        after = ids[-1]
        progress(done)
    return done


def send_test(store: SessionStore, webhook_id: str) -> Answer:
    """Send a signed ``webhook.test`` now, and return what came of it; nothing of it is kept.

    Raises:
        NoSuchWebhook: there is none of this id.
        MissingKey, SessionUnreadable: its secret can't be read.
    """
    webhook, at, settings = find(store, webhook_id), store.clock(), store.settings
    body = encoded("webhook.test", at, {"webhook_id": webhook.id})
    signed = headers(secrets_of(store, webhook), f"msg_test_{secrets.token_hex(_ID_BYTES)}", at, body)
    return post(
        webhook.url,
        signed,
        body,
        timeout_s=settings.webhook_timeout_s,
        may_be_inside=is_private_allowed(settings),
    )


def secrets_of(store: SessionStore, webhook: Webhook) -> list[Secret]:
    """Return a webhook's secrets, the newest first."""
    try:
        return secrets_in(store.cipher.decrypt(webhook.secret, (SECRET, webhook.id)))
    except DecryptionError as error:
        raise SessionUnreadable("webhooks", webhook.id, "its secret is broken: rotate it") from error


def _events(given: Iterable[str]) -> tuple[WebhookEvent, ...]:
    chosen = list(dict.fromkeys(given))
    unknown = [one for one in chosen if one not in EVENTS]
    if unknown or not chosen:
        named = f"there is no event {str(unknown[0])[:40]!r}" if unknown else "no event is named"
        raise InvalidInput(f"{named}: choose of {', '.join(EVENTS)}")
    return cast("tuple[WebhookEvent, ...]", tuple(chosen))
