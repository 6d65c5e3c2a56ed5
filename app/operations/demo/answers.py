"""What the participants of demo data answer. Pure; deterministic by the chance that is given.

A participant has a burden, from which his answers to scales and to ordered options come: so they agree with each
other, as those of people do (the items of PHQ-9 above all). Steps differ by a number made of their id and prompt, so
that each has its own distribution, and keeps it.
"""

import datetime
import math
import random
import zlib
from typing import Any

from ...survey.types import SampleRequest, Step

SENSITIVE = ("hurting yourself", "suicid", "dead", "weigh", "sex", "income", "drug", "alcohol", "religio", "violen")
"""What makes people hesitate, in prompts in English."""

_SHARED = 0.8
"""How much of an answer comes from the burden; the rest is the step's own."""

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
    if not step.takes_answer or (not step.required and chance.random() < _OPTIONAL_SKIPPED):
        return None
    request = SampleRequest(random=chance, level=_level(step, burden, chance), lean=_lean(step), today=today)
    value = step.sample(request)
    if value is not None and step.accepts(value):
        return value
    if not step.required:
        return None
    raise NoAnswer


def _level(step: Step, burden: float, chance: random.Random) -> float:
    """Return where an answer lies between the lowest, 0, and the highest, 1; most lie low."""
    hesitation = 1.1 if is_sensitive(step) else 0.0
    felt = _SHARED * burden + math.sqrt(1 - _SHARED**2) * chance.gauss(0, 1)
    return min(max(0.3 + 0.24 * (felt - hesitation + 0.6 * (_lean(step) - 0.5)), 0.0), 1.0)


def _lean(step: Step) -> float:
    """Return a number of the step's own, 0 to 1, the same in every process."""
    return (zlib.crc32(f"{step.id} {step.prompt}".encode()) % 1000) / 1000
