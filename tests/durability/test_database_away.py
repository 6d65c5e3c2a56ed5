"""The database goes away while people answer: `pending`, then `ack` in order when it is back; nobody is kept waiting."""

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
from tests.conftest import KINDS, SERVER_KINDS, Server, Servers, skip_or_fail
from tests.databases import NoServer, OwnServer, own_server
from tests.proxy import Proxy
from tests.waiting import wait_for
from tests.web.conftest import Participant, running_server

STEPS = [f"Q{number}" for number in range(1, 10)]
AWAY_S = 0.3


class Outage:
    """A server, and how its database is taken away and given back."""

    def __init__(self, server: Server, begin: Callable[[], None], end: Callable[[], None]) -> None:
        self.server = server
        self.begin = begin
        self.end = end


@contextlib.contextmanager
def served(url: str, folder: Path, **environment: str) -> Iterator[Server]:
    running = Server(folder, database=url, environment={"STEPKEEP_PENDING_AFTER_S": str(AWAY_S), **environment})
    running.start()
    try:
        yield running
    finally:
        running.stop()


@contextlib.contextmanager
def cut_off(kind: str, servers: Servers, folder: Path) -> Iterator[Outage]:
    """The network between the server and its database is cut."""
    direct = servers(kind).create_migrated()
    url = make_url(direct)
    proxy = Proxy(url.host or "127.0.0.1", url.port or 0)
    through = url.set(host="127.0.0.1", port=proxy.port).render_as_string(hide_password=False)

    def cut() -> None:
        proxy.stop_accepting()
        proxy.cut_all()

    with served(through, folder) as server:
        yield Outage(server, cut, proxy.heal)
    proxy.close()
    servers(kind).drop_database(direct)


@contextlib.contextmanager
def own(kind: str, folder: Path, how: str) -> Iterator[Outage]:
    """The database's server is killed, stopped, or frozen."""
    try:
        database = own_server(kind, durable=True)
    except NoServer as error:
        skip_or_fail(str(error))
    try:
        url = database.create_migrated()
        begin, end = _ways(database, how)
        with served(url, folder) as server:
            yield Outage(server, begin, end)
    finally:
        database.close()


def _ways(database: OwnServer, how: str) -> tuple[Callable[[], None], Callable[[], None]]:
    if how == "killed":
        return database.kill, database.start
    if how == "stopped":
        return database.stop, database.start
    assert database.process is not None
    group = [database.process.pid, *_children(database.process.pid)]

    def send(number: signal.Signals) -> None:
        for pid in [*group, *_children(group[0])]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)

    return lambda: send(signal.SIGSTOP), lambda: send(signal.SIGCONT)


def _children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[Outage]:
    """Another process holds SQLite's file."""
    with running_sqlite(folder / "sessions.db", folder) as server:
        other = sqlite3.connect(folder / "sessions.db", isolation_level=None, check_same_thread=False)
        yield Outage(server, lambda: _run(other, "BEGIN IMMEDIATE"), lambda: _run(other, "ROLLBACK"))
        other.close()


def _run(connection: sqlite3.Connection, statement: str) -> None:
    connection.execute(statement)


@contextlib.contextmanager
def full(folder: Path) -> Iterator[Outage]:
    """The disk under SQLite's file is full; a small disk of the test's own."""
    disk = folder / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", str(disk)], capture_output=True, check=False
    )
    if mounted.returncode != 0:
        pytest.skip("a small disk can only be made by root")
    filler = disk / "filler"

    def fill() -> None:
        with contextlib.suppress(OSError), filler.open("wb", buffering=0) as file:
            while True:
                file.write(b"\0" * 4096)

    try:
        with running_sqlite(disk / "sessions.db", folder) as server:
            yield Outage(server, fill, filler.unlink)
    finally:
        subprocess.run(["umount", "--lazy", str(disk)], check=True)


@contextlib.contextmanager
def running_sqlite(file: Path, folder: Path) -> Iterator[Server]:
    with served(f"sqlite:///{file}", folder) as server:
        yield server


OUTAGES = [
    *((kind, how) for kind in SERVER_KINDS for how in ("cut off", "killed", "stopped", "frozen")),
    ("sqlite", "locked"),
    ("sqlite", "full"),
]


@pytest.fixture(params=OUTAGES, ids=lambda outage: f"{outage[0]}-{outage[1].replace(' ', '-')}")
def outage(request: pytest.FixtureRequest, servers: Servers, tmp_path: Path) -> Iterator[Outage]:
    """A server whose database can be taken away, in each of the ways."""
    kind, how = request.param
    ways: dict[str, contextlib.AbstractContextManager[Outage]] = {
        "cut off": cut_off(kind, servers, tmp_path) if how == "cut off" else contextlib.nullcontext(),  # type: ignore[dict-item]
        "locked": locked(tmp_path),
        "full": full(tmp_path),
    }
    with ways.get(how) or own(kind, tmp_path, how) as made:
        yield made


def history_of(server: Server, user: str) -> list[dict[str, Any]]:
    with urllib.request.urlopen(f"{server.url}/api/session/{user}/history?survey=phq9&limit=500") as answer:
        found: list[dict[str, Any]] = json.load(answer)["events"]
    return found


def answers_in_history(server: Server, user: str) -> list[tuple[str, Any]]:
    return [(entry["step"], entry["answer"]) for entry in history_of(server, user) if entry["action"] == "answered"]


def test_participant_goes_on_while_the_database_is_away_and_all_is_acknowledged_in_order_when_it_is_back(
    outage: Outage,
) -> None:
    """`pending` with the next step for each answer, then the acks; one who came only then could begin too."""
    one = Participant(outage.server, "one")
    assert one.answer("Q1", 1)["type"] == "ack"
    outage.begin()
    for number, step in enumerate(STEPS[1:6], start=2):
        one.send({"type": "answer", "id": f"a{number}", "step": step, "value": 2})
        pending = one.receive()
        assert (pending["type"], pending["id"]) == ("pending", f"a{number}")
        assert pending["session"]["current_step"] == STEPS[number]
    refused = one.answer("Q7", 17)
    assert (refused["type"], refused["code"]) == ("reject", "invalid_answer")
    new = Participant(outage.server, "new")
    assert (new.state["resumed"], new.state["session"]["current_step"]) == (False, "Q1")
    new.send({"type": "answer", "id": "n1", "step": "Q1", "value": 3})
    assert new.receive()["type"] == "pending"
    outage.end()
    acks = [one.receive() for _ in range(5)]
    assert [(ack["type"], ack["id"], ack["version"]) for ack in acks] == [
        ("ack", f"a{number}", number + 1) for number in range(2, 7)
    ]
    assert [ack["session"]["current_step"] for ack in acks][-1] == "Q7"
    ack = new.receive()
    assert (ack["type"], ack["id"], ack["version"]) == ("ack", "n1", 2)
    assert one.answer("Q7", 0)["type"] == "ack"
    assert answers_in_history(outage.server, "one") == [("Q1", 1), *((step, 2) for step in STEPS[1:6]), ("Q7", 0)]
    assert answers_in_history(outage.server, "new") == [("Q1", 3)]


@pytest.mark.parametrize("kind", SERVER_KINDS)
def test_known_participant_never_begins_anew_because_the_database_is_away(
    kind: str, servers: Servers, tmp_path: Path
) -> None:
    """Seen here a moment ago: he goes on. Known to have a session, but not which: he waits, and nothing is begun."""
    with cut_off(kind, servers, tmp_path) as outage:
        for user in ("seen", "old"):
            participant = Participant(outage.server, user)
            participant.answer("Q1", 1)
            participant.ws.close()
        outage.server.restart()
        seen = Participant(outage.server, "seen")
        seen.ws.close()
        outage.begin()
        again = Participant(outage.server, "seen")
        assert (again.state["resumed"], again.state["session"]["current_step"]) == (True, "Q2")
        again.send({"type": "answer", "id": "s2", "step": "Q2", "value": 1})
        assert again.receive()["type"] == "pending"
        with pytest.raises(ConnectionClosed) as closed:
            _hear(outage.server, "old")
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 1013
        outage.end()
        assert again.receive()["type"] == "ack"
        wait_for(lambda: _is_at(outage.server, "old", "Q2"), "the old session is not there")


def _hear(server: Server, user: str) -> None:
    participant = Participant.__new__(Participant)
    participant.ws = connect(f"{server.ws_url}/ws/survey/{user}?survey=phq9", legacy=True)
    while True:
        assert participant.receive()["type"] == "error"


def _is_at(server: Server, user: str, step: str) -> bool:
    try:
        state = Participant(server, user).state
    except ConnectionClosed:
        return False
    return bool(state["type"] == "state" and state["resumed"] and state["session"]["current_step"] == step)


def test_command_sent_again_while_it_is_pending_counts_once(tmp_path: Path) -> None:
    """The connection broke: the new one gets `pending` for the same id, and the ack; another content is refused."""
    with locked(tmp_path) as outage:
        one = Participant(outage.server, "twice")
        message = {"type": "answer", "id": "same", "step": "Q1", "value": 1}
        outage.begin()
        one.send(message)
        assert one.receive()["type"] == "pending"
        one.ws.close()
        two = Participant(outage.server, "twice")
        assert (two.state["version"], two.state["session"]["answers"]) == (1, {"Q1": 1})
        two.send({**message, "value": 2})
        assert two.receive()["type"] == "error"
        two.send(message)
        assert two.receive()["type"] == "pending"
        outage.end()
        ack = two.receive()
        assert (ack["type"], ack["version"]) == ("ack", 2)
        assert answers_in_history(outage.server, "twice") == [("Q1", 1)]


def test_session_that_was_begun_in_one_outage_goes_on_in_the_next(tmp_path: Path) -> None:
    """Its beginning was stored in between, and nothing was said meanwhile: what is stored is known all the same."""
    with locked(tmp_path) as outage:
        outage.begin()
        one = Participant(outage.server, "new")
        assert (one.state["version"], one.state["resumed"]) == (0, False)
        outage.end()
        wait_for(lambda: bool(is_there(outage.server, "new")), "it was not begun")
        outage.begin()
        assert one.answer("Q1", 1)["type"] == "pending"
        outage.end()
        assert one.receive()["version"] == 2


def is_there(server: Server, user: str) -> bool:
    try:
        return bool(history_of(server, user))
    except urllib.error.HTTPError:
        return False


def test_memory_for_pending_turns_is_bounded_and_past_it_the_connection_is_closed_with_1013(tmp_path: Path) -> None:
    """What was accepted is committed; the rest stays with the client, who sends it again."""
    url = f"sqlite:///{tmp_path / 'sessions.db'}"
    with served(url, tmp_path, STEPKEEP_PENDING_LIMIT="3") as server:
        one = Participant(server, "many")
        other = sqlite3.connect(tmp_path / "sessions.db", isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        for number in range(1, 4):
            assert one.answer(f"Q{number}", 1)["type"] == "pending"
        with pytest.raises(ConnectionClosed) as closed:
            one.answer("Q4", 1)
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 1013
        other.execute("ROLLBACK")
        other.close()
        wait_for(lambda: len(answers_in_history(server, "many")) == 3, "not committed")


def test_draft_and_stop_while_the_database_is_away_lose_nothing_that_can_be_committed_in_time(tmp_path: Path) -> None:
    """A graceful stop waits a moment for the database: the draft and the answer are there afterwards."""
    with locked(tmp_path) as outage:
        one = Participant(outage.server, "leaves", "intake")
        outage.begin()
        one.send({"type": "answer", "id": "a1", "step": "S1", "value": None})
        assert one.receive()["type"] == "pending"
        one.send({"type": "draft", "step": "S2", "value": "1980"})
        one.ws.close()
        assert outage.server.process is not None
        outage.server.process.terminate()
        outage.end()
        assert outage.server.process.wait(20) == 0
        outage.server.start()
        state = Participant(outage.server, "leaves", "intake").state
        assert (state["session"]["current_step"], state["session"]["draft"]) == ("S2", "1980")


@pytest.mark.parametrize("kind", SERVER_KINDS)
def test_session_whose_row_is_held_does_not_hold_up_the_others(kind: str, servers: Servers, tmp_path: Path) -> None:
    """Somebody keeps one session locked: its participant is pending, all others are acknowledged."""
    with running_server(kind, servers, tmp_path, STEPKEEP_PENDING_AFTER_S="0.3") as server:
        held, free = Participant(server, "held"), Participant(server, "free")
        engine = create_engine(normalise_url(server.database_url))
        with engine.begin() as connection:
            connection.execute(text("SELECT version FROM sessions WHERE user_id = 'held' FOR UPDATE"))
            assert held.answer("Q1", 1)["type"] == "pending"
            free.send({"type": "answer", "id": "f", "step": "Q1", "value": 1})
            last = free.receive()
            assert (last if last["type"] == "ack" else free.receive())["type"] == "ack"
        assert held.receive()["type"] == "ack"
        engine.dispose()
        assert free.answer("Q2", 1)["type"] == "ack"


@pytest.mark.parametrize("kind", KINDS)
def test_half_open_connection_is_found_by_pings_and_its_draft_saved(
    kind: str, servers: Servers, tmp_path: Path
) -> None:
    """The network swallows all: no close ever comes, and still the handler ends and saves."""
    with running_server(kind, servers, tmp_path, STEPKEEP_PING_INTERVAL_S="0.2") as server:
        proxy = Proxy("127.0.0.1", server.port)
        through = Server(tmp_path, port=proxy.port)
        one = Participant(through, "gone", "intake", ping_interval=None)
        one.send({"type": "draft", "step": "S1", "value": "half"})
        one.send({"type": "ping"})
        assert one.receive() == {"type": "pong"}
        proxy.swallow()
        url = f"{server.url}/api/session/gone?survey=intake"
        wait_for(lambda: json.load(urllib.request.urlopen(url))["session"]["draft"] == "half", "no draft")
        proxy.close()
