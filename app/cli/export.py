"""``flask export`` and ``flask codebook``: a survey's sessions for people who analyse, and what the columns mean."""

import json
import sys
from pathlib import Path
from typing import Any

import click
from flask.cli import with_appcontext

from ..core.files import replace_file
from ..core.timestamps import parse_timestamp
from ..operations.export import codebook
from ..operations.export.export import Export
from ..operations.export.request import FORMATS, MODES, SHAPES, STATUSES, Asked
from ..operations.export.walk import Counts
from .output import note, progress, store, told, usage

_LACKS = {
    "set_aside": "sessions that were set aside are not in it: support can read them",
    "unreadable": "sessions can't be read and are not in it",
    "events": "events can't be read and are not in it",
    "shortened": "values were cut or left out, because the format can't hold them",
}


@click.command("export")
@click.argument("survey")
@click.option("--format", "format_name", type=click.Choice(FORMATS), default="csv", show_default=True)
@click.option("--output", type=click.Path(dir_okay=False, path_type=Path), default=None, help="Else standard output.")
@click.option("--status", type=click.Choice(STATUSES), default=None, help="Only sessions like this; else all.")
@click.option("--since", default=None, help="Only sessions that began on this day or time, or later (UTC).")
@click.option("--until", default=None, help="Only sessions that began before this time, or on this day.")
@click.option("--updated-since", default=None, help="Only sessions that changed since.")
@click.option("--mode", type=click.Choice(MODES), default=None, help="Only sessions in this mode.")
@click.option("--labels/--values", default=False, help="Of a choice the label, not its value (csv, parquet, xlsx).")
@click.option("--spreadsheet-safe", is_flag=True, help="A ' before what a spreadsheet takes for a formula (csv, long).")
@click.option("--history", is_flag=True, help="Each session with its events (jsonl).")
@click.option("--drafts", is_flag=True, help="With what was half typed (long, jsonl with --history).")
@with_appcontext
@told
def export_survey(survey: str, format_name: Any, output: Path | None, **given: Any) -> None:  # noqa: ANN401 - click's choice
    """Write a survey's sessions: a row a session, or with --format long a row an event.

    \b
    Examples:
      flask export intake --output intake.csv
      flask export intake --format sav --status completed --output intake.sav
      flask export intake --format long --since 2026-11-01 --until 2026-11-30 > events.csv

    `flask codebook` says what the columns mean.
    """
    with usage():
        asked = Asked(
            survey_id=store().queries.key("x", survey).survey_id,
            format=format_name,
            since=_moment(given, "since"),
            until=_moment(given, "until", ends_day=True),
            updated_since=_moment(given, "updated_since"),
            **{name: given[name] for name in ("status", "mode", "labels", "spreadsheet_safe", "history", "drafts")},
        )
        asked.check()
    if output is None and not SHAPES[asked.format].is_streamed and sys.stdout.isatty():
        raise click.UsageError(f"a {format_name} file is nothing to read: say --output FILE")
    with progress("Exporting") as show:
        exporting = Export(store(), asked, show)
        note("survey_exported", survey_id=asked.survey_id, format=format_name)
        made = exporting.make()
        if output is not None:
            replace_file(output, made.pieces)
        else:
            with click.open_file("-", "wb") as stdout:
                stdout.writelines(made.pieces)
    _tell(made.counts)


@click.command("codebook")
@click.argument("survey")
@click.option("--json", "as_json", is_flag=True, help="For programs; else Markdown.")
@with_appcontext
@told
def show_codebook(survey: str, *, as_json: bool) -> None:
    """Print what each column of a survey's export means: step, prompt, values with labels, revisions.

    \b
    Examples:
      flask codebook intake > intake-codebook.md
    """
    layout = Export(store(), Asked(survey_id=store().queries.key("x", survey).survey_id)).layout
    click.echo(json.dumps(codebook.document_of(layout)) if as_json else codebook.markdown_of(layout))


def _moment(given: dict[str, Any], name: str, *, ends_day: bool = False) -> int | None:
    text = given[name]
    return None if text is None else parse_timestamp(text, f"--{name.replace('_', '-')}", ends_day=ends_day)


def _tell(counts: Counts) -> None:
    click.echo(f"{counts.sessions} session{'' if counts.sessions == 1 else 's'} exported.", err=True)
    for name, count in counts.lacking().items():
        click.echo(f"{count} {_LACKS[name]}.", err=True)
