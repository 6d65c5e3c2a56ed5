"""The audit log is purged in bounded transactions, each of which leaves a chain that can be verified."""

from collections.abc import Iterator
from contextlib import closing

import pytest
from sqlalchemy import delete, select

from app.operations.integrity import verify_audit_log
from app.operations.maintenance import purge_audit_log, sweep
from app.sessions.service import SessionStore, open_store
from app.settings import Settings
from app.store import audit
from app.store.tables import audit_log

column = audit_log.c


@pytest.fixture
def store(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[SessionStore]:
    """Yield a store whose purges remove three entries at once."""
    monkeypatch.setattr(sweep, "MIN_EVENTS", 1)
    monkeypatch.setattr(sweep.TransactionPacer, "adjust", lambda *_: None)
    with closing(open_store(settings)) as store:
        yield store


def record(store: SessionStore, count: int) -> None:
    for _ in range(count):
        store.audit_log.record("operator", "audit_read")


def purges(store: SessionStore) -> list[int]:
    query = select(column.id).where(column.action == "audit_purged").order_by(column.id)
    return store.run_read(lambda connection: list(connection.execute(query).scalars()))


def newest_at(store: SessionStore) -> int:
    return store.audit_log.page(limit=1).items[0].entry.at


def test_each_transaction_removes_a_bounded_number_of_entries(store: SessionStore) -> None:
    """Each records where the chain begins since, and what it recorded stays."""
    record(store, 8)
    kept_from = newest_at(store)
    assert purge_audit_log(store, kept_from) == 7
    assert len(purges(store)) == 3
    result = verify_audit_log(store)
    assert (result.problem, result.purged, result.entries) == (None, 7, 11)
    assert purge_audit_log(store, kept_from) == 0
    assert len(purges(store)) == 3


@pytest.mark.one_database
def test_interrupted_purge_leaves_an_intact_chain(store: SessionStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another run continues."""
    record(store, 8)

    def interrupt(_pacer: object, _took_s: float) -> None:
        assert verify_audit_log(store).problem is None
        if len(purges(store)) == 2:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(sweep.TransactionPacer, "pause", interrupt)
        with pytest.raises(KeyboardInterrupt):
            purge_audit_log(store, 2**52)
    assert verify_audit_log(store).purged == 6
    assert purge_audit_log(store, 2**52) == 4  # two of them record the first run
    result = verify_audit_log(store)
    assert (result.problem, result.purged, result.entries) == (None, 10, 12)


def test_entries_from_before_the_chain_are_purged_before_it(store: SessionStore) -> None:
    """The chain still begins with its first entry."""
    record(store, 2)
    ids = store.run_read(lambda connection: list(connection.execute(select(column.id).order_by(column.id)).scalars()))
    rows = [{"at": 1, "actor": "operator", "action": "audit_read", "id": ids[0] - 5 + number} for number in range(4)]
    store.run_transaction(lambda connection: connection.execute(audit_log.insert(), rows))
    assert purge_audit_log(store, 2) == 4
    result = verify_audit_log(store)
    assert (result.problem, result.purged, result.unchained, result.entries) == (None, 0, 0, 4)


def test_purge_past_a_gap_makes_the_chain_valid_again(store: SessionStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """The entries are counted, a few at once."""
    monkeypatch.setattr(audit, "SCAN_LIMIT", 2)
    record(store, 7)
    kept_from = newest_at(store)
    record(store, 2)
    store.run_transaction(lambda connection: connection.execute(delete(audit_log).where(column.id == 3)))
    assert verify_audit_log(store).problem is not None
    assert purge_audit_log(store, kept_from) == 5
    result = verify_audit_log(store)
    assert (result.problem, result.purged, result.entries) == (None, 6, 11)
