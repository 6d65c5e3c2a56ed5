"""One session in two server processes: each learns what the other changed, and they never contradict each other."""

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
from tests.databases import NoServer
from tests.durability.exactly_once import check_fold
from tests.notifications.redis_server import RedisServer
from tests.web.conftest import Participant

ROUNDS = 10
WAYS = ("postgresql", "mysql", "redis")


@dataclass
class Pair:
    """Two server processes on one database."""

    one: Server
    two: Server


@pytest.fixture(scope="module", params=[pytest.param(way, marks=pytest.mark.xdist_group(way)) for way in WAYS])
def pair(request: pytest.FixtureRequest, servers: Servers, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    """Two servers that tell each other by PostgreSQL, by Redis (on MariaDB), or look (on MariaDB)."""
    folders = [tmp_path_factory.mktemp(name) for name in ("one", "two")]
    kind = "postgresql" if request.param == "postgresql" else "mysql"
    with contextlib.ExitStack() as stack:
        environment = {}
        if request.param == "redis":
            environment["REDIS_URL"] = started_redis(stack, folders[0]).url
            environment["STEPKEEP_NOTIFICATION_INTERVAL_S"] = "60"  # what is told was told, not found
        url = stack.enter_context(migrated_database(kind, servers, folders[0]))
        both = [Server(folder, SURVEYS, database=url, environment=environment) for folder in folders]
        for server in both:
            stack.callback(server.stop)
            server.start()
        yield Pair(*both)


def started_redis(stack: contextlib.ExitStack, folder: Path) -> RedisServer:
    redis = RedisServer(folder)
    try:
        redis.start()
    except NoServer as error:
        skip_or_fail(str(error))
    stack.callback(redis.kill)
    return redis


def both_devices(pair: Pair, user_id: str) -> tuple[Participant, Participant]:
    return Participant(pair.one, user_id), Participant(pair.two, user_id)


def newest(participant: Participant, version: int) -> list[dict[str, Any]]:
    """Return what the participant receives until he is shown this version."""
    received = [participant.receive()]
    while received[-1].get("version", 0) < version:
        received.append(participant.receive())
    return received


def history(pair: Pair, user_id: str) -> list[tuple[int, str | None, str]]:
    """Return each event's version, message id and name; it folds to the session's row."""
    store = open_store(Settings(database_url=pair.one.database_url, surveys_dir=SURVEYS))
    key = SessionKey("phq9", user_id)
    check_fold(store, key)
    entries = [(entry.version, entry.message_id, entry.record.action) for entry in store.queries.history(key)]
    store.close()
    return entries


def test_answer_through_one_process_is_shown_by_the_other(pair: Pair) -> None:
    """Each device shows what the other answered, with the version, the step and the progress of its ack."""
    phone, laptop = both_devices(pair, "ada")
    turns = ((phone, laptop, "Q1"), (laptop, phone, "Q2"), (phone, laptop, "Q3"))
    for sender, other, step in turns:
        ack = sender.answer(step, 1)
        assert ack["type"] == "ack"
        shown = other.receive()
        assert shown == {"type": "sync"} | {name: ack[name] for name in ("version", "session", "step", "progress")}
    assert [version for version, _, _ in history(pair, "ada")] == [1, 2, 3, 4]


def test_session_that_was_begun_elsewhere_is_resumed_and_followed(pair: Pair) -> None:
    """Who comes back through another process finds his answers, and learns of what follows."""
    phone = Participant(pair.one, "bob")
    phone.answer("Q1", 2)
    laptop = Participant(pair.two, "bob")
    assert (laptop.state["resumed"], laptop.state["version"]) == (True, 2)
    ack = phone.answer("Q2", 3)
    assert laptop.receive()["session"] == ack["session"]


def test_two_answers_at_once_end_in_one_state_that_both_see(pair: Pair) -> None:
    """Both answer the current step through different processes: each gets his own ack, and history has both.

    The second one edits the first one's answer: an answer of a step on the route is accepted, in the order in
    which they were committed.
    """
    for number in range(ROUNDS):
        user_id = f"round-{number}"
        devices = both_devices(pair, user_id)
        start = threading.Barrier(2)

        def answer(which: int, devices: Any = devices, start: threading.Barrier = start) -> list[dict[str, Any]]:
            start.wait(30)
            devices[which].send({"type": "answer", "id": f"device-{which}", "step": "Q1", "value": which})
            return newest(devices[which], 3)

        with ThreadPoolExecutor(2) as threads:
            received = list(threads.map(answer, (0, 1)))
        for which, messages in enumerate(received):
            verdicts = [message for message in messages if message["type"] != "sync"]
            assert [(verdict["type"], verdict["id"]) for verdict in verdicts] == [("ack", f"device-{which}")]
        (one, two) = (messages[-1] for messages in received)
        assert one["session"] == two["session"]
        assert (one["version"], two["version"]) == (3, 3)
        entries = history(pair, user_id)
        assert [version for version, _, _ in entries] == [1, 2, 3]
        assert {message_id for _, message_id, _ in entries[1:]} == {"device-0", "device-1"}
        last = entries[-1][1]
        assert last is not None
        assert one["session"]["answers"] == {"Q1": int(last.removeprefix("device-"))}


def test_refusal_is_the_senders_alone_and_history_shows_what_was_accepted(pair: Pair) -> None:
    """Both go back from the second step at once: one may, the other is refused, and both see the first step."""
    phone, laptop = both_devices(pair, "eve")
    phone.answer("Q1", 1)
    newest(laptop, 2)
    start = threading.Barrier(2)

    def back(device: Participant) -> list[dict[str, Any]]:
        start.wait(30)
        device.send({"type": "back", "id": f"back-{device is phone}"})
        received = newest(device, 3)
        while not any(message["type"] in {"ack", "reject"} for message in received):
            received.append(device.receive())
        return received

    with ThreadPoolExecutor(2) as threads:
        received = list(threads.map(back, (phone, laptop)))
    verdicts = [message for messages in received for message in messages if message["type"] in {"ack", "reject"}]
    assert sorted(verdict["type"] for verdict in verdicts) == ["ack", "reject"]
    assert next(verdict["code"] for verdict in verdicts if verdict["type"] == "reject") == "at_start"
    shown = [[m for m in messages if m["type"] != "reject"][-1]["session"] for messages in received]
    assert shown[0] == shown[1]
    assert shown[0]["current_step"] == "Q1"
    assert [action for _, _, action in history(pair, "eve")] == ["started", "answered", "went_back"]


def test_message_sent_again_through_the_other_process_counts_once(pair: Pair) -> None:
    """A connection breaks before the ack; the client comes back to another process: the same answer, a duplicate."""
    phone = Participant(pair.one, "dan")
    message = {"type": "answer", "id": "same", "step": "Q1", "value": 2}
    phone.send(message)
    phone.ws.close()
    laptop = Participant(pair.two, "dan")
    laptop.send(message)
    acks = [message for message in newest(laptop, 2) if message["type"] == "ack"]
    while not acks:
        acks = [message for message in [laptop.receive()] if message["type"] == "ack"]
    assert (acks[0]["id"], acks[0]["version"]) == ("same", 2)
    assert history(pair, "dan") == [(1, None, "started"), (2, "same", "answered")]
