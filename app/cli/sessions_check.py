"""``flask sessions verify`` and ``rebuild``."""

from collections import Counter
from collections.abc import Collection

import click

from ..errors import InvalidInput
from ..operations.integrity import RebuildRefused, RebuildResult, rebuild_all, rebuild_session, verify_sessions
from ..survey import SessionKey
from .group import require_survey, store
from .output import print_json, progress
from .sessions import session_keys, sessions

VERDICTS = ("same", "adopted", "set_aside", "locked", "differs")


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
    _print_results(results, dry_run=dry_run, as_json=as_json)


def _rebuild(key: SessionKey, *, dry_run: bool, lossy: bool) -> RebuildResult | RebuildRefused:
    try:
        return rebuild_session(store(), key, dry_run=dry_run, lossy=lossy)
    except RebuildRefused as refused:
        return refused


def _print_results(results: list[RebuildResult | RebuildRefused], *, dry_run: bool, as_json: bool) -> None:
    refused = [result for result in results if isinstance(result, RebuildRefused)]
    changed = [result for result in results if isinstance(result, RebuildResult) and result.changed]
    for result in changed:
        _print(result.key, "changed", result.changed, as_json=as_json)
    for error in refused if as_json else ():
        _print(error.key, "changed", (), str(error), as_json=True)
    count = f"{len(changed)} session{'' if len(changed) == 1 else 's'}"
    click.echo(f"{count} {'would be ' if dry_run else ''}rebuilt.", err=as_json)
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
