"""All answers can be read back from CSV, Parquet and JSON Lines."""

import itertools
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.sessions.service import SessionStore
from tests.conftest import examples
from tests.operations.export.conftest import Opened
from tests.operations.export.reading import EVERY_TYPE, csv_rows, export, jsonl_rows, parquet_rows, save
from tests.store.contents import clear

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
    "woke": st.times().map(lambda time: time.isoformat()[:5]),
    "met": st.datetimes().map(lambda time: time.isoformat()[:16]),
    "moved": st.dates().map(lambda day: day.isoformat()[:7]),
    "status": TEXTS,
    "unknown": JSON,
}
SESSIONS = st.lists(
    st.fixed_dictionaries({}, optional={name: st.one_of(value, JSON, st.none()) for name, value in VALUES.items()}),
    max_size=4,
)


def restored(row: Any, cell: Any) -> dict[str, Any]:
    """Return the answers in a row of CSV or Parquet; ``cell`` parses one cell."""
    answers: dict[str, Any] = json.loads(row["other_answers"] or "{}")
    answers |= dict.fromkeys((row["skipped"] or "").split())
    names = {name: "status_2" if name == "status" else name for name in VALUES if name not in {"some", "unknown"}}
    answers |= {step: cell(step, row[name]) for step, name in names.items() if row[name] is not None}
    if row["some_1"] is not None:
        chosen = zip(["Rest", 7, "=1"], (row[f"some_{number}"] for number in (1, 2, 3)), strict=True)
        answers["some"] = [value for value, cell in chosen if int(cell)]
    return answers


def parse_text(step: str, cell: str) -> Any:
    if step in {"one", "said", "status", "born", "woke", "met", "moved"}:
        return cell
    return json.loads(cell)


def parse_typed(step: str, cell: Any) -> Any:
    if step in {"born", "woke", "met", "moved"}:
        return cell.isoformat()[: {"woke": 5, "met": 16, "moved": 7}.get(step)]
    return cell


def in_order(answers: dict[str, Any]) -> dict[str, Any]:
    """Return the answers with chosen options in the order of their columns."""
    some = answers.get("some")
    if isinstance(some, list) and set(map(repr, some)) <= {"'Rest'", "7", "'=1'"} and len(set(some)) == len(some):
        return {**answers, "some": [value for value in ("Rest", 7, "=1") if value in some]}
    return answers


@pytest.fixture
def every_type(opened: Opened) -> SessionStore:
    """Return a store with a survey of all step types."""
    return opened(EVERY_TYPE.read_text())


@examples(60)
@given(sessions=SESSIONS)
def test_all_answers_can_be_read_back(every_type: SessionStore, sessions: list[dict[str, Any]]) -> None:
    """Exactly, with the skipped steps, from CSV and Parquet; from JSON Lines as they were given."""
    store = every_type
    clear(store)
    for answers, number in zip(sessions, itertools.count()):
        save(store, "all", f"u{number}", answers)
    expected = [in_order(answers) for answers in sessions]
    assert [restored(row, parse_text) for row in csv_rows(export(store, "all", "csv")[0])] == expected
    assert [restored(row, parse_typed) for row in parquet_rows(export(store, "all", "parquet")[0])] == expected
    assert [row["answers"] for row in jsonl_rows(export(store, "all", "jsonl")[0])] == sessions
