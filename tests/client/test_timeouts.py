"""Delays between attempts."""

from app.client import ClientTimeouts

TIMES = ClientTimeouts(connect_attempts=10_000, connect_delay_s=0.5, connect_delay_max_s=8, busy_delay_s=30)


def test_delay_before_reconnecting_doubles_up_to_the_longest() -> None:
    """Also after so many failures that the power of two is larger than any float."""
    for failures, longest_s in ((0, 0.5), (1, 0.5), (2, 1), (5, 8), (5000, 8)):
        assert 0 <= TIMES.reconnect_after_s(1006, failures) <= longest_s
    assert 30 <= TIMES.reconnect_after_s(1013, 1) <= 45


def test_delay_before_sending_again_doubles_up_to_the_slow_one() -> None:
    """Also after hours without the database."""
    for refusals, longest_s in ((0, 1), (1, 2), (5, 20), (5000, 20)):
        assert longest_s / 2 <= TIMES.resend_after_s(refusals) <= longest_s
