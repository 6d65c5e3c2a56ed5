"""What every response says to browsers: no inline script, no frames, no guessing, nothing kept of what is personal.

The headers are those of OWASP ASVS 5.0, V3.4; what another site's page may ask for, CORS, is off until an operator
names its origin.
"""

import http

import flask
import flask_cors

from ..settings import Settings
from .authentication import allowed_origins

_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)

_ALWAYS = {
    "Content-Security-Policy": _POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    # A survey may be answered by voice; the rest a page of ours never asks for.
    "Permissions-Policy": "camera=(), display-capture=(), geolocation=(), microphone=(self), payment=(), usb=()",
}

HSTS = "max-age=63072000; includeSubDomains"
"""Two years: what browsers' preload lists want (hstspreload.org)."""


def harden(response: flask.Response) -> flask.Response:
    """Add what the response does not say by itself."""
    for name, value in _ALWAYS.items():
        response.headers.setdefault(name, value)
    if flask.request.endpoint != "pages.static" or response.status_code >= http.HTTPStatus.BAD_REQUEST:
        response.headers.setdefault("Cache-Control", "no-store")
    settings: Settings = flask.current_app.extensions["stepkeep"].settings
    if settings.environment == "production":
        response.headers.setdefault("Strict-Transport-Security", HSTS)
    return response


def allow_origins(app: flask.Flask, settings: Settings) -> None:
    """Let the pages of configured origins ask REST with a token or a key; cookies of ours never come with these."""
    origins = sorted(allowed_origins(settings))
    if origins:
        flask_cors.CORS(
            app,
            resources={r"/api/.*": {"origins": origins}},
            allow_headers=["Authorization", "Content-Type", "If-Match", "Idempotency-Key"],
            expose_headers=["ETag", "Retry-After"],
            methods=["GET", "PUT", "PATCH", "POST", "DELETE"],
            supports_credentials=False,
            max_age=600,
        )
