"""The Python API for asyncio, on any number of event loops at once (docs/async.md).

Turns take no thread: the store's writer resolves their futures. Reads and erasures run in up to eight threads.

A cancelled turn is committed once or not at all; submitted again with the same message id, it is applied once.
"""

import asyncio
import contextvars
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import Any, ParamSpec, Self, TypeVar

from . import database, sessions
from .core.session_dicts import HistoryDict, SessionDict
from .database import Database
from .errors import NoSuchSession, Overloaded
from .sessions import SessionStore
from .settings import Settings
from .store import HistoryEntry
from .survey import AnyCommand, Given, SessionKey, Snapshot
from .writer import Committed, Rejected, Result

__all__ = [
    "AsyncDatabase",
    "AsyncSessionStore",
    "Committed",
    "Given",
    "Rejected",
    "Result",
    "get_database",
    "open_store",
]

P = ParamSpec("P")
T = TypeVar("T")


class AsyncSessionStore:
    """Durable survey sessions for asyncio; ``sync`` is the same store for blocking code."""

    def __init__(self, store: SessionStore) -> None:
        self.sync = store

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    def now(self) -> int:
        """Return the time for a command's ``at``: microseconds since 1970 UTC."""
        return self.sync.clock()

    async def get_or_create(
        self,
        key: SessionKey,
        *,
        is_audio_mode: bool = False,
        languages: tuple[str, ...] = (),
        parameters: Given | None = None,
    ) -> tuple[Snapshot, bool]:
        """Return the session, begun if there was none or it is unreadable, and whether it existed.

        ``languages`` are tags that the participant wants, the best first. May raise NoSuchSurvey or Unauthorized too.
        """
        snapshot = await self.run(self.sync.turns.load, key)
        if snapshot is not None:
            return snapshot, True
        command = self.sync.turns.begin(
            key, is_audio_mode=is_audio_mode, languages=languages, parameters=parameters or Given()
        )
        return self.sync.turns.begun(key, await self.submit(key, command))

    async def submit(self, key: SessionKey, command: AnyCommand) -> Result:
        """Return the committed result, or the rejection by the survey's rules.

        Raises:
            InvalidInput: values can't be saved.
            Overloaded: nothing was done within STEPKEEP_QUEUE_TIMEOUT_S.
            DatabaseUnavailable: not committed, or the outcome is unknown; safe to submit again with a message id.
            MessageIdReused, SessionUnreadable: a retry would fail, too.
        """
        loop = asyncio.get_running_loop()
        outcome: asyncio.Future[Result] = loop.create_future()
        turns = self.sync.turns
        request = turns.defer(key, command, partial(_resolve_from_thread, loop, outcome))

        def refuse() -> None:
            if turns.deferred.withdraw(request):
                _resolve(outcome, Overloaded(turns.deferred.waiting_turns))

        timer = loop.call_later(self.sync.settings.queue_timeout_s, refuse)
        try:
            return await outcome
        except (asyncio.CancelledError, GeneratorExit):
            turns.deferred.withdraw(request)
            raise
        finally:
            timer.cancel()

    async def submit_or_raise(self, key: SessionKey, command: AnyCommand) -> Committed:
        """Return the committed result of an integrator's command, or raise NoSuchSession or VersionConflict, too."""
        return self.sync.turns.committed_or_raise(key, command, await self.submit(key, command))

    async def load(self, key: SessionKey) -> Snapshot | None:
        """Return the session; raise SessionUnreadable or Unavailable."""
        return await self.run(self.sync.queries.load, key)

    async def history(
        self, key: SessionKey, *, after_version: int = 0, limit: int = 100, newest_first: bool = False
    ) -> list[HistoryEntry]:
        """Return events after a version."""
        read = self.sync.queries.history
        return await self.run(read, key, after_version=after_version, limit=limit, newest_first=newest_first)

    async def run(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Call a blocking function, e.g. ``sync.queries.at_version``, in a thread; a cancellation does not end it."""
        loop = asyncio.get_running_loop()
        outcome: asyncio.Future[T] = loop.create_future()
        context = contextvars.copy_context()
        work = partial(context.run, partial(function, *args, **kwargs))
        self.sync.threads.start(partial(_run_in_thread, loop, outcome, work))
        return await outcome

    async def close(self) -> None:
        """Commit the submitted turns, and close; later calls raise DatabaseUnavailable."""
        await asyncio.to_thread(self.sync.close)


class AsyncDatabase:
    """:class:`~.database.Database` for asyncio; ``store`` takes commands under the survey's rules."""

    def __init__(self, database: Database) -> None:
        self._sync = database
        self._requests = database.requests
        self.store = AsyncSessionStore(database.store)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def save_session(  # noqa: PLR0913 - one argument for each part of the state
        self,
        user_id: str,
        current_step: str,
        answers: Mapping[str, Any],
        step_history: Sequence[str],
        is_audio_mode: bool = False,  # noqa: FBT001, FBT002 - as above
        session_data: Mapping[str, Any] | None = None,
        *,
        survey_id: str | None = None,
    ) -> bool:
        """Replace the session's whole state, or create it; return True once it is committed."""
        key = self._requests.key(user_id, survey_id)
        command = self._requests.save(current_step, answers, step_history, is_audio_mode, session_data)
        await self.store.submit_or_raise(key, command)
        return True

    async def begin_session(
        self,
        user_id: str,
        *,
        survey_id: str | None = None,
        is_audio_mode: bool = False,
        language: str | None = None,
        parameters: Mapping[str, Any] | None = None,
    ) -> SessionDict:
        """Return the session, begun at the survey's first step if there is none."""
        begin = self._sync.begin_session
        return await self.store.run(
            begin, user_id, survey_id=survey_id, is_audio_mode=is_audio_mode, language=language, parameters=parameters
        )

    async def load_session(self, user_id: str, *, survey_id: str | None = None) -> SessionDict | None:
        return await self.store.run(self._sync.load_session, user_id, survey_id=survey_id)

    async def update_session_state(  # noqa: PLR0913 - as above
        self,
        user_id: str,
        current_step: str | None = None,
        answers: Mapping[str, Any] | None = None,
        step_history: Sequence[str] | None = None,
        is_audio_mode: bool | None = None,  # noqa: FBT001 - as above
        session_data: Mapping[str, Any] | None = None,
        *,
        survey_id: str | None = None,
    ) -> bool:
        """Change the fields that are not None; return whether there is a session."""
        command = self._requests.update(current_step, answers, step_history, is_audio_mode, session_data)
        return await self._submit(self._requests.key(user_id, survey_id), command)

    async def add_history_entry(
        self,
        user_id: str,
        action: str,
        step: str | None = None,
        answer: Any = None,  # noqa: ANN401 - any JSON
        *,
        survey_id: str | None = None,
    ) -> bool:
        """Add an entry to the history only; repeated after a cancellation, there may be two."""
        command = self._requests.note(action, step, answer)
        return await self._submit(self._requests.key(user_id, survey_id), command)

    async def get_session_history(
        self, user_id: str, limit: int = 100, *, survey_id: str | None = None
    ) -> list[HistoryDict]:
        """Return the newest entries, newest first."""
        return await self.store.run(self._sync.get_session_history, user_id, limit, survey_id=survey_id)

    async def list_sessions(self, limit: int = 100, *, survey_id: str | None = None) -> list[SessionDict]:
        """Return sessions of one survey, or of all, ordered by participant."""
        return await self.store.run(self._sync.list_sessions, limit, survey_id=survey_id)

    async def delete_session(self, user_id: str, *, survey_id: str | None = None) -> bool:
        """Erase the session; return whether there was one."""
        return await self.store.run(self._sync.delete_session, user_id, survey_id=survey_id)

    async def close(self) -> None:
        await asyncio.to_thread(self._sync.close)

    async def _submit(self, key: SessionKey, command: AnyCommand) -> bool:
        try:
            await self.store.submit_or_raise(key, command)
        except NoSuchSession:
            return False
        return True


async def get_database() -> AsyncDatabase:
    """Return the database of the blocking ``get_database``; a program can use both."""
    opened = database.opened_database()
    if opened is None:
        opened = await asyncio.to_thread(database.get_database)
    return AsyncDatabase(opened)


async def open_store(settings: Settings) -> AsyncSessionStore:
    """Open a store as the blocking ``open_store``."""
    return AsyncSessionStore(await asyncio.to_thread(sessions.open_store, settings))


def _run_in_thread(loop: asyncio.AbstractEventLoop, outcome: "asyncio.Future[T]", work: Callable[[], T]) -> None:
    if outcome.cancelled():
        return
    try:
        result: T | BaseException = work()
    except BaseException as error:  # noqa: BLE001 - the caller gets it
        result = error
    _resolve_from_thread(loop, outcome, result)


def _resolve_from_thread(
    loop: asyncio.AbstractEventLoop, outcome: "asyncio.Future[T]", result: T | BaseException
) -> None:
    with suppress(RuntimeError):  # the loop is closed: no task waits for the result
        loop.call_soon_threadsafe(_resolve, outcome, result)


def _resolve(outcome: "asyncio.Future[T]", result: T | BaseException) -> None:
    if outcome.done():  # cancelled
        return
    if isinstance(result, BaseException):
        outcome.set_exception(result)
    else:
        outcome.set_result(result)
