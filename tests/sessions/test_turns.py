"""Turns: metrics and log lines of failed conditions, and what follows a commit."""

import logging
from pathlib import Path

import pytest

from app.observability import metrics
from app.settings import Settings
from app.survey import Answer, Begin, SessionKey
from app.writer import Committed
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


def test_sender_gets_the_result_of_a_commit_that_can_not_be_published(
    tmp_path: Path, new_store: NewStore, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """An error would look like an unknown outcome."""
    (tmp_path / "visit.yaml").write_text(SURVEY)
    store = new_store(Settings(database_url=f"sqlite:///{tmp_path / 'sessions.db'}", surveys_dir=tmp_path))

    def fail(*_: object) -> None:
        raise RuntimeError

    monkeypatch.setattr(store.subscribers, "publish", fail)
    assert isinstance(store.turns.submit(KEY, Begin(at=0)), Committed)
    (result,) = store.turns.submit_many([(OTHER, Begin(at=0))])
    assert isinstance(result, Committed)
    assert [record.message for record in caplog.records if record.levelno == logging.ERROR] == [
        "Unexpected error after a commit; the sender gets its result."
    ] * 2
