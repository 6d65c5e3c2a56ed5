"""The Python client against the real server, through a proxy that breaks, and by itself."""

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
    CommandTooLarge,
    FileOutbox,
    MemoryOutbox,
    OutboxInUse,
    RefusedForGood,
    Rejected,
    Sent,
)
from tests.client.conftest import (
    FAST,
    WAIT_S,
    FakeOf,
    Heard,
    client_of,
    history,
    ids,
    through,
)
from tests.conftest import ROOT, Server
from tests.proxy import Proxy
from tests.waiting import free_port, wait_for


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
