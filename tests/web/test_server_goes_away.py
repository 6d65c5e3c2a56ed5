"""The server stops or is replaced while sockets are open: drafts saved, 1001, and whoever comes back goes on."""

import os
import signal
import sqlite3
import threading
from pathlib import Path

import pytest
from websockets.exceptions import ConnectionClosed

from tests.conftest import KINDS, Server, Servers
from tests.waiting import wait_for
from tests.web.conftest import Participant, running_server


def closed_with(participant: Participant) -> int | None:
    """Read until the server closes, and return its code."""
    with pytest.raises(ConnectionClosed) as closed:
        while True:
            participant.receive()
    return closed.value.rcvd.code if closed.value.rcvd is not None else None


def workers(server: Server) -> set[int]:
    assert server.process is not None
    pid = server.process.pid
    return {int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()}


def test_reload_closes_open_sockets_with_1001_and_a_new_worker_takes_over(server: Server) -> None:
    """SIGHUP, as an operator gives it: drafts are saved, and the same walk goes on with the new worker."""
    assert server.process is not None
    participants = [Participant(server, f"reload-{number}", "intake") for number in range(5)]
    for number, participant in enumerate(participants):
        participant.answer("S1", None)
        participant.send({"type": "draft", "step": "S2", "value": f"198{number}"})
        participant.send({"type": "ping"})
        assert participant.receive() == {"type": "pong"}
    before = workers(server)
    os.kill(server.process.pid, signal.SIGHUP)
    assert [closed_with(participant) for participant in participants] == [1001] * 5
    wait_for(lambda: workers(server).isdisjoint(before) and workers(server) != set(), "the worker was not replaced")
    for number in range(5):
        again = Participant(server, f"reload-{number}", "intake")
        assert (again.state["resumed"], again.state["session"]["draft"]) == (True, f"198{number}")
        assert again.answer("S2", "1980-01-01")["type"] == "ack"


def test_stop_commits_what_was_sent_before_it_and_closes_all(server: Server) -> None:
    """SIGTERM while turns are under way: each acknowledged turn is there afterwards; no client sees a bare end."""
    participants = [Participant(server, f"stop-{number}") for number in range(8)]
    acknowledged: dict[int, int] = {}
    codes: dict[int, int | None] = {}

    def answer_on(number: int) -> None:
        participant = participants[number]
        value = 0
        while True:
            try:
                ack = participant.answer("Q1", value := (value + 1) % 4)
            except ConnectionClosed as closed:
                codes[number] = closed.rcvd.code if closed.rcvd is not None else None
                return
            acknowledged[number] = ack["version"]

    threads = [threading.Thread(target=answer_on, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    wait_for(lambda: len(acknowledged) == 8 and min(acknowledged.values()) > 5, "nobody answers")
    assert server.terminate() == 0, server.log
    for thread in threads:
        thread.join(20)
    assert set(codes.values()) == {1001}
    server.start()
    for number, version in acknowledged.items():
        assert Participant(server, f"stop-{number}").state["version"] >= version


@pytest.mark.parametrize("kind", KINDS)
def test_stop_ends_in_time_although_clients_do_not_answer_the_close(
    kind: str, servers: Servers, tmp_path: Path
) -> None:
    """Clients that hang keep no server from stopping: it exits by itself, before it would be killed."""
    with running_server(kind, servers, tmp_path) as server:
        silent = [Participant(server, f"silent-{number}", ping_interval=None) for number in range(5)]
        for participant in silent:
            participant.ws.socket.set_inheritable(False)  # keeps the connection open; nothing reads it any more
        assert server.terminate() == 0, server.log


def test_stop_ends_although_the_database_never_comes_back(tmp_path: Path, servers: Servers) -> None:
    """What waits for it is given up after a moment: it was not acknowledged, and its sender has it."""
    with running_server("sqlite", servers, tmp_path, STEPKEEP_PENDING_AFTER_S="0.3") as server:
        one = Participant(server, "one")
        file = server.database_url.removeprefix("sqlite:///")
        other = sqlite3.connect(file, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        assert one.answer("Q1", 1)["type"] == "pending"
        assert server.terminate() == 0, server.log
        other.execute("ROLLBACK")
        other.close()
        server.start()
        again = Participant(server, "one")
        assert again.state["version"] == 1
        assert again.answer("Q1", 1)["version"] == 2
