"""What the commands share: errors and exit codes, tables, progress, and access to the application.

On a terminal, tables and progress bars are formatted with rich. Redirected output has plain lines without bars and
colours, as with NO_COLOR. Control characters of participants' texts are escaped: they must not control the terminal.
"""

import functools
import json
import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from itertools import islice
from typing import Any, ParamSpec, TypeVar

import click
import flask
from rich.cells import cell_len
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from ..access import Credentials
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

P = ParamSpec("P")
R = TypeVar("R")

MAX_DAYS = 3650.0

NOT_FOUND = 3
UNAVAILABLE = 4
"""Exit codes besides 0 (success), 1 (refused, or a check failed) and 2 (usage error)."""

ROWS_A_PART = 200
"""Rows of a table that determine the widths of its columns; further rows are printed as they are read."""

_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069]")

Row = tuple[str | None, ...]


class Days(click.FloatRange):
    """A positive number of days, at most ten years."""

    name = "days"

    def __init__(self) -> None:
        super().__init__(min=0, min_open=True, max=MAX_DAYS)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:  # noqa: ANN401
        """Return the number of days; refuse NaN, which click accepts in any range."""
        days: float = super().convert(value, param, ctx)
        if math.isnan(days):
            self.fail(f"{value!r} is not a number of days.", param, ctx)
        return days


class _NotFound(click.ClickException):
    exit_code = NOT_FOUND


class _Unavailable(click.ClickException):
    exit_code = UNAVAILABLE


_EXCEPTIONS = {1: click.ClickException, NOT_FOUND: _NotFound, UNAVAILABLE: _Unavailable}


def handle_errors(command: Callable[P, R]) -> Callable[P, R]:
    """Decorator: print a StepkeepError as one line, and map it to an exit code."""

    @functools.wraps(command)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return command(*args, **kwargs)
        except StepkeepError as error:
            raise _EXCEPTIONS[exit_code(error)](_message(error)) from error

    return run


@contextmanager
def usage_errors() -> Iterator[None]:
    """Context manager: report InvalidInput as a usage error, exit code 2."""
    try:
        yield
    except InvalidInput as error:
        raise click.UsageError(str(error)) from error


def _message(error: StepkeepError) -> str:
    """Return the message for an operator, who may see the names of all surveys."""
    if isinstance(error, NoSuchSurvey):
        offered = ", ".join(error.offered) or "none"
        return f"there is no survey {error.survey_id!r} in STEPKEEP_SURVEYS_DIR, which has {offered}"
    return str(error)


def exit_code(error: StepkeepError) -> int:
    """Return the exit code for an error."""
    if isinstance(error, NotFound):
        return NOT_FOUND
    return UNAVAILABLE if isinstance(error, DatabaseUnavailable | DatabaseUnreachable | Overloaded) else 1


def printable(text: str) -> str:
    """Return the text with escaped control characters."""
    return _CONTROL.sub(lambda match: match.group().encode("unicode_escape").decode(), text)


def print_table(header: tuple[str, ...], rows: Iterable[Row]) -> None:
    """Print a table; after ROWS_A_PART rows, further ones are printed as they are read."""
    console = Console(highlight=False)
    remaining = iter(rows)
    part = list(islice(remaining, ROWS_A_PART))
    widths = [max(map(cell_len, column)) for column in zip(header, *map(_cells, part), strict=True)]
    if not console.is_terminal:
        _print_plain(widths, [header])
    is_first = True
    while part or is_first:
        if console.is_terminal:
            _print_rich(console, header if is_first else None, widths, part)
        else:
            _print_plain(widths, map(_cells, part))
        part, is_first = list(islice(remaining, ROWS_A_PART)), False


def print_jsonl(items: Iterable[Mapping[str, Any]]) -> None:
    """Print each item as a line of JSON."""
    for item in items:
        click.echo(json.dumps(item))


@contextmanager
def progress(label: str) -> Iterator[Callable[[int, int], None]]:
    """Show a progress bar on a terminal; yield the function that updates it."""
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn())
    counts = (MofNCompleteColumn(), TimeRemainingColumn(elapsed_when_finished=True))
    with Progress(*columns, *counts, console=console, disable=not console.is_terminal) as bar:
        task = bar.add_task(label, total=None)

        def show(done: int, total: int) -> None:
            bar.update(task, completed=done, total=max(total, 1))

        yield show


def _cells(row: Row) -> tuple[str, ...]:
    return tuple(printable(cell or "") for cell in row)


def _print_plain(widths: list[int], rows: Iterable[tuple[str, ...]]) -> None:
    for row in rows:
        padded = (cell + " " * (width - cell_len(cell)) for cell, width in zip(row, widths, strict=True))
        click.echo("  ".join(padded).rstrip())


def _print_rich(console: Console, header: tuple[str, ...] | None, widths: list[int], rows: list[Row]) -> None:
    table = Table(box=None, show_header=header is not None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for name, width in zip(header or widths, widths, strict=True):
        # Without a fixed width, rich distributes the width of the terminal if the table does not fit.
        table.add_column(str(name), min_width=min(width, 4), width=width if sum(widths) < console.width else None)
    for row in rows:
        table.add_row(*(Text(cell, overflow="fold") for cell in _cells(row)))
    console.print(table)


def audit(action: Action, *, survey_id: str | None = None, user_id: str | None = None, **detail: str | int) -> None:
    """Record an action of the operator in the audit log."""
    store().audit_log.record("operator", action, survey_id=survey_id, user_id=user_id, detail=detail)


def require_survey(survey: str) -> None:
    """Raise NoSuchSurvey, with the ids of all surveys, unless the catalogue has the survey."""
    surveys = store().catalogue.surveys
    if survey not in surveys:
        raise NoSuchSurvey(survey, tuple(surveys))


def store() -> SessionStore:
    """Return the store of the application."""
    store: SessionStore = flask.current_app.extensions["stepkeep"].store
    return store


def credentials() -> Credentials:
    """Return the credentials of the application."""
    credentials: Credentials = flask.current_app.extensions["stepkeep"].authenticator.credentials
    return credentials
