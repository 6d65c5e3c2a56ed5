"""The database is unavailable while participants answer: `pending` at once, and `ack` in order when it is back."""

import contextlib
import json
import os
import signal
import sqlite3
import subprocess
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine, make_url, text
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from app.store.engine import normalise_url
from tests.conftest import KINDS, SERVER_KINDS, SURVEYS, Server, Servers
from tests.database_servers import OwnServer
from tests.durability.conftest import KillableServers, killable_group
from tests.proxy import Proxy
from tests.waiting import START_S, children, wait_for
from tests.web.conftest import Participant, running_server
from tests.web.sockets import close_code, refusal

STEPS = [f"Q{number}" for number in range(1, 10)]
PENDING_AFTER_S = 0.3


class Outage:
    """A server, and how an outage of its database begins and ends."""

    def __init__(self, server: Server, begin: Callable[[], None], end: Callable[[], None]) -> None:
        self.server = server
        self.begin = begin
        self.end = end


@contextlib.contextmanager
def serve(url: str, folder: Path, surveys: Path = SURVEYS, **environment: str) -> Iterator[Server]:
    running = Server(
        folder, surveys, database=url, environment={"STEPKEEP_PENDING_AFTER_S": str(PENDING_AFTER_S), **environment}
    )
    try:
        running.start()
        # Read in the background; without it, new participants wait until the outage ends.
        wait_for(lambda: "Session-key filter is ready" in running.log, lambda: running.log)
        yield running
    finally:
        running.stop()


@contextlib.contextmanager
def cut_network(kind: str, servers: Servers, folder: Path) -> Iterator[Outage]:
    """An outage of the network between the server and its database."""
    direct = servers(kind).create_migrated()
    url = make_url(direct)
    proxy = Proxy(url.host or "127.0.0.1", url.port or 0)
    through = url.set(host="127.0.0.1", port=proxy.port).render_as_string(hide_password=False)

    def cut() -> None:
        proxy.stop_accepting()
        proxy.cut_all()

    with serve(through, folder) as server:
        yield Outage(server, cut, proxy.heal)
    proxy.close()
    servers(kind).drop_database(direct)


@contextlib.contextmanager
def stop_server(database: OwnServer, folder: Path, how: str) -> Iterator[Outage]:
    """An outage of the database server, which is killed, stopped or frozen."""
    begin, end = _outage_actions(database, how)
    try:
        with serve(database.create_migrated(), folder) as server:
            yield Outage(server, begin, end)
    finally:
        if how == "frozen":
            end()  # another test uses it


def _outage_actions(database: OwnServer, how: str) -> tuple[Callable[[], None], Callable[[], None]]:
    if how == "killed":
        return database.kill, database.start
    if how == "stopped":
        return database.stop, database.start
    assert database.process is not None
    group = [database.process.pid, *children(database.process.pid)]

    def send(number: signal.Signals) -> None:
        for pid in [*group, *children(group[0])]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)

    return lambda: send(signal.SIGSTOP), lambda: send(signal.SIGCONT)


@contextlib.contextmanager
def lock_file(folder: Path) -> Iterator[Outage]:
    """A lock of the SQLite file by another connection."""
    with serve_sqlite(folder / "sessions.db", folder) as server:
        other = sqlite3.connect(folder / "sessions.db", isolation_level=None, check_same_thread=False)
        yield Outage(server, lambda: _run(other, "BEGIN IMMEDIATE"), lambda: _run(other, "ROLLBACK"))
        other.close()


def _run(connection: sqlite3.Connection, statement: str) -> None:
    connection.execute(statement)


@contextlib.contextmanager
def fill_disk(folder: Path) -> Iterator[Outage]:
    """A full disk under the SQLite file: a small file system of the test's own."""
    disk = folder / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", str(disk)], capture_output=True, check=False
    )
    if mounted.returncode != 0:
        pytest.skip("only root can mount a small file system")
    filler = disk / "filler"

    def fill() -> None:
        with contextlib.suppress(OSError), filler.open("wb", buffering=0) as file:
            while True:
                file.write(b"\0" * 4096)

    try:
        with serve_sqlite(disk / "sessions.db", folder) as server:
            yield Outage(server, fill, filler.unlink)
    finally:
        subprocess.run(["umount", "--lazy", str(disk)], check=True)


@contextlib.contextmanager
def serve_sqlite(file: Path, folder: Path) -> Iterator[Server]:
    with serve(f"sqlite:///{file}", folder) as server:
        yield server


def on_killable(kind: str, how: str, *marks: pytest.MarkDecorator) -> Any:
    return pytest.param((kind, how), marks=[killable_group(kind), *marks])


OUTAGES = [
    *(on_killable("postgresql", how) for how in ("killed", "stopped", "frozen")),
    *(on_killable("mysql", how) for how in ("stopped", "frozen")),
    ("mysql", "cut off"),
    # As if cut off or killed on the other server; another test cuts off each.
    pytest.param(("postgresql", "cut off"), marks=pytest.mark.long),
    on_killable("mysql", "killed", pytest.mark.long),
    ("sqlite", "locked"),
    ("sqlite", "full"),
]


@pytest.fixture(params=OUTAGES, ids=lambda outage: f"{outage[0]}-{outage[1].replace(' ', '-')}")
def outage(
    request: pytest.FixtureRequest, servers: Servers, killable_servers: KillableServers, tmp_path: Path
) -> Iterator[Outage]:
    """A server whose database can become unavailable, for each kind of outage."""
    kind, how = request.param
    outages: dict[str, Callable[[], contextlib.AbstractContextManager[Outage]]] = {
        "cut off": lambda: cut_network(kind, servers, tmp_path),
        "locked": lambda: lock_file(tmp_path),
        "full": lambda: fill_disk(tmp_path),
    }
    with outages.get(how, lambda: stop_server(killable_servers(kind), tmp_path, how))() as started:
        yield started


def history_of(server: Server, user: str) -> list[dict[str, Any]]:
    with urllib.request.urlopen(f"{server.url}/api/session/{user}/history?survey=phq9&limit=500") as response:
        events: list[dict[str, Any]] = json.load(response)["events"]
    return events


def answers_in_history(server: Server, user: str) -> list[tuple[str, Any]]:
    return [(entry["step"], entry["answer"]) for entry in history_of(server, user) if entry["action"] == "answered"]


def test_turns_are_pending_while_the_database_is_unavailable_and_acknowledged_in_order_afterwards(
    outage: Outage,
) -> None:
    """`pending` with the next step for each answer, then the acks; a new participant can start meanwhile."""
    participant = Participant(outage.server, "known")
    assert participant.acknowledge("Q1", 1)["type"] == "ack"
    outage.begin()
    for number, step in enumerate(STEPS[1:6], start=2):
        participant.send({"type": "answer", "id": f"a{number}", "step": step, "value": 2})
        pending = participant.receive()
        assert (pending["type"], pending["id"]) == ("pending", f"a{number}")
        assert pending["session"]["current_step"] == STEPS[number]
    refused = participant.answer("Q7", 17)
    assert (refused["type"], refused["code"]) == ("reject", "invalid_answer")
    new = Participant(outage.server, "new")
    assert (new.state["resumed"], new.state["session"]["current_step"]) == (False, "Q1")
    new.send({"type": "answer", "id": "n1", "step": "Q1", "value": 3})
    assert new.receive()["type"] == "pending"
    outage.end()
    acks = [participant.receive() for _ in range(5)]
    assert [(ack["type"], ack["id"], ack["version"]) for ack in acks] == [
        ("ack", f"a{number}", number + 1) for number in range(2, 7)
    ]
    assert [ack["session"]["current_step"] for ack in acks][-1] == "Q7"
    ack = new.receive()
    assert (ack["type"], ack["id"], ack["version"]) == ("ack", "n1", 2)
    assert participant.acknowledge("Q7", 0)["type"] == "ack"
    assert answers_in_history(outage.server, "known") == [("Q1", 1), *((step, 2) for step in STEPS[1:6]), ("Q7", 0)]
    assert answers_in_history(outage.server, "new") == [("Q1", 3)]


@pytest.mark.parametrize("kind", SERVER_KINDS)
def test_known_participant_never_starts_again_while_the_database_is_unavailable(
    kind: str, servers: Servers, tmp_path: Path
) -> None:
    """They continue if this process has loaded their session; otherwise close code 1013, since their session is unknown."""
    with cut_network(kind, servers, tmp_path) as outage:
        for user in ("seen", "old"):
            participant = Participant(outage.server, user)
            participant.acknowledge("Q1", 1)
            participant.ws.close()
        outage.server.restart()
        seen = Participant(outage.server, "seen")
        seen.ws.close()
        outage.begin()
        again = Participant(outage.server, "seen")
        assert (again.state["resumed"], again.state["session"]["current_step"]) == (True, "Q2")
        again.send({"type": "answer", "id": "s2", "step": "Q2", "value": 1})
        assert again.receive()["type"] == "pending"
        with connect(f"{outage.server.ws_url}/ws/survey/old?survey=phq9") as ws:
            assert refusal(ws) == 1013
        outage.end()
        assert again.receive()["type"] == "ack"
        wait_for(lambda: _is_at(outage.server, "old", "Q2"), "the old session is missing")


def _is_at(server: Server, user: str, step: str) -> bool:
    try:
        state = Participant(server, user).state
    except ConnectionClosed:
        return False
    return bool(state["type"] == "state" and state["resumed"] and state["session"]["current_step"] == step)


def test_command_is_applied_once_when_sent_again_while_pending(tmp_path: Path) -> None:
    """On a new connection: `pending` for the same id, then the ack; other content under this id is refused."""
    with lock_file(tmp_path) as outage:
        participant = Participant(outage.server, "twice")
        message = {"type": "answer", "id": "same", "step": "Q1", "value": 1}
        outage.begin()
        participant.send(message)
        assert participant.receive()["type"] == "pending"
        participant.ws.close()
        reconnected = Participant(outage.server, "twice")
        assert (reconnected.state["version"], reconnected.state["session"]["answers"]) == (1, {"Q1": 1})
        reconnected.send({**message, "value": 2})
        assert reconnected.receive()["type"] == "error"
        reconnected.send(message)
        assert reconnected.receive()["type"] == "pending"
        outage.end()
        ack = reconnected.receive()
        assert (ack["type"], ack["version"]) == ("ack", 2)
        assert answers_in_history(outage.server, "twice") == [("Q1", 1)]


def test_session_started_in_an_outage_continues_in_the_next(tmp_path: Path) -> None:
    """Its start was stored in between, without any message to the participant; the server knows the stored state."""
    with lock_file(tmp_path) as outage:
        outage.begin()
        participant = Participant(outage.server, "new")
        assert (participant.state["version"], participant.state["resumed"]) == (0, False)
        outage.end()
        wait_for(lambda: has_history(outage.server, "new"), "the session was not started")
        outage.begin()
        assert participant.answer("Q1", 1)["type"] == "pending"
        outage.end()
        assert participant.receive()["version"] == 2


def test_session_started_in_an_outage_has_its_parameters(tmp_path: Path) -> None:
    """They are checked before it is queued, and stored with it."""
    (tmp_path / "surveys").mkdir()
    (tmp_path / "surveys" / "phq9.yaml").write_text(
        "id: phq9\ntitle: T\nlanguage: en\nparameters: {clinic: {type: text, from: url, max_length: 5}}\n"
        "steps: [{id: S1, type: text, prompt: Clinic}]\n"
    )
    with serve(f"sqlite:///{tmp_path / 'sessions.db'}", tmp_path, tmp_path / "surveys") as server:
        other = sqlite3.connect(tmp_path / "sessions.db", isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        for wrong in ("phq9", "phq9&clinic=longer"):
            with connect(f"{server.ws_url}/ws/survey/new?survey={wrong}") as ws:
                assert refusal(ws) == 4400
        begun = Participant(server, "new", "phq9&clinic=north")
        assert (begun.state["version"], begun.state["session"]["parameters"]) == (0, {"clinic": "north"})
        other.execute("ROLLBACK")
        other.close()
        wait_for(lambda: has_history(server, "new"), "the session was not started")
        assert Participant(server, "new").state["session"]["parameters"] == {"clinic": "north"}


def has_history(server: Server, user: str) -> bool:
    try:
        return bool(history_of(server, user))
    except urllib.error.HTTPError:
        return False


def test_connection_is_closed_with_1013_when_the_limit_of_pending_turns_is_reached(tmp_path: Path) -> None:
    """Accepted turns are committed; the client keeps the others and sends them again."""
    url = f"sqlite:///{tmp_path / 'sessions.db'}"
    with serve(url, tmp_path, STEPKEEP_PENDING_LIMIT="3") as server:
        participant = Participant(server, "many")
        other = sqlite3.connect(tmp_path / "sessions.db", isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        for number in range(1, 4):
            assert participant.answer(f"Q{number}", 1)["type"] == "pending"
        participant.send({"type": "answer", "id": "a4", "step": "Q4", "value": 1})
        assert close_code(participant.ws) == 1013
        other.execute("ROLLBACK")
        other.close()
        wait_for(lambda: len(answers_in_history(server, "many")) == 3, "not committed")


def test_pending_answer_and_draft_are_saved_when_the_server_stops_during_an_outage(tmp_path: Path) -> None:
    """A graceful stop waits for the database for a limited time, and commits the draft and the answer."""
    with lock_file(tmp_path) as outage:
        participant = Participant(outage.server, "leaves", "intake")
        outage.begin()
        participant.send({"type": "answer", "id": "a1", "step": "S1", "value": None})
        assert participant.receive()["type"] == "pending"
        participant.send({"type": "draft", "step": "S2", "value": "1980"})
        participant.send({"type": "ping"})  # a server that stops does not read what is still buffered
        assert participant.receive() == {"type": "pong"}
        participant.ws.close()
        assert outage.server.process is not None
        outage.server.process.terminate()
        outage.end()
        assert outage.server.process.wait(START_S) == 0
        outage.server.start()
        state = Participant(outage.server, "leaves", "intake").state
        assert (state["session"]["current_step"], state["session"]["draft"]) == ("S2", "1980")


@pytest.mark.parametrize("kind", SERVER_KINDS)
def test_other_sessions_are_acknowledged_while_the_row_of_one_is_locked(
    kind: str, servers: Servers, tmp_path: Path
) -> None:
    """Only the turns of the locked session are pending."""
    with running_server(kind, servers, tmp_path, STEPKEEP_PENDING_AFTER_S="0.3") as server:
        locked, free = Participant(server, "locked"), Participant(server, "free")
        engine = create_engine(normalise_url(server.database_url))
        with engine.begin() as connection:
            connection.execute(text("SELECT version FROM sessions WHERE user_id = 'locked' FOR UPDATE"))
            assert locked.answer("Q1", 1)["type"] == "pending"
            assert free.acknowledge("Q1", 1)["type"] == "ack"
        assert locked.receive()["type"] == "ack"
        engine.dispose()
        assert free.acknowledge("Q2", 1)["type"] == "ack"


@pytest.mark.parametrize("kind", KINDS)
def test_draft_is_saved_when_pings_detect_a_half_open_connection(kind: str, servers: Servers, tmp_path: Path) -> None:
    """The network drops every packet, so no close arrives; the handler ends and saves nevertheless."""
    with running_server(kind, servers, tmp_path, STEPKEEP_PING_INTERVAL_S="0.5") as server:
        proxy = Proxy("127.0.0.1", server.port)
        through = Server(tmp_path, port=proxy.port)
        participant = Participant(through, "silent", "intake", ping_interval=None)
        participant.send({"type": "draft", "step": "S1", "value": "half"})
        participant.send({"type": "ping"})
        assert participant.receive() == {"type": "pong"}
        proxy.swallow()
        url = f"{server.url}/api/session/silent?survey=intake"
        wait_for(lambda: json.load(urllib.request.urlopen(url))["session"]["draft"] == "half", "no draft")
        proxy.close()
