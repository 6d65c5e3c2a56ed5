"""Fills in texts: numbers and dates as a language writes them, and its plural forms (Unicode CLDR)."""

import datetime
import re
from collections.abc import Mapping
from functools import lru_cache

from babel import Locale, UnknownLocaleError
from babel.dates import format_date, format_skeleton, format_time, get_datetime_format
from babel.numbers import format_decimal, format_scientific

from .tags import parents


class Month(datetime.date):
    """The first day of a month, written without the day."""


PLACEHOLDER = re.compile(r"\{(\w+)\}")


def fill(template: str, values: Mapping[str, object], language: str) -> str:
    """Return the text with each ``{name}`` replaced.

    Raises:
        KeyError: a value is missing.
    """
    return PLACEHOLDER.sub(lambda found: _written(values[found[1]], language), template)


def plural_category(language: str, count: float) -> str:
    """Return CLDR's category of a number, such as one or other."""
    return locale(language).plural_form(count)


def plural_categories(language: str) -> frozenset[str]:
    return frozenset({*locale(language).plural_form.rules, "other"})


@lru_cache(maxsize=200)
def locale(language: str) -> Locale:
    """Return what CLDR knows of a language or the nearest of its parents; English if it knows none."""
    for tag in parents(language):
        try:
            return Locale.parse(tag, sep="-")
        except (UnknownLocaleError, ValueError):
            continue
    return Locale("en")


def _written(value: object, language: str) -> str:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return _written_number(value, locale(language))
    if isinstance(value, Month):
        return format_skeleton("yMMM", value, locale=locale(language))
    if isinstance(value, datetime.datetime):
        both = str(get_datetime_format("medium", locale(language))).replace("'", "")
        return both.format(_written(value.time(), language), _written(value.date(), language))
    if isinstance(value, datetime.time):
        return format_time(value, "short", locale=locale(language))
    if isinstance(value, datetime.date):
        return format_date(value, "medium", locale=locale(language))
    return str(value)


def _written_number(number: float, language: Locale) -> str:
    """Return a number without groups of thousands; where it would be long, with an exponent, as ECMAScript does."""
    if number and not 1e-6 <= abs(number) < 1e21:  # noqa: PLR2004 - ECMAScript's
        return format_scientific(number, locale=language, decimal_quantization=False)
    return format_decimal(number, locale=language, decimal_quantization=False, group_separator=False)
