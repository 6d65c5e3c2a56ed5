"""Validates commands before they are decided."""

from collections.abc import Callable, Mapping
from typing import Any

from ..core import strict_json
from ..core.formats import MAX_COMMAND_BYTES
from ..errors import InvalidInput
from ..survey import Answer, AnyCommand, Draft, Note, Save, Update

MAX_STATE_BYTES = 1024 * 1024  # as JSON, of a whole state or an integrator's entry
MAX_STEP_LENGTH = 255  # characters of an integrator's step or action


def check_command(command: AnyCommand) -> None:
    """Raise InvalidInput if a value is too large or not strict JSON."""
    match command:
        case Save():
            _check_state({name: getattr(command, name) for name in _CHECKS})
        case Update():
            _check_state(command.changes)
        case Note():
            _check_name(command.action, "action")
            if command.step is not None:
                _check_name(command.step, "step")
            strict_json.check(command.answer, "answer")
            _check_size(command.answer, "The answer", MAX_STATE_BYTES)
        case Answer() | Draft():
            strict_json.check(command.value, "value")
            _check_size(command.value, "The value", MAX_COMMAND_BYTES)
        case _:
            pass


def _check_state(state: Mapping[str, Any]) -> None:
    for name, value in state.items():
        if name not in _CHECKS:
            raise InvalidInput(f"A session has no {name!r}.")
        if name != "session_data" or value is not None:
            _CHECKS[name](value, name)
    _check_size(dict(state), "The state", MAX_STATE_BYTES)


def _check_size(value: object, what: str, max_bytes: int) -> None:
    if len(strict_json.encode(value).encode()) > max_bytes:
        raise InvalidInput(f"{what} has more than {max_bytes} bytes as JSON.")


def _check_name(value: object, what: str) -> None:
    if not isinstance(value, str) or not 1 <= len(value) <= MAX_STEP_LENGTH:
        raise InvalidInput(f"The field {what} must be text of 1 to {MAX_STEP_LENGTH} characters.")
    strict_json.check(value, what)


def _check_object(value: object, what: str) -> None:
    if not isinstance(value, dict):
        raise InvalidInput(f"The field {what} must be a dict with string keys, not {type(value).__name__}.")
    for key, item in value.items():
        strict_json.check({key: None}, what)
        strict_json.check(item, f"{what}.{key}")


def _check_path(value: object, what: str) -> None:
    if not isinstance(value, list | tuple):
        raise InvalidInput(f"The field {what} must be a list of step names, not {type(value).__name__}.")
    for index, step in enumerate(value):
        _check_name(step, f"{what}[{index}]")


def _check_bool(value: object, what: str) -> None:
    if not isinstance(value, bool):
        raise InvalidInput(f"The field {what} must be true or false.")


_CHECKS: dict[str, Callable[[object, str], None]] = {
    "current_step": _check_name,
    "answers": _check_object,
    "step_history": _check_path,
    "is_audio_mode": _check_bool,
    "session_data": _check_object,
}
