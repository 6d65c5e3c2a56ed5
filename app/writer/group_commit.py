"""Group commit: the commands of many sessions in one transaction, by leader and followers.

A caller that finds the writer idle commits the queue; the others share its flush. A session's commands keep their
order. An event loop must not wait: a thread of the writer leads.
"""

import logging
import sys
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from time import monotonic
from typing import Any, TypeVar

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from ..errors import DatabaseUnavailable, Overloaded, SessionBlocked, StepkeepError, Unavailable, UnreadableHere
from ..observability import metrics, tracing
from ..settings import Settings
from ..store import retry, translate_error, with_retries
from ..store.drivers import TurnStatements, WriterConnection
from ..survey import AnyCommand, SessionKey
from . import batch_metrics
from .batch import FindSurvey, Quota, Result, RevisionNotLoaded, Turn, commit_batch
from .request import GreenletWaiter, RequestQueue, ThreadWaiter, Waiter, WriteRequest, threads_are_greenlets

log = logging.getLogger("stepkeep.store")

T = TypeVar("T")

CONCURRENT_WAKES = 4  # followers woken at once; each wakes the next. Waking a thousand costs a fifth of the throughput.


class Writer:
    """The only writer of a database in this process. Safe from any thread."""

    def __init__(
        self,
        connection: WriterConnection,
        settings: Settings,
        find_survey: FindSurvey,
        load_revision: Callable[[RevisionNotLoaded], object],
    ) -> None:
        self._connection = connection
        self._settings = settings
        self._quota = Quota(settings.session_versions, settings.session_mib * 2**20)
        self._find_survey = find_survey
        self.load_revision = load_revision
        self._without_retries = settings.model_copy(update={"retry_attempts": 1})
        # Greenlets don't compete for the interpreter's lock.
        greenlets = threads_are_greenlets()
        self._concurrent_wakes = sys.maxsize if greenlets else CONCURRENT_WAKES
        self._waiter_type: type[Waiter] = GreenletWaiter if greenlets else ThreadWaiter
        self._mutex = threading.Lock()
        self._has_room = threading.Condition(self._mutex)
        self._waiting = RequestQueue()
        self.committed_at = 0.0  # monotonic
        self._is_led = False
        self._substitute: threading.Semaphore | None = None
        self._is_closed = False

    @property
    def waiting_turns(self) -> int:
        """Approximate, without lock."""
        return self._waiting.turns

    @property
    def delay_s(self) -> float:
        """Approximate, without lock."""
        try:
            return monotonic() - self._waiting.first().submitted_at
        except IndexError:
            return 0.0

    def submit(self, key: SessionKey, command: AnyCommand) -> Result:
        """Commit the command.

        Raises:
            DatabaseUnavailable: not committed, or the outcome is unknown; safe to resubmit with a message id.
            Overloaded: the queue is full, or the wait was too long; nothing was done.
            MessageIdReused, SessionUnreadable: a retry would fail, too.
        """
        result: Result | Exception = self._execute(WriteRequest([(key, command)]))[0]
        if isinstance(result, Exception):
            raise result
        return result

    def submit_many(self, turns: Sequence[Turn], *, retry_lock_waits: bool = True) -> list[Result | Exception]:
        """Commit ``batch_limit`` commands at a time; return results or exceptions in order.

        Those blocked by a caller's transaction are committed last or, without ``retry_lock_waits``, get SessionBlocked.
        """
        results: list[Result | Exception] = []
        for start in range(0, len(turns), self._settings.batch_limit):
            part = turns[start : start + self._settings.batch_limit]
            results += self._submit_part(part, retry_lock_waits=retry_lock_waits)
        return results

    def _submit_part(self, turns: Sequence[Turn], *, retry_lock_waits: bool) -> list[Result | Exception]:
        request = WriteRequest(turns, retry_lock_waits=retry_lock_waits, skips_blocked=not retry_lock_waits)
        try:
            results = iter(self._execute(request))
        except Unavailable as error:
            return [error] * len(turns)
        rest = [turn for turn in turns if turn[0] in request.left_out]
        late: list[Result | Exception] = [SessionBlocked()] * len(rest)
        if rest and retry_lock_waits:
            late = self._submit_part(rest, retry_lock_waits=True)
        late_results = iter(late)
        return [next(late_results if key in request.left_out else results) for key, _ in turns]

    def enqueue(self, requests: Sequence[WriteRequest]) -> None:
        """Commit turns in order, without waiting, also for room."""
        refused: StepkeepError | None = None
        with self._mutex:
            if self._is_closed:
                refused = DatabaseUnavailable("closed")
            elif not self._is_led:
                try:
                    self._is_led = True  # before the call: the thread ends if nobody leads
                    self._call_substitute()
                except RuntimeError:  # no more threads
                    self._is_led = False
                    refused = DatabaseUnavailable("no thread can be started")
            if refused is None:
                for request in requests:
                    self._waiting.append(request)
                return
        for request in requests:
            request.error = refused
            request.call_back()

    def withdraw(self, request: WriteRequest) -> bool:
        """Return whether the request is never committed; else its callback will be called."""
        with self._mutex:
            if request.is_taken or request.is_abandoned:
                return False
            if request.is_blocked:
                self._remove(request)  # a long transaction's would fill the queue
            request.is_abandoned = True  # others are left there: to find many would take long
            return True

    def run(self, work: Callable[[Connection], T]) -> T:
        """Commit ``work``, which may be called several times; raise as :meth:`submit`."""
        result: T = self._execute(WriteRequest(work=work))
        return result

    def block(self, key: SessionKey) -> None:
        """Keep turns waiting while a caller's transaction locks their session."""
        with self._mutex:
            if self._is_closed:
                raise DatabaseUnavailable("closed")
            self._waiting.block(key)

    def is_blocked(self, key: SessionKey) -> bool:
        return self._waiting.is_blocked(key)

    def unblock(self, key: SessionKey | None) -> None:
        """Undo one :meth:`block`, or all for None."""
        with self._mutex:
            self._waiting.unblock(key)
            if self._waiting and not self._is_led:
                self._is_led = True
                self._pass_on()

    def close(self) -> None:
        """Commit the queue; later requests raise DatabaseUnavailable."""
        with self._mutex:
            self._is_closed = True
            self._has_room.notify_all()
        self.unblock(None)
        try:
            self._execute(WriteRequest(), is_last=True)
        finally:
            self._connection.close()
            if self._substitute is not None:
                self._substitute.release()  # it has nothing to lead, and ends

    def _execute(self, request: WriteRequest, *, is_last: bool = False) -> Any:  # noqa: ANN401 - what the work returns
        timeout_s = self._join(request, is_last=is_last)
        if request.waiter is not None:
            self._follow(request, request.waiter, -1 if is_last else timeout_s)
        if request.is_leader:
            self._lead(request)
        if request.error is not None:
            raise request.error
        return request.results

    def _join(self, request: WriteRequest, *, is_last: bool) -> float:
        timeout_s = self._settings.queue_timeout_s
        with self._mutex:
            if self.waiting_turns >= self._settings.queue_limit and not is_last:
                timeout_s = self._wait_for_room(timeout_s)
            if self._is_closed and not is_last:
                raise DatabaseUnavailable("closed")
            is_free = self._waiting.append(request)
            request.is_leader = is_free and not self._is_led
            if not request.is_leader:
                request.waiter = self._waiter_type()
            self._is_led = self._is_led or is_free
        # The database's timeouts bound a greenlet's wait for others' commit, but not for a caller's.
        return -1 if is_free and self._waiter_type is GreenletWaiter else timeout_s

    def _wait_for_room(self, timeout_s: float) -> float:
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
        with self._mutex:
            # Under one lock: a leader could commit what the caller takes for refused.
            if not request.is_leader and self._remove(request):
                raise Overloaded(self.waiting_turns)
        waiter.wait(-1)

    def _abandon(self, request: WriteRequest) -> None:
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
        """Needs the mutex."""
        is_removed = self._waiting.remove(request)
        if is_removed:
            self._has_room.notify_all()
        return is_removed

    def _call_substitute(self) -> None:
        """Needs the mutex."""
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
            with self._mutex:
                # Empty if the request that was passed the lead was abandoned.
                batch = self._waiting.take(self._settings.batch_limit)
                self._has_room.notify_all()
            try:
                if batch:
                    self._commit(batch)
            finally:
                self._wake_all([request for request in batch if request is not own])
            if own is not None and not own.is_taken:
                raise RuntimeError("The leader's request was not committed: it was not the first of the queue.")
        finally:
            with self._mutex:
                if own is not None:
                    self._remove(own)  # if the leader was interrupted before it took its batch
                self._pass_on()

    def _pass_on(self) -> None:
        """Needs the mutex."""
        if not self._waiting:
            self._is_led = False
        elif (first := self._waiting.first()).callback is None:
            first.is_leader = True
            first.wake()
        else:
            self._call_substitute()

    def _wake_all(self, followers: list[WriteRequest]) -> None:
        if not followers:
            return
        for request in followers:
            request.call_back()
        with self._mutex:
            followers = [request for request in followers if not (request.is_abandoned or request.callback)]
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

    def apply(self, statements: TurnStatements, turns: Sequence[Turn]) -> list[Result | StepkeepError]:
        return commit_batch(statements, turns, self._find_survey, self._quota)

    def _transact(self, turns: list[Turn], *, retry_lock_waits: bool) -> list[Result | StepkeepError]:
        began_at = monotonic()
        try:
            results = self._connection.transact(lambda statements: self.apply(statements, turns))
        except DBAPIError as error:
            if not retry_lock_waits and retry.is_lock_timeout(error):
                raise retry.LockTimedOut(retry.error_summary(error)) from error
            raise
        self.committed_at = monotonic()
        metrics.BATCH_TURNS.observe(len(turns))
        metrics.BATCH_SECONDS.observe(self.committed_at - began_at)
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
                self.load_revision(missing)  # outside the transaction
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
