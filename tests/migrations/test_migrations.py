"""Migrations: up and down with rows in the tables, databases made by hand adopted, on each database."""

import os
import subprocess
import sys

import pytest

from app.service import open_store
from app.settings import Settings
from app.store import history
from app.store.engine import normalise_url, writer_engine
from app.store.history import SessionKey
from app.survey.state import fold
from tests.conftest import ROOT, SURVEYS

BY_HAND = """
CREATE TABLE sessions (user_id TEXT NOT NULL PRIMARY KEY, current_step TEXT NOT NULL, answers TEXT NOT NULL,
  step_history TEXT NOT NULL, created_at TIMESTAMP DEFAULT CURRENT_TIMESTAMP,
  updated_at TIMESTAMP DEFAULT CURRENT_TIMESTAMP, is_audio_mode INTEGER DEFAULT 0, session_data TEXT);
CREATE TABLE session_history (id INTEGER PRIMARY KEY AUTOINCREMENT, user_id TEXT NOT NULL, action TEXT NOT NULL,
  step TEXT, answer TEXT, timestamp TIMESTAMP DEFAULT CURRENT_TIMESTAMP,
  FOREIGN KEY (user_id) REFERENCES sessions(user_id));
CREATE INDEX idx_sessions ON sessions(updated_at);
CREATE INDEX idx_history ON session_history(user_id, timestamp)
"""
ROWS = """
INSERT INTO sessions (user_id, current_step, answers, step_history, is_audio_mode, session_data) VALUES
  ('bob', 'S3', '{"S2":"b","S1":"ä😀"}', '["S1","S2"]', 1, '{"k":1}'), ('Bob', 'end', '{}', '[]', 0, NULL),
  ('corrupt', 'S1', '{oops', '[]', NULL, NULL);
INSERT INTO session_history (user_id, action, step, answer) VALUES ('bob', 'answer_saved', 'S1', '"x"'),
  ('bob', 'started', NULL, NULL), ('corrupt', 'x', NULL, NULL)
"""


def alembic(url: str, *arguments: str) -> None:
    done = run_alembic(url, *arguments)
    out, _ = done.communicate(timeout=120)
    assert done.returncode == 0, out


def run_alembic(url: str, *arguments: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-m", "alembic", *arguments],
        cwd=ROOT,
        env={**os.environ, "DATABASE_URL": url, "SURVEYS_DIR": str(SURVEYS)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def execute(url: str, statements: str) -> None:
    engine = writer_engine(normalise_url(url))
    with engine.begin() as connection:
        for statement in statements.split(";\n"):
            connection.exec_driver_sql(statement)
    engine.dispose()


def counts(url: str) -> tuple[int, int]:
    engine = writer_engine(normalise_url(url))
    with engine.begin() as connection:
        found = [
            connection.exec_driver_sql(f"SELECT COUNT(*) FROM {t}").scalar()  # noqa: S608 - names of ours
            for t in ("sessions", "session_history")
        ]
    engine.dispose()
    return int(found[0] or 0), int(found[1] or 0)


def check_adopted(url: str) -> None:
    """Sessions load, and their history folds to their row."""
    store = open_store(Settings(database_url=url, surveys_dir=SURVEYS))
    snapshot = store.load(SessionKey("default", "bob"))
    assert snapshot is not None
    state = snapshot.state
    assert list(state.answers.items()) == [("S2", "b"), ("S1", "ä😀")]
    assert (state.step_history, state.is_audio_mode, state.session_data) == (("S1", "S2"), True, {"k": 1})
    entries = store.history(SessionKey("default", "bob"))
    folded = fold(history.events_of(entries))
    assert folded is not None
    assert (folded.answers, folded.current_step, folded.version) == (state.answers, "S3", state.version)
    assert [entry.record.data["action"] for entry in entries[:2]] == ["answer_saved", "started"]
    other = store.load(SessionKey("default", "Bob"))
    assert other is not None
    assert other.state.status == "completed"
    store.close()


def test_upgrade_and_downgrade_keep_every_row(database_url: str) -> None:
    """Rows of the first revision go up, down and up again; models and migrations agree."""
    url = database_url
    alembic(url, "upgrade", "0001")
    execute(url, ROWS)
    alembic(url, "upgrade", "head")
    alembic(url, "check")
    check_adopted(url)
    assert counts(url) == (3, 5)
    alembic(url, "downgrade", "0001")
    assert counts(url) == (3, 5)
    alembic(url, "upgrade", "head")
    check_adopted(url)
    alembic(url, "downgrade", "base")
    alembic(url, "upgrade", "head")
    alembic(url, "check")
    assert counts(url) == (0, 0)


def test_database_made_by_hand_is_adopted(tmp_path_factory: pytest.TempPathFactory) -> None:
    """No stamp of Alembic, other names of indexes: its rows are kept, its sessions load and resume."""
    url = f"sqlite:///{tmp_path_factory.mktemp('hand') / 'old.db'}"
    execute(url, BY_HAND)
    execute(url, ROWS)
    alembic(url, "upgrade", "head")
    alembic(url, "check")
    check_adopted(url)


def test_two_upgrades_at_once_harm_nothing(database_url: str) -> None:
    """One works, the other waits; both end well."""
    url = database_url
    alembic(url, "upgrade", "0001")
    execute(url, ROWS)
    both = [run_alembic(url, "upgrade", "head") for _ in range(2)]
    for one in both:
        out, _ = one.communicate(timeout=120)
        assert one.returncode == 0, out
    check_adopted(url)


def test_table_of_another_program_is_not_touched(tmp_path_factory: pytest.TempPathFactory) -> None:
    """A clear line, exit code other than 0, and no traceback."""
    url = f"sqlite:///{tmp_path_factory.mktemp('other') / 'other.db'}"
    execute(url, "CREATE TABLE sessions (id INTEGER)")
    failed = run_alembic(url, "upgrade", "head")
    out, _ = failed.communicate(timeout=60)
    assert failed.returncode != 0
    assert "another program" in out
    assert "Traceback" not in out
