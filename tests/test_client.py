"""The Python client: against the real server, through a proxy that breaks, and against a server that says anything."""

import contextlib
import json
import logging
import socket
import subprocess
import sys
import textwrap
import threading
import urllib.parse
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from websockets.exceptions import ConnectionClosed
from websockets.sync.server import ServerConnection, serve

from app.client import (
    ClientClosed,
    ClientTimes,
    CommandRefused,
    CommandTooLarge,
    FileOutbox,
    MemoryOutbox,
    OutboxInUse,
    RefusedForGood,
    Rejected,
    Sent,
    SurveyClient,
    _Queue,
    _send,
)
from app.errors import InvalidInput
from tests.conftest import ROOT, Server
from tests.proxy import Proxy
from tests.waiting import free_port, wait_for

WAIT_S = 30.0
NEVER_S = 3600.0
"""A wait that no test would see the end of: what happens then did not wait for it."""

FAST = ClientTimes(
    connect_delay_s=0.05, connect_delay_max_s=0.2, slow_delay_s=0.2, busy_delay_s=0.05, unavailable_delay_s=0.05
)


def history(server: Server, user_id: str = "ada") -> list[dict[str, Any]]:
    """Return the events as REST tells them, oldest first."""
    response = httpx.get(f"{server.url}/api/session/{user_id}/history", params={"survey": "phq9", "limit": 200})
    if response.status_code == 404:
        return []
    events: list[dict[str, Any]] = response.raise_for_status().json()["events"]
    return events


def ids(server: Server) -> list[str]:
    """Return the ids of the commands in the history; the one that began the session had none of ours."""
    return [event["message_id"] for event in history(server) if event["action"] != "started"]


class Heard(list[dict[str, Any]]):
    """A listener that keeps what it was given."""

    def __call__(self, message: dict[str, Any]) -> None:
        self.append(message)

    def types(self) -> list[str]:
        return [message["type"] for message in self]


def client_of(origin: str, user_id: str = "ada", **options: Any) -> SurveyClient:
    return SurveyClient(origin, user_id, **{"survey_id": "phq9", "times": FAST, **options})


@pytest.fixture
def proxy(server: Server) -> Iterator[Proxy]:
    """A proxy before the server; clients go to :func:`through`."""
    between = Proxy("127.0.0.1", server.port)
    yield between
    between.close()


def through(proxy: Proxy) -> str:
    return f"http://127.0.0.1:{proxy.port}"


# ------------------------------------------------------------------------------------------ the real server


def test_an_answer_is_acknowledged_and_saved(server: Server) -> None:
    """A command's result is its ack; the client knows the session and the version, and tells its listener all."""
    heard = Heard()
    with client_of(server.url, listener=heard) as client:
        state = client.wait_until_online(WAIT_S)
        sent = client.answer("Q1", 2)
        ack = sent.result(WAIT_S)
        assert state["session"]["current_step"] == "Q1"
        assert (ack["type"], ack["id"], ack["version"], ack["duplicate"]) == ("ack", sent.id, 2, False)
        assert client.session is not None
        assert client.session["answers"] == {"Q1": 2}
        assert (client.version, client.unacknowledged, client.is_online, sent.done) == (2, 0, True, True)
    assert heard == [state, ack]
    assert ids(server) == [sent.id]


def test_every_command_has_its_method(server: Server) -> None:
    """Each command of the protocol is taken by the server as what it is."""
    with client_of(server.url, is_audio_mode=True) as client:
        assert client.wait_until_online(WAIT_S)["session"]["is_audio_mode"] is True
        for sent in (
            client.answer("Q1", 0),
            client.back(),
            client.goto("Q1"),
            client.set_mode(audio=False),
            client.restart(),
        ):
            sent.result(WAIT_S)
    actions = [event["action"] for event in history(server)]
    assert actions == ["started", "answered", "went_back", "went_to", "mode_set", "restarted"]


def test_a_rejected_command_is_told_and_forgotten(server: Server) -> None:
    """What the survey's rules refuse raises the server's code, leaves the outbox, and the next command goes on."""
    with client_of(server.url) as client:
        with pytest.raises(Rejected, match="Q7") as rejected:
            client.answer("Q7", 1).result(WAIT_S)
        assert (rejected.value.code, client.unacknowledged) == ("not_current", 0)
        assert client.answer("Q1", 1).result(WAIT_S)["version"] == 2


def test_a_user_id_is_encoded_in_the_url(server: Server) -> None:
    """A user id with characters that mean something in a URL reaches the server as it is."""
    with client_of(server.url, "a:d@a.b-c_") as client:
        assert client.wait_until_online(WAIT_S)["session"]["user_id"] == "a:d@a.b-c_"


def test_a_server_that_is_killed_before_the_ack(server: Server, proxy: Proxy) -> None:
    """A command that was committed by a server that died before its ack is acknowledged by the next, and done once."""
    with client_of(through(proxy)) as client:
        client.wait_until_online(WAIT_S)
        proxy.drop_replies()
        sent = client.answer("Q1", 3)
        wait_for(lambda: ids(server) == [sent.id], "the command did not arrive")
        server.kill()
        after = client.answer("Q2", 1)
        server.start()
        proxy.heal()
        assert sent.result(WAIT_S)["duplicate"] is True
        assert after.result(WAIT_S)["duplicate"] is False
    assert ids(server) == [sent.id, after.id]


def test_a_connection_that_is_cut_before_the_ack(server: Server, proxy: Proxy) -> None:
    """A command whose ack was lost is sent again on a new connection, gets a duplicate's ack, and is done once."""
    with client_of(through(proxy)) as client:
        client.wait_until_online(WAIT_S)
        proxy.drop_replies()
        sent = client.answer("Q1", 3)
        wait_for(lambda: ids(server) == [sent.id], "the command did not arrive")
        proxy.heal()
        ack = sent.result(WAIT_S)
        assert (ack["duplicate"], ack["version"], client.unacknowledged) == (True, 2, 0)
    assert ids(server) == [sent.id]


def test_the_order_is_kept_over_reconnects(server: Server, proxy: Proxy) -> None:
    """Commands are done once, in the order in which they were given, however often the connection is cut meanwhile."""
    heard = Heard()
    with client_of(through(proxy), listener=heard) as client:
        given_ids: list[str] = []
        for connected in range(1, 7):
            given_ids += [client.set_mode(audio=number % 2 == 0).id for number in range(10)]
            wait_for(lambda: heard.types().count("state") >= connected, "it did not connect again")  # noqa: B023 - at once
            given_ids += [client.set_mode(audio=number % 2 == 0).id for number in range(10)]
            proxy.cut_all()
        last = client.answer("Q1", 1)
        given_ids.append(last.id)
        last.result(WAIT_S)
    assert ids(server) == given_ids


def test_a_dead_network_is_found(server: Server, proxy: Proxy) -> None:
    """Where bytes get lost and nobody is told, the pings find it, and a new connection delivers."""
    times = replace(FAST, ping_interval_s=0.2, ping_timeout_s=0.2, open_timeout_s=0.5, close_timeout_s=0.1)
    with client_of(through(proxy), times=times) as client:
        client.wait_until_online(WAIT_S)
        proxy.swallow()
        sent = client.answer("Q1", 1)
        wait_for(lambda: not client.is_online, "the dead network was not found")
        proxy.heal()
        sent.result(WAIT_S)
    assert ids(server) == [sent.id]


def test_slow_attempts_follow_the_quick_ones(server: Server, proxy: Proxy) -> None:
    """After the quick attempts the client goes on trying for as long as it is open."""
    times = replace(FAST, connect_attempts=2, connect_delay_s=0.001, slow_delay_s=0.02)
    proxy.stop_accepting()
    attempts = []
    logger = logging.getLogger("stepkeep.client")
    handler = logging.Handler()
    handler.emit = attempts.append  # type: ignore[method-assign]
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        with client_of(through(proxy), times=times) as client:
            wait_for(lambda: len(attempts) > 5, "it gave up")
            with pytest.raises(TimeoutError):
                client.wait_until_online(0)
            proxy.heal()
            client.wait_until_online(WAIT_S)
    finally:
        logger.removeHandler(handler)
        logger.setLevel(logging.NOTSET)


def test_a_survey_that_is_not_there_is_final(server: Server) -> None:
    """A final close code stops the client: who waits is told why, and the outbox keeps what it had."""
    outbox = MemoryOutbox()
    outbox.add({"type": "back", "id": "earlier"})
    with client_of(server.url, survey_id="none", outbox=outbox) as client:
        with pytest.raises(RefusedForGood, match="4404") as refused:
            client.wait_until_online(WAIT_S)
        assert refused.value.close_code == 4404
        assert "none" in refused.value.reason
        with pytest.raises(RefusedForGood):
            client.answer("Q1", 1)
        with pytest.raises(RefusedForGood):
            client.draft("Q1", 1)
        assert client.unacknowledged == 1
    assert [command["id"] for command in outbox.load("")] == ["earlier"]


PROCESS = """
    import sys
    from app.client import FileOutbox, SurveyClient
    client = SurveyClient(sys.argv[1], "ada", survey_id="phq9", outbox=FileOutbox(sys.argv[2]))
    client.start()
    while True:
        print(client.set_mode(audio=True).id, flush=True)
"""


def test_a_killed_process_loses_no_command(server: Server, tmp_path: Path) -> None:
    """Commands of a process that was killed while it gave them are delivered by the next, once, first, in order."""
    path = tmp_path / "ada.outbox"
    nowhere = f"http://127.0.0.1:{free_port()}"
    with subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(PROCESS), nowhere, str(path)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        given_ids = [process.stdout.readline().strip() for _ in range(25)]
        process.kill()
        given_ids += process.stdout.read().split()
    outbox = FileOutbox(path)
    client = client_of(server.url, outbox=outbox)
    with client:
        assert client.unacknowledged >= len(given_ids)
        last = client.answer("Q1", 1)
        last.result(WAIT_S)
        assert client.unacknowledged == 0
    found = ids(server)
    assert found[: len(given_ids)] == given_ids
    assert found[-1] == last.id
    assert len(found) == len(set(found)) <= len(given_ids) + 2  # one may have been kept and not printed


# ------------------------------------------------------------------------- a server that says what a test wants

STATE = {"type": "state", "version": 1, "resumed": False, "session": {"answers": {}}, "step": None, "progress": 0.0}

Script = Callable[["Fake", ServerConnection, int], None]


def ack(command: dict[str, Any]) -> dict[str, Any]:
    return {
        "type": "ack",
        "id": command["id"],
        "version": 2,
        "duplicate": False,
        "session": {},
        "step": None,
        "progress": 0,
    }


class Fake:
    """A server whose connections are each served by a test's script, with their number from 0."""

    def __init__(self, script: Script) -> None:
        self.seen: list[tuple[int, dict[str, Any]]] = []
        self.paths: list[str] = []
        self._script = script
        self._mutex = threading.Lock()
        self._server = serve(self._handle, "127.0.0.1", 0, compression=None)
        self.url = f"http://127.0.0.1:{self._server.socket.getsockname()[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever)
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()

    def receive(self, connection: ServerConnection, number: int) -> dict[str, Any]:
        message: dict[str, Any] = json.loads(connection.recv())
        self.seen.append((number, message))
        return message

    def ids(self, number: int) -> list[str | None]:
        return [message.get("id") for at, message in self.seen if at == number]

    def acknowledge_all(self, connection: ServerConnection, number: int) -> None:
        say(connection, STATE)
        while True:
            message = self.receive(connection, number)
            if "id" in message:
                say(connection, ack(message))

    def _handle(self, connection: ServerConnection) -> None:
        assert connection.request is not None
        with self._mutex:
            number = len(self.paths)
            self.paths.append(connection.request.path)
        with contextlib.suppress(ConnectionClosed):
            self._script(self, connection, number)


def say(connection: ServerConnection, *messages: dict[str, Any]) -> None:
    for message in messages:
        connection.send(json.dumps(message))


@pytest.fixture
def fake() -> Iterator[Callable[[Script], Fake]]:
    """Make fake servers; they end with the test."""
    with contextlib.ExitStack() as stack:

        def made(script: Script) -> Fake:
            server = Fake(script)
            stack.callback(server.close)
            return server

        yield made


FakeOf = Callable[[Script], Fake]


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


# ------------------------------------------------------------------------------------- the client by itself


def test_a_command_that_is_too_large_is_refused_at_once() -> None:
    """What the server would close the connection for does not get into the outbox."""
    with client_of("http://127.0.0.1:1") as client:
        with pytest.raises(CommandTooLarge):
            client.answer("Q1", "x" * 70_000)
        assert client.unacknowledged == 0


def test_closing_keeps_what_is_not_acknowledged() -> None:
    """Who waits is told that the client is closed; the outbox has the command, and another client takes it over."""
    outbox = MemoryOutbox()
    client = client_of(f"http://127.0.0.1:{free_port()}", outbox=outbox)
    with pytest.raises(ClientClosed):
        client.back()
    client.start()
    client.start()
    sent = client.back()
    client.close()
    client.close()
    with pytest.raises(ClientClosed):
        sent.result(WAIT_S)
    for refused in (client.back, client.start, lambda: client.wait_until_online(WAIT_S)):
        with pytest.raises(ClientClosed):
            refused()
    with client_of("http://127.0.0.1:1", outbox=outbox) as other:
        assert other.unacknowledged == 1


def test_an_outbox_in_use_stops_the_start(tmp_path: Path) -> None:
    """A client whose outbox another one has does not start, and can when it is free."""
    with client_of("http://127.0.0.1:1", outbox=FileOutbox(tmp_path / "box")):
        second = client_of("http://127.0.0.1:1", outbox=FileOutbox(tmp_path / "box"))
        with pytest.raises(OutboxInUse):
            second.start()
    with second:
        assert second.unacknowledged == 0


def test_a_listener_may_fail_and_give_commands(fake: FakeOf, caplog: pytest.LogCaptureFixture) -> None:
    """The listener is called without the client's lock, and what it raises is logged and stops nothing."""
    server = fake(lambda fake, connection, number: fake.acknowledge_all(connection, number))
    given_by_it: list[Sent] = []

    def listener(message: dict[str, Any]) -> None:
        if message["type"] == "state":
            other = threading.Thread(target=lambda: given_by_it.append(client.back()))
            other.start()
            other.join()
            raise RuntimeError("on purpose")

    client = client_of(server.url, listener=listener)
    with client:
        client.back().result(WAIT_S)
        given_by_it[0].result(WAIT_S)
    assert "the listener failed" in caplog.text


def test_the_listener_may_close_the_client(fake: FakeOf) -> None:
    """Closing from the client's own thread does not wait for that thread."""
    server = fake(lambda fake, connection, number: fake.acknowledge_all(connection, number))
    closed = threading.Event()

    def listener(_: dict[str, Any]) -> None:
        client.close()
        closed.set()

    client = client_of(server.url, listener=listener)
    client.start()
    assert closed.wait(WAIT_S)


class Failing:
    """A connection whose first sends fail, and that stays open."""

    def __init__(self, failures: int, error: Exception) -> None:
        self.failures = failures
        self.error = error
        self.attempts = 0

    def send(self, _: str) -> None:
        self.attempts += 1
        if self.attempts <= self.failures:
            raise self.error


@pytest.mark.parametrize(
    ("failures", "error", "attempts"),
    [(2, OSError("no buffers"), 3), (3, OSError("no buffers"), 3), (1, ConnectionClosed(None, None), 1)],
    ids=["passes", "does not pass", "closed"],
)
def test_a_message_is_sent_in_three_attempts(failures: int, error: Exception, attempts: int) -> None:
    """A send that fails is tried three times in all; on a closed connection once, since that opens no more."""
    connection: Any = Failing(failures, error)
    times = replace(FAST, send_delay_s=0.001)
    with contextlib.nullcontext() if failures < attempts else pytest.raises(type(error)):
        _send(connection, "text", times, threading.Event())
    assert connection.attempts == attempts


def test_what_cannot_be_sent_makes_a_new_connection(fake: FakeOf, monkeypatch: pytest.MonkeyPatch) -> None:
    """After the last attempt of a send the connection is closed, and the next one delivers from the oldest on."""
    server = fake(lambda fake, connection, number: fake.acknowledge_all(connection, number))
    with client_of(server.url, times=replace(FAST, send_attempts=1)) as client:
        client.wait_until_online(WAIT_S)
        connection = client._connection
        assert connection is not None

        def fails(_: str) -> None:
            raise OSError("no buffers")

        monkeypatch.setattr(connection, "send", fails)
        first, second = client.back(), client.restart()
        client.draft("Q1", 1)
        second.result(WAIT_S)
    assert server.ids(1)[:2] == [first.id, second.id]
    assert server.ids(0) == []


class QueueMachine(RuleBasedStateMachine):
    """On each connection commands go out in the order given, none is left out, and the limit of unanswered holds."""

    LIMIT = 3

    def __init__(self) -> None:
        super().__init__()
        self.queue = _Queue()
        self.given = 0
        self.to_do: list[str] = []
        self.sent: list[str] = []
        self.unanswered: list[str] = []

    @rule()
    def give(self) -> None:
        self.given += 1
        self.to_do.append(str(self.given))
        self.queue.add(str(self.given), "")

    @rule()
    def draft(self) -> None:
        self.queue.add("", "draft")

    @rule(is_lost=st.booleans())
    def take(self, *, is_lost: bool) -> None:
        taken = self.queue.take(self.LIMIT)
        if taken is None:
            assert len(self.unanswered) == self.LIMIT or self.sent == self.to_do
        elif taken[0] != "":
            self.sent.append(taken[0])
            self.unanswered.append(taken[0])
        elif not is_lost:
            self.queue.forget_sent_draft()

    @precondition(lambda self: self.unanswered)
    @rule()
    def answer(self) -> None:
        self.queue.answer(self.unanswered.pop(0))

    @precondition(lambda self: self.to_do)
    @rule(where=st.integers(0, 9))
    def settle(self, where: int) -> None:
        """Any may be done: a late answer to an earlier sending settles one that waits to be sent again."""
        key = self.to_do.pop(where % len(self.to_do))
        self.queue.drop(key)
        self.sent = [each for each in self.sent if each != key]
        self.unanswered = [each for each in self.unanswered if each != key]

    @rule()
    def rewind(self) -> None:
        self.queue.rewind()
        self.sent, self.unanswered = [], []

    @invariant()
    def holds_the_order(self) -> None:
        assert self.sent == self.to_do[: len(self.sent)]
        assert len(self.unanswered) <= self.LIMIT


TestQueue = QueueMachine.TestCase


def test_a_newer_draft_replaces_one_that_did_not_get_through() -> None:
    """A draft that was on its way when the connection broke gives way to a newer one, in the newer one's place."""
    queue = _Queue()
    queue.add("", "old")
    assert queue.take(9) == ("", "old")
    queue.add("a", "answer")
    queue.add("", "new")
    queue.rewind()
    assert [queue.take(9), queue.take(9), queue.take(9)] == [("a", "answer"), ("", "new"), None]


def test_a_dead_network_is_given_up_by_tcp_too(fake: FakeOf) -> None:
    """A send that blocks in full buffers keeps the pings from finding a dead network: on Linux TCP is bounded too."""
    option = getattr(socket, "TCP_USER_TIMEOUT", None)
    if option is None:
        pytest.skip("TCP_USER_TIMEOUT is Linux's")
    server = fake(lambda fake, connection, number: fake.acknowledge_all(connection, number))
    with client_of(server.url, times=replace(FAST, ping_timeout_s=7)) as client:
        client.wait_until_online(WAIT_S)
        assert client._connection is not None
        assert client._connection.socket.getsockopt(socket.IPPROTO_TCP, option) == 7000
