"""The operator's commands, ``flask ...``: each says what it does, asks the service or an operation, and prints.

``--json`` prints for programs, where there are many things one JSON object a line. A command that fails says why in
one line. Exit codes: 0 it is done; 1 it was refused, or something differs; 2 it was called the wrong way; 3 there is no
such thing; 4 the database is not available, so that the same may work later.
"""

import flask

from . import (  # noqa: F401 - those of sessions add their commands to the group
    access,
    backup,
    demo,
    expiry,
    export,
    privacy,
    report,
    sessions_check,
    sessions_list,
    sessions_show,
    webhooks,
)
from .sessions import sessions


def register(app: flask.Flask) -> None:
    """Give the application its commands."""
    for command in (
        access.api_keys,
        access.invitations,
        access.show_audit,
        privacy.keys,
        sessions,
        privacy.erasures,
        demo.demo,
        webhooks.webhooks,
        backup.backup,
        export.export_survey,
        export.show_codebook,
        report.report,
    ):
        app.cli.add_command(command)
