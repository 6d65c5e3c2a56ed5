"""Is this value an answer to this step? One function a type of step.

Each returns the answer as it is stored (the same value; a whole number sent as 3.0 is 3) or raises
:class:`InvalidAnswer`. Imported by ``definition``.
"""

import datetime
import math
import re
from collections.abc import Mapping
from itertools import pairwise
from typing import Any

from ..core.strict_json import MAX_INTEGER

_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")


class InvalidAnswer(ValueError):
    """A value that the step does not take; the message is for the participant."""


def check_text(value: object, max_length: int, fullmatch: Any = None) -> str:  # noqa: ANN401 - re2 has no types
    """Return the text; lengths are in characters (code points)."""
    if not isinstance(value, str):
        raise InvalidAnswer("The answer must be text.")
    if len(value) > max_length:
        raise InvalidAnswer(f"The answer has {len(value)} characters; at most {max_length} are allowed.")
    if fullmatch is not None and fullmatch(value) is None:
        raise InvalidAnswer("The answer does not have the form that is asked for.")
    return value


def check_number(value: object, low: float | None, high: float | None) -> int | float:
    """Return the number, within its bounds (both inclusive)."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise InvalidAnswer("The answer must be a number.")
    if low is not None and value < low:
        raise InvalidAnswer(f"The answer must be at least {low}.")
    if high is not None and value > high:
        raise InvalidAnswer(f"The answer must be at most {high}.")
    return value


def check_whole_number(value: object, low: float | None, high: float | None) -> int:
    """Return the whole number, within its bounds (both inclusive)."""
    number = check_number(value, low, high)
    if number != int(number):
        raise InvalidAnswer("The answer must be a whole number.")
    if abs(number) > MAX_INTEGER:
        raise InvalidAnswer("The answer is too large.")
    return int(number)


def check_date(value: object, low: str | None, high: str | None) -> str:
    """Return the date as YYYY-MM-DD (RFC 3339 full-date), within its bounds (both inclusive)."""
    if not isinstance(value, str) or not is_date(value):
        raise InvalidAnswer("The answer must be a real date, as YYYY-MM-DD.")
    if low is not None and value < low:
        raise InvalidAnswer(f"The date must not be before {low}.")
    if high is not None and value > high:
        raise InvalidAnswer(f"The date must not be after {high}.")
    return value


def is_date(text: str) -> bool:
    """Return whether the text is YYYY-MM-DD and that day exists."""
    if not _DATE.fullmatch(text) or not text.isascii():
        return False
    try:
        datetime.date.fromisoformat(text)
    except ValueError:
        return False
    return True


def check_boolean(value: object) -> bool:
    """Return true or false; 0 and 1 are not."""
    if not isinstance(value, bool):
        raise InvalidAnswer("The answer must be yes or no (true or false).")
    return value


def check_choice(value: object, offered: Mapping[str | int | float, str | int | float]) -> str | int | float:
    """Return the option's value that was chosen.

    Args:
        offered: the options' values, each by itself; none is true or false.
    """
    if isinstance(value, str | int | float) and not isinstance(value, bool):  # True is equal to 1 and no option
        chosen = offered.get(value)
        if chosen is not None:
            return chosen
    raise InvalidAnswer("The answer must be one of the options.")


def check_choices(
    value: object, offered: Mapping[str | int | float, str | int | float], fewest: int, most: int | None
) -> list[str | int | float]:
    """Return the chosen values: in the order of the options, without repeats."""
    if not isinstance(value, list | tuple):
        raise InvalidAnswer("The answer must be a list of options.")
    chosen = [check_choice(item, offered) for item in value]
    order = list(offered)
    ranks = [order.index(item) for item in chosen]
    if any(left >= right for left, right in pairwise(ranks)):
        raise InvalidAnswer("The options must come in their order, each at most once.")
    if len(chosen) < fewest:
        raise InvalidAnswer(f"Choose at least {fewest}.")
    if most is not None and len(chosen) > most:
        raise InvalidAnswer(f"Choose at most {most}.")
    return chosen
