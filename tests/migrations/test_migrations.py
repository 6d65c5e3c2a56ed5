"""Migrations: upgrades and downgrades with rows, concurrent upgrades, and the names of constraints."""

import re
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, event, inspect

from app.database import Database
from app.sessions.service import open_store
from app.settings import Settings
from app.store import migrations
from app.store.engine import normalise_url, writer_engine
from app.store.migrations import upgrade_schema
from app.survey.commands import Answer, Draft, Restart
from app.survey.snapshot import SessionKey
from tests.conftest import ROOT, SURVEYS, NewStore
from tests.migrations.conftest import DatabaseAt
from tests.migrations.sample import (
    ALEMBIC_S,
    REVISIONS,
    ROWS,
    Rows,
    alembic,
    dump,
    execute,
    migrate,
    run_alembic,
    shape,
    start_alembic,
)

KEPT = ("user_id", "current_step", "answers", "step_history", "session_data", "created_at", "updated_at")
NAMED = re.compile(
    r"(pk|uq|ix|fk|ck)_(sessions|session_history|survey_revisions|api_keys|sign_ins|token_revocations|erasures|audit_log|audit_head|leases|webhooks|webhook_deliveries)(_\w+)?"
)


def columns(rows: list[dict[str, Any]], *names: str) -> list[tuple[Any, ...]]:
    return [tuple(row[name] for name in names) for row in rows]


def answers_of(rows: Rows) -> list[tuple[Any, ...]]:
    """Return the events of history that have an answer."""
    return [row for row in columns(rows["session_history"], "user_id", "step", "answer", "timestamp") if row[2]]


def insert_newest(url: str) -> None:
    """Insert rows of the newest revision through the store: answers, drafts, a restart, two surveys."""
    store = open_store(Settings(database_url=url, surveys_dir=SURVEYS, default_survey="phq9"))
    for survey, user in (("phq9", "ann"), ("phq9", "Ann"), ("intake", "ben")):
        store.turns.get_or_create(SessionKey(survey, user), is_audio_mode=True)
    for user, value in (("ann", 1), ("Ann", 2)):
        for step in ("Q1", "Q2", "Q3"):
            command = Answer(at=store.clock(), message_id=step, step=step, value=value)
            store.turns.submit(SessionKey("phq9", user), command)
    store.turns.submit(SessionKey("phq9", "Ann"), Restart(at=store.clock()))
    store.turns.submit(SessionKey("intake", "ben"), Draft(at=store.clock(), step="S1", value="hälf 😀"))
    Database(store).save_session("cat", "S9", {"S1": "😀", "S0": [1.5, None]}, ["S1"], session_data={"é": 2**53})
    store.close()


def test_each_revision_keeps_every_row_when_upgraded_downgraded_and_upgraded_again(database_at: DatabaseAt) -> None:
    """The downgrade restores what was before, the second upgrade what was after: schema and values."""
    url = database_at("0001")
    execute(url, ROWS)
    before, before_shape = dump(url), shape(url)
    for below, above in pairwise(REVISIONS):
        migrate(url, above)
        after, after_shape = dump(url), shape(url)
        assert columns(after["sessions"], *KEPT) == columns(before["sessions"], *KEPT), above
        assert answers_of(after) == answers_of(before), above
        migrate(url, below, down=True)
        down, down_shape = dump(url), shape(url)
        assert columns(down["sessions"], *KEPT) == columns(before["sessions"], *KEPT), above
        assert answers_of(down) == answers_of(before), above
        assert set(down_shape) == set(before_shape), above
        assert {table: set(columns) for table, (columns, *_) in down_shape.items()} == {
            table: set(columns) for table, (columns, *_) in before_shape.items()
        }, above
        migrate(url, above)
        again = dump(url)
        assert columns(again["sessions"], *KEPT) == columns(after["sessions"], *KEPT), above
        assert answers_of(again) == answers_of(after), above
        assert shape(url) == after_shape, above
        before, before_shape = again, after_shape


def test_newest_rows_are_kept_when_downgraded_to_the_first_revision_and_upgraded_again(
    database_at: DatabaseAt, new_store: NewStore
) -> None:
    """Each session, and each answer in history."""
    url = database_at("head")
    insert_newest(url)
    newest = dump(url)
    migrate(url, "0001", down=True)
    first = dump(url)
    assert columns(first["sessions"], *KEPT) == columns(newest["sessions"], *KEPT)
    events = columns(newest["session_history"], "user_id", "action", "step", "answer", "timestamp")
    assert columns(first["session_history"], "user_id", "action", "step", "answer", "timestamp") == events
    migrate(url, "head")
    again = dump(url)
    assert columns(again["sessions"], *KEPT) == columns(newest["sessions"], *KEPT)
    assert answers_of(again) == answers_of(newest)
    sessions = len(again["sessions"])
    assert len(again["session_history"]) == len(newest["session_history"]) + sessions  # a `saved` for each
    store = new_store(Settings(database_url=url, surveys_dir=SURVEYS, default_survey="phq9"))
    assert len(store.queries.list()[0]) == sessions == 4


ERASURES = """
INSERT INTO erasures (survey_id, user_hash, salt, sessions, erased_at) VALUES
  ('phq9', 'aa', 'cd', 2, '2026-01-02 03:04:05.000006'), ('phq9', 'aa', 'cd', 2, '2026-01-02 03:04:05.000006'),
  ('phq9', 'aa', 'cd', 2, '2026-01-02 03:04:05.000007'), ('intake', 'aa', 'cd', 1, '2026-01-02 03:04:05.000006'),
  ('phq9', 'aa', 'cd', 2, '2026-01-02 03:04:05.000006'), ('phq9', 'bb', 'cd', 3, '2026-01-02 03:04:05.000006'),
  ('phq9', NULL, NULL, 9, '2026-01-02 03:04:05.000006'), ('phq9', NULL, NULL, 9, '2026-01-02 03:04:05.000006')
"""


def test_duplicate_erasures_are_merged_when_upgraded(database_at: DatabaseAt) -> None:
    """Purges, which have no hash, and entries with other times or surveys are not duplicates."""
    url = database_at("0012")
    execute(url, ERASURES)
    before = dump(url)["erasures"]
    migrate(url, "0013")
    assert dump(url)["erasures"] == [before[0], *before[2:4], *before[5:]]


def test_rows_are_kept_when_upgraded_and_downgraded_by_the_command(database_at: DatabaseAt) -> None:
    """The schema equals the models'; at base, the database is empty."""
    url = database_at("0001")
    execute(url, ROWS)
    alembic(url, "upgrade", "head")
    alembic(url, "check")
    rows = dump(url)
    assert (len(rows["sessions"]), len(rows["session_history"])) == (3, 6)
    alembic(url, "downgrade", "base")
    assert dump(url) == {}
    migrate(url, "head")
    alembic(url, "check")


def test_two_concurrent_upgrades_succeed(database_at: DatabaseAt, tmp_path: Path) -> None:
    """The second waits for the first, and changes nothing."""
    url = database_at("0001")
    execute(url, ROWS)
    outputs = [tmp_path / "first.log", tmp_path / "second.log"]
    upgrades = [start_alembic(url, output, "upgrade", "head") for output in outputs]
    for upgrade, output in zip(upgrades, outputs, strict=True):
        assert upgrade.wait(ALEMBIC_S) == 0, output.read_text()
    rows = dump(url)
    assert (len(rows["sessions"]), len(rows["session_history"])) == (3, 6)


def test_failed_migration_releases_its_lock(empty_url: str) -> None:
    """While its process continues, another upgrade need not wait."""
    execute(empty_url, "CREATE TABLE sessions (id INTEGER)")
    with pytest.raises(Exception, match="another program"):
        migrate(empty_url, "head")
    execute(empty_url, "DROP TABLE sessions")
    other = run_alembic(empty_url, "upgrade", "head")
    assert other.returncode == 0, other.stderr


def test_revisions_are_those_that_the_names_of_their_files_begin_with() -> None:
    """A start that upgrades nothing reads them there, without Alembic."""
    config = Config(ROOT / "alembic.ini")
    config.set_main_option("script_location", str(ROOT / "alembic"))
    scripts = ScriptDirectory.from_config(config)
    assert {script.revision for script in scripts.walk_revisions()} == migrations._known_revisions()
    assert scripts.get_current_head() == migrations.head_revision()


def test_schema_check_reads_no_rows_when_the_schema_is_current(database_at: DatabaseAt) -> None:
    """Each start of a server or command runs it, and its time must not depend on the number of rows."""
    url = database_at("head")
    statements: list[str] = []

    def record(_connection: object, _cursor: object, statement: str, *_rest: object) -> None:
        statements.append(statement)

    event.listen(Engine, "before_cursor_execute", record)
    try:
        upgrade_schema(normalise_url(url))
    finally:
        event.remove(Engine, "before_cursor_execute", record)
    assert any("alembic_version" in statement for statement in statements)
    assert not [s for s in statements if "foreign_key_check" in s or "session" in s.replace("SESSION", "")]


def test_every_constraint_and_index_is_named_by_the_convention(database_at: DatabaseAt) -> None:
    """A later revision can drop only what has the same name in each database."""
    url = database_at("head")
    engine = writer_engine(normalise_url(url))
    with engine.begin() as connection:
        names = names_of(connection)
    engine.dispose()
    wrong = {name for name in names if not NAMED.fullmatch(name)}
    assert len(names) >= 5
    assert wrong == set()


def names_of(connection: Connection) -> list[str]:
    """Return the names of all keys, checks and indexes, without MariaDB's primary keys, which are all PRIMARY."""
    inspector = inspect(connection)
    constraints: list[Any] = []
    for table in set(inspector.get_table_names()) - {"alembic_version"}:
        if connection.dialect.name != "mysql":
            constraints.append(inspector.get_pk_constraint(table))
        constraints += inspector.get_foreign_keys(table)
        constraints += inspector.get_unique_constraints(table)
        constraints += inspector.get_check_constraints(table)
        constraints += inspector.get_indexes(table)
    return [str(constraint["name"]) for constraint in constraints]
