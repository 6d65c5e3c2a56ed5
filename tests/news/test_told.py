"""News that are told: over PostgreSQL and over Redis; each instance stands for a process."""

import logging
import os
import signal
import socket
import threading
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest

from app.notifications import notifier
from app.notifications import postgresql as news_postgresql
from app.notifications import publisher as news_outbox
from app.notifications import redis as news_redis
from app.notifications import subscriber as news_watch
from app.notifications.transport import PAYLOAD_BYTES, decode, encode
from app.settings import Settings
from app.survey.snapshot import SessionKey
from tests.conftest import skip_or_fail
from tests.databases import NoServer, OwnServer, PostgreSQL, own_server
from tests.news.conftest import (
    KEY,
    LOOKS_NEVER_S,
    OTHER,
    Open,
    Way,
    news_backends,
    run,
)
from tests.news.redis_server import RedisServer
from tests.waiting import wait_for


def test_announcement_reaches_the_others_and_is_not_heard_by_who_made_it(told: Way, opened: Open) -> None:
    """What a process commits all others learn; its own that comes back is no news."""
    one, two = opened(told), opened(told)
    one.follow(KEY)
    two.follow(KEY)
    one.news.publish(KEY, 2)
    two.wait_until_heard((KEY, 2))
    two.news.publish(KEY, 3)
    one.wait_until_heard((KEY, 3))


def test_session_that_nobody_shows_here_is_met_all_the_same(told: Way, opened: Open) -> None:
    """Else a participant of another process would seem to be new while the database is away."""
    one, two = opened(told), opened(told)
    assert two.news.is_broadcast
    two.news.start()
    versions = count(1)

    def is_met() -> bool:
        one.news.publish(OTHER, next(versions))  # again: it may not have listened to the first
        return set(two.met) == {OTHER}

    wait_for(is_met, lambda: f"met {two.met}")
    assert two.heard == []


def test_announcement_that_comes_back_is_not_even_read(
    told: Way, opened: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A busy server hears each of its own commits again: its token at the beginning is enough."""
    read: list[str] = []

    def counted(payload: str) -> list[tuple[SessionKey, int]]:
        read.append(payload)
        return decode(payload)

    monkeypatch.setattr(notifier, "decode", counted)
    one, two = opened(told), opened(told)
    one.follow(KEY)
    two.follow(KEY)
    one.news.publish(KEY, 2)
    two.wait_until_heard((KEY, 2))
    two.news.publish(KEY, 3)
    one.wait_until_heard((KEY, 3))
    assert len(read) == 2


def test_process_that_shows_nothing_tells_its_changes_too(told: Way, opened: Open) -> None:
    """A command line in a process of its own, that ends at once: closing waits until it is sent."""
    one = opened(told)
    one.follow(KEY)
    done = run(told, f"key = SessionKey{tuple(KEY)}\nnews.publish(key, 2)\nnews.close()\n")
    assert (done.returncode, done.stderr) == (0, "")
    one.wait_until_heard((KEY, 2))


def test_version_is_told_once_and_older_ones_never(told: Way, opened: Open) -> None:
    """Of the same version again, of an older one, and of a session that nobody shows here nothing is told."""
    one, two, three = opened(told), opened(told), opened(told)
    one.follow(KEY)
    two.news.publish(KEY, 5)
    one.wait_until_heard((KEY, 5))
    three.news.publish(OTHER, 9)
    three.news.publish(KEY, 5)
    three.news.close()
    two.news.publish(KEY, 4)
    two.news.publish(KEY, 6)
    one.wait_until_heard((KEY, 5), (KEY, 6))


def test_session_is_followed_until_the_last_has_gone(told: Way, opened: Open) -> None:
    """Follows are counted: one who comes while another goes is told, whoever is first."""
    one, two = opened(told), opened(told)
    one.follow(KEY, OTHER)
    one.news.subscribe(KEY, 1)
    one.news.unsubscribe(KEY)
    one.news.unsubscribe(OTHER)
    two.news.publish(OTHER, 2)
    two.news.publish(KEY, 2)
    one.wait_until_heard((KEY, 2))
    one.news.unsubscribe(KEY)
    assert not one.news._followed


def test_many_sessions_with_the_longest_names_are_all_told(told: Way, opened: Open) -> None:
    """More than one payload holds: they go in several."""
    keys = [SessionKey("s" * 64, f"{number:04d}" + "u" * 124) for number in range(300)]
    one, two = opened(told), opened(told)
    one.follow(*keys)
    for key in keys:
        two.news.publish(key, 2)
    wait_for(lambda: len(one.heard) == len(keys), lambda: f"heard {len(one.heard)}")
    assert sorted(one.heard) == [(key, 2) for key in keys]


def test_payloads_stay_below_what_postgresql_takes() -> None:
    """Whatever the number of sessions; and nothing but keys and versions is in them."""
    versions = {SessionKey("s" * 64, f"{number}" + "u" * 120): number for number in range(1000)}
    payloads = encode("token", versions)
    assert max(len(payload.encode()) for payload in payloads) <= PAYLOAD_BYTES
    assert [change for payload in payloads for change in decode(payload)] == list(versions.items())
    assert encode("token", {}) == []


def test_what_was_missed_while_the_connection_was_lost_is_found(
    told: Way, opened: Open, caplog: pytest.LogCaptureFixture
) -> None:
    """Connections are killed; after connecting again it looks, and hears again what is told. One warning in all."""
    caplog.set_level(logging.INFO, "stepkeep.news")
    one, two = opened(told), opened(told)
    one.follow(KEY, OTHER)
    two.news.publish(KEY, 2)
    one.wait_until_heard((KEY, 2))
    before = one.news._watch.link
    one.stored = {KEY: 2, OTHER: 7}
    told.end_connections()
    one.wait_until_heard((KEY, 2), (OTHER, 7))
    # A look before it listened would leave a gap: it looks again over the new connection.
    wait_for(lambda: one.looked_over[-1] not in {None, before}, "it never looked when it listened again")
    two.news.publish(KEY, 3)
    one.wait_until_heard((KEY, 2), (OTHER, 7), (KEY, 3))
    warned = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert len(warned) == 1, [record.getMessage() for record in warned]
    assert "listening fails" in warned[0].getMessage()
    assert "learned at once again" in caplog.text


def test_sessions_are_looked_at_while_nothing_can_be_told(
    redis: RedisServer, tmp_path: Path, opened: Open, caplog: pytest.LogCaptureFixture
) -> None:
    """Redis is away from the beginning, and longer: one warning, and changes are found; then they are told."""
    redis.kill()
    secret = redis.url.replace("redis://", "redis://:wonderland@")
    settings = Settings(database_url=f"sqlite:///{tmp_path / 'x.db'}", redis_url=secret, notification_interval_s=0.02)
    one, two = opened(Way(settings)), opened(Way(settings))
    one.follow(KEY)
    two.news.publish(OTHER, 2)  # kept until Redis is there
    one.stored = {KEY: 2}
    one.wait_until_heard((KEY, 2))
    assert sum("fails" in record.getMessage() for record in caplog.records) == 2  # one a process
    assert "wonderland" not in caplog.text
    one.follow(OTHER)
    redis.start()
    execute_redis(redis, b"CONFIG SET requirepass wonderland\r\n")
    wait_for(one.listens_again(None), "it never listened")
    two.news.publish(OTHER, 3)
    wait_for(lambda: one.heard[-1] == (OTHER, 3), lambda: f"heard {one.heard}")


def execute_redis(redis: RedisServer, command: bytes) -> None:
    with socket.create_connection(("127.0.0.1", redis.port), 5) as connection:
        connection.sendall(command)
        assert connection.recv(100).startswith(b"+OK")


@pytest.fixture
def postgresql() -> Iterator[OwnServer]:
    """A PostgreSQL whose processes may be stopped: never one that somebody else runs."""
    try:
        server = own_server("postgresql")
    except NoServer as error:
        skip_or_fail(str(error))
    assert isinstance(server, PostgreSQL)
    yield server
    server.close()


def test_frozen_server_is_left_for_a_new_connection(
    postgresql: OwnServer, opened: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The connection is there and says nothing: it is asked, given up, and what was missed is found."""
    monkeypatch.setattr(news_watch, "IDLE_S", 0.1)
    monkeypatch.setattr(news_postgresql, "PROBE_S", 0.2)
    way = Way(Settings(database_url=postgresql.url.render_as_string(False), notification_interval_s=LOOKS_NEVER_S))
    one, two = opened(way), opened(way)
    one.follow(KEY)
    before = one.news._watch.link
    (frozen,) = [pid for query in ("LISTEN%", "SELECT 1") for pid in news_backends(way.settings.database_url, query)]
    os.kill(frozen, signal.SIGSTOP)
    try:
        one.stored = {KEY: 2}
        one.wait_until_heard((KEY, 2))
        wait_for(one.listens_again(before), "it never listened again")
        two.news.publish(KEY, 3)
        one.wait_until_heard((KEY, 2), (KEY, 3))
    finally:
        os.kill(frozen, signal.SIGCONT)


def test_frozen_redis_is_noticed_and_heard_again_when_it_goes_on(
    redis: RedisServer, tmp_path: Path, opened: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Silence is asked about; meanwhile it looks."""
    monkeypatch.setattr(news_watch, "IDLE_S", 0.1)
    monkeypatch.setattr(news_redis, "ANSWER_S", 0.2)
    settings = Settings(
        database_url=f"sqlite:///{tmp_path / 'x.db'}", redis_url=redis.url, notification_interval_s=0.02
    )
    one, two = opened(Way(settings)), opened(Way(settings))
    one.follow(KEY)
    before = one.news._watch.link
    assert redis.process is not None
    os.kill(redis.process.pid, signal.SIGSTOP)
    one.stored = {KEY: 2}
    one.wait_until_heard((KEY, 2))
    os.kill(redis.process.pid, signal.SIGCONT)
    wait_for(one.listens_again(before), "it never listened again")
    two.news.publish(KEY, 3)
    one.wait_until_heard((KEY, 2), (KEY, 3))


def test_closing_does_not_wait_for_a_frozen_server(
    postgresql: OwnServer, opened: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Threads that it holds are left behind; they are daemons."""
    for module in (news_watch, news_outbox):
        monkeypatch.setattr(module, "CLOSE_S", 0.1)
    monkeypatch.setattr(news_watch, "IDLE_S", 0.1)
    one = opened(
        Way(Settings(database_url=postgresql.url.render_as_string(False), notification_interval_s=LOOKS_NEVER_S))
    )
    one.follow(KEY)
    one.news.publish(KEY, 2)
    wait_for(lambda: one.news._outbox is not None and not one.news._outbox._waiting, "never sent")
    wait_for(lambda: len(news_backends(one.url)) == 2, "there is no connection that sends")
    backends = news_backends(one.url)
    for pid in backends:
        os.kill(pid, signal.SIGSTOP)
    try:
        one.news.publish(KEY, 3)
        one.news.close()
        left = [thread for thread in threading.enumerate() if thread.name.startswith("stepkeep-news")]
        assert left
        assert all(thread.daemon for thread in left)
    finally:
        for pid in backends:
            os.kill(pid, signal.SIGCONT)
    for thread in left:
        thread.join(30)
        assert not thread.is_alive()


def test_connection_that_sends_is_replaced_without_a_word(
    told: Way, opened: Open, caplog: pytest.LogCaptureFixture
) -> None:
    """Servers end connections that were idle: what is announced then is sent over a new one."""
    one, two = opened(told), opened(told)
    two.news.publish(OTHER, 2)
    outbox = two.news._outbox
    assert outbox is not None
    wait_for(lambda: outbox.link is not None and not outbox._waiting, "never sent")
    told.end_connections()
    one.follow(KEY)
    two.news.publish(KEY, 2)
    one.wait_until_heard((KEY, 2))
    assert not caplog.records


def test_what_is_no_news_is_ignored(told: Way, opened: Open, caplog: pytest.LogCaptureFixture) -> None:
    """Anybody may send to the channel: it is said once, and the next news are heard."""
    one, two = opened(told), opened(told)
    one.follow(KEY)
    link = two.news._links
    assert link is not None
    strange = link()
    strange.send(["", "{}", '["x",["only", "two"]]', '["x",["a","b","c"]]', '["x",7]', "[" * 7000])
    strange.close()
    two.news.publish(KEY, 2)
    one.wait_until_heard((KEY, 2))
    assert sum("no news of ours" in record.getMessage() for record in caplog.records) == 1


def test_forked_child_is_a_process_of_its_own(told: Way, opened: Open) -> None:
    """It hears the parent and the parent hears it, over connections of its own; the parent's go on."""
    one, two = opened(told), opened(told)
    one.follow(KEY)
    one.news.publish(OTHER, 2)
    read_end, write_end = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            one.news.after_fork()
            one.follow(KEY)
            os.write(write_end, b"r")
            one.wait_until_heard((KEY, 2))
            one.news.publish(KEY, 3)
            one.news.close()
            os._exit(0)
        except BaseException:  # noqa: BLE001 - told by the exit code
            os._exit(1)
    os.close(write_end)  # so that a child that fails ends the wait
    assert os.read(read_end, 1) == b"r"
    one.news.publish(KEY, 2)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    one.wait_until_heard((KEY, 3))
    two.news.publish(KEY, 4)
    one.wait_until_heard((KEY, 3), (KEY, 4))
    os.close(read_end)


def test_process_ends_though_news_are_followed(told: Way) -> None:
    """No thread of ours keeps the interpreter from ending, closed or not."""
    key = tuple(KEY)
    done = run(
        told,
        f"news.subscribe(SessionKey{key}, 1)\nnews.publish(SessionKey{key}, 2)\nwhile not looked: time.sleep(0.01)\n",
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_nothing_begins_before_somebody_follows_or_announces(told: Way, opened: Open) -> None:
    """A server that forks its workers opens its store first: no thread and no connection by then."""
    before = threading.active_count()
    one = opened(told)
    assert threading.active_count() == before
    assert one.news._watch.link is None
    one.follow(KEY)
    one.news.close()
    assert threading.active_count() == before
    one.news.publish(KEY, 2)
    one.news.subscribe(OTHER, 1)
    assert threading.active_count() == before
