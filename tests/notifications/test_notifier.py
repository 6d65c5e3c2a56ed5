"""Notifications over PostgreSQL and Redis; each instance stands for a process."""

import logging
import os
import signal
import socket
import threading
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest

from app.notifications import notifier as notifier_module
from app.notifications import publisher, subscriber
from app.notifications import redis as redis_module
from app.notifications.transport import PAYLOAD_BYTES, decode, encode
from app.settings import Settings
from app.store import retry
from app.survey.snapshot import SessionKey
from tests.conftest import skip_or_fail
from tests.database_servers import NoServer, PostgreSQL, own_server
from tests.notifications.conftest import (
    KEY,
    NEVER_S,
    OTHER,
    Channel,
    Open,
    backends_of,
    run,
)
from tests.notifications.redis_server import RedisServer
from tests.waiting import wait_for


def test_publish_reaches_other_processes_and_not_its_own(broadcast: Channel, opened: Open) -> None:
    first, second = opened(broadcast), opened(broadcast)
    first.follow(KEY)
    second.follow(KEY)
    first.notifier.publish(KEY, 2)
    second.wait_for_changes((KEY, 2))
    second.notifier.publish(KEY, 3)
    first.wait_for_changes((KEY, 3))


def test_on_key_is_called_for_sessions_without_a_subscriber(broadcast: Channel, opened: Open) -> None:
    """Otherwise another process's participant would seem new while the database is unavailable."""
    first, second = opened(broadcast), opened(broadcast)
    assert second.notifier.is_broadcast
    second.notifier.start()
    versions = count(1)

    def is_discovered() -> bool:
        first.notifier.publish(OTHER, next(versions))  # repeated: it may not listen yet
        return set(second.discovered) == {OTHER}

    wait_for(is_discovered, lambda: f"discovered {second.discovered}")
    assert second.changes == []


def test_own_notification_is_not_decoded(broadcast: Channel, opened: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    """A busy server receives each of its own commits; the token at the start of the payload identifies it."""
    read: list[str] = []

    def counted(payload: str) -> list[tuple[SessionKey, int]]:
        read.append(payload)
        return decode(payload)

    monkeypatch.setattr(notifier_module, "decode", counted)
    first, second = opened(broadcast), opened(broadcast)
    first.follow(KEY)
    second.follow(KEY)
    first.notifier.publish(KEY, 2)
    second.wait_for_changes((KEY, 2))
    second.notifier.publish(KEY, 3)
    first.wait_for_changes((KEY, 3))
    assert len(read) == 2


def test_close_sends_what_is_queued(broadcast: Channel, opened: Open) -> None:
    """A command that ends at once, in a process of its own."""
    process = opened(broadcast)
    process.follow(KEY)
    done = run(broadcast, f"key = SessionKey{tuple(KEY)}\nnotifier.publish(key, 2)\nnotifier.close()\n")
    assert (done.returncode, done.stderr) == (0, "")
    process.wait_for_changes((KEY, 2))


def test_change_is_received_once_and_older_versions_never(broadcast: Channel, opened: Open) -> None:
    """Nor a session without a subscriber."""
    first, second, third = opened(broadcast), opened(broadcast), opened(broadcast)
    first.follow(KEY)
    second.notifier.publish(KEY, 5)
    first.wait_for_changes((KEY, 5))
    third.notifier.publish(OTHER, 9)
    third.notifier.publish(KEY, 5)
    third.notifier.close()
    second.notifier.publish(KEY, 4)
    second.notifier.publish(KEY, 6)
    first.wait_for_changes((KEY, 5), (KEY, 6))


def test_subscription_ends_with_the_last_unsubscribe(broadcast: Channel, opened: Open) -> None:
    """A new subscriber may arrive before or after the old one leaves."""
    first, second = opened(broadcast), opened(broadcast)
    first.follow(KEY, OTHER)
    first.notifier.subscribe(KEY, 1)
    first.notifier.unsubscribe(KEY)
    first.notifier.unsubscribe(OTHER)
    second.notifier.publish(OTHER, 2)
    second.notifier.publish(KEY, 2)
    first.wait_for_changes((KEY, 2))
    first.notifier.unsubscribe(KEY)
    assert not first.notifier._versions


def test_many_sessions_with_the_longest_names_are_sent_in_several_payloads(broadcast: Channel, opened: Open) -> None:
    keys = [SessionKey("s" * 64, f"{number:04d}" + "u" * 124) for number in range(300)]
    first, second = opened(broadcast), opened(broadcast)
    first.follow(*keys)
    for key in keys:
        second.notifier.publish(key, 2)
    wait_for(lambda: len(first.changes) == len(keys), lambda: f"received {len(first.changes)}")
    assert sorted(first.changes) == [(key, 2) for key in keys]


def test_payload_stays_below_the_limit_of_postgresql() -> None:
    """Whatever the number of sessions; it holds only keys and versions."""
    versions = {SessionKey("s" * 64, f"{number}" + "u" * 120): number for number in range(1000)}
    payloads = encode("token", versions)
    assert max(len(payload.encode()) for payload in payloads) <= PAYLOAD_BYTES
    assert [change for payload in payloads for change in decode(payload)] == list(versions.items())
    assert encode("token", {}) == []


def test_change_missed_while_disconnected_is_polled_after_the_reconnect(
    broadcast: Channel, opened: Open, caplog: pytest.LogCaptureFixture
) -> None:
    """The outage logs one warning."""
    caplog.set_level(logging.INFO, "stepkeep.notifications")
    first, second = opened(broadcast), opened(broadcast)
    first.follow(KEY, OTHER)
    second.notifier.publish(KEY, 2)
    first.wait_for_changes((KEY, 2))
    before = first.notifier._listener.transport
    first.stored = {KEY: 2, OTHER: 7}
    broadcast.end_connections()
    first.wait_for_changes((KEY, 2), (OTHER, 7))
    # A poll before it listens would leave a gap: it polls again over the new connection.
    wait_for(lambda: first.polled_over[-1] not in {None, before}, "it never polled after it listened again")
    second.notifier.publish(KEY, 3)
    first.wait_for_changes((KEY, 2), (OTHER, 7), (KEY, 3))
    warned = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert len(warned) == 1, [record.getMessage() for record in warned]
    assert "listening fails" in warned[0].getMessage()
    assert "arrive at once again" in caplog.text


def test_sessions_are_polled_while_redis_is_unreachable(
    redis: RedisServer, tmp_path: Path, opened: Open, caplog: pytest.LogCaptureFixture
) -> None:
    """From the start: one warning, and changes are polled; later they arrive over Redis."""
    redis.kill()
    secret = redis.url.replace("redis://", "redis://:wonderland@")
    settings = Settings(database_url=f"sqlite:///{tmp_path / 'x.db'}", redis_url=secret, notification_interval_s=0.02)
    first, second = opened(Channel(settings)), opened(Channel(settings))
    first.follow(KEY)
    second.notifier.publish(OTHER, 2)  # kept until Redis is there
    first.stored = {KEY: 2}
    first.wait_for_changes((KEY, 2))
    assert sum("fails" in record.getMessage() for record in caplog.records) == 2  # one a process
    assert "wonderland" not in caplog.text
    first.follow(OTHER)
    redis.start()
    execute_redis(redis, b"CONFIG SET requirepass wonderland\r\n")
    wait_for(first.listens_again(None), "it never listened")
    second.notifier.publish(OTHER, 3)
    wait_for(lambda: first.changes[-1] == (OTHER, 3), lambda: f"received {first.changes}")


def execute_redis(redis: RedisServer, command: bytes) -> None:
    with socket.create_connection(("127.0.0.1", redis.port), 5) as connection:
        connection.sendall(command)
        assert connection.recv(100).startswith(b"+OK")


@pytest.fixture
def postgresql() -> Iterator[str]:
    """The URL of a database on a PostgreSQL server of the tests' own, whose processes may be stopped."""
    try:
        server = own_server("postgresql")
    except NoServer as error:
        skip_or_fail(str(error))
    assert isinstance(server, PostgreSQL)
    yield server.create_empty()
    server.close()


def test_connection_to_a_frozen_server_is_replaced(
    postgresql: str, opened: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The probe times out, and missed changes are polled."""
    monkeypatch.setattr(subscriber, "IDLE_S", 0.1)
    monkeypatch.setattr(retry, "RESPONSE_TIMEOUT_S", 1)
    channel = Channel(Settings(database_url=postgresql, notification_interval_s=NEVER_S))
    first, second = opened(channel), opened(channel)
    first.follow(KEY)
    before = first.notifier._listener.transport
    # A set: it may probe between the two queries.
    (frozen,) = {pid for query in ("LISTEN%", "SELECT 1") for pid in backends_of(channel.settings.database_url, query)}
    os.kill(frozen, signal.SIGSTOP)
    try:
        first.stored = {KEY: 2}
        first.wait_for_changes((KEY, 2))
        wait_for(first.listens_again(before), "it never listened again")
        second.notifier.publish(KEY, 3)
        first.wait_for_changes((KEY, 2), (KEY, 3))
    finally:
        os.kill(frozen, signal.SIGCONT)


def test_frozen_redis_is_detected_and_used_again_when_it_resumes(
    redis: RedisServer, tmp_path: Path, opened: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Meanwhile the process polls."""
    monkeypatch.setattr(subscriber, "IDLE_S", 0.1)
    monkeypatch.setattr(redis_module, "ANSWER_S", 0.2)
    settings = Settings(
        database_url=f"sqlite:///{tmp_path / 'x.db'}", redis_url=redis.url, notification_interval_s=0.02
    )
    first, second = opened(Channel(settings)), opened(Channel(settings))
    first.follow(KEY)
    before = first.notifier._listener.transport
    assert redis.process is not None
    os.kill(redis.process.pid, signal.SIGSTOP)
    first.stored = {KEY: 2}
    first.wait_for_changes((KEY, 2))
    os.kill(redis.process.pid, signal.SIGCONT)
    wait_for(first.listens_again(before), "it never listened again")
    second.notifier.publish(KEY, 3)
    first.wait_for_changes((KEY, 2), (KEY, 3))


def test_close_does_not_wait_for_a_frozen_server(
    postgresql: str, opened: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Blocked threads are left to the end of the process: they are daemons."""
    for module in (subscriber, publisher):
        monkeypatch.setattr(module, "CLOSE_S", 0.1)
    monkeypatch.setattr(subscriber, "IDLE_S", 0.1)
    process = opened(Channel(Settings(database_url=postgresql, notification_interval_s=NEVER_S)))
    process.follow(KEY)
    process.notifier.publish(KEY, 2)
    wait_for(lambda: process.notifier._publisher is not None and not process.notifier._publisher._queue, "never sent")
    wait_for(lambda: len(backends_of(process.url)) == 2, "the publisher is not connected")
    backends = backends_of(process.url)
    for pid in backends:
        os.kill(pid, signal.SIGSTOP)
    try:
        process.notifier.publish(KEY, 3)
        process.notifier.close()
        left = [thread for thread in threading.enumerate() if thread.name.startswith("stepkeep-notification")]
        assert left
        assert all(thread.daemon for thread in left)
    finally:
        for pid in backends:
            os.kill(pid, signal.SIGCONT)
    for thread in left:
        thread.join(30)
        assert not thread.is_alive()


def test_idle_connection_closed_by_the_server_is_replaced_without_a_warning(
    broadcast: Channel, opened: Open, caplog: pytest.LogCaptureFixture
) -> None:
    """The next change is sent over a new connection."""
    first, second = opened(broadcast), opened(broadcast)
    second.notifier.publish(OTHER, 2)
    publishing = second.notifier._publisher
    assert publishing is not None
    wait_for(lambda: publishing.transport is not None and not publishing._queue, "never sent")
    broadcast.end_connections()
    first.follow(KEY)
    second.notifier.publish(KEY, 2)
    first.wait_for_changes((KEY, 2))
    assert not caplog.records


def test_unrecognised_payload_is_ignored(broadcast: Channel, opened: Open, caplog: pytest.LogCaptureFixture) -> None:
    """It is logged once, and the next change is received."""
    first, second = opened(broadcast), opened(broadcast)
    first.follow(KEY)
    connect = second.notifier._connect
    assert connect is not None
    strange = connect()
    strange.send(["", "{}", '["x",["only", "two"]]', '["x",["a","b","c"]]', '["x",7]', "[" * 7000])
    strange.close()
    second.notifier.publish(KEY, 2)
    first.wait_for_changes((KEY, 2))
    assert sum("unrecognised payload" in record.getMessage() for record in caplog.records) == 1


def test_forked_child_opens_connections_of_its_own(broadcast: Channel, opened: Open) -> None:
    """Parent and child notify each other; the parent's connections stay open."""
    first, second = opened(broadcast), opened(broadcast)
    first.follow(KEY)
    first.notifier.publish(OTHER, 2)
    read_end, write_end = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            parents = first.notifier  # kept: collecting it would close the parent's connections
            first.open()
            assert first.notifier is not parents
            first.follow(KEY)
            os.write(write_end, b"r")
            first.wait_for_changes((KEY, 2))
            first.notifier.publish(KEY, 3)
            first.notifier.close()
            os._exit(0)
        except BaseException:  # noqa: BLE001 - reported by the exit code
            os._exit(1)
    os.close(write_end)  # so that a child that fails ends the wait
    assert os.read(read_end, 1) == b"r"
    first.notifier.publish(KEY, 2)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    first.wait_for_changes((KEY, 3))
    second.notifier.publish(KEY, 4)
    first.wait_for_changes((KEY, 3), (KEY, 4))
    os.close(read_end)


def test_subscriptions_do_not_keep_the_process_alive(broadcast: Channel) -> None:
    """With or without close()."""
    key = tuple(KEY)
    done = run(
        broadcast,
        f"notifier.subscribe(SessionKey{key}, 1)\nnotifier.publish(SessionKey{key}, 2)\nwhile not polls: time.sleep(0.01)\n",
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_notifier_starts_no_thread_before_its_first_use(broadcast: Channel, opened: Open) -> None:
    """A server opens its store before it forks its workers."""
    before = threading.active_count()
    process = opened(broadcast)
    assert threading.active_count() == before
    assert process.notifier._listener.transport is None
    process.follow(KEY)
    process.notifier.close()
    assert threading.active_count() == before
    process.notifier.publish(KEY, 2)
    process.notifier.subscribe(OTHER, 1)
    assert threading.active_count() == before
