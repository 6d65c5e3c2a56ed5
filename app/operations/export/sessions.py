"""Read sessions by page. An export is no snapshot: each session is as it is when its page is read."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from functools import partial
from heapq import merge
from itertools import groupby
from typing import Any

from ...core.progress import Progress
from ...core.timestamps import format_timestamp
from ...errors import UnreadableHere
from ...sessions import SessionStore
from ...store import SET_ASIDE, HistoryEntry, StoredSession, export_pages, keyset
from ...survey import Answered, Restarted, Saved, SessionKey, SessionState, Started, require_known
from ...survey.types import Cell
from .layout import Layout
from .request import ExportRequest

Session = tuple[SessionKey, SessionState]


@dataclass(slots=True, kw_only=True)
class Counts:
    """What an export contains and lacks."""

    sessions: int = 0
    set_aside: int = 0
    unreadable: int = 0
    events: int = 0  # unreadable ones of exported sessions
    shortened: int = 0  # values that were truncated or left out for the format

    def missing(self) -> Mapping[str, int]:
        return {name: count for name, count in asdict(self).items() if count and name != "sessions"}


class SessionReader:
    """Reads sessions once."""

    def __init__(self, store: SessionStore, request: ExportRequest, at: int, progress: Progress) -> None:
        self.request = request
        self.at = at
        self.counts = Counts()
        self._store = store
        self._progress = progress
        self._filter = export_pages.SessionFilter(
            survey_id=request.survey_id,
            at=at,
            status=request.status,
            since=request.since,
            until=request.until,
            updated_since=request.updated_since,
            is_audio_mode=None if request.mode is None else request.mode == "audio",
        )

    def pages(self) -> Iterator[list[Session]]:
        """Yield readable sessions, or raise UnreadableHere: left out, one would look erased."""
        store, done = self._store, 0
        after: SessionKey | None = None
        total = store.run_read(lambda connection: export_pages.count_matching(connection, self._filter))
        while True:
            page = store.run_read(
                partial(export_pages.read_sessions, session_filter=self._filter, after=after, cipher=store.cipher)
            )
            yield [session for stored in page.items if (session := self._readable(*stored)) is not None]
            done += len(page.items)
            self._progress(done, max(done, total))
            after = page.following
            if after is None:
                return

    def rows(self, layout: Layout, minimum: int = 1) -> Iterator[list[list[Cell]]]:
        rows: list[list[Cell]] = []
        for page in self.with_confirmed(layout):
            rows += (layout.row(key, state, self.at, confirmed) for (key, state), confirmed in page)
            if len(rows) >= minimum:
                yield rows
                rows = []
        if rows:
            yield rows

    def with_confirmed(self, layout: Layout) -> Iterator[list[tuple[Session, list[str]]]]:
        for page in self.pages():
            if layout.has_warnings:  # only events have it, and reading them takes long
                yield [(one, confirmed_steps(one[1], entries)) for one, entries in self._with_events(page)]
            else:
                yield [(one, []) for one in page]

    def with_events(self) -> Iterator[tuple[Session, Iterator[HistoryEntry]]]:
        """Yield sessions with events, oldest first; consume them before advancing."""
        for page in self.pages():
            yield from self._with_events(page)

    def _with_events(self, page: list[Session]) -> Iterator[tuple[Session, Iterator[HistoryEntry]]]:
        both: tuple[Iterable[Any], Iterable[Any]] = (page, self._events([key for key, _ in page]))
        for _, items in groupby(merge(*both, key=_user_id), _user_id):
            session = next(items)  # before its events
            yield session, self._entries(items, session[1].version)  # noqa: B031 - the events

    def _readable(self, key: SessionKey, stored: StoredSession) -> Session | None:
        if SET_ASIDE in key.user_id:
            self.counts.set_aside += 1
        elif isinstance(stored, SessionState):
            self.counts.sessions += 1
            return key, stored
        elif isinstance(stored, UnreadableHere):
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
            ):
                yield from page

    def _entries(self, events: Iterator[export_pages.Event], newest: int) -> Iterator[HistoryEntry]:
        for event in events:
            if event.version > newest:
                continue
            if isinstance(event.entry, HistoryEntry):
                if event.version > 0:  # 0: another program's entry
                    require_known(event.entry.record)
                yield event.entry
            else:
                self.counts.events += 1


def _user_id(item: Session | export_pages.Event) -> str:
    return item.user_id if isinstance(item, export_pages.Event) else item[0].user_id


def confirmed_steps(state: SessionState, entries: Iterable[HistoryEntry]) -> list[str]:
    confirmed: set[str | None] = set()
    for entry in entries:
        record = entry.record
        if record.action == Answered.action:
            (confirmed.add if record.data.get("confirmed") else confirmed.discard)(record.step)
        elif record.action in _NEW_ANSWERS:
            confirmed.clear()
    return [step for step in state.answers if step in confirmed]


_NEW_ANSWERS = frozenset({Started.action, Restarted.action, Saved.action})


def events_to_dicts(entries: Iterable[HistoryEntry], layout: Layout, *, drafts: bool) -> Iterator[dict[str, Any]]:
    started_at, previous_at, is_audio_mode = None, None, False
    revision, chosen, language = None, None, None
    for entry in entries:
        record, data = entry.record, entry.record.data
        at = record.at
        started_at = at if started_at is None else started_at
        is_audio_mode = bool(data.get("is_audio_mode", is_audio_mode))
        is_answer = record.action == Answered.action
        if not is_answer and ("survey_revision" in data or "language" in data):
            revision, chosen = data.get("survey_revision", revision), data.get("language", chosen)
            language = layout.language(revision, chosen)
        yield {
            "version": entry.version,
            "action": record.action,
            "step": record.step,
            "answer": record.answer if drafts or record.action != "drafted" else None,
            "timestamp": format_timestamp(at),
            "to": data.get("to"),
            "is_audio_mode": is_audio_mode,
            "since_previous_s": None if previous_at is None else (at - previous_at) / 1_000_000,
            "since_start_s": (at - started_at) / 1_000_000,
            **({"language": data.get("language", language)} if layout.has_languages else {}),
            **({"confirmed": "confirmed" in data if is_answer else None} if layout.has_warnings else {}),
            **({"ending": data.get("ending")} if layout.has_endings else {}),
            **({name: data.get(name) for name in ("parameters", "values")} if layout.known_names else {}),
        }
        previous_at = at
