"""Responses in gzip, but none with a secret, which its size could reveal (BREACH, https://www.breachattack.com)."""

import gzip
import http

import flask
from werkzeug import Response

MIN_BYTES = 1000  # smaller bodies fit a packet anyway
_TYPES = {"text/html", "application/json"}

_LEVEL = 6


def accepts_gzip() -> bool:
    return flask.request.accept_encodings["gzip"] > 0


def forbid_compression() -> None:
    flask.g.is_incompressible = True


def compress(response: flask.Response) -> flask.Response:
    """Leave streams as they are, and bodies with an ETag, which names their bytes."""
    request = flask.request
    is_whole = request.method == "GET" and response.status_code == http.HTTPStatus.OK and not response.is_streamed
    if not is_whole or response.mimetype not in _TYPES or flask.g.get("is_incompressible"):
        return response
    if "ETag" in response.headers or "Content-Encoding" in response.headers:
        return response
    response.vary.add("Accept-Encoding")
    if accepts_gzip() and len(body := response.get_data()) >= MIN_BYTES:
        encode(response, gzip.compress(body, _LEVEL, mtime=0))
    return response


def encode(response: Response, body: bytes) -> None:
    response.set_data(body)
    response.headers["Content-Encoding"] = "gzip"
