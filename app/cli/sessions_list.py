"""``flask sessions list``."""

import datetime
from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any

import click

from ..core.timestamps import from_datetime
from ..operations.integrity import is_set_aside
from ..survey import Snapshot
from . import sessions_set_aside
from .output import audit, handle_errors, print_jsonl, print_table, require_survey, store
from .sessions import sessions

DEFAULT_LIMIT = 50
PAGE_SIZE = 500
_FIELDS = (
    "user_id",
    "survey_id",
    "status",
    "current_step",
    "version",
    "progress",
    "is_audio_mode",
    "created_at",
    "updated_at",
    "completed_at",
)


@sessions.command("list")
@click.option("--survey", default=None, help="Only sessions of this survey.")
@click.option(
    "--status",
    type=click.Choice(("in_progress", "completed", "expired")),
    default=None,
    help="Only sessions with this status.",
)
@click.option("--step", default=None, help="Only sessions whose current step this is.")
@click.option(
    "--since",
    type=click.DateTime(("%Y-%m-%d", "%Y-%m-%dT%H:%M:%S")),
    default=None,
    help="Only sessions changed since (UTC).",
)
@click.option("--user", "prefix", default=None, help="Only user ids that begin with this.")
@click.option(
    "--limit", type=click.IntRange(1, 1_000_000), default=DEFAULT_LIMIT, show_default=True, help="Maximum number."
)
@click.option("--all", "is_all", is_flag=True, help="List all sessions.")
@click.option("--set-aside", "is_aside", is_flag=True, help="List unreadable sessions that were set aside.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object a line.")
@handle_errors
def list_sessions(
    limit: int,
    since: datetime.datetime | None,
    *,
    is_all: bool,
    is_aside: bool,
    as_json: bool,
    **options: str | None,
) -> None:
    """List sessions in the order of their user ids, or with --since in the order of their last change.

    \b
    Examples:
      flask sessions list --status in_progress --survey intake --limit 5
      flask sessions list --user patient-7
      flask sessions list --since 2026-11-01 --all --json > changed.jsonl
      flask sessions list --set-aside --user patient-7
    """
    if is_aside:
        if since or options["status"] or options["step"]:
            raise click.UsageError("--set-aside can be combined only with --survey and --user")
        sessions_set_aside.print_list(options["prefix"], options["survey"], None if is_all else limit, as_json=as_json)
        return
    filters = _filters(options)
    audit("sessions_listed", **filters)
    matching = _matching(filters, None if since is None else from_datetime(since))
    listed = matching if is_all else islice(matching, limit)
    if as_json:
        print_jsonl(map(_to_dict, listed))
    else:
        print_table(("USER", "SURVEY", "STATUS", "STEP", "VERSION", "DONE", "CHANGED (UTC)"), map(_row, listed))
    if not is_all and next(matching, None) is not None:
        click.echo(f"There are more than {limit} sessions: use --limit or --all.", err=True)


def _filters(options: Mapping[str, str | None]) -> dict[str, str]:
    names = {"survey": "survey_id", "status": "status", "step": "current_step", "prefix": "user_id_prefix"}
    filters = {names[name]: value for name, value in options.items() if value is not None}
    if "survey_id" in filters and not next(_matching({"survey_id": filters["survey_id"]}, None), None):
        require_survey(filters["survey_id"])
    return filters


def _matching(filters: Mapping[str, str], updated_since: int | None) -> Iterator[Snapshot]:
    after = None
    while True:
        page, after = store().queries.list(after=after, limit=PAGE_SIZE, filters=filters, updated_since=updated_since)
        yield from (snapshot for snapshot in page if not is_set_aside(snapshot.key.user_id))
        if after is None:
            return


def _row(snapshot: Snapshot) -> tuple[str, ...]:
    fields = _to_dict(snapshot)
    return (
        fields["user_id"],
        fields["survey_id"],
        fields["status"],
        fields["current_step"],
        str(fields["version"]),
        f"{fields['progress']:.0%}",
        fields["updated_at"],
    )


def _to_dict(snapshot: Snapshot) -> dict[str, Any]:
    fields = {**snapshot.to_full_dict(store().clock()), "progress": snapshot.progress}
    return {name: fields[name] for name in _FIELDS}
