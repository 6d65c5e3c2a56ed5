"""A reference implementation of the analytics: events are processed run by run, as docs/analytics.md defines values.

It does not use ``app/operations/analytics``, but the store's sessions and histories, and ``statistics`` for quantiles.
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
COUNTED = {"started", "restarted", "answered", "went_back", "went_to", "saved", "drafted", "mode_set", "language_set"}
EPOCH = datetime.date(1970, 1, 1)


@dataclass
class Run:
    """The run of run session."""

    state: SessionState
    status: str
    reached: set[str] = field(default_factory=set)
    answered: Counter[str] = field(default_factory=Counter)
    backs: Counter[str] = field(default_factory=Counter)
    times: list[tuple[str, int]] = field(default_factory=list)
    pauses: list[int] = field(default_factory=list)
    started_at: int | None = None
    active: list[tuple[int, int]] = field(default_factory=list)
    last_at: int | None = None
    spent: int = 0

    @property
    def mode(self) -> str:
        return "audio" if self.state.is_audio_mode else "text"


def read_run(store: SessionStore, key: SessionKey, at: int) -> Run | None:
    """Process the history of run session."""
    snapshot = store.queries.load(key)
    if snapshot is None:
        return None
    run = Run(snapshot.state, str(snapshot.to_dict(at)["status"]))
    for entry in store.queries.history(key, limit=10_000):
        if entry.record.action in COUNTED:
            process(run, entry.record.action, entry.record.at, entry.record.step)
    return run


def process(run: Run, action: str, at_event: int, step: str | None) -> None:
    """Process run event."""
    gap = 0 if run.last_at is None else max(0, at_event - run.last_at)
    run.last_at = at_event
    if gap > PAUSE_US:
        run.pauses.append(gap)
    counted = 0 if gap > PAUSE_US else gap
    if run.started_at is None or action in {"started", "restarted"}:
        run.reached, run.answered, run.backs, run.times, run.active = set(), Counter(), Counter(), [], []
        run.started_at, run.spent = at_event, 0
    else:
        run.spent += counted
        run.active.append((at_event, counted))
        if action == "answered":
            run.times.append((str(step), run.spent))
    if step is not None and step != "end":
        run.reached.add(step)
        run.answered[step] += action == "answered"
        run.backs[step] += action == "went_back"
    if action not in {"drafted", "mode_set", "language_set"}:
        run.spent = 0


def reference_summary(
    store: SessionStore, keys: Iterable[SessionKey], surveys: Sequence[Survey], at: int, **filters: Any
) -> dict[str, Any]:
    """Return the summary of these sessions; ``surveys`` are the revisions, newest first."""
    every = [found for key in keys if (found := read_run(store, key, at)) is not None and matches(found, **filters)]
    completed = [run for run in every if run.status == "completed"]
    timed = [run for run in completed if run.state.completed_at is not None and run.started_at is not None]
    return {
        "sessions": {
            "started": len(every),
            "completed": len(completed),
            "in_progress": sum(run.status == "in_progress" for run in every),
            "expired": sum(run.status == "expired" for run in every),
            "completion_rate": share(len(completed), len(every)),
        },
        "unread": 0,
        "duration_s": seconds([max(0, (run.state.completed_at or 0) - (run.started_at or 0)) for run in timed]),
        "active_s": seconds(
            [sum(gap for at_event, gap in run.active if at_event <= (run.state.completed_at or 0)) for run in timed]
        ),
        "resumed": {
            "sessions": sum(bool(run.pauses) for run in every),
            "share": share(sum(bool(run.pauses) for run in every), len(every)),
            "returns": sum(len(run.pauses) for run in every),
            "away_s": seconds([pause for run in every for pause in run.pauses]),
            "pause_s": 1800,
        },
        "languages": [],
        "modes": [mode_counts(mode, [run for run in every if run.mode == mode]) for mode in ("text", "audio")],
        "days": day_counts(every, completed),
        "revisions": revision_counts(every, surveys),
        "steps": step_summaries(every, surveys),
        "values": [],
    }


def matches(run: Run, since: int = -1, until: int = 2**62, mode: str | None = None, status: str | None = None) -> bool:
    return (
        since <= run.state.started_at < until
        and (mode is None or run.mode == mode)
        and (status is None or run.status == status)
    )


def share(part: int, whole: int) -> float | None:
    return round(part / whole, 6) if whole else None


def quantile(values: Sequence[float], fraction: float) -> float:
    """Return the quantile with linear interpolation."""
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


def mode_counts(mode: str, every: Sequence[Run]) -> dict[str, Any]:
    completed = sum(run.status == "completed" for run in every)
    return {
        "mode": mode,
        "started": len(every),
        "completed": completed,
        "completion_rate": share(completed, len(every)),
        "answers": sum(run.answered.total() for run in every),
    }


def day_counts(every: Sequence[Run], completed: Sequence[Run]) -> list[dict[str, Any]]:
    began = Counter(run.state.started_at // 86_400_000_000 for run in every)
    ended = Counter(run.state.completed_at // 86_400_000_000 for run in completed if run.state.completed_at is not None)
    found = {*began, *ended}
    return [
        {"day": (EPOCH + datetime.timedelta(days=day)).isoformat(), "started": began[day], "completed": ended[day]}
        for day in (range(min(found), max(found) + 1) if found else ())
    ]


def revision_counts(every: Sequence[Run], surveys: Sequence[Survey]) -> list[dict[str, Any]]:
    rows = []
    for number, revision in enumerate([*(survey.revision for survey in surveys), None]):
        own = [run for run in every if run.state.survey_revision == revision]
        done = sum(run.status == "completed" for run in own)
        row = {"started": len(own), "completed": done, "completion_rate": share(done, len(own))}
        if own:
            rows.append({"revision": revision, "is_current": number == 0, **row})
    return rows


def step_summaries(every: Sequence[Run], surveys: Sequence[Survey]) -> list[dict[str, Any]]:
    newest = [step.id for step in surveys[0].steps]
    older = [step.id for survey in surveys[1:] for step in survey.steps if step.id not in newest]
    with_data = {step for run in every for step in reached_steps(run)} | {
        step for run in every for step in run.state.answers
    }
    unknown = sorted(with_data.difference(newest, older))
    return [
        step_summary(step, every, surveys) for step in (*newest, *(run for run in older if run in with_data), *unknown)
    ]


def reached_steps(run: Run) -> set[str]:
    return run.reached.union(run.state.step_history, {run.state.current_step}) - {"end"}


def step_summary(step: str, every: Sequence[Run], surveys: Sequence[Survey]) -> dict[str, Any]:
    step_model = next((found for survey in surveys if (found := survey.step(step)) is not None), None)
    reached = sum(step in reached_steps(run) for run in every)
    answered = sum(step in run.state.step_history or run.answered[step] > 0 for run in every)
    left = sum(run.status != "completed" and run.state.current_step == step for run in every)
    edits = sum(max(0, run.answered[step] - 1) for run in every)
    backs = sum(run.backs[step] for run in every)
    return {
        "step": step,
        "type": None if step_model is None else step_model.type,
        "prompt": None if step_model is None else step_model.prompt,
        "reached": reached,
        "answered": answered,
        "left_here": left,
        "drop_off": share(left, reached),
        "edits": edits,
        "edit_rate": share(edits, answered),
        "backs": backs,
        "back_rate": share(backs, reached),
        "seconds": seconds([spent for run in every for answered_step, spent in run.times if answered_step == step]),
        "answers": answer_summary(
            step, step_model, [run.state.answers[step] for run in every if step in run.state.answers]
        ),
    }


def answer_summary(step: str, step_model: Any, answers: Sequence[Any]) -> dict[str, Any]:
    given = [answer for answer in answers if answer is not None]
    kind = None if step_model is None else step_model.type
    is_numeric = kind in {"number", "scale"}
    found = (
        [float(answer) for answer in given if isinstance(answer, int | float) and not isinstance(answer, bool)]
        if is_numeric
        else []
    )
    texts = [len(answer) for answer in given if isinstance(answer, str)] if kind == "text" else []
    return {
        "count": len(given),
        "skipped": 0 if kind == "info" else len(answers) - len(given),
        "distribution": distribution(step_model, given),
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


PERIODS = {"date": (4, "-"), "datetime": (4, "-"), "month": (4, "-"), "time": (2, ":")}
"""By type: the first characters of an answer that are counted, and what follows them."""


def distribution(step_model: Any, given: Sequence[Any]) -> list[tuple[Any, int]] | None:
    """Return values and counts, without labels."""
    kind = None if step_model is None else step_model.type
    if kind in {"choice", "choices", "ranking"}:
        offered: list[Any] = [option.value for option in step_model.options]
        given = chosen(kind, given)
    elif kind == "boolean":
        offered = [True, False]
    elif kind == "scale":
        offered = list(range(step_model.min, step_model.max + 1))
    elif kind in PERIODS:
        given = [period(*PERIODS[kind], answer) for answer in given]
        offered = sorted({one for one in given if one is not None})
    else:
        return None
    bars = [(value, sum(same(value, answer) for answer in given)) for value in offered]
    others = sum(not any(same(value, answer) for value in offered) for answer in given)
    return [*bars, (None, others)] if others else bars


def chosen(kind: str, given: Sequence[Any]) -> list[Any]:
    """Return the values of the options; of a ranking those of the first one."""
    if kind != "choice":
        lists = [answer if isinstance(answer, list) else [None] for answer in given]
        given = [item for answer in lists for item in answer[: 1 if kind == "ranking" else None]]
    return [item.get("value") if isinstance(item, dict) else item for item in given]


def period(length: int, mark: str, answer: Any) -> str | None:
    is_one = isinstance(answer, str) and answer[:length].isdigit() and answer[length : length + 1] == mark
    return answer[:length] if is_one else None


def same(value: Any, answer: Any) -> bool:
    return isinstance(value, bool) == isinstance(answer, bool) and bool(value == answer)
