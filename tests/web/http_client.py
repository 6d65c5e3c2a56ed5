"""Requests to a server in production for every kind of response, and starts of a server that must fail."""

import contextlib
import os
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

from werkzeug.test import TestResponse

from tests.conftest import SURVEYS, Server
from tests.forked import run_module
from tests.waiting import free_port
from tests.web.matrix import ROWS, Row
from tests.web.production import EVIL, App


def send_row(app: App, row: Row, user_id: str = "somebody", **headers: str) -> TestResponse:
    """Send the row's request with a key of all scopes."""
    options = {**row.options, **row.carried(f"Bearer {admin_key(app)}")}
    options["headers"] = {**options.get("headers", {}), **headers}
    return app.request(row.method, row.path.format(user=user_id), **options)


def admin_key(app: App) -> str:
    """Return the key of all scopes that the tests of one application share."""
    extensions = app.flask.extensions
    extensions["key of the tests"] = key = extensions.get("key of the tests") or app.create_key()
    return str(key)


def all_responses(app: App) -> Iterator[tuple[str, TestResponse]]:
    """Yield the response of each route with and without credentials, and of each kind of error, with a label."""
    app.begin_session("somebody")
    for row in ROWS:
        yield f"{row.method} {row.path}", send_row(app, row)
        yield f"{row.method} {row.path} by nobody", app.request(row.method, row.path.format(user="somebody"))
    yield "no such page", app.request("GET", "/nowhere")
    yield "no such survey", app.request("GET", "/s/none")
    yield "no such part of the API", app.request("GET", "/api/nowhere")
    yield "no such asset", app.request("GET", "/assets/none.css")
    yield "wrong method", app.request("POST", "/healthz")
    yield "wrong host", app.request("GET", "/", base_url=EVIL)
    yield "too large", app.request("PUT", "/api/session/x", app.create_key("sessions:write"), data=b" " * 3_000_000)
    yield "no JSON", app.request("PUT", "/api/session/x?survey=phq9", app.create_key("sessions:write"), data=b"{")
    yield "no handshake", app.request("GET", "/ws/survey/x")
    yield "preflight", app.request("OPTIONS", "/api/sessions", headers={"Origin": EVIL})


def exchange(server: Server, request: bytes) -> str:
    """Send bytes and return all that the server sends."""
    with socket.create_connection(("127.0.0.1", server.port), 10) as connection:
        connection.sendall(request)
        connection.shutdown(socket.SHUT_WR)
        parts = []
        with contextlib.suppress(ConnectionResetError):
            while part := connection.recv(65_536):
                parts.append(part)
    return b"".join(parts).decode("latin-1")


def send_raw(server: Server, method: str, path: str, *lines: str, body: str = "") -> str:
    """Send a request with exactly this path and these header lines."""
    head = "".join(f"{line}\r\n" for line in (f"{method} {path} HTTP/1.1", "Host: 127.0.0.1", *lines))
    return exchange(server, f"{head}\r\n{body}".encode("latin-1"))


def run_server(module: str, *arguments: str, folder: Path, **environment: str) -> "subprocess.CompletedProcess[str]":
    """Run a server that must not start, and return its output."""
    inherited = {
        name: value for name, value in os.environ.items() if name not in {"SECRET_KEY", "STEPKEEP_ENVIRONMENT", "HOST"}
    }
    variables = {
        **inherited,
        "PORT": str(free_port()),
        "DATABASE_URL": f"sqlite:///{folder / 's.db'}",
        "STEPKEEP_SURVEYS_DIR": str(SURVEYS),
        **environment,
    }
    return run_module([module, *arguments], variables)


def run_gunicorn(folder: Path, **environment: str) -> "subprocess.CompletedProcess[str]":
    return run_server("gunicorn", "--config", "gunicorn.conf.py", "wsgi:app", folder=folder, **environment)


WEAK_KEYS = {
    "none": {},
    "empty": {"SECRET_KEY": ""},
    "short": {"SECRET_KEY": "a1b2c3d4e5f6g7h8i9j0a1b2c3d4e5f"},
    "of few characters": {"SECRET_KEY": "abc" * 20},
    "an example": {"SECRET_KEY": "change-me-change-me-to-0123456789abcdef"},
    "development's": {"SECRET_KEY": "only for development: everyone on this machine knows it"},
    "a weak fallback": {
        "SECRET_KEY": "k7Qm2-Vx9_Lp4Rt8Zw3Yn6Bs1Hd5Gf0JcXaEu",
        "STEPKEEP_SECRET_KEY_FALLBACKS": "password",
    },
}
