"""The answers of simulated participants. Pure; deterministic for a random generator.

A participant's burden correlates them, as in real data.
"""

import datetime
import math
import random
import zlib
from typing import Any

from ...survey.types import SampleRequest, Step

SENSITIVE = ("hurting yourself", "suicid", "dead", "weigh", "sex", "income", "drug", "alcohol", "religio", "violen")
"""Words of English prompts."""

_SHARED = 0.8
"""Share of an answer that the burden determines."""

_OPTIONAL_SKIPPED = 0.3


class NoAnswer(Exception):
    """The step accepts none of the generated answers."""


def is_sensitive(step: Step) -> bool:
    """Return whether participants hesitate."""
    prompt = step.prompt.lower()
    return any(word in prompt for word in SENSITIVE)


def answer_to(step: Step, burden: float, today: datetime.date, chance: random.Random) -> Any:  # noqa: ANN401 - any answer
    """Return an answer that the step accepts, or raise NoAnswer; None skips it.

    Args:
        burden: mean 0, standard deviation 1.
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
    hesitation = 1.1 if is_sensitive(step) else 0.0
    combined = _SHARED * burden + math.sqrt(1 - _SHARED**2) * chance.gauss(0, 1)
    return min(max(0.3 + 0.24 * (combined - hesitation + 0.6 * (_lean(step) - 0.5)), 0.0), 1.0)


def _lean(step: Step) -> float:
    """Return 0 to 1, depending only on the step."""
    return (zlib.crc32(f"{step.id} {step.prompt}".encode()) % 1000) / 1000
