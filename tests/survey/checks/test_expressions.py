"""Expressions of survey files: comparisons that can't be true, values that can't exist, and names."""

from dataclasses import replace

import pytest

from app.survey.checks import check_survey
from app.survey.checks.failures import failure
from app.survey.checks.missing import hides_all_options
from app.survey.checks.places import Place
from app.survey.checks.samples import ValidParts
from app.survey.expressions import ANY, Names, StepBudget, compile_expression

HEAD = "id: a\ntitle: t\nlanguage: en\nsteps:\n"
STEPS = """\
  - {id: c, type: choice, prompt: P, options: [{value: 1, label: "Yes"}, {value: 2, label: "No"}]}
  - {id: t, type: choice, prompt: P, options: [Rest, Tablets, "3"]}
  - {id: m, type: choices, prompt: P, options: [Rest, Tablets, {value: none, label: None of these}]}
  - {id: n, type: number, prompt: P, min: 0, max: 10, integer: true}
  - {id: s, type: scale, prompt: P, min: 0, max: 10}
  - {id: b, type: boolean, prompt: P}
  - {id: x, type: text, prompt: P, max_length: 20}
  - {id: d, type: date, prompt: P}
  - {id: p, type: text, prompt: P, pattern: "[0-9]{9}"}
  - {id: i, type: info, prompt: P}
  - {id: o, type: choice, prompt: P, options: [x, {value: other, label: Something else, other: true}]}
  - {id: h, type: month, prompt: P}
"""
FAILS = "this never has a value, whatever the answers are: "

WRONG = {
    'answers.c == "Yes"': 'answers.c is never "Yes": that is the label; write 1',
    '"No" == answers["c"]': 'answers.c is never "No": that is the label; write 2',
    'answers.c != "1"': 'answers.c is never "1": write 1, without quotes',
    "answers.c == 3": "answers.c is never 3: its answers are 1, 2",
    "answers.c in [1, 7]": "answers.c is never 7: its answers are 1, 2",
    "answers.t == 3": 'answers.t is never 3: write "3", with quotes',
    'answers.t == "rest" || answers.b': 'answers.t is never "rest"; did you mean "Rest"?',
    'answers.m == "Rest"': 'answers.m is never "Rest": it is a list; write "Rest" in answers.m',
    '"Rst" in answers.m': 'an item of answers.m is never "Rst"; did you mean "Rest"?',
    'answers.m == ["None of these"]': 'an item of answers.m is never "None of these": that is the label; write "none"',
    'answers.m.exists(one, one == "tablets")': 'one is never "tablets"; did you mean "Tablets"?',
    'answers.n == "3"': 'answers.n is never "3": its answers are numbers; write 3, without quotes',
    "answers.n == 11": "answers.n is never 11: The answer must be at most 10",
    "answers.n == -1": "answers.n is never -1: The answer must be at least 0",
    "answers.n == 2.5": "answers.n is never 2.5: The answer must be a whole number",
    "answers.s == 11": "answers.s is never 11: its answers are 0, 1, 2, 3, 4, 5, 6, 7, ...",
    'answers.s == "3"': 'answers.s is never "3": write 3, without quotes',
    'answers.b == "Yes"': 'answers.b is never "Yes": that is the label; write true',
    "answers.b == 1": "answers.b is never 1: its answers are true, false",
    'answers.x == ""': 'answers.x is never "": an empty answer is null; compare with null',
    "answers.x == 3": "answers.x is never 3: its answers are texts",
    'answers.d == "2026-02-30"': 'answers.d is never "2026-02-30": The answer must be a real date, as YYYY-MM-DD',
    "answers.i == true": "answers.i is never true: this step takes no answer",
    'answers.c > "x"': FAILS + "a number and a text cannot be compared",
    '"Rest" in answers.t': FAILS + "`in` needs a list, and there is a text",
    "size(answers.n) > 2": FAILS + "a number has no size",
    "answers.n + 1": FAILS + "the result is a number, not true or false",
    'answers.x + answers.n == "a"': FAILS + "a text and a number cannot be added",
    "answers.unknown == 1": "answers.unknown names a step that is not in the survey",
    "answers.C == 1": "answers.C names a step that is not in the survey; did you mean c?",
    'answers.o == "Something else"': 'answers.o is never "Something else": that is the label; write "other"',
    'answers.o == "y"': 'answers.o is never "y": its answers are "x", "other"',
    "answers.p > 3": FAILS + "a text and a number cannot be compared",
    '["Ja"].exists(one, one == answers.t)': 'answers.t is never "Ja": its answers are "Rest", "Tablets", "3"',
    '[answers.t, answers.o].exists(one, one == "rest")': 'one is never "rest"; did you mean "Rest"?',
    'answers.m.filter(one, one != "none").exists(one, one == "Rst")': 'one is never "Rst"; did you mean "Rest"?',
    'answers.m[0] == "Rst"': 'an item of answers.m is never "Rst"; did you mean "Rest"?',
    'coalesce(answers.t, "none") == "rest"': 'answers.t is never "rest"; did you mean "Rest"?',
    '(answers.b ? answers.t : answers.o) != "Tablet"': 'answers.t is never "Tablet"; did you mean "Tablets"?',
    '"Rst" in [answers.t, answers.o]': 'answers.t is never "Rst"; did you mean "Rest"?',
    "answers.t == answers.o": "answers.t and answers.o are never equal: no value is an answer of both",
    "answers.c != answers.x": "answers.c and answers.x are never equal: no value is an answer of both",
    "answers.d == answers.h": "answers.d and answers.h are never equal: no value is an answer of both",
    "answers.i == answers.b": "answers.i and answers.b are never equal: one of them takes no answer",
    "answers.m == answers.t": "answers.m and answers.t are never equal: no value is an answer of both",
    "answers.n == today": "answers.n is never a text",
    'answers.n + 1 == "3"': 'a number is never "3"',
    'size(answers.x) == "3" || answers.b': 'a number is never "3"',
    "int(answers.x) > answers.x": FAILS + "a number and a text cannot be compared",
    "int(answers.d) > 3": FAILS + "a text is not a whole number",
    "answers.m.exists(one, one > 3)": FAILS + "a text and a number cannot be compared",
    "answers.b ? answers.n : answers.x": FAILS + "the result is a number, not true or false",
    "answers.m.map(one, one + 1) == []": FAILS + "a text and a number cannot be added",
    "answers.x ? true : false": FAILS + "a text is not true or false",
    "answers.x || answers.n": FAILS + "a text is not true or false",
    "[][0]": FAILS + "the list is empty",
    "[[answers.m]]": FAILS + "the result is a list, not true or false",
    "answers.n / 0 == 1": FAILS + "division by zero",
    "answers.c = 1": "not a CEL expression: unexpected =: write == to compare",
    "answers.b and true": "not a CEL expression: unexpected and: write &&",
}

RIGHT = (
    "answers.c == 1.0",
    "answers.c == null",
    'answers.t in ["Rest", "3"]',
    'answers.m == ["Rest", "none"]',
    'answers.o == "other"',
    'answers.o in ["x", "other"]',
    "int(answers.x) > 3",
    "answers.d > today",
    'age(answers.d, today) > 18 && answers.d != "2026-01-15"',
    'answers.m[0] == "Rest"',
    'answers.c == 1 && answers.t == "Rest" && answers.n > 3 && answers.s > 3 && answers.b && "Rest" in answers.m',
    'timestamp(answers.d + "T00:00:00Z").getFullYear() < 2008',
    "answers.n == answers.s",
    "answers.m.filter(one, one == 'Rest').map(one, one + 1) == []",
    "answers.m.map(one, one != 'Rest', one) == [] && [].all(one, one)",
    "timestamp(answers.x).getFullYear() > 2000",
    'duration(answers.x) > duration("1h")',
    "bool(answers.x)",
    '{answers.x: 1}["k"] == 1',
    '{"k": true}[answers.x]',
    'answers.x.matches("^[a-z]{3}$") ? days_between(answers.x, today) > 3 : double(answers.x) > 1',
    'age(answers.x, "2000-01-01") > 1',
    'timestamp("2026-01-01T00:00:00Z").getHours(answers.x) > 1',
    "add_years(answers.d, 7000) > today",
    'answers.x == "go" ? true : answers.x + 1 == 2',
    'answered(answers.n) && coalesce(answers.t, "x") == "x"',
    "coalesce(answers.t, answers.o) == null",
    'answers.x in ["a", answers.t]',
    "answers.x == answers.d",
    "answers.m == [] || answers.t in answers.m",
    '["Rest", "x"].exists(one, one == answers.t || one == answers.o)',
    'answers.t in ["Rest", answers.o, "Tablets"]',
    "[1, 2].map(one, string(one)).exists(one, one == answers.x)",
    "answers.m.all(one, [answers.t].exists(two, two == one))",
    "today == answers.d || now > answers.x",
    "true",
)


def found_in(steps: str) -> list[str]:
    """Return the findings after the file's name."""
    return [str(finding).removeprefix("a.yaml:") for finding in check_survey(HEAD + steps, "a.yaml")[1]]


def last_step(show_if: str) -> str:
    quoted = show_if.replace("'", "''")
    return f"{STEPS}  - {{id: z, type: info, prompt: P, show_if: '{quoted}'}}\n"


@pytest.mark.parametrize(("show_if", "problem"), WRONG.items())
def test_condition_that_can_not_be_meant_is_refused(show_if: str, problem: str) -> None:
    """With what the author may have meant."""
    (finding,) = found_in(last_step(show_if))
    assert finding.partition(" ")[2] == f"step z: show_if: {problem}"


@pytest.mark.parametrize("show_if", RIGHT)
def test_condition_that_some_answers_make_true_is_accepted(show_if: str) -> None:
    """Also where no sample is known."""
    assert found_in(last_step(show_if)) == []


def test_every_expression_of_a_file_is_checked_at_its_place() -> None:
    """A mistake in the words of CEL is at its character."""
    steps = """\
  - id: c
    type: choice
    prompt: P
    options: [{value: 1, label: "Yes"}, 2]
    next:
      - {when: answer == "Yes", go: end}
      - {when: answer === 1, go: end}
    check:
      - {that: answer > "x", message: M}
  - {id: n, type: number, prompt: P, min: "{{ answers.c * 2 }}", max: "{{ today }}"}
  - {id: o, type: choices, prompt: P, options: [a, {value: b, show_if: answers.c == "1"}]}
  - {id: w, type: scale, prompt: P, min: 0, max: x, show_if: answers.c == 7}
end:
  - {when: answers.c == 9, title: T}
"""
    assert found_in(steps) == [
        '10:16: step c: next[0].when: answer is never "Yes": that is the label; write 1',
        "11:25: step c: next[1].when: not a CEL expression: unexpected =: write == to compare",
        f"13:16: step c: check[0].that: {FAILS}a number and a text cannot be compared",
        f"14:71: step n: max: {FAILS}2026-01-15 cannot be the max of this step",
        '15:72: step o: options[1].show_if: answers.c is never "1": write 1, without quotes',
        "16:50: step w: max must be a whole number",
        "16:62: step w: show_if: answers.c is never 7: its answers are 1, 2",
        "18:12: end[0].when: answers.c is never 9: its answers are 1, 2",
    ]


def test_step_that_may_have_no_option_is_a_warning() -> None:
    """Not if each answer leaves one."""
    first = "  - {id: c, type: choice, prompt: P, options: [a, b, c]}\n"
    second = "  - {id: o, type: choice, prompt: P, options: [{value: 1, show_if: %s}, {value: 2, show_if: %s}]}\n"
    assert found_in(first + second % ('answers.c == "a"', 'answers.c != "a"')) == []
    assert found_in(first + second % ('answers.c == "a"', 'answers.c == "b"')) == [
        "6:47: warning: step o: options: show_if may leave no option at all"
    ]


@pytest.mark.parametrize(
    ("step", "is_warning"),
    [
        ("- {id: o, show_if: '\"none\" in answers.m', %s}", True),
        ('- {id: o, show_if: \'answers.m.exists(one, one in ["Rest", "Tablets"])\', %s}', False),
        (
            "- {id: q, type: page, prompt: P, show_if: 'size(answers.m) > 1 || answers.m[0] != \"none\"', fields: [{id: o, %s}]}",
            False,
        ),
        ("- {id: q, type: page, prompt: P, fields: [{id: o, show_if: '!(\"none\" in answers.m)', %s}]}", False),
        (
            "- {id: q, type: page, prompt: P, fields: [{id: u, type: boolean, prompt: P}, {id: o, show_if: answers.u, %s}]}",
            True,
        ),
    ],
)
def test_step_that_is_left_out_needs_no_option(step: str, is_warning: bool) -> None:
    """Its condition, or that of its page, can leave it out whenever it has none."""
    first = "  - {id: m, type: choices, prompt: P, options: [Rest, Tablets, {value: none, exclusive: true}]}\n"
    options = ", ".join(f"{{value: {value}, show_if: '\"{value}\" in answers.m'}}" for value in ("Rest", "Tablets"))
    found = found_in(f"{first}  {step % f'type: ranking, prompt: P, options: [{options}]'}\n")
    assert [finding.rpartition(": ")[2] for finding in found] == ["show_if may leave no option at all"] * is_warning


OPTIONS = {
    ("answers.n < 5", "answers.n > 5"): True,
    ("answers.n <= 5", "answers.n > 5"): False,
    ("answers.n <= 5.2", "answers.n >= 5.8"): True,
    ("answers.n < -5", "answers.n > -5"): True,
    ("answers.s != 37", "answers.b"): True,
    ('answers.x != "Main Street 1"', "answers.b"): True,
    ('answers.x == "Main Street 1"', 'answers.x != "Main Street 1"'): False,
    ('answers.d < "2020-05-05"', 'answers.d > "2020-05-05"'): True,
    ('answers.d <= "2020-05-05"', 'answers.d >= "2020-05-07"'): True,
    ('answers.d <= "2020-05-05"', 'answers.d > "2020-05-05"'): False,
    ("answers.skipped", "!answers.skipped"): True,
    ("answers.b", "!answers.b"): False,
    ("answers.landed", "!answers.landed"): False,
    ("answers.passed", "!answers.passed"): False,
}


@pytest.mark.parametrize(("conditions", "is_warning"), OPTIONS.items(), ids=map(" or ".join, OPTIONS))
def test_answers_for_which_no_option_is_shown_are_near_the_constants(
    conditions: tuple[str, str], is_warning: bool
) -> None:
    """And a step that a rule jumps over has no answer."""
    steps = """\
  - {id: n, type: number, prompt: P}
  - {id: s, type: scale, prompt: P, min: 0, max: 100}
  - {id: x, type: text, prompt: P}
  - {id: d, type: date, prompt: P}
  - {id: b, type: boolean, prompt: P, next: [{when: answer, go: landed}]}
  - {id: skipped, type: boolean, prompt: P}
  - {id: landed, type: boolean, prompt: P}
  - {id: passed, type: boolean, prompt: P, next: [{when: answer, go: z}, {go: end}]}
"""
    options = ", ".join(f"{{value: {number}, show_if: '{one}'}}" for number, one in enumerate(conditions))
    last = f"  - {{id: z, type: choice, prompt: P, options: [{options}]}}\n"
    after = "  - {id: after, type: info, prompt: P}\n"
    found = [finding for finding in found_in(f"{steps}{last}{after}") if "show_if" in finding]
    assert [finding.partition(" ")[2] for finding in found] == (
        ["warning: step z: options: show_if may leave no option at all"] if is_warning else []
    )


@pytest.mark.parametrize(
    "condition",
    ["size(answers) > 2", "answers.exists(id, answers[id] == 1)", "[answers].exists(one, one.n == 1)", "answers == {}"],
)
def test_show_if_names_the_answers_that_it_reads(condition: str) -> None:
    """All answers have those of later steps too; rules and checks may read them."""
    problem = "show_if: must name the answers that it reads, such as answers.a"
    step = f"  - {{id: z, type: info, prompt: P, show_if: '{condition}'}}\n"
    option = f"  - {{id: y, type: choice, prompt: P, options: [a, {{value: b, show_if: '{condition}'}}]}}\n"
    rule = f"  - {{id: w, type: boolean, prompt: P, next: [{{when: '{condition}', go: end}}]}}\n"
    found = [finding.partition(" ")[2] for finding in found_in(STEPS + option + rule + step)]
    assert found == [f"step y: options[1].{problem}", f"step z: {problem}"]


def test_computed_fields_read_earlier_answers_only() -> None:
    """They are computed before the step is answered."""
    steps = """\
  - {id: a, type: number, prompt: P, min: "{{ answers.a }}", max: "{{ answers.b }}", default: "{{ size(answers) }}"}
  - {id: b, type: number, prompt: P, min: "{{ answers.a }}", default: "{{ answers.a + 1 }}"}
"""
    assert found_in(steps) == [
        "5:43: step a: min: answers.a is the answer of this step; only earlier ones are known here",
        "5:67: step a: max: answers.b is the answer of a later step; only earlier ones are known here",
        "5:95: step a: default: must name the answers that it reads, such as answers.a",
    ]


def test_samples_are_not_tried_when_the_steps_of_the_file_are_used_up() -> None:
    """Else a file of a thousand long loops would occupy the server; what was not tried is no finding."""
    expression = compile_expression('size("") == 0 ? 1 / 0 == 1 : true', Names(answers=frozenset()))
    place = Place(path=("end", 0, "when"), source=expression.source)
    valid = ValidParts(steps={}, ids=(), budget=StepBudget(15))
    assert failure(expression, (ANY,), place, valid) == "division by zero"
    assert valid.budget.left < 0
    assert failure(expression, (ANY,), place, valid) is None
    assert not hides_all_options([expression], (), bool, valid)
    assert hides_all_options([expression], (), bool, replace(valid, budget=StepBudget(1000)))


def test_check_ends_when_each_condition_takes_all_its_steps() -> None:
    """Two lists of 65,536 items, one inside the other."""
    items = "[[1]]" + ".map(x, x + x)" * 16 + "[0]"
    condition = f"{items}.all(a, {items}.all(b, b == 1))"
    steps = "".join(
        f"  - {{id: S{number}, type: text, prompt: p, show_if: '{condition}'}}\n" for number in range(1, 50)
    )
    reason = "this never has a value, whatever the answers are: it takes more than 500000 steps"
    found = check_survey(
        f"id: a\ntitle: t\nlanguage: en\nsteps:\n  - {{id: S0, type: text, prompt: p}}\n{steps}", "a.yaml"
    )[1]
    too_much = f"with the other conditions of the route{TOO_MUCH.replace('200,000', '5,000,000')}"
    assert {finding.message.partition("show_if: ")[2] for finding in found} == {reason, too_much}
    assert len(found) < 15


@pytest.mark.parametrize(
    ("step", "problem"),
    [
        ('type: date, max: "{{ now }}"', "max: 2026-01-15T10:30 cannot be the max of this step; write today"),
        ('type: time, max: "{{ now }}"', "max: 2026-01-15T10:30 cannot be the max of this step"),
        (
            'type: choices, options: [a, b], min_choices: "{{ 1.5 }}"',
            "min_choices: 1.5 cannot be the min_choices of this step",
        ),
        ('type: month, max: "{{ now }}"', None),
        ('type: scale, min: "{{ 1.5 }}", max: 5', "min: 1.5 cannot be the min of this step"),
        ('type: scale, min: 3, max: "{{ 2 + 2 }}", default: 50', None),
        ('type: month, max: "{{ 2030 }}"', "max: 2030 cannot be the max of this step"),
        ('type: choices, options: [a, b], min_choices: "{{ 4 / 2 }}"', None),
        ('type: number, min: "{{ 1.5 }}", max: "{{ 0 }}"', None),
    ],
)
def test_computed_bound_of_another_form_is_refused(step: str, problem: str | None) -> None:
    """It would be ignored whenever the step is shown."""
    found = [finding.partition(" ")[2] for finding in found_in(f"  - {{id: z, prompt: P, {step}}}\n")]
    assert [one.replace(f" {FAILS}", " ") for one in found] == ([] if problem is None else [f"step z: {problem}"])


HEAVY = "[[1]]" + ".map(x, x + x)" * 13 + "[0].all(x, x == 1) && today != null"
TOO_MUCH = " before this, one command takes more than 200,000 steps; make the loops shorter"


@pytest.mark.parametrize(
    ("count", "step", "problem"),
    [
        (
            8,
            "type: boolean, next: [{when: %s, go: last}]",
            f"next[0].when: with the other conditions of the route{TOO_MUCH}",
        ),
        (8, "type: boolean, show_if: %s", f"show_if: with the other conditions of the route{TOO_MUCH}"),
        (
            8,
            "type: boolean, next: [{when: '!answer || (answers.S0 ? answer : %s)', go: last}]",
            f"next[0].when: with the other conditions of the route{TOO_MUCH}",
        ),
        (8, "type: boolean, check: [{that: %s, message: M}]", None),
        (
            1,
            f"type: boolean, check: [{', '.join(['{that: %s, message: M}'] * 8)}]",
            f"with the other expressions of the step{TOO_MUCH}",
        ),
        (60, "type: text, next: [{when: 'answers.exists(id, answers[id] == 9)', go: end}]", None),
        (
            200,
            "type: text, max_length: 60000, next: [{when: 'answers.map(id, string(answers[id])).size() > 1', go: end}]",
            "next[0].when: with the other",
        ),
    ],
)
def test_expressions_of_one_command_take_a_limited_number_of_steps(
    count: int, step: str, problem: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else a file could occupy the server at each answer."""
    monkeypatch.setattr("app.survey.checks.costs.MAX_STEPS_OF_COMMAND", 200_000)
    step = step.replace("%s)", f"{HEAVY})").replace("%s", f"'{HEAVY}'")
    steps = "".join(f"  - {{id: S{number}, prompt: P, {step}}}\n" for number in range(count))
    found = found_in(f"{steps}  - {{id: last, type: info, prompt: P}}\n")
    assert len(found) == (problem is not None)
    assert all(str(problem) in finding for finding in found)
