"""Stepkeep's loads of random sessions, out of 10,000 with a few answers each."""

import random
from collections.abc import Callable, Mapping
from typing import Any

from app.survey.snapshot import SessionKey
from benchmarks import crowd
from benchmarks.crowd import Measured
from benchmarks.stepkeep import OnStore, Walker, advance_all, begin_many
from benchmarks.workload import STEPS, SURVEY_ID

SESSIONS = 10_000
ANSWERED = 3
GROUP = 500


class Loads(OnStore):
    """Threads as callers (``loads``)."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self._keys = [SessionKey(SURVEY_ID, f"participant-{number:06d}") for number in range(SESSIONS)]
        begin_many(self.store, self._keys)
        steps = dict.fromkeys(self._keys, STEPS[0])
        walkers = [Walker([key], steps) for key in self._keys]
        for start in range(0, SESSIONS, GROUP):
            group = walkers[start : start + GROUP]
            for _ in range(ANSWERED):
                advance_all(self.store, group)

    def measure(self, what: str, callers: int, seconds: float) -> Measured:
        """Measure this many threads."""
        assert what == "loads"
        return crowd.in_threads([self._loader(number) for number in range(callers)], seconds)

    def _loader(self, seed: int) -> Callable[[], None]:
        choose = random.Random(seed).choice

        def load() -> None:
            snapshot = self.store.queries.load(choose(self._keys))
            assert snapshot is not None
            assert len(snapshot.state.answers) == ANSWERED

        return load


def enter(spec: Mapping[str, Any]) -> Loads:
    """Return the contestant on the database of the spec."""
    return Loads(spec["url"])
