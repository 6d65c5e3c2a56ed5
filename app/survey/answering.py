"""Whether a step accepts an answer in a session."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from ..core.languages import text
from .commands import Answer, RejectCode, Rejection, refuse
from .conditions import read_ids
from .definition import Survey
from .expressions import EvaluationError, Expression, Scope
from .pages import shown_fields
from .piping import fill, insertions_of
from .resolve import resolve, resolve_at
from .scopes import expression_context, present_scope, route_scope, value_text
from .state import SessionState
from .types import FieldStep, PageStep, Step
from .types.step import Check, InvalidAnswer, unknown_fields

_LEVELS: tuple[tuple[str, RejectCode], ...] = (("error", "invalid_answer"), ("warning", "confirm"))


def accepted_value(survey: Survey, step: Step, state: SessionState, command: Answer) -> Any:  # noqa: ANN401 - any JSON
    """Return the answer in stored form, or the Rejection."""
    value = _accepted_value(survey, step, state, command)
    has_parts = isinstance(value, Rejection) and value.fields is None and bool(step.parts())
    return replace(value, fields={}) if has_parts else value


def _accepted_value(survey: Survey, step: Step, state: SessionState, command: Answer) -> Any:  # noqa: ANN401 - as above
    varies = step.id in survey.conditions.varying
    if isinstance(step, PageStep):
        value = _page_value(survey, step, state, command)
    else:
        resolved = resolve_at(survey, step, route_scope(survey, state), command.at).step if varies else step
        value = _valid_value(survey, resolved, command.value)
    if isinstance(value, Rejection):
        return replace(value, reads_answers=True) if varies else value
    if not step.check and not isinstance(step, PageStep):
        return value
    failed = _failed_checks(survey, step, state, command, value)
    refusal = _refusal(survey, command, failed) if failed else None
    return value if refusal is None else refusal


def confirms_warning(survey: Survey, step: Step, state: SessionState, command: Answer, value: object) -> bool:
    return bool(_failed_checks(survey, step, state, command, value))


def _valid_value(survey: Survey, step: Step | FieldStep, value: object) -> Any:  # noqa: ANN401 - as above
    if step.is_empty(value):
        if not (step.required and step.takes_answer):
            return None
        refused = refuse(survey, "required", "required")
        return replace(refused, fields={row.id: refused.message for row in step.parts()} or None)
    try:
        return step.check_answer(value)
    except InvalidAnswer as error:
        fields = {name: message.in_language(survey.shown_language) for name, message in error.fields.items()}
        return Rejection("invalid_answer", error.message.in_language(survey.shown_language), fields=fields or None)


def _page_value(survey: Survey, page: PageStep, state: SessionState, command: Answer) -> Any:  # noqa: ANN401 - as above
    given = {} if command.value is None else command.value
    if not isinstance(given, Mapping):
        return refuse(survey, "invalid_answer", "must_be_fields")
    context = expression_context(survey, state)
    route = survey.conditions.scope(state.answers, context)  # as drawn
    present = present_scope(survey, route, command.at)
    stored: dict[str, Any] = {}
    wrong: dict[str, str] = {}
    hidden = dict(given)
    for field in shown_fields(survey, page, state.answers, context, stored):
        hidden.pop(field.id, None)
        resolved = resolve(survey, field, route, present).step
        value = _valid_value(survey, resolved, given.get(field.id))
        if isinstance(value, Rejection):
            wrong[field.id] = value.message
            value = given.get(field.id)  # read by later conditions as the client reads it
        stored[field.id] = value
    known = survey.conditions.fields[page.id]
    language = survey.shown_language
    wrong |= {name: message.in_language(language) for name, message in unknown_fields(given, known).items()}
    wrong |= {name: text(language, "refusals.hidden_field") for name in known if hidden.get(name) is not None}
    return replace(refuse(survey, "invalid_answer", "fields"), fields=wrong) if wrong else stored


def _failed_checks(
    survey: Survey, step: Step, state: SessionState, command: Answer, value: object
) -> Sequence[tuple[Check, str | None]]:
    """Return the checks that do not hold, and the field that has each; None: the step."""
    asked: list[tuple[Step | FieldStep, str | None, object]] = [(step, None, value)] if step.check else []
    if isinstance(step, PageStep) and isinstance(value, Mapping):
        asked = [*((one, one.id, value[one.id]) for one in step.fields if one.check and one.id in value), *asked]
    route = survey.conditions.scope({**state.answers, step.id: value}, expression_context(survey, state))
    submitted = present_scope(survey, route, command.at)
    failed = []
    for one, field, answer in asked:
        scope = submitted._replace(answer=answer)
        texts = value_text(survey, scope, command.at)
        pairs = zip(one.check, survey.conditions.checks[one.id], strict=True)
        failed += [(fill(check, texts), field) for check, that in pairs if _fails(that, scope)]
    return failed


def _refusal(survey: Survey, command: Answer, failed: Sequence[tuple[Check, str | None]]) -> Rejection | None:
    for level, code in _LEVELS:
        found = [(check, field) for check, field in failed if check.level == level]
        if found and not (level == "warning" and command.confirmed):
            fields: dict[str, str] = {}
            for check, field in found:
                if field is not None:
                    fields[field] = "\n".join(filter(None, (fields.get(field), check.message)))
            message = "\n".join(check.message for check, _ in found)
            return Rejection(code, message, _reads_others(survey, command.step), fields or None)
    return None


def _reads_others(survey: Survey, step_id: str) -> bool:
    step = survey.steps_by_id[step_id]
    asked = (step, *step.fields) if isinstance(step, PageStep) else (step,)
    expressions: list[Expression] = []
    for one in asked:
        expressions += survey.conditions.checks.get(one.id, ())
        expressions += (survey.conditions.insertion(source) for check in one.check for source in insertions_of(check))
    read = read_ids(expressions)
    return read is None or bool(read - {step_id})


def _fails(condition: Expression, scope: Scope) -> bool:
    try:
        return not condition.holds(scope)
    except EvaluationError:
        return False
