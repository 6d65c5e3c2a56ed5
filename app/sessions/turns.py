"""Begins sessions and submits commands to them."""

import logging
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from functools import lru_cache, partial

from ..core.deadline import MAX_CALLS, run_with_timeout
from ..core.message_ids import new_message_id
from ..errors import (
    DatabaseUnavailable,
    NoSuchSession,
    SessionUnreadable,
    Unavailable,
    UnreadableHere,
    VersionConflict,
)
from ..observability import metrics
from ..settings import Settings
from ..survey import Answered, AnyCommand, Begin, Draft, Expire, SessionKey, SessionState, Snapshot, Survey
from ..writer import Committed, PendingQueue, Queued, Rejected, Result, ResultCallback, Turn, Writer
from .erasure import SessionEraser
from .key_filter import SessionKeyFilter
from .queries import SessionQueries
from .subscribers import Subscriber, Subscribers
from .validation import check_command, validate_command

JOIN_TIMEOUT_S = 3.0
"""For a connecting participant's session."""

READ_RETRY_S = 1.0
"""No participant waits for a database that failed this recently."""


log = logging.getLogger("stepkeep.service")


class SessionTurns:
    """Every way to change a session but erasure. Safe from any thread.

    Results are returned, and subscribers notified, only after COMMIT.
    """

    def __init__(
        self,
        settings: Settings,
        writer: Writer,
        queries: SessionQueries,
        eraser: SessionEraser,
        subscribers: Subscribers,
        key_filter: SessionKeyFilter,
    ) -> None:
        self._pending_after_s = settings.pending_after_s
        self._writer = writer
        self._queries = queries
        self._eraser = eraser
        self._subscribers = subscribers
        self._key_filter = key_filter
        self.pending = PendingQueue(
            settings, partial(writer.submit_many, retry_lock_waits=False), queries.revisions.cached
        )
        subscribers.drop_callback = self.pending.discard
        self._warn_once = lru_cache(maxsize=10_000)(_warn_of_condition)  # once per session and step
        self._join_slots = threading.BoundedSemaphore(MAX_CALLS)
        self._read_again_at = 0.0

    def get_or_create(
        self, key: SessionKey, *, is_audio_mode: bool, granted_at: int | None = None
    ) -> tuple[Snapshot, bool]:
        """Return the session, begun if there was none or it is unreadable, and whether it existed.

        Args:
            granted_at: see ``Begin``.

        Raises:
            NoSuchSurvey: there is neither a session nor the survey.
            Unauthorized: there is none, and the participant's access has been revoked, e.g. by an erasure.
            Unavailable: the database did not answer.
        """
        try:
            snapshot = self._queries.load_with_survey(key)
        except SessionUnreadable as error:
            self._eraser.set_aside(key, error)
            snapshot = None
        if snapshot is not None:
            return snapshot, True
        self._queries.catalogue.survey(key.survey_id)
        begin = Begin(at=self._queries.clock(), is_audio_mode=is_audio_mode, granted_at=granted_at)
        result = self._writer.submit(key, begin)
        self._key_filter.add(key)
        snapshot = result.snapshot
        if snapshot is None:  # pragma: no cover - Begin is accepted, or there is a session
            raise NoSuchSession(key.survey_id, key.user_id)
        return snapshot, isinstance(result, Rejected)

    def join(
        self,
        key: SessionKey,
        *,
        is_audio_mode: bool,
        granted_at: int | None = None,
        subscriber: Subscriber | None,
        callback: ResultCallback,
    ) -> tuple[Snapshot, int, bool]:
        """Return a connecting participant's session, its stored version, and whether it existed.

        During an outage, a known session is returned as cached, and a certainly new participant begins one that is
        stored later (version 0).

        Args:
            granted_at: see ``Begin``.
            subscriber: not notified of that beginning; ``callback`` gets its result.

        Raises:
            NoSuchSurvey, Unauthorized: as :meth:`get_or_create`.
            Unavailable: during an outage, and a session may exist.
        """
        queued = self.pending.predicted(key)
        if queued is None:
            try:
                joined = self._try_to_join(key, is_audio_mode=is_audio_mode, granted_at=granted_at)
            except UnreadableHere:  # the database answered
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
            at = self._queries.clock()
            # An erasure meanwhile, in another process, ends what was begun before it, also for other callers.
            begin = Begin(at=at, is_audio_mode=is_audio_mode, granted_at=at if granted_at is None else granted_at)
            queued = self._queue_begin(key, begin, self._with_follow_up(key, subscriber, callback))
        return queued.snapshot, queued.version, queued.version > 0 or len(queued.snapshot.state.answers) > 0

    def submit(self, key: SessionKey, command: AnyCommand) -> Result:
        """Return the committed result, or the rejection.

        Raises:
            Unavailable, MessageIdReused, SessionUnreadable: see ``Writer.submit``.
            InvalidInput: values can't be saved.
        """
        check_command(command)
        result = self._writer.submit(key, _with_message_id(command))
        if isinstance(result, Committed):
            self._follow_up(key, result, None)
        return result

    def submit_or_queue(
        self, key: SessionKey, command: AnyCommand, subscriber: Subscriber, callback: ResultCallback
    ) -> Result | Queued:
        """Return the committed result of a participant's command, or queue it.

        The command's values must be strict JSON. It waits at most STEPKEEP_PENDING_AFTER_S. Until an outage's queue is
        committed, commands are decided in memory, in order.

        Args:
            subscriber: the sender, not notified.
            callback: gets a queued command's result, in another thread.

        Raises:
            Overloaded: the queue is full; nothing was done.
            UnreadableHere, MessageIdReused, SessionUnreadable: as :meth:`submit`.
        """
        if not self.pending.is_unavailable and not self.pending.holds(key):
            try:
                result = self._writer.submit(key, command, within_s=self._pending_after_s)
            except UnreadableHere:  # waiting does not change this
                raise
            except Unavailable:
                pass
            else:
                if isinstance(result, Committed):
                    self._follow_up(key, result, subscriber)
                return result
        callback = self._with_follow_up(key, subscriber, callback)
        return self.pending.accept(key, command, partial(self._latest, key), callback)

    def submit_many(self, turns: Sequence[Turn]) -> list[Result | Exception]:
        """Return each command's result or exception, in order.

        One transaction for ``batch_limit`` of them.
        """
        invalid = {number: problem for number, turn in enumerate(turns) if (problem := validate_command(turn[1]))}
        valid = [(key, _with_message_id(command)) for n, (key, command) in enumerate(turns) if n not in invalid]
        submitted = iter(self._writer.submit_many(valid))
        results = [invalid[number] if number in invalid else next(submitted) for number in range(len(turns))]
        for (key, _), result in zip(turns, results, strict=True):
            if isinstance(result, Committed):
                self._follow_up(key, result, None)
        return results

    def submit_or_raise(self, key: SessionKey, command: AnyCommand) -> Committed:
        """Return the committed result of an integrator's command.

        Raises:
            NoSuchSession: there is none.
            VersionConflict: not at ``expected_version``.
        """
        result = self.submit(key, command)
        if isinstance(result, Committed):
            return result
        if result.rejection.code == "version_conflict":
            version = result.snapshot.state.version if result.snapshot is not None else 0
            raise VersionConflict(command.expected_version or 0, version)
        raise NoSuchSession(key.survey_id, key.user_id)

    def receive(self, key: SessionKey, version: int) -> None:
        """Load and publish another process's commit.

        Raises:
            Unavailable: the database did not answer.
        """
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

    def _try_to_join(
        self, key: SessionKey, *, is_audio_mode: bool, granted_at: int | None
    ) -> tuple[Snapshot, bool] | None:
        """Join within JOIN_TIMEOUT_S; fail at once for READ_RETRY_S after a failure.

        None: no session, and no turns accepted now.
        """
        if time.monotonic() < self._read_again_at:
            raise DatabaseUnavailable("a recent read failed")
        try:
            load = partial(self._load_or_create, key, is_audio_mode=is_audio_mode, granted_at=granted_at)
            return run_with_timeout(self._join_slots, JOIN_TIMEOUT_S, load)
        except DatabaseUnavailable:
            self._read_again_at = time.monotonic() + READ_RETRY_S
            raise

    def _load_or_create(
        self, key: SessionKey, *, is_audio_mode: bool, granted_at: int | None
    ) -> tuple[Snapshot, bool] | None:
        with suppress(SessionUnreadable):
            snapshot = self._queries.load_with_survey(key)
            if snapshot is not None:
                self._key_filter.add(key)
                return snapshot, True
            if self.pending.is_unavailable:
                return None
        return self.get_or_create(key, is_audio_mode=is_audio_mode, granted_at=granted_at)

    def _queue_begin(self, key: SessionKey, begin: Begin, callback: ResultCallback) -> Queued:
        survey = self._queries.catalogue.survey(key.survey_id)
        queued = self.pending.accept(key, begin, lambda: (None, survey), callback)
        if isinstance(queued, Rejected):  # pragma: no cover - a Begin has no value to validate
            raise DatabaseUnavailable("the session can't be queued")
        return queued

    def _follow_up(self, key: SessionKey, result: Committed, sender: Subscriber | None) -> None:
        # Duplicates too: a retry finds a commit whose reply was lost as one.
        if isinstance(result.event, Answered):
            for step in result.event.failed_conditions:
                metrics.FAILED_CONDITIONS.inc()
                self._warn_once(key, step)
        if result.version == 1:
            self._key_filter.add(key)
        if self.pending.holds(key):
            self.pending.rebase(result.snapshot)
        self._subscribers.publish(result.snapshot, sender)

    def _with_follow_up(self, key: SessionKey, sender: Subscriber | None, callback: ResultCallback) -> ResultCallback:
        def follow_up(result: Result | Exception) -> None:
            if isinstance(result, Committed):
                self._follow_up(key, result, sender)
            callback(result)

        return follow_up

    def _latest(self, key: SessionKey) -> tuple[SessionState | None, Survey | None]:
        latest = self._subscribers.latest(key)
        return (None, None) if latest is None else (latest.state, latest.survey)


def _with_message_id(command: AnyCommand) -> AnyCommand:
    """So that a retry after an unknown outcome is idempotent, as Begin, Draft and Expire are."""
    if command.message_id is not None or isinstance(command, Begin | Draft | Expire):
        return command
    return replace(command, message_id=new_message_id())


def _warn_of_condition(key: SessionKey, step: str) -> None:
    log.warning(
        "A condition of step %s cannot be evaluated for the answers of a session, so its rule does not apply.",
        step,
        extra={"survey_id": key.survey_id, "user_id": key.user_id},
    )
