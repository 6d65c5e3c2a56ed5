"""Whether a step accepts an answer in a session."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from .commands import Answer
from .conditions import read_ids
from .definition import Survey
from .expressions import EvaluationError, Expression, Scope
from .piping import fill, insertions_of
from .rejection import RejectCode, Rejection, refuse
from .resolve import resolve_at
from .scopes import known_to, moment_scope, value_text
from .state import SessionState
from .types import Check, InvalidAnswer, Step

_LEVELS: tuple[tuple[str, RejectCode], ...] = (("error", "invalid_answer"), ("warning", "confirm"))


def accepted_value(survey: Survey, step: Step, state: SessionState, command: Answer) -> Any:  # noqa: ANN401 - any JSON
    """Return the answer in stored form, or the Rejection.

    Args:
        survey: with its texts in the session's language.
    """
    if step.id in survey.conditions.varying:
        resolved = resolve_at(survey, step, state, command.at).step
        value = _valid_value(survey, resolved, command.value)
        if isinstance(value, Rejection):
            return replace(value, reads_answers=True)
    else:
        value = _valid_value(survey, step, command.value)
    if not step.check or isinstance(value, Rejection):
        return value
    refusal = _refusal(survey, step, command, _failed_checks(survey, step, state, command, value))
    return value if refusal is None else refusal


def _valid_value(survey: Survey, step: Step, value: object) -> Any:  # noqa: ANN401 - as above
    if step.is_empty(value):
        return refuse(survey, "required", "required") if step.required and step.takes_answer else None
    try:
        return step.check_answer(value)
    except InvalidAnswer as error:
        return Rejection("invalid_answer", error.message.in_language(survey.shown_language))


def confirms_warning(survey: Survey, step: Step, state: SessionState, command: Answer, value: object) -> bool:
    """Return whether an accepted answer fails a check, which is then a warning that the participant has confirmed."""
    return bool(step.check) and bool(_failed_checks(survey, step, state, command, value))


def _failed_checks(survey: Survey, step: Step, state: SessionState, command: Answer, value: object) -> Sequence[Check]:
    scope = moment_scope(survey, command.at, known_to(survey, state), {**state.answers, step.id: value}, value)
    pairs = zip(step.check, survey.conditions.checks[step.id], strict=True)
    texts = value_text(survey, scope, command.at)
    return [fill(check, texts) for check, condition in pairs if _fails(condition, scope)]


def _refusal(survey: Survey, step: Step, command: Answer, failed: Sequence[Check]) -> Rejection | None:
    """Return the refusal by all failed errors, otherwise by all failed warnings unless they are confirmed."""
    for level, code in _LEVELS:
        messages = [check.message for check in failed if check.level == level]
        if messages and not (level == "warning" and command.confirmed):
            inserted = [source for check in step.check for source in insertions_of(check)]
            read = read_ids((*survey.conditions.checks[step.id], *map(survey.conditions.insertion, inserted)))
            return Rejection(code, "\n".join(messages), reads_answers=read is None or bool(read - {step.id}))
    return None


def _fails(condition: Expression, scope: Scope) -> bool:
    try:
        return not condition.holds(scope)
    except EvaluationError:
        return False
