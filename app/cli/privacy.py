"""``flask keys``, ``flask sessions`` and ``flask erasures``: encryption, what is known of somebody, and erasing."""

import json
from pathlib import Path
from typing import TextIO

import click
from flask.cli import AppGroup

from ..errors import InvalidInput
from ..operations import maintenance
from ..operations.privacy import apply_erasures, export_participant, read_erasures
from .output import check_offered, note, progress, store, told
from .sessions import sessions

keys = AppGroup("keys", help="The keys that encrypt answers at rest (STEPKEEP_ANSWERS_KEYS).")
erasures = AppGroup("erasures", help="The list of what was erased, that a restored backup must not undo.")


@keys.command("rotate")
@click.option("--to-plain", is_flag=True, help="Decrypt everything instead, to leave encryption.")
@told
def rotate_keys(*, to_plain: bool) -> None:
    """Encrypt all that is stored with the first key of STEPKEEP_ANSWERS_KEYS: answers, drafts and history.

    First put the new key in front of the old one and restart (with several servers in two rounds: last, then first);
    then run this, until it finds nothing to change; then take the old key away. It works beside a running server, and a
    run that was interrupted is simply run again.

    \b
    Examples:
      flask keys rotate
      flask keys rotate --to-plain
    """
    with progress("Encrypting" if not to_plain else "Decrypting") as show:
        done = maintenance.rotate_keys(store(), to_plain=to_plain, progress=show)
    note("answers_key_rotated", sessions=done.sessions, events=done.events, webhooks=done.webhooks)
    click.echo(f"{done.sessions} sessions and {done.events} entries of history were changed; the rest was so already.")
    if done.webhooks:
        click.echo(f"So were the secrets of {done.webhooks} webhooks.")
    for one in done.undecryptable:
        why = f"needs the key {one.missing_key}" if one.missing_key else "is broken"
        click.echo(f"{one.survey_id}/{one.user_id} version {one.version or '(session)'} {why}", err=True)
    if done.locked or done.damaged:
        raise InvalidInput(
            f"{done.locked} rows need a key that STEPKEEP_ANSWERS_KEYS lacks, {done.damaged} are broken; they stay"
        )


@sessions.command("export")
@click.argument("user_id")
@click.option("--survey", default=None, help="Only this survey; else all.")
@click.option(
    "--output", type=click.File("w", encoding="utf-8", lazy=True), default="-", help="A file; else standard output."
)
@told
def export(user_id: str, survey: str | None, output: TextIO) -> None:
    """Write all that is known of a participant, as JSON: sessions, history, drafts, who looked at them.

    \b
    Examples:
      flask sessions export patient-7 --output patient-7.json
      flask sessions export patient-7 --survey intake | jq .counts
    """
    _check_survey(user_id, survey)
    pieces = export_participant(store(), user_id, survey)
    note("participant_exported", survey_id=survey, user_id=user_id)
    output.writelines(pieces)


@sessions.command("forget")
@click.argument("user_id")
@click.option("--survey", default=None, help="Only this survey; else all.")
@click.option("--yes", is_flag=True, help="Don't ask.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@told
def forget(user_id: str, survey: str | None, *, yes: bool, as_json: bool) -> None:
    """Erase a participant for good: sessions, history, drafts, what was set aside, links and tokens.

    An older backup that is restored doesn't bring him back.

    \b
    Examples:
      flask sessions forget patient-7
      flask sessions forget patient-7 --survey intake --yes
    """
    _check_survey(user_id, survey)
    where = f"the survey {survey}" if survey else "all surveys"
    if not yes and not click.confirm(f"Erase {user_id} in {where}, for good?", err=True):
        raise click.Abort
    count = store().erasure.forget(user_id, survey, actor="operator")
    if as_json:
        click.echo(json.dumps({"user_id": user_id, "survey_id": survey, "sessions": count}))
    else:
        click.echo(f"{count} session{'' if count == 1 else 's'} of {user_id} erased.")


def _check_survey(user_id: str, survey: str | None) -> None:
    """Refuse the id of a survey that is neither offered nor one of his: a slip of the pen would find nothing."""
    if survey is not None and store().queries.load(store().queries.key(user_id, survey)) is None:
        check_offered(survey)


@erasures.command("export")
@told
def export_list() -> None:
    """Print the list, a JSON line each; to be kept apart from the database's backups.

    With SQLite, or STEPKEEP_ERASURES_FILE, the server keeps such a file by itself.

    \b
    Examples:
      flask erasures export > erased.jsonl
    """
    for line in read_erasures(store()):
        click.echo(line)


@erasures.command("apply")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@told
def apply_list(file: Path) -> None:
    """Erase again what the list names and a restored backup brought back; what began later stays.

    \b
    Examples:
      flask erasures apply erased.jsonl
    """
    with file.open("rb") as lines:
        count = apply_erasures(store(), lines, file.name)
    click.echo(f"{count} session{'' if count == 1 else 's'} erased again.")
