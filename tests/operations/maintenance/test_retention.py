"""Sessions past the retention of their survey are erased, and no others."""

import errno
import re
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy.exc import OperationalError

from app.errors import InvalidInput, StepkeepError
from app.operations.maintenance import retention, sweep
from app.operations.maintenance.expiry import expire
from app.operations.maintenance.purge_archive import PurgeArchive
from app.operations.maintenance.retention import purge
from app.sessions.erasure import SessionEraser
from app.sessions.service import SessionStore
from app.sessions.subscribers import Subscribers
from app.settings import Settings
from app.store import audit
from app.store.audit import AuditEntry
from app.survey.commands import Answer, Begin
from app.survey.snapshot import SessionKey
from app.writer.batch import Committed
from tests.conftest import SURVEYS, NewStore, examples
from tests.store.contents import clear, dump
from tests.store.test_erasures import Connection, begin, set_aside

DAY_US = 86_400 * 1_000_000
KEPT_DAYS = 30


@pytest.fixture
def keeping(settings: Settings, tmp_path: Path, new_store: NewStore) -> SessionStore:
    """Yield a store whose PHQ-9 has a retention of thirty days, and whose other survey has none."""
    for file in SURVEYS.iterdir():
        text = re.sub(r"^expires_after:.*$", "", file.read_text(), flags=re.MULTILINE)
        (tmp_path / file.name).write_text(text.replace("id: phq9", f"id: phq9\nretention: {KEPT_DAYS}d", 1))
    store = new_store(settings, retry_delay_s=0, surveys_dir=tmp_path)
    assert store.catalogue.surveys["phq9"].retention_us == KEPT_DAYS * DAY_US
    return store


@pytest.mark.one_database
def test_sqlite_files_have_no_traces_of_erased_sessions(keeping: SessionStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """The write-ahead log is truncated once, at the end, unless nothing was erased."""
    emptied: list[bool] = []
    monkeypatch.setattr(SessionEraser, "truncate_wal", lambda _: emptied.append(True))
    begin(keeping, SessionKey("phq9", "ann"), at=days_ago(keeping, 400))
    for dry_run in (True, False, False):
        purge(keeping, dry_run=dry_run)
    assert emptied == [True]


def days_ago(store: SessionStore, days: float) -> int:
    return store.clock() - int(days * DAY_US)


AGES = st.lists(
    st.tuples(
        st.sampled_from(["phq9", "intake", "gone"]),
        st.sampled_from([0, KEPT_DAYS - 0.1, KEPT_DAYS + 0.1, 400]),
        st.booleans(),
    ),
    max_size=12,
)


@examples(15)
@given(ages=AGES, together=st.integers(1, 4), examined=st.integers(1, 5))
def test_stale_sessions_are_erased_and_all_others_stay(
    keeping: SessionStore, ages: list[tuple[str, float, bool]], together: int, examined: int
) -> None:
    """By survey; counted and recorded without user ids. A dry run changes nothing."""
    clear(keeping)
    too_old = set()
    for number, (survey, age, is_aside) in enumerate(ages):
        key = SessionKey("intake" if survey == "gone" else survey, f"user{number:02}")
        begin(keeping, key, at=days_ago(keeping, age))
        name = set_aside(keeping, key) if is_aside else key.user_id
        if survey == "phq9" and age > KEPT_DAYS:
            too_old.add(name)
    _rename_survey(keeping, {f"user{n:02}" for n, (survey, _, _) in enumerate(ages) if survey == "gone"})
    before = dump(keeping)
    seen: list[tuple[int, int]] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sweep, "MAX_SESSIONS", together)
        patch.setattr(sweep, "SCAN_LIMIT", examined)
        assert purge(keeping, dry_run=True) == {"phq9": len(too_old)}
        assert dump(keeping) == before
        assert purge(keeping, progress=lambda done, total: seen.append((done, total))) == {"phq9": len(too_old)}
        assert purge(keeping) == {"phq9": 0}
    after = dump(keeping)
    for table in ("sessions", "session_history"):
        assert after[table] == [row for row in before[table] if row["user_id"] not in too_old]
    assert [(row["user_hash"], row["salt"]) for row in after["erasures"]] == [(None, None)] * len(after["erasures"])
    assert sum(row["sessions"] for row in after["erasures"]) == len(too_old)
    assert all(row["sessions"] <= together for row in after["erasures"])
    assert seen[-1] == (len(ages), len(ages))
    assert not {row["user_id"] for row in after["audit_log"]} & (
        too_old - {row["user_id"] for row in after["sessions"]}
    )


def _rename_survey(store: SessionStore, users: set[str]) -> None:
    """Move these sessions to a survey that the catalogue does not have."""

    def rename(connection: Any) -> None:
        mark = "?" if connection.dialect.name == "sqlite" else "%s"
        if connection.dialect.name == "sqlite":
            connection.exec_driver_sql("PRAGMA defer_foreign_keys = ON")
        for user in users:
            like = f"{user}%"
            columns = "user_id, survey_id, current_step, answers, step_history, created_at, updated_at"
            connection.exec_driver_sql(
                f"INSERT INTO sessions ({columns}) SELECT {columns.replace('survey_id', repr('gone'))} "  # noqa: S608
                f"FROM sessions WHERE user_id LIKE {mark}",
                (like,),
            )
            for statement in (
                f"UPDATE session_history SET survey_id = 'gone' WHERE user_id LIKE {mark}",  # noqa: S608
                f"DELETE FROM sessions WHERE survey_id <> 'gone' AND user_id LIKE {mark}",  # noqa: S608
            ):
                connection.exec_driver_sql(statement, (like,))

    store.run_transaction(rename)


@pytest.mark.one_database
def test_nothing_is_examined_without_retention(store: SessionStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """The shipped surveys have none."""
    begin(store, SessionKey("phq9", "ann"), at=1)
    monkeypatch.setattr(retention.retention, "scan", lambda *_: pytest.fail("sessions were looked at"))
    assert purge(store) == {}


def test_purge_is_recorded_without_user_ids(keeping: SessionStore) -> None:
    """Older audit entries about erased participants are anonymised."""
    ann, bob = SessionKey("phq9", "ann"), SessionKey("phq9", "bob")
    begin(keeping, ann, at=days_ago(keeping, 31))
    begin(keeping, bob)
    begin(keeping, SessionKey("phq9", "zoe"), at=days_ago(keeping, 31))
    begin(keeping, SessionKey("intake", "zoe"))
    assert purge(keeping, actor="key:ab12cd34 (clinic)") == {"phq9": 2}
    page = keeping.run_read(lambda connection: audit.read_page(connection, None, 100, {}))
    newest, *older = [record.entry for record in page.items]
    assert newest == AuditEntry(
        at=newest.at, actor="key:ab12cd34 (clinic)", action="sessions_purged", survey_id="phq9", detail={"sessions": 2}
    )
    names = {(entry.survey_id, entry.user_id and entry.user_id.split(":")[0]) for entry in older}
    assert names == {
        ("phq9", "erased"), (None, "erased"), ("phq9", "bob"), (None, "bob"), (None, "zoe"), ("intake", "zoe")
    }  # fmt: skip


@pytest.mark.one_database
def test_audit_entries_keep_the_user_id_when_another_session_stays(keeping: SessionStore) -> None:
    """A set-aside session was erased, but the participant has started again."""
    key = SessionKey("phq9", "ann")
    begin(keeping, key, at=days_ago(keeping, 31))
    set_aside(keeping, key)
    begin(keeping, key)
    assert purge(keeping) == {"phq9": 1}
    rows = dump(keeping)
    assert [row["user_id"] for row in rows["sessions"]] == ["ann"]
    assert {row["user_id"] for row in rows["audit_log"]} == {"ann", None}


@pytest.mark.one_database
def test_subscribers_of_erased_sessions_are_notified(keeping: SessionStore) -> None:
    """As when a session is deleted; those of others are not."""
    told = {user: Connection() for user in ("ann", "bob")}
    begin(keeping, SessionKey("phq9", "ann"), at=days_ago(keeping, 31))
    begin(keeping, SessionKey("phq9", "bob"))
    for user, listener in told.items():
        keeping.subscribers.subscribe(SessionKey("phq9", user), listener)
    purge(keeping)
    assert {user: listener.times for user, listener in told.items()} == {"ann": 1, "bob": 0}


def test_session_stays_when_it_changes_after_the_scan(keeping: SessionStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """The age is checked again under the lock."""
    keys = [SessionKey("phq9", f"user{number}") for number in range(4)]
    for key in keys:
        begin(keeping, key, at=days_ago(keeping, 31))
    real = retention.retention.scan

    def then_answered(*args: Any, **named: Any) -> Any:
        result = real(*args, **named)
        keeping.turns.submit(keys[2], Answer(at=keeping.clock(), step="Q2", value=1))
        return result

    monkeypatch.setattr(retention.retention, "scan", then_answered)
    assert purge(keeping) == {"phq9": 3}
    assert [row["user_id"] for row in dump(keeping)["sessions"]] == ["user2"]


@pytest.mark.parametrize(
    "events", [*(pytest.param(number, marks=pytest.mark.one_database) for number in (5, 6, 7, 12)), 13]
)
def test_expired_session_is_erased_by_its_last_answer_in_several_transactions(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, events: int, new_store: NewStore
) -> None:
    """Also after the events that show its last answer were erased."""
    monkeypatch.setattr(sweep, "MIN_EVENTS", 2)  # six events at once
    monkeypatch.setattr(sweep.TransactionPacer, "adjust", lambda *_: None)
    changes = {"retention": f"{KEPT_DAYS}d", "expires_after": "14d", "retry_delay_s": 0}
    store = new_store(settings, **changes)
    key, at = SessionKey("phq9", "ann"), days_ago(store, 400)
    begin(store, key, at=at)
    for number in range(events - 4):
        assert isinstance(store.turns.submit(key, Answer(at=at + number, step="Q1", value=number % 2)), Committed)
    assert expire(store).expired == {"phq9": 1}
    assert len(dump(store)["session_history"]) == events
    assert purge(store) == {survey: int(survey == "phq9") for survey in store.catalogue.surveys}
    assert dump(store)["sessions"] == dump(store)["session_history"] == []


@pytest.mark.one_database
def test_subscribers_are_notified_when_the_archive_fails_after_the_erasure(
    keeping: SessionStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The write-ahead log is truncated, too."""
    emptied: list[bool] = []
    told: list[list[SessionKey]] = []
    monkeypatch.setattr(SessionEraser, "truncate_wal", lambda _: emptied.append(True))
    monkeypatch.setattr(Subscribers, "drop", lambda _, keys: told.append(list(keys)))
    begin(keeping, SessionKey("phq9", "ann"), at=days_ago(keeping, 400))
    with PurgeArchive(keeping, tmp_path / "archive.jsonl") as archive:
        real = archive._open
        monkeypatch.setattr(archive, "_open", lambda: full() if told else real())

        def full() -> Any:
            raise OSError(errno.ENOSPC, "No space left on device")

        with pytest.raises(InvalidInput, match=r"No space.*were erased"):
            purge(keeping, archive=archive)
    assert (told, emptied) == ([[SessionKey("phq9", "ann")]], [True])


def test_session_with_an_unreadable_time_stays(keeping: SessionStore) -> None:
    """All others are erased."""
    for user in ("ann", "bob"):
        begin(keeping, SessionKey("phq9", user), at=days_ago(keeping, 31))
    unreadable = "'who knows'" if keeping.queries.database_facts()["database"] == "sqlite" else "NULL"
    keeping.run_transaction(
        lambda connection: connection.exec_driver_sql(
            f"UPDATE sessions SET updated_at = {unreadable}, created_at = NULL WHERE user_id = 'ann'"  # noqa: S608
        )
    )
    assert purge(keeping) == {"phq9": 1}


@pytest.mark.one_database
@pytest.mark.parametrize("is_committed", [True, False])
def test_sessions_are_counted_once_when_the_response_of_a_commit_was_lost(
    keeping: SessionStore, monkeypatch: pytest.MonkeyPatch, is_committed: bool
) -> None:
    """The retry finds none of them, or all."""
    for user in ("ann", "bob"):
        begin(keeping, SessionKey("phq9", user), at=days_ago(keeping, 31))
    monkeypatch.setattr(keeping._connection, "run", losing_once(keeping._connection.run, is_committed=is_committed))
    assert purge(keeping) == {"phq9": 2}
    rows = dump(keeping)
    assert (rows["sessions"], [row["sessions"] for row in rows["erasures"]]) == ([], [2])


def losing_once(real: Callable[[Any], Any], *, is_committed: bool) -> Callable[[Any], Any]:
    """Return ``WriterConnection.run`` whose connection is lost once, before or after its commit."""
    lost = OperationalError("", None, Exception("lost"), connection_invalidated=True)
    to_fail = [lost]

    def run(work: Callable[[Any], Any]) -> Any:
        def failing(connection: Any) -> Any:
            result = work(connection)
            if to_fail and not is_committed:
                raise to_fail.pop()
            return result

        result = real(failing)
        if to_fail:
            raise to_fail.pop()
        return result

    return run


def test_purges_beside_live_answers_lose_no_answer(keeping: SessionStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two purges run while half of a hundred old sessions are answered."""
    monkeypatch.setattr(sweep, "MAX_SESSIONS", 3)
    monkeypatch.setattr(sweep, "SCAN_LIMIT", 7)
    keys = [SessionKey("phq9", f"user{number:03}") for number in range(100)]
    keeping.turns.submit_many([(key, Begin(at=days_ago(keeping, 31))) for key in keys])
    ready = threading.Barrier(6)

    def answer(mine: list[SessionKey]) -> set[SessionKey]:
        ready.wait(30)
        answered = set()
        for key in mine:
            try:
                result = keeping.turns.submit(key, Answer(at=keeping.clock(), step="Q1", value=1))
            except StepkeepError:
                continue
            if isinstance(result, Committed):
                answered.add(key)
        return answered

    def clean() -> int:
        ready.wait(30)
        return purge(keeping)["phq9"]

    with ThreadPoolExecutor(6) as threads:
        answering = [threads.submit(answer, keys[start:100:8]) for start in (0, 2, 4, 6)]
        cleaning = [threads.submit(clean) for _ in range(2)]
        answered = set().union(*(future.result() for future in answering))
        erased = sum(future.result() for future in cleaning)
    rows = dump(keeping)
    left = {SessionKey(row["survey_id"], row["user_id"]) for row in rows["sessions"]}
    assert left == answered
    assert erased == 100 - len(left) == sum(row["sessions"] for row in rows["erasures"])
    for key in left:
        assert [entry.record.action for entry in keeping.queries.history(key)] == ["started", "answered"]
    assert {row["user_id"] for row in rows["session_history"]} == {key.user_id for key in left}
