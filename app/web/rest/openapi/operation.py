"""One operation of the OpenAPI document: what it takes, what it answers, and what who asks must show."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ....core.formats import SURVEY_ID as SURVEY_ID_PATTERN
from ....core.strict_json import MAX_INTEGER
from ..models import USER_ID_PATTERN
from ..requests import IDEMPOTENCY_KEY_PATTERN, IF_MATCH_PATTERN, MAX_LIMIT
from .strict_json_schema import NO_NUL, REFERENCE

Schema = dict[str, Any]

_VERSION = {"type": "integer", "minimum": 1, "maximum": MAX_INTEGER}
_SURVEY = {"type": "string", "pattern": SURVEY_ID_PATTERN}


def _parameter(name: str, where: str, schema: Schema, says: str, example: object = None) -> Schema:
    made: Schema = {"name": name, "in": where, "description": says, "schema": schema}
    if where == "path":
        made["required"] = True
    if example is not None:
        made["example"] = example
    return made


USER_ID = _parameter("user_id", "path", {"type": "string", "pattern": USER_ID_PATTERN}, "the participant", "user123")
SURVEY_ID = _parameter("survey_id", "path", _SURVEY, "the survey", "phq9")
SURVEY = _parameter(
    "survey", "query", _SURVEY, "the survey; left out, the default one or the participant's only one", "phq9"
)
ONE_SURVEY = _parameter("survey", "query", _SURVEY, "only sessions of this survey", "phq9")
LEFT_SURVEY = _parameter("survey", "query", _SURVEY, "the survey; left out, the default one", "phq9")
AT_VERSION = _parameter("at_version", "query", _VERSION, "the session as it was at this version", 1)
LIMIT = _parameter(
    "limit", "query", {"type": "integer", "minimum": 1, "maximum": MAX_LIMIT, "default": 100}, "entries of the page"
)
AFTER = _parameter(
    "after",
    "query",
    {"type": "string", "format": "cursor"},
    "the `next` of the page before; not to be made up",
)
AFTER_VERSION = _parameter(
    "after", "query", {"type": "integer", "minimum": 0, "maximum": MAX_INTEGER}, "the `next` of the page before"
)
AFTER_ENTRY = _parameter("after", "query", _VERSION, "the `next` of the page before")
STATUS = _parameter(
    "status", "query", {"type": "string", "enum": ["in_progress", "completed", "expired"]}, "only sessions like this"
)
UPDATED_SINCE = _parameter(
    "updated_since",
    "query",
    {"type": "string", "format": "date-time"},
    "only sessions that changed since; they come in the order of their last change",
    "2026-11-23T10:00:00Z",
)
STEP = _parameter("step", "query", {"type": "string", "pattern": NO_NUL}, "only sessions at this step", "Q2")
USER_ID_PREFIX = _parameter(
    "user_id_prefix",
    "query",
    {"type": "string", "pattern": USER_ID_PATTERN},
    "only sessions of participants whose id begins with this; compared exactly",
    "ward3-",
)
_DAY_OR_TIME = {"anyOf": [{"type": "string", "format": "date"}, {"type": "string", "format": "date-time"}]}
SINCE = _parameter("since", "query", _DAY_OR_TIME, "only sessions that began then or later, UTC", "2026-11-01")
UNTIL = _parameter("until", "query", _DAY_OR_TIME, "only sessions that began before, or on this day, UTC", "2026-11-30")
MODE = _parameter("mode", "query", {"type": "string", "enum": ["text", "audio"]}, "only sessions of this mode")
REVISION = _parameter("revision", "query", {"type": "string", "pattern": NO_NUL}, "only sessions of this revision")
IF_MATCH = _parameter(
    "If-Match",
    "header",
    {"type": "string", "pattern": IF_MATCH_PATTERN},
    "the version that the change holds for, as ETag gave it, or * for any; else 412",
)
IDEMPOTENCY_KEY = _parameter(
    "Idempotency-Key",
    "header",
    {"type": "string", "pattern": IDEMPOTENCY_KEY_PATTERN},
    "the message's id: sent again, it is done once",
)
COMMAND_KEY = {
    **IDEMPOTENCY_KEY,
    "description": "the command's id; it stands in for the body's, and must be the same where both are there",
}

ETAG = {"ETag": {"description": "the session's version", "schema": {"type": "string"}, "required": True}}
SET_COOKIE = {
    "Set-Cookie": {"description": "the survey's resume cookie, where the browser has one", "schema": {"type": "string"}}
}
ATTACHED = {"Content-Disposition": {"description": "a file to save", "schema": {"type": "string"}, "required": True}}


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """What an operation is made of.

    Attributes:
        does: its summary.
        answers: the models of its answers by status.
        refuses: the statuses of its problems.
        needs: names of what may be shown, any one of them, with the scope that an API key must have; "nobody" is
            nothing at all. Empty: nothing is looked at.
        media: what it answers with.
        files: what else it may answer with, done, by media type.
        body: the model of what is sent.
        example: of that.
    """

    does: str
    answers: Mapping[int, str | tuple[str, ...]]
    refuses: Iterable[int]
    says: str | None = None
    needs: Mapping[str, str | None] = field(default_factory=dict)
    parameters: tuple[Schema, ...] = ()
    headers: Mapping[str, Schema] = field(default_factory=dict)
    media: str = "application/json"
    files: Mapping[str, Schema] = field(default_factory=dict)
    body: str | None = None
    body_is_optional: bool = False
    example: object = None

    def document(self, name: str) -> Schema:
        """Return it as it stands in the document; ``name`` is its ``operationId``."""
        done = {str(status): self._answer(status, models) for status, models in self.answers.items()}
        if self.files:
            done["200"] = self._with_files(done.get("200", {}))
        refused = {str(status): {"$ref": f"#/components/responses/{status}"} for status in self.refuses}
        made: Schema = {
            "operationId": name,
            "summary": self.does,
            "parameters": list(self.parameters),
            "responses": {**done, **refused},
            "security": [_security(shown, scope) for shown, scope in self.needs.items()],
        }
        if self.says is not None:
            made["description"] = self.says
        if self.body is not None:
            content: Schema = {"schema": _reference(self.body)}
            if self.example is not None:
                content["example"] = self.example
            made["requestBody"] = {
                "required": not self.body_is_optional,
                "content": {"application/json": content},
            }
        return made

    def _with_files(self, answer: Schema) -> Schema:
        headers = {"headers": dict(self.headers)} if self.headers else {}
        return {"description": "Done", **answer, **headers, "content": {**answer.get("content", {}), **self.files}}

    def _answer(self, status: int, models: str | tuple[str, ...]) -> Schema:
        names = (models,) if isinstance(models, str) else models
        schema = _reference(names[0]) if len(names) == 1 else {"oneOf": [_reference(name) for name in names]}
        made: Schema = {
            "description": "It was made" if status == 201 else "Done",  # noqa: PLR2004 - Created
            "content": {self.media: {"schema": schema}},
        }
        if self.headers:
            made["headers"] = dict(self.headers)
        return made


def _security(shown: str, scope: str | None) -> Schema:
    return {} if shown == "nobody" else {shown: [] if scope is None else [scope]}


def _reference(model: str) -> Schema:
    return {"$ref": REFERENCE.format(model=model)}
