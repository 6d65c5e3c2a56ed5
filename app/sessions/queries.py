"""Reads sessions, present and past."""

import logging
import re
import time
from builtins import list as List  # noqa: N812 - SessionQueries.list hides the built-in inside the class
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, TypeVar

from sqlalchemy import URL, Connection, Engine
from sqlalchemy.exc import SQLAlchemyError

from ..catalogue import Catalogue
from ..core.formats import SURVEY_ID
from ..core.session_dicts import EventDict
from ..errors import (
    DatabaseUnavailable,
    InvalidInput,
    InvalidUserId,
    NoSuchSession,
    NoSuchVersion,
    SessionUnreadable,
    UnreadableHere,
)
from ..settings import Settings
from ..store import (
    SET_ASIDE,
    Cipher,
    Cursor,
    HistoryEntry,
    RecordedValues,
    StoredSessions,
    SurveyCount,
    check_schema,
    connect_or_explain,
    database_facts,
    definitions,
    history,
    keyset,
    reader_engine,
    rows,
    sessions,
    translate_error,
    turn_statements,
    with_retries,
)
from ..store.drivers import REVISION, CheckSchema, SessionLoader
from ..survey import Answered, SessionKey, SessionState, Snapshot, Survey
from .survey_revisions import SurveyRevisions

log = logging.getLogger("stepkeep.service")

_USER_ID = re.compile(r"[A-Za-z0-9._@:-]{1,128}")
_SURVEY_ID = re.compile(SURVEY_ID)

KEYS_PER_PAGE = 10_000  # read in some 10 ms
KEPT_REVISIONS = 1000

T = TypeVar("T")


def now_us() -> int:
    """Return microseconds since 1970 UTC."""
    return time.time_ns() // 1000


def all_keys(run: keyset.Run) -> Iterator[Sequence[SessionKey]]:
    start: SessionKey | None = None
    return keyset.pages(run, partial(sessions.read_keys, limit=KEYS_PER_PAGE), start, lambda key: key, KEYS_PER_PAGE)


class SessionQueries:
    """Safe from any thread."""

    def __init__(
        self,
        settings: Settings,
        catalogue: Catalogue,
        url: URL,
        cipher: Cipher,
        clock: Callable[[], int],
        check_schema: CheckSchema = lambda _read: None,
    ) -> None:
        self._settings = settings
        self._check_schema = check_schema
        self.catalogue = catalogue
        self.cipher = cipher
        self.clock = clock
        self._is_closed = False
        self.engine: Engine = reader_engine(url)
        self._loader = SessionLoader(self.engine, turn_statements(url), check_schema)
        kept = max(KEPT_REVISIONS, settings.batch_limit)  # at least as many as one transaction needs
        self.revisions = SurveyRevisions(catalogue, self._read_definition, kept)

    def key(self, user_id: object, survey_id: str | None = None) -> SessionKey:
        if user_id in (".", ".."):  # HTTP clients remove them from paths (RFC 3986, 5.2.4)
            raise InvalidUserId(user_id)
        return self.stored_key(user_id, survey_id)

    def stored_key(self, user_id: object, survey_id: str | None = None) -> SessionKey:
        """Accept also ``.`` and ``..``, which earlier releases accepted."""
        if type(user_id) is not str or not _USER_ID.fullmatch(user_id):
            raise InvalidUserId(user_id)
        return SessionKey(self.survey_id(survey_id), user_id)

    def survey_id(self, survey_id: object) -> str:
        resolved: object = self.catalogue.default_id if survey_id is None else survey_id
        if not isinstance(resolved, str) or not _SURVEY_ID.fullmatch(resolved):
            raise InvalidInput("A survey's id must be 1 to 64 of a-z 0-9 _ -, beginning with a letter or digit.")
        return resolved

    def resolve_key(self, user_id: object, survey_id: str | None) -> SessionKey:
        """Return the key; without a survey, that of the participant's only session."""
        key = self.key(user_id, survey_id)
        if survey_id is not None or key.survey_id in self.catalogue.surveys:
            return key
        keys = self.keys_of_user(key.user_id, 2)
        return keys[0] if len(keys) == 1 else key

    def load(self, key: SessionKey) -> Snapshot | None:
        """Raise SessionUnreadable or UnreadableHere."""
        self._check_open()
        try:
            row = with_retries(self._settings, self._loader.load, key)
        except SQLAlchemyError as error:
            raise translate_error(error) from error
        if row is None:
            return None
        state = rows.parse_state(row, self.cipher)
        if not isinstance(state, SessionState):
            raise state
        return Snapshot(key=key, state=state, survey=self.revisions.get(key.survey_id, state.survey_revision))

    def require(self, key: SessionKey) -> Snapshot:
        """Raise NoSuchSession, and as :meth:`load`."""
        snapshot = self.load(key)
        if snapshot is None:
            raise NoSuchSession(key.survey_id, key.user_id)
        return snapshot

    def load_with_survey(self, key: SessionKey) -> Snapshot | None:
        snapshot = self.load(key)
        if snapshot is not None and snapshot.survey is None:
            self.catalogue.survey(key.survey_id)
            raise SessionUnreadable(key.survey_id, key.user_id, "its survey's revision is unknown")
        return snapshot

    def history(
        self,
        key: SessionKey,
        *,
        after_version: int = 0,
        limit: int = 100,
        newest_first: bool = False,
        is_page: bool = False,
    ) -> List[HistoryEntry]:
        """Return events; a page has at most ``PAGE_BYTES``, but one event if there is any."""

        def read(connection: Connection) -> List[HistoryEntry]:
            count = history.page_length(connection, key, after_version, limit) if is_page else limit
            return history.read_history(
                connection, key, cipher=self.cipher, after_version=after_version, limit=count, newest_first=newest_first
            )

        return self._read_history(key, read)

    def events_to_dicts(self, key: SessionKey, entries: Sequence[HistoryEntry]) -> List[EventDict]:
        """Return consecutive events, oldest first, as in docs/protocol.md."""
        first = entries[0].version if entries else 1
        read = partial(history.read_revision, key=key, before_version=first, cipher=self.cipher)
        revision = self._read_history(key, read) if first > 1 else None
        events = []
        for entry in entries:
            event, data = entry.to_dict(), entry.record.data
            revision = data.get("survey_revision", revision)
            if event["action"] == Answered.action and "language" not in data:
                event["data"] = {**data, "language": self._own_language(key.survey_id, revision)}
            events.append(event)
        return events

    def _own_language(self, survey_id: str, revision: object) -> str | None:
        try:
            survey = self.revisions.get(survey_id, revision if isinstance(revision, str) else None)
        except UnreadableHere:
            return None
        return None if survey is None else survey.language

    def at_version(self, key: SessionKey, version: int) -> Snapshot:
        newest = self.require(key)
        if not 1 <= version <= newest.state.version:
            raise NoSuchVersion(version, newest.state.version)
        state = self._read_history(key, partial(history.replay_history, key=key, version=version, cipher=self.cipher))
        if state is None:  # pragma: no cover - version 1 exists
            raise NoSuchVersion(version, newest.state.version)
        survey = self.revisions.get(key.survey_id, state.survey_revision)
        as_of = None if version == newest.state.version else state.updated_at
        return Snapshot(key=key, state=state, survey=survey, as_of=as_of)

    def recorded_values(self, key: SessionKey, version: int, at: int) -> RecordedValues | None:
        """Return None if the session was erased or set aside."""
        read = partial(history.read_recorded_values, key=key, version=version, at=at, cipher=self.cipher)
        return self._read_history(key, read)

    def list(
        self,
        *,
        after: Cursor | None = None,
        limit: int = 100,
        filters: Mapping[str, Any] | None = None,
        updated_since: int | None = None,
        newest_first: bool = False,
    ) -> tuple[Sequence[Snapshot], Cursor | None]:
        """Return a page, which may be short or empty though more follow.

        By key, or by last change with ``updated_since`` (microseconds since 1970 UTC) or ``newest_first``.
        """

        def read(connection: Connection) -> tuple[keyset.Page[SessionKey, Cursor], StoredSessions]:
            page = sessions.read_page(
                connection,
                after=after,
                limit=limit,
                filters=filters or {},
                updated_since=updated_since,
                newest_first=newest_first,
                at=self.clock(),
            )
            states = (
                sessions.read_states(connection, page.items, cipher=self.cipher, locked=False) if page.items else {}
            )
            return page, states

        page, states = self.run(read)
        for key, stored in states.items():  # damaged sessions are left out; those of other releases would seem erased
            if isinstance(stored, UnreadableHere) and SET_ASIDE not in key.user_id:
                raise stored
        snapshots = [
            Snapshot(key=key, state=state, survey=self.revisions.get(key.survey_id, state.survey_revision))
            for key in page.items
            if isinstance(state := states.get(key), SessionState)
        ]
        return snapshots, page.following

    def database_facts(self) -> Mapping[str, str]:
        self._check_open()
        connect_or_explain(self.engine)
        check_schema(self.engine)
        return database_facts(self.engine)

    def missing_key(self) -> str | None:
        return self.run(lambda connection: history.find_missing_key(connection, self.cipher))

    def known_revisions(self, survey_id: str) -> List[Survey]:
        newest = self.catalogue.surveys.get(survey_id)
        stored = (self.revisions.get(survey_id, revision) for revision in self.stored_revisions(survey_id))
        older = (survey for survey in stored if survey is not None and survey is not newest)
        return [*older] if newest is None else [newest, *older]

    def stored_revisions(self, survey_id: str) -> Sequence[str]:
        """Return the newest first."""
        return self.run(lambda connection: definitions.read_revisions(connection, survey_id))

    def counts_by_survey(self) -> List[SurveyCount]:
        at = self.clock()
        return self.run(lambda connection: sessions.count_by_survey(connection, at))

    def run(self, work: Callable[[Connection], T]) -> T:
        """Return the result of ``work``, which only reads: transient errors are retried."""

        def attempt() -> T:
            with self.engine.connect() as connection:
                self._check_schema(lambda: connection.exec_driver_sql(REVISION).all())
                return work(connection)

        self._check_open()
        try:
            return with_retries(self._settings, attempt)
        except SQLAlchemyError as error:
            raise translate_error(error) from error

    def versions(self, keys: Sequence[SessionKey]) -> Mapping[SessionKey, int]:
        return self.run(lambda connection: sessions.read_versions(connection, keys))

    def changes(self, after_id: int | None, limit: int) -> tuple[int, Mapping[SessionKey, int] | None]:
        """See ``store.history.read_changes``."""
        return self.run(lambda connection: history.read_changes(connection, after_id, limit))

    def keys_of_user(self, user_id: str, limit: int) -> List[SessionKey]:
        return self.run(lambda connection: sessions.read_keys_of_user(connection, user_id, limit))

    def close(self) -> None:
        self._is_closed = True  # a disposed engine would connect again
        self.engine.dispose()

    def _check_open(self) -> None:
        if self._is_closed:
            raise DatabaseUnavailable("closed")

    def _read_history(self, key: SessionKey, read: Callable[[Connection], T]) -> T:
        try:
            return self.run(read)
        except (ValueError, TypeError, AttributeError) as error:
            raise SessionUnreadable(key.survey_id, key.user_id, f"{type(error).__name__} in its history") from error

    def _read_definition(self, survey_id: str, revision: str) -> str | None:
        return self.run(lambda connection: definitions.read_definition(connection, survey_id, revision))
