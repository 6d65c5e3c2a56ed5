"""Convert timestamps, which are microseconds since 1970 UTC."""

import datetime
from functools import lru_cache
from typing import cast, overload

from ..errors import InvalidInput

_US = datetime.timedelta(microseconds=1)
_EPOCH = datetime.datetime(1970, 1, 1)  # noqa: DTZ001 - the columns hold naive UTC
_DAY = datetime.timedelta(days=1)
_DAY_LENGTH = len("2026-11-23")
_LAST = datetime.datetime(9999, 12, 31)  # noqa: DTZ001 - as above


@overload
def format_timestamp(at: int) -> str: ...
@overload
def format_timestamp(at: None) -> None: ...
@overload
def format_timestamp(at: int | None) -> str | None: ...
def format_timestamp(at: int | None) -> str | None:
    """Return e.g. ``2026-11-24T10:00:00.123456Z``."""
    return None if at is None else f"{_text(at, 'T')}Z"


def format_datetime(time: datetime.datetime) -> str:
    return f"{time.isoformat(timespec='microseconds')}Z"


def format_minute(at: int) -> str:
    return f"{to_datetime(at):%Y-%m-%d %H:%M UTC}"


def parse_timestamp(text: str, name: str, *, ends_day: bool = False) -> int:
    """Return the timestamp of an ISO 8601 time, by default in UTC, or day; raise InvalidInput."""
    try:
        time = datetime.datetime.fromisoformat(text.replace(" ", "+"))  # a query's space is a decoded `+`
        if time.tzinfo is not None:
            time = time.astimezone(datetime.UTC).replace(tzinfo=None)
        if ends_day and len(text) <= _DAY_LENGTH:
            time = min(time, _LAST - _DAY) + _DAY
    except (ValueError, OverflowError):
        raise InvalidInput(f"{name} must be a day such as 2026-11-23 or a time such as 2026-11-23T10:00:00Z.") from None
    return from_datetime(min(max(time, _EPOCH), _LAST))


def to_datetime(at: int) -> datetime.datetime:
    """Return the naive UTC datetime."""
    return _EPOCH + at * _US


def from_datetime(time: object) -> int:
    """Return the timestamp of a naive UTC datetime, or its text."""
    moment = datetime.datetime.fromisoformat(time) if isinstance(time, str) else cast("datetime.datetime", time)
    passed = moment - _EPOCH
    return (passed.days * 86_400 + passed.seconds) * 1_000_000 + passed.microseconds


def to_database_text(at: int) -> str:
    """Return SQLite's and MariaDB's text, e.g. ``2026-11-24 10:00:00.123456``."""
    return _text(at, " ")


def _text(at: int, separator: str) -> str:
    second, microsecond = divmod(at, 1_000_000)
    return f"{_second_text(second, separator)}.{microsecond:06d}"


@lru_cache(maxsize=1024)  # thousands of turns share a second
def _second_text(second: int, separator: str) -> str:
    return to_datetime(second * 1_000_000).isoformat(separator)
