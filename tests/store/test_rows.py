"""Rows: what is written comes back, and what can't be read is said to be so."""

import pytest

from app.core.timestamps import to_datetime
from app.errors import SessionUnreadable
from app.store import rows
from app.survey.snapshot import SessionKey
from app.survey.state import SessionState

KEY = SessionKey("phq9", "u")
AT = 1_790_000_000_123_456
READABLE = {"answers": '{"Q1":1}', "step_history": '["Q1"]', "session_data": None, "drafts": None}


def row(**texts: str | None) -> tuple[object, ...]:
    """Return a row of STATE_COLUMNS."""
    given = {**READABLE, **texts}
    at = to_datetime(AT)
    return (
        "u", "phq9", "Q2", given["answers"], given["step_history"], at, at, 0, given["session_data"], "r", 2,
        "in_progress", given["drafts"], None,
    )  # fmt: skip


def test_row_is_read_as_its_session() -> None:
    """Lists become tuples, times numbers; no data and empty data of old rows are none."""
    state = rows.parse_state(row(session_data=""))
    assert isinstance(state, SessionState)
    assert (state.answers, state.step_history, state.session_data) == ({"Q1": 1}, ("Q1",), None)
    assert state.updated_at == AT


@pytest.mark.parametrize(
    "wrong",
    [
        {"answers": "{oops"}, {"answers": "[]"}, {"answers": None}, {"answers": "NaN"}, {"step_history": "{}"},
        {"step_history": "[1]"}, {"session_data": "3"}, {"drafts": "[]"}, {"drafts": "{"},
    ],
)  # fmt: skip
def test_row_that_can_not_be_read_is_told_and_never_a_crash(wrong: dict[str, str | None]) -> None:
    """With its session, for support; without its content."""
    found = rows.parse_state(row(**wrong))
    assert isinstance(found, SessionUnreadable)
    assert (found.survey_id, found.user_id) == KEY
    assert "oops" not in found.message


def test_message_of_a_corrupt_row_is_known_all_the_same() -> None:
    """That it was applied is what counts."""
    key, known = rows.parse_known_message(("u", "phq9", "m", 7, "{oops"))
    assert (key, known.version, known.fingerprint) == ((KEY, "m"), 7, None)
