"""Erasure removes a participant from every table, and changes no other participant's rows."""

import hashlib
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.errors import InvalidUserId
from app.sessions.service import SessionStore
from app.sessions.subscribers import Subscriber
from app.settings import Settings
from app.store import audit, erasures, history
from app.store.audit import AuditEntry
from app.store.credentials import CLOCK_SKEW_US, read_participant_revocations, revoke_tokens
from app.store.erasures import Erasure
from app.survey.commands import Answer, Begin, Draft
from app.survey.snapshot import SessionKey
from tests.conftest import NewStore, examples
from tests.store.contents import Rows, clear, dump, mentions
from tests.waiting import wait_for

KEY = SessionKey("phq9", "ann")
USERS = ("ann", "ann_", "annX", "an", "Ann", "ann.", "ann:b")
SURVEYS = ("phq9", "intake")
MARKER = "qqq"
"""Prefix of user ids that occurs in no other value."""


def begin(store: SessionStore, key: SessionKey = KEY, at: int | None = None) -> None:
    """Start a session with an answer, a draft and entries in the audit log."""
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


def rows_without(rows: Rows, table: str, *keys: SessionKey) -> list[dict[str, Any]]:
    """Return the rows of a table except those of these sessions."""
    return [row for row in rows[table] if (row["survey_id"], row["user_id"].partition("~")[0]) not in keys]


SESSIONS = st.sets(st.tuples(st.sampled_from(SURVEYS), st.sampled_from(USERS), st.booleans()), min_size=1, max_size=10)


@examples(15)
@given(created=SESSIONS, user=st.sampled_from(USERS), survey=st.sampled_from([*SURVEYS, None]))
def test_erasure_removes_all_rows_of_the_participant_and_no_others(
    store: SessionStore, created: set[tuple[str, str, bool]], user: str, survey: str | None
) -> None:
    """Other rows are unchanged; nothing names the participant."""
    clear(store)
    for survey_id, user_id, is_aside in sorted(created, key=lambda session: not session[2]):
        begin(store, SessionKey(survey_id, MARKER + user_id))
        if is_aside:
            set_aside(store, SessionKey(survey_id, MARKER + user_id))
    before = dump(store)
    erased = [SessionKey(survey_id, MARKER + user) for survey_id in SURVEYS if survey in {None, survey_id}]
    expected = sum((key.survey_id, key.user_id[len(MARKER) :]) == (s, u) for key in erased for s, u, _ in created)

    assert store.erasure.erase_participant(MARKER + user, survey, actor="operator") == expected
    assert store.erasure.erase_participant(MARKER + user, survey, actor="operator") == 0

    after = dump(store)
    for table in ("sessions", "session_history"):
        assert after[table] == rows_without(before, table, *erased)
    others = [row for row in before["audit_log"] if row["user_id"] != MARKER + user]
    assert [row for row in after["audit_log"] if row in others] == others
    assert sum(row["sessions"] for row in after["erasures"]) == expected
    if survey is None:
        assert MARKER + user not in {row.get("user_id") for rows in after.values() for row in rows}


def test_erasure_is_audited_under_a_hash_of_the_participant(store: SessionStore) -> None:
    """The audit log keeps the erasure, its actor and the number of sessions under a hashed id."""
    begin(store, SessionKey("phq9", MARKER))
    set_aside(store, SessionKey("phq9", MARKER))
    begin(store, SessionKey("phq9", MARKER))
    assert store.erasure.delete(SessionKey("phq9", MARKER), actor="key:ab12cd34 (clinic)")
    rows = dump(store)
    assert mentions(rows, MARKER) == []
    row = rows["erasures"][0]
    digest = hashlib.blake2b(f"phq9\0{MARKER}".encode(), digest_size=32, salt=bytes.fromhex(row["salt"])).hexdigest()
    assert (row["user_hash"], row["sessions"]) == (digest, 2)
    newest = store.run_read(lambda connection: audit.read_page(connection, None, 1, {})).items[0].entry
    assert (newest.actor, newest.action, newest.detail) == ("key:ab12cd34 (clinic)", "session_erased", {"sessions": 2})
    assert {row["user_id"] for row in rows["audit_log"]} == {f"erased:{digest[:16]}"}


def test_all_erasures_of_a_database_share_one_salt(store: SessionStore) -> None:
    """So that a restored backup is searched once. Purges by age have no salt."""
    for user in ("ann", "bob"):
        begin(store, SessionKey("phq9", user))
        store.erasure.erase_participant(user)
        store.run_transaction(lambda connection: erasures.add_purge(connection, "phq9", 3, 1))
    assert len({row["salt"] for row in dump(store)["erasures"] if row["salt"] is not None}) == 1


def revoked(store: SessionStore, user_id: str = "ann") -> dict[str, int]:
    return store.run_read(lambda connection: read_participant_revocations(connection, user_id, None))


def test_erasure_revokes_tokens_when_the_participant_has_no_session(store: SessionStore) -> None:
    """In the named survey or in all; nothing else is written, the second time too."""
    before, at = dump(store), store.clock()
    assert not store.erasure.delete(KEY, actor="operator")
    assert set(revoked(store)) == {"phq9"}
    for _ in range(2):
        assert store.erasure.erase_participant("ann") == 0
        assert set(revoked(store)) == set(store.catalogue.surveys)
    assert at <= min(revoked(store).values()) <= max(revoked(store).values()) <= store.clock()
    assert dump(store) | {"token_revocations": []} == before
    with pytest.raises(InvalidUserId):
        store.erasure.erase_participant("ann~set-aside-%")


def test_erasure_revokes_tokens_of_sessions_whose_survey_was_removed(store: SessionStore) -> None:
    """The surveys come from the participant's sessions, not only from the catalogue."""
    begin(store)
    store.run_transaction(Erasure(user_id="ann", survey_id=None, clock=store.clock))
    assert set(revoked(store)) == {"phq9"}


def test_set_aside_session_is_erased_when_it_is_the_only_one(store: SessionStore) -> None:
    """Its rows, too, count as one erasure."""
    begin(store)
    set_aside(store)
    assert store.erasure.delete(KEY)
    rows = dump(store)
    assert (rows["sessions"], rows["session_history"], len(rows["erasures"])) == ([], [], 1)


def test_erasure_revokes_the_tokens_issued_before_it(store: SessionStore) -> None:
    """One revocation per session, at the time of the latest erasure."""
    begin(store)
    store.run_transaction(lambda connection: revoke_tokens(connection, KEY, 5))
    before = store.clock()
    store.erasure.delete(KEY)
    assert before <= revoked(store)["phq9"] <= store.clock()


def test_erasure_is_newer_than_the_last_change_of_the_session(store: SessionStore) -> None:
    """Otherwise, if another server's clock is ahead, a restored backup would keep the session."""
    ahead = store.clock() + 3_600_000_000
    begin(store, at=ahead)
    store.erasure.delete(KEY)
    rows = store.run_read(lambda connection: erasures.read_after(connection, 0, 10))
    assert [record.erased_at for _, record in rows] == [ahead + 2]
    assert revoked(store)["phq9"] <= store.clock() + CLOCK_SKEW_US


WAITING = {
    "postgresql": "SELECT count(*) FROM pg_locks WHERE NOT granted",
    "mysql": "SELECT count(*) FROM information_schema.innodb_trx WHERE trx_state = 'LOCK WAIT'",
}


def test_session_is_erased_when_it_is_set_aside_concurrently(settings: Settings, new_store: NewStore) -> None:
    """The erasure waits for the row, then reads again and finds the renamed session."""
    store, other = new_store(settings), new_store(settings)
    begin(store)

    def set_aside_and_erase(connection: Any) -> Future[bool]:
        history.set_aside(connection, KEY, other.clock())
        erasing = thread.submit(store.erasure.delete, KEY)
        query = WAITING.get(connection.dialect.name)
        if query is not None:
            wait_for(
                lambda: connection.exec_driver_sql(query).scalar() > 0, "the erasure does not wait", every_s=0.2
            )  # InnoDB refreshes innodb_trx only so often
        return erasing

    with ThreadPoolExecutor(1) as thread:
        assert other.run_transaction(set_aside_and_erase).result(60)
    rows = dump(store)
    assert (rows["sessions"], rows["session_history"]) == ([], [])


def test_session_is_erased_when_its_time_is_unreadable(settings: Settings, new_store: NewStore) -> None:
    """As in a row that was changed by hand."""
    store = new_store(settings)
    begin(store)
    is_sqlite = store.queries.database_facts()["database"] == "sqlite"
    store.run_transaction(
        lambda connection: connection.exec_driver_sql(
            f"UPDATE sessions SET created_at = {repr('long ago') if is_sqlite else 'NULL'}"  # noqa: S608 - constants
        )
    )
    assert store.erasure.delete(KEY)


class Connection(Subscriber):
    stored = None

    def __init__(self) -> None:
        self.times = 0

    def drop(self) -> None:
        self.times += 1


def test_each_connection_of_the_session_is_dropped_once_when_erased(store: SessionStore) -> None:
    """By ``delete`` (one session) and by ``erase_participant``."""
    connections = [Connection(), Connection()]
    for connection, user in zip(connections, ("ann", "bob"), strict=True):
        begin(store, SessionKey("phq9", user))
        store.subscribers.subscribe(SessionKey("phq9", user), connection)
    store.erasure.delete(KEY)
    store.erasure.erase_participant("bob")
    assert [connection.times for connection in connections] == [1, 1]
