"""The clone's application for WSGI servers (``gunicorn wsgi:app``) and for ``flask``, with the operator's commands."""

from app.serve.server import load_application

app = load_application()
