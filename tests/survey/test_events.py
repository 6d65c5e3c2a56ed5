"""Events as records: what is stored comes back, and what is unknown is refused."""

from dataclasses import replace

import pytest

from app.errors import OtherRelease
from app.survey.events import (
    EVENT_TYPES,
    Answered,
    AnyEvent,
    Record,
    Restarted,
    Saved,
    Started,
    from_record,
    to_record,
)
from tests.survey.test_state import ROWS, Row

SAVED = Saved(
    at=1,
    current_step="end",
    answers={},
    step_history=(),
    is_audio_mode=False,
    session_data=None,
    survey_revision=None,
)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.rule)
def test_record_gives_the_event_back(row: Row) -> None:
    """Also when lists were stored as JSON."""
    record = to_record(row.event)
    data = {name: list(value) if isinstance(value, tuple) else value for name, value in record.data.items()}
    assert from_record(record._replace(data=data)) == row.event


def test_record_has_no_empty_lists_that_may_be_absent() -> None:
    """Most answers drop nothing."""
    assert to_record(Answered(at=1, step="a", answer=1, to="b", keep=0)) == Record(
        "answered", 1, "a", 1, {"to": "b", "keep": 0}
    )


def test_record_of_a_saved_state_has_its_step_in_the_column() -> None:
    """So that history can be searched by step, whatever the event."""
    assert to_record(SAVED).step == "end"
    assert "current_step" not in to_record(SAVED).data


@pytest.mark.parametrize(
    "event",
    [
        Started(at=1, step="a", survey_revision="r1", is_audio_mode=False),
        Answered(at=1, step="a", answer=1, to="end", keep=0, then=("a",)),
        Restarted(at=1, step="a", survey_revision="r1"),
        SAVED,
    ],
    ids=lambda event: event.action,
)
def test_record_has_schema_1_when_it_has_no_later_field(event: AnyEvent) -> None:
    """Then it is stored as earlier releases stored it, and they read it; what they stored is read."""
    later = {"language", "confirmed", "ending", "completes", "walk_started_at", "schema"}
    record = to_record(event)
    assert later.isdisjoint(record.data)
    assert from_record(record) == event


@pytest.mark.parametrize(
    ("event", "field"),
    [
        (Started(at=1, step="a", survey_revision="r1", is_audio_mode=False, language="de"), "language"),
        (Started(at=1, step="end", survey_revision="r1", is_audio_mode=False, completes=True), "completes"),
        (Answered(at=1, step="a", answer=1, to="b", keep=0, language="de"), "language"),
        (Answered(at=1, step="a", answer=1, to="b", keep=0, confirmed=True), "confirmed"),
        (Answered(at=1, step="a", answer=1, to="end", keep=0, ending=1), "ending"),
        (Restarted(at=1, step="a", survey_revision="r1", walk_started_at=1), "walk_started_at"),
        (replace(SAVED, ending=1), "ending"),
    ],
    ids=lambda value: value if isinstance(value, str) else value.action,
)
def test_record_has_schema_2_when_it_has_a_later_field(event: AnyEvent, field: str) -> None:
    """An earlier release, which would lose the field, refuses the session instead."""
    record = to_record(event)
    assert record.data["schema"] == 2
    assert record.data[field] == getattr(event, field)
    assert from_record(record) == event


@pytest.mark.parametrize(
    "record",
    [
        Record("invented", 1, None, None, {}),
        Record("answered", 1, "a", 1, {"to": "b", "keep": 0, "schema": 4}),
    ],
)
def test_record_of_another_release_is_refused(record: Record) -> None:
    """The session must not be folded without it."""
    with pytest.raises(OtherRelease, match=record.action):
        from_record(record)


@pytest.mark.parametrize("record", [Record("answered", 1, "a", 1, {"to": "b"}), Record("saved", 1, "q", None, {})])
def test_incomplete_record_is_damaged(record: Record) -> None:
    """No release wrote it: an action's data never changes without another schema."""
    with pytest.raises(ValueError, match=record.action):
        from_record(record)


def test_actions_are_those_of_the_protocol() -> None:
    """They are stored, and part of the interface."""
    assert set(EVENT_TYPES) == {
        "started", "answered", "went_back", "went_to", "mode_set", "language_set", "drafted", "restarted", "saved",
        "noted", "expired",
    }  # fmt: skip
