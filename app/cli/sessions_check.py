"""``flask sessions verify`` and ``rebuild``: whether sessions are what their history says, and making them so."""

from collections import Counter

import click

from ..errors import InvalidInput
from ..operations.integrity import RebuildRefused, RebuildResult, SessionCheck, rebuild, rebuild_all, verify_sessions
from ..survey import SessionKey
from .output import check_offered, json_lines, progress, store, told
from .sessions import keys_of, sessions


@sessions.command("verify")
@click.option("--survey", default=None, help="Only sessions of this survey.")
@click.option("--json", "as_json", is_flag=True, help="Each that differs as a line of JSON.")
@told
def verify(survey: str | None, *, as_json: bool) -> None:
    """Check that every session is what its history folds to; print each that is not, by the names of its fields.

    It only reads, and can be run beside a server. Ends with 1 where one differs: `flask sessions rebuild` mends it.

    \b
    Examples:
      flask sessions verify
      flask sessions verify --survey intake --json
    """
    if survey is not None:
        check_offered(survey)
    counts: Counter[str] = Counter()
    with progress("Verifying") as show:
        for checked in verify_sessions(store(), survey, progress=show):
            counts[checked.verdict] += 1
            if checked.verdict == "differs":
                _print_differing(checked, as_json=as_json)
    told_of = ("same", "adopted", "set_aside", "locked", "differs")
    click.echo(", ".join(f"{counts[name]} {name.replace('_', ' ')}" for name in told_of), err=as_json)
    if counts["differs"]:
        raise click.exceptions.Exit(1)


@sessions.command("rebuild")
@click.argument("user_id", required=False)
@click.option("--survey", default=None, help="Only his session of this survey.")
@click.option("--all", "is_all", is_flag=True, help="Every session that differs from its history.")
@click.option("--dry-run", is_flag=True, help="Only say what would be changed.")
@click.option("--lossy", is_flag=True, help="Also where events are missing, though the row may hold what they brought.")
@click.option("--json", "as_json", is_flag=True, help="Each that is changed, or can't be, as a line of JSON.")
@told
def rebuild_from_history(user_id: str | None, survey: str | None, *, as_json: bool, **asked: bool) -> None:
    """Make the rows of sessions what their history says; the history stays as it is.

    Ends with 1 where one can't be rebuilt.

    \b
    Examples:
      flask sessions rebuild --all --dry-run
      flask sessions rebuild patient-7
      flask sessions rebuild patient-7 --survey intake --lossy
    """
    dry_run, lossy = asked["dry_run"], asked["lossy"]
    if (user_id is None) != asked["is_all"] or (user_id is None and survey is not None):
        raise click.UsageError("name a participant, or say --all; --survey goes with a participant.")
    if user_id is None:
        with progress("Verifying") as show:
            done = rebuild_all(store(), dry_run=dry_run, lossy=lossy, progress=show)
    else:
        done = [_one(key, dry_run=dry_run, lossy=lossy) for key in keys_of(user_id, survey)]
    _tell(done, dry_run=dry_run, as_json=as_json)


def _one(key: SessionKey, *, dry_run: bool, lossy: bool) -> RebuildResult | RebuildRefused:
    try:
        return rebuild(store(), key, dry_run=dry_run, lossy=lossy)
    except RebuildRefused as refused:
        return refused


def _tell(done: list[RebuildResult | RebuildRefused], *, dry_run: bool, as_json: bool) -> None:
    refused = [one for one in done if isinstance(one, RebuildRefused)]
    changed = [one for one in done if isinstance(one, RebuildResult) and one.changed]
    if as_json:
        json_lines({**_about(one.key), "changed": list(one.changed), "problem": None} for one in changed)
        json_lines({**_about(one.key), "changed": [], "problem": str(one)} for one in refused)
    else:
        for one in changed:
            click.echo(f"{one.key.user_id} {one.key.survey_id}: {', '.join(one.changed)}")
    count = f"{len(changed)} session{'' if len(changed) == 1 else 's'}"
    click.echo(f"{count} {'would be ' if dry_run else ''}rebuilt.", err=as_json)
    for problem in refused[:-1]:
        click.echo(str(problem), err=True)
    if refused:
        raise InvalidInput(str(refused[-1]))


def _about(key: SessionKey) -> dict[str, str]:
    return {"user_id": key.user_id, "survey_id": key.survey_id}


def _print_differing(checked: SessionCheck, *, as_json: bool) -> None:
    key = checked.key
    if as_json:
        json_lines([{**_about(key), "differing": list(checked.differing), "problem": checked.problem}])
        return
    why = f" ({checked.problem})" if checked.problem else ""
    click.echo(f"{key.user_id} {key.survey_id}: {', '.join(checked.differing)}{why}")
