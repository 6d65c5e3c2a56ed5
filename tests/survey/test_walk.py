"""The rules of show_if, checks, languages and endings by example; the tables go on from test_flow.py."""

from dataclasses import replace
from typing import Any, get_args

import pytest

from app.survey.checks import parse_survey
from app.survey.commands import (
    Answer,
    AnyCommand,
    Back,
    Begin,
    Draft,
    Goto,
    RejectCode,
    Rejection,
    Restart,
    Save,
    SetLanguage,
    Update,
)
from app.survey.definition import Survey
from app.survey.events import Answered, AnyEvent, LanguageSet, Restarted, Started, WentBack
from app.survey.flow import decide, progress
from app.survey.state import SessionContext, SessionState, apply, fold
from tests.survey import test_flow
from tests.survey.test_flow import LATE, NOW, Accepted, Refused, answer, answered, at, saved


def survey(fields: str, head: str = "") -> Survey:
    """Return a survey of these steps, which may leave out the prompt, and these other fields."""
    text = f"id: example\ntitle: Example\nlanguage: en\nexpires_after: 1h\n{head}\nsteps:\n"
    return parse_survey(text + fields.replace("{id:", "{prompt: p, id:"), "example.yaml")


PREGNANCY = survey("""
  - {id: sex, type: choice, options: [f, m, x]}
  - {id: pregnant, type: boolean, show_if: answers.sex == "f"}
  - {id: week, type: number, show_if: answers.pregnant, next: [{go: end}]}
  - id: wish
    type: choices
    prompt: p
    options: [walk, {value: child, show_if: answers.sex != "m"}, rest]
  - {id: thanks, type: info}
""")
"""Steps that are shown for some answers; the rule of a hidden one is ignored."""

LATE_OPTIONS = survey("""
  - {id: a, type: boolean}
  - {id: b, type: choice, options: [{value: y, show_if: answers.a}]}
  - {id: o, type: choice, required: false, options: [{value: y, show_if: answers.a}]}
  - {id: m, type: choices, min_choices: 2, options: [u, {value: v, show_if: answers.a}, {value: w, show_if: answers.a}]}
  - {id: r, type: ranking, options: [u, v, {value: w, show_if: answers.a}]}
  - {id: z, type: info}
""")

FIRST_HIDDEN = survey("""
  - {id: never, type: info, show_if: "false"}
  - {id: always, type: boolean}
""")

ALL_HIDDEN = survey(
    """
  - {id: never, type: info, show_if: "false"}
""",
    head="end: [{when: 'true', title: Nothing to ask}]",
)

WEIGHT = survey("""
  - {id: height, type: number}
  - id: weight
    type: number
    required: false
    prompt: p
    check:
      - {that: answer > 0, message: "A weight is more than 0."}
      - {that: answer < 1000, message: "A weight is less than 1000."}
      - {that: answer < 200, message: "That is much.", level: warning}
      - {that: answer > answers.height, message: "That is little.", level: warning}
""")

LANGUAGES = survey(
    """
  - id: age
    type: number
    prompt: {en: "How old are you?", de: "Wie alt sind Sie?"}
    check: [{that: answer < 130, message: {en: Too old., de: Zu alt.}}]
  - {id: thanks, type: info}
""",
    head="languages: [en, de]",
)

PAGES = survey("""
  - {id: a, type: boolean}
  - id: varying
    type: page
    prompt: p
    fields: [{id: f, type: number, max: 3}, {id: g, type: number, required: false, show_if: answers.a}]
  - id: fixed
    type: page
    prompt: p
    fields: [{id: h, type: number, max: 3}, {id: i, type: number, required: false, show_if: answers.h > 1}]
    check: [{that: answers.h > 0, message: Low.}, {that: answers.h != answers.f, message: Same.}]
  - {id: grid, type: grid, rows: [{label: R, id: r}], options: [0, 1], check: [{that: answer.r != 0, message: Zero.}]}
""")

ENDS = survey(
    """
  - {id: felt, type: scale, min: 0, max: 10}
""",
    head="end: [{when: answers.felt < 4, title: Sorry}, {when: answers.felt < 8, title: Good}]",
)


def german(state: SessionState) -> SessionState:
    return replace(state, context=SessionContext(language="de"))


def confirmed(step: str, value: object) -> Answer:
    return replace(answer(step, value), confirmed=True)


def whole_state(step: str, felt: int) -> Save:
    return Save(
        at=NOW,
        current_step=step,
        answers={"felt": felt},
        step_history=("felt",),
        is_audio_mode=False,
        session_data=None,
    )


F, M = {"sex": "f"}, {"sex": "m"}
OLD = german(at("age"))
DONE = at("end", {"age": 3, "thanks": None})
ENDED = replace(at("end", {"felt": 7}), context=SessionContext(ending=2))

# fmt: off
ACCEPTED = [Accepted(*row) for row in (
    # Steps
    ("a step that is not shown is passed to the next step in the list, whatever its own rules",
     PREGNANCY, at("sex"), answer("sex", "m"),
     answered("sex", "m", to="wish", keep=0, then=("sex",)), at("wish", M)),
    ("a step whose condition holds is shown",
     PREGNANCY, at("sex"), answer("sex", "f"),
     answered("sex", "f", to="pregnant", keep=0, then=("sex",)), at("pregnant", F)),
    ("an edit hides the steps that need the old answer, and their answers become drafts",
     PREGNANCY, at("week", {"sex": "f", "pregnant": True}), answer("sex", "m"),
     answered("sex", "m", to="wish", keep=1, dropped=("pregnant",)),
     at("wish", M, drafts={"pregnant": True})),
    ("an edit shows a step that had been hidden, and the answers behind it leave the route",
     PREGNANCY, at("thanks", {"sex": "m", "wish": ["walk"]}), answer("sex", "f"),
     answered("sex", "f", to="pregnant", keep=1, dropped=("wish",)),
     at("pregnant", F, drafts={"wish": ["walk"]})),
    ("an edit that hides no option keeps the answers behind it",
     PREGNANCY, at("thanks", {"sex": "m", "wish": ["walk"]}), answer("sex", "m"),
     answered("sex", "m", to="thanks", keep=2), at("thanks", {"sex": "m", "wish": ["walk"]})),
    ("an answer with an option that is hidden now becomes a draft, and the walk waits at its step",
     PREGNANCY, at("thanks", {"sex": "x", "wish": ["child"]}), answer("sex", "m"),
     answered("sex", "m", to="wish", keep=1, dropped=("wish",)), at("wish", M, drafts={"wish": ["child"]})),
    ("an answer without a hidden option stays",
     PREGNANCY, at("thanks", {"sex": "x", "wish": ["walk", "rest"]}), answer("sex", "m"),
     answered("sex", "m", to="thanks", keep=2), at("thanks", {"sex": "m", "wish": ["walk", "rest"]})),
    ("a walk begins at the first step that is shown",
     FIRST_HIDDEN, None, Begin(at=NOW),
     Started(at=NOW, step="always", survey_revision=FIRST_HIDDEN.revision, is_audio_mode=False), at("always")),
    ("a survey that shows nothing is completed at once",
     ALL_HIDDEN, None, Begin(at=NOW),
     Started(at=NOW, step="end", survey_revision=ALL_HIDDEN.revision, is_audio_mode=False, completes=True, ending=1),
     at("end")),
    ("a new walk begins at the first step that is shown, too",
     FIRST_HIDDEN, at("end", {"always": True}), Restart(at=NOW),
     Restarted(at=NOW, step="always", survey_revision=FIRST_HIDDEN.revision), at("always")),
    # Checks
    ("an answer that passes the checks is accepted",
     WEIGHT, at("weight", {"height": 2}), answer("weight", 70),
     answered("weight", 70, to="end", keep=1, then=("weight",)), at("end", {"height": 2, "weight": 70})),
    ("a check without a value passes",
     WEIGHT, at("weight", {"height": 2}), answer("weight", None),
     answered("weight", None, to="end", keep=1, then=("weight",)), at("end", {"height": 2, "weight": None})),
    ("a confirmed answer passes warnings",
     WEIGHT, at("weight", {"height": 2}), confirmed("weight", 300),
     answered("weight", 300, to="end", keep=1, then=("weight",), confirmed=True),
     at("end", {"height": 2, "weight": 300})),
    ("a confirmation is recorded only where a warning was confirmed",
     WEIGHT, at("weight", {"height": 2}), confirmed("weight", 70),
     answered("weight", 70, to="end", keep=1, then=("weight",)), at("end", {"height": 2, "weight": 70})),
    ("a step without checks has nothing to confirm",
     WEIGHT, at("height"), confirmed("height", 2), answered("height", 2, to="weight", keep=0, then=("height",)),
     at("weight", {"height": 2})),
    ("a check is evaluated when its step is answered, not when others are edited later",
     WEIGHT, at("weight", {"height": 2, "weight": 70}, history=("height",)), answer("height", 100),
     answered("height", 100, to="weight", keep=1), at("weight", {"height": 100, "weight": 70}, history=("height",))),
    # Languages
    ("a session begins in the first language wanted that the survey has",
     LANGUAGES, None, Begin(at=NOW, languages=("fr", "de-AT", "en")),
     Started(at=NOW, step="age", survey_revision=LANGUAGES.revision, is_audio_mode=False, language="de"), at("age")),
    ("a session begins in the survey's own language if it has none that is wanted",
     LANGUAGES, None, Begin(at=NOW, languages=("fr",)),
     Started(at=NOW, step="age", survey_revision=LANGUAGES.revision, is_audio_mode=False, language="en"), at("age")),
    ("an answer has the language in which it was given",
     LANGUAGES, OLD, answer("age", 30),
     answered("age", 30, to="thanks", keep=0, then=("age",), language="de"), at("thanks", {"age": 30})),
    ("the language can be changed",
     LANGUAGES, OLD, SetLanguage(at=NOW, language="EN-us"), LanguageSet(at=NOW, language="en"), at("age")),
    ("the language can be changed after the end",
     LANGUAGES, DONE, SetLanguage(at=NOW, language="de"), LanguageSet(at=NOW, language="de"), DONE),
    # Endings
    ("the first ending whose condition holds is recorded",
     ENDS, at("felt"), answer("felt", 7),
     answered("felt", 7, to="end", keep=0, then=("felt",), ending=2), at("end", {"felt": 7})),
    ("no ending is recorded if none applies",
     ENDS, at("felt"), answer("felt", 9), answered("felt", 9, to="end", keep=0, then=("felt",)),
     at("end", {"felt": 9})),
    ("a saved state that is at the end has the ending of its answers",
     ENDS, at("felt"), whole_state("end", 3), saved(whole_state("end", 3), "r1", ending=1), at("end", {"felt": 3})),
    ("a saved state that is not at the end has no ending",
     ENDS, ENDED, whole_state("felt", 3), saved(whole_state("felt", 3), "r1"),
     at("felt", {"felt": 3}, history=("felt",))),
    ("a saved state to which no ending applies has none",
     ENDS, ENDED, whole_state("end", 9), saved(whole_state("end", 9), "r1"), at("end", {"felt": 9})),
    ("an update that changes the answers of a completed session chooses the ending again",
     ENDS, ENDED, Update(at=NOW, changes={"answers": {"felt": 3}}),
     saved(whole_state("end", 3), "r1", ending=1), at("end", {"felt": 3}, history=("felt",))),
    ("an update of other fields keeps the ending, whatever its condition says now",
     ENDS, replace(ENDED, context=SessionContext(ending=1)), Update(at=NOW, changes={"is_audio_mode": True}),
     replace(saved(whole_state("end", 7), "r1", ending=1), is_audio_mode=True), at("end", {"felt": 7}, audio=True)),
)]

REFUSED = [Refused(*row) for row in (
    ("a step that is not shown cannot be answered", PREGNANCY, at("wish", M), answer("pregnant", True), "not_current"),
    ("a step that is not shown has no draft",
     PREGNANCY, at("wish", M), Draft(at=NOW, step="pregnant", value=True), "not_current"),
    ("a step that is not shown cannot be gone to",
     PREGNANCY, at("wish", M), Goto(at=NOW, step="pregnant"), "not_current"),
    ("an option that is not shown is no answer", PREGNANCY, at("wish", M), answer("wish", ["child"]), "invalid_answer"),
    ("an answer must pass the checks", WEIGHT, at("weight", {"height": 2}), answer("weight", 0), "invalid_answer"),
    ("a confirmation does not pass an error",
     WEIGHT, at("weight", {"height": 2}), confirmed("weight", 0), "invalid_answer"),
    ("an error comes before a warning", WEIGHT, at("weight", {"height": 2}), answer("weight", 2000), "invalid_answer"),
    ("a warning must be confirmed", WEIGHT, at("weight", {"height": 2}), answer("weight", 300), "confirm"),
    ("a language must be one of the survey's",
     LANGUAGES, OLD, SetLanguage(at=NOW, language="fr"), "invalid_language"),
    ("the language of an expired session stays: else it would go on",
     LANGUAGES, OLD, SetLanguage(at=LATE, language="en"), "expired"),
)]
# fmt: on


@pytest.mark.parametrize("row", ACCEPTED, ids=lambda row: row.rule)
def test_command_is_accepted(row: Accepted) -> None:
    """The command makes the event, and the event the state."""
    test_flow.test_command_is_accepted(row)


@pytest.mark.parametrize("row", REFUSED, ids=lambda row: row.rule)
def test_command_is_refused(row: Refused) -> None:
    """The rejection has a code for programs and a message for the participant."""
    test_flow.test_command_is_refused(row)


def test_tables_have_every_command_event_and_code() -> None:
    """A new one needs its rows."""
    accepted, refused = [*ACCEPTED, *test_flow.ACCEPTED], [*REFUSED, *test_flow.REFUSED]
    assert {type(row.command) for row in (*accepted, *refused)} == set(get_args(AnyCommand))
    assert {type(row.event) for row in accepted} == set(get_args(AnyEvent))
    assert {row.code for row in refused} == set(get_args(RejectCode))


@pytest.mark.parametrize(
    ("value", "messages"),
    [
        (0, "A weight is more than 0."),
        (-1, "A weight is more than 0."),
        (2000, "A weight is less than 1000."),
        (300, "That is much."),
        (2, "That is little."),
    ],
)
def test_refusal_has_the_failed_messages(value: object, messages: str) -> None:
    """First those of errors, then those of warnings."""
    rejection = decide(WEIGHT, at("weight", {"height": 2}), answer("weight", value))
    assert isinstance(rejection, Rejection)
    assert rejection.message == messages


def test_refusal_has_all_warnings_at_once_when_several_fail() -> None:
    """One confirmation is enough."""
    state = at("weight", {"height": 500})
    rejection = decide(WEIGHT, state, answer("weight", 300))
    assert rejection == Rejection("confirm", "That is much.\nThat is little.", reads_answers=True)


@pytest.mark.parametrize(
    ("survey", "state", "command", "reads"),
    [
        (WEIGHT, at("weight", {"height": 2}), answer("weight", "x"), False),
        (PREGNANCY, at("wish", M), answer("wish", ["child"]), True),
        (PAGES, at("varying", {"a": True}), answer("varying", {"f": 9}), True),
        (PAGES, at("fixed", {"a": True, "varying": {"f": 3}}), answer("fixed", {"h": 9}), False),
        (PAGES, at("fixed", {"a": True, "varying": {"f": 3}}), answer("fixed", {"h": 1, "i": 2}), False),
        (PAGES, at("fixed", {"a": True, "varying": {"f": 3}}), answer("fixed", {"h": 3}), True),
        (PAGES, at("grid", {"a": True, "varying": {"f": 3}, "fixed": {"h": 2}}), answer("grid", {"r": 0}), False),
    ],
)
def test_refusal_says_whether_it_depends_on_other_answers(
    survey: Survey, state: SessionState, command: Answer, reads: bool
) -> None:
    """Only one that does not is final while earlier answers are not committed."""
    rejection = decide(survey, state, command)
    assert isinstance(rejection, Rejection)
    assert rejection.reads_answers is reads


@pytest.mark.parametrize(
    ("command", "message"),
    [
        (answer("age", 200), "Zu alt."),
        (SetLanguage(at=NOW, language="fr"), "en, de"),
    ],
)
def test_refusal_is_in_the_session_s_language(command: AnyCommand, message: str) -> None:
    """The author's message; the server's own too, or in English if its catalogue lacks the language."""
    rejection = decide(LANGUAGES, OLD, command)
    assert isinstance(rejection, Rejection)
    assert message in rejection.message


def test_back_leads_to_the_last_step_that_is_shown() -> None:
    """Hidden ones between are passed."""
    assert decide(PREGNANCY, at("wish", M), Back(at=NOW)) == WentBack(at=NOW, step="sex")


def test_session_completes_at_once_when_no_step_is_shown() -> None:
    """Its status, time of completion and ending are those of any completed session."""
    event = decide(ALL_HIDDEN, None, Begin(at=NOW))
    assert not isinstance(event, Rejection)
    state = apply(None, event)
    assert (state.status, state.current_step, state.completed_at, state.ending) == ("completed", "end", NOW, 1)
    assert progress(ALL_HIDDEN, state) == 1


def test_answers_come_back_as_drafts_when_their_step_is_shown_again() -> None:
    """Nothing that was typed is lost by an edit."""
    events: list[Any] = []
    state: SessionState | None = None
    for command in (Begin(at=1), answer("sex", "f"), answer("pregnant", True), answer("sex", "m"), answer("sex", "f")):
        event = decide(PREGNANCY, state, command)
        assert not isinstance(event, Rejection)
        state = apply(state, event)
        events.append(event)
    assert isinstance(events[-1], Answered)
    assert state is not None
    assert (state.current_step, state.draft) == ("pregnant", True)
    assert fold(events) == state


def test_progress_counts_the_longest_way_when_steps_may_be_hidden() -> None:
    """sex, pregnant, week is shorter than sex, pregnant, wish, thanks."""
    assert PREGNANCY.graph.remaining["sex"] == 4
    assert progress(PREGNANCY, at("wish", M)) == 1 / 3


@pytest.mark.parametrize(
    ("answers", "waits_at"),
    [
        ({"b": None, "o": None, "m": ["u"], "r": ["v", "u"]}, "b"),
        ({"b": "y", "o": None, "m": ["u"], "r": ["v", "u"]}, "m"),
        ({"b": "y", "o": None, "m": ["u", "w"], "r": ["v", "u"]}, "r"),
        ({"b": "y", "o": None, "m": ["u", "w"], "r": ["v", "w", "u"]}, "z"),
    ],
)
def test_walk_waits_where_an_edit_shows_options_that_the_answer_lacks(answers: dict[str, Any], waits_at: str) -> None:
    """Nothing chosen where a step had no options, and a ranking of some of them, are answers no more."""
    state = at("z", {"a": False, **answers})
    event = decide(LATE_OPTIONS, state, answer("a", True))
    assert not isinstance(event, Rejection)
    after = apply(state, event)
    assert after.current_step == waits_at
    order = ("a", *answers, "z")
    assert tuple(after.answers) == order[: order.index(waits_at)]
