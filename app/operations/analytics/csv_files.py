"""A summary as CSV files (RFC 4180), with formulas escaped. No I/O."""

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ..export import escape_formula

Summary = Mapping[str, Any]
Row = Sequence[Any]


def csv_files(summary: Summary) -> dict[str, str]:
    """Return contents by file name."""
    steps = [row for step in summary["steps"] for row in _steps(step)]
    questions = [question for step in summary["steps"] for question in (step, *step.get("parts", ()))]
    values = [{"step": value["value"], **value} for value in summary["values"]]
    return {
        "sessions.csv": _csv(("name", "value"), _sessions(summary)),
        "days.csv": _table(summary["days"], ("day", "started", "completed")),
        "modes.csv": _table(summary["modes"], ("mode", "started", "completed", "completion_rate", "answers")),
        "languages.csv": _table(summary["languages"], ("language", "started", "completed", "completion_rate")),
        "revisions.csv": _table(
            summary["revisions"], ("revision", "is_current", "started", "completed", "completion_rate")
        ),
        "steps.csv": _table(steps, list(steps[0]) if steps else ()),
        "answers.csv": _csv(("step", "value", "label", "count", "share", "mean_rank"), _answers(questions)),
        "bins.csv": _csv(("step", "from", "to", "count"), _bins(questions)),
        **(_value_files(values) if values else {}),
    }


def _value_files(values: Sequence[Summary]) -> dict[str, str]:
    return {
        "values.csv": _csv(
            ("value", "kind", "count", "missing", "min", "max", "mean", "median"), map(_value_row, values)
        ),
        "value_counts.csv": _csv(("value", "text", "label", "count", "share"), (row[:-1] for row in _answers(values))),
        "value_bins.csv": _csv(("value", "from", "to", "count"), _bins(values)),
    }


def _value_row(value: Summary) -> Row:
    answers = value["answers"]
    numbers = answers["numbers"] or {}
    statistics = (numbers.get(name) for name in ("min", "max", "mean", "median"))
    return (value["value"], value["kind"], answers["count"], answers["skipped"], *statistics)


def _sessions(summary: Summary) -> Iterable[Row]:
    yield "survey_id", summary["survey_id"]
    yield "computed_at", summary["computed_at"]
    yield from ((f"filter_{name}", value) for name, value in summary["filters"].items() if value is not None)
    yield from summary["sessions"].items()
    yield "unread", summary["unread"]
    for name in ("duration_s", "active_s"):
        yield from ((f"{name}_{field}", value) for field, value in summary[name].items())
    resumed = summary["resumed"]
    yield from ((f"resumed_{name}", value) for name, value in resumed.items() if name != "away_s")
    yield from ((f"away_s_{field}", value) for field, value in resumed["away_s"].items())


def _steps(step: Summary) -> Iterable[Summary]:
    times = step["seconds"]
    row = {
        **{name: value for name, value in step.items() if name not in {"seconds", "answers", "parts"}},
        "times": times["count"],
        "seconds_median": times["median"],
        "seconds_p90": times["p90"],
    }
    yield {**row, **_answer_counts(step["answers"])}
    for part in step.get("parts", ()):
        named = {name: part[name] for name in ("step", "type", "prompt")}
        yield {**dict.fromkeys(row), **named, **_answer_counts(part["answers"])}


def _answer_counts(answers: Summary) -> Summary:
    numbers, lengths = answers["numbers"] or {}, answers["lengths"] or {}
    return {
        "answers": answers["count"],
        "skipped": answers["skipped"],
        **{f"number_{name}": numbers.get(name) for name in ("min", "max", "mean", "median")},
        **{f"length_{name}": lengths.get(name) for name in ("median", "p90", "max")},
    }


def _answers(steps: Sequence[Summary]) -> Iterable[Row]:
    for step in steps:
        for bar in step["answers"]["distribution"] or ():
            yield step["step"], bar["value"], bar["label"], bar["count"], bar["share"], bar.get("mean_rank")


def _bins(steps: Sequence[Summary]) -> Iterable[Row]:
    for step in steps:
        for bin_ in (step["answers"]["numbers"] or {}).get("bins", ()):
            yield step["step"], bin_["from"], bin_["to"], bin_["count"]


def _table(rows: Sequence[Summary], header: Sequence[str]) -> str:
    return _csv(header, ([row[name] for name in header] for row in rows))


def _csv(header: Sequence[str], rows: Iterable[Row]) -> str:
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(header)
    writer.writerows([escape_formula(cell) if isinstance(cell, str) else cell for cell in row] for row in rows)
    return text.getvalue()
