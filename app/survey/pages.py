"""Pages: which fields a session shows, and which of their answers it keeps."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

from .conditions import ExpressionContext, holds
from .definition import Survey
from .expressions import Scope
from .scopes import expression_context
from .state import Answers, SessionState
from .types import FieldStep, PageStep
from .types.choice import OptionsStep


class Fitted(NamedTuple):
    """An accepted answer to a page, after others have changed."""

    kept: Mapping[str, Any]
    hidden: Mapping[str, Any]  # answers to fields that are not shown, or whose options are not
    is_complete: bool  # all that is shown and required has an answer that its options allow


def shown_fields(
    survey: Survey, page: PageStep, answers: Answers, context: ExpressionContext, given: Mapping[str, Any]
) -> Iterator[FieldStep]:
    """Yield the fields that are shown; the caller may add to ``given``, by field, when one is yielded."""
    counting: dict[str, Any] = {}
    before = {**answers, page.id: counting}
    shared = survey.conditions.scope(before, context)
    for field in page.fields:
        condition = survey.conditions.fields[page.id][field.id]
        # Values that read fields of the page change with each of them; others are computed once.
        is_own = condition is not None and (condition.step_ids is None or page.id in condition.step_ids)
        scope = survey.conditions.scope(before, context) if is_own else shared
        if condition is None or holds(condition, scope):
            yield field
            counting[field.id] = given.get(field.id)


def answer_fields(
    survey: Survey, page: PageStep, state: SessionState, answer: Callable[[FieldStep], Any]
) -> dict[str, Any]:
    """Return an answer to a page; ``answer`` is called, in order, for shown fields."""
    given: dict[str, Any] = {}
    for field in shown_fields(survey, page, state.answers, expression_context(survey, state), given):
        given[field.id] = answer(field)
    return given


def with_hidden_draft(survey: Survey, page: PageStep, state: SessionState, draft: Mapping[str, Any]) -> dict[str, Any]:
    earlier = state.drafts.get(page.id)
    if not isinstance(earlier, Mapping):
        return dict(draft)
    context = expression_context(survey, state)
    shown = {field.id for field in shown_fields(survey, page, state.answers, context, draft)}
    hidden = survey.conditions.fields[page.id].keys() - shown
    return {**{name: value for name, value in earlier.items() if name in hidden}, **draft}


def fit_page(survey: Survey, page: PageStep, answers: Answers, context: ExpressionContext) -> Fitted:
    answer = answers.get(page.id)
    given = dict(answer) if isinstance(answer, Mapping) else {}
    kept: dict[str, Any] = {}
    hidden: dict[str, Any] = {}
    is_complete = True
    scope = survey.conditions.scope(answers, context)
    for field in shown_fields(survey, page, answers, context, given):
        fits = _fits(survey, field, given.get(field.id), scope)
        is_complete = is_complete and (fits or not field.required)
        if field.id in given:
            (kept if fits else hidden)[field.id] = given[field.id] if fits else given.pop(field.id)
    hidden |= {name: value for name, value in given.items() if name not in kept}
    return Fitted(kept, hidden, is_complete)


def _fits(survey: Survey, field: FieldStep, value: object, scope: Scope) -> bool:
    if isinstance(field, OptionsStep) and field.id in survey.conditions.options:
        return field.fits_options(value, survey.conditions.hidden_options(field.id, scope))
    return not (field.required and field.takes_answer and field.is_empty(value))
