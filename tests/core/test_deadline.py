"""Blocking calls with a timeout, in threads that end."""

import threading

import pytest

from app.core.deadline import DeadlineThreads
from app.errors import DatabaseUnavailable
from tests.waiting import START_S, wait_for


def test_closed_threads_do_what_was_started_and_end() -> None:
    """Without waiting for it; later calls are refused."""
    threads = DeadlineThreads(2)
    opens = threading.Event()
    done: list[threading.Thread] = []

    def call() -> None:
        assert opens.wait(START_S)
        done.append(threading.current_thread())

    for _ in range(5):
        threads.start(call)
    threads.close()
    threads.close()
    with pytest.raises(DatabaseUnavailable, match="closed"):
        threads.start(call)
    with pytest.raises(DatabaseUnavailable, match="closed"):
        threads.run(START_S, call)
    opens.set()
    wait_for(lambda: len(done) == 5, "a call was dropped")
    for thread in set(done):
        thread.join(START_S)
    assert [thread.is_alive() for thread in set(done)] == [False] * len(set(done))
