"""The events of many sessions at once, as arrays: what belongs to which walk, how long it took, what was a pause.

A Python loop over a million events takes seconds and holds its lock; these arrays take tenths, and mostly without it.
``__init__.py`` of this package says what each figure is.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import orjson
from numpy.typing import NDArray

from ...store.statistics import ACTIONS, CODES, NO_TIME, OTHER, EventColumns, parse_times

Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

STARTED, RESTARTED, ANSWERED, WENT_BACK, WENT_TO, SAVED, DRAFTED, MODE_SET = range(len(ACTIONS))

NO_STEP = -1
NOT_ASKED = -1


class StepNumbers(dict[str | None, int]):
    """Numbers for step ids, as they come; None is NO_STEP."""

    def __init__(self) -> None:
        super().__init__({None: NO_STEP})

    def __missing__(self, step: str) -> int:
        self[step] = len(self) - 1
        return self[step]

    @property
    def ids(self) -> list[str]:
        """The ids in the order of their numbers."""
        return [step for step in self if step is not None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Events:
    """Events of sessions, in the order of the sessions and of their versions.

    Attributes:
        session: which session's it is, by its place.
        action: a code of ``store/analysis.py``.
        step: by its number, or NO_STEP.
        at: microseconds since 1970 UTC, or NO_TIME.
    """

    session: Ints
    action: Ints
    step: Ints
    at: Ints


def events_of(found: EventColumns, user_ids: Sequence[str], numbers: StepNumbers) -> Events:
    """Return the events of these sessions out of those that were found."""
    places = {user_id: place for place, user_id in enumerate(user_ids)}
    sessions = np.array([places.get(user_id, NOT_ASKED) for user_id in found.user_ids], dtype=np.int64)
    session = np.repeat(sessions, np.array(found.counts, dtype=np.int64))
    codes = np.array(orjson.loads(f"[{found.codes}]"), dtype=np.int64)
    steps = np.array([numbers[step] for step in orjson.loads(f"[{found.steps}]")], dtype=np.int64)
    times = parse_times(found.times)
    version, action = codes // CODES, codes % CODES
    order = np.lexsort((version, session))  # the database keeps no order in a group
    order = order[(action[order] != OTHER) & (session[order] != NOT_ASKED)]
    return Events(session=session[order], action=action[order], step=steps[order], at=times[order])


class Walks:
    """What follows from the events of some sessions.

    Args:
        events: of these sessions.
        count: how many sessions there are, those without events among them.
        pause_us: microseconds; a longer gap is a pause.
    """

    def __init__(self, events: Events, count: int, pause_us: int) -> None:
        self.events = events
        self._count = count
        self._places = np.arange(len(events.session))
        self._pause_us = pause_us

    @cached_property
    def starts(self) -> Ints:
        """By session, the place of its walk's first event; -1 where it has no event."""
        session = self.events.session
        starts = np.full(self._count, -1, dtype=np.int64)
        starts[session[::-1]] = self._places[::-1]  # the last one that is written stays: the first of the session
        begins = self._places[self.events.action <= RESTARTED]
        starts[session[begins]] = begins
        return starts

    @cached_property
    def in_walk(self) -> Bools:
        """Whether an event is of its session's walk."""
        return self._places >= self.starts[self.events.session]

    @cached_property
    def at(self) -> Ints:
        """When events were, those without a time as the one before them."""
        session = self.events.session
        known = np.maximum.accumulate(np.where(self.events.at == NO_TIME, -1, self._places))
        is_own = (known >= 0) & (session[known] == session)
        return np.where(is_own, self.events.at[known], NO_TIME)

    @cached_property
    def gaps(self) -> Ints:
        """Microseconds between each event and the one before it; 0 for a session's first."""
        gaps = np.zeros(len(self._places), dtype=np.int64)
        if len(gaps):
            later, earlier = self.at[1:], self.at[:-1]
            counts = (np.diff(self.events.session) == 0) & (earlier != NO_TIME)
            gaps[1:] = np.where(counts, np.maximum(later - earlier, 0), 0)
        return gaps

    @cached_property
    def pauses(self) -> Bools:
        """Whether the gap before an event is a pause."""
        return self.gaps > self._pause_us

    @cached_property
    def active(self) -> Ints:
        """The gaps before an event that are no pauses."""
        return np.where(self.pauses, 0, self.gaps)

    @property
    def pauses_by_session(self) -> Ints:
        """How many pauses each session has, in all walks."""
        return np.bincount(self.events.session[self.pauses], minlength=self._count)

    def of_action(self, action: int) -> Bools:
        """Return which events are of this action and of a walk."""
        chosen: Bools = self.in_walk & (self.events.action == action)
        return chosen

    def answer_times(self) -> tuple[Ints, Ints]:
        """Return, for each answer that is not its walk's first event, the step's number and the microseconds."""
        start = self.starts[self.events.session]
        answers = self._places[self.of_action(ANSWERED) & (self._places > start)]
        moves = np.where(self.events.action < DRAFTED, self._places, -1)
        arrived = np.maximum(np.maximum.accumulate(moves)[answers - 1], start[answers])
        passed = np.cumsum(self.active)
        return self.events.step[answers], passed[answers] - passed[arrived]

    def durations(self, completed_at: Ints) -> tuple[Ints, Ints]:
        """Return the whole and the active durations, in microseconds, of walks of which both ends are known.

        Args:
            completed_at: by session, microseconds since 1970 UTC; NOT_COMPLETED else.
        """
        has_walk = self.starts >= 0
        began_at = np.full(self._count, NO_TIME, dtype=np.int64)
        began_at[has_walk] = self.at[self.starts[has_walk]]
        chosen = (began_at != NO_TIME) & (completed_at != NOT_COMPLETED)
        session = self.events.session
        counts = self.in_walk & (self._places > self.starts[session]) & (self.at <= completed_at[session])
        active = np.bincount(session[counts], weights=self.active[counts], minlength=self._count)
        whole = np.maximum(completed_at[chosen] - began_at[chosen], 0)
        return whole, active[chosen].astype(np.int64)


NOT_COMPLETED = NO_TIME
