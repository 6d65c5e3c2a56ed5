"""The one gate for JSON, the same for every door and every database.

Refused, with the place: what one of the databases or a JavaScript client can't hold exactly (NUL,
lone surrogates, NaN and Infinity, whole numbers beyond 2^53), what readers of JSON disagree on
(duplicate keys), and what is nested deeper than 32. Nothing is ever changed silently.

Pure; anybody may import it.
"""

import json
import math
from collections.abc import Mapping
from typing import Any

import orjson

from ..errors import InvalidJson

MAX_DEPTH = 32
"""Containers inside one another that a value may have."""

MAX_INTEGER = 2**53
"""Whole numbers beyond this lose digits in a double, and so in every browser (RFC 8259, 6)."""

_ENVELOPE_DEPTH = 4
"""What a message may add around a value, e.g. {"session": {"answers": {"S1": value}}}."""

_MAX_INTEGER_DIGITS = 17
"""More digits (with the sign) are beyond 2^53 for sure; so int() never meets 10,000 of them."""


def decode(text: str | bytes, place: str = "$") -> Any:  # noqa: ANN401 - JSON is decoded here
    """Return the value of one JSON text.

    Raises:
        InvalidJson: it is not JSON (RFC 8259), not UTF-8, or not exact.
    """
    try:
        if isinstance(text, bytes):
            text = text.decode("utf-8")
        value = json.loads(
            text,
            object_pairs_hook=_object,
            parse_int=_integer,
            parse_constant=_constant,
        )
    except UnicodeDecodeError as error:
        raise InvalidJson(place, f"not UTF-8 (byte {error.start})") from error
    except RecursionError as error:
        raise InvalidJson(place, f"nested deeper than {MAX_DEPTH}") from error
    except json.JSONDecodeError as error:
        raise InvalidJson(place, f"not JSON: {error.msg} at character {error.pos}") from error
    check(value, place, max_depth=MAX_DEPTH + _ENVELOPE_DEPTH)
    return value


def check(value: object, place: str = "$", max_depth: int = MAX_DEPTH) -> None:
    """Return if ``value`` is JSON that every database holds exactly.

    Args:
        value: what ``json.loads`` may return; tuples count as lists.
        place: the name of the value in messages.
        max_depth: containers inside one another.

    Raises:
        InvalidJson: it is not; the message names the place, e.g. ``answers.S1[2]``.
    """
    if value is None or value is True or value is False:
        return
    if isinstance(value, str):
        _check_text(value, place)
    elif isinstance(value, int):
        if abs(value) > MAX_INTEGER:
            raise InvalidJson(place, "a whole number beyond 2^53; send it as text")
    elif isinstance(value, float):
        if not math.isfinite(value):
            raise InvalidJson(place, "NaN, Infinity and numbers as large as 1e999 are not JSON that all can hold")
    elif isinstance(value, Mapping | list | tuple):
        _check_container(value, place, max_depth)
    else:
        raise InvalidJson(place, f"{type(value).__name__} is not JSON")


def encode(value: object) -> str:
    """Return the compact JSON text of a value that passed :func:`check`; key order is kept."""
    return orjson.dumps(value).decode()


def _check_container(value: Mapping[Any, Any] | list[Any] | tuple[Any, ...], place: str, max_depth: int) -> None:
    if max_depth == 0:
        raise InvalidJson(place, f"nested deeper than {MAX_DEPTH}")
    if isinstance(value, _Doubled):
        raise InvalidJson(place, f"the key {value.key!r} comes twice in one object")
    if isinstance(value, Mapping):
        for key, item in value.items():
            if not isinstance(key, str):
                raise InvalidJson(place, f"the key {key!r} is not a string")
            _check_text(key, f"a key of {place}")
            check(item, f"{place}.{key}", max_depth - 1)
    else:
        for index, item in enumerate(value):
            check(item, f"{place}[{index}]", max_depth - 1)


def _check_text(text: str, place: str) -> None:
    if "\0" in text:
        raise InvalidJson(place, "text with the character U+0000, which PostgreSQL can't hold")
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise InvalidJson(place, f"text with a lone surrogate (character {error.start})") from error


class _Doubled(dict[str, Any]):
    """An object in which a key came twice."""

    def __init__(self, pairs: list[tuple[str, Any]]) -> None:
        super().__init__(pairs)
        seen: set[str] = set()
        self.key = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]


# What the parser meets and can't place becomes a value that `check` refuses, where the place is known.
def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    return result if len(result) == len(pairs) else _Doubled(pairs)


def _integer(digits: str) -> int:
    return int(digits) if len(digits) <= _MAX_INTEGER_DIGITS else MAX_INTEGER + 1


def _constant(name: str) -> float:
    return float(name.lower())
