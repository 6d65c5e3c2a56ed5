"""Stepkeep with long sessions: appends to sessions of 10 to 10,000 events, and a long one at an earlier version."""

from collections.abc import Mapping
from typing import Any

from app.survey.snapshot import SessionKey
from benchmarks import crowd
from benchmarks.crowd import Measured
from benchmarks.stepkeep import OnStore, Work, accepted, answer
from benchmarks.workload import NOT_BEGUN, SURVEY_ID, after

STOCK = {10: 1000, 100: 200, 1000: 20, 10_000: 2}
"""Number of sessions by number of events."""

GROWN = 0.5
"""A session that has grown by this share of its length is replaced by the next one of its length."""

GROUP = 250
HALF_WAY = 5000


class Lengths(OnStore):
    """One caller: ``append`` to sessions of ``callers`` events, ``at_version`` of one of ``callers`` events."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self._steps: dict[SessionKey, str] = {}
        self._stock: dict[int, list[SessionKey]] = {}
        for events, count in STOCK.items():
            keys = [SessionKey(SURVEY_ID, f"length-{events}-{number:04d}") for number in range(count)]
            self._stock[events] = keys
            for start in range(0, count, GROUP):
                self._fill(keys[start : start + GROUP], events)

    def measure(self, what: str, callers: int, seconds: float) -> Measured:
        """Measure one caller; ``callers`` is the number of events."""
        if what == "at_version":
            key = SessionKey(SURVEY_ID, f"length-{callers}-0001")  # the second one, which grows last
            return crowd.in_threads([lambda: self.store.queries.at_version(key, HALF_WAY)], seconds)
        return crowd.in_threads([lambda: self._append(callers)], seconds)

    def _append(self, events: int) -> None:
        stock = self._stock[events]
        key = stock[0]
        result = accepted(self.store.turns.submit(key, answer(self._steps[key])))
        self._steps[key] = result.snapshot.state.current_step
        if result.version > events * (1 + GROWN) and len(stock) > 1:
            stock.pop(0)

    def _fill(self, keys: list[SessionKey], events: int) -> None:
        """Bring these sessions to this many events; a group has several turns of one session."""
        work: list[Work] = []
        for key in keys:
            step = NOT_BEGUN
            for _ in range(events):
                work.append((key, answer(step)))
                step = after(step)
            self._steps[key] = step
        for start in range(0, len(work), GROUP):
            for result in self.store.turns.submit_many(work[start : start + GROUP]):
                accepted(result)


def enter(spec: Mapping[str, Any]) -> Lengths:
    """Return the contestant on the database of the spec."""
    return Lengths(spec["url"])
