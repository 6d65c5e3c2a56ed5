"""A tally as the figures that are shown: shares, medians, and names for steps and answers."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection

from ...core.timestamps import format_timestamp, to_datetime
from ...errors import NoSuchSurvey
from ...sessions.service import SessionStore
from ...store import statistics
from ...survey import Survey
from ...survey.types import STEP_TYPES
from .collect import PAUSE_S, Progress, Question, tally_of
from .counters import OTHER, AnswerTally, StepTally, Tally
from .filters import Filters
from .plan import Plan, PlannedStep, plan_of
from .quantiles import lengths, numbers, ratio, seconds

DAYS_FILLED = 3660
"""Days that are listed one by one; of a longer time only those on which something was."""


_DAY_US = 86_400_000_000


def figures_of(
    store: SessionStore,
    survey_id: str,
    filters: Filters = Filters(),  # noqa: B008 - frozen
    progress: Progress = lambda _done, _total: None,
) -> dict[str, Any]:
    """Return the survey's figures, as REST gives them (``web/analytics_messages.py``).

    Raises:
        NoSuchSurvey: there is no such survey, and no session of one.
        InvalidInput: no survey id.
        Unavailable: the database can't be read now.
    """
    survey_id = store.queries.key("x", survey_id).survey_id
    at = store.clock()
    total, revisions = store.run_read(lambda connection: _look(connection, survey_id))
    newest = store.catalogue.surveys.get(survey_id)
    if newest is None and not total:
        raise NoSuchSurvey(survey_id, store.catalogue.public_ids)
    known = _definitions(store, survey_id, newest, revisions)
    plan, current = plan_of(known)
    question = Question(survey_id=survey_id, filters=filters, plan=plan, at=at)
    tally = tally_of(store, question, progress, total)
    current_revision = None if newest is None else newest.revision
    return {
        "survey_id": survey_id,
        "title": known[0].title if known else survey_id,
        "computed_at": format_timestamp(at),
        "filters": filters.shown(),
        **_about_sessions(tally),
        "modes": [_mode(tally, mode) for mode in ("text", "audio")],
        "days": _days(tally),
        "revisions": _revisions(tally, [one.revision for one in known], current_revision),
        "steps": [_step(step, tally.steps[step.step]) for step in _shown_steps(plan, current, tally)],
    }


def _look(connection: Connection, survey_id: str) -> tuple[int, list[str]]:
    return statistics.count_sessions(connection, survey_id), statistics.read_revisions(connection, survey_id)


def _definitions(store: SessionStore, survey_id: str, newest: Survey | None, revisions: Sequence[str]) -> list[Survey]:
    """Return all that is known of the survey, the newest first."""
    older = [
        store.queries.survey_revision(survey_id, one) for one in revisions if newest is None or one != newest.revision
    ]
    return [survey for survey in (newest, *older) if survey is not None]


def _about_sessions(tally: Tally) -> dict[str, Any]:
    started, completed, expired = tally.statuses.total(), tally.statuses["completed"], tally.statuses["expired"]
    return {
        "sessions": {
            "started": started,
            "completed": completed,
            "in_progress": started - completed - expired,
            "expired": expired,
            "completion_rate": ratio(completed, started),
        },
        "unread": tally.counts["unread"],
        "duration_s": seconds(tally.duration),
        "active_s": seconds(tally.active),
        "resumed": {
            "sessions": tally.counts["resumed"],
            "share": ratio(tally.counts["resumed"], started),
            "returns": tally.counts["returns"],
            "away_s": seconds(tally.away),
            "pause_s": PAUSE_S,
        },
    }


def _mode(tally: Tally, mode: str) -> dict[str, Any]:
    return {
        "mode": mode,
        **_completed_of(tally.modes[mode], tally.completed_by["mode", mode]),
        "answers": tally.answers_by_mode[mode],
    }


def _completed_of(started: int, completed: int) -> dict[str, Any]:
    return {"started": started, "completed": completed, "completion_rate": ratio(completed, started)}


def _days(tally: Tally) -> list[dict[str, Any]]:
    found = sorted(tally.began_days.keys() | tally.completed_days.keys())
    if found and found[-1] - found[0] < DAYS_FILLED:
        found = list(range(found[0], found[-1] + 1))
    return [
        {
            "day": to_datetime(day * _DAY_US).date().isoformat(),
            "started": tally.began_days[day],
            "completed": tally.completed_days[day],
        }
        for day in found
    ]


def _revisions(tally: Tally, known: Sequence[str], current: str | None) -> list[dict[str, Any]]:
    """Return those of which there are sessions, newest first, then those that nothing is known of."""
    places = {revision: place for place, revision in enumerate(known)}
    found = sorted(tally.revisions, key=lambda one: (places.get(one or "", len(places)), one or ""))
    return [
        {
            "revision": revision,
            "is_current": revision is not None and revision == current,
            **_completed_of(tally.revisions[revision], tally.completed_by["revision", revision]),
        }
        for revision in found
    ]


def _shown_steps(plan: Plan, current: int, tally: Tally) -> list[PlannedStep]:
    planned = list(plan.values())
    older = [step for step in planned[current:] if _is_met(tally.steps[step.step])]
    unknown = [
        PlannedStep(step=step) for step in sorted(tally.steps.keys() - plan.keys()) if _is_met(tally.steps[step])
    ]
    return [*planned[:current], *older, *unknown]


def _is_met(step: StepTally) -> bool:
    return bool(step.counts["reached"] or step.answers.given or step.answers.skipped)


def _step(step: PlannedStep, tally: StepTally) -> dict[str, Any]:
    counts = tally.counts
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
        "seconds": seconds(tally.microseconds),
        "answers": _answers(step, tally.answers),
    }


def _answers(step: PlannedStep, tally: AnswerTally) -> dict[str, Any]:
    return {
        "count": tally.given,
        "skipped": tally.skipped,
        "distribution": _distribution(step, tally),
        "numbers": numbers(tally.numbers),
        "lengths": lengths(tally.lengths),
    }


def _distribution(step: PlannedStep, tally: AnswerTally) -> list[dict[str, Any]] | None:
    if not step.labels and not _is_by_year(step):
        return None
    labels = step.labels or {year: year for year in sorted(year for year in tally.chosen if year is not OTHER)}
    bars = [_bar(value, label, tally.chosen[value], tally.given) for value, label in labels.items()]
    others = tally.chosen[OTHER]
    return [*bars, _bar(OTHER, "other", others, tally.given)] if others else bars


def _is_by_year(step: PlannedStep) -> bool:
    return step.type is not None and "years" in STEP_TYPES[step.type].statistics


def _bar(value: object, label: str, count: int, whole: int) -> dict[str, Any]:
    return {"value": value, "label": label, "count": count, "share": ratio(count, whole)}
