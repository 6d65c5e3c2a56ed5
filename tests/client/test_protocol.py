"""The Python client against a server that says anything: each message and each close code of docs/protocol.md."""

import logging
import threading
import urllib.parse
from dataclasses import replace
from typing import Any

import pytest
from websockets.sync.server import ServerConnection

from app.client import CommandRefused, MemoryOutbox, RefusedForGood, SurveyClient
from app.errors import InvalidInput
from tests.client.conftest import FAST, NEVER_S, STATE, WAIT_S, Fake, FakeOf, Heard, ack, client_of, say
from tests.waiting import wait_for


@pytest.mark.parametrize("code", [1013, 4429])
@pytest.mark.parametrize("when", ["at once", "later"])
def test_a_busy_server_is_left_alone_for_the_busy_delay(fake: FakeOf, code: int, when: str) -> None:
    """After 1013 and 4429 the busy delay counts, not that of a failed connection; then the command is delivered."""

    def script(server: Fake, connection: ServerConnection, number: int) -> None:
        if number > 0:
            server.acknowledge_all(connection, number)
        if when == "later":
            say(connection, STATE)
            server.receive(connection, number)
        connection.close(code, "busy")

    server = fake(script)
    times = replace(FAST, connect_delay_s=NEVER_S, connect_delay_max_s=NEVER_S, slow_delay_s=NEVER_S, busy_delay_s=0.01)
    with client_of(server.url, times=times) as client:
        sent = client.back()
        sent.result(WAIT_S)
    assert server.ids(1) == [sent.id]


@pytest.mark.parametrize("code", [4400, 4401, 4403, 4404])
def test_a_final_close_code_ends_every_wait(fake: FakeOf, code: int) -> None:
    """Commands that wait when the server refuses for good raise its code and reason; it is not asked again."""

    def script(server: Fake, connection: ServerConnection, number: int) -> None:
        say(connection, STATE)
        server.receive(connection, number)
        connection.close(code, "for this reason")

    server = fake(script)
    outbox = MemoryOutbox()
    with client_of(server.url, outbox=outbox) as client:
        client.wait_until_online(WAIT_S)
        sent = client.back()
        with pytest.raises(RefusedForGood, match=f"{code}: for this reason"):
            sent.result(WAIT_S)
    assert len(server.paths) == 1
    assert [command["id"] for command in outbox.load("")] == [sent.id]


@pytest.mark.parametrize("code", ["unavailable", "rate_limited"])
def test_a_passing_error_keeps_the_command(fake: FakeOf, code: str) -> None:
    """A command that could not be done now is sent again after a wait, and those given after it after it."""

    def script(server: Fake, connection: ServerConnection, number: int) -> None:
        say(connection, STATE)
        first = server.receive(connection, number)
        server.receive(connection, number)
        say(connection, {"type": "error", "id": first["id"], "code": code, "message": "later"})
        for _ in range(3):
            say(connection, ack(server.receive(connection, number)))

    server = fake(script)
    heard = Heard()
    with client_of(server.url, listener=heard) as client:
        first, second = client.answer("Q1", 1), client.answer("Q2", 1)
        wait_for(lambda: "error" in heard.types(), "the error was not told")
        third = client.answer("Q3", 1)
        for sent in (first, second, third):
            sent.result(WAIT_S)
        assert client.unacknowledged == 0
    assert heard.types() == ["state", "error", "ack", "ack", "ack"]
    assert server.ids(0) == [first.id, second.id, first.id, second.id, third.id]


def test_an_error_that_does_not_pass_is_told_and_forgotten(fake: FakeOf) -> None:
    """A command that the server takes for none raises its code and leaves the outbox: it would be so again."""

    def script(server: Fake, connection: ServerConnection, number: int) -> None:
        say(connection, STATE)
        found = server.receive(connection, number)
        say(connection, {"type": "error", "id": found["id"], "code": "malformed", "message": "no such field"})
        server.receive(connection, number)

    outbox = MemoryOutbox()
    with client_of(fake(script).url, outbox=outbox) as client:
        with pytest.raises(CommandRefused, match="no such field") as refused:
            client.back().result(WAIT_S)
        assert (refused.value.code, client.unacknowledged) == ("malformed", 0)
    assert outbox.load("") == []


def test_a_pending_command_stays_until_its_ack(fake: FakeOf) -> None:
    """`pending` is told, the session goes on with it, and the outbox keeps the command until it is committed."""
    goes_on = threading.Event()

    def script(server: Fake, connection: ServerConnection, number: int) -> None:
        say(connection, STATE)
        found = server.receive(connection, number)
        say(connection, {"type": "pending", "id": found["id"], "session": {"answers": {"Q1": 1}}})
        assert goes_on.wait(WAIT_S)
        say(connection, ack(found))
        server.receive(connection, number)

    with client_of(fake(script).url) as client:
        sent = client.answer("Q1", 1)
        wait_for(lambda: sent.is_pending, "`pending` was not noted")
        assert (sent.done, client.unacknowledged, client.session) == (False, 1, {"answers": {"Q1": 1}})
        assert client.version == 1
        with pytest.raises(TimeoutError):
            sent.result(0)
        goes_on.set()
        sent.result(WAIT_S)
        assert (client.unacknowledged, client.version) == (0, 2)


def test_the_newest_draft_is_sent_in_its_place(fake: FakeOf) -> None:
    """Of drafts that wait for a connection the newest is sent, once, after the commands given before it."""
    opens = threading.Event()

    def script(server: Fake, connection: ServerConnection, number: int) -> None:
        assert opens.wait(WAIT_S)
        server.acknowledge_all(connection, number)

    server = fake(script)
    with client_of(server.url) as client:
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


def test_a_draft_that_was_sent_is_not_sent_again(fake: FakeOf) -> None:
    """A sent draft is the server's to keep: sent again later it could overwrite another device's newer one."""
    ends = threading.Event()

    def script(server: Fake, connection: ServerConnection, number: int) -> None:
        if number > 0:
            server.acknowledge_all(connection, number)
        say(connection, STATE)
        server.receive(connection, number)
        assert ends.wait(WAIT_S)
        connection.close(1001, "stops")

    server = fake(script)
    with client_of(server.url) as client:
        client.draft("Q1", "half")
        wait_for(lambda: bool(server.seen) and not client._queue._sent, "the draft was not sent")
        ends.set()
        wait_for(lambda: len(server.paths) > 1, "it did not connect again")
        client.back().result(WAIT_S)
    assert [(number, message["type"]) for number, message in server.seen] == [(0, "draft"), (1, "back")]


def test_a_fault_of_the_clients_own_does_not_end_it(
    fake: FakeOf, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """What the client did not foresee is logged as a fault, and the next connection delivers."""
    server = fake(lambda fake, connection, number: fake.acknowledge_all(connection, number))
    client = client_of(server.url)
    noted = client._note

    def fails_first(message: dict[str, Any]) -> None:
        monkeypatch.setattr(client, "_note", noted)
        raise KeyError(message["type"])

    monkeypatch.setattr(client, "_note", fails_first)
    with client:
        client.back().result(WAIT_S)
    assert "a fault of the client's" in caplog.text


def test_messages_of_an_unknown_kind_are_ignored(fake: FakeOf) -> None:
    """A newer server may say more: the listener is told, and nothing else happens; nor by answers to nobody."""
    unknown = {"type": "novelty", "version": "x", "session": 7}
    odd: list[dict[str, Any]] = [
        unknown,
        {"type": "ack", "id": "nobody's"},
        {"type": "error", "id": None, "code": "malformed"},
    ]

    def script(server: Fake, connection: ServerConnection, number: int) -> None:
        say(connection, unknown)
        connection.send("[1]")
        say(connection, STATE, *odd)
        found = server.receive(connection, number)
        say(connection, {**unknown, "id": found["id"]}, ack(found))
        server.receive(connection, number)

    server = fake(script)
    heard = Heard()
    with client_of(server.url, listener=heard) as client:
        client.back().result(WAIT_S)
    assert heard.types() == ["novelty", "state", *(message["type"] for message in odd), "novelty", "ack"]
    assert len(server.paths) == 1


@pytest.mark.parametrize("silence", ["no state", "no JSON", "a fault"])
def test_a_server_that_does_not_work_is_tried_again(fake: FakeOf, silence: str) -> None:
    """A connection without the session's state, or that ends by the server's fault, is a failed attempt."""

    def script(server: Fake, connection: ServerConnection, number: int) -> None:
        if number > 1:
            server.acknowledge_all(connection, number)
        match silence:
            case "no state":
                connection.recv()
            case "no JSON":
                connection.send("<html>")
                connection.recv()
            case "a fault":
                say(connection, STATE)
                connection.close(1011, "a fault")

    server = fake(script)
    with client_of(server.url, times=replace(FAST, state_timeout_s=0.1)) as client:
        client.back().result(WAIT_S)
    assert len(server.paths) == 3


def test_a_connection_that_soon_ends_without_an_answer_is_a_failed_attempt(
    fake: FakeOf, caplog: pytest.LogCaptureFixture
) -> None:
    """A proxy that cuts a client's command again and again is not asked ever faster: the attempts count on."""
    caplog.set_level(logging.INFO, "stepkeep.client")

    def cut(_fake: Fake, connection: ServerConnection, _number: int) -> None:
        say(connection, STATE)
        connection.recv(WAIT_S)
        connection.close(1001)

    server = fake(cut)
    with client_of(server.url) as client:
        client.back()
        wait_for(lambda: "attempt 3: no connection" in caplog.text, lambda: caplog.text)
        assert client.unacknowledged == 1


def test_the_path_prefix_is_kept(fake: FakeOf) -> None:
    """A server under a prefix is found there; the query names survey and mode; what means something is encoded."""
    server = fake(lambda fake, connection, number: fake.acknowledge_all(connection, number))
    with client_of(f"{server.url}/some/prefix/", "a/b?c", survey_id="x&y", is_audio_mode=True) as client:
        client.wait_until_online(WAIT_S)
    path, _, query = server.paths[0].partition("?")
    assert path == "/some/prefix/ws/survey/a%2Fb%3Fc"
    assert urllib.parse.parse_qs(query) == {"survey": ["x&y"], "is_audio": ["true"]}


@pytest.mark.parametrize("origin", ["ftp://host", "host:80", "https://", ""])
def test_an_origin_that_is_none_is_refused(origin: str) -> None:
    """An origin without a scheme of the web, or without a host, is a clear error at once."""
    with pytest.raises(InvalidInput, match="origin"):
        SurveyClient(origin, "ada")
