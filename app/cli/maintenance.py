"""``flask sessions expire``, ``purge``, ``verify`` and ``rebuild``."""

from collections import Counter
from collections.abc import Collection, Mapping
from contextlib import nullcontext
from dataclasses import asdict
from pathlib import Path

import click

from ..errors import InvalidInput
from ..operations.integrity import RebuildRefused, RebuildResult, rebuild_all, rebuild_session, verify_sessions
from ..operations.maintenance import ExpiryResult, PurgeArchive, expire, purge
from ..survey import SessionKey
from .group import require_survey, store
from .output import counted, print_counts, print_json, progress
from .sessions import session_keys, sessions

NO_RETENTION = (
    "Nothing to purge: no survey has a retention (e.g. `retention: 365d`), and STEPKEEP_RETENTION is not set."
)

VERDICTS = ("same", "adopted", "set_aside", "locked", "differs")


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
        _print_expired(result, dry_run=dry_run)
    if result.locked:
        raise click.exceptions.Exit(1)


def _print_expired(result: ExpiryResult, *, dry_run: bool) -> None:
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


@sessions.command("verify")
@click.option("--survey", help="Only sessions of this survey.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON Lines: one object per differing session.")
def verify(survey: str | None, *, as_json: bool) -> None:
    """Check that every session equals the replay of its history, and print the differing fields of those that don't.

    Read-only; the server can keep running. The exit code is 1 if a session differs: `%(prog)s sessions rebuild` repairs
    it.

    \b
    Examples:
      %(prog)s sessions verify
      %(prog)s sessions verify --survey intake --json
    """
    if survey is not None:
        require_survey(survey)
    counts: Counter[str] = Counter()
    with progress("Verifying") as show:
        for check in verify_sessions(store(), survey, progress=show):
            counts[check.verdict] += 1
            if check.verdict == "differs":
                _print(check.key, "differing", check.differing, check.problem, as_json=as_json)
    click.echo(", ".join(f"{counts[name]} {name.replace('_', ' ')}" for name in VERDICTS), err=as_json)
    if counts["differs"]:
        raise click.exceptions.Exit(1)


@sessions.command("rebuild")
@click.argument("user_id", required=False)
@click.option("--survey", help="Only the participant's session of this survey (default: all).")
@click.option("--all", "is_all", is_flag=True, help="Every session that differs from its history.")
@click.option("--dry-run", is_flag=True, help="Only print what would change.")
@click.option("--lossy", is_flag=True, help="Rebuild even if events are missing, whose answers may be lost.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON Lines: one object per session.")
def rebuild_from_history(
    user_id: str | None, survey: str | None, *, is_all: bool, dry_run: bool, lossy: bool, as_json: bool
) -> None:
    """Replace the rows of sessions with the replay of their history, which is not changed.

    The exit code is 1 if a session can't be rebuilt.

    \b
    Examples:
      %(prog)s sessions rebuild --all --dry-run
      %(prog)s sessions rebuild patient-7
      %(prog)s sessions rebuild patient-7 --survey intake --lossy
    """
    if (user_id is None) != is_all or (user_id is None and survey is not None):
        raise click.UsageError("give a user id, optionally with --survey, or --all")
    if user_id is None:
        with progress("Verifying") as show:
            results = rebuild_all(store(), dry_run=dry_run, lossy=lossy, progress=show)
    else:
        results = [_rebuild(key, dry_run=dry_run, lossy=lossy) for key in session_keys(user_id, survey)]
    _print_rebuilt(results, dry_run=dry_run, as_json=as_json)


def _rebuild(key: SessionKey, *, dry_run: bool, lossy: bool) -> RebuildResult | RebuildRefused:
    try:
        return rebuild_session(store(), key, dry_run=dry_run, lossy=lossy)
    except RebuildRefused as refused:
        return refused


def _print_rebuilt(results: list[RebuildResult | RebuildRefused], *, dry_run: bool, as_json: bool) -> None:
    refused = [result for result in results if isinstance(result, RebuildRefused)]
    changed = [result for result in results if isinstance(result, RebuildResult) and result.changed]
    for result in changed:
        _print(result.key, "changed", result.changed, as_json=as_json)
    for error in refused if as_json else ():
        _print(error.key, "changed", (), str(error), as_json=True)
    click.echo(f"{counted(len(changed), 'session')} {'would be ' if dry_run else ''}rebuilt.", err=as_json)
    for error in refused[:-1]:
        click.echo(str(error), err=True)
    if refused:
        raise InvalidInput(str(refused[-1]))


def _print(key: SessionKey, name: str, fields: Collection[str], problem: str | None = None, *, as_json: bool) -> None:
    if as_json:
        print_json({"user_id": key.user_id, "survey_id": key.survey_id, name: list(fields), "problem": problem})
        return
    reason = f" ({problem})" if problem else ""
    click.echo(f"{key.user_id} {key.survey_id}: {', '.join(fields)}{reason}")
