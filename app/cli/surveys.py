"""``flask surveys``: for authors, without a database."""

import os
import re
import sys
from collections.abc import Mapping
from dataclasses import asdict
from itertools import groupby
from pathlib import Path
from string import Template

import click

from ..catalogue import check_files, survey_files
from ..core.commands import Command
from ..core.formats import SURVEY_ID, validation_message
from ..core.installation import COMMAND
from ..errors import InvalidInput
from ..settings import read_settings
from ..survey import Survey
from .group import commands
from .output import Columns, counted, print_json, print_records


class _Group(click.Group):
    """Opens no application, which a wrong survey file or a missing secret would prevent."""

    command_class = Command


surveys = _Group("surveys", help="Survey files: check, begin, preview and list them.")
commands.add_command(surveys)

# Variables that a preview gets: no settings of a server.
_OF_THE_SYSTEM = {"PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "PYTHONPATH", "PYTHONUNBUFFERED", "VIRTUAL_ENV"}

_COLUMNS: Columns = {
    "SURVEY": "id",
    "TITLE": "title",
    "LANGUAGES": lambda survey: " ".join(survey["languages"]),
    "STEPS": "steps",
    "REVISION": "revision",
    "ACCESS": "access",
}

_NEW = Template("""\
# A survey: https://yaml.org, with the fields of docs/surveys.md. Check it with: $command surveys check $file
id: $id # in addresses, exports and the database
title: A new survey
language: en # of the texts; for several languages: languages: [en, de], and {en: Hello, de: Hallo} as a text
description: It takes about two minutes.

# The steps in order. A step leads to the next one, unless a rule under `next` says otherwise.
steps:
  - id: seen
    type: boolean
    prompt: Did you see a doctor today?
    next:
      - {when: answer == true, go: felt} # `answer` is true or false, not "Yes" or "No"
      - {go: waited}

  - id: felt
    type: scale
    prompt: How do you feel now?
    min: 0
    max: 10
    min_label: bad
    max_label: well

  - id: reason
    type: choice
    prompt: What would have helped you more?
    show_if: answers.felt < 4 # left out for all who feel better
    options:
      - More time
      - {value: words, label: Words that I understand} # `words` is stored and compared, the label is shown

  - id: waited
    type: number
    prompt: How many minutes did you wait?
    help: An estimate is enough.
    integer: true
    min: 0
    required: false # participants may skip it; the answer is then null
    check:
      - {that: answer < 300, message: "That is more than five hours. Is it right?", level: warning}

  - id: better
    type: text
    prompt: What could be better?
    required: false
    max_length: 2000

# What the participant sees at the end: the first entry whose condition holds.
end:
  - {when: answers.seen == false, title: Thank you, text: We are sorry that you did not see a doctor.}
  - {title: Thank you, summary: true}
""")


@surveys.command("check")
@click.argument("paths", nargs=-1, type=click.Path(exists=True, path_type=Path), metavar="[PATH]...")
@click.option("--json", "as_json", is_flag=True, help="Print each finding as one JSON object.")
def check_surveys(*, paths: tuple[Path, ...], as_json: bool) -> None:
    """Check survey files, or folders of them (default: STEPKEEP_SURVEYS_DIR).

    Each finding is printed as file:line:column: message. The exit code is 1 if there is an error; warnings do not fail.

    \b
    Examples:
      %(prog)s surveys check
      %(prog)s surveys check drafts/visit.yaml
    """
    folder = read_settings().surveys_dir
    files = [file for path in paths or (folder,) for file in (survey_files(path) if path.is_dir() else [path])]
    checked = check_files(files)
    for finding in checked.findings:
        if as_json:
            print_json(asdict(finding))
        else:
            click.echo(str(finding))
    errors, warnings = len(checked.errors), len(checked.findings) - len(checked.errors)
    click.echo(f"{counted(len(files), 'file')}: {counted(errors, 'error')}, {counted(warnings, 'warning')}.", err=True)
    if errors:
        raise click.exceptions.Exit(1)


@surveys.command("new")
@click.argument("survey_id", metavar="ID")
def new_survey(*, survey_id: str) -> None:
    """Write a survey file with comments, to begin with: ID.yaml in STEPKEEP_SURVEYS_DIR.

    It overwrites no file.

    \b
    Examples:
      %(prog)s surveys new visit
    """
    if not re.search(SURVEY_ID, survey_id):
        raise click.UsageError(f"ID {validation_message({'type': 'pattern', 'ctx': {'pattern': SURVEY_ID}})}.")
    folder = read_settings().surveys_dir
    checked = check_files(survey_files(folder))
    if survey_id in checked.files:
        raise InvalidInput(f"{checked.files[survey_id]} has the id {survey_id} already; choose another one")
    file = folder / f"{survey_id}.yaml"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with file.open("x", encoding="utf-8") as new:
            new.write(_NEW.substitute(command=COMMAND, file=file, id=survey_id))
    except FileExistsError as error:
        raise InvalidInput(f"{file} exists already; choose another id, or remove it") from error
    except OSError as error:
        raise InvalidInput(f"{file} can't be written: {error.strerror}") from error
    click.echo(f"{file} is a survey to begin with.")


@surveys.command("preview")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
def preview_survey(*, file: Path) -> None:
    """Show one survey file in a browser, on this machine only, until Ctrl-C.

    The page shows the survey as participants see it, and its state beside it: answers, values, route, drafts,
    language. It sets parameters, jumps to any step, and follows changes of the file, whose findings it shows.
    Everything is in a temporary folder that is removed at the end; settings and the database of a server are not used.

    \b
    Examples:
      %(prog)s surveys preview surveys/visit.yaml
    """
    program = f"{__package__.partition('.')[0]}.web.preview"
    environment = {name: value for name, value in os.environ.items() if name in _OF_THE_SYSTEM}
    os.execve(sys.executable, [sys.executable, "-m", program, str(file)], environment)  # noqa: S606 - this Python


@surveys.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print each survey as one JSON object.")
def list_surveys(*, as_json: bool) -> None:
    """List the surveys of STEPKEEP_SURVEYS_DIR, as their files are now.

    A broken file is named with its first error, and the exit code is 1.

    \b
    Examples:
      %(prog)s surveys list
    """
    checked = check_files(survey_files(read_settings().surveys_dir))
    print_records(map(_record, checked.surveys.values()), _COLUMNS, as_json=as_json)
    by_file = {file: [*found] for file, found in groupby(checked.errors, key=lambda finding: finding.file)}
    for first, *others in by_file.values():
        click.echo(f"Error: {first}{f' (and {len(others)} more)' if others else ''}", err=True)
    if by_file:
        count = "1 file is" if len(by_file) == 1 else f"{len(by_file)} files are"
        click.echo(f"{count} not listed; for all findings run: {COMMAND} surveys check", err=True)
        raise click.exceptions.Exit(1)


def _record(survey: Survey) -> Mapping[str, object]:
    return {
        "id": survey.id,
        "title": survey.without_session.title,
        "languages": list(survey.offered_languages),
        "steps": len(survey.steps),
        "revision": survey.revision,
        "access": survey.access,
    }
