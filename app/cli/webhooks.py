"""``flask webhooks``."""

from collections.abc import Mapping
from itertools import islice
from typing import Any

import click

from ..errors import InvalidInput
from ..operations import webhooks as operations
from .group import Time, audit, commands, store
from .output import PAGE_SIZE, Columns, print_json, print_records, progress, read_pages

webhooks = commands.add_group("webhooks", "Webhooks for sessions that are started, completed or expired.")


def _state(delivery: Mapping[str, Any]) -> str:
    for field, state in (("delivered_at", "delivered"), ("failed_at", "failed")):
        if delivery[field] is not None:
            return f"{state} {delivery[field]}"
    return f"due {delivery['next_attempt_at']}"


_COLUMNS: Columns = {
    "WEBHOOK": "id",
    "URL": "url",
    "EVENTS": lambda webhook: " ".join(webhook["events"]),
    "SURVEY": lambda webhook: webhook["survey_id"] or "all",
    "VALUES": lambda webhook: "yes" if webhook["includes_values"] else "no",
    "DISABLED": "disabled_at",
}
_DELIVERY_COLUMNS: Columns = {
    "OCCURRED_AT": "occurred_at",
    "WEBHOOK": "webhook_id",
    "EVENT": "event",
    "SESSION": lambda delivery: f"{delivery['survey_id']}/{delivery['user_id']}",
    "ATTEMPTS": "attempts",
    "STATE": _state,
    "LAST ERROR": "last_error",
}


@webhooks.command("add")
@click.argument("url")
@click.option(
    "--event",
    "events",
    multiple=True,
    required=True,
    type=click.Choice(operations.EVENTS),
    help="Event to deliver; repeatable.",
)
@click.option("--survey", help="Only events of this survey (default: all).")
@click.option("--values", "includes_values", is_flag=True, help="Send parameters and computed values of sessions.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def add_webhook(url: str, events: tuple[str, ...], survey: str | None, *, includes_values: bool, as_json: bool) -> None:
    """Add a webhook for events from now on, and print its signing secret, which is shown only once.

    \b
    Examples:
      %(prog)s webhooks add https://clinic.example.org/stepkeep --event session.completed
      %(prog)s webhooks add https://clinic.example.org/stepkeep --event session.expired --survey phq9
      %(prog)s webhooks add https://clinic.example.org/scores --event session.completed --survey gad7 --values
    """
    added = operations.add_webhook(store(), url, events, survey, includes_values=includes_values)
    audit("webhook_added", survey_id=survey, webhook=added.webhook.id, includes_values=includes_values)
    if as_json:
        print_json({**operations.webhook_to_dict(added.webhook), "secret": added.secret})
        return
    click.echo(f"{added.webhook.id}\n{added.secret}")
    click.echo(
        "Save the secret now: it is not shown again. The receiver verifies signatures with it (docs/webhooks.md).",
        err=True,
    )


@webhooks.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON array.")
def list_webhooks(*, as_json: bool) -> None:
    """List the webhooks with their events.

    \b
    Examples:
      %(prog)s webhooks list
      %(prog)s webhooks list --json
    """
    listed = map(operations.webhook_to_dict, operations.list_webhooks(store()))
    print_records(listed, _COLUMNS, as_json=as_json, is_array=True)


@webhooks.command("remove")
@click.argument("webhook")
def remove_webhook(webhook: str) -> None:
    """Remove a webhook and its deliveries.

    \b
    Examples:
      %(prog)s webhooks remove wh_0123456789abcdef
    """
    operations.get_webhook(store(), webhook)
    audit("webhook_removed", webhook=webhook)
    with progress("Removing") as show:
        operations.remove_webhook(store(), webhook, show)
    click.echo(f"{webhook} is removed.")


@webhooks.command("disable")
@click.argument("webhook")
def disable_webhook(webhook: str) -> None:
    """Stop deliveries to a webhook; events are skipped until it is enabled, pending deliveries are kept.

    \b
    Examples:
      %(prog)s webhooks disable wh_0123456789abcdef
    """
    operations.set_enabled(store(), webhook, enabled=False)
    audit("webhook_changed", webhook=webhook, enabled=False)
    click.echo(f"{webhook} is disabled.")


@webhooks.command("enable")
@click.argument("webhook")
def enable_webhook(webhook: str) -> None:
    """Enable a webhook: deliver pending events and those from now on.

    \b
    Examples:
      %(prog)s webhooks enable wh_0123456789abcdef
    """
    operations.set_enabled(store(), webhook, enabled=True)
    audit("webhook_changed", webhook=webhook, enabled=True)
    click.echo(f"{webhook} is enabled.")


@webhooks.command("change")
@click.argument("webhook")
@click.option(
    "--values/--no-values",
    "includes_values",
    required=True,
    help="Whether to send parameters and computed values of sessions.",
)
def change_webhook(webhook: str, *, includes_values: bool) -> None:
    """Change what is sent to a webhook from now on, also by retries and replays of earlier events.

    \b
    Examples:
      %(prog)s webhooks change wh_0123456789abcdef --values
      %(prog)s webhooks change wh_0123456789abcdef --no-values
    """
    operations.set_includes_values(store(), webhook, includes_values=includes_values)
    audit("webhook_changed", webhook=webhook, includes_values=includes_values)
    click.echo(f"{webhook} {'gets' if includes_values else 'does not get'} values.")


@webhooks.command("rotate-secret")
@click.argument("webhook")
@click.option(
    "--overlap-hours",
    type=click.FloatRange(0, 24 * 365),
    default=operations.OVERLAP_HOURS,
    show_default=True,
    help="How long the previous secret signs as well.",
)
def rotate_secret(webhook: str, overlap_hours: float) -> None:
    """Replace the signing secret of a webhook and print the new one, which is shown only once.

    \b
    Examples:
      %(prog)s webhooks rotate-secret wh_0123456789abcdef
      %(prog)s webhooks rotate-secret wh_0123456789abcdef --overlap-hours 1
    """
    secret = operations.rotate_secret(store(), webhook, overlap_hours)
    audit("webhook_changed", webhook=webhook, secret="rotated")  # noqa: S106 - not a secret
    click.echo(secret)
    click.echo("Save the secret now: it is not shown again.", err=True)


@webhooks.command("test")
@click.argument("webhook")
def send_test(webhook: str) -> None:
    """Send a signed `webhook.test` now and print the result; the exit code is 1 if it failed.

    \b
    Examples:
      %(prog)s webhooks test wh_0123456789abcdef
    """
    result = operations.send_test(store(), webhook)
    if not result.succeeded:
        raise InvalidInput(f"the test failed: {result.error}")
    click.echo(f"Delivered: HTTP {result.status}.")


@webhooks.command("deliveries")
@click.argument("webhook", required=False)
@click.option("--failed", is_flag=True, help="Only failed deliveries.")
@click.option("--limit", type=click.IntRange(1, 100_000), default=100, show_default=True)
@click.option("--json", "as_json", is_flag=True, help="Print JSON Lines: one object per delivery.")
def show_deliveries(webhook: str | None, *, failed: bool, limit: int, as_json: bool) -> None:
    """List the deliveries of one webhook or all, newest first.

    \b
    Examples:
      %(prog)s webhooks deliveries --failed
      %(prog)s webhooks deliveries wh_0123456789abcdef --limit 20 --json
    """
    if webhook is not None:
        operations.get_webhook(store(), webhook)
    audit("webhooks_read", **({} if webhook is None else {"webhook": webhook}))
    deliveries = read_pages(
        lambda before_id: operations.list_deliveries(store(), webhook, before_id, min(limit, PAGE_SIZE), failed=failed)
    )
    records = (
        {"webhook_id": delivery.webhook_id, **operations.delivery_to_dict(delivery)}
        for delivery in islice(deliveries, limit)
    )
    print_records(records, _DELIVERY_COLUMNS, as_json=as_json)


@webhooks.command("replay")
@click.argument("webhook")
@click.option("--since", type=Time(), help="Only events from this day or time on (UTC).")
@click.option("--failed", is_flag=True, help="Only failed deliveries.")
def replay(webhook: str, since: int | None, *, failed: bool) -> None:
    """Deliver succeeded or failed deliveries again, with the same `webhook-id`.

    \b
    Examples:
      %(prog)s webhooks replay wh_0123456789abcdef --failed
      %(prog)s webhooks replay wh_0123456789abcdef --since 2026-11-26
    """
    operations.get_webhook(store(), webhook)
    audit("webhooks_replayed", webhook=webhook)
    with progress("Reading") as show:
        count = operations.replay_deliveries(store(), webhook, since=since, failed=failed, progress=show)
    click.echo(f"{count} deliveries are due again; the server sends them.")
