"""Conditions agree with a second CEL engine on random answers."""

import celpy
import pytest
from celpy.adapter import json_to_cel
from hypothesis import given
from hypothesis import strategies as st

from app.survey.expressions import EvaluationError, compile_condition
from tests.conftest import examples

SOURCES = [
    "answer == 1",
    "answer == 'a'",
    "answers.Q1 + answers.Q2 == 3",
    "answers.Q1 > 1 || answers.Q2 > 1",
    "answer in [1, 2, 'a']",
    "[answers.Q1, answers.Q2].exists(x, x == 2)",
    "has(answers.Q1)",
]

# Here, not in the test: cel-python changes Python's recursion limit, which Hypothesis watches.
ENVIRONMENT = celpy.Environment()
PROGRAMS = {source: ENVIRONMENT.program(ENVIRONMENT.compile(source)) for source in SOURCES}


@pytest.mark.parametrize("source", SOURCES)
@given(st.lists(st.sampled_from([None, 0, 1, 2, "a"]), min_size=3, max_size=3))
@examples(40)
def test_condition_agrees_with_cel_python(source: str, values: list[object]) -> None:
    """A condition that fails there does not hold here.

    Without true, which cel-python equals to 1, and without null != 0, on which it fails, unlike CEL's definition.
    """
    answers = {"Q1": values[0], "Q2": values[1]}
    condition = compile_condition(source, frozenset(answers))
    try:
        result = condition.holds(values[2], answers, tuple(answers))
    except EvaluationError:
        result = False
    assert result == second_engine(source, values[2], answers)


def second_engine(source: str, answer: object, answers: dict[str, object]) -> bool:
    try:
        result = PROGRAMS[source].evaluate({"answer": json_to_cel(answer), "answers": json_to_cel(answers)})
    except celpy.CELEvalError:
        return False
    return bool(result) if isinstance(result, celpy.celtypes.BoolType) else False
