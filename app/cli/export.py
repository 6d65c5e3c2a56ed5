"""``flask export``, ``flask codebook`` and ``flask report``."""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click
import flask

from ..core.files import replace_file
from ..errors import InvalidInput
from ..operations.analytics import Filters, csv_files, report_to_dict, summarize
from ..operations.export import FORMATS, MODES, STATUSES, Export, ExportRequest, codebook_to_dict, codebook_to_markdown
from .group import Time, audit, commands, store, usage_errors
from .output import counted, print_json, progress

_MISSING = {
    "set_aside": "set-aside sessions were left out; support can read them",
    "unreadable": "unreadable sessions were left out",
    "events": "unreadable events were left out",
    "shortened": "values were truncated or left out because the format can't hold them",
}


@commands.command("export")
@click.argument("survey")
@click.option("--format", "format_name", type=click.Choice(list(FORMATS)), default="csv", show_default=True)
@click.option("--output", type=click.Path(dir_okay=False, path_type=Path), help="Default: standard output.")
@click.option("--status", type=click.Choice(STATUSES), help="Only sessions with this status.")
@click.option("--since", type=Time(), help="Only sessions created on or after this day or time (UTC).")
@click.option(
    "--until", type=Time(ends_day=True), help="Only sessions created on or before this day, or before this time."
)
@click.option("--updated-since", type=Time(), help="Only sessions changed since.")
@click.option("--mode", type=click.Choice(MODES), help="Only sessions in this mode.")
@click.option("--labels/--values", default=False, help="Write the labels of choices (csv, parquet, xlsx).")
@click.option("--language", help="Write labels in this language of the survey, such as de.")
@click.option("--spreadsheet-safe", is_flag=True, help="Escape formulas with an apostrophe (csv, long).")
@click.option("--history", is_flag=True, help="Include the events of each session (jsonl).")
@click.option("--drafts", is_flag=True, help="Include the text of drafts (long, jsonl with --history).")
def export_survey(survey: str, format_name: Any, output: Path | None, **options: Any) -> None:  # noqa: ANN401 - click's choice
    """Export the sessions of a survey, one row per session, or with --format long one row per event.

    \b
    Examples:
      %(prog)s export intake --output intake.csv
      %(prog)s export intake --format sav --status completed --output intake.sav
      %(prog)s export intake --format long --since 2026-11-01 --until 2026-11-30 > events.csv

    `%(prog)s codebook` describes the columns.
    """
    with usage_errors():
        request = ExportRequest(survey_id=store().queries.survey_id(survey), format=format_name, **options)
    if output is None and not FORMATS[request.format].is_streamed and sys.stdout.isatty():
        raise click.UsageError(f"{format_name} is a binary format; use --output FILE")
    with progress("Exporting") as show:
        with usage_errors():
            export = Export(store(), request, show)
        audit("survey_exported", survey_id=request.survey_id, format=format_name)
        file = export.write()
        if output is not None:
            replace_file(output, file.pieces)
        else:
            with click.open_file("-", "wb") as stdout:
                stdout.writelines(file.pieces)
    click.echo(f"{counted(file.counts.sessions, 'session')} exported.", err=True)
    for name, count in file.counts.missing().items():
        click.echo(f"{count} {_MISSING[name]}.", err=True)


@commands.command("codebook")
@click.argument("survey")
@click.option("--language", help="Show texts in this language of the survey, such as de.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object (default: Markdown).")
def show_codebook(survey: str, language: str | None, *, as_json: bool) -> None:
    """Describe each column of a survey's export: step, prompt, values with labels, revisions.

    \b
    Examples:
      %(prog)s codebook intake > intake-codebook.md
    """
    with usage_errors():
        layout = Export(store(), ExportRequest(survey_id=store().queries.survey_id(survey), language=language)).layout
    if as_json:
        print_json(codebook_to_dict(layout))
    else:
        click.echo(codebook_to_markdown(layout))


@commands.command("report")
@click.argument("survey")
@click.option("--output", type=click.Path(dir_okay=False, path_type=Path), help="Write an HTML page.")
@click.option(
    "--csv", "folder", type=click.Path(file_okay=False, path_type=Path), help="Write CSV files into a folder."
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object, as REST does.")
@click.option("--since", help="Only sessions created on or after this day or time (UTC).")
@click.option("--until", help="Only sessions created on or before this day, or before this time.")
@click.option("--mode", type=click.Choice(MODES), help="Only sessions in this mode.")
@click.option("--revision", help="Only sessions of this revision of the survey.")
@click.option("--status", type=click.Choice(STATUSES), help="Only sessions with this status.")
def report(survey: str, output: Path | None, folder: Path | None, *, as_json: bool, **filters: str | None) -> None:
    """Report on a survey: completion, drop-off, time for each step, distributions of answers.

    \b
    Examples:
      %(prog)s report intake --output report.html
      %(prog)s report intake --output november.html --since 2026-11-01 --until 2026-11-30
      %(prog)s report intake --csv report/
      %(prog)s report intake --json | jq .sessions

    The HTML page is self-contained. Reports contain no user ids and no free texts.
    """
    if output is None and folder is None and not as_json:
        raise click.UsageError("choose an output: --output FILE, --csv FOLDER or --json")
    with usage_errors():
        parsed = Filters(**filters)
    audit("analytics_read", survey_id=store().queries.survey_id(survey))
    with progress("Counting") as show:
        summary = summarize(store(), survey, parsed, show)
    if output is not None:
        _write({output: flask.render_template("report/report.html", report=report_to_dict(summary))})
    if folder is not None:
        _write({folder / name: text for name, text in csv_files(summary).items()})
    if as_json:
        print_json({"success": True, **summary})


def _write(texts: Mapping[Path, str]) -> None:
    for path, text in texts.items():
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InvalidInput(f"{path} can't be written: {error.strerror}") from error
        replace_file(path, [text.encode()])
        click.echo(f"{path} was written.", err=True)
