"""Columns over several revisions, unreadable sessions, and filters."""

import json
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet
import pytest

from app.errors import InvalidInput, MissingKey
from app.operations.export import codebook
from app.operations.export.export import Export
from app.operations.export.layout import Layout
from app.operations.export.programs import PLAIN, SPSS, STATA, valid_names
from app.operations.export.request import ExportRequest
from app.sessions.service import SessionStore
from app.store import export_pages
from app.survey import parse_survey
from app.survey.commands import Begin
from app.survey.snapshot import SessionKey
from tests.operations.export.conftest import Opened
from tests.operations.export.reading import csv_rows, export, labelled_rows, parquet_rows, save, sheet_rows
from tests.store.contents import clear
from tests.store.test_erasures import begin, set_aside

HEAD = "id: changing\ntitle: It changes\nlanguage: en\nsteps:\n"
OLDER = HEAD + (
    "  - {id: same, type: choice, prompt: Old words, options: [left, right]}\n"
    "  - {id: turned, type: number, prompt: A number}\n"
    "  - {id: gone, type: text, prompt: Only then}\n"
)
NEWER = HEAD + (
    "  - {id: turned, type: text, prompt: A text now}\n"
    "  - {id: same, type: choice, prompt: New words, options: [middle, right]}\n"
)


def test_insertions_have_words_in_labels() -> None:
    """No session fills them: the title and the labels of the codebook, and so those of all formats."""
    text = NEWER.replace("It changes", '"It changes {{ today }}"').replace("New words", "'New {{ answers.turned }}'")
    document = codebook.codebook_to_dict(Layout([parse_survey(text, "changing.yaml")]))
    assert document["title"] == "It changes [today]"
    assert [column["label"] for column in document["columns"] if column["name"] == "same"] == ["New [turned]"]


def test_columns_are_of_all_revisions(opened: Opened) -> None:
    """In the newest order; a changed type has two columns, and codes do not change."""
    store = opened(OLDER)
    key = SessionKey("changing", "ann")
    store.turns.get_or_create(key, is_audio_mode=False)
    older = store.catalogue.surveys["changing"].revision
    save(store, "changing", "ann", {"same": "left", "turned": 5, "gone": "x"})
    store = opened(NEWER)
    save(store, "changing", "ben", {"turned": "five", "same": "middle"})
    exporting = Export(store, ExportRequest(survey_id="changing"))
    names = [column.name for column in exporting.layout.columns]
    assert names[-7:] == ["current_step", "turned", "turned_number", "same", "gone", "skipped", "other_answers"]
    ann, ben = csv_rows(export(store, "changing", "csv")[0])
    assert (ann["turned"], ann["turned_number"], ann["same"], ann["gone"]) == (None, "5", "left", "x")
    assert (ben["turned"], ben["turned_number"], ben["same"], ben["gone"]) == ("five", None, "middle", None)
    columns = {column["name"]: column for column in codebook.codebook_to_dict(exporting.layout)["columns"]}
    assert {coded["value"]: coded["code"] for coded in columns["same"]["values"]} == {
        "left": 1,
        "right": 2,
        "middle": 3,
    }
    assert [prompt["prompt"] for prompt in columns["same"]["prompts"]] == ["New words", "Old words"]
    assert (columns["gone"]["revisions"], columns["gone"]["condition"]) == ([older], "in older revisions only")
    assert "in older revisions only" in codebook.codebook_to_markdown(exporting.layout)


def test_names_are_valid_and_unique_for_each_program() -> None:
    """Despite reserved words, lengths, and names that differ only by case."""
    wanted = ["q1", "Q1", "with", "int", "str5", "a" * 64, "a" * 63 + "b", "q1_2"]
    assert valid_names(wanted, PLAIN) == ["q1", "Q1_2", "with", "int", "str5", "a" * 64, "a" * 63 + "b", "q1_2_2"]
    for rules, reserved in ((SPSS, {"with"}), (STATA, {"with", "int", "str5"})):
        names = valid_names(wanted, rules)
        assert len({name.lower() for name in names}) == len(wanted)
        assert max(map(len, names)) <= rules.max_length
        assert not reserved & set(names)


def test_unreadable_sessions_are_left_out_and_counted(store: SessionStore) -> None:
    """As are set-aside sessions and unreadable events; all others are exported once."""
    clear(store)
    begin(store, SessionKey("phq9", "ann"))
    set_aside(store, SessionKey("phq9", "ann"))
    for user in ("ann", "ben", "cid", "dan"):
        begin(store, SessionKey("phq9", user))
        begin(store, SessionKey("intake", user))
    statements = (
        "UPDATE sessions SET answers = '{' WHERE survey_id = 'phq9' AND user_id = 'ben'",
        "UPDATE session_history SET answer = '{' WHERE survey_id = 'phq9' AND user_id = 'cid' AND version = 2",
    )
    for statement in statements:
        store.run_transaction(lambda connection: connection.exec_driver_sql(statement))  # noqa: B023 - called at once
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(export_pages, "SESSIONS_A_PAGE", 2)
        patch.setattr(export_pages, "SCAN_LIMIT", 3)
        patch.setattr(export_pages, "EVENTS_A_PAGE", 2)
        data, counts = export(store, "phq9", "long")
        counted = Export(store, ExportRequest(survey_id="phq9", format="long")).count()
    assert [(row["user_id"], row["version"]) for row in csv_rows(data)] == [
        *(("ann", str(version)) for version in (1, 2, 3)),
        *(("cid", str(version)) for version in (1, 3)),
        *(("dan", str(version)) for version in (1, 2, 3)),
    ]
    assert counts.missing() == counted.missing() == {"set_aside": 1, "unreadable": 1, "events": 1}


def test_filters_select_sessions(store: SessionStore) -> None:
    """By start, change, mode, and status at the time of the export."""
    clear(store)
    day = 86_400 * 1_000_000
    now = store.clock()
    for user, ago, is_audio in (("old", 30, False), ("new", 1, True)):
        store.turns.submit(SessionKey("phq9", user), Begin(at=now - ago * day, is_audio_mode=is_audio))

    def users(**options: object) -> list[str]:
        return [row["user_id"] for row in csv_rows(export(store, "phq9", "csv", **options)[0])]

    assert users() == ["new", "old"]
    assert users(since=now - 2 * day) == users(updated_since=now - 2 * day) == users(mode="audio") == ["new"]
    assert users(until=now - 2 * day) == users(status="expired") == users(mode="text") == ["old"]
    assert users(status="in_progress") == ["new"]


@pytest.mark.one_database
def test_export_is_refused_when_a_key_is_missing(store: SessionStore) -> None:
    """A session that is left out would look erased."""
    clear(store)
    begin(store, SessionKey("phq9", "ann"))
    encrypted = "UPDATE sessions SET answers = 'enc:1:01234567:AAAA' WHERE user_id = 'ann'"
    store.run_transaction(lambda connection: connection.exec_driver_sql(encrypted))
    with pytest.raises(MissingKey):
        export(store, "phq9", "csv")


TRANSLATED = """
id: changing
title: {en: It changes, de: Es ändert sich}
language: en
languages: [en, de]
steps:
  - id: same
    type: choice
    prompt: {en: Which, de: Welche}
    code: {system: "http://loinc.org", code: 69725-0}
    options:
      - {value: left, label: {en: On the left, de: Links}, code: {system: "http://example.org", code: L}}
      - {value: right, label: On the right}
  - {id: why, type: text, prompt: Why, show_if: answers.same == "left"}
"""


def test_labels_are_in_the_wanted_language_where_the_revision_has_it(opened: Opened) -> None:
    """An older revision without it keeps its own words."""
    save(opened(OLDER), "changing", "ann", {"same": "left"})
    store = opened(TRANSLATED)
    save(store, "changing", "ben", {"same": "left"})
    rows = csv_rows(export(store, "changing", "csv", labels=True, language="de")[0])
    assert [row["same"] for row in rows] == ["Links", "Links"]
    assert [row["same"] for row in csv_rows(export(store, "changing", "csv", labels=True)[0])] == ["On the left"] * 2
    german = codebook.codebook_to_dict(Export(store, ExportRequest(survey_id="changing", language="de")).layout)
    same = next(column for column in german["columns"] if column["name"] == "same")
    assert (german["language"], german["title"], same["label"]) == ("de", "Es ändert sich", "Welche")
    assert [coded["label"] for coded in same["values"]] == ["Links", "On the right"]


@pytest.mark.parametrize("language", ["DE", "de-AT"])
def test_language_is_matched_as_everywhere(opened: Opened, language: str) -> None:
    """Case does not matter, and a region falls back to its language."""
    layout = Export(opened(TRANSLATED), ExportRequest(survey_id="changing", language=language)).layout
    assert codebook.codebook_to_dict(layout)["language"] == "de"


def test_language_that_no_revision_has_is_refused_with_those_that_it_has(opened: Opened) -> None:
    with pytest.raises(InvalidInput, match="no texts in fr; it has de, en"):
        Export(opened(TRANSLATED), ExportRequest(survey_id="changing", language="fr"))


def test_codebook_has_the_concepts_and_the_condition_of_a_step(opened: Opened) -> None:
    """So that an export can be joined with other data by LOINC or SNOMED codes."""
    layout = Export(opened(TRANSLATED), ExportRequest(survey_id="changing")).layout
    columns = {column["name"]: column for column in codebook.codebook_to_dict(layout)["columns"]}
    assert columns["same"]["concept"] == {"system": "http://loinc.org", "code": "69725-0"}
    assert [coded["concept"] for coded in columns["same"]["values"]] == [
        {"system": "http://example.org", "code": "L"},
        None,
    ]
    assert columns["why"]["condition"] == 'after same; shown if answers.same == "left"'
    assert "http://loinc.org 69725-0" in codebook.codebook_to_markdown(layout)


OTHERS = """
id: others
title: {en: Others, de: Andere}
language: en
languages: [en, de]
steps:
  - id: why
    type: choice
    prompt: {en: Why, de: Warum}
    options: [{value: a, label: {en: Apple, de: Apfel}}, {value: b, label: {en: Else, de: Anderes}, other: true}]
  - id: how
    type: choices
    prompt: {en: How, de: Wie}
    options: [{value: x, label: {en: Bus, de: Bus}}, {value: y, label: {en: Else, de: Anders}, other: true}]
  - id: best
    type: ranking
    prompt: {en: Best, de: Bestes}
    options: [{value: a, label: {en: Apple, de: Apfel}}, b]
  - {id: pain, type: scale, prompt: {en: Pain, de: Schmerz}, min: 0, max: 3, min_label: {en: none, de: keiner}}
  - {id: sure, type: boolean, prompt: {en: Sure, de: Sicher}}
"""
LABELS = {
    "why": "Warum",
    "why_other": "Warum: Anderes",
    "how_1": "Wie: Bus",
    "how_2": "Wie: Anders",
    "how_2_other": "Wie: Anders",
    "best_1": "Bestes: Apfel",
    "pain": "Schmerz",
    "sure": "Sicher",
}
VALUE_LABELS = {
    "why": {1: "Apfel", 2: "Anderes"},
    "how_2": {0: "Nein", 1: "Ja"},
    "pain": {0: "keiner"},
    "sure": {0: "Nein", 1: "Ja"},
}


@pytest.fixture
def others(opened: Opened) -> SessionStore:
    """Return a store of a survey with other texts, in two languages, and one session."""
    store = opened(OTHERS)
    answers = {
        "why": {"value": "b", "text": "so"},
        "how": [{"value": "y", "text": "am"}],
        "best": ["b", "a"],
        "pain": 0,
    }
    save(store, "others", "ann", {**answers, "sure": True})
    return store


@pytest.mark.parametrize("format_name", ["sav", "dta"])
def test_spss_and_stata_have_all_labels_in_the_wanted_language(
    others: SessionStore, tmp_path: Path, format_name: Any
) -> None:
    """Of other texts, too; what was written is as it was."""
    data, _ = export(others, "others", format_name, language="de")
    (ann,), metadata = labelled_rows(data, format_name, tmp_path)
    assert {name: metadata.column_names_to_labels[name] for name in LABELS} == LABELS
    assert {name: metadata.variable_value_labels[name] for name in VALUE_LABELS} == VALUE_LABELS
    assert (ann["why_other"], ann["how_2_other"]) == ("so", "am")


@pytest.mark.parametrize(("format_name", "read"), [("csv", csv_rows), ("parquet", parquet_rows), ("xlsx", sheet_rows)])
def test_cells_and_codebook_are_in_the_wanted_language(others: SessionStore, format_name: Any, read: Any) -> None:
    """As is the codebook that a file contains."""
    data, _ = export(others, "others", format_name, labels=True, language="de")
    (ann,) = read(data)
    assert (ann["why"], ann["why_other"]) == ("Anderes", "so")
    if format_name == "xlsx":
        assert LABELS.items() <= {row["column"]: row["label"] for row in sheet_rows(data, "codebook")}.items()
    if format_name == "parquet":
        schema = pyarrow.parquet.read_schema(pyarrow.BufferReader(data))
        assert {name: schema.field(name).metadata[b"label"].decode() for name in LABELS} == LABELS
        assert json.loads(schema.metadata[b"stepkeep.codebook"])["language"] == "de"


@pytest.mark.parametrize("format_name", ["long", "jsonl"])
def test_format_without_labels_takes_no_language(format_name: Any) -> None:
    """Answers are the same in every language."""
    with pytest.raises(InvalidInput, match=rf"language requires the format csv .* not {format_name}"):
        ExportRequest(survey_id="others", format=format_name, language="de")
