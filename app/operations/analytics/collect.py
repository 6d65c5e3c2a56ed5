"""Count a survey's sessions in parts, on two connections.

Memory grows by 8 bytes for each duration and number.
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
from ...sessions import SessionStore
from ...store import encryption, keyset, statistics
from ...survey import END
from .counters import Counters
from .event_arrays import ANSWERED, NO_STEP, NOT_COMPLETED, WENT_BACK, Ints, Runs, StepNumbers, parse_events
from .filters import Filters, session_mode, session_status
from .step_plan import StepPlan

PAUSE_S = 1800
"""A customary end of visits in web analytics."""

SESSIONS_A_PART = 4000
"""Some 20 MB, and tens of milliseconds with the interpreter's lock."""

EVENTS_A_CHUNK = 250_000
"""Some 50 MB."""

SELECTIVITY = 4
"""If filters keep under one in this many, events are read by session."""

CONNECTIONS = 2

_DAY_US = 86_400_000_000

Progress = Callable[[int, int], None]
"""Called with counted sessions, and their total."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """What to count; ``at`` is in microseconds since 1970 UTC."""

    survey_id: str
    filters: Filters
    plan: StepPlan
    at: int


def count_sessions(store: SessionStore, query: Query, progress: Progress, total: int) -> Counters:
    """Count all sessions that match.

    Raises:
        Unavailable: the database failed.
    """
    counters, done = Counters(), 0
    pending: deque[tuple[int, Future[Counters]]] = deque()
    with ThreadPoolExecutor(CONNECTIONS, thread_name_prefix="stepkeep-analytics") as threads:
        for rows in _parts(store, query.survey_id):
            pending.append((len(rows), threads.submit(_count_part, store, query, rows)))
            if len(pending) > CONNECTIONS:
                done += _add_first(counters, pending)
                progress(done, max(done, total))
        while pending:
            done += _add_first(counters, pending)
            progress(done, max(done, total))
    return counters


def _add_first(counters: Counters, pending: deque[tuple[int, Future[Counters]]]) -> int:
    size, future = pending.popleft()
    counters.add(future.result())
    return size


def _parts(store: SessionStore, survey_id: str) -> Iterator[Sequence[statistics.SessionRow]]:
    start: str | None = None
    return keyset.pages(
        store.run_read,
        lambda connection, after: statistics.read_sessions(connection, survey_id, after, SESSIONS_A_PART),
        start,
        lambda row: row.user_id,
        SESSIONS_A_PART,
    )


def _count_part(store: SessionStore, query: Query, rows: Sequence[statistics.SessionRow]) -> Counters:
    counters = Counters()
    matching = [row for row in rows if not statistics.is_set_aside(row) and query.filters.matches(row, query.at)]
    is_selective = len(matching) * SELECTIVITY < len(rows)
    for chunk in _chunks(matching):
        user_ids = [row.user_id for row in chunk]
        columns = store.run_read(
            partial(_read_events, query.survey_id, user_ids, user_ids if is_selective else None),
        )
        numbers = StepNumbers()
        runs = Runs(parse_events(columns, user_ids, numbers), len(chunk), PAUSE_S * 1_000_000)
        _count_runs(counters, chunk, runs)
        _count_steps(counters, chunk, runs, numbers)
    if matching:
        _count_properties(counters, matching, query.at)
        _count_answers(counters, matching, query, store)
    return counters


def _read_events(
    survey_id: str, user_ids: Sequence[str], only: Sequence[str] | None, connection: Connection
) -> statistics.EventColumns:
    return statistics.read_event_columns(connection, survey_id, user_ids[0], user_ids[-1], only)


def _chunks(rows: Sequence[statistics.SessionRow]) -> Iterator[Sequence[statistics.SessionRow]]:
    chunk: list[statistics.SessionRow] = []
    events = 0
    for row in rows:
        if chunk and events + row.version > EVENTS_A_CHUNK:
            yield chunk
            chunk, events = [], 0
        chunk.append(row)
        events += row.version
    if chunk:
        yield chunk


def _count_properties(counters: Counters, rows: Sequence[statistics.SessionRow], at: int) -> None:
    counters.statuses.update(session_status(row, at) for row in rows)
    counters.revisions.update(row.revision for row in rows)
    counters.modes.update(session_mode(row) for row in rows)
    counters.started_days.update(row.started_at // _DAY_US for row in rows if row.started_at is not None)
    completed = [row for row in rows if row.status == "completed"]
    counters.completed_by.update(("revision", row.revision) for row in completed)
    counters.completed_by.update(("mode", session_mode(row)) for row in completed)
    counters.completed_days.update(row.completed_at // _DAY_US for row in completed if row.completed_at is not None)


def _count_answers(
    counters: Counters, rows: Sequence[statistics.SessionRow], query: Query, store: SessionStore
) -> None:
    by_route: dict[tuple[str, ...], list[Iterable[Any]]] = {}  # few routes lead through a survey
    for row in rows:
        try:
            text = store.cipher.decrypt(row.answers, (encryption.ANSWERS, query.survey_id, row.user_id))
            answers: dict[str, Any] = orjson.loads(text)
            by_route.setdefault(tuple(answers), []).append(answers.values())
        except (MissingKey, ValueError, AttributeError, TypeError):  # support repairs such rows
            counters.counts["unread"] += 1
    by_step: dict[str, list[Any]] = {}
    for steps, rows_of_values in by_route.items():
        for step, values in zip(steps, zip(*rows_of_values, strict=True), strict=True):
            by_step.setdefault(step, []).extend(values)
    for step, step_values in by_step.items():
        counters.steps[step].answers.count(query.plan.get(step), step_values)


def _count_runs(counters: Counters, rows: Sequence[statistics.SessionRow], runs: Runs) -> None:
    completed_at = np.array(
        [
            row.completed_at if row.status == "completed" and row.completed_at is not None else NOT_COMPLETED
            for row in rows
        ],
        dtype=np.int64,
    )
    total, active = runs.durations(completed_at)
    counters.duration.add(total)
    counters.active.add(active)
    counters.away.add(runs.gaps[runs.pauses])
    pauses = runs.pauses_by_session
    counters.counts.update(returns=int(pauses.sum()), resumed=int(np.count_nonzero(pauses)))
    is_audio = np.array([session_mode(row) == "audio" for row in rows])
    answered = is_audio[runs.events.session[runs.with_action(ANSWERED)]]
    counters.answers_by_mode.update(audio=int(answered.sum()), text=int((~answered).sum()))


def _count_steps(counters: Counters, rows: Sequence[statistics.SessionRow], runs: Runs, numbers: StepNumbers) -> None:
    passed = _SessionSteps.from_routes(_routes(rows), numbers)
    current = _SessionSteps.from_routes(
        [() if row.current_step == END else (row.current_step,) for row in rows], numbers
    )
    left = [numbers[row.current_step] for row in rows if row.status != "completed" and row.current_step != END]
    events, is_answer = runs.events, runs.with_action(ANSWERED)
    in_run = _SessionSteps(events.session[runs.in_run], events.step[runs.in_run])
    answered = _SessionSteps(events.session[is_answer], events.step[is_answer])
    step, microseconds = runs.answer_times()
    ids = numbers.ids
    counts = {
        "reached": in_run.union(passed, current).sessions_by_step(len(ids)),
        "answered": answered.union(passed).sessions_by_step(len(ids)),
        "left_here": _occurrences(left, len(ids)),
        "edits": _occurrences(answered.step, len(ids)) - answered.sessions_by_step(len(ids)),
        "backs": _occurrences(events.step[runs.with_action(WENT_BACK)], len(ids)),
    }
    order = np.argsort(step, kind="stable")
    ends = np.searchsorted(step[order], np.arange(len(ids) + 1))
    for number, step_id in enumerate(ids):
        if step_id != END:
            step_counters = counters.steps[step_id]
            step_counters.counts.update({name: int(by_step[number]) for name, by_step in counts.items()})
            step_counters.microseconds.add(microseconds[order[ends[number] : ends[number + 1]]])


class _SessionSteps:
    """Numbers of sessions and steps; pairs may be repeated."""

    def __init__(self, session: Ints, step: Ints) -> None:
        self.session, self.step = session[step != NO_STEP], step[step != NO_STEP]

    @classmethod
    def from_routes(cls, routes: Sequence[Sequence[str]], numbers: StepNumbers) -> "_SessionSteps":
        session = np.repeat(np.arange(len(routes)), [len(route) for route in routes])
        return cls(session, np.array([numbers[step] for route in routes for step in route], dtype=np.int64))

    def union(self, *others: "_SessionSteps") -> "_SessionSteps":
        pairs = (self, *others)
        return _SessionSteps(np.concatenate([p.session for p in pairs]), np.concatenate([p.step for p in pairs]))

    def sessions_by_step(self, count: int) -> Ints:
        if not len(self.step):
            return np.zeros(count, dtype=np.int64)
        has = np.zeros((int(self.session.max()) + 1, count), dtype=np.bool_)
        has[self.session, self.step] = True
        sessions: Ints = np.count_nonzero(has, axis=0)
        return sessions


def _occurrences(steps: Ints | list[int], count: int) -> Ints:
    numbers = np.asarray(steps, dtype=np.int64)
    return np.bincount(numbers[numbers != NO_STEP], minlength=count)


def _routes(rows: Sequence[statistics.SessionRow]) -> list[list[str]]:
    try:
        routes = orjson.loads(f"[{','.join([row.step_history for row in rows])}]")
    except ValueError:
        return [_route(row) for row in rows]
    if (
        len(routes) == len(rows)
        and set(map(type, routes)) <= {list}
        and set(map(type, chain.from_iterable(routes))) <= {str}
    ):
        return cast("list[list[str]]", routes)
    return [_route(row) for row in rows]


def _route(row: statistics.SessionRow) -> list[str]:
    try:
        route = orjson.loads(row.step_history)
    except ValueError:
        return []
    return [step for step in route if isinstance(step, str)] if isinstance(route, list) else []
