"""The server stops or is replaced while sockets are open: drafts are saved, sockets close with 1001, clients resume."""

import os
import signal
import sqlite3
import threading
from pathlib import Path

import httpx
import pytest
from websockets.exceptions import ConnectionClosed

from tests.conftest import KINDS, Server, Servers
from tests.waiting import children, wait_for
from tests.web.conftest import Participant, running_server
from tests.web.sockets import close_code


def worker_pids(server: Server) -> set[int]:
    assert server.process is not None
    return set(children(server.process.pid))


def test_reload_closes_sockets_with_1001_and_starts_a_new_worker(server: Server) -> None:
    """SIGHUP after an upgrade: drafts are saved, and sessions continue with the new worker."""
    assert server.process is not None
    participants = [Participant(server, f"reload-{number}", "intake") for number in range(5)]
    for number, participant in enumerate(participants):
        participant.answer("S1", None)
        participant.send({"type": "draft", "step": "S2", "value": f"198{number}"})
        participant.send({"type": "ping"})
        assert participant.receive() == {"type": "pong"}
    before = worker_pids(server)
    server.change_secret()
    os.kill(server.process.pid, signal.SIGHUP)
    assert [close_code(participant.ws) for participant in participants] == [1001] * 5
    wait_for(
        lambda: worker_pids(server).isdisjoint(before) and worker_pids(server) != set(), "the worker was not replaced"
    )
    for number in range(5):
        again = Participant(server, f"reload-{number}", "intake")
        assert (again.state["resumed"], again.state["session"]["draft"]) == (True, f"198{number}")
        assert again.answer("S2", "1980-01-01")["type"] == "ack"


@pytest.mark.parametrize("end", ["stop", "disconnect"])
def test_received_commands_and_draft_are_saved_when_the_connection_ends(
    servers: Servers, tmp_path: Path, end: str
) -> None:
    """Also those that the server had not read yet when it was stopped, or when the client disconnected."""
    with running_server("sqlite", servers, tmp_path, STEPKEEP_MESSAGES_PER_SECOND="100000") as server:
        participant = Participant(server, "received", "intake", ping_interval=None)
        (worker,) = worker_pids(server)
        os.kill(worker, signal.SIGSTOP)
        for number in range(100):
            participant.send({"type": "mode", "id": f"m{number}", "audio": number % 2 == 0})
        participant.send({"type": "draft", "step": "S1", "value": "typed"})
        if end == "stop":
            os.kill(worker, signal.SIGTERM)
        else:
            participant.ws.socket.close()
        os.kill(worker, signal.SIGCONT)
        wait_for(lambda: worker_pids(server).isdisjoint({worker}) or end == "disconnect", "the worker did not stop")
        url = f"{server.url}/api/session/received?survey=intake"
        wait_for(lambda: httpx.get(url).json()["session"]["draft"] == "typed", "the draft was not saved")
        assert httpx.get(url).json()["session"]["version"] == 102


def test_stop_commits_pending_turns_and_closes_all_sockets(server: Server) -> None:
    """SIGTERM during turns: no acknowledged turn is lost, and each client gets 1001."""
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
    wait_for(lambda: len(acknowledged) == 8 and min(acknowledged.values()) > 5, "the turns did not start")
    assert server.terminate() == 0, server.log
    for thread in threads:
        thread.join(20)
    assert set(codes.values()) == {1001}
    server.start()
    for number, version in acknowledged.items():
        assert Participant(server, f"stop-{number}").state["version"] >= version


@pytest.mark.parametrize("kind", KINDS)
def test_stop_ends_in_time_when_clients_do_not_answer_the_close(kind: str, servers: Servers, tmp_path: Path) -> None:
    """The server exits before it would be killed."""
    with running_server(kind, servers, tmp_path) as server:
        silent = [Participant(server, f"silent-{number}", ping_interval=None) for number in range(5)]
        for participant in silent:
            participant.ws.socket.set_inheritable(False)  # keeps the connection open without reading it
        assert server.terminate() == 0, server.log


def test_stop_ends_when_the_database_stays_locked(tmp_path: Path, servers: Servers) -> None:
    """The pending turn was not acknowledged, and its client still has it."""
    with running_server("sqlite", servers, tmp_path, STEPKEEP_PENDING_AFTER_S="0.3") as server:
        participant = Participant(server, "one")
        file = server.database_url.removeprefix("sqlite:///")
        other = sqlite3.connect(file, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        assert participant.answer("Q1", 1)["type"] == "pending"
        assert server.terminate() == 0, server.log
        other.execute("ROLLBACK")
        other.close()
        server.start()
        again = Participant(server, "one")
        assert again.state["version"] == 1
        assert again.answer("Q1", 1)["version"] == 2
