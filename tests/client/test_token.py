"""The Python client and a server in production: tokens, and commands that wait for a valid one."""

import contextlib
import http
import logging
import threading
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.datastructures import Headers
from websockets.http11 import Request, Response
from websockets.sync.server import ServerConnection, serve

from app.access.credentials import Credentials
from app.client import (
    AsyncSurveyClient,
    BadToken,
    FileOutbox,
    MemoryOutbox,
    NotAdmitted,
    PermanentlyRefused,
    SurveyClient,
)
from app.survey.snapshot import SessionKey
from tests.client.conftest import STATE, WAIT_S, FakeServer, FakeServers, MakeClient, is_running, send_messages
from tests.conftest import Server
from tests.proxy import Proxy
from tests.waiting import free_port, wait_for
from tests.web.production import altered, credentials_of, in_production

ADA = SessionKey("phq9", "ada")
MARKER = "Zwetschgenknoedel"


@pytest.fixture(scope="module")
def production_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server in production, shared by the tests of this module."""
    settings = {"STEPKEEP_ADDRESS_FAILURES": "10000/minute", "STEPKEEP_AUTH_TIMEOUT_S": "0.2"}
    running = Server(tmp_path_factory.mktemp("production"), environment=in_production(**settings))
    running.start()
    yield running
    running.stop()


@pytest.fixture
def server(production_server: Server) -> Server:
    """A server in production, without sessions."""
    with credentials_of(production_server) as operator:
        key = operator.create_key("test", ["sessions:read", "sessions:write"])
    production_server.reset(Authorization=f"Bearer {key}")
    return production_server


@pytest.fixture
def credentials(server: Server) -> Iterator[Credentials]:
    """Creates and revokes credentials beside the server, like an operator."""
    with credentials_of(server) as operator:
        yield operator


def history(server: Server, credentials: Credentials) -> list[str]:
    """Return the ids of ada's commands, read with an API key."""
    key = credentials.create_key("test", ["sessions:read"])
    address = f"{server.url}/api/session/ada/history?survey=phq9"
    response = httpx.get(address, headers={"Authorization": f"Bearer {key}"}).raise_for_status()
    return [event["message_id"] for event in response.json()["events"] if event["action"] != "started"]


def test_valid_token_or_api_key_opens_the_session(
    make_client: MakeClient, server: Server, credentials: Credentials
) -> None:
    """The participant's token, or a key with the scope sessions:write."""
    shown = [credentials.issue_token(ADA)[0], credentials.create_key("program", ["sessions:write"])]
    done = []
    for number, token in enumerate(shown, start=1):
        with make_client(server.url, token=token) as client:
            client.wait_until_online(WAIT_S)
            sent = client.answer(f"Q{number}", 1)
            assert sent.result(WAIT_S)["duplicate"] is False
            done.append(sent.id)
    assert history(server, credentials) == done


@pytest.mark.parametrize(
    ("shown", "close_code"),
    [
        ("nothing", 4401),
        ("altered", 4401),
        ("expired", 4401),
        ("revoked", 4401),
        ("another's", 4403),
        ("another survey's", 4403),
        ("a key without the scope", 4403),
    ],
)
def test_invalid_token_stops_the_client(
    make_client: MakeClient, server: Server, credentials: Credentials, shown: str, close_code: int
) -> None:
    """Each call raises NotAdmitted, and the outbox keeps its commands."""
    mine = credentials.issue_token(ADA)[0]
    tokens = {
        "nothing": None,
        "altered": altered(mine),
        "expired": credentials.issue_token(ADA, 1)[0],
        "revoked": mine,
        "another's": credentials.issue_token(SessionKey("phq9", "eve"))[0],
        "another survey's": credentials.issue_token(SessionKey("intake", "ada"))[0],
        "a key without the scope": credentials.create_key("reader", ["sessions:read", "export", "admin"]),
    }
    if shown == "revoked":
        credentials.revoke_tokens(ADA)
        server.restart()  # it polls for revocations only once a second
    outbox = MemoryOutbox()
    waiting = {"type": "answer", "id": "waits", "step": "Q1", "value": 1}
    outbox.add(waiting)
    with make_client(server.url, token=tokens[shown], outbox=outbox) as client:
        for _ in range(2):
            with pytest.raises(NotAdmitted) as refused:
                client.wait_until_online(WAIT_S)
            assert (refused.value.close_code, refused.value.code) == (close_code, "not_admitted")
        with pytest.raises(PermanentlyRefused):
            client.answer("Q2", 1)
        wait_for(lambda: not is_running(client), "the client did not stop")
    assert outbox.load("ada") == [waiting]
    begun = httpx.get(
        f"{server.url}/api/session/ada?survey=phq9",
        headers={"Authorization": f"Bearer {credentials.create_key('reader', ['sessions:read'])}"},
    )
    assert begun.status_code == 404


def test_outbox_is_delivered_with_a_new_token(
    make_client: MakeClient, server: Server, credentials: Credentials, tmp_path: Path
) -> None:
    """A client whose token was revoked stops; another one with its outbox sends each command once."""
    proxy = Proxy("127.0.0.1", server.port)
    origin, outbox = f"http://127.0.0.1:{proxy.port}", tmp_path / "ada.outbox"
    key = credentials.create_key("reader", ["sessions:read"])

    def version() -> int:
        address = f"{server.url}/api/session/ada?survey=phq9"
        etag = httpx.get(address, headers={"Authorization": f"Bearer {key}"}).raise_for_status().headers["ETag"]
        return int("".join(filter(str.isdigit, etag)))

    with make_client(origin, token=credentials.issue_token(ADA)[0], outbox=FileOutbox(outbox)) as client:
        client.wait_until_online(WAIT_S)
        proxy.drop_replies()
        committed = client.answer("Q1", 3)
        wait_for(lambda: version() == 2, "the command did not arrive")
        credentials.revoke_tokens(ADA)
        server.kill()
        never_sent = client.answer("Q2", 2)
        server.start()
        proxy.heal()
        for sent in (committed, never_sent):
            with pytest.raises(NotAdmitted):
                sent.result(WAIT_S)
        assert client.unacknowledged == 2
    proxy.close()
    received: list[dict[str, Any]] = []
    token = credentials.issue_token(ADA)[0]
    with make_client(server.url, token=token, outbox=FileOutbox(outbox), listener=received.append) as client:
        wait_for(lambda: client.unacknowledged == 0, "the outbox was not delivered")
        assert client.answer("Q3", 1).result(WAIT_S)["version"] == 4
    acks = {message["id"]: message["duplicate"] for message in received if message["type"] == "ack"}
    assert (acks[committed.id], acks[never_sent.id]) == (True, False)
    assert history(server, credentials)[:2] == [committed.id, never_sent.id]


def test_client_stops_when_its_token_is_revoked_while_connected(
    make_client: MakeClient, server: Server, credentials: Credentials
) -> None:
    """By another process; the server closes the connection with 4401."""
    with make_client(server.url, token=credentials.issue_token(ADA)[0]) as client:
        client.wait_until_online(WAIT_S)
        credentials.revoke_tokens(ADA)
        wait_for(lambda: not client.is_online, "the connection stayed open")
        with pytest.raises(NotAdmitted, match="4401"):
            client.wait_until_online(WAIT_S)


# --------------------------------------------------------------------------------------------- where the token is sent


def test_token_is_sent_in_the_handshake_only(make_client: MakeClient, fake: FakeServers) -> None:
    """In the Authorization header; not in the URL, which proxies log, and in no message."""
    shown: list[str | None] = []

    def script(server: FakeServer, connection: ServerConnection, number: int) -> None:
        assert connection.request is not None
        shown.append(connection.request.headers.get("Authorization"))
        send_messages(connection, STATE)
        if number == 0:
            connection.close(1001)
        else:
            server.acknowledge_all(connection, number)

    server = fake(script)
    with make_client(server.url, token="to.ken-_~+/=") as client:
        client.answer("Q1", 1).result(WAIT_S)
    assert shown == ["Bearer to.ken-_~+/="] * len(server.paths)
    assert len(shown) >= 2
    assert "to.ken" not in str(server.paths) + str(server.seen)


def test_client_without_a_token_sends_no_authorization(make_client: MakeClient, fake: FakeServers) -> None:
    shown: list[bool] = []

    def script(server: FakeServer, connection: ServerConnection, number: int) -> None:
        assert connection.request is not None
        shown.append("Authorization" in connection.request.headers)
        server.acknowledge_all(connection, number)

    with make_client(fake(script).url) as client:
        client.wait_until_online(WAIT_S)
    assert shown == [False]


def test_token_is_not_sent_after_a_redirect(make_client: MakeClient, fake: FakeServers) -> None:
    """Another server must not get it."""
    shown: list[str | None] = []

    def script(server: FakeServer, connection: ServerConnection, number: int) -> None:
        assert connection.request is not None
        shown.append(connection.request.headers.get("Authorization"))
        server.acknowledge_all(connection, number)

    elsewhere = fake(script).url.replace("http", "ws")

    def redirect(_: ServerConnection, request: Request) -> Response:
        status = http.HTTPStatus.TEMPORARY_REDIRECT
        return Response(status, status.phrase, Headers(Location=elsewhere + request.path))

    with redirecting(redirect) as origin, make_client(origin, token="to.ken") as client:
        client.wait_until_online(WAIT_S)
    assert shown == [None]


@contextlib.contextmanager
def redirecting(process_request: Any) -> Iterator[str]:
    """Give the origin of a server that answers each request with ``process_request``."""
    with serve(lambda _: None, "127.0.0.1", 0, process_request=process_request) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.socket.getsockname()[1]}"
        server.shutdown()
        thread.join()


@pytest.mark.parametrize("level", [logging.DEBUG, logging.INFO])
def test_token_and_answers_are_in_no_log_and_no_error(
    make_client: MakeClient, server: Server, credentials: Credentials, caplog: pytest.LogCaptureFixture, level: int
) -> None:
    """At DEBUG neither, nor in the text of errors or of the client."""
    caplog.set_level(level)
    for name in ("stepkeep", "stepkeep.client", "websockets", "websockets.client"):
        caplog.set_level(level, logger=name)
    token = credentials.issue_token(ADA)[0]
    wrong = altered(token)
    shown = []
    with make_client(server.url, token=token) as client:
        client.draft("Q1", MARKER)
        with contextlib.suppress(Exception):
            client.answer("Q1", MARKER).result(WAIT_S)
        shown += [repr(client), str(client)]
    for origin in (server.url, f"http://127.0.0.1:{free_port()}"):
        with make_client(origin, token=wrong) as client:
            try:
                client.wait_until_online(0.5)
            except (NotAdmitted, TimeoutError) as error:
                shown += [repr(error), str(error), *traceback.format_exception(error), str(vars(error))]
    shown += [record.getMessage() + str(record.exc_text) for record in caplog.records]
    for secret in (token, wrong, token[-20:], wrong[-20:], MARKER):
        assert secret not in "\n".join(shown)
    assert any("attempt" in record.message for record in caplog.records)


@given(text=st.text(st.characters(exclude_categories=()), max_size=20))
def test_text_that_cannot_be_a_token_is_refused(text: str) -> None:
    """A line end would inject a header; the error does not repeat the text."""
    for token in (f"{text}\r\nX-Other: 1", f" {text}", f"{text}\n", f"{MARKER}{text}\0", f"{text}\ud800", ""):
        for kind in (SurveyClient, AsyncSurveyClient):
            with pytest.raises(BadToken) as refused:
                kind("http://127.0.0.1", "ada", token=token)
            assert MARKER not in str(refused.value)


@given(text=st.from_regex(r"[A-Za-z0-9._~+/-]+=*", fullmatch=True))
def test_text_that_can_be_a_token_is_accepted(text: str) -> None:
    """Only the server knows whether it is valid."""
    SurveyClient("http://127.0.0.1", "ada", token=text)
