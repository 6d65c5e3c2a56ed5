"""Functions of dates, timestamps and durations."""

import calendar
import datetime
import re
import zoneinfo
from collections.abc import Callable, Mapping
from typing import Any

from .values import EvaluationError, type_name

_DATE = re.compile(r"([0-9]{4}-[0-9]{2}-[0-9]{2})(T[0-2][0-9]:[0-5][0-9])?")
_TIMESTAMP = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]{1,9})?(?:Z|[+-][0-9]{2}:[0-9]{2})"
)
_OFFSET = re.compile(r"([+-]?)([0-9]{2}):([0-9]{2})")
_DURATION = re.compile(r"([+-]?)((?:(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:h|ms|m|s|us|ns))+|0)")
_DURATION_PART = re.compile(r"([0-9.]+)(h|ms|m|s|us|ns)")
_SECONDS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "ns": 1e-9}


def age(birth: object, on: object) -> float:
    (born, _), (day, _) = _date(birth), _date(on)
    # The birthday of 29 February is 1 March in other years.
    return float(day.year - born.year - ((day.month, day.day) < (born.month, born.day)))


def days_between(first: object, second: object) -> float:
    return float((_date(second)[0] - _date(first)[0]).days)


def add_days(date: object, count: object) -> str:
    day, time = _date(date)
    try:
        return (day + datetime.timedelta(days=_whole(count))).isoformat() + time
    except OverflowError:
        raise EvaluationError("the date is out of range") from None


def add_months(date: object, count: object) -> str:
    return _months_later(date, _whole(count))


def add_years(date: object, count: object) -> str:
    return _months_later(date, 12 * _whole(count))


def _months_later(date: object, count: int) -> str:
    day, time = _date(date)
    year, month = divmod(day.year * 12 + day.month - 1 + count, 12)
    if not datetime.MINYEAR <= year <= datetime.MAXYEAR:
        raise EvaluationError("the date is out of range")
    last = calendar.monthrange(year, month + 1)[1]  # 28 February, a month after 31 January
    return datetime.date(year, month + 1, min(day.day, last)).isoformat() + time


def _date(value: object) -> tuple[datetime.date, str]:
    """Return the day and the time of day."""
    match = _DATE.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        raise EvaluationError("a date is written as YYYY-MM-DD")
    try:
        return datetime.date.fromisoformat(match[1]), match[2] or ""
    except ValueError:
        raise EvaluationError("there is no such day") from None


def _whole(value: object) -> int:
    if isinstance(value, float) and value.is_integer():
        return int(value)
    raise EvaluationError("the number must be whole")


def timestamp(value: object) -> datetime.datetime:
    if isinstance(value, datetime.datetime):
        return value
    try:
        if isinstance(value, float):
            return datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC) + datetime.timedelta(seconds=value)
        if isinstance(value, str) and _TIMESTAMP.fullmatch(value):
            return datetime.datetime.fromisoformat(value).astimezone(datetime.UTC)
    except (ValueError, OverflowError):
        pass
    raise EvaluationError("a timestamp is written as YYYY-MM-DDTHH:MM:SSZ")


def duration(value: object) -> datetime.timedelta:
    if isinstance(value, datetime.timedelta):
        return value
    match = _DURATION.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        raise EvaluationError("a duration is written as 1h30m")
    parts = _DURATION_PART.findall(match[2])
    try:
        length = datetime.timedelta(seconds=sum(float(number) * _SECONDS[unit] for number, unit in parts))
    except OverflowError:
        raise EvaluationError("the duration is too long") from None
    return -length if match[1] == "-" else length


def _zone(name: object) -> datetime.tzinfo:
    match = _OFFSET.fullmatch(name) if isinstance(name, str) else None
    try:
        if match is not None:
            offset = datetime.timedelta(hours=int(match[2]), minutes=int(match[3]))
            return datetime.timezone(-offset if match[1] == "-" else offset)
        if isinstance(name, str):
            return zoneinfo.ZoneInfo(name)
    except (ValueError, OSError, zoneinfo.ZoneInfoNotFoundError):
        pass
    raise EvaluationError("there is no such time zone")


def _getter(of_timestamp: Callable[[datetime.datetime], int], of_duration: float | None = None) -> Callable[..., float]:
    def get(value: Any, zone: object = "UTC") -> float:  # noqa: ANN401 - any value
        if type(value) is datetime.datetime:
            try:
                return float(of_timestamp(value.astimezone(_zone(zone))))
            except OverflowError:
                raise EvaluationError("the time is out of range") from None
        if type(value) is datetime.timedelta and of_duration is not None:
            return float(int(value / datetime.timedelta(seconds=of_duration)))
        raise EvaluationError(f"a {type_name(value)} has no such part")

    return get


GETTERS: Mapping[str, Callable[..., float]] = {
    "getFullYear": _getter(lambda time: time.year),
    "getMonth": _getter(lambda time: time.month - 1),
    "getDate": _getter(lambda time: time.day),
    "getDayOfMonth": _getter(lambda time: time.day - 1),
    "getDayOfWeek": _getter(lambda time: time.isoweekday() % 7),
    "getDayOfYear": _getter(lambda time: time.timetuple().tm_yday - 1),
    "getHours": _getter(lambda time: time.hour, 3600),
    "getMinutes": _getter(lambda time: time.minute, 60),
    "getSeconds": _getter(lambda time: time.second, 1),
    "getMilliseconds": _getter(lambda time: time.microsecond // 1000, 1e-3),
}
"""By CEL's names, most of which count from 0."""
