"""The row and the messages that a session's state implies."""

from collections.abc import Mapping
from typing import Any

from app.survey.snapshot import SessionKey
from app.survey.state import SessionState
from tests.chaos.logs import SentCommand
from tests.chaos.stored import Event
from tests.chaos.walks import EXPIRES_AFTER_S

ACTIONS = {"answer": "answered", "back": "went_back", "goto": "went_to", "mode": "mode_set", "restart": "restarted"}


def expected_row(key: SessionKey, state: SessionState) -> Mapping[str, Any]:
    """Return every column of the session's row, decoded as by ``stored.decode_row``."""
    expires_at = state.updated_at + EXPIRES_AFTER_S[key.survey_id] * 1_000_000
    return {
        "user_id": key.user_id,
        "survey_id": key.survey_id,
        "current_step": state.current_step,
        "answers": state.answers,
        "step_history": list(state.step_history),
        "created_at": state.started_at,
        "updated_at": state.updated_at,
        "is_audio_mode": int(state.is_audio_mode),
        "session_data": state.session_data,
        "survey_revision": state.survey_revision,
        "version": state.version,
        "status": state.status,
        "drafts": state.drafts or None,
        "completed_at": state.completed_at,
        "expires_at": expires_at if state.status == "in_progress" else None,
    }


def expected_session(key: SessionKey, state: SessionState) -> Mapping[str, Any]:
    """Return the ``session`` field of messages (docs/protocol.md)."""
    return {
        "user_id": key.user_id,
        "survey_id": key.survey_id,
        "survey_revision": state.survey_revision,
        "status": state.status,
        "current_step": state.current_step,
        "answers": state.answers,
        "step_history": list(state.step_history),
        "is_audio_mode": state.is_audio_mode,
        "language": "en",
        "parameters": {},
        "values": expected_values(key.survey_id, state.answers),
        "draft": state.draft,
        "session_data": state.session_data,
    }


def expected_values(survey_id: str, answers: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the score of PHQ-9, which is known when all items are answered, and its band (Kroenke et al. 2001)."""
    if survey_id != "phq9":
        return {}
    items = [answers.get(f"Q{number}") for number in range(1, 10)]
    if None in items:
        return {"total": None, "severity": None}
    bands = {20: "severe", 15: "moderately severe", 10: "moderate", 5: "mild", 0: "minimal"}
    total = sum(item for item in items if item is not None)
    return {"total": total, "severity": next(band for least, band in bands.items() if total >= least)}


def matches(event: Event, sent: SentCommand) -> bool:
    """Return whether the event has the content of the command."""
    record, command = event.record, sent.command
    if record.action != ACTIONS[command["type"]]:
        return False
    match command["type"]:
        case "answer":
            return bool((record.step, record.answer) == (command["step"], command["value"]))
        case "goto":
            return bool(record.step == command["step"])
        case "mode":
            return bool(record.data["is_audio_mode"] == command["audio"])
        case _:
            return True
