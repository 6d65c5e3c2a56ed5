"""``flask report``: a survey's figures as a page to read, print and pass on, and as tables."""

import json
from collections.abc import Mapping
from pathlib import Path

import click
import flask
from flask.cli import with_appcontext

from ..core.files import replace_file
from ..errors import InvalidInput
from ..operations.analytics import Filters, figures_of
from ..operations.analytics.csv_files import csv_files
from ..operations.analytics.report import report_of
from ..operations.export import MODES, STATUSES
from .output import note, progress, store, told, usage


@click.command("report")
@click.argument("survey")
@click.option("--output", type=click.Path(dir_okay=False, path_type=Path), default=None, help="The page: an HTML file.")
@click.option(
    "--csv", "folder", type=click.Path(file_okay=False, path_type=Path), default=None, help="Folder of tables."
)
@click.option("--json", "as_json", is_flag=True, help="Print the figures for programs, as REST gives them.")
@click.option("--since", default=None, help="Only sessions that began on this day or time, or later (UTC).")
@click.option("--until", default=None, help="Only sessions that began before this time, or on this day.")
@click.option("--mode", type=click.Choice(MODES), default=None, help="Only sessions in this mode.")
@click.option("--revision", default=None, help="Only sessions of this revision of the survey.")
@click.option("--status", type=click.Choice(STATUSES), default=None, help="Only sessions like this.")
@with_appcontext
@told
def report(survey: str, output: Path | None, folder: Path | None, *, as_json: bool, **given: str | None) -> None:
    """Write a survey's figures: completion, where people stop, how long each step takes, what was answered.

    \b
    Examples:
      flask report intake --output report.html
      flask report intake --output november.html --since 2026-11-01 --until 2026-11-30
      flask report intake --csv figures/
      flask report intake --json | jq .sessions

    The page is one file without anything from elsewhere. No names and no free texts are in any of them.
    """
    if output is None and folder is None and not as_json:
        raise click.UsageError("say where to: --output FILE, --csv FOLDER or --json")
    with usage():
        filters = Filters.of(**given)
    note("analytics_read", survey_id=store().queries.key("x", survey).survey_id)
    with progress("Counting") as show:
        figures = figures_of(store(), survey, filters, show)
    if output is not None:
        _write({output: flask.render_template("report/report.html", report=report_of(figures))})
    if folder is not None:
        _write({folder / name: text for name, text in csv_files(figures).items()})
    if as_json:
        click.echo(json.dumps({"success": True, **figures}))


def _write(texts: Mapping[Path, str]) -> None:
    """Write files, each whole or not at all, and say so."""
    for path, text in texts.items():
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InvalidInput(f"{path} can't be written: {error.strerror}") from error
        replace_file(path, [text.encode()])
        click.echo(f"{path} was written.", err=True)
