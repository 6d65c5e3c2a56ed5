"""Sessions that were set aside because they could not be read: their rows and events, as they are stored.

Who looked is noted in the audit log, under the participant's own id.
"""

import json
from collections.abc import Iterator
from itertools import islice
from typing import Any

import click

from ..errors import NotFound
from ..store import SET_ASIDE, audit, raw_rows
from ..survey import SessionKey
from .output import json_lines, note, store, table

PAGE = 500
EVENTS_A_PAGE = 50
SURVEYS = 1000

Row = dict[str, Any]


def print_sessions(user_id: str, survey: str | None, *, as_json: bool) -> None:
    """Print what the rows under this name hold, by column.

    Raises:
        NotFound: there is none.
        MissingKey: a value is sealed with a key that is not there.
    """
    for key in _keys(user_id, survey):
        _note("session_read", key)
        row = _read(key)
        if as_json:
            json_lines([row])
        else:
            table(("COLUMN", "STORED"), ((name, _text(value)) for name, value in row.items()))


def print_history(user_id: str, survey: str | None, after: int, limit: int, *, as_json: bool) -> None:
    """Print what the events under this name hold, oldest first.

    Raises:
        click.UsageError: there are several such sessions, and no survey is named.
        NotFound, MissingKey: as :func:`print_sessions`.
    """
    keys = _keys(user_id, survey)
    if len(keys) > 1:
        raise click.UsageError(
            f"{user_id!r} has sessions of {', '.join(key.survey_id for key in keys)}: name one, --survey"
        )
    _note("history_read", keys[0])
    events = _events(keys[0], after, limit)
    if as_json:
        json_lines(events)
    else:
        table(("VERSION", "AT (UTC)", "WHAT", "STEP", "ANSWER", "MORE"), map(_event_row, events))


def print_list(prefix: str | None, survey: str | None, limit: int | None, *, as_json: bool) -> None:
    """Print which there are, without what was answered in them; None: all of them."""
    note("sessions_listed", set_aside=1)
    found = _found(prefix or "", survey)
    shown = islice(found, limit)
    if as_json:
        json_lines(shown)
    else:
        names = ("user_id", "survey_id", "version", "updated_at")
        table(
            ("USER", "SURVEY", "VERSION", "CHANGED (UTC)"), (tuple(_text(row[name]) for name in names) for row in shown)
        )
    if limit is not None and next(found, None) is not None:
        click.echo(f"More follow after these {limit}: --limit or --all.", err=True)


def _keys(user_id: str, survey: str | None) -> list[SessionKey]:
    found = store().queries.keys_of_user(user_id, SURVEYS)
    keys = [key for key in found if survey in (None, key.survey_id)]
    if not keys:
        raise NotFound(f"there is no session {user_id!r}; `flask sessions list --set-aside` shows which there are")
    return keys


def _read(key: SessionKey) -> Row:
    row = store().run_read(lambda connection: raw_rows.read_session(connection, key, store().cipher))
    return row or {}  # erased a moment ago


def _events(key: SessionKey, after: int, limit: int) -> Iterator[Row]:
    while limit > 0:
        page = _page(key, after, min(limit, EVENTS_A_PAGE))
        yield from page
        limit -= len(page)
        if not page:
            return
        after = page[-1]["version"]


def _page(key: SessionKey, after: int, limit: int) -> list[Row]:
    return store().run_read(lambda connection: raw_rows.read_history(connection, key, after, limit, store().cipher))


def _found(prefix: str, survey: str | None) -> Iterator[Row]:
    after: SessionKey | None = None
    while page := _listed(after):
        yield from (row for row in page if row["user_id"].startswith(prefix) and survey in (None, row["survey_id"]))
        after = SessionKey(page[-1]["survey_id"], page[-1]["user_id"])


def _listed(after: SessionKey | None) -> list[Row]:
    return store().run_read(lambda connection: raw_rows.read_set_aside(connection, after, PAGE))


def _note(action: audit.Action, key: SessionKey) -> None:
    participant, _, when = key.user_id.partition(SET_ASIDE)
    note(action, survey_id=key.survey_id, user_id=participant, set_aside=when)


def _event_row(event: Row) -> tuple[str, ...]:
    return tuple(_text(event[name]) for name in ("version", "timestamp", "action", "step", "answer", "data"))


def _text(value: object) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
