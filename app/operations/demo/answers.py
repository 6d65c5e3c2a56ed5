"""The answers of simulated participants. Pure; deterministic for a random generator.

A participant's burden determines answers to scales and ordered options, so that these correlate as real ones do (for
example the items of PHQ-9). A hash of id and prompt gives each step a distribution of its own.
"""

import datetime
import math
import random
import zlib
from typing import Any

from ...survey.types import SampleRequest, Step

SENSITIVE = ("hurting yourself", "suicid", "dead", "weigh", "sex", "income", "drug", "alcohol", "religio", "violen")
"""Words of English prompts at which participants hesitate."""

_SHARED = 0.8
"""Share of an answer that the burden determines."""

_OPTIONAL_SKIPPED = 0.3


class NoAnswer(Exception):
    """The step accepts none of the generated answers."""


def is_sensitive(step: Step) -> bool:
    """Return whether participants hesitate at the step."""
    prompt = step.prompt.lower()
    return any(word in prompt for word in SENSITIVE)


def answer_to(step: Step, burden: float, today: datetime.date, chance: random.Random) -> Any:  # noqa: ANN401 - any answer
    """Return an answer that the step accepts; None skips it.

    Args:
        burden: of the participant, with mean 0 and standard deviation 1.
        today: for dates.

    Raises:
        NoAnswer: the step accepts none of the generated answers.
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
    """Return the position of an answer between the lowest, 0, and the highest, 1."""
    hesitation = 1.1 if is_sensitive(step) else 0.0
    combined = _SHARED * burden + math.sqrt(1 - _SHARED**2) * chance.gauss(0, 1)
    return min(max(0.3 + 0.24 * (combined - hesitation + 0.6 * (_lean(step) - 0.5)), 0.0), 1.0)


def _lean(step: Step) -> float:
    """Return a number from 0 to 1 that depends only on the step."""
    return (zlib.crc32(f"{step.id} {step.prompt}".encode()) % 1000) / 1000
