"""``flask sessions expire`` and ``purge``: sessions whose time is over are closed, and old ones are erased."""

import json
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import asdict
from pathlib import Path

import click

from ..operations.maintenance import ExpiryResult, PurgeArchive, expire, purge
from .output import progress, store, table, told
from .sessions import sessions

NO_RETENTION = (
    "No survey file has a retention (e.g. `retention: 365d`), and STEPKEEP_RETENTION is not set: nothing is too old."
)


@sessions.command("expire")
@click.option("--dry-run", is_flag=True, help="Only count.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@told
def expire_over(*, dry_run: bool, as_json: bool) -> None:
    """Close the sessions whose time is over: `expires_after` of their survey, or STEPKEEP_EXPIRES_AFTER.

    They are kept until their retention is over, and whoever comes back can begin anew. It works beside a running
    server, and a run that was interrupted is simply run again. It ends with exit code 1 where sessions stay open
    because STEPKEEP_ANSWERS_KEYS lacks their keys.

    \b
    Examples:
      flask sessions expire --dry-run    how many there are
      flask sessions expire              close them
    """
    with progress("Looking") as show:
        done = expire(store(), dry_run=dry_run, progress=show)
    if as_json:
        click.echo(json.dumps({"dry_run": dry_run, **asdict(done)}))
    else:
        _print_expiry(done, dry_run=dry_run)
    if done.locked:
        raise click.exceptions.Exit(1)


def _print_expiry(done: ExpiryResult, *, dry_run: bool) -> None:
    if not done.expired:
        click.echo("No session's time is over.")
    else:
        _print_counts("TIME IS OVER" if dry_run else "EXPIRED", done.expired)
    if done.deadlines_updated:
        what = "would be" if dry_run else "were"
        click.echo(f"{done.deadlines_updated} other sessions {what} told when their time will be over: it had changed.")
    if done.locked:
        click.echo(
            f"{done.locked} sessions stay open: STEPKEEP_ANSWERS_KEYS lacks the keys that they are sealed with.",
            err=True,
        )
    if done.unreadable:
        click.echo(f"{done.unreadable} sessions stay open: they can't be read.", err=True)


@sessions.command("purge")
@click.option("--dry-run", is_flag=True, help="Only count.")
@click.option("--archive", type=click.Path(path_type=Path), help="Write what goes into this new file first.")
@click.option("--yes", is_flag=True, help="Don't ask.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@told
def purge_old(*, dry_run: bool, archive: Path | None, yes: bool, as_json: bool) -> None:
    """Erase the sessions whose last change is longer ago than their survey's `retention`, or STEPKEEP_RETENTION.

    First it counts them, and asks. With --archive nothing is erased before its history lies in the file, as JSON Lines,
    compressed if the name ends in .gz; it must not be there yet. It works beside a running server, and a run that was
    interrupted is simply run again, with another file.

    \b
    Examples:
      flask sessions purge --dry-run
      flask sessions purge --archive old-2026.jsonl.gz
      flask sessions purge --yes         from cron
    """
    with nullcontext() if archive is None else PurgeArchive(store(), archive) as kept:
        with progress("Counting") as show:
            counts = purge(store(), dry_run=True, progress=show)
        if not dry_run and any(counts.values()):
            if not yes:
                _ask(counts)
            with progress("Erasing") as show:
                counts = purge(store(), archive=kept, progress=show)
    if as_json:
        click.echo(json.dumps({"dry_run": dry_run, "sessions": counts}))
    elif counts:
        _print_counts("TOO OLD" if dry_run else "ERASED", counts)
    else:
        click.echo(NO_RETENTION)


def _ask(counts: Mapping[str, int]) -> None:
    """Return if they may go.

    Raises:
        Abort: they may not, or nobody is there to ask.
    """
    for survey, count in counts.items():
        click.echo(f"{survey}: {count}", err=True)
    if not click.confirm(f"Erase these {sum(counts.values())} sessions, for good?", err=True):
        raise click.Abort


def _print_counts(head: str, counts: Mapping[str, int]) -> None:
    table(("SURVEY", head), [(survey, str(count)) for survey, count in counts.items()])
