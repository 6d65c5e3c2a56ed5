"""Compute the summary of a survey."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from ...core.progress import Progress
from ...core.timestamps import format_timestamp, to_datetime
from ...errors import NoSuchSurvey
from ...sessions import SessionStore
from ...store import sessions
from ...survey import Survey, ValueFacts
from .collect import PAUSE_S, Query, count_sessions
from .counters import OTHER, Counters, PlannedStep, StepCounters, plan_steps, plan_values
from .filters import Filters
from .quantiles import lengths, numbers, ratio, seconds

DAYS_FILLED = 3660  # longer periods list only days with sessions
_DAY_US = 86_400_000_000


def compute_summary(store: SessionStore, survey_id: str, filters: Filters, progress: Progress) -> dict[str, Any]:
    survey_id = store.queries.survey_id(survey_id)
    at = store.clock()
    total = store.run_read(lambda connection: sessions.count_sessions(connection, survey_id))
    newest = store.catalogue.surveys.get(survey_id)
    if newest is None and not total:
        raise NoSuchSurvey(survey_id, store.catalogue.public_ids)
    known = [survey.without_session for survey in store.queries.known_revisions(survey_id)]
    plan, values = plan_steps(known), plan_values(known)
    languages = list(dict.fromkeys(tag for survey in known for tag in survey.offered_languages))
    own_languages = {survey.revision: survey.language for survey in known} if len(languages) > 1 else {}
    query = Query(survey_id=survey_id, filters=filters, plan=plan, values=values, own_languages=own_languages, at=at)
    counters = count_sessions(store, query, progress, total)
    current = known[0].steps_by_id if known else {}
    return {
        "survey_id": survey_id,
        "title": known[0].title if known else survey_id,
        "computed_at": format_timestamp(at),
        "filters": asdict(filters),
        **_overview(counters),
        "modes": [
            {"mode": mode, **_completion(counters.modes, mode), "answers": counters.answers_by_mode[mode]}
            for mode in ("text", "audio")
        ],
        "languages": _languages(counters, languages),
        "days": _days(counters),
        "revisions": _revisions(counters, [survey.revision for survey in known], newest),
        "steps": [
            _step(step, plan.get(step), counters.steps[step])
            for step in (*plan, *sorted(counters.steps.keys() - plan.keys()))
            if step in current or any(counters.steps[step].counts[name] for name in ("reached", "given", "skipped"))
        ],
        "values": [
            {
                "value": name,
                "kind": planned.kind,
                "answers": _answers(counters.values[name], _value_bars(planned, counters.values[name])),
            }
            for name, planned in values.items()
        ],
    }


def _overview(counters: Counters) -> dict[str, Any]:
    statuses = counters.statuses
    started, completed, expired = statuses.total(), statuses["completed"], statuses["expired"]
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


def _completion(sessions: Counter[Any], name: str | None) -> dict[str, Any]:
    started = sum(count for (value, _), count in sessions.items() if value == name)
    completed = sessions[name, "completed"]
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


def _revisions(counters: Counters, known: Sequence[str], newest: Survey | None) -> list[dict[str, Any]]:
    places = {revision: place for place, revision in enumerate(known)}
    counted = {revision for revision, _ in counters.revisions}
    return [
        {
            "revision": revision,
            "is_current": newest is not None and revision == newest.revision,
            **_completion(counters.revisions, revision),
        }
        for revision in sorted(counted, key=lambda name: (places.get(name or "", len(places)), name or ""))
    ]


def _languages(counters: Counters, offered: Sequence[str]) -> list[dict[str, Any]]:
    if not counters.languages:
        return []
    found = {language for language, _ in counters.languages}
    others = sorted(found.difference(offered), key=lambda language: language or "")
    return [{"language": language, **_completion(counters.languages, language)} for language in (*offered, *others)]


def _step(step: str, planned: PlannedStep | None, counters: StepCounters) -> dict[str, Any]:
    counts = counters.counts
    return {
        "step": step,
        "type": None if planned is None else planned.newest.type,
        "prompt": None if planned is None else planned.newest.prompt,
        "reached": counts["reached"],
        "answered": counts["answered"],
        "left_here": counts["left_here"],
        "drop_off": ratio(counts["left_here"], counts["reached"]),
        "edits": counts["edits"],
        "edit_rate": ratio(counts["edits"], counts["answered"]),
        "backs": counts["backs"],
        "back_rate": ratio(counts["backs"], counts["reached"]),
        "seconds": seconds(counters.microseconds),
        "answers": _step_answers(planned, counters),
        **({"parts": [*_parts(step, planned, counters)]} if planned is not None and planned.parts else {}),
    }


def _parts(step: str, planned: PlannedStep, counters: StepCounters) -> Iterator[dict[str, Any]]:
    prefix = f"{step}." if planned.newest.type == "grid" else ""
    for part, asked in planned.parts.items():
        if asked.newest.takes_answer:
            answers = _step_answers(asked, counters.parts[part])
            yield {
                "step": f"{prefix}{part}",
                "type": asked.newest.type,
                "prompt": asked.newest.prompt,
                "answers": answers,
            }


def _step_answers(planned: PlannedStep | None, counters: StepCounters) -> dict[str, Any]:
    return _answers(counters, None if planned is None or planned.parts else _distribution(planned, counters))


def _answers(counters: StepCounters, distribution: list[dict[str, Any]] | None) -> dict[str, Any]:
    return {
        "count": counters.counts["given"],
        "skipped": counters.counts["skipped"],
        "distribution": distribution,
        "numbers": numbers(counters.numbers),
        "lengths": lengths(counters.lengths),
    }


def _value_bars(planned: ValueFacts, counters: StepCounters) -> list[dict[str, Any]] | None:
    if planned.kind == "number":
        return None
    labels: dict[Any, str] = {True: "yes", False: "no"} if planned.kind == "boolean" else {}
    return _bars({**labels, **{text: text for text in planned.texts}}, counters)


def _distribution(planned: PlannedStep, counters: StepCounters) -> list[dict[str, Any]] | None:
    labels, statistics = planned.labels, planned.newest.statistics
    if "years" in statistics:
        labels = {year: year for year in sorted(counters.chosen.keys() - {OTHER})}
    elif "hours" in statistics:
        labels = {hour: f"{hour}:00 to {hour}:59" for hour in sorted(counters.chosen.keys() - {OTHER})}
    elif not labels:
        return None
    bars = _bars(labels, counters)
    if "ranks" in statistics:
        for bar in bars:
            bar["mean_rank"] = ratio(counters.ranks[bar["value"]], counters.ranked[bar["value"]])
    return bars


def _bars(labels: Mapping[Any, str], counters: StepCounters) -> list[dict[str, Any]]:
    if counters.chosen[OTHER]:
        labels = {**labels, OTHER: "other"}
    return [
        {
            "value": value,
            "label": label,
            "count": counters.chosen[value],
            "share": ratio(counters.chosen[value], counters.counts["given"]),
        }
        for value, label in labels.items()
    ]
