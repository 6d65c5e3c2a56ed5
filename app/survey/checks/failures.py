"""Whether an expression has a value for any answers."""

import re
from collections.abc import Iterator, Mapping

from pydantic import ValidationError

from ..expressions import Alternative, EvaluationError, Expression, Possible, type_name, types, whole_number
from ..types import BaseStep
from .places import Place
from .samples import MAX_ASSIGNMENTS, ValidParts, combinations
from .unusable import default_problem

_WORDS = {"double": "number", "string": "text", "null_type": "null value", "bool": "boolean"}


def failure(expression: Expression, outcome: Possible | EvaluationError, place: Place, valid: ValidParts) -> str | None:
    """Return why an expression fails for all answers; None if it does not, or if that is not known."""
    if isinstance(outcome, EvaluationError):
        return _in_words(str(outcome))
    if place.field is None:
        reason = _of_results(outcome) if place.is_condition else None
    elif place.step is None:
        return None
    else:
        reason = _of_values(outcome, place.field, place.step)
    return reason or _of_all_answers(expression, place, valid)


def _of_results(outcome: Possible) -> str | None:
    kinds = types(outcome)
    if kinds is None or bool in kinds:
        return None
    samples = sorted((sample for one in outcome for sample in one.samples), key=lambda sample: sample is None)
    kind = next(map(type_name, samples), "list")
    return _in_words(f"the result is a {kind}, not true or false")


def _of_values(outcome: Possible, field: str, own: BaseStep) -> str | None:
    if any(_can_fit(one, field, own) for one in outcome):
        return None
    sample = next((sample for one in outcome for sample in one.samples), None)
    return f"{whole_number(sample)} cannot be the {field} of this step"


def _can_fit(one: Alternative, field: str, own: BaseStep) -> bool:
    if one.is_any or (field == "default" and not one.is_exact and one.items is not None):
        return one.is_any or own.is_list
    if field == "default" and not one.is_exact:  # with bounds that no sample may be within
        return not own.is_list and any(own.has_form(own.computed_default(sample)) for sample in one.samples)
    return any(sample is None or _fits(sample, field, own) for sample in one.samples)


def _of_all_answers(expression: Expression, place: Place, valid: ValidParts) -> str | None:
    reason, field, own = None, place.field, place.step
    is_open = expression.reads_time or expression.parameter_names or not valid.have_all_of(expression)
    for answers in () if is_open else _all_answers(expression, own, valid):
        if valid.budget.left <= 0:
            return None
        answer = None if own is None else answers.get(own.id)
        scope = valid.scope(answers, answer=answer, parameters={}, now=None)
        try:
            value = (expression.holds if place.is_condition else expression.value)(scope, valid.budget)
        except EvaluationError as error:
            reason = _in_words(str(error))
            continue
        if value is None or field is None or own is None or _fits(value, field, own):
            return None
        reason = f"{value} cannot be the {field} of this step"
    return reason


def _all_answers(expression: Expression, own: BaseStep | None, valid: ValidParts) -> Iterator[Mapping[str, object]]:
    """Yield nothing if there are too many answers, or if some are not valid."""
    read = set(valid.ids if expression.step_ids is None else expression.step_ids)
    if own is not None and expression.reads_answer:
        read.add(own.id)
    possible: dict[str, tuple[object, ...]] = {}
    count = 1
    for step_id in read:
        possible[step_id] = _answers_of(valid.steps.get(step_id))
        count *= len(possible[step_id])
        if not 1 <= count <= MAX_ASSIGNMENTS:
            return
    for values in combinations([*possible.values()]):
        yield dict(zip(possible, values, strict=True))


def _answers_of(step: BaseStep | None) -> tuple[object, ...]:
    answers = None if step is None else step.possible_answers()
    if step is None or answers is None:
        return ()
    return tuple(answer for answer in answers if answer is not None or not step.takes_answer)


def _fits(value: object, field: str, step: BaseStep) -> bool:
    value = whole_number(value)
    if field == "default":
        return default_problem(step, step.computed_default(value)) is None
    try:
        step.computed_value(field, value)
    except ValidationError:
        return False
    return True


def _in_words(reason: str) -> str:
    reason = re.sub(r"a (\w+) contains nothing", r"`in` needs a list, and there is a \1", reason)
    return re.sub(r"\b(double|string|null_type|bool)\b", lambda match: _WORDS[match.group()], reason)
