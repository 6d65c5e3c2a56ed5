"""``flask backup``."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from ..core.installation import COMMAND
from ..operations.backup import (
    ReplayCounts,
    Verified,
    create_backup,
    move_database,
    require_matching_history,
    restore_backup,
    verify_backup,
)
from ..store import database_url
from .group import audit, commands, store
from .output import print_counts, print_json, printable, progress

backup = commands.add_group("backup", "Create, verify and restore backups; move to another database.")

FILE = click.Path(dir_okay=False, path_type=Path)


@backup.command("create")
@click.argument("file", type=FILE)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def create(file: Path, *, as_json: bool) -> None:
    """Write a snapshot of the whole database into a new file, while the server runs.

    Encrypted answers stay encrypted: keep STEPKEEP_ANSWERS_KEYS too, separately from the backups. Everything else in
    the file can be read by anyone who has it.

    \b
    Examples:
      %(prog)s backup create backups/2026-11-27.stepkeep
    """
    with progress("Writing") as show:
        rows = create_backup(store(), file, progress=show)
    size_bytes = file.stat().st_size
    audit("backup_created", rows=sum(rows.values()), size_bytes=size_bytes)
    if as_json:
        print_json({"file": str(file), "size_bytes": size_bytes, "rows": rows})
        return
    print_counts("TABLE", "ROWS", rows)
    click.echo(f"{file}: {size_bytes} bytes.")


@backup.command("verify")
@click.argument("file", type=FILE)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def verify(file: Path, *, as_json: bool) -> None:
    """Check every hash and row of a backup, and each session against the replay of its history.

    Nothing is changed. The exit code is 1 if something is wrong, or if STEPKEEP_ANSWERS_KEYS lacks a key that is needed
    to check a session. Sessions that can't be read are counted; they can't be read in the database either.

    \b
    Examples:
      %(prog)s backup verify backups/2026-11-27.stepkeep
    """
    with progress("Reading") as show:
        verified = verify_backup(file, store().cipher, progress=show)
    if as_json:
        print_json(_verified_to_dict(verified))
    else:
        print_counts("TABLE", "ROWS", verified.rows)
        click.echo(f"{file}: backup of {verified.created_at}. Every byte, row and session was checked.")
        _print_replay(verified.replay)
    require_matching_history(verified.replay)
    if verified.replay.locked:
        raise click.exceptions.Exit(1)


@backup.command("restore")
@click.argument("file", type=FILE)
@click.option("--replace", is_flag=True, help="Empty the database first (default: refuse one with rows).")
@click.option("--accept-differing", is_flag=True, help="Restore sessions that differ from their history, too.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def restore(file: Path, *, replace: bool, accept_differing: bool, as_json: bool) -> None:
    """Restore a backup into the database of DATABASE_URL, of any kind: everything or nothing.

    Stop the servers first. Participants who were erased after the backup was created are erased again, according to
    the erasure journal (STEPKEEP_ERASURES_FILE) and the replaced database.

    \b
    Examples:
      DATABASE_URL=postgresql://user@host/new %(prog)s backup restore backups/2026-11-27.stepkeep
      %(prog)s backup restore backups/2026-11-27.stepkeep --replace
    """
    with progress("Restoring") as show:
        result = restore_backup(store(), file, replace=replace, accepts_differing=accept_differing, progress=show)
    if as_json:
        facts = {**_verified_to_dict(result.verified), "erased_again": result.erased_again, "left": result.left}
        print_json(facts)
        return
    print_counts("TABLE", "ROWS", result.verified.rows)
    _print_replay(result.verified.replay)
    click.echo(f"Restored. {result.erased_again} sessions were erased again.")
    if result.left:
        click.echo(
            f"{result.left} sessions changed after their erasure and were kept: "
            f"`{COMMAND} erasures apply` erases them.",
            err=True,
        )


@backup.command("move")
@click.option(
    "--to",
    "target",
    required=True,
    metavar="URL",
    envvar="TARGET_URL",
    show_envvar=True,
    help="The new database: empty, with the current schema.",
)
@click.option("--restart", is_flag=True, help="Start an interrupted move from the beginning (default: resume it).")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def move(target: str, *, restart: bool, as_json: bool) -> None:
    """Copy everything from the database of DATABASE_URL into another one: SQLite, PostgreSQL or MariaDB.

    Stop the servers first. Run the command again to resume an interrupted move. At the end both databases are compared
    row by row; the old one is not changed. With PostgreSQL, ?schema= in the URL names the schema. Other users of this
    machine can see passwords on a command line: set TARGET_URL instead.

    \b
    Examples:
      DATABASE_URL=postgresql://user@host/new %(upgrade)s
      %(prog)s backup move --to postgresql://user@host/new
    """
    source = database_url(store().settings)
    with progress("Moving") as show:
        result = move_database(source.render_as_string(hide_password=False), target, restart=restart, progress=show)
    if as_json:
        print_json({"rows": result.rows, "resumed": result.resumed})
        return
    print_counts("TABLE", "ROWS", result.rows)
    click.echo("Moved: both databases are equal. Set DATABASE_URL to the new one and start the servers.")


def _print_replay(counts: ReplayCounts) -> None:
    sample = ", ".join(printable(f"{key.survey_id}/{key.user_id}") for key in counts.sample)
    click.echo(f"{counts.same} sessions match their history.")
    for count, text in (
        (counts.without_history, "were created before histories were recorded"),
        (counts.set_aside, "are set aside for support"),
        (counts.unreadable, "can't be read, as in the database; the server sets them aside on access"),
        (
            counts.locked,
            f"need keys that STEPKEEP_ANSWERS_KEYS lacks: {', '.join(sorted(counts.missing_keys))}"
            if counts.missing_keys
            else "were written by another release: verify the backup with the newest one",
        ),
        (counts.differing, f"DIFFER from their history: {sample}"),
    ):
        if count:
            click.echo(f"{count} {text}.")


def _verified_to_dict(verified: Verified) -> dict[str, Any]:
    facts = asdict(verified)
    facts["replay"]["missing_keys"] = sorted(verified.replay.missing_keys)
    facts["replay"]["sample"] = [f"{key.survey_id}/{key.user_id}" for key in verified.replay.sample]
    return facts
