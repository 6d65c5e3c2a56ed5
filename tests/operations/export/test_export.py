"""Exports read back by other hands: whatever was answered is in each format, in its column or in other_answers."""

import datetime
import itertools
import json
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import update

from app.errors import InvalidInput, NoSuchSurvey
from app.operations.export import excel, spss_stata
from app.operations.export import optional as extras
from app.operations.export.export import Export
from app.operations.export.request import Asked
from app.sessions.service import SessionStore, open_store
from app.settings import Settings
from app.store.tables import sessions
from app.survey.commands import Answer, Begin, Draft, SetMode
from app.survey.snapshot import SessionKey
from tests.conftest import examples
from tests.operations.export.conftest import Opened
from tests.operations.export.reading import (
    csv_rows,
    jsonl_rows,
    labelled_rows,
    made,
    parquet_rows,
    save,
    sheet_rows,
)
from tests.store.contents import clear

SURVEY = """
id: all
title: Every type
language: en
steps:
  - {id: info, type: info, prompt: Read this.}
  - {id: one, type: choice, prompt: "Which one, of\\n both?", options: [{value: a, label: Alpha}, {value: b, label: Beta}]}
  - {id: rated, type: choice, prompt: "How good?", options: [{value: 3, label: good}, {value: 1, label: bad}]}
  - {id: some, type: choices, prompt: "Which?", options: [Rest, {value: 7, label: Seven}, "=1"]}
  - {id: said, type: text, prompt: "In your words?", required: false, max_length: 60000}
  - {id: weight, type: number, prompt: "How heavy?", unit: kg}
  - {id: count, type: number, prompt: "How many?", integer: true}
  - {id: pain, type: scale, prompt: "How bad?", min: 0, max: 10, min_label: none, max_label: worst}
  - {id: born, type: date, prompt: "When?"}
  - {id: smokes, type: boolean, prompt: "Do you?"}
  - {id: status, type: text, prompt: A step that bears the name of another column}
"""
ANSWERS = {
    "info": None,
    "one": "b",
    "rated": 3,
    "some": [7, "=1"],
    "said": None,
    "weight": 70.5,
    "count": 2**53,
    "pain": 0,
    "born": "1970-02-03",
    "smokes": False,
    "status": '=1+1,"x"\n😀',
}


def test_each_type_has_its_own_columns_in_csv(opened: Opened) -> None:
    """Choices one for each option; a date, a truth and a number as they are read by statistics programs."""
    store = opened(SURVEY)
    save(store, "all", "ann", ANSWERS)
    data, counts = made(store, "all", "csv")
    (row,) = csv_rows(data)
    assert (row["one"], row["rated"], row["some_1"], row["some_2"], row["some_3"]) == ("b", "3", "0", "1", "1")
    assert (row["weight"], row["count"], row["pain"]) == ("70.5", "9007199254740992", "0")
    assert (row["born"], row["smokes"], row["said"]) == ("1970-02-03", "false", None)
    assert (row["status"], row["status_2"]) == ("completed", ANSWERS["status"])
    assert (row["skipped"], row["other_answers"], row["started_at"]) == ("said", None, "2023-11-14T22:13:20.000000Z")
    assert (counts.sessions, counts.lacking()) == (1, {})


def test_status_column_is_what_the_filter_chose(opened: Opened) -> None:
    """Also where a survey expires by STEPKEEP_EXPIRES_AFTER, which stands in no stored revision."""
    first = opened(SURVEY).settings
    defaults = Settings(
        database_url=first.database_url, surveys_dir=first.surveys_dir, environment="development", expires_after="1d"
    )
    with closing(open_store(defaults)) as store:
        store.turns.submit(SessionKey("all", "old"), Begin(at=1_700_000_000_000_000))
        store.turns.submit(SessionKey("all", "young"), Begin(at=store.clock()))
        for status, user_id in (("in_progress", "young"), ("expired", "old")):
            data, _ = made(store, "all", "csv", status=status)
            assert [(row["user_id"], row["status"]) for row in csv_rows(data)] == [(user_id, status)]


def test_session_without_a_mode_is_in_text(opened: Opened) -> None:
    """As adopted ones may be: in exactly one of the two exports."""
    store = opened(SURVEY)
    key = save(store, "all", "ann", ANSWERS)
    without = update(sessions).where(sessions.c.user_id == key.user_id).values(is_audio_mode=None)
    store.run_transaction(lambda connection: connection.execute(without).rowcount)
    assert [len(csv_rows(made(store, "all", "csv", mode=mode)[0])) for mode in ("text", "audio")] == [1, 0]


def test_labels_stand_for_values_where_they_are_asked_for(opened: Opened) -> None:
    """In csv, Parquet and Excel."""
    store = opened(SURVEY)
    save(store, "all", "ann", ANSWERS)
    for name, read in (("csv", csv_rows), ("parquet", parquet_rows), ("xlsx", sheet_rows)):
        (row,) = read(made(store, "all", name, labels=True)[0])  # type: ignore[arg-type]
        assert (row["one"], row["rated"]) == ("Beta", "good")


def test_parquet_has_types(opened: Opened) -> None:
    """Also in a file of no session."""
    store = opened(SURVEY)
    assert parquet_rows(made(store, "all", "parquet")[0]) == []
    save(store, "all", "ann", ANSWERS)
    (row,) = parquet_rows(made(store, "all", "parquet")[0])
    assert (row["one"], row["rated"], row["some_1"], row["count"]) == ("b", 3, 0, 2**53)
    assert (row["born"], row["smokes"], row["said"]) == (datetime.date(1970, 2, 3), False, None)
    assert row["started_at"] == datetime.datetime(2023, 11, 14, 22, 13, 20, tzinfo=datetime.UTC)


def test_text_is_no_formula_in_excel(opened: Opened) -> None:
    """Nor a number or link; dates are dates, but for those before 1900, of which Excel knows nothing."""
    store = opened(SURVEY)
    save(store, "all", "ann", ANSWERS)
    save(store, "all", "ben", {"born": "1899-12-31", "said": "https://example.org", "status": "12"})
    data, _ = made(store, "all", "xlsx")
    ann, ben = sheet_rows(data)
    assert (ann["status_2"], ann["weight"], ann["smokes"]) == (ANSWERS["status"], 70.5, False)
    assert (ann["born"], ben["born"]) == (datetime.datetime(1970, 2, 3), "1899-12-31")  # noqa: DTZ001 - Excel's
    assert (ben["said"], ben["status_2"]) == ("https://example.org", "12")
    assert {"one", "some_2"} <= {row["column"] for row in sheet_rows(data, "codebook")}


@pytest.mark.parametrize("format_name", ["sav", "dta"])
def test_labels_and_codes_are_in_spss_and_stata(opened: Opened, tmp_path: Path, format_name: Any) -> None:
    """The prompt is the variable's label, an option's label its code's; what is unanswered is missing."""
    store = opened(SURVEY)
    save(store, "all", "ann", ANSWERS)
    save(store, "all", "ben", {})
    (ann, ben), known = labelled_rows(made(store, "all", format_name)[0], format_name, tmp_path)
    assert known.column_names_to_labels["one"] == "Which one, of both?"
    assert known.variable_value_labels["one"] == {1: "Alpha", 2: "Beta"}
    assert known.variable_value_labels["rated"] == {3: "good", 1: "bad"}
    assert known.variable_value_labels["pain"] == {0: "none", 10: "worst"}
    assert known.variable_value_labels["smokes"] == {0: "no", 1: "yes"}
    assert (ann["one"], ann["rated"], ann["some_2"], ann["count"], ann["smokes"]) == (2, 3, 1, 2**53, 0)
    assert (ann["born"], ann["status_2"]) == (datetime.date(1970, 2, 3), ANSWERS["status"])
    assert ann["started_at"] == datetime.datetime(2023, 11, 14, 22, 13, 20)  # noqa: DTZ001 - neither knows zones
    missing = {ben[name] for name in ("one", "rated", "some_1", "weight", "count", "pain", "born", "smokes")}
    assert (missing, ben["said"], ben["user_id"]) == ({None}, "", "ben")


@pytest.mark.parametrize(("format_name", "kept"), [("sav", 32_767), ("xlsx", 32_767), ("dta", 50_001)])
def test_what_a_format_cannot_hold_is_cut_and_counted(
    opened: Opened, tmp_path: Path, format_name: Any, kept: int
) -> None:
    """Whole characters only; Stata takes long texts as they are."""
    store = opened(SURVEY)
    save(store, "all", "ann", {"said": "x" + "y" * 50_000})
    data, counts = made(store, "all", format_name)
    row = sheet_rows(data)[0] if format_name == "xlsx" else labelled_rows(data, format_name, tmp_path)[0][0]
    assert len(row["said"]) == kept
    assert counts.lacking() == ({} if kept == 50_001 else {"shortened": 1})


def test_numbers_and_dates_that_mean_something_else_are_left_out(opened: Opened, tmp_path: Path) -> None:
    """Stata's largest numbers are missing values, and SPSS's calendar begins in 1582."""
    store = opened(SURVEY)
    save(store, "all", "ann", {"weight": 1e308, "born": "0001-01-01"})
    for format_name, lost in (("dta", {"weight", "born"}), ("sav", {"born"})):
        data, counts = made(store, "all", format_name)  # type: ignore[arg-type]
        (row,), _ = labelled_rows(data, format_name, tmp_path)  # type: ignore[arg-type]
        assert {name for name in ("weight", "born") if row[name] is None} == lost
        assert counts.shortened == len(lost)


def test_formulas_are_marked_only_where_it_is_asked_for(opened: Opened) -> None:
    """OWASP's characters, with a byte order mark for Excel; numbers stay what they are."""
    store = opened(SURVEY)
    for number, first in enumerate("=+-@\t\r"):
        save(store, "all", f"u{number}", {"said": f"{first}1", "weight": -1})
    save(store, "all", "v", {"said": "a=1"})
    exact, _ = made(store, "all", "csv")
    safe, _ = made(store, "all", "csv", spreadsheet_safe=True)
    said = [row["said"] for row in csv_rows(exact)]
    assert [row["said"] for row in csv_rows(safe)] == [*(f"'{text}" for text in said[:-1]), "a=1"]
    assert {row["weight"] for row in csv_rows(safe)} == {"-1", None}
    assert safe.startswith(b"\xef\xbb\xbf")
    assert not exact.startswith(b"\xef")


def test_long_has_a_row_an_event_with_its_timings(store: SessionStore) -> None:
    """Seconds since the event before and since the begin, and the mode then; a draft's text only where asked for."""
    clear(store)
    key, at = SessionKey("phq9", "ann"), 1_700_000_000_000_000
    store.turns.submit(key, Begin(at=at, is_audio_mode=True))
    store.turns.submit(key, Draft(at=at + 1_500_000, step="Q1", value="hm"))
    store.turns.submit(key, SetMode(at=at + 3_000_000, is_audio_mode=False))
    store.turns.submit(key, Answer(at=at + 3_250_000, step="Q1", value=2))
    rows = csv_rows(made(store, "phq9", "long")[0])
    assert [row["event"] for row in rows] == ["started", "drafted", "mode_set", "answered"]
    assert [row["mode"] for row in rows] == ["audio", "audio", "text", "text"]
    assert [row["since_previous_s"] for row in rows] == [None, "1.5", "1.5", "0.25"]
    assert [row["since_start_s"] for row in rows] == ["0.0", "1.5", "3.0", "3.25"]
    assert [row["answer"] for row in rows] == [None, None, None, "2"]
    assert rows[-1]["to"] == "Q2"
    assert csv_rows(made(store, "phq9", "long", drafts=True)[0])[1]["answer"] == "hm"
    (session,) = jsonl_rows(made(store, "phq9", "jsonl", history=True)[0])
    assert [one["since_start_s"] for one in session["history"]] == [0.0, 1.5, 3.0, 3.25]


def test_what_a_format_does_not_have_is_refused(opened: Opened, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rather than left out silently; and a survey that never was has no export."""
    store = opened(SURVEY)
    for wrong in (
        {"format": "sav", "labels": True},
        {"format": "csv", "history": True},
        {"format": "jsonl", "drafts": True},
    ):
        with pytest.raises(InvalidInput):
            Export(store, Asked(survey_id="all", **wrong))  # type: ignore[arg-type]
    with pytest.raises(NoSuchSurvey):
        Export(store, Asked(survey_id="none"))
    save(store, "all", "ann", {})
    monkeypatch.setattr(spss_stata, "MAX_CELLS", 1)
    with pytest.raises(InvalidInput, match="since, until"):
        made(store, "all", "dta")
    monkeypatch.setattr(excel, "MAX_ROWS", 0)
    with pytest.raises(InvalidInput, match="rows"):
        made(store, "all", "xlsx")


def test_missing_library_is_named(opened: Opened, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the extra that brings it."""
    store = opened(SURVEY)

    def absent(name: str) -> None:
        raise ModuleNotFoundError(name)

    monkeypatch.setattr(extras.importlib, "import_module", absent)
    with pytest.raises(InvalidInput, match=r"stepkeep\[export\]"):
        made(store, "all", "parquet")
    assert csv_rows(made(store, "all", "csv")[0]) == []


def test_temporary_file_is_gone_however_reading_ends(
    opened: Opened, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also when whoever asked goes away at once."""
    store = opened(SURVEY)
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    exported = Export(store, Asked(survey_id="all", format="parquet")).make()
    assert list(folder.iterdir())
    exported.pieces.close()  # type: ignore[attr-defined]  # a generator
    assert not list(folder.iterdir())


TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=8)
JSON = st.one_of(st.booleans(), st.integers(-(2**53), 2**53), TEXTS, st.lists(st.integers(0, 9), max_size=3))
VALUES: dict[str, Any] = {
    "one": st.sampled_from(["a", "b"]),
    "rated": st.sampled_from([3, 1]),
    "some": st.lists(st.sampled_from(["Rest", 7, "=1"]), unique_by=repr),
    "said": TEXTS,
    "weight": st.floats(allow_nan=False, allow_infinity=False),
    "count": st.integers(-(2**53), 2**53),
    "pain": st.integers(0, 10),
    "born": st.dates().map(str),
    "smokes": st.booleans(),
    "status": TEXTS,
    "unknown": JSON,
}
SESSIONS = st.lists(
    st.fixed_dictionaries({}, optional={name: st.one_of(value, JSON, st.none()) for name, value in VALUES.items()}),
    max_size=4,
)


def restored(row: Any, cell: Any) -> dict[str, Any]:
    """Return the answers that a row of csv or Parquet holds, by ``cell``, which reads one of a type."""
    found: dict[str, Any] = json.loads(row["other_answers"] or "{}")
    found |= dict.fromkeys((row["skipped"] or "").split())
    names = {name: "status_2" if name == "status" else name for name in VALUES if name not in {"some", "unknown"}}
    found |= {step: cell(step, row[name]) for step, name in names.items() if row[name] is not None}
    if row["some_1"] is not None:
        chosen = zip(["Rest", 7, "=1"], (row[f"some_{number}"] for number in (1, 2, 3)), strict=True)
        found["some"] = [value for value, cell in chosen if int(cell)]
    return found


def of_text(step: str, cell: str) -> Any:
    if step in {"one", "said", "status", "born"}:
        return cell
    return json.loads(cell)


def of_type(step: str, cell: Any) -> Any:
    return str(cell) if step == "born" else cell


def in_order(answers: dict[str, Any]) -> dict[str, Any]:
    """Return the answers with what was chosen in the order of the options, which is that of the columns."""
    some = answers.get("some")
    if isinstance(some, list) and set(map(repr, some)) <= {"'Rest'", "7", "'=1'"} and len(set(some)) == len(some):
        return {**answers, "some": [value for value in ("Rest", 7, "=1") if value in some]}
    return answers


@pytest.fixture
def every_type(opened: Opened) -> SessionStore:
    """A store with the survey of every type."""
    return opened(SURVEY)


@examples(60)
@given(sessions=SESSIONS)
def test_whatever_was_answered_is_read_back(every_type: SessionStore, sessions: list[dict[str, Any]]) -> None:
    """From csv and Parquet each answer, exactly, with which steps were skipped; from JSON Lines as it was given."""
    store = every_type
    clear(store)
    for answers, number in zip(sessions, itertools.count()):
        save(store, "all", f"u{number}", answers)
    expected = [in_order(answers) for answers in sessions]
    assert [restored(row, of_text) for row in csv_rows(made(store, "all", "csv")[0])] == expected
    assert [restored(row, of_type) for row in parquet_rows(made(store, "all", "parquet")[0])] == expected
    assert [row["answers"] for row in jsonl_rows(made(store, "all", "jsonl")[0])] == sessions
