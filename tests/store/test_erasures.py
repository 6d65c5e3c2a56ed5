"""Erasure: a participant goes from every table, and nobody else loses anything."""

import hashlib
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy.exc import OperationalError

from app.errors import DatabaseUnavailable, ErasureNotListed, InvalidUserId
from app.sessions.service import SessionStore, open_store
from app.sessions.subscribers import Subscriber
from app.settings import Settings
from app.store import audit, erasures, history
from app.store.audit import AuditEntry
from app.store.credentials import revoke_tokens
from app.store.erasure_journal import ErasureJournal
from app.store.erasures import Erasure, ErasureTarget
from app.survey.commands import Answer, Begin, Draft
from app.survey.snapshot import SessionKey
from tests.conftest import examples
from tests.store.contents import Rows, clear, dump, mentions
from tests.waiting import wait_for

KEY = SessionKey("phq9", "ann")
USERS = ("ann", "ann_", "annX", "an", "Ann", "ann.", "ann:b")
SURVEYS = ("phq9", "intake")
NAMED = "qqq"
"""Beginning of a user id that stands in no other value."""


def begin(store: SessionStore, key: SessionKey = KEY, at: int | None = None) -> None:
    """Begin a session with an answer, a draft and entries of the audit log."""
    at = store.clock() - 1_000_000 if at is None else at
    commands = (
        Begin(at=at),
        Answer(at=at + 1, message_id="m", step="Q1", value=1),
        Draft(at=at + 2, step="Q2", value="x"),
    )
    store.turns.submit_many([(key, command) for command in commands])
    store.run_transaction(lambda connection: _record(connection, key))


def _record(connection: Any, key: SessionKey) -> None:
    for survey_id in (key.survey_id, None):
        entry = AuditEntry(at=1, actor="operator", action="session_read", survey_id=survey_id, user_id=key.user_id)
        audit.record(connection, entry)


def set_aside(store: SessionStore, key: SessionKey = KEY) -> str:
    return store.run_transaction(lambda connection: history.set_aside(connection, key, store.clock()))


def rows_of(rows: Rows, table: str, *keys: SessionKey) -> list[dict[str, Any]]:
    """Return the rows of a table but for those of some sessions."""
    return [row for row in rows[table] if (row["survey_id"], row["user_id"].partition("~")[0]) not in keys]


SESSIONS = st.sets(st.tuples(st.sampled_from(SURVEYS), st.sampled_from(USERS), st.booleans()), min_size=1, max_size=10)


@examples(15)
@given(made=SESSIONS, user=st.sampled_from(USERS), survey=st.sampled_from([*SURVEYS, None]))
def test_erasing_one_leaves_all_others_and_nothing_of_him(
    store: SessionStore, made: set[tuple[str, str, bool]], user: str, survey: str | None
) -> None:
    """Rows of others are the same to the byte; only the revocation of his tokens names him, until they expire."""
    clear(store)
    for survey_id, user_id, is_aside in sorted(made, key=lambda one: not one[2]):
        begin(store, SessionKey(survey_id, NAMED + user_id))
        if is_aside:
            set_aside(store, SessionKey(survey_id, NAMED + user_id))
    before = dump(store)
    his = [SessionKey(survey_id, NAMED + user) for survey_id in SURVEYS if survey in {None, survey_id}]
    expected = sum((key.survey_id, key.user_id[len(NAMED) :]) == (s, u) for key in his for s, u, _ in made)

    assert store.erasure.forget(NAMED + user, survey, actor="operator") == expected
    assert store.erasure.forget(NAMED + user, survey, actor="operator") == 0

    after = dump(store)
    for table in ("sessions", "session_history"):
        assert after[table] == rows_of(before, table, *his)
    others = [row for row in before["audit_log"] if row["user_id"] != NAMED + user]
    assert [row for row in after["audit_log"] if row in others] == others
    assert sum(row["sessions"] for row in after["erasures"]) == expected
    if survey is None:
        exactly = {
            f"{name}.user_id" for name, rows in after.items() for row in rows if row.get("user_id") == NAMED + user
        }
        assert exactly <= {"token_revocations.user_id"}


def test_nothing_names_the_erased_but_the_revocation_of_his_tokens(store: SessionStore) -> None:
    """No column of any table; the log goes on telling that he was erased, by whom, and how many sessions went."""
    begin(store, SessionKey("phq9", NAMED))
    set_aside(store, SessionKey("phq9", NAMED))
    begin(store, SessionKey("phq9", NAMED))
    assert store.erasure.delete(SessionKey("phq9", NAMED), actor="key:ab12cd34 (clinic)")
    rows = dump(store)
    assert mentions(rows, NAMED) == ["token_revocations.user_id"]
    row = rows["erasures"][0]
    digest = hashlib.blake2b(f"phq9\0{NAMED}".encode(), digest_size=32, salt=bytes.fromhex(row["salt"])).hexdigest()
    assert (row["user_hash"], row["sessions"]) == (digest, 2)
    newest = store.run_read(lambda connection: audit.read_page(connection, None, 1, {})).entries[0].entry
    assert (newest.actor, newest.action, newest.detail) == ("key:ab12cd34 (clinic)", "session_erased", {"sessions": 2})
    assert {row["user_id"] for row in rows["audit_log"]} == {f"erased:{digest[:16]}"}


def test_one_salt_serves_all_erasures_of_a_database(store: SessionStore) -> None:
    """So that a restored backup is searched once; a purge by age, which has none, changes nothing."""
    for user in ("ann", "bob"):
        begin(store, SessionKey("phq9", user))
        store.erasure.forget(user)
        store.run_transaction(lambda connection: erasures.add_purge(connection, "phq9", 3, 1))
    assert len({row["salt"] for row in dump(store)["erasures"] if row["salt"] is not None}) == 1


def revoked(store: SessionStore, user_id: str = "ann") -> dict[str, int]:
    return store.run_read(lambda connection: erasures.read_revocations(connection, user_id, None))


def test_who_was_invited_and_has_not_begun_is_locked_out(store: SessionStore) -> None:
    """His tokens are revoked in the survey that is named, or in all; there is nothing else to write, again neither."""
    before, at = dump(store), store.clock()
    assert not store.erasure.delete(KEY, actor="operator")
    assert set(revoked(store)) == {"phq9"}
    for _ in range(2):
        assert store.erasure.forget("ann") == 0
        assert set(revoked(store)) == set(store.catalogue.surveys)
    assert at <= min(revoked(store).values()) <= max(revoked(store).values()) <= store.clock()
    assert dump(store) | {"token_revocations": []} == before
    with pytest.raises(InvalidUserId):
        store.erasure.forget("ann~set-aside-%")


def test_tokens_of_a_survey_that_is_offered_no_more_are_revoked(store: SessionStore) -> None:
    """Wherever a session is found."""
    begin(store)
    store.run_transaction(Erasure(ErasureTarget("ann", None), clock=store.clock))
    assert set(revoked(store)) == {"phq9"}


def test_set_aside_rows_alone_are_an_erasure(store: SessionStore) -> None:
    """A participant whose only session was set aside is erased as any other."""
    begin(store)
    set_aside(store)
    assert store.erasure.delete(KEY)
    rows = dump(store)
    assert (rows["sessions"], rows["session_history"], len(rows["erasures"])) == ([], [], 1)


def test_tokens_that_were_issued_before_are_revoked(store: SessionStore) -> None:
    """One revocation a session, however often it was erased."""
    begin(store)
    store.run_transaction(lambda connection: revoke_tokens(connection, KEY, 5))
    before = store.clock()
    store.erasure.delete(KEY)
    assert before <= revoked(store)["phq9"] <= store.clock()


def test_erasure_is_not_older_than_the_session_it_erased(store: SessionStore) -> None:
    """Another server's clock may be ahead: a backup with his session would else keep it. Tokens are revoked as of now."""
    ahead = store.clock() + 3_600_000_000
    begin(store, at=ahead)
    store.erasure.delete(KEY)
    rows = store.run_read(lambda connection: erasures.read_after(connection, 0, 10))
    assert [record.erased_at for _, record in rows] == [ahead + 2]
    assert revoked(store)["phq9"] <= store.clock()


_WAITING = {
    "postgresql": "SELECT count(*) FROM pg_locks WHERE NOT granted",
    "mysql": "SELECT count(*) FROM information_schema.innodb_trx WHERE trx_state = 'LOCK WAIT'",
}


def test_session_that_is_being_set_aside_is_erased_under_its_new_name(settings: Settings) -> None:
    """Who waited for the row reads again: it is gone, and what came in its place was not there when he asked."""
    store, other = open_store(settings), open_store(settings)
    begin(store)

    def beside(connection: Any) -> Future[bool]:
        history.set_aside(connection, KEY, other.clock())
        erasing = thread.submit(store.erasure.delete, KEY)
        query = _WAITING.get(connection.dialect.name)
        if query is not None:
            wait_for(
                lambda: connection.exec_driver_sql(query).scalar() > 0, "the erasure does not wait", every_s=0.2
            )  # as InnoDB looks again
        return erasing

    with ThreadPoolExecutor(1) as thread:
        assert other.run_transaction(beside).result(60)
    rows = dump(store)
    assert (rows["sessions"], rows["session_history"]) == ([], [])
    store.close()
    other.close()


def test_time_that_nobody_can_read_does_not_keep_a_session(settings: Settings) -> None:
    """A row that somebody changed by hand is erased too."""
    store = open_store(settings)
    begin(store)
    is_sqlite = store.queries.database_facts()["database"] == "sqlite"
    store.run_transaction(
        lambda connection: connection.exec_driver_sql(
            f"UPDATE sessions SET created_at = {repr('long ago') if is_sqlite else 'NULL'}"  # noqa: S608 - ours
        )
    )
    assert store.erasure.delete(KEY)
    store.close()


class Connection(Subscriber):
    stored = None

    def __init__(self) -> None:
        self.times = 0

    def drop(self) -> None:
        self.times += 1


def test_connections_that_show_the_session_are_notified_once(store: SessionStore) -> None:
    """Whether one session is deleted or a participant forgotten."""
    connections = [Connection(), Connection()]
    for connection, user in zip(connections, ("ann", "bob"), strict=True):
        begin(store, SessionKey("phq9", user))
        store.subscribers.subscribe(SessionKey("phq9", user), connection)
    store.erasure.delete(KEY)
    store.erasure.forget("bob")
    assert [connection.times for connection in connections] == [1, 1]


def test_line_is_on_the_disk_before_the_commit(
    settings: Settings, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the list can't be written, nothing is erased."""
    listed = tmp_path / "list"
    store = open_store(settings.model_copy(update={"erasures_file": listed}))
    begin(store)
    before = dump(store)

    def full(_self: object, _erased: object) -> None:
        raise ErasureNotListed(str(listed), "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(ErasureJournal, "append", full)
        with pytest.raises(ErasureNotListed):
            store.erasure.delete(KEY)
    assert dump(store) == before
    assert store.erasure.delete(KEY)
    assert len(listed.read_text().splitlines()) == 1
    store.close()


def test_erasure_that_failed_before_its_line_is_not_carried_out_later(
    settings: Settings, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor is it said so."""
    settings = settings.model_copy(update={"erasures_file": tmp_path / "list", "retry_attempts": 1})
    store = open_store(settings)
    begin(store)

    def away(_work: Any) -> None:
        raise OperationalError("", None, Exception("lost"), connection_invalidated=True)

    with monkeypatch.context() as patch:
        patch.setattr(store._connection, "run", away)
        with pytest.raises(DatabaseUnavailable) as raised:
            store.erasure.delete(KEY)
    assert "list of erasures" not in raised.value.message
    before = dump(store)
    store.close()
    store = open_store(settings)
    assert dump(store) == before
    store.close()


@pytest.mark.parametrize("is_committed", [True, False])
def test_erasure_whose_commit_was_not_answered_counts_once(
    settings: Settings, tmp_path: Any, monkeypatch: pytest.MonkeyPatch, is_committed: bool
) -> None:
    """The store's own retry finds nothing more to erase, or all: one row, one line, and it says what was erased."""
    settings = settings.model_copy(update={"erasures_file": tmp_path / "list", "retry_delay_s": 0})
    store = open_store(settings)
    begin(store)
    fails = [True]
    real = store._connection.run

    def lost(work: Any) -> Any:
        def failing(connection: Any) -> Any:
            result = work(connection)
            if fails and not is_committed:
                fails.clear()
                raise OperationalError("", None, Exception("lost"), connection_invalidated=True)
            return result

        result = real(failing)
        if fails:
            fails.clear()
            raise OperationalError("", None, Exception("lost"), connection_invalidated=True)
        return result

    monkeypatch.setattr(store._connection, "run", lost)
    assert store.erasure.delete(KEY)
    rows = dump(store)
    assert (rows["sessions"], [row["sessions"] for row in rows["erasures"]]) == ([], [1])
    assert len((tmp_path / "list").read_text().splitlines()) == 1
    store.close()
