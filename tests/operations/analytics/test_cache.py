"""Concurrent callers share one summary; one is computed at a time, and cached for a moment."""

import threading
from collections.abc import Callable
from typing import Any

import pytest

from app.errors import NoSuchSurvey, RateLimited
from app.operations.analytics import Filters, SummaryCache, cache
from app.sessions.service import SessionStore
from tests.waiting import wait_for

ALL = Filters()
TEXT = Filters(mode="text")

WAITING = 16
"""Callers that may wait at once."""


class FakeSummarize:
    """Replaces `summarize`: blocks until it is released, and records its calls."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, Filters]] = []
        self.released = threading.Event()
        self.concurrent = 0
        self.max_concurrent = 0
        self.takes_s = 0.0
        self.now = 1000.0

    def __call__(self, _store: object, survey_id: str, filters: Filters) -> dict[str, Any]:
        self.calls.append((survey_id, filters))
        self.concurrent += 1
        self.max_concurrent = max(self.max_concurrent, self.concurrent)
        assert self.released.wait(30)
        self.concurrent -= 1
        self.now += self.takes_s
        return {"number": len(self.calls)}


@pytest.fixture
def computing(monkeypatch: pytest.MonkeyPatch) -> FakeSummarize:
    summarize = FakeSummarize()
    monkeypatch.setattr(cache, "summarize", summarize)
    return summarize


@pytest.fixture
def cached(computing: FakeSummarize) -> SummaryCache:
    return SummaryCache(None, WAITING, lambda: computing.now)  # type: ignore[arg-type]  # FakeSummarize needs no store


def started(call: Callable[[], object], count: int) -> list[threading.Thread]:
    threads = [threading.Thread(target=call) for _ in range(count)]
    for thread in threads:
        thread.start()
    return threads


def test_concurrent_callers_share_one_summary(computing: FakeSummarize, cached: SummaryCache) -> None:
    """Callers that arrive while it is computed wait for it."""
    results: list[dict[str, Any]] = []
    threads = started(lambda: results.append(cached.get("phq9", ALL)), 12)
    wait_for(lambda: cached._waiting._value == WAITING - 12, "not all callers wait")
    computing.released.set()
    for thread in threads:
        thread.join(30)
    assert (len(results), computing.calls) == (12, [("phq9", ALL)])


def test_one_summary_is_computed_at_a_time(computing: FakeSummarize, cached: SummaryCache) -> None:
    """Also with different filters."""
    threads = started(lambda: cached.get("phq9", ALL), 1) + started(lambda: cached.get("phq9", TEXT), 1)
    wait_for(lambda: cached._waiting._value == WAITING - 2, "not both callers wait")
    computing.released.set()
    for thread in threads:
        thread.join(30)
    assert (len(computing.calls), computing.max_concurrent) == (2, 1)


def test_summary_is_cached_in_proportion_to_its_computing_time(computing: FakeSummarize, cached: SummaryCache) -> None:
    """Four times as long, and at least two seconds."""
    computing.released.set()
    assert cached.get("phq9", ALL)["number"] == 1
    computing.now += 1.9
    assert cached.get("phq9", ALL)["number"] == 1
    computing.now += 0.2
    computing.takes_s = 5.0
    assert cached.get("phq9", ALL)["number"] == 2
    computing.now += 19.0
    assert cached.get("phq9", ALL)["number"] == 2
    computing.now += 2.0
    assert cached.get("phq9", ALL)["number"] == 3


def test_caller_is_refused_when_too_many_wait(
    computing: FakeSummarize, cached: SummaryCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Other threads of the server stay free."""
    threads = started(lambda: cached.get("phq9", ALL), WAITING)
    wait_for(lambda: cached._waiting._value == 0, "not all callers wait")
    with pytest.raises(RateLimited):
        cached.get("phq9", ALL)
    computing.released.set()
    for thread in threads:
        thread.join(30)
    assert cached.get("phq9", TEXT) == {"number": 2}


def test_number_of_cached_summaries_is_limited(computing: FakeSummarize, cached: SummaryCache) -> None:
    """The latest ones stay."""
    computing.released.set()
    for number in range(cache.MAX_CACHED + 5):
        cached.get("phq9", Filters(revision=str(number)))
    assert len(cached._cached) == cache.MAX_CACHED
    cached.get("phq9", Filters(revision=str(cache.MAX_CACHED + 4)))
    assert len(computing.calls) == cache.MAX_CACHED + 5


def test_failed_summary_is_not_cached(store: SessionStore) -> None:
    """The caller gets the error, and no other caller is blocked."""
    cached = SummaryCache(store, WAITING)
    for _ in range(WAITING + 1):
        with pytest.raises(NoSuchSurvey):
            cached.get("nosuch", ALL)
    assert cached.get("phq9", ALL)["sessions"]["started"] == 0
