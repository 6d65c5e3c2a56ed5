"""What the expressions of a session's survey are evaluated on.

Time never moves a session: its route depends on when the walk began. All else depends on the time of the command or the
reading.
"""

from collections.abc import Mapping
from typing import Any

from .definition import Survey
from .expressions import Scope
from .local_time import local_time


def walk_now(survey: Survey, walk_started_at: int) -> str | None:
    """Return ``now`` of the route; None if no condition reads it."""
    return local_time(walk_started_at, survey.timezone) if survey.conditions.route_reads_time else None


def walk_scope(survey: Survey, walk_started_at: int, answers: Mapping[str, Any]) -> Scope:
    """Return what ``show_if`` is evaluated on."""
    return Scope(answers, None, survey.graph.ids, walk_now(survey, walk_started_at))


def moment_scope(survey: Survey, at: int, answers: Mapping[str, Any], answer: object = None) -> Scope:
    """Return what checks, bounds, defaults and endings are evaluated on.

    Args:
        at: of the command or the reading, in microseconds since 1970 UTC.
    """
    now = local_time(at, survey.timezone) if survey.conditions.reads_time else None
    return Scope(answers, answer, survey.graph.ids, now)
