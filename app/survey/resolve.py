"""A step as it is for one session."""

import hashlib
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from typing import Any, NamedTuple, TypeVar

from pydantic import ValidationError

from .client_steps import client_form
from .conditions import holds
from .definition import Survey
from .expressions import EvaluationError, Expression, Scope
from .piping import as_text
from .scopes import present_scope
from .types import BaseStep, FieldStep, PageStep, Step
from .types.choice import Option, OptionValue
from .types.step import InvalidAnswer

S = TypeVar("S", bound=BaseStep)


class ResolvedStep(NamedTuple):
    """A step for one session; bounds that conflict are ignored."""

    step: Step
    has_conflicting_bounds: bool = False


def resolve(survey: Survey, step: Step | FieldStep, route: Scope, present: Scope) -> ResolvedStep:
    """Return the step for a session: ``route`` decides what is shown, and ``present`` what is computed."""
    if step.id not in survey.conditions.varying:
        return ResolvedStep(step)
    if isinstance(step, PageStep):
        return _resolve_page(survey, step, route, present)
    changes = _computed(step, survey.conditions.computed.get(step.id, {}), present)
    default = changes.pop("default", step.default)
    ignored = _conflicting_bounds(step, {**vars(step), **changes})
    changes |= ignored
    hidden = survey.conditions.hidden_options(step.id, route)
    if hidden:
        changes |= _without_options(step, changes, hidden)
    resolved = _copy(step, {**changes, "default": None})
    if default is not None:
        with suppress(InvalidAnswer):
            resolved = _copy(resolved, {"default": resolved.check_answer(default)})
    return ResolvedStep(resolved, bool(ignored))


def _resolve_page(survey: Survey, page: PageStep, route: Scope, present: Scope) -> ResolvedStep:
    fields, has_conflict = [], False
    for field in page.fields:
        condition = survey.conditions.fields[page.id][field.id]
        clients = survey.conditions.client_fields.get(field.id)
        if condition is None or clients is not None or holds(condition, route):
            resolved = resolve(survey, field, route, present)
            has_conflict = has_conflict or resolved.has_conflicting_bounds
            # With the values of what the client need not know, such as the time.
            fields.append(_copy(resolved.step, {"show_if": None if clients is None else clients.source(route)}))
    return ResolvedStep(_copy(page, {"fields": tuple(fields)}), has_conflict)


def resolve_at(survey: Survey, step: Step, route: Scope, at: int) -> ResolvedStep:
    """Return the step for a session at a time, in microseconds since 1970 UTC."""
    return resolve(survey, step, route, present_scope(survey, route, at))


def client_step(survey: Survey, resolved: Step, user_id: str) -> Mapping[str, Any]:
    step_id = resolved.id
    cached = survey.client_steps[step_id]
    if step_id in survey.fixed_steps:
        return cached
    if isinstance(resolved, PageStep):
        fields = (_copy(one, _ordered(survey, one, user_id)) for one in resolved.fields)
        return {**client_form(_copy(resolved, {"fields": tuple(fields)})), **depends_on(survey, step_id)}
    options = _ordered(survey, resolved, user_id).get("options", _options(resolved))
    # Texts are as in the file: only what differs is written again.
    if step_id in survey.insertions:
        form = client_form(_copy(resolved, {"options": tuple(options)} if options else {}))
        return {**form, **depends_on(survey, step_id)}
    by_value = {option["value"]: option for option in cached.get("options", ())}
    shown = {"options": [by_value[option.value] for option in options]} if by_value else {}
    if step_id not in survey.conditions.varying:
        return {**cached, **shown}
    return {**client_form(_copy(resolved, {"options": ()} if by_value else {})), **shown, **depends_on(survey, step_id)}


def described_step(survey: Survey, step: Step) -> Mapping[str, Any]:
    """Return a step for no session: with all options and fields."""
    if step.id not in survey.conditions.varying:
        form = survey.client_steps[step.id]
    elif isinstance(step, PageStep):
        clients = survey.conditions.client_fields
        fields = (_copy(one, {} if one.id in clients else {"show_if": None}) for one in step.fields)
        form = client_form(_copy(step, {"fields": tuple(fields)}))
    else:
        form = client_form(_copy(step, {}))
    return {**form, **depends_on(survey, step.id)}


def depends_on(survey: Survey, step_id: str) -> dict[str, Any]:
    insertions = survey.insertions.get(step_id, frozenset())
    if step_id not in survey.conditions.varying and not insertions:
        return {}
    read = survey.conditions.drawing_reads(step_id, insertions)
    return {"depends_on": [one for one in survey.graph.ids if one != step_id and (read is None or one in read)]}


def display_order(options: Sequence[Option], names: tuple[str, str, str]) -> tuple[Option, ...]:
    """Return the options in a participant's order, the same on every device."""
    movable = [option for option in options if not option.fixed]
    movable.sort(key=lambda option: hashlib.sha256("\0".join((*names, as_text(option.value))).encode()).digest())
    following = iter(movable)
    return tuple(option if option.fixed else next(following) for option in options)


def _ordered(survey: Survey, step: Step | FieldStep, user_id: str) -> dict[str, Sequence[Option]]:
    if getattr(step, "order", None) != "random":
        return {}
    return {"options": display_order(_options(step), (survey.id, user_id, step.id))}


def _options(step: BaseStep) -> Sequence[Option]:
    return getattr(step, "options", ())


def _computed(step: Step, expressions: Mapping[str, Expression], scope: Scope) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, expression in expressions.items():
        try:
            value = expression.value(scope)
            found[name] = step.computed_default(value) if name == "default" else step.computed_value(name, value)
        except (EvaluationError, ValidationError):
            continue
    return found


def _conflicting_bounds(step: Step, fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return the bounds to use instead of computed ones that exclude every answer."""
    bounds = {name: fields.get(name) for name in ("min", "max")}
    is_computed = not step.computed.keys().isdisjoint(bounds)
    if is_computed and None not in bounds.values() and not step.can_have_bounds(**bounds):
        models = type(step).model_fields
        return {name: getattr(step, name) if models[name].is_required() else None for name in bounds}
    fewest, most = fields.get("min_choices"), fields.get("max_choices")
    if fewest is not None and most is not None and fewest > most:
        return {"min_choices": int(step.required), "max_choices": len(_options(step))}
    return {}


def hide_options(step: BaseStep, hidden: Collection[OptionValue]) -> BaseStep:
    return _copy(step, _without_options(step, {}, hidden))


def _without_options(step: BaseStep, changes: Mapping[str, Any], hidden: Collection[OptionValue]) -> dict[str, Any]:
    shown = tuple(option for option in _options(step) if option.value not in hidden)
    together = sum(not option.exclusive for option in shown)
    limits = {"min_choices": max(together, min(len(shown), 1)), "max_choices": len(shown)}
    bounds: dict[str, Any] = {
        name: min(changes.get(name, getattr(step, name)), limit) for name, limit in limits.items() if name in vars(step)
    }
    return {"options": shown, "required": step.required and bool(shown), **bounds}


def _copy(step: S, changes: Mapping[str, Any]) -> S:
    """Return the step with other fields, nothing cached, and no expressions."""
    copied = step.model_copy(update=changes)
    for name in [name for name in vars(copied) if name not in type(step).model_fields]:
        del vars(copied)[name]
    return copied
