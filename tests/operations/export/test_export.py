"""Every answer is in each format, in its column or in other_answers, when other programs read the file."""

import datetime
import json
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import update

from app.errors import InvalidInput, NoSuchSurvey
from app.operations.export import excel, request, spss_stata
from app.operations.export.export import Export
from app.operations.export.request import ExportRequest
from app.sessions.service import SessionStore, open_store
from app.settings import Settings
from app.store.tables import sessions
from app.survey.commands import Answer, Begin, Draft, SetMode
from app.survey.snapshot import SessionKey
from tests.operations.export.conftest import Opened
from tests.operations.export.reading import (
    EVERY_TYPE,
    csv_rows,
    export,
    jsonl_rows,
    labelled_rows,
    parquet_rows,
    save,
    sheet_rows,
)
from tests.store.contents import clear

SURVEY = EVERY_TYPE.read_text()
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
    "woke": "06:30",
    "met": "2024-02-29T23:05",
    "moved": "1999-12",
    "email": "ann@example.org",
    "phone": "+12025550100",
    "best": ["milk", "tea", 5],
    "status": '=1+1,"x"\n😀',
}


def test_csv_has_columns_of_each_step_type(opened: Opened) -> None:
    """Choices have one for each option; values are written as statistics programs read them."""
    store = opened(SURVEY)
    save(store, "all", "ann", ANSWERS)
    data, counts = export(store, "all", "csv")
    (row,) = csv_rows(data)
    assert (row["one"], row["rated"], row["some_1"], row["some_2"], row["some_3"]) == ("b", "3", "0", "1", "1")
    assert (row["weight"], row["count"], row["pain"]) == ("70.5", "9007199254740992", "0")
    assert (row["born"], row["smokes"], row["said"]) == ("1970-02-03", "false", None)
    assert [row[name] for name in ("woke", "met", "moved", "phone")] == [
        ANSWERS[name] for name in ("woke", "met", "moved", "phone")
    ]
    assert [row[f"best_{number}"] for number in (1, 2, 3)] == ["2", "3", "1"]
    assert (row["status"], row["status_2"]) == ("completed", ANSWERS["status"])
    assert (row["skipped"], row["other_answers"], row["created_at"]) == ("said", None, "2023-11-14T22:13:20.000000Z")
    assert (counts.sessions, counts.missing()) == (1, {})


def test_status_column_equals_the_filter(opened: Opened) -> None:
    """Also if the survey expires by STEPKEEP_EXPIRES_AFTER, which no stored revision contains."""
    first = opened(SURVEY).settings
    defaults = Settings(
        database_url=first.database_url, surveys_dir=first.surveys_dir, environment="development", expires_after="1d"
    )
    with closing(open_store(defaults)) as store:
        store.turns.submit(SessionKey("all", "old"), Begin(at=1_700_000_000_000_000))
        store.turns.submit(SessionKey("all", "young"), Begin(at=store.clock()))
        for status, user_id in (("in_progress", "young"), ("expired", "old")):
            data, _ = export(store, "all", "csv", status=status)
            assert [(row["user_id"], row["status"]) for row in csv_rows(data)] == [(user_id, status)]


def test_session_without_a_mode_is_exported_as_text(opened: Opened) -> None:
    """Adopted sessions may lack a mode; they are in exactly one of the two exports."""
    store = opened(SURVEY)
    key = save(store, "all", "ann", ANSWERS)
    without = update(sessions).where(sessions.c.user_id == key.user_id).values(is_audio_mode=None)
    store.run_transaction(lambda connection: connection.execute(without).rowcount)
    assert [len(csv_rows(export(store, "all", "csv", mode=mode)[0])) for mode in ("text", "audio")] == [1, 0]


def test_other_texts_have_columns_of_their_own(opened: Opened, tmp_path: Path) -> None:
    """A choice has one, choices have one for each option that takes a text; values stay what they are."""
    store = opened(
        "id: others\ntitle: T\nlanguage: en\nsteps:\n"
        "  - {id: why, type: choice, prompt: Why, options: [{value: a, label: A}, {value: b, label: B, other: true}]}\n"
        "  - {id: how, type: choices, prompt: How, options: [x, {value: y, other: true}, {value: z, other: true}]}\n"
    )
    save(store, "others", "ann", {"why": {"value": "b", "text": "a"}, "how": ["x", {"value": "z", "text": "by bus"}]})
    save(store, "others", "ben", {"why": "a", "how": [{"value": "y", "text": ""}]})
    save(store, "others", "cat", {"why": {"value": "c", "text": "?"}, "how": [{"value": "x", "text": "?"}]})
    ann, ben, cat = csv_rows(export(store, "others", "csv")[0])
    assert [ann[name] for name in ("why", "why_other")] == ["b", "a"]
    assert [ann[name] for name in ("how_1", "how_2", "how_2_other", "how_3", "how_3_other")] == [
        *("1", "0", None, "1", "by bus"),
    ]
    assert [ben[name] for name in ("why", "why_other", "how_2", "how_2_other")] == ["a", None, "1", ""]
    assert json.loads(cat["other_answers"] or "") == {
        "why": {"value": "c", "text": "?"},
        "how": [{"value": "x", "text": "?"}],
    }
    labelled = csv_rows(export(store, "others", "csv", labels=True)[0])[0]
    assert (labelled["why"], labelled["why_other"]) == ("B", "a")
    rows, _ = labelled_rows(export(store, "others", "sav")[0], "sav", tmp_path)
    assert (rows[0]["why"], rows[0]["why_other"], rows[0]["how_3_other"]) == (2, "a", "by bus")


def test_labels_replace_values_when_requested(opened: Opened) -> None:
    """In CSV, Parquet and Excel."""
    store = opened(SURVEY)
    save(store, "all", "ann", ANSWERS)
    for name, read in (("csv", csv_rows), ("parquet", parquet_rows), ("xlsx", sheet_rows)):
        (row,) = read(export(store, "all", name, labels=True)[0])  # type: ignore[arg-type]
        assert (row["one"], row["rated"]) == ("Beta", "good")


def test_parquet_has_types(opened: Opened) -> None:
    """Also without sessions."""
    store = opened(SURVEY)
    assert parquet_rows(export(store, "all", "parquet")[0]) == []
    save(store, "all", "ann", ANSWERS)
    (row,) = parquet_rows(export(store, "all", "parquet")[0])
    assert (row["one"], row["rated"], row["some_1"], row["count"]) == ("b", 3, 0, 2**53)
    assert (row["born"], row["smokes"], row["said"]) == (datetime.date(1970, 2, 3), False, None)
    assert (row["woke"], row["moved"], row["best_3"]) == (datetime.time(6, 30), datetime.date(1999, 12, 1), 1)
    assert row["met"] == datetime.datetime(2024, 2, 29, 23, 5)  # noqa: DTZ001 - the participant's own time
    assert row["created_at"] == datetime.datetime(2023, 11, 14, 22, 13, 20, tzinfo=datetime.UTC)


def test_excel_has_text_as_text(opened: Opened) -> None:
    """Never as a formula, number or link; dates before 1900, which Excel lacks, are text too."""
    store = opened(SURVEY)
    save(store, "all", "ann", ANSWERS)
    save(
        store,
        "all",
        "ben",
        {
            "born": "1899-12-31",
            "moved": "1899-12",
            "met": "1899-12-31T01:00",
            "said": "https://example.org",
            "status": "12",
        },
    )
    data, _ = export(store, "all", "xlsx")
    ann, ben = sheet_rows(data)
    assert (ann["status_2"], ann["weight"], ann["smokes"]) == (ANSWERS["status"], 70.5, False)
    assert (ann["born"], ben["born"]) == (datetime.datetime(1970, 2, 3), "1899-12-31")  # noqa: DTZ001 - Excel's
    assert (ann["woke"], ann["moved"]) == (datetime.time(6, 30), datetime.datetime(1999, 12, 1))  # noqa: DTZ001
    assert ann["met"] == datetime.datetime(2024, 2, 29, 23, 5)  # noqa: DTZ001
    assert (ben["moved"], ben["met"]) == ("1899-12", "1899-12-31T01:00")
    assert (ben["said"], ben["status_2"]) == ("https://example.org", "12")
    assert {"one", "some_2"} <= {row["column"] for row in sheet_rows(data, "codebook")}


@pytest.mark.parametrize("weight", [1.7976931348623157e308, -1.7976931348623157e308, 5e-324])
def test_excel_has_numbers_beyond_its_own_as_text(opened: Opened, weight: float) -> None:
    """Not as infinity or 0."""
    store = opened(SURVEY)
    save(store, "all", "ann", {"weight": weight})
    save(store, "all", "ben", {"weight": 9.99e307})
    save(store, "all", "cat", {"weight": 0.0})
    assert [row["weight"] for row in sheet_rows(export(store, "all", "xlsx")[0])] == [str(weight), 9.99e307, 0]


@pytest.mark.parametrize("format_name", ["sav", "dta"])
def test_spss_and_stata_have_codes_with_labels(opened: Opened, tmp_path: Path, format_name: Any) -> None:
    """Prompts are labels of variables; unanswered steps are missing values."""
    store = opened(SURVEY)
    save(store, "all", "ann", ANSWERS)
    save(store, "all", "ben", {})
    (ann, ben), metadata = labelled_rows(export(store, "all", format_name)[0], format_name, tmp_path)
    assert metadata.column_names_to_labels["one"] == "Which one, of both?"
    assert metadata.variable_value_labels["one"] == {1: "Alpha", 2: "Beta"}
    assert metadata.variable_value_labels["rated"] == {3: "good", 1: "bad"}
    assert metadata.variable_value_labels["pain"] == {0: "none", 10: "worst"}
    assert metadata.variable_value_labels["smokes"] == {0: "No", 1: "Yes"}
    assert (ann["one"], ann["rated"], ann["some_2"], ann["count"], ann["smokes"]) == (2, 3, 1, 2**53, 0)
    assert (ann["born"], ann["status_2"]) == (datetime.date(1970, 2, 3), ANSWERS["status"])
    assert ann["created_at"] == datetime.datetime(2023, 11, 14, 22, 13, 20)  # noqa: DTZ001 - neither knows zones
    assert (ann["woke"], ann["moved"], ann["best_3"]) == (datetime.time(6, 30), datetime.date(1999, 12, 1), 1)
    assert ann["met"] == datetime.datetime(2024, 2, 29, 23, 5)  # noqa: DTZ001 - as above
    missing = {
        ben[name]
        for name in (
            "woke",
            "met",
            "moved",
            "best_1",
            "one",
            "rated",
            "some_1",
            "weight",
            "count",
            "pain",
            "born",
            "smokes",
        )
    }
    assert (missing, ben["said"], ben["user_id"]) == ({None}, "", "ben")


@pytest.mark.parametrize(("format_name", "length"), [("sav", 32_767), ("xlsx", 32_767), ("dta", 50_001)])
def test_long_text_is_truncated_and_counted(opened: Opened, tmp_path: Path, format_name: Any, length: int) -> None:
    """Between characters; Stata holds long texts."""
    store = opened(SURVEY)
    save(store, "all", "ann", {"said": "x" + "y" * 50_000})
    data, counts = export(store, "all", format_name)
    row = sheet_rows(data)[0] if format_name == "xlsx" else labelled_rows(data, format_name, tmp_path)[0][0]
    assert len(row["said"]) == length
    assert counts.missing() == ({} if length == 50_001 else {"shortened": 1})


def test_unsupported_numbers_and_dates_are_left_out(opened: Opened, tmp_path: Path) -> None:
    """The largest numbers of Stata are missing values, and the calendar of SPSS begins in 1582."""
    store = opened(SURVEY)
    save(store, "all", "ann", {"weight": 1e308, "born": "0001-01-01"})
    for format_name, lost in (("dta", {"weight", "born"}), ("sav", {"born"})):
        data, counts = export(store, "all", format_name)  # type: ignore[arg-type]
        (row,), _ = labelled_rows(data, format_name, tmp_path)  # type: ignore[arg-type]
        assert {name for name in ("weight", "born") if row[name] is None} == lost
        assert counts.shortened == len(lost)


def test_formulas_are_escaped_when_requested(opened: Opened) -> None:
    """With OWASP's characters and a byte order mark; numbers are not changed."""
    store = opened(SURVEY)
    for number, first in enumerate("=+-@\t\r"):
        save(store, "all", f"u{number}", {"said": f"{first}1", "weight": -1})
    save(store, "all", "v", {"said": "a=1"})
    exact, _ = export(store, "all", "csv")
    safe, _ = export(store, "all", "csv", spreadsheet_safe=True)
    said = [row["said"] for row in csv_rows(exact)]
    assert [row["said"] for row in csv_rows(safe)] == [*(f"'{text}" for text in said[:-1]), "a=1"]
    assert {row["weight"] for row in csv_rows(safe)} == {"-1", None}
    assert safe.startswith(b"\xef\xbb\xbf")
    assert not exact.startswith(b"\xef")


def test_long_has_one_row_an_event_with_timings(store: SessionStore) -> None:
    """And the mode after the event; the text of drafts only when requested."""
    clear(store)
    key, at = SessionKey("phq9", "ann"), 1_700_000_000_000_000
    store.turns.submit(key, Begin(at=at, is_audio_mode=True))
    store.turns.submit(key, Draft(at=at + 1_500_000, step="Q1", value="hm"))
    store.turns.submit(key, SetMode(at=at + 3_000_000, is_audio_mode=False))
    store.turns.submit(key, Answer(at=at + 3_250_000, step="Q1", value=2))
    rows = csv_rows(export(store, "phq9", "long")[0])
    assert [row["action"] for row in rows] == ["started", "drafted", "mode_set", "answered"]
    assert [row["is_audio_mode"] for row in rows] == ["true", "true", "false", "false"]
    assert [row["since_previous_s"] for row in rows] == [None, "1.5", "1.5", "0.25"]
    assert [row["since_start_s"] for row in rows] == ["0.0", "1.5", "3.0", "3.25"]
    assert [row["answer"] for row in rows] == [None, None, None, "2"]
    assert rows[-1]["to"] == "Q2"
    assert csv_rows(export(store, "phq9", "long", drafts=True)[0])[1]["answer"] == "hm"
    (session,) = jsonl_rows(export(store, "phq9", "jsonl", history=True)[0])
    assert [event["since_start_s"] for event in session["history"]] == [0.0, 1.5, 3.0, 3.25]
    assert "hm" not in json.dumps(session)


def test_option_is_refused_when_the_format_lacks_it(opened: Opened, monkeypatch: pytest.MonkeyPatch) -> None:
    """As are unknown surveys, and more data than a format can hold."""
    store = opened(SURVEY)
    for wrong in (
        {"format": "sav", "labels": True},
        {"format": "csv", "history": True},
        {"format": "jsonl", "drafts": True},
    ):
        with pytest.raises(InvalidInput):
            Export(store, ExportRequest(survey_id="all", **wrong))  # type: ignore[arg-type]
    with pytest.raises(NoSuchSurvey):
        Export(store, ExportRequest(survey_id="none"))
    save(store, "all", "ann", {})
    monkeypatch.setattr(spss_stata, "MAX_CELLS", 1)
    with pytest.raises(InvalidInput, match="since, until"):
        export(store, "all", "dta")
    monkeypatch.setattr(excel, "MAX_ROWS", 0)
    with pytest.raises(InvalidInput, match="rows"):
        export(store, "all", "xlsx")


def test_missing_library_is_reported_with_its_extra(opened: Opened, monkeypatch: pytest.MonkeyPatch) -> None:
    """Formats without libraries still work."""
    store = opened(SURVEY)

    def absent(name: str) -> None:
        raise ModuleNotFoundError(name)

    monkeypatch.setattr(request.importlib, "import_module", absent)
    with pytest.raises(InvalidInput, match=r"\.\[export\]"):
        export(store, "all", "parquet")
    assert csv_rows(export(store, "all", "csv")[0]) == []


def test_temporary_file_is_removed_when_reading_stops(
    opened: Opened, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Even before the first piece was read."""
    store = opened(SURVEY)
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    file = Export(store, ExportRequest(survey_id="all", format="parquet")).write()
    assert list(folder.iterdir())
    file.pieces.close()  # type: ignore[attr-defined]  # a generator
    assert not list(folder.iterdir())
