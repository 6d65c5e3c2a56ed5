"""Checking a survey file: every mistake at once, with its place and in an author's words."""

import copy
import re
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from app.core import strict_json
from app.errors import SurveyFileError
from app.survey.checks import check_survey, parse_survey
from app.survey.checks.document import read_document
from app.survey.definition import parse_definition
from tests.conftest import ROOT, SURVEYS

HEAD = "id: a\ntitle: t\nlanguage: en\nsteps:\n"

YAML_MISTAKES = {
    "question mark in braces": (
        "  - {id: S1, type: text, prompt: Do you smoke?}\n",
        '5:46: `?` cannot be in a text inside { } or [ ]; put the text into quotes: "..."',
    ),
    "tab": ("\t- id: S1\n", "5:1: a tab, which YAML does not allow here; use spaces"),
    "braces in braces": (
        "  - {id: S1, prompt: Hi {{ x }}, type: text}\n",
        (
            "5:25: the `{` in line 5 is not closed before this: a comma or `}` is missing, or put the text into quotes: "
            '"..."'
        ),
    ),
    "text that begins with braces": (
        "  - id: S1\n    min: {{ answers.a }}\n",
        (
            '6:11: a text can\'t begin with `{` or `[`; put the text into quotes: "...", or leave out the braces of a '
            "condition"
        ),
    ),
    "colon in a text": (
        "  - id: S1\n    prompt: Note: this\n",
        (
            '6:17: a colon is not possible here; if it belongs to a text, put the text into quotes: "..."; else align the '
            "key with those above it"
        ),
    ),
    "quotes within a text": (
        '  - id: S1\n    prompt: "Yes" or no\n',
        "6:19: the text ends before this; put all of it into quotes, of the other kind if it has some: '...'",
    ),
    "no colon": ("  - id: S1\n    prompt\n    type: text\n", "7:5: this line has no colon: write `key: value`"),
    "open quotes": ('  - id: S1\n    prompt: "abc\n', "6:13: the quotes that begin here are never closed"),
    "indentation": (
        "  - id: S1\n   prompt: x\n",
        "6:4: this does not fit the lines above: align it with them, or put the text above it into quotes",
    ),
    "field in line with its item": (
        "  - id: S1\n  type: info\n",
        "6:3: this is in line with the `- ` above: begin an item with `- `, or align a field with those of its item",
    ),
    "number with a comma": (
        "  - {id: S1, type: number, prompt: P, min: 0,4}\n",
        "5:46: a comma ends a number inside { } or [ ]; write 0.4",
    ),
    "anchor": ("  - *item\n", '5:5: there is no anchor &item above; if it is text, put the text into quotes: "..."'),
    "backslash": (
        '  - id: S1\n    pattern: "\\d+"\n',
        "6:16: \\d means nothing in double quotes; write \\\\d, or use single quotes",
    ),
    "exclamation mark": (
        "  - id: S1\n    show_if: !answers.a\n",
        '6:14: a text can\'t begin with `!`; put the text into quotes: "..."',
    ),
    "two files": ("  - id: S1\n---\nid: b\n", "6:1: a file has one survey: remove the line `---`"),
    "open list": (
        "  - id: S1\n    options: [a, b",
        (
            "6:19: the `[` in line 6 is not closed before this: a comma or `]` is missing, or put the text into quotes: "
            '"..."'
        ),
    ),
}


def found_in(text: str, file: str = "mine.yaml") -> list[str]:
    """Return the findings without the file's name."""
    return [str(finding).removeprefix(f"{file}:") for finding in check_survey(text, file)[1]]


@pytest.mark.parametrize(("steps", "finding"), YAML_MISTAKES.values(), ids=YAML_MISTAKES)
def test_mistake_in_yaml_is_explained(steps: str, finding: str) -> None:
    """The words of the parser help nobody who does not know YAML's grammar."""
    assert found_in(HEAD + steps) == [finding]


@pytest.mark.parametrize(
    ("field", "finding"),
    [
        ("type: text, max_length: 0", "step S1: max_length: must be at least 1"),
        ("type: number, decimals: 99", "step S1: decimals: must be at most 15"),
    ],
)
def test_value_out_of_its_bounds_is_refused_with_them(field: str, finding: str) -> None:
    """An author reads what to write instead."""
    (found,) = found_in(f"{HEAD}  - {{id: S1, prompt: P, {field}}}\n")
    assert found.partition(" ")[2] == finding


def test_language_tag_has_at_most_35_characters() -> None:
    """As BCP 47 recommends (4.4.1)."""
    tag = "de" + "-abcdefgh" * 3
    assert found_in(HEAD.replace("en", tag) + "  - {id: S1, type: info, prompt: P}\n") == []
    long = found_in(HEAD.replace("language: en", f"language: {tag}-abcdefgh") + "  - {id: S1, type: info, prompt: P}\n")
    assert long == ["3:11: language: must have at most 35 characters"]


def test_json_has_lines_and_columns_too() -> None:
    """Also with tabs, which YAML does not allow."""
    text = (
        '{\n\t"id": "a",\n\t"title": "t",\n\t"language": "en",\n\t"steps": [\n\t\t{"id": "S1", "typ": "info"}\n\t]\n}'
    )
    assert found_in(text, "mine.json") == [
        "6:3: step S1: the field prompt is required",
        "6:16: step S1: unknown field typ; did you mean type?",
    ]
    assert found_in('{"id": "a",\n "id": "b"}', "mine.json") == ["1:1: duplicate key 'id'"]
    assert found_in('{"id": "a",\n "title" "b"}', "mine.json") == ["2:10: not JSON: Expecting ':' delimiter"]
    assert found_in("[]", "mine.json") == [
        "1:1: a survey file begins with id, title, language and steps, such as id: visit in its first line"
    ]


def test_mistake_in_a_merged_step_is_where_it_is_written() -> None:
    """The step that merges another has the anchor's fields."""
    text = (
        HEAD + "  - &item {id: S1, type: scale, min: 0, max: x, prompt: P}\n" + "  - {<<: *item, id: S2, prompt: ''}\n"
    )
    assert found_in(text) == [
        "5:46: step S1: max must be a whole number",
        "5:46: step S2: max must be a whole number",
        "6:33: step S2: prompt: must not be empty",
    ]


def test_show_if_names_earlier_steps_only() -> None:
    """The answers of later steps are not known when it is evaluated."""
    text = (
        HEAD
        + "  - {id: S1, type: boolean, prompt: P, show_if: answers.S2 == true}\n"
        + "  - {id: S2, type: boolean, prompt: P, show_if: answers.S2 == true}\n"
        + "  - id: S3\n    type: choice\n    prompt: P\n"
        + "    options: [a, {value: b, show_if: answers.S1 == true}, {value: c, show_if: answers.S3 == 'a'}]\n"
    )
    assert found_in(text) == [
        "5:49: step S1: show_if: answers.S2 is the answer of a later step; only earlier ones are known here",
        "6:49: step S2: show_if: answers.S2 is the answer of this step; only earlier ones are known here",
        "10:79: step S3: options[2].show_if: answers.S3 is the answer of this step; only earlier ones are known here",
    ]


def test_languages_differ_and_time_zone_is_known() -> None:
    """A stored survey with others loads, as this machine may know other time zones."""
    head = HEAD.replace("steps:", "languages: [en, de, DE, en]\ntimezone: Europe/Atlantis\nsteps:")
    texts = "{en: P, de: P}"
    assert found_in(f"{head.replace('title: t', f'title: {texts}')}  - {{id: S1, type: info, prompt: {texts}}}\n") == [
        "4:21: languages[2]: DE is listed twice",
        "4:25: languages[3]: en is listed twice",
        "5:11: timezone: 'Europe/Atlantis' is not a time zone; write one such as Europe/Berlin",
    ]
    step = {"id": "S1", "type": "info", "prompt": "P"}
    stored = {"id": "a", "title": "t", "language": "en", "steps": [step], "timezone": "Europe/Atlantis"}
    assert parse_definition(strict_json.encode(stored), "stored").timezone == "Europe/Atlantis"


DEFAULTS = {
    "type: number, default: abc": "this step does not accept it: The answer must be a number",
    "type: number, min: 3, default: 2": "this step does not accept it: The answer must be at least 3",
    "type: choice, options: [a, b], default: nope": "this step does not accept it: The answer must be one of the options",
    "type: date, default: 31.12.2020": "this step does not accept it: The answer must be a real date, as YYYY-MM-DD",
    "type: scale, min: 0, max: 5, default: 99": "this step does not accept it: The answer must be at most 5",
    "type: choices, options: [a, b], default: [b, a]": (
        "this step does not accept it: The options must be in the order of the survey, each at most once"
    ),
    "type: text, default: 7": "this step does not accept it: The answer must be text",
    "type: boolean, default: 0": "this step does not accept it: The answer must be yes or no (true or false)",
    "type: info, default: x": "this step takes no answer, so leave out the default",
}


@pytest.mark.parametrize(("step", "problem"), DEFAULTS.items())
def test_default_that_the_step_does_not_accept_is_refused(step: str, problem: str) -> None:
    """Else every participant would be shown it, and stored definitions still have it."""
    text = f"{HEAD}  - {{id: S1, prompt: P, {step}}}\n"
    column = text.splitlines()[-1].index("default: ") + len("default: ") + 1
    assert found_in(text) == [f"5:{column}: step S1: default: {problem}"]
    step_data = {"id": "S1", "prompt": "P", **yaml.safe_load(f"{{{step}}}")}
    stored = {"id": "a", "title": "t", "language": "en", "steps": [step_data]}
    assert parse_definition(strict_json.encode(stored), "stored").steps[0].default == step_data["default"]


@pytest.mark.parametrize(
    "step",
    [
        "type: number, default: 0",
        "type: text, default: ''",
        "type: boolean, default: false",
        "type: choice, options: [a, {value: o, other: true}], default: o",
        "type: choices, options: [a, b, {value: c, show_if: false}], default: [a, c]",
        "type: date, max: '{{ today }}', default: 2020-12-31",
        "type: number, default: '{{ 1 + 1 }}'",
    ],
)
def test_default_that_the_step_accepts_is_no_finding(step: str) -> None:
    """Also where bounds are computed, or options are hidden."""
    assert found_in(f"{HEAD}  - {{id: S1, prompt: P, {step}}}\n") == []


def test_missing_translation_is_a_warning_and_a_text_in_no_language_an_error() -> None:
    """A text in a parent of the language is one; numbers need none."""
    text = (
        "id: a\ntitle: {en: T, de: T}\nlanguage: en\nlanguages: [en, de-AT, ar]\nsteps:\n"
        "  - id: S1\n    type: choice\n    prompt: {fr: Pourquoi}\n    help: {en: H, de: H, ar: H, it: H}\n"
        "    options: [Rest, 12, {value: 13}, {value: sleep}, {value: x, label: {ar: X}}]\n"
        "  - {id: S2, type: number, prompt: {en: P, de: P, ar: P}, placeholder: {en: E, ar: A}}\n"
    )
    survey, findings = check_survey(text, "mine.yaml")
    assert survey is None
    assert [(finding.line, finding.level, finding.step_id, finding.message) for finding in findings] == [
        (2, "warning", None, "title has no text in ar"),
        (8, "error", "S1", "step S1: prompt: the text is missing in every language of the survey (en, de-AT, ar)"),
        (
            8,
            "warning",
            "S1",
            "step S1: prompt: the text in fr is never shown; write languages: [en, de-AT, ar, fr]",
        ),
        (
            9,
            "warning",
            "S1",
            "step S1: help: the text in it is never shown; write languages: [en, de-AT, ar, it]",
        ),
        (
            10,
            "warning",
            "S1",
            'step S1: 2 texts are missing in de-AT, ar: options[0] and options[3].value; write {value: Rest, label: {en: "...", de-AT: "..."}}',
        ),
        (10, "warning", "S1", "step S1: options[4].label has no text in en, de-AT"),
        (11, "warning", "S2", "step S2: placeholder has no text in de-AT"),
    ]


def test_texts_of_a_step_without_a_translation_are_one_warning() -> None:
    """Ten options that are not translated yet would hide what else is found; a unit such as kg needs no translation."""
    text = (
        "id: a\ntitle: t\nlanguage: en\nlanguages: [en, de]\nsteps:\n"
        "  - {id: S1, type: number, prompt: {en: P, de: Q}, unit: kg}\n"
        "  - {id: S2, type: number, prompt: P, unit: {en: cups}}\n"
        "  - {id: S3, type: choice, prompt: {en: P, de: Q, fr: R}, options: [a, b, c, d, e, f], help: {en: H, fr: I}}\n"
    )
    assert found_in(text) == [
        '2:8: warning: title has no text in de; write {en: "...", de: "..."}',
        '7:36: warning: step S2: 2 texts are missing in de: prompt and unit; write {en: "...", de: "..."}',
        "8:51: warning: step S3: prompt and help: the text in fr is never shown; write languages: [en, de, fr]",
        "8:94: warning: step S3: 7 texts are missing in de: help, options[0], options[1], options[2] and 3 more",
    ]


def test_options_of_a_parameter_need_no_translation() -> None:
    """No participant reads them."""
    text = (
        "id: a\ntitle: {en: T, de: T}\nlanguage: en\nlanguages: [en, de]\n"
        "parameters: {a: {type: choice, from: url, options: [north, {value: s, label: South}]}}\n"
        "steps:\n  - {id: S1, type: info, prompt: {en: P, de: Q}}\n"
    )
    assert found_in(text) == []


def test_file_with_warnings_is_accepted() -> None:
    """Only errors refuse it."""
    text = HEAD.replace("steps:", "languages: [en, de]\nsteps:") + "  - {id: S1, type: info, prompt: P}\n"
    survey, findings = check_survey(text, "mine.yaml")
    assert survey == parse_survey(text, "mine.yaml")
    assert {finding.level for finding in findings} == {"warning"}


def test_error_has_a_line_for_each_mistake() -> None:
    """Its place and problem are those of the first."""
    with pytest.raises(SurveyFileError) as refused:
        parse_survey(HEAD + "  - {id: S1, type: info, promt: P, nxt: []}\n", "mine.yaml")
    assert refused.value.message.splitlines() == [
        "mine.yaml:5:26: step S1: unknown field promt; did you mean prompt?",
        "mine.yaml:5:36: step S1: unknown field nxt; did you mean next?",
    ]
    assert (refused.value.file, refused.value.place) == ("mine.yaml", "line 5, column 26")
    assert refused.value.problem == "step S1: unknown field promt; did you mean prompt?"


RIGHT = [
    read_document(path.read_text(), path.name).data
    for path in (*sorted(SURVEYS.glob("*.yaml")), ROOT / "tests/survey/every_field.yaml")
]
FOREIGN = re.compile(
    r"input should|extra inputs|value error|field required|validation|pydantic|tuple|<\w+>|\bstr\b|\bint\b|token",
    re.IGNORECASE,
)


def parts_of(value: Any) -> list[Any]:
    """Return all mappings and lists within a value."""
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return [
        *([value] if isinstance(value, dict | list) and value else []),
        *(one for part in inner for one in parts_of(part)),
    ]


@given(st.sampled_from(RIGHT), st.data(), st.booleans())
def test_mutated_file_gives_findings_within_it(right: Any, data: st.DataObject, is_json: bool) -> None:
    """Whatever is deleted, misspelt or of another type: never a traceback, nor another program's words."""
    document = copy.deepcopy(right)
    part = data.draw(st.sampled_from(parts_of(document)))
    key = data.draw(st.sampled_from(sorted(part) if isinstance(part, dict) else range(len(part))))
    other = data.draw(
        st.sampled_from([None, True, 7, -1.5, "", "x", "{{ x }}", [], ["x", 1], {}, {"en": "x"}, {"id": [3]}])
    )
    change = data.draw(st.sampled_from(["delete", "misspell", "replace"]))
    value = part.pop(key)
    if change == "misspell" and isinstance(part, dict):
        part[key[1:]] = value
    elif change == "replace":
        part.update({key: other}) if isinstance(part, dict) else part.insert(key, other)
    text = strict_json.encode(document) if is_json else yaml.safe_dump(document, allow_unicode=True)
    survey, findings = check_survey(text, "mine.json" if is_json else "mine.yaml")
    assert (survey is None) == any(finding.level == "error" for finding in findings)
    for finding in findings:
        assert 1 <= finding.line <= text.count("\n") + 1
        assert 1 <= finding.column <= len(text.splitlines()[finding.line - 1]) + 1
        assert not FOREIGN.search(finding.message), finding


def test_aliases_are_counted_when_they_stand_for_too_much() -> None:
    """Nine short lines would fill the memory; they are refused before they are expanded."""
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 10)]
    (finding,) = found_in("\n".join(lines))
    problem = "more than 1000000 values, where each alias counts as all that it stands for"
    assert finding == f"6:5: {problem}"
    assert found_in("a: &a [*a, *a]")[0].startswith("1:")


def test_many_mistakes_are_counted_when_a_file_has_more_than_200() -> None:
    """The first 20 have a suggestion: each compares a name with all others."""
    steps = "".join(
        f"  - {{id: step{n}, type: text, prompt: p, next: [{{go: stop{n}}}], show_if: answers.step_{n} == 1}}\n"
        for n in range(300)
    )
    found = found_in(HEAD + steps)
    assert len(found) == 201
    assert found[-1].endswith("and 400 more findings")
    assert sum("did you mean" in finding for finding in found) == 20


def test_errors_are_listed_before_warnings_when_there_are_many() -> None:
    """A file with an error is refused, and its author must see why."""
    steps = "".join(f"  - {{id: S{n}, type: text, prompt: words}}\n" for n in range(300))
    found = found_in(
        f"id: a\ntitle: t\nlanguage: en\nlanguages: [de]\nsteps:\n{steps}  - {{id: x, type: txt, prompt: p}}\n"
    )
    assert len(found) == 201
    assert "unknown type txt" in found[-2]
    assert "warning: and 103 more findings" in found[-1]


def test_options_that_may_be_meant_are_suggested_for_the_first_mistakes_only() -> None:
    """A thousand comparisons with a thousand options would take minutes."""
    choice = "  - {id: c, type: choice, prompt: p, options: [first, second, third]}\n"
    steps = "".join(f'  - {{id: S{n}, type: text, prompt: p, show_if: answers.c == "secnod"}}\n' for n in range(30))
    found = found_in(HEAD + choice + steps)
    assert sum('did you mean "second"?' in finding for finding in found) == 20
    assert len(found) == 30
