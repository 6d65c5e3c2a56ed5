"""Stepkeep's loads of random sessions, out of 10,000 with a few answers each."""

import random
from collections.abc import Callable, Mapping
from typing import Any

from app.survey.snapshot import SessionKey
from benchmarks import crowd
from benchmarks.contestant import Contestant
from benchmarks.crowd import Measured
from benchmarks.stepkeep import Walker, accepted, begin_many, store_on
from benchmarks.workload import STEPS, SURVEY_ID

SESSIONS = 10_000
ANSWERED = 3
GROUP = 500


class Loads(Contestant):
    """Threads as callers (``loads``)."""

    def __init__(self, url: str) -> None:
        self._store = store_on(url)
        self._keys = [SessionKey(SURVEY_ID, f"participant-{number:06d}") for number in range(SESSIONS)]
        begin_many(self._store, self._keys)
        steps = dict.fromkeys(self._keys, STEPS[0])
        walkers = [Walker([key], steps) for key in self._keys]
        for start in range(0, SESSIONS, GROUP):
            group = walkers[start : start + GROUP]
            for _ in range(ANSWERED):
                results = self._store.turns.submit_many([walker.next_command() for walker in group])
                for walker, result in zip(group, results, strict=True):
                    walker.advance(accepted(result))

    def measure(self, what: str, callers: int, seconds: float) -> Measured:
        """Measure this many threads."""
        assert what == "loads"
        return crowd.in_threads([self._loader(number) for number in range(callers)], seconds)

    def facts(self) -> Mapping[str, str]:
        """Return the database."""
        return self._store.queries.database_facts()

    def close(self) -> None:
        """Close the store."""
        self._store.close()

    def _loader(self, seed: int) -> Callable[[], None]:
        choose = random.Random(seed).choice

        def load() -> None:
            snapshot = self._store.queries.load(choose(self._keys))
            assert snapshot is not None
            assert len(snapshot.state.answers) == ANSWERED

        return load


def enter(spec: Mapping[str, Any]) -> Loads:
    """Return the contestant on the database of the spec."""
    return Loads(spec["url"])
