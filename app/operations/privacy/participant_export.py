"""What is known of a participant, as one JSON document; and the list of erasures, out and in.

The document (``format`` is ``stepkeep-participant-1``; a later form gets another name)::

    {"format", "user_id", "exported_at",
     "sessions": [{"survey_id", "survey_title", "survey_revision", "version", "status", "current_step", "answers",
                   "step_history", "is_audio_mode", "drafts", "session_data", "created_at", "updated_at",
                   "completed_at",
                   "history": [{"version", "message_id", "action", "step", "answer", "data", "timestamp"}]}],
     "set_aside": [{every column of the session's row, "history": [{every column of the event's row}]}],
     "token_revocations": [{"survey_id", "revoked_at"}],
     "erasures": [{"survey_id", "sessions", "erased_at"}],
     "webhook_deliveries": [{"to", "event", "survey_id", "version", "occurred_at", "delivered_at"}],
     "audit": [{"id", "at", "actor", "action", "survey_id", "detail"}],
     "counts": {"sessions", "events", "set_aside", "token_revocations", "erasures", "webhook_deliveries", "audit"}}

Sessions and events are in order, the audit log is newest first, times are UTC in ISO 8601 with microseconds.
``set_aside`` has what can't be read: sessions that were set aside, and one that will be; what is no JSON in them is
given as text. ``erasures`` are earlier ones of the same participant. ``webhook_deliveries`` say to whom (the address
without its path) it was told, or is still to be, that a session of his began, was completed or expired.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, cast

from ...core.timestamps import format_timestamp
from ...errors import SessionUnreadable
from ...sessions import SessionStore, erasure_replay
from ...store import Delivery, HistoryEntry, audit, erasure_journal, erasures, keyset, outbox, raw_rows, rows
from ...survey import SessionKey, Snapshot
from ..webhooks import origin

FORMAT = "stepkeep-participant-1"

EVENTS_A_PAGE = 50
"""Events that are held in memory at once: each can be a draft of 64 KiB, or a whole state of 1 MiB."""

DELIVERIES_A_PAGE = 1000
ENTRIES_A_PAGE = 1000

_COUNTED = ("sessions", "events", "set_aside", "token_revocations", "erasures", "webhook_deliveries", "audit")


def export_participant(store: SessionStore, user_id: str, survey_id: str | None = None) -> Iterator[str]:
    """Return all that is known of a participant, in all surveys or one: the pieces of one JSON text, in order.

    It is read as the pieces are taken, a page of events at a time; each session is given as it is when it comes to
    it. Of one of whom nothing is known, all lists are empty and all counts are 0. The caller records it in the log.

    Raises:
        InvalidUserId, InvalidInput: as ``SessionStore.key``; at once.
        Unavailable: the database is away, or answers are locked; also while the pieces are taken.
    """
    participant = store.queries.key(user_id, survey_id).user_id
    keys = store.run_read(lambda connection: erasures.read_keys(connection, participant, survey_id))
    return _Export(store, participant, survey_id).pieces(keys)


def read_erasures(store: SessionStore) -> Iterator[str]:
    """Yield the database's list of erasures of participants, a line each, without its end."""
    return map(erasure_journal.format_line, erasure_replay.read_all(store.run_read))


def apply_erasures(
    store: SessionStore, lines: Iterable[str | bytes], name: str = "the list", *, actor: str = "operator"
) -> int:
    """Erase again what these lines name and an older backup brought back; return how many sessions there were.

    Lines that are none are skipped, with a warning. What began after its erasure stays; what began before it goes, also
    where it has changed since (which a start leaves). Again is harmless.

    Args:
        name: of the list, for the warning.
        actor: who asks for it, for the audit log.
    """
    return store.erasure.replay(erasure_journal.read_lines(lines, name), actor=actor)


class _Export:
    def __init__(self, store: SessionStore, user_id: str, survey_id: str | None) -> None:
        self._store = store
        self._user_id = user_id
        self._survey_id = survey_id
        self._counts = dict.fromkeys(_COUNTED, 0)

    def pieces(self, keys: Iterable[SessionKey]) -> Iterator[str]:
        head = {"format": FORMAT, "user_id": self._user_id, "exported_at": format_timestamp(self._store.clock())}
        yield rows.dumps(head)[:-1]
        aside: list[SessionKey] = []
        yield from self._list("sessions", self._sessions(keys, aside))
        yield from self._list("set_aside", map(self._set_aside, aside))
        yield from self._list("token_revocations", map(_whole, self._revocations()))
        yield from self._list("erasures", map(_whole, self._erasures()))
        yield from self._list("webhook_deliveries", map(_whole, self._deliveries()))
        yield from self._list("audit", map(_whole, self._audit()))
        yield f',"counts":{rows.dumps(self._counts)}}}\n'

    def _list(self, name: str, items: Iterable[Iterable[str]]) -> Iterator[str]:
        """Yield a member of the document whose items come in pieces, and count them."""
        yield f',"{name}":['
        for item in items:
            if self._counts[name]:
                yield ","
            self._counts[name] += 1
            yield from item
        yield "]"

    def _sessions(self, keys: Iterable[SessionKey], aside: list[SessionKey]) -> Iterator[Iterable[str]]:
        """Yield the sessions that can be read; note the others, and what was set aside, in ``aside``."""
        for key in keys:
            if key.user_id != self._user_id:
                aside.append(key)
                continue
            try:
                snapshot = self._store.queries.load(key)
            except SessionUnreadable:
                aside.append(key)
                continue
            if snapshot is not None:  # else it was erased a moment ago
                yield self._session(snapshot)

    def _session(self, snapshot: Snapshot) -> Iterator[str]:
        yield from self._with_history(_session_of(snapshot), self._history(snapshot.key, snapshot.state.version))

    def _set_aside(self, key: SessionKey) -> Iterator[str]:
        store = self._store
        row = store.run_read(lambda connection: raw_rows.read_session(connection, key, store.cipher))
        yield from self._with_history(row or {}, self._rows(key, 0))

    def _with_history(self, session: Mapping[str, Any], pages: Iterable[Sequence[dict[str, Any]]]) -> Iterator[str]:
        head = rows.dumps(session)[:-1]
        yield f'{head}{"," if session else ""}"history":['
        separator = ""
        for page in pages:
            self._counts["events"] += len(page)
            yield separator + rows.dumps(page)[1:-1]
            separator = ","
        yield "]}"

    def _history(self, key: SessionKey, newest: int) -> Iterator[Sequence[dict[str, Any]]]:
        """Yield the events up to a version, page by page; from one that can't be read on, as rows."""
        version = 0
        while version < newest:
            limit = min(EVENTS_A_PAGE, newest - version)
            try:
                page = [
                    _event_of(entry) for entry in self._store.queries.history(key, after_version=version, limit=limit)
                ]
            except SessionUnreadable:
                yield from self._rows(key, version)
                return
            if not page:
                return  # it was erased meanwhile
            yield page
            version = page[-1]["version"]

    def _rows(self, key: SessionKey, version: int) -> Iterator[Sequence[dict[str, Any]]]:
        store = self._store
        return keyset.pages(
            store.run_read,
            lambda connection, after: raw_rows.read_history(connection, key, after, EVENTS_A_PAGE, store.cipher),
            version,
            lambda row: cast("int", row["version"]),
        )

    def _revocations(self) -> Iterator[dict[str, Any]]:
        found = self._store.run_read(
            lambda connection: erasures.read_revocations(connection, self._user_id, self._survey_id)
        )
        for survey_id, at in found.items():
            yield {"survey_id": survey_id, "revoked_at": format_timestamp(at)}

    def _erasures(self) -> Iterator[dict[str, Any]]:
        found = self._store.run_read(
            lambda connection: erasures.read_participant(connection, self._user_id, self._survey_id)
        )
        for one in found:
            yield {"survey_id": one.survey_id, "sessions": one.sessions, "erased_at": format_timestamp(one.erased_at)}

    def _deliveries(self) -> Iterator[dict[str, Any]]:
        pages = keyset.pages(
            self._store.run_read,
            lambda connection, after: outbox.read_participant(
                connection, self._user_id, self._survey_id, after, DELIVERIES_A_PAGE
            ),
            0,
            lambda row: row[0].id,
            DELIVERIES_A_PAGE,
        )
        for page in pages:
            yield from (_delivery_of(*one) for one in page)

    def _audit(self) -> Iterator[dict[str, Any]]:
        newest: int | None = None
        pages = keyset.pages(
            self._store.run_read,
            lambda connection, before: audit.read_participant(
                connection, self._user_id, self._survey_id, before, ENTRIES_A_PAGE
            ),
            newest,
            lambda entry: entry.id,
            ENTRIES_A_PAGE,
        )
        for page in pages:
            yield from map(_entry_of, page)


def _whole(item: Mapping[str, Any]) -> tuple[str]:
    return (rows.dumps(item),)


def _session_of(snapshot: Snapshot) -> dict[str, Any]:
    state, survey = snapshot.state, snapshot.survey
    return {
        "survey_id": snapshot.key.survey_id,
        "survey_title": None if survey is None else survey.title,
        "survey_revision": state.survey_revision,
        "version": state.version,
        "status": state.status,
        "current_step": state.current_step,
        "answers": state.answers,
        "step_history": state.step_history,
        "is_audio_mode": state.is_audio_mode,
        "drafts": state.drafts,
        "session_data": state.session_data,
        "created_at": format_timestamp(state.started_at),
        "updated_at": format_timestamp(state.updated_at),
        "completed_at": format_timestamp(state.completed_at),
    }


def _event_of(entry: HistoryEntry) -> dict[str, Any]:
    record = entry.record
    return {
        "version": entry.version,
        "message_id": entry.message_id,
        "action": record.action,
        "step": record.step,
        "answer": record.answer,
        "data": record.data,
        "timestamp": format_timestamp(record.at),
    }


def _delivery_of(delivery: Delivery, url: str) -> dict[str, Any]:
    return {
        "to": origin(url),
        "event": delivery.event,
        "survey_id": delivery.key.survey_id,
        "version": delivery.version,
        "occurred_at": format_timestamp(delivery.occurred_at),
        "delivered_at": format_timestamp(delivery.delivered_at),
    }


def _entry_of(recorded: audit.RecordedEntry) -> dict[str, Any]:
    entry = recorded.entry
    return {
        "id": recorded.id,
        "at": format_timestamp(entry.at),
        "actor": entry.actor,
        "action": entry.action,
        "survey_id": entry.survey_id,
        "detail": entry.detail,
    }
