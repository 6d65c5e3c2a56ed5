"""What the commands share: groups, errors and exit codes, types of options, tables, progress.

rich formats output on a terminal only. Control characters of participants' texts are escaped: they must not control the
terminal.
"""

import json
import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from itertools import islice
from typing import Any, TypeVar

import click
import flask
from flask.cli import AppGroup
from rich.cells import cell_len
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from ..access import Credentials
from ..core.timestamps import parse_timestamp
from ..errors import (
    DatabaseUnavailable,
    DatabaseUnreachable,
    InvalidInput,
    NoSuchSurvey,
    NotFound,
    Overloaded,
    StepkeepError,
)
from ..sessions import Action, SessionStore

C = TypeVar("C")
T = TypeVar("T")

MAX_DAYS = 3650.0

NOT_FOUND = 3
UNAVAILABLE = 4
"""Exit codes besides click's, 0 to 2."""

PAGE_SIZE = 1000
"""Records that a command reads at once."""

ROWS_A_PART = 200
"""These determine the widths of a table's columns; further rows are streamed."""

_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069]")

Row = tuple[str, ...]
Record = Mapping[str, Any]
Columns = Mapping[str, str | Callable[[Any], object]]
"""By header, the name of a field or a function of the record."""


class Days(click.FloatRange):
    """A positive number of days, at most ten years."""

    name = "days"

    def __init__(self) -> None:
        super().__init__(min=0, min_open=True, max=MAX_DAYS)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:  # noqa: ANN401
        """Refuse NaN, which click accepts in any range."""
        days: float = super().convert(value, param, ctx)
        if math.isnan(days):
            self.fail(f"{value!r} is not a number of days.", param, ctx)
        return days


class Time(click.ParamType[int]):
    """A day, or a time in UTC or with an offset; converted to microseconds since 1970 UTC.

    Args:
        ends_day: a day means its end.
    """

    name = "time"

    def __init__(self, *, ends_day: bool = False) -> None:
        self._ends_day = ends_day

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:  # noqa: ANN401
        try:
            return parse_timestamp(value, "it", ends_day=self._ends_day)
        except InvalidInput as error:
            self.fail(str(error), param, ctx)


class _Command(click.Command):
    """Prints a StepkeepError as one line, and maps it to an exit code."""

    def invoke(self, ctx: click.Context) -> Any:  # noqa: ANN401 - click's return type
        try:
            return super().invoke(ctx)
        except StepkeepError as error:
            click.ClickException(_message(error)).show()
            raise click.exceptions.Exit(exit_code(error)) from error


class CommandGroup(AppGroup):
    """A group whose commands run in the application's context and report errors."""

    command_class = _Command

    def add_group(self, name: str, description: str) -> "CommandGroup":
        """Add a group with this help, and return it."""
        group = CommandGroup(name, help=description)
        self.add_command(group)
        return group


commands = CommandGroup("stepkeep")
"""All commands; each module adds its own."""


def register(app: flask.Flask) -> None:
    """Add the commands to an application."""
    for command in commands.commands.values():
        app.cli.add_command(command)


@contextmanager
def usage_errors() -> Iterator[None]:
    """Report InvalidInput as a usage error."""
    try:
        yield
    except InvalidInput as error:
        raise click.UsageError(str(error)) from error


def _message(error: StepkeepError) -> str:
    """An operator may see the names of all surveys."""
    if isinstance(error, NoSuchSurvey):
        offered = ", ".join(error.offered) or "none"
        return f"there is no survey {error.survey_id!r} in STEPKEEP_SURVEYS_DIR, which has {offered}"
    return str(error)


def exit_code(error: StepkeepError) -> int:
    """Return the exit code."""
    if isinstance(error, NotFound):
        return NOT_FOUND
    return UNAVAILABLE if isinstance(error, DatabaseUnavailable | DatabaseUnreachable | Overloaded) else 1


def printable(text: str) -> str:
    """Escape control characters."""
    return _CONTROL.sub(lambda match: match.group().encode("unicode_escape").decode(), text)


def print_table(header: Row, rows: Iterable[Row]) -> None:
    """Print a table; rows after ROWS_A_PART are streamed."""
    console = Console(highlight=False)
    remaining = (tuple(map(printable, row)) for row in rows)
    part = list(islice(remaining, ROWS_A_PART))
    widths = [max(map(cell_len, column)) for column in zip(header, *part, strict=True)]
    write = partial(_print_rich, console) if console.is_terminal else _print_plain
    write(widths, header, part)
    while part := list(islice(remaining, ROWS_A_PART)):
        write(widths, None, part)


def print_json(value: object) -> None:
    """Print a line of JSON."""
    click.echo(json.dumps(value))


def print_records(records: Iterable[Record], columns: Columns, *, as_json: bool, is_array: bool = False) -> None:
    """Print records as JSON, a line each or an array, or as a table."""
    if as_json:
        for item in [list(records)] if is_array else records:
            print_json(item)
        return
    rows = (
        tuple(text_of(column(record) if callable(column) else record[column]) for column in columns.values())
        for record in records
    )
    print_table(tuple(columns), rows)


def text_of(value: object) -> str:
    """Return a value's text in a table: empty for None, JSON unless it is a text."""
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)


def pairs(fields: Mapping[str, object]) -> str:
    """Return ``name=value`` of the fields that are set."""
    return ", ".join(f"{name}={text_of(value)}" for name, value in fields.items() if value not in (None, [], {}))


def read_pages(read: Callable[[C | None], tuple[Sequence[T], C | None]]) -> Iterator[T]:
    """Yield the items of all pages.

    Args:
        read: returns the page after a cursor, and its own cursor, None at the end.
    """
    after: C | None = None
    while True:
        items, after = read(after)
        yield from items
        if after is None:
            return


@contextmanager
def progress(label: str) -> Iterator[Callable[[int, int], None]]:
    """Show a progress bar on a terminal; yield its update function."""
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn())
    counts = (MofNCompleteColumn(), TimeRemainingColumn(elapsed_when_finished=True))
    with Progress(*columns, *counts, console=console, disable=not console.is_terminal) as bar:
        task = bar.add_task(label, total=None)

        def show(done: int, total: int) -> None:
            bar.update(task, completed=done, total=max(total, 1))

        yield show


def _print_plain(widths: list[int], header: Row | None, rows: list[Row]) -> None:
    for row in rows if header is None else [header, *rows]:
        padded = (cell + " " * (width - cell_len(cell)) for cell, width in zip(row, widths, strict=True))
        click.echo("  ".join(padded).rstrip())


def _print_rich(console: Console, widths: list[int], header: Row | None, rows: list[Row]) -> None:
    table = Table(box=None, show_header=header is not None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for name, width in zip(header or widths, widths, strict=True):
        # Without a fixed width, rich distributes the width of the terminal if the table does not fit.
        table.add_column(str(name), min_width=min(width, 4), width=width if sum(widths) < console.width else None)
    for row in rows:
        table.add_row(*(Text(cell, overflow="fold") for cell in row))
    console.print(table)


def audit(action: Action, *, survey_id: str | None = None, user_id: str | None = None, **detail: str | int) -> None:
    """Record the operator's action in the audit log."""
    store().audit_log.record("operator", action, survey_id=survey_id, user_id=user_id, detail=detail)


def require_survey(survey: str) -> None:
    """Raise NoSuchSurvey unless the catalogue has the survey."""
    surveys = store().catalogue.surveys
    if survey not in surveys:
        raise NoSuchSurvey(survey, tuple(surveys))


def require_known_survey(user_id: str, survey: str | None) -> None:
    """Raise NoSuchSurvey for a misspelled survey: neither offered nor with a session of the participant."""
    if survey is not None and store().queries.load(store().queries.key(user_id, survey)) is None:
        require_survey(survey)


def store() -> SessionStore:
    """Return the application's store."""
    store: SessionStore = flask.current_app.extensions["stepkeep"].store
    return store


def credentials() -> Credentials:
    """Return the application's credentials."""
    credentials: Credentials = flask.current_app.extensions["stepkeep"].authenticator.credentials
    return credentials
