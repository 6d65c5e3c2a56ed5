"""``flask backup``: a copy of everything in one file, looked through, put back, or brought into another database."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click
from flask.cli import AppGroup

from ..operations.backup.create import create_backup
from ..operations.backup.folding import Folded
from ..operations.backup.migrate import move_database
from ..operations.backup.native import create_native
from ..operations.backup.restore import How, restore_backup
from ..operations.backup.verify import Verified, refuse_differing, verify_backup
from .output import note, printable, progress, store, table, told

backup = AppGroup("backup", help="Backups: make, look through, restore; and move to another database.")

FILE = click.Path(dir_okay=False, path_type=Path)


@backup.command("create")
@click.argument("file", type=FILE)
@click.option("--native", is_flag=True, help="In the database's own form, by its own program; for the same kind only.")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
@told
def create(file: Path, *, native: bool, as_json: bool) -> None:
    """Write all that there is into a new file, as it is at this moment; the server may go on.

    Encrypted answers stay encrypted: keep STEPKEEP_ANSWERS_KEYS too, and apart from the backups. All else can be read
    by whoever has the file.

    \b
    Examples:
      flask backup create backups/2026-11-27.stepkeep
      flask backup create backups/2026-11-27.sqlite --native
    """
    with progress("Writing") as show:
        made = create_native(store(), file) if native else create_backup(store(), file, progress=show)
    note("backup_created", form=made.form, rows=sum(made.rows.values()), size_bytes=made.size_bytes)
    if as_json:
        facts = {"file": str(made.path), "form": made.form, "size_bytes": made.size_bytes, "rows": made.rows}
        click.echo(json.dumps(facts))
        return
    _print_rows(made.rows)
    click.echo(f"{file}: {made.size_bytes} bytes, {made.form}.")


@backup.command("verify")
@click.argument("file", type=FILE)
@click.option("--json", "as_json", is_flag=True, help="For programs.")
@told
def verify(file: Path, *, as_json: bool) -> None:
    """Look a backup through, whole: hashes, rows, and whether each session is what its history says.

    Nothing is changed. It ends with exit code 1 where something is wrong, and where sessions could not be looked at
    because STEPKEEP_ANSWERS_KEYS lacks their keys. Sessions that can't be read are counted; they are so in the
    database too.

    \b
    Examples:
      flask backup verify backups/2026-11-27.stepkeep
    """
    with progress("Reading") as show:
        found = verify_backup(file, store().cipher, progress=show)
    if as_json:
        click.echo(json.dumps(_shown(found)))
    else:
        _print_rows(found.rows)
        made = f" of {found.made_at}" if found.made_at else ""
        click.echo(f"{file}: a {found.form} backup{made}. Looked at: {found.looked_at}.")
        _print_folded(found.folded)
    if found.folded is not None:
        refuse_differing(found.folded)
        if found.folded.locked:
            raise click.exceptions.Exit(1)


@backup.command("restore")
@click.argument("file", type=FILE)
@click.option("--replace", is_flag=True, help="Empty the database first; else one with rows in it is refused.")
@click.option("--accept-differing", is_flag=True, help="Also sessions that are not what their history says.")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
@told
def restore(file: Path, *, replace: bool, accept_differing: bool, as_json: bool) -> None:
    """Put a backup into the database of DATABASE_URL: all of it, or nothing.

    Stop the servers first. It takes portable backups, and native ones of SQLite, whatever the database. Who was erased
    after the backup was made is erased again, by the list of erasures (STEPKEEP_ERASURES_FILE) and that of the
    database that is replaced.

    \b
    Examples:
      DATABASE_URL=postgresql://user@host/new flask backup restore backups/2026-11-27.stepkeep
      flask backup restore backups/2026-11-27.stepkeep --replace
    """
    with progress("Restoring") as show:
        done = restore_backup(store(), file, How(replace=replace, accepts_differing=accept_differing), progress=show)
    if as_json:
        facts = {**_shown(done.verified), "erased_again": done.erased_again, "left": done.left}
        click.echo(json.dumps(facts))
        return
    _print_rows(done.verified.rows)
    _print_folded(done.verified.folded)
    click.echo(f"Restored. {done.erased_again} sessions of people erased since then were erased again.")
    if done.left:
        click.echo(
            f"{done.left} sessions changed after their erasure and were left: `flask erasures apply` erases them.",
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
    help="The new database, at the newest schema, empty.",
)
@click.option("--afresh", is_flag=True, help="Begin anew where an earlier move did not end; else it goes on.")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
@told
def move(target: str, *, afresh: bool, as_json: bool) -> None:
    """Bring everything from the database of DATABASE_URL into another one: SQLite, PostgreSQL, MariaDB, any to any.

    Stop the servers first. A move that was interrupted goes on when it is run again. In the end both databases are
    compared, row by row; the old one stays as it is. A password on a command line can be seen by others on this
    machine: name the new database in TARGET_URL instead.

    \b
    Examples:
      DATABASE_URL=postgresql://user@host/new alembic upgrade head
      flask backup move --to postgresql://user@host/new
    """
    with progress("Moving") as show:
        done = move_database(store().settings.database_url, target, afresh=afresh, progress=show)
    if as_json:
        click.echo(json.dumps({"rows": done.rows, "continued": done.continued}))
        return
    _print_rows(done.rows)
    click.echo("Moved: both databases hold the same. Now set DATABASE_URL to the new one and start the servers.")


def _print_rows(rows: dict[str, int]) -> None:
    if rows:
        table(("TABLE", "ROWS"), [(name, str(count)) for name, count in rows.items()])


def _print_folded(folded: Folded | None) -> None:
    if folded is None:
        return
    click.echo(f"{folded.same} sessions are what their history says.")
    for count, what in (
        (folded.without_history, "are older than the keeping of history"),
        (folded.set_aside, "were set aside for support"),
        (folded.unreadable, "can't be read, as in the database: the server sets them aside when they are visited"),
        (
            folded.locked,
            f"are sealed with keys that STEPKEEP_ANSWERS_KEYS lacks: {', '.join(sorted(folded.missing_keys))}",
        ),
        (folded.differing, f"DIFFER from their history: {_named(folded)}"),
    ):
        if count:
            click.echo(f"{count} {what}.")


def _named(folded: Folded) -> str:
    return ", ".join(printable(f"{key.survey_id}/{key.user_id}") for key in folded.named)


def _shown(found: Verified) -> dict[str, Any]:
    facts = asdict(found)
    if found.folded is not None:
        facts["folded"]["missing_keys"] = sorted(found.folded.missing_keys)
        facts["folded"]["named"] = [f"{key.survey_id}/{key.user_id}" for key in found.folded.named]
    return facts
