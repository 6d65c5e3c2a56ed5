"""REST for invitations, resume links, cookies and participants' data."""

from contextlib import suppress
from typing import Annotated, Any, Literal

import flask
import segno
from pydantic import BaseModel, ConfigDict, Field, JsonValue

from ...access import INVITATION, Participant, has_scope, limits, new_link_id, new_user_id, require_scope
from ...core.timestamps import format_timestamp
from ...errors import LinkUnconfirmed, NoSuchSurvey, ParticipantConflict, StepkeepError, Unauthorized
from ...operations.privacy import export_participant
from ...survey import SessionKey, accept_invitation
from ..authorization import acquire_own_read, admit_new_participant, audit, authorize_session, requester_granted_at
from ..context import authenticator, store
from ..request_origin import client_address, public_url, require_same_origin
from .bodies import json_object, parse_body, success
from .models import Done, Model, PartialModel, Response, SurveyId, Time, UserId
from .openapi.operation import PROTECTED, PUBLIC, Operation, Resource, anonymous, integrator, own_session
from .openapi.parameters import ATTACHMENT, SET_COOKIE, STORAGE, SURVEY, USER_ID_SCHEMA, header
from .openapi.schemas import NO_NUL

participants = Resource("participants", __name__)

HOUR_US = 3600 * 1_000_000

MAX_HOURS = 24 * 3650

_SETS_COOKIE = {"Set-Cookie": {**SET_COOKIE["Set-Cookie"], "required": True}}


class LinkRequest(PartialModel):
    """The life of the link."""

    hours: float | None = Field(
        None, gt=0, le=MAX_HOURS, description="hours until the token expires; at most STEPKEEP_TOKEN_DAYS"
    )


class Invitation(LinkRequest):
    """The participant and the life of their token; only callers who may write sessions may choose these."""

    # Checked by the service, whose error has the code invalid_user_id.
    user_id: str = Field("", json_schema_extra=USER_ID_SCHEMA, description="the participant; compared exactly")
    parameters: dict[str, Any] = Field(
        default_factory=dict, description="the survey's parameters with `from: invitation`, signed into the token"
    )


class ParticipantCreated(Response):
    """A participant's id and token, which is shown only here."""

    user_id: UserId
    survey_id: SurveyId
    token: str
    expires_at: Time
    link: Annotated[str, Field(description="a page that reads the token from the URL's fragment")]


class LinkCreated(Response):
    """A link to resume on another device."""

    link: str
    expires_at: Time
    qr: Annotated[str, Field(description="the link as a QR code: SVG")]


class ParticipantExport(BaseModel):
    """All data about a participant."""

    model_config = ConfigDict(extra="allow")

    format: Literal["stepkeep-participant-1"]
    user_id: UserId
    exported_at: Time
    sessions: list[dict[str, JsonValue]]
    set_aside: list[dict[str, JsonValue]]
    token_revocations: list[dict[str, JsonValue]]
    erasures: list[dict[str, JsonValue]]
    webhook_deliveries: list[dict[str, JsonValue]]
    audit: list[dict[str, JsonValue]]
    counts: dict[str, int]


class ResumeRequest(Model):
    """The token of a link."""

    token: Annotated[str, Field(pattern=NO_NUL)]
    replace: Annotated[bool, Field(description="replace another participant's cookie in this browser")] = False
    confirm: Annotated[
        bool, Field(description="the participant said that the session is theirs; not needed with an invitation")
    ] = False
    exchange_id: str = Field(
        "",
        max_length=64,
        pattern=NO_NUL,
        description="a random id of the client: with the same one, a link that works once can be sent again",
    )


class ResumeResponse(Response):
    """The cookie is set; the survey is at this address."""

    address: str


@Operation(
    participants,
    "POST /api/surveys/<survey_id>/participants",
    ParticipantCreated,
    anonymous(integrator("sessions:write")),
    statuses=(201,),
    request=Invitation,
    is_request_optional=True,
    example={"hours": 24},
)
def create_participant(survey_id: str) -> flask.Response:
    """Create a participant's id and token.

    For a public survey without credentials and body. Callers who may write sessions can invite to closed surveys too,
    and choose the `user_id` and the hours. The session starts when the participant connects.
    """
    principal = authenticator().principal()
    survey = store().catalogue.surveys.get(survey_id)
    may_invite = has_scope(principal, "sessions:write", survey_id)
    if survey is None or (survey.access == "closed" and not may_invite):
        raise NoSuchSurvey(survey_id, store().catalogue.public_ids)
    invitation = parse_body(Invitation)
    if invitation.model_fields_set:
        require_scope(principal, "sessions:write", survey_id)
    parameters = accept_invitation(survey.parameters, invitation.parameters)
    user_id = invitation.user_id if "user_id" in invitation.model_fields_set else new_user_id()
    key = store().queries.key(user_id, survey_id)
    if not may_invite:
        admit_new_participant()
    authenticator().limits.count("address_connections", client_address())
    audit(principal, "token_issued", key)
    token, expires_at = authenticator().credentials.issue_token(
        key, _life_us(invitation.hours), mark=INVITATION if may_invite else None, parameters=parameters
    )
    ids = {"user_id": key.user_id, "survey_id": survey_id}
    return success(201, **ids, token=token, expires_at=format_timestamp(expires_at), link=_link(token))


@Operation(
    participants,
    "POST /api/session/<path:user_id>/link",
    LinkCreated,
    own_session("sessions:write"),
    parameters=(SURVEY,),
    request=LinkRequest,
    is_request_optional=True,
    example={"hours": 24},
)
def create_link(user_id: str) -> flask.Response:
    """Create a link to resume on another device.

    A participant's link works once, never outlives the token that created it, and `POST /resume` alone accepts it. An
    integrator's is refused (422) if the session is still to begin, with parameters that only an invitation has.
    """
    key = authorize_session(user_id, "sessions:write", "token_issued", own=True)
    request = parse_body(LinkRequest)
    principal = authenticator().principal(key)
    if request.model_fields_set:
        require_scope(principal, "sessions:write", key.survey_id)
    life_us = _life_us(request.hours) or int(store().settings.link_hours * HOUR_US)
    if isinstance(principal, Participant):
        life_us = min(life_us, principal.expires_at - store().clock())
        mark, parameters = new_link_id(), principal.parameters
    else:
        _require_no_parameters(key)
        mark, parameters = INVITATION, {}
    token, expires_at = authenticator().credentials.issue_token(
        key, life_us, granted_at=requester_granted_at(), parameters=parameters, mark=mark
    )
    link = _link(token)
    code = segno.make(link, error="m", micro=False).svg_inline(scale=4, border=4, dark="#000", light="#fff")
    return success(link=link, expires_at=format_timestamp(expires_at), qr=code)


@Operation(
    participants,
    "DELETE /api/session/<path:user_id>/tokens",
    Done,
    own_session("sessions:write"),
    headers=SET_COOKIE,
    parameters=(SURVEY,),
)
def revoke_tokens(user_id: str) -> flask.Response:
    """Revoke all tokens and links of the session.

    On all devices; a browser that sends its cookie gets a new one.
    """
    key = authorize_session(user_id, "sessions:write", "tokens_revoked", own=True)
    granted_at = requester_granted_at()  # before the cookie is read, which may be another participant's
    is_from_cookie = authenticator().is_from_cookie(key)
    authenticator().limits.count("participant_connections", f"{key.survey_id}/{key.user_id}")
    authenticator().credentials.revoke_tokens(key, granted_at=granted_at)
    response = success()
    if is_from_cookie:
        authenticator().set_resume_cookie(response, key)
    return response


@Operation(
    participants,
    "GET /api/session/<path:user_id>/export",
    ParticipantExport,
    own_session("export"),
    headers=ATTACHMENT,
    parameters=(SURVEY,),
)
def export(user_id: str) -> flask.Response:
    """Export all data about a participant.

    In this survey; with an API key for all surveys and without `survey`, in all of them. The lists are empty if there
    is no data.
    """
    key = authorize_session(user_id, "export", "participant_exported", own=True)
    principal = authenticator().principal(key)
    is_one_survey = SURVEY.value() is not None or isinstance(principal, Participant) or limits(principal) is not None
    with acquire_own_read(key) as slot:
        pieces = export_participant(store(), key.user_id, key.survey_id if is_one_survey else None)
        response = flask.Response(pieces, mimetype="application/json")
        response.call_on_close(slot.pop_all().close)
    response.headers["Content-Disposition"] = "attachment; filename=participant.json"
    return response


@Operation(
    participants,
    "POST /resume",
    ResumeResponse,
    headers=_SETS_COOKIE,
    request=ResumeRequest,
    example={"token": "the text after # in the link"},
    errors=(*PROTECTED, 409),
)
def resume() -> flask.Response:
    """Set the browser's cookie from a link's token.

    If another participant has a cookie of this survey in this browser, only with `replace`; unless it is an invitation,
    only with `confirm`: someone else's link would make a participant answer there. A participant's own link works once.
    """
    require_same_origin(store().settings)
    if not isinstance(json_object().get("token"), str):  # no credentials, not an invalid body
        raise Unauthorized
    body = parse_body(ResumeRequest)
    participant = authenticator().link_participant(body.token)
    present = None
    with suppress(Unauthorized):  # the cookie's token is invalid
        present = authenticator().current_participant(participant.key.survey_id)
    if present is None or present.key != participant.key:
        _exchange(participant, body, has_other_session=present is not None)
    response = success(address=flask.url_for("pages.take_survey", survey_id=participant.key.survey_id))
    authenticator().set_resume_cookie(response, participant.key, participant)
    return response


def _exchange(participant: Participant, body: ResumeRequest, *, has_other_session: bool) -> None:
    exchange_id = body.exchange_id or new_link_id()
    credentials = authenticator().credentials
    if not participant.is_invited and not body.confirm:
        credentials.require_unused(participant, exchange_id)
        raise LinkUnconfirmed(participant.key.survey_id, _started_at(participant), has_other_session=has_other_session)
    if not body.replace and has_other_session:
        raise ParticipantConflict
    credentials.use_link(participant, exchange_id)


def _require_no_parameters(key: SessionKey) -> None:
    """Raise InvalidInput if the session is still to begin, and its survey requires parameters of an invitation."""
    survey = store().catalogue.surveys.get(key.survey_id)
    if survey is not None and not store().queries.versions([key]):
        accept_invitation(survey.parameters, {})


def _started_at(participant: Participant) -> int:
    with suppress(StepkeepError):  # it may be unreadable, which is not to be decided here
        snapshot = store().queries.load(participant.key)
        if snapshot is not None:
            return snapshot.state.started_at
    return participant.granted_at


@Operation(
    participants,
    "POST /leave",
    Done,
    headers={**_SETS_COOKIE, **header("Clear-Site-Data", "cached pages, and storage if requested")},
    parameters=(SURVEY, STORAGE),
    errors=(*PUBLIC, 403, 422),
)
def leave() -> flask.Response:
    """Remove the survey's cookies from this browser, and the pages that it keeps in memory."""
    require_same_origin(store().settings)
    response = success()
    is_alone = authenticator().host is None  # else the host's pages store theirs at this origin too
    response.headers["Clear-Site-Data"] = '"cache", "storage"' if STORAGE.value() and is_alone else '"cache"'
    survey_id = store().queries.survey_id(SURVEY.value())
    authenticator().resume_cookies.cookie(survey_id).clear(response)
    authenticator().resume_cookies.embedded(survey_id).clear(response)  # browsers ignore the one of the other context
    return response


def _life_us(hours: float | None) -> int | None:
    return None if hours is None else int(hours * HOUR_US)


def _link(token: str) -> str:
    """Put the token in the fragment: browsers do not send it."""
    return f"{public_url(store().settings, flask.url_for('pages.resume'))}#{token}"
