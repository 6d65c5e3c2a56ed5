"""Erases sessions, or sets unreadable ones aside."""

import logging
from collections.abc import Collection, Iterable
from contextlib import suppress

from sqlalchemy import Connection

from ..errors import DatabaseUnavailable, SessionUnreadable, Unavailable, UnreadableHere
from ..store import ErasureJournal, ErasureRecord, erasures, history, keyset, sessions
from ..store.drivers import sqlite
from ..survey import SessionKey, SessionState
from . import erasure_replay
from .queries import SessionQueries
from .subscribers import Subscribers

log = logging.getLogger("stepkeep.service")

IN_JOURNAL = "; but it is in the erasure journal: unless the session changes, the next start may still carry it out"


class SessionEraser:
    """Safe from any thread."""

    def __init__(
        self, queries: SessionQueries, transaction: keyset.Run, subscribers: Subscribers, journal: ErasureJournal | None
    ) -> None:
        self._queries = queries
        self._transaction = transaction
        self._subscribers = subscribers
        self.journal = journal
        self._database = erasure_replay.Database(queries.clock, queries.run, transaction)

    def delete(self, key: SessionKey, *, actor: str | None = None) -> bool:
        """Erase a session, also one set aside, and its tokens. Without an actor, the caller adds the audit log entry.

        Raises:
            Unavailable: not done, or the outcome is unknown; repeating it is safe.
        """
        keys = self._erase(key.user_id, key.survey_id, actor)
        self._subscribers.drop({key, *keys})
        if keys:
            self.truncate_wal()
        return bool(keys)

    def erase_participant(self, user_id: str, survey_id: str | None = None, *, actor: str | None = None) -> int:
        participant = self._queries.stored_key(user_id, survey_id).user_id
        keys = self._erase(participant, survey_id, actor)
        self._clean_up(keys)
        return len(keys)

    def replay(self, records: Iterable[ErasureRecord], *, actor: str = erasure_replay.AUTOMATIC_ACTOR) -> int:
        keys = erasure_replay.replay(self._database, list(records), actor=actor).erased
        self._clean_up(keys)
        self.reconcile()
        return len(keys)

    def reconcile(self) -> None:
        if self.journal is not None:
            self._clean_up(erasure_replay.reconcile(self._database, self.journal))

    def truncate_wal(self) -> None:
        """Remove erased rows from SQLite's WAL, now or at a later checkpoint."""
        if self._queries.engine.dialect.name == "sqlite":
            with suppress(Unavailable):
                self._transaction(sqlite.truncate_wal)

    def set_aside(self, key: SessionKey, error: SessionUnreadable) -> None:
        """Rename a session, unless it is readable now."""
        at, revisions = self._queries.clock(), self._queries.revisions
        with suppress(SessionUnreadable):
            self._queries.load(key)  # loads its revision too, before its row is locked

        def move(connection: Connection) -> str | None:
            # Again, locked: another connection may have begun a new one meanwhile.
            states = sessions.read_states(connection, [key], cipher=self._queries.cipher, locked=True)
            state = states.get(key)
            if isinstance(state, UnreadableHere):
                raise state
            is_readable = isinstance(state, SessionState) and revisions.cached(key.survey_id, state.survey_revision)
            return None if state is None or is_readable else history.set_aside(connection, key, at)

        name = self._transaction(move)
        if name is not None:
            self._subscribers.drop([key])
            log.error("%s Set aside as %s; a new session begins.", error, name)

    def _clean_up(self, keys: Collection[SessionKey]) -> None:
        if keys:
            self._subscribers.drop(keys)
            self.truncate_wal()

    def _erase(self, user_id: str, survey_id: str | None, actor: str | None) -> list[SessionKey]:
        erasure = erasures.Erasure(
            user_id=user_id,
            survey_id=survey_id,
            invited=tuple(self._queries.catalogue.surveys) if survey_id is None else (survey_id,),
            clock=self._queries.clock,
            actor=actor,
            journal=self.journal,
        )
        try:
            return self._transaction(erasure)
        except DatabaseUnavailable as error:
            if not erasure.is_listed:
                raise
            raise DatabaseUnavailable(f"{error.problem}{IN_JOURNAL}") from error
