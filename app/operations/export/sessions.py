"""Read the sessions of a survey by page, and count what is left out.

An export is not one snapshot: a session is exported as it is when its page is read, once if it exists throughout; one
created or erased meanwhile may be missing.
"""

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from functools import partial
from itertools import groupby
from operator import attrgetter

from ...catalogue import Catalogue
from ...errors import MissingKey, NoSuchSurvey, SurveyFileError
from ...sessions import SessionStore
from ...store import SET_ASIDE, HistoryEntry, SessionFilter, StoredSession, definitions, export_pages, keyset
from ...survey import SessionKey, SessionState, Survey, parse_definition
from .columns import Definitions
from .request import ExportRequest

log = logging.getLogger("stepkeep.export")

Progress = Callable[[int, int], None]
"""Called with sessions read, and their total."""

Session = tuple[SessionKey, SessionState]


@dataclass(slots=True, kw_only=True)
class Counts:
    """What an export contains, and what it lacks.

    Attributes:
        set_aside, unreadable: sessions left out.
        events: unreadable ones of exported sessions.
        shortened: values truncated or left out for the format.
    """

    sessions: int = 0
    set_aside: int = 0
    unreadable: int = 0
    events: int = 0
    shortened: int = 0

    def missing(self) -> Mapping[str, int]:
        return {name: count for name, count in asdict(self).items() if count and name != "sessions"}


class SessionReader:
    """Reads sessions once; ``at`` is the export's time."""

    def __init__(self, store: SessionStore, request: ExportRequest, at: int, progress: Progress) -> None:
        self.at = at
        self.counts = Counts()
        self._store = store
        self._progress = progress
        self._filter = SessionFilter(
            survey_id=request.survey_id,
            at=at,
            status=request.status,
            since=request.since,
            until=request.until,
            updated_since=request.updated_since,
            is_audio_mode=None if request.mode is None else request.mode == "audio",
        )

    def pages(self) -> Iterator[list[Session]]:
        """Yield readable sessions by user id; a page may be empty.

        Raises:
            MissingKey: a session can't be decrypted; left out, it would look erased.
            Unavailable: the database failed.
        """
        store, done = self._store, 0
        after: SessionKey | None = None
        total = store.run_read(lambda connection: export_pages.count_matching(connection, self._filter))
        while True:
            page = store.run_read(
                partial(export_pages.read_sessions, session_filter=self._filter, after=after, cipher=store.cipher)
            )
            yield [session for stored in page.stored if (session := self._readable(*stored)) is not None]
            done += len(page.stored)
            self._progress(done, max(done, total))
            after = page.following
            if after is None:
                return

    def with_events(self) -> Iterator[tuple[Session, Iterator[HistoryEntry]]]:
        """Yield sessions with events, oldest first; consume them before advancing."""
        for page in self.pages():
            versions = {key.user_id: state.version for key, state in page}
            groups = groupby(self._events([key for key, _ in page]), attrgetter("user_id"))
            user_id, events = next(groups, ("", iter(())))
            for key, state in page:
                while user_id and user_id < key.user_id:  # pragma: no cover - each event has its session
                    user_id, events = next(groups, ("", iter(())))
                own = events if user_id == key.user_id else iter(())
                yield (key, state), self._entries(own, versions[key.user_id])
                if user_id == key.user_id:
                    user_id, events = next(groups, ("", iter(())))

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

    def _events(self, keys: list[SessionKey]) -> Iterator[export_pages.Event]:
        store = self._store
        start: tuple[str, int] | None = None
        if keys:
            for page in keyset.pages(
                store.run_read,
                lambda connection, after: export_pages.read_events(connection, keys, after, store.cipher),
                start,
                lambda event: (event.user_id, event.version),
                export_pages.EVENTS_A_PAGE,
            ):
                yield from page

    def _entries(self, events: Iterator[export_pages.Event], newest: int) -> Iterator[HistoryEntry]:
        for event in events:
            if event.version > newest:
                continue
            if isinstance(event.entry, HistoryEntry):
                yield event.entry
            else:
                self.counts.events += 1


@dataclass(frozen=True, slots=True, kw_only=True)
class TimedEntry:
    """An event with its timings.

    Attributes:
        is_audio_mode: after the event.
        since_previous_s: None for the first event.
    """

    entry: HistoryEntry
    is_audio_mode: bool
    since_previous_s: float | None
    since_start_s: float


def timed(entries: Iterable[HistoryEntry]) -> Iterator[TimedEntry]:
    """Add timings to all events of a session, oldest first."""
    started_at, previous_at, is_audio_mode = None, None, False
    for entry in entries:
        at = entry.record.at
        started_at = at if started_at is None else started_at
        is_audio_mode = bool(entry.record.data.get("is_audio_mode", is_audio_mode))
        yield TimedEntry(
            entry=entry,
            is_audio_mode=is_audio_mode,
            since_previous_s=None if previous_at is None else (at - previous_at) / 1_000_000,
            since_start_s=(at - started_at) / 1_000_000,
        )
        previous_at = at


def read_definitions(store: SessionStore, survey_id: str) -> Definitions:
    """Return the revisions of a survey, even if it is no longer offered.

    Raises:
        NoSuchSurvey: it has never existed.
        Unavailable: the database failed.
    """
    rows = store.run_read(lambda connection: definitions.read_definitions(connection, survey_id))
    surveys = [survey for row in rows if (survey := _parse(store.catalogue, survey_id, *row)) is not None]
    newest = store.catalogue.surveys.get(survey_id) or (surveys[-1] if surveys else None)
    if newest is None:
        raise NoSuchSurvey(survey_id, store.catalogue.public_ids)
    if all(survey.revision != newest.revision for survey in surveys):  # pragma: no cover - a start stores it
        surveys.append(newest)
    return Definitions(newest=newest, by_age=tuple(surveys))


def _parse(catalogue: Catalogue, survey_id: str, revision: str, definition: str) -> Survey | None:
    try:
        return catalogue.with_defaults(parse_definition(definition, f"{survey_id}@{revision}"))
    except SurveyFileError as error:
        log.warning("ignoring a stored survey revision that can't be parsed: %s", error)
        return None
