"""When a delivery is tried again, and when an address is left alone."""

from hypothesis import given
from hypothesis import strategies as st

from app.operations.webhooks.backoff import (
    ASKED_LONGEST_S,
    FAILURES,
    JITTER,
    LONGEST_S,
    PAUSE_LONGEST_S,
    SECOND_US,
    Circuit,
    again_in_us,
)
from app.settings import Settings

DAY_US = 86_400 * SECOND_US


def test_attempts_go_on_for_about_three_days() -> None:
    """With STEPKEEP_WEBHOOK_ATTEMPTS as it is by default."""
    attempts = Settings.model_fields["webhook_attempts"].default
    delays = [again_in_us(number, 0.5) for number in range(1, attempts)]
    assert delays == sorted(delays)
    assert 2.8 * DAY_US < sum(delays) < 3.2 * DAY_US
    assert delays[0] == 10 * SECOND_US


@given(attempts=st.integers(1, 1000), chance=st.floats(0, 1), asked_s=st.none() | st.floats(0, 1e12))
def test_delay_is_bounded_and_never_shorter_than_what_is_asked(
    attempts: int, chance: float, asked_s: float | None
) -> None:
    """Jitter moves it by a fifth at most; what is asked for counts up to a day."""
    delay = again_in_us(attempts, chance, asked_s)
    assert 10 * (1 - JITTER) * SECOND_US - 1 <= delay <= max(LONGEST_S * (1 + JITTER), ASKED_LONGEST_S) * SECOND_US
    if asked_s is not None:
        assert delay >= int(min(asked_s, ASKED_LONGEST_S) * SECOND_US)


@given(st.lists(st.booleans(), max_size=40))
def test_circuit_pauses_after_failures_in_a_row_only(outcomes: list[bool]) -> None:
    """One success closes it; each pause is at most PAUSE_LONGEST_S."""
    circuit, at = Circuit(), 0
    for is_well in outcomes:
        at = max(at, circuit.until)
        circuit = circuit.after(at, is_well=is_well)
        assert circuit.allows(circuit.until)
        assert 0 <= circuit.until - at <= PAUSE_LONGEST_S * SECOND_US or circuit.until == 0
    tail = len(outcomes) - (max((n + 1 for n, well in enumerate(outcomes) if well), default=0))
    assert circuit.is_failing == (tail >= FAILURES)
    assert circuit.allows(at) == (tail < FAILURES)
