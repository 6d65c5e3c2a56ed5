"""REST for who may come: tokens, links and cookies; what is known of a participant; who looked at what."""

from typing import Any

import flask
import segno

from ...access.principals import Participant, Principal, require_scope
from ...access.tokens import new_user_id
from ...core.timestamps import format_timestamp
from ...errors import Forbidden, InvalidInput, NoSuchSurvey, OtherVisit, Unauthorized
from ...operations.privacy.participant_export import export_participant
from ...sessions import RecordedEntry
from ..authorization import audit, authorize_all, authorize_session
from ..context import authenticator, store
from ..request_origin import client_address, public_url, require_same_origin
from . import requests
from .responses import json_response

access_api = flask.Blueprint("access_api", __name__)

HOUR_US = 3600 * 1_000_000

_INVITES = frozenset({"user_id", "hours"})


@access_api.post("/api/surveys/<survey_id>/participants")
def create_participant(survey_id: str) -> flask.Response:
    """Give somebody an id of his own and a token for it; his session begins when he comes.

    Anybody may ask for one of a public survey. Who may write sessions invites to closed ones too, and may say
    the ``user_id``.
    """
    who = authenticator().principal()
    survey = store().catalogue.surveys.get(survey_id)
    may_invite = not isinstance(who, Participant) and _may(who)
    if survey is None or (survey.access == "closed" and not may_invite):
        raise NoSuchSurvey(survey_id, store().catalogue.public_ids)
    body = requests.body(_INVITES) if flask.request.get_data() else {}
    if body and not may_invite:
        require_scope(who, "sessions:write")
    key = store().queries.key(body.get("user_id", new_user_id()), survey_id)
    authenticator().limits.count("address_connections", client_address())
    audit(who, "token_issued", key)
    token, expires_at = authenticator().credentials.issue_token(key, _life_us(body.get("hours")))
    shown = {"user_id": key.user_id, "survey_id": survey_id, "token": token, "expires_at": format_timestamp(expires_at)}
    return json_response({"success": True, **shown, "link": _link(token)}, 201)


@access_api.post("/api/session/<path:user_id>/link")
def create_link(user_id: str) -> flask.Response:
    """Give a link, and its QR code, with which the participant goes on with another device.

    It holds STEPKEEP_LINK_HOURS at most, and no longer than the token that it was made with; an integrator may say
    ``hours``.
    """
    key = authorize_session(user_id, "sessions:write", "token_issued", own=True)
    body = requests.body(_INVITES - {"user_id"}) if flask.request.get_data() else {}
    life_us = int(store().settings.link_hours * HOUR_US)
    who = authenticator().principal(key)
    if isinstance(who, Participant):
        life_us = min(life_us, who.expires_at - store().clock())  # no link outlives what it was made with
    if body:
        require_scope(who, "sessions:write")
        life_us = _life_us(body.get("hours")) or life_us
    token, expires_at = authenticator().credentials.issue_token(key, life_us)
    link = _link(token)
    code = segno.make(link, error="m", micro=False).svg_inline(scale=4, border=4, dark="#000", light="#fff")
    return json_response({"success": True, "link": link, "expires_at": format_timestamp(expires_at), "qr": code})


@access_api.delete("/api/session/<path:user_id>/tokens")
def revoke_tokens(user_id: str) -> flask.Response:
    """Revoke all tokens and links of the session, on all devices; a browser that asks goes on with a new one."""
    key = authorize_session(user_id, "sessions:write", "tokens_revoked", own=True)
    is_here = authenticator().is_from_cookie(key)
    authenticator().limits.count("participant_connections", f"{key.survey_id}/{key.user_id}")
    authenticator().credentials.revoke_tokens(key)
    response = json_response({"success": True})
    if is_here:
        authenticator().set_resume_cookie(response, key)
    return response


@access_api.get("/api/session/<path:user_id>/export")
def export(user_id: str) -> flask.Response:
    """Give all that is known of a participant: in this survey, or with a key that names none, in all."""
    named = requests.survey_id()
    key = authorize_session(user_id, "export", "participant_exported", own=True)
    only = key.survey_id if named is not None or isinstance(authenticator().principal(key), Participant) else None
    pieces = export_participant(store(), key.user_id, only)
    response = flask.Response(pieces, mimetype="application/json")
    response.headers["Content-Disposition"] = "attachment; filename=participant.json"
    return response


@access_api.get("/api/audit")
def get_audit() -> flask.Response:
    """Who read, exported or erased what, newest first, a page at a time."""
    authorize_all("admin", "audit_read")
    requests.check_arguments("after", "limit")
    after = requests.whole_number("after", None, low=1)
    limit = requests.limit()
    page = store().audit_log.page(after, limit)
    return json_response({"success": True, "entries": [_entry(one) for one in page.entries], "next": page.following})


@access_api.post("/resume")
def resume() -> flask.Response:
    """Put the token of a link into the browser's cookie, and say where the survey is.

    Where somebody else is under way in this browser, only with ``"replace": true``: a link that a stranger sent
    must not make him answer in the stranger's place.
    """
    require_same_origin(store().settings)
    body = requests.body(frozenset({"token", "replace"}))
    token = body.get("token")
    if not isinstance(token, str):
        raise Unauthorized
    who = authenticator().participant(token)
    if body.get("replace") is not True and _is_somebody_else_here(who):
        raise OtherVisit
    response = json_response({"success": True, "address": _path(f"/s/{who.key.survey_id}")})
    authenticator().set_resume_cookie(response, who.key)
    return response


@access_api.post("/leave")
def leave() -> flask.Response:
    """Take the survey's cookie out of this browser; the session stays, for who has a link."""
    require_same_origin(store().settings)
    response = json_response({"success": True})
    authenticator().clear_resume_cookie(response, store().queries.survey_id(requests.survey_id()))
    return response


def _is_somebody_else_here(who: Participant) -> bool:
    try:
        here = authenticator().participant_from_cookie(who.key.survey_id)
    except Unauthorized:
        return False
    return here is not None and here.key != who.key


def _may(who: Principal) -> bool:
    try:
        require_scope(who, "sessions:write")
    except (Forbidden, Unauthorized):
        return False
    return True


def _life_us(hours: object) -> int | None:
    if hours is None:
        return None
    if isinstance(hours, bool) or not isinstance(hours, int | float) or not 0 < hours <= 24 * 3650:
        raise InvalidInput("hours must be a number above 0, and at most ten years")
    return int(hours * HOUR_US)


def _link(token: str) -> str:
    """Return the token as a link: behind the #, which browsers send to nobody."""
    return f"{public_url(store().settings, _path('/resume'))}#{token}"


def _path(path: str) -> str:
    return flask.request.script_root + path


def _entry(found: RecordedEntry) -> dict[str, Any]:
    entry = found.entry
    return {
        "id": found.id,
        "at": format_timestamp(entry.at),
        "actor": entry.actor,
        "action": entry.action,
        "survey_id": entry.survey_id,
        "user_id": entry.user_id,
        "detail": dict(entry.detail),
    }
