"""Strict JSON: without NUL, lone surrogates, NaN, integers beyond 2^53 and duplicate keys, which others may change."""

import json
import math
from collections.abc import Mapping
from typing import Any

import orjson

from ..errors import InvalidJson

MAX_DEPTH = 32

MAX_INTEGER = 2**53
"""Larger integers lose digits in a double (RFC 8259, 6)."""

_ENCODED = frozenset({str, int, float, tuple})
"""Not their subclasses, such as numpy.float64 and enumerations: some can't be encoded, others lose their type."""

_CONVERTIBLE = {str: "str", int: "int", float: "float", tuple: "list", Mapping: "dict"}

_ENVELOPE_DEPTH = 4
"""A message's containers around a value, e.g. {"session": {"answers": {"S1": value}}}."""

_MAX_INTEGER_DIGITS = 17
"""Longer text (with the sign) exceeds 2^53: int() need not parse it."""


def decode(text: str | bytes, place: str = "$", max_depth: int = MAX_DEPTH + _ENVELOPE_DEPTH) -> Any:  # noqa: ANN401 - JSON is decoded here
    """Return the value of a JSON text; raises InvalidJson."""
    try:
        if isinstance(text, bytes):
            text = text.decode("utf-8")
        value = _DECODER.decode(text)
    except UnicodeDecodeError as error:
        raise InvalidJson(place, f"not UTF-8 (byte {error.start})") from error
    except RecursionError as error:
        raise InvalidJson(place, f"nested deeper than {MAX_DEPTH}") from error
    except json.JSONDecodeError as error:
        raise InvalidJson(place, f"not JSON: {error.msg} at character {error.pos}") from error
    check(value, place, max_depth)
    return value


def check(value: object, place: str = "$", max_depth: int = MAX_DEPTH) -> None:
    """Raise InvalidJson unless a value is strict JSON; ``place`` is e.g. ``answers.S1[2]``."""
    if _is_plain(value):  # as nearly all are: no place is formatted
        return
    if type(value) not in _ENCODED and not isinstance(value, dict | list):
        raise InvalidJson(place, _wrong_type(value))
    if isinstance(value, str):
        _check_text(value, place)
    elif isinstance(value, int | float):
        _check_number(value, place)
    elif isinstance(value, dict | list | tuple):
        _check_container(value, place, max_depth)


def encode(value: object) -> str:
    """Return the JSON text of a value that passed :func:`check`."""
    return orjson.dumps(value).decode()


def _wrong_type(value: object) -> str:
    kind = type(value)
    name = kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
    base = next((base for base in _CONVERTIBLE if isinstance(value, base)), None)
    return f"{name} is not a JSON type" + (f"; convert it to {_CONVERTIBLE[base]}" if base else "")


def _check_container(value: dict[Any, Any] | list[Any] | tuple[Any, ...], place: str, max_depth: int) -> None:
    if max_depth == 0:
        raise InvalidJson(place, f"nested deeper than {MAX_DEPTH}")
    if isinstance(value, _DuplicateKey):
        raise InvalidJson(place, f"duplicate key {value.key!r}")
    if isinstance(value, dict):
        _check_object(value, place, max_depth)
        return
    for index, item in enumerate(value):
        if not _is_plain(item):
            check(item, f"{place}[{index}]", max_depth - 1)


def _check_object(value: dict[Any, Any], place: str, max_depth: int) -> None:
    for key, item in value.items():
        if type(key) is not str:
            raise InvalidJson(place, f"the key {key!r} is not a string")
        if not _is_plain(key):
            _check_text(key, f"a key of {place}")
        if not _is_plain(item):
            check(item, f"{place}.{key}", max_depth - 1)


def _is_plain(value: object) -> bool:
    if type(value) is str:
        return value.isascii() and "\0" not in value
    return value is None or type(value) is bool or (type(value) is int and -MAX_INTEGER <= value <= MAX_INTEGER)


def _check_number(number: float, place: str) -> None:
    if isinstance(number, int):
        if abs(number) > MAX_INTEGER:
            raise InvalidJson(place, "an integer beyond 2^53; send it as text")
    elif not math.isfinite(number):
        raise InvalidJson(place, "NaN, Infinity and numbers as large as 1e999 are not allowed")


def _check_text(text: str, place: str) -> None:
    if "\0" in text:
        raise InvalidJson(place, "text with the character U+0000, which PostgreSQL can't store")
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise InvalidJson(place, f"text with a lone surrogate (character {error.start})") from error


class _DuplicateKey(dict[str, Any]):
    def __init__(self, pairs: list[tuple[str, Any]]) -> None:
        super().__init__(pairs)
        seen: set[str] = set()
        self.key = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]


# The parser does not know places; `check`, which rejects these values, does.
def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    return result if len(result) == len(pairs) else _DuplicateKey(pairs)


def _integer(digits: str) -> int:
    return int(digits) if len(digits) <= _MAX_INTEGER_DIGITS else MAX_INTEGER + 1


_DECODER = json.JSONDecoder(object_pairs_hook=_object, parse_int=_integer, parse_constant=float)
"""``json.loads`` would make one for each text, which takes longer than the text."""
