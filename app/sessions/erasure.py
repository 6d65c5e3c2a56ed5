"""Sessions that go: erased for good, or set aside because they can't be read. Safe from any thread.

This is a part of :class:`~app.sessions.service.SessionStore`. What is erased, and what stays, is defined in
``store/erasures.py``; the list outside of the database in ``store/erasure_list.py``.
"""

import logging
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import TypeVar

from sqlalchemy import URL, Connection

from ..catalogue import Catalogue
from ..errors import AnswersLocked, DatabaseUnavailable, SessionUnreadable, Unavailable
from ..settings import Settings
from ..store import history
from ..store.drivers.sqlite import empty_wal
from ..store.erasure_journal import Erased, list_for
from ..store.erasures import Erasure, Whom
from ..survey.snapshot import SessionKey
from ..survey.state import SessionState
from . import erasure_replay
from .queries import SessionReader
from .subscribers import Listeners

log = logging.getLogger("stepkeep.service")

T = TypeVar("T")

LISTED = "; but it is on the list of erasures: the next start may still carry it out, where nothing changes until then"
"""What is said of an erasure that failed behind its line."""


class RemovingStore(SessionReader, ABC):
    """Reads sessions, and takes them away.

    Args:
        settings, catalogue, url, clock: as for :class:`~app.sessions.queries.SessionReader`.
    """

    def __init__(self, settings: Settings, catalogue: Catalogue, url: URL, clock: Callable[[], int]) -> None:
        super().__init__(settings, catalogue, url, clock)
        self._listeners = Listeners()
        self._erasure_list = list_for(settings.erasures_file, url)

    @abstractmethod
    def write(self, work: Callable[[Connection], T]) -> T:
        """Return what ``work`` returns, done and committed in a transaction of its own among the writer's.

        Raises:
            Unavailable: it was not committed, or that is not known.
        """

    def delete(self, key: SessionKey, *, actor: str | None = None) -> bool:
        """Erase the participant's session of the survey, with all that ``store/erasures.py`` names.

        Args:
            actor: who asks for it, for the audit log, where the erased has no name; None leaves it to the caller.

        Returns:
            Whether there was one, be it one that was set aside. His tokens are revoked in any case.

        Raises:
            Unavailable: it was not done, or that is not known; asking again is safe.
        """
        keys = self._erase(Whom(key.user_id, key.survey_id, (key.survey_id,)), actor)
        self.tell_erased({key, *keys})
        if keys:
            self.leave_no_trace()
        return bool(keys)

    def forget(self, user_id: str, survey_id: str | None = None, *, actor: str | None = None) -> int:
        """Erase a participant as :meth:`delete`, in one survey or, for None, in all; return how many sessions went.

        Raises:
            InvalidUserId, InvalidInput: as :meth:`key`.
            Unavailable: as :meth:`delete`.
        """
        participant = self.key(user_id, survey_id).user_id
        invited = tuple(self.catalogue.surveys) if survey_id is None else (survey_id,)
        keys = self._erase(Whom(participant, survey_id, invited), actor)
        self._follow(keys)
        return len(keys)

    def erase_again(self, lines: Iterable[Erased], *, actor: str = erasure_replay.BY_ITSELF) -> int:
        """Erase the sessions of these participants that began before these erasures; return how many there were.

        Both lists of erasures, the database's and the one outside of it, have these afterwards.

        Args:
            actor: who asks for it, for the audit log.
        """
        keys = erasure_replay.apply_lines(self, list(lines), actor=actor).erased
        self._follow(keys)
        self._bring_together()
        return len(keys)

    def listed_erasures(self) -> list[Erased]:
        """Return what the list of erasures outside of the database has; nothing where none is kept.

        Raises:
            ErasureNotListed: it can't be read.
        """
        return [] if self._erasure_list is None else list(self._erasure_list.read())

    def tell_erased(self, keys: Iterable[SessionKey]) -> None:
        """Let the connections of sessions that were erased know it."""
        for key in keys:
            self._listeners.erase(key)

    def leave_no_trace(self) -> None:
        """Let nothing that was erased lie in SQLite's log, as far as nobody reads it now; else it goes later."""
        if self._reading.dialect.name == "sqlite":
            with suppress(Unavailable):
                self.write(empty_wal)

    def _bring_together(self) -> None:
        """Let both lists of erasures agree; what only the one outside has is erased again."""
        if self._erasure_list is not None:
            self._follow(erasure_replay.bring_together(self, self._erasure_list))

    def _follow(self, keys: Iterable[SessionKey]) -> None:
        if keys:
            self.tell_erased(keys)
            self.leave_no_trace()

    def _erase(self, whom: Whom, actor: str | None) -> list[SessionKey]:
        erasure = Erasure(whom, clock=self.clock, actor=actor, listed=self._erasure_list)
        try:
            return self.write(erasure)
        except DatabaseUnavailable as error:
            if not erasure.is_listed:
                raise
            raise DatabaseUnavailable(f"{error.problem}{LISTED}") from error

    def _set_aside(self, key: SessionKey, error: SessionUnreadable) -> None:
        at = self.clock()
        with suppress(SessionUnreadable):
            self.load(key)  # which loads its revision too, before its row is locked

        def move(connection: Connection) -> str | None:
            # Asked again, locked: another connection may have set it aside and begun anew meanwhile.
            found = history.read_states(connection, [key], sealing=self.sealing, locked=True).get(key)
            if isinstance(found, AnswersLocked):
                raise found
            if isinstance(found, SessionState):
                if self._revisions.known(key.survey_id, found.survey_revision) is not None:
                    return None
            elif found is None:
                return None
            return history.set_aside(connection, key, at)

        name = self.write(move)
        if name is not None:
            self._listeners.erase(key)
            log.error("%s; it was set aside as %s and a new session begins", error, name)
