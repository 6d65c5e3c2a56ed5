"""Counts all sessions of a survey, a part at a time, on two connections: memory does not grow with the sessions.

But for durations: each answer's, and each number's, takes 8 bytes until the quantiles are known.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import chain
from typing import Any, cast

import numpy as np
import orjson
from sqlalchemy import Connection

from ...errors import MissingKey
from ...sessions.service import SessionStore
from ...store.encryption import ANSWERS
from ...store.statistics import EventColumns, SessionRow, is_set_aside, read_event_columns, read_sessions
from ...survey import END
from .counters import Tally
from .event_arrays import ANSWERED, NO_STEP, NOT_COMPLETED, WENT_BACK, Ints, StepNumbers, Walks, events_of
from .filters import Filters, mode_of, status_of
from .plan import Plan

PAUSE_S = 1800
"""Seconds: who did nothing for half an hour was away. Web analytics call that the end of a visit, by long custom."""

PART = 4000
"""Sessions of a part: some 20 MB, and no more than some tens of milliseconds in which the interpreter is held."""

EVENTS = 250_000
"""Events that are looked at together, at most: some 50 MB."""

FEW = 4
"""Where the filters leave less than one of so many sessions, each is looked for; else all between are read."""

CONNECTIONS = 2

_DAY_US = 86_400_000_000

Progress = Callable[[int, int], None]
"""Told how many sessions were counted, and of how many."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What is to be counted.

    Attributes:
        at: now, microseconds since 1970 UTC.
    """

    survey_id: str
    filters: Filters
    plan: Plan
    at: int


def tally_of(store: SessionStore, question: Question, progress: Progress, total: int) -> Tally:
    """Return what is counted of all sessions that fit.

    Raises:
        Unavailable: the database can't be read now.
    """
    whole, done = Tally(), 0
    waiting: deque[tuple[int, Future[Tally]]] = deque()
    with ThreadPoolExecutor(CONNECTIONS, thread_name_prefix="stepkeep-figures") as threads:
        for rows in _parts(store, question.survey_id):
            waiting.append((len(rows), threads.submit(_tally_of_part, store, question, rows)))
            if len(waiting) > CONNECTIONS:
                done += _add_first(whole, waiting)
                progress(done, max(done, total))
        while waiting:
            done += _add_first(whole, waiting)
            progress(done, max(done, total))
    return whole


def _add_first(whole: Tally, waiting: deque[tuple[int, Future[Tally]]]) -> int:
    size, future = waiting.popleft()
    whole.add(future.result())
    return size


def _parts(store: SessionStore, survey_id: str) -> Iterator[list[SessionRow]]:
    last: str | None = None
    while True:
        after = last
        rows = store.run_read(lambda connection: read_sessions(connection, survey_id, after, PART))  # noqa: B023 - called at once
        if rows:
            yield rows
        if len(rows) < PART:
            return
        last = rows[-1].user_id


def _tally_of_part(store: SessionStore, question: Question, rows: Sequence[SessionRow]) -> Tally:
    tally = Tally()
    counted = [row for row in rows if not is_set_aside(row) and question.filters.fit(row, question.at)]
    for some in _few_events(counted):
        wanted = [row.user_id for row in some]
        only = wanted if len(counted) * FEW < len(rows) else None
        found = store.run_read(partial(_read_walks, question.survey_id, wanted, only))
        numbers = StepNumbers()
        events = events_of(found, wanted, numbers)
        walks = Walks(events, len(some), PAUSE_S * 1_000_000)
        _count_walks(tally, some, walks)
        _count_steps(tally, some, walks, numbers)
    if counted:
        _count_sessions(tally, counted, question.at)
        _count_answers(tally, counted, question, store)
    return tally


def _read_walks(
    survey_id: str, wanted: Sequence[str], only: Sequence[str] | None, connection: Connection
) -> EventColumns:
    return read_event_columns(connection, survey_id, wanted[0], wanted[-1], only)


def _few_events(rows: Sequence[SessionRow]) -> Iterator[list[SessionRow]]:
    """Yield the sessions in parts that have no more than EVENTS events, or one session."""
    some: list[SessionRow] = []
    events = 0
    for row in rows:
        if some and events + row.version > EVENTS:
            yield some
            some, events = [], 0
        some.append(row)
        events += row.version
    if some:
        yield some


def _count_sessions(tally: Tally, rows: Sequence[SessionRow], at: int) -> None:
    tally.statuses.update(status_of(row, at) for row in rows)
    tally.revisions.update(row.revision for row in rows)
    tally.modes.update(mode_of(row) for row in rows)
    tally.began_days.update(row.started_at // _DAY_US for row in rows if row.started_at is not None)
    completed = [row for row in rows if row.status == "completed"]
    tally.completed_by.update(("revision", row.revision) for row in completed)
    tally.completed_by.update(("mode", mode_of(row)) for row in completed)
    tally.completed_days.update(row.completed_at // _DAY_US for row in completed if row.completed_at is not None)


def _count_answers(tally: Tally, rows: Sequence[SessionRow], question: Question, store: SessionStore) -> None:
    alike: dict[tuple[str, ...], list[Iterable[Any]]] = {}  # by their steps: few ways lead through a survey
    for row in rows:
        try:
            text = store.cipher.decrypt(row.answers, (ANSWERS, question.survey_id, row.user_id))
            answers: dict[str, Any] = orjson.loads(text)
            alike.setdefault(tuple(answers), []).append(answers.values())
        except (MissingKey, ValueError, AttributeError, TypeError):  # the row is support's to mend
            tally.counts["unread"] += 1
    by_step: dict[str, list[Any]] = {}
    for steps, given in alike.items():
        for step, answers_given in zip(steps, zip(*given, strict=True), strict=True):
            by_step.setdefault(step, []).extend(answers_given)
    for step, every in by_step.items():
        tally.steps[step].answers.count(question.plan.get(step), every)


def _count_walks(tally: Tally, rows: Sequence[SessionRow], walks: Walks) -> None:
    completed_at = np.array(
        [
            row.completed_at if row.status == "completed" and row.completed_at is not None else NOT_COMPLETED
            for row in rows
        ],
        dtype=np.int64,
    )
    whole, active = walks.durations(completed_at)
    tally.duration.add(whole)
    tally.active.add(active)
    tally.away.add(walks.gaps[walks.pauses])
    pauses = walks.pauses_by_session
    tally.counts.update(returns=int(pauses.sum()), resumed=int(np.count_nonzero(pauses)))
    is_audio = np.array([mode_of(row) == "audio" for row in rows])
    answered = is_audio[walks.events.session[walks.of_action(ANSWERED)]]
    tally.answers_by_mode.update(audio=int(answered.sum()), text=int((~answered).sum()))


def _count_steps(tally: Tally, rows: Sequence[SessionRow], walks: Walks, numbers: StepNumbers) -> None:
    passed = _Pairs.of_routes(_routes(rows), numbers)
    here = _Pairs.of_routes([() if row.current_step == END else (row.current_step,) for row in rows], numbers)
    left = [numbers[row.current_step] for row in rows if row.status != "completed" and row.current_step != END]
    events, answered = walks.events, walks.of_action(ANSWERED)
    came = _Pairs(events.session[walks.in_walk], events.step[walks.in_walk])
    gave = _Pairs(events.session[answered], events.step[answered])
    step, microseconds = walks.answer_times()
    ids = numbers.ids
    distinct_given = gave.by_step(len(ids))
    counts = {
        "reached": came.joined(passed, here).by_step(len(ids)),
        "answered": gave.joined(passed).by_step(len(ids)),
        "left_here": _times(left, len(ids)),
        "edits": _times(gave.step, len(ids)) - distinct_given,
        "backs": _times(events.step[walks.of_action(WENT_BACK)], len(ids)),
    }
    order = np.argsort(step, kind="stable")
    ends = np.searchsorted(step[order], np.arange(len(ids) + 1))
    for number, step_id in enumerate(ids):
        if step_id != END:
            found = tally.steps[step_id]
            found.counts.update({name: int(by_step[number]) for name, by_step in counts.items()})
            found.microseconds.add(microseconds[order[ends[number] : ends[number + 1]]])


class _Pairs:
    """Sessions and steps that belong together, by their numbers; more than once, or of no step, is no harm."""

    def __init__(self, session: Ints, step: Ints) -> None:
        self.session, self.step = session[step != NO_STEP], step[step != NO_STEP]

    @classmethod
    def of_routes(cls, routes: Sequence[Sequence[str]], numbers: StepNumbers) -> "_Pairs":
        session = np.repeat(np.arange(len(routes)), [len(route) for route in routes])
        return cls(session, np.array([numbers[step] for route in routes for step in route], dtype=np.int64))

    def joined(self, *others: "_Pairs") -> "_Pairs":
        every = (self, *others)
        return _Pairs(np.concatenate([one.session for one in every]), np.concatenate([one.step for one in every]))

    def by_step(self, count: int) -> Ints:
        """Return how many sessions each step has."""
        if not len(self.step):
            return np.zeros(count, dtype=np.int64)
        has = np.zeros((int(self.session.max()) + 1, count), dtype=np.bool_)
        has[self.session, self.step] = True
        sessions: Ints = np.count_nonzero(has, axis=0)
        return sessions


def _times(steps: Ints | list[int], count: int) -> Ints:
    found = np.asarray(steps, dtype=np.int64)
    return np.bincount(found[found != NO_STEP], minlength=count)


def _routes(rows: Sequence[SessionRow]) -> list[list[str]]:
    """Return the steps before the current one of each session; none where they can't be read."""
    try:
        found = orjson.loads(f"[{','.join([row.step_history for row in rows])}]")
    except ValueError:
        found = [_route(row) for row in rows]
    if (
        len(found) == len(rows)
        and set(map(type, found)) <= {list}
        and set(map(type, chain.from_iterable(found))) <= {str}
    ):
        return cast("list[list[str]]", found)
    return [_route(row) for row in rows]


def _route(row: SessionRow) -> list[str]:
    try:
        found = orjson.loads(row.step_history)
    except ValueError:
        return []
    return [step for step in found if isinstance(step, str)] if isinstance(found, list) else []
