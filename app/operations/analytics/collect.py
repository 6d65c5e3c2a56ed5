"""Count a survey's sessions in parts, on two connections."""

from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import accumulate, groupby
from typing import Any, get_args

import numpy as np
import orjson

from ...core.progress import Progress
from ...errors import MissingKey, OtherRelease
from ...sessions import SessionStore
from ...store import encryption, keyset, parse_context, statistics
from ...survey import END, SessionContext, SessionKey, Status
from .counters import Counters, StepPlan, ValuePlan
from .event_arrays import ANSWERED, WENT_BACK, Ints, Runs, StepNumbers, parse_events
from .filters import Filters

PAUSE_S = 1800  # a customary end of visits in web analytics
SESSIONS_A_PART = 4000  # some 20 MB, and tens of milliseconds with the interpreter's lock
EVENTS_A_CHUNK = 250_000  # some 50 MB
SELECTIVITY = 4  # if filters keep under one in this many, events are read by session
CONNECTIONS = 2

_DAY_US = 86_400_000_000

Rows = Sequence[statistics.SessionRow]


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """What to count."""

    survey_id: str
    filters: Filters
    plan: StepPlan
    values: ValuePlan
    own_languages: Mapping[str, str]  # by revision; empty if none has several languages
    at: int  # microseconds since 1970 UTC


def count_sessions(store: SessionStore, query: Query, progress: Progress, total: int) -> Counters:
    counters = Counters()
    for part in _count_parts(store, query):
        counters.add(part)
        done = counters.counts["read"]
        progress(done, max(done, total))
    return counters


def _count_parts(store: SessionStore, query: Query) -> Iterator[Counters]:
    start: str | None = None
    parts = keyset.pages(
        store.run_read,
        lambda connection, after: statistics.read_sessions(
            connection,
            query.survey_id,
            query.at,
            after,
            SESSIONS_A_PART,
            has_context=bool(query.own_languages or query.values),
        ),
        start,
        lambda row: row.user_id,
        SESSIONS_A_PART,
    )
    pending: deque[Future[Counters]] = deque()
    with ThreadPoolExecutor(CONNECTIONS, thread_name_prefix="stepkeep-analytics") as threads:
        for rows in parts:
            pending.append(threads.submit(_count_part, store, query, rows))
            if len(pending) > CONNECTIONS:
                yield pending.popleft().result()
        yield from (future.result() for future in pending)


def _count_part(store: SessionStore, query: Query, rows: Rows) -> Counters:
    counters = Counters()
    counters.counts["read"] = len(rows)
    matching = [row for row in rows if encryption.SET_ASIDE not in row.user_id and query.filters.matches(row)]
    if unknown := {row.status for row in matching}.difference(get_args(Status)):
        raise OtherRelease(f"The status {min(unknown)!r} of a session is of another release.")
    is_selective = len(matching) * SELECTIVITY < len(rows)
    for chunk in _chunks(matching):
        user_ids = [row.user_id for row in chunk]
        columns = store.run_read(
            partial(
                statistics.read_event_columns,
                survey_id=query.survey_id,
                first=user_ids[0],
                last=user_ids[-1],
                only=user_ids if is_selective else None,
            )
        )
        numbers = StepNumbers()
        runs = Runs(parse_events(columns, user_ids, numbers), len(chunk), PAUSE_S * 1_000_000)
        _count_runs(counters, chunk, runs)
        _count_steps(counters, chunk, runs, numbers)
    _count_properties(counters, matching)
    if query.own_languages:
        counters.languages.update((_language(row, query, store), row.status) for row in matching)
    if query.values:
        _count_values(counters, matching, query, store)
    _count_answers(counters, matching, query, store)
    return counters


def _chunks(rows: Rows) -> Iterator[Rows]:
    events = accumulate(row.version for row in rows)
    for _, chunk in groupby(zip(events, rows, strict=True), lambda pair: pair[0] // EVENTS_A_CHUNK):
        yield [row for _, row in chunk]


def _count_properties(counters: Counters, rows: Rows) -> None:
    counters.statuses.update(row.status for row in rows)
    counters.modes.update((row.mode, row.status) for row in rows)
    counters.revisions.update((row.revision, row.status) for row in rows)
    counters.started_days.update(row.started_at // _DAY_US for row in rows if row.started_at is not None)
    counters.completed_days.update(
        row.completed_at // _DAY_US for row in rows if row.status == "completed" and row.completed_at is not None
    )


def _language(row: statistics.SessionRow, query: Query, store: SessionStore) -> str | None:
    own = query.own_languages.get(row.revision or "")
    if row.context is None:
        return own
    context = _context(row, query, store)
    return None if context is None else context.language or own


def _context(row: statistics.SessionRow, query: Query, store: SessionStore) -> SessionContext | None:
    if row.context is None:
        return None
    try:
        return parse_context(row.context, SessionKey(query.survey_id, row.user_id), store.cipher)
    except (MissingKey, ValueError, TypeError):
        return None


def _count_values(counters: Counters, rows: Rows, query: Query, store: SessionStore) -> None:
    contexts = (_context(row, query, store) for row in rows if row.status == "completed")
    recorded = [context.values for context in contexts if context is not None and context.values is not None]
    for name, planned in query.values.items():
        counters.values[name].count_values(planned, [values[name] for values in recorded if name in values])


def _count_answers(counters: Counters, rows: Rows, query: Query, store: SessionStore) -> None:
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
        counters.steps[step].count_answers(query.plan.get(step), step_values)


def _count_runs(counters: Counters, rows: Rows, runs: Runs) -> None:
    ends = [row.completed_at if row.status == "completed" else None for row in rows]
    completed_at = np.array([statistics.NO_TIME if end is None else end for end in ends], dtype=np.int64)
    total, active = runs.durations(completed_at)
    counters.duration.append(total)
    counters.active.append(active)
    counters.away.append(runs.gaps[runs.pauses])
    pauses = runs.pauses_by_session
    counters.counts.update(returns=int(pauses.sum()), resumed=int(np.count_nonzero(pauses)))
    is_audio = np.array([row.mode == "audio" for row in rows])
    answered = is_audio[runs.events.session[runs.with_action(ANSWERED)]]
    counters.answers_by_mode.update(audio=int(answered.sum()), text=int((~answered).sum()))


def _count_steps(counters: Counters, rows: Rows, runs: Runs, numbers: StepNumbers) -> None:
    sessions = np.arange(len(rows))
    routes = [_route(row) for row in rows]
    passed = (
        np.repeat(sessions, [len(route) for route in routes]),
        np.array([numbers[step] for route in routes for step in route], dtype=np.int64),
    )
    current = np.array([numbers[row.current_step] for row in rows])
    left = current[[row.status != "completed" for row in rows]]
    events, is_answer = runs.events, runs.with_action(ANSWERED)
    in_run = (events.session[runs.in_run], events.step[runs.in_run])
    answered = (events.session[is_answer], events.step[is_answer])
    step, microseconds = runs.answer_times()
    shape = (len(rows), len(numbers))
    counts = {
        "reached": _count_sessions(shape, in_run, passed, (sessions, current)),
        "answered": _count_sessions(shape, answered, passed),
        "left_here": np.bincount(left, minlength=len(numbers)),
        "edits": np.bincount(answered[1], minlength=len(numbers)) - _count_sessions(shape, answered),
        "backs": np.bincount(events.step[runs.with_action(WENT_BACK)], minlength=len(numbers)),
    }
    order = np.argsort(step, kind="stable")
    ends = np.searchsorted(step[order], np.arange(len(numbers) + 1))
    for step_id, number in numbers.items():
        if step_id is not None and step_id != END:
            step_counters = counters.steps[step_id]
            step_counters.counts.update({name: int(by_step[number]) for name, by_step in counts.items()})
            step_counters.microseconds.append(microseconds[order[ends[number] : ends[number + 1]]])


def _count_sessions(shape: tuple[int, int], *pairs: tuple[Ints, Ints]) -> Ints:
    has = np.zeros(shape, dtype=np.bool_)
    for session, step in pairs:
        has[session, step] = True
    sessions: Ints = np.count_nonzero(has, axis=0)
    return sessions


def _route(row: statistics.SessionRow) -> list[str]:
    try:
        route = orjson.loads(row.step_history)
    except ValueError:
        return []
    return [step for step in route if isinstance(step, str)] if isinstance(route, list) else []
