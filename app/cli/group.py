"""Groups of commands, and types of options."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import click
import flask
from flask.cli import AppGroup

from ..access import Credentials
from ..core.commands import Command
from ..core.timestamps import parse_timestamp
from ..errors import DatabaseNotWritable, InvalidInput, NoSuchSurvey, StepkeepError
from ..sessions import Action, SessionStore
from ..survey import Survey

MAX_DAYS = 3650.0


class Days(click.FloatRange):
    """Days, at most ten years."""

    name = "days"

    def __init__(self) -> None:
        super().__init__(min=0, min_open=True, max=MAX_DAYS)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:  # noqa: ANN401 - click's signature
        days: float = super().convert(value, param, ctx)
        if math.isnan(days):  # within any range for click
            self.fail(f"{value!r} is not a number of days.", param, ctx)
        return days


class Time(click.ParamType[int]):
    """A time in UTC or with an offset, or a day (its end with ``ends_day``); in microseconds since 1970 UTC."""

    name = "time"

    def __init__(self, *, ends_day: bool = False) -> None:
        self._ends_day = ends_day

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:  # noqa: ANN401 - click's signature
        try:
            return parse_timestamp(value, "It", ends_day=self._ends_day)
        except InvalidInput as error:
            self.fail(str(error), param, ctx)


class _Command(Command):
    """Names all surveys in errors, also closed ones."""

    def describe(self, error: StepkeepError) -> str:
        if isinstance(error, NoSuchSurvey):
            offered = ", ".join(store().catalogue.surveys) or "none"
            return f"there is no survey {error.survey_id!r} in STEPKEEP_SURVEYS_DIR, which has {offered}"
        return super().describe(error)


class CommandGroup(AppGroup):
    """Its commands run in the application's context, and report errors."""

    command_class = _Command

    def add_group(self, name: str, description: str) -> "CommandGroup":
        group = CommandGroup(name, help=description)
        self.add_command(group)
        return group


commands = CommandGroup("stepkeep")  # each module adds its own


def register(app: flask.Flask) -> None:
    """Add the commands to an application."""
    for command in commands.commands.values():
        app.cli.add_command(command)


@contextmanager
def usage_errors() -> Iterator[None]:
    try:
        yield
    except InvalidInput as error:
        raise click.UsageError(str(error)) from error


def audit(action: Action, *, survey_id: str | None = None, user_id: str | None = None, **detail: str | int) -> None:
    """Record an action, or warn that the database accepts no writes: an operator can read it anyway."""
    try:
        store().audit_log.record("operator", action, survey_id=survey_id, user_id=user_id, detail=detail)
    except DatabaseNotWritable as error:
        click.echo(f"Warning: this is not in the audit log. {error}", err=True)


def require_survey(survey: str) -> Survey:
    surveys = store().catalogue.surveys
    if survey not in surveys:
        raise NoSuchSurvey(survey, tuple(surveys))
    return surveys[survey]


def require_known_survey(user_id: str, survey: str | None) -> None:
    """Raise NoSuchSurvey if it is neither offered nor has a session of the participant."""
    if survey is not None and store().queries.load(store().queries.stored_key(user_id, survey)) is None:
        require_survey(survey)


def store() -> SessionStore:
    store: SessionStore = flask.current_app.extensions["stepkeep"].store
    return store


def credentials() -> Credentials:
    credentials: Credentials = flask.current_app.extensions["stepkeep"].authenticator.credentials
    return credentials
