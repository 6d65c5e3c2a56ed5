"""The operator's commands, ``flask ...``: each says what it does, asks the service or an operation, and prints.

``--json`` prints for programs. A command that fails ends with exit code 1 and one line that says why; one that is
called the wrong way with 2.
"""

import flask

from app.cli import access, privacy
from app.cli.sessions import sessions


def register(app: flask.Flask) -> None:
    """Give the application its commands."""
    for command in (
        access.api_keys,
        access.invitations,
        access.show_audit,
        privacy.keys,
        sessions,
        privacy.erasures,
    ):
        app.cli.add_command(command)
