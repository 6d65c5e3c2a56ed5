"""A session that completes as it begins, because no step is shown, is a completed session for every operation."""

from pathlib import Path

import pytest

from app.core.timestamps import format_timestamp
from app.operations.analytics import Filters, summarize
from app.operations.maintenance.retention import purge
from app.sessions.service import SessionStore
from app.settings import Settings
from app.survey.commands import Begin, Restart, Save
from app.survey.snapshot import SessionKey
from tests.conftest import NewStore
from tests.operations.export.reading import csv_rows, export, jsonl_rows
from tests.store.test_outbox import deliveries, do, hook

SURVEY = """
id: quiet
title: Nothing to ask
language: en
retention: 30d
steps: [{id: never, type: boolean, prompt: p, show_if: "false"}]
end: [{title: Nothing to ask}]
"""
ANN = SessionKey("quiet", "ann")
DAY_US = 86_400 * 1_000_000


@pytest.fixture
def quiet(settings: Settings, tmp_path: Path, new_store: NewStore) -> SessionStore:
    (tmp_path / "surveys").mkdir()
    (tmp_path / "surveys" / "quiet.yaml").write_text(SURVEY)
    return new_store(settings, surveys_dir=tmp_path / "surveys")


@pytest.mark.one_database
def test_webhooks_are_notified_of_each_completion(quiet: SessionStore) -> None:
    """Of the beginning, and of a restart that completes at once, also of a completed session."""
    hook(quiet)
    at = quiet.clock()
    do(quiet, Begin(at=at), Restart(at=at), key=ANN)
    assert deliveries(quiet) == [
        ("started", "ann", 1),
        ("completed", "ann", 1),
        ("started", "ann", 2),
        ("completed", "ann", 2),
    ]
    empty = Save(at=at, current_step="never", answers={}, step_history=(), is_audio_mode=False, session_data=None)
    do(quiet, empty, Restart(at=at), key=ANN)
    assert deliveries(quiet)[4:] == [("started", "ann", 4), ("completed", "ann", 4)]


@pytest.mark.one_database
def test_analytics_count_it_as_completed(quiet: SessionStore) -> None:
    """In no time, and no step is reached or left."""
    at = quiet.clock()
    do(quiet, Begin(at=at), key=ANN)
    do(quiet, Begin(at=at - DAY_US), Restart(at=at), key=SessionKey("quiet", "ben"))
    summary = summarize(quiet, "quiet", Filters())
    assert {name: summary["sessions"][name] for name in ("started", "completed", "in_progress")} == {
        "started": 2,
        "completed": 2,
        "in_progress": 0,
    }
    assert summary["duration_s"] == {"count": 2, "median": 0, "p90": 0}
    assert sum(day["completed"] for day in summary["days"]) == 2
    assert {summary["steps"][0][name] for name in ("reached", "answered", "left_here")} == {0}


@pytest.mark.one_database
def test_export_has_its_completion(quiet: SessionStore) -> None:
    """At the time of the event that completed it."""
    at = quiet.clock() // 1_000_000 * 1_000_000
    do(quiet, Begin(at=at - DAY_US), Restart(at=at), key=ANN)
    row = csv_rows(export(quiet, "quiet", "csv")[0])[0]
    line = jsonl_rows(export(quiet, "quiet", "jsonl")[0])[0]
    for session in (row, line):
        assert (session["status"], session["current_step"]) == ("completed", "end")
        assert session["completed_at"] == format_timestamp(at)
    assert line["duration_s"] == 86_400


def test_retention_erases_it(quiet: SessionStore) -> None:
    """Counted from its last change, as for any other."""
    at = quiet.clock()
    do(quiet, Begin(at=at - 40 * DAY_US), key=ANN)
    do(quiet, Begin(at=at - 40 * DAY_US), Restart(at=at), key=SessionKey("quiet", "ben"))
    purge(quiet, dry_run=False)
    assert [key.user_id for key in quiet.queries.keys_of_user("ann", 9)] == []
    assert [key.user_id for key in quiet.queries.keys_of_user("ben", 9)] == ["ben"]
