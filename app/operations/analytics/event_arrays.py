"""Events of many sessions as arrays, much faster than Python loops."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import orjson
from numpy.typing import NDArray

from ...errors import OtherRelease
from ...store import statistics

Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

STARTED, RESTARTED, ANSWERED, WENT_BACK, WENT_TO, SAVED, DRAFTED, MODE_SET, LANGUAGE_SET, *_NOT_COUNTED = range(
    len(statistics.ACTIONS)
)

NO_STEP = 0
UNKNOWN_SESSION = -1


class StepNumbers(dict[str | None, int]):
    """Numbers step ids on access; None is NO_STEP."""

    def __init__(self) -> None:
        super().__init__({None: NO_STEP})

    def __missing__(self, step: str) -> int:
        self[step] = len(self)
        return self[step]


@dataclass(frozen=True, slots=True, kw_only=True)
class Events:
    """Events sorted by session and version; times are in us since 1970 UTC, or NO_TIME."""

    session: Ints
    action: Ints
    step: Ints
    at: Ints


def parse_events(columns: statistics.EventColumns, user_ids: Sequence[str], numbers: StepNumbers) -> Events:
    places = {user_id: place for place, user_id in enumerate(user_ids)}
    sessions = np.array([places.get(user_id, UNKNOWN_SESSION) for user_id in columns.user_ids], dtype=np.int64)
    session = np.repeat(sessions, np.array(columns.counts, dtype=np.int64))
    codes = np.array(orjson.loads(f"[{columns.codes}]"), dtype=np.int64)
    steps = np.array([numbers[step] for step in orjson.loads(f"[{columns.steps}]")], dtype=np.int64)
    times = statistics.parse_times(columns.times)
    version, action = codes // statistics.CODES, codes % statistics.CODES
    order = np.lexsort((version, session))  # the database does not sort within a group
    order = order[session[order] != UNKNOWN_SESSION]
    if ((action[order] == statistics.OTHER) & (version[order] > 0)).any():  # 0: another program's entry
        raise OtherRelease("An event in a session's history is of another release.")
    order = order[action[order] < min(_NOT_COUNTED)]
    return Events(session=session[order], action=action[order], step=steps[order], at=times[order])


class Runs:
    """The runs of sessions."""

    def __init__(self, events: Events, count: int, pause_us: int) -> None:
        self.events = events
        self._count = count
        self._places = np.arange(len(events.session))
        self._pause_us = pause_us

    @cached_property
    def starts(self) -> Ints:
        """By session; -1 without events."""
        session = self.events.session
        starts = np.full(self._count, -1, dtype=np.int64)
        starts[session[::-1]] = self._places[::-1]  # the last assignment wins: the first event of the session
        run_starts = self._places[self.events.action <= RESTARTED]
        starts[session[run_starts]] = run_starts
        return starts

    @cached_property
    def in_run(self) -> Bools:
        return self._places >= self.starts[self.events.session]

    @cached_property
    def at(self) -> Ints:
        """By event; without a time, the previous event's."""
        session = self.events.session
        known = np.maximum.accumulate(np.where(self.events.at == statistics.NO_TIME, -1, self._places))
        is_own = (known >= 0) & (session[known] == session)
        return np.where(is_own, self.events.at[known], statistics.NO_TIME)

    @cached_property
    def gaps(self) -> Ints:
        gaps = np.zeros(len(self._places), dtype=np.int64)
        if len(gaps):
            later, earlier = self.at[1:], self.at[:-1]
            counts = (np.diff(self.events.session) == 0) & (earlier != statistics.NO_TIME)
            gaps[1:] = np.where(counts, np.maximum(later - earlier, 0), 0)
        return gaps

    @cached_property
    def pauses(self) -> Bools:
        return self.gaps > self._pause_us

    @cached_property
    def active(self) -> Ints:
        return np.where(self.pauses, 0, self.gaps)

    @property
    def pauses_by_session(self) -> Ints:
        return np.bincount(self.events.session[self.pauses], minlength=self._count)

    def with_action(self, action: int) -> Bools:
        selected: Bools = self.in_run & (self.events.action == action)
        return selected

    def answer_times(self) -> tuple[Ints, Ints]:
        start = self.starts[self.events.session]
        answers = self._places[self.with_action(ANSWERED) & (self._places > start)]
        moves = np.where(self.events.action < DRAFTED, self._places, -1)
        arrived = np.maximum(np.maximum.accumulate(moves)[answers - 1], start[answers])
        passed = np.cumsum(self.active)
        return self.events.step[answers], passed[answers] - passed[arrived]

    def durations(self, completed_at: Ints) -> tuple[Ints, Ints]:
        """Return total and active microseconds of runs with known ends."""
        has_run = self.starts >= 0
        started_at = np.full(self._count, statistics.NO_TIME, dtype=np.int64)
        started_at[has_run] = self.at[self.starts[has_run]]
        is_known = (started_at != statistics.NO_TIME) & (completed_at != statistics.NO_TIME)
        session = self.events.session
        counts = self.in_run & (self._places > self.starts[session]) & (self.at <= completed_at[session])
        active = np.bincount(session[counts], weights=self.active[counts], minlength=self._count)
        total = np.maximum(completed_at[is_known] - started_at[is_known], 0)
        return total, active[is_known].astype(np.int64)
