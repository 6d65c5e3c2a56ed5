"""What ids and durations look like, and how that is said to people."""

from collections.abc import Mapping
from typing import Any

STEP_ID = r"^[A-Za-z][A-Za-z0-9_]{0,63}$"
SURVEY_ID = r"^[a-z0-9][a-z0-9_-]{0,63}$"
DURATION = r"^[1-9][0-9]{0,5}[smhdw]$"
RATE = r"^[1-9][0-9]{0,8}/(second|minute|hour|day)$"

_WORDS = {
    STEP_ID: "should be a letter and then letters, digits or _, 64 characters at most, as Q1",
    SURVEY_ID: "should be small letters, digits, - or _, 64 characters at most, as phq9",
    DURATION: "should be a number and a unit, s, m, h, d or w, as 30d",
    RATE: "should be a number and second, minute, hour or day, as 10/second",
}

_DURATION_S = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}


def problem_of(fault: Mapping[str, Any]) -> str:
    """Return what one of pydantic's ``errors()`` says, a pattern in words."""
    pattern = fault.get("ctx", {}).get("pattern")
    return _WORDS.get(pattern) or str(fault["msg"]).removeprefix("Value error, ")


def duration_us(duration: str | None) -> int | None:
    """Return how many microseconds a duration such as ``30d`` is."""
    if duration is None:
        return None
    return int(duration[:-1]) * _DURATION_S[duration[-1]] * 1_000_000
