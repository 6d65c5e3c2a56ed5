"""The group ``flask sessions``, and the selection of sessions by user id."""

import click
from flask.cli import AppGroup

from ..errors import NotFound
from ..survey import SessionKey
from .output import store

MAX_SESSIONS = 1000

sessions = AppGroup("sessions", help="Sessions of participants.")


def session_keys(user_id: str, survey: str | None) -> list[SessionKey]:
    """Return the keys of a participant's sessions, or of one session, which need not exist.

    Raises:
        NotFound: the participant has no session.
        InvalidInput: an id is invalid.
    """
    key = store().queries.key(user_id, survey)
    if survey is not None:
        return [key]
    keys = store().queries.keys_of_user(key.user_id, MAX_SESSIONS)
    if not keys:
        raise NotFound(f"{user_id!r} has no session; `flask sessions list --user` finds ids by their beginning")
    return keys


def only_key(user_id: str, keys: list[SessionKey]) -> SessionKey:
    """Return the only key, or raise a usage error that asks for --survey."""
    if len(keys) > 1:
        surveys = ", ".join(key.survey_id for key in keys)
        raise click.UsageError(f"{user_id!r} has sessions of {surveys}: choose one with --survey")
    return keys[0]
