"""Registration of the commands."""

import flask

from . import (  # noqa: F401 - each adds its commands
    access,
    backup,
    demo,
    expiry,
    export,
    privacy,
    report,
    sessions,
    sessions_check,
    webhooks,
)
from .output import commands


def register(app: flask.Flask) -> None:
    """Add the commands to an application."""
    for command in commands.commands.values():
        app.cli.add_command(command)
