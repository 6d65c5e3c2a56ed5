"""The Python client against the real server, some of it through a failing proxy."""

import logging
import socket
import subprocess
import sys
import textwrap
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from app.client import (
    ClientClosed,
    CommandRefused,
    CommandTooLarge,
    FileOutbox,
    MemoryOutbox,
    OutboxInUse,
    PendingCommand,
    PermanentlyRefused,
    Rejected,
)
from app.client.transport import encode
from tests.client.conftest import (
    FAST,
    WAIT_S,
    FakeServers,
    MakeClient,
    MessageList,
    history,
    ids,
    make_blocking_client,
    proxied,
)
from tests.conftest import ROOT, Server
from tests.proxy import Proxy
from tests.waiting import free_port, wait_for


def test_answer_is_acknowledged_and_saved(make_client: MakeClient, server: Server) -> None:
    """The result is the ack; the client knows the session and its version; the listener gets all messages."""
    received = MessageList()
    with make_client(server.url, listener=received) as client:
        state = client.wait_until_online(WAIT_S)
        sent = client.answer("Q1", 2)
        ack = sent.result(WAIT_S)
        assert state["session"]["current_step"] == "Q1"
        assert (ack["type"], ack["id"], ack["version"], ack["duplicate"]) == ("ack", sent.id, 2, False)
        assert client.session is not None
        assert client.session["answers"] == {"Q1": 2}
        assert (client.version, client.unacknowledged, client.is_online, sent.done) == (2, 0, True, True)
    assert received == [state, ack]
    assert ids(server) == [sent.id]


def test_each_method_sends_its_command(make_client: MakeClient, server: Server) -> None:
    """The history has the events of all of them."""
    with make_client(server.url, is_audio_mode=True) as client:
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


def test_rejected_command_leaves_the_outbox(make_client: MakeClient, server: Server) -> None:
    """Its result raises the reject code, and the next command is sent."""
    with make_client(server.url) as client:
        with pytest.raises(Rejected, match="Q7") as rejected:
            client.answer("Q7", 1).result(WAIT_S)
        assert (rejected.value.code, client.unacknowledged) == ("not_current", 0)
        assert client.answer("Q1", 1).result(WAIT_S)["version"] == 2


def test_user_id_is_encoded_in_the_url(make_client: MakeClient, server: Server) -> None:
    """Characters with a meaning in URLs included."""
    with make_client(server.url, "a:d@a.b-c_") as client:
        assert client.wait_until_online(WAIT_S)["session"]["user_id"] == "a:d@a.b-c_"


def test_command_is_applied_once_when_the_server_dies_before_the_ack(
    make_client: MakeClient, server: Server, proxy: Proxy
) -> None:
    """The next server acknowledges it as a duplicate."""
    with make_client(proxied(proxy)) as client:
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


def test_command_is_applied_once_when_its_ack_is_lost(make_client: MakeClient, server: Server, proxy: Proxy) -> None:
    """It is sent again on a new connection and acknowledged as a duplicate."""
    with make_client(proxied(proxy)) as client:
        client.wait_until_online(WAIT_S)
        proxy.drop_replies()
        sent = client.answer("Q1", 3)
        wait_for(lambda: ids(server) == [sent.id], "the command did not arrive")
        proxy.heal()
        ack = sent.result(WAIT_S)
        assert (ack["duplicate"], ack["version"], client.unacknowledged) == (True, 2, 0)
    assert ids(server) == [sent.id]


def test_commands_keep_their_order_over_reconnects(make_client: MakeClient, server: Server, proxy: Proxy) -> None:
    """And each is applied once, however often the connection is cut."""
    received = MessageList()
    with make_client(proxied(proxy), listener=received) as client:
        command_ids: list[str] = []
        for connected in range(1, 7):
            command_ids += [client.set_mode(audio=number % 2 == 0).id for number in range(10)]
            wait_for(lambda: received.types().count("state") >= connected, "the client did not reconnect")  # noqa: B023 - at once
            command_ids += [client.set_mode(audio=number % 2 == 0).id for number in range(10)]
            proxy.cut_all()
        last = client.answer("Q1", 1)
        command_ids.append(last.id)
        last.result(WAIT_S)
    assert ids(server) == command_ids


def test_dead_network_is_detected_by_pings(
    make_client: MakeClient, server: Server, proxy: Proxy, caplog: pytest.LogCaptureFixture
) -> None:
    """A new connection delivers the command; the log has no error."""
    times = replace(FAST, ping_interval_s=0.2, ping_timeout_s=0.2, close_timeout_s=0.1)
    with make_client(proxied(proxy), timeouts=times) as client:
        client.wait_until_online(WAIT_S)
        proxy.swallow()
        sent = client.answer("Q1", 1)
        wait_for(lambda: not client.is_online, "the dead network was not detected")
        proxy.heal()
        sent.result(WAIT_S)
    assert ids(server) == [sent.id]
    assert [record.message for record in caplog.records if record.levelno > logging.INFO] == []


def test_slow_attempts_follow_the_quick_ones(make_client: MakeClient, server: Server, proxy: Proxy) -> None:
    """For as long as the client is open."""
    times = replace(FAST, connect_attempts=2, connect_delay_s=0.001, slow_delay_s=0.02)
    proxy.stop_accepting()
    attempts = []
    logger = logging.getLogger("stepkeep.client")
    handler = logging.Handler()
    handler.emit = attempts.append  # type: ignore[method-assign]
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        with make_client(proxied(proxy), timeouts=times) as client:
            wait_for(lambda: len(attempts) > 5, "the client gave up")
            with pytest.raises(TimeoutError, match="not online within 0 s"):
                client.wait_until_online(0)
            with pytest.raises(TimeoutError, match="not acknowledged within 0 s; it stays in the outbox"):
                client.answer("Q1", 2).result(0)
            proxy.heal()
            client.wait_until_online(WAIT_S)
    finally:
        logger.removeHandler(handler)
        logger.setLevel(logging.NOTSET)


def test_unknown_survey_stops_the_client(make_client: MakeClient, server: Server) -> None:
    """Each call raises the reason, and the outbox keeps its commands."""
    outbox = MemoryOutbox()
    outbox.add({"type": "back", "id": "earlier"})
    with make_client(server.url, survey_id="none", outbox=outbox) as client:
        with pytest.raises(PermanentlyRefused, match="4404") as refused:
            client.wait_until_online(WAIT_S)
        assert refused.value.close_code == 4404
        assert "none" in refused.value.reason
        with pytest.raises(PermanentlyRefused):
            client.answer("Q1", 1)
        with pytest.raises(PermanentlyRefused):
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


def test_killed_process_loses_no_command(make_client: MakeClient, server: Server, tmp_path: Path) -> None:
    """The next process delivers them first, in order, and each once."""
    path = tmp_path / "ada.outbox"
    nowhere = f"http://127.0.0.1:{free_port()}"
    with subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(PROCESS), nowhere, str(path)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        command_ids = [process.stdout.readline().strip() for _ in range(25)]
        process.kill()
        command_ids += process.stdout.read().split()
    outbox = FileOutbox(path)
    client = make_client(server.url, outbox=outbox)
    with client:
        assert client.unacknowledged >= len(command_ids)
        last = client.answer("Q1", 1)
        last.result(WAIT_S)
        assert client.unacknowledged == 0
    applied = ids(server)
    assert applied[: len(command_ids)] == command_ids
    assert applied[-1] == last.id
    assert (
        len(applied) == len(set(applied)) <= len(command_ids) + 2
    )  # the last one may be in the outbox without having been printed


def test_too_large_command_does_not_enter_the_outbox(make_client: MakeClient) -> None:
    """The server would close the connection."""
    with make_client("http://127.0.0.1:1") as client:
        with pytest.raises(CommandTooLarge):
            client.answer("Q1", "x" * 70_000)
        assert client.unacknowledged == 0


@pytest.mark.parametrize("value", ["half an emoji \ud83d", "\0", 2**53 + 1, "x" * 70_000], ids=repr)
def test_stored_command_that_no_server_accepts_does_not_block_the_next(
    make_client: MakeClient, server: Server, tmp_path: Path, caplog: pytest.LogCaptureFixture, value: object
) -> None:
    """Written by another program: it leaves the outbox, the log says why, and what is behind it is saved."""
    outbox = FileOutbox(tmp_path / "box")
    outbox.load("ada in phq9")
    outbox.add({"type": "answer", "id": "poison", "step": "Q1", "value": value})
    outbox.add({"type": "answer", "id": "behind", "step": "Q1", "value": 2})
    outbox.close()
    with make_client(server.url, outbox=FileOutbox(tmp_path / "box")) as client:
        wait_for(lambda: client.unacknowledged == 0, "the outbox was not sent")
    assert ids(server)[-1:] == ["behind"]
    assert "Removed the command poison" in caplog.text
    assert FileOutbox(tmp_path / "box").load("ada in phq9") == []


@pytest.mark.parametrize(
    "text", ['"\\ud83d"', '"\\u0000"', "9007199254740993", '{"a":1,"a":2}', '"' + "x" * 70_000 + '"']
)
def test_refused_frame_settles_its_command(
    make_client: MakeClient, server: Server, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    """What passes the client's check, but not the server's, raises at its command, and the next one is saved."""
    monkeypatch.setattr("app.client.protocol.encode", lambda command: encode(command).replace('"poison"', text))
    with make_client(server.url) as client:
        poison, behind = client.answer("Q1", "poison"), client.answer("Q1", 2)
        with pytest.raises(CommandRefused):
            poison.result(WAIT_S)
        assert behind.result(WAIT_S)["session"]["answers"] == {"Q1": 2}


def test_unacknowledged_commands_stay_in_the_outbox_when_closing(make_client: MakeClient) -> None:
    """Their results raise ClientClosed, and another client can use the outbox."""
    outbox = MemoryOutbox()
    client = make_client(f"http://127.0.0.1:{free_port()}", outbox=outbox)
    with pytest.raises(ClientClosed):
        client.back()
    client.start()
    client.start()
    sent = client.back()
    client.close()
    client.close()
    with pytest.raises(ClientClosed):
        sent.result(WAIT_S)
    for call in (client.back, client.start, lambda: client.wait_until_online(WAIT_S)):
        with pytest.raises(ClientClosed):
            call()
    with make_client("http://127.0.0.1:1", outbox=outbox) as other:
        assert other.unacknowledged == 1


def test_client_does_not_start_while_its_outbox_is_in_use(make_client: MakeClient, tmp_path: Path) -> None:
    """It can start later."""
    with make_client("http://127.0.0.1:1", outbox=FileOutbox(tmp_path / "box")):
        second = make_client("http://127.0.0.1:1", outbox=FileOutbox(tmp_path / "box"))
        with pytest.raises(OutboxInUse):
            second.start()
    with second:
        assert second.unacknowledged == 0


def test_listener_can_fail_and_send_commands(fake: FakeServers, caplog: pytest.LogCaptureFixture) -> None:
    """It is called without the client's lock, and its errors are logged."""
    server = fake(lambda fake, connection, number: fake.acknowledge_all(connection, number))
    commands: list[PendingCommand] = []

    def listener(message: dict[str, Any]) -> None:
        if message["type"] == "state":
            other = threading.Thread(target=lambda: commands.append(client.back()))
            other.start()
            other.join()
            raise RuntimeError("on purpose")

    client = make_blocking_client(server.url, listener=listener)
    with client:
        client.back().result(WAIT_S)
        commands[0].result(WAIT_S)
    assert "The listener failed" in caplog.text


def test_listener_can_close_the_client(fake: FakeServers) -> None:
    """Closing does not wait for the thread that closes."""
    server = fake(lambda fake, connection, number: fake.acknowledge_all(connection, number))
    closed = threading.Event()

    def listener(_: dict[str, Any]) -> None:
        client.close()
        closed.set()

    client = make_blocking_client(server.url, listener=listener)
    client.start()
    assert closed.wait(WAIT_S)


def test_client_reconnects_when_a_message_cannot_be_sent(
    make_client: MakeClient, fake: FakeServers, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next connection starts at the oldest command."""
    server = fake(lambda fake, connection, number: fake.acknowledge_all(connection, number))
    with make_client(server.url, timeouts=replace(FAST, send_attempts=1)) as client:
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


def test_tcp_aborts_a_connection_over_a_dead_network(fake: FakeServers) -> None:
    """On Linux: a send that blocks on full buffers keeps the pings from detecting it."""
    option = getattr(socket, "TCP_USER_TIMEOUT", None)
    if option is None:
        pytest.skip("TCP_USER_TIMEOUT is Linux's")
    server = fake(lambda fake, connection, number: fake.acknowledge_all(connection, number))
    with make_blocking_client(server.url, timeouts=replace(FAST, ping_timeout_s=7)) as client:
        client.wait_until_online(WAIT_S)
        assert client._connection is not None
        assert client._connection.socket.getsockopt(socket.IPPROTO_TCP, option) == 7000
