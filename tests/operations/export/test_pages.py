"""Columns of pages and grids: one a field, and one a row."""

from pathlib import Path
from typing import Any

import pytest

from app.operations.export.codebook import codebook_to_dict
from app.operations.export.export import Export
from app.operations.export.request import ExportRequest
from app.sessions.service import SessionStore
from tests.operations.export.conftest import Opened
from tests.operations.export.reading import (
    csv_rows,
    export,
    jsonl_rows,
    labelled_rows,
    parquet_rows,
    save,
    sheet_rows,
)

HEAD = "id: paged\ntitle: Pages\nlanguage: en\nsteps:\n"
SURVEY = f"""{HEAD}
  - {{id: sex, type: choice, prompt: Sex, options: [f, m]}}
  - id: body
    type: page
    prompt: About you
    show_if: 'answers.sex == "f"'
    fields:
      - {{id: hello, type: info, prompt: Please measure}}
      - {{id: weight, type: number, prompt: Weight, unit: kg,
         check: [{{that: answer < 300, message: "Sure?", level: warning}}]}}
      - {{id: smokes, type: choice, prompt: Smoking, required: false, show_if: 'answers.sex == "f"',
         options: [{{value: 1, label: "Yes"}}, {{value: 2, label: "No"}}]}}
  - id: days
    type: grid
    prompt: "How often?"
    rows:
      - {{id: sleep, label: Sleep, code: {{system: "http://loinc.org", code: 44259-0}}}}
      - {{id: energy, label: Energy}}
    options: [{{value: 0, label: Never}}, {{value: 1, label: Often}}]
  - id: helped
    type: grid
    prompt: "What helped?"
    required: false
    multiple: true
    rows: [{{id: pain, label: Pain}}, {{id: cough, label: Cough}}]
    options: [Rest, Tea]
"""
ANN: dict[str, Any] = {
    "sex": "f",
    "body": {"hello": None, "weight": 61.5, "smokes": None},
    "days": {"sleep": 1, "energy": 0},
    "helped": {"pain": ["Tea"], "cough": None},
}
BEN: dict[str, Any] = {"sex": "m", "body": {"weight": "much", "gone": 1}, "days": {"sleep": 7}, "helped": None}


@pytest.fixture
def store(opened: Opened) -> SessionStore:
    store = opened(SURVEY)
    save(store, "paged", "ann", ANN)
    save(store, "paged", "ben", BEN)
    return store


def test_each_field_and_row_has_a_column(store: SessionStore) -> None:
    """A grid with several options a row has one for each row and option; what fits none is in ``other_answers``."""
    ann, ben = csv_rows(export(store, "paged", "csv")[0])
    names = [*ann]
    assert names[names.index("sex") : -3] == [
        "sex", "weight", "smokes", "days_sleep", "days_energy",
        "helped_pain_1", "helped_pain_2", "helped_cough_1", "helped_cough_2",
    ]  # fmt: skip
    assert names[-3:] == ["confirmed", "skipped", "other_answers"]
    assert (ann["weight"], ann["smokes"], ann["days_sleep"], ann["days_energy"]) == ("61.5", None, "1", "0")
    assert [ann[f"helped_{name}"] for name in ("pain_1", "pain_2", "cough_1", "cough_2")] == ["0", "1", None, None]
    assert (ann["skipped"], ann["other_answers"]) == ("smokes", None)
    assert (ben["weight"], ben["days_sleep"], ben["skipped"]) == (None, None, "helped")
    assert ben["other_answers"] == '{"body":{"weight":"much","gone":1},"days":{"sleep":7}}'


def test_formats_with_types_and_labels_have_them(store: SessionStore, tmp_path: Path) -> None:
    row = parquet_rows(export(store, "paged", "parquet")[0])[0]
    assert (row["weight"], row["days_sleep"], row["helped_pain_2"], row["helped_cough_1"]) == (61.5, 1, 1, None)
    labelled = csv_rows(export(store, "paged", "csv", labels=True)[0])[0]
    assert (labelled["days_sleep"], labelled["days_energy"]) == ("Often", "Never")
    assert sheet_rows(export(store, "paged", "xlsx")[0])[0]["days_sleep"] == 1
    for format_name in ("sav", "dta"):
        rows, metadata = labelled_rows(export(store, "paged", format_name)[0], format_name, tmp_path)
        assert rows[0]["days_sleep"] == 1
        assert metadata.column_names_to_labels["days_sleep"] == "How often?: Sleep"
        assert metadata.variable_value_labels["days_sleep"] == {0: "Never", 1: "Often"}


def test_json_lines_have_the_answers_as_they_are_given(store: SessionStore) -> None:
    assert [row["answers"] for row in jsonl_rows(export(store, "paged", "jsonl")[0])] == [ANN, BEN]


def test_codebook_says_where_a_field_is_asked_and_what_a_row_means(store: SessionStore) -> None:
    layout = Export(store, ExportRequest(survey_id="paged")).layout
    columns = {column["name"]: column for column in codebook_to_dict(layout)["columns"]}
    assert columns["weight"]["condition"] == 'on page body (after sex; shown if answers.sex == "f")'
    assert columns["smokes"]["condition"] == (
        'on page body (after sex; shown if answers.sex == "f"); shown if answers.sex == "f"'
    )
    assert (columns["weight"]["type"], columns["days_sleep"]["type"]) == ("number", "grid")
    sleep = columns["days_sleep"]
    assert (sleep["label"], sleep["concept"]) == (
        "How often?: Sleep",
        {"system": "http://loinc.org", "code": "44259-0"},
    )
    assert [coded["label"] for coded in sleep["values"]] == ["Never", "Often"]
    assert columns["helped_pain_2"]["values"][0]["label"] == "Tea"


def test_field_and_the_step_that_it_was_have_one_column(opened: Opened) -> None:
    """Answers are found by the session's revision."""
    store = opened(f"{HEAD}  - {{id: weight, type: number, prompt: Weight}}\n  - {{id: old, type: info, prompt: p}}\n")
    save(store, "paged", "old", {"weight": 70})
    store = opened(SURVEY)
    save(store, "paged", "ann", ANN)
    ann, old = csv_rows(export(store, "paged", "csv")[0])
    assert (ann["weight"], old["weight"]) == ("61.5", "70")
