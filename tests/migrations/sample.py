"""Databases created by hand, sample rows, and Alembic as a program and in this process."""

import os
import re
import subprocess
from argparse import Namespace
from collections.abc import Mapping
from datetime import datetime
from functools import cache, lru_cache
from pathlib import Path
from typing import Any
from unittest import mock

from alembic import command
from alembic.config import Config, main
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, inspect

from app.catalogue import UNNAMED_SURVEY
from app.store.engine import normalise_url, writer_engine
from tests.conftest import ROOT, SURVEYS
from tests.forked import ForkedProcess, run_module, start_module
from tests.programs import run_here

ALEMBIC_S = 120
REVISIONS = (
    "0001",
    "0002",
    "0003",
    "0004",
    "0005",
    "0006",
    "0007",
    "0008",
    "0009",
    "0010",
    "0011",
    "0012",
    "0013",
    "0014",
    "0015",
    "0016",
    "0018",
    "0019",
    "0021",
    "0022",
    "0023",
    "0024",
    "0025",
)

# SQLite: the SQL of existing installations. The others: the same tables in their dialects.
SESSIONS = """
CREATE TABLE sessions (user_id {key} NOT NULL PRIMARY KEY, current_step TEXT NOT NULL, answers TEXT NOT NULL,
  step_history TEXT NOT NULL, created_at TIMESTAMP DEFAULT CURRENT_TIMESTAMP,
  updated_at TIMESTAMP DEFAULT CURRENT_TIMESTAMP, is_audio_mode INTEGER DEFAULT 0, session_data TEXT){options};
CREATE TABLE session_history ({id}, user_id {key} NOT NULL, action TEXT NOT NULL,
  step TEXT, answer TEXT, timestamp TIMESTAMP DEFAULT CURRENT_TIMESTAMP,
  FOREIGN KEY (user_id) REFERENCES sessions(user_id)){options};
CREATE INDEX idx_sessions ON sessions(updated_at);
CREATE INDEX idx_history ON session_history(user_id, timestamp)
"""
BY_HAND = {
    "sqlite": SESSIONS.format(key="TEXT", id="id INTEGER PRIMARY KEY AUTOINCREMENT", options=""),
    "postgresql": SESSIONS.format(key="TEXT", id="id SERIAL PRIMARY KEY", options=""),
    "mysql": SESSIONS.format(
        key="VARCHAR(255)", id="id INTEGER PRIMARY KEY AUTO_INCREMENT", options=" DEFAULT CHARSET=utf8mb4"
    ),
}
ROWS = """
INSERT INTO sessions (user_id, current_step, answers, step_history, is_audio_mode, session_data, created_at, updated_at)
  VALUES
  ('bob', 'Q3', '{"Q2":1,"Q1":2,"note":"ä😀"}', '["Q1","Q2"]', 1, '{"k":1}', '2026-01-02 03:04:05', '2026-01-02 03:05:06'),
  ('eve', 'end', '{}', '[]', 0, NULL, '2026-01-03 03:04:05', '2026-01-03 03:05:06'),
  ('corrupt', 'Q1', '{oops', '[]', NULL, NULL, '2026-01-04 03:04:05', '2026-01-04 03:05:06');
INSERT INTO session_history (user_id, action, step, answer, timestamp) VALUES
  ('bob', 'answer_saved', 'Q1', '2', '2026-01-02 03:04:06'), ('bob', 'started', NULL, NULL, '2026-01-02 03:04:07'),
  ('bob', 'answer_saved', 'Q2', '"😀"', '2026-01-02 03:04:08'), ('corrupt', 'x', NULL, NULL, '2026-01-04 03:04:05')
"""

TIME = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(\.\d+)?")

Rows = dict[str, list[dict[str, Any]]]


def alembic(url: str, *arguments: str, **environment: str) -> None:
    """Run alembic as an operator does, but in this process; assert that it succeeds."""
    done = run_here(main, *arguments, **_environment(url, environment))
    assert done.returncode == 0, done.stdout + done.stderr


def start_alembic(url: str, output: Path, *arguments: str) -> "subprocess.Popen[bytes] | ForkedProcess":
    """Start alembic as a process, which appends to the output."""
    return start_module(["alembic", *arguments], {**os.environ, **_environment(url, {})}, output)


def run_alembic(url: str, *arguments: str) -> "subprocess.CompletedProcess[str]":
    """Run alembic as a process."""
    return run_module(["alembic", *arguments], {**os.environ, **_environment(url, {})}, ALEMBIC_S)


def _environment(url: str, changes: Mapping[str, str]) -> dict[str, str]:
    return {"DATABASE_URL": url, "STEPKEEP_SURVEYS_DIR": str(SURVEYS), **changes}


def migrate(
    url: str,
    revision: str,
    *options: str,
    down: bool = False,
    default_survey: str = UNNAMED_SURVEY,
) -> None:
    """Upgrade or downgrade in this process, which is many times faster than the program.

    Args:
        options: values of ``-x``, e.g. ``lossy=yes``.
    """
    config = Config(cmd_opts=Namespace(x=list(options)))
    config.attributes["url"] = normalise_url(url)
    config.attributes["default_survey"] = default_survey  # else all survey files are read
    with mock.patch.object(ScriptDirectory, "from_config", return_value=_revisions()):
        (command.downgrade if down else command.upgrade)(config, revision)


@cache
def _revisions() -> ScriptDirectory:
    """Return the revisions, imported once: that takes a third of a migration."""
    return ScriptDirectory(str(ROOT / "alembic"))


@lru_cache(maxsize=8)
def _engine(url: str) -> Engine:
    """Return an engine, which remembers the SQL that reads a schema; its callers close its connection."""
    return writer_engine(normalise_url(url))


def execute(url: str, statements: str) -> None:
    """Run the statements, separated by semicolon and newline, in one transaction."""
    engine = _engine(url)
    with engine.begin() as connection:
        for statement in statements.split(";\n"):
            connection.exec_driver_sql(statement.replace("%", "%%"))
    engine.dispose()


def make_by_hand(url: str) -> None:
    """Create an existing installation's tables with rows, without Alembic's version table."""
    execute(url, BY_HAND[normalise_url(url).get_backend_name()])
    execute(url, ROWS)


def dump(url: str) -> Rows:
    """Return the rows of each table except Alembic's, ordered by primary key."""
    engine = _engine(url)
    with engine.begin() as connection:
        primary_keys = inspect(connection).get_multi_pk_constraint()  # of all tables at once
        tables = {
            table: _rows(connection, table, key["constrained_columns"]) for (_, table), key in primary_keys.items()
        }
    engine.dispose()
    return {name: rows for name, rows in tables.items() if name != "alembic_version"}


def shape(url: str) -> dict[str, Any]:
    """Return the schema from the database: columns with their types, keys and indexes."""
    engine = _engine(url)
    with engine.begin() as connection:
        inspector = inspect(connection)  # each of these reads all tables at once
        columns, primary_keys = inspector.get_multi_columns(), inspector.get_multi_pk_constraint()
        foreign_keys, indexes = inspector.get_multi_foreign_keys(), inspector.get_multi_indexes()
        tables = {
            str(key[1]): (
                {str(c["name"]): (str(c["type"]), c["nullable"], c["default"]) for c in columns[key]},
                primary_keys[key]["constrained_columns"],
                sorted((str(k["name"]), k["constrained_columns"]) for k in foreign_keys[key]),
                sorted((str(i["name"]), i["column_names"], i["unique"]) for i in indexes[key]),
            )
            for key in columns
        }
    engine.dispose()
    return tables


def _rows(connection: Connection, table: str, primary_key: list[str]) -> list[dict[str, Any]]:
    order = ", ".join(map(connection.dialect.identifier_preparer.quote, primary_key))
    rows = connection.exec_driver_sql(f"SELECT * FROM {table} ORDER BY {order}").mappings()  # noqa: S608 - a table's name
    # Without the ids of history: a rollback leaves a gap in them.
    return [{name: _parsed(value) for name, value in row.items() if name != "id"} for row in rows]


def _parsed(value: Any) -> Any:
    """Return a time that SQLite stores as text as a datetime: some revisions add its microseconds."""
    return datetime.fromisoformat(value) if isinstance(value, str) and TIME.fullmatch(value) else value
