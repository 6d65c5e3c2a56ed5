"""The clock that does not go back."""

import logging

import pytest

from app.core.clock import MAX_STEP_BACK_US, ForwardClock


def test_clock_stands_still_when_the_machines_clock_is_set_back() -> None:
    """Until that has caught up."""
    times = iter([100, 40, 99, 101, 101])
    clock = ForwardClock(lambda: next(times))
    assert [clock() for _ in range(5)] == [100, 100, 100, 101, 101]


def test_clock_starts_at_the_newest_event() -> None:
    """A restart does not go back either."""
    clock = ForwardClock(lambda: 40)
    clock.start_at(100)
    assert clock() == 100


def test_clock_that_was_far_ahead_is_corrected(caplog: pytest.LogCaptureFixture) -> None:
    """Else one event of a clock in the next century would hold back all others."""
    times = [7 * MAX_STEP_BACK_US, 40, 41]
    clock = ForwardClock(lambda: times.pop(0))
    with caplog.at_level(logging.WARNING):
        assert [clock() for _ in range(3)] == [7 * MAX_STEP_BACK_US, 40, 41]
    assert [record.message for record in caplog.records] == [
        "The clock is more than a day behind the newest event; new events get earlier times than that."
    ]
