"""Signing in to the dashboard with an API key, and signing out.

Pages need no script, and neither repeat a key nor say what is wrong with it.
"""

import contextlib

import flask
from werkzeug import Response

from ...access import Anyone, audit_name
from ...errors import Forbidden, RateLimited, Unauthorized, Unavailable
from ..authorization import audit
from ..context import authenticator, store
from ..request_origin import require_same_origin
from .survey import page, to_host_login

sign_in = flask.Blueprint("sign_in", __name__)

_INVALID_KEY = (
    "This key does not open the dashboard. Check that it is complete and has neither expired nor been revoked, "
    "or ask the operator for a new one."
)


@sign_in.get("/sign-in")
def show_sign_in() -> Response:
    sign_ins = authenticator().sign_ins
    try:
        sign_ins.principal()
    except Unauthorized:
        return to_sign_in() if sign_ins.are_hosts else page("sign_in.html", problem=None)
    return _to("dashboard.show_overview")


@sign_in.post("/sign-in")
def begin() -> Response:
    require_same_origin(store().settings)
    response = _to("dashboard.show_overview")
    try:
        integrator = authenticator().sign_ins.begin(flask.request.form.get("key", ""), response)
        audit(integrator, "signed_in", None)
    except Unauthorized:
        store().audit_log.record(audit_name(Anyone()), "sign_in_failed")
        return page("sign_in.html", status=401, problem=_INVALID_KEY)
    except RateLimited as error:
        response = page("sign_in.html", status=429, problem="Too many invalid keys were tried. Please wait a minute.")
        response.headers["Retry-After"] = str(error.retry_after_s)
    return response


@sign_in.post("/sign-out")
def end() -> Response:
    sign_ins = authenticator().sign_ins
    sign_ins.require_csrf_token(flask.request.form.get("csrf", ""))
    response = to_sign_in()
    with contextlib.suppress(Unauthorized):  # expired meanwhile
        audit(sign_ins.principal(), "signed_out", None)
    sign_ins.end(response)
    response.headers["Clear-Site-Data"] = '"cache"'  # with the pages that Back would show from memory
    return response


@sign_in.errorhandler(Forbidden)
def refuse(error: Forbidden) -> Response:
    sign_ins = authenticator().sign_ins
    csrf = None if sign_ins.are_hosts or sign_ins.integrator() is None else sign_ins.csrf_token()
    return page("refused.html", status=403, why=error.message, csrf=csrf)


@sign_in.errorhandler(Unavailable)
def show_unavailable(_error: Unavailable) -> Response:
    response = page("refused.html", status=503, why="The database is unavailable. Please try again later.")
    response.headers["Retry-After"] = "5"
    return response


def to_sign_in() -> Response:
    if authenticator().sign_ins.are_hosts:
        return to_host_login("The dashboard is not open to you.")
    return _to("sign_in.show_sign_in")


def _to(endpoint: str) -> Response:
    return flask.redirect(flask.url_for(endpoint), 303)
