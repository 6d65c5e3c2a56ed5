"""The server made wrong on purpose, in the three ways that the checker must find. Loaded by ``served.py`` only."""

import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from sqlalchemy import create_engine, text

from app.sessions.turns import SessionTurns
from app.settings import Settings
from app.store import rows
from app.store.drivers import sqlite
from app.store.engine import normalise_url
from app.store.migrations import upgrade_schema
from app.survey.snapshot import SessionKey
from app.survey.state import SessionState
from app.writer import pending
from app.writer.batch import Committed
from app.writer.pending import Queued

LATE_S = 0.3
SKIPPED_EVERY = 5


def early_acknowledgement(_settings: Settings) -> None:
    """Acknowledge at once, commit LATE_S later in another thread."""
    commit = pending.PendingQueue._commit

    def commit_late(self: Any, heads: Any) -> int:
        time.sleep(LATE_S)
        return commit(self, heads)

    def acknowledge(self: SessionTurns, key: SessionKey, command: Any, _listener: Any, _verdict: Any) -> Any:
        result = self.pending.accept(key, command, lambda: self._latest(key), lambda _: None)
        if not isinstance(result, Queued):
            return result
        return Committed(
            version=result.state.version, duplicate=False, state=result.state, survey=result.survey, event=None
        )

    pending.PendingQueue._commit = commit_late  # type: ignore[method-assign]
    SessionTurns.submit_or_queue = acknowledge  # type: ignore[assignment,method-assign]


def no_message_ids(settings: Settings) -> None:
    """Don't look message ids up, and let each be in history as often as it comes."""
    url = normalise_url(settings.database_url)
    upgrade_schema(url)
    engine = create_engine(url, module=sqlite.driver())
    with engine.begin() as connection:
        connection.execute(text("DROP INDEX IF EXISTS uq_session_history_message_id_user_id_survey_id"))
    engine.dispose()
    begin = sqlite.SqliteTurnStatements.begin

    def begin_blind(self: Any, keys: Any, messages: Any) -> Any:
        states, _ = begin(self, keys, messages)
        return states, []

    sqlite.SqliteTurnStatements.begin = begin_blind  # type: ignore[method-assign]


def skipped_fold(_settings: Settings) -> None:
    """Write, now and then, the session's row as it was before the last event, under the new version."""
    changed_row = rows.changed_row
    before: dict[SessionKey, SessionState] = {}
    counted = 0

    def stale_row(key: SessionKey, state: SessionState, expires_at: Any, to_time: Any) -> Any:
        nonlocal counted
        counted += 1
        old = before.get(key)
        before[key] = state
        if old is not None and counted % SKIPPED_EVERY == 0:
            state = replace(old, version=state.version)
        return changed_row(key, state, expires_at, to_time)

    rows.changed_row = stale_row


MUTANTS: Mapping[str, Callable[[Settings], None]] = {
    "early acknowledgement": early_acknowledgement,
    "no message ids": no_message_ids,
    "skipped fold": skipped_fold,
}


def apply(name: str, settings: Settings) -> None:
    """Make this process the mutant of that name; none for an empty one."""
    if name:
        MUTANTS[name](settings)
