"""What the participants of demo data answer. Pure; deterministic by the chance that is given.

A participant has a burden, from which his answers to scales and to ordered options come: so they agree with each
other, as those of people do (the items of PHQ-9 above all). Steps differ by a number made of their id and prompt, so
that each has its own distribution, and keeps it.
"""

import datetime
import math
import random
import zlib
from collections.abc import Callable
from typing import Any, assert_never

from ...survey.answers import InvalidAnswer
from ...survey.definition import ChoicesStep, ChoiceStep, DateStep, NumberStep, Step, TextStep

SENSITIVE = ("hurting yourself", "suicid", "dead", "weigh", "sex", "income", "drug", "alcohol", "religio", "violen")
"""What makes people hesitate, in prompts in English."""

_SHARED = 0.8
"""How much of an answer comes from the burden; the rest is the step's own."""

_WORDS = (
    "since last week", "mostly in the evening", "when I climb stairs", "it comes and goes", "better after a rest",
    "worse in the morning", "on the left side", "I sleep badly", "my sister had the same", "after a long day at work",
    "nothing helped so far", "it began slowly", "I am worried about it", "only when I sit for long", "not at all today",
    "the old tablets were better", "I can come on any day but Friday", "please call in the afternoon",
)  # fmt: skip
_PATTERNED = (
    "demo@example.org",
    "+49 30 1234567",
    "0301234567",
    "12345",
    "1234",
    "AB12 3CD",
    "A1",
    "2026-01-15",
    "Demo",
)
_ADULT_YEARS = (18.0, 95.0)
_OPTIONAL_SKIPPED = 0.3


class NoAnswer(Exception):
    """The step takes nothing that would come to the mind of a demo participant."""


def is_sensitive(step: Step) -> bool:
    """Return whether people hesitate at the step."""
    prompt = step.prompt.lower()
    return any(word in prompt for word in SENSITIVE)


def answer_to(step: Step, burden: float, today: datetime.date, chance: random.Random) -> Any:  # noqa: ANN401 - any answer
    """Return an answer that the step takes; None is one to a step that needs none.

    Args:
        burden: of the participant; 0 in the middle of all, 1 a standard deviation above.
        today: for dates.

    Raises:
        NoAnswer: of what was tried the step takes nothing.
    """
    if step.type == "info" or (not step.required and chance.random() < _OPTIONAL_SKIPPED):
        return None
    if isinstance(step, TextStep):
        return _text(step, chance)
    value = _value(step, burden, today, chance)
    if _takes(step, value):
        return value
    if not step.required:
        return None
    raise NoAnswer


def _value(step: Step, burden: float, today: datetime.date, chance: random.Random) -> object:
    match step.type:
        case "choice":
            return _choice(step, burden, chance)
        case "choices":
            return _choices(step, chance)
        case "number":
            return _number(step, chance)
        case "scale":
            return round(step.min + (step.max - step.min) * _part(step, burden, chance))
        case "date":
            return _date(step, today, chance)
        case "boolean":
            return chance.random() < 0.2 + 0.5 * _own(step)
        case "text" | "info":
            return None
        case _:
            assert_never(step.type)


def _choice(step: ChoiceStep, burden: float, chance: random.Random) -> object:
    values = tuple(step.offered)
    if all(isinstance(value, int | float) for value in values):  # ordered, as "not at all" to "nearly every day"
        return values[min(int(_part(step, burden, chance) * len(values)), len(values) - 1)]
    turned = int(_own(step) * len(values))
    weights = [1 / (1 + (place + turned) % len(values)) for place in range(len(values))]
    return chance.choices(values, weights)[0]


def _part(step: Step, burden: float, chance: random.Random) -> float:
    """Return where an answer lies between the lowest, 0, and the highest, 1; most lie low."""
    hesitation = 1.1 if is_sensitive(step) else 0.0
    felt = _SHARED * burden + math.sqrt(1 - _SHARED**2) * chance.gauss(0, 1)
    return min(max(0.3 + 0.24 * (felt - hesitation + 0.6 * (_own(step) - 0.5)), 0.0), 1.0)


def _choices(step: ChoicesStep, chance: random.Random) -> list[object]:
    values = list(step.offered)
    fewest, most = max(step.min_choices or 0, 1), step.max_choices or len(values)
    count = min(max(1 + int(chance.expovariate(1.1)), fewest), most)
    chosen = set(chance.sample(range(len(values)), count))
    return [value for place, value in enumerate(values) if place in chosen]


def _number(step: NumberStep, chance: random.Random) -> int | float:
    low, high = step.min if step.min is not None else 0, step.max if step.max is not None else 100
    middle, spread = (76.0, 15.0) if step.unit == "kg" else (low + (high - low) * 0.12, (high - low) * 0.05)
    value = min(max(chance.gauss(middle, spread), low), high)
    return round(value) if step.integer else round(value, 1)


def _date(step: DateStep, today: datetime.date, chance: random.Random) -> str:
    """A birthday where the step takes days of old people's; else a day of the last year."""
    earliest = step.min or "0001-01-01"
    if earliest < "1950":
        years = min(max(chance.gauss(48, 17), _ADULT_YEARS[0]), _ADULT_YEARS[1])
        day = today - datetime.timedelta(days=int(years * 365.25))
    else:
        day = today - datetime.timedelta(days=int(chance.expovariate(1 / 60)))
    return min(max(day.isoformat(), earliest), step.max or "9999-12-31")


def _text(step: TextStep, chance: random.Random) -> str | None:
    if step.pattern is not None:
        return _first_taken(step, _PATTERNED)
    count = 1 + min(int(chance.lognormvariate(0.5, 0.7)), 8)
    text = ", ".join(chance.sample(_WORDS, count))
    return _first_taken(step, (text[: step.max_length].rstrip(), "x"))


def _first_taken(step: TextStep, texts: tuple[str, ...]) -> str | None:
    found = next((text for text in texts if _takes(step, text)), None)
    if found is None and step.required:
        raise NoAnswer
    return found


def _takes(step: Step, value: object) -> bool:
    check: Callable[[object], object] = step.check
    try:
        check(value)
    except InvalidAnswer:
        return False
    return True


def _own(step: Step) -> float:
    """Return a number of the step's own, 0 to 1, the same in every process."""
    return (zlib.crc32(f"{step.id} {step.prompt}".encode()) % 1000) / 1000
