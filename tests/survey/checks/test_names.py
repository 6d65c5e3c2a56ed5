"""Parameters and computed values in expressions: their names, what they can be, and what is known where."""

import pytest

from app.survey.checks import check_survey

HEAD = """\
id: a
title: t
language: en
parameters:
  clinic: {type: choice, options: [north, south], from: url}
  first_name: {type: text, from: invitation, default: ""}
  age: {type: number, from: api, required: false, min: 0}
values:
  bmi: round(answers.weight / (answers.height * answers.height), 1)
  band: 'values.bmi >= 30 ? "high" : "usual"'
  own: answers.color
steps:
  - {id: color, type: choice, prompt: P, options: [{value: r, label: Red}, b]}
  - {id: height, type: number, prompt: P, min: 0.4}
  - {id: weight, type: number, prompt: P}
  - {id: x, type: text, prompt: P}
"""
LATER = "the answer of a later step; only earlier ones are known here"
FAILS = "this never has a value, whatever the answers are: "


def found_in(text: str) -> list[str]:
    """Return the findings after the file's name."""
    return [str(finding).removeprefix("a.yaml:") for finding in check_survey(text, "a.yaml")[1]]


def last_step(show_if: str) -> str:
    quoted = show_if.replace("'", "''")
    return f"{HEAD}  - {{id: z, type: info, prompt: P, show_if: '{quoted}'}}\n"


RIGHT = (
    'parameters.clinic == "north"',
    'parameters.first_name == ""',
    'parameters.first_name == "Ada"',
    "parameters.age == null || parameters.age > 18",
    "values.bmi >= 30",
    'values.band == "high"',
    "values.band == null",
    'values.own == "b"',
    'size(parameters) == 3 && parameters["clinic"] == "north"',
    "!has(values.bmi) || answered(values.bmi)",
    'values.band + parameters.first_name == "x"',
)
WRONG = {
    "parameters.Clinic == 1": "parameters.Clinic names a parameter that is not in the survey; did you mean clinic?",
    "values.bnd == 1": "values.bnd names a value that is not in the survey; did you mean band?",
    "clinic == 1": "'clinic' does not exist; write parameters.clinic",
    "Parameters.age > 1": "'Parameters' does not exist; did you mean parameters?",
    "value.bmi > 1": "'value' does not exist; did you mean values?",
    "bmi > 1": "'bmi' does not exist; write values.bmi",
    "answer > 1": "'answer' does not exist here; write answers and the id of the step, such as answers.color",
    'parameters.clinic == "nort"': 'parameters.clinic is never "nort"; did you mean "north"?',
    'parameters.age == "old"': 'parameters.age is never "old": its answers are numbers',
    "parameters.age == -1": "parameters.age is never -1: The answer must be at least 0",
    "parameters.clinic > 3": FAILS + "a text and a number cannot be compared",
    'values.band == "hihg"': 'values.band is never "hihg"; did you mean "high"?',
    'values.bmi == "high"': 'values.bmi is never "high"',
    'values.own == "Red"': 'values.own is never "Red": that is the label; write "r"',
    "values.band > 3": FAILS + "a text and a number cannot be compared",
    "values.bmi": FAILS + "the result is a number, not true or false",
}


@pytest.mark.parametrize("show_if", RIGHT)
def test_condition_reads_parameters_and_values(show_if: str) -> None:
    """As the file declares them; a parameter may be null or empty, a value null."""
    assert found_in(last_step(show_if)) == []


@pytest.mark.parametrize(("show_if", "problem"), WRONG.items())
def test_condition_on_parameters_and_values_that_can_not_be_meant_is_refused(show_if: str, problem: str) -> None:
    """With what the author may have meant."""
    (finding,) = found_in(last_step(show_if))
    assert finding.partition(" ")[2] == f"step z: show_if: {problem}"


def test_all_expressions_name_them() -> None:
    """Rules, checks, options, computed fields and endings."""
    steps = """\
  - id: c
    type: choice
    prompt: P
    options: [{value: a, show_if: parameters.age > 3}, {value: b, show_if: 'values.band == "high"'}, c]
    next: [{when: values.bmi > 30, go: end}]
    check: [{that: 'answer == parameters.first_name || values.own == "r"', message: M}]
  - {id: n, type: number, prompt: P, min: "{{ parameters.age }}", max: "{{ values.bmi }}"}
end:
  - {when: values.bmi > 30 && parameters.age > 3, title: T}
"""
    assert found_in(HEAD + steps) == []


def test_survey_without_them_has_no_such_names() -> None:
    text = (
        "id: a\ntitle: t\nlanguage: en\nsteps:\n  - {id: z, type: info, prompt: P, show_if: parameters.a == values.b}\n"
    )
    assert [one.partition(" ")[2] for one in found_in(text)] == [
        "step z: show_if: the survey has no parameters",
        "step z: show_if: the survey has no values",
    ]


def test_show_if_reads_a_value_of_earlier_answers_only() -> None:
    """The message names both."""
    steps = """\
  - {id: late, type: info, prompt: P, show_if: values.first > 1}
  - {id: option, type: choice, prompt: P, options: [a, {value: b, show_if: values.second > 1}]}
  - {id: bound, type: number, prompt: P, min: "{{ values.second }}"}
  - {id: all, type: info, prompt: P, show_if: values.all > 1}
  - {id: n, type: number, prompt: P, next: [{when: values.second > 1, go: end}]}
  - {id: after, type: info, prompt: P, show_if: values.second > 1}
"""
    text = (
        HEAD.replace("  own:", "  first: answers.n\n  second: values.first + 1\n  all: size(answers)\n  own:") + steps
    )
    assert [one.partition(" ")[2] for one in found_in(text)] == [
        f"step late: show_if: values.first reads answers.n, {LATER}",
        f"step option: options[1].show_if: values.second reads answers.n, {LATER}",
        f"step bound: min: values.second reads answers.n, {LATER}",
        "step all: show_if: values.all must name the answers that it reads, such as answers.a, to be read here",
    ]


@pytest.mark.parametrize(
    ("source", "meant"),
    [
        ("answers.bmi > 30", "answers.bmi names a step that is not in the survey; write values.bmi"),
        ("answers.age > 30", "answers.age names a step that is not in the survey; write parameters.age"),
        ("values.weight > 30", "values.weight names a value that is not in the survey; write answers.weight"),
        ("parameters.bmi > 30", "parameters.bmi names a parameter that is not in the survey; write values.bmi"),
    ],
)
def test_name_that_is_something_else_is_suggested(source: str, meant: str) -> None:
    """Rather than a similar name of the same kind."""
    text = f"{HEAD}end: [{{when: {source}, title: T}}]\n"
    assert [one.partition(": ")[2] for one in found_in(text)] == [f"end[0].when: {meant}"]


def test_value_is_checked_at_its_place() -> None:
    """A value reads those before it, and can be of any type; later ones do not repeat its mistake."""
    values = """\
  text: '"a"'
  syntax: answers.color === 1
  unknown: answers.colour
  label: answers.color == "Red"
  fails: answers.color * 2
  self: values.self + 1
  later: values.list
  whole: values
  reads: values.fails > 3 && values.unknown + 1 == 2
  list: '[answers.color]'
  quoted: "{{ answers.color }}"
  number: 3
"""
    assert found_in(HEAD.replace("  own: answers.color\n", values)) == [
        "12:27: values.syntax: not a CEL expression: unexpected =: write == to compare",
        "13:12: values.unknown: answers.colour names a step that is not in the survey; did you mean color?",
        '14:10: values.label: answers.color is never "Red": that is the label; write "r"',
        f"15:10: values.fails: {FAILS}a text and a number cannot be multiplied",
        "16:9: values.self: values.self is this value itself; a value can read only those before it",
        "17:10: values.later: values.list is computed after this one; a value can read only those before it",
        "18:10: values.whole: must name the values that it reads, such as values.bmi",
        "21:11: values.quoted: a value has no braces; write answers.color",
        '22:11: values.number must be an expression in quotes, such as "3"',
    ]


@pytest.mark.parametrize("name", ["in", "true", "null", "as", "function"])
def test_word_of_cel_is_no_name(name: str) -> None:
    """It could not be written in an expression."""
    text = f"""\
id: a
title: t
language: en
parameters: {{"{name}": {{type: text, from: url, default: ""}}}}
values: {{"{name}": "1 + 1"}}
steps: [{{id: x, type: text, prompt: P}}]
"""
    assert found_in(text) == [
        f"4:14: parameters: a parameter cannot be called {name}, which is a word of CEL",
        f"5:10: values: a value cannot be called {name}, which is a word of CEL",
    ]


@pytest.mark.parametrize(
    ("conditions", "is_warning"),
    [
        (('parameters.clinic == "north"', 'parameters.clinic == "south"'), False),
        (('parameters.clinic == "north"', "parameters.age > 18"), True),
        (("parameters.age > 18", "parameters.age <= 18"), True),
        (("values.bmi >= 30", "!(values.bmi >= 30)"), False),
        (('values.own == "r"', 'values.own == "b"'), False),
        (('values.own == "r"', 'answers.color == "r"'), True),
    ],
)
def test_step_that_may_have_no_option_for_some_parameters_is_a_warning(
    conditions: tuple[str, str], is_warning: bool
) -> None:
    """A value can be null, and so can a parameter that is not required."""
    options = ", ".join(f"{{value: {number}, show_if: '{one}'}}" for number, one in enumerate(conditions))
    found = found_in(f"{HEAD}  - {{id: z, type: choice, prompt: P, options: [{options}]}}\n")
    warning = "warning: step z: options: show_if may leave no option at all"
    assert [one.partition(" ")[2] for one in found] == ([warning] if is_warning else [])


def test_required_parameter_is_never_empty() -> None:
    """Without it no session begins."""
    text = last_step('parameters.clinic == ""').replace(
        "{type: choice, options: [north, south], from: url}", "{type: text, from: url}"
    )
    (finding,) = found_in(text)
    assert finding.endswith('parameters.clinic is never "": an empty answer is null; compare with null')


def test_wrong_name_is_refused_at_its_place() -> None:
    """It could not be written in an expression, or not in an address."""
    text = HEAD.replace(
        "  clinic:", "  lang: {type: text, from: url}\n  1st: {type: text, from: url}\n  clinic:"
    ).replace("  own:", "  a-b: 1 + 1\n  own:")
    rule = "a name has up to 64 letters, digits and _, and cannot begin with a digit"
    assert found_in(text) == [
        "5:3: parameters.lang: a parameter cannot be called lang: the address of a survey has this name already",
        f"6:3: parameters.1st: {rule}",
        f"13:3: values.a-b: {rule}",
    ]
