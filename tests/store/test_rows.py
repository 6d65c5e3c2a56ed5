"""Rows are parsed into states, and unreadable rows into errors."""

import pytest

from app.core.timestamps import to_datetime
from app.errors import OtherRelease, SessionUnreadable
from app.store import rows
from app.survey.snapshot import SessionKey
from app.survey.state import SessionContext, SessionState

KEY = SessionKey("phq9", "u")
AT = 1_790_000_000_123_456
READABLE = {"answers": '{"Q1":1}', "step_history": '["Q1"]', "session_data": None, "drafts": None, "context": None}


def row(**texts: str | None) -> tuple[object, ...]:
    """Return a row of STATE_COLUMNS."""
    values = {**READABLE, **texts}
    at = to_datetime(AT)
    return (
        "u", "phq9", "Q2", values["answers"], values["step_history"], at, at, 0, values["session_data"], "r", 2,
        "in_progress", values["drafts"], None, values["context"], 0,
    )  # fmt: skip


def test_row_is_parsed_into_its_state() -> None:
    """Lists become tuples and times numbers; empty session data of old rows becomes None."""
    state = rows.parse_state(row(session_data=""))
    assert isinstance(state, SessionState)
    assert (state.answers, state.step_history, state.session_data) == ({"Q1": 1}, ("Q1",), None)
    assert state.updated_at == AT


@pytest.mark.parametrize(
    "wrong",
    [
        {"answers": "{oops"}, {"answers": "[]"}, {"answers": None}, {"answers": "NaN"}, {"step_history": "{}"},
        {"step_history": "[1]"}, {"session_data": "3"}, {"drafts": "[]"}, {"drafts": "{"}, {"context": "[]"},
        {"context": '{"language":3}'},
    ],
)  # fmt: skip
def test_unreadable_row_gives_an_error_with_its_session(wrong: dict[str, str | None]) -> None:
    """For support; without its content."""
    error = rows.parse_state(row(**wrong))
    assert isinstance(error, SessionUnreadable)
    assert (error.survey_id, error.user_id) == KEY
    assert "oops" not in error.message


def test_context_is_parsed() -> None:
    """What is absent has its default."""
    state = rows.parse_state(row(context='{"language":"de","ending":2}'))
    assert isinstance(state, SessionState)
    assert state.context == SessionContext(language="de", ending=2)


def test_context_of_another_release_is_refused() -> None:
    """This release would lose what it does not know."""
    assert isinstance(rows.parse_state(row(context='{"invented":{}}')), OtherRelease)


def test_known_message_is_parsed_when_its_fingerprint_is_corrupt() -> None:
    """The message was applied nevertheless."""
    key, known = rows.parse_known_message(("u", "phq9", "m", 7, "{oops"))
    assert (key, known.version, known.fingerprint) == ((KEY, "m"), 7, None)
