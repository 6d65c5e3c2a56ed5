"""Group commit: the commands of many sessions in one transaction, by leader and followers.

A caller that finds the writer idle commits the queue, without thread hand-over; the others wait, and share its flush. A
session's commands keep their order. A caller that limits its wait never leads, because it must not wait for a failing
database: a substitute thread does.
"""

import logging
import sys
import threading
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from time import monotonic
from typing import Any, TypeVar

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from ..errors import DatabaseUnavailable, Overloaded, StepkeepError, Unavailable, UnreadableHere
from ..observability import metrics, tracing
from ..settings import Settings
from ..store import retry, translate_error, with_retries
from ..store.drivers import WriterConnection
from ..survey import AnyCommand, SessionKey
from . import batch_metrics
from .batch import FindSurvey, Quota, Result, RevisionNotLoaded, Turn, commit_batch
from .request import GreenletWaiter, ThreadWaiter, Waiter, WriteRequest, threads_are_greenlets

log = logging.getLogger("stepkeep.store")

T = TypeVar("T")

CONCURRENT_WAKES = 4
"""Followers woken at once; each wakes the next. Waking a thousand costs a fifth of the throughput."""


class Writer:
    """The only writer of a database in this process. Safe from any thread.

    Args:
        find_survey: must not wait.
        load_revision: loads what ``find_survey`` did not know.

    Attributes:
        waiting_turns: commands in the queue; approximate, without lock.
    """

    def __init__(
        self,
        connection: WriterConnection,
        settings: Settings,
        find_survey: FindSurvey,
        load_revision: Callable[[str, str], object],
    ) -> None:
        self._connection = connection
        self._settings = settings
        self._quota = Quota(settings.session_versions, settings.session_mib * 2**20)
        self._find_survey = find_survey
        self._load_revision = load_revision
        self._without_retries = settings.model_copy(update={"retry_attempts": 1})
        # Greenlets don't compete for the interpreter's lock.
        greenlets = threads_are_greenlets()
        self._concurrent_wakes = sys.maxsize if greenlets else CONCURRENT_WAKES
        self._waiter_type: type[Waiter] = GreenletWaiter if greenlets else ThreadWaiter
        self._mutex = threading.Lock()
        self._has_room = threading.Condition(self._mutex)
        self._waiting: deque[WriteRequest] = deque()
        self.waiting_turns = 0
        self._is_led = False
        self._substitute: threading.Semaphore | None = None
        self._is_closed = False

    def submit(self, key: SessionKey, command: AnyCommand, *, within_s: float | None = None) -> Result:
        """Commit the command.

        Args:
            within_s: the longest wait, even for a failing database; then the command may still be committed.

        Raises:
            DatabaseUnavailable: not committed, or the outcome is unknown; safe to resubmit with a message id.
            MessageIdReused: another command had its message id.
            Overloaded: the queue is full, or the wait was too long; nothing was done.
            SessionUnreadable: the stored session can't be read.
        """
        may_wait = within_s is None
        request = WriteRequest([(key, command)], may_lead=may_wait, retry_lock_waits=may_wait)
        result: Result | Exception = self._execute(request, within_s=within_s)[0]
        if isinstance(result, Exception):
            raise result
        return result

    def submit_many(self, turns: Sequence[Turn], *, retry_lock_waits: bool = True) -> list[Result | Exception]:
        """Commit commands, ``batch_limit`` at a time; return results, or the exceptions of :meth:`submit`, in order.

        Args:
            retry_lock_waits: whether to retry after a lock timeout.
        """
        results: list[Result | Exception] = []
        for start in range(0, len(turns), self._settings.batch_limit):
            part = turns[start : start + self._settings.batch_limit]
            try:
                results += self._execute(WriteRequest(part, retry_lock_waits=retry_lock_waits))
            except Unavailable as error:
                results += [error] * len(part)
        return results

    def run(self, work: Callable[[Connection], T]) -> T:
        """Return the result of ``work``, committed in a transaction of its own; it may be called several times.

        Raises:
            DatabaseUnavailable, Overloaded: as :meth:`submit`.
        """
        result: T = self._execute(WriteRequest(work=work))
        return result

    def close(self) -> None:
        """Commit the queue and close the connection; later requests fail as unavailable."""
        with self._mutex:
            self._is_closed = True
            self._has_room.notify_all()
        try:
            self._execute(WriteRequest(), is_last=True)
        finally:
            self._connection.close()
            if self._substitute is not None:
                self._substitute.release()  # it has nothing to lead, and ends

    def _execute(self, request: WriteRequest, *, is_last: bool = False, within_s: float | None = None) -> Any:  # noqa: ANN401 - what the work returns
        timeout_s = self._settings.queue_timeout_s if within_s is None else within_s
        timeout_s = self._join(request, timeout_s, is_last=is_last)
        if request.waiter is not None:
            waits_for_commit = is_last or (within_s is None and self._waiter_type is GreenletWaiter)
            self._follow(request, request.waiter, -1 if waits_for_commit else timeout_s)
        if request.is_leader:
            self._lead(request)
        if request.error is not None:
            raise request.error
        return request.results

    def _join(self, request: WriteRequest, timeout_s: float, *, is_last: bool) -> float:
        """Append the request when there is room; return the time left. It leads if nobody does."""
        with self._mutex:
            if self.waiting_turns >= self._settings.queue_limit and not is_last:
                timeout_s = self._wait_for_room(timeout_s)
            if self._is_closed and not is_last:
                raise DatabaseUnavailable("closed")
            self._waiting.append(request)
            self.waiting_turns += len(request.turns)
            request.is_leader = request.may_lead and not self._is_led
            if not request.is_leader:
                request.waiter = self._waiter_type()
                if not self._is_led:
                    self._start_substitute(request)
            self._is_led = True
        return timeout_s

    def _wait_for_room(self, timeout_s: float) -> float:
        """Return the time left."""
        deadline = monotonic() + timeout_s
        limit = self._settings.queue_limit
        if not self._has_room.wait_for(lambda: self.waiting_turns < limit or self._is_closed, timeout_s):
            raise Overloaded(self.waiting_turns)
        return max(0.0, deadline - monotonic())

    def _follow(self, request: WriteRequest, waiter: Waiter, timeout_s: float) -> None:
        try:
            if not waiter.wait(timeout_s):
                self._withdraw(request, waiter)
        except BaseException:
            self._abandon(request)
            raise
        if request.next is not None:
            request.next.wake()

    def _withdraw(self, request: WriteRequest, waiter: Waiter) -> None:
        """Remove the request, or wait for its commit."""
        with self._mutex:
            # Under one lock: a leader could commit what the caller takes for refused.
            if not request.is_leader and self._remove(request):
                raise Overloaded(self.waiting_turns) if request.may_lead else DatabaseUnavailable("slow")
        if not request.may_lead:
            raise DatabaseUnavailable("slow")
        waiter.wait(-1)

    def _abandon(self, request: WriteRequest) -> None:
        """Leave the queue after a timeout or an interrupt; pass on lead and wake-up."""
        with self._mutex:
            request.is_abandoned = True
            self._remove(request)
            is_leader, follower = request.is_leader, request.next
        if follower is not None:
            follower.wake()
        if is_leader:
            with self._mutex:
                self._pass_on()

    def _remove(self, request: WriteRequest) -> bool:
        """Remove the request, under the mutex; return whether it was in the queue."""
        if request not in self._waiting:
            return False
        self._waiting.remove(request)
        self.waiting_turns -= len(request.turns)
        self._has_room.notify_all()
        return True

    def _start_substitute(self, request: WriteRequest) -> None:
        try:
            self._call_substitute()
        except RuntimeError:  # no more threads
            self._remove(request)
            raise DatabaseUnavailable("no thread can be started") from None

    def _call_substitute(self) -> None:
        """Let the substitute thread lead, under the mutex."""
        if self._substitute is None:
            calls = threading.Semaphore(0)
            threading.Thread(target=self._lead_for_others, args=(calls,), name="stepkeep-writer", daemon=True).start()
            self._substitute = calls  # after a failed start, the next caller tries again
        self._substitute.release()

    def _lead_for_others(self, calls: threading.Semaphore) -> None:
        while True:
            calls.acquire()
            if not self._is_led:
                return  # the writer was closed
            try:
                self._lead(None)
            except Exception:
                log.exception("Unexpected error in the writer thread; continuing.")

    def _lead(self, own: WriteRequest | None) -> None:
        try:
            self._waiter_type.yield_now()  # callers about to submit join the batch
            batch = self._take()
            try:
                if batch:
                    self._commit(batch)
            finally:
                self._wake_all([request for request in batch if request is not own])
        finally:
            with self._mutex:
                if own is not None:
                    self._remove(own)  # of a leader interrupted before it took its batch
                self._pass_on()

    def _pass_on(self) -> None:
        """Pass the lead to the longest waiting request, under the mutex."""
        if not self._waiting:
            self._is_led = False
        elif self._waiting[0].may_lead:
            self._waiting[0].is_leader = True
            self._waiting[0].wake()
        else:
            self._call_substitute()

    def _take(self) -> list[WriteRequest]:
        """Take commands together, other work alone."""
        with self._mutex:
            if not self._waiting:
                return []  # the request that was passed the lead was abandoned
            batch = [self._waiting.popleft()]
            size = len(batch[0].turns)
            while batch[0].work is None and self._waiting and self._waiting[0].work is None:
                size += len(self._waiting[0].turns)
                if size > self._settings.batch_limit:
                    break
                batch.append(self._waiting.popleft())
            self.waiting_turns -= sum(len(request.turns) for request in batch)
            self._has_room.notify_all()
            return batch

    def _wake_all(self, followers: list[WriteRequest]) -> None:
        """Wake the first few; each wakes the follower CONCURRENT_WAKES places behind it."""
        if not followers:
            return
        with self._mutex:
            followers = [request for request in followers if not request.is_abandoned]
            for request, following in zip(followers, followers[self._concurrent_wakes :], strict=False):
                request.next = following
        for request in followers[: self._concurrent_wakes]:
            request.wake()

    def _commit(self, batch: list[WriteRequest]) -> None:
        work = batch[0].work
        try:
            if work is not None:
                batch[0].results = with_retries(self._settings, self._connection.run, work)
                return
            turns = [turn for request in batch for turn in request.turns]
            retry_lock_waits = any(request.retry_lock_waits for request in batch)
            with tracing.span("batch", links=(request.trace_link for request in batch), turns=len(turns)):
                results = self._commit_or_bisect(turns, self._settings, retry_lock_waits=retry_lock_waits)
        except Exception as error:  # noqa: BLE001 - the callers get it, and the writer continues
            for request in batch:
                request.error = translate_error(error) if isinstance(error, SQLAlchemyError) else error
            errors = [request.error for request in batch for _ in request.turns if request.error is not None]
            batch_metrics.record(batch, errors)
        except BaseException:
            # The thread is being ended, e.g. by a worker's timeout: followers must not take missing results for a
            # commit.
            for request in batch:
                request.error = DatabaseUnavailable("interrupted")
            raise
        else:
            start = 0
            for request in batch:
                request.results = results[start : start + len(request.turns)]
                start += len(request.turns)
            batch_metrics.record(batch, results)

    def _transact(self, turns: list[Turn], *, retry_lock_waits: bool) -> list[Result | StepkeepError]:
        began_at = monotonic()
        try:
            results = self._connection.transact(
                lambda statements: commit_batch(statements, turns, self._find_survey, self._quota)
            )
        except DBAPIError as error:
            if not retry_lock_waits and retry.is_lock_timeout(error):
                raise retry.LockTimedOut(retry.error_summary(error)) from error
            raise
        metrics.BATCH_TURNS.observe(len(turns))
        metrics.BATCH_SECONDS.observe(monotonic() - began_at)
        return results

    def _commit_or_bisect(
        self, turns: list[Turn], settings: Settings, *, retry_lock_waits: bool
    ) -> list[Result | Exception]:
        """Bisect to find a turn that the database refuses: it fails alone."""
        if not turns:
            return []
        try:
            return list(with_retries(settings, self._transact, turns, retry_lock_waits=retry_lock_waits))
        except RevisionNotLoaded as missing:
            with suppress(UnreadableHere):  # its turns get this; the others are committed
                self._load_revision(missing.survey_id, missing.revision)  # outside the transaction
            return self._commit_or_bisect(turns, settings, retry_lock_waits=retry_lock_waits)
        except UnreadableHere as error:  # the schema
            return [error for _ in turns]
        except SQLAlchemyError as error:
            log.warning("%d turns were not saved: %s", len(turns), retry.error_summary(error))
            if len(turns) == 1 or not retry.is_data_error(error):
                return [translate_error(error) for _ in turns]
        except Exception as error:  # noqa: BLE001 - the caller gets it, and the writer continues
            if len(turns) == 1 or isinstance(error, Unavailable):
                return [error for _ in turns]
        middle = len(turns) // 2
        bisect = partial(self._commit_or_bisect, settings=self._without_retries, retry_lock_waits=retry_lock_waits)
        return bisect(turns[:middle]) + bisect(turns[middle:])
