"""Parameters of REST operations, parsed and documented."""

import base64
import binascii
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Generic, Literal, TypeVar

import flask

from ....core import strict_json
from ....core.formats import LANGUAGE, MAX_LANGUAGE_LENGTH, is_language
from ....core.formats import SURVEY_ID as SURVEY_ID_PATTERN
from ....core.strict_json import MAX_INTEGER
from ....core.timestamps import parse_timestamp
from ....errors import InvalidInput
from ....operations.export import MODES, STATUSES
from ....operations.webhooks import ID_PATTERN
from ....sessions import Cursor
from .schemas import NO_NUL

T = TypeVar("T")

Schema = dict[str, Any]

USER_ID_PATTERN = r"^[A-Za-z0-9._@:-]{1,128}$"
USER_ID_SCHEMA: Schema = {"type": "string", "pattern": USER_ID_PATTERN, "not": {"enum": [".", ".."]}}

# A string (RFC 9651, 3.3.3), as the IETF's draft of the header has it, or its text without quotes. HTTP headers are
# ASCII; servers decode others differently.
IDEMPOTENCY_KEY_PATTERN = r'^([!#-~]([ !#-~]{0,62}[!#-~])?|"([ !#-\[\]-~]|\\["\\]){1,64}")$'
IF_MATCH_PATTERN = r'^(\*|(W/)?("[0-9]{1,16}"|[0-9]{1,16}))$'  # the digits of 2^53; some proxies prepend W/

_BAD_CURSOR = "The parameter after must be the `next` of the previous page."


@dataclass(frozen=True, slots=True)
class Parameter(Generic[T]):
    """A parameter of the query, of a header or of the path."""

    name: str
    description: str
    schema: Schema
    parse: Callable[[str], T]
    location: Literal["query", "header", "path"] = "query"
    example: object = None

    def value(self) -> T | None:
        """Raise InvalidInput if the request's value is invalid."""
        source = flask.request.headers if self.location == "header" else flask.request.args
        text = source.get(self.name)
        return None if text is None else self.parse(text)

    def document(self) -> Schema:
        return {
            "name": self.name,
            "in": self.location,
            "description": self.description,
            "schema": self.schema,
            **({"required": True} if self.location == "path" else {}),
            **({} if self.example is None else {"example": self.example}),
        }


def text(name: str, description: str, pattern: str, **more: Any) -> Parameter[str]:  # noqa: ANN401 - of Parameter
    """Return a parameter whose pattern ``parse`` or the service checks."""
    return Parameter(name, description, {"type": "string", "pattern": pattern}, **{"parse": str, **more})


def hexadecimal(name: str, description: str, digits: int) -> Parameter[str]:
    pattern = f"^[0-9a-f]{{{digits}}}$"
    problem = f"The parameter {name} must have {digits} hexadecimal digits."
    return text(name, description, pattern, parse=partial(_require, pattern, problem))


def language(name: str, description: str) -> Parameter[str]:
    """Return a parameter that is a language tag (BCP 47)."""

    def parse(value: str) -> str:
        if not is_language(value):
            raise InvalidInput(f"The parameter {name} must be a language tag, such as de or de-AT.")
        return value

    schema = {"type": "string", "pattern": LANGUAGE, "maxLength": MAX_LANGUAGE_LENGTH}
    return Parameter(name, description, schema, parse, example="de")


def integer(
    name: str, description: str, low: int, high: int = MAX_INTEGER, *, example: object = None, **schema: object
) -> Parameter[int]:

    def parse(value: str) -> int:
        if not value.isascii() or not value.isdigit() or len(value) > 16 or not low <= int(value) <= high:  # noqa: PLR2004 - digits of 2^53
            raise InvalidInput(f"The parameter {name} must be a whole number from {low} to {high}.")
        return int(value)

    bounds = {"type": "integer", "minimum": low, "maximum": high, **schema}
    return Parameter(name, description, bounds, parse, example=example)


def choice(name: str, description: str, values: Iterable[str]) -> Parameter[Any]:
    known = tuple(values)

    def parse(value: str) -> str:
        if value not in known:
            raise InvalidInput(f"The parameter {name} must be one of {', '.join(known)}.")
        return value

    return Parameter(name, description, {"type": "string", "enum": list(known)}, parse)


def flag(name: str, description: str) -> Parameter[bool]:
    words = choice(name, description, ("true", "false"))
    return Parameter(name, description, words.schema, lambda value: words.parse(value) == "true")


def timestamp(
    name: str, description: str, *, allows_day: bool = False, ends_day: bool = False, example: str
) -> Parameter[int]:
    """Return a parameter that is parsed to microseconds since 1970 UTC."""
    instant: Schema = {"type": "string", "format": "date-time"}
    schema = {"anyOf": [{"type": "string", "format": "date"}, instant]} if allows_day else instant
    parse = partial(parse_timestamp, name=f"The parameter {name}", ends_day=ends_day)
    return Parameter(name, description, schema, parse, example=example)


def _require(pattern: str, problem: str, value: str) -> str:
    if re.fullmatch(pattern, value) is None:
        raise InvalidInput(problem)
    return value


def encode_cursor(cursor: Cursor) -> str:
    parts = (cursor.user_id, cursor.survey_id) if cursor.event is None else ("", *map(str, cursor.event))
    return base64.urlsafe_b64encode("\n".join(parts).encode()).decode()


def _decode_cursor(value: str) -> Cursor:
    _require(r"^[A-Za-z0-9_=-]+$", _BAD_CURSOR, value)  # base64url (RFC 4648, 5): the decoder would skip the others
    try:
        parts = base64.urlsafe_b64decode(value).decode().split("\n")
        if len(parts) == 3:  # noqa: PLR2004 - an event's time and id, after an empty user id
            at, number = (min(max(0, int(part)), MAX_INTEGER) for part in parts[1:])
            return Cursor(event=(at, number))
        user_id, survey_id = parts
        strict_json.check([user_id, survey_id], "after")
        return Cursor(user_id, survey_id)
    except (UnicodeError, binascii.Error, ValueError):
        raise InvalidInput(_BAD_CURSOR) from None


def _idempotency_key(value: str) -> str:
    problem = "Idempotency-Key must have 1 to 64 characters of printable ASCII, all or none in one pair of quotes."
    _require(IDEMPOTENCY_KEY_PATTERN, problem, value)
    return re.sub(r'\\(["\\])', r"\1", value[1:-1]) if value.startswith('"') else value


def _expected_version(value: str) -> int | None:
    version = value.strip()
    if version == "*":
        return None
    _require(IF_MATCH_PATTERN, 'If-Match must be a version as ETag gives it, such as "5".', version)
    return int(version.removeprefix("W/").strip('"'))


def _step(value: str) -> str:
    strict_json.check(value, "step")
    return value


USER_ID = Parameter("user_id", "the participant", USER_ID_SCHEMA, str, location="path", example="user123")
SURVEY_ID = text("survey_id", "the survey", SURVEY_ID_PATTERN, location="path", example="phq9")
WEBHOOK_ID = text("webhook_id", "the webhook", ID_PATTERN, location="path", example="wh_0123456789abcdef")
SURVEY = text(
    "survey", "the survey; default: the default one, or the participant's only one", SURVEY_ID_PATTERN, example="phq9"
)
STORAGE = flag(
    "storage",
    "whether the browser deletes all that this server's pages store: not if another survey has unsent answers there",
)
SURVEY_FILTER = replace(SURVEY, description="only sessions of this survey")
AT_VERSION = integer("at_version", "the session as it was at this version", 1, example=1)
LIMIT = integer("limit", "entries of the page", 1, 1000, default=100)
_PREVIOUS = "the `next` of the previous page"
AFTER = Parameter("after", f"{_PREVIOUS}, an opaque value", {"type": "string", "format": "cursor"}, _decode_cursor)
AFTER_VERSION = integer("after", _PREVIOUS, 0)
AFTER_ID = integer("after", _PREVIOUS, 1)
STATUS = choice("status", "only sessions with this status", STATUSES)
UPDATED_SINCE = timestamp(
    "updated_since",
    "only sessions that changed since; in the order of their last change",
    example="2026-11-23T10:00:00Z",
)
ORDER = choice(
    "order", "`newest`: the last changed first; default: by participant, or with `updated_since`", ("newest",)
)
STEP = text("step", "only sessions at this step", NO_NUL, parse=_step, example="Q2")
USER_ID_PREFIX = text(
    "user_id_prefix",
    "only sessions of participants whose id begins with this; compared exactly",
    USER_ID_PATTERN,
    example="ward3-",
)
SINCE = timestamp("since", "only sessions that started then or later, UTC", allows_day=True, example="2026-11-01")
UNTIL = timestamp(
    "until",
    "only sessions that started before, or on this day, UTC",
    allows_day=True,
    ends_day=True,
    example="2026-11-30",
)


LANG = language("lang", "the texts in this of the survey's languages; default: its own")
BEGIN_LANG = replace(LANG, description="the language of a session that begins; default: the best of Accept-Language")
SURVEY_PARAMETERS: Parameter[str] = Parameter(
    "parameters",
    "a survey's parameters with `from: url`, each under its name; others are ignored",
    {"type": "object", "additionalProperties": {"type": "string"}},  # exploded, as is the default (OpenAPI, 4.8.12)
    str,
)
MODE = choice("mode", "only sessions in this mode", MODES)
REVISION = text("revision", "only sessions of this revision", NO_NUL)
IF_MATCH: Parameter[int | None] = Parameter(
    "If-Match",
    "the version that the change applies to, from ETag, or * for any; 412 if it has changed",
    {"type": "string", "pattern": IF_MATCH_PATTERN},
    _expected_version,
    location="header",
)
IDEMPOTENCY_KEY = text(
    "Idempotency-Key",
    "the message's id, with or without quotes: a repeated request is applied once",
    IDEMPOTENCY_KEY_PATTERN,
    parse=_idempotency_key,
    location="header",
)
COMMAND_KEY = replace(
    IDEMPOTENCY_KEY,
    description="the command's id, with or without quotes, in place of the body's; both are equal if both are present",
)


def header(name: str, description: str, schema: Schema | None = None, *, required: bool = True) -> dict[str, Schema]:
    """Return the documentation of a response's header."""
    return {name: {"description": description, "schema": schema or {"type": "string"}, "required": required}}


ETAG = header("ETag", "the session's version")
SET_COOKIE = header("Set-Cookie", "the survey's resume cookie, if the browser has one", required=False)
ATTACHMENT = header("Content-Disposition", "a file to save")
