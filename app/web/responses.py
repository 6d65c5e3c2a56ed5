"""What responses get: compression, security headers (OWASP ASVS 5.0, V3.4), and CORS."""

import gzip
import http
import re

import flask
import flask_cors

from ..settings import Settings
from .assets import MIN_COMPRESSED_BYTES, accepts_gzip, set_gzip_body
from .context import authenticator, store
from .request_origin import allowed_origins, frame_ancestors

_COMPRESSED_TYPES = {"text/html", "application/json"}
_COMPRESSION_LEVEL = 6

_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; "
)

_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    # answers by voice
    "Permissions-Policy": "camera=(), display-capture=(), geolocation=(), microphone=(self), payment=(), usb=()",
}

HSTS = "max-age=63072000; includeSubDomains"  # two years, as preload lists require (hstspreload.org)


def forbid_compression() -> None:
    """Leave the response as it is, since it has a secret or repeats text of the request.

    The compressed size tells an attacker who can add text about the rest (BREACH, https://www.breachattack.com).
    """
    flask.g.is_incompressible = True


def compress(response: flask.Response) -> flask.Response:
    """Compress a page or JSON; leave streams as they are, and bodies with an ETag, which names their bytes."""
    request = flask.request
    is_whole = request.method == "GET" and response.status_code == http.HTTPStatus.OK and not response.is_streamed
    if not is_whole or response.mimetype not in _COMPRESSED_TYPES or flask.g.get("is_incompressible"):
        return response
    if "ETag" in response.headers or "Content-Encoding" in response.headers:
        return response
    response.vary.add("Accept-Encoding")
    if accepts_gzip() and len(body := response.get_data()) >= MIN_COMPRESSED_BYTES:
        set_gzip_body(response, gzip.compress(body, _COMPRESSION_LEVEL, mtime=0))
    return response


def add_security_headers(response: flask.Response) -> flask.Response:
    if flask.request.path.startswith("/ws/") and response.status_code == http.HTTPStatus.OK:
        return response  # flask-sock's, which is not sent
    for name, value in {**_HEADERS, **_framing()}.items():
        response.headers.setdefault(name, value)
    if flask.request.endpoint != "pages.static" or response.status_code >= http.HTTPStatus.BAD_REQUEST:
        response.headers.setdefault("Cache-Control", "no-store")
    if store().settings.environment == "production" and authenticator().host is None:  # it concerns the whole host
        response.headers.setdefault("Strict-Transport-Security", HSTS)
    return response


def _framing() -> dict[str, str]:
    """Let configured sites frame the embedded page; X-Frame-Options could not name them."""
    ancestors = frame_ancestors(store().settings) if flask.request.endpoint == "embedding.embed" else []
    if not ancestors:
        return {"Content-Security-Policy": f"{_POLICY}frame-ancestors 'none'", "X-Frame-Options": "DENY"}
    return {"Content-Security-Policy": f"{_POLICY}frame-ancestors {' '.join(ancestors)}"}


def allow_origins(app: flask.Flask, settings: Settings) -> None:
    """Let configured origins call REST, never with cookies."""
    # Flask-CORS takes some texts, such as an IPv6 origin, for a regular expression that matches a beginning.
    origins = [re.compile(rf"{re.escape(origin)}\Z") for origin in sorted(allowed_origins(settings))]
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
