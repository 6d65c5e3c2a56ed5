"""Insertions: values in texts."""

import json
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from app.survey.commands import Answer, Begin, Rejection
from app.survey.definition import Survey, parse_definition, parse_structure
from app.survey.flow import decide
from app.survey.markdown import MarkdownText
from app.survey.piping import PipedText, UnclosedInsertion, as_text, find_insertions
from app.survey.resolve import described_step
from app.survey.snapshot import SessionKey, Snapshot
from app.survey.state import SessionState, apply
from tests.conftest import examples

AT = 1_796_040_000_000_000


@pytest.mark.parametrize(
    ("text", "sources"),
    [
        ("plain { text }", []),
        ("{{ a }} and {{b}}", ["a", "b"]),
        (r"\{{ a }} {{ a }}", ["a"]),
        ("{{ {'a': {'b': 1}}['a']['b'] }}!", ["{'a': {'b': 1}}['a']['b']"]),
        ("""{{ "}}" + '{{' }}""", ["""\"}}" + '{{'"""]),
        ("{{}}", [""]),
    ],
)
def test_insertions_end_outside_of_quotes_and_maps(text: str, sources: list[str]) -> None:
    """Each with its place in the text."""
    found = list(find_insertions(text))
    assert [one.source for one in found] == sources
    assert all(text[one.offset :].startswith(one.source) for one in found)


def test_insertion_without_an_end_is_an_error_and_stays_literal_in_a_stored_text() -> None:
    with pytest.raises(UnclosedInsertion, match="needs }}"):
        list(find_insertions("a {{ b"))
    assert str(PipedText("a {{ b")) == "a {{ b"


@given(st.lists(st.text(alphabet="ab {}\\*<&\n", max_size=6), min_size=2, max_size=5), st.text(max_size=20))
@examples(200)
def test_inserted_text_is_never_markup(around: list[str], value: str) -> None:
    """Whatever the value, the HTML around it is that of the text around it."""
    literal = [part.replace("{{", "{ {").replace("\\{", "{") for part in around]
    source = "{{ x }}".join(part.rstrip("{\\") for part in literal)
    text = MarkdownText(source)
    marked = text.filled(lambda _: "MARK").html
    escaped = value.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace('"', "&quot;")
    assert text.filled(lambda _: value).html == marked.replace("MARK", escaped)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, ""),
        (4, "4"),
        (4.0, "4"),
        (2.5, "2.5"),
        (1e21, "1e+21"),
        (True, "true"),
        ("a\nb", "a\nb"),
        (["a", 1.0, None], "a, 1, "),
    ],
)
def test_values_are_inserted_as_text(value: object, text: str) -> None:
    """Numbers as ECMAScript writes them."""
    assert as_text(value) == text


HEAD = r"""
id: example
title: Example
language: en
languages: [en, de]
parameters: {name: {type: text, from: url, default: ""}}
values: {twice: answers.a * 2}
"""
STEPS = r"""
steps:
  - {id: a, type: number, prompt: "{{ coalesce(parameters.name, 'You') }}, \\{{a}}", unit: "{{ 'k' + 'g' }}",
     check: [{that: answers.a > 1, message: "{{ answers.a }} is too little"}]}
  - {id: b, type: choice, prompt: {en: "Now {{ values.twice }}", de: "Jetzt {{ values.twice }}"},
     help: "{{ answers.none }}", options: [{value: x, label: {en: "X {{ answers.a }}", de: "Ein X {{ answers.a }}"}}, y]}
  - {id: c, type: text, prompt: "{{ label(answers.b) }}", audio: "You said {{ label(answers.b) }}", required: false}
end: [{title: "Bye {{ answers.c }}", text: "{{ today }}", redirect: "https://a.example/?t={{ answers.c }}&x=1"}]
"""


def survey(markdown: str = "") -> Survey:
    return parse_definition(json.dumps(yaml.safe_load(HEAD + markdown + STEPS)), "example.yaml")


def walk(one: Survey, *answers: tuple[str, Any], **new: Any) -> SessionState:
    state = None
    for command in (Begin(at=AT, **new), *(Answer(at=AT, step=step, value=value) for step, value in answers)):
        event = decide(one, state, command)
        assert not isinstance(event, Rejection), event
        state = apply(state, event)
    assert state is not None
    return state


def snapshot(one: Survey, state: SessionState) -> Snapshot:
    return Snapshot(key=SessionKey("example", "ann"), state=state, survey=one)


def drawn(one: Survey, *answers: tuple[str, Any], **new: Any) -> Any:
    return snapshot(one, walk(one, *answers, **new)).draw_step(AT).fields


def test_step_has_the_values_of_the_session() -> None:
    """In each of its texts; the client learns on which answers they depend."""
    first = drawn(survey(), parameters={"name": "<b>Ada</b>"})
    assert (first["prompt"], first["unit"], first["depends_on"]) == ("<b>Ada</b>, {{a}}", "kg", [])
    second = drawn(survey(), ("a", 2.5))
    assert (second["prompt"], second["help"]) == ("Now 5", "{{ answers.none }}")
    assert [option["label"] for option in second["options"]] == ["X 2.5", "y"]
    assert second["depends_on"] == ["a"]
    third = drawn(survey(), ("a", 2.5), ("b", "x"))
    assert (third["prompt"], third["audio"]) == ("X 2.5", "You said X 2.5")


def test_texts_of_other_languages_are_filled_too() -> None:
    """So are the labels of chosen options."""
    assert drawn(survey(), ("a", 2), languages=("de",))["prompt"] == "Jetzt 4"
    assert drawn(survey(), ("a", 2), ("b", "x"), languages=("de",))["prompt"] == "Ein X 2"


def test_insertion_without_a_value_is_empty() -> None:
    text = "{id: e, title: t, language: en, steps: [{id: a, type: number, prompt: 'a{{ answers.a + 1 }}b{{ answers.a }}'}]}"
    assert drawn(parse_definition(json.dumps(yaml.safe_load(text)), "e"))["prompt"] == "ab"


def test_markdown_is_parsed_before_values_are_inserted() -> None:
    """They are text in both forms of the step."""
    first = drawn(survey("markdown: true"), parameters={"name": "*<b>*"})
    assert first["prompt"] == "*<b>*, {{a}}"
    assert first["html"]["prompt"] == "<p>*&lt;b&gt;*, {{a}}</p>"
    assert drawn(survey("markdown: true"), ("a", 2))["options"][0]["html"] == {"label": "X 2"}


def test_message_of_a_check_has_the_new_answer() -> None:
    one = survey()
    refused = decide(one, walk(one), Answer(at=AT, step="a", value=0.5))
    assert isinstance(refused, Rejection)
    assert refused.message == "0.5 is too little"


def test_ending_has_values_and_its_address_has_them_encoded() -> None:
    """A value can't add to the address."""
    one = survey()
    ending = snapshot(one, walk(one, ("a", 2), ("b", "y"), ("c", "1&x=2#é"))).ending(AT)
    assert ending is not None
    assert (ending["title"], ending["text"]) == ("Bye 1&x=2#é", "2026-11-30")
    assert ending["redirect"] == "https://a.example/?t=1%26x%3D2%23%C3%A9&x=1"


def test_stored_address_with_another_insertion_stays_literal() -> None:
    """A value must not decide which site it leads to."""
    stored = {**json.loads(survey().definition), "end": [{"redirect": "https://{{answers.c}}/"}]}
    one = parse_definition(json.dumps(stored), "a.yaml")
    ending = snapshot(one, walk(one, ("a", 2), ("b", "y"), ("c", "evil.example"))).ending(AT)
    assert ending is not None
    assert ending["redirect"] == "https://{{answers.c}}/"


def test_step_without_a_session_has_texts_as_they_are_written() -> None:
    """In exports, codebooks and the description of the survey."""
    one = survey()
    assert described_step(one, one.steps[1])["prompt"] == "Now {{ values.twice }}"
    assert one.steps[0].prompt == "{{ coalesce(parameters.name, 'You') }}, {{a}}"


def test_definition_keeps_what_the_author_wrote() -> None:
    written = parse_structure(survey().definition).definition
    assert r"\\{{a}}" in written
    assert parse_structure(written).definition == written


def test_stored_insertion_that_does_not_compile_stays_literal() -> None:
    """Earlier releases had no insertions."""
    text = "{id: e, title: t, language: en, steps: [{id: a, type: info, prompt: 'Dear {{ name }}, {{ 1 + 1 }}'}]}"
    one = parse_definition(json.dumps(yaml.safe_load(text)), "e")
    assert drawn(one)["prompt"] == "Dear {{ name }}, 2"


NAMED = """
id: named
title: "Visit of {{ coalesce(parameters.first_name, 'a patient') }} in {{ parameters.clinic }}"
description: "Since {{ today }}"
language: en
languages: [en, de]
parameters:
  first_name: {type: text, from: url, required: false}
  clinic: {type: text, from: url}
values: {bmi: answers.weight / 4}
steps:
  - {id: weight, type: number, prompt: 'Weight, {{ parameters.clinic == "north" ? "North" : "South" }}'}
  - {id: sum, type: text, prompt: "{{ answers['weight'] + values.bmi + answers.weight }} and \\\\{{ braces }}"}
  - {id: plain, type: info, prompt: "Plain"}
  - {id: about, type: page, prompt: About, fields: [{id: own, type: text, prompt: "{{ other_text(answers.sum) }}"}]}
  - id: days
    type: grid
    prompt: "Days with {{ label(answers.sum) }}"
    rows: [{id: sleep, label: "Sleep {{ now }}"}]
    options: [{value: 0, label: {en: "Not {{ coalesce(answers.sum, '') }}", de: "Nicht {{ 1 + 1 }}"}}]
end: [{title: "Your value is {{ values.bmi }}"}]
"""


def test_insertions_have_words_where_no_session_is() -> None:
    """The text that stands for a missing value, or the names of what is inserted; the revision stays the same."""
    survey = parse_definition(json.dumps(yaml.safe_load(NAMED)), "named")
    survey.questions["days"].parts()
    worded = survey.without_session
    assert worded.revision == survey.revision
    assert worded.title == "Visit of a patient in [clinic]"
    assert worded.description == "Since [today]"
    assert [step.prompt for step in worded.steps][:3] == ["Weight, [clinic]", "[weight, bmi] and {{ braces }}", "Plain"]
    assert worded.step("plain") is survey.step("plain")
    assert worded.questions["own"].prompt == "[sum]"
    days = worded.questions["days"]
    assert days.prompt == "Days with [sum]"
    (row,) = days.parts()
    assert (row.prompt, row.labels()) == ("Sleep [now]", {0: "Not [sum]"})
    assert worded.end[0].title == "Your value is [bmi]"
    assert survey.in_language("de").without_session.questions["days"].labels() == {0: "Nicht [1 + 1]"}
