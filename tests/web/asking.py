"""Asking a server in production for all that it answers, and starting one that should not start."""

import contextlib
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from werkzeug.test import TestResponse

from tests.conftest import ROOT, SURVEYS, Server
from tests.waiting import free_port
from tests.web.matrix import ROWS, Row
from tests.web.production import EVIL, Door


def asked(door: Door, row: Row, user_id: str = "somebody", **headers: str) -> TestResponse:
    """Ask as the row says, with a key that may do everything."""
    options = {**row.options, **row.carried(f"Bearer {key_of(door)}")}
    options["headers"] = {**options.get("headers", {}), **headers}
    return door.ask(row.method, row.path.format(user=user_id), **options)


def key_of(door: Door) -> str:
    """Return the one key of the door's tests."""
    extensions = door.app.extensions
    extensions["key of the tests"] = key = extensions.get("key of the tests") or door.key()
    return str(key)


def all_answers(door: Door) -> Iterator[tuple[str, TestResponse]]:
    """Give what each route answers, to whom may ask and to nobody, and each kind of refusal and fault."""
    door.begin("somebody")
    for row in ROWS:
        yield f"{row.method} {row.path}", asked(door, row)
        yield f"{row.method} {row.path} by nobody", door.ask(row.method, row.path.format(user="somebody"))
    yield "no such page", door.ask("GET", "/nowhere")
    yield "no such survey", door.ask("GET", "/s/none")
    yield "no such part of the API", door.ask("GET", "/api/nowhere")
    yield "no such asset", door.ask("GET", "/assets/none.css")
    yield "wrong method", door.ask("POST", "/healthz")
    yield "wrong host", door.ask("GET", "/", base_url=EVIL)
    yield "too large", door.ask("PUT", "/api/session/x", door.key("sessions:write"), data=b" " * 3_000_000)
    yield "no JSON", door.ask("PUT", "/api/session/x?survey=phq9", door.key("sessions:write"), data=b"{")
    yield "no handshake", door.ask("GET", "/ws/survey/x")
    yield "preflight", door.ask("OPTIONS", "/api/sessions", headers={"Origin": EVIL})


def dumps(server: Server, request: bytes) -> str:
    """Return all that the server sends to these bytes."""
    with socket.create_connection(("127.0.0.1", server.port), 10) as connection:
        connection.sendall(request)
        connection.shutdown(socket.SHUT_WR)
        parts = []
        with contextlib.suppress(ConnectionResetError):
            while part := connection.recv(65_536):
                parts.append(part)
    return b"".join(parts).decode("latin-1")


def raw(server: Server, method: str, path: str, *lines: str, body: str = "") -> str:
    """Ask with exactly this path and these header lines."""
    head = "".join(f"{line}\r\n" for line in (f"{method} {path} HTTP/1.1", "Host: 127.0.0.1", *lines))
    return dumps(server, f"{head}\r\n{body}".encode("latin-1"))


def run(module: str, *arguments: str, folder: Path, **environment: str) -> "subprocess.CompletedProcess[str]":
    """Start a server that should not start, and return how it ended."""
    outside = {
        name: value for name, value in os.environ.items() if name not in {"SECRET_KEY", "STEPKEEP_ENVIRONMENT", "HOST"}
    }
    given = {
        **outside,
        "PORT": str(free_port()),
        "DATABASE_URL": f"sqlite:///{folder / 's.db'}",
        "STEPKEEP_SURVEYS_DIR": str(SURVEYS),
        **environment,
    }
    command = [sys.executable, "-m", module, *arguments]
    return subprocess.run(command, cwd=ROOT, env=given, capture_output=True, text=True, timeout=60, check=False)


def gunicorn(folder: Path, **environment: str) -> "subprocess.CompletedProcess[str]":
    return run("gunicorn", "--config", "gunicorn.conf.py", "wsgi:app", folder=folder, **environment)


WEAK = {
    "none": {},
    "empty": {"SECRET_KEY": ""},
    "short": {"SECRET_KEY": "a1b2c3d4e5f6g7h8i9j0a1b2c3d4e5f"},
    "of few characters": {"SECRET_KEY": "abc" * 20},
    "an example": {"SECRET_KEY": "change-me-change-me-to-0123456789abcdef"},
    "development's": {"SECRET_KEY": "only for development: whoever knows it is on this machine"},
    "an earlier one that is weak": {
        "SECRET_KEY": "k7Qm2-Vx9_Lp4Rt8Zw3Yn6Bs1Hd5Gf0JcXaEu",
        "STEPKEEP_SECRET_KEY_FALLBACKS": "password",
    },
}
