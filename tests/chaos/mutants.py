"""Mutants of the server, which the checker must find. Loaded only by ``served.py``."""

import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from sqlalchemy import create_engine, text

from app.sessions.command_stream import CommandStream
from app.settings import Settings
from app.store import rows
from app.store.drivers import TurnStatements, sqlite
from app.store.engine import normalise_url
from app.store.migrations import upgrade_schema
from app.survey.snapshot import SessionKey
from app.survey.state import SessionState
from app.writer import pending
from app.writer.batch import Committed
from app.writer.pending import Queued

COMMIT_DELAY_S = 0.3
SKIP_EVERY = 2


def early_acknowledgement(_settings: Settings) -> None:
    """Acknowledge immediately, and commit COMMIT_DELAY_S later in another thread."""
    commit = pending.PendingQueue._commit

    def commit_late(self: Any, heads: Any) -> int:
        time.sleep(COMMIT_DELAY_S)
        return commit(self, heads)

    def acknowledge(self: CommandStream, key: SessionKey, command: Any, _subscriber: Any, callback: Any) -> None:
        result = self._pending.accept(key, command, lambda: self._latest(key), lambda _: None)
        if isinstance(result, Queued):
            version = result.snapshot.state.version
            result = Committed(snapshot=result.snapshot, version=version, duplicate=False, event=None)
        self._call_soon(callback, result)

    pending.PendingQueue._commit = commit_late  # type: ignore[method-assign]
    CommandStream.submit = acknowledge  # type: ignore[method-assign]


def no_message_ids(settings: Settings) -> None:
    """Neither look message ids up nor enforce that they are unique."""
    url = normalise_url(settings.database_url)
    upgrade_schema(url)
    engine = create_engine(url, module=sqlite.driver())
    with engine.begin() as connection:
        connection.execute(text("DROP INDEX IF EXISTS uq_session_history_message_id_user_id_survey_id"))
    engine.dispose()
    begin = sqlite.SqliteTurnStatements.begin

    def begin_without_lookup(self: Any, keys: Any, messages: Any) -> Any:
        states, _ = begin(self, keys, messages)
        return states, []

    sqlite.SqliteTurnStatements.begin = begin_without_lookup  # type: ignore[method-assign]


def skipped_event(_settings: Settings) -> None:
    """Write every SKIP_EVERYth row with the state before its last event, under the new version."""
    changed_row = rows.changed_row
    before: dict[SessionKey, SessionState] = {}
    count = 0

    def stale_row(key: SessionKey, session: rows.WrittenSession, expires_at: Any, form: Any) -> Any:
        nonlocal count
        count += 1
        previous = before.get(key)
        before[key] = session.state
        if previous is not None and count % SKIP_EVERY == 0:
            session = session._replace(state=replace(previous, version=session.state.version))
        return changed_row(key, session, expires_at, form)

    rows.changed_row = stale_row


def no_revocation_check(_settings: Settings) -> None:
    """Begin sessions with tokens from before an erasure that this process does not know of yet."""
    TurnStatements._require_granted = lambda *_: None  # type: ignore[method-assign]


def unchecked_file(_settings: Settings) -> None:
    """Commit into a file that has another name."""
    sqlite.FileConnection._check = lambda _: None  # type: ignore[method-assign]


MUTANTS: Mapping[str, Callable[[Settings], None]] = {
    "early acknowledgement": early_acknowledgement,
    "no message ids": no_message_ids,
    "skipped event": skipped_event,
    "no revocation check": no_revocation_check,
    "unchecked file": unchecked_file,
}


def apply(name: str, settings: Settings) -> None:
    """Turn this process into the named mutant; an empty name is none."""
    if name:
        MUTANTS[name](settings)
