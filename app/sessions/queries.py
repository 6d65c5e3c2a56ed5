"""Sessions as they are stored, and as they were: all that doors read. Safe from any thread."""

import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

from sqlalchemy import URL, Connection, Engine
from sqlalchemy.exc import SQLAlchemyError

from ..catalogue import Catalogue
from ..core.formats import SURVEY_ID
from ..errors import AnswersLocked, InvalidInput, InvalidUserId, NoSuchSession, NoSuchVersion, SessionUnreadable
from ..settings import Settings
from ..store import engine as engines
from ..store import history, listing
from ..store.drivers.connection import Loader
from ..store.encryption import SET_ASIDE, sealing_of
from ..store.listing import Cursor
from ..store.migrations import check_schema
from ..store.retry import retried, unsaved
from ..store.rows import Entry, States, state_of
from ..survey.definition import Survey
from ..survey.events import UnknownEvent
from ..survey.snapshot import SessionKey, Snapshot
from ..survey.state import SessionState
from .survey_revisions import Revisions

_USER_ID = re.compile(r"[A-Za-z0-9._@:-]{1,128}")
_SURVEY_ID = re.compile(SURVEY_ID)

KEYS_A_PAGE = 10_000

_NO_HISTORY = (UnknownEvent, ValueError, TypeError, AttributeError)
"""What reading a corrupt row of history raises."""

T = TypeVar("T")


def now_us() -> int:
    """Return the time in microseconds since 1970 UTC."""
    return time.time_ns() // 1000


class SessionReader:
    """Reads sessions; :class:`~app.sessions.service.SessionStore` is one that writes too.

    Args:
        url: of the database, as ``engine.normalise_url`` gives it.
        clock: gives microseconds since 1970 UTC.

    Raises:
        ConfigurationError: STEPKEEP_ANSWERS_KEYS can't be used.
    """

    def __init__(self, settings: Settings, catalogue: Catalogue, url: URL, clock: Callable[[], int]) -> None:
        self.settings = settings
        self.sealing = sealing_of(settings.answers_keys.get_secret_value())
        self.catalogue = catalogue
        self.clock = clock
        self._reading: Engine = engines.reader_engine(url)
        self._loader = Loader(self._reading, engines.gateway_of(url))
        self._revisions = Revisions(catalogue, self._read_definition)

    def key(self, user_id: object, survey_id: str | None = None) -> SessionKey:
        """Return the key of a participant's session of a survey, of the default one for None.

        Raises:
            InvalidUserId: not the protocol's rule.
            InvalidInput: not a survey id.
        """
        if not isinstance(user_id, str) or not _USER_ID.fullmatch(user_id):
            raise InvalidUserId
        survey = self.catalogue.default_id if survey_id is None else survey_id
        if not _SURVEY_ID.fullmatch(survey):
            raise InvalidInput("survey must be 1 to 64 of a-z 0-9 _ -, beginning with a letter or digit")
        return SessionKey(survey, user_id)

    def meant_key(self, user_id: object, survey_id: str | None) -> SessionKey:
        """Return the key as :meth:`key`; where nothing names the survey, a participant's only session is meant."""
        key = self.key(user_id, survey_id)
        if survey_id is not None or key.survey_id in self.catalogue.surveys:
            return key
        found = self.read(lambda connection: listing.read_keys(connection, key.user_id, 2))
        return found[0] if len(found) == 1 else key

    def load(self, key: SessionKey) -> Snapshot | None:
        """Return the session, None where there is none.

        Raises:
            SessionUnreadable: it can't be read.
            AnswersLocked: it can't be read without a key that is not there.
            DatabaseUnavailable: the database is away, which is not "no session".
        """
        try:
            row = retried(self.settings, self._loader.load, key)
        except SQLAlchemyError as error:
            raise unsaved(error) from error
        if row is None:
            return None
        state = state_of(row, self.sealing)
        if not isinstance(state, SessionState):
            raise state
        return Snapshot(key=key, state=state, survey=self._revisions.find(key.survey_id, state.survey_revision))

    def history(
        self,
        key: SessionKey,
        *,
        after_version: int = 0,
        limit: int = 100,
        newest_first: bool = False,
    ) -> list[Entry]:
        """Return the session's events after a version.

        Raises:
            SessionUnreadable: one of them can't be read.
        """
        try:
            return self.read(
                lambda connection: history.read_history(
                    connection,
                    key,
                    sealing=self.sealing,
                    after_version=after_version,
                    limit=limit,
                    newest_first=newest_first,
                )
            )
        except _NO_HISTORY as error:
            raise SessionUnreadable(key.survey_id, key.user_id, f"{type(error).__name__} in its history") from error

    def at_version(self, key: SessionKey, version: int) -> Snapshot:
        """Return the session as it was at a version, when it came to it, folded from its history.

        Raises:
            NoSuchSession, NoSuchVersion: there is none.
            SessionUnreadable: its history can't be folded.
        """
        newest = self.load(key)
        if newest is None:
            raise NoSuchSession(key.survey_id, key.user_id)
        if not 1 <= version <= newest.state.version:
            raise NoSuchVersion(version, newest.state.version)
        try:
            state = self.read(lambda connection: history.fold_history(connection, key, version, sealing=self.sealing))
        except _NO_HISTORY as error:
            raise SessionUnreadable(key.survey_id, key.user_id, f"{type(error).__name__} in its history") from error
        if state is None:  # pragma: no cover - version 1 exists
            raise NoSuchVersion(version, newest.state.version)
        survey = self._revisions.find(key.survey_id, state.survey_revision)
        as_of = None if version == newest.state.version else state.updated_at
        return Snapshot(key=key, state=state, survey=survey, as_of=as_of)

    def list(
        self,
        *,
        after: Cursor | None = None,
        limit: int = 100,
        filters: Mapping[str, Any] | None = None,
        updated_since: int | None = None,
    ) -> tuple[Sequence[Snapshot], Cursor | None]:
        """Return a page of sessions, and the cursor of the next page if more may follow.

        In the order of their keys; with ``updated_since`` (microseconds since 1970 UTC) in the order of their
        last change. A page may hold fewer than ``limit``, even none, and more may follow (``store/listing.py``);
        sessions that can't be read are left out.

        Raises:
            AnswersLocked: one can't be read without a key that is not there: left out, it would seem erased.
        """

        def read(connection: Connection) -> tuple[listing.Page, States]:
            page = listing.read_page(
                connection,
                after=after,
                limit=limit,
                filters=filters or {},
                updated_since=updated_since,
                at=self.clock(),
            )
            if not page.keys:
                return page, {}
            return page, history.read_states(connection, page.keys, sealing=self.sealing, locked=False)

        page, states = self.read(read)
        for key, stored in states.items():
            if isinstance(stored, AnswersLocked) and SET_ASIDE not in key.user_id:
                raise stored
        found = [
            Snapshot(key=key, state=state, survey=self._revisions.find(key.survey_id, state.survey_revision))
            for key in page.keys
            if isinstance(state := states.get(key), SessionState)
        ]
        return found, page.following

    def pinned_survey(self, survey_id: str, revision: str | None) -> Survey | None:
        """Return the definition to which sessions of this revision are pinned, the newest for None.

        Raises:
            Unavailable: the database can't be read now.
        """
        return self._revisions.find(survey_id, revision)

    def database_facts(self) -> Mapping[str, str]:
        """Return the database's kind and version.

        Raises:
            ConfigurationError: it can't be reached or has another schema.
        """
        engines.connect_or_explain(self._reading)
        check_schema(self._reading)
        return engines.database_facts(self._reading)

    def read(self, work: Callable[[Connection], T]) -> T:
        """Return what ``work`` returns, which only reads, on a connection of its own.

        Raises:
            Unavailable: the database can't be read now.
        """

        def once() -> T:
            with self._reading.connect() as connection:
                return work(connection)

        try:
            return retried(self.settings, once)
        except SQLAlchemyError as error:
            raise unsaved(error) from error

    def _read_definition(self, survey_id: str, revision: str) -> str | None:
        return self.read(lambda connection: history.read_definition(connection, survey_id, revision))

    def _read_versions(self, keys: Sequence[SessionKey]) -> Mapping[SessionKey, int]:
        return self.read(lambda connection: history.read_versions(connection, keys))

    def _all_keys(self) -> Iterator[Sequence[SessionKey]]:
        last: SessionKey | None = None
        while True:
            after = last
            page = self.read(lambda connection: history.read_keys_after(connection, after, KEYS_A_PAGE))  # noqa: B023 - called at once
            if not page:
                return
            yield page
            last = page[-1]

    def _load_with_survey(self, key: SessionKey) -> Snapshot | None:
        found = self.load(key)
        if found is not None and found.survey is None:
            self.catalogue.survey(key.survey_id)
            raise SessionUnreadable(key.survey_id, key.user_id, "its survey's revision is gone")
        return found
