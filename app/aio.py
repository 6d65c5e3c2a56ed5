"""The Python API for asyncio: the same sessions, store and rules as the blocking one, awaited.

::

    from stepkeep.aio import get_database

    db = await get_database()
    await db.save_session(user_id="user123", current_step="S1", answers={}, step_history=[])

Turns take no thread: the store's writer commits those of all tasks, threads and loops together, and its results resolve
their futures. Reads and erasures are calls of a blocking driver: up to eight threads of the store run them.

A cancelled call has an unknown outcome: its turn is committed once or not at all. Submit the same command again, with
the same message id: it is applied unless it was, and then has ``duplicate`` set.

Every object can be used by several event loops in several threads at once, and on any loop with asyncio's interface,
such as uvloop. Trio and AnyIO's Trio backend are not supported.
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
from .survey import NOTHING_GIVEN, AnyCommand, Given, SessionKey, Snapshot
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
    """Durable survey sessions, for asyncio.

    ``async with`` closes it.

    Attributes:
        sync: the same store for blocking code; pass its slow functions to :meth:`run`.
    """

    def __init__(self, store: SessionStore) -> None:
        self.sync = store

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    def now(self) -> int:
        """Return the time for a command's ``at``: microseconds since 1970 UTC, never going back."""
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

        Args:
            languages: tags that the participant wants, the best first.
            parameters: what the survey's parameters are taken from: ``Given(api=...)`` in a program.

        Raises:
            NoSuchSurvey: there is neither a session nor the survey.
            InvalidInput: there is none, and one of the survey's parameters is wrong or missing.
            Unauthorized: there is none, and the participant's access has been revoked, e.g. by an erasure.
            Unavailable: as :meth:`submit`.
        """
        snapshot = await self.run(self.sync.turns.load, key)
        if snapshot is not None:
            return snapshot, True
        command = self.sync.turns.begin(
            key, is_audio_mode=is_audio_mode, languages=languages, parameters=parameters or NOTHING_GIVEN
        )
        return self.sync.turns.begun(key, await self.submit(key, command))

    async def submit(self, key: SessionKey, command: AnyCommand) -> Result:
        """Return the committed result, or the rejection by the survey's rules.

        Concurrent calls share transactions. While the queue is full, or the writer is slow, the call waits for
        STEPKEEP_QUEUE_TIMEOUT_S.

        Raises:
            InvalidInput: values can't be saved.
            Overloaded: the wait was too long; nothing was done.
            DatabaseUnavailable: not committed, or the outcome is unknown; safe to submit again with a message id.
            MessageIdReused: another command had its message id.
            SessionUnreadable: the stored session can't be read.
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
        """Return the committed result of an integrator's command.

        Raises:
            NoSuchSession: there is none.
            VersionConflict: not at ``expected_version``.
            Unavailable and others: as :meth:`submit`.
        """
        return self.sync.turns.committed_or_raise(key, command, await self.submit(key, command))

    async def load(self, key: SessionKey) -> Snapshot | None:
        """Return the session.

        Raises:
            SessionUnreadable: the stored session can't be read.
            Unavailable: the database did not answer, or another release wrote it.
        """
        return await self.run(self.sync.queries.load, key)

    async def history(
        self, key: SessionKey, *, after_version: int = 0, limit: int = 100, newest_first: bool = False
    ) -> list[HistoryEntry]:
        """Return events after a version.

        Raises:
            SessionUnreadable, Unavailable: as :meth:`load`.
        """
        read = self.sync.queries.history
        return await self.run(read, key, after_version=after_version, limit=limit, newest_first=newest_first)

    async def run(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Return what a blocking function returns, for instance ``sync.queries.at_version``, called in a thread.

        Eight run at once, others wait. A function that has begun runs on after a cancellation.

        Raises:
            DatabaseUnavailable: no thread can be started.
        """
        loop = asyncio.get_running_loop()
        outcome: asyncio.Future[T] = loop.create_future()
        context = contextvars.copy_context()
        work = partial(context.run, partial(function, *args, **kwargs))
        self.sync.threads.start(partial(_run_in_thread, loop, outcome, work))
        return await outcome

    async def close(self) -> None:
        """Commit the submitted turns, and close; later calls raise DatabaseUnavailable, as do waiting erasures."""
        await asyncio.to_thread(self.sync.close)


class AsyncDatabase:
    """:class:`~.database.Database` for asyncio: the same functions, arguments, results and errors.

    Attributes:
        store: the sessions, to submit commands under the survey's rules.
    """

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
        """Replace the session's whole state, or create it; True: committed.

        Args:
            answers: any JSON, by step.
            step_history: oldest first, without the current step.

        Raises:
            InvalidInput: nothing was written.
            Unavailable: not saved now; repeating it is safe, as after a cancellation.
        """
        key = self._requests.key(user_id, survey_id)
        command = self._requests.save(
            step_history,
            current_step=current_step,
            answers=answers,
            is_audio_mode=is_audio_mode,
            session_data=session_data,
        )
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
        """Return the session, begun at the survey's first step if there is none; as ``Database.begin_session``."""
        begin = partial(
            self._sync.begin_session,
            user_id,
            survey_id=survey_id,
            is_audio_mode=is_audio_mode,
            language=language,
            parameters=parameters,
        )
        return await self.store.run(begin)

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
        """Change the parts of the session's state that are not None; ``{}`` clears ``session_data``.

        Returns:
            True: committed. False: no such session.

        Raises:
            InvalidInput, Unavailable: as :meth:`save_session`.
        """
        command = self._requests.update(
            step_history,
            current_step=current_step,
            answers=answers,
            is_audio_mode=is_audio_mode,
            session_data=session_data,
        )
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
        """Add an entry to the history only; repeated after a cancellation, there may be two.

        Returns:
            True: committed. False: no such session.
        """
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
        """Commit what was submitted, and close; the next :func:`get_database` opens the database again."""
        await asyncio.to_thread(self._sync.close)

    async def _submit(self, key: SessionKey, command: AnyCommand) -> bool:
        try:
            await self.store.submit_or_raise(key, command)
        except NoSuchSession:
            return False
        return True


async def get_database() -> AsyncDatabase:
    """Return this process's database, opened at the first call, in a thread.

    It is the one of the blocking ``get_database``: a program can use both.

    Raises:
        ConfigurationError: a setting, a survey file or the database prevents it.
    """
    opened = database.opened_database()
    if opened is None:
        opened = await asyncio.to_thread(database.get_database)
    return AsyncDatabase(opened)


async def open_store(settings: Settings) -> AsyncSessionStore:
    """Return the store that the settings describe, opened in a thread.

    A SQLite database is created and upgraded; another must have the newest schema.

    Raises:
        ConfigurationError: a survey file, the database or its schema can't be used.
    """
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
