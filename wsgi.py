"""What a WSGI server loads, ``gunicorn wsgi:app``; and ``flask``, which has the operator's commands here."""

import os
import sys

from app.cli import register
from app.cli.output import exit_code_of
from app.errors import ConfigurationError
from app.web.factory import create_app

try:
    app = create_app()
except ConfigurationError as error:
    print(f"stepkeep: {error.message}", file=sys.stderr)  # noqa: T201 - there is no log yet
    # Of a command alone: gunicorn takes 3 and 4 of a worker for signs of its own, and ends.
    sys.exit(exit_code_of(error) if os.environ.get("FLASK_RUN_FROM_CLI") == "true" else 1)
register(app)
