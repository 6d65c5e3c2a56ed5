"""The sessions of a survey, a page at a time, with or without their events; and what was left out is counted.

An export is not one snapshot: each session is given as it is when its page is read. One that is there all the while
is given once; one that begins or is erased meanwhile may be in it or not.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import groupby
from operator import attrgetter

from ...errors import MissingKey
from ...sessions.service import SessionStore
from ...store import export_pages as pages
from ...store.encryption import SET_ASIDE
from ...store.export_pages import Event, SessionFilter
from ...store.rows import HistoryEntry, StoredSession
from ...survey import SessionKey, SessionState
from .request import Asked

Progress = Callable[[int, int], None]
"""Told how many sessions were read, and of how many."""

Session = tuple[SessionKey, SessionState]


@dataclass(slots=True, kw_only=True)
class Counts:
    """What an export has, and what it lacks.

    Attributes:
        sessions: in it.
        set_aside: sessions that could not be read and were set aside for support: not in it.
        unreadable: sessions that can't be read: not in it.
        events: events that can't be read: not in it, though their session is.
        shortened: values that the format can't hold whole: a text that is cut, a number or date that is left out.
    """

    sessions: int = 0
    set_aside: int = 0
    unreadable: int = 0
    events: int = 0
    shortened: int = 0

    def lacking(self) -> Mapping[str, int]:
        """Return what it lacks, where that is not nothing."""
        found = {
            "set_aside": self.set_aside,
            "unreadable": self.unreadable,
            "events": self.events,
            "shortened": self.shortened,
        }
        return {name: count for name, count in found.items() if count}


class Walk:
    """One walk through the sessions that are asked for.

    Attributes:
        at: the time of the export, at which statuses are looked at.
        counts: of what was walked by now.
    """

    def __init__(self, store: SessionStore, asked: Asked, at: int, progress: Progress) -> None:
        self.at = at
        self.counts = Counts()
        self._store = store
        self._progress = progress
        self._chosen = SessionFilter(
            survey_id=asked.survey_id,
            at=at,
            status=asked.status,
            since=asked.since,
            until=asked.until,
            updated_since=asked.updated_since,
            is_audio_mode=None if asked.mode is None else asked.mode == "audio",
        )

    def pages(self) -> Iterator[list[Session]]:
        """Yield the sessions that can be read, in the order of their user ids; a page may hold none.

        Raises:
            MissingKey: one can't be read without a key that is not there: left out, it would seem erased.
            Unavailable: the database is away.
        """
        store, chosen, after, done = self._store, self._chosen, None, 0
        total = store.run_read(lambda connection: pages.count_matching(connection, chosen))
        while True:
            start: SessionKey | None = after
            page = store.run_read(lambda connection: pages.read_sessions(connection, chosen, start, store.cipher))  # noqa: B023 - called at once
            yield [session for stored in page.stored if (session := self._readable(*stored)) is not None]
            done += len(page.stored)
            self._progress(done, max(done, total))
            after = page.following
            if after is None:
                return

    def with_events(self) -> Iterator[tuple[Session, Iterator[HistoryEntry]]]:
        """Yield each session and its events, oldest first; those are to be taken before the next session is.

        Raises:
            MissingKey, Unavailable: as :meth:`pages`.
        """
        for page in self.pages():
            versions = {key.user_id: state.version for key, state in page}
            events = groupby(self._events([key for key, _ in page]), attrgetter("user_id"))
            user_id, found = next(events, ("", iter(())))
            for key, state in page:
                while user_id and user_id < key.user_id:  # pragma: no cover - each event has its session
                    user_id, found = next(events, ("", iter(())))
                mine = found if user_id == key.user_id else iter(())
                yield (key, state), self._entries(mine, versions[key.user_id])
                if user_id == key.user_id:
                    user_id, found = next(events, ("", iter(())))

    def _readable(self, key: SessionKey, stored: StoredSession) -> Session | None:
        if SET_ASIDE in key.user_id:
            self.counts.set_aside += 1
        elif isinstance(stored, SessionState):
            self.counts.sessions += 1
            return key, stored
        elif isinstance(stored, MissingKey):
            raise stored
        else:
            self.counts.unreadable += 1
        return None

    def _events(self, keys: list[SessionKey]) -> Iterator[Event]:
        store, after = self._store, None
        while keys:
            start: tuple[str, int] | None = after
            page = store.run_read(lambda connection: pages.read_events(connection, keys, start, store.cipher))  # noqa: B023 - called at once
            yield from page
            if len(page) < pages.EVENTS_A_PAGE:
                return
            after = (page[-1].user_id, page[-1].version)

    def _entries(self, events: Iterator[Event], newest: int) -> Iterator[HistoryEntry]:
        """Yield the events up to the version that the session has in the export."""
        for event in events:
            if event.version > newest:
                continue
            if isinstance(event.entry, HistoryEntry):
                yield event.entry
            else:
                self.counts.events += 1
