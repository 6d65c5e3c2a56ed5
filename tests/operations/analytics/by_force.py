"""A survey's figures counted by force: each session's events folded one by one, as the definitions say it in words.

Nothing here comes from ``app/operations/analytics``; it asks the store for sessions and their histories, and Python's
own ``statistics`` for quantiles.
"""

import datetime
import math
import statistics
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from app.sessions.service import SessionStore
from app.survey.definition import Survey
from app.survey.snapshot import SessionKey
from app.survey.state import SessionState

PAUSE_US = 30 * 60 * 1_000_000
SEEN = {"started", "restarted", "answered", "went_back", "went_to", "saved", "drafted", "mode_set"}
EPOCH = datetime.date(1970, 1, 1)


@dataclass
class Walked:
    """What one session did."""

    state: SessionState
    status: str
    came: set[str] = field(default_factory=set)
    answered: Counter[str] = field(default_factory=Counter)
    backs: Counter[str] = field(default_factory=Counter)
    times: list[tuple[str, int]] = field(default_factory=list)
    pauses: list[int] = field(default_factory=list)
    began_at: int | None = None
    active: list[tuple[int, int]] = field(default_factory=list)
    last_at: int | None = None
    spent: int = 0

    @property
    def mode(self) -> str:
        return "audio" if self.state.is_audio_mode else "text"


def walked(store: SessionStore, key: SessionKey, at: int) -> Walked | None:
    """Fold one session's history."""
    snapshot = store.queries.load(key)
    if snapshot is None:
        return None
    one = Walked(snapshot.state, str(snapshot.to_dict(at)["status"]))
    for entry in store.queries.history(key, limit=10_000):
        if entry.record.action in SEEN:
            follow(one, entry.record.action, entry.record.at, entry.record.step)
    return one


def follow(one: Walked, action: str, moment: int, step: str | None) -> None:
    """Let one more event have happened."""
    gap = 0 if one.last_at is None else max(0, moment - one.last_at)
    one.last_at = moment
    if gap > PAUSE_US:
        one.pauses.append(gap)
    counted = 0 if gap > PAUSE_US else gap
    if one.began_at is None or action in {"started", "restarted"}:
        one.came, one.answered, one.backs, one.times, one.active = set(), Counter(), Counter(), [], []
        one.began_at, one.spent = moment, 0
    else:
        one.spent += counted
        one.active.append((moment, counted))
        if action == "answered":
            one.times.append((str(step), one.spent))
    if step is not None and step != "end":
        one.came.add(step)
        one.answered[step] += action == "answered"
        one.backs[step] += action == "went_back"
    if action not in {"drafted", "mode_set"}:
        one.spent = 0


def by_force(
    store: SessionStore, keys: Iterable[SessionKey], surveys: Sequence[Survey], at: int, **filters: Any
) -> dict[str, Any]:
    """Return the figures of these sessions; ``surveys`` are the revisions, newest first."""
    every = [found for key in keys if (found := walked(store, key, at)) is not None and fits(found, **filters)]
    completed = [one for one in every if one.status == "completed"]
    timed = [one for one in completed if one.state.completed_at is not None and one.began_at is not None]
    return {
        "sessions": {
            "started": len(every),
            "completed": len(completed),
            "in_progress": sum(one.status == "in_progress" for one in every),
            "expired": sum(one.status == "expired" for one in every),
            "completion_rate": share(len(completed), len(every)),
        },
        "unread": 0,
        "duration_s": seconds([max(0, (one.state.completed_at or 0) - (one.began_at or 0)) for one in timed]),
        "active_s": seconds(
            [sum(gap for moment, gap in one.active if moment <= (one.state.completed_at or 0)) for one in timed]
        ),
        "resumed": {
            "sessions": sum(bool(one.pauses) for one in every),
            "share": share(sum(bool(one.pauses) for one in every), len(every)),
            "returns": sum(len(one.pauses) for one in every),
            "away_s": seconds([pause for one in every for pause in one.pauses]),
            "pause_s": 1800,
        },
        "modes": [mode_of(mode, [one for one in every if one.mode == mode]) for mode in ("text", "audio")],
        "days": days_of(every, completed),
        "revisions": revisions_of(every, surveys),
        "steps": steps_of(every, surveys),
    }


def fits(one: Walked, since: int = -1, until: int = 2**62, mode: str | None = None, status: str | None = None) -> bool:
    return (
        since <= one.state.started_at < until
        and (mode is None or one.mode == mode)
        and (status is None or one.status == status)
    )


def share(part: int, whole: int) -> float | None:
    return round(part / whole, 6) if whole else None


def quantile(values: Sequence[float], fraction: float) -> float:
    """Return the quantile by its definition: between the two values beside the place."""
    ordered = sorted(values)
    place = (len(ordered) - 1) * fraction
    low = math.floor(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (place - low)


def seconds(values: Sequence[int]) -> dict[str, Any]:
    if not values:
        return {"count": 0, "median": None, "p90": None}
    return {
        "count": len(values),
        "median": round(statistics.median(values) / 1e6, 3),
        "p90": round(quantile(values, 0.9) / 1e6, 3),
    }


def mode_of(mode: str, every: Sequence[Walked]) -> dict[str, Any]:
    completed = sum(one.status == "completed" for one in every)
    return {
        "mode": mode,
        "started": len(every),
        "completed": completed,
        "completion_rate": share(completed, len(every)),
        "answers": sum(one.answered.total() for one in every),
    }


def days_of(every: Sequence[Walked], completed: Sequence[Walked]) -> list[dict[str, Any]]:
    began = Counter(one.state.started_at // 86_400_000_000 for one in every)
    ended = Counter(one.state.completed_at // 86_400_000_000 for one in completed if one.state.completed_at is not None)
    found = {*began, *ended}
    return [
        {"day": (EPOCH + datetime.timedelta(days=day)).isoformat(), "started": began[day], "completed": ended[day]}
        for day in (range(min(found), max(found) + 1) if found else ())
    ]


def revisions_of(every: Sequence[Walked], surveys: Sequence[Survey]) -> list[dict[str, Any]]:
    rows = []
    for number, revision in enumerate([*(survey.revision for survey in surveys), None]):
        own = [one for one in every if one.state.survey_revision == revision]
        done = sum(one.status == "completed" for one in own)
        row = {"started": len(own), "completed": done, "completion_rate": share(done, len(own))}
        if own:
            rows.append({"revision": revision, "is_current": number == 0, **row})
    return rows


def steps_of(every: Sequence[Walked], surveys: Sequence[Survey]) -> list[dict[str, Any]]:
    newest = [step.id for step in surveys[0].steps]
    older = [step.id for survey in surveys[1:] for step in survey.steps if step.id not in newest]
    met = {step for one in every for step in reached(one)} | {step for one in every for step in one.state.answers}
    unknown = sorted(met.difference(newest, older))
    return [step_of(step, every, surveys) for step in (*newest, *(one for one in older if one in met), *unknown)]


def reached(one: Walked) -> set[str]:
    return one.came.union(one.state.step_history, {one.state.current_step}) - {"end"}


def step_of(step: str, every: Sequence[Walked], surveys: Sequence[Survey]) -> dict[str, Any]:
    planned = next((found for survey in surveys if (found := survey.step(step)) is not None), None)
    came = sum(step in reached(one) for one in every)
    answered = sum(step in one.state.step_history or one.answered[step] > 0 for one in every)
    left = sum(one.status != "completed" and one.state.current_step == step for one in every)
    edits = sum(max(0, one.answered[step] - 1) for one in every)
    backs = sum(one.backs[step] for one in every)
    return {
        "step": step,
        "type": None if planned is None else planned.type,
        "prompt": None if planned is None else planned.prompt,
        "reached": came,
        "answered": answered,
        "left_here": left,
        "drop_off": share(left, came),
        "edits": edits,
        "edit_rate": share(edits, answered),
        "backs": backs,
        "back_rate": share(backs, came),
        "seconds": seconds([spent for one in every for answered_step, spent in one.times if answered_step == step]),
        "answers": answers_of(step, planned, [one.state.answers[step] for one in every if step in one.state.answers]),
    }


def answers_of(step: str, planned: Any, answers: Sequence[Any]) -> dict[str, Any]:
    given = [answer for answer in answers if answer is not None]
    kind = None if planned is None else planned.type
    is_numeric = kind in {"number", "scale"}
    found = (
        [float(one) for one in given if isinstance(one, int | float) and not isinstance(one, bool)]
        if is_numeric
        else []
    )
    texts = [len(one) for one in given if isinstance(one, str)] if kind == "text" else []
    return {
        "count": len(given),
        "skipped": 0 if kind == "info" else len(answers) - len(given),
        "distribution": distribution(planned, given),
        "numbers": numbers(found) if found else None,
        "lengths": lengths(texts) if texts else None,
    }


def lengths(texts: Sequence[int]) -> dict[str, Any]:
    return {"median": round(statistics.median(texts), 1), "p90": round(quantile(texts, 0.9), 1), "max": max(texts)}


def numbers(found: Sequence[float]) -> dict[str, Any]:
    return {
        "min": min(found),
        "max": max(found),
        "mean": round(statistics.fmean(found), 6),
        "median": round(statistics.median(found), 6),
    }


def distribution(planned: Any, given: Sequence[Any]) -> list[tuple[Any, int]] | None:
    """Return value and count; the labels are looked at elsewhere."""
    kind = None if planned is None else planned.type
    if kind in {"choice", "choices"}:
        offered: list[Any] = [option.value for option in planned.options]
    elif kind == "boolean":
        offered = [True, False]
    elif kind == "scale":
        offered = list(range(planned.min, planned.max + 1))
    elif kind == "date":
        years = sorted({one[:4] for one in given if isinstance(one, str) and one[:4].isdigit() and one[4:5] == "-"})
        given = [one[:4] if isinstance(one, str) and one[:4] in years and one[4:5] == "-" else None for one in given]
        offered = list(years)
    else:
        return None
    if kind == "choices":
        given = [choice for one in given for choice in (one if isinstance(one, list) else [None])]
    bars = [(value, sum(same(value, one) for one in given)) for value in offered]
    others = sum(not any(same(value, one) for value in offered) for one in given)
    return [*bars, (None, others)] if others else bars


def same(value: Any, answer: Any) -> bool:
    return isinstance(value, bool) == isinstance(answer, bool) and bool(value == answer)
