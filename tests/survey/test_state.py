"""The fold by example: a state, an event, and the state after it."""

from dataclasses import replace
from typing import Any, NamedTuple, get_args

import pytest

from app.survey.events import (
    Answered,
    AnyEvent,
    Drafted,
    Expired,
    LanguageSet,
    ModeSet,
    Noted,
    Restarted,
    Saved,
    Started,
    WentBack,
    WentTo,
)
from app.survey.state import SessionContext, SessionState, apply, fold

BEGUN = SessionState(
    version=1,
    survey_revision="r1",
    status="in_progress",
    current_step="a",
    answers={},
    step_history=(),
    is_audio_mode=False,
    drafts={},
    session_data=None,
    started_at=10,
    updated_at=10,
    completed_at=None,
)
AT_C = replace(
    BEGUN,
    version=4,
    current_step="c",
    answers={"a": 1, "b": 2},
    step_history=("a", "b"),
    drafts={"c": "hal", "x": "old"},
    session_data={"source": "web"},
    updated_at=40,
)
DONE = replace(
    AT_C,
    version=5,
    status="completed",
    current_step="end",
    answers={"a": 1, "b": 2, "c": 3},
    step_history=("a", "b", "c"),
    drafts={"x": "old"},
    updated_at=50,
    completed_at=50,
)


class Row(NamedTuple):
    """One rule; ``changes`` are what differs from ``before`` besides version and time of the last change."""

    rule: str
    before: SessionState
    event: AnyEvent
    changes: dict[str, Any]


# fmt: off
ROWS = [Row(*row) for row in (
    ("an answer moves on, and removes the draft of its step",
     AT_C, Answered(at=60, step="c", answer=3, to="d", keep=2, then=("c",)),
     {"current_step": "d", "answers": {"a": 1, "b": 2, "c": 3}, "step_history": ("a", "b", "c"),
      "drafts": {"x": "old"}}),
    ("an answer that leads to the end completes the session",
     AT_C, Answered(at=60, step="c", answer=3, to="end", keep=2, then=("c",)),
     {"status": "completed", "current_step": "end", "answers": {"a": 1, "b": 2, "c": 3},
      "step_history": ("a", "b", "c"), "drafts": {"x": "old"}, "completed_at": 60}),
    ("answers that leave the route become drafts, unless they are null",
     replace(AT_C, answers={"a": 1, "b": 2, "n": None}),
     Answered(at=60, step="a", answer=9, to="z", keep=1, dropped=("b", "n")),
     {"current_step": "z", "answers": {"a": 9}, "step_history": ("a",),
      "drafts": {"c": "hal", "x": "old", "b": 2}}),
    ("a draft is kept", AT_C, Drafted(at=60, step="c", answer="half"), {"drafts": {"c": "half", "x": "old"}}),
    ("a draft of null removes the draft", AT_C, Drafted(at=60, step="c", answer=None), {"drafts": {"x": "old"}}),
    ("back moves to the previous step", AT_C, WentBack(at=60, step="b"), {"current_step": "b", "step_history": ("a",)}),
    ("goto moves to an earlier step", AT_C, WentTo(at=60, step="a", keep=0), {"current_step": "a", "step_history": ()}),
    ("goto moves to a later step",
     replace(AT_C, current_step="a", step_history=()), WentTo(at=60, step="c", keep=0, then=("a", "b")),
     {"current_step": "c", "step_history": ("a", "b")}),
    ("the mode changes", AT_C, ModeSet(at=60, is_audio_mode=True), {"is_audio_mode": True}),
    ("the language changes, and a completed session keeps its ending",
     replace(DONE, context=SessionContext(language="en", ending=2)), LanguageSet(at=60, language="de"),
     {"context": SessionContext(language="de", ending=2)}),
    ("a completing answer records the ending",
     replace(AT_C, context=SessionContext(language="de")),
     Answered(at=60, step="c", answer=3, to="end", keep=2, then=("c",), ending=2),
     {"status": "completed", "current_step": "end", "answers": {"a": 1, "b": 2, "c": 3},
      "step_history": ("a", "b", "c"), "drafts": {"x": "old"}, "completed_at": 60,
      "context": SessionContext(language="de", ending=2)}),
    ("a new walk keeps the language, and has a beginning of its own and no ending",
     replace(DONE, context=SessionContext(language="de", ending=2)),
     Restarted(at=60, step="a", survey_revision="r2", walk_started_at=60),
     {"status": "in_progress", "survey_revision": "r2", "current_step": "a", "answers": {}, "step_history": (),
      "drafts": {}, "completed_at": None, "context": SessionContext(language="de", walk_started_at=60)}),
    ("a new walk without a step to show is completed",
     DONE, Restarted(at=60, step="end", survey_revision="r2", completes=True, ending=1),
     {"survey_revision": "r2", "answers": {}, "step_history": (), "drafts": {}, "completed_at": 60,
      "context": SessionContext(ending=1)}),
    ("a saved state that is in progress again has no ending",
     replace(DONE, context=SessionContext(ending=2)),
     Saved(at=60, current_step="c", answers={}, step_history=(), is_audio_mode=False, session_data=None,
           survey_revision="r1"),
     {"status": "in_progress", "current_step": "c", "answers": {}, "step_history": (), "session_data": None,
      "completed_at": None, "context": None}),
    ("a new walk keeps the mode, the beginning and the integrator's data",
     replace(DONE, is_audio_mode=True), Restarted(at=60, step="a", survey_revision="r2"),
     {"status": "in_progress", "survey_revision": "r2", "current_step": "a", "answers": {}, "step_history": (),
      "drafts": {}, "completed_at": None}),
    ("a saved state replaces the state, and the drafts of steps that it answers",
     AT_C, Saved(at=60, current_step="q", answers={"c": 3}, step_history=("c",), is_audio_mode=True, session_data=None,
                 survey_revision="r1"),
     {"current_step": "q", "answers": {"c": 3}, "step_history": ("c",), "is_audio_mode": True, "session_data": None,
      "drafts": {"x": "old"}}),
    ("a saved state at the end is completed",
     AT_C, Saved(at=60, current_step="end", answers={}, step_history=(), is_audio_mode=False, session_data=None,
                 survey_revision="r1"),
     {"status": "completed", "current_step": "end", "answers": {}, "step_history": (), "session_data": None,
      "completed_at": 60}),
    ("a saved state at the end has the ending of its event",
     replace(DONE, context=SessionContext(ending=2)),
     Saved(at=60, current_step="end", answers={}, step_history=(), is_audio_mode=False, session_data=None,
           survey_revision="r1", ending=1),
     {"answers": {}, "step_history": (), "session_data": None, "context": SessionContext(ending=1)}),
    ("a saved state at the end keeps the time of completion",
     DONE, Saved(at=60, current_step="end", answers={}, step_history=(), is_audio_mode=False, session_data=None,
                 survey_revision="r1"),
     {"answers": {}, "step_history": (), "session_data": None}),
    ("a saved state elsewhere is in progress again",
     DONE, Saved(at=60, current_step="c", answers={}, step_history=(), is_audio_mode=False, session_data=None,
                 survey_revision="r1"),
     {"status": "in_progress", "current_step": "c", "answers": {}, "step_history": (), "session_data": None,
      "completed_at": None}),
    ("a note changes nothing", DONE, Noted(at=60, label="called", step="a", answer=1), {}),
    ("an expired session stays where it was", AT_C, Expired(at=60), {"status": "expired"}),
    ("begin starts over even if there is a session: any history can be folded",
     AT_C, Started(at=60, step="a", survey_revision="r2", is_audio_mode=True),
     {"survey_revision": "r2", "current_step": "a", "answers": {}, "step_history": (), "is_audio_mode": True,
      "drafts": {}}),
)]
# fmt: on


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.rule)
def test_event_makes_the_state(row: Row) -> None:
    """Each event counts, and leaves what it does not name."""
    expected = replace(row.before, version=row.before.version + 1, updated_at=60, **row.changes)
    assert apply(row.before, row.event) == expected


def test_first_event_makes_the_session() -> None:
    """From nothing, at the event's time."""
    started = Started(at=10, step="a", survey_revision="r1", is_audio_mode=False)
    assert apply(None, started) == BEGUN


def test_fold_applies_events_in_order_from_any_state() -> None:
    """A prefix of a history is an earlier version of the session."""
    events: list[AnyEvent] = [
        Started(at=10, step="a", survey_revision="r1", is_audio_mode=False),
        Answered(at=20, step="a", answer=1, to="b", keep=0, then=("a",)),
        WentBack(at=30, step="a"),
    ]
    whole = fold(events)
    assert whole is not None
    assert (whole.version, whole.current_step, whole.answers, whole.step_history) == (3, "a", {"a": 1}, ())
    assert fold(events[1:], fold(events[:1])) == whole
    assert fold([]) is None


def test_apply_leaves_the_state_before_as_it_was() -> None:
    """States are values: snapshots of them are kept."""
    before = replace(AT_C)
    answers, drafts = dict(AT_C.answers), dict(AT_C.drafts)
    for row in ROWS:
        apply(AT_C, row.event)
    assert before == AT_C
    assert (AT_C.answers, AT_C.drafts) == (answers, drafts)


def test_draft_is_that_of_the_current_step() -> None:
    """Drafts of other steps wait until the walk comes to them."""
    assert AT_C.draft == "hal"
    assert DONE.draft is None


def test_table_has_every_event() -> None:
    """A new one needs its rows."""
    assert {type(row.event) for row in ROWS} == set(get_args(AnyEvent))
