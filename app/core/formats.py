"""Formats of ids, durations and hosts, and validation errors."""

import ipaddress
import re
from collections.abc import Mapping, Sequence
from typing import Any

STEP_ID = r"^[A-Za-z][A-Za-z0-9_]{0,63}$"
SURVEY_ID = r"^[a-z0-9][a-z0-9_-]{0,63}$"
SCHEMA = r"^[a-z_][a-z0-9_]{0,45}$"
"""Of PostgreSQL; names a notification channel too, which has at most 63 bytes with its prefix."""
LANGUAGE = r"^[A-Za-z]{2,8}(-[A-Za-z0-9]{1,8})*$"
"""A BCP 47 tag, with at most ``MAX_LANGUAGE_LENGTH`` characters: see :func:`is_language`."""
MAX_LANGUAGE_LENGTH = 35
"""What BCP 47 (4.4.1) recommends to allow for a tag."""
MEDIA_FILE = r"^[A-Za-z0-9_-][A-Za-z0-9._-]{0,127}$"
DURATION = r"^[1-9][0-9]{0,5}[smhdw]$"
ORIGIN = r"[a-z][a-z0-9+.-]*://([a-z0-9_-]+(\.[a-z0-9_-]+)*\.?|\[[0-9a-f:.]+\])(:[1-9][0-9]{0,4})?"
"""In lower case, as browsers send it: names in ASCII (xn--...), no default port."""

RATE = r"^[1-9][0-9]{0,8}/(second|minute|hour|day)$"

MAX_COMMAND_BYTES = 64 * 1024
"""Of a command's JSON, at every interface."""

_PATTERN_MESSAGES = {
    STEP_ID: "must be a letter followed by letters, digits or _, at most 64 characters, such as Q1",
    SURVEY_ID: "must be lowercase letters, digits, - or _, at most 64 characters, such as phq9",
    SCHEMA: "must be lowercase letters, digits or _, at most 46 characters, beginning with no digit and not with pg_",
    LANGUAGE: "must be a language as BCP 47 writes it, such as en or de-AT",
    MEDIA_FILE: "must be the name of a file in the folder media, of letters, digits, ., _ and -, such as body.png",
    DURATION: "must be a number and a unit (s, m, h, d or w), such as 30d",
    RATE: "must be a number and second, minute, hour or day, such as 10/second",
}
_TYPE_MESSAGES = {
    "bool_type": "must be true or false",
    "dict_type": "must be a mapping",
    "extra_forbidden": "unknown field",
    "greater_than_equal": "must be at least {ge}",
    "int_type": "must be a whole number",
    "less_than_equal": "must be at most {le}",
    "missing": "this field is required",
    "model_type": "must be a mapping",
    "string_too_long": "must have at most {max_length} characters",
    "string_too_short": "must have at least {min_length} characters",
    "string_type": "must be text",
    "too_long": "must have at most {max_length} items",
    "too_short": "must have at least {min_length} items",
    "tuple_type": "must be a list",
    "union_tag_invalid": "unknown type {tag!r}; the types are {expected_tags}",
    "union_tag_not_found": "the field 'type' is required",
}

_DURATION_S = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}


def validation_message(error: Mapping[str, Any]) -> str:
    context = error.get("ctx", {})
    message = _PATTERN_MESSAGES.get(context.get("pattern")) or _TYPE_MESSAGES.get(error["type"])
    return message.format_map(context) if message else str(error["msg"]).removeprefix("Value error, ")


def field_message(error: Mapping[str, Any], place: Sequence[int | str]) -> str:
    name = ".".join(map(str, place))[:100]
    if error["type"] == "missing":
        return f"The field {name} is required."
    if error["type"] == "extra_forbidden":
        return f"There is no field {name}."
    message = validation_message(error)[:200].rstrip(".")
    return f"The field {name} {message}." if message.startswith("must ") else f"The field {name} is invalid. {message}."


def is_language(text: str) -> bool:
    return len(text) <= MAX_LANGUAGE_LENGTH and re.fullmatch(LANGUAGE, text) is not None


def duration_us(duration: str | None) -> int | None:
    if duration is None:
        return None
    return int(duration[:-1]) * _DURATION_S[duration[-1]] * 1_000_000


def normalize_origin(url: str) -> str:
    """Return an origin as browsers send it: lower case, no default port."""
    scheme, separator, host = url.removesuffix("/").lower().partition("://")
    return scheme + separator + host.removesuffix({"https": ":443", "http": ":80"}.get(scheme, " "))


def is_address(host: str) -> bool:
    return host == "localhost" or _ip_address(host) is not None


def is_loopback(host: str) -> bool:
    if host == "localhost" or host.endswith(".localhost"):
        return True
    address = _ip_address(host)
    return address is not None and address.is_loopback


def _ip_address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None
