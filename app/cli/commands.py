"""The command groups."""

import flask

from . import (  # noqa: F401 - the modules of sessions add their commands to the group
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
    """Add the commands to an application."""
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
