"""Mistakes that authors make in pages, grids, texts, parameters and conditions: each has a finding in their words."""

import pytest

from tests.survey.checks.test_expressions import FAILS, found_in

KNOWN = """\
  - {id: n, type: number, prompt: P}
  - {id: b, type: boolean, prompt: P}
  - {id: c, type: choice, prompt: P, options: [{value: x, label: X}, {value: y, label: Y}]}
  - {id: o, type: choices, prompt: P, options: [x, {value: y, other: true}]}
  - {id: i, type: info, prompt: P}
  - {id: g, type: grid, prompt: P, rows: [{id: r, label: R}, {id: s, label: S}], options: [0, 1]}
  - {id: p, type: page, prompt: P, fields: [{id: f, type: number, prompt: P}, {id: m, type: boolean, prompt: P}]}
"""

CONDITIONS = {
    "answers.g == 1": "answers.g is never 1: it has several answers, such as answers.g.r",
    "answers.c == answers.g": "answers.g is never a text: it has several answers, such as answers.g.r",
    "sum(answers.g) > 1": FAILS + "a map is not a list; write sum([answers.g.r, answers.g.s])",
    "answers.r == 1": "r is a row of the grid g; write answers.g.r",
    "answers.n < 3 < 5": FAILS + "a boolean and a number cannot be compared; write a < b && b < c instead of a < b < c",
    "other_text(answers.c) == null": "other_text(answers.c) never has a value: no option of c has `other: true`",
    "answers.b == True": "'True' does not exist; did you mean true?",
    "answers.n != None": "'None' does not exist; did you mean null?",
    "answers.n is null": "not a CEL expression: unexpected is: write == to compare",
    "answers.b AND true": "not a CEL expression: unexpected AND: write &&",
    "not answers.b": "not a CEL expression: unexpected answers: write !",
    "answers.n <> 3": "not a CEL expression: unexpected >: write != for unequal",
    "answers.n ≠ 3": "not a CEL expression: unexpected ≠: write !=",
    "min(answers.n, 3) > 2": "there is no function 'min'; did you mean minimum()?",
    "if(answers.b, true, false)": "not a CEL expression: unexpected if: write condition ? a : b",
    "now() > answers.n": "there is no function 'now'; write now, without brackets",
    "lower(answers.c)": "there is no function 'lower'",
    'today > "01.02.2026"': '"01.02.2026" is no date that can be compared; write it as YYYY-MM-DD, such as "2026-01-31"',
    "answer == 1": "'answer' does not exist here; write answers and the id of the step, such as answers.b",
}
INSERTIONS = {
    "label(answers.n)": "label(answers.n): an answer of this type has no label; write answers.n",
    "label(answers.i)": "label(answers.i): an answer of this type has no label; write answers.i",
    'label(answers["g"])': "label(answers.g): an answer of this type has no label; write answers.g",
    "label(answers.f)": "label(answers.f): an answer of this type has no label; write answers.f",
    "other_text(answers.n)": "other_text(answers.n) never has a value: no option of n has `other: true`",
    "other_text(answers.c)": "other_text(answers.c) never has a value: no option of c has `other: true`",
    "answers.n ?? 0": (
        "not a CEL expression: unexpected ?: write coalesce(a, b) for another value where there is none"
    ),
}
PARTS = {
    "fields: [name], type: page": "fields[0] must be a field, such as {id: name, type: text, prompt: Your name}",
    "type: boolean, next: [{when: answer, go: f}]": (
        "next[0].go: go to f, but there is no such step; it is a field of the page p"
    ),
    "type: boolean, show_if: [answers.b]": "show_if must be a condition in quotes, without braces",
    "type: boolean, show_if: 1": "show_if must be a condition in quotes, without braces",
    "type: boolean, show_if: ": (
        "warning: step z: show_if: there is no condition, so this always applies; write one, or leave out show_if"
    ),
    'type: number, min: "{{ answers.n }} + 1"': 'min must be a number; to compute it, write "{{ answers.n + 1 }}"',
    'type: text, default: "About {{ answers.n }}"': (
        "warning: step z: default: {{ }} computes a default only if there is nothing around it; "
        "join texts inside it with +"
    ),
    "type: grid, rows: [{id: r, label: R}, {id: s, label: S}], options: [a, b], default: {r: c}": (
        "default: this step does not accept it: r: The answer must be one of the options; "
        "s: This question needs an answer"
    ),
    "type: boolean, next: [{go: end}, {when: answer, go: i}]": (
        "warning: step z: next[1]: this never applies, as what is before it has no `when` and always applies"
    ),
    "type: page, fields: [{id: z1, type: number, prompt: P}], next: [{when: answer > 3, go: end}]": (
        f"next[0].when: {FAILS}a map and a number cannot be compared; answer has several answers, such as answer.z1"
    ),
    "type: page, fields: [{id: z1, type: number, prompt: P}], next: [{when: answer.z2 > 3, go: end}]": (
        f"next[0].when: {FAILS}there is no part z2; the parts are z1"
    ),
}
TOPS = {
    "parameters: [clinic]": "parameters must be parameters by name, such as parameters: {clinic: {type: text, from: url}}",
    "parameters: {p: text}": "parameters.p must be a parameter, such as {type: text, from: url}",
    "parameters: {p: {type: text, from: url, prompt: Your name}}": (
        "parameters.p: unknown field prompt; the fields are "
        "type, from, required, default, options, min, max, integer, decimals, max_length, pattern"
    ),
    "values: [total]": 'values must be expressions by name, such as values: {total: "answers.a + answers.b"}',
    "values: {v: {of: answers.n}}": 'values.v must be an expression in quotes, such as "answers.a + answers.b"',
    "end: [{title: T}, {when: answers.b, title: U}]": (
        "warning: end[1]: this never applies, as what is before it has no `when` and always applies"
    ),
}
RIGHT = (
    "answers.g.exists(row, answers.g[row] == 1)",
    "answers.g.all(row, answers.g[row] > 0) && size(answers.g) == 2",
    '"r" in answers.g && answers.g["r"] == 1 && has(answers.g.s)',
    "answers.g == null || answered(answers.g)",
    'answers.g == {"r": 1, "s": 1} || coalesce(answers.g, {"r": 1}).r == 1',
    '(answers.b ? answers.g : {"r": 1}).r == 1 || dyn(answers.g).r == 1',
    "answers.g[answers.c] == 1",
    "sum(answers.g.map(row, answers.g[row])) > 1",
    'other_text(answers.o).contains("x")',
    'today < "2027" && "2026-01-31" <= now',
)


def quoted(expression: str) -> str:
    return f"'{expression.replace(chr(39), chr(39) * 2)}'"


@pytest.mark.parametrize(("condition", "problem"), CONDITIONS.items())
def test_mistake_in_a_condition(condition: str, problem: str) -> None:
    found = found_in(f"{KNOWN}  - {{id: z, type: info, prompt: P, show_if: {quoted(condition)}}}\n")
    assert found == [f"12:{found[0].split(':')[1]}: step z: show_if: {problem}"]


@pytest.mark.parametrize("condition", RIGHT)
def test_condition_on_a_grid_or_another_text_is_accepted(condition: str) -> None:
    assert found_in(f"{KNOWN}  - {{id: z, type: info, prompt: P, show_if: {quoted(condition)}}}\n") == []


@pytest.mark.parametrize(("expression", "problem"), INSERTIONS.items())
def test_mistake_in_an_insertion(expression: str, problem: str) -> None:
    text = quoted(f"{{{{ {expression} }}}}")
    (found,) = found_in(f"{KNOWN}  - {{id: z, type: info, prompt: {text}}}\n")
    assert found.partition(" ")[2] == f"step z: prompt: {problem}"


@pytest.mark.parametrize(("fields", "problem"), PARTS.items())
def test_mistake_in_a_step(fields: str, problem: str) -> None:
    (found,) = found_in(f"{KNOWN}  - {{id: z, prompt: P, {fields}}}\n")
    assert found.partition(" ")[2] == problem if problem.startswith("warning") else f"step z: {problem}"


@pytest.mark.parametrize(("field", "problem"), TOPS.items())
def test_mistake_beside_the_steps(field: str, problem: str) -> None:
    (found,) = found_in(f"{KNOWN}{field}\n")
    assert found.partition(" ")[2] == problem


@pytest.mark.parametrize("inserted", ["label(answers.b)", "label(answers.c)", "label(answers.o)"])
def test_label_of_options_and_of_a_boolean_is_accepted(inserted: str) -> None:
    assert found_in(f"{KNOWN}  - {{id: z, type: info, prompt: '{{{{ {inserted} }}}}'}}\n") == []
