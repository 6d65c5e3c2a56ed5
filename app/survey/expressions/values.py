"""Values of expressions.

Python's ``True == 1`` and ``1 == 1.0`` are not CEL's: every number is a float, and types are compared first.
"""

import datetime
import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import isfinite
from typing import Any

from ...core.strict_json import MAX_INTEGER

_ORDERED = frozenset({float, str, bool, bytes, datetime.datetime, datetime.timedelta})
SCALARS = frozenset({float, str, bool, type(None)})


class EvaluationError(Exception):
    """An expression has no value here, e.g. ``null + 1``. The message has no answer."""


@dataclass(frozen=True, slots=True)
class TypeValue:
    """What ``type(x)`` gives."""

    name: str


_TYPE_NAMES: Mapping[type, str] = {
    type(None): "null_type",
    bool: "bool",
    float: "double",
    str: "string",
    bytes: "bytes",
    list: "list",
    dict: "map",
    datetime.datetime: "google.protobuf.Timestamp",
    datetime.timedelta: "google.protobuf.Duration",
    TypeValue: "type",
}


def type_name(value: object) -> str:
    """Return a value's type, as CEL calls it."""
    return _TYPE_NAMES[type(value)]


def from_json(value: Any) -> Any:  # noqa: ANN401 - JSON of any kind
    """Convert numbers to doubles, and an answer with another text to its value; raise EvaluationError if that fails."""
    kind = type(value)
    if kind in SCALARS:
        return value
    if kind is int:
        try:
            return float(value)
        except OverflowError:
            raise EvaluationError("a number is too large") from None
    if kind in {list, tuple}:
        return [from_json(item) for item in value]
    if is_other(value):
        return from_json(value["value"])
    return {name: from_json(item) for name, item in value.items()}


def is_other(value: object) -> bool:
    """Return whether an answer is an option with the participant's own text."""
    return (
        isinstance(value, Mapping) and len(value) == 2 and "value" in value and isinstance(value.get("text"), str)  # noqa: PLR2004
    )


def to_json(value: Any) -> Any:  # noqa: ANN401 - JSON of any kind
    """Convert to JSON data, whole numbers to int so that they have no point; raise EvaluationError if that fails."""
    if type(value) in SCALARS:
        return whole_number(value)
    if type(value) is list:
        return [to_json(item) for item in value]
    if type(value) is dict and all(type(name) is str for name in value):
        return {name: to_json(item) for name, item in value.items()}
    raise EvaluationError(f"a {type_name(value)} cannot be the result")


def whole_number(value: object) -> object:
    """Return an int where a number is whole and not too large for JSON."""
    return int(value) if isinstance(value, float) and value.is_integer() and abs(value) <= MAX_INTEGER else value


def number_text(number: float) -> str:
    """Return a finite number as ECMAScript's Number::toString writes it: 4, 2.5, 1e+21."""
    if number == 0:
        return "0"
    mantissa, _, exponent = repr(abs(number)).partition("e")
    whole, _, fraction = mantissa.partition(".")
    digits = (whole + fraction).lstrip("0")
    point = len(digits) - len(fraction) + int(exponent or 0)
    digits = digits.rstrip("0")
    count = len(digits)
    sign = "-" if number < 0 else ""
    if count <= point <= 21:  # noqa: PLR2004 - this and -6 are ECMAScript's
        return sign + digits + "0" * (point - count)
    if 0 < point <= 21:  # noqa: PLR2004
        return f"{sign}{digits[:point]}.{digits[point:]}"
    if -6 < point <= 0:  # noqa: PLR2004
        return f"{sign}0.{'0' * -point}{digits}"
    return f"{sign}{digits[0]}{'.' if count > 1 else ''}{digits[1:]}e{point - 1:+d}"


def finite(number: float) -> float:
    if isfinite(number):
        return number
    raise EvaluationError("the result is not a finite number")


def equal(left: Any, right: Any) -> bool:  # noqa: ANN401 - any two values
    if type(left) is not type(right):
        return False
    if type(left) is list:
        return len(left) == len(right) and all(map(equal, left, right))
    if type(left) is dict:
        return len(left) == len(right) and all(
            has_key(right, key) and equal(item, right[key]) for key, item in left.items()
        )
    return bool(left == right)


def has_key(entries: Mapping[Any, Any], key: Any) -> bool:  # noqa: ANN401 - any value
    if type(key) is str:
        return key in entries
    return any(equal(key, name) for name in entries)


def contains(collection: Any, item: Any) -> bool:  # noqa: ANN401 - any two values
    if type(collection) is list:
        return item in collection if type(item) is str else any(equal(item, one) for one in collection)
    if type(collection) is dict:
        return has_key(collection, item)
    raise EvaluationError(f"a {type_name(collection)} contains nothing")


def item_at(collection: Any, key: Any) -> Any:  # noqa: ANN401 - any two values
    if type(collection) is dict and has_key(collection, key):
        return collection[key]
    if type(collection) is list:
        raise EvaluationError("the index of a list is a whole number, written as such")
    raise EvaluationError("there is no such key")


def _ordering(compare: Callable[[Any, Any], bool]) -> Callable[[Any, Any], bool]:
    def ordered(left: Any, right: Any) -> bool:  # noqa: ANN401 - any two values
        if type(left) is type(right) and type(left) in _ORDERED:
            return compare(left, right)
        raise _no_overload("compared", left, right)

    return ordered


def _add(left: Any, right: Any) -> Any:  # noqa: ANN401 - any two values
    kind = type(left)
    if kind is float and type(right) is float:
        return finite(left + right)
    if kind is type(right) and kind in {str, bytes, list}:
        return left + right
    if {kind, type(right)} in ({datetime.datetime, datetime.timedelta}, {datetime.timedelta}):
        return _timed(operator.add, left, right)
    raise _no_overload("added", left, right)


def _subtract(left: Any, right: Any) -> Any:  # noqa: ANN401 - any two values
    if type(left) is float and type(right) is float:
        return finite(left - right)
    kinds = (type(left), type(right))
    if kinds[0] in {datetime.datetime, datetime.timedelta} and kinds[1] in {kinds[0], datetime.timedelta}:
        return _timed(operator.sub, left, right)
    raise _no_overload("subtracted", left, right)


def _multiply(left: Any, right: Any) -> float:  # noqa: ANN401 - any two values
    if type(left) is float and type(right) is float:
        return finite(left * right)
    raise _no_overload("multiplied", left, right)


def _divide(left: Any, right: Any) -> float:  # noqa: ANN401 - any two values
    if type(left) is not float or type(right) is not float:
        raise _no_overload("divided", left, right)
    if right == 0:
        raise EvaluationError("division by zero")
    return finite(left / right)


def _timed(calculate: Callable[[Any, Any], Any], left: object, right: object) -> object:
    try:
        return calculate(left, right)
    except OverflowError:
        raise EvaluationError("the time is out of range") from None


def _no_overload(verb: str, left: object, right: object) -> EvaluationError:
    return EvaluationError(f"a {type_name(left)} and a {type_name(right)} cannot be {verb}")


OPERATORS: Mapping[str, Callable[[Any, Any], Any]] = {
    "==": equal,
    "!=": lambda left, right: not equal(left, right),
    "<": _ordering(operator.lt),
    "<=": _ordering(operator.le),
    ">": _ordering(operator.gt),
    ">=": _ordering(operator.ge),
    "in": lambda left, right: contains(right, left),
    "+": _add,
    "-": _subtract,
    "*": _multiply,
    "/": _divide,
}
