"""What a session's survey knows beside its answers, and what its expressions are evaluated on.

Time never moves a session: its route, and its values, depend on when the walk began. All else depends on the time of
the command or the reading.
"""

from collections.abc import Mapping
from typing import Any

from .conditions import NOTHING, Known
from .definition import Survey
from .expressions import Scope
from .local_time import local_time
from .state import SessionState


def walk_known(survey: Survey, walk_started_at: int, parameters: Mapping[str, Any]) -> Known:
    """Return what the conditions of the route read."""
    conditions = survey.conditions
    if not conditions.reads_known:
        return NOTHING
    now = local_time(walk_started_at, survey.timezone) if conditions.route_reads_time else None
    return Known(now, now, parameters)


def known_to(survey: Survey, state: SessionState) -> Known:
    """Return what the conditions of a session's route read."""
    return walk_known(survey, state.walk_started_at, state.parameters)


def walk_scope(survey: Survey, state: SessionState) -> Scope:
    """Return what ``show_if`` is evaluated on."""
    return survey.conditions.scope(state.answers, known_to(survey, state))


def moment_scope(survey: Survey, at: int, walk: Known, answers: Mapping[str, Any], answer: object = None) -> Scope:
    """Return what checks, bounds, defaults, texts and endings are evaluated on.

    Args:
        at: of the command or the reading, in microseconds since 1970 UTC.
        walk: what is known on the route.
    """
    now = local_time(at, survey.timezone) if survey.conditions.reads_time else None
    return survey.conditions.scope(answers, walk._replace(now=now), answer)
