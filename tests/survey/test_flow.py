"""The rules of the walk by example: a session, a command, and what the command does.

Each row states a rule of docs/surveys.md or docs/protocol.md; test_flow_properties.py has laws for random surveys.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, NamedTuple

import pytest

from app.survey import Survey, parse_survey
from app.survey.commands import (
    Answer,
    AnyCommand,
    Back,
    Begin,
    Draft,
    Expire,
    Goto,
    Note,
    RejectCode,
    Rejection,
    Restart,
    Save,
    SetMode,
    Update,
)
from app.survey.events import (
    Answered,
    AnyEvent,
    Drafted,
    Expired,
    ModeSet,
    Noted,
    Restarted,
    Saved,
    Started,
    WentBack,
    WentTo,
)
from app.survey.flow import decide, progress, status_at
from app.survey.state import SessionState, Status, apply

NOW = 1
LATE = 3600 * 1_000_000  # when a session that changed at 0 has just expired


def survey(steps: str) -> Survey:
    """Return a survey of these steps, which may leave out the prompt."""
    head = "id: example\ntitle: Example\nlanguage: en\nexpires_after: 1h\nsteps:\n"
    return parse_survey(head + steps.replace("{id:", "{prompt: p, id:"), "example.yaml")


VISIT = survey("""
  - {id: seen, type: boolean, next: [{when: answer == false, go: why}]}
  - {id: felt, type: scale, min: 0, max: 10, next: [{go: more}]}
  - {id: why, type: text}
  - {id: more, type: text, required: false}
  - {id: thanks, type: info}
""")
"""Two branches that meet again: seen -> felt or why -> more -> thanks."""

AGAIN = survey("""
  - {id: item, type: text}
  - {id: another, type: boolean, next: [{when: answer, go: item}]}
""")
"""A cycle: another -> item if the answer is yes."""

READING = survey("""
  - {id: first, type: number}
  - {id: second, type: boolean, next: [{when: answers.first > 1, go: end}]}
  - {id: third, type: text}
""")
"""A rule that reads the answer to an earlier step."""

LOOKAHEAD = survey("""
  - {id: early, type: boolean, next: [{when: 'answers.late == "skip"', go: last}]}
  - {id: late, type: text}
  - {id: last, type: info}
""")
"""A rule that reads the answer to a later step."""

FAILING = survey("""
  - {id: number, type: number, required: false, next: [{when: answer > 3, go: end}, {when: answer == null, go: none}]}
  - {id: some, type: info, next: [{go: end}]}
  - {id: none, type: info}
""")
"""`answer > 3` cannot be evaluated if the answer is null."""

MARKED = survey("  - {id: hello, type: info, required: true}")


def at(
    step: str,
    answers: Mapping[str, Any] | None = None,
    *,
    history: tuple[str, ...] | None = None,
    drafts: Mapping[str, Any] | None = None,
    status: Status = "in_progress",
    audio: bool = False,
) -> SessionState:
    """Return a session at a step; unless given, its history is the answers before that step, in order."""
    answered = tuple(answers or {})
    return SessionState(
        version=5,
        survey_revision="r1",
        status="completed" if step == "end" else status,
        current_step=step,
        answers=answers or {},
        step_history=history if history is not None else answered[: answered.index(step) if step in answered else None],
        is_audio_mode=audio,
        drafts=drafts or {},
        session_data=None,
        started_at=0,
        updated_at=0,
        completed_at=0 if step == "end" else None,
    )


def answer(step: str, value: object) -> Answer:
    return Answer(at=NOW, step=step, value=value)


def answered(step: str, value: object, to: str, keep: int, then: tuple[str, ...] = (), **more: Any) -> Answered:
    return Answered(at=NOW, step=step, answer=value, to=to, keep=keep, then=then, **more)


def saved(command: Save, revision: str, **more: Any) -> Saved:
    """Return the event of a command that gives the whole state."""
    fields = ("current_step", "answers", "step_history", "is_audio_mode", "session_data")
    return Saved(at=NOW, survey_revision=revision, **{name: getattr(command, name) for name in fields}, **more)


class Accepted(NamedTuple):
    """A rule by which a command is accepted."""

    rule: str
    survey: Survey | None
    before: SessionState | None
    command: AnyCommand
    event: AnyEvent
    after: SessionState


class Refused(NamedTuple):
    """A rule by which a command is refused, and nothing changes."""

    rule: str
    survey: Survey | None
    before: SessionState | None
    command: AnyCommand
    code: RejectCode


END = at("end", {"seen": True, "felt": 3, "more": None, "thanks": None})
ANSWERED = at("more", {"seen": True, "felt": 3})
FELT = at("felt", {"seen": True})
AT_NOWHERE = Save(
    at=NOW, current_step="own", answers={"x": 1}, step_history=("x",), is_audio_mode=True, session_data=None
)
AT_END = Save(
    at=NOW, current_step="end", answers={"seen": False}, step_history=(), is_audio_mode=False, session_data=None
)

# fmt: off
ACCEPTED = [Accepted(*row) for row in (
    ("a session begins at the first step, in the given mode",
     VISIT, None, Begin(at=NOW, is_audio_mode=True),
     Started(at=NOW, step="seen", survey_revision=VISIT.revision, is_audio_mode=True), at("seen", audio=True)),
    # Answering the current step
    ("the answer to the current step moves to the next step in the list",
     VISIT, at("seen"), answer("seen", True),
     answered("seen", True, to="felt", keep=0, then=("seen",)), FELT),
    ("the first rule that holds decides instead",
     VISIT, at("seen"), answer("seen", False),
     answered("seen", False, to="why", keep=0, then=("seen",)), at("why", {"seen": False})),
    ("a rule without a condition always holds",
     VISIT, FELT, answer("felt", 3),
     answered("felt", 3, to="more", keep=1, then=("felt",)), ANSWERED),
    ("a condition that fails to evaluate does not hold, and the next rule is tried",
     FAILING, at("number"), answer("number", None),
     answered("number", None, to="none", keep=0, then=("number",), failed_conditions=("number",)),
     at("none", {"number": None})),
    ("if no rule holds, the next step in the list follows",
     FAILING, at("number"), answer("number", 2),
     answered("number", 2, to="some", keep=0, then=("number",)), at("some", {"number": 2})),
    ("the answer is stored in its canonical form: a whole number sent as 3.0 is 3",
     VISIT, FELT, answer("felt", 3.0),
     answered("felt", 3, to="more", keep=1, then=("felt",)), ANSWERED),
    ("an optional step takes null",
     VISIT, ANSWERED, answer("more", None),
     answered("more", None, to="thanks", keep=2, then=("more",)), at("thanks", {"seen": True, "felt": 3, "more": None})),
    ("an empty text is no answer: an optional step stores it as null",
     VISIT, ANSWERED, answer("more", ""),
     answered("more", None, to="thanks", keep=2, then=("more",)), at("thanks", {"seen": True, "felt": 3, "more": None})),
    ("an info step takes null, and an answer that leads to the end completes the survey",
     VISIT, at("thanks", {"seen": True, "felt": 3, "more": None}), answer("thanks", None),
     answered("thanks", None, to="end", keep=3, then=("thanks",)), END),
    ("an info step that is marked as required takes null: there is no answer to require",
     MARKED, at("hello"), answer("hello", None),
     answered("hello", None, to="end", keep=0, then=("hello",)), at("end", {"hello": None})),
    ("the answer replaces the draft of its step, and other drafts stay",
     VISIT, at("felt", {"seen": True}, drafts={"felt": "1", "why": "no time"}), answer("felt", 3),
     answered("felt", 3, to="more", keep=1, then=("felt",)),
     at("more", {"seen": True, "felt": 3}, drafts={"why": "no time"})),
    ("after going back, the answer moves to the next step of the route, which shows an earlier answer",
     VISIT, at("seen", {"seen": True, "felt": 3}), answer("seen", True),
     answered("seen", True, to="felt", keep=0, then=("seen",)), at("felt", {"seen": True, "felt": 3})),
    ("a cycle closes at the step that it leads to, and the answers stay",
     AGAIN, at("another", {"item": "a"}), answer("another", True),
     answered("another", True, to="item", keep=0), at("item", {"item": "a", "another": True})),
    ("in a cycle, the next answer leads round again",
     AGAIN, at("item", {"item": "a", "another": True}), answer("item", "b"),
     answered("item", "b", to="another", keep=0, then=("item",)), at("another", {"item": "b", "another": True})),
    # Editing another step of the route
    ("an edit keeps the position if it is still on the route",
     VISIT, ANSWERED, answer("felt", 4),
     answered("felt", 4, to="more", keep=2), at("more", {"seen": True, "felt": 4})),
    ("an edit moves the position to the end of the route if it is not; answers that left become drafts",
     VISIT, ANSWERED, answer("seen", False),
     answered("seen", False, to="why", keep=1, dropped=("felt",)), at("why", {"seen": False}, drafts={"felt": 3})),
    ("an edit of a step after the position keeps the position",
     VISIT, at("seen", {"seen": True, "felt": 3}), answer("felt", 9),
     answered("felt", 9, to="seen", keep=0), at("seen", {"seen": True, "felt": 9})),
    ("an edit evaluates the rules of other steps that read the answer",
     READING, at("third", {"first": 1, "second": True}), answer("first", 2),
     answered("first", 2, to="end", keep=2), at("end", {"first": 2, "second": True})),
    ("an answer that is null becomes no draft when it leaves the route",
     VISIT, at("more", {"seen": False, "why": "x", "more": None}), answer("seen", True),
     answered("seen", True, to="felt", keep=1, dropped=("why", "more")), at("felt", {"seen": True}, drafts={"why": "x"})),
    ("an answer that left the route comes back as a draft, not as an answer",
     VISIT, at("why", {"seen": False}, drafts={"felt": 3}), answer("seen", True),
     answered("seen", True, to="felt", keep=1), at("felt", {"seen": True}, drafts={"felt": 3})),
    ("an answer that takes its own step off the route becomes a draft, and the walk waits at the route's end",
     LOOKAHEAD, at("late", {"early": True}), answer("late", "skip"),
     answered("late", "skip", to="late", keep=1, dropped=("late",)), at("late", {"early": True}, drafts={"late": "skip"})),
    # Moving
    ("back goes to the previous step and loses no answer",
     VISIT, ANSWERED, Back(at=NOW),
     WentBack(at=NOW, step="felt"), at("felt", {"seen": True, "felt": 3})),
    ("goto goes to an earlier step of the route and loses no answer",
     VISIT, ANSWERED, Goto(at=NOW, step="seen"),
     WentTo(at=NOW, step="seen", keep=0), at("seen", {"seen": True, "felt": 3})),
    ("goto goes to a later step of the route",
     VISIT, at("seen", {"seen": True, "felt": 3}), Goto(at=NOW, step="more"),
     WentTo(at=NOW, step="more", keep=0, then=("seen", "felt")), ANSWERED),
    ("goto can go to the current step",
     VISIT, FELT, Goto(at=NOW, step="felt"),
     WentTo(at=NOW, step="felt", keep=1), FELT),
    ("the mode can be switched at any step",
     VISIT, FELT, SetMode(at=NOW, is_audio_mode=True),
     ModeSet(at=NOW, is_audio_mode=True), at("felt", {"seen": True}, audio=True)),
    # Drafts
    ("a draft is kept without being checked",
     VISIT, FELT, Draft(at=NOW, step="felt", value="thre"),
     Drafted(at=NOW, step="felt", answer="thre"), at("felt", {"seen": True}, drafts={"felt": "thre"})),
    ("a draft of null removes the draft",
     VISIT, at("felt", {"seen": True}, drafts={"felt": "thre", "why": "x"}), Draft(at=NOW, step="felt", value=None),
     Drafted(at=NOW, step="felt", answer=None), at("felt", {"seen": True}, drafts={"why": "x"})),
    ("a draft can be of another step on the route",
     VISIT, FELT, Draft(at=NOW, step="seen", value="fal"),
     Drafted(at=NOW, step="seen", answer="fal"), at("felt", {"seen": True}, drafts={"seen": "fal"})),
    # Restarting and expiring
    ("restart begins a new walk without answers and drafts, in the same mode and the newest revision",
     VISIT, at("felt", {"seen": True}, drafts={"felt": "1"}, audio=True), Restart(at=NOW),
     Restarted(at=NOW, step="seen", survey_revision=VISIT.revision), at("seen", audio=True)),
    ("restart begins a new walk in a completed session", VISIT, END, Restart(at=NOW),
     Restarted(at=NOW, step="seen", survey_revision=VISIT.revision), at("seen")),
    ("restart begins a new walk in an expired session",
     VISIT, at("felt", {"seen": True}, status="expired"), Restart(at=LATE),
     Restarted(at=LATE, step="seen", survey_revision=VISIT.revision), at("seen")),
    ("expire marks a session that has expired", VISIT, FELT, Expire(at=LATE),
     Expired(at=LATE), at("felt", {"seen": True}, status="expired")),
    ("just before it expires, a session can be continued",
     VISIT, at("seen"), replace(answer("seen", True), at=LATE - 1),
     replace(answered("seen", True, to="felt", keep=0, then=("seen",)), at=LATE - 1), FELT),
    # What integrators do
    ("save replaces the whole state with any steps, and creates the session if there is none",
     VISIT, None, AT_NOWHERE,
     saved(AT_NOWHERE, VISIT.revision), at("own", {"x": 1}, audio=True)),
    ("save keeps the revision of the session, and the drafts of steps without an answer",
     VISIT, at("felt", {"seen": True}, drafts={"seen": "x", "why": "y"}), AT_END,
     saved(AT_END, "r1"), at("end", {"seen": False}, history=(), drafts={"why": "y"})),
    ("update replaces the fields that it names",
     VISIT, at("seen", {"seen": False}), Update(at=NOW, changes={"current_step": "end"}),
     saved(AT_END, "r1"), at("end", {"seen": False}, history=())),
    ("a session of an unknown survey can be updated",
     None, at("x", {"x": 1}, audio=True), Update(at=NOW, changes={"current_step": "own", "step_history": ("x",)}),
     saved(AT_NOWHERE, "r1"), at("own", {"x": 1}, audio=True)),
    ("a note changes nothing but the version",
     VISIT, FELT, Note(at=NOW, action="called", step="felt", answer="twice"),
     Noted(at=NOW, label="called", step="felt", answer="twice"), FELT),
    ("an answer moves on from a saved state that has steps without answers",
     VISIT, at("more", {}, history=("seen", "felt")), answer("more", "nothing"),
     answered("more", "nothing", to="thanks", keep=2, then=("more",)),
     at("thanks", {"more": "nothing"}, history=("seen", "felt", "more"))),
    ("a command for the session and the version that it has is accepted",
     VISIT, at("seen"), replace(answer("seen", True), expected_version=5, session_started_at=0),
     answered("seen", True, to="felt", keep=0, then=("seen",)), FELT),
)]

REFUSED = [Refused(*row) for row in (
    ("a session begins once", VISIT, at("seen"), Begin(at=NOW), "already_begun"),
    ("a session needs a survey", None, None, Begin(at=NOW), "no_session"),
    ("only begin and save work without a session", VISIT, None, answer("seen", True), "no_session"),
    ("a required step needs an answer", VISIT, at("seen"), answer("seen", None), "required"),
    ("an empty text is no answer", VISIT, at("why", {"seen": False}), answer("why", ""), "required"),
    ("the answer must fit the step's type", VISIT, FELT, answer("felt", 11), "invalid_answer"),
    ("an info step takes nothing but null",
     VISIT, at("thanks", {"seen": True, "felt": 3, "more": None}), answer("thanks", "ok"), "invalid_answer"),
    ("a step that is not on the route cannot be answered", VISIT, FELT, answer("why", "x"), "not_current"),
    ("a step cannot be answered before the walk reaches it", VISIT, at("seen"), answer("felt", 3), "not_current"),
    ("a step that does not exist cannot be answered", VISIT, at("seen"), answer("nowhere", 3), "not_current"),
    ("back needs a previous step", VISIT, at("seen"), Back(at=NOW), "at_start"),
    ("goto needs a step of the route", VISIT, FELT, Goto(at=NOW, step="thanks"), "not_current"),
    ("a draft needs a step of the route", VISIT, FELT, Draft(at=NOW, step="why", value="x"), "not_current"),
    ("a draft that is already stored makes no event",
     VISIT, at("felt", {"seen": True}, drafts={"felt": "x"}), Draft(at=NOW, step="felt", value="x"), "unchanged"),
    ("a draft is no longer than an answer", VISIT, FELT, Draft(at=NOW, step="felt", value="x" * 1000), "invalid_answer"),
    ("a completed session takes no answer", VISIT, END, answer("seen", True), "completed"),
    ("a completed session takes no back", VISIT, END, Back(at=NOW), "completed"),
    ("a completed session takes no goto", VISIT, END, Goto(at=NOW, step="seen"), "completed"),
    ("a completed session takes no mode", VISIT, END, SetMode(at=NOW, is_audio_mode=True), "completed"),
    ("a completed session takes no draft", VISIT, END, Draft(at=NOW, step="more", value="x"), "completed"),
    ("an expired session takes no answer", VISIT, FELT, replace(answer("felt", 3), at=LATE), "expired"),
    ("an expired session takes no back", VISIT, FELT, Back(at=LATE), "expired"),
    ("an expired session takes no goto", VISIT, FELT, Goto(at=LATE, step="seen"), "expired"),
    ("an expired session takes no mode", VISIT, FELT, SetMode(at=LATE, is_audio_mode=True), "expired"),
    ("an expired session takes no draft", VISIT, FELT, Draft(at=LATE, step="felt", value="x"), "expired"),
    ("a session does not expire before its time", VISIT, FELT, Expire(at=LATE - 1), "unchanged"),
    ("a session expires once", VISIT, at("felt", {"seen": True}, status="expired"), Expire(at=LATE), "unchanged"),
    ("a completed session does not expire", VISIT, END, Expire(at=LATE), "unchanged"),
    ("a session of an unknown survey cannot be walked", None, at("own"), answer("own", 1), "not_current"),
    ("a command for another version than the session has is refused",
     VISIT, at("seen"), replace(answer("seen", True), expected_version=4), "version_conflict"),
    ("a command for an erased session is refused", VISIT, FELT, Back(at=NOW, session_started_at=1), "not_current"),
    ("a session that does not exist is at version 0", VISIT, None, Begin(at=NOW, expected_version=1), "version_conflict"),
)]
# fmt: on


def walk(state: SessionState | None) -> dict[str, Any]:
    """Return the parts of a state that the table shows; test_state.py tests the others."""
    parts = ("status", "current_step", "answers", "step_history", "drafts", "is_audio_mode")
    return {name: getattr(state, name) for name in parts}


@pytest.mark.parametrize("row", ACCEPTED, ids=lambda row: row.rule)
def test_command_is_accepted(row: Accepted) -> None:
    """The command makes the event, and the event the state."""
    event = decide(row.survey, row.before, row.command)
    assert event == row.event
    assert not isinstance(event, Rejection)
    after = apply(row.before, event)
    assert walk(after) == walk(row.after)
    assert list(after.answers) == list(row.after.answers)


@pytest.mark.parametrize("row", REFUSED, ids=lambda row: row.rule)
def test_command_is_refused(row: Refused) -> None:
    """The rejection has a code for programs and a message for the participant."""
    rejection = decide(row.survey, row.before, row.command)
    assert isinstance(rejection, Rejection)
    assert (rejection.code, bool(rejection.message)) == (row.code, True)


@pytest.mark.parametrize(
    ("state", "share"),
    [
        (at("seen"), 0),
        (at("felt", {"seen": True}), 1 / 4),
        (at("why", {"seen": False}), 1 / 4),
        (at("more", {"seen": True, "felt": 3}), 2 / 4),
        (at("thanks", {"seen": True, "felt": 3, "more": None}), 3 / 4),
        (END, 1),
        (at("own", {"x": 1}), 1 / 2),
    ],
)
def test_progress_is_the_share_of_steps_on_the_longest_way(state: SessionState, share: float) -> None:
    """A step of no survey counts as the last one."""
    assert progress(VISIT, state) == share


@pytest.mark.parametrize(
    ("state", "time", "status"),
    [
        (at("seen"), LATE - 1, "in_progress"),
        (at("seen"), LATE, "expired"),
        (END, LATE, "completed"),
        (at("seen", status="expired"), 0, "expired"),
    ],
)
def test_session_expires_without_an_event(state: SessionState, time: int, status: Status) -> None:
    """As long after its last change as the survey says; a completed session never expires."""
    assert status_at(VISIT, state, time) == status
    assert status_at(None, state, time) == state.status
