"""Messages of the WebSocket and what they log."""

import logging

import pytest

from app.survey import SessionKey, Snapshot
from app.web.ws.messages import step_fields
from tests.survey.test_flow import at
from tests.survey.test_walk import survey

STEPS = """
  - {id: low, type: number}
  - {id: clash, type: number, required: false, min: "{{ answers.low }}", max: 10}
"""


def test_conflicting_bounds_are_logged_once_a_step_and_revision(caplog: pytest.LogCaptureFixture) -> None:
    """They are the author's error; who took part is neither logged nor remembered."""
    first, second = survey(STEPS), survey(STEPS.replace("max: 10", "max: 11"))
    for revision in (first, first.in_language("de"), second):
        for user_id in ("ann", "bob"):
            state = at("clash", {"low": 20})
            step_fields(Snapshot(key=SessionKey("example", user_id), state=state, survey=revision), 1)
    logged = [record for record in caplog.records if "exclude every answer" in record.getMessage()]
    assert [(record.levelno, vars(record)["survey_id"]) for record in logged] == [(logging.WARNING, "example")] * 2
    assert [record.args for record in logged] == [("clash", first.revision), ("clash", second.revision)]
    assert all("user_id" not in vars(record) for record in logged)
