"""An erasure is final: what was under way, or in another process, never brings the session back."""

from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pytest
from sqlalchemy.exc import OperationalError

from app.errors import Unauthorized
from app.sessions.service import SessionStore
from app.settings import Settings
from app.store import outbox
from app.store.credentials import CLOCK_SKEW_US, revoke_tokens
from app.store.drivers import TurnStatements
from app.survey import Answer, Begin, Save, SessionKey
from app.writer import Rejected, Result
from tests.conftest import NewStore
from tests.migrations.sample import dump
from tests.store.contents import mentions
from tests.store.test_erasures import WAITING, begin, set_aside
from tests.streams import submit_or_queue
from tests.waiting import wait_for

ANN, BOB = SessionKey("phq9", "ann-qqq"), SessionKey("phq9", "bob")


def users(store: SessionStore) -> set[str]:
    return {row["user_id"] for table in ("sessions", "session_history") for row in rows(store)[table]}


def rows(store: SessionStore) -> dict[str, list[dict[str, Any]]]:
    return dump(store.settings.database_url)


def wait_until_a_transaction_waits(store: SessionStore) -> None:
    """Wait until a transaction waits for another; on SQLite, whose transactions exclude each other, don't wait."""
    query = WAITING.get(store.backend)
    if query is not None:
        wait_for(
            lambda: store.run_read(lambda connection: connection.exec_driver_sql(query).scalar()) > 0,
            "no transaction waits",
            every_s=0.2,
        )


def test_session_begins_only_with_access_granted_after_the_erasure(settings: Settings, new_store: NewStore) -> None:
    """A participant's token from before it begins none, in any process; a later one, and an operator, begin one."""
    store, other_process = new_store(settings), new_store(settings)
    for _ in range(2):  # the second time without a session
        begin(store, ANN)
        granted_at = store.clock()
        store.erasure.delete(ANN)
        for process in (store, other_process):
            with pytest.raises(Unauthorized):
                process.turns.get_or_create(ANN, is_audio_mode=False, granted_at=granted_at)
        assert users(store) == set()
        assert not other_process.turns.get_or_create(ANN, is_audio_mode=False, granted_at=store.clock())[1]
        store.erasure.delete(ANN)
        store.turns.submit_or_raise(ANN, _save(store))
        store.erasure.delete(ANN)
        assert not store.turns.get_or_create(ANN, is_audio_mode=False)[1]
        store.erasure.delete(ANN)


def _save(store: SessionStore) -> Save:
    return Save(
        at=store.clock(), current_step="Q1", answers={}, step_history=(), is_audio_mode=False, session_data=None
    )


def test_other_turns_of_the_batch_are_committed_when_a_beginning_is_refused(store: SessionStore) -> None:
    """Each of them, in the order of their session."""
    store.erasure.delete(ANN)
    at = store.clock()
    turns = [
        (BOB, Begin(at=at, granted_at=at)),
        (ANN, Begin(at=at, granted_at=0)),
        (ANN, Answer(at=at, step="Q1", value=1)),
        (BOB, Answer(at=at, step="Q1", value=1)),
    ]
    results = store.turns.submit_many(turns)
    assert [getattr(result, "version", type(result)) for result in results] == [1, Unauthorized, Rejected, 2]
    assert users(store) == {BOB.user_id}


@pytest.mark.parametrize("has_session", [True, False])
def test_beginning_is_refused_when_it_waits_for_the_erasure(
    settings: Settings, new_store: NewStore, has_session: bool
) -> None:
    """It reads the revocation after the erasure's commit, also where there was no session to lock."""
    store, other_process = new_store(settings), new_store(settings)
    if has_session:
        begin(store, ANN)
    granted_at = store.clock()
    run = store.erasure._transaction

    def erase_and_begin(work: Any) -> Any:
        def erase(connection: Any) -> tuple[Any, Future[Any]]:
            result = work(connection)
            turn = (ANN, Begin(at=granted_at, granted_at=granted_at))
            beginning = threads.submit(other_process.turns.submit_many, [turn])
            wait_until_a_transaction_waits(store)
            return result, beginning

        result, beginning = run(erase)
        assert [type(found) for found in beginning.result(60)] == [Unauthorized]
        return result

    store.erasure._transaction = erase_and_begin
    with ThreadPoolExecutor(1) as threads:
        assert len(store.erasure._erase(ANN.user_id, ANN.survey_id, None)) == has_session
    assert users(store) == set()


def test_session_is_erased_when_it_begins_concurrently(
    settings: Settings, new_store: NewStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The erasure, which finds no session, waits for the transaction that begins one, and then finds it."""
    store, other_process = new_store(settings), new_store(settings, retry_delay_s=0)
    require_granted = TurnStatements._require_granted
    erasing: list[Future[bool]] = []

    def erase_meanwhile(self: TurnStatements, granted: Mapping[SessionKey, int]) -> None:
        require_granted(self, granted)
        erasing.append(threads.submit(other_process.erasure.delete, ANN))
        wait_until_a_transaction_waits(store)

    monkeypatch.setattr(TurnStatements, "_require_granted", erase_meanwhile)
    with ThreadPoolExecutor(1) as threads:
        store.turns.get_or_create(ANN, is_audio_mode=False, granted_at=store.clock())
        assert [future.result(60) for future in erasing] == [True]
    assert users(store) == set()


@pytest.mark.parametrize("is_invited_again", [True, False])
@pytest.mark.parametrize("is_participant", [True, False])
def test_pending_turns_are_dropped_when_another_process_erases_the_participant(
    settings: Settings,
    new_store: NewStore,
    monkeypatch: pytest.MonkeyPatch,
    is_participant: bool,
    is_invited_again: bool,
) -> None:
    """A session that began while this process had no database is not stored once it has one, nor added to a new one."""
    store, other_process = new_store(settings, pending_after_s=0.1, retry_attempts=1), new_store(settings)
    store._key_filter.fill()
    results: list[Result | Exception] = []

    def fail(_work: object) -> None:
        raise OperationalError("", None, Exception("lost"), connection_invalidated=True)

    with monkeypatch.context() as outage:
        outage.setattr(store._connection, "transact", fail)
        outage.setattr(store.queries, "load_with_survey", fail)
        granted_at = store.clock() if is_participant else None
        for _ in range(2):  # the first finds out that the database is unavailable
            store.turns._read_again_at = float("inf")
            store.turns.join(ANN, is_audio_mode=False, granted_at=granted_at, subscriber=None, callback=results.append)
        command = Answer(at=store.clock(), message_id="m", step="Q1", value=1)
        submit_or_queue(store, ANN, command, None, results.append)
        other_process.erasure.delete(ANN)
        if is_invited_again:
            other_process.turns.get_or_create(ANN, is_audio_mode=False)
    assert store.drain(60)
    assert [type(result) for result in results] == [Unauthorized, Unauthorized]
    snapshot = other_process.queries.load(ANN)
    assert (snapshot.state.version if snapshot else 0) == is_invited_again


def test_pending_turns_are_discarded_by_an_erasure(
    settings: Settings, new_store: NewStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A participant who connects next does not see them."""
    store = new_store(settings, pending_after_s=0.1, retry_attempts=1)
    store._key_filter.fill()
    results: list[Result | Exception] = []

    def fail(_work: object) -> None:
        raise OperationalError("", None, Exception("lost"), connection_invalidated=True)

    with monkeypatch.context() as outage:
        outage.setattr(store._connection, "transact", fail)
        for _ in range(2):  # the first finds out that turns can't be saved
            store.turns._read_again_at = float("inf")
            store.turns.join(ANN, is_audio_mode=False, subscriber=None, callback=results.append)
        command = Answer(at=store.clock(), message_id="m", step="Q1", value=1)
        submit_or_queue(store, ANN, command, None, results.append)
        assert store.turns.pending.holds(ANN)
        store.erasure.delete(ANN)
        assert not store.turns.pending.holds(ANN)
    assert [result.rejection.code for result in results if isinstance(result, Rejected)] == ["no_session"] * 2
    assert store.drain(60)
    assert users(store) == set()


def test_no_table_names_the_participant_after_an_erasure(settings: Settings, new_store: NewStore) -> None:
    """Neither by a session, set aside or not, a webhook, a revocation, an audit entry nor any other column."""
    store = new_store(settings)
    hook = outbox.Webhook(
        id="w1",
        url="https://x.test/",
        secret="s",
        events=("session.started",),
        survey_id=None,
        created_at=0,
        disabled_at=None,
    )
    store.run_transaction(lambda connection: outbox.add_webhook(connection, hook))
    begin(store, ANN)
    set_aside(store, ANN)
    begin(store, ANN)
    store.run_transaction(lambda connection: revoke_tokens(connection, ANN, 1))
    store.audit_log.record("operator", "session_read", ANN)
    assert mentions(rows(store), ANN.user_id) == [
        "audit_log.user_id",
        "session_history.user_id",
        "sessions.user_id",
        "webhook_deliveries.user_id",
    ]
    store.erasure.erase_participant(ANN.user_id, actor="operator")
    after = rows(store)
    assert after["token_revocations"]
    assert mentions(after, ANN.user_id) == []


def test_tokens_of_a_server_whose_clock_is_ahead_are_revoked(settings: Settings, new_store: NewStore) -> None:
    """The erasure revokes until the session's last change, within the accepted difference of clocks."""
    store = new_store(settings)
    for ahead_us, is_refused in ((CLOCK_SKEW_US // 2, True), (CLOCK_SKEW_US * 2, False)):
        at = store.clock() + ahead_us
        begin(store, ANN, at=at)
        store.erasure.delete(ANN)
        result = store.turns.submit_many([(ANN, Begin(at=at, granted_at=at))])[0]
        assert isinstance(result, Unauthorized) == is_refused
