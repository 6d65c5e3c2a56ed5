"""Group commit: the commands of many sessions in one transaction.

A caller that finds the writer idle commits what waits, himself (the leader); the others wait for him
(the followers). So one caller alone pays no hand-over, and many share one flush. Commands of one
session are decided in the order in which they were submitted.

Who must not wait for a broken database never leads (:meth:`Writer.submit_within`): a thread that is started
for them does, and nobody waits for its end.
"""

import logging
import sys
import threading
from collections import deque
from collections.abc import Callable, Sequence
from time import monotonic
from typing import Any, TypeVar

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from ..errors import DatabaseUnavailable, Overloaded, StepkeepError, Unavailable
from ..observability import metrics, tracing
from ..settings import Settings
from ..store.drivers.connection import WriterConnection
from ..store.retry import LockTimedOut, error_summary, is_data_error, is_lock_timeout, translate_error, with_retries
from ..survey import AnyCommand, SessionKey
from . import batch_metrics
from .batch import FindSurvey, Result, RevisionNotLoaded, Turn, commit_batch
from .request import WriteRequest
from .waiter import GreenletWaiter, ThreadWaiter, Waiter, threads_are_greenlets

log = logging.getLogger("stepkeep.store")

T = TypeVar("T")

_Transact = Callable[[list[Turn]], list[Result | StepkeepError]]

CONCURRENT_WAKES = 4
"""Followers that are being woken at any time; each wakes the next one before it goes on. A thousand threads that
wake at once all ask for the interpreter's lock, again every 5 ms: that costs a fifth of the turns a second."""


class Writer:
    """The only writer of a database in this process. Any thread may call it.

    Args:
        connection: of ``writer_engine``.
        survey_for: finds the definition that a session is pinned to, without waiting for anything.
        load_revision: loads one that it did not know (RevisionNotLoaded).
    """

    def __init__(
        self,
        connection: WriterConnection,
        settings: Settings,
        survey_for: FindSurvey,
        load_revision: Callable[[str, str], object],
    ) -> None:
        self._connection = connection
        self._settings = settings
        self._survey_for = survey_for
        self._load_revision = load_revision
        self._once = settings.model_copy(update={"retry_attempts": 1})
        # With greenlets as callers (gevent) all can be woken at once: they are no threads.
        greenlets = threads_are_greenlets()
        self._waking = sys.maxsize if greenlets else CONCURRENT_WAKES
        self._parking: type[Waiter] = GreenletWaiter if greenlets else ThreadWaiter
        self._forget()

    def submit(self, key: SessionKey, command: AnyCommand) -> Result:
        """Return what came of the command; committed when it returns an Outcome.

        Raises:
            DatabaseUnavailable: it was not committed, or that is not known; sending the same command
                again is safe if it has a message id.
            MessageIdReused: its message id was another command's.
            Overloaded: too many wait, or this one waited too long; nothing was done.
            SessionUnreadable: the stored session can't be read.
        """
        result: Result | Exception = self._hand_in(WriteRequest([(key, command)]))[0]
        if isinstance(result, Exception):
            raise result
        return result

    def submit_within(self, key: SessionKey, command: AnyCommand, within_s: float) -> Result:
        """Return what came of the command as :meth:`submit`, or raise when the time is over.

        Raises:
            DatabaseUnavailable: there is no answer yet, too: it may still be committed. With a message id the
                command can be submitted again.
            MessageIdReused, Overloaded, SessionUnreadable: as :meth:`submit`.
        """
        result: Result | Exception = self._hand_in(
            WriteRequest([(key, command)], may_lead=False, retry_lock_waits=False), within_s=within_s
        )[0]
        if isinstance(result, Exception):
            raise result
        return result

    def submit_many(self, turns: Sequence[Turn], *, retry_lock_waits: bool = True) -> list[Result | Exception]:
        """Return what came of each command, in order; one that fails doesn't fail the others.

        Args:
            retry_lock_waits: what had to wait for a lock in vain is tried again.

        They are committed ``batch_limit`` at a time. What :meth:`submit` would raise stands in its place.
        """
        results: list[Result | Exception] = []
        for start in range(0, len(turns), self._settings.batch_limit):
            part = turns[start : start + self._settings.batch_limit]
            try:
                results += self._hand_in(WriteRequest(part, retry_lock_waits=retry_lock_waits))
            except Unavailable as error:
                results += [error] * len(part)
        return results

    def run(self, work: Callable[[Connection], T]) -> T:
        """Return what ``work`` returns, done in a transaction of its own, in its turn.

        Raises:
            DatabaseUnavailable, Overloaded: as for :meth:`submit`.
        """
        answer: T = self._hand_in(WriteRequest((), work))
        return answer

    @property
    def waiting_turns(self) -> int:
        """Commands that wait, as far as it is known without waiting."""
        return self._waiting_turns

    def close(self) -> None:
        """Commit what waits and give the connection back; what comes later is refused as unavailable."""
        with self._mutex:
            self._is_closed = True
            self._has_room.notify_all()
        try:
            self._hand_in(WriteRequest(()), is_last=True)
        finally:
            self._connection.close()
            if self._substitute is not None:
                self._substitute.release()  # and with nothing to lead, it ends

    def after_fork(self) -> None:
        """Begin anew in a forked child: the queue, its lock and the connection are the parent's."""
        self._connection.after_fork_in_child()
        self._forget()

    def _forget(self) -> None:
        self._mutex = threading.Lock()
        self._has_room = threading.Condition(self._mutex)
        self._waiting: deque[WriteRequest] = deque()
        self._waiting_turns = 0
        self._is_led = False
        self._substitute: threading.Semaphore | None = None
        self._is_full = False
        self._is_closed = False

    def _hand_in(self, ticket: WriteRequest, *, is_last: bool = False, within_s: float | None = None) -> Any:  # noqa: ANN401 - what the work returns
        timeout_s = self._settings.queue_timeout_s if within_s is None else within_s
        with self._mutex:
            if self._waiting_turns >= self._settings.queue_limit and not is_last:
                timeout_s = self._wait_for_room(timeout_s)
            if self._is_closed and not is_last:
                raise DatabaseUnavailable("closed")
            self._waiting.append(ticket)
            self._waiting_turns += len(ticket.turns)
            ticket.leads = ticket.may_lead and not self._is_led
            if not ticket.leads:
                ticket.parking = self._parking()
                if not self._is_led and not self._can_stand_in():
                    self._remove(ticket)
                    raise DatabaseUnavailable("no thread can be started")
            self._is_led = True
        if ticket.parking is not None:
            retry_lock_waits = is_last or (within_s is None and self._parking is GreenletWaiter)
            self._follow(ticket, ticket.parking, -1 if retry_lock_waits else timeout_s)
        if ticket.leads:
            self._lead(ticket)
        if ticket.error is not None:
            raise ticket.error
        return ticket.answers

    def _wait_for_room(self, timeout_s: float) -> float:
        """Hold the caller back while the queue is full; return what is left of his time."""
        deadline = monotonic() + timeout_s
        self._is_full = True
        in_time = self._has_room.wait_for(self._has_room_now, timeout_s)
        if not in_time:
            raise Overloaded(self._waiting_turns)
        return max(0.0, deadline - monotonic())

    def _has_room_now(self) -> bool:
        self._is_full = self._waiting_turns >= self._settings.queue_limit and not self._is_closed
        return not self._is_full

    def _follow(self, ticket: WriteRequest, parking: Waiter, timeout_s: float) -> None:
        """Return when the ticket is answered, or when it leads."""
        try:
            if not parking.wait(timeout_s):
                self._withdraw(ticket, parking)
        except BaseException:
            self._abandon(ticket)
            raise
        if ticket.next is not None:
            ticket.next.wake()

    def _withdraw(self, ticket: WriteRequest, parking: Waiter) -> None:
        """Take the ticket out of the queue; if it is being committed already, wait for that."""
        with self._mutex:
            # In one go: a leader that took the ticket in between would commit what its caller believes refused.
            if not ticket.leads and self._remove(ticket):
                raise Overloaded(self._waiting_turns) if ticket.may_lead else DatabaseUnavailable("slow")
        if not ticket.may_lead:
            raise DatabaseUnavailable("slow")
        parking.wait(-1)

    def _abandon(self, ticket: WriteRequest) -> None:
        """Leave the queue, by a time-out or an interrupted wait; pass on what was given here."""
        with self._mutex:
            ticket.is_left = True
            self._remove(ticket)
            leads, follower = ticket.leads, ticket.next
        if follower is not None:
            follower.wake()
        if leads:
            self._hand_over()

    def _remove(self, ticket: WriteRequest) -> bool:
        """Take the ticket out of the queue, the mutex being held; return whether it was there."""
        if ticket not in self._waiting:
            return False
        self._waiting.remove(ticket)
        self._waiting_turns -= len(ticket.turns)
        self._has_room.notify_all()
        return True

    def _stand_in(self) -> None:
        """Lead in a thread for those who must not, the mutex being held; at the first of them it is started."""
        if self._substitute is None:
            called = threading.Semaphore(0)
            threading.Thread(target=self._lead_for_others, args=(called,), name="stepkeep-writer", daemon=True).start()
            self._substitute = called  # only now: where no thread can be started, the next caller tries again
        self._substitute.release()

    def _can_stand_in(self) -> bool:
        try:
            self._stand_in()
        except RuntimeError:  # the machine has no more threads
            return False
        return True

    def _lead_for_others(self, called: threading.Semaphore) -> None:
        while True:
            called.acquire()
            if not self._is_led:
                return  # the writer was closed
            try:
                self._lead(None)
            except Exception:
                log.exception("a batch ended by a fault of ours")

    def _lead(self, own: WriteRequest | None) -> None:
        """Commit what waits, the leader's own turns first, then hand over."""
        try:
            self._parking.yield_now()  # whoever is about to submit joins the batch
            batch = self._take()
            try:
                if batch:
                    self._settle(batch)
            finally:
                self._wake_all([ticket for ticket in batch if ticket is not own])
        finally:
            with self._mutex:
                if own is not None:
                    # Of a leader that was interrupted before his turn: nobody waits for it any more.
                    self._remove(own)
                self._pass_on()

    def _hand_over(self) -> None:
        with self._mutex:
            self._pass_on()

    def _pass_on(self) -> None:
        """Give the lead to whoever waits longest, the mutex being held."""
        if not self._waiting:
            self._is_led = False
        elif self._waiting[0].may_lead:
            self._waiting[0].leads = True
            self._waiting[0].wake()
        else:
            self._stand_in()

    def _take(self) -> list[WriteRequest]:
        """Take what waits: commands together, other work alone."""
        with self._mutex:
            if not self._waiting:
                return []  # whoever waited has left since the lead was passed on
            batch = [self._waiting.popleft()]
            size = len(batch[0].turns)
            while batch[0].work is None and self._waiting and self._waiting[0].work is None:
                size += len(self._waiting[0].turns)
                if size > self._settings.batch_limit:
                    break
                batch.append(self._waiting.popleft())
            self._waiting_turns -= sum(len(ticket.turns) for ticket in batch)
            if self._is_full:
                self._is_full = False
                self._has_room.notify_all()
            return batch

    def _wake_all(self, followers: list[WriteRequest]) -> None:
        """Wake the first few; each wakes the next one after it in its row."""
        if not followers:
            return
        with self._mutex:
            followers = [ticket for ticket in followers if not ticket.is_left]
            for ticket, following in zip(followers, followers[self._waking :], strict=False):
                ticket.next = following
        for ticket in followers[: self._waking]:
            ticket.wake()

    def _settle(self, batch: list[WriteRequest]) -> None:
        """Give each ticket its answer or its error."""
        work = batch[0].work
        try:
            if work is not None:
                batch[0].answers = with_retries(self._settings, self._connection.run, work)
                return
            turns = [turn for ticket in batch for turn in ticket.turns]
            retry_lock_waits = any(ticket.retry_lock_waits for ticket in batch)
            with tracing.span("batch", links=(ticket.origin for ticket in batch), turns=len(turns)):
                answers = self._settled(
                    turns, self._transaction if retry_lock_waits else self._impatiently, self._settings
                )
        except Exception as error:  # noqa: BLE001 - its caller gets it, and the writer goes on
            for ticket in batch:
                ticket.error = translate_error(error) if isinstance(error, SQLAlchemyError) else error
            batch_metrics.record(
                batch, [ticket.error for ticket in batch for _ in ticket.turns if ticket.error is not None]
            )
        except BaseException:
            # The leader's thread is being ended (a worker's time-out): its followers must not take
            # the missing answer for a commit.
            for ticket in batch:
                ticket.error = DatabaseUnavailable("interrupted")
            raise
        else:
            start = 0
            for ticket in batch:
                ticket.answers = answers[start : start + len(ticket.turns)]
                start += len(ticket.turns)
            batch_metrics.record(batch, answers)

    def _transaction(self, turns: list[Turn]) -> list[Result | StepkeepError]:
        began_at = monotonic()
        results = self._connection.transact(lambda gateway: commit_batch(gateway, turns, self._survey_for))
        metrics.BATCH_TURNS.observe_all([(len(turns), 1)])
        metrics.BATCH_SECONDS.observe_all([(monotonic() - began_at, 1)])
        return results

    def _impatiently(self, turns: list[Turn]) -> list[Result | StepkeepError]:
        """Do the transaction for callers who are better told that it waits than kept waiting."""
        try:
            return self._transaction(turns)
        except DBAPIError as error:
            if is_lock_timeout(error):
                raise LockTimedOut(error_summary(error)) from error
            raise

    def _settled(self, turns: list[Turn], transact: _Transact, settings: Settings) -> list[Result | Exception]:
        """Return what came of each turn; one that the database refuses is found by halves, and fails alone."""
        if not turns:
            return []
        try:
            return list(with_retries(settings, transact, turns))
        except RevisionNotLoaded as missing:
            self._load_revision(missing.survey_id, missing.revision)  # outside the transaction, which is over
            return self._settled(turns, transact, settings)
        except SQLAlchemyError as error:
            log.warning("%d turns were not saved: %s", len(turns), error_summary(error))
            if len(turns) == 1 or not is_data_error(error):
                return [translate_error(error) for _ in turns]
        except Exception as error:  # noqa: BLE001 - its caller gets it, and the writer goes on
            if len(turns) == 1:
                return [error]
        middle = len(turns) // 2
        first, second = turns[:middle], turns[middle:]
        return self._settled(first, transact, self._once) + self._settled(second, transact, self._once)
