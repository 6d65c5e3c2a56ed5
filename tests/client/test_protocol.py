"""The Python client against scripted servers: the messages and close codes of docs/protocol.md."""

import logging
import threading
import urllib.parse
from dataclasses import replace
from typing import Any

import pytest
from websockets.sync.server import ServerConnection

from app.client import CommandRefused, MemoryOutbox, PermanentlyRefused
from app.errors import InvalidInput
from tests.client.conftest import (
    FAST,
    NEVER_S,
    STATE,
    WAIT_S,
    FakeServer,
    FakeServers,
    MakeClient,
    MessageList,
    ack,
    send_messages,
)
from tests.waiting import wait_for


@pytest.mark.parametrize("code", [1013, 4429])
@pytest.mark.parametrize("when", ["at once", "later"])
def test_client_waits_for_the_busy_delay_after_1013_and_4429(
    make_client: MakeClient, fake: FakeServers, code: int, when: str
) -> None:
    """Instead of the delay of a failed connection; then the command is delivered."""

    def script(server: FakeServer, connection: ServerConnection, number: int) -> None:
        if number > 0:
            server.acknowledge_all(connection, number)
        if when == "later":
            send_messages(connection, STATE)
            server.receive(connection, number)
        connection.close(code, "busy")

    server = fake(script)
    times = replace(FAST, connect_delay_s=NEVER_S, connect_delay_max_s=NEVER_S, slow_delay_s=NEVER_S, busy_delay_s=0.01)
    with make_client(server.url, timeouts=times) as client:
        sent = client.back()
        sent.result(WAIT_S)
    assert server.ids(1) == [sent.id]


@pytest.mark.parametrize("code", [4400, 4401, 4403, 4404])
def test_client_stops_after_a_final_close_code(make_client: MakeClient, fake: FakeServers, code: int) -> None:
    """Waiting commands raise the code and reason, and stay in the outbox; the client does not reconnect."""

    def script(server: FakeServer, connection: ServerConnection, number: int) -> None:
        send_messages(connection, STATE)
        server.receive(connection, number)
        connection.close(code, "for this reason")

    server = fake(script)
    outbox = MemoryOutbox()
    with make_client(server.url, outbox=outbox) as client:
        client.wait_until_online(WAIT_S)
        sent = client.back()
        with pytest.raises(PermanentlyRefused, match=f"{code}: for this reason"):
            sent.result(WAIT_S)
    assert len(server.paths) == 1
    assert [command["id"] for command in outbox.load("")] == [sent.id]


@pytest.mark.parametrize("code", ["unavailable", "rate_limited"])
def test_command_is_sent_again_after_a_transient_error(make_client: MakeClient, fake: FakeServers, code: str) -> None:
    """After a delay, and later commands after it."""

    def script(server: FakeServer, connection: ServerConnection, number: int) -> None:
        send_messages(connection, STATE)
        first = server.receive(connection, number)
        server.receive(connection, number)
        send_messages(connection, {"type": "error", "id": first["id"], "code": code, "message": "later"})
        for _ in range(3):
            send_messages(connection, ack(server.receive(connection, number)))
        server.receive(connection, number)  # a script that returns closes the connection, and the client reconnects

    server = fake(script)
    received = MessageList()
    with make_client(server.url, listener=received) as client:
        first, second = client.answer("Q1", 1), client.answer("Q2", 1)
        wait_for(lambda: "error" in received.types(), "the listener did not get the error")
        third = client.answer("Q3", 1)
        for sent in (first, second, third):
            sent.result(WAIT_S)
        assert client.unacknowledged == 0
    assert received.types() == ["state", "error", "ack", "ack", "ack"]
    assert server.ids(0) == [first.id, second.id, first.id, second.id, third.id]


def test_command_is_dropped_after_a_permanent_error(make_client: MakeClient, fake: FakeServers) -> None:
    """Its result raises the code; sending it again would change nothing."""

    def script(server: FakeServer, connection: ServerConnection, number: int) -> None:
        send_messages(connection, STATE)
        command = server.receive(connection, number)
        send_messages(
            connection, {"type": "error", "id": command["id"], "code": "malformed", "message": "no such field"}
        )
        server.receive(connection, number)

    outbox = MemoryOutbox()
    with make_client(fake(script).url, outbox=outbox) as client:
        with pytest.raises(CommandRefused, match="no such field") as refused:
            client.back().result(WAIT_S)
        assert (refused.value.code, client.unacknowledged) == ("malformed", 0)
    assert outbox.load("") == []


def test_pending_command_stays_in_the_outbox_until_its_ack(make_client: MakeClient, fake: FakeServers) -> None:
    """The session includes it meanwhile, but the version is that of the last commit."""
    goes_on = threading.Event()

    def script(server: FakeServer, connection: ServerConnection, number: int) -> None:
        send_messages(connection, STATE)
        command = server.receive(connection, number)
        send_messages(connection, {"type": "pending", "id": command["id"], "session": {"answers": {"Q1": 1}}})
        assert goes_on.wait(WAIT_S)
        send_messages(connection, ack(command))
        server.receive(connection, number)

    with make_client(fake(script).url) as client:
        sent = client.answer("Q1", 1)
        wait_for(lambda: sent.is_pending, "`pending` was ignored")
        assert (sent.done, client.unacknowledged, client.session) == (False, 1, {"answers": {"Q1": 1}})
        assert client.version == 1
        with pytest.raises(TimeoutError):
            sent.result(0)
        goes_on.set()
        sent.result(WAIT_S)
        assert (client.unacknowledged, client.version) == (0, 2)


def test_only_the_newest_unsent_draft_is_sent(make_client: MakeClient, fake: FakeServers) -> None:
    """After the commands that precede it."""
    opens = threading.Event()

    def script(server: FakeServer, connection: ServerConnection, number: int) -> None:
        assert opens.wait(WAIT_S)
        server.acknowledge_all(connection, number)

    server = fake(script)
    with make_client(server.url) as client:
        client.draft("Q1", "old")
        client.answer("Q1", 1)
        client.draft("Q2", "new")
        last = client.answer("Q3", 1)
        opens.set()
        last.result(WAIT_S)
    assert [(message["type"], message.get("value")) for _, message in server.seen] == [
        ("answer", 1),
        ("draft", "new"),
        ("answer", 1),
    ]


def test_sent_draft_is_not_sent_again_when_reconnecting(make_client: MakeClient, fake: FakeServers) -> None:
    """It could overwrite a newer draft of another device."""
    ends = threading.Event()

    def script(server: FakeServer, connection: ServerConnection, number: int) -> None:
        if number > 0:
            server.acknowledge_all(connection, number)
        send_messages(connection, STATE)
        server.receive(connection, number)
        assert ends.wait(WAIT_S)
        connection.close(1001, "stops")

    server = fake(script)
    with make_client(server.url) as client:
        client.draft("Q1", "half")
        wait_for(lambda: bool(server.seen) and not client._protocol._queue._sent, "the draft was not sent")
        ends.set()
        wait_for(lambda: len(server.paths) > 1, "the client did not reconnect")
        client.back().result(WAIT_S)
    assert [(number, message["type"]) for number, message in server.seen] == [(0, "draft"), (1, "back")]


def test_client_reconnects_after_an_unexpected_error(
    make_client: MakeClient, fake: FakeServers, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The error is logged, and the next connection delivers the command."""
    server = fake(lambda fake, connection, number: fake.acknowledge_all(connection, number))
    client = make_client(server.url)
    protocol = client._protocol
    update_session = protocol._update_session

    def fails_first(message: dict[str, Any]) -> None:
        monkeypatch.setattr(protocol, "_update_session", update_session)
        raise KeyError(message["type"])

    monkeypatch.setattr(protocol, "_update_session", fails_first)
    with client:
        client.back().result(WAIT_S)
    assert "Unexpected error in connection attempt" in caplog.text


def test_unknown_messages_are_ignored(make_client: MakeClient, fake: FakeServers) -> None:
    """The listener gets them: a newer server may have more messages. So it is with answers to unknown commands."""
    unknown = {"type": "novelty", "version": "x", "session": 7}
    odd: list[dict[str, Any]] = [
        unknown,
        {"type": "ack", "id": "unknown"},
        {"type": "error", "id": None, "code": "malformed"},
    ]

    def script(server: FakeServer, connection: ServerConnection, number: int) -> None:
        send_messages(connection, unknown)
        connection.send("[1]")
        send_messages(connection, STATE, *odd)
        command = server.receive(connection, number)
        send_messages(connection, {**unknown, "id": command["id"]}, ack(command))
        server.receive(connection, number)

    server = fake(script)
    received = MessageList()
    with make_client(server.url, listener=received) as client:
        client.back().result(WAIT_S)
    assert received.types() == ["novelty", "state", *(message["type"] for message in odd), "novelty", "ack"]
    assert len(server.paths) == 1


@pytest.mark.parametrize("silence", ["no state", "no JSON", "internal error"])
def test_client_reconnects_to_a_server_that_does_not_work(
    make_client: MakeClient, fake: FakeServers, silence: str
) -> None:
    """A connection without a state message, or that ends with 1011, is a failed attempt."""

    def script(server: FakeServer, connection: ServerConnection, number: int) -> None:
        if number > 1:
            server.acknowledge_all(connection, number)
        match silence:
            case "no state":
                connection.recv()
            case "no JSON":
                connection.send("<html>")
                connection.recv()
            case "internal error":
                send_messages(connection, STATE)
                connection.close(1011, "internal error")

    server = fake(script)
    state_timeout_s = 0.1 if silence == "no state" else NEVER_S
    with make_client(server.url, timeouts=replace(FAST, state_timeout_s=state_timeout_s)) as client:
        client.back().result(WAIT_S)
    assert len(server.paths) >= 3


def test_short_connection_without_an_answer_is_a_failed_attempt(
    make_client: MakeClient, fake: FakeServers, caplog: pytest.LogCaptureFixture
) -> None:
    """Otherwise a proxy that closes at each command would be contacted without any delay."""
    caplog.set_level(logging.INFO, "stepkeep.client")

    def cut(_fake: FakeServer, connection: ServerConnection, _number: int) -> None:
        send_messages(connection, STATE)
        connection.recv(WAIT_S)
        connection.close(1001)

    server = fake(cut)
    with make_client(server.url, timeouts=replace(FAST, connect_delay_max_s=NEVER_S)) as client:  # each one is short
        client.back()
        wait_for(lambda: "attempt 3 failed: 1001 closed" in caplog.text, lambda: caplog.text)
        assert client.unacknowledged == 1


def test_url_keeps_the_path_prefix_and_encodes_its_parts(make_client: MakeClient, fake: FakeServers) -> None:
    """The query has the survey and the mode."""
    server = fake(lambda fake, connection, number: fake.acknowledge_all(connection, number))
    with make_client(f"{server.url}/some/prefix/", "a/b?c", survey_id="x&y", is_audio_mode=True) as client:
        client.wait_until_online(WAIT_S)
    path, _, query = server.paths[0].partition("?")
    assert path == "/some/prefix/ws/survey/a%2Fb%3Fc"
    assert urllib.parse.parse_qs(query) == {"survey": ["x&y"], "is_audio": ["true"]}


@pytest.mark.parametrize("origin", ["ftp://host", "host:80", "https://", ""])
def test_invalid_origin_is_refused(make_client: MakeClient, origin: str) -> None:
    """It needs a web scheme and a host."""
    with pytest.raises(InvalidInput, match="origin"):
        make_client(origin)
