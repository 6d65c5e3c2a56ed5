"""A SQLite file that is deleted, moved or replaced under a running server loses no acknowledged answer."""

import json
import os
import re
import shutil
import signal
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.conftest import Server
from tests.databases import create_sqlite
from tests.waiting import START_S, children, wait_for
from tests.web.conftest import Participant

SUFFIXES = ("", "-wal", "-shm")


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    running = Server(tmp_path, environment={"STEPKEEP_PENDING_AFTER_S": "0.5"})
    running.start()
    yield running
    running.stop()


def file_of(server: Server) -> Path:
    return server.folder / "sessions.db"


def move(source: Path, target: Path) -> None:
    """Move the file with its write-ahead log, as ``mv sessions.db* elsewhere`` does."""
    target.mkdir()
    for suffix in SUFFIXES:
        Path(f"{source}{suffix}").rename(target / f"{source.name}{suffix}")


def readiness(server: Server) -> tuple[int, str]:
    response = httpx.get(f"{server.url}/readyz")
    return response.status_code, str(response.json().get("detail", ""))


def stored(server: Server, user_id: str) -> Any:
    response = httpx.get(f"{server.url}/api/session/{user_id}", params={"survey": "phq9"})
    return response.json()["session"]["answers"] if response.status_code == 200 else response.status_code


def answer_until_pending(participant: Participant) -> list[str]:
    """Answer two steps, and return the types of the replies."""
    return [participant.answer(step, 1)["type"] for step in ("Q2", "Q3")]


def delete(file: Path) -> None:
    for suffix in SUFFIXES:
        Path(f"{file}{suffix}").unlink()


def replace(file: Path) -> None:
    """Put a copy in its place, which has another identity, as ``cp`` and an editor's save do."""
    other = file.with_suffix(".other")
    create_sqlite(other)
    other.replace(file)


def long(lose: Callable[[Path], object], words: str) -> Any:
    return pytest.param(lose, words, marks=pytest.mark.long)


@pytest.mark.parametrize(
    ("lose", "words"),
    [
        (delete, "was deleted or moved"),
        long(lambda file: file.rename(file.with_suffix(".bak")), "was deleted or moved"),
        (replace, "was replaced by another file"),
        (lambda file: file.with_name(f"{file.name}-wal").unlink(), "-wal was deleted or moved"),
        long(lambda file: file.with_name(f"{file.name}-shm").unlink(), "-shm was deleted or moved"),
    ],
    ids=["deleted", "renamed", "replaced", "log deleted", "index deleted"],
)
def test_lost_file_is_noticed_and_nothing_is_acknowledged_into_it(
    server: Server, lose: Callable[[Path], None], words: str
) -> None:
    """Turns are `pending`, reads are refused, /readyz says what to do, and the log has one line of it."""
    participant = Participant(server, "ada")
    assert participant.answer("Q1", 1)["type"] == "ack"
    lose(file_of(server))
    assert answer_until_pending(participant) == ["pending", "pending"]
    status, detail = readiness(server)
    assert (status, words in detail) == (503, True), detail
    assert re.search("Restart the server|Move it back|Put the original back", detail)
    if "-" not in words:
        assert stored(server, "ada") == 503
    wait_for(lambda: "while the server uses it" in server.log, lambda: server.log)
    assert [line for line in server.log.splitlines() if "Traceback" in line] == []
    lines = [line for line in server.log.splitlines() if "stepkeep.store" in line and "while the server uses" in line]
    assert len(lines) == 1


def test_idle_server_notices_within_a_check_that_its_file_was_deleted(server: Server) -> None:
    """No request and no turn is needed."""
    assert readiness(server)[0] == 200
    delete(file_of(server))
    wait_for(lambda: "was deleted or moved while the server uses it" in server.log, lambda: server.log)


def test_pending_turns_are_committed_once_when_the_file_is_moved_back(server: Server) -> None:
    """The server continues by itself."""
    participant = Participant(server, "ada")
    assert participant.answer("Q1", 1)["type"] == "ack"
    file, elsewhere = file_of(server), server.folder / "elsewhere"
    move(file, elsewhere)
    assert answer_until_pending(participant) == ["pending", "pending"]
    for suffix in SUFFIXES:
        (elsewhere / f"{file.name}{suffix}").rename(f"{file}{suffix}")
    assert [participant.receive()["type"] for _ in range(2)] == ["ack", "ack"]
    assert stored(server, "ada") == {"Q1": 1, "Q2": 1, "Q3": 1}
    assert readiness(server)[0] == 200
    assert "sessions.db is back" in server.log
    server.restart()
    assert stored(server, "ada") == {"Q1": 1, "Q2": 1, "Q3": 1}
    history = httpx.get(f"{server.url}/api/session/ada/history", params={"survey": "phq9"}).json()
    assert [event["version"] for event in history["events"]] == [1, 2, 3, 4], json.dumps(history)


def test_another_file_in_its_place_is_used_only_after_a_restart(server: Server) -> None:
    """Its schema is checked then; the turns are resent by the clients."""
    participant = Participant(server, "ada")
    assert participant.answer("Q1", 1)["type"] == "ack"
    file = file_of(server)
    delete(file)
    create_sqlite(file)
    assert answer_until_pending(participant) == ["pending", "pending"]
    with sqlite3.connect(file) as other:
        assert other.execute("SELECT count(*) FROM sessions").fetchone() == (0,)
    other.close()
    server.restart()
    assert readiness(server)[0] == 200
    assert stored(server, "ada") == 404


@pytest.mark.parametrize("suffix", ["-wal", pytest.param("-shm", marks=pytest.mark.long)])
def test_acknowledged_answers_survive_the_deletion_of_the_write_ahead_log(server: Server, suffix: str) -> None:
    """The server copies what the log holds into the database before it refuses, even if it is killed then."""
    participant = Participant(server, "ada")
    for step in ("Q1", "Q2", "Q3"):
        assert participant.answer(step, 1)["type"] == "ack"
    file_of(server).with_name(f"sessions.db{suffix}").unlink()
    wait_for(lambda: "while the server uses it" in server.log, lambda: server.log)
    assert participant.answer("Q4", 1)["type"] == "pending"
    server.restart()
    assert {"Q1": 1, "Q2": 1, "Q3": 1}.items() <= stored(server, "ada").items()


@pytest.mark.long
def test_deleted_file_is_recovered_from_the_running_server(server: Server) -> None:
    """As docs/troubleshooting.md says: copies from /proc, while the server refuses, have every acknowledged answer."""
    participant = Participant(server, "ada")
    assert participant.answer("Q1", 1)["type"] == "ack"
    file = file_of(server)
    delete(file)
    assert answer_until_pending(participant) == ["pending", "pending"]
    copies = {}
    for descriptor in Path("/proc").glob("[0-9]*/fd/*"):
        try:
            name = str(descriptor.readlink()).removesuffix(" (deleted)")
        except OSError:
            continue
        if name in {str(file), f"{file}-wal"}:
            copies[name] = descriptor
    assert len(copies) == 2
    for name, descriptor in copies.items():
        shutil.copyfile(descriptor, name)
    server.restart()
    assert {"Q1": 1}.items() <= stored(server, "ada").items()


@pytest.mark.parametrize("end", ["worker killed", "server killed", "server stopped"])
def test_process_that_starts_while_the_file_is_away_begins_no_empty_database(server: Server, end: str) -> None:
    """What an empty one acknowledged would be lost when the file is moved back. Workers are started until it is."""
    assert server.process is not None
    assert Participant(server, "ada").answer("Q1", 1)["type"] == "ack"
    file, elsewhere = file_of(server), server.folder / "elsewhere"
    server.database = server.database_url  # so that the test creates none either
    move(file, elsewhere)
    problem = "sessions.db.in-use, which belongs to it, is there: it was deleted or moved. Move it back"
    if end == "worker killed":
        for pid in children(server.process.pid):
            os.kill(pid, signal.SIGKILL)
        wait_for(lambda: problem in server.log, lambda: server.log)
    else:
        (server.kill if end == "server killed" else server.terminate)()
        server.spawn()
        assert server.process.wait(START_S) != 0
        assert problem in server.log
    assert not file.exists()
    for moved in elsewhere.iterdir():
        moved.rename(server.folder / moved.name)
    if end == "worker killed":
        server.wait_until_it_answers()
    else:
        server.start()
    assert stored(server, "ada") == {"Q1": 1}


def test_file_deleted_after_a_clean_stop_is_created_again(server: Server) -> None:
    """The operator meant it."""
    server.database = server.database_url
    server.terminate()
    file_of(server).unlink()
    server.start()
    assert stored(server, "ada") == 404
