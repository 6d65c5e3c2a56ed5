"""What a WSGI server loads: ``gunicorn wsgi:app``, ``flask --app wsgi``."""

import sys

from app.errors import ConfigurationError
from app.web.factory import create_app

try:
    app = create_app()
except ConfigurationError as error:
    sys.exit(f"stepkeep: {error.message}")
