"""Begins sessions and submits commands to them."""

import logging
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import lru_cache, partial
from typing import Any, NotRequired, TypedDict, Unpack

from sqlalchemy import Connection

from ..core.deadline import SLOW, DeadlineThreads
from ..core.message_ids import new_message_id
from ..errors import (
    DatabaseUnavailable,
    InvalidInput,
    NoSuchSession,
    Overloaded,
    SessionUnreadable,
    StepkeepError,
    Unavailable,
    UnreadableHere,
    VersionConflict,
)
from ..observability import metrics
from ..settings import Settings
from ..survey import (
    Answered,
    AnyCommand,
    Begin,
    Draft,
    Expire,
    Given,
    SessionKey,
    SessionState,
    Snapshot,
    Survey,
    accept_parameters,
)
from ..writer import (
    Committed,
    OrmSession,
    PendingQueue,
    Queued,
    Rejected,
    Result,
    ResultCallback,
    TransactionTurns,
    Turn,
    Writer,
    WriteRequest,
)
from .command_stream import CommandStream
from .deferred_turns import DeferredTurns
from .erasure import SessionEraser
from .key_filter import SessionKeyFilter
from .queries import SessionQueries
from .subscribers import Subscriber, Subscribers
from .validation import check_command

JOIN_TIMEOUT_S = 3.0  # for a connecting participant's session
BUSY_S = 1.0  # if turns wait so long for the writer, no new participant is admitted: others are served first
JOINS = 64  # at once; more than the reading connections, each of which can hang for half a minute
READ_RETRY_S = 1.0  # no participant waits for a database that failed this recently

log = logging.getLogger("stepkeep.service")


class NewSession(TypedDict):
    """The fields of ``Begin``, with the parameters as the caller has them."""

    is_audio_mode: bool
    granted_at: NotRequired[int | None]
    languages: NotRequired[tuple[str, ...]]
    parameters: NotRequired[Given]


class SessionTurns:
    """Results are returned, and subscribers notified, only after COMMIT. Safe from any thread."""

    def __init__(  # noqa: PLR0913 - the parts of the store that change sessions
        self,
        settings: Settings,
        writer: Writer,
        queries: SessionQueries,
        eraser: SessionEraser,
        subscribers: Subscribers,
        key_filter: SessionKeyFilter,
        *,
        transaction_turns: TransactionTurns,
    ) -> None:
        self._settings = settings
        self._writer = writer
        self._queries = queries
        self._eraser = eraser
        self._subscribers = subscribers
        self._key_filter = key_filter
        self._transaction_turns = transaction_turns
        submit_many = partial(writer.submit_many, retry_lock_waits=False)
        self.pending = PendingQueue(settings, submit_many, queries.revisions.cached)
        subscribers.drop_callback = self.pending.discard
        self.deferred = DeferredTurns(settings.queue_limit, writer, self._follow_up)
        self._warn_once = lru_cache(maxsize=10_000)(_warn_of_condition)  # once per session and step
        self._joins = DeadlineThreads(JOINS)
        self._read_again_at = 0.0

    def get_or_create(self, key: SessionKey, **new: Unpack[NewSession]) -> tuple[Snapshot, bool]:
        """Return the session, begun if need be, and whether it existed; raise as :meth:`begin`, or Unauthorized."""
        snapshot = self.load(key)
        if snapshot is not None:
            return snapshot, True
        return self.begun(key, self._writer.submit(key, self.begin(key, **new)))

    def load(self, key: SessionKey) -> Snapshot | None:
        """Return the session; set an unreadable one aside, and return None."""
        try:
            return self._queries.load_with_survey(key)
        except SessionUnreadable as error:
            self._eraser.set_aside(key, error)
            return None

    def begin(self, key: SessionKey, **new: Unpack[NewSession]) -> Begin:
        """Return the command for :meth:`begun`; raise NoSuchSurvey, InvalidInput or Overloaded."""
        command = self._begin(key, **new)
        if self._writer.delay_s > BUSY_S:
            raise Overloaded(self._writer.waiting_turns)
        return command

    def begun(self, key: SessionKey, result: Result) -> tuple[Snapshot, bool]:
        self._key_filter.add(key)
        snapshot = result.snapshot
        if snapshot is None:  # pragma: no cover - Begin is accepted, or there is a session
            raise NoSuchSession(key.survey_id, key.user_id)
        return snapshot, isinstance(result, Rejected)

    def join(
        self, key: SessionKey, *, subscriber: Subscriber | None, callback: ResultCallback, **new: Unpack[NewSession]
    ) -> tuple[Snapshot, int, bool]:
        """Return a session, its stored version, and whether it existed.

        During an outage, a known session is returned as cached, and a certainly new one begins in memory (version 0).
        If one may exist, Unavailable is raised.
        """
        queued = self.pending.predicted(key)
        if queued is None:
            try:
                joined = self._try_to_join(key, **new)
            except (UnreadableHere, Overloaded):  # the database answered, or would
                raise
            except Unavailable:
                latest = self._subscribers.latest(key)
                if latest is not None:
                    return latest, latest.state.version, True
                if not self._key_filter.definitely_absent(key):
                    raise
                joined = None
            if joined is not None:
                snapshot, existed = joined
                return snapshot, snapshot.state.version, existed
            begin = self._begin(key, **new)
            if begin.granted_at is None:
                # An erasure meanwhile, in another process, ends what was begun before it, also for other callers.
                begin = replace(begin, granted_at=begin.at)
            queued = self._queue_begin(key, begin, subscriber, callback)
        return queued.snapshot, queued.version, queued.version > 0 or len(queued.snapshot.state.answers) > 0

    def submit(self, key: SessionKey, command: AnyCommand) -> Result:
        """Raise as ``Writer.submit``, or InvalidInput."""
        result = self._writer.submit(key, _checked(command))
        self._follow_up(key, result)
        return result

    def submit_in(self, transaction: Connection | OrmSession, key: SessionKey, command: AnyCommand) -> Result:
        """Apply a command in a transaction of the caller.

        Until that ends, no subscriber is notified, and the session's other turns wait.

        Args:
            transaction: of ``SessionStore.engine``, or of the caller's engine for the same database in READ COMMITTED.

        Raises:
            UnsuitableTransaction: turns can't be part of it.
            Unavailable: also after a deadlock or lock timeout. Roll back, and repeat the transaction later.
        """
        command = _checked(command)
        if self.pending.holds(key):
            raise Unavailable("Earlier turns of the session wait for the database. Repeat the transaction later.")
        follow_up = partial(self._follow_up_if_stored, key)
        return self._transaction_turns.submit(transaction, key, command, follow_up)

    def stream(self, call_soon: Callable[..., None]) -> CommandStream:
        return CommandStream(self._settings, self._writer, self.pending, self._follow_up, self._latest, call_soon)

    def defer(self, key: SessionKey, command: AnyCommand, callback: ResultCallback) -> WriteRequest:
        """Submit without waiting; the callback must not wait either."""
        return self.deferred.submit(key, _checked(command), callback)

    def submit_many(self, turns: Sequence[Turn]) -> list[Result | Exception]:
        """Return results or exceptions, in order; one transaction for ``batch_limit`` commands."""
        valid: list[Turn] = []
        invalid: dict[int, InvalidInput] = {}
        for number, (key, command) in enumerate(turns):
            try:
                valid.append((key, _checked(command)))
            except InvalidInput as problem:
                invalid[number] = problem
        submitted = iter(self._writer.submit_many(valid))
        results = [invalid[number] if number in invalid else next(submitted) for number in range(len(turns))]
        for (key, _), result in zip(turns, results, strict=True):
            self._follow_up(key, result)
        return results

    def submit_or_raise(self, key: SessionKey, command: AnyCommand) -> Committed:
        return self.committed_or_raise(key, command, self.submit(key, command))

    @staticmethod
    def committed_or_raise(key: SessionKey, command: AnyCommand, result: Result) -> Committed:
        if isinstance(result, Committed):
            return result
        if result.rejection.code == "version_conflict":
            version = result.snapshot.state.version if result.snapshot is not None else 0
            raise VersionConflict(command.expected_version or 0, version)
        raise NoSuchSession(key.survey_id, key.user_id)

    def receive(self, key: SessionKey, version: int) -> None:
        if version <= self._subscribers.newest_version(key):
            return
        with suppress(SessionUnreadable):
            snapshot = self._queries.load(key)
            if snapshot is None or snapshot.state.version <= self._subscribers.newest_version(key):
                return  # this process's own commit: its notification is slower than its result
            if self.pending.holds(key):
                # It may contain pending turns whose commit seemed to fail: their senders get acks.
                self.pending.rebase(snapshot)
            else:
                self._subscribers.publish_here(snapshot)

    def close(self) -> None:
        """Enqueue deferred turns for ``Writer.close`` to commit."""
        self.pending.close()
        self.deferred.close()
        self._joins.close()

    def _try_to_join(self, key: SessionKey, **new: Unpack[NewSession]) -> tuple[Snapshot, bool] | None:
        """Fail at once for READ_RETRY_S after a failure. Return None if no turns are accepted now."""
        now = time.monotonic()
        if now < self._read_again_at:
            raise DatabaseUnavailable("a recent read failed")
        if self._read_again_at:
            self._read_again_at = now + JOIN_TIMEOUT_S  # others do not wait for this attempt
        try:
            joined = self._joins.run(JOIN_TIMEOUT_S, partial(self._load_or_create, key, **new))
        except DatabaseUnavailable as error:
            now = time.monotonic()
            is_busy = self._writer.committed_at > now - JOIN_TIMEOUT_S or self._writer.is_blocked(key)
            if error.problem == SLOW and is_busy:
                raise Overloaded(self._writer.waiting_turns) from None
            self._read_again_at = now + READ_RETRY_S
            raise
        except StepkeepError:
            self._read_again_at = 0.0
            raise
        self._read_again_at = 0.0
        return joined

    def _load_or_create(self, key: SessionKey, **new: Unpack[NewSession]) -> tuple[Snapshot, bool] | None:
        snapshot = self.load(key)
        if snapshot is not None:
            self._key_filter.add(key)
            return snapshot, True
        if self.pending.is_unavailable:
            return None
        return self.begun(key, self._writer.submit(key, self.begin(key, **new)))

    def _begin(self, key: SessionKey, *, parameters: Given | None = None, **new: Any) -> Begin:  # noqa: ANN401 - of Begin
        accepted = accept_parameters(self._queries.catalogue.survey(key.survey_id).parameters, parameters or Given())
        return Begin(at=self._queries.clock(), parameters=accepted, **new)

    def _queue_begin(
        self, key: SessionKey, begin: Begin, subscriber: Subscriber | None, callback: ResultCallback
    ) -> Queued:
        def finish(result: Result | Exception) -> None:
            self._follow_up(key, result, subscriber)
            callback(result)

        survey = self._queries.catalogue.survey(key.survey_id)
        queued = self.pending.accept(key, begin, lambda: (None, survey), finish)
        if isinstance(queued, Rejected):  # pragma: no cover - a Begin has no value to validate
            raise DatabaseUnavailable("the session can't be queued")
        return queued

    def _follow_up(self, key: SessionKey, result: Result | Exception, sender: Subscriber | None = None) -> None:
        """Notify subscribers of a commit; never raise."""
        if isinstance(result, Committed):  # duplicates too: a commit whose reply was lost is one for its retry
            try:
                self._publish(key, result, sender)
            except Exception:
                log.exception("Unexpected error after a commit; the sender gets its result.")

    def _publish(self, key: SessionKey, result: Committed, sender: Subscriber | None) -> None:
        if isinstance(result.event, Answered):
            for step in result.event.failed_conditions:
                metrics.FAILED_CONDITIONS.inc()
                self._warn_once(key, step)
        if result.version == 1:
            self._key_filter.add(key)
        if self.pending.holds(key):
            self.pending.rebase(result.snapshot)
        self._subscribers.publish(result.snapshot, sender)

    def _follow_up_if_stored(self, key: SessionKey, result: Committed) -> None:
        self._key_filter.add(key)
        # A COMMIT seems to succeed after errors that rolled back, e.g. a deadlock, if the caller ignored them.
        with suppress(Unavailable):  # others find the turn by polling
            if self._queries.versions([key]).get(key, 0) >= result.snapshot.state.version:
                self._follow_up(key, result)

    def _latest(self, key: SessionKey) -> tuple[SessionState | None, Survey | None]:
        latest = self._subscribers.latest(key)
        return (None, None) if latest is None else (latest.state, latest.survey)


def _checked(command: AnyCommand) -> AnyCommand:
    """Check a command; add a message id, so that a retry after an unknown outcome is idempotent."""
    check_command(command)
    if command.message_id is not None or isinstance(command, Begin | Draft | Expire):  # idempotent without one
        return command
    return replace(command, message_id=new_message_id())


def _warn_of_condition(key: SessionKey, step: str) -> None:
    log.warning(
        "A condition of step %s cannot be evaluated for the answers of a session, so its rule does not apply.",
        step,
        extra={"survey_id": key.survey_id, "user_id": key.user_id},
    )
