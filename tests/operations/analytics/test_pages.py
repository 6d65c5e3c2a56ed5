"""Counts by field of pages, and by row of grids."""

import csv
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from app.catalogue import Catalogue
from app.operations.analytics import csv_files, report_to_dict, summarize
from app.sessions.service import SessionStore
from app.settings import Settings
from app.survey.commands import Answer, Begin
from app.survey.snapshot import SessionKey
from app.web.rest.analytics import Analytics
from tests.databases import create_sqlite
from tests.survey.test_pages import definition

SURVEY = definition("""
id: paged
title: Pages
language: en
steps:
  - id: body
    type: page
    prompt: About you
    fields:
      - {id: hello, type: info, prompt: Please measure}
      - {id: weight, type: number, prompt: Weight}
      - {id: smokes, type: choice, prompt: Smoking, options: [{value: 1, label: "Yes"}, {value: 2, label: "No"}]}
      - {id: since, type: text, prompt: Since, required: false, show_if: answers.smokes == 1}
  - id: days
    type: grid
    prompt: "How often?"
    rows: [{id: sleep, label: Sleep}, {id: energy, label: Energy}]
    options: [{value: 0, label: Never}, {value: 1, label: Often}]
  - {id: helped, type: grid, prompt: p, required: false, multiple: true, rows: [{id: pain, label: P}], options: [a, b]}
""")
GIVEN: tuple[dict[str, Any], ...] = (
    {
        "body": {"weight": 60, "smokes": 1, "since": "long"},
        "days": {"sleep": 1, "energy": 1},
        "helped": {"pain": ["a", "b"]},
    },
    {"body": {"weight": 70, "smokes": 2}, "days": {"sleep": 0, "energy": 1}, "helped": None},
    {"body": {"weight": 80, "smokes": 1}},
)


@pytest.fixture
def summary(tmp_path: Path) -> Iterator[dict[str, Any]]:
    settings = Settings(database_url=create_sqlite(tmp_path / "test.db"), environment="development")
    store = SessionStore(settings, Catalogue(surveys={"paged": SURVEY}, default_id="paged"), lambda: 10**15)
    store.initialise()
    for number, answers in enumerate(GIVEN):
        key = SessionKey("paged", f"user{number}")
        store.turns.submit(key, Begin(at=number))
        for step, value in answers.items():
            store.turns.submit(key, Answer(at=number + 1, step=step, value=value))
    yield summarize(store, "paged")
    store.close()


def counts(question: dict[str, Any]) -> Any:
    distribution = question["answers"]["distribution"]
    return distribution and [(bar["label"], bar["count"]) for bar in distribution]


def test_fields_and_rows_are_counted_as_steps_are(summary: dict[str, Any]) -> None:
    """Rows with the labels of the options; fields that were not shown are not counted."""
    Analytics.model_validate({"success": True, **summary})
    body, days, helped = summary["steps"]
    parts = {part["step"]: part for step in summary["steps"] for part in step["parts"]}
    assert [*parts] == ["weight", "smokes", "since", "days.sleep", "days.energy", "helped.pain"]
    assert (body["answers"]["count"], body["answers"]["distribution"], body["reached"]) == (3, None, 3)
    assert (days["answers"]["count"], days["answers"]["distribution"], helped["answers"]["skipped"]) == (2, None, 1)
    assert parts["weight"]["answers"]["numbers"]["mean"] == 70
    assert counts(parts["smokes"]) == [("Yes", 2), ("No", 1)]
    assert (parts["since"]["answers"]["count"], parts["since"]["answers"]["skipped"]) == (1, 1)
    assert parts["since"]["answers"]["lengths"]["max"] == 4
    assert (parts["days.sleep"]["prompt"], counts(parts["days.sleep"])) == ("Sleep", [("Never", 1), ("Often", 1)])
    assert counts(parts["days.energy"]) == [("Never", 0), ("Often", 2)]
    assert (parts["helped.pain"]["type"], counts(parts["helped.pain"])) == ("choices", [("a", 1), ("b", 1)])


def test_report_has_a_table_for_each(summary: dict[str, Any]) -> None:
    headings = [data.heading for data in report_to_dict(summary)["answers"]]
    assert headings == [
        "weight: Weight", "smokes: Smoking", "since: Since", "days.sleep: Sleep", "days.energy: Energy", "helped.pain: P",
    ]  # fmt: skip


def test_csv_files_have_a_row_for_each(summary: dict[str, Any]) -> None:
    """The columns of events are those of the page."""
    files = csv_files(summary)
    steps = {row["step"]: row for row in csv.DictReader(io.StringIO(files["steps.csv"]))}
    assert [*steps] == [
        "body", "weight", "smokes", "since", "days", "days.sleep", "days.energy", "helped", "helped.pain",
    ]  # fmt: skip
    assert (steps["body"]["reached"], steps["weight"]["reached"], steps["weight"]["number_mean"]) == ("3", "", "70.0")
    answers = [(row["step"], row["label"], row["count"]) for row in csv.DictReader(io.StringIO(files["answers.csv"]))]
    assert ("days.sleep", "Often", "1") in answers
    assert "weight" in {row["step"] for row in csv.DictReader(io.StringIO(files["bins.csv"]))}
