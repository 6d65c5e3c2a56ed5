"""SessionStore, the session store service: the doors' only way in.

Validates what every door is given, hands commands to the writer, reads sessions, and tells the other
connections of a session what changed. Safe from any thread.
"""

import logging
import os
import re
import threading
import time
import weakref
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import SQLAlchemyError

from app import exact_json
from app.catalogue import Catalogue, read_catalogue
from app.errors import (
    InvalidInput,
    InvalidUserId,
    NoSuchSession,
    NoSuchVersion,
    SessionUnreadable,
    SurveyFileError,
    VersionConflict,
)
from app.message_ids import new_message_id
from app.settings import Settings
from app.store import engine as engines
from app.store import history, listing
from app.store.batch import Outcome, Refused, Result, RevisionNotLoaded, Turn
from app.store.gateway import HeldConnection, Loader, leave_to_parent
from app.store.listing import Cursor
from app.store.retry import retried, unsaved
from app.store.rows import Entry, SessionKey, States, state_of
from app.store.schema import check_schema, upgrade_schema
from app.store.writer import Writer
from app.survey.commands import AnyCommand, Begin, Draft, Expire, Note, Save, Update
from app.survey.definition import Survey, dump_definition, load_definition
from app.survey.events import Answered, UnknownEvent
from app.survey.flow import progress, status_at
from app.survey.state import SessionState

log = logging.getLogger("stepkeep.service")

_USER_ID = re.compile(r"[A-Za-z0-9._@:-]{1,128}")
_SURVEY_ID = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")

MAX_STATE_BYTES = 1024 * 1024
"""JSON bytes of a whole state that is saved; an answer from a participant is at most 64 KiB."""

MAX_STEP_LENGTH = 255
"""Characters of a step's or an action's name that an integrator may use."""

Listener = Callable[["Snapshot"], None]
T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """A session as it is, with the definition that it is pinned to (None: of no known survey)."""

    key: SessionKey
    state: SessionState
    survey: Survey | None

    def shown(self, at: int) -> dict[str, Any]:
        """Return the session as doors show it (PROTOCOL.md, ``session``)."""
        state = self.state
        return {
            "user_id": self.key.user_id,
            "survey_id": self.key.survey_id,
            "survey_revision": state.survey_revision,
            "status": status_at(self.survey, state, at),
            "current_step": state.current_step,
            "answers": state.answers,
            "step_history": list(state.step_history),
            "is_audio_mode": state.is_audio_mode,
            "draft": state.draft,
            "session_data": state.session_data,
        }

    @property
    def step(self) -> Mapping[str, Any] | None:
        """The current step as clients see it; None when completed or of no known survey."""
        return self.survey.shown_step(self.state.current_step) if self.survey is not None else None

    @property
    def progress(self) -> float:
        """How much is done, 0 to 1."""
        return progress(self.survey, self.state)


def now_us() -> int:
    """Return the time in microseconds since 1970 UTC."""
    return time.time_ns() // 1000


class SessionStore:
    """Durable survey sessions.

    Args:
        settings: as read at start.
        catalogue: the surveys that are offered.
        clock: gives microseconds since 1970 UTC.
    """

    def __init__(self, settings: Settings, catalogue: Catalogue, clock: Callable[[], int] = now_us) -> None:
        self.settings = settings
        self.catalogue = catalogue
        self.clock = clock
        url = engines.normalise_url(settings.database_url)
        self._writing: Engine = engines.writer_engine(url)
        self._reading: Engine = engines.reader_engine(url)
        self._pinned: dict[tuple[str, str], Survey | None] = {}
        gateway_of = engines.gateway_of(url)
        self._loader = Loader(self._reading, gateway_of)
        self._held = HeldConnection(self._writing, gateway_of)
        self._writer = Writer(self._held, settings, self._known_survey, self._survey_for)
        self._listeners: dict[SessionKey, set[Listener]] = {}
        self._mutex = threading.Lock()
        self._told: set[tuple[SessionKey, str]] = set()
        _OPEN.add(self)

    def prepare(self) -> None:
        """Check the schema and keep the definitions of all surveys, so that sessions can pin them.

        Raises:
            ConfigurationError: the database can't be opened, or has another schema.
        """
        engines.connect_or_explain(self._writing)
        check_schema(self._writing)
        at = self.clock()

        def keep(connection: Connection) -> None:
            for survey in self.catalogue.surveys.values():
                history.keep_definition(connection, survey.id, survey.revision, dump_definition(survey), at)

        self._writer.run(keep)

    def close(self) -> None:
        """Commit what waits and give the connections back; what is submitted later is refused."""
        try:
            self._writer.close()
        finally:
            self._writing.dispose()
            self._reading.dispose()

    def before_fork(self) -> None:
        """Let the running transaction end. This and the next two are called by themselves, at each fork."""
        self._held.before_fork()

    def after_fork_in_parent(self) -> None:
        """Go on."""
        self._held.after_fork_in_parent()

    def after_fork_in_child(self) -> None:
        """Begin anew: connections, locks and what waits are the parent's."""
        self._mutex = threading.Lock()
        self._listeners = {}
        self._writer.after_fork()
        leave_to_parent(self._writing)
        leave_to_parent(self._reading)

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
        found = self._read(lambda connection: listing.read_keys(connection, key.user_id, 2))
        return found[0] if len(found) == 1 else key

    def begin(self, key: SessionKey, *, is_audio_mode: bool) -> tuple[Snapshot, bool]:
        """Return the session, begun if there was none, and whether it was there already.

        A stored session that can't be read is set aside, and a new one begins.

        Raises:
            NoSuchSurvey: there is no session and no such survey to begin.
        """
        try:
            found = self._load_with_survey(key)
        except SessionUnreadable as error:
            self._set_aside(key, error)
            found = None
        if found is not None:
            return found, True
        self.catalogue.survey(key.survey_id)
        result = self._writer.submit(key, Begin(at=self.clock(), is_audio_mode=is_audio_mode))
        if result.state is None:  # pragma: no cover - Begin is accepted, or there is a session
            raise NoSuchSession(key.survey_id, key.user_id)
        return Snapshot(key=key, state=result.state, survey=result.survey), isinstance(result, Refused)

    def load(self, key: SessionKey) -> Snapshot | None:
        """Return the session, None where there is none.

        Raises:
            SessionUnreadable: it can't be read.
            DatabaseUnavailable: the database is away, which is not "no session".
        """
        try:
            row = retried(self.settings, self._loader.load, key)
        except SQLAlchemyError as error:
            raise unsaved(error) from error
        if row is None:
            return None
        state = state_of(row)
        if isinstance(state, SessionUnreadable):
            raise state
        return Snapshot(key=key, state=state, survey=self._survey_for(key.survey_id, state.survey_revision))

    def submit(self, key: SessionKey, command: AnyCommand, listener: Listener | None = None) -> Result:
        """Return what came of the command, committed; the other connections of the session are told.

        Args:
            listener: the connection that sends it, which isn't told.

        Raises:
            Unavailable, MessageIdReused, SessionUnreadable: see ``Writer.submit``.
            InvalidInput: a state that can't be saved.
        """
        _check_command(command)
        result = self._writer.submit(key, _identified(command))
        if isinstance(result, Outcome):
            self._follow_up(key, result, listener)
        return result

    def submit_many(self, turns: Sequence[Turn]) -> list[Result | Exception]:
        """Return what came of each command, in order, committed; one that fails doesn't fail the others.

        The way in for many turns at once (imports, tests, simulations): no hand-over, one transaction for
        ``batch_limit`` of them. What :meth:`submit` would raise for a turn stands in its place.
        """
        problems = {number: problem for number, turn in enumerate(turns) if (problem := _problem_of(turn[1]))}
        sound = [(key, _identified(command)) for n, (key, command) in enumerate(turns) if n not in problems]
        results = iter(self._writer.submit_many(sound))
        answers = [problems[number] if number in problems else next(results) for number in range(len(turns))]
        for (key, _), result in zip(turns, answers, strict=True):
            if isinstance(result, Outcome):
                self._follow_up(key, result, None)
        return answers

    def submit_or_raise(self, key: SessionKey, command: AnyCommand) -> Outcome:
        """Return the outcome of an integrator's command.

        Raises:
            NoSuchSession: there is none.
            VersionConflict: it has changed since ``expected_version``.
        """
        result = self.submit(key, command)
        if isinstance(result, Outcome):
            return result
        if result.rejection.code == "version_conflict":
            found = result.state.version if result.state is not None else 0
            raise VersionConflict(command.expected_version or 0, found)
        raise NoSuchSession(key.survey_id, key.user_id)

    def delete(self, key: SessionKey) -> bool:
        """Erase the session and its history; return whether there was one."""
        return self._writer.run(lambda connection: history.erase(connection, key))

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
            return self._read(
                lambda connection: history.read_history(
                    connection, key, after_version=after_version, limit=limit, newest_first=newest_first
                )
            )
        except _NO_HISTORY as error:
            raise SessionUnreadable(key.survey_id, key.user_id, f"{type(error).__name__} in its history") from error

    def at_version(self, key: SessionKey, version: int) -> Snapshot:
        """Return the session as it was at a version, folded from its history.

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
            state = self._read(lambda connection: history.fold_history(connection, key, version))
        except _NO_HISTORY as error:
            raise SessionUnreadable(key.survey_id, key.user_id, f"{type(error).__name__} in its history") from error
        if state is None:  # pragma: no cover - version 1 exists
            raise NoSuchVersion(version, newest.state.version)
        return Snapshot(key=key, state=state, survey=self._survey_for(key.survey_id, state.survey_revision))

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
            return page, history.read_states(connection, page.keys, locked=False) if page.keys else {}

        page, states = self._read(read)
        found = [
            Snapshot(key=key, state=state, survey=self._survey_for(key.survey_id, state.survey_revision))
            for key in page.keys
            if isinstance(state := states.get(key), SessionState)
        ]
        return found, page.following

    def listen(self, key: SessionKey, listener: Listener) -> None:
        """Call ``listener`` with each new state that others make, from their threads; it must not block."""
        with self._mutex:
            self._listeners.setdefault(key, set()).add(listener)

    def unlisten(self, key: SessionKey, listener: Listener) -> None:
        """End what :meth:`listen` began."""
        with self._mutex:
            listeners = self._listeners.get(key, set())
            listeners.discard(listener)
            if not listeners:
                self._listeners.pop(key, None)

    def database_facts(self) -> Mapping[str, str]:
        """Return the database's kind and version.

        Raises:
            ConfigurationError: it can't be reached or has another schema.
        """
        engines.connect_or_explain(self._reading)
        check_schema(self._reading)
        return engines.database_facts(self._reading)

    def _read(self, work: Callable[[Connection], T]) -> T:
        def once() -> T:
            with self._reading.connect() as connection:
                return work(connection)

        try:
            return retried(self.settings, once)
        except SQLAlchemyError as error:
            raise unsaved(error) from error

    def _known_survey(self, survey_id: str, revision: str | None) -> Survey | None:
        newest = self.catalogue.surveys.get(survey_id)
        if revision is None or (newest is not None and newest.revision == revision):
            return newest
        try:
            return self._pinned[survey_id, revision]
        except KeyError:
            raise RevisionNotLoaded(survey_id, revision) from None

    def _survey_for(self, survey_id: str, revision: str | None) -> Survey | None:
        try:
            return self._known_survey(survey_id, revision)
        except RevisionNotLoaded as missing:
            wanted = (missing.survey_id, missing.revision)
        # A revision is never changed once it is there.
        definition = self._read(lambda connection: history.read_definition(connection, *wanted))
        self._pinned[wanted] = _loaded(*wanted, definition)
        return self._pinned[wanted]

    def _load_with_survey(self, key: SessionKey) -> Snapshot | None:
        found = self.load(key)
        if found is not None and found.survey is None:
            self.catalogue.survey(key.survey_id)
            raise SessionUnreadable(key.survey_id, key.user_id, "its survey's revision is gone")
        return found

    def _set_aside(self, key: SessionKey, error: SessionUnreadable) -> None:
        at = self.clock()
        with suppress(SessionUnreadable):
            self.load(key)  # which loads its revision too, before its row is locked

        def move(connection: Connection) -> str | None:
            # Asked again, locked: another connection may have set it aside and begun anew meanwhile.
            found = history.read_states(connection, [key], locked=True).get(key)
            if isinstance(found, SessionState):
                if self._known_survey(key.survey_id, found.survey_revision) is not None:
                    return None
            elif found is None:
                return None
            return history.set_aside(connection, key, at)

        name = self._writer.run(move)
        if name is not None:
            log.error("%s; it was set aside as %s and a new session begins", error, name)

    def _follow_up(self, key: SessionKey, result: Outcome, sender: Listener | None) -> None:
        # Also of a duplicate: the store's own retry finds as one what was committed when its reply was lost.
        if isinstance(result.event, Answered) and result.event.failed_conditions:
            self._warn_of_conditions(key, result.version, result.event.failed_conditions)
        if key in self._listeners:
            self._tell(Snapshot(key=key, state=result.state, survey=result.survey), sender)

    def _tell(self, snapshot: Snapshot, sender: Listener | None) -> None:
        with self._mutex:
            listeners = tuple(self._listeners.get(snapshot.key, ()))
        for listener in listeners:
            if listener != sender:  # bound methods: equal, never identical
                listener(snapshot)

    def _warn_of_conditions(self, key: SessionKey, version: int, steps: Sequence[str]) -> None:
        for step in steps:
            with self._mutex:
                if (key, step) in self._told:
                    continue
                if len(self._told) >= _TOLD_LIMIT:
                    self._told.clear()
                self._told.add((key, step))
            log.warning(
                "a condition of the step %s can't be evaluated on the answers it met; its rule does not hold",
                step,
                extra={"survey_id": key.survey_id, "user_id": key.user_id, "version": version},
            )


_TOLD_LIMIT = 10_000

_NO_HISTORY = (UnknownEvent, ValueError, TypeError, AttributeError)
"""What reading a corrupt row of history raises."""

_OPEN: weakref.WeakSet[SessionStore] = weakref.WeakSet()


def _at_fork(act: Callable[[SessionStore], None]) -> Callable[[], None]:
    def act_on_all() -> None:
        for store in list(_OPEN):
            act(store)

    return act_on_all


os.register_at_fork(
    before=_at_fork(SessionStore.before_fork),
    after_in_parent=_at_fork(SessionStore.after_fork_in_parent),
    after_in_child=_at_fork(SessionStore.after_fork_in_child),
)


def _loaded(survey_id: str, revision: str, definition: str | None) -> Survey | None:
    """Return the survey of a stored definition; None where it is gone or can't be read any more."""
    try:
        return None if definition is None else load_definition(definition, f"{survey_id}@{revision}")
    except SurveyFileError as error:
        log.warning("a stored survey revision can't be loaded: %s", error)
        return None


def open_store(settings: Settings) -> SessionStore:
    """Return the store that the settings describe, ready for use.

    The embedded SQLite database is brought to the newest schema; another database must be there
    already (``alembic upgrade head``).

    Raises:
        ConfigurationError: a survey file, the database or its schema can't be used.
    """
    catalogue = read_catalogue(settings)
    url = engines.normalise_url(settings.database_url)
    if url.get_backend_name() == "sqlite":
        upgrade_schema(url)
    store = SessionStore(settings, catalogue)
    try:
        store.prepare()
    except BaseException:
        store.close()
        raise
    return store


def _identified(command: AnyCommand) -> AnyCommand:
    """Return the command with a message id: a commit whose outcome is unknown is tried again, and must count once.

    What names no id and changes nothing when it is done twice goes without: to begin, a draft, to expire.
    """
    if command.message_id is not None or isinstance(command, Begin | Draft | Expire):
        return command
    return replace(command, message_id=new_message_id())


def _problem_of(command: AnyCommand) -> InvalidInput | None:
    try:
        _check_command(command)
    except InvalidInput as problem:
        return problem
    return None


def _check_command(command: AnyCommand) -> None:
    """Refuse what is not exact, or too large, before anything is decided."""
    match command:
        case Save():
            _check_state(
                {
                    name: getattr(command, name)
                    for name in ("current_step", "answers", "step_history", "is_audio_mode", "session_data")
                }
            )
        case Update():
            _check_state(command.changes)
        case Note():
            _check_name(command.action, "action")
            if command.step is not None:
                _check_name(command.step, "step")
            exact_json.check(command.answer, "answer")
        case _:
            exact_json.check(getattr(command, "value", None), "value")


def _check_state(state: Mapping[str, Any]) -> None:  # noqa: C901 - one case a field
    for name, value in state.items():
        match name:
            case "current_step":
                _check_name(value, name)
            case "answers":
                _check_object(value, name)
            case "step_history":
                _check_path(value)
            case "is_audio_mode":
                if not isinstance(value, bool):
                    raise InvalidInput("is_audio_mode must be true or false")
            case "session_data":
                if value is not None:
                    _check_object(value, name)
            case _:
                raise InvalidInput(f"a session has no {name!r}")
    if len(exact_json.encode(dict(state))) > MAX_STATE_BYTES:
        raise InvalidInput(f"the state has more than {MAX_STATE_BYTES} bytes as JSON")


def _check_name(value: object, what: str) -> None:
    if not isinstance(value, str) or not 1 <= len(value) <= MAX_STEP_LENGTH:
        raise InvalidInput(f"{what} must be text of 1 to {MAX_STEP_LENGTH} characters")
    exact_json.check(value, what)


def _check_object(value: object, what: str) -> None:
    if not isinstance(value, Mapping):
        raise InvalidInput(f"{what} must be an object with string keys, not {type(value).__name__}")
    for key, item in value.items():
        exact_json.check({key: None}, what)
        exact_json.check(item, f"{what}.{key}")


def _check_path(value: object) -> None:
    if not isinstance(value, list | tuple):
        raise InvalidInput(f"step_history must be a list of step names, not {type(value).__name__}")
    for index, step in enumerate(value):
        _check_name(step, f"step_history[{index}]")
