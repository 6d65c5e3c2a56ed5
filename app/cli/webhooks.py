"""``flask webhooks``: who is told of what, whether it arrives, and telling it again."""

import datetime
import json
from collections.abc import Iterator
from functools import partial
from typing import Any

import click
from flask.cli import AppGroup

from ..core.timestamps import format_timestamp, from_datetime
from ..errors import InvalidInput
from ..operations.webhooks import management
from ..operations.webhooks.signing import message_id_of
from ..store import outbox
from ..store.outbox import Delivery
from ..store.webhooks import EVENTS, Webhook, read_all
from .output import note, progress, store, table, told

webhooks = AppGroup("webhooks", help="Addresses that are told when sessions begin, are completed, or expire.")


@webhooks.command("add")
@click.argument("url")
@click.option("--event", "events", multiple=True, required=True, type=click.Choice(EVENTS), help="What to tell of.")
@click.option("--survey", default=None, help="Only of this survey; else of all.")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
@told
def add_webhook(url: str, events: tuple[str, ...], survey: str | None, *, as_json: bool) -> None:
    """Tell an address what happens from now on, and show the secret that signs it, this once.

    \b
    Examples:
      flask webhooks add https://clinic.example.org/stepkeep --event session.completed
      flask webhooks add https://clinic.example.org/stepkeep --event session.expired --survey phq9
    """
    added = management.add(store(), url, events, survey)
    note("webhook_added", survey_id=survey, webhook=added.webhook.id)
    if as_json:
        click.echo(json.dumps({**_shown(added.webhook), "secret": added.secret}))
        return
    click.echo(f"{added.webhook.id}\n{added.secret}")
    click.echo(
        "Keep the secret now: it is shown this once. The receiver verifies with it (docs/webhooks.md).", err=True
    )


@webhooks.command("list")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
@told
def list_webhooks(*, as_json: bool) -> None:
    """Show who is told of what.

    \b
    Examples:
      flask webhooks list
      flask webhooks list --json
    """
    found = store().run_read(read_all)
    if as_json:
        click.echo(json.dumps([_shown(one) for one in found]))
        return
    rows = [
        (one.id, one.url, " ".join(one.events), one.survey_id or "all", format_timestamp(one.disabled_at) or "")
        for one in found
    ]
    table(("WEBHOOK", "URL", "EVENTS", "SURVEY", "DISABLED"), rows)


@webhooks.command("remove")
@click.argument("webhook")
@told
def remove_webhook(webhook: str) -> None:
    """Remove a webhook, with all that it was told and was still to be told.

    \b
    Examples:
      flask webhooks remove wh_0123456789abcdef
    """
    management.find(store(), webhook)
    note("webhook_removed", webhook=webhook)
    with progress("Removing") as show:
        management.remove(store(), webhook, lambda done: show(done, done + management.BATCH))
    click.echo(f"{webhook} is removed.")


@webhooks.command("disable")
@click.argument("webhook")
@told
def disable_webhook(webhook: str) -> None:
    """Tell it nothing more: what happens meanwhile it never learns; what waits for it waits on.

    \b
    Examples:
      flask webhooks disable wh_0123456789abcdef
    """
    management.set_enabled(store(), webhook, enabled=False)
    note("webhook_changed", webhook=webhook, enabled=0)
    click.echo(f"{webhook} is disabled.")


@webhooks.command("enable")
@click.argument("webhook")
@told
def enable_webhook(webhook: str) -> None:
    """Tell it what waits for it, and what happens from now on.

    \b
    Examples:
      flask webhooks enable wh_0123456789abcdef
    """
    management.set_enabled(store(), webhook, enabled=True)
    note("webhook_changed", webhook=webhook, enabled=1)
    click.echo(f"{webhook} is enabled.")


@webhooks.command("rotate-secret")
@click.argument("webhook")
@click.option(
    "--overlap-hours",
    type=click.FloatRange(0, 24 * 365),
    default=management.OVERLAP_HOURS,
    show_default=True,
    help="Hours for which the secret before signs too.",
)
@told
def rotate_secret(webhook: str, overlap_hours: float) -> None:
    """Give it a new secret, and show it, this once.

    \b
    Examples:
      flask webhooks rotate-secret wh_0123456789abcdef
      flask webhooks rotate-secret wh_0123456789abcdef --overlap-hours 1
    """
    secret = management.rotate_secret(store(), webhook, overlap_hours)
    note("webhook_changed", webhook=webhook, secret="rotated")  # noqa: S106 - says that it was
    click.echo(secret)
    click.echo("Keep it now: it is shown this once.", err=True)


@webhooks.command("test")
@click.argument("webhook")
@told
def send_test(webhook: str) -> None:
    """Send a signed `webhook.test` now, and say what came of it; exit code 1 where it was not taken.

    \b
    Examples:
      flask webhooks test wh_0123456789abcdef
    """
    answer = management.send_test(store(), webhook)
    if not answer.is_taken:
        raise InvalidInput(f"it was not taken: {answer.error}")
    click.echo(f"It was taken: HTTP {answer.status}.")


@webhooks.command("deliveries")
@click.argument("webhook", required=False)
@click.option("--failed", is_flag=True, help="Only those that were given up.")
@click.option("--limit", type=click.IntRange(1, 100_000), default=100, show_default=True)
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
@told
def show_deliveries(webhook: str | None, *, failed: bool, limit: int, as_json: bool) -> None:
    """Show what a webhook, or each, was told and is still to be told, newest first.

    \b
    Examples:
      flask webhooks deliveries --failed
      flask webhooks deliveries wh_0123456789abcdef --limit 20 --json
    """
    if webhook is not None:
        management.find(store(), webhook)
    note("webhooks_read", **({} if webhook is None else {"webhook": webhook}))
    found = _deliveries(webhook, limit, failed=failed)
    if as_json:
        for one in found:
            click.echo(json.dumps(_delivery(one)))
        return
    rows = [
        (
            format_timestamp(one.occurred_at),
            one.webhook_id,
            one.event,
            f"{one.key.survey_id}/{one.key.user_id}",
            str(one.attempts),
            _state(one),
            one.last_error,
        )
        for one in found
    ]
    table(("AT (UTC)", "WEBHOOK", "EVENT", "SESSION", "ATTEMPTS", "STATE", "LAST ERROR"), rows)


@webhooks.command("replay")
@click.argument("webhook")
@click.option(
    "--since",
    type=click.DateTime(["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%dT%H:%M:%SZ"]),
    default=None,
    help="Only what happened then or later, UTC.",
)
@click.option("--failed", is_flag=True, help="Only what was given up.")
@told
def replay(webhook: str, since: datetime.datetime | None, *, failed: bool) -> None:
    """Deliver again what was delivered, or given up; each with the `webhook-id` that it had.

    \b
    Examples:
      flask webhooks replay wh_0123456789abcdef --failed
      flask webhooks replay wh_0123456789abcdef --since 2026-11-26
    """
    management.find(store(), webhook)
    note("webhooks_replayed", webhook=webhook)
    with progress("Looking") as show:
        count = management.replay(
            store(),
            webhook,
            since=None if since is None else from_datetime(since),
            failed=failed,
            progress=lambda done: show(done, done + management.BATCH),
        )
    click.echo(f"{count} deliveries are due again; the server sends them.")


def _deliveries(webhook: str | None, limit: int, *, failed: bool) -> Iterator[Delivery]:
    before: int | None = None
    while limit > 0:
        page = store().run_read(
            partial(outbox.read_page, webhook_id=webhook, before_id=before, limit=min(limit, 1000), failed=failed)
        )
        yield from page.deliveries
        limit -= len(page.deliveries)
        before = page.following
        if before is None:
            return


def _state(one: Delivery) -> str:
    if one.delivered_at is not None:
        return f"delivered {format_timestamp(one.delivered_at)}"
    if one.failed_at is not None:
        return f"given up {format_timestamp(one.failed_at)}"
    return f"due {format_timestamp(one.next_attempt_at)}"


def _shown(one: Webhook) -> dict[str, Any]:
    return {
        "id": one.id,
        "url": one.url,
        "events": list(one.events),
        "survey_id": one.survey_id,
        "created_at": format_timestamp(one.created_at),
        "disabled_at": format_timestamp(one.disabled_at),
    }


def _delivery(one: Delivery) -> dict[str, Any]:
    return {
        "id": one.id,
        "webhook_id": one.webhook_id,
        "message_id": message_id_of(one),
        "event": one.event,
        "survey_id": one.key.survey_id,
        "user_id": one.key.user_id,
        "version": one.version,
        "occurred_at": format_timestamp(one.occurred_at),
        "attempts": one.attempts,
        "next_attempt_at": format_timestamp(one.next_attempt_at),
        "delivered_at": format_timestamp(one.delivered_at),
        "failed_at": format_timestamp(one.failed_at),
        "last_status": one.last_status,
        "last_error": one.last_error,
    }
