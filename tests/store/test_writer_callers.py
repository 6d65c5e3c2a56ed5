"""The writer with greenlets as callers, and after a fork."""

import os
import subprocess
import sys
import threading
from collections.abc import Callable

from app.sessions.service import SessionStore
from app.settings import Settings
from tests.conftest import ROOT
from tests.store.conftest import USERS, Holding, save

COOPERATIVE = """
from gevent import monkey
monkey.patch_all()
import sys, gevent
from pathlib import Path
from app.sessions.service import open_store
from app.settings import Settings
from app.writer import group_commit
from app.writer.waiter import ThreadWaiter
from app.survey.snapshot import SessionKey
from app.survey.commands import Answer, Begin
store = open_store(Settings(database_url=sys.argv[1], surveys_dir=Path("surveys")))
sizes = []
real = group_commit.commit_batch
def counted(gateway, turns, survey_for):
    sizes.append(len(turns))
    return real(gateway, turns, survey_for)
group_commit.commit_batch = counted
def walk(number):
    key = SessionKey("phq9", f"user{number}")
    store.turns.submit(key, Begin(at=1))
    return [store.turns.submit(key, Answer(at=1, step=f"Q{step}", value=1)).version for step in range(1, 10)]
walks = [gevent.spawn(walk, number) for number in range(50)]
gevent.joinall(walks, raise_error=True)
assert all(one.value == list(range(2, 11)) for one in walks)
store.close()
print(sum(sizes), len(sizes))
"""


def test_greenlets_share_transactions_too(settings: Settings) -> None:
    """Fifty of them: the leader lets the others join, and all are woken; ten steps take some ten commits, not 500."""
    done = subprocess.run(
        [sys.executable, "-c", COOPERATIVE, settings.database_url],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    turns, commits = map(int, done.stdout.split())
    assert turns == 500
    assert commits < 100


def fork(work: Callable[[], object]) -> int:
    """Do something in a forked child; return its process id."""
    child = os.fork()
    if child == 0:
        try:
            work()
            os._exit(0)
        except BaseException:  # noqa: BLE001 - told by the exit code
            os._exit(1)
    return child


def exit_code(child: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def test_store_of_before_a_fork_works_in_both_processes(begun: SessionStore) -> None:
    """The child gets connections of its own; the parent's are neither used nor ended."""
    for number in range(1, 4):
        assert exit_code(fork(lambda number=number: begun.turns.submit_or_raise(USERS[0], save(number)))) == 0  # type: ignore[misc]
        assert begun.turns.submit_or_raise(USERS[1], save(number)).version == number + 1
    assert begun.queries.load(USERS[0]).state.version == 4  # type: ignore[union-attr]


def test_fork_while_another_thread_leads_does_not_block_the_child(begun: SessionStore) -> None:
    """The fork waits for the transaction that is under way; the child's writer is led by nobody."""
    with Holding(begun) as holding:
        letting_go = threading.Thread(target=holding.let_go)
        letting_go.start()
        child = fork(lambda: begun.turns.submit_or_raise(USERS[0], save(1)))
        assert exit_code(child) == 0
        letting_go.join(30)
