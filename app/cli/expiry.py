"""``flask sessions expire`` and ``purge``."""

from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import asdict
from pathlib import Path

import click

from ..operations.maintenance import ExpiryResult, PurgeArchive, expire, purge
from .group import store
from .output import print_counts, print_json, progress
from .sessions import sessions

NO_RETENTION = (
    "Nothing to purge: no survey has a retention (e.g. `retention: 365d`), and STEPKEEP_RETENTION is not set."
)


@sessions.command("expire")
@click.option("--dry-run", is_flag=True, help="Only count.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def expire_sessions(*, dry_run: bool, as_json: bool) -> None:
    """Close sessions past their deadline: `expires_after` of their survey, or STEPKEEP_EXPIRES_AFTER.

    Their answers are kept, and participants can start again. The server can keep running; run this again to continue an
    interrupted run. The exit code is 1 if sessions stay open because STEPKEEP_ANSWERS_KEYS lacks a key.

    \b
    Examples:
      %(prog)s sessions expire --dry-run
      %(prog)s sessions expire
    """
    with progress("Reading") as show:
        result = expire(store(), dry_run=dry_run, progress=show)
    if as_json:
        print_json({"dry_run": dry_run, **asdict(result)})
    else:
        _print_result(result, dry_run=dry_run)
    if result.locked:
        raise click.exceptions.Exit(1)


def _print_result(result: ExpiryResult, *, dry_run: bool) -> None:
    if not result.expired:
        click.echo("No session is past its deadline.")
    else:
        print_counts("SURVEY", "OVERDUE" if dry_run else "EXPIRED", result.expired)
    if result.deadlines_updated:
        verb = "would be" if dry_run else "were"
        click.echo(f"The deadlines of {result.deadlines_updated} other sessions {verb} updated.")
    if result.locked:
        problem = "STEPKEEP_ANSWERS_KEYS lacks their keys, or another release wrote them"
        click.echo(f"{result.locked} sessions stay open: {problem}.", err=True)
    if result.unreadable:
        click.echo(f"{result.unreadable} sessions stay open: they can't be read.", err=True)


@sessions.command("purge")
@click.option("--dry-run", is_flag=True, help="Only count.")
@click.option("--archive", type=click.Path(path_type=Path), help="Write the sessions into this new file first.")
@click.option("--yes", is_flag=True, help="Don't ask for confirmation.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def purge_sessions(*, dry_run: bool, archive: Path | None, yes: bool, as_json: bool) -> None:
    """Erase sessions past their retention: `retention` of their survey, or STEPKEEP_RETENTION, after the last change.

    It counts the sessions and asks for confirmation. With --archive, sessions are erased only after they were written
    to the file as JSON Lines, compressed if the name ends in .gz; the file must not exist. The server can keep
    running; run this again, with another file, to continue an interrupted run.

    \b
    Examples:
      %(prog)s sessions purge --dry-run
      %(prog)s sessions purge --archive old-2026.jsonl.gz
      %(prog)s sessions purge --yes         from cron
    """
    with nullcontext() if archive is None else PurgeArchive(store(), archive) as file:
        with progress("Counting") as show:
            counts = purge(store(), dry_run=True, progress=show)
        if not dry_run and any(counts.values()):
            if not yes:
                _confirm(counts)
            with progress("Erasing") as show:
                counts = purge(store(), archive=file, progress=show)
    if as_json:
        print_json({"dry_run": dry_run, "sessions": counts})
    elif counts:
        print_counts("SURVEY", "STALE" if dry_run else "ERASED", counts)
    else:
        click.echo(NO_RETENTION)


def _confirm(counts: Mapping[str, int]) -> None:
    for survey, count in counts.items():
        click.echo(f"{survey}: {count}", err=True)
    click.confirm(f"Permanently erase these {sum(counts.values())} sessions?", abort=True, err=True)
