"""What only some surveys' sessions record: the language, the ending, and which answers were confirmed."""

from pathlib import Path
from typing import Any

import pytest

from app.operations.export import codebook
from app.operations.export.export import Export
from app.operations.export.request import ExportRequest
from app.sessions.service import SessionStore
from app.survey.commands import Answer, Back, Begin, Restart, SetLanguage
from app.survey.snapshot import SessionKey
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

AT = 1_700_000_000_000_000
SURVEY = """
id: recorded
title: {en: It records, de: Es merkt sich}
language: en
languages: [en, de]
steps:
  - {id: weight, type: number, prompt: Weight, check: [{that: answer < 200, message: "Sure?", level: warning}]}
  - {id: height, type: number, prompt: Height, check: [{that: answer < 3, message: "Sure?", level: warning}]}
  - {id: said, type: text, prompt: Said, required: false}
end:
  - {when: answers.weight > 100, title: {en: Come soon, de: Kommen Sie bald}}
  - {text: Goodbye}
"""
PLAIN = """
id: recorded
title: It records nothing
language: de
steps:
  - {id: weight, type: number, prompt: Weight}
"""


def answer(
    store: SessionStore, user_id: str, answers: dict[str, Any], *languages: str, confirmed: tuple[str, ...] = ()
) -> SessionKey:
    """Begin and answer, confirming the steps that are named."""
    key = SessionKey("recorded", user_id)
    store.turns.submit(key, Begin(at=AT, languages=languages))
    for step, value in answers.items():
        store.turns.submit(key, Answer(at=AT, step=step, value=value, confirmed=step in confirmed))
    return key


@pytest.fixture
def store(opened: Opened) -> SessionStore:
    """Return a store with a session of an older revision, one that is completed, and one that is not."""
    store = opened(PLAIN)
    answer(store, "old", {"weight": 70})
    store = opened(SURVEY)
    answer(store, "ann", {"weight": 250, "height": 1.8, "said": "Ja"}, "de", confirmed=("weight",))
    answer(store, "ben", {"weight": 250, "height": 4}, confirmed=("weight", "height"))
    return store


EXPECTED = {
    "ann": ("de", 1, "weight"),
    "ben": ("en", None, "weight height"),
    "old": ("de", None, None),
}


@pytest.mark.parametrize(("format_name", "read"), [("csv", csv_rows), ("parquet", parquet_rows), ("xlsx", sheet_rows)])
def test_row_has_language_ending_and_confirmed_steps(store: SessionStore, format_name: Any, read: Any) -> None:
    """Also of a session whose older revision recorded none of them."""
    rows = read(export(store, "recorded", format_name)[0])
    number = int if format_name == "csv" else lambda value: value
    assert {
        row["user_id"]: (row["language"], row["ending"] and number(row["ending"]), row["confirmed"]) for row in rows
    } == EXPECTED


@pytest.mark.parametrize("format_name", ["sav", "dta"])
def test_spss_and_stata_have_labels_of_endings(store: SessionStore, tmp_path: Path, format_name: Any) -> None:
    """An ending without a title has its number."""
    rows, metadata = labelled_rows(export(store, "recorded", format_name)[0], format_name, tmp_path)
    found = {row["user_id"]: (row["language"], row["ending"], row["confirmed"] or None) for row in rows}
    assert found == EXPECTED
    assert metadata.variable_value_labels["ending"] == {1: "Come soon", 2: "ending 2"}


def test_json_line_has_the_ending_and_the_confirmed_steps(store: SessionStore) -> None:
    """The same with and without history; its answers have language and confirmation."""
    plain = jsonl_rows(export(store, "recorded", "jsonl")[0])
    full = jsonl_rows(export(store, "recorded", "jsonl", history=True)[0])
    for rows in (plain, full):
        assert {row["user_id"]: (row["language"], row["ending"], row["confirmed"]) for row in rows} == {
            "ann": ("de", 1, ["weight"]),
            "ben": ("en", None, ["weight", "height"]),
            "old": ("de", None, []),
        }
    ann = next(row for row in full if row["user_id"] == "ann")
    assert [(event["language"], event["confirmed"], event["ending"]) for event in ann["history"]] == [
        ("de", None, None),
        ("de", True, None),
        ("de", False, None),
        ("de", False, 1),
    ]


def test_long_has_the_language_of_each_answer(store: SessionStore) -> None:
    """As the mode: that after the event; and whether a warning was confirmed."""
    key = answer(store, "eve", {"weight": 70})
    store.turns.submit(key, SetLanguage(at=AT, language="de"))
    store.turns.submit(key, Answer(at=AT, step="height", value=4, confirmed=True))
    rows = csv_rows(export(store, "recorded", "long")[0])
    assert [(row["action"], row["language"], row["confirmed"], row["ending"]) for row in rows if row["user_id"] == "eve"] == [
        ("started", "en", None, None),
        ("answered", "en", "false", None),
        ("language_set", "de", None, None),
        ("answered", "de", "true", None),
    ]  # fmt: skip
    assert [row["language"] for row in rows if row["user_id"] == "old"] == ["de", "de"]


def test_answer_has_the_language_of_its_revision_when_a_walk_begins_in_one_that_lacks_the_session_s(
    opened: Opened,
) -> None:
    """The choice comes back with a revision that has it."""
    key = answer(opened(SURVEY), "eve", {"weight": 70}, "de")
    for text in (PLAIN.replace("language: de", "language: fr"), SURVEY):
        store = opened(text)
        store.turns.submit(key, Restart(at=AT))
        store.turns.submit(key, Answer(at=AT, step="weight", value=70))
    rows = csv_rows(export(store, "recorded", "long")[0])
    assert [(row["action"], row["language"]) for row in rows] == [
        ("started", "de"),
        ("answered", "de"),
        ("restarted", "fr"),
        ("answered", "fr"),
        ("restarted", "de"),
        ("answered", "de"),
    ]


def test_confirmation_ends_with_the_answer(store: SessionStore) -> None:
    """It is replaced, or the walk begins again, or a program replaces the state."""
    key = answer(store, "eve", {"weight": 250}, confirmed=("weight",))

    def confirmed() -> str | None:
        return next(
            row["confirmed"] for row in csv_rows(export(store, "recorded", "csv")[0]) if row["user_id"] == "eve"
        )

    assert confirmed() == "weight"
    store.turns.submit(key, Back(at=AT))
    store.turns.submit(key, Answer(at=AT, step="weight", value=80))
    assert confirmed() is None
    store.turns.submit(key, Answer(at=AT, step="height", value=4, confirmed=True))
    assert confirmed() == "height"
    save(store, "recorded", "eve", {"weight": 80, "height": 4})
    assert confirmed() is None
    store.turns.submit(key, Restart(at=AT))
    store.turns.submit(key, Answer(at=AT, step="weight", value=250, confirmed=True))
    assert confirmed() == "weight"
    store.turns.submit(key, Restart(at=AT))
    assert confirmed() is None


def test_columns_of_a_survey_that_records_none_stay(opened: Opened) -> None:
    """In every format; a step may have such a name."""
    text = PLAIN.replace("id: weight", "id: language")
    store = opened(text)
    names = [column.name for column in Export(store, ExportRequest(survey_id="recorded")).layout.columns]
    assert names[-4:] == ["current_step", "language", "skipped", "other_answers"]
    answer(store, "ann", {"language": 5})
    assert csv_rows(export(store, "recorded", "csv")[0])[0]["language"] == "5"
    assert "confirmed" not in csv_rows(export(store, "recorded", "long")[0])[0]
    assert "ending" not in jsonl_rows(export(store, "recorded", "jsonl")[0])[0]


@pytest.mark.parametrize("name", ["skipped", "other_answers", "confirmed", "ending", "language"])
def test_step_with_the_name_of_another_column_gets_another(opened: Opened, name: str) -> None:
    """Whether it is before the steps or behind them."""
    store = opened(SURVEY.replace("id: said", f"id: {name}"))
    answer(store, "ann", {"weight": 70, "height": 2, name: "Yes"})
    names = [column.name for column in Export(store, ExportRequest(survey_id="recorded")).layout.columns]
    assert len(set(names)) == len(names)
    assert csv_rows(export(store, "recorded", "csv")[0])[0][f"{name}_2"] == "Yes"


def test_codebook_describes_them(store: SessionStore) -> None:
    """With the endings in the language that is asked for."""
    layout = Export(store, ExportRequest(survey_id="recorded", language="de")).layout
    columns = {column["name"]: column for column in codebook.codebook_to_dict(layout)["columns"]}
    assert [value["label"] for value in columns["ending"]["values"]] == ["Kommen Sie bald", "ending 2"]
    assert [columns[name]["kind"] for name in ("language", "ending", "confirmed")] == ["text", "whole", "text"]
    rows = csv_rows(export(store, "recorded", "csv", language="de")[0])
    assert {row["user_id"]: row["language"] for row in rows} == {"ann": "de", "ben": "en", "old": "de"}
