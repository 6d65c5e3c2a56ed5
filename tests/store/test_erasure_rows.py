"""The database's own list of erasures: each is one row, and found without reading all of them."""

from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pytest

from app.sessions.service import SessionStore, open_store
from app.settings import Settings
from app.store import erasures
from app.store.erasure_journal import ErasureRecord, hash_user_id
from benchmarks import plans
from tests.store.contents import dump
from tests.store.test_plans import asking

SALT = "ab" * 16


def erased(number: int, survey_id: str = "phq9") -> ErasureRecord:
    return ErasureRecord(survey_id, hash_user_id(SALT, survey_id, f"user{number}"), SALT, 1, 5)


def test_erasure_that_two_processes_add_at_once_is_one_row(settings: Settings) -> None:
    """The later one waits for the first, fails by the index, and finds the row when it is tried again."""
    settings = settings.model_copy(update={"retry_delay_s": 0})
    store, other = open_store(settings), open_store(settings)

    def add(connection: Any) -> None:
        erasures.add_missing(connection, [erased(1), erased(2)])

    def beside(connection: Any) -> Future[None]:
        add(connection)
        return thread.submit(store.run_transaction, add)

    with ThreadPoolExecutor(1) as thread:
        other.run_transaction(beside).result(60)
    assert len(dump(store)["erasures"]) == 2
    store.close()
    other.close()


def test_erasure_is_one_row_by_the_database_itself(store: SessionStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever did not see the first one; a purge, which has no hash, is none of them."""
    store.run_transaction(lambda connection: erasures.add_missing(connection, [erased(1)]))
    real, looks = erasures._known, []

    def blind(connection: Any, ones: Any) -> Any:
        looks.append(ones)
        return set() if len(looks) == 1 else real(connection, ones)

    monkeypatch.setattr(erasures, "_known", blind)
    store.run_transaction(lambda connection: erasures.add_missing(connection, [erased(1), erased(2)]))
    for _ in range(2):
        store.run_transaction(lambda connection: erasures.add_purge(connection, "phq9", 3, 5))
    assert [row["sessions"] for row in dump(store)["erasures"]] == [1, 1, 3, 3]
    assert len(looks) == 2


def test_erasures_of_one_are_found_by_the_index(store: SessionStore) -> None:
    """Among many purges and others' erasures: when he is exported, when a list is applied, and when he is erased."""
    store.run_transaction(
        lambda connection: erasures.add_missing(connection, [erased(number) for number in range(1000)])
    )
    for at in range(100):
        store.run_transaction(lambda connection, at=at: erasures.add_purge(connection, "phq9", 1, at))
    with plans._recorded(store) as asked:
        assert len(store.run_read(lambda connection: erasures.read_participant(connection, "user7", "phq9"))) == 1
        store.run_transaction(lambda connection: erasures.add_missing(connection, [erased(7)]))
    by_hash = [one for one in asked if "user_hash IN" in one.statement]
    assert {one.by_writer for one in by_hash} == {True, False}
    for one in by_hash:
        steps = plans._explained(store, one, asking(store))
        assert any("uq_erasures_user_hash_survey_id_erased_at" in step for step in steps), steps
        assert not any(map(plans._is_scan, steps)), steps
