"""All data of a participant, in the format of docs/privacy.md."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from typing import Any

from ...core.timestamps import format_timestamp
from ...errors import SessionUnreadable
from ...sessions import SessionStore, erasure_replay
from ...store import Delivery, Webhook, audit, credentials, erasure_journal, erasures, keyset, outbox, rows
from ...survey import SessionKey, Snapshot
from ..integrity import read_stored_history, read_stored_session
from ..webhooks import origin

FORMAT = "stepkeep-participant-1"

EVENTS_A_PAGE = 500  # events in memory at once, of at most ``keyset.PAGE_BYTES``
ROWS_A_PAGE = 1000

_COUNTED = ("sessions", "events", "set_aside", "token_revocations", "erasures", "webhook_deliveries", "audit")


def export_participant(store: SessionStore, user_id: str, survey_id: str | None = None) -> Iterator[str]:
    """Return the document of a participant in pieces; consuming them reads the database.

    Raises:
        InvalidUserId, InvalidInput: at once.
        Unavailable: the database is unavailable, or a key is missing; also while pieces are consumed.
    """
    participant = store.queries.stored_key(user_id, survey_id).user_id
    keys = store.run_read(lambda connection: erasures.read_keys(connection, participant, survey_id))
    return _Export(store, participant, survey_id).pieces(keys)


def read_erasures(store: SessionStore) -> Iterator[str]:
    """Yield the list of erasures as lines."""
    return map(erasure_journal.format_line, erasure_replay.read_all(store.run_read))


def apply_erasures(
    store: SessionStore, lines: Iterable[str | bytes], name: str = "the list", *, actor: str = "operator"
) -> int:
    """Erase the sessions of listed erasures again, and return their number. Idempotent.

    Sessions started later stay. Invalid lines are skipped with a warning.
    """
    return store.erasure.replay(erasure_journal.read_lines(lines, name), actor=actor)


_Item = Mapping[str, Any] | Iterator[str]  # an object, or pieces of its JSON


class _Export:
    def __init__(self, store: SessionStore, user_id: str, survey_id: str | None) -> None:
        self._store = store
        self._user_id = user_id
        self._survey_id = survey_id
        self._counts: Counter[str] = Counter()

    def pieces(self, keys: Iterable[SessionKey]) -> Iterator[str]:
        head = {"format": FORMAT, "user_id": self._user_id, "exported_at": format_timestamp(self._store.clock())}
        yield rows.dumps(head)[:-1]
        aside: list[SessionKey] = []
        yield from self._list("sessions", self._sessions(keys, aside))
        yield from self._list("set_aside", map(self._set_aside, aside))
        yield from self._list("token_revocations", self._revocations())
        yield from self._list("erasures", self._erasures())
        yield from self._list("webhook_deliveries", self._deliveries())
        yield from self._list("audit", self._audit())
        yield f',"counts":{rows.dumps({name: self._counts[name] for name in _COUNTED})}}}\n'

    def _list(self, name: str, items: Iterable[_Item], counted: str | None = None) -> Iterator[str]:
        yield f',"{name}":['
        for number, item in enumerate(items):
            if number:
                yield ","
            self._counts[counted or name] += 1
            yield from (rows.dumps(item),) if isinstance(item, Mapping) else item
        yield "]"

    def _sessions(self, keys: Iterable[SessionKey], aside: list[SessionKey]) -> Iterator[Iterator[str]]:
        for key in keys:
            try:
                snapshot = self._store.queries.load(key) if key.user_id == self._user_id else None
            except SessionUnreadable:
                aside.append(key)
                continue
            if key.user_id != self._user_id:
                aside.append(key)
            elif snapshot is not None:  # erased meanwhile
                yield self._session(snapshot)

    def _session(self, snapshot: Snapshot) -> Iterator[str]:
        history = self._history(snapshot.key, snapshot.state.version)
        return self._with_history(_session_to_dict(snapshot, self._store.clock()), history)

    def _set_aside(self, key: SessionKey) -> Iterator[str]:
        # Without its user and survey, if it was erased meanwhile.
        return self._with_history(read_stored_session(self._store, key) or {}, read_stored_history(self._store, key, 0))

    def _with_history(self, session: Mapping[str, Any], events: Iterable[Mapping[str, Any]]) -> Iterator[str]:
        yield rows.dumps(session)[:-1]
        yield from self._list("history", events, "events")
        yield "}"

    def _history(self, key: SessionKey, newest: int) -> Iterator[Mapping[str, Any]]:
        """Yield stored rows from an unreadable event on."""
        version = 0
        while version < newest:
            limit = min(EVENTS_A_PAGE, newest - version)
            try:
                page = self._store.queries.history(key, after_version=version, limit=limit, is_page=True)
            except SessionUnreadable:
                yield from read_stored_history(self._store, key, version)
                return
            if not page:
                return  # erased meanwhile
            yield from self._store.queries.events_to_dicts(key, page)
            version = page[-1].version

    def _revocations(self) -> Iterator[dict[str, Any]]:
        read = partial(credentials.read_participant_revocations, user_id=self._user_id, survey_id=self._survey_id)
        for survey_id, at in self._store.run_read(read).items():
            yield {"survey_id": survey_id, "revoked_at": format_timestamp(at)}

    def _erasures(self) -> Iterator[dict[str, Any]]:
        read = partial(erasures.read_participant, user_id=self._user_id, survey_id=self._survey_id)
        for record in self._store.run_read(read):
            at = format_timestamp(record.erased_at)
            yield {"survey_id": record.survey_id, "sessions": record.sessions, "erased_at": at}

    def _deliveries(self) -> Iterator[dict[str, Any]]:
        for page in keyset.pages(
            self._store.run_read,
            lambda connection, after: outbox.read_participant(
                connection, self._user_id, self._survey_id, after, ROWS_A_PAGE
            ),
            0,
            lambda row: row[0].id,
            ROWS_A_PAGE,
        ):
            yield from (_delivery_to_dict(*row) for row in page)

    def _audit(self) -> Iterator[dict[str, Any]]:
        newest: int | None = None
        for page in keyset.pages(
            self._store.run_read,
            lambda connection, before: audit.read_participant(
                connection, self._user_id, self._survey_id, before, ROWS_A_PAGE
            ),
            newest,
            lambda entry: entry.id,
            ROWS_A_PAGE,
        ):
            for entry in page:
                fields = entry.to_dict()
                del fields["user_id"]
                yield fields


def _session_to_dict(snapshot: Snapshot, at: int) -> dict[str, Any]:
    fields: dict[str, Any] = {**snapshot.to_full_dict(at)}
    del fields["user_id"], fields["draft"]
    title = None if snapshot.survey is None else snapshot.filled(snapshot.survey.title)
    return {**fields, "survey_title": title, "drafts": snapshot.state.drafts}


def _delivery_to_dict(delivery: Delivery, webhook: Webhook) -> dict[str, Any]:
    return {
        "to": origin(webhook.url),
        "includes_values_now": webhook.includes_values,
        "event": delivery.event,
        "survey_id": delivery.key.survey_id,
        "version": delivery.version,
        "occurred_at": format_timestamp(delivery.occurred_at),
        "delivered_at": format_timestamp(delivery.delivered_at),
    }
