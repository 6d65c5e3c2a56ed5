"""docs/protocol.md: its examples are what a real server sends, and its tables are complete."""

import json
import re
import sqlite3
import subprocess
import urllib.request
from collections.abc import Iterator
from typing import get_args

import pytest
from websockets.sync.client import ClientConnection, connect

from app.survey.events import EVENT_TYPES
from app.web.rest.documents import openapi_document
from app.web.rest.openapi.document import CODES
from app.web.ws.asyncapi import CLOSE_CODES, SERVER_MESSAGE, RejectSent
from app.web.ws.messages import CLIENT_TYPES, ErrorCode
from tests.conftest import ROOT, Server
from tests.docs.pages import blocks, first_column, matches, tables, with_gaps
from tests.waiting import START_S, wait_for

PAGE = (ROOT / "docs" / "protocol.md").read_text()
TRANSCRIPTS = [block for block in blocks(PAGE, "text") if not block.startswith("ws://")]
REQUESTS = re.findall(r"```sh\n(.*?)```\n\n```json\n(.*?)```", PAGE, re.DOTALL)
REJECT_CODES = set(get_args(RejectSent.model_fields["code"].annotation))


class Conversation:
    """The page's participant, on as many connections as a transcript names."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._connections: dict[str, ClientConnection] = {}
        self._lock: sqlite3.Connection | None = None

    def follow(self, transcript: str) -> None:
        """Send what the transcript sends, and compare what is received."""
        names = dict.fromkeys(re.findall(r"^(\w*) *[<>]", transcript, re.MULTILINE))
        for name in self._connections.keys() - names:
            self._connections.pop(name).close()
        for name in names:
            if name not in self._connections and not transcript.startswith('< {"type":"state"'):
                self._connection(name).recv(timeout=START_S)
        for line in transcript.splitlines():
            self._do(line)

    def close(self) -> None:
        for connection in self._connections.values():
            connection.close()

    def _connection(self, name: str) -> ClientConnection:
        if name not in self._connections:
            self._connections[name] = connect(f"{self._server.ws_url}/ws/survey/ann?survey=phq9", legacy=True)
        return self._connections[name]

    def _do(self, line: str) -> None:
        if line.startswith("("):
            self._event(line)
            return
        name, direction, text = re.fullmatch(r"(\w*) *([<>]) (.*)", line).groups()  # type: ignore[union-attr]
        if direction == ">":
            self._connection(name).send(text)
            return
        received = json.loads(self._connection(name).recv(timeout=START_S))
        SERVER_MESSAGE.validate_python(received)
        assert matches(with_gaps(text), received), f"{received} instead of {text}"

    def _event(self, line: str) -> None:
        match line:
            case "(the connection breaks before the ack arrives; the client connects again)":
                broken = self._connections.pop("")
                broken.recv(timeout=START_S)  # it was committed
                broken.close()
            case "(the connection breaks; the client connects again)":
                self._connections.pop("").close()
                wait_for(self._has_draft, "the draft was not saved")
            case "(the database becomes unavailable)":
                path = self._server.database_url.removeprefix("sqlite:///")
                self._lock = sqlite3.connect(path, isolation_level=None)
                self._lock.execute("BEGIN IMMEDIATE")
            case "(the database is available again)":
                assert self._lock is not None
                self._lock.close()
            case _:
                pytest.fail(line)

    def _has_draft(self) -> bool:
        with urllib.request.urlopen(f"{self._server.url}/api/session/ann?survey=phq9") as answer:
            return json.load(answer)["session"]["draft"] is not None


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    server = Server(tmp_path_factory.mktemp("protocol"), environment={"STEPKEEP_PENDING_AFTER_S": "0.3"})
    server.start()
    yield server
    server.stop()


def test_transcripts_are_what_the_server_sends(running: Server) -> None:
    """One after the other, as a reader would type them."""
    assert len(TRANSCRIPTS) == 6
    conversation = Conversation(running)
    try:
        for transcript in TRANSCRIPTS:
            conversation.follow(transcript)
    finally:
        conversation.close()


def test_requests_are_answered_as_printed(running: Server) -> None:
    """What curl prints is the JSON below the command."""
    assert len(REQUESTS) == 7
    for command, printed in REQUESTS:
        script = command.replace("http://127.0.0.1:8000", running.url)
        done = subprocess.run(["bash", "-euc", script], capture_output=True, text=True, check=True)
        assert matches(with_gaps(printed), json.loads(done.stdout)), f"{done.stdout} instead of {printed}"


def test_tables_are_complete_and_invent_nothing() -> None:
    """Messages, codes and events are those of the program."""
    assert first_column(PAGE, "Client sends") == CLIENT_TYPES
    assert first_column(PAGE, "Server sends") == {"state", "ack", "pending", "reject", "sync", "error", "pong"}
    assert first_column(PAGE, "Reject code") == REJECT_CODES
    assert first_column(PAGE, "Error code") == set(get_args(ErrorCode))
    assert first_column(PAGE, "Code") == {str(code) for code in CLOSE_CODES}
    assert first_column(PAGE, "Action") == set(EVENT_TYPES)


def test_routes_exist() -> None:
    """Each route of the table is an operation of the OpenAPI document."""
    paths = openapi_document()["paths"]
    routes = [route.split() for route in first_column(PAGE, "Route")]
    assert not [(method, path) for method, path in routes if method.lower() not in paths.get(path, {})]


def test_error_codes_are_those_of_each_status() -> None:
    """The reject codes stand in a table of their own."""
    (table,) = (table for table in tables(PAGE) if table.header == ("Status", "Codes"))
    documented = {int(status): set(re.findall(r"`(\w+)`", codes)) for status, codes in table.rows}
    assert documented == {status: set(codes) - REJECT_CODES for status, codes in CODES.items()}
