"""Print set-aside sessions; the audit log records it under the participant's user id."""

import json
from itertools import islice
from typing import Any

import click

from ..errors import NotFound
from ..operations.integrity import list_set_aside, read_stored_history, read_stored_session, split_set_aside_id
from ..sessions import Action
from ..survey import SessionKey
from .output import audit, print_jsonl, print_table, store
from .sessions import MAX_SESSIONS, only_key


def print_sessions(user_id: str, survey: str | None, *, as_json: bool) -> None:
    """Print the rows with this user id.

    Raises:
        NotFound: there is none.
        MissingKey: a value can't be decrypted.
    """
    for key in _keys(user_id, survey):
        _audit("session_read", key)
        row = read_stored_session(store(), key) or {}  # erased meanwhile
        if as_json:
            print_jsonl([row])
        else:
            print_table(("COLUMN", "VALUE"), ((name, _text(value)) for name, value in row.items()))


def print_history(user_id: str, survey: str | None, after: int, limit: int, *, as_json: bool) -> None:
    """Print the events of the session with this user id, oldest first.

    Raises:
        click.UsageError: several sessions, and no survey is given.
        NotFound, MissingKey: as :func:`print_sessions`.
    """
    key = only_key(user_id, _keys(user_id, survey))
    _audit("history_read", key)
    events = islice(read_stored_history(store(), key, after), limit)
    if as_json:
        print_jsonl(events)
    else:
        print_table(("VERSION", "TIMESTAMP (UTC)", "ACTION", "STEP", "ANSWER", "DATA"), map(_event_row, events))


def print_list(prefix: str | None, survey: str | None, limit: int | None, *, as_json: bool) -> None:
    """Print the set-aside sessions without their answers."""
    audit("sessions_listed", set_aside=1)
    matching = (
        row
        for row in list_set_aside(store())
        if row["user_id"].startswith(prefix or "") and survey in (None, row["survey_id"])
    )
    listed = islice(matching, limit)
    if as_json:
        print_jsonl(listed)
    else:
        names = ("user_id", "survey_id", "version", "updated_at")
        rows = (tuple(_text(row[name]) for name in names) for row in listed)
        print_table(("USER", "SURVEY", "VERSION", "CHANGED (UTC)"), rows)
    if limit is not None and next(matching, None) is not None:
        click.echo(f"There are more than {limit} sessions: use --limit or --all.", err=True)


def _keys(user_id: str, survey: str | None) -> list[SessionKey]:
    keys = [key for key in store().queries.keys_of_user(user_id, MAX_SESSIONS) if survey in (None, key.survey_id)]
    if not keys:
        raise NotFound(f"there is no session {user_id!r}; `flask sessions list --set-aside` lists them")
    return keys


def _audit(action: Action, key: SessionKey) -> None:
    user_id, set_aside_at = split_set_aside_id(key.user_id)
    audit(action, survey_id=key.survey_id, user_id=user_id, set_aside=set_aside_at)


def _event_row(event: dict[str, Any]) -> tuple[str, ...]:
    return tuple(_text(event[name]) for name in ("version", "timestamp", "action", "step", "answer", "data"))


def _text(value: object) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
