"""Compute the summary of a survey."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection

from ...core.timestamps import format_timestamp, to_datetime
from ...errors import NoSuchSurvey
from ...sessions import SessionStore
from ...store import definitions, sessions
from ...survey import Survey
from ...survey.types import STEP_TYPES
from .collect import PAUSE_S, Progress, Query, count_sessions
from .counters import OTHER, AnswerCounters, Counters, StepCounters
from .filters import Filters
from .quantiles import lengths, numbers, ratio, seconds
from .step_plan import PlannedStep, StepPlan, plan_steps

DAYS_FILLED = 3660
"""Longer periods list only days with sessions."""

_DAY_US = 86_400_000_000


def summarize(
    store: SessionStore,
    survey_id: str,
    filters: Filters = Filters(),  # noqa: B008 - frozen
    progress: Progress = lambda _done, _total: None,
) -> dict[str, Any]:
    """Return a survey's analytics, as REST does.

    Raises:
        NoSuchSurvey: neither the survey nor a session exists.
        InvalidInput: the id is invalid.
        Unavailable: the database failed.
    """
    survey_id = store.queries.survey_id(survey_id)
    at = store.clock()
    total, revisions = store.run_read(lambda connection: _read_overview(connection, survey_id))
    newest = store.catalogue.surveys.get(survey_id)
    if newest is None and not total:
        raise NoSuchSurvey(survey_id, store.catalogue.public_ids)
    known = _definitions(store, survey_id, newest, revisions)
    plan, current = plan_steps(known)
    query = Query(survey_id=survey_id, filters=filters, plan=plan, at=at)
    counters = count_sessions(store, query, progress, total)
    current_revision = None if newest is None else newest.revision
    return {
        "survey_id": survey_id,
        "title": known[0].title if known else survey_id,
        "computed_at": format_timestamp(at),
        "filters": filters.to_dict(),
        **_overview(counters),
        "modes": [_mode(counters, mode) for mode in ("text", "audio")],
        "days": _days(counters),
        "revisions": _revisions(counters, [survey.revision for survey in known], current_revision),
        "steps": [_step(step, counters.steps[step.step]) for step in _listed_steps(plan, current, counters)],
    }


def _read_overview(connection: Connection, survey_id: str) -> tuple[int, list[str]]:
    return sessions.count_sessions(connection, survey_id), definitions.read_revisions(connection, survey_id)


def _definitions(store: SessionStore, survey_id: str, newest: Survey | None, revisions: Sequence[str]) -> list[Survey]:
    older = [
        store.queries.survey_revision(survey_id, revision)
        for revision in revisions
        if newest is None or revision != newest.revision
    ]
    return [survey for survey in (newest, *older) if survey is not None]


def _overview(counters: Counters) -> dict[str, Any]:
    started, completed, expired = (
        counters.statuses.total(),
        counters.statuses["completed"],
        counters.statuses["expired"],
    )
    return {
        "sessions": {
            "started": started,
            "completed": completed,
            "in_progress": started - completed - expired,
            "expired": expired,
            "completion_rate": ratio(completed, started),
        },
        "unread": counters.counts["unread"],
        "duration_s": seconds(counters.duration),
        "active_s": seconds(counters.active),
        "resumed": {
            "sessions": counters.counts["resumed"],
            "share": ratio(counters.counts["resumed"], started),
            "returns": counters.counts["returns"],
            "away_s": seconds(counters.away),
            "pause_s": PAUSE_S,
        },
    }


def _mode(counters: Counters, mode: str) -> dict[str, Any]:
    return {
        "mode": mode,
        **_completion(counters.modes[mode], counters.completed_by["mode", mode]),
        "answers": counters.answers_by_mode[mode],
    }


def _completion(started: int, completed: int) -> dict[str, Any]:
    return {"started": started, "completed": completed, "completion_rate": ratio(completed, started)}


def _days(counters: Counters) -> list[dict[str, Any]]:
    days = sorted(counters.started_days.keys() | counters.completed_days.keys())
    if days and days[-1] - days[0] < DAYS_FILLED:
        days = list(range(days[0], days[-1] + 1))
    return [
        {
            "day": to_datetime(day * _DAY_US).date().isoformat(),
            "started": counters.started_days[day],
            "completed": counters.completed_days[day],
        }
        for day in days
    ]


def _revisions(counters: Counters, known: Sequence[str], current: str | None) -> list[dict[str, Any]]:
    places = {revision: place for place, revision in enumerate(known)}
    revisions = sorted(counters.revisions, key=lambda name: (places.get(name or "", len(places)), name or ""))
    return [
        {
            "revision": revision,
            "is_current": revision is not None and revision == current,
            **_completion(counters.revisions[revision], counters.completed_by["revision", revision]),
        }
        for revision in revisions
    ]


def _listed_steps(plan: StepPlan, current: int, counters: Counters) -> list[PlannedStep]:
    planned = list(plan.values())
    older = [step for step in planned[current:] if _has_data(counters.steps[step.step])]
    unknown = [
        PlannedStep(step=step)
        for step in sorted(counters.steps.keys() - plan.keys())
        if _has_data(counters.steps[step])
    ]
    return [*planned[:current], *older, *unknown]


def _has_data(step: StepCounters) -> bool:
    return bool(step.counts["reached"] or step.answers.answered or step.answers.skipped)


def _step(step: PlannedStep, counters: StepCounters) -> dict[str, Any]:
    counts = counters.counts
    return {
        "step": step.step,
        "type": step.type,
        "prompt": step.prompt,
        "reached": counts["reached"],
        "answered": counts["answered"],
        "left_here": counts["left_here"],
        "drop_off": ratio(counts["left_here"], counts["reached"]),
        "edits": counts["edits"],
        "edit_rate": ratio(counts["edits"], counts["answered"]),
        "backs": counts["backs"],
        "back_rate": ratio(counts["backs"], counts["reached"]),
        "seconds": seconds(counters.microseconds),
        "answers": _answers(step, counters.answers),
    }


def _answers(step: PlannedStep, counters: AnswerCounters) -> dict[str, Any]:
    return {
        "count": counters.answered,
        "skipped": counters.skipped,
        "distribution": _distribution(step, counters),
        "numbers": numbers(counters.numbers),
        "lengths": lengths(counters.lengths),
    }


def _distribution(step: PlannedStep, counters: AnswerCounters) -> list[dict[str, Any]] | None:
    if not step.labels and not _is_by_year(step):
        return None
    labels = step.labels or {year: year for year in sorted(year for year in counters.chosen if year is not OTHER)}
    bars = [_bar(value, label, counters.chosen[value], counters.answered) for value, label in labels.items()]
    others = counters.chosen[OTHER]
    return [*bars, _bar(OTHER, "other", others, counters.answered)] if others else bars


def _is_by_year(step: PlannedStep) -> bool:
    return step.type is not None and "years" in STEP_TYPES[step.type].statistics


def _bar(value: object, label: str, count: int, whole: int) -> dict[str, Any]:
    return {"value": value, "label": label, "count": count, "share": ratio(count, whole)}
