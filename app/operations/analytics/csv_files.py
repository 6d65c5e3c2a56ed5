"""A survey's figures as CSV files for a spreadsheet: RFC 4180, UTF-8, one table a file. No I/O.

Texts that a spreadsheet would take for a formula get an apostrophe before them: labels and prompts are an author's, and
names of steps may be anybody's who may save a state.
"""

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ..export import escape_formula

Figures = Mapping[str, Any]
Row = Sequence[Any]


def csv_files(figures: Figures) -> dict[str, str]:
    """Return the files' contents by their names."""
    return {
        "sessions.csv": _csv(("figure", "value"), _sessions(figures)),
        "days.csv": _table(figures["days"], ("day", "started", "completed")),
        "modes.csv": _table(figures["modes"], ("mode", "started", "completed", "completion_rate", "answers")),
        "revisions.csv": _table(
            figures["revisions"], ("revision", "is_current", "started", "completed", "completion_rate")
        ),
        "steps.csv": _csv(_STEP_HEAD, map(_step, figures["steps"])),
        "answers.csv": _csv(("step", "value", "label", "count", "share"), _answers(figures["steps"])),
        "bins.csv": _csv(("step", "from", "to", "count"), _bins(figures["steps"])),
    }


_PLAIN = (
    "step",
    "type",
    "prompt",
    "reached",
    "answered",
    "left_here",
    "drop_off",
    "edits",
    "edit_rate",
    "backs",
    "back_rate",
)
_NUMBERS = ("min", "max", "mean", "median")
_LENGTHS = ("median", "p90", "max")
_STEP_HEAD = (
    *_PLAIN,
    "times",
    "seconds_median",
    "seconds_p90",
    "answers",
    "skipped",
    *(f"number_{name}" for name in _NUMBERS),
    *(f"length_{name}" for name in _LENGTHS),
)


def _sessions(figures: Figures) -> Iterable[Row]:
    yield "survey_id", figures["survey_id"]
    yield "computed_at", figures["computed_at"]
    yield from ((f"filter_{name}", value) for name, value in figures["filters"].items() if value is not None)
    yield from figures["sessions"].items()
    yield "unread", figures["unread"]
    for name in ("duration_s", "active_s"):
        yield from ((f"{name}_{what}", value) for what, value in figures[name].items())
    resumed = figures["resumed"]
    yield from ((f"resumed_{name}", value) for name, value in resumed.items() if name != "away_s")
    yield from ((f"away_s_{what}", value) for what, value in resumed["away_s"].items())


def _step(step: Figures) -> Row:
    answers, times = step["answers"], step["seconds"]
    numbers, lengths = answers["numbers"] or {}, answers["lengths"] or {}
    return (
        *(step[name] for name in _PLAIN),
        times["count"],
        times["median"],
        times["p90"],
        answers["count"],
        answers["skipped"],
        *(numbers.get(name) for name in _NUMBERS),
        *(lengths.get(name) for name in _LENGTHS),
    )


def _answers(steps: Sequence[Figures]) -> Iterable[Row]:
    for step in steps:
        for bar in step["answers"]["distribution"] or ():
            yield step["step"], bar["value"], bar["label"], bar["count"], bar["share"]


def _bins(steps: Sequence[Figures]) -> Iterable[Row]:
    for step in steps:
        for one in (step["answers"]["numbers"] or {}).get("bins", ()):
            yield step["step"], one["from"], one["to"], one["count"]


def _table(rows: Sequence[Figures], head: Sequence[str]) -> str:
    return _csv(head, ([row[name] for name in head] for row in rows))


def _csv(head: Sequence[str], rows: Iterable[Row]) -> str:
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(head)
    writer.writerows([_safe(cell) for cell in row] for row in rows)
    return text.getvalue()


def _safe(cell: object) -> object:
    return escape_formula(cell) if isinstance(cell, str) else cell
