"""What a WSGI server loads, ``gunicorn wsgi:app``; and ``flask``, which has the operator's commands here."""

import sys

from app.cli import register
from app.errors import ConfigurationError
from app.web.factory import create_app

try:
    app = create_app()
except ConfigurationError as error:
    sys.exit(f"stepkeep: {error.message}")
register(app)
