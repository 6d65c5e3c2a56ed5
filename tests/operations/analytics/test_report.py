"""Texts and charts of the report: durations, and grouping of days and years."""

from typing import Any

import pytest

from app.operations.analytics.report import BARS, duration, report_to_dict

NO_SECONDS = {"count": 0, "median": None, "p90": None}


def summary(**changes: Any) -> dict[str, Any]:
    """Return a summary without sessions, with changes."""
    return {
        "survey_id": "one",
        "title": "One",
        "computed_at": "2026-11-27T10:11:12.000000Z",
        "filters": {},
        "sessions": {"started": 0, "completed": 0, "in_progress": 0, "expired": 0, "completion_rate": None},
        "unread": 0,
        "duration_s": NO_SECONDS,
        "active_s": NO_SECONDS,
        "resumed": {"sessions": 0, "share": None, "returns": 0, "away_s": NO_SECONDS, "pause_s": 1800},
        "modes": [],
        "languages": [],
        "values": [],
        "days": [],
        "revisions": [],
        "steps": [],
        **changes,
    }


def step(kind: str, bars: list[tuple[str, int]]) -> dict[str, Any]:
    """Return the summary of a step with these answers."""
    whole = sum(count for _, count in bars)
    distribution = [
        {"value": label, "label": label, "count": count, "share": count / whole if whole else None}
        for label, count in bars
    ]
    return {
        "step": "S1",
        "type": kind,
        "prompt": "What?",
        **dict.fromkeys(("reached", "answered", "left_here", "edits", "backs"), whole),
        **dict.fromkeys(("drop_off", "edit_rate", "back_rate")),
        "seconds": NO_SECONDS,
        "answers": {"count": whole, "skipped": 0, "distribution": distribution, "numbers": None, "lengths": None},
    }


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, "\N{EN DASH}"),
        (0, "0.0 s"),
        (59.94, "59.9 s"),
        (60, "1 min"),
        (185.2, "3 min 5 s"),
        (7800, "2 h 10 min"),
        (3600, "1 h"),
        (97_200, "1 d 3 h"),
    ],
)
def test_durations_have_at_most_two_units(seconds: float | None, text: str) -> None:
    """Rounded to the smaller one."""
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("count", "columns", "heading"), [(60, 60, "By day"), (61, 9, "By week"), (900, 30, "By 30 days")]
)
def test_many_days_are_grouped(count: int, columns: int, heading: str) -> None:
    """The sums stay the same."""
    days = [{"day": f"day {number}", "started": 2, "completed": 1} for number in range(count)]
    report = report_to_dict(summary(days=days))["days"]
    assert (report.heading, len(report.chart)) == (heading, columns)
    assert [sum(row[place] for row in report.rows) for place in (1, 2)] == [2 * count, count]


def test_many_years_are_grouped_by_decade() -> None:
    """Other values stay separate."""
    bars = [(str(year), 1) for year in range(1950, 1981)]
    report = report_to_dict(summary(steps=[step("date", [*bars, ("other", 2)])]))["answers"][0]
    assert [(row[0], row[1]) for row in report.rows] == [
        ("1950 to 1959", 10),
        ("1960 to 1969", 10),
        ("1970 to 1979", 10),
        ("1980 to 1989", 1),
        ("other", 2),
    ]


def test_ranking_has_mean_ranks() -> None:
    """Beside how often each option was put first."""
    ranked = step("ranking", [("Rest", 3), ("Ice", 1)])
    for bar, mean in zip(ranked["answers"]["distribution"], (1.25, 1.75), strict=True):
        bar["mean_rank"] = mean
    report = report_to_dict(summary(steps=[ranked]))["answers"][0]
    assert report.head == ("Answer", "Ranked first", "Share", "Mean rank")
    assert [(row[0], row[1], row[3]) for row in report.rows] == [("Rest", 3, 1.25), ("Ice", 1, 1.75)]


def test_further_answers_are_counted() -> None:
    """The CSV files have them."""
    report = report_to_dict(summary(steps=[step("choice", [(f"option {n}", 1) for n in range(BARS + 3)])]))["answers"][
        0
    ]
    assert len(report.rows) == BARS
    assert "3 further answers are in the CSV file" in report.summary


def test_survey_without_sessions_has_a_report() -> None:
    """Without a chart of days."""
    report = report_to_dict(summary(steps=[step("choice", [("a", 0)])]))
    assert report["days"].chart == []
    assert report["answers"][0].rows == [("a", 0, "\N{EN DASH}")]
