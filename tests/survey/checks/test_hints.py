"""What the checks of a survey file suggest for a value of the wrong type, and for dates and braces in expressions."""

import pytest

from app.survey.checks import check_survey

HEAD = "id: a\ntitle: t\nlanguage: en\nsteps:\n"
BEFORE = "  - {id: d, type: date, prompt: P}\n  - {id: n, type: number, prompt: P}\n"
FAILS = "this never has a value, whatever the answers are: "

COMMA = 'a comma ends a text inside { } or [ ]; put the text into quotes: "..."'

OF_TYPES = {
    "type: info, next: end": 'next must be a list of rules, such as next: [{when: answer == "a", go: S2}]',
    "type: info, next: [end]": 'next[0] must be a rule, such as {when: answer == "a", go: S2}',
    "type: info, next: {go: end}": 'next must be a list of rules, such as next: [{when: answer == "a", go: S2}]',
    "type: text, check: [answer]": 'check[0] must be a check, such as {that: answer < 10, message: "Is it right?"}',
    "type: info, image: a.png": 'image must be a picture, such as {file: body.png, alt: "A body"}',
    "type: info, code: a": 'code must be a code, such as {system: "http://loinc.org", code: 39107-8}',
    "type: choice, options: a": "options must be a list of options, such as options: [{value: a, label: A}]",
    "type: choice, options: {a: A}": "options must be a list of options, such as options: [{value: a, label: A}]",
    "type: choice, options: [[a, b]]": "options[0] must be an option, such as {value: a, label: A}",
    "type: choice, options: [a, null]": 'options[1] must be an option, such as {value: a, label: A}; or write "null", with quotes',
    "type: choice, options: [a, ~]": 'options[1] must be an option, such as {value: a, label: A}; or write "~", with quotes',
    "type: choice, options: [{value: True}]": 'options[0].value must be text or a number; write "True", with quotes',
    "type: choice, options: [{value: 1, label: 1.10}]": 'options[0].label must be text; write "1.10", with quotes',
    "type: info, help: {en: 2024}": 'help.en must be text; write "2024", with quotes',
    "type: info, help: [a]": "help must be text",
    "type: info, show_if: {answers.n > 3}": "show_if must be a condition in quotes, without braces",
    "type: info, required: no": "required must be true or false; write false",
    "type: info, required: On": "required must be true or false; write true",
    "type: info, required: 1": "required must be true or false",
    "type: number, min: abc": "min must be a number",
}

COMPUTED = {
    "type: date, max: today": 'max: must be a real date, as YYYY-MM-DD; to compute it, write "{{ today }}"',
    "type: month, max: today": 'max: must be a month, as YYYY-MM; to compute it, write "{{ today }}"',
    "type: date, max: 'add_days(today, 1)'": (
        'max: must be a real date, as YYYY-MM-DD; to compute it, write "{{ add_days(today, 1) }}"'
    ),
    'type: date, max: "{ today }"': 'max: must be a real date, as YYYY-MM-DD; to compute it, write "{{ today }}"',
    "type: number, max: answers.n": 'max must be a number; to compute it, write "{{ answers.n }}"',
    "type: scale, min: 0, max: answers.n": 'max must be a whole number; to compute it, write "{{ answers.n }}"',
    "type: number, max: 'answers[\"n\"]'": "max must be a number; to compute it, write '{{ answers[\"n\"] }}'",
    "type: date, default: today": (
        "default: this step does not accept it: The answer must be a real date, as YYYY-MM-DD; to compute it, write "
        '"{{ today }}"'
    ),
    "type: date, max: tomorrow": "max: must be a real date, as YYYY-MM-DD",
    "type: date, max: 2026-1-1": "max: must be a real date, as YYYY-MM-DD",
}

OF_EXPRESSIONS = {
    "type: date, max: '{{ today + 1 }}'": "max: a text and a number cannot be added; write add_days(today, 1)",
    "type: date, min: '{{ today - 90 }}'": "min: a text and a number cannot be subtracted; write add_days(today, -90)",
    "type: date, min: '{{ answers.d + answers.n }}'": (
        "min: a text and a number cannot be added; write add_days(answers.d, answers.n)"
    ),
    "type: info, show_if: 'today - answers.d > 3'": (
        "show_if: a text and a text cannot be subtracted; write days_between(answers.d, today)"
    ),
    "type: info, show_if: 'answers.d < add_months(today, 1) + 1'": (
        "show_if: a text and a number cannot be added; write add_days(date, n)"
    ),
    "type: datetime, max: '{{ today }}'": "max: 2026-01-15 cannot be the max of this step; write now, which has the time too",
    "type: date, max: '{{ now }}'": "max: 2026-01-15T10:30 cannot be the max of this step; write today",
    "type: number, max: '{{ today }}'": "max: 2026-01-15 cannot be the max of this step",
    "type: number, max: '{{ \"a\" + answers.n }}'": "max: a text and a number cannot be added",
    "type: info, show_if: '{{ answers.n > 3 }}'": "show_if: a condition has no braces; write answers.n > 3",
    "type: text, next: [{when: '{{ answer == \"a\" }}', go: end}]": (
        'next[0].when: a condition has no braces; write answer == "a"'
    ),
    "type: info, show_if: n > 3": "show_if: 'n' does not exist; write answers.n",
    "type: text, check: [{that: answer != nein, message: M}]": (
        "check[0].that: 'nein' does not exist; there are `answer`, `answers`, `now` and `today`; write \"nein\" for a text"
    ),
    "type: text, check: [{that: answer != „nein“, message: M}]": (
        "check[0].that: not a CEL expression: unexpected „: write straight quotes"
    ),
    "type: info, show_if: \u200eanswers.n > 3": (
        "show_if: not a CEL expression: unexpected \u200e: an invisible character; remove it"
    ),
    "type: text, next: [{when: else, go: end}]": (
        "next[0].when: not a CEL expression: unexpected else: leave out `when`; a rule without it always applies"
    ),
}


def found_in(step: str) -> list[str]:
    """Return the findings of a step, after its id."""
    text = f"{HEAD}{BEFORE}  - {{id: z, prompt: P, {step}}}\n"
    return [str(one).partition(" step z: ")[2].replace(FAILS, "") for one in check_survey(text, "a.yaml")[1]]


@pytest.mark.parametrize(("step", "problem"), OF_TYPES.items())
def test_value_of_the_wrong_type_is_refused_with_an_example(step: str, problem: str) -> None:
    """An author need not know what a mapping is, nor which texts YAML reads as something else."""
    assert found_in(step) == [problem]


@pytest.mark.parametrize(("step", "problem"), COMPUTED.items())
def test_expression_in_place_of_a_value_is_suggested_in_braces(step: str, problem: str) -> None:
    """Where it reads the time or answers; other words are only wrong."""
    assert found_in(step) == [problem]


@pytest.mark.parametrize(("step", "problem"), OF_EXPRESSIONS.items())
def test_expression_that_can_be_repaired_is_refused_with_what_to_write(step: str, problem: str) -> None:
    """Calculations with dates, braces around a condition, and names without `answers`."""
    assert found_in(step) == [problem]


@pytest.mark.parametrize(
    ("text", "finding"),
    [
        ("- a\n", "1:1: a survey file begins with id, title, language and steps, such as id: visit in its first line"),
        (
            f"{HEAD}  S1: {{type: info, prompt: P}}\n",
            "5:3: steps must be a list of steps, such as steps: [{id: S1, type: info, prompt: Hello}]",
        ),
        (f"{HEAD}  - S1\n", "5:5: steps[0] must be a step, such as {id: S1, type: info, prompt: Hello}"),
        (f"{HEAD}  - id: S1\n    type: info\n    prompt:\n", "7:12: step S1: prompt: must not be empty"),
        (
            f"end: {{title: T}}\n{HEAD}  - {{id: S1, type: info, prompt: P}}\n",
            "1:6: end must be a list of endings, such as end: [{title: Thank you}]",
        ),
        (
            f"languages: de\n{HEAD}  - {{id: S1, type: info, prompt: P}}\n",
            "1:12: languages must be a list of languages, such as languages: [en, de]",
        ),
        (
            f"{HEAD.replace('en', '[en, de]')}  - {{id: S1, type: info, prompt: P}}\n",
            "3:11: language must be one language, such as en; write all of them as languages: [en, de]",
        ),
    ],
)
def test_file_of_another_structure_is_refused_with_an_example(text: str, finding: str) -> None:
    """In the words of surveys."""
    assert [str(one).removeprefix("a.yaml:") for one in check_survey(text, "a.yaml")[1]] == [finding]


@pytest.mark.parametrize(
    ("steps", "finding"),
    [
        ("  - {?id: S1, type: info, prompt: P}\n", "5:6"),
        ("  - {id: S1, type: choice, prompt: P, options: [?, a]}\n", "5:49"),
        ("  - {id: S1, type: info, prompt: Really? Yes}\n", "5:40"),
    ],
)
def test_question_mark_within_braces_is_named(steps: str, finding: str) -> None:
    """YAML 1.1 reads it as the mark of a key, silently."""
    problem = '`?` cannot be in a text inside { } or [ ]; put the text into quotes: "..."'
    assert [str(one) for one in check_survey(HEAD + steps, "a.yaml")[1]] == [f"a.yaml:{finding}: {problem}"]


def test_language_in_place_of_a_field_is_shown_as_a_map() -> None:
    """Beside an option's value, it looks like a misspelt field: de is like code."""
    head = HEAD.replace("title: t", "title: {en: t, de: u}\nlanguages: [en, de]")
    text = (
        f"{head}  - {{id: S1, type: choice, prompt: {{en: P, de: Q}}, options: [{{value: 1, en: A, de: B}}], de: R}}\n"
    )
    assert [str(one).partition(" step S1: ")[2] for one in check_survey(text, "a.yaml")[1]] == [
        'options[0]: unknown field en; write label: {en: "..."}',
        'options[0]: unknown field de; write label: {de: "..."}',
        'unknown field de; write prompt: {de: "..."}',
    ]


@pytest.mark.parametrize(
    ("prompt", "finding"),
    [
        ("{de: Drei Fragen, zwei Minuten., ar: x}", f"6:52: {COMMA}"),
        (
            "{de: Ja, klar, ar: x}",
            "6:34: step S1: prompt.klar: must not be empty; or put the text with a comma into quotes",
        ),
        ("{de: x, ar: y}, min: add_years(today, -1)", f"6:72: {COMMA}"),
    ],
)
def test_comma_in_a_text_within_braces_is_named(prompt: str, finding: str) -> None:
    """What follows it looks like a further field."""
    head = HEAD.replace("title: t", "title: {de: t, ar: u}").replace("en", "de\nlanguages: [de, ar]")
    found = [
        str(one).removeprefix("a.yaml:")
        for one in check_survey(f"{head}  - {{id: S1, type: date, prompt: {prompt}}}\n", "a.yaml")[1]
    ]
    assert finding in found


def test_invisible_character_in_a_name_is_named() -> None:
    """As editors leave between texts in two directions."""
    (finding,) = check_survey(f"\u200f{HEAD}  - {{id: S1, type: info, prompt: P}}\n", "a.yaml")[1]
    assert finding.message == "unknown field \u200fid; write id without the invisible character"


def test_option_that_is_a_number_with_a_point_is_a_warning() -> None:
    """It is shown as 1.0, and conditions compare it with 1."""
    text = f"{HEAD}  - {{id: S1, type: choice, prompt: P, options: [1.0, 2.5, yes, 2024-01-01]}}\n"
    survey, (finding,) = check_survey(text, "a.yaml")
    assert survey is not None
    assert str(finding) == 'a.yaml:5:49: warning: the option 1.0 is the number 1 in YAML; write "1.0" or 1'
