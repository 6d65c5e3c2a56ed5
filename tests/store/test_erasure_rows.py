"""The erasures table: one row per erasure, found by an index."""

from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pytest

from app.sessions.service import SessionStore
from app.settings import Settings
from app.store import erasures
from app.store.erasure_journal import ErasureRecord, hash_user_id
from benchmarks import plans
from tests.conftest import NewStore
from tests.store.contents import dump
from tests.store.test_plans import setup_statements

SALT = "ab" * 16


def erased(number: int, survey_id: str = "phq9") -> ErasureRecord:
    return ErasureRecord(survey_id, hash_user_id(SALT, survey_id, f"user{number}"), SALT, 1, 5)


def test_erasure_is_one_row_when_two_processes_add_it_concurrently(settings: Settings, new_store: NewStore) -> None:
    """The second waits for the first, violates the unique index, and finds the row on its retry."""
    settings = settings.model_copy(update={"retry_delay_s": 0})
    store, other = new_store(settings), new_store(settings)

    def add(connection: Any) -> None:
        erasures.add_missing(connection, [erased(1), erased(2)])

    def add_twice(connection: Any) -> Future[None]:
        add(connection)
        return thread.submit(store.run_transaction, add)

    with ThreadPoolExecutor(1) as thread:
        other.run_transaction(add_twice).result(60)
    assert len(dump(store)["erasures"]) == 2


def test_unique_index_keeps_an_erasure_to_one_row(store: SessionStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """Even if the store missed the first row; purges have no hash and are exempt."""
    store.run_transaction(lambda connection: erasures.add_missing(connection, [erased(1)]))
    real, compared = ErasureRecord.identity.fget, []

    def miss_twice(record: ErasureRecord) -> Any:
        compared.append(record)
        return None if len(compared) <= 2 else real(record)

    monkeypatch.setattr(ErasureRecord, "identity", property(miss_twice))
    store.run_transaction(lambda connection: erasures.add_missing(connection, [erased(1), erased(2)]))
    for _ in range(2):
        store.run_transaction(lambda connection: erasures.add_purge(connection, "phq9", 3, 5))
    assert [row["sessions"] for row in dump(store)["erasures"]] == [1, 1, 3, 3]
    assert compared == [erased(1), erased(2)] * 2


def test_erasures_of_a_participant_are_found_by_the_index(store: SessionStore) -> None:
    """Among many purges and other erasures: by an export of the participant, a replay, and an erasure."""
    store.run_transaction(
        lambda connection: erasures.add_missing(connection, [erased(number) for number in range(1000)])
    )
    for at in range(100):
        store.run_transaction(lambda connection, at=at: erasures.add_purge(connection, "phq9", 1, at))
    with plans.recorded(store) as queries:
        assert len(store.run_read(lambda connection: erasures.read_participant(connection, "user7", "phq9"))) == 1
        store.run_transaction(lambda connection: erasures.add_missing(connection, [erased(7)]))
    by_hash = [query for query in queries if "user_hash IN" in query.statement]
    assert {query.by_writer for query in by_hash} == {True, False}
    for query in by_hash:
        steps = plans.explain(store, query, setup_statements(store))
        assert any("uq_erasures_user_hash_survey_id_erased_at" in step for step in steps), steps
        assert not any(map(plans.is_scan, steps)), steps
