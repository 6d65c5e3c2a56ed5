"""Turns that are accepted while the database is away: decided in memory, committed in order when it is back.

A session whose turn could not be committed in time gets a line here. Until the line is empty its further
turns wait in it too, so that they are committed in the order in which they were given. What the participant
is shown is the session as it will be if all of them hold; what holds is decided again, on the stored state, when
they are committed. Nothing here is acknowledged, and all of it may be lost with the process: the clients keep
what was not acknowledged, and send it again.
"""

import logging
import random
import threading
from collections import OrderedDict, deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, NamedTuple, Protocol

from ..core import strict_json
from ..errors import DatabaseUnavailable, MessageIdReused, MissingKey, Overloaded, Unavailable
from ..observability import metrics
from ..settings import Settings
from ..survey import (
    AnyCommand,
    Begin,
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
from .batch import Committed, FindSurvey, Rejected, Result, RevisionNotLoaded, Turn, command_fingerprint

log = logging.getLogger("stepkeep.store")

FIRST_DELAY_S = 0.2
MAX_DELAY_S = 2.0
"""Seconds between two tries to reach the database, at most: participants see that they wait."""

MAX_STUCK_DELAY_S = 8.0
"""Seconds between two tries, at most, of a session that can't be committed while others can: each try may hold the
writer for as long as it waits for a lock."""

GROWTH = 4
"""How many times as many sessions are tried together after each success: after an outage all are soon, and one that
can't be committed holds up few."""

MAX_CALLBACKS = 4
"""Connections, the latest, that are told of one turn: the tabs and devices that sent it."""

SESSION_LIMIT = 1000
"""Turns of one session that may wait: one participant can't take all the room of the others."""

TURN_BYTES = 2048
"""What a turn takes in memory beside its answer: the command, its place in the line, a state of its own."""

_FINAL_REJECTIONS = frozenset({"invalid_answer", "required"})
"""Refusals that depend on nothing but the survey: the stored state, whatever it is, can't make them void."""

ResultCallback = Callable[[Result | Exception], None]
"""Gets what came of a turn in the end; called from another thread, so it must not block."""


LoadBase = Callable[[], tuple[SessionState | None, Survey | None]]


class Backlog(NamedTuple):
    """What waits to be saved: in the writer's queue, and in memory because the database is away."""

    queued: int
    pending: int
    is_unavailable: bool


class SubmitMany(Protocol):
    """The writer's way in (``Writer.submit_many``)."""

    def __call__(self, turns: Sequence[Turn], *, retry_lock_waits: bool) -> list[Result | Exception]: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Queued:
    """A turn that waits for the database.

    Attributes:
        version: of the session as it is known to be stored; 0 where it is not.
        state: the session as it will be if all that waits holds.
        survey: the definition that it is pinned to.
    """

    key: SessionKey
    version: int
    state: SessionState
    survey: Survey | None

    @property
    def snapshot(self) -> Snapshot:
        """The session as it will be."""
        return Snapshot(key=self.key, state=self.state, survey=self.survey)


@dataclass(slots=True, eq=False)
class _PendingTurn:
    """One turn in its line."""

    command: AnyCommand
    size_bytes: int
    verdicts: list[ResultCallback]


@dataclass(slots=True, eq=False)
class _SessionQueue:
    """A session's turns that wait, oldest first, and the session under them.

    Attributes:
        has_failed: its first turn could not be committed, tried alone.
        is_stuck: and since then another session's could: the fault is this session's, not the database's.
    """

    base: SessionState | None
    survey: Survey | None
    turns: deque[_PendingTurn] = field(default_factory=deque)
    predicted: SessionState | None = None
    has_failed: bool = False
    is_stuck: bool = False


class PendingQueue:
    """The turns of this process that wait for the database. Safe from any thread.

    Args:
        submit_many: commits them.
        known_survey: finds the survey of a revision without waiting (RevisionNotLoaded).
    """

    def __init__(self, settings: Settings, submit_many: SubmitMany, known_survey: FindSurvey) -> None:
        self._settings = settings
        self._submit_many = submit_many
        self._known_survey = known_survey
        self._forget()

    def _forget(self) -> None:
        self._changed = threading.Condition(threading.RLock())  # a verdict may come back to `rebase`
        self._lines: OrderedDict[SessionKey, _SessionQueue] = OrderedDict()
        self._turns = 0
        self._size_bytes = 0
        self._is_draining = False
        self._is_closed = False
        self._is_away = False

    def after_fork(self) -> None:
        """Begin anew in a forked child: what waits is the parent's."""
        self._forget()

    @property
    def is_unavailable(self) -> bool:
        """Whether the database did not answer when it was tried last."""
        return self._is_away

    @property
    def turns(self) -> int:
        """How many wait."""
        return self._turns

    def holds(self, key: SessionKey) -> bool:
        """Return whether the session has turns waiting."""
        return key in self._lines

    def predicted(self, key: SessionKey) -> Queued | None:
        """Return a session that has turns waiting; None where it has none."""
        with self._changed:
            line = self._lines.get(key)
            return None if line is None else self._accepted(key, line)

    def accept(
        self, key: SessionKey, command: AnyCommand, stored: LoadBase, verdict: ResultCallback
    ) -> Queued | Rejected:
        """Put the turn into its session's line, and return the session with it.

        The same message id again joins its first turn, and waits for the same verdict.

        Args:
            stored: gives the newest state of the session that is known to be stored (None where it is known that
                there is none) and the definition that it is pinned to; asked where the session has no line.

        Returns:
            Refused: the answer does not fit its question; it is not kept.

        Raises:
            Overloaded: more waits than STEPKEEP_PENDING_LIMIT or STEPKEEP_PENDING_MIB; it is not kept.
            MessageIdReused: its id is another command's.
        """
        with self._changed:
            line = self._lines.get(key) or _SessionQueue(*stored())
            if (known := _same_message(line, command)) is not None:
                # Who sent it first may be gone; who resends it again and again must not fill the memory.
                known.verdicts[:] = [*known.verdicts[1 - MAX_CALLBACKS :], verdict]
                return self._accepted(key, line)
            state = self._predicted(line)
            event = self._decided(line, state, command)
            if isinstance(event, Rejection):
                if event.code in _FINAL_REJECTIONS:
                    return Rejected(key=key, rejection=event, state=state, survey=line.survey)
            else:
                state = apply(state, event)
            if state is None:
                raise DatabaseUnavailable("away")
            self._put(key, line, command, verdict)
            line.predicted = state
            return self._accepted(key, line)

    def rebase(self, key: SessionKey, state: SessionState, survey: Survey | None) -> None:
        """Take note of a newer state of a session that has turns waiting, stored past its line."""
        with self._changed:
            line = self._lines.get(key)
            if line is not None:
                self._put_under(line, state, survey)

    def wait_until_empty(self, timeout_s: float) -> bool:
        """Return whether all that waits was committed in time."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._lines, timeout_s)

    def close(self) -> None:
        """End the thread that tries; what waits stays with those who sent it."""
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()

    def _put(self, key: SessionKey, line: _SessionQueue, command: AnyCommand, verdict: ResultCallback) -> None:
        size_bytes = TURN_BYTES + len(strict_json.encode(getattr(command, "value", None)))
        last = line.turns[-1] if line.turns else None
        # The newest draft wins; but the first turn may be on its way already.
        replaced = last if len(line.turns) > 1 and last is not None and _is_same_draft(last.command, command) else None
        turns = self._turns - (replaced is not None)
        total_bytes = self._size_bytes - (replaced.size_bytes if replaced is not None else 0) + size_bytes
        if turns >= self._settings.pending_limit or len(line.turns) >= SESSION_LIMIT:
            raise Overloaded(self._turns)
        if total_bytes > self._settings.pending_mib * 2**20:
            raise Overloaded(self._turns)
        if replaced is not None:
            line.turns.pop()
            self._turns -= 1
            self._size_bytes -= replaced.size_bytes
        line.turns.append(_PendingTurn(command, size_bytes, [verdict]))
        metrics.PENDING_ACCEPTED.inc()
        self._turns += 1
        self._size_bytes += size_bytes
        if key not in self._lines:
            self._lines[key] = line
            self._changed.notify_all()
        if not self._is_draining:
            log.warning("the database does not answer: turns are kept in memory until it does")
            with suppress(RuntimeError):  # the machine has no more threads: the next turn tries again
                threading.Thread(target=self._drain, name="stepkeep-pending", daemon=True).start()
                self._is_draining = True
            self._is_away = True

    def _accepted(self, key: SessionKey, line: _SessionQueue) -> Queued:
        state = self._predicted(line)
        if state is None:  # pragma: no cover - a line begins with a base, or with a Begin
            raise Unavailable("the session is not known yet; connect again")
        version = line.base.version if line.base is not None else 0
        return Queued(key=key, version=version, state=state, survey=line.survey)

    def _predicted(self, line: _SessionQueue) -> SessionState | None:
        """Return the session with all that waits; made again where the session under it has changed."""
        if line.predicted is None:
            state = line.base
            for waiting in line.turns:
                event = self._decided(line, state, waiting.command)
                state = state if isinstance(event, Rejection) else apply(state, event)
            line.predicted = state
        return line.predicted

    def _decided(self, line: _SessionQueue, state: SessionState | None, command: AnyCommand) -> Any:  # noqa: ANN401 - as decide
        if isinstance(command, Begin | Restart):
            line.survey = self._newest(line, command)
        return decide(line.survey, state, command)

    def _newest(self, line: _SessionQueue, command: Begin | Restart) -> Survey | None:
        if line.survey is None or isinstance(command, Begin):
            return line.survey
        try:
            return self._known_survey(line.survey.id, None) or line.survey
        except RevisionNotLoaded:  # pragma: no cover - the newest is always known
            return line.survey

    def _put_under(self, line: _SessionQueue, state: SessionState, survey: Survey | None) -> None:
        if line.base is None or state.version >= line.base.version:
            line.base, line.survey, line.predicted = state, survey, None

    # ------------------------------------------------------------------- the thread that commits

    def _drain(self) -> None:
        """Try until nothing waits: the first turns of many sessions together, fewer after a failure."""
        delay_s = FIRST_DELAY_S
        size = self._settings.batch_limit
        while self._is_to_go_on():
            heads = self._heads(size)
            if self._commit(heads) > 0:
                delay_s = FIRST_DELAY_S
                size = min(size * GROWTH, self._settings.batch_limit)
                continue
            is_stuck = self._failed(heads, delay_s * random.uniform(0.5, 1))  # noqa: S311 - no secret
            delay_s = min(delay_s * 2, MAX_STUCK_DELAY_S if is_stuck else MAX_DELAY_S)
            size = 1

    def _failed(self, heads: list[tuple[SessionKey, _PendingTurn]], delay_s: float) -> bool:
        """Wait before the next try; a session that can't be committed even alone must not hold up the others.

        Returns:
            It was such a session.
        """
        with self._changed:
            key = heads[0][0]
            line = self._lines[key]
            is_stuck = len(heads) == 1 and line.is_stuck
            self._is_away = self._is_away or not is_stuck
            if len(heads) == 1:
                line.has_failed = True
                self._lines.move_to_end(key)
            self._changed.wait_for(lambda: self._is_closed or (is_stuck and self._has_fresh()), delay_s)
            return is_stuck

    def _has_fresh(self) -> bool:
        return any(not line.is_stuck for line in self._lines.values())

    def _is_to_go_on(self) -> bool:
        with self._changed:
            if self._lines and not self._is_closed:
                return True
            self._is_draining = self._is_away = False
            self._changed.notify_all()
            if not self._is_closed:
                log.warning("the database answers again: all that waited is committed or told")
            return False

    def _heads(self, limit: int) -> list[tuple[SessionKey, _PendingTurn]]:
        """Return the first turns of as many sessions; of one that is stuck where there are only such."""
        with self._changed:
            fresh = (item for item in self._lines.items() if not item[1].is_stuck)
            chosen = list(islice(fresh, limit)) or list(islice(self._lines.items(), 1))
            return [(key, line.turns[0]) for key, line in chosen]

    def _commit(self, heads: list[tuple[SessionKey, _PendingTurn]]) -> int:
        """Commit one turn a session, so that none overtakes an earlier one; return how many were settled."""
        try:
            results = self._submit_many([(key, waiting.command) for key, waiting in heads], retry_lock_waits=False)
        except Exception:
            log.exception("what waits for the database could not be tried")
            return 0
        settled = [
            (key, waiting, result)
            for (key, waiting), result in zip(heads, results, strict=True)
            if not isinstance(result, Unavailable)
        ]
        for key, waiting, result in settled:
            self._settle(key, waiting, result)
        with self._changed:
            for (key, _), result in zip(heads, results, strict=True):
                if isinstance(result, MissingKey):  # the database is there, a key is not: it waits alone
                    self._lines[key].has_failed = self._lines[key].is_stuck = True
                    self._is_away = False
        if settled:
            with self._changed:
                self._is_away = False
                for line in self._lines.values():
                    line.is_stuck = line.has_failed
        return len(settled)

    def _settle(self, key: SessionKey, waiting: _PendingTurn, result: Result | Exception) -> None:
        with self._changed:
            # Told before the line is gone: what is submitted past it afterwards is answered later.
            for verdict in waiting.verdicts:
                try:
                    verdict(result)
                except Exception:
                    log.exception("a sender could not be told what came of his turn")
            line = self._lines[key]
            line.turns.popleft()
            self._turns -= 1
            self._size_bytes -= waiting.size_bytes
            line.predicted = None
            if isinstance(result, Committed | Rejected) and result.state is not None:
                self._put_under(line, result.state, result.survey)
            line.has_failed = line.is_stuck = False
            if not line.turns:
                del self._lines[key]
            self._changed.notify_all()


def _same_message(line: _SessionQueue, command: AnyCommand) -> _PendingTurn | None:
    if command.message_id is None:
        return None
    for waiting in line.turns:
        if waiting.command.message_id == command.message_id:
            if command_fingerprint(waiting.command) != command_fingerprint(command):
                raise MessageIdReused(command.message_id)
            return waiting
    return None


def _is_same_draft(last: AnyCommand, command: AnyCommand) -> bool:
    return isinstance(last, Draft) and isinstance(command, Draft) and last.step == command.step
