"""Delays between attempts."""

from app.client.timeouts import doubled


def test_delay_doubles_up_to_the_longest() -> None:
    """Also after an outage of hours, when the power of two is larger than any float."""
    assert [doubled(0.5, times, 8) for times in (0, 1, 2, 4, 5, 5000)] == [0.5, 1, 2, 8, 8, 8]
