"""Commands from an event loop, which never waits for the database."""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from time import monotonic

from ..errors import Overloaded, StepkeepError, Unavailable, UnreadableHere
from ..settings import Settings
from ..survey import AnyCommand, SessionKey, SessionState, Survey
from ..writer import PendingQueue, Queued, Result, Writer, WriteRequest
from .subscribers import Subscriber

log = logging.getLogger("stepkeep.service")

StreamCallback = Callable[[Result | Queued | Exception], None]  # in the loop's thread; after a Queued, called again

LONGEST_STEP_S = 0.2  # counted at most between two checks: if these are late, the writer's thread is, too


@dataclass(slots=True, eq=False)
class _Sent:
    key: SessionKey
    command: AnyCommand
    subscriber: Subscriber
    callback: StreamCallback
    submitted_at: float  # monotonic
    check_at: float  # in the stream's own time


class CommandStream:
    """Submits commands in order, those of a round of the loop together. For one thread; values must be strict JSON.

    Commands that still wait after STEPKEEP_QUEUE_TIMEOUT_S are refused. If nothing is committed for
    STEPKEEP_PENDING_AFTER_S, commands are decided in memory.
    """

    def __init__(
        self,
        settings: Settings,
        writer: Writer,
        pending: PendingQueue,
        follow_up: Callable[[SessionKey, Result | Exception, Subscriber], None],
        latest: Callable[[SessionKey], tuple[SessionState | None, Survey | None]],
        call_soon: Callable[..., None],
    ) -> None:
        self._pending_after_s = settings.pending_after_s
        self._queue_timeout_s = settings.queue_timeout_s
        self._queue_limit = settings.queue_limit
        self._writer = writer
        self._pending = pending
        self._follow_up = follow_up
        self._latest = latest
        self._call_soon = call_soon
        self._on_result = partial(call_soon, self._settle)
        self._waited_s = 0.0  # stands still while this thread does not run
        self._checked_at = self._seen_commit_at = 0.0
        self._progress_at = 0.0
        self._batch: list[WriteRequest] = []
        self._under_way: dict[WriteRequest, _Sent] = {}

    def submit(self, key: SessionKey, command: AnyCommand, subscriber: Subscriber, callback: StreamCallback) -> None:
        sent = _Sent(key, command, subscriber, callback, monotonic(), self._waited_s + self._pending_after_s)
        if self._pending.is_unavailable or self._pending.holds(key):
            self._call_soon(self._queue, sent)
            return
        request = WriteRequest([(key, command)], retry_lock_waits=False, callback=self._on_result)
        self._under_way[request] = sent
        self._batch.append(request)

    def flush(self) -> bool:
        if not self._batch or self._writer.waiting_turns >= self._queue_limit:
            return False
        requests, self._batch = self._batch, []
        self._writer.enqueue(requests)
        return True

    def check(self, now: float) -> None:
        """Call this several times a second."""
        self._waited_s += min(now - self._checked_at, LONGEST_STEP_S)
        self._checked_at = now
        if self._writer.committed_at != self._seen_commit_at:
            self._seen_commit_at, self._progress_at = self._writer.committed_at, self._waited_s
        for request, sent in list(self._under_way.items()):
            if sent.check_at > self._waited_s and not request.is_blocked:
                continue
            # A blocked request waits for a caller's transaction, which says nothing about the database.
            progress_at = self._waited_s if request.is_blocked else self._progress_at
            sent.check_at = progress_at + self._pending_after_s
            is_busy, has_time = sent.check_at > self._waited_s, now - sent.submitted_at < self._queue_timeout_s
            if is_busy and (has_time or not self._writer.withdraw(request)):
                continue
            del self._under_way[request]
            if is_busy:
                sent.callback(Overloaded(self._writer.waiting_turns))
            else:
                self._writer.withdraw(request)
                self._queue(sent)

    def _settle(self, request: WriteRequest) -> None:
        sent = self._under_way.pop(request, None)
        if sent is None:  # given up meanwhile
            return
        result: Result | Exception = request.error or request.results[0]
        if isinstance(result, Unavailable) and not isinstance(result, UnreadableHere | Overloaded):
            self._queue(sent)
            return
        self._follow_up(sent.key, result, sent.subscriber)
        sent.callback(result)

    def _queue(self, sent: _Sent) -> None:
        def finish(result: Result | Exception) -> None:
            self._follow_up(sent.key, result, sent.subscriber)
            self._call_soon(sent.callback, result)

        result: Result | Queued | Exception
        try:
            result = self._pending.accept(sent.key, sent.command, partial(self._latest, sent.key), finish)
        except StepkeepError as error:
            result = error
        except Exception as error:
            log.exception("Unexpected error while queueing a turn.")
            result = error
        sent.callback(result)
