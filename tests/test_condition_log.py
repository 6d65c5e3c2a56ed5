"""What a survey's author is told of conditions that can't be evaluated: once a step of a session, without answers."""

import logging

import pytest

from app.sessions import condition_warnings
from app.sessions.condition_warnings import ConditionLog
from app.survey.snapshot import SessionKey

ANN, BOB = SessionKey("phq9", "ann"), SessionKey("phq9", "bob")


def test_each_step_of_a_session_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    """With the session and its version, for whoever looks it up."""
    told = ConditionLog()
    for key, steps in ((ANN, ("Q1", "Q2")), (ANN, ("Q2", "Q1")), (BOB, ("Q1",))):
        told.warn(key, 3, steps)
    found = [(record.__dict__["user_id"], record.args, record.levelno) for record in caplog.records]
    assert found == [(user, (step,), logging.WARNING) for user, step in (("ann", "Q1"), ("ann", "Q2"), ("bob", "Q1"))]
    assert {(record.__dict__["survey_id"], record.__dict__["version"]) for record in caplog.records} == {("phq9", 3)}


def test_no_more_is_remembered_than_allowed(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """Then all is told once more, rather than memory filled."""
    monkeypatch.setattr(condition_warnings, "TOLD_LIMIT", 2)
    told = ConditionLog()
    for step in ("Q1", "Q2", "Q3", "Q1"):
        told.warn(ANN, 1, (step,))
    assert [record.args for record in caplog.records] == [("Q1",), ("Q2",), ("Q3",), ("Q1",)]
    assert len(told._told) == 2
