"""A database server that is killed during writes and started again."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from app.errors import Unavailable
from app.sessions.service import SessionStore
from app.settings import Settings
from app.survey.commands import Save
from app.survey.snapshot import SessionKey
from tests.conftest import SURVEYS, NewStore
from tests.database_servers import OwnServer
from tests.durability.exactly_once import check_fold, message_ids

SESSIONS = 8
TURNS = 125  # enough that none of the threads has finished when the server is killed
KILLED_AT = (100, 300)
"""Acknowledged turns after which the server is killed."""


@pytest.fixture
def store(killable: OwnServer, new_store: NewStore) -> SessionStore:
    """A store on a server that the test kills."""
    url = killable.create_migrated()
    return new_store(Settings(database_url=url, surveys_dir=SURVEYS, retry_delay_s=0.05))


class Writers:
    """Save the turns of several sessions, each in its thread, and retry each turn until it is acknowledged."""

    def __init__(self, store: SessionStore) -> None:
        self.store = store
        self.keys = [SessionKey("phq9", f"u{number}") for number in range(SESSIONS)]
        self.acknowledged = 0
        self.unavailable = 0
        self.changed = threading.Condition()

    def save_all(self, key: SessionKey) -> None:
        for number in range(TURNS):
            self._save(key, number)
            with self.changed:
                self.acknowledged += 1
                self.changed.notify_all()

    def wait_until(self, acknowledged: int) -> None:
        with self.changed:
            assert self.changed.wait_for(lambda: self.acknowledged >= acknowledged, 60)

    def wait_until_unavailable(self) -> None:
        """Wait until a turn fails because the database is unavailable."""
        with self.changed:
            before = self.unavailable
            assert self.changed.wait_for(lambda: self.unavailable > before, 60)

    def _save(self, key: SessionKey, number: int) -> None:
        command = Save(
            at=self.store.clock(), message_id=f"m{number}", current_step="Q1", answers={"n": number},
            step_history=(), is_audio_mode=False, session_data=None,
        )  # fmt: skip
        for _ in range(1000):
            try:
                outcome = self.store.turns.submit_or_raise(key, command)
            except Unavailable:
                with self.changed:
                    self.unavailable += 1
                    self.changed.notify_all()
                continue
            assert outcome.version == number + 1
            return
        raise AssertionError("never acknowledged")


def test_acknowledged_turns_are_in_history_once_when_the_server_was_killed(
    killable: OwnServer, store: SessionStore
) -> None:
    """SIGKILL twice while 8 threads save; unacknowledged turns are sent again and applied once."""
    writers = Writers(store)
    with ThreadPoolExecutor(SESSIONS) as threads:
        runs = [threads.submit(writers.save_all, key) for key in writers.keys]
        for number in KILLED_AT:
            writers.wait_until(number)
            killable.kill()
            writers.wait_until_unavailable()
            killable.start()
        for run in runs:
            run.result()
    assert writers.acknowledged == SESSIONS * TURNS
    for key in writers.keys:
        assert message_ids(store, key) == {f"m{number}": 1 for number in range(TURNS)}
        check_fold(store, key)
