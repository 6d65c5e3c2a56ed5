"""A summary as tables and charts for HTML. No I/O."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from operator import itemgetter
from typing import Any, NamedTuple

from ...survey.types import STEP_TYPES

Summary = Mapping[str, Any]
Cell = str | int | float | None
Columns = Mapping[str, Callable[[Summary], Cell]]

COLUMNS = 60  # more days are grouped
BARS = 40  # maximum for a step
NOTHING = "\u2013"

YEARS = 20  # more years are grouped by decade
_SPANS = ((1, "By day"), (7, "By week"), (30, "By 30 days"), (365, "By 365 days"))


class Bar(NamedTuple):
    """``pale`` behind ``strong``, with a ``mark`` in front."""

    name: str
    value: str
    strong: float
    pale: float | None = None
    mark: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Data:
    """A table and its chart."""

    heading: str
    head: tuple[str, ...]
    rows: Sequence[tuple[Cell, ...]]
    chart: Sequence[Bar] = ()
    summary: str = ""


def report_to_dict(summary: Summary) -> dict[str, Any]:
    """Return the variables of the template."""
    steps = summary["steps"]
    return {
        **{name: summary[name] for name in ("title", "survey_id", "filters", "unread")},
        "computed_at": f"{summary['computed_at'][:16].replace('T', ' ')} UTC",
        "pause": duration(summary["resumed"]["pause_s"]),
        "tiles": _tiles(summary),
        "days": _days(summary["days"]),
        "funnel": _funnel(steps),
        "times": _times(steps),
        "tables": [
            _returns(summary),
            _table("Text and voice", _MODES, summary["modes"]),
            *([_table("Languages", _LANGUAGES, summary["languages"])] if summary["languages"] else []),
            _table("Revisions of the survey, newest first", _REVISIONS, summary["revisions"]),
        ],
        "answers": [
            *(
                _answers(question)
                for step in steps
                for question in step.get("parts", (step,))
                if question["type"] is not None and STEP_TYPES[question["type"]].takes_answer
            ),
            *(
                _answers({"step": f"Value {one['value']}", "type": one["kind"], "prompt": None, **one})
                for one in summary["values"]
            ),
        ],
    }


def duration(seconds: float | None) -> str:
    """Format as ``3 min 5 s``."""
    if seconds is None:
        return NOTHING
    if seconds < 60:  # noqa: PLR2004 - a minute
        return f"{seconds:.1f} s"
    whole = round(seconds)
    for size, name, below, name_below in ((86_400, "d", 3_600, "h"), (3_600, "h", 60, "min"), (60, "min", 1, "s")):
        if whole >= size:
            rest = whole % size // below
            return f"{whole // size} {name} {rest} {name_below}" if rest else f"{whole // size} {name}"
    return f"{whole} s"  # pragma: no cover - 60 s or more match above


def percent(share: float | None) -> str:
    return NOTHING if share is None else f"{share * 100:.1f} %"


def _tiles(summary: Summary) -> list[tuple[str, str]]:
    counts = summary["sessions"]
    return [
        ("started", f"{counts['started']:,}"),
        ("completed", f"{counts['completed']:,}"),
        ("completion rate", percent(counts["completion_rate"])),
        ("in progress", f"{counts['in_progress']:,}"),
        ("expired", f"{counts['expired']:,}"),
        ("median time, without pauses", duration(summary["active_s"]["median"])),
        ("left and came back", percent(summary["resumed"]["share"])),
    ]


def _days(days: Sequence[Summary]) -> Data:
    size, heading = next((span for span in _SPANS if len(days) <= COLUMNS * span[0]), _SPANS[-1])
    parts = [days[start : start + size] for start in range(0, len(days), size)]
    rows = [(part[0]["day"], *(sum(day[name] for day in part) for name in ("started", "completed"))) for part in parts]
    longest = max((max(row[1:]) for row in rows), default=0) or 1
    chart = [
        Bar(day, f"{longest:,}", strong=completed / longest, pale=started / longest) for day, started, completed in rows
    ]
    head = ("Day" if size == 1 else "From", "Started", "Completed")
    return Data(heading=heading, head=head, rows=rows, chart=chart)


def _table(heading: str, columns: Columns, items: Sequence[Summary], chart: Sequence[Bar] = ()) -> Data:
    rows = [tuple(cell(item) for cell in columns.values()) for item in items]
    return Data(heading=heading, head=tuple(columns), rows=rows, chart=chart)


def _funnel(steps: Sequence[Summary]) -> Data:
    columns: Columns = {
        "Step": _name,
        "Reached": itemgetter("reached"),
        "Answered": itemgetter("answered"),
        "Left here": itemgetter("left_here"),
        "Left of reached": lambda step: percent(step["drop_off"]),
        "Edits": itemgetter("edits"),
        "Edits of answered": lambda step: percent(step["edit_rate"]),
        "Steps back": itemgetter("backs"),
    }
    longest = max((step["reached"] for step in steps), default=0) or 1
    chart = [
        Bar(_name(step), f"{step['reached']:,}", strong=step["answered"] / longest, pale=step["reached"] / longest)
        for step in steps
    ]
    return _table("From step to step", columns, steps, chart)


def _times(steps: Sequence[Summary]) -> Data:
    columns: Columns = {
        "Step": _name,
        "Answers": lambda step: step["seconds"]["count"],
        "Median": lambda step: duration(step["seconds"]["median"]),
        "9 of 10 within": lambda step: duration(step["seconds"]["p90"]),
    }
    longest = max((step["seconds"]["p90"] or 0 for step in steps), default=0) or 1
    chart = [
        Bar(_name(step), duration(times["median"]), strong=times["median"] / longest, mark=times["p90"] / longest)
        for step in steps
        if (times := step["seconds"])["count"]
    ]
    return _table("Time for each step", columns, steps, chart)


def _returns(summary: Summary) -> Data:
    resumed = summary["resumed"]
    times = {
        "Completed, from start to end": summary["duration_s"],
        "The same without pauses": summary["active_s"],
        "Pauses": {**resumed["away_s"], "count": resumed["returns"]},
    }
    rows: list[tuple[Cell, ...]] = [
        (name, time["count"], duration(time["median"]), duration(time["p90"])) for name, time in times.items()
    ]
    return Data(
        heading="Leaving and coming back",
        head=("", "Count", "Median", "9 of 10 within"),
        rows=[*rows, ("Sessions with a pause", resumed["sessions"], None, None)],
    )


_COMPLETION: Columns = {
    "Sessions": itemgetter("started"),
    "Completed": itemgetter("completed"),
    "Rate": lambda group: percent(group["completion_rate"]),
}


_MODES: Columns = {"Mode": itemgetter("mode"), **_COMPLETION, "Answers given": itemgetter("answers")}
_LANGUAGES: Columns = {"Language": lambda group: group["language"] or "unknown", **_COMPLETION}
_REVISIONS: Columns = {
    "Revision": lambda group: f"{group['revision'] or 'unknown'}{' (current)' if group['is_current'] else ''}",
    **_COMPLETION,
}


def _answers(step: Summary) -> Data:
    answers = step["answers"]
    bars = [(bar["label"], bar["count"], bar["share"]) for bar in answers["distribution"] or ()]
    if "years" in STEP_TYPES[step["type"]].statistics and len(bars) > YEARS:
        bars = _decades(bars, answers["count"])
    numbers = answers["numbers"]
    if not bars and numbers:
        bars = [
            (f"{bin_['from']} to {bin_['to']}", bin_["count"], bin_["count"] / answers["count"])
            for bin_ in numbers["bins"]
        ]
    shown = bars[:BARS]
    is_ranking = "ranks" in STEP_TYPES[step["type"]].statistics
    longest = max((count for _, count, _ in shown), default=0) or 1
    return Data(
        heading=_name(step) if step["prompt"] is None else f"{step['step']}: {step['prompt']}",
        summary=". ".join(_summary(answers, len(bars) - len(shown))) + ".",
        head=("Answer", "Ranked first", "Share", "Mean rank") if is_ranking else ("Answer", "Count", "Share"),
        rows=[
            (label, count, percent(share), *((bar["mean_rank"],) if is_ranking else ()))
            for (label, count, share), bar in zip_longest(shown, answers["distribution"][:BARS] if is_ranking else ())
        ],
        chart=[Bar(label, f"{count:,} ({percent(share)})", strong=count / longest) for label, count, share in shown],
    )


def _decades(years: Sequence[tuple[str, int, float]], whole: int) -> list[tuple[str, int, float]]:
    counts: Counter[str] = Counter()
    for year, count, _ in years:
        counts[f"{year[:3]}0 to {year[:3]}9" if year.isdecimal() else year] += count
    return [(decade, count, count / whole) for decade, count in counts.items()]


def _summary(answers: Summary, unlisted: int) -> Iterable[str]:
    yield f"{answers['count']:,} answers, {answers['skipped']:,} skipped"
    if (numbers := answers["numbers"]) is not None:
        yield f"Lowest {numbers['min']}, highest {numbers['max']}"
        yield f"Mean {numbers['mean']:.2f}, median {numbers['median']}"
    if (lengths := answers["lengths"]) is not None:
        yield f"Characters: median {lengths['median']}, 9 of 10 within {lengths['p90']}, longest {lengths['max']}"
    if unlisted:
        yield f"{unlisted} further answers are in the CSV file"


def _name(step: Summary) -> str:
    return f"{step['step']} {step['prompt']}" if step["prompt"] else str(step["step"])
