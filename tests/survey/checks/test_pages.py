"""Mistakes in pages and grids."""

import pytest

from app.survey.checks.answers import Possibilities
from app.survey.checks.check import check_survey
from app.survey.expressions import ANY, SAMPLES, Alternative, Names, StepBudget, compile_expression, infer

FILE = """\
id: paged
title: Pages
language: en
steps:
  - {id: sex, type: choice, prompt: Sex, options: [f, m]}
  - id: body
    type: page
    prompt: About you
    fields:
      - {id: height, type: number, prompt: Height, min: 0.4, max: 2.6}
      - {id: smokes, type: choice, prompt: Smoking, options: [never, often], required: false}
      - {id: last, type: date, prompt: Last time, show_if: 'answers.smokes == "often" && answers.height > 1'}
    check: [{that: answers.height > 1, message: Small}]
    next: [{when: 'answers.smokes == "often"', go: days}]
  - {id: tall, type: info, prompt: Tall, show_if: answers.height > 2}
  - id: days
    type: grid
    prompt: How often
    rows: [{id: sleep, label: Sleep}, {id: energy, label: Energy}]
    options: [{value: 0, label: Never}, {value: 1, label: Often}]
    next: [{when: answers.days.sleep == 1, go: end}]
  - {id: end_of_it, type: info, prompt: p, show_if: 'sum([answers.days.sleep, answers.days["energy"]]) > 0'}
"""


def messages(text: str) -> list[str]:
    return [str(finding) for finding in check_survey(text, "f")[1]]


def test_right_page_and_grid_have_no_findings() -> None:
    """Conditions name fields as steps, and rows of a grid."""
    survey, findings = check_survey(FILE, "f")
    assert (survey is not None, findings) == (True, ())


@pytest.mark.parametrize(
    ("right", "wrong", "expected"),
    [
        ("answers.height > 2}", "answers.body > 2}", [
            ("f:15:51: step tall: show_if: answers.body is a page; write the answer of a field: "
            "answers.height, answers.smokes, answers.last")
        ]),
        ("answers.height > 2}", "answers.heigth > 2}", [
            "f:15:51: step tall: show_if: answers.heigth names a step that is not in the survey; did you mean height?"
        ]),
        ("prompt: Smoking,", "prompt: Smoking, show_if: 'answered(answers.last)',", [
            ("f:11:62: step body: fields[1].show_if: answers.last is the answer of a later field; "
            "only earlier ones are known here")
        ]),
        ("prompt: Smoking,", "prompt: Smoking, show_if: answered(answers.smokes),", [
            ("f:11:62: step body: fields[1].show_if: answers.smokes is the answer of this field; "
            "only earlier ones are known here")
        ]),
        ("prompt: Smoking,", "prompt: Smoking, show_if: answers.days.sleep == 1,", [
            ("f:11:62: step body: fields[1].show_if: answers.days is the answer of a later step; "
            "only earlier ones are known here")
        ]),
        ("often], req", "{value: often, show_if: answers.height > 1}], req", [
            ("f:11:94: step body: fields[1].options[1].show_if: answers.height is the answer of this page; "
            "only earlier ones are known here")
        ]),
        ("prompt: Last time,", 'prompt: Last time, max: "{{ answers.smokes }}",', [
            ("f:12:56: step body: fields[2].max: answers.smokes is the answer of this page; "
            "only earlier ones are known here")
        ]),
        ("    prompt: About you\n", "    prompt: About you\n    show_if: answers.height > 1\n", [
            "f:9:14: step body: show_if: answers.height is the answer of this page; only earlier ones are known here"
        ]),
        ('smokes == "often" &&', 'smokes == "Often" &&', [
            'f:12:60: step body: fields[2].show_if: answers.smokes is never "Often"; did you mean "often"?'
        ]),
        ("when: answers.days.sleep == 1", "when: answers.days.sleep == 3", [
            "f:21:19: step days: next[0].when: answers.days.sleep is never 3: its answers are 0, 1"
        ]),
        ("when: answers.days.sleep == 1", "when: answers.days.slep == 1", [
            ("f:21:19: step days: next[0].when: this never has a value, whatever the answers are: "
            "there is no part slep; the parts are sleep, energy")
        ]),
        ("id: last,", "id: sex,", ["f:12:14: step body: fields[2]: the step in line 5 has the same id"]),
        ("id: last,", "id: height,", ["f:12:14: step body: fields[2]: the field in line 10 has the same id"]),
        ("required: false", "default: sometimes", [
            ("f:11:87: step body: fields[1].default: this step does not accept it: "
            "The answer must be one of the options")
        ]),
        ("type: date,", "type: page,", [
            ("f:12:26: step body: fields[2]: a field of a page can't be a page; the types are choice, choices, text, "
            "number, scale, date, boolean, info, time, datetime, month, email, phone, ranking")
        ]),
        ("type: date,", "type: dat,", [
            ("f:12:26: step body: fields[2]: unknown type dat; did you mean date? The types are choice, choices, "
            "text, number, scale, date, boolean, info, time, datetime, month, email, phone, ranking")
        ]),
        ("max: 2.6", "max: tall", ["f:10:67: step body: fields[0].max must be a number"]),
        ("{id: sleep, label: Sleep}", "{id: sleep, lable: Sleep}", [
            "f:19:24: step days: rows[0]: unknown field lable; did you mean label?"
        ]),
        ("rows: [{id: sleep, label: Sleep}, {id: energy, label: Energy}]", "rows: sleep", [
            "f:19:11: step days: rows must be a list of rows, such as rows: [{id: sleep, label: Sleep}]"
        ]),
    ],
)  # fmt: skip
def test_mistake_is_found_at_its_place(right: str, wrong: str, expected: list[str]) -> None:
    assert FILE.count(right) == 1
    assert messages(FILE.replace(right, wrong)) == expected


BIG = """\
id: big
title: Big
language: en
steps:
  - id: body
    type: page
    prompt: About you
    fields:
      - {id: story, type: text, prompt: p, max_length: 8000}
      - {id: more, type: text, prompt: p, max_length: LENGTH}
"""


@pytest.mark.parametrize(("length", "is_refused"), [(8000, False), (8400, True), (10_000, True)])
def test_page_that_could_exceed_a_command_is_refused(length: int, is_refused: bool) -> None:
    """A character has 4 bytes at most."""
    found = messages(BIG.replace("LENGTH", str(length)))
    assert bool(found) == is_refused
    assert all("at most 65,536 are allowed: reduce max_length of its texts, or split the page" in one for one in found)


def test_grid_that_could_exceed_a_command_is_refused() -> None:
    rows = "".join(f"{{id: r{number}, label: R}}," for number in range(100))
    options = ",".join("x" * 20 + str(number) for number in range(40))
    step = f"{{id: g, type: grid, prompt: p, rows: [{rows}], options: [{options}], multiple: true}}"
    step = f"{{id: g, type: grid, prompt: p, rows: [{rows}], options: [{options}], multiple: true}}"
    text = f"id: big\ntitle: t\nlanguage: en\nsteps:\n  - {step}\n"
    assert ["use fewer rows or options" in one for one in messages(text)] == [True]


TRANSLATED = """\
id: t
title: {en: T, de: T}
language: en
languages: [en, de]
steps:
  - id: body
    type: page
    prompt: {en: A, de: B}
    fields: [{id: a, type: text, prompt: Name, max_length: 9}]
  - id: days
    type: grid
    prompt: {en: A, de: B}
    rows: [{id: r, label: {en: Sleep}}]
    options: [{value: 1, label: {en: Yes, de: Ja}}]
"""


def test_missing_translations_of_fields_and_rows_are_warned_of() -> None:
    assert messages(TRANSLATED) == [
        'f:9:42: warning: step body: fields[0].prompt has no text in de; write {en: "...", de: "..."}',
        "f:13:27: warning: step days: rows[0].label has no text in de",
    ]


HEAVY = "[[1]]" + ".map(x, x + x)" * 13 + "[0].all(x, x == 1) ? 5 : answers.a"
COUNTED = """\
id: counted
title: Counted
language: en
values: {v: "HEAVY"}
steps:
  - {id: a, type: number, prompt: p}
  - id: body
    type: page
    prompt: p
    fields:
      - {id: first, type: number, prompt: p}
"""


@pytest.mark.parametrize(
    ("part", "is_refused"),
    [("max: '{{ values.v }}'", False), ("show_if: answers.first > values.v", True)],
)
def test_value_is_counted_as_often_as_fields_compute_it(
    part: str, is_refused: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once for the bounds of all fields; for their conditions anew, as other fields can change it."""
    monkeypatch.setattr("app.survey.checks.costs.MAX_STEPS_OF_COMMAND", 200_000)
    fields = "".join(f"      - {{id: f{n}, type: number, prompt: p, {part}}}\n" for n in range(9))
    found = messages(COUNTED.replace("HEAVY", HEAVY) + fields)
    problem = "with the other conditions of the route before this, one command takes more than 200,000 steps"
    assert [problem in one for one in found] == [True] * is_refused


def test_sum_of_many_values_is_inferred_in_as_few_steps_as_that_of_some() -> None:
    """Each addition has the same outcome; else a page whose bounds read many values takes seconds to check."""
    names = frozenset(f"v{n}" for n in range(100))
    possible = Possibilities({}, {})
    for name in names:
        possible.add_value(name, (Alternative(samples=SAMPLES[float]),))

    def steps(count: int) -> int:
        source = " + ".join(f"values.v{n}" for n in range(count))
        tree = compile_expression(source, Names(answers=frozenset(), values=names)).tree
        assert tree is not None
        budget = StepBudget(1_000_000)
        infer(tree, possible.of, (ANY,), budget)
        return 1_000_000 - budget.left

    assert 0 < steps(100) == steps(4)
