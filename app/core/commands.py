"""Command-line commands, their errors and exit codes."""

import sys
from io import TextIOWrapper
from typing import Any

import click

from ..errors import DatabaseUnavailable, DatabaseUnreachable, NotFound, Overloaded, StepkeepError
from .installation import COMMAND, UPGRADE

NOT_FOUND = 3
UNAVAILABLE = 4
"""Exit codes besides click's, 0 to 2."""


class Command(click.Command):
    """Prints a StepkeepError as one line, and exits with its code."""

    def __init__(self, name: str | None, *, help: str | None = None, **options: Any) -> None:  # noqa: A002, ANN401 - click's
        if help is not None:  # name the commands of this installation
            help = help.replace("%(prog)s", COMMAND).replace("%(upgrade)s", UPGRADE)  # noqa: A001 - as above
        super().__init__(name, help=help, **options)

    def invoke(self, ctx: click.Context) -> Any:  # noqa: ANN401 - click's return type
        for stream in (sys.stdout, sys.stderr):
            if isinstance(stream, TextIOWrapper):  # of a latin-1 terminal: participants' texts have any character
                stream.reconfigure(errors="backslashreplace")
        try:
            return super().invoke(ctx)
        except StepkeepError as error:
            click.ClickException(self.describe(error)).show()
            raise click.exceptions.Exit(exit_code(error)) from error

    def describe(self, error: StepkeepError) -> str:
        return str(error)


def exit_code(error: StepkeepError) -> int:
    if isinstance(error, NotFound):
        return NOT_FOUND
    return UNAVAILABLE if isinstance(error, DatabaseUnavailable | DatabaseUnreachable | Overloaded) else 1
