"""A program that writes turns to a SQLite file until it is killed; it writes a line for each acknowledgement.

A module of its own, because importing the tests takes longer than starting the store.
"""

import sys
import threading
from itertools import count

from app.sessions.service import SessionStore, open_store
from app.settings import Settings
from app.store.drivers import sqlite
from app.survey.commands import Answer
from app.survey.snapshot import SessionKey
from tests.forked import SURVEYS

SESSIONS = 4


def write(file: str, checkpoint_pages: int) -> None:
    """Write turns until killed: one thread a session, one line of output an acknowledgement."""
    checkpoints = f"wal_autocheckpoint={checkpoint_pages}"
    sqlite._WRITER_PRAGMAS = (*sqlite._WRITER_PRAGMAS, checkpoints)  # type: ignore[assignment]  # the last value counts
    store = open_store(Settings(database_url=f"sqlite:///{file}", surveys_dir=SURVEYS))
    for number in range(SESSIONS):
        threading.Thread(target=_answer_on, args=(store, SessionKey("phq9", f"u{number}"))).start()


def _answer_on(store: SessionStore, key: SessionKey) -> None:
    snapshot, _ = store.turns.get_or_create(key, is_audio_mode=False)
    for version in count(snapshot.state.version + 1):
        answer = Answer(at=version, message_id=f"m{version}", step="Q1", value=version % 4)
        result = store.turns.submit_or_raise(key, answer)
        assert result.version == version
        sys.stdout.write(f"{key.user_id} {version}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    write(sys.argv[1], int(sys.argv[2]))
