"""Erasures that are interrupted by an error or a killed process: never half done, and recorded once."""

import os
import signal
from collections.abc import Callable
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.exc import OperationalError

from app.errors import DatabaseUnavailable, ErasureJournalUnavailable
from app.operations.privacy.participant_export import apply_erasures
from app.sessions.service import open_store
from app.settings import Settings
from app.store.erasure_journal import ErasureJournal
from app.survey.commands import Answer
from app.survey.snapshot import SessionKey
from tests.conftest import SURVEYS, NewStore
from tests.forked import run_module
from tests.sessions.test_erasure_replay import REPLAYED, users
from tests.store.contents import dump, mentions
from tests.store.test_erasures import KEY, begin

ANN, BOB, ZOE = (SessionKey("phq9", user) for user in ("ann-qqq", "bob", "zoe"))


@pytest.fixture
def settings(settings: Settings, tmp_path: Path) -> Settings:
    """Settings with an erasure journal."""
    return settings.model_copy(update={"erasures_file": tmp_path / "journal"})


def test_nothing_is_erased_when_the_journal_cannot_be_written(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, new_store: NewStore
) -> None:
    """The journal is written before the commit."""
    path = tmp_path / "journal"
    store = new_store(settings)
    begin(store)
    before = dump(store)

    def fail(_self: object, _records: object) -> None:
        raise ErasureJournalUnavailable(str(path), "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(ErasureJournal, "append", fail)
        with pytest.raises(ErasureJournalUnavailable):
            store.erasure.delete(KEY)
    assert dump(store) == before
    assert store.erasure.delete(KEY)
    assert len(path.read_text().splitlines()) == 1


def test_erasure_is_not_replayed_when_it_failed_before_its_journal_line(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, new_store: NewStore
) -> None:
    """Nor does the error message announce a replay."""
    settings = settings.model_copy(update={"retry_attempts": 1})
    store = open_store(settings)
    begin(store)

    def fail(_work: Any) -> None:
        raise OperationalError("", None, Exception("lost"), connection_invalidated=True)

    with monkeypatch.context() as patch:
        patch.setattr(store._connection, "run", fail)
        with pytest.raises(DatabaseUnavailable) as raised:
            store.erasure.delete(KEY)
    assert "erasure journal" not in raised.value.message
    before = dump(store)
    store.close()
    store = new_store(settings)
    assert dump(store) == before


@pytest.mark.parametrize("is_committed", [True, False])
def test_erasure_is_recorded_once_when_its_commit_has_an_unknown_outcome(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_committed: bool, new_store: NewStore
) -> None:
    """The retry finds everything or nothing left to erase: one row, one journal line, the right result."""
    settings = settings.model_copy(update={"retry_delay_s": 0})
    store = new_store(settings)
    begin(store)
    fails = [True]
    real = store._connection.run

    def run_and_fail_once(work: Any) -> Any:
        def work_and_fail(connection: Any) -> Any:
            result = work(connection)
            if fails and not is_committed:
                fails.clear()
                raise OperationalError("", None, Exception("lost"), connection_invalidated=True)
            return result

        result = real(work_and_fail)
        if fails:
            fails.clear()
            raise OperationalError("", None, Exception("lost"), connection_invalidated=True)
        return result

    monkeypatch.setattr(store._connection, "run", run_and_fail_once)
    assert store.erasure.delete(KEY)
    rows = dump(store)
    assert (rows["sessions"], [row["sessions"] for row in rows["erasures"]]) == ([], [1])
    assert len((tmp_path / "journal").read_text().splitlines()) == 1


@pytest.mark.parametrize("continues", [True, False])
def test_replay_keeps_answers_given_after_a_failed_erasure(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, continues: bool
) -> None:
    """The error announces the replay. A start replays it if the session is unchanged; otherwise an operator can."""
    settings = settings.model_copy(update={"retry_attempts": 1})
    with closing(open_store(settings)) as store:
        begin(store, ANN)
        begin(store, BOB)
        with monkeypatch.context() as patch:
            patch.setattr(store._connection, "run", partial(run_without_commit, store._connection.run))
            with pytest.raises(DatabaseUnavailable, match="next start may still carry it out"):
                store.erasure.delete(ANN)
        if continues:
            store.turns.submit_or_raise(ANN, Answer(at=store.clock(), message_id="later", step="Q2", value=3))
        before = dump(store)
    for _ in range(2):
        with closing(open_store(settings)) as store:
            after, path = dump(store), store.erasure.journal.path  # type: ignore[union-attr]
    assert len(after["erasures"]) == 1
    if not continues:
        assert {row["user_id"] for row in after["sessions"]} == {BOB.user_id}
        assert "changed after their erasure" not in caplog.text
        return
    assert {**after, "erasures": []} == before
    assert caplog.text.count(f"1 sessions in the erasure journal {path} changed after their erasure") == 1
    assert f"`flask erasures apply {path}`" in caplog.text
    assert REPLAYED not in caplog.text
    with closing(open_store(settings)) as store, path.open("rb") as lines:
        assert apply_erasures(store, lines) == 1
        assert users(store) == {BOB.user_id}


def run_without_commit(run: Callable[[Any], Any], work: Any) -> Any:
    """Do the work, but fail before the commit."""

    def failing(connection: Any) -> None:
        work(connection)
        raise OperationalError("", None, Exception("lost"))

    return run(failing)


_KILLED = """
import os, signal, sys
from app.sessions.service import open_store
from app.settings import read_settings
from app.store.erasure_journal import ErasureJournal
real = ErasureJournal.append
def append(self, erasures):
    if sys.argv[1] == "after":
        real(self, erasures)
    os.kill(os.getpid(), signal.SIGKILL)
ErasureJournal.append = append
open_store(read_settings()).erasure.erase_participant("ann-qqq")
"""


@pytest.mark.parametrize("when", ["before", "after"])
def test_erasure_is_replayed_when_the_server_was_killed_after_its_line(settings: Settings, when: str) -> None:
    """Killed before the line, nothing is erased; after it, the next start erases the participant once, and no other."""
    with closing(open_store(settings)) as store:
        for key in (ANN, BOB, ZOE):
            begin(store, key)
        before = dump(store)
    environment = {
        **os.environ,
        "DATABASE_URL": settings.database_url,
        "STEPKEEP_SURVEYS_DIR": str(SURVEYS),
        "STEPKEEP_ERASURES_FILE": str(settings.erasures_file or ""),
    }
    process = run_module(["-c", _KILLED, when], environment)
    assert process.returncode == -signal.SIGKILL, process.stderr
    with closing(open_store(settings)) as store:
        after = dump(store)
    if when == "before":
        assert after == before
        return
    for table in ("sessions", "session_history"):
        assert after[table] == [row for row in before[table] if row["user_id"] != ANN.user_id]
    assert [row["sessions"] for row in after["erasures"]] == [1]
    assert mentions(after, ANN.user_id) == []
