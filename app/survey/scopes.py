"""What a session's expressions are evaluated on.

Time never moves a session: its route, and its values, depend on when the walk began. All else depends on the time of
the command or the reading.
"""

import datetime
import zoneinfo
from collections.abc import Mapping
from contextlib import suppress
from functools import partial
from typing import Any

from .conditions import NO_CONTEXT, ExpressionContext
from .definition import Survey
from .expressions import EvaluationError, Scope
from .piping import ValueText, as_text, filled
from .state import SessionState

_EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)


def local_time(at: int, timezone: str | None) -> str:
    """Return ``now`` of expressions, as YYYY-MM-DDTHH:MM, from microseconds since 1970 UTC."""
    instant = _EPOCH + datetime.timedelta(microseconds=at)
    if timezone is not None:
        with suppress(ValueError, OSError, zoneinfo.ZoneInfoNotFoundError):
            instant = instant.astimezone(zoneinfo.ZoneInfo(timezone))
    return instant.replace(tzinfo=None).isoformat(timespec="minutes")


def route_context(
    survey: Survey, walk_started_at: int, parameters: Mapping[str, Any], values: Mapping[str, Any] | None = None
) -> ExpressionContext:
    conditions = survey.conditions
    if not conditions.reads_context:
        return NO_CONTEXT
    now = local_time(walk_started_at, survey.timezone) if conditions.route_reads_time else None
    return ExpressionContext(now, now, parameters, values)


def expression_context(survey: Survey, state: SessionState) -> ExpressionContext:
    return route_context(survey, state.walk_started_at, state.parameters, state.values)


def route_scope(survey: Survey, state: SessionState) -> Scope:
    """Return what ``show_if`` is evaluated on; it computes each value once."""
    return survey.conditions.scope(state.answers, expression_context(survey, state))


def value_text(survey: Survey, scope: Scope, at: int) -> ValueText:
    scope = scope._replace(now=local_time(at, survey.timezone))

    def label(step_id: str, value: object) -> str | None:
        found = survey.label(step_id, value)
        return str(filled(found, partial(_text, survey, scope))) if found else found

    return partial(_text, survey, scope._replace(labels=label))


def _text(survey: Survey, scope: Scope, source: str) -> str | None:
    expression = survey.conditions.insertion(source)
    if expression.tree is None:  # of another release
        return None
    try:
        return as_text(expression.value(scope))
    except EvaluationError:
        return ""


def texts_at(survey: Survey, route: Scope, at: int) -> ValueText:
    return value_text(survey, present_scope(survey, route, at), at)


def with_filled_heading(survey: Survey, at: int, state: SessionState | None = None) -> Survey:
    """Return a survey whose title and description have values."""
    texts = {name: getattr(survey, name) for name in ("title", "description")}
    texts = {name: text for name, text in texts.items() if getattr(text, "insertions", ())}
    if not texts:
        return survey
    if state is None:
        route = survey.conditions.scope({}, route_context(survey, at, dict.fromkeys(survey.parameters)))
    else:
        route = route_scope(survey, state)
    value = texts_at(survey, route, at)
    return survey.model_copy(update={name: text.filled(value) for name, text in texts.items()})


def present_scope(survey: Survey, route: Scope, at: int) -> Scope:
    """Return what checks, bounds, defaults, texts and endings are evaluated on."""
    return route._replace(now=local_time(at, survey.timezone) if survey.conditions.reads_time else None)
