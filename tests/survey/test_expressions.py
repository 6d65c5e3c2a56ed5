"""Expressions: the corpus of cases, what an expression reads, and what is refused with which message."""

import json
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.core import strict_json
from app.survey.checks import check_survey
from app.survey.expressions import (
    FUNCTIONS,
    MAX_LENGTH,
    EvaluationError,
    InvalidExpression,
    Names,
    Scope,
    StepBudget,
    compile_expression,
    nodes,
    parser,
    without_value,
)
from app.survey.expressions.tokens import tokens
from tests.conftest import ROOT, examples

CORPUS = json.loads((ROOT / "tests" / "survey" / "expressions.json").read_text(encoding="utf-8"))
SCOPE = CORPUS["scope"]
LABELS = {(step, value): label for step, value, label in SCOPE["labels"]}


def names(case: Mapping[str, Any], *, texts: bool) -> Names:
    return Names(
        answers=frozenset(SCOPE["answers"]),
        answer="answer" in case,
        parameters=frozenset(SCOPE["parameters"]),
        values=frozenset(SCOPE["values"]),
        texts=texts,
    )


def scope(case: Mapping[str, Any]) -> Scope:
    answers = {step: value for step, value in SCOPE["answers"].items() if value is not None}
    return Scope(
        answers=answers,
        answer=case.get("answer"),
        all_ids=tuple(SCOPE["answers"]),
        now=SCOPE["now"],
        parameters=SCOPE["parameters"],
        values=SCOPE["values"],
        labels=lambda step, value: LABELS.get((step, value)),  # type: ignore[arg-type]  # values of answers are hashable
    )


def result(case: Mapping[str, Any], *, texts: bool) -> dict[str, Any]:
    """Return what comes of a case, as the corpus writes it."""
    try:
        return {"value": compile_expression(case["expression"], names(case, texts=texts)).value(scope(case))}
    except InvalidExpression:
        return {"refused": True}
    except EvaluationError:
        return {"no_value": True}


def differs(value: Any, other: Any) -> bool:
    """Return whether JSON data differs, where true is not 1 but 1.0 is."""
    if isinstance(value, list | dict | bool) or isinstance(other, bool):
        return strict_json.encode(value) != strict_json.encode(other)
    return bool(value != other)


@pytest.mark.parametrize("group", CORPUS["groups"], ids=lambda group: group["about"])
def test_expression_has_the_result_of_the_corpus(group: Mapping[str, Any]) -> None:
    """A value, no value, or it is refused."""
    for case in group["cases"]:
        expected = {key: case[key] for key in ("value", "no_value", "refused") if key in case}
        got = result(case, texts=group.get("texts", False))
        assert got.keys() == expected.keys(), (case, got)
        assert not differs(got.get("value"), expected.get("value")), (case, got)


def test_corpus_has_a_case_of_each_function() -> None:
    """Each engine is held to all of them."""
    everything = " ".join(case["expression"] for group in CORPUS["groups"] for case in group["cases"])
    assert not [name for name in FUNCTIONS if f"{name}(" not in everything]


@pytest.mark.parametrize(
    ("source", "answers", "reads_time", "parameters", "values"),
    [
        ("true", set(), False, set(), set()),
        ("answers.a == answers['b']", {"a", "b"}, False, set(), set()),
        ("answer == 1", set(), False, set(), set()),
        ("has(answers.a) || answered(answers.b)", {"a", "b"}, False, set(), set()),
        ("answers.exists(id, answers[id] == 1)", None, False, set(), set()),
        ("answers.a == answers[string(answer)]", None, False, set(), set()),
        ("answers[string(answer)] == answers.a", None, False, set(), set()),
        ("[{'answers': 1}].exists(x, x.answers == 1)", set(), False, set(), set()),
        ("age(answers.a, today) > 18", {"a"}, True, set(), set()),
        ("now > '2026'", set(), True, set(), set()),
        ("[1].exists(today, today == 1)", set(), False, set(), set()),
        ("parameters.p + values.v", set(), False, {"p"}, {"v"}),
        ("size(parameters) + size(values)", set(), False, {"p"}, {"v", "w"}),
        ("label(answers.a) + other_text(answers.b)", {"a", "b"}, False, set(), set()),
    ],
)
def test_expression_knows_what_it_reads(
    source: str, answers: set[str] | None, reads_time: bool, parameters: set[str], values: set[str]
) -> None:
    """None: any answer. The route depends on it."""
    names = Names(answers=frozenset("ab"), answer=True, parameters=frozenset("p"), values=frozenset("vw"), texts=True)
    expression = compile_expression(source, names)
    assert expression.step_ids == answers
    assert expression.reads_time is reads_time
    assert (expression.parameter_names, expression.value_names) == (parameters, values)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("answer % 2 == 0", "not a CEL expression: unexpected % at character 8: there is no %; write mod(a, b)"),
        ("answer = 1", "not a CEL expression: unexpected = at character 8: write == to compare"),
        ("answer == 1 and true", "not a CEL expression: unexpected and at character 13: write &&"),
        ("answer == 'a", "not a CEL expression: unexpected ' at character 11: a text that does not end"),
        ("(answer", "not a CEL expression: it ends too early: expected )"),
        ("", "not a CEL expression: it ends too early"),
        ("answers.weigth > 1", "answers.weigth names a step that is not in the survey"),
        ("color == 1", "'color' does not exist; there are `answer`, `answers`, `now` and `today`"),
        ("answrs.weight == 1", "'answrs' does not exist; there are `answer`, `answers`, `now` and `today`"),
        ("totl([1])", "there is no function 'totl'"),
        ("maximun([1])", "there is no function 'maximun'; did you mean maximum()?"),
        ("[1].sum()", "write sum(x) instead of x.sum()"),
        ("contains('a', 'b')", "write x.contains() instead of contains(x)"),
        ("mod(1)", "mod() takes 2 values"),
        ("round()", "round() takes 1 or 2 values"),
        ("'a'.contains()", "contains() takes 1 value"),
        ("sum(1, 2)", "sum() takes a list; write sum([a, b])"),
        ("2 ** 3", "not a CEL expression: unexpected * at character 4: there is no power; write x * x"),
        ("2 ^ 3", "not a CEL expression: unexpected ^ at character 3: there is no power; write x * x"),
        ("label(answers.weight)", "label() is for texts only; compare values instead"),
        (
            "other_text(answer)",
            (
                "other_text() takes the answer to a step, such as other_text(answers.Q1), but no row of a grid, parameter "
                "or value"
            ),
        ),
        ("'a' < '\\q'", "not a CEL expression: \\q is not an escape sequence in the text at character 7"),
        (" " * (MAX_LENGTH + 1), "the expression has 2001 characters; at most 2000 are allowed"),
        ("'a'.matches(answer)", 'the pattern of matches() must be a text in quotes, such as x.matches("^[0-9]+$")'),
        ("'a'.matches('[')", "the pattern of matches() is not RE2: missing ]: ["),
        ("'a'.matches('((a{99}){99}){9}')", "the pattern of matches() is not RE2: invalid repetition size: {99}"),
        ("-" * 41 + "1", "the expression is nested too deeply"),
        ("[1]" + "[0]" * 150, "the expression is nested too deeply"),
        ("[1].all(x, [2].all(y, [3].all(z, x < z)))", "macros are nested deeper than 2"),
    ],
)
def test_refused_expression_says_what_to_write(source: str, message: str) -> None:
    """In an author's words."""
    with pytest.raises(InvalidExpression) as refused:
        compile_expression(source, Names(answers=frozenset({"weight"}), answer=True))
    assert str(refused.value) == message


def test_macro_may_contain_another() -> None:
    """As deep as a survey may nest them."""
    assert compile_expression("[1, 2].all(x, [3].exists(y, x < y))", Names(answers=frozenset())).holds(Scope({}))


def test_condition_does_not_hold_when_its_value_is_no_boolean() -> None:
    """A number is neither true nor false."""
    with pytest.raises(EvaluationError, match="the result is a double, not true or false"):
        compile_expression("1 + 1", Names(answers=frozenset())).holds(Scope({}))


def test_expression_that_does_not_compile_has_no_value_when_it_is_stored() -> None:
    """A stored survey always loads."""
    expression = without_value("1 % 2")
    assert (expression.step_ids, expression.reads_time) == (frozenset(), False)
    with pytest.raises(EvaluationError):
        expression.value(Scope({}))


def test_value_needs_the_time_or_labels_when_it_reads_them() -> None:
    """A caller that has none gets no value, not a wrong one."""
    names = Names(answers=frozenset({"a"}), texts=True)
    for source in ("today", "now", "label(answers.a)"):
        with pytest.raises(EvaluationError):
            compile_expression(source, names).value(Scope({"a": 1}))


def test_message_of_a_failure_has_no_answer() -> None:
    """It may be logged."""
    for source in ("answers.a + 1", "int(answers.a)", "answers.a[0]", "timestamp(answers.a)", "sum([answers.a])"):
        with pytest.raises(EvaluationError) as failed:
            compile_expression(source, Names(answers=frozenset({"a"}))).value(Scope({"a": "secret"}))
        assert "secret" not in str(failed.value)


OPTIONS = [f"option {number}" for number in range(1000)]


@pytest.mark.parametrize(
    ("source", "second", "value"),
    [
        ("answers.a.all(a, answers.b.all(b, b != a))", OPTIONS[:100], False),
        ("answers.a.all(a, answers.b.exists(b, b == 'none') || true)", OPTIONS[:100], True),
        ("answers.a.all(a, a in answers.b)", OPTIONS, True),
        ("answers.a.all(a, answers.b.all(b, b != 'none'))", OPTIONS, None),
        ("answers.a.all(a, answers.b.exists(b, b == 'none') || true)", OPTIONS, None),
        ("answers.a.all(a, answers.a == answers.b)", OPTIONS, None),
        ("answers.a.all(a, sum(answers.b) == 0)", [0] * 1000, None),
        ("answers.a.all(a, answers.b.contains('y') || true)", "x" * 60_000, None),
        ("answers.a.all(a, answers.b + 'y' != a)", "x" * 60_000, None),
        ("answers.a.all(a, size(answers.b) == 60000)", "x" * 60_000, True),
    ],
)
def test_evaluation_has_a_limited_number_of_steps(source: str, second: object, value: bool | None) -> None:
    """Counted, so that it is the same on each machine: a loop of 1,000 options within one of 100 is possible."""
    expression = compile_expression(source, Names(answers=frozenset("ab")))
    scope = Scope({"a": OPTIONS, "b": second})
    if value is not None:
        assert expression.holds(scope) is value
        return
    with pytest.raises(EvaluationError, match="it takes more than 500000 steps"):
        expression.holds(scope)


@pytest.mark.parametrize("source", ["answers.a.map(a, answers.b)", "answers.a.map(a, {answers.b: a})"])
def test_value_has_a_limited_length(source: str) -> None:
    """It is recorded, and sent with each message: a long text in each item would make 60 MB of one answer."""
    expression = compile_expression(source, Names(answers=frozenset("ab")))
    assert len(expression.value(Scope({"a": OPTIONS[:10], "b": "x" * 60_000}))) == 10
    with pytest.raises(EvaluationError, match="it takes more than 500000 steps"):
        expression.value(Scope({"a": OPTIONS, "b": "x" * 60_000}))


@pytest.mark.parametrize("error", [MemoryError, RecursionError])
def test_expression_has_no_value_when_python_has_no_memory_or_stack_left(error: type[Exception]) -> None:
    """Neither ends a command."""

    def labels(_step: str, _value: object) -> str:
        raise error

    expression = compile_expression("label(answers.a)", Names(answers=frozenset("a"), texts=True))
    with pytest.raises(EvaluationError, match="too much memory"):
        expression.value(Scope({"a": 1}, labels=labels))


def test_budget_counts_the_steps_of_each_evaluation() -> None:
    """Also of one that fails."""
    budget = StepBudget(1_000_000)
    compile_expression("1 == 1", Names(answers=frozenset())).holds(Scope({}), budget)
    assert budget.left == 1_000_000 - 3
    with pytest.raises(EvaluationError):
        compile_expression("[1, 2].all(x, x / 0 == 1)", Names(answers=frozenset())).holds(Scope({}), budget)
    assert budget.left == 1_000_000 - 3 - 9 - 2 * 5


def test_number_that_no_double_holds_has_no_value() -> None:
    """JSON has longer ones."""
    expression = compile_expression("answers.a > 1", Names(answers=frozenset({"a"})))
    with pytest.raises(EvaluationError):
        expression.holds(Scope({"a": 10**400}))


def test_nodes_of_a_tree_come_each_before_its_parts() -> None:
    """A check of a file can look for comparisons in them."""
    expression = compile_expression(
        "answers.a == 'x' ? !true : has(answers.a) && [{'k': 1}].exists(v, v['k'] == 1)", Names(answers=frozenset("a"))
    )
    assert expression.tree is not None
    kinds = [type(node).__name__ for node in nodes(expression.tree)]
    assert kinds[:6] == ["Conditional", "Binary", "Select", "Name", "Literal", "Unary"]
    assert {"Logic", "Loop", "ListOf", "MapOf", "Index"} <= set(kinds)


WORDS = [
    *FUNCTIONS, "answers", "a", "answer", "today", "now", "x", ".", ",", "(", ")", "[", "]", "{", "}", ":", "?", "!", "-",
    "+", "*", "/", "==", "!=", "<", "<=", "&&", "||", "in", "has", "all", "map", "exists", "'t'", '"', "1", "0.5", "1e308",
    "null", "true", "b'b'", "'2026-02-28'", "'\\x41'", "%", "=", "\n", "//", "😀",
]  # fmt: skip


@given(st.lists(st.sampled_from(WORDS), max_size=25).map(" ".join) | st.text(max_size=30))
@examples(1000)
def test_any_text_is_an_expression_or_refused(source: str) -> None:
    """Nothing else is raised, for any file."""
    with suppress(InvalidExpression, EvaluationError):
        expression = compile_expression(source, Names(answers=frozenset("a"), answer=True, texts=True))
        expression.value(Scope({"a": "x"}, now="2026-02-28T09:30"))


VALUES = st.sampled_from(
    [None, True, 0, -1, 2.5, 1e308, -5e-324, 10**400, "", "x", "[", "2026-02-28", "2026-02-28T09:30"]
) | st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5),
    lambda items: (
        st.lists(items, max_size=3) | st.dictionaries(st.sampled_from(["value", "text", "a"]), items, max_size=3)
    ),
    max_leaves=5,
)


@pytest.mark.parametrize("name", sorted(FUNCTIONS))
@given(st.tuples(VALUES, VALUES))
@examples(100)
def test_function_of_any_answers_has_a_value_or_none(name: str, values: tuple[Any, Any]) -> None:
    """Nothing else is raised, for any answers."""
    names = Names(answers=frozenset("ab"), texts=True)
    scope = Scope({"a": values[0], "b": values[1]}, all_ids=("a", "b"), labels=lambda _step, _value: None)
    for source in ("{}(answers.a)", "{}(answers.a, answers.b)", "answers.a.{}()", "answers.a.{}(answers.b)"):
        with suppress(InvalidExpression, EvaluationError):
            strict_json.encode(compile_expression(source.format(name), names).value(scope))


def test_each_expression_of_a_file_is_parsed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Though the survey compiles it, and the checks with more names: that took a third of a large file's check."""
    parser.parse.cache_clear()  # of other tests, or an earlier run of this one
    parsed: list[str] = []
    monkeypatch.setattr(parser, "tokens", lambda source: parsed.append(source) or tokens(source))
    text = """
id: once
title: "It is {{ 'once' + today }}"
language: en
values: {once_sum: answers.first + 1111}
steps:
  - {id: first, type: number, prompt: First, check: [{that: answer < 2222, message: M}]}
  - id: second
    type: page
    prompt: Second
    fields:
      - {id: a, type: number, prompt: A, min: "{{ answers.first - 3333 }}"}
      - {id: b, type: number, prompt: B, show_if: answers.a > values.once_sum + 4444}
"""
    survey, _ = check_survey(text, "once.yaml")
    assert survey is not None
    _ = survey.without_session.graph
    assert len(parsed) == len(set(parsed)) == 5
