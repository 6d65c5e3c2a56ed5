"""Pages and grids: one command and one event for several answers."""

import json
from typing import Any

import pytest
import yaml

from app.errors import SurveyFileError
from app.survey.commands import Answer, AnyCommand, Begin, Draft, Goto, Rejection, Restart
from app.survey.definition import Survey, parse_definition
from app.survey.events import Answered, AnyEvent, from_record, to_record
from app.survey.flow import decide
from app.survey.snapshot import SessionKey, Snapshot
from app.survey.state import SessionState, apply

AT = 1_796_040_000_000_000

FILE = """
id: example
title: Example
language: en
values:
  bmi: round(answers.weight / (answers.height * answers.height), 1)
steps:
  - {id: sex, type: choice, prompt: p, options: [f, m]}
  - id: body
    type: page
    prompt: About you
    fields:
      - {id: height, type: number, prompt: Height, min: 0.4, max: 2.6}
      - {id: weight, type: number, prompt: Weight, unit: kg,
         check: [{that: answer < 300, message: "{{ answers.weight }} kg is much", level: warning}]}
      - {id: pregnant, type: boolean, prompt: Pregnant, show_if: 'answers.sex == "f"'}
      - {id: week, type: number, prompt: Week, show_if: answers.pregnant, integer: true}
      - {id: note, type: text, prompt: Note, required: false, max_length: 20}
    check: [{that: answers.weight > answers.height, message: Please look at the units.}]
    next: [{when: answers.height > 2, go: days}]
  - {id: tall, type: info, prompt: "{{ answers.height }} m and {{ values.bmi }}"}
  - id: days
    type: grid
    prompt: How often?
    rows: [{id: sleep, label: Sleep}, {id: energy, label: Energy}]
    options: [{value: 0, label: Never}, {value: 1, label: Often}]
    next: [{when: answers.days.sleep == 1, go: end}]
  - {id: last, type: info, prompt: p}
"""


def definition(text: str) -> Survey:
    return parse_definition(json.dumps(yaml.safe_load(text)), "example.yaml")


SURVEY = definition(FILE)
GIVEN: dict[str, Any] = {"height": 1.5, "weight": 90, "pregnant": True, "week": 12, "note": None}
NOT_PREGNANT = {"height": 1.5, "weight": 90, "pregnant": False, "note": None}


def after(*answers: tuple[str, Any], survey: Survey = SURVEY) -> tuple[SessionState, AnyEvent]:
    """Return the state and the last event after these answers."""
    state: SessionState | None = None
    event: AnyEvent | Rejection | None = None
    for command in (Begin(at=AT), *(Answer(at=AT, step=step, value=value) for step, value in answers)):
        event = decide(survey, state, command)
        assert not isinstance(event, Rejection), event
        assert from_record(to_record(event)) == event
        state = apply(state, event)
    assert state is not None
    assert event is not None
    return state, event


def taken(state: SessionState, *commands: AnyCommand) -> SessionState:
    """Return the state after more commands."""
    for command in commands:
        event = decide(SURVEY, state, command)
        assert not isinstance(event, Rejection), event
        state = apply(state, event)
    return state


def refusal(state: SessionState, step: str, value: object, *, confirmed: bool = False) -> Rejection:
    found = decide(SURVEY, state, Answer(at=AT, step=step, value=value, confirmed=confirmed))
    assert isinstance(found, Rejection)
    return found


def drawn(state: SessionState, survey: Survey = SURVEY) -> Any:
    return Snapshot(key=SessionKey("example", "ann"), state=state, survey=survey).draw_step(AT).fields


WOMAN = after(("sex", "f"))[0]
MAN = after(("sex", "m"))[0]


def test_page_is_answered_by_one_command_and_one_event() -> None:
    """Every field that is shown is stored, in the order of the file, null where it has no answer."""
    state, event = after(("sex", "f"), ("body", dict(reversed(GIVEN.items()))))
    assert isinstance(event, Answered)
    assert list(event.answer.items()) == list(GIVEN.items())
    assert state.current_step == "tall"
    state, event = after(("sex", "m"), ("body", {"height": 1.5, "weight": 90}))
    assert isinstance(event, Answered)
    assert event.answer == {"height": 1.5, "weight": 90, "note": None}


@pytest.mark.parametrize(
    ("state", "changes", "fields"),
    [
        (WOMAN, {"height": None}, {"height"}),
        (WOMAN, {"height": 3, "weight": "x"}, {"height", "weight"}),
        (WOMAN, {"week": 1.5, "note": "x" * 21}, {"week", "note"}),
        (WOMAN, {"pregnant": False}, {"week"}),
        (MAN, {}, {"pregnant", "week"}),
        (WOMAN, {"other": 1}, {"other"}),
        (WOMAN, {"week": "x", **dict.fromkeys(map(str, range(5000)), 1)}, {"week", *map(str, range(10))}),
    ],
    ids=["missing", "wrong", "several", "hidden by the page", "hidden by a step", "unknown", "many unknown"],
)
def test_refusal_names_every_wrong_field(state: SessionState, changes: dict[str, Any], fields: set[str]) -> None:
    """With a message for each; nothing of the page is stored."""
    found = refusal(state, "body", {**GIVEN, **changes})
    assert (found.code, found.fields and set(found.fields)) == ("invalid_answer", fields)
    assert all((found.fields or {}).values())


@pytest.mark.parametrize("value", [[], "x", 1, True])
def test_page_takes_an_object(value: object) -> None:
    """A refusal always has fields, here none."""
    found = refusal(WOMAN, "body", value)
    assert (found.code, found.fields) == ("invalid_answer", {})


def test_checks_of_fields_and_of_the_page_read_what_is_submitted() -> None:
    """All errors first; then all warnings, which can be confirmed."""
    both = {**GIVEN, "weight": 1.2}
    assert (refusal(WOMAN, "body", both).message, refusal(WOMAN, "body", both).code) == (
        "Please look at the units.",
        "invalid_answer",
    )
    heavy = refusal(WOMAN, "body", {**GIVEN, "weight": 400})
    assert (heavy.code, heavy.fields) == ("confirm", {"weight": "400 kg is much"})
    assert refusal(WOMAN, "body", both).fields == {}
    confirmed = decide(SURVEY, WOMAN, Answer(at=AT, step="body", value={**GIVEN, "weight": 400}, confirmed=True))
    assert isinstance(confirmed, Answered)
    assert confirmed.confirmed


def test_conditions_and_texts_read_fields_by_their_ids() -> None:
    """Flat, as if they were steps."""
    assert after(("sex", "f"), ("body", {**GIVEN, "height": 2.5}))[0].current_step == "days"
    state, _ = after(("sex", "f"), ("body", GIVEN))
    assert drawn(state)["prompt"] == "1.5 m and 40"
    fields = Snapshot(key=SessionKey("example", "ann"), state=state, survey=SURVEY).to_dict(AT)
    assert (fields["values"], list(fields["answers"])) == ({"bmi": 40}, ["sex", "body"])


def test_step_has_the_fields_that_are_shown_and_conditions_within_the_page() -> None:
    """The client draws those as the participant types."""
    woman, man = drawn(WOMAN), drawn(MAN)
    assert [field["id"] for field in woman["fields"]] == ["height", "weight", "pregnant", "week", "note"]
    assert [field.get("show_if") for field in woman["fields"]] == [None, None, None, "answers.pregnant", None]
    assert [field["id"] for field in man["fields"]] == ["height", "weight", "week", "note"]
    assert (woman["depends_on"], {"required", "default", "next", "check"} & woman.keys()) == (["sex"], set())
    assert all("check" not in field and "next" not in field for field in woman["fields"])


def test_condition_within_a_page_has_the_values_of_what_no_field_decides() -> None:
    """The time, parameters, computed values and earlier answers: its client need not know them, and could not."""
    survey = definition("""
id: example
title: Example
language: en
values: {minor: 10 + 8}
steps:
  - {id: lives, type: choice, prompt: p, options: [alone, family]}
  - id: b
    type: page
    prompt: p
    fields:
      - {id: born, type: date, prompt: p}
      - {id: guardian, type: text, prompt: p,
         show_if: 'age(answers.born, today) < values.minor && answers.lives == "family"'}
""")
    state, _ = after(("lives", "family"), survey=survey)
    step = drawn(state, survey)
    assert step["fields"][1]["show_if"] == '((age(answers.born, "2026-11-30") < 18) && true)'
    assert step["depends_on"] == ["lives"]


def test_page_whose_fields_depend_on_each_other_alone_always_looks_the_same() -> None:
    """So that clients can show it without a connection."""
    survey = definition("""
id: example
title: Example
language: en
steps:
  - {id: a, type: boolean, prompt: p}
  - id: b
    type: page
    prompt: p
    fields: [{id: c, type: boolean, prompt: p}, {id: d, type: text, prompt: p, show_if: answers.c}]
""")
    state, _ = after(("a", True), survey=survey)
    step = drawn(state, survey)
    assert "b" in survey.fixed_steps
    assert ("depends_on" in step, step["fields"][1]["show_if"]) == (False, "answers.c")


def test_field_that_is_hidden_by_a_later_edit_becomes_a_draft() -> None:
    """The page stays answered; its other fields stay."""
    state, event = after(("sex", "f"), ("body", GIVEN), ("sex", "m"))
    assert isinstance(event, Answered)
    assert event.trimmed == {"body": ("pregnant", "week")}
    assert state.answers["body"] == {"height": 1.5, "weight": 90, "note": None}
    assert (state.drafts["body"], state.current_step) == ({"pregnant": True, "week": 12}, "tall")


def test_route_ends_at_a_passed_page_that_shows_a_required_field_again() -> None:
    """Its answers come back as a draft, with those of the field that was hidden."""
    state, _ = after(("sex", "m"), ("body", {"height": 1.5, "weight": 90}), ("tall", None), ("sex", "f"))
    assert (state.current_step, "body" in state.answers) == ("body", False)
    assert state.drafts["body"] == {"height": 1.5, "weight": 90, "note": None}


def test_fields_that_were_hidden_come_back_with_the_page() -> None:
    state, _ = after(("sex", "f"), ("body", GIVEN), ("sex", "m"), ("sex", "f"))
    assert state.current_step == "body"
    assert state.drafts["body"] == GIVEN


@pytest.mark.parametrize(
    ("draft", "kept"),
    [({}, 12), ({"week": "13"}, "13"), ({"week": ""}, None)],
    ids=["answered", "answered and changed", "answered and cleared"],
)
def test_field_that_the_page_hides_when_it_is_answered_anew_becomes_a_draft(draft: object, kept: object) -> None:
    """Its newest value; the draft that a client shows has the answers of the other fields too."""
    state, _ = after(("sex", "f"), ("body", GIVEN))
    state = taken(state, Draft(at=AT, step="body", value=draft), Answer(at=AT, step="body", value=NOT_PREGNANT))
    assert state.answers["body"] == NOT_PREGNANT
    assert state.drafts.get("body") == (None if kept is None else {"week": kept})
    state = taken(state, Goto(at=AT, step="body"))
    assert state.draft == (None if kept is None else {**NOT_PREGNANT, "week": kept})


def test_draft_of_a_hidden_field_outlives_a_new_draft_and_a_new_answer() -> None:
    """The participant is asked again when the field is shown again."""
    state, _ = after(("sex", "f"), ("body", GIVEN), ("sex", "m"))
    heavier = {"height": 1.5, "weight": 91, "note": None}
    state = taken(state, Draft(at=AT, step="body", value={**heavier, "weight": "9"}))
    assert state.drafts["body"] == {**heavier, "weight": "9", "pregnant": True, "week": 12}
    state = taken(state, Answer(at=AT, step="body", value=heavier))
    assert (state.answers["body"], state.drafts["body"]) == (heavier, {"pregnant": True, "week": 12})
    state = taken(state, Answer(at=AT, step="sex", value="f"))
    assert (state.current_step, state.draft) == ("body", {**GIVEN, "weight": 91})


def test_draft_that_only_repeats_hidden_fields_is_unchanged() -> None:
    state, _ = after(("sex", "f"), ("body", GIVEN), ("sex", "m"))
    state = taken(state, Draft(at=AT, step="body", value={"weight": "9"}))
    again = decide(SURVEY, state, Draft(at=AT, step="body", value={"weight": "9"}))
    assert isinstance(again, Rejection)
    assert again.code == "unchanged"
    assert "body" not in taken(state, Draft(at=AT, step="body", value=None)).drafts


ALL_HIDDEN = definition("""
id: example
title: Example
language: en
steps:
  - {id: a, type: boolean, prompt: p}
  - id: b
    type: page
    prompt: p
    fields:
      - {id: c, type: text, prompt: p, show_if: answers.a}
      - {id: d, type: text, prompt: p, required: false, show_if: answered(answers.c)}
  - {id: e, type: info, prompt: p}
""")


def test_wrong_answer_hides_no_field() -> None:
    """A condition reads it as it was submitted, as the client does that shows the field."""
    state, _ = after(("a", True), survey=ALL_HIDDEN)
    found = decide(ALL_HIDDEN, state, Answer(at=AT, step="b", value={"c": 5, "d": "x"}))
    assert isinstance(found, Rejection)
    assert [*(found.fields or {})] == ["c"]


@pytest.mark.parametrize(("value", "to"), [(True, "b"), (False, "e")])
def test_page_without_a_shown_field_is_passed(value: bool, to: str) -> None:
    state, _ = after(("a", value), survey=ALL_HIDDEN)
    assert state.current_step == to


OPTIONS = """
id: example
title: Example
language: en
steps:
  - {id: a, type: boolean, prompt: p}
  - {id: b, type: boolean, prompt: p}
  - id: c
    type: page
    prompt: p
    fields:
      - {id: d, type: choice, prompt: p, required: %s, options: [{value: x, show_if: answers.a}, {value: y, show_if: answers.b}]}
      - {id: e, type: text, prompt: p, required: false, max_length: 9, show_if: answered(answers.d)}
      - {id: f, type: text, prompt: p, max_length: 9}
  - {id: g, type: info, prompt: p}
"""


@pytest.mark.parametrize(
    ("required", "e", "to", "answer", "draft"),
    [
        ("true", "t", "c", None, {"d": "x", "e": "t", "f": "u"}),
        ("false", "t", "g", {"f": "u"}, {"d": "x", "e": "t"}),
        ("false", None, "g", {"f": "u"}, {"d": "x"}),
    ],
)
def test_option_of_a_field_that_is_hidden_later_makes_its_answer_a_draft(
    required: str, e: object, to: str, answer: object, draft: object
) -> None:
    """The route ends at the page only if it needs another answer."""
    page = {"d": "x", "e": e, "f": "u"}
    state, _ = after(("a", True), ("b", True), ("c", page), ("a", False), survey=definition(OPTIONS % required))
    assert (state.current_step, state.answers.get("c"), state.drafts["c"]) == (to, answer, draft)


def test_page_stays_answered_while_a_field_of_it_has_no_option() -> None:
    """A required one too, which has no answer then."""
    given = (("a", False), ("b", False), ("c", {"f": "u"}), ("a", False))
    state, _ = after(*given, survey=definition(OPTIONS % "true"))
    assert (state.current_step, state.answers["c"]) == ("g", {"d": None, "f": "u"})


def test_draft_of_a_page_is_a_partial_object() -> None:
    """Not validated: also half of a number."""
    event = decide(SURVEY, WOMAN, Draft(at=AT, step="body", value={"height": "1,"}))
    assert not isinstance(event, Rejection)
    state = apply(WOMAN, event)
    assert state.draft == {"height": "1,"}
    kept, _ = after(("sex", "f"), ("body", GIVEN))
    assert "body" not in kept.drafts
    for unknown in ("a", "b"):  # fields of another revision
        kept = taken(kept, Goto(at=AT, step="body"), Draft(at=AT, step="body", value={unknown: "x"}))
    assert kept.drafts["body"] == {"b": "x"}


@pytest.mark.parametrize(
    ("step", "message"),
    [
        ("{id: a, type: page, prompt: p, required: true, fields: [{id: b, type: info, prompt: p}]}", "required"),
        ("{id: a, type: page, prompt: p, default: {}, fields: [{id: b, type: info, prompt: p}]}", "default"),
        ("{id: a, type: page, prompt: p, fields: []}", "fields"),
        ("{id: a, type: page, prompt: p, fields: [{id: b, type: info, prompt: p, next: [{go: end}]}]}", "no `next`"),
        ("{id: a, type: page, prompt: p, fields: [{id: b, type: page, prompt: p, fields: []}]}", "fields"),
        ("{id: a, type: grid, prompt: p, rows: [{id: r, label: R}, {id: r, label: R}], options: [a]}", "two rows"),
        ("{id: a, type: grid, prompt: p, rows: [{id: r, label: R}], options: [a, a]}", "two options"),
        ("{id: a, type: grid, prompt: p, rows: [{id: r, label: R}], options: [{value: a, other: true}]}", "other"),
        ("{id: a, type: grid, prompt: p, rows: [], options: [a]}", "rows"),
        (
            "{id: a, type: grid, prompt: p, rows: [{id: text, label: R}, {id: value, label: R}], options: [a]}",
            "value and text",
        ),
    ],
)
def test_wrong_page_or_grid_is_refused(step: str, message: str) -> None:
    with pytest.raises(SurveyFileError, match=message):
        definition(f"{{id: e, title: t, language: en, steps: [{step}]}}")


def test_definition_of_a_page_can_be_read_again() -> None:
    """It has neither `required` nor `default`."""
    assert definition(SURVEY.definition).revision == SURVEY.revision


def test_edit_of_a_page_that_was_passed_keeps_the_position() -> None:
    """As of any other step; and a walk can go to it."""
    state, _ = after(("sex", "f"), ("body", GIVEN), ("body", {**GIVEN, "week": 13}))
    assert (state.current_step, state.answers["body"]["week"]) == ("tall", 13)
    event = decide(SURVEY, state, Goto(at=AT, step="body"))
    assert not isinstance(event, Rejection)
    back = apply(state, event)
    assert drawn(back)["id"] == "body"
    restarted = decide(SURVEY, back, Restart(at=AT))
    assert not isinstance(restarted, Rejection)
    assert apply(back, restarted).answers == {}
