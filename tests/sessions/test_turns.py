"""Turns: metrics and log lines of failed conditions."""

import logging
from pathlib import Path

import pytest

from app.observability import metrics
from app.settings import Settings
from app.survey import Answer, Begin, SessionKey
from tests.conftest import NewStore

KEY, OTHER = SessionKey("visit", "ann"), SessionKey("visit", "bob")
SURVEY = """
id: visit
title: Visit
language: en
steps:
  - {id: first, type: number, required: false, next: [{when: answer > 3, go: end}]}
  - {id: second, type: number, next: [{when: answer > answers.first, go: end}]}
  - {id: third, type: info}
""".replace("{id:", "{prompt: p, id:")


def failures() -> float:
    """Return how many failed conditions have been counted."""
    return next(
        sample.value for sample in metrics.FAILED_CONDITIONS.collect()[0].samples if sample.name.endswith("_total")
    )


def test_failed_condition_is_counted_each_time_and_logged_once_per_session_and_step(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, new_store: NewStore
) -> None:
    """The log names the session and the step, not the answers."""
    (tmp_path / "visit.yaml").write_text(SURVEY)
    store = new_store(Settings(database_url=f"sqlite:///{tmp_path / 'sessions.db'}", surveys_dir=tmp_path))
    before = failures()
    with caplog.at_level(logging.WARNING, "stepkeep.service"):
        for key in (KEY, OTHER):
            store.turns.submit(key, Begin(at=0))
            store.turns.submit(key, Answer(at=1, step="first", value=None))
            store.turns.submit(key, Answer(at=2, step="first", value=None))
        store.turns.submit(KEY, Answer(at=3, step="second", value=4))
    logged = [(record.__dict__["user_id"], record.args) for record in caplog.records]
    assert logged == [("ann", ("first",)), ("bob", ("first",)), ("ann", ("second",))]
    assert {record.__dict__["survey_id"] for record in caplog.records} == {"visit"}
    assert failures() - before == 5
