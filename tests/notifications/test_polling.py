"""Changes found by polling, and errors that must not stop notifications."""

import logging
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from app.errors import ConfigurationError, DatabaseUnavailable
from app.notifications import ChangeNotifier, notifier, subscriber
from app.sessions.queries import SessionQueries
from app.sessions.service import SessionStore
from app.settings import Settings
from app.store.engine import normalise_url
from app.survey.commands import SetMode
from app.survey.snapshot import SessionKey
from tests.conftest import SURVEYS, NewStore, Servers, migrated_database
from tests.databases import create_sqlite
from tests.notifications.conftest import KEY, NEVER_S, OTHER, Channel, Open, Process, begin_sessions, write
from tests.waiting import wait_for


def test_change_by_a_program_that_notifies_nobody_is_polled(polled: Channel, opened: Open) -> None:
    """Each change is received once, and this process's own commits are not."""
    process = opened(polled)
    process.notifier.subscribe(KEY, 1)
    process.notifier.subscribe(OTHER, 1)
    write(polled, KEY, 2)
    process.wait_for_changes((KEY, 2))
    process.notifier.publish(KEY, 3)
    write(polled, KEY, 3)
    write(polled, OTHER, 2)
    process.wait_for_changes((KEY, 2), (OTHER, 2))


@pytest.mark.parametrize("kind", ["sqlite", "mysql"])
def test_of_many_sessions_only_the_changed_ones_are_polled(
    kind: str, servers: Servers, new_store: NewStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another process's change is found in the history, and all sessions are polled again after a failure."""
    monkeypatch.setattr(notifier, "POLL_SIZE", 1)
    with migrated_database(kind, servers, tmp_path) as url:
        store = new_store(Settings(database_url=url, surveys_dir=SURVEYS))
        for key in (KEY, OTHER):
            store.turns.get_or_create(key, is_audio_mode=False)
        polled: list[SessionKey] = []
        changes: list[tuple[SessionKey, int]] = []
        failures = [DatabaseUnavailable("OperationalError")]

        def read_versions(keys: Sequence[SessionKey]) -> Mapping[SessionKey, int]:
            polled.extend(keys)
            return store.queries.versions(keys)

        def on_change(key: SessionKey, version: int) -> None:
            if version == 3 and failures:
                raise failures.pop()
            changes.append((key, version))

        other = ChangeNotifier(
            Settings(database_url=url, notification_interval_s=0.02),
            normalise_url(url),
            read_versions,
            on_change,
            lambda _key: None,
            read_changes=store.queries.changes,
        )
        try:
            other.subscribe(KEY, 1)
            other.subscribe(OTHER, 1)
            wait_for(lambda: set(polled) == {KEY, OTHER}, "it never polled")
            polled.clear()
            store.turns.submit(KEY, SetMode(at=store.clock(), is_audio_mode=True))
            wait_for(lambda: changes == [(KEY, 2)], lambda: str(changes))
            assert polled == []
            store.turns.submit(KEY, SetMode(at=store.clock(), is_audio_mode=False))
            wait_for(lambda: changes == [(KEY, 2), (KEY, 3)], lambda: str(changes))
            wait_for(lambda: set(polled) == {KEY, OTHER}, "not all sessions were polled")
        finally:
            other.close()


@pytest.mark.parametrize(("interval_s", "polls_before_the_last"), [(0.5, 4), (3, 1), (5, 1)])
def test_changes_are_read_from_a_late_commit_before_the_last_poll(
    interval_s: float, polls_before_the_last: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the last poll could not see was begun up to LATE_COMMIT_S before it, however long ago it is."""
    after: list[int | None] = []
    now = [100.0]
    monkeypatch.setattr(notifier, "POLL_SIZE", 1)
    monkeypatch.setattr(notifier, "monotonic", lambda: now[0])

    def read_changes(after_id: int | None, _limit: int) -> tuple[int, Mapping[SessionKey, int]]:
        after.append(after_id)
        return len(after), {}

    url = create_sqlite(tmp_path / "x.db")
    process = ChangeNotifier(
        Settings(database_url=url, notification_interval_s=60),
        normalise_url(url),
        lambda _keys: {},
        lambda _key, _version: None,
        lambda _key: None,
        read_changes=read_changes,
    )
    for key in (KEY, OTHER):
        process.subscribe(key, 1)
    for _ in range(10):
        process._poll(threading.Event())
        now[0] += interval_s
    process.close()
    assert after[:2] == [None, 1]
    assert after[-1] == 9 - polls_before_the_last


def test_sqlite_sessions_are_polled_only_after_a_write(tmp_path: Path, opened: Open) -> None:
    """The file's change counter is read each time; the sessions only if it changed."""
    url = create_sqlite(tmp_path / "x.db")
    begin_sessions(url)
    channel = Channel(Settings(database_url=url, notification_interval_s=0.01))
    process = opened(channel)
    probe = process.notifier._probe
    assert probe is not None
    asked: list[bool] = []
    process.notifier._listener._has_changed = lambda: asked.append(probe.has_changed()) or asked[-1]  # type: ignore[func-returns-value]
    process.follow(KEY)
    looks, rounds = process.polls, len(asked)
    wait_for(lambda: len(asked) > rounds + 20, "it stopped checking")
    assert process.polls == looks
    write(channel, KEY, 2)
    wait_for(lambda: process.polls > looks, "it never polled")


def test_polling_goes_on_while_the_database_is_unavailable(
    polled: Channel, opened: Open, caplog: pytest.LogCaptureFixture
) -> None:
    """One warning is logged, and changes during the outage are received after it."""
    process = opened(polled)
    process.follow(KEY)
    process.fails = DatabaseUnavailable("OperationalError")
    write(polled, KEY, 2)
    wait_for(lambda: process.failed_polls >= 3, "it gave up")
    process.fails = None
    process.wait_for_changes((KEY, 2))
    (warning,) = (record for record in caplog.records if record.levelno >= logging.WARNING)
    assert "polling fails" in warning.getMessage()


@pytest.mark.parametrize("fault", [DatabaseUnavailable("OperationalError"), RuntimeError("unexpected")], ids=str)
def test_error_while_handling_a_change_does_not_stop_notifications(
    broadcast: Channel, opened: Open, monkeypatch: pytest.MonkeyPatch, fault: Exception
) -> None:
    """A change that could not be loaded is polled again; after any other error the next change is received."""
    first, second = opened(broadcast), opened(broadcast)
    first.follow(KEY)
    first.notifier._listener._interval_s = 0.01
    first.refuses = fault
    first.stored = {KEY: 2}
    second.notifier.publish(KEY, 2)
    wait_for(lambda: first.refuses is None, "the change was never received")
    if isinstance(fault, DatabaseUnavailable):
        first.wait_for_changes((KEY, 2))
        first.changes.clear()
    second.notifier.publish(KEY, 3)
    first.wait_for_changes((KEY, 3))


def test_change_by_a_process_killed_before_its_notification_is_polled(
    broadcast: Channel, opened: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Polling goes on, slowly, beside a working transport."""
    process = opened(broadcast)
    process.follow(KEY)
    process.stored = {KEY: 2}
    monkeypatch.setattr(subscriber, "SAFETY_POLL_S", 0.1)
    process.wait_for_changes((KEY, 2))


@pytest.mark.parametrize(
    "url",
    ["http://:wonderland@h", "redis://h:port/0", "redis://h/0?wonderland=1", "redis://h/0?socket_timeout=wonderland"],
)
def test_invalid_redis_url_is_refused_at_start(url: str, tmp_path: Path) -> None:
    """Without the URL in the message: it may hold a password."""
    settings = Settings(database_url=f"sqlite:///{tmp_path / 'x.db'}", redis_url=url)
    with pytest.raises(ConfigurationError, match="REDIS_URL is not a valid Redis URL") as caught:
        Process(settings, None)
    assert "wonderland" not in str(caught.value)


def test_missing_redis_library_is_reported_at_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "redis", None)
    settings = Settings(database_url=f"sqlite:///{tmp_path / 'x.db'}", redis_url="redis://127.0.0.1/0")
    with pytest.raises(ConfigurationError, match=r"pip install '\.\[redis\]'"):
        Process(settings, None)


def test_thread_that_cannot_start_is_started_by_a_later_call(
    broadcast: Channel, opened: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The system has no more threads: subscribe and publish do not fail."""

    def refuse(_thread: object) -> None:
        raise RuntimeError("can't start new thread")

    first, second = opened(broadcast), opened(broadcast)
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        first.notifier.subscribe(OTHER, 1)
        second.notifier.publish(KEY, 1)
    first.follow(KEY)
    second.notifier.publish(KEY, 2)
    first.wait_for_changes((KEY, 2))


def test_sqlite_sessions_are_polled_for_other_processes_writes_alone(
    tmp_path: Path, new_store: NewStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A busy server would read all its participants' versions twice a second. Writes between its own are found."""
    polls: list[int] = []
    versions = SessionQueries.versions
    monkeypatch.setattr(SessionQueries, "versions", lambda self, keys: polls.append(len(keys)) or versions(self, keys))
    settings = Settings(
        database_url=create_sqlite(tmp_path / "x.db"), surveys_dir=SURVEYS, notification_interval_s=NEVER_S
    )
    store, other = new_store(settings), new_store(settings)
    mine, theirs = SessionKey("phq9", "mine"), SessionKey("phq9", "theirs")
    changed: list[int] = []
    store._notifier._on_change = lambda _key, version: changed.append(version)
    poll_if_needed = store._notifier._listener._poll_if_needed  # as the thread does, which waits for its first time
    for key in (mine, theirs):
        store.turns.get_or_create(key, is_audio_mode=False)
        store._notifier.subscribe(key, 1)

    def write(writer: SessionStore, key: SessionKey, *, is_audio_mode: bool) -> None:
        writer.turns.submit(key, SetMode(at=writer.clock(), is_audio_mode=is_audio_mode))

    poll_if_needed()
    store._notifier._advance(mine, 1_000_000)  # own commits are published, which is not what is tested
    polls.clear()
    for number in range(20):
        write(store, mine, is_audio_mode=number % 2 == 0)
        poll_if_needed()
    assert not polls
    write(other, theirs, is_audio_mode=True)
    write(store, mine, is_audio_mode=True)
    poll_if_needed()
    assert changed == [2]
    write(other, theirs, is_audio_mode=False)
    poll_if_needed()
    poll_if_needed()
    assert changed == [2, 3], "without own commits, it was not found"
