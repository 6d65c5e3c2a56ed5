"""No operation reads a whole table, on any database; docs/performance/plans.md shows the plans."""

import pytest
from sqlalchemy import text

from app.sessions.service import SessionStore
from benchmarks import plans

SESSIONS = 3000


def asking(store: SessionStore) -> list[str]:
    """Return what has to be set for plans as of a large database."""
    # In so small a database PostgreSQL finds reading all of it cheaper than going along an index. The writer, whose
    # plans are kept while the database grows, has to go along it all the same.
    return ["SET enable_seqscan = off"] if store.queries.database_facts()["database"] == "postgresql" else []


def test_no_operation_reads_a_whole_table(store: SessionStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each statement of each operation reads an index."""
    monkeypatch.setattr(plans.sessions, "SCAN_LIMIT", 100)
    plans.fill(store, SESSIONS)
    found = plans.plans(store, asking(store))
    assert {plan.operation for plan in found} == set(plans.operations(store))
    assert [plan for plan in found if plan.scans] == []


def test_plan_that_reads_a_whole_table_would_be_seen(store: SessionStore) -> None:
    """The check itself: a condition on a column without an index is a scan."""
    plans.fill(store, SESSIONS)
    scanning = plans._Asked("SELECT user_id FROM sessions WHERE drafts = 'x'", (), by_writer=False)
    assert any(map(plans._is_scan, plans._explained(store, scanning, ())))
    with store.queries.engine.connect() as connection:
        assert connection.execute(text("SELECT COUNT(*) FROM sessions")).scalar() == SESSIONS
