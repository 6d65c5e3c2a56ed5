"""``flask sessions list``: which sessions there are, without what was answered in them."""

import datetime
from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any

import click

from ..core.timestamps import format_timestamp
from ..store import SET_ASIDE
from ..survey import Snapshot, status_at
from . import sessions_set_aside
from .output import check_offered, json_lines, note, store, table, told
from .sessions import sessions

SHOWN = 50
PAGE = 500


@sessions.command("list")
@click.option("--survey", default=None, help="Only sessions of this survey.")
@click.option("--status", type=click.Choice(("in_progress", "completed", "expired")), default=None, help="Only these.")
@click.option("--step", default=None, help="Only those that are at this step.")
@click.option(
    "--since", type=click.DateTime(("%Y-%m-%d", "%Y-%m-%dT%H:%M:%S")), default=None, help="Changed since, UTC."
)
@click.option("--user", "prefix", default=None, help="Only user ids that begin with this.")
@click.option("--limit", type=click.IntRange(1, 1_000_000), default=SHOWN, show_default=True, help="How many, at most.")
@click.option("--all", "is_all", is_flag=True, help="All of them, as they are read.")
@click.option("--set-aside", "is_aside", is_flag=True, help="Those that could not be read and were set aside instead.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
@told
def show_list(
    limit: int,
    since: datetime.datetime | None,
    *,
    is_all: bool,
    is_aside: bool,
    as_json: bool,
    **given: str | None,
) -> None:
    """Show which sessions there are; in the order of their user ids, with --since in that of their last change.

    \b
    Examples:
      flask sessions list --status in_progress --survey intake --limit 5
      flask sessions list --user patient-7
      flask sessions list --since 2026-11-01 --all --json > changed.jsonl
      flask sessions list --set-aside --user patient-7
    """
    if is_aside:
        if since or given["status"] or given["step"]:
            raise click.UsageError(
                "--set-aside goes with --survey and --user alone: the rest of them may not be readable"
            )
        sessions_set_aside.print_list(given["prefix"], given["survey"], None if is_all else limit, as_json=as_json)
        return
    filters = _filters(given)
    note("sessions_listed", **filters)
    since_us = None if since is None else int(since.replace(tzinfo=datetime.UTC).timestamp()) * 1_000_000
    found = _found(filters, since_us)
    chosen = found if is_all else islice(found, limit)
    if as_json:
        json_lines(map(_facts, chosen))
    else:
        table(("USER", "SURVEY", "STATUS", "STEP", "VERSION", "DONE", "CHANGED (UTC)"), map(_row, chosen))
    if not is_all and next(found, None) is not None:
        click.echo(f"More follow after these {limit}: --limit or --all.", err=True)


def _filters(given: Mapping[str, str | None]) -> dict[str, str]:
    names = {"survey": "survey_id", "status": "status", "step": "current_step", "prefix": "user_id_prefix"}
    filters = {names[name]: value for name, value in given.items() if value is not None}
    if "survey_id" in filters and not next(_found({"survey_id": filters["survey_id"]}, None), None):
        check_offered(filters["survey_id"])
    return filters


def _found(filters: Mapping[str, str], since_us: int | None) -> Iterator[Snapshot]:
    after = None
    while True:
        page, after = store().queries.list(after=after, limit=PAGE, filters=filters, updated_since=since_us)
        yield from (one for one in page if SET_ASIDE not in one.key.user_id)
        if after is None:
            return


def _row(snapshot: Snapshot) -> tuple[str, ...]:
    facts = _facts(snapshot)
    return (
        facts["user_id"],
        facts["survey_id"],
        facts["status"],
        facts["current_step"],
        str(facts["version"]),
        f"{facts['progress']:.0%}",
        facts["updated_at"],
    )


def _facts(snapshot: Snapshot) -> dict[str, Any]:
    state = snapshot.state
    return {
        "user_id": snapshot.key.user_id,
        "survey_id": snapshot.key.survey_id,
        "status": status_at(snapshot.survey, state, store().clock()),
        "current_step": state.current_step,
        "version": state.version,
        "progress": round(snapshot.progress, 4),
        "is_audio_mode": state.is_audio_mode,
        "created_at": format_timestamp(state.started_at),
        "updated_at": format_timestamp(state.updated_at),
        "completed_at": format_timestamp(state.completed_at),
    }
