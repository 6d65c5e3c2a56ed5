"""Changes found by polling, and errors that must not stop notifications."""

import logging
import sys
import threading
from pathlib import Path

import pytest

from app.errors import ConfigurationError, DatabaseUnavailable
from app.notifications import subscriber
from app.settings import Settings
from tests.databases import create_sqlite
from tests.notifications.conftest import KEY, OTHER, Channel, Open, Process, begin_sessions, write
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
