"""Sessions of the hand-written servers in SQLite, a commit a turn; the file is SESSIONS_FILE."""

import json
import os
import sqlite3
import threading
from typing import Any


class Sessions:
    """A row for each session and one for each turn. Safe from any thread."""

    def __init__(self) -> None:
        self._database = sqlite3.connect(os.environ["SESSIONS_FILE"], check_same_thread=False, isolation_level=None)
        self._lock = threading.Lock()
        for statement in (
            "PRAGMA journal_mode=WAL",
            "PRAGMA synchronous=FULL",
            "CREATE TABLE IF NOT EXISTS sessions (user_id TEXT PRIMARY KEY, step TEXT, answers TEXT)",
            "CREATE TABLE IF NOT EXISTS history (id INTEGER PRIMARY KEY, user_id TEXT, step TEXT, answer TEXT)",
        ):
            self._database.execute(statement)

    def load(self, user_id: str) -> dict[str, Any]:
        """Return the session's answers; begin it if it is new."""
        with self._lock:
            self._database.execute("INSERT OR IGNORE INTO sessions VALUES (?, 'Q1', '{}')", (user_id,))
            query = "SELECT answers FROM sessions WHERE user_id = ?"
            (text,) = self._database.execute(query, (user_id,)).fetchone()
        answers: dict[str, Any] = json.loads(text)
        return answers

    def save(self, user_id: str, step: str, answers: dict[str, Any]) -> None:
        """Commit the session with its newest answer, that to ``step``, and the history of it."""
        with self._lock:
            self._database.execute("BEGIN IMMEDIATE")
            values = (step, json.dumps(answers), user_id)
            self._database.execute("UPDATE sessions SET step = ?, answers = ? WHERE user_id = ?", values)
            row = (user_id, step, json.dumps(answers[step]))
            self._database.execute("INSERT INTO history (user_id, step, answer) VALUES (?, ?, ?)", row)
            self._database.execute("COMMIT")
