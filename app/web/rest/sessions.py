"""REST for sessions."""

from typing import Annotated, Any

import flask
from pydantic import AfterValidator, Field, JsonValue, RootModel

from ...access import require_scope
from ...core.formats import LANGUAGE, MAX_LANGUAGE_LENGTH
from ...errors import InvalidInput, NoSuchSession, VersionConflict
from ...sessions import MAX_STATE_BYTES, MAX_STEP_LENGTH
from ...survey import AnyCommand, Begin, Save, SessionKey, Snapshot, Update
from ...writer import Committed
from ..authorization import (
    acquire_own_read,
    authorize_session,
    authorize_some,
    count_saved,
    given_parameters,
    requester_granted_at,
)
from ..context import authenticator, store
from ..request_origin import wanted_languages
from ..ws import messages
from ..ws.asyncapi import AckSent, PongSent, SessionSent
from .bodies import json_object, json_response, parse_body, problem, success
from .models import Done, Model, PartialModel, Progress, Response, Time, Version
from .openapi.operation import COMMAND, PROTECTED, Operation, Resource, integrator, own_session
from .openapi.parameters import (
    AFTER,
    AFTER_VERSION,
    AT_VERSION,
    BEGIN_LANG,
    COMMAND_KEY,
    ETAG,
    IDEMPOTENCY_KEY,
    IF_MATCH,
    LIMIT,
    ORDER,
    STATUS,
    STEP,
    SURVEY,
    SURVEY_FILTER,
    SURVEY_PARAMETERS,
    UPDATED_SINCE,
    USER_ID_PREFIX,
    encode_cursor,
)
from .openapi.schemas import NO_NUL

sessions = Resource("sessions", __name__)

MAX_STATE_BODY_BYTES = 2 * MAX_STATE_BYTES  # with what JSON's escapes may add

StepName = Annotated[str, Field(min_length=1, max_length=MAX_STEP_LENGTH, pattern=NO_NUL)]
StepNames = Annotated[list[StepName], AfterValidator(tuple)]  # as in commands


class Session(SessionSent):
    """A session."""

    version: Version
    progress: Progress
    created_at: Time
    updated_at: Time
    completed_at: Time | None


class SessionResponse(Response):
    """One session."""

    session: Session


class SessionPage(Response):
    """A page of sessions; ``next`` is the ``after`` of the following page, null after the last one.

    With filters a page may have fewer than ``limit`` sessions, even none, and more may follow.
    """

    sessions: list[Session]
    next: str | None


class HistoryEvent(Model):
    """One event of a session's history."""

    version: Version
    action: str
    step: str | None
    answer: JsonValue
    timestamp: Time
    message_id: str | None
    data: dict[str, JsonValue] = Field(
        description="more fields of the action: of `answered`, `language` (in which the participant answered) and "
        "`confirmed` (true if a warning was confirmed, else absent)"
    )


class HistoryPage(Response):
    """A page of events, oldest first; ``next`` is the ``after`` of the following page."""

    events: list[HistoryEvent]
    next: int | None


class CommandResponse(RootModel[AckSent | PongSent]):
    """The WebSocket's answer."""


class WholeState(Model):
    """A session's whole state, at most 1 MiB as JSON; the steps need not be the survey's."""

    current_step: StepName
    answers: dict[str, Any]
    step_history: StepNames
    is_audio_mode: bool = False
    session_data: dict[str, Any] | None = None


class BeginRequest(PartialModel):
    """How the session begins."""

    is_audio_mode: bool = False
    language: str | None = Field(
        None, pattern=LANGUAGE, max_length=MAX_LANGUAGE_LENGTH, description="of the survey's; default: its own"
    )
    parameters: dict[str, Any] = Field(
        default_factory=dict,
        description="the survey's, wherever they come from otherwise; only integrators may send them",
    )


class PartialState(PartialModel, WholeState):
    """Changes of a session's state; absent fields stay as they are."""

    current_step: StepName = ""
    answers: dict[str, Any] = Field(default_factory=dict)
    step_history: StepNames = Field(default_factory=list)


_CHANGE = (SURVEY, IF_MATCH, IDEMPOTENCY_KEY)


@Operation(
    sessions,
    "GET /api/session/<path:user_id>",
    SessionResponse,
    own_session("sessions:read"),
    headers=ETAG,
    parameters=(SURVEY, AT_VERSION),
)
def get_session(user_id: str) -> flask.Response:
    """Get a session."""
    key = authorize_session(user_id, "sessions:read", "session_read")
    version = AT_VERSION.value()
    if version is not None:
        with acquire_own_read(key):  # replays the history
            return _session_response(store().queries.at_version(key, version))
    return _session_response(store().queries.require(key))


@Operation(
    sessions,
    "POST /api/session/<path:user_id>",
    SessionResponse,
    own_session("sessions:write"),
    statuses=(200, 201),
    headers=ETAG,
    parameters=(SURVEY, BEGIN_LANG, SURVEY_PARAMETERS),
    request=BeginRequest,
    is_request_optional=True,
    example={"parameters": {}},
)
def begin_session(user_id: str) -> flask.Response:
    """Begin a session (201) if there is none; otherwise return it as it is (200).

    Its parameters are fixed then.
    """
    key = authorize_session(user_id, "sessions:write", "session_written", own=True)
    request = parse_body(BeginRequest)
    principal = authenticator().principal(key)
    if request.parameters:
        require_scope(principal, "sessions:write", key.survey_id)
    snapshot, existed = store().turns.get_or_create(
        key,
        is_audio_mode=request.is_audio_mode,
        granted_at=requester_granted_at(),
        languages=(request.language,) if request.language else wanted_languages(BEGIN_LANG.value()),
        parameters=given_parameters(principal, request.parameters),
    )
    response = _session_response(snapshot)
    response.status_code = 200 if existed else 201
    return response


@Operation(
    sessions,
    "PUT /api/session/<path:user_id>",
    SessionResponse,
    integrator("sessions:write"),
    statuses=(200, 201),
    headers=ETAG,
    parameters=_CHANGE,
    request=WholeState,
    max_body_bytes=MAX_STATE_BODY_BYTES,
    example={"current_step": "Q2", "answers": {"Q1": 1}, "step_history": ["Q1"]},
    errors=(*PROTECTED, 409, 412),
)
def put_session(user_id: str) -> flask.Response:
    """Replace the whole state."""
    key = authorize_session(user_id, "sessions:write", "session_written")
    return _change(key, Save(**_conditions(), **dict(parse_body(WholeState))))


@Operation(
    sessions,
    "PATCH /api/session/<path:user_id>",
    SessionResponse,
    integrator("sessions:write"),
    headers=ETAG,
    parameters=_CHANGE,
    request=PartialState,
    max_body_bytes=MAX_STATE_BODY_BYTES,
    example={"is_audio_mode": True},
    errors=(*PROTECTED, 409, 412),
)
def patch_session(user_id: str) -> flask.Response:
    """Change some of the state."""
    key = authorize_session(user_id, "sessions:write", "session_written")
    state = parse_body(PartialState)
    changes = {name: getattr(state, name) for name in state.model_fields_set}
    return _change(key, Update(**_conditions(), changes=changes))


@Operation(sessions, "DELETE /api/session/<path:user_id>", Done, integrator("sessions:write"), parameters=(SURVEY,))
def delete_session(user_id: str) -> flask.Response:
    """Erase the session and its history.

    Tokens and links issued until now are revoked, also for requests and connections under way.
    """
    key = authorize_session(user_id, "sessions:write", "session_erased")
    # First, so that no client can reconnect before the next poll reads it.
    with authenticator().credentials.revocations.revoking(key, store().clock()):
        existed = store().erasure.delete(key)
    if not existed:
        raise NoSuchSession(key.survey_id, key.user_id)
    return success()


@Operation(
    sessions,
    "POST /api/session/<path:user_id>/commands",
    CommandResponse,
    own_session("sessions:write"),
    parameters=(SURVEY, COMMAND_KEY, BEGIN_LANG, SURVEY_PARAMETERS),
    request=COMMAND,
    example={"type": "answer", "id": "7f9c", "step": "Q1", "value": 1},
    errors=(*PROTECTED, 409),
)
def post_command(user_id: str) -> flask.Response:
    """Submit one WebSocket command.

    A session is started if there is none. A command that the survey's rules reject gets 409 with the code of the
    WebSocket's `reject`.
    """
    key = authorize_session(user_id, "sessions:write", "session_written", own=True)
    body = json_object(messages.VALUE_DEPTH)
    count_saved(len(flask.request.get_data()))
    languages = wanted_languages(BEGIN_LANG.value())
    message_id = COMMAND_KEY.value()
    if message_id is not None and body.get("type") != "draft":
        if body.get("id", message_id) != message_id:
            raise InvalidInput("The id in the body and Idempotency-Key differ.")
        body["id"] = message_id
    try:
        command = messages.to_command(messages.parse_value(body), store().clock())
    except messages.BadMessage as error:
        is_id = error.message.startswith("The field id ")
        hint = " A command has its id in the body, or as Idempotency-Key." if is_id else ""
        raise InvalidInput(error.message + hint) from error
    return json_response({"type": "pong"}) if command is None else _submit(key, command, languages)


@Operation(
    sessions,
    "GET /api/session/<path:user_id>/history",
    HistoryPage,
    own_session("sessions:read"),
    parameters=(SURVEY, AFTER_VERSION, LIMIT),
)
def get_history(user_id: str) -> flask.Response:
    """List the session's events, oldest first."""
    key = authorize_session(user_id, "sessions:read", "history_read")
    snapshot = store().queries.require(key)
    after, limit = AFTER_VERSION.value() or 0, LIMIT.value() or 100
    with acquire_own_read(key) as slot:
        entries = store().queries.history(key, after_version=after, limit=limit, is_page=True)
        has_more = bool(entries) and entries[-1].version < snapshot.state.version
        following = entries[-1].version if has_more else None
        response = success(events=store().queries.events_to_dicts(key, entries), next=following)
        response.call_on_close(slot.pop_all().close)
    return response


@Operation(
    sessions,
    "GET /api/sessions",
    SessionPage,
    integrator("sessions:read"),
    parameters=(SURVEY_FILTER, STATUS, UPDATED_SINCE, ORDER, STEP, USER_ID_PREFIX, AFTER, LIMIT),
)
def list_sessions() -> flask.Response:
    """List sessions.

    Those of the API key's surveys, if it is limited to some.
    """
    queries = store().queries
    survey_id, prefix = SURVEY_FILTER.value(), USER_ID_PREFIX.value()
    surveys = authorize_some("sessions:read", "sessions_listed", survey_id)
    filters = {
        "survey_id": surveys if survey_id is None else queries.survey_id(survey_id),
        "status": STATUS.value(),
        "current_step": STEP.value(),
        "user_id_prefix": None if prefix is None else queries.stored_key(prefix).user_id,
    }
    snapshots, cursor = queries.list(
        after=AFTER.value(),
        limit=LIMIT.value() or 100,
        filters={name: value for name, value in filters.items() if value is not None},
        updated_since=UPDATED_SINCE.value(),
        newest_first=ORDER.value() is not None,
    )
    page = [_to_dict(snapshot) for snapshot in snapshots]
    return success(sessions=page, next=None if cursor is None else encode_cursor(cursor))


def _conditions() -> dict[str, Any]:
    return {"at": store().clock(), "message_id": IDEMPOTENCY_KEY.value(), "expected_version": IF_MATCH.value()}


def _change(key: SessionKey, command: Save | Update) -> flask.Response:
    if flask.request.headers.get("If-Match", "").strip() == "*" and store().queries.load(key) is None:
        raise VersionConflict(1, 0)
    result = store().turns.submit_or_raise(key, command)
    response = _session_response(result.snapshot)
    if result.version == 1 and not result.duplicate:
        response.status_code = 201
    return response


def _submit(key: SessionKey, command: AnyCommand, languages: tuple[str, ...]) -> flask.Response:
    if not isinstance(command, Begin) and key.survey_id in store().catalogue.surveys:
        granted_at = requester_granted_at()
        parameters = given_parameters(authenticator().principal(key))
        store().turns.get_or_create(
            key, is_audio_mode=False, granted_at=granted_at, languages=languages, parameters=parameters
        )
    result = store().turns.submit(key, command)
    at = store().clock()
    message_id = command.message_id or ""
    snapshot = result.snapshot
    if isinstance(result, Committed):
        return json_response(messages.ack(message_id, result.version, result.snapshot, at, duplicate=result.duplicate))
    if snapshot is None:
        raise NoSuchSession(key.survey_id, key.user_id)
    rejection = result.rejection
    if rejection.code == "unchanged":  # a draft that is stored already
        return json_response(messages.ack(message_id, snapshot.state.version, snapshot, at, duplicate=True))
    fields = {} if rejection.fields is None else {"fields": rejection.fields}
    step = messages.step_fields(snapshot, at)
    return problem(409, rejection.code, rejection.message, id=message_id, step=step, **fields)


def _session_response(snapshot: Snapshot) -> flask.Response:
    response = success(session=_to_dict(snapshot))
    response.set_etag(str(snapshot.state.version))
    return response


def _to_dict(snapshot: Snapshot) -> dict[str, Any]:
    return {**snapshot.to_full_dict(store().clock()), "progress": snapshot.progress}
