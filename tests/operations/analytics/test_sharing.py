"""Figures that many ask for at once are counted once, one survey's at a time, and kept for a moment."""

import threading
from collections.abc import Callable
from typing import Any

import pytest

from app.errors import NoSuchSurvey, RateLimited
from app.operations.analytics import Filters, SharedFigures, cache
from app.sessions.service import SessionStore
from tests.waiting import wait_for

ALL = Filters()
TEXT = Filters(mode="text")

WAITING = 16
"""Requests that may wait at once here."""


class Counting:
    """Stands for the count: it takes its time until it is let go, and remembers what was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, Filters]] = []
        self.may_end = threading.Event()
        self.at_once = 0
        self.most_at_once = 0
        self.takes_s = 0.0
        self.now = 1000.0

    def __call__(self, _store: object, survey_id: str, filters: Filters) -> dict[str, Any]:
        self.asked.append((survey_id, filters))
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        assert self.may_end.wait(30)
        self.at_once -= 1
        self.now += self.takes_s
        return {"number": len(self.asked)}


@pytest.fixture
def counting(monkeypatch: pytest.MonkeyPatch) -> Counting:
    made = Counting()
    monkeypatch.setattr(cache, "figures_of", made)
    return made


@pytest.fixture
def shared(counting: Counting) -> SharedFigures:
    return SharedFigures(None, WAITING, lambda: counting.now)  # type: ignore[arg-type]  # the count is not the store's here


def started(call: Callable[[], object], count: int) -> list[threading.Thread]:
    threads = [threading.Thread(target=call) for _ in range(count)]
    for thread in threads:
        thread.start()
    return threads


def test_many_at_once_wait_for_one_count(counting: Counting, shared: SharedFigures) -> None:
    """Whoever comes while it is being counted gets what was counted."""
    found: list[dict[str, Any]] = []
    threads = started(lambda: found.append(shared.of("phq9", ALL)), 12)
    wait_for(lambda: shared._places._value == WAITING - 12, "not all of them wait")
    counting.may_end.set()
    for thread in threads:
        thread.join(30)
    assert (len(found), counting.asked) == (12, [("phq9", ALL)])


def test_one_survey_is_counted_at_a_time(counting: Counting, shared: SharedFigures) -> None:
    """Turns need the machine: different filters are counted one after the other."""
    threads = started(lambda: shared.of("phq9", ALL), 1) + started(lambda: shared.of("phq9", TEXT), 1)
    wait_for(lambda: shared._places._value == WAITING - 2, "not both of them wait")
    counting.may_end.set()
    for thread in threads:
        thread.join(30)
    assert (len(counting.asked), counting.most_at_once) == (2, 1)


def test_figures_are_kept_the_longer_the_longer_they_took(counting: Counting, shared: SharedFigures) -> None:
    """Two seconds at least; four times what the count took where that is longer."""
    counting.may_end.set()
    assert shared.of("phq9", ALL)["number"] == 1
    counting.now += 1.9
    assert shared.of("phq9", ALL)["number"] == 1
    counting.now += 0.2
    counting.takes_s = 5.0
    assert shared.of("phq9", ALL)["number"] == 2
    counting.now += 19.0
    assert shared.of("phq9", ALL)["number"] == 2
    counting.now += 2.0
    assert shared.of("phq9", ALL)["number"] == 3


def test_one_more_than_may_wait_is_refused(
    counting: Counting, shared: SharedFigures, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other threads of the server stay free; afterwards all may ask again."""
    threads = started(lambda: shared.of("phq9", ALL), WAITING)
    wait_for(lambda: shared._places._value == 0, "not all of them wait")
    with pytest.raises(RateLimited):
        shared.of("phq9", ALL)
    counting.may_end.set()
    for thread in threads:
        thread.join(30)
    assert shared.of("phq9", TEXT) == {"number": 2}


def test_few_are_kept(counting: Counting, shared: SharedFigures) -> None:
    """Whatever is asked, memory is bounded; what was counted last stays."""
    counting.may_end.set()
    for number in range(cache.KEPT + 5):
        shared.of("phq9", Filters(since=number))
    assert len(shared._kept) == cache.KEPT
    shared.of("phq9", Filters(since=cache.KEPT + 4))
    assert len(counting.asked) == cache.KEPT + 5


def test_count_that_fails_is_tried_again(store: SessionStore) -> None:
    """An error is whose request it was; nothing is kept of it, and nobody is locked out."""
    shared = SharedFigures(store, WAITING)
    for _ in range(WAITING + 1):
        with pytest.raises(NoSuchSurvey):
            shared.of("nosuch", ALL)
    assert shared.of("phq9", ALL)["sessions"]["started"] == 0
