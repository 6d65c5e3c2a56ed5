"""Clients that ask for a long response and do not read it, at the real server."""

import socket
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest

from app.survey.snapshot import SessionKey
from tests.conftest import Server
from tests.waiting import wait_for
from tests.web.conftest import no_servers, running_server
from tests.web.production import credentials_of, in_production

SURVEY = """
id: text
title: A text
language: en
steps:
  - {id: S1, type: text, prompt: Say something, max_length: 60000}
  - {id: S2, type: text, prompt: Say more}
"""
PATH = "/api/session/ada/export?survey=text"


def unread(server: Server, authorization: str) -> socket.socket:
    """Ask for the export, and read nothing of it but its status."""
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    connection.connect(("127.0.0.1", server.port))
    connection.sendall(f"GET {PATH} HTTP/1.1\r\nHost: test\r\nAuthorization: {authorization}\r\n\r\n".encode())
    assert connection.recv(12) == b"HTTP/1.1 200"
    return connection


@pytest.mark.long
def test_client_that_does_not_read_loses_its_connection_and_its_place(tmp_path: Path) -> None:
    """50 such connections took 3.5 GB. The kernel drops them; the participant's next export is served."""
    surveys = tmp_path / "surveys"
    surveys.mkdir()
    (surveys / "text.yaml").write_text(SURVEY)
    with running_server("sqlite", no_servers, tmp_path, surveys, **in_production()) as server, ExitStack() as stack:
        with credentials_of(server) as credentials:
            token, _ = credentials.issue_token(SessionKey("text", "ada"))
        headers = {"Authorization": f"Bearer {token}"}
        client = stack.enter_context(httpx.Client(base_url=server.url, headers=headers, timeout=60))
        for number in range(200):
            body = {"type": "answer", "id": f"{number}", "step": "S1", "value": f"{number}" + "x" * 55_000}
            client.post("/api/session/ada/commands?survey=text", json=body).raise_for_status()
        for _ in range(2):
            stack.enter_context(unread(server, headers["Authorization"]))
        assert client.get(PATH).status_code == 429
        wait_for(lambda: client.get(PATH).status_code == 200, "the unread exports were not dropped", 120)
        assert "Traceback" not in server.log
