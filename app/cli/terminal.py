"""What the commands share: errors as one line, tables, progress, days, and the service behind them."""

import datetime
import functools
import math
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, ParamSpec, TypeVar

import click
import flask

from app.access.credentials import Credentials
from app.errors import InvalidInput, StepkeepError
from app.service import SessionStore
from app.store import audit
from app.store.rows import to_time

P = ParamSpec("P")
R = TypeVar("R")

MAX_DAYS = 3650.0


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


def told(command: Callable[P, R]) -> Callable[P, R]:
    """Let the command's errors be one line, and exit code 1."""

    @functools.wraps(command)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return command(*args, **kwargs)
        except StepkeepError as error:
            raise click.ClickException(str(error)) from error  # an operator may see where

    return run


def time_text(at: int | None) -> str | None:
    """Return a time, microseconds since 1970 UTC, to the second."""
    if at is None:
        return None
    return to_time(at).replace(tzinfo=datetime.UTC).isoformat(sep="T", timespec="seconds").replace("+00:00", "Z")


def table(head: tuple[str, ...], rows: Sequence[tuple[str | None, ...]]) -> None:
    """Print rows under their heads, each column as wide as it needs."""
    texts = [head, *[tuple(str(cell or "") for cell in row) for row in rows]]
    widths = [max(len(row[column]) for row in texts) for column in range(len(head))]
    for row in texts:
        click.echo("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


@contextmanager
def progress(label: str) -> Iterator[Callable[[int, int], None]]:
    """Give what shows how much is done, on the terminal."""
    with click.progressbar(length=1, label=label, file=sys.stderr) as bar:

        def show(done: int, total: int) -> None:
            bar.length = max(total, 1)
            bar.update(done - bar.pos)

        yield show


def note(
    action: audit.Action, *, survey_id: str | None = None, user_id: str | None = None, **detail: str | int
) -> None:
    """Note in the audit log what the operator does."""
    entry = audit.Entry(
        at=store().clock(), actor="operator", action=action, survey_id=survey_id, user_id=user_id, detail=detail
    )
    store().write(lambda connection: audit.record(connection, entry))


def check_offered(survey: str) -> None:
    """Return if there is such a survey, open or closed.

    Raises:
        InvalidInput: there is none; names those that there are, since an operator may know.
    """
    offered = store().catalogue.surveys
    if survey not in offered:
        raise InvalidInput(f"there is no survey {survey!r} in SURVEYS_DIR, which has {', '.join(offered) or 'none'}")


def store() -> SessionStore:
    """Return the application's."""
    found: SessionStore = flask.current_app.extensions["stepkeep"]
    return found


def credentials() -> Credentials:
    """Return the application's."""
    found: Credentials = flask.current_app.extensions["stepkeep_access"].credentials
    return found
