"""News that are found by looking, and what stops none of them."""

import logging
import sys
import threading
from pathlib import Path

import pytest

from app.errors import ConfigurationError, DatabaseUnavailable
from app.notifications import subscriber as news_watch
from app.settings import Settings
from tests.databases import create_sqlite
from tests.news.conftest import KEY, OTHER, Open, Process, Way, begin_sessions, write
from tests.waiting import wait_for


def test_change_by_a_program_that_tells_nobody_is_found(looked: Way, opened: Open) -> None:
    """The versions are looked at; each is told once, and what was committed here is not told."""
    one = opened(looked)
    one.news.subscribe(KEY, 1)
    one.news.subscribe(OTHER, 1)
    write(looked, KEY, 2)
    one.wait_until_heard((KEY, 2))
    one.news.publish(KEY, 3)
    write(looked, KEY, 3)
    write(looked, OTHER, 2)
    one.wait_until_heard((KEY, 2), (OTHER, 2))


def test_sqlite_file_is_read_only_when_somebody_has_written(tmp_path: Path, opened: Open) -> None:
    """A counter of the file is asked each time; the sessions only when it has moved."""
    url = create_sqlite(tmp_path / "x.db")
    begin_sessions(url)
    way = Way(Settings(database_url=url, notification_interval_s=0.01))
    one = opened(way)
    probe = one.news._probe
    assert probe is not None
    asked: list[bool] = []
    one.news._watch._has_changed = lambda: asked.append(probe.has_changed()) or asked[-1]  # type: ignore[func-returns-value]
    one.follow(KEY)
    looks, rounds = one.looks, len(asked)
    wait_for(lambda: len(asked) > rounds + 20, "it asks no more")
    assert one.looks == looks
    write(way, KEY, 2)
    wait_for(lambda: one.looks > looks, "it never looked")


def test_database_that_is_away_is_told_once_and_looked_at_again(
    looked: Way, opened: Open, caplog: pytest.LogCaptureFixture
) -> None:
    """Looks fail and go on; when it is back, what changed meanwhile is told."""
    one = opened(looked)
    one.follow(KEY)
    one.fails = DatabaseUnavailable("OperationalError")
    write(looked, KEY, 2)
    wait_for(lambda: one.failed_looks >= 3, "it gave up")
    one.fails = None
    one.wait_until_heard((KEY, 2))
    (warning,) = (record for record in caplog.records if record.levelno >= logging.WARNING)
    assert "looking fails" in warning.getMessage()


@pytest.mark.parametrize("fault", [DatabaseUnavailable("OperationalError"), RuntimeError("a fault of ours")], ids=str)
def test_change_that_could_not_be_told_does_not_stop_the_news(
    told: Way, opened: Open, monkeypatch: pytest.MonkeyPatch, fault: Exception
) -> None:
    """The session could not be loaded: it is told at the next look; after any other fault the next change is."""
    one, two = opened(told), opened(told)
    one.follow(KEY)
    one.news._watch._interval_s = 0.01
    one.refuses = fault
    one.stored = {KEY: 2}
    two.news.publish(KEY, 2)
    wait_for(lambda: one.refuses is None, "it was never told")
    if isinstance(fault, DatabaseUnavailable):
        one.wait_until_heard((KEY, 2))
        one.heard.clear()
    two.news.publish(KEY, 3)
    one.wait_until_heard((KEY, 3))


def test_change_by_a_process_that_died_before_it_told_is_found(
    told: Way, opened: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed between commit and announcement: a slow look at all that is shown here finds it."""
    one = opened(told)
    one.follow(KEY)
    one.stored = {KEY: 2}
    monkeypatch.setattr(news_watch, "NET_S", 0.1)
    one.wait_until_heard((KEY, 2))


@pytest.mark.parametrize(
    "url",
    ["http://:wonderland@h", "redis://h:port/0", "redis://h/0?wonderland=1", "redis://h/0?socket_timeout=wonderland"],
)
def test_redis_url_that_cannot_be_used_stops_the_start(url: str, tmp_path: Path) -> None:
    """In one line, and without the URL: it holds a password."""
    settings = Settings(database_url=f"sqlite:///{tmp_path / 'x.db'}", redis_url=url)
    with pytest.raises(ConfigurationError, match="REDIS_URL is no Redis URL") as caught:
        Process(settings, None)
    assert "wonderland" not in str(caught.value)


def test_missing_library_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """REDIS_URL without the extra: the message says what to install."""
    monkeypatch.setitem(sys.modules, "redis", None)
    settings = Settings(database_url=f"sqlite:///{tmp_path / 'x.db'}", redis_url="redis://127.0.0.1/0")
    with pytest.raises(ConfigurationError, match=r"pip install '\.\[redis\]'"):
        Process(settings, None)


def test_threads_that_cannot_begin_leave_the_session_as_it_is(
    told: Way, opened: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The machine has no more threads: following and announcing go on, and a later call begins them."""

    def refuse(_thread: object) -> None:
        raise RuntimeError("can't start new thread")

    one, two = opened(told), opened(told)
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        one.news.subscribe(OTHER, 1)
        two.news.publish(KEY, 1)
    one.follow(KEY)
    two.news.publish(KEY, 2)
    one.wait_until_heard((KEY, 2))
