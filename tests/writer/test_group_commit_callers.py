"""The writer with greenlets as callers, and in forked processes."""

import os
import subprocess
import sys
import threading
from collections.abc import Callable

from app.sessions.service import SessionStore
from app.settings import Settings
from tests.conftest import ROOT
from tests.store.conftest import USERS, BusyWriter, save

COOPERATIVE = """
from gevent import monkey
monkey.patch_all()
import sys, gevent
from pathlib import Path
from app.sessions.service import open_store
from app.settings import Settings
from app.writer import group_commit
from app.writer.request import ThreadWaiter
from app.survey.snapshot import SessionKey
from app.survey.commands import Answer, Begin
store = open_store(Settings(database_url=sys.argv[1], surveys_dir=Path("surveys")))
sizes = []
real = group_commit.commit_batch
def commit_and_count(gateway, turns, *others):
    sizes.append(len(turns))
    return real(gateway, turns, *others)
group_commit.commit_batch = commit_and_count
def answer_all(number):
    key = SessionKey("phq9", f"user{number}")
    store.turns.submit(key, Begin(at=1))
    return [store.turns.submit(key, Answer(at=1, step=f"Q{step}", value=1)).version for step in range(1, 10)]
walks = [gevent.spawn(answer_all, number) for number in range(50)]
gevent.joinall(walks, raise_error=True)
assert all(walk.value == list(range(2, 11)) for walk in walks)
store.close()
print(sum(sizes), len(sizes))
"""


def test_greenlets_share_transactions(settings: Settings) -> None:
    """The leader yields so that others join, and wakes all: 500 turns of fifty greenlets take some ten commits."""
    process = subprocess.run(
        [sys.executable, "-c", COOPERATIVE, settings.database_url],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert process.returncode == 0, process.stderr
    turns, commits = map(int, process.stdout.split())
    assert turns == 500
    assert commits < 100


def fork(work: Callable[[], object]) -> int:
    """Do the work in a forked child; return its process id."""
    child = os.fork()
    if child == 0:
        try:
            work()
            os._exit(0)
        except BaseException:  # noqa: BLE001 - reported by the exit code
            os._exit(1)
    return child


def exit_code(child: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def test_store_works_in_both_processes_after_a_fork(started: SessionStore) -> None:
    """The child opens its own connections, and neither uses nor closes the parent's."""
    for number in range(1, 4):
        assert exit_code(fork(lambda number=number: started.turns.submit_or_raise(USERS[0], save(number)))) == 0  # type: ignore[misc]
        assert started.turns.submit_or_raise(USERS[1], save(number)).version == number + 1
    assert started.queries.load(USERS[0]).state.version == 4  # type: ignore[union-attr]


def test_child_is_not_blocked_when_another_thread_led_during_the_fork(started: SessionStore) -> None:
    """The fork waits for the running transaction; the child's writer has no leader."""
    with BusyWriter(started) as busy:
        release = threading.Thread(target=busy.release)
        release.start()
        child = fork(lambda: started.turns.submit_or_raise(USERS[0], save(1)))
        assert exit_code(child) == 0
        release.join(30)
