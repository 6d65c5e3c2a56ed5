"""What the commands share: errors as one line, exit codes, tables, progress, days, and the service behind them.

Tables and progress bars are made for people at a terminal. Where the output goes into a file or a pipe, tables are
plain lines, and there are no bars and no colours (nor with NO_COLOR). What participants wrote is shown with its control
characters spelled out, so that no answer can steer the operator's terminal.
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

from ..access.credentials import Credentials
from ..errors import (
    DatabaseUnavailable,
    DatabaseUnreachable,
    InvalidInput,
    NoSuchSurvey,
    NotFound,
    Overloaded,
    StepkeepError,
)
from ..sessions import SessionStore
from ..store import audit

P = ParamSpec("P")
R = TypeVar("R")

MAX_DAYS = 3650.0

NOT_FOUND = 3
AWAY = 4
"""Exit codes, beside 0 (done), 1 (refused, or something differs) and 2 (called the wrong way)."""

ROWS_TOGETHER = 200
"""Rows of a table that are held to find how wide its columns are; further ones follow in these widths."""

_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069]")

Row = tuple[str | None, ...]


class Days(click.FloatRange):
    """A time in days, above 0 and at most ten years."""

    name = "days"

    def __init__(self) -> None:
        super().__init__(min=0, min_open=True, max=MAX_DAYS)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:  # noqa: ANN401
        """Return the number of days; a NaN, which is in every range, is refused too."""
        days: float = super().convert(value, param, ctx)
        if math.isnan(days):
            self.fail(f"{value!r} is not a number of days.", param, ctx)
        return days


class _NotFound(click.ClickException):
    exit_code = NOT_FOUND


class _Away(click.ClickException):
    exit_code = AWAY


_failures = {1: click.ClickException, NOT_FOUND: _NotFound, AWAY: _Away}


def told(command: Callable[P, R]) -> Callable[P, R]:
    """Let the command's errors be one line, and an exit code of 1, NOT_FOUND or AWAY."""

    @functools.wraps(command)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return command(*args, **kwargs)
        except StepkeepError as error:
            raise _failures[exit_code_of(error)](_said(error)) from error

    return run


@contextmanager
def usage() -> Iterator[None]:
    """Let what is refused there be called the wrong way: exit code 2."""
    try:
        yield
    except InvalidInput as error:
        raise click.UsageError(str(error)) from error


def _said(error: StepkeepError) -> str:
    """Return what an operator is told, who may see where; a survey he names otherwise than REST does."""
    if isinstance(error, NoSuchSurvey):
        offered = ", ".join(error.offered) or "none"
        return f"there is no survey {error.survey_id!r} in STEPKEEP_SURVEYS_DIR, which has {offered}"
    return str(error)


def exit_code_of(error: StepkeepError) -> int:
    """Return the exit code of a command that ends with the error."""
    if isinstance(error, NotFound):
        return NOT_FOUND
    return AWAY if isinstance(error, DatabaseUnavailable | DatabaseUnreachable | Overloaded) else 1


def printable(text: str) -> str:
    """Return the text with its control characters spelled out, as in Python."""
    return _CONTROL.sub(lambda found: found.group().encode("unicode_escape").decode(), text)


def table(head: tuple[str, ...], rows: Iterable[Row]) -> None:
    """Print rows under their heads, each column as wide as it needs; as they come, where there are many."""
    console = Console(highlight=False)
    remaining = iter(rows)
    part = list(islice(remaining, ROWS_TOGETHER))
    widths = [max(map(cell_len, column)) for column in zip(head, *map(_cells, part), strict=True)]
    if not console.is_terminal:
        _print_plain(widths, [head])
    is_first = True
    while part or is_first:
        if console.is_terminal:
            _print_rich(console, head if is_first else None, widths, part)
        else:
            _print_plain(widths, map(_cells, part))
        part, is_first = list(islice(remaining, ROWS_TOGETHER)), False


def json_lines(items: Iterable[Mapping[str, Any]]) -> None:
    """Print each as a line of JSON, as they come."""
    for item in items:
        click.echo(json.dumps(item))


@contextmanager
def progress(label: str) -> Iterator[Callable[[int, int], None]]:
    """Give what shows how much is done and how long the rest takes, on the terminal; elsewhere it shows nothing."""
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


def _print_rich(console: Console, head: tuple[str, ...] | None, widths: list[int], rows: list[Row]) -> None:
    shown = Table(box=None, show_header=head is not None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for name, width in zip(head or widths, widths, strict=True):
        # No width of its own for what fits into a line: rich shares the terminal's among the columns.
        shown.add_column(str(name), min_width=min(width, 4), width=width if sum(widths) < console.width else None)
    for row in rows:
        shown.add_row(*(Text(cell, overflow="fold") for cell in _cells(row)))
    console.print(shown)


def note(
    action: audit.Action, *, survey_id: str | None = None, user_id: str | None = None, **detail: str | int
) -> None:
    """Note in the audit log what the operator does."""
    entry = audit.AuditEntry(
        at=store().clock(), actor="operator", action=action, survey_id=survey_id, user_id=user_id, detail=detail
    )
    store().run_transaction(lambda connection: audit.record(connection, entry))


def check_offered(survey: str) -> None:
    """Return if there is such a survey, open or closed.

    Raises:
        NoSuchSurvey: there is none; names those that there are, since an operator may know.
    """
    offered = store().catalogue.surveys
    if survey not in offered:
        raise NoSuchSurvey(survey, tuple(offered))


def store() -> SessionStore:
    """Return the application's."""
    found: SessionStore = flask.current_app.extensions["stepkeep"].store
    return found


def credentials() -> Credentials:
    """Return the application's."""
    found: Credentials = flask.current_app.extensions["stepkeep"].authenticator.credentials
    return found
