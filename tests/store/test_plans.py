"""No operation reads a whole table, on any database; docs/performance/plans.md shows the plans."""

import pytest
from sqlalchemy import text

from app.sessions.service import SessionStore
from benchmarks import plans

SESSIONS = 3000


def setup_statements(store: SessionStore) -> list[str]:
    """Return statements that make the planner choose as in a large database."""
    # In a small database PostgreSQL finds a sequential scan cheaper than an index. The writer must use the index
    # anyway, since its plans are cached while the database grows.
    return ["SET enable_seqscan = off"] if store.queries.database_facts()["database"] == "postgresql" else []


def test_no_operation_reads_a_whole_table(store: SessionStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every statement of every operation uses an index."""
    monkeypatch.setattr(plans.sessions, "SCAN_LIMIT", 100)
    plans.fill(store, SESSIONS)
    all_plans = plans.plans(store, setup_statements(store))
    assert {plan.operation for plan in all_plans} == set(plans.operations(store))
    assert [plan for plan in all_plans if plan.scans] == []


def test_plan_that_reads_a_whole_table_is_detected(store: SessionStore) -> None:
    """A condition on a column without an index is a scan."""
    plans.fill(store, SESSIONS)
    scanning = plans.Executed("SELECT user_id FROM sessions WHERE drafts = 'x'", (), by_writer=False)
    assert any(map(plans.is_scan, plans.explain(store, scanning, ())))
    with store.queries.engine.connect() as connection:
        assert connection.execute(text("SELECT COUNT(*) FROM sessions")).scalar() == SESSIONS
