"""Parameters: what is known of a participant before the first question."""

import json
from typing import Any

import pytest
import yaml

from app.errors import InvalidInput, SurveyFileError
from app.survey.commands import Answer, Begin, Rejection, Restart
from app.survey.definition import Survey, parse_definition, parse_structure
from app.survey.events import Started, from_record, to_record
from app.survey.flow import decide
from app.survey.parameters import (
    MAX_INVITATION_BYTES,
    RESERVED,
    Given,
    accept_invitation,
    accept_parameters,
    parse_parameters,
)
from app.survey.snapshot import SessionKey, Snapshot
from app.survey.state import SessionState, apply

HEAD = "id: example\ntitle: Example\nlanguage: en\n"


def survey(parameters: str, steps: str = "- {id: a, type: info, prompt: p}") -> Survey:
    """Return the survey of these parameters and steps, in YAML."""
    document = yaml.safe_load(f"{HEAD}parameters: {{{parameters}}}\nsteps:\n{steps}\n")
    return parse_definition(json.dumps(document), "example.yaml")


TYPED = survey(
    "text: {type: text, from: url, max_length: 5, default: ''},"
    "number: {type: number, from: url, min: 1, default: 7},"
    "whole: {type: number, from: url, integer: true, required: false},"
    "agreed: {type: boolean, from: url, default: false},"
    "option: {type: choice, from: url, options: [1, {value: two, label: Two}], required: false},"
    "day: {type: date, from: url, required: false},"
    "phone: {type: phone, from: url, required: false}"
)


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("text", "abc", "abc"),
        ("text", "", ""),
        ("number", "2.5", 2.5),
        ("whole", "3", 3),
        ("agreed", "true", True),
        ("option", "1", 1),
        ("option", "two", "two"),
        ("day", "2026-11-30", "2026-11-30"),
        ("phone", "+49 (30) 123-456", "+4930123456"),
    ],
)
def test_text_of_an_address_becomes_a_value_of_the_type(name: str, text: str, value: object) -> None:
    """As an answer to a step of this type is stored."""
    accepted = accept_parameters(TYPED.parameters, Given(url={name: [text]}))
    assert (accepted[name], type(accepted[name])) == (value, type(value))


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ({"text": ["abcdef"]}, "The parameter text is invalid. .*5"),
        ({"number": ["0"]}, "The parameter number is invalid. .*1"),
        ({"number": ["one"]}, "The parameter number is invalid. "),
        ({"whole": ["1.5"]}, "The parameter whole is invalid. "),
        ({"agreed": ["yes"]}, "The parameter agreed is invalid. "),
        ({"option": ["Two"]}, "The parameter option is invalid. "),
        ({"day": ["30.11.2026"]}, "The parameter day is invalid. "),
        ({"text": ["a", "b"]}, "The parameter text is repeated."),
        ({"text": ["a\0b"]}, "The parameter text is invalid. It is text with the character U\\+0000"),
        ({"number": ["1e400"]}, "The parameter number is invalid. "),
    ],
)
def test_wrong_or_repeated_parameter_is_refused_by_name(url: dict[str, list[str]], message: str) -> None:
    """In words that the sender of a link can act on."""
    with pytest.raises(InvalidInput, match=message):
        accept_parameters(TYPED.parameters, Given(url=url))


def test_missing_parameter_is_its_default_or_refused_if_it_is_required() -> None:
    """A parameter without a default is required unless it says otherwise."""
    accepted = accept_parameters(TYPED.parameters, Given())
    assert accepted == {
        "text": "",
        "number": 7,
        "whole": None,
        "agreed": False,
        "option": None,
        "day": None,
        "phone": None,
    }
    with pytest.raises(InvalidInput, match="The parameter clinic is missing"):
        accept_parameters(survey("clinic: {type: text, from: url}").parameters, Given())


def test_default_is_stored_as_an_answer_is() -> None:
    one = survey("phone: {type: phone, from: url, default: +49 30 123456}")
    assert accept_parameters(one.parameters, Given()) == {"phone": "+4930123456"}


def test_all_missing_parameters_are_named_at_once() -> None:
    """The sender of a link corrects it once."""
    parameters = survey("a: {type: text, from: url}, b: {type: date, from: api}, c: {type: text, from: url}").parameters
    with pytest.raises(InvalidInput, match=r"^The parameters a, b are missing\.$"):
        accept_parameters(parameters, Given(url={"a": [""], "c": ["1"]}))


def test_all_that_is_wrong_with_parameters_is_named_at_once() -> None:
    """Of an invitation also what it can't carry; each value's own rule is in its sentence."""
    parameters = survey(
        "a: {type: text, from: url}, b: {type: number, from: url}, c: {type: date, from: api}, d: {type: text, from: url},"
        "e: {type: boolean, from: invitation}"
    ).parameters
    with pytest.raises(InvalidInput) as refused:
        accept_parameters(parameters, Given(url={"b": ["x"], "d": ["1", "2"]}, api={"c": "soon"}))
    number, date = (f"The parameter {name} is invalid. It must be " for name in "bc")
    first, *others = refused.value.message.split(number)
    assert first == "The parameters a, e are missing. "
    assert date in others[0]
    assert others[0].endswith(" The parameter d is repeated.")
    with pytest.raises(
        InvalidInput, match=r"parameter e is invalid\. .* have no parameters a, x\. They have e\. a has"
    ):
        accept_invitation(parameters, {"a": "1", "x": 2, "e": 3})


def test_parameters_are_limited_in_total() -> None:
    """As a command of REST or the socket is, for callers of Python too; defaults are the survey's."""
    texts = ", ".join(f"t{number}: {{type: text, from: api, default: {'d' * 10_000}}}" for number in range(7))
    parameters = survey(texts).parameters
    assert len(accept_parameters(parameters, Given())) == 7
    sent = dict.fromkeys(parameters, "s" * 9000)
    assert accept_parameters(parameters, Given(api=sent)) == sent
    sent = dict.fromkeys(parameters, "s" * 9500)
    with pytest.raises(InvalidInput, match="at most 65536 bytes"):
        accept_parameters(parameters, Given(api=sent))


def test_empty_text_is_a_missing_parameter() -> None:
    """As an empty text is no answer to a step."""
    parameters = "name: {type: text, from: url%s}"
    assert accept_parameters(TYPED.parameters, Given(url={"number": [""], "option": [""]}))["number"] == 7
    empty = Given(url={"name": [""]})
    assert accept_parameters(survey(parameters % ", required: false").parameters, empty) == {"name": None}
    assert accept_parameters(survey(parameters % ", default: Ada").parameters, empty) == {"name": "Ada"}
    with pytest.raises(InvalidInput, match="The parameter name is missing"):
        accept_parameters(survey(parameters % "").parameters, empty)


def test_each_parameter_is_taken_only_from_its_source() -> None:
    """A participant can change an address, but neither an invitation nor what an integrator sends."""
    parameters = survey(
        "a: {type: text, from: url, default: '-'}, b: {type: text, from: invitation, default: '-'},"
        "c: {type: text, from: api, default: '-'}"
    ).parameters
    everywhere = {name: ["url"] for name in "abc"}
    assert accept_parameters(parameters, Given(url=everywhere)) == {"a": "url", "b": "-", "c": "-"}
    invited = Given(url=everywhere, invitation=dict.fromkeys("abc", "link"))
    assert accept_parameters(parameters, invited) == {"a": "url", "b": "link", "c": "-"}
    sent = Given(url=everywhere, api=dict.fromkeys("abc", "api"))
    assert accept_parameters(parameters, sent) == dict.fromkeys("abc", "api")


def test_undeclared_parameters_are_ignored() -> None:
    """Links have parameters of other programs."""
    assert accept_parameters(
        survey("a: {type: text, from: url}").parameters, Given(url={"a": ["1"], "utm": ["2"]})
    ) == {"a": "1"}


def test_invitation_carries_only_its_own_parameters() -> None:
    """Checked when the link is made, not when the participant opens it."""
    parameters = survey(
        "name: {type: text, from: invitation}, age: {type: number, from: invitation, default: 1},"
        "clinic: {type: text, from: url}"
    ).parameters
    texts = parse_parameters(parameters, {"name": "Ada", "age": "36"})
    assert accept_invitation(parameters, texts) == {"name": "Ada", "age": 36}
    assert accept_invitation(parameters, {"name": "Ada"}) == {"name": "Ada"}
    for wrong, message in (
        ({"name": "Ada", "clinic": "north"}, "no parameter clinic. They have name, age. clinic has `from: url`."),
        ({"name": "Ada", "age": "old"}, "The parameter age"),
        ({}, "The parameter name is missing."),
        ({"name": "ä" * MAX_INVITATION_BYTES}, f"at most {MAX_INVITATION_BYTES} bytes"),
    ):
        with pytest.raises(InvalidInput, match=message):
            accept_invitation(parameters, wrong)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        *((f"{name}: {{type: text, from: url}}", "already") for name in sorted(RESERVED)),
        ("a-b: {type: text, from: url}", "parameters"),
        ("a: {type: text}", "from"),
        ("a: {type: info, from: url}", "type"),
        ("a: {type: text, from: url, min: 1}", "no min"),
        ("a: {type: choice, from: url}", "options"),
        ("a: {type: number, from: url, default: x}", "default"),
        ("a: {type: number, from: url, min: 3, max: 1}", "min 3 is greater than max 1"),
        ("a: {type: date, from: url, max: '{{ today }}'}", "not expressions"),
        ("a: {type: choice, from: url, options: [{value: x, other: true}]}", "options of a parameter"),
        ("a: {type: choice, from: url, options: [x, {value: y, show_if: 'true'}]}", "options of a parameter"),
    ],
)
def test_wrong_declaration_is_refused(parameters: str, message: str) -> None:
    """Where the definition is parsed."""
    with pytest.raises(SurveyFileError, match=message):
        survey(parameters)


NORTH = survey(
    "clinic: {type: choice, from: url, options: [north, south]}",
    "- {id: a, type: info, prompt: p, show_if: 'parameters.clinic == \"north\"'}\n- {id: b, type: info, prompt: p}",
)


def begun(clinic: str) -> SessionState:
    event = decide(NORTH, None, Begin(at=1, parameters={"clinic": clinic}))
    assert isinstance(event, Started)
    assert from_record(to_record(event)) == event
    return apply(None, event)


@pytest.mark.parametrize(("clinic", "first"), [("north", "a"), ("south", "b")])
def test_conditions_read_parameters(clinic: str, first: str) -> None:
    """From the first step on."""
    assert begun(clinic).current_step == first


def test_session_keeps_its_parameters_when_it_is_restarted() -> None:
    """They are fixed by `started`."""
    state = begun("south")
    for command in (Answer(at=2, step="b", value=None), Restart(at=3)):
        event = decide(NORTH, state, command)
        assert not isinstance(event, Rejection)
        state = apply(state, event)
    assert (state.current_step, state.parameters) == ("b", {"clinic": "south"})
    fields = Snapshot(key=SessionKey("example", "ann"), state=state, survey=NORTH).to_dict(4)
    assert fields["parameters"] == {"clinic": "south"}


def test_survey_without_parameters_keeps_its_events_and_revision() -> None:
    """Fields at their default are no part of a definition, and of no event."""
    plain = parse_structure(json.dumps(yaml.safe_load(f"{HEAD}steps: [{{id: a, type: info, prompt: p}}]")))
    empty: dict[str, Any] = {"parameters": {}, "values": {}}
    assert plain.revision == parse_structure(json.dumps({**json.loads(plain.definition), **empty})).revision
    event = decide(plain, None, Begin(at=1))
    assert isinstance(event, Started)
    assert "parameters" not in to_record(event).data
    assert apply(None, event).context is None
