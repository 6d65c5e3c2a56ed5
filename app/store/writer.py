"""Group commit: the commands of many sessions in one transaction.

A caller that finds the writer idle commits what waits, himself (the leader); the others wait for him
(the followers). So one caller alone pays no hand-over, and many share one flush. Commands of one
session are decided in the order in which they were submitted. No thread of its own: nothing to start,
nothing to stop but the queue.
"""

import hashlib
import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import orjson
from sqlalchemy import Connection, Engine
from sqlalchemy.exc import SQLAlchemyError

from app.errors import DatabaseUnavailable, MessageIdReused, Overloaded, SessionUnreadable
from app.settings import Settings
from app.store import history
from app.store.history import KnownMessage, SessionKey
from app.store.retry import may_pass, retrying
from app.survey.commands import AnyCommand, Begin, Restart
from app.survey.definition import Survey
from app.survey.events import AnyEvent
from app.survey.flow import Rejection, decide
from app.survey.state import SessionState, apply

T = TypeVar("T")

SurveyFor = Callable[[Connection, str, str | None], Survey | None]
"""Gives the survey of an id and a revision (the newest for None); None where there is none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What came of one command, committed.

    Attributes:
        version: the one that the command made; of an earlier time if ``duplicate``.
        duplicate: it had been applied before, and nothing was done again.
        state: the session as it is now.
        survey: the definition that the session is pinned to.
        event: what happened now; None if ``duplicate``.
    """

    version: int
    duplicate: bool
    state: SessionState
    survey: Survey | None
    event: AnyEvent | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """A command that the survey's rules refuse; nothing was saved."""

    rejection: Rejection
    state: SessionState | None
    survey: Survey | None


Result = Outcome | Refused


@dataclass(slots=True, eq=False)
class _Ticket:
    """One caller's place in the queue."""

    work: "list[tuple[SessionKey, AnyCommand]] | Callable[[Connection], Any]"
    answer: Any = None
    error: Exception | None = None
    leads: bool = False
    woken: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        self.woken.acquire()

    def wait(self, timeout_s: float) -> bool:
        return self.woken.acquire(timeout=timeout_s)


class Writer:
    """The only writer of a database in this process. Any thread may call it.

    Args:
        engine: of ``writer_engine``.
        survey_for: finds the definition that a session is pinned to.
    """

    def __init__(self, engine: Engine, settings: Settings, survey_for: SurveyFor) -> None:
        self._engine = engine
        self._settings = settings
        self._survey_for = survey_for
        self._mutex = threading.Lock()
        self._waiting: deque[_Ticket] = deque()
        self._is_led = False

    def submit(self, key: SessionKey, command: AnyCommand) -> Result:
        """Return what came of the command; committed when it returns an Outcome.

        Raises:
            DatabaseUnavailable: it was not committed, or that is not known; sending the same command
                again is safe if it has a message id.
            MessageIdReused: its message id was another command's.
            Overloaded: too many wait, or this one waited too long; nothing was done.
            SessionUnreadable: the stored session can't be read.
        """
        result = self.submit_many([(key, command)])[0]
        if isinstance(result, Exception):
            raise result
        return result

    def submit_many(self, work: Sequence[tuple[SessionKey, AnyCommand]]) -> list[Result | Exception]:
        """Return what came of each command, in order; one that fails doesn't fail the others.

        Raises:
            DatabaseUnavailable, Overloaded: as for :meth:`submit`, for all of them.
        """
        results: list[Result | Exception] = self._hand_in(_Ticket(list(work)))
        return results

    def run(self, work: Callable[[Connection], T]) -> T:
        """Return what ``work`` returns, done in a transaction of its own, in its turn.

        Raises:
            DatabaseUnavailable, Overloaded: as for :meth:`submit`.
        """
        answer: T = self._hand_in(_Ticket(work))
        return answer

    def _hand_in(self, ticket: _Ticket) -> Any:  # noqa: ANN401 - what the ticket's work returns
        with self._mutex:
            if len(self._waiting) >= self._settings.queue_limit:
                raise Overloaded(len(self._waiting))
            self._waiting.append(ticket)
            ticket.leads = not self._is_led
            self._is_led = True
        try:
            if not ticket.leads and not ticket.wait(self._settings.queue_timeout_s):
                self._withdraw(ticket)
        except BaseException:
            self._abandon(ticket)
            raise
        if ticket.leads:
            self._lead(ticket)
        if ticket.error is not None:
            raise ticket.error
        return ticket.answer

    def _withdraw(self, ticket: _Ticket) -> None:
        """Take the ticket out of the queue; if it is being committed already, wait for that."""
        with self._mutex:
            if ticket in self._waiting and not ticket.leads:
                self._waiting.remove(ticket)
                raise Overloaded(len(self._waiting))
        ticket.wait(-1)

    def _abandon(self, ticket: _Ticket) -> None:
        """Leave the queue, by a time-out or an interrupted wait; pass on the lead if it was given here."""
        with self._mutex:
            if ticket in self._waiting:
                self._waiting.remove(ticket)
            leads = ticket.leads
        if leads:
            self._hand_over()

    def _lead(self, own: _Ticket) -> None:
        """Commit batches until the leader's own command is done, then hand over."""
        own_done = False
        try:
            while not own_done:
                batch = self._take()
                own_done = own in batch
                try:
                    self._commit(batch)
                finally:
                    for ticket in batch:
                        if ticket is not own:
                            ticket.woken.release()
        finally:
            self._hand_over()

    def _hand_over(self) -> None:
        with self._mutex:
            if self._waiting:
                self._waiting[0].leads = True
                self._waiting[0].woken.release()
            else:
                self._is_led = False

    def _take(self) -> list[_Ticket]:
        """Take what waits: commands together, other work alone."""
        with self._mutex:
            batch = [self._waiting.popleft()]
            if not isinstance(batch[0].work, list):
                return batch
            size = len(batch[0].work)
            while self._waiting and isinstance(self._waiting[0].work, list):
                size += len(self._waiting[0].work)
                if size > self._settings.batch_limit:
                    break
                batch.append(self._waiting.popleft())
            return batch

    def _commit(self, batch: list[_Ticket]) -> None:  # noqa: C901 - each kind of failure, once
        """Give each ticket its answer or its error."""
        try:
            answers = retrying(self._settings)(self._transaction, batch)
        except SQLAlchemyError as error:
            if len(batch) > 1 and not may_pass(error):
                # One row that the database refuses must not fail the others: each alone.
                for ticket in batch:
                    self._commit([ticket])
                return
            for ticket in batch:
                ticket.error = _unavailable(error)
        except Exception as error:  # noqa: BLE001 - its caller gets it, and the writer goes on
            if len(batch) > 1:
                for ticket in batch:
                    self._commit([ticket])
                return
            batch[0].error = error
        except BaseException:
            # The leader's thread is being ended (a worker's time-out): its followers must not take
            # the missing answer for a commit.
            for ticket in batch:
                ticket.error = DatabaseUnavailable("interrupted")
            raise
        else:
            for ticket, answer in zip(batch, answers, strict=True):
                ticket.answer = answer

    def _transaction(self, batch: list[_Ticket]) -> list[Any]:
        with self._engine.connect() as connection, connection.begin():
            first = batch[0].work
            if not isinstance(first, list):
                return [first(connection)]
            parts = [ticket.work for ticket in batch if isinstance(ticket.work, list)]
            results = iter(self._decide_all(connection, [item for part in parts for item in part]))
            return [[next(results) for _ in part] for part in parts]

    def _decide_all(
        self, connection: Connection, work: list[tuple[SessionKey, AnyCommand]]
    ) -> list[Result | Exception]:
        """Decide each command on the state that the one before left; write what happened."""
        keys = list(dict.fromkeys(key for key, _ in work))
        read = history.read_states(connection, keys, locked=True)
        batch = _Batch(
            connection=connection,
            survey_for=self._survey_for,
            states=dict(read),
            known=history.read_known_messages(
                connection,
                [(key, command.message_id) for key, command in work if command.message_id is not None],
            ),
        )
        results = [batch.decide(key, command) for key, command in work]
        batch.write(existing=frozenset(read))
        return results


@dataclass(slots=True, kw_only=True)
class _Batch:
    """The commands of one transaction: what was read, and what is to be written."""

    connection: Connection
    survey_for: SurveyFor
    states: dict[SessionKey, SessionState | SessionUnreadable]
    known: dict[tuple[SessionKey, str], KnownMessage]
    entries: list[tuple[SessionKey, int, AnyEvent, str | None, str | None]] = field(default_factory=list)
    changed: dict[SessionKey, tuple[SessionState, int | None]] = field(default_factory=dict)

    def decide(self, key: SessionKey, command: AnyCommand) -> Result | Exception:
        state = self.states.get(key)
        if isinstance(state, SessionUnreadable):
            return state
        survey = self._survey(key, state, command)
        fingerprint = None if command.message_id is None else fingerprint_of(command)
        if command.message_id is not None and (key, command.message_id) in self.known:
            seen = self.known[key, command.message_id]
            if state is None or seen.fingerprint not in {None, fingerprint}:
                return MessageIdReused(command.message_id)
            return Outcome(version=seen.version, duplicate=True, state=state, survey=survey, event=None)
        event = decide(survey, state, command)
        if isinstance(event, Rejection):
            return Refused(rejection=event, state=state, survey=survey)
        return self._accept(key, state, survey, event, command.message_id, fingerprint)

    def write(self, existing: frozenset[SessionKey]) -> None:
        history.write_states(
            self.connection,
            {key: value for key, value in self.changed.items() if key not in existing},
            {key: value for key, value in self.changed.items() if key in existing},
        )
        history.append(self.connection, self.entries)

    def _survey(self, key: SessionKey, state: SessionState | None, command: AnyCommand) -> Survey | None:
        begins = state is None or isinstance(command, Begin | Restart)
        revision = None if begins or state is None else state.survey_revision
        return self.survey_for(self.connection, key.survey_id, revision)

    def _accept(
        self,
        key: SessionKey,
        state: SessionState | None,
        survey: Survey | None,
        event: AnyEvent,
        message_id: str | None,
        fingerprint: str | None,
    ) -> Outcome:
        after = apply(state, event)
        self.states[key] = after
        self.entries.append((key, after.version, event, message_id, fingerprint))
        self.changed[key] = (after, _expires_at(survey, after))
        if message_id is not None:
            self.known[key, message_id] = KnownMessage(version=after.version, fingerprint=fingerprint)
        return Outcome(version=after.version, duplicate=False, state=after, survey=survey, event=event)


def fingerprint_of(command: AnyCommand) -> str:
    """Return a hash of what the command asks: the same id with another content is a mistake."""
    asked = {
        name: getattr(command, name)
        for name in command.__dataclass_fields__
        if name not in {"at", "message_id", "expected_version"}
    }
    text = orjson.dumps([type(command).__name__, asked], option=orjson.OPT_SORT_KEYS)
    return hashlib.blake2b(text, digest_size=12).hexdigest()


def _expires_at(survey: Survey | None, state: SessionState) -> int | None:
    if survey is None or survey.expires_after_us is None or state.status != "in_progress":
        return None
    return state.updated_at + survey.expires_after_us


def _unavailable(error: SQLAlchemyError) -> DatabaseUnavailable:
    # Only the driver's error type: its text can hold the SQL's parameters, and these are answers.
    original = getattr(error, "orig", None) or error
    failure = DatabaseUnavailable(type(original).__name__)
    failure.__cause__ = error
    return failure
