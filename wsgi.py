"""The application for WSGI servers (``gunicorn wsgi:app``) and for ``flask``, which adds the operator's commands."""

import os
import sys

from app.cli import exit_code, register
from app.errors import ConfigurationError
from app.web import create_app

try:
    app = create_app()
except ConfigurationError as error:
    print(f"stepkeep: {error.message}", file=sys.stderr)  # noqa: T201 - the log is not configured yet
    # Only for commands: exit codes 3 and 4 of a worker have a meaning for gunicorn, which would stop.
    sys.exit(exit_code(error) if os.environ.get("FLASK_RUN_FROM_CLI") == "true" else 1)
register(app)
