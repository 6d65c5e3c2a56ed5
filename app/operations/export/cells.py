"""Which answers fit into a step's columns, and the cells that they make: one function a type of step. Pure.

What a step takes now need not be what an older answer or an integrator's save holds, so each asks anew. Lengths,
bounds and patterns play no part: only whether the columns can hold the value as it is.
"""

import datetime
from collections.abc import Callable, Mapping, Sequence
from functools import partial

from ...survey.answers import is_date
from .columns import CODES, Cell, Coded, Value

Place = Callable[[object], Sequence[Cell] | None]
"""Returns the cells of an answer that is not null, one for each of the step's columns; None: it does not fit."""

_Codes = Mapping[Value, Coded]


def nothing(_value: object) -> None:
    """Take no answer: of a step that only informs."""


def text(value: object) -> Sequence[Cell] | None:
    """Take a text."""
    return (value,) if isinstance(value, str) else None


def number(value: object) -> Sequence[Cell] | None:
    """Take a number."""
    return (value,) if isinstance(value, int | float) and not isinstance(value, bool) else None


def whole(value: object) -> Sequence[Cell] | None:
    """Take a whole number."""
    return (value,) if isinstance(value, int) and not isinstance(value, bool) else None


def code(value: object) -> Sequence[Cell] | None:
    """Take a whole number that can be a code."""
    # The type first: a range looks for what is no int at each of its numbers.
    return whole(value) if type(value) is int and value in CODES else None


def boolean(value: object) -> Sequence[Cell] | None:
    """Take true or false."""
    return (value,) if isinstance(value, bool) else None


def date(value: object) -> Sequence[Cell] | None:
    """Take a day of the calendar."""
    return (datetime.date.fromisoformat(value),) if isinstance(value, str) and is_date(value) else None


def choice(codes: _Codes) -> Place:
    """Return what takes one of the options."""
    return partial(_choice, codes)


def choices(codes: _Codes) -> Place:
    """Return what takes a list of the options, each at most once: 1 for each that was chosen, 0 for the others."""
    return partial(_choices, codes)


def _choice(codes: _Codes, value: object) -> Sequence[Cell] | None:
    found = _option(codes, value)
    return None if found is None else (found.value,)


def _choices(codes: _Codes, value: object) -> Sequence[Cell] | None:
    if not isinstance(value, list | tuple):
        return None
    chosen = [_option(codes, item) for item in value]
    distinct = {found.code for found in chosen if found is not None}
    if len(distinct) < len(chosen):  # one is no option, or stands there twice
        return None
    return [int(one.code in distinct) for one in codes.values()]


def _option(codes: _Codes, value: object) -> Coded | None:
    if isinstance(value, str | int | float) and not isinstance(value, bool):  # True is equal to 1 and no option
        return codes.get(value)
    return None
