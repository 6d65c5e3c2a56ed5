"""The functions of expressions."""

import datetime
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Context, Decimal
from typing import Any

import re2

from . import times
from .nodes import InvalidExpression
from .values import OPERATORS, EvaluationError, TypeValue, finite, number_text, type_name

_PATTERN_OPTIONS = re2.Options()
_PATTERN_OPTIONS.log_errors = False  # else also written to stderr
_PATTERN_OPTIONS.max_mem = 1 << 20  # bytes of one pattern, of which RE2 takes 8 MiB otherwise

_WHOLE = re.compile(r"[+-]?[0-9]+")
_NUMBER = re.compile(r"[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?")

_ROUNDING = Context(prec=700, rounding=ROUND_HALF_UP)
"""Every double has fewer digits before and after its point."""

_MAX_DIGITS = 330
"""No double has a digit further from its point."""


@dataclass(frozen=True, slots=True)
class Function:
    """A function of values.

    Attributes:
        counts: of arguments, the target of a method included.
        reads_all: whether the time of a call depends on the length of its values.
    """

    call: Callable[..., Any]
    counts: tuple[int, ...] = (1,)
    is_method: bool = False
    is_global: bool = True
    reads_all: bool = True
    steps: int = 20


def _number(value: object) -> float:
    if type(value) is float:
        return value
    raise EvaluationError(f"a {type_name(value)} is not a number")


def _text(value: object) -> str:
    if type(value) is str:
        return value
    raise EvaluationError(f"a {type_name(value)} is not a text")


def _size(value: Any) -> float:  # noqa: ANN401 - any value
    if type(value) in {str, bytes, list, dict}:
        return float(len(value))
    raise EvaluationError(f"a {type_name(value)} has no size")


def matching(pattern: str) -> Callable[[object], bool]:
    try:
        compiled = re2.compile(pattern, _PATTERN_OPTIONS)
    except re2.error as error:
        reason = error.args[0].decode()
        raise InvalidExpression(f"the pattern of matches() is not RE2: {reason}") from None
    return lambda text: compiled.search(_text(text)) is not None


def _to_whole(low: float, high: float) -> Callable[[object], float]:
    def convert(value: object) -> float:
        if type(value) is str and _WHOLE.fullmatch(value):
            number = float(value)
        elif type(value) is float:
            number = float(math.trunc(value))
        elif type(value) is datetime.datetime:
            number = float(math.floor(value.timestamp()))
        else:
            raise EvaluationError(f"a {type_name(value)} is not a whole number")
        if not low <= number <= high:
            raise EvaluationError("the number is out of range")
        return number

    return convert


def _to_double(value: object) -> float:
    if type(value) is str and _NUMBER.fullmatch(value):
        return finite(float(value))
    return _number(value)


def _to_string(value: object) -> str:
    match value:
        case str():
            return value
        case bool():
            return "true" if value else "false"
        case float():
            return number_text(value)
        case bytes():
            try:
                return value.decode()
            except UnicodeDecodeError:
                raise EvaluationError("the bytes are not UTF-8") from None
        case datetime.datetime():
            return value.isoformat().replace("+00:00", "Z")
        case datetime.timedelta():
            return f"{value.total_seconds():f}".rstrip("0").rstrip(".") + "s"
        case _:
            raise EvaluationError(f"a {type_name(value)} has no text")


def _to_bool(value: object) -> bool:
    if type(value) is bool:
        return value
    text = _text(value)
    if text in {"1", "t", "true", "TRUE", "True"}:
        return True
    if text in {"0", "f", "false", "FALSE", "False"}:
        return False
    raise EvaluationError("the text is neither true nor false")


_TIME_ZONE_STEPS = 200
"""It is looked for in files if there is none of the name."""

STANDARD: Mapping[str, Function] = {
    "size": Function(_size, is_method=True, reads_all=False),
    "contains": Function(lambda text, part: _text(part) in _text(text), (2,), is_method=True, is_global=False),
    "startsWith": Function(
        lambda text, part: _text(text).startswith(_text(part)), (2,), is_method=True, is_global=False
    ),
    "endsWith": Function(lambda text, part: _text(text).endswith(_text(part)), (2,), is_method=True, is_global=False),
    "matches": Function(matching, (2,), is_method=True),  # its pattern is compiled with the expression
    "int": Function(_to_whole(-(2.0**63), 2.0**63)),
    "uint": Function(_to_whole(0, 2.0**64)),
    "double": Function(_to_double),
    "string": Function(_to_string),
    "bytes": Function(lambda value: value if type(value) is bytes else _text(value).encode()),
    "bool": Function(_to_bool),
    "timestamp": Function(times.timestamp),
    "duration": Function(times.duration),
    "type": Function(lambda value: TypeValue(type_name(value)), reads_all=False),
    "dyn": Function(lambda value: value, reads_all=False),
    **{
        name: Function(getter, (1, 2), is_method=True, is_global=False, steps=_TIME_ZONE_STEPS)
        for name, getter in times.GETTERS.items()
    },
}


def _present(items: object) -> list[Any]:
    if type(items) is list:
        return [item for item in items if item is not None]
    raise EvaluationError(f"a {type_name(items)} is not a list")


def _some(items: object) -> list[Any]:
    present = _present(items)
    if present:
        return present
    raise EvaluationError("the list is empty")


def _sum(items: object) -> float:
    total = 0.0
    for item in _present(items):
        total = finite(total + _number(item))
    return total


def _extreme(is_better: Callable[[Any, Any], bool]) -> Callable[[object], Any]:
    def extreme(items: object) -> Any:  # noqa: ANN401 - numbers, or dates
        first, *others = _some(items)
        if type(first) not in {float, str}:
            raise EvaluationError(f"a {type_name(first)} is neither a number nor a text")
        for item in others:
            first = item if is_better(item, first) else first
        return first

    return extreme


def _round(number: object, digits: object = 0.0) -> float:
    """Round the decimal number that is written, half away from zero: 2.675 becomes 2.68."""
    value, places = _number(number), _number(digits)
    if not places.is_integer():
        raise EvaluationError("the digits must be a whole number")
    exponent = -int(max(-_MAX_DIGITS, min(places, _MAX_DIGITS)))
    decimal = Decimal(repr(value))
    if decimal.as_tuple().exponent >= exponent:  # type: ignore[operator]  # a finite number's is no letter
        return value
    return finite(float(decimal.quantize(Decimal((0, (1,), exponent)), context=_ROUNDING))) + 0.0


def _mod(number: object, divisor: object) -> float:
    if _number(divisor) == 0:
        _number(number)
        raise EvaluationError("division by zero")
    return math.fmod(_number(number), _number(divisor))


SURVEY: Mapping[str, Function] = {
    "sum": Function(_sum),
    "mean": Function(lambda items: _sum(_some(items)) / len(_present(items))),
    "minimum": Function(_extreme(OPERATORS["<"])),
    "maximum": Function(_extreme(OPERATORS[">"])),
    "count": Function(lambda items: float(len(_some(items)))),
    "round": Function(_round, (1, 2)),
    "floor": Function(lambda number: float(math.floor(_number(number)))),
    "ceil": Function(lambda number: float(math.ceil(_number(number)))),
    "abs": Function(lambda number: abs(_number(number))),
    "mod": Function(_mod, (2,)),
    "age": Function(times.age, (2,)),
    "days_between": Function(times.days_between, (2,)),
    "add_days": Function(times.add_days, (2,)),
    "add_months": Function(times.add_months, (2,)),
    "add_years": Function(times.add_years, (2,)),
}

OF_LISTS = frozenset({"sum", "mean", "minimum", "maximum", "count"})
"""Functions of one list, which authors call with several values."""
