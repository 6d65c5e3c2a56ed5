"""Parameters and computed values in exports."""

import json
from pathlib import Path
from typing import Any

import pytest

from app.operations.export import codebook
from app.operations.export.export import Export
from app.operations.export.layout import Layout
from app.operations.export.request import ExportRequest
from app.sessions.service import SessionStore
from app.sessions.validation import check_command
from app.survey import parse_survey
from app.survey.commands import Answer, Begin, Rejection, Restart, Save
from app.survey.flow import decide
from app.survey.parameters import Given, accept_parameters
from app.survey.snapshot import SessionKey
from app.survey.state import apply
from tests.operations.export.conftest import Opened
from tests.operations.export.reading import (
    csv_rows,
    export,
    jsonl_rows,
    labelled_rows,
    parquet_rows,
    sheet_rows,
)

AT = 1_700_000_000_000_000
SURVEY = """
id: known
title: It knows
language: en
parameters:
  clinic: {type: choice, from: url, options: [{value: n, label: North}, {value: s, label: South}]}
  visit: {type: number, from: api, integer: true, required: false}
  step: {type: text, from: api, required: false}
  _own: {type: boolean, from: api, required: false}
values:
  bmi: round(answers.weight / (answers.height * answers.height), 1)
  band: 'values.bmi >= 30 ? "high" : "usual"'
  tall: answers.height > 1.9
  weight: '[answers.weight]'
  again: coalesce(values.bmi, 0) + coalesce(parameters.visit, 0)
steps:
  - {id: weight, type: number, prompt: Weight}
  - {id: height, type: number, prompt: Height}
"""
EARLIER = """
id: known
title: It knew less
language: en
values:
  bmi: '"unknown"'
steps:
  - {id: weight, type: number, prompt: Weight}
"""
NAMES = [
    "clinic",
    "visit",
    "step",
    "known_own",
    "weight",
    "height",
    "bmi",
    "bmi_text",
    "band",
    "tall",
    "weight_2",
    "again",
]


def answer(store: SessionStore, user_id: str, answers: dict[str, Any], **api: Any) -> SessionKey:
    key = SessionKey("known", user_id)
    parameters = store.catalogue.surveys["known"].parameters
    given = accept_parameters(parameters, Given(api={"clinic": "n", **api}))
    store.turns.submit(key, Begin(at=AT, parameters=given))
    for step, value in answers.items():
        store.turns.submit(key, Answer(at=AT, step=step, value=value))
    return key


@pytest.fixture
def store(opened: Opened) -> SessionStore:
    """Return a store with a session of an older revision, one that is completed, and one that is not."""
    answer(opened(EARLIER), "old", {"weight": 70})
    store = opened(SURVEY)
    answer(store, "ann", {"weight": 130, "height": 2}, visit=2, step="=x", _own=True)
    answer(store, "ben", {"weight": 70}, clinic="s")
    return store


def known(row: Any, *names: str) -> tuple[Any, ...]:
    return tuple(row[name] for name in names)


TYPED = {
    "ann": ("n", 2, "=x", True, 32.5, None, "high", True, "[130]", 34.5),
    "ben": ("s", None, None, None, None, None, None, None, "[70]", 0),
    "old": (None, None, None, None, None, "unknown", None, None, None, None),
}
KNOWN = [name for name in NAMES if name not in {"weight", "height"}]


def test_row_has_a_column_for_each_parameter_and_value(store: SessionStore) -> None:
    """Parameters before the steps, values after them; of an unfinished session as the answers are now."""
    layout = Export(store, ExportRequest(survey_id="known")).layout
    assert [column.name for column in layout.columns][11:-2] == NAMES
    rows = {row["user_id"]: row for row in csv_rows(export(store, "known", "csv")[0])}
    assert known(rows["ann"], *KNOWN) == ("n", "2", "=x", "true", "32.5", None, "high", "true", "[130]", "34.5")
    assert known(rows["ben"], *KNOWN) == ("s", *(None,) * 7, "[70]", "0")
    assert known(rows["old"], *KNOWN) == (*(None,) * 5, "unknown", *(None,) * 4)
    labelled = csv_rows(export(store, "known", "csv", labels=True)[0])
    assert {row["user_id"]: row["clinic"] for row in labelled} == {"ann": "North", "ben": "South", "old": None}


def test_labels_of_a_parameter_are_in_the_language_of_the_export(opened: Opened) -> None:
    """As those of steps are."""
    in_two = SURVEY.replace("language: en", "language: en\nlanguages: [en, de]")
    store = opened(in_two.replace("label: North", "label: {en: North, de: Nord}"))
    answer(store, "ann", {})
    (row,) = csv_rows(export(store, "known", "csv", labels=True, language="de")[0])
    assert row["clinic"] == "Nord"


@pytest.mark.parametrize(("format_name", "read"), [("parquet", parquet_rows), ("xlsx", sheet_rows)])
def test_columns_are_typed(store: SessionStore, format_name: Any, read: Any) -> None:
    rows = read(export(store, "known", format_name)[0])
    assert {row["user_id"]: known(row, *KNOWN) for row in rows} == TYPED


@pytest.mark.parametrize("format_name", ["sav", "dta"])
def test_spss_and_stata_have_labels_of_choices(store: SessionStore, tmp_path: Path, format_name: Any) -> None:
    rows, metadata = labelled_rows(export(store, "known", format_name)[0], format_name, tmp_path)
    found = {row["user_id"]: row for row in rows}
    assert known(found["ann"], "clinic", "visit", "bmi", "band", "tall") == (1, 2, 32.5, "high", 1)
    assert metadata.variable_value_labels["clinic"] == {1: "North", 2: "South"}
    assert metadata.column_names_to_labels["bmi"] == "Computed value bmi"


def test_event_has_parameters_and_the_values_that_it_recorded(store: SessionStore) -> None:
    """With other names where events have such a column."""
    rows = csv_rows(export(store, "known", "long")[0])
    found = [
        (row["action"], *known(row, "step", "clinic", "step_2", "bmi", "bmi_text"))
        for row in rows
        if row["user_id"] in {"ann", "old"}
    ]
    assert found == [
        ("started", "weight", "n", "=x", None, None),
        ("answered", "weight", "n", "=x", None, None),
        ("answered", "height", "n", "=x", "32.5", None),
        ("started", "weight", None, None, None, None),
        ("answered", "weight", None, None, None, "unknown"),
    ]


def test_json_line_has_them_with_and_without_history(store: SessionStore) -> None:
    rows = {row["user_id"]: row for row in jsonl_rows(export(store, "known", "jsonl", history=True)[0])}
    assert rows["ann"]["parameters"] == {"clinic": "n", "visit": 2, "step": "=x", "_own": True}
    assert rows["ann"]["values"] == {"bmi": 32.5, "band": "high", "tall": True, "weight": [130], "again": 34.5}
    first, *_, last = rows["ann"]["history"]
    assert (first["parameters"], first["values"]) == (rows["ann"]["parameters"], None)
    assert (last["parameters"], last["values"]) == (None, rows["ann"]["values"])


def test_recorded_values_stay(store: SessionStore) -> None:
    """A restart forgets them, and keeps the parameters."""
    store.turns.submit(SessionKey("known", "ann"), Restart(at=AT))
    row = next(row for row in csv_rows(export(store, "known", "csv")[0]) if row["user_id"] == "ann")
    assert known(row, "clinic", "bmi", "weight_2") == ("n", None, "[null]")


PAGED = """
id: known
title: T
language: en
values: {bmi: answers.weight / 2}
steps:
  - {id: body, type: page, prompt: P, fields: [{id: weight, type: number, prompt: W}]}
  - {id: age, type: number, prompt: A}
"""


@pytest.mark.parametrize(
    ("answers", "cells", "others"),
    [
        ({"values.bmi": 99, "body": {"weight": 4}}, (4, None, 2), {"values.bmi": 99}),
        ({"weight": 5}, (None, None, None), {"weight": 5}),
        ({"body": {"weight": 4, "age": 5, "values.bmi": 6}}, (4, None, 2), {"body": {"age": 5, "values.bmi": 6}}),
        (
            {"body.age": 1, "weight": 2, "body": {"weight": "x", "age": 3}},
            (None, None, None),
            {"body.age": 1, "weight": 2, "body": {"weight": "x", "age": 3}},
        ),
        ({"body": {"age": None}}, (None, None, None), None),
    ],
)
def test_saved_answer_fills_no_column_of_another_name(
    answers: dict[str, Any], cells: tuple[Any, ...], others: dict[str, Any] | None
) -> None:
    """A whole state that an integrator saves has any names; what no step asks for is in ``other_answers``."""
    survey = parse_survey(PAGED, "known.yaml")
    command = Save(at=AT, current_step="age", answers=answers, step_history=(), is_audio_mode=False, session_data=None)
    check_command(command)
    saved = decide(survey, None, command)
    assert not isinstance(saved, Rejection)
    state = apply(None, saved)
    layout = Layout([survey])
    row = dict(
        zip([column.name for column in layout.columns], layout.row(SessionKey("known", "ann"), state, AT), strict=True)
    )
    assert known(row, "weight", "age", "bmi") == cells
    assert (None if row["other_answers"] is None else json.loads(row["other_answers"])) == others
    assert row["skipped"] is None


def test_codebook_has_the_expressions(store: SessionStore) -> None:
    """Of each revision."""
    layout = Export(store, ExportRequest(survey_id="known")).layout
    columns = {column["name"]: column for column in codebook.codebook_to_dict(layout)["columns"]}
    assert (columns["clinic"]["parameter"], columns["clinic"]["step"], columns["clinic"]["value"]) == (
        "clinic",
        None,
        None,
    )
    assert [value["label"] for value in columns["clinic"]["values"]] == ["North", "South"]
    assert (columns["weight_2"]["value"], columns["weight_2"]["step"]) == ("weight", None)
    newest = layout.surveys[0].revision
    assert columns["bmi"]["expressions"] == [
        {"revision": newest, "expression": "round(answers.weight / (answers.height * answers.height), 1)"}
    ]
    assert columns["tall"]["kind"] == "boolean"
    assert "answers.height \\> 1.9" in codebook.codebook_to_markdown(layout)


def test_codebook_has_the_source_and_the_default_of_a_parameter() -> None:
    """In a table beside the conditions of steps."""
    text = SURVEY.replace(
        "step: {type: text, from: api, required: false}", "step: {type: text, from: invitation, default: 'a \"b\"'}"
    )
    layout = Layout([parse_survey(text, "known.yaml")])
    found = {
        column["name"]: (column["from"], column["default"]) for column in codebook.codebook_to_dict(layout)["columns"]
    }
    assert [found[name] for name in ("clinic", "step", "weight")] == [
        ("url", None),
        ("invitation", 'a "b"'),
        (None, None),
    ]
    rows = {row[0]: row[7] for row in codebook.codebook_rows(layout)}
    assert (rows["clinic"], rows["step"]) == ("from url", r'from invitation; default "a \"b\""')


def test_value_has_every_expression_of_its_column(opened: Opened) -> None:
    opened(SURVEY).close()
    layout = Export(opened(SURVEY.replace("height > 1.9", "height > 1.8")), ExportRequest(survey_id="known")).layout
    row = next(row for row in codebook.codebook_rows(layout) if row[0] == "tall")
    assert row[7] == "answers.height > 1.8 or, in older revisions, answers.height > 1.9"
