"""``flask report``."""

from collections.abc import Mapping
from pathlib import Path

import click
import flask

from ..core.files import replace_file
from ..errors import InvalidInput
from ..operations.analytics import Filters, csv_files, report_to_dict, summarize
from ..operations.export import MODES, STATUSES
from .group import audit, commands, store, usage_errors
from .output import print_json, progress


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
