"""Upgrades adopt databases created by hand from the SQL of existing installations, and keep each row."""

from collections.abc import Iterator
from dataclasses import replace

import pytest

from app.database import Database
from app.sessions.service import SessionStore
from app.settings import Settings
from app.store.engine import normalise_url
from app.survey.commands import Answer
from app.survey.events import from_record
from app.survey.snapshot import SessionKey
from app.survey.state import fold
from app.writer.batch import Committed
from tests.conftest import SURVEYS, NewStore
from tests.migrations.conftest import Templates
from tests.migrations.sample import BY_HAND, alembic, execute, make_by_hand, migrate, run_alembic

BOB = SessionKey("phq9", "bob")


def check_fold(store: SessionStore, key: SessionKey) -> None:
    """Check that replaying history gives the row, times included."""
    snapshot = store.queries.load(key)
    assert snapshot is not None
    folded = fold(from_record(entry.record) for entry in store.queries.history(key, limit=10_000))
    assert folded is not None
    # No event has the start time of an adopted session.
    assert folded == replace(snapshot.state, started_at=folded.started_at)


def adopt(url: str) -> None:
    """Make the database one that was adopted, with its sessions in the survey phq9."""
    make_by_hand(url)
    migrate(url, "head", default_survey="phq9")


@pytest.fixture
def adopted(templates: Templates, new_store: NewStore) -> Iterator[SessionStore]:
    """A store on an adopted database."""
    url = templates.copy_prepared("adopted", adopt)
    store = new_store(Settings(database_url=url, surveys_dir=SURVEYS, default_survey="phq9"))
    yield store
    templates.drop(url)


def test_adopted_session_keeps_its_state_and_accepts_the_next_answer(adopted: SessionStore) -> None:
    """Answers in their order, step history, mode and data; its history can be read too."""
    snapshot, resumed = adopted.turns.get_or_create(BOB, is_audio_mode=False)
    state = snapshot.state
    assert resumed
    assert list(state.answers.items()) == [("Q2", 1), ("Q1", 2), ("note", "ä😀")]
    assert (state.current_step, state.step_history) == ("Q3", ("Q1", "Q2"))
    assert (state.is_audio_mode, state.session_data) == (True, {"k": 1})
    check_fold(adopted, BOB)
    command = Answer(at=state.updated_at + 60_000_000, message_id="m", step="Q3", value=2)  # before it expires
    result = adopted.turns.submit(BOB, command)
    assert isinstance(result, Committed)
    assert (result.snapshot.state.current_step, result.snapshot.state.answers["Q3"]) == ("Q4", 2)
    check_fold(adopted, BOB)
    entries = adopted.queries.history(BOB)
    assert [entry.record.data.get("action", entry.record.action) for entry in entries] == [
        "answer_saved", "started", "answer_saved", "saved", "answered",
    ]  # fmt: skip
    assert [entry.record.answer for entry in entries] == [2, None, "😀", None, 2]


def test_completed_and_corrupt_sessions_are_adopted(adopted: SessionStore) -> None:
    """A session at its end is completed; an unreadable one is set aside when its participant connects."""
    completed = adopted.queries.load(SessionKey("phq9", "eve"))
    assert completed is not None
    assert completed.state.status == "completed"
    begun, resumed = adopted.turns.get_or_create(SessionKey("phq9", "corrupt"), is_audio_mode=False)
    assert (resumed, begun.state.current_step) == (False, "Q1")
    with adopted.queries.engine.connect() as connection:
        answers = connection.exec_driver_sql("SELECT answers FROM sessions WHERE user_id LIKE 'corrupt~%%'").scalar()
    assert answers == "{oops"


@pytest.mark.parametrize("size", [1000, 100_000], ids=["small", "over 64 KiB"])
def test_adopted_session_stores_answers_of_any_allowed_size(adopted: SessionStore, size: int) -> None:
    """MySQL's TEXT of an adopted table would end at 64 KiB; times have microseconds."""
    database = Database(adopted)
    answers = {"Q1": "ä😀" * (size // 2)}
    assert database.update_session_state("bob", answers=answers)
    loaded = database.load_session("bob")
    assert loaded is not None
    assert loaded["answers"] == answers
    check_fold(adopted, BOB)


def test_adopted_database_has_the_schema_of_the_models(empty_url: str) -> None:
    """``alembic check`` finds no difference."""
    make_by_hand(empty_url)
    alembic(empty_url, "upgrade", "head")
    alembic(empty_url, "check")


def test_adopted_tables_store_any_text_when_created_with_another_character_set(
    empty_url: str, new_store: NewStore
) -> None:
    """MariaDB's default is latin1."""
    kind = normalise_url(empty_url).get_backend_name()
    execute(empty_url, BY_HAND[kind].replace(" DEFAULT CHARSET=utf8mb4", ""))
    execute(empty_url, "INSERT INTO sessions (user_id, current_step, answers, step_history) VALUES ('u', 'Q1', '{\"Q1\":\"ä\"}', '[]')")  # fmt: skip
    alembic(empty_url, "upgrade", "head", STEPKEEP_DEFAULT_SURVEY="phq9")
    store = new_store(Settings(database_url=empty_url, surveys_dir=SURVEYS, default_survey="phq9"))
    database = Database(store)
    loaded = database.load_session("u")
    assert loaded is not None
    assert loaded["answers"] == {"Q1": "ä"}
    assert database.update_session_state("u", answers={"Q1": "😀"})


def test_upgrade_fails_when_a_table_belongs_to_another_program(empty_url: str) -> None:
    """A one-line error and a nonzero exit code, without a traceback."""
    execute(empty_url, "CREATE TABLE sessions (id INTEGER)")
    failed = run_alembic(empty_url, "upgrade", "head")
    assert failed.returncode != 0
    assert "another program" in failed.stdout + failed.stderr
    assert "Traceback" not in failed.stdout + failed.stderr
