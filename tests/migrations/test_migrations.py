"""Migrations: up and down with rows in the tables, two at once, and the names of what they make; on each database."""

import re
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, event, inspect

from app.database import Database
from app.sessions.service import open_store
from app.settings import Settings
from app.store.engine import normalise_url, writer_engine
from app.store.migrations import upgrade_schema
from app.survey.commands import Answer, Draft, Restart
from app.survey.snapshot import SessionKey
from tests.conftest import SURVEYS
from tests.migrations.sample import REVISIONS, ROWS, Rows, alembic, dump, execute, migrate, run_alembic, shape

KEPT = ("user_id", "current_step", "answers", "step_history", "session_data", "created_at", "updated_at")
NAMED = re.compile(
    r"(pk|uq|ix|fk|ck)_(sessions|session_history|survey_revisions|api_keys|sign_ins|token_revocations|erasures|audit_log|leases|webhooks|webhook_deliveries)(_\w+)?"
)


def columns(rows: list[dict[str, Any]], *names: str) -> list[tuple[Any, ...]]:
    """Return these columns of each row."""
    return [tuple(row[name] for name in names) for row in rows]


def answers_of(rows: Rows) -> list[tuple[Any, ...]]:
    """Return history's answers, whoever wrote them."""
    return [row for row in columns(rows["session_history"], "user_id", "step", "answer", "timestamp") if row[2]]


def make_newest(url: str) -> None:
    """Fill a database of the newest revision as the program does: answers, drafts, a restart, two surveys."""
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


@pytest.mark.parametrize("below", range(len(REVISIONS) - 1), ids=lambda below: f"{REVISIONS[below]}-up")
def test_each_revision_goes_up_down_and_up_with_every_row(empty_url: str, below: int) -> None:
    """Down is what was before, up again is what was after: schema and every value of every row."""
    url = empty_url
    migrate(url, "0001")
    execute(url, ROWS)
    migrate(url, REVISIONS[below])
    before, before_shape = dump(url), shape(url)
    migrate(url, REVISIONS[below + 1])
    after, after_shape = dump(url), shape(url)
    assert columns(after["sessions"], *KEPT) == columns(before["sessions"], *KEPT)
    assert answers_of(after) == answers_of(before)
    migrate(url, REVISIONS[below], down=True)
    down = dump(url)
    assert columns(down["sessions"], *KEPT) == columns(before["sessions"], *KEPT)
    assert answers_of(down) == answers_of(before)
    assert set(shape(url)) == set(before_shape)
    assert {table: set(found[0]) for table, found in shape(url).items()} == {
        table: set(found[0]) for table, found in before_shape.items()
    }
    migrate(url, REVISIONS[below + 1])
    again = dump(url)
    assert columns(again["sessions"], *KEPT) == columns(after["sessions"], *KEPT)
    assert answers_of(again) == answers_of(after)
    assert shape(url) == after_shape


def test_newest_rows_go_down_to_the_first_revision_and_up_again(empty_url: str) -> None:
    """What the program wrote: each session, each answer in history; and history folds to its row afterwards."""
    url = empty_url
    migrate(url, "head")
    make_newest(url)
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
    store = open_store(Settings(database_url=url, surveys_dir=SURVEYS, default_survey="phq9"))
    assert len(store.queries.list()[0]) == sessions == 4
    store.close()


ERASURES = """
INSERT INTO erasures (survey_id, user_hash, salt, sessions, erased_at) VALUES
  ('phq9', 'aa', 'cd', 2, '2026-01-02 03:04:05.000006'), ('phq9', 'aa', 'cd', 2, '2026-01-02 03:04:05.000006'),
  ('phq9', 'aa', 'cd', 2, '2026-01-02 03:04:05.000007'), ('intake', 'aa', 'cd', 1, '2026-01-02 03:04:05.000006'),
  ('phq9', 'aa', 'cd', 2, '2026-01-02 03:04:05.000006'), ('phq9', 'bb', 'cd', 3, '2026-01-02 03:04:05.000006'),
  ('phq9', NULL, NULL, 9, '2026-01-02 03:04:05.000006'), ('phq9', NULL, NULL, 9, '2026-01-02 03:04:05.000006')
"""


def test_erasures_that_were_added_twice_are_merged(empty_url: str) -> None:
    """One of each stays; purges, which have no hash, and other times and surveys are no doubles."""
    migrate(empty_url, "0012")
    execute(empty_url, ERASURES)
    before = dump(empty_url)["erasures"]
    migrate(empty_url, "0013")
    assert dump(empty_url)["erasures"] == [before[0], *before[2:4], *before[5:]]


def test_upgrade_and_downgrade_by_the_command_keep_every_row(empty_url: str) -> None:
    """As an operator runs it; models and migrations agree; base is empty."""
    url = empty_url
    migrate(url, "0001")
    execute(url, ROWS)
    alembic(url, "upgrade", "head")
    alembic(url, "check")
    rows = dump(url)
    assert (len(rows["sessions"]), len(rows["session_history"])) == (3, 6)
    alembic(url, "downgrade", "base")
    assert dump(url) == {}
    migrate(url, "head")
    alembic(url, "check")


def test_two_upgrades_at_once_harm_nothing(empty_url: str) -> None:
    """One works, the other waits; both end well, with the rows of one."""
    url = empty_url
    migrate(url, "0001")
    execute(url, ROWS)
    both = [run_alembic(url, "upgrade", "head") for _ in range(2)]
    for one in both:
        out, _ = one.communicate(timeout=120)
        assert one.returncode == 0, out
    rows = dump(url)
    assert (len(rows["sessions"]), len(rows["session_history"])) == (3, 6)


def test_migration_that_fails_leaves_no_lock_behind(empty_url: str) -> None:
    """In a process that lives on, another upgrade needn't wait for it."""
    execute(empty_url, "CREATE TABLE sessions (id INTEGER)")
    with pytest.raises(Exception, match="another program"):
        migrate(empty_url, "head")
    execute(empty_url, "DROP TABLE sessions")
    other = run_alembic(empty_url, "upgrade", "head")
    out, _ = other.communicate(timeout=30)
    assert other.returncode == 0, out


def test_schema_that_is_the_newest_is_looked_at_without_its_rows(empty_url: str) -> None:
    """Each start of a server or command asks for it while participants write: it takes as long with a billion rows."""
    migrate(empty_url, "head")
    asked: list[str] = []

    def hear(_connection: object, _cursor: object, statement: str, *_rest: object) -> None:
        asked.append(statement)

    event.listen(Engine, "before_cursor_execute", hear)
    try:
        upgrade_schema(normalise_url(empty_url))
    finally:
        event.remove(Engine, "before_cursor_execute", hear)
    assert any("alembic_version" in statement for statement in asked)
    assert not [one for one in asked if "foreign_key_check" in one or "session" in one.replace("SESSION", "")]


def test_every_constraint_and_index_has_a_name_of_the_convention(empty_url: str) -> None:
    """What has no name, or another in each database, can't be dropped by a later revision."""
    migrate(empty_url, "head")
    engine = writer_engine(normalise_url(empty_url))
    with engine.begin() as connection:
        names = names_of(connection)
    engine.dispose()
    wrong = {name for name in names if not NAMED.fullmatch(name)}
    assert len(names) >= 5
    assert wrong == set()


def names_of(connection: Connection) -> list[str]:
    """Return the names of all keys, checks and indexes; MariaDB calls each primary key PRIMARY."""
    inspector = inspect(connection)
    found: list[Any] = []
    for table in set(inspector.get_table_names()) - {"alembic_version"}:
        if connection.dialect.name != "mysql":
            found.append(inspector.get_pk_constraint(table))
        found += inspector.get_foreign_keys(table)
        found += inspector.get_unique_constraints(table)
        found += inspector.get_check_constraints(table)
        found += inspector.get_indexes(table)
    return [str(one["name"]) for one in found]
