"""One session in two server processes: each is notified of the other's changes, and they never contradict each other."""

import contextlib
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from app.sessions.service import open_store
from app.settings import Settings
from app.survey.snapshot import SessionKey
from tests.conftest import SURVEYS, Server, Servers, migrated_database, skip_or_fail
from tests.database_servers import NoServer
from tests.durability.exactly_once import check_fold
from tests.notifications.redis_server import RedisServer
from tests.web.conftest import Participant

ROUNDS = 10
TRANSPORTS = ("postgresql", "mysql", "redis")


@dataclass
class Pair:
    """Two server processes on one database."""

    first: Server
    second: Server


@pytest.fixture(
    scope="module",
    params=[pytest.param(transport, marks=pytest.mark.xdist_group(transport)) for transport in TRANSPORTS],
)
def pair(request: pytest.FixtureRequest, servers: Servers, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    """Two servers that notify each other through PostgreSQL or Redis, or poll MariaDB."""
    folders = [tmp_path_factory.mktemp(name) for name in ("one", "two")]
    kind = "postgresql" if request.param == "postgresql" else "mysql"
    with contextlib.ExitStack() as stack:
        environment = {}
        if request.param == "redis":
            environment["REDIS_URL"] = start_redis(stack, folders[0]).url
            environment["STEPKEEP_NOTIFICATION_INTERVAL_S"] = "60"  # so that a poll cannot stand in for a notification
        url = stack.enter_context(migrated_database(kind, servers, folders[0]))
        both = [Server(folder, SURVEYS, database=url, environment=environment) for folder in folders]
        for server in both:
            stack.callback(server.stop)
            server.start()
        yield Pair(*both)


def start_redis(stack: contextlib.ExitStack, folder: Path) -> RedisServer:
    redis = RedisServer(folder)
    try:
        redis.start()
    except NoServer as error:
        skip_or_fail(str(error))
    stack.callback(redis.kill)
    return redis


def connect_both(pair: Pair, user_id: str) -> tuple[Participant, Participant]:
    return Participant(pair.first, user_id), Participant(pair.second, user_id)


def receive_until_version(participant: Participant, version: int) -> list[dict[str, Any]]:
    """Return the messages that the participant receives up to the one with this version."""
    received = [participant.receive()]
    while received[-1].get("version", 0) < version:
        received.append(participant.receive())
    return received


def history(pair: Pair, user_id: str) -> list[tuple[int, str | None, str]]:
    """Return each event's version, message id and action, and check that they replay to the session's row."""
    store = open_store(Settings(database_url=pair.first.database_url, surveys_dir=SURVEYS))
    key = SessionKey("phq9", user_id)
    check_fold(store, key)
    entries = [(entry.version, entry.message_id, entry.record.action) for entry in store.queries.history(key)]
    store.close()
    return entries


def test_answer_through_one_process_reaches_the_other(pair: Pair) -> None:
    """As a sync with the version, session, step and progress of the ack."""
    phone, laptop = connect_both(pair, "ada")
    turns = ((phone, laptop, "Q1"), (laptop, phone, "Q2"), (phone, laptop, "Q3"))
    for sender, other, step in turns:
        ack = sender.answer(step, 1)
        assert ack["type"] == "ack"
        sync = other.receive()
        assert sync == {"type": "sync"} | {name: ack[name] for name in ("version", "session", "step", "progress")}
    assert [version for version, _, _ in history(pair, "ada")] == [1, 2, 3, 4]


def test_session_that_began_in_another_process_is_resumed_and_updated(pair: Pair) -> None:
    phone = Participant(pair.first, "bob")
    phone.answer("Q1", 2)
    laptop = Participant(pair.second, "bob")
    assert (laptop.state["resumed"], laptop.state["version"]) == (True, 2)
    ack = phone.answer("Q2", 3)
    assert laptop.receive()["session"] == ack["session"]


def test_simultaneous_answers_end_in_one_state_that_both_receive(pair: Pair) -> None:
    """Each device gets its own ack, and the history has both answers in the order of their commits."""
    for number in range(ROUNDS):
        user_id = f"round-{number}"
        devices = connect_both(pair, user_id)
        start = threading.Barrier(2)

        def answer(which: int, devices: Any = devices, start: threading.Barrier = start) -> list[dict[str, Any]]:
            start.wait(30)
            devices[which].send({"type": "answer", "id": f"device-{which}", "step": "Q1", "value": which})
            return receive_until_version(devices[which], 3)

        with ThreadPoolExecutor(2) as threads:
            received = list(threads.map(answer, (0, 1)))
        for which, messages in enumerate(received):
            verdicts = [message for message in messages if message["type"] != "sync"]
            assert [(verdict["type"], verdict["id"]) for verdict in verdicts] == [("ack", f"device-{which}")]
        first, second = (messages[-1] for messages in received)
        assert first["session"] == second["session"]
        assert (first["version"], second["version"]) == (3, 3)
        entries = history(pair, user_id)
        assert [version for version, _, _ in entries] == [1, 2, 3]
        assert {message_id for _, message_id, _ in entries[1:]} == {"device-0", "device-1"}
        last = entries[-1][1]
        assert last is not None
        assert first["session"]["answers"] == {"Q1": int(last.removeprefix("device-"))}


def test_rejection_reaches_the_sender_only(pair: Pair) -> None:
    """Of two simultaneous backs from the second step, one is accepted, and both devices end at the first step."""
    phone, laptop = connect_both(pair, "eve")
    phone.answer("Q1", 1)
    receive_until_version(laptop, 2)
    start = threading.Barrier(2)

    def back(device: Participant) -> list[dict[str, Any]]:
        start.wait(30)
        device.send({"type": "back", "id": f"back-{device is phone}"})
        received = receive_until_version(device, 3)
        while not any(message["type"] in {"ack", "reject"} for message in received):
            received.append(device.receive())
        return received

    with ThreadPoolExecutor(2) as threads:
        received = list(threads.map(back, (phone, laptop)))
    verdicts = [message for messages in received for message in messages if message["type"] in {"ack", "reject"}]
    assert sorted(verdict["type"] for verdict in verdicts) == ["ack", "reject"]
    assert next(verdict["code"] for verdict in verdicts if verdict["type"] == "reject") == "at_start"
    sessions = [[m for m in messages if m["type"] != "reject"][-1]["session"] for messages in received]
    assert sessions[0] == sessions[1]
    assert sessions[0]["current_step"] == "Q1"
    assert [action for _, _, action in history(pair, "eve")] == ["started", "answered", "went_back"]


def test_message_resent_through_another_process_is_a_duplicate(pair: Pair) -> None:
    """As when the connection breaks before the ack."""
    phone = Participant(pair.first, "dan")
    message = {"type": "answer", "id": "same", "step": "Q1", "value": 2}
    phone.send(message)
    phone.ws.close()
    laptop = Participant(pair.second, "dan")
    laptop.send(message)
    acks = [message for message in receive_until_version(laptop, 2) if message["type"] == "ack"]
    while not acks:
        acks = [message for message in [laptop.receive()] if message["type"] == "ack"]
    assert (acks[0]["id"], acks[0]["version"]) == ("same", 2)
    assert history(pair, "dan") == [(1, None, "started"), (2, "same", "answered")]
