"""The command ``stepkeep``, also ``python -m app``.

The operator's groups need the extra ``server``; they are imported when they are named.
"""

import base64
import secrets
from pathlib import Path
from typing import TYPE_CHECKING

import click
from dotenv import load_dotenv
from sqlalchemy import URL

from .core.commands import Command
from .core.installation import MissingExtra, __version__, needs_extra
from .errors import InvalidInput
from .sessions import check_store
from .settings import read_settings
from .store import (
    downgrade_schema,
    head_revision,
    migration_url,
    require_revision,
    schema_revision,
    stamp_schema,
    upgrade_schema,
)

if TYPE_CHECKING:
    from flask.cli import ScriptInfo


_PACKAGE = Path(__file__).resolve().parent

_PROJECT_FILES = {"env": ".env", "compose.yaml": "compose.yaml", "gitignore": ".gitignore"}
"""The files of a new project by their templates in ``new_project/``."""


class _Group(click.Group):
    """A group whose commands report errors."""

    command_class = Command


class _Root(_Group):
    """Has the operator's commands too, from their own modules."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        try:
            return sorted({*super().list_commands(ctx), *_operators_group().commands})
        except MissingExtra:
            return super().list_commands(ctx)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        own = super().get_command(ctx, cmd_name)
        if own is not None:
            return own
        try:
            commands = _operators_group().commands
        except MissingExtra as error:
            raise click.ClickException(str(error)) from error
        ctx.obj = _application()
        return commands.get(cmd_name)


def _operators_group() -> click.Group:
    with needs_extra("server", "Every command but db, new and serve"):
        from .cli import commands  # noqa: PLC0415 - an extra
    return commands


def _application() -> "ScriptInfo":
    from flask.cli import ScriptInfo  # noqa: PLC0415 - an extra

    from .web import create_app  # noqa: PLC0415 - imports Flask

    return ScriptInfo(create_app=create_app)


@click.group(cls=_Root)
@click.version_option(__version__, prog_name="stepkeep")
def main() -> None:
    """Stepkeep: a survey server that never loses an answer.

    Settings are read from the environment, and from the file .env in the current folder.
    """
    load_dotenv(Path(".env").absolute())


@main.command()
@click.argument("folder", type=click.Path(path_type=Path))
def new(folder: Path) -> None:
    """Create a project: a survey, settings with new keys, and a compose file.

    The folder must be empty, or not exist.

    \b
    Examples:
      stepkeep new myproject && cd myproject && stepkeep serve
    """
    _create_project(folder)
    click.echo(f"{folder} has an example survey and settings. Run `stepkeep serve` in it.")


def _create_project(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if any(folder.iterdir()):
            raise InvalidInput(f"{folder} is not empty; choose another folder")
        (folder / ".env").touch(0o600)  # first, because the file has secrets
        values = {
            "secret_key": secrets.token_urlsafe(32),
            "answers_key": base64.b64encode(secrets.token_bytes(32)).decode(),
            "version": __version__,
        }
        for template, name in _PROJECT_FILES.items():
            text = (_PACKAGE / "new_project" / template).read_text(encoding="utf-8")
            (folder / name).write_text(text.format_map(values), encoding="utf-8")
        surveys = _PACKAGE / "surveys"  # of the wheel
        example = (surveys if surveys.is_dir() else _PACKAGE.parent / "surveys") / "phq9.yaml"
        (folder / "surveys").mkdir()
        (folder / "surveys" / "phq9.yaml").write_bytes(example.read_bytes())
    except OSError as error:
        raise InvalidInput(f"{error.filename or folder} can't be written: {error.strerror}") from error


@main.command()
@click.option("--check", "is_check", is_flag=True, help="Only check settings, surveys and database.")
def serve(*, is_check: bool) -> None:
    """Serve the surveys of the folder surveys, on http://127.0.0.1:8000.

    Without STEPKEEP_PUBLIC_URL and on this machine only, in development mode: without authentication.

    \b
    Examples:
      stepkeep serve
      PORT=8001 stepkeep serve
      stepkeep serve --check            also while a server runs
    """
    with needs_extra("server", "stepkeep serve"):
        from .serve import server  # noqa: PLC0415 - an extra
    if is_check:
        server.check()
    else:
        server.serve()


@main.group(cls=_Group)
def db() -> None:
    """Create, upgrade and check the tables of DATABASE_URL, as STEPKEEP_MIGRATION_URL's user if it is set."""


@db.command()
def upgrade() -> None:
    """Create the tables, or upgrade them to this release.

    With SQLite, the server and the Python API do it by themselves.

    \b
    Examples:
      stepkeep db upgrade
      DATABASE_URL=postgresql://user@host/name stepkeep db upgrade
    """
    upgrade_schema(_url())
    click.echo(f"The schema is at revision {head_revision()}.")


@db.command()
def current() -> None:
    """Show the revision of the schema, and the one that this release needs.

    \b
    Examples:
      stepkeep db current
    """
    click.echo(f"{schema_revision(_url()) or 'no schema'} (this release needs {head_revision()})")


@db.command()
def check() -> None:
    """Check the revision, the tables, the surveys and the keys, as the server does when it starts; change nothing.

    The exit code is 1 if the server would not start, and 4 if the database is unavailable.

    \b
    Examples:
      stepkeep db check
    """
    require_revision(_url())
    check_store(read_settings())
    click.echo(f"The schema is at revision {head_revision()}, and its tables are complete.")


@db.command()
@click.argument("revision")
@click.option("--lossy", is_flag=True, help="Even if rows are lost.")
def downgrade(revision: str, *, lossy: bool) -> None:
    """Go back to the schema of an earlier release, with the servers stopped.

    \b
    Examples:
      stepkeep db downgrade 0021
    """
    downgrade_schema(_url(), revision, is_lossy=lossy)
    click.echo(f"The schema is at revision {schema_revision(_url())}.")


@db.command()
@click.argument("revision")
def stamp(revision: str) -> None:
    """Correct the recorded revision of a schema, if an error says so; no table is changed.

    \b
    Examples:
      stepkeep db stamp 0021
    """
    stamp_schema(_url(), revision)
    click.echo(f"The schema is recorded as revision {revision}.")


def _url() -> URL:
    return migration_url(read_settings())


if __name__ == "__main__":
    main(prog_name="stepkeep")
