"""The dashboard's door: signing in with an API key, and signing out.

What is wrong with a key nobody is told, and nothing of what was typed is shown again. No script is needed. Who signed
in and out, and that somebody failed to, stands in the audit log.
"""

import contextlib

import flask
from werkzeug import Response

from ...access.principals import Anyone, Integrator, audit_name
from ...errors import Forbidden, RateLimited, Unauthorized, Unavailable
from ...store import audit
from ..authentication import access
from ..authorization import note, store
from .survey import page, unstored

sign_in = flask.Blueprint("sign_in", __name__)

_WRONG = (
    "This key does not open the dashboard. Check that it is complete and has neither expired nor been revoked, "
    "or ask the operator for a new one."
)


@sign_in.get("/sign-in")
def show_sign_in() -> Response:
    """Show the form, or the dashboard to who is signed in already."""
    try:
        access().signed_in()
    except Unauthorized:
        return page("sign_in.html", problem=None)
    return _to("dashboard.show_overview")


@sign_in.post("/sign-in")
def begin() -> Response:
    """Sign in with the API key that was typed; the same answer to each that does not hold."""
    access().check_own_page()
    response = _to("dashboard.show_overview")
    try:
        note(access().sign_in(flask.request.form.get("key", ""), response), "signed_in", None)
    except Unauthorized:
        _note_failure()
        return page("sign_in.html", status=401, problem=_WRONG)
    except RateLimited as error:
        refused = page("sign_in.html", status=429, problem="Too many keys were tried. Please wait a minute.")
        refused.headers["Retry-After"] = str(error.retry_after_s)
        return refused
    return response


@sign_in.post("/sign-out")
def end() -> Response:
    """Sign out; a form of our own only, and with this sign-in's token."""
    access().check_csrf(flask.request.form.get("csrf", ""))
    response = to_sign_in()
    with contextlib.suppress(Unauthorized):  # it has ended by itself meanwhile
        note(access().signed_in(), "signed_out", None)
    access().sign_out(response)
    return response


@sign_in.errorhandler(Forbidden)
def refuse(error: Forbidden) -> Response:
    """Say what was refused, and let who is signed in sign out again."""
    try:
        csrf = access().csrf_token() if isinstance(access().signed_in(), Integrator) else None
    except Unauthorized:
        csrf = None
    return page("refused.html", status=403, why=error.message, csrf=csrf)


@sign_in.errorhandler(Unavailable)
def put_off(_error: Unavailable) -> Response:
    """Say that the database is away."""
    response = page("refused.html", status=503, why="The database is out of reach just now. Please try again later.")
    response.headers["Retry-After"] = "5"
    return response


def to_sign_in() -> Response:
    """Lead to the form."""
    return _to("sign_in.show_sign_in")


def _note_failure() -> None:
    entry = audit.AuditEntry(at=store().clock(), actor=audit_name(Anyone()), action="sign_in_failed")
    store().run_transaction(lambda db: audit.record(db, entry))


def _to(endpoint: str) -> Response:
    return unstored(flask.redirect(flask.url_for(endpoint), 303))
