"""Mistakes in the structure of a survey file: none hides another one."""

from app.survey.checks import check_survey
from app.survey.types import STEP_TYPES
from tests.survey.checks.test_check import HEAD, found_in


def test_all_mistakes_are_found_at_once() -> None:
    """In the steps that are right otherwise too."""
    text = (
        "id: a\ntitel: t\nlanguage: en\nsteps:\n"
        "  - {id: S1, type: text, promt: P}\n"
        "  - {id: S2, type: grup, prompt: P}\n"
        "  - {id: S3, type: scale, prompt: P, min: 3, max: 1}\n"
        "  - {id: S4, type: choice, prompt: P, options: [a, {value: [b]}, true, a, 1.10]}\n"
        "  - id: S5\n"
        "    type: text\n"
        "    prompt: P\n"
        "    next:\n"
        "      - {when: answers.S9 == 1, go: S6}\n"
        "      - {go: S44}\n"
        "  - {id: S5, type: info, prompt: ''}\n"
    )
    assert found_in(text) == [
        "2:1: unknown field titel; did you mean title?",
        "5:26: step S1: unknown field promt; did you mean prompt?",
        "6:20: step S2: unknown type grup; the types are choice, choices, text, number, scale, date, boolean, info, time, datetime, month, email, phone, ranking, page, grid",
        "7:5: step S3: min 3 is greater than max 1",
        "8:60: step S4: options[1].value must be text or a number",
        "8:66: step S4: options[2]: true and false cannot be options; put them into quotes to make them texts",
        '8:75: the option 1.10 is the number 1.1 in YAML; write "1.10" or 1.1',
        "13:16: step S5: next[0].when: answers.S9 names a step that is not in the survey",
        "13:37: step S5: go to S6, but there is no such step",
        "14:14: step S5: go to S44, but there is no such step; did you mean S4?",
        "15:10: step S5: the step in line 9 has the same id",
        "15:34: step S5: prompt: must not be empty",
    ]


def test_mistake_hides_no_other_one() -> None:
    """A misspelt name counts as the one that is meant, and a wrong field is as if it were not there."""
    text = (
        "id: a\nlanguage: en\nlanguages: [de, fr]\nsteps:\n"
        "  - id: S1\n"
        "    typ: chioce\n"
        "    prompt: {en: P, de: '', fr: '', it: ''}\n"
        "    optons: [{value: 1, lable: [L], show_if: answers.S3 == 1}, {value: 2, label: L, show_if: true}]\n"
        "    requird: maybe\n"
        "    nxt:\n"
        "      - {wen: answer = 1, go: S9}\n"
        "      - {when: foo(bar + answers.S7) == 1 && answers.S2 == 'c', go: 7}\n"
        "  - {id: S2, type: choice, prompt: 4, options: [a, b], default: c, next: [{go: end}]}\n"
        "  - {id: S3, type: number, min: two, default: x, next: [{when: answers.S2 == 'd', go: S3}, {go: S2}]}\n"
        "  - {id: S4, type: text, prompt: P, show_if: answers.S5 == 1 || answers.S5 == 'L'}\n"
        "  - {id: S5, type: choice, prompt: P, options: [{value: 1, label: L}]}\n"
        "end:\n"
        "  - {titel: T, when: answers.S2 == 'e' || answers.S8, text: {fr: ''}}\n"
    )
    found = check_survey(text, "mine.yaml")[1]
    assert [f"{finding.line}:{finding.column}: {finding.message}" for finding in found if finding.level == "error"] == [
        "1:1: the field title is required",
        "6:5: step S1: unknown field typ; did you mean type?",
        f"6:10: step S1: unknown type chioce; did you mean choice? The types are {', '.join(STEP_TYPES)}",
        "7:13: step S1: prompt: must not be empty",
        "8:5: step S1: unknown field optons; did you mean options?",
        "8:25: step S1: options[0]: unknown field lable; did you mean label?",
        "8:32: step S1: options[0].label must be text",
        "8:46: step S1: options[0].show_if: answers.S3 is the answer of a later step; only earlier ones are known here",
        "9:5: step S1: unknown field requird; did you mean required?",
        "9:14: step S1: required must be true or false",
        "10:5: step S1: unknown field nxt; did you mean next?",
        "11:10: step S1: next[0]: unknown field wen; did you mean when?",
        "11:22: step S1: next[0].when: not a CEL expression: unexpected =: write == to compare",
        "11:31: step S1: go to S9, but there is no such step",
        "12:16: step S1: next[1].when: there is no function 'foo'; did you mean floor()?",
        (
            "12:16: step S1: next[1].when: 'bar' does not exist; there are `answer`, `answers`, `now` and `today`; "
            'write "bar" for a text'
        ),
        "12:16: step S1: next[1].when: answers.S7 names a step that is not in the survey",
        '12:69: step S1: next[1].go must be text; write "7", with quotes',
        '13:36: step S2: prompt must be text; write "4", with quotes',
        "13:65: step S2: default: this step does not accept it: The answer must be one of the options",
        "14:5: step S3: the field prompt is required",
        "14:33: step S3: min must be a number",
        "14:47: step S3: default: this step does not accept it: The answer must be a number",
        '14:64: step S3: next[0].when: answers.S2 is never "d": its answers are "a", "b"',
        "15:46: step S4: show_if: answers.S5 is the answer of a later step; only earlier ones are known here",
        '15:46: step S4: show_if: answers.S5 is never "L": that is the label; write 1',
        "18:6: end[0]: unknown field titel; did you mean title?",
        "18:22: end[0].when: answers.S8 names a step that is not in the survey",
        '18:22: end[0].when: answers.S2 is never "e": its answers are "a", "b"',
        "18:61: end[0].text: must not be empty",
    ]


def test_misspelt_field_missing_step_wrong_condition_and_missing_text_are_found_at_once() -> None:
    """A misspelt field, a rule to no step, a wrong expression and a missing text."""
    steps = (
        "  - {id: S1, type: choice, options: [{value: 1, label: L}], hlp: H, next: [{go: S9}]}\n"
        "  - {id: S2, type: info, prompt: P, show_if: answers.S1 == 'L'}\n"
    )
    assert found_in(HEAD + steps) == [
        "5:5: step S1: the field prompt is required",
        "5:61: step S1: unknown field hlp; did you mean help?",
        "5:81: step S1: go to S9, but there is no such step",
        '6:46: step S2: show_if: answers.S1 is never "L": that is the label; write 1',
    ]


def test_unreachable_step_is_found_beside_other_mistakes() -> None:
    """Unless it is unknown where a step leads."""
    steps = (
        "  - {id: S1, type: scale, min: 3, max: 1, prompt: P, hlp: H, next: [{go: S3}]}\n"
        "  - {id: S2, type: info, prompt: P}\n"
        "  - {id: S3, type: %s, prompt: P, next: [{%s: S3}]}\n"
    )
    wrong = [
        "5:5: step S1: min 3 is greater than max 1",
        "5:54: step S1: unknown field hlp; did you mean help?",
    ]
    assert found_in(HEAD + steps % ("info", "go")) == [
        wrong[0],
        "5:10: step S1: no answer leads from here to the end nor from S2, S3: a cycle that no answer leaves",
        wrong[1],
        "6:10: step S2: no step leads here: add a rule that goes to this step, or remove it",
    ]
    assert found_in(HEAD + steps % ("info", "og"))[:2] == wrong
    assert found_in(HEAD + steps % ("group", "go"))[:2] == wrong


def test_fields_that_all_steps_have_are_checked_where_the_type_is_missing() -> None:
    """Whatever else the step has depends on its type."""
    steps = (
        "  - {id: S1, prompt: '', help: {fr: H}, options: [3, {foo: 1}], next: [{go: 5, foo: 1}],"
        " show_if: answers.S9 == 1}\n"
        "  - {id: S2, type: group, prompt: 3, max: x, required: 1}\n"
    )
    types = ", ".join(STEP_TYPES)
    assert found_in(HEAD + steps) == [
        f"5:5: step S1: the field type is required: one of {types}",
        "5:22: step S1: prompt: must not be empty",
        "5:32: step S1: help: the text is missing in every language of the survey (en)",
        "5:33: warning: step S1: help: the text in fr is never shown; write languages: [en, fr]",
        '5:77: step S1: next[0].go must be text; write "5", with quotes',
        "5:80: step S1: next[0]: unknown field foo; the fields are when, go",
        "5:99: step S1: show_if: answers.S9 names a step that is not in the survey",
        f"6:20: step S2: unknown type group; the types are {types}",
        '6:35: step S2: prompt must be text; write "3", with quotes',
        "6:56: step S2: required must be true or false",
    ]


def test_empty_option_is_refused_with_its_reason() -> None:
    """It could be a number too."""
    assert found_in(HEAD + "  - {id: S1, type: choice, prompt: P, options: ['', {value: ''}]}\n") == [
        "5:49: step S1: options[0]: must not be empty",
        "5:61: step S1: options[1].value: must not be empty",
    ]
