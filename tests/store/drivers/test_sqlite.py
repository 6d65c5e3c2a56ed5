"""SQLite: durable commits, one writer that checkpoints, and a cache that is never older than the file."""

import logging
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from sqlalchemy.exc import OperationalError

from app.database import Database
from app.sessions.service import SessionStore, open_store
from app.settings import Settings
from app.store.drivers import sqlite
from app.store.engine import normalise_url
from app.survey.commands import Answer, Begin, SetMode, Update
from app.survey.snapshot import SessionKey
from app.writer import batch
from app.writer.batch import Committed
from tests.conftest import ROOT, SURVEYS, NewStore
from tests.durability.exactly_once import check_fold

KEY = SessionKey("phq9", "user123")


@pytest.fixture
def file_settings(tmp_path: Path) -> Settings:
    return Settings(database_url=f"sqlite:///{tmp_path / 'test.db'}", surveys_dir=SURVEYS)


@pytest.fixture
def store(file_settings: Settings, new_store: NewStore) -> SessionStore:
    return new_store(file_settings)


@pytest.mark.parametrize(
    ("version", "has_bug"),
    [
        ((3, 6, 23), False), ((3, 7, 0), True), ((3, 40, 1), True), ((3, 44, 5), True), ((3, 44, 6), False),
        ((3, 45, 0), True), ((3, 50, 6), True), ((3, 50, 7), False), ((3, 51, 2), True), ((3, 51, 3), False),
        ((3, 53, 4), False),
    ],
)  # fmt: skip
def test_has_wal_reset_bug_is_true_for_affected_versions(version: tuple[int, int, int], has_bug: bool) -> None:
    """3.7.0 to 3.51.2 except 3.44.6, 3.50.7 and their successors (sqlite.org/wal.html)."""
    assert sqlite.has_wal_reset_bug(version) is has_bug


def pragma(store: SessionStore, name: str, *, of_writer: bool) -> object:
    if of_writer:
        return store._writer.run(lambda connection: connection.exec_driver_sql(f"PRAGMA {name}").scalar())
    with store.queries.engine.connect() as connection:
        return connection.exec_driver_sql(f"PRAGMA {name}").scalar()


def test_writer_syncs_each_commit_and_readers_cannot_write_or_checkpoint(store: SessionStore) -> None:
    """WAL with synchronous=FULL (2); secure_delete overwrites deleted data."""
    names = ("journal_mode", "synchronous", "foreign_keys", "secure_delete")
    assert [pragma(store, name, of_writer=True) for name in names] == ["wal", 2, 1, 1]
    assert [pragma(store, name, of_writer=False) for name in ("query_only", "wal_autocheckpoint")] == [1, 0]


def test_wal_is_off_when_sqlite_has_the_wal_reset_bug(
    file_settings: Settings, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Slower, with a warning in the log; sessions are stored as usual."""
    monkeypatch.setattr(sqlite, "has_wal_reset_bug", lambda _version: True)
    with caplog.at_level(logging.WARNING):
        store = open_store(file_settings)
    assert "WAL-reset bug" in caplog.text
    assert pragma(store, "journal_mode", of_writer=True) == "delete"
    store.turns.get_or_create(KEY, is_audio_mode=False)
    assert isinstance(store.turns.submit(KEY, Answer(at=store.clock(), step="Q1", value=1)), Committed)
    check_fold(store, KEY)
    store.close()


def bytes_of(settings: Settings) -> bytes:
    """Return the bytes of the file and its WAL, read by another process so that SQLite keeps its locks."""
    path = Path(settings.database_url.removeprefix("sqlite:///"))
    script = (
        "import pathlib, sys; [sys.stdout.buffer.write(path.read_bytes()) for path in map(pathlib.Path, sys.argv[1:])]"
    )
    paths = [file for file in (path, path.with_name(f"{path.name}-wal")) if file.exists()]
    return subprocess.run([sys.executable, "-c", script, *paths], check=True, capture_output=True).stdout


MARKER = "quite-unlikely-marker"


def test_erased_answers_are_not_in_the_file_or_its_wal(store: SessionStore, file_settings: Settings) -> None:
    """Short answers, and long ones on overflow pages, overwritten or deleted, while the store stays open."""
    keys = [KEY, SessionKey("phq9", "bob")]
    for length in (1, 100, 10_000):
        for key in keys:
            store.turns.get_or_create(key, is_audio_mode=False)
            marked = (MARKER if key is KEY else "kept") * length
            store.turns.submit_or_raise(key, Update(at=store.clock(), changes={"session_data": {"x": marked}}))
    assert MARKER.encode() in bytes_of(file_settings)
    store.erasure.delete(KEY)
    content = bytes_of(file_settings)
    assert MARKER.encode() not in content
    assert b"kept" in content
    check_fold(store, keys[1])


def test_erasure_does_not_wait_for_readers(store: SessionStore, file_settings: Settings) -> None:
    """The WAL keeps the pages that a reader needs, until the next erasure or checkpoint."""
    store.turns.get_or_create(KEY, is_audio_mode=False)
    store.turns.submit_or_raise(KEY, Update(at=store.clock(), changes={"session_data": {"x": MARKER}}))
    with store.queries.engine.connect() as reading:
        reading.exec_driver_sql("BEGIN")
        assert reading.exec_driver_sql("SELECT count(*) FROM sessions").scalar() == 1
        assert store.erasure.delete(KEY)
        assert pragma(store, "busy_timeout", of_writer=True) == sqlite.POLL_MS
        assert MARKER.encode() in bytes_of(file_settings)
        reading.exec_driver_sql("COMMIT")
    store.erasure.truncate_wal()
    assert MARKER.encode() not in bytes_of(file_settings)


def test_writer_retries_a_locked_file_until_its_timeout(file_settings: Settings) -> None:
    """Any other error is raised at once."""
    statements = []

    def fail(times: int, text: str = "database is locked") -> Callable[[str], None]:
        def execute(statement: str) -> None:
            statements.append(statement)
            if len(statements) <= times:
                raise sqlite.driver().OperationalError(text)

        return execute

    sqlite.begin_writing(fail(7))
    assert statements == ["BEGIN IMMEDIATE"] * 8
    statements.clear()
    with pytest.raises(sqlite.driver().OperationalError, match="disk I/O error"):
        sqlite.begin_writing(fail(1, "disk I/O error"))
    assert len(statements) == 1
    engines = [sqlite.writer_engine(normalise_url(file_settings.database_url), 0) for _ in range(2)]
    with engines[0].begin(), pytest.raises(OperationalError, match="database is locked"):
        engines[1].connect().begin()
    for engine in engines:
        engine.dispose()


def test_truncate_wal_ignores_a_failed_checkpoint(store: SessionStore) -> None:
    """The erasure is committed by then. The busy timeout is restored."""
    statements = []

    class Raw:
        def rollback(self) -> None:
            statements.append("rollback")

        def execute(self, statement: str) -> Any:
            statements.append(statement)
            if "checkpoint" in statement:
                raise sqlite.driver().OperationalError("database table is locked")
            return SimpleNamespace(fetchone=lambda: (77,))

    sqlite.truncate_wal(SimpleNamespace(connection=SimpleNamespace(driver_connection=Raw())))  # type: ignore[arg-type]
    assert statements[0] == "rollback"
    assert statements[-1] == "PRAGMA busy_timeout=77"


def test_session_is_read_again_when_another_connection_changed_it(
    store: SessionStore, file_settings: Settings, new_store: NewStore
) -> None:
    """Two stores on one file, each with its cache, write in turn: no version is repeated, no answer is lost."""
    other = new_store(file_settings)
    store.turns.get_or_create(KEY, is_audio_mode=False)
    for number in range(1, 10):
        writer = (store, other)[number % 2]
        outcome = writer.turns.submit_or_raise(
            KEY, Answer(at=writer.clock(), message_id=f"m{number}", step=f"Q{number}", value=1)
        )
        assert outcome.version == number + 1
        assert len(outcome.snapshot.state.answers) == number
    check_fold(store, KEY)


def test_session_is_read_again_when_its_row_was_changed_by_hand(store: SessionStore) -> None:
    """Even on the writer's own connection, whose changes data_version does not count."""
    store.turns.get_or_create(KEY, is_audio_mode=False)
    store.turns.submit_or_raise(KEY, Answer(at=store.clock(), step="Q1", value=1))
    store._writer.run(lambda connection: connection.exec_driver_sql("UPDATE sessions SET answers = '{\"Q1\": 3}'"))
    outcome = store.turns.submit_or_raise(KEY, Answer(at=store.clock(), step="Q2", value=0))
    assert outcome.snapshot.state.answers == {"Q1": 3, "Q2": 0}


def test_changes_to_the_callers_objects_after_saving_are_not_stored(store: SessionStore) -> None:
    """The cache has copies: the next change starts from what was saved."""
    database = Database(store)
    answers = {"S1": ["a"]}
    data = {"tags": {"x": 1}}
    database.save_session("u", "S1", answers, [], session_data=data)
    answers["S1"].append("b")
    data["tags"]["x"] = 2
    assert database.update_session_state("u", current_step="S2")
    loaded = database.load_session("u")
    assert loaded is not None
    assert (loaded["answers"], loaded["session_data"]) == ({"S1": ["a"]}, {"tags": {"x": 1}})
    drafted = {"half": ["typed"]}
    database.update_session_state("u", session_data=drafted)
    drafted["half"].append("more")
    store.turns.submit_or_raise(SessionKey("default", "u"), Update(at=store.clock(), changes={"current_step": "S3"}))
    loaded = database.load_session("u")
    assert loaded is not None
    assert loaded["session_data"] == {"half": ["typed"]}


def test_cache_is_bounded(store: SessionStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """It evicts the oldest sessions, and those with long answers; results are unaffected."""
    monkeypatch.setattr(sqlite, "CACHED_SESSIONS", 5)
    keys = [SessionKey("phq9", f"user{number}") for number in range(12)]
    store.turns.submit_many([(key, Begin(at=1)) for key in keys])
    cached = store._connection._statements._recent  # type: ignore[union-attr]
    assert list(cached) == keys[-5:]
    monkeypatch.setattr(batch, "CACHEABLE_LENGTH", 10)
    results = store.turns.submit_many([(key, Answer(at=2, step=f"Q{n}", value=1)) for n in (1, 2) for key in keys])
    assert all(isinstance(result, Committed) for result in results)
    assert cached == {}
    for key in keys:
        check_fold(store, key)


@pytest.mark.parametrize("long", [{"session_data": {"x": "y" * 9000}}, {"answers": {"Q1": "y" * 9000}}])
def test_session_with_long_values_is_not_cached(store: SessionStore, long: dict[str, object]) -> None:
    """So the bound on the number of sessions bounds the memory too."""
    store.turns.get_or_create(KEY, is_audio_mode=False)
    store.turns.submit_or_raise(KEY, Update(at=store.clock(), changes=long))
    store.turns.submit_or_raise(KEY, SetMode(at=store.clock(), is_audio_mode=True))
    assert KEY not in store._connection._statements._recent  # type: ignore[union-attr]
    check_fold(store, KEY)


SCRIPT = """
import sys
from database import get_database
database = get_database()
for number in range(int(sys.argv[1])):
    assert database.save_session(f"script{number % 7}", f"S{number}", {"n": number}, [])
    assert database.load_session(f"script{number % 7}")["answers"] == {"n": number}
database.close()
"""


def test_script_and_server_write_one_file_concurrently_without_errors(
    store: SessionStore, file_settings: Settings
) -> None:
    """Each waits for the other's transactions, and all writes are stored."""
    script = subprocess.Popen(
        [sys.executable, "-c", SCRIPT, "120"],
        cwd=ROOT,
        env={"DATABASE_URL": file_settings.database_url, "STEPKEEP_SURVEYS_DIR": str(SURVEYS), "PATH": ""},
        stderr=subprocess.PIPE,
        text=True,
    )
    walks = 0
    while script.poll() is None:
        key = SessionKey("phq9", f"user{walks}")
        store.turns.get_or_create(key, is_audio_mode=False)
        for step in range(1, 10):
            store.turns.submit_or_raise(key, Answer(at=store.clock(), step=f"Q{step}", value=1))
        walks += 1
    assert script.returncode == 0, script.communicate()[1]
    script.communicate()
    assert walks > 0
    for number in range(walks):
        check_fold(store, SessionKey("phq9", f"user{number}"))
    assert {store.queries.load(SessionKey("default", f"script{n}")).state.version for n in range(7)} <= {17, 18}  # type: ignore[union-attr]


def test_readers_do_not_wait_for_the_writer(store: SessionStore) -> None:
    """In WAL mode, a session loads during a write transaction, in its state before it."""
    store.turns.get_or_create(KEY, is_audio_mode=False)
    is_writing, may_commit = threading.Event(), threading.Event()

    def write(connection: object) -> None:
        connection.exec_driver_sql("UPDATE sessions SET is_audio_mode = 1")  # type: ignore[attr-defined]
        is_writing.set()
        assert may_commit.wait(30)

    thread = threading.Thread(target=store._writer.run, args=(write,))
    thread.start()
    assert is_writing.wait(30)
    assert store.queries.load(KEY).state.is_audio_mode is False  # type: ignore[union-attr]
    may_commit.set()
    thread.join(30)
    assert store.queries.load(KEY).state.is_audio_mode is True  # type: ignore[union-attr]
