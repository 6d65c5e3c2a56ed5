"""Retry delays and the circuit breaker."""

from hypothesis import given
from hypothesis import strategies as st

from app.operations.webhooks.backoff import (
    FAILURE_THRESHOLD,
    JITTER,
    MAX_DELAY_S,
    MAX_OPEN_S,
    MAX_RETRY_AFTER_S,
    SECOND_US,
    CircuitBreaker,
    retry_delay_us,
)
from app.settings import Settings

DAY_US = 86_400 * SECOND_US


def test_attempts_take_about_three_days() -> None:
    """With the default of STEPKEEP_WEBHOOK_ATTEMPTS."""
    attempts = Settings.model_fields["webhook_attempts"].default
    delays = [retry_delay_us(number, 0.5) for number in range(1, attempts)]
    assert delays == sorted(delays)
    assert 2.8 * DAY_US < sum(delays) < 3.2 * DAY_US
    assert delays[0] == 10 * SECOND_US


@given(attempts=st.integers(1, 1000), chance=st.floats(0, 1), retry_after_s=st.none() | st.floats(0, 1e12))
def test_delay_is_bounded_and_respects_retry_after(attempts: int, chance: float, retry_after_s: float | None) -> None:
    """Jitter varies it by at most a fifth; Retry-After counts up to a day."""
    delay = retry_delay_us(attempts, chance, retry_after_s)
    assert 10 * (1 - JITTER) * SECOND_US - 1 <= delay <= max(MAX_DELAY_S * (1 + JITTER), MAX_RETRY_AFTER_S) * SECOND_US
    if retry_after_s is not None:
        assert delay >= int(min(retry_after_s, MAX_RETRY_AFTER_S) * SECOND_US)


@given(st.lists(st.booleans(), max_size=40))
def test_circuit_opens_after_consecutive_failures_only(outcomes: list[bool]) -> None:
    """One success closes it; it opens for at most MAX_OPEN_S."""
    circuit, at = CircuitBreaker(), 0
    for succeeded in outcomes:
        at = max(at, circuit.open_until)
        circuit = circuit.after_attempt(at, succeeded=succeeded)
        assert circuit.allows(circuit.open_until)
        assert 0 <= circuit.open_until - at <= MAX_OPEN_S * SECOND_US or circuit.open_until == 0
    tail = len(outcomes) - (max((n + 1 for n, succeeded in enumerate(outcomes) if succeeded), default=0))
    assert circuit.is_failing == (tail >= FAILURE_THRESHOLD)
    assert circuit.allows(at) == (tail < FAILURE_THRESHOLD)
