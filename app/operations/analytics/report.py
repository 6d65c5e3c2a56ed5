"""A survey's figures as a report: tables and charts with their texts, ready for a template. No I/O.

Bars are shares of the longest one, from 0 to 1.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ...survey.types import STEP_TYPES

Figures = Mapping[str, Any]
Cells = tuple[str | int | float | None, ...]

COLUMNS = 60
"""Columns of the chart over time: more days than that are added up by weeks, months."""

BARS = 40
"""Bars of one step's answers, and rows of its table."""

NOTHING = "\u2013"
"""A dash where there is no figure."""

YEARS = 20
"""Years of one step's dates that are shown one by one; more are added up by decades."""

_SPANS = ((1, "By day"), (7, "By week"), (30, "By 30 days"), (365, "By 365 days"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """One bar: ``pale`` behind ``strong``, and a ``mark`` before it."""

    name: str
    strong: float
    value: str
    pale: float | None = None
    mark: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Data:
    """A table, and a chart of it."""

    heading: str
    head: tuple[str, ...]
    rows: Sequence[Cells]
    chart: Sequence[Bar] = field(default_factory=tuple)
    summary: str = ""

    @property
    def table(self) -> "Data | None":
        """The same, where there are rows."""
        return self if self.rows else None


def report_of(figures: Figures) -> dict[str, Any]:
    """Return what the template shows."""
    steps = figures["steps"]
    return {
        **{name: figures[name] for name in ("title", "survey_id", "filters", "unread")},
        "computed_at": f"{figures['computed_at'][:16].replace('T', ' ')} UTC",
        "pause": duration(figures["resumed"]["pause_s"]),
        "tiles": _tiles(figures),
        "days": _days(figures["days"]),
        "funnel": _funnel(steps),
        "times": _times(steps),
        "tables": [_returns(figures), _modes(figures["modes"]), _revisions(figures["revisions"])],
        "answers": [
            _answers(step) for step in steps if step["type"] is not None and STEP_TYPES[step["type"]].takes_answer
        ],
    }


def duration(seconds: float | None) -> str:
    """Return a time for people: ``45.2 s``, ``3 min 5 s``, ``2 h 10 min``, ``4 d 3 h``."""
    if seconds is None:
        return NOTHING
    if seconds < 60:  # noqa: PLR2004 - a minute
        return f"{seconds:.1f} s"
    whole = round(seconds)
    for size, name, below, name_below in ((86_400, "d", 3_600, "h"), (3_600, "h", 60, "min"), (60, "min", 1, "s")):
        if whole >= size:
            rest = whole % size // below
            return f"{whole // size} {name} {rest} {name_below}" if rest else f"{whole // size} {name}"
    return f"{whole} s"  # pragma: no cover - a minute and more has one of the sizes


def percent(share: float | None) -> str:
    """Return a share for people."""
    return NOTHING if share is None else f"{share * 100:.1f} %"


def _tiles(figures: Figures) -> list[tuple[str, str]]:
    counts = figures["sessions"]
    return [
        ("began", f"{counts['started']:,}"),
        ("completed", f"{counts['completed']:,}"),
        ("completion rate", percent(counts["completion_rate"])),
        ("in progress", f"{counts['in_progress']:,}"),
        ("expired", f"{counts['expired']:,}"),
        ("median time, without pauses", duration(figures["active_s"]["median"])),
        ("left and came back", percent(figures["resumed"]["share"])),
    ]


def _days(days: Sequence[Figures]) -> Data:
    size, heading = next((span for span in _SPANS if len(days) <= COLUMNS * span[0]), _SPANS[-1])
    parts = [days[start : start + size] for start in range(0, len(days), size)]
    rows = [(part[0]["day"], *(sum(day[name] for day in part) for name in ("started", "completed"))) for part in parts]
    longest = max((max(row[1:]) for row in rows), default=0) or 1
    chart = [
        Bar(name=day, strong=completed / longest, pale=began / longest, value=f"{longest:,}")
        for day, began, completed in rows
    ]
    head = ("Day" if size == 1 else "From", "Began", "Completed")
    return Data(heading=heading, head=head, rows=rows, chart=chart)


def _funnel(steps: Sequence[Figures]) -> Data:
    longest = max((step["reached"] for step in steps), default=0) or 1
    return Data(
        heading="From step to step",
        head=(
            "Step",
            "Reached",
            "Answered",
            "Left here",
            "Left of reached",
            "Edits",
            "Edits of answered",
            "Steps back",
        ),
        rows=[
            (
                _name(step),
                *(step[name] for name in ("reached", "answered", "left_here")),
                percent(step["drop_off"]),
                step["edits"],
                percent(step["edit_rate"]),
                step["backs"],
            )
            for step in steps
        ],
        chart=[
            Bar(
                name=_name(step),
                pale=step["reached"] / longest,
                strong=step["answered"] / longest,
                value=f"{step['reached']:,}",
            )
            for step in steps
        ],
    )


def _times(steps: Sequence[Figures]) -> Data:
    longest = max((step["seconds"]["p90"] or 0 for step in steps), default=0) or 1
    return Data(
        heading="Time for each step",
        head=("Step", "Answers", "Median", "9 of 10 within"),
        rows=[
            (_name(step), times["count"], duration(times["median"]), duration(times["p90"]))
            for step in steps
            for times in (step["seconds"],)
        ],
        chart=[
            Bar(
                name=_name(step),
                strong=times["median"] / longest,
                mark=times["p90"] / longest,
                value=duration(times["median"]),
            )
            for step in steps
            if (times := step["seconds"])["count"]
        ],
    )


def _returns(figures: Figures) -> Data:
    resumed, whole, active = figures["resumed"], figures["duration_s"], figures["active_s"]
    return Data(
        heading="Leaving and coming back",
        head=("", "Count", "Median", "9 of 10 within"),
        rows=[
            ("Completed, from begin to end", whole["count"], duration(whole["median"]), duration(whole["p90"])),
            ("The same without pauses", active["count"], duration(active["median"]), duration(active["p90"])),
            ("Pauses", resumed["returns"], duration(resumed["away_s"]["median"]), duration(resumed["away_s"]["p90"])),
            ("Sessions with a pause", resumed["sessions"], None, None),
        ],
    )


def _modes(modes: Sequence[Figures]) -> Data:
    return Data(
        heading="Text and voice",
        head=("Mode", "Sessions", "Completed", "Rate", "Answers given"),
        rows=[
            (one["mode"], one["started"], one["completed"], percent(one["completion_rate"]), one["answers"])
            for one in modes
        ],
    )


def _revisions(revisions: Sequence[Figures]) -> Data:
    return Data(
        heading="Revisions of the survey, newest first",
        head=("Revision", "Sessions", "Completed", "Rate"),
        rows=[
            (
                (one["revision"] or "none that is known") + (" (current)" if one["is_current"] else ""),
                one["started"],
                one["completed"],
                percent(one["completion_rate"]),
            )
            for one in revisions
        ],
    )


def _answers(step: Figures) -> Data:
    answers = step["answers"]
    bars = [(bar["label"], bar["count"], bar["share"]) for bar in answers["distribution"] or ()]
    if "years" in STEP_TYPES[step["type"]].statistics and len(bars) > YEARS:
        bars = _decades(bars, answers["count"])
    numbers = answers["numbers"]
    if not bars and numbers:
        bars = [(_span(one), one["count"], one["count"] / answers["count"]) for one in numbers["bins"]]
    shown = bars[:BARS]
    longest = max((count for _, count, _ in shown), default=0) or 1
    return Data(
        heading=_name(step) if step["prompt"] is None else f"{step['step']}: {step['prompt']}",
        summary=". ".join(_summary(answers, len(bars) - len(shown))) + ".",
        head=("Answer", "Count", "Share"),
        rows=[(label, count, percent(share)) for label, count, share in shown],
        chart=[
            Bar(name=label, strong=count / longest, value=f"{count:,} ({percent(share)})")
            for label, count, share in shown
        ],
    )


def _decades(years: Sequence[tuple[str, int, float]], whole: int) -> list[tuple[str, int, float]]:
    counts: Counter[str] = Counter()
    for year, count, _ in years:
        counts[f"{year[:3]}0 to {year[:3]}9" if year.isdecimal() else year] += count
    return [(decade, count, count / whole) for decade, count in counts.items()]


def _summary(answers: Figures, unlisted: int) -> Iterable[str]:
    yield f"{answers['count']:,} answers, {answers['skipped']:,} skipped"
    if (numbers := answers["numbers"]) is not None:
        yield f"Lowest {numbers['min']}, highest {numbers['max']}"
        yield f"Mean {numbers['mean']:.2f}, median {numbers['median']}"
    if (lengths := answers["lengths"]) is not None:
        yield f"Characters: median {lengths['median']}, 9 of 10 within {lengths['p90']}, longest {lengths['max']}"
    if unlisted:
        yield f"{unlisted} further answers are in the CSV file"


def _span(one: Figures) -> str:
    return f"{one['from']} to {one['to']}"


def _name(step: Figures) -> str:
    return f"{step['step']} {step['prompt']}" if step["prompt"] else str(step["step"])
