"""Expressions of which the known part is written out: what remains has the same result."""

from collections.abc import Iterator
from typing import Any

import pytest

from app.survey.expressions import EvaluationError, Names, Scope, compile_expression, divide
from tests.survey.test_expressions import CORPUS, SCOPE, differs, names, scope

BOUNDED = "An evaluation has at most"
ANSWERS = frozenset(SCOPE["answers"])


def cases() -> list[dict[str, Any]]:
    """Return the cases of the corpus that a condition can have."""
    groups = [one for one in CORPUS["groups"] if not one.get("texts") and not one["about"].startswith(BOUNDED)]
    return [case for group in groups for case in group["cases"] if "answer" not in case and "refused" not in case]


def remainders(case: dict[str, Any]) -> Iterator[str]:
    """Yield what remains of a case where nothing, one of the answers that it reads, or every answer is unknown."""
    expression = compile_expression(case["expression"], names(case, texts=False))
    for unknown in ([], *([step] for step in expression.step_ids or ()), ANSWERS):
        yield divide(expression, names(case, texts=False), frozenset(unknown)).source(scope(case))


def test_remainder_has_the_result_of_the_whole() -> None:
    """A value, or none; whichever answers are known."""
    for case in cases():
        for source in remainders(case):
            try:
                got = {"value": compile_expression(source, names(case, texts=False)).value(scope(case))}
            except EvaluationError:
                got = {"no_value": True}
            assert ("value" in got) == ("value" in case), (case, source, got)
            assert not differs(got.get("value"), case.get("value")), (case, source, got)


NAMES = Names(
    answers=frozenset({"age", "born", "list", "page"}), parameters=frozenset({"p"}), values=frozenset({"v", "w"})
)
KNOWN = Scope(
    answers={"age": 20, "born": "2000-02-29", "list": ["a", 1]},
    all_ids=("age", "born", "list", "page"),
    now="2026-02-28T09:30",
    parameters={"p": 'say "no"\n\x08'},
    values={"v": -2.5, "w": None},
)


@pytest.mark.parametrize(
    ("source", "remainder"),
    [
        ("answers.page", "answers.page"),
        ("answers.page  ==  2.0 // as it is", "answers.page  ==  2.0 // as it is"),
        ("answers.page == answers.age", "(answers.page == 20)"),
        ("age(answers.page, today) > values.v", '(age(answers.page, "2026-02-28") > (-2.5))'),
        ("answers.page == parameters.p", r'(answers.page == "say \"no\"\n\u0008")'),
        ("answers.page in answers.list", '(answers.page in ["a", 1])'),
        ("answered(answers.page) && age(answers.born, now) > 18", "(answered(answers.page) && true)"),
        ("answers.page == values.w + 1", "(answers.page == (1 / 0))"),
        ("[answers.page, now].exists(x, x == today)", '[answers.page, "2026-02-28T09:30"].exists(x, (x == "2026-02-28"))'),
        ("[1].exists(today, today == answers.page)", "[1].exists(today, (today == answers.page))"),
        ("[2].all(x, x == answers.age) ? answers.page : null", "(false ? answers.page : null)"),
        ("answers.list[0] == answers.page[0]", '("a" == answers.page[0])'),
        ("answers.page[values.v] == today", '(answers.page[values.v] == "2026-02-28")'),
        ("-answers.page + answers.age * 2 > 0", "(((-answers.page) + 40) > 0)"),
        ("has(answers.page.x) || answers.page.matches('^a')", "has(answers.page.x) || answers.page.matches('^a')"),
        ("has(answers.page.x) || has(answers.age)", "(has(answers.page.x) || true)"),
        ("{'a': answers.page} == {'a': answers.age}", '(({"a": answers.page}) == ({"a": answers.age}))'),
        ("timestamp(answers.page) > timestamp(today + 'T00:00:00Z')",
         '(timestamp(answers.page) > timestamp((today + "T00:00:00Z")))'),
        ("{} == answers.page || {1: answers.page, 2: today} == answers.list",
         '((({}) == answers.page) || (({1: answers.page, 2: "2026-02-28"}) == ["a", 1]))'),
    ],
)  # fmt: skip
def test_remainder_has_the_values_of_what_is_known(source: str, remainder: str) -> None:
    """As short as it is, unless nothing is known; a value that cannot be written stays as its expression."""
    expression = compile_expression(source, NAMES)
    assert divide(expression, NAMES, frozenset({"page"})).source(KNOWN) == remainder


def test_long_value_is_not_written_out() -> None:
    """The client has the answer anyway."""
    expression = compile_expression("answers.list == answers.page", NAMES)
    long = KNOWN._replace(answers={"list": ["x" * 1000]})
    assert divide(expression, NAMES, frozenset({"page"})).source(long) == "(answers.list == answers.page)"
