"""``flask keys``, ``flask sessions export`` and ``erase``, and ``flask erasures``."""

from pathlib import Path

import click

from ..core.files import replace_file
from ..errors import InvalidInput
from ..operations import maintenance
from ..operations.privacy import apply_erasures, export_participant, read_erasures
from .group import audit, commands, require_known_survey, store
from .output import counted, print_json, progress
from .sessions import sessions

keys = commands.add_group("keys", "The keys that encrypt stored answers (STEPKEEP_ANSWERS_KEYS).")
erasures = commands.add_group("erasures", "The list of erasures, which are repeated after a backup was restored.")


@keys.command("rotate")
@click.option("--to-plain", is_flag=True, help="Decrypt everything instead, to stop encrypting.")
def rotate_keys(*, to_plain: bool) -> None:
    """Encrypt all stored answers, drafts and history with the first key of STEPKEEP_ANSWERS_KEYS, padded.

    First put the new key before the old one and restart (with several servers in two rounds: first as the last key,
    then as the first). Run this until it changes nothing; then remove the old key. The server can keep
    running; run this again to continue an interrupted run.

    \b
    Examples:
      %(prog)s keys rotate
      %(prog)s keys rotate --to-plain
    """
    with progress("Decrypting" if to_plain else "Encrypting") as show:
        result = maintenance.rotate_keys(store(), to_plain=to_plain, progress=show)
    audit("answers_key_rotated", sessions=result.sessions, events=result.events, webhooks=result.webhooks)
    verb = "Decrypted" if to_plain else "Re-encrypted"
    click.echo(f"{verb} {result.sessions} sessions and {result.events} events; all others were up to date.")
    if result.webhooks:
        click.echo(f"{verb} the secrets of {result.webhooks} webhooks.")
    for row in result.undecryptable:
        problem = f"needs the key {row.missing_key}" if row.missing_key else "is damaged"
        click.echo(f"{row.survey_id}/{row.user_id} version {row.version or '(session)'} {problem}", err=True)
    if result.locked or result.damaged:
        raise InvalidInput(
            f"{result.locked} rows need a key that STEPKEEP_ANSWERS_KEYS lacks, {result.damaged} are damaged; "
            "they were not changed"
        )


@sessions.command("export")
@click.argument("user_id")
@click.option("--survey", help="Only this survey (default: all).")
@click.option("--output", type=click.Path(dir_okay=False, path_type=Path), help="Default: standard output.")
def export(user_id: str, survey: str | None, output: Path | None) -> None:
    """Export everything that is stored about a participant as JSON.

    \b
    Examples:
      %(prog)s sessions export patient-7 --output patient-7.json
      %(prog)s sessions export patient-7 --survey intake | jq .counts
    """
    require_known_survey(user_id, survey)
    pieces = export_participant(store(), user_id, survey)
    audit("participant_exported", survey_id=survey, user_id=user_id)
    if output is None or str(output) == "-":
        with click.open_file("-", "w", encoding="utf-8") as stdout:
            stdout.writelines(pieces)
    else:
        replace_file(output, (piece.encode() for piece in pieces))


@sessions.command("erase")
@click.argument("user_id")
@click.option("--survey", help="Only this survey (default: all).")
@click.option("--yes", is_flag=True, help="Don't ask for confirmation.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def erase(user_id: str, survey: str | None, *, yes: bool, as_json: bool) -> None:
    """Permanently erase a participant: sessions, history, drafts, set-aside sessions, links and tokens.

    If an older backup is restored, the participant is erased again.

    \b
    Examples:
      %(prog)s sessions erase patient-7
      %(prog)s sessions erase patient-7 --survey intake --yes
    """
    require_known_survey(user_id, survey)
    where = f"the survey {survey}" if survey else "all surveys"
    if not yes:
        click.confirm(f"Permanently erase {user_id} from {where}?", abort=True, err=True)
    count = store().erasure.erase_participant(user_id, survey, actor="operator")
    if as_json:
        print_json({"user_id": user_id, "survey_id": survey, "sessions": count})
    else:
        click.echo(f"{counted(count, 'session')} of {user_id} erased.")


@erasures.command("export")
def export_list() -> None:
    """Print the erasure journal as JSON Lines; store it separately from backups of the database.

    With SQLite, or with STEPKEEP_ERASURES_FILE, the server maintains the journal as a file itself.

    \b
    Examples:
      %(prog)s erasures export > erased.jsonl
    """
    for line in read_erasures(store()):
        click.echo(line)


@erasures.command("apply")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
def apply_list(file: Path) -> None:
    """Repeat the erasures of a journal after a backup was restored; later sessions are kept.

    \b
    Examples:
      %(prog)s erasures apply erased.jsonl
    """
    with file.open("rb") as lines:
        count = apply_erasures(store(), lines, file.name)
    click.echo(f"{counted(count, 'session')} erased again.")
