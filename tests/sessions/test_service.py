"""The store applies acknowledged commands exactly once, and replaying history gives the row."""

import os
import sqlite3
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy.exc import OperationalError

from app.database import Database
from app.errors import (
    DatabaseUnavailable,
    InvalidInput,
    MessageIdReused,
    Overloaded,
    SessionUnreadable,
    StoreInUse,
    VersionConflict,
)
from app.sessions.service import SessionStore
from app.settings import Settings
from app.store.engine import normalise_url, server_lock
from app.survey.commands import Answer, Back, Begin, Draft, Restart, Save, Update
from app.survey.events import from_record
from app.survey.snapshot import SessionKey
from app.survey.state import fold
from app.writer import batch, group_commit
from app.writer.batch import Committed, Rejected
from tests.conftest import NewStore, examples
from tests.core.test_strict_json import EXACT

KEY = SessionKey("phq9", "user123")


def answer(store: SessionStore, step: str, value: object, message_id: str | None = None) -> Committed:
    result = store.turns.submit(KEY, Answer(at=store.clock(), message_id=message_id, step=step, value=value))
    assert isinstance(result, Committed)
    return result


def check_history(store: SessionStore, key: SessionKey = KEY) -> None:
    snapshot = store.queries.load(key)
    assert snapshot is not None
    entries = store.queries.history(key, limit=100_000)
    assert [entry.version for entry in entries] == list(range(1, snapshot.state.version + 1))
    assert fold(from_record(entry.record) for entry in entries) == snapshot.state


def execute_as_client(store: SessionStore, statement: str) -> None:
    """Change rows as a database client would."""
    store._writer.run(lambda connection: connection.exec_driver_sql(statement))


def test_command_sent_again_is_applied_once(store: SessionStore) -> None:
    """The same message id returns the same version."""
    store.turns.get_or_create(KEY, is_audio_mode=False)
    first = answer(store, "Q1", 2, "m1")
    again = answer(store, "Q1", 2, "m1")
    assert (first.version, first.duplicate) == (2, False)
    assert (again.version, again.duplicate) == (2, True)
    assert again.snapshot == first.snapshot
    check_history(store)


def test_message_id_of_another_command_is_refused(store: SessionStore) -> None:
    """An id stands for one command."""
    store.turns.get_or_create(KEY, is_audio_mode=False)
    answer(store, "Q1", 2, "m1")
    with pytest.raises(MessageIdReused):
        store.turns.submit(KEY, Answer(at=1, message_id="m1", step="Q1", value=3))


def test_history_replays_to_the_row_after_each_kind_of_command(store: SessionStore) -> None:
    """Drafts and restarts included."""
    store.turns.get_or_create(KEY, is_audio_mode=True)
    answer(store, "Q1", 1)
    for command in (
        Draft(at=store.clock(), step="Q2", value="ha"),
        Back(at=store.clock()),
        Answer(at=store.clock(), step="Q1", value=0),
        Update(at=store.clock(), changes={"session_data": {"clinic": "é😀"}}),
        Restart(at=store.clock()),
    ):
        assert isinstance(store.turns.submit(KEY, command), Committed)
        check_history(store)
    assert store.queries.at_version(KEY, 2).state.answers == {"Q1": 1}


def test_rejected_command_saves_nothing(store: SessionStore) -> None:
    """A refused command makes no event."""
    store.turns.get_or_create(KEY, is_audio_mode=False)
    result = store.turns.submit(KEY, Answer(at=store.clock(), message_id="m", step="Q1", value=17))
    assert isinstance(result, Rejected)
    assert result.rejection.code == "invalid_answer"
    assert len(store.queries.history(KEY)) == 1


def test_concurrent_commands_of_many_sessions_are_applied_once_and_in_order(store: SessionStore) -> None:
    """Group commit: 360 commands of 40 sessions from 16 threads."""
    keys = [SessionKey("phq9", f"user{number}") for number in range(40)]
    for key in keys:
        store.turns.get_or_create(key, is_audio_mode=False)

    def walk(key: SessionKey) -> None:
        for number in range(1, 10):
            result = store.turns.submit(
                key, Answer(at=store.clock(), message_id=f"m{number}", step=f"Q{number}", value=1)
            )
            assert isinstance(result, Committed)
            assert result.version == number + 1

    with ThreadPoolExecutor(16) as threads:
        list(threads.map(walk, keys))
    for key in keys:
        check_history(store, key)


def test_concurrent_commands_of_one_session_get_consecutive_versions(store: SessionStore) -> None:
    """Commands of one session are decided one after another."""
    store.turns.get_or_create(KEY, is_audio_mode=False)

    def save(number: int) -> int:
        command = Save(
            at=store.clock(),
            message_id=f"m{number}",
            current_step="Q1",
            answers={"n": number},
            step_history=(),
            is_audio_mode=False,
            session_data=None,
        )
        return store.turns.submit_or_raise(KEY, command).version

    with ThreadPoolExecutor(8) as threads:
        versions = sorted(threads.map(save, range(100)))
    assert versions == list(range(2, 102))
    check_history(store)


def test_if_match_on_an_older_version_is_a_conflict(store: SessionStore) -> None:
    """The command names the version that it was based on."""
    store.turns.get_or_create(KEY, is_audio_mode=False)
    answer(store, "Q1", 1)
    with pytest.raises(VersionConflict):
        store.turns.submit_or_raise(KEY, Update(at=1, expected_version=1, changes={"is_audio_mode": True}))


def test_full_queue_refuses_and_never_grows(settings: Settings, new_store: NewStore) -> None:
    """A command beyond the limit is overloaded; queued commands are committed."""
    store = new_store(settings, queue_limit=1, queue_timeout_s=0.1)
    store.turns.get_or_create(KEY, is_audio_mode=False)
    inside, go_on = threading.Event(), threading.Event()

    def hold(_connection: object) -> None:
        inside.set()
        go_on.wait(30)

    with ThreadPoolExecutor(2) as threads:
        leader = threads.submit(store._writer.run, hold)
        inside.wait(30)
        waiting = threads.submit(answer, store, "Q1", 1)
        with pytest.raises(Overloaded):
            answer(store, "Q1", 2)
        go_on.set()
        leader.result()
    assert isinstance(waiting.exception(), Overloaded | None)
    assert store._writer.waiting_turns == 0
    assert answer(store, "Q1", 3).duplicate is False


def test_failed_transaction_is_retried_and_then_raised(store: SessionStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """Three attempts; then the caller gets the error, and nothing is stored."""
    store.turns.get_or_create(KEY, is_audio_mode=False)
    calls: list[int] = []
    real = batch.commit_batch

    def locked(*arguments: Any) -> Any:
        calls.append(1)
        if len(calls) < failures:
            raise OperationalError("", {}, sqlite3.OperationalError("database is locked"))
        return real(*arguments)

    monkeypatch.setattr(store._writer, "_settings", store.settings.model_copy(update={"retry_delay_s": 0}))
    monkeypatch.setattr(group_commit, "commit_batch", locked)
    failures = 3
    assert answer(store, "Q1", 1).version == 2
    calls.clear()
    failures = 4
    with pytest.raises(DatabaseUnavailable):
        answer(store, "Q2", 1)
    monkeypatch.undo()
    check_history(store)


def test_unreadable_session_is_set_aside_and_a_new_one_starts(store: SessionStore) -> None:
    """Corrupt JSON: the row is renamed and kept for support."""
    store.turns.get_or_create(KEY, is_audio_mode=False)
    answer(store, "Q1", 1)
    execute_as_client(store, "UPDATE sessions SET answers = '{oops' WHERE user_id = 'user123'")
    snapshot, resumed = store.turns.get_or_create(KEY, is_audio_mode=False)
    assert not resumed
    assert snapshot.state.answers == {}
    with store.queries.engine.connect() as connection:
        set_aside = connection.exec_driver_sql("SELECT user_id, answers FROM sessions WHERE user_id <> 'user123'").all()
    assert [row[1] for row in set_aside] == ["{oops"]


@examples(40)
@given(answers=st.dictionaries(st.text("abcé😀", min_size=1, max_size=5), EXACT, max_size=4))
def test_answers_are_returned_unchanged(store: SessionStore, answers: dict[str, object]) -> None:
    """Values, and the order of keys."""
    database = Database(store)
    database.save_session("u", "S1", answers, [])
    loaded = database.load_session("u")
    assert loaded is not None
    assert loaded["answers"] == answers
    assert list(loaded["answers"]) == list(answers)


@pytest.mark.one_database
@pytest.mark.parametrize(
    "wrong",
    [
        {"user_id": ""}, {"user_id": "a/b"}, {"user_id": None}, {"user_id": "x" * 129}, {"step_history": "S1"},
        {"step_history": [1]}, {"answers": []}, {"answers": {"a": {1}}}, {"answers": {1: 1}},
        {"answers": {"a": float("nan")}}, {"answers": {"a": 10**400}}, {"session_data": 1}, {"current_step": ""},
        {"current_step": None}, {"is_audio_mode": 1}, {"answers": {"a": "x" * 1_100_000}},
    ],
)  # fmt: skip
def test_invalid_data_is_refused_before_anything_is_written(store: SessionStore, wrong: dict[str, object]) -> None:
    """No session is created."""
    given = {"user_id": "u", "current_step": "S1", "answers": {}, "step_history": [], **wrong}
    with pytest.raises(InvalidInput):
        Database(store).save_session(**given)  # type: ignore[arg-type]
    assert store.queries.list()[0] == []


def test_user_ids_are_case_sensitive(store: SessionStore) -> None:
    """Keys are compared exactly."""
    for name in ("Bob", "bob"):
        store.turns.get_or_create(SessionKey("phq9", name), is_audio_mode=False)
    assert {snapshot.key.user_id for snapshot in store.queries.list()[0]} == {"Bob", "bob"}


def test_session_stays_on_its_revision_when_the_survey_is_edited(store: SessionStore, settings: Settings) -> None:
    """A restart uses the new revision."""
    store.turns.get_or_create(KEY, is_audio_mode=False)
    old = store.catalogue.surveys["phq9"]
    shorter = old.model_validate_json(old.model_copy(update={"steps": (old.steps[0],)}).model_dump_json())
    edited = SessionStore(settings, type(store.catalogue)(surveys={"phq9": shorter}, default_id="phq9"))
    edited.initialise()
    result = edited.turns.submit(KEY, Answer(at=edited.clock(), step="Q1", value=1))
    assert isinstance(result, Committed)
    assert result.snapshot.state.current_step == "Q2"
    restarted = edited.turns.submit(KEY, Restart(at=edited.clock()))
    assert isinstance(restarted, Committed)
    assert restarted.snapshot.state.survey_revision == shorter.revision
    edited.close()


def test_second_server_on_one_sqlite_file_is_refused(settings: Settings) -> None:
    """One server process owns a SQLite file."""
    url = normalise_url(settings.database_url)
    lock = server_lock(url)
    if url.get_backend_name() != "sqlite":
        assert lock is None  # a database server allows several
        return
    with pytest.raises(StoreInUse):
        server_lock(url)
    assert lock is not None
    lock.release()


def test_expired_session_accepts_only_restart(store: SessionStore) -> None:
    """phq9 expires 14 days after its last change."""
    store.turns.get_or_create(KEY, is_audio_mode=False)
    later = store.clock() + 15 * 86_400 * 1_000_000
    refused = store.turns.submit(KEY, Answer(at=later, step="Q1", value=1))
    assert isinstance(refused, Rejected)
    assert refused.rejection.code == "expired"
    assert isinstance(store.turns.submit(KEY, Restart(at=later)), Committed)


def test_second_begin_is_rejected(store: SessionStore) -> None:
    """Two devices that connect concurrently share a session."""
    first = store.turns.submit(KEY, Begin(at=1))
    second = store.turns.submit(KEY, Begin(at=1))
    assert isinstance(first, Committed)
    assert isinstance(second, Rejected)


def test_get_database_is_safe_after_a_fork(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """The child opens its own connections, and both processes continue."""
    import app.database as module  # noqa: PLC0415 - its one instance is reset here

    monkeypatch.setattr(module, "_instance", None)
    monkeypatch.setenv("DATABASE_URL", settings.database_url)
    monkeypatch.setenv("STEPKEEP_SURVEYS_DIR", str(settings.surveys_dir))
    parent = module.get_database()
    assert parent is module.get_database()
    parent.save_session("parent", "S1", {}, [])
    child = os.fork()
    if child == 0:
        done = module.get_database() is not parent and module.get_database().save_session("child", "S1", {}, [])
        os._exit(0 if done else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    parent.save_session("parent", "S2", {}, [])
    assert {row["user_id"] for row in parent.list_sessions()} == {"parent", "child"}
    parent.close()


def test_failing_condition_is_logged_once_a_session(
    settings: Settings, tmp_path: Path, caplog: pytest.LogCaptureFixture, new_store: NewStore
) -> None:
    """A number of a text without one counts as false; the log has one warning, without the answer."""
    folder = tmp_path / "surveys"
    folder.mkdir()
    (folder / "s.yaml").write_text(
        "id: s\ntitle: t\nlanguage: en\nsteps:\n"
        " - {id: S1, type: text, prompt: p, next: [{when: int(answer) > 2, go: end}]}\n"
        " - {id: S2, type: text, prompt: p}\n"
    )
    store = new_store(settings, surveys_dir=folder)
    key = SessionKey("s", "u")
    store.turns.get_or_create(key, is_audio_mode=False)
    for value in ("secret one", "secret two"):
        result = store.turns.submit(key, Answer(at=store.clock(), step="S1", value=value))
        assert isinstance(result, Committed)
        assert result.snapshot.state.current_step == "S2"
    warned = [record.getMessage() for record in caplog.records if "S1" in record.getMessage()]
    assert len(warned) == 1
    assert "secret" not in caplog.text


def test_session_is_set_aside_once_when_its_revision_is_missing(store: SessionStore) -> None:
    """The participant starts again; the old row is kept for support."""
    store.turns.get_or_create(KEY, is_audio_mode=False)
    answer(store, "Q1", 1)
    execute_as_client(store, "UPDATE sessions SET survey_revision = 'gone' WHERE user_id = 'user123'")
    error = SessionUnreadable("phq9", "user123", "gone")
    snapshot, resumed = store.turns.get_or_create(KEY, is_audio_mode=False)
    assert (resumed, snapshot.state.answers) == (False, {})
    store.erasure.set_aside(KEY, error)  # by a connection that read the old row: the new session is unaffected
    assert store.queries.load(KEY) == snapshot
    assert len(store.queries.list()[0]) == 2


def test_two_servers_start_one_session_when_concurrent(settings: Settings, new_store: NewStore) -> None:
    """One starts it, the other loads it."""
    stores = [new_store(settings) for _ in range(2)]
    with ThreadPoolExecutor(2) as threads:
        for number in range(10):
            key = SessionKey("phq9", f"u{number}")
            both = [threads.submit(store.turns.get_or_create, key, is_audio_mode=False) for store in stores]
            assert {future.result()[0].state.version for future in both} == {1}


def test_huge_whole_number_is_refused_and_fails_nobody_else(
    settings: Settings, tmp_path: Path, new_store: NewStore
) -> None:
    """1e300 is a whole number to Python, but beyond the integers of JSON that are exact everywhere."""
    folder = tmp_path / "surveys"
    folder.mkdir()
    (folder / "s.yaml").write_text(
        "id: s\ntitle: t\nlanguage: en\nsteps: [{id: S1, type: number, prompt: p, integer: true}]\n"
    )
    store = new_store(settings, surveys_dir=folder)
    keys = [SessionKey("s", name) for name in ("a", "b")]
    for key in keys:
        store.turns.get_or_create(key, is_audio_mode=False)
    values = (1e300, 3)
    work = [(key, Answer(at=store.clock(), step="S1", value=value)) for key, value in zip(keys, values, strict=True)]
    refused, accepted = store._writer.submit_many(work)
    assert isinstance(refused, Rejected)
    assert isinstance(accepted, Committed)


def test_list_skips_unreadable_rows_and_shows_expired_sessions(store: SessionStore) -> None:
    """A page counts the rows that it skips."""
    for name in ("a", "b", "c"):
        store.turns.get_or_create(SessionKey("phq9", name), is_audio_mode=False)
    execute_as_client(store, "UPDATE sessions SET answers = '{oops' WHERE user_id = 'a'")
    execute_as_client(store, "UPDATE sessions SET expires_at = '2020-01-01 00:00:00.000000' WHERE user_id = 'b'")
    first, last = store.queries.list(limit=2)
    assert [snapshot.key.user_id for snapshot in first] == ["b"]
    assert last is not None
    rest, _ = store.queries.list(limit=2, after=last)
    assert [snapshot.key.user_id for snapshot in rest] == ["c"]
    expired, _ = store.queries.list(filters={"status": "expired"})
    assert [snapshot.key.user_id for snapshot in expired] == ["b"]
