"""Responses in gzip.

What an attacker who can add text to a response, and sees its compressed size, learns of the rest (BREACH,
https://www.breachattack.com): so no page with a token is compressed (:func:`forbid_compression`), and no compressed
page repeats text of its request but ids and languages that this server knows. Other sites' requests carry no cookie,
or reach pages of the participant alone.
"""

import gzip
import http

import flask
from werkzeug import Response

MIN_BYTES = 1000
"""Smaller bodies fit a packet anyway."""

_TYPES = {"text/html", "application/json"}

_LEVEL = 6


def accepts_gzip() -> bool:
    """Return whether the client takes gzip."""
    return flask.request.accept_encodings["gzip"] > 0


def forbid_compression() -> None:
    """Leave the response of the current request as it is: it has a secret, or repeats text of the request."""
    flask.g.is_incompressible = True


def compress(response: flask.Response) -> flask.Response:
    """Compress a page or JSON. Streams stay as they are, and bodies with an ETag, which names their bytes."""
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
    """Set the body, which is in gzip."""
    response.set_data(body)
    response.headers["Content-Encoding"] = "gzip"
