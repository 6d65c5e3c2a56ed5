"""Turns accepted while the database is unavailable: decided in memory, committed in order later.

Each is decided again on the stored state. None is acknowledged: clients resend what is lost with the process.
"""

import logging
import threading
from collections import OrderedDict, deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import islice
from typing import NamedTuple

from ..core import strict_json
from ..core.jitter import JITTER
from ..errors import (
    DatabaseUnavailable,
    MessageIdReused,
    Overloaded,
    SessionBlocked,
    Unauthorized,
    Unavailable,
    UnreadableHere,
)
from ..observability import metrics
from ..settings import Settings
from ..survey import (
    AnyCommand,
    AnyEvent,
    Draft,
    Rejection,
    Restart,
    SessionKey,
    SessionState,
    Snapshot,
    Survey,
    apply,
    decide,
)
from .batch import Committed, FindSurvey, Rejected, Result, Turn, command_fingerprint

log = logging.getLogger("stepkeep.store")

FIRST_DELAY_S = 0.2
MAX_DELAY_S = 2.0
MAX_STUCK_DELAY_S = 8.0  # for a session failing alone: each attempt may occupy the writer for a lock timeout
GROWTH = 4  # of a batch's sessions after each success: a failing session delays few others
MAX_CALLBACKS = 4  # the latest of one turn: tabs and devices that sent it
SESSION_LIMIT = 1000
TURN_BYTES = 2048  # memory of a turn in addition to its answer

_ERASED = Rejected(snapshot=None, rejection=Rejection("no_session", "There is no such session."))

_FINAL_REJECTIONS = frozenset({"invalid_answer", "confirm", "required", "invalid_language"})
"""Unless they read other answers, they depend on the survey alone, not on the stored state."""

ResultCallback = Callable[[Result | Exception], None]  # called from another thread; must not block
LoadBase = Callable[[], tuple[SessionState | None, Survey | None]]
SubmitMany = Callable[[Sequence[Turn]], list[Result | Exception]]  # must not wait for locks, which the drain retries


class Backlog(NamedTuple):
    """Turns queued in the writer, and pending here."""

    queued: int
    pending: int
    is_unavailable: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Queued:
    """The predicted state, and the stored version or 0."""

    snapshot: Snapshot
    version: int


@dataclass(slots=True, eq=False)
class PendingTurn:
    """A turn in its session's queue."""

    command: AnyCommand
    size_bytes: int
    callbacks: list[ResultCallback]


@dataclass(slots=True, eq=False)
class SessionQueue:
    """A session's turns, oldest first. It is stuck if only it fails: the database is not at fault."""

    base: SessionState | None
    survey: Survey | None
    turns: deque[PendingTurn] = field(default_factory=deque)
    predicted: SessionState | None = None
    has_failed: bool = False
    is_stuck: bool = False

    def find(self, command: AnyCommand) -> PendingTurn | None:
        if command.message_id is None:
            return None
        for pending in self.turns:
            if pending.command.message_id == command.message_id:
                if command_fingerprint(pending.command) != command_fingerprint(command):
                    raise MessageIdReused(command.message_id)
                return pending
        return None

    def replaceable_draft(self, command: AnyCommand) -> PendingTurn | None:
        # The first may be being committed.
        if len(self.turns) <= 1 or not isinstance(command, Draft):
            return None
        last = self.turns[-1]
        return last if isinstance(last.command, Draft) and last.command.step == command.step else None


class PendingQueue:
    """Safe from any thread."""

    def __init__(self, settings: Settings, submit_many: SubmitMany, find_survey: FindSurvey) -> None:
        self._settings = settings
        self._submit_many = submit_many
        self._find_survey = find_survey
        self._changed = threading.Condition(threading.RLock())  # reentrant: a callback may call `rebase`
        self._queues: OrderedDict[SessionKey, SessionQueue] = OrderedDict()
        self.turns = 0
        self._size_bytes = 0
        self._is_draining = False
        self._is_closed = False
        self.is_unavailable = False  # whether the last attempt failed because of the database

    def holds(self, key: SessionKey) -> bool:
        return key in self._queues

    def predicted(self, key: SessionKey) -> Queued | None:
        with self._changed:
            queue = self._queues.get(key)
            return None if queue is None else self._queued(key, queue)

    def accept(
        self, key: SessionKey, command: AnyCommand, load_base: LoadBase, callback: ResultCallback
    ) -> Queued | Rejected:
        """Queue the turn, or raise Overloaded or MessageIdReused; a repeated message id joins its first turn."""
        with self._changed:
            queue = self._queues.get(key) or SessionQueue(*load_base())
            if (known := queue.find(command)) is not None:
                # A client may resend it any number of times.
                known.callbacks[:] = [*known.callbacks[1 - MAX_CALLBACKS :], callback]
                return self._queued(key, queue)
            state = self._predicted(queue)
            event = self._decide(queue, state, command)
            if isinstance(event, Rejection):
                if event.code in _FINAL_REJECTIONS and not event.reads_answers:
                    before = None if state is None else Snapshot(key=key, state=state, survey=queue.survey)
                    return Rejected(snapshot=before, rejection=event)
            else:
                state = apply(state, event)
            if state is None:
                raise DatabaseUnavailable("disconnected")
            self._append(key, queue, command, callback)
            queue.predicted = state
            return self._queued(key, queue)

    def rebase(self, snapshot: Snapshot) -> None:
        with self._changed:
            queue = self._queues.get(snapshot.key)
            if queue is not None and (queue.base is None or snapshot.state.version >= queue.base.version):
                queue.base, queue.survey, queue.predicted = snapshot.state, snapshot.survey, None

    def discard(self, key: SessionKey) -> None:
        with self._changed:
            if (queue := self._queues.get(key)) is not None:
                self._finish(key, queue, len(queue.turns), _ERASED)

    def wait_until_empty(self, timeout_s: float) -> bool:
        with self._changed:
            return self._changed.wait_for(lambda: not self._queues, timeout_s)

    def close(self) -> None:
        """Stop the thread; clients resend what was pending."""
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()

    def _append(self, key: SessionKey, queue: SessionQueue, command: AnyCommand, callback: ResultCallback) -> None:
        size_bytes = TURN_BYTES + len(strict_json.encode(getattr(command, "value", None)))
        replaced = queue.replaceable_draft(command)
        turns = self.turns + (replaced is None)
        total_bytes = self._size_bytes - (replaced.size_bytes if replaced is not None else 0) + size_bytes
        if (
            turns > self._settings.pending_limit
            or total_bytes > self._settings.pending_mib * 2**20
            or len(queue.turns) >= SESSION_LIMIT
        ):
            raise Overloaded(self.turns)
        if replaced is not None:
            queue.turns.pop()
        queue.turns.append(PendingTurn(command, size_bytes, [callback]))
        metrics.PENDING_ACCEPTED.inc()
        self.turns, self._size_bytes = turns, total_bytes
        if key not in self._queues:
            self._queues[key] = queue
            self._changed.notify_all()
        if not self._is_draining:
            log.warning("Database unavailable: turns are kept in memory until it is back.")
            with suppress(RuntimeError):  # no more threads: the next turn retries
                threading.Thread(target=self._drain, name="stepkeep-pending", daemon=True).start()
                self._is_draining = True
            self.is_unavailable = True

    def _queued(self, key: SessionKey, queue: SessionQueue) -> Queued:
        state = self._predicted(queue)
        if state is None:  # pragma: no cover - a queue has a base or starts with Begin
            raise Unavailable("the session is not known yet; connect again")
        version = queue.base.version if queue.base is not None else 0
        return Queued(snapshot=Snapshot(key=key, state=state, survey=queue.survey), version=version)

    def _predicted(self, queue: SessionQueue) -> SessionState | None:
        if queue.predicted is None:
            state = queue.base
            for pending in queue.turns:
                event = self._decide(queue, state, pending.command)
                state = state if isinstance(event, Rejection) else apply(state, event)
            queue.predicted = state
        return queue.predicted

    def _decide(self, queue: SessionQueue, state: SessionState | None, command: AnyCommand) -> AnyEvent | Rejection:
        if isinstance(command, Restart) and queue.survey is not None:  # it begins the newest revision
            queue.survey = self._find_survey(queue.survey.id, None) or queue.survey
        return decide(queue.survey, state, command)

    def _drain(self) -> None:
        delay_s = FIRST_DELAY_S
        size = self._settings.batch_limit
        while self._has_work():
            heads = self._heads(size)
            if not heads:  # discarded meanwhile
                continue
            if self._commit(heads) > 0:
                delay_s = FIRST_DELAY_S
                size = min(size * GROWTH, self._settings.batch_limit)
                continue
            is_stuck = self._back_off(heads, delay_s * JITTER.uniform(0.5, 1))
            delay_s = min(delay_s * 2, MAX_STUCK_DELAY_S if is_stuck else MAX_DELAY_S)
            size = 1

    def _back_off(self, heads: list[tuple[SessionKey, PendingTurn]], delay_s: float) -> bool:
        """Return whether the sessions are stuck, which must not delay others."""
        with self._changed:
            queues = [self._queues[key] for key, _ in heads if key in self._queues]
            is_stuck = bool(queues) and all(queue.is_stuck for queue in queues)
            self.is_unavailable = self.is_unavailable or not is_stuck
            if len(heads) == 1 and queues:
                queues[0].has_failed = True
                self._queues.move_to_end(heads[0][0])
            self._changed.wait_for(lambda: self._is_closed or (is_stuck and self._has_healthy()), delay_s)
            return is_stuck

    def _has_healthy(self) -> bool:
        return any(not queue.is_stuck for queue in self._queues.values())

    def _has_work(self) -> bool:
        with self._changed:
            if self._queues and not self._is_closed:
                return True
            self._is_draining = self.is_unavailable = False
            self._changed.notify_all()
            if not self._is_closed:
                log.warning("Database available again: all pending turns are committed or rejected.")
            return False

    def _heads(self, limit: int) -> list[tuple[SessionKey, PendingTurn]]:
        with self._changed:
            healthy = (item for item in self._queues.items() if not item[1].is_stuck)
            chosen = list(islice(healthy, limit)) or list(islice(self._queues.items(), 1))
            return [(key, queue.turns[0]) for key, queue in chosen]

    def _commit(self, heads: list[tuple[SessionKey, PendingTurn]]) -> int:
        """Commit one turn a session, which keeps their order; return how many are final."""
        try:
            results = self._submit_many([(key, pending.command) for key, pending in heads])
        except Exception:
            log.exception("Unexpected error while committing pending turns.")
            return 0
        completed = 0
        for (key, pending), result in zip(heads, results, strict=True):
            if not isinstance(result, Unavailable):
                self._complete(key, pending, result)
                completed += 1
            elif isinstance(result, UnreadableHere | SessionBlocked):
                with self._changed:  # the database is available: only this session waits
                    if (queue := self._queues.get(key)) is not None:
                        queue.has_failed = queue.is_stuck = True
                    self.is_unavailable = False
        if completed:
            with self._changed:
                self.is_unavailable = False
                for queue in self._queues.values():
                    queue.is_stuck = queue.has_failed
        return completed

    def _complete(self, key: SessionKey, pending: PendingTurn, result: Result | Exception) -> None:
        with self._changed:
            queue = self._queues.get(key)
            if queue is None or queue.turns[0] is not pending:  # discarded meanwhile
                return
            # Whose access has been revoked has no other turns either.
            self._finish(key, queue, len(queue.turns) if isinstance(result, Unauthorized) else 1, result)
            queue.predicted = None
            if isinstance(result, Committed | Rejected) and result.snapshot is not None:
                self.rebase(result.snapshot)
            queue.has_failed = queue.is_stuck = False

    def _finish(self, key: SessionKey, queue: SessionQueue, count: int, result: Result | Exception) -> None:
        # Before the queue is removed, so that later turns get their results later.
        for callback in [callback for pending in islice(queue.turns, count) for callback in pending.callbacks]:
            try:
                callback(result)
            except Exception:
                log.exception("Unexpected error in the callback of a pending turn.")
        for _ in range(count):
            self._size_bytes -= queue.turns.popleft().size_bytes
        self.turns -= count
        if not queue.turns:
            del self._queues[key]
        self._changed.notify_all()
