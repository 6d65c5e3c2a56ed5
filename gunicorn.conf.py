"""The clone's configuration of gunicorn, which is the package's (app/serve/gunicorn_config.py)."""

from app.serve.gunicorn_config import *  # noqa: F403 - gunicorn reads its settings among this file's names
