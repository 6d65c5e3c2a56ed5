"""Validates commands before they are decided."""

from collections.abc import Mapping
from typing import Any

from ..core import strict_json
from ..errors import InvalidInput
from ..survey import AnyCommand, Note, Save, Update

MAX_STATE_BYTES = 1024 * 1024
"""As JSON; a participant's answer is at most 64 KiB."""

MAX_STEP_LENGTH = 255
"""Characters of an integrator's step or action."""


def validate_command(command: AnyCommand) -> InvalidInput | None:
    """Return the error of :func:`check_command`, or None."""
    try:
        check_command(command)
    except InvalidInput as problem:
        return problem
    return None


def check_command(command: AnyCommand) -> None:
    """Raise InvalidInput if a value is too large or not strict JSON."""
    match command:
        case Save():
            _check_state(
                {
                    name: getattr(command, name)
                    for name in ("current_step", "answers", "step_history", "is_audio_mode", "session_data")
                }
            )
        case Update():
            _check_state(command.changes)
        case Note():
            _check_name(command.action, "action")
            if command.step is not None:
                _check_name(command.step, "step")
            strict_json.check(command.answer, "answer")
        case _:
            strict_json.check(getattr(command, "value", None), "value")


def _check_state(state: Mapping[str, Any]) -> None:  # noqa: C901 - one case a field
    for name, value in state.items():
        match name:
            case "current_step":
                _check_name(value, name)
            case "answers":
                _check_object(value, name)
            case "step_history":
                _check_path(value)
            case "is_audio_mode":
                if not isinstance(value, bool):
                    raise InvalidInput("is_audio_mode must be true or false")
            case "session_data":
                if value is not None:
                    _check_object(value, name)
            case _:
                raise InvalidInput(f"a session has no {name!r}")
    if len(strict_json.encode(dict(state))) > MAX_STATE_BYTES:
        raise InvalidInput(f"the state has more than {MAX_STATE_BYTES} bytes as JSON")


def _check_name(value: object, what: str) -> None:
    if not isinstance(value, str) or not 1 <= len(value) <= MAX_STEP_LENGTH:
        raise InvalidInput(f"{what} must be text of 1 to {MAX_STEP_LENGTH} characters")
    strict_json.check(value, what)


def _check_object(value: object, what: str) -> None:
    if not isinstance(value, Mapping):
        raise InvalidInput(f"{what} must be an object with string keys, not {type(value).__name__}")
    for key, item in value.items():
        strict_json.check({key: None}, what)
        strict_json.check(item, f"{what}.{key}")


def _check_path(value: object) -> None:
    if not isinstance(value, list | tuple):
        raise InvalidInput(f"step_history must be a list of step names, not {type(value).__name__}")
    for index, step in enumerate(value):
        _check_name(step, f"step_history[{index}]")
