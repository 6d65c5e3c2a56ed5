"""Expressions agree with independent implementations: a CEL engine in Rust, Node.js, fractions and days.

The engine in Rust has integers beside doubles, so every number has a point.
"""

import datetime
import json
import shutil
import subprocess
from collections.abc import Callable
from fractions import Fraction
from random import Random
from statistics import mean
from typing import Any

import cel
import pytest
from hypothesis import example, given, reject
from hypothesis import strategies as st

from app.survey.expressions import EvaluationError, InvalidExpression, Names, Scope, compile_expression, number_text
from tests.conftest import examples, skip_or_fail

ANSWERS = {"a": 1.0, "b": 2.5, "c": "x", "d": None, "e": ["x", "y"], "f": True, "g": {"r": 2.0}}
NAMES = Names(answers=frozenset(ANSWERS))
NO_VALUE = "no value"

LEAVES = st.sampled_from([
    "0.0", "1.0", "2.5", "-1.0", "'x'", "'xy'", "''", "true", "false", "null", "[]", "[1.0, 2.0]", "['x']", "{'r': 2.0}",
    *(f"answers.{step}" for step in ANSWERS),
    "answers.g.r", "answers.g.s", "answers.e[0]", "answers.e[5]", "has(answers.g.r)", "has(answers.g.s)",
])  # fmt: skip


def joined(children: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    """Return operators, methods and macros on expressions."""
    two = st.tuples(children, children)
    operators = ["==", "!=", "<", "<=", ">", ">=", "&&", "||", "+", "-", "*"]
    return st.one_of(
        st.tuples(two, st.sampled_from(operators)).map(lambda one: f"({one[0][0]} {one[1]} {one[0][1]})"),
        st.tuples(children, st.sampled_from(["(!{})", "(0.0 - {})", "({} / 4.0)", "[{}]", "{{'k': {}}}.k"])).map(
            lambda one: one[1].format(one[0])
        ),
        st.tuples(children, children, children).map(lambda one: f"({one[0]} ? {one[1]} : {one[2]})"),
        two.map(lambda one: f"({one[0]} in [{one[1]}, 'x'])"),
        children.map(lambda one: f"('r' in {one})"),
        two.map(lambda one: f"{one[0]}.startsWith({one[1]})"),
        two.map(lambda one: f"{one[0]}.contains({one[1]})"),
        two.map(lambda one: f"{one[0]}.map(v, [v, {one[1]}])"),
        two.map(lambda one: f"{one[0]}.filter(v, v == {one[1]})"),
        two.map(lambda one: f"{one[0]}.exists(v, v == {one[1]})"),
        two.map(lambda one: f"{one[0]}.all(v, v != {one[1]})"),
        two.map(lambda one: f"{one[0]}.exists_one(v, v == {one[1]})"),
    )


EXPRESSIONS = st.recursive(LEAVES, joined, max_leaves=8)


def ours(source: str) -> Any:
    try:
        return compile_expression(source, NAMES).value(Scope(ANSWERS, all_ids=tuple(ANSWERS)))
    except EvaluationError:
        return NO_VALUE
    except InvalidExpression:
        reject()  # macros in macros in macros


def in_rust(source: str) -> Any:
    try:
        return cel.evaluate(source, {"answers": ANSWERS})
    except (TypeError, ValueError, LookupError, ArithmeticError, RuntimeError):
        return NO_VALUE


@given(EXPRESSIONS)
@examples(1500)
@example("answers.d > 1 || true")
def test_expression_agrees_with_an_engine_in_rust(source: str) -> None:
    """On values, and on which have none."""
    assert repr(json_like(ours(source))) == repr(json_like(in_rust(source))), source


def json_like(value: Any) -> Any:
    """Return a value in which 1 and 1.0 are the same, and true is not."""
    if isinstance(value, list):
        return [json_like(item) for item in value]
    if isinstance(value, dict):
        return {name: json_like(item) for name, item in value.items()}
    return float(value) + 0.0 if isinstance(value, int | float) and not isinstance(value, bool) else value


FINITE = st.floats(allow_nan=False, allow_infinity=False)


def evaluate(source: str, **answers: object) -> Any:
    return compile_expression(source, Names(answers=frozenset(answers))).value(Scope(answers))


def test_number_is_written_as_ecmascript_does() -> None:
    """String(x) of Node.js, for numbers of all sizes."""
    node = shutil.which("node")
    if node is None:
        skip_or_fail("Node.js is not installed (Debian: apt install nodejs)")
    random = Random(1)
    numbers = [random.uniform(1, 10) * 10.0 ** random.randint(-320, 307) for _ in range(5000)]
    numbers += [round(random.uniform(-1000, 1000), digits) for digits in range(6) for _ in range(500)]
    numbers += [float(f"{sign}1e{exponent}") for sign in ("", "-") for exponent in range(-323, 309)]
    numbers += [0.0, -0.0, 5e-324, 2.0**53, 1.7976931348623157e308, *map(float, range(-20, 20))]
    script = "process.stdout.write(JSON.parse(require('fs').readFileSync(0)).map(String).join(' '))"
    done = subprocess.run(
        [str(node), "-e", script], input=json.dumps(numbers), capture_output=True, text=True, check=True
    )
    assert list(map(number_text, numbers)) == done.stdout.split(" ")


@given(FINITE, st.integers(-20, 20))
@examples(300)
@example(2.675, 2)
def test_round_is_half_away_from_zero_of_the_number_as_it_is_written(number: float, digits: int) -> None:
    """As fractions have it."""
    scaled = abs(Fraction(repr(number))) * Fraction(10) ** digits
    expected = Fraction(int(scaled + Fraction(1, 2))) / Fraction(10) ** digits
    assert evaluate("round(answers.a, answers.b)", a=number, b=digits) == float(expected if number >= 0 else -expected)


DATES = st.dates(datetime.date(1800, 1, 1), datetime.date(2200, 12, 31))


@given(DATES, st.integers(-1000, 1000))
@examples(300)
@example(datetime.date(2024, 2, 29), 1)
def test_added_months_and_years_are_the_last_day_that_the_month_has(date: datetime.date, count: int) -> None:
    """At most the day of the date: 29 February, 28 February."""
    for unit, months in (("months", count), ("years", 12 * count)):
        later = date.replace(day=1)
        later = later.replace(
            year=later.year + (later.month - 1 + months) // 12, month=(later.month - 1 + months) % 12 + 1
        )
        while later.day < date.day and (later + datetime.timedelta(1)).day > 1:
            later += datetime.timedelta(1)
        assert evaluate(f"add_{unit}(answers.a, answers.n)", a=date.isoformat(), n=count) == later.isoformat()


@given(DATES, DATES)
@examples(300)
def test_age_counts_birthdays_and_days_between_lead_to_the_date(birth: datetime.date, on: datetime.date) -> None:
    """Whole years, and days that may be negative."""
    answers = {"a": birth.isoformat(), "b": on.isoformat()}
    days = evaluate("days_between(answers.a, answers.b)", **answers)
    assert birth + datetime.timedelta(days=days) == on
    assert evaluate("add_days(answers.a, answers.n)", n=days, **answers) == on.isoformat()
    if birth <= on:
        born = sum(birthday(birth, year) <= on for year in range(birth.year + 1, on.year + 1))
        assert evaluate("age(answers.a, answers.b)", **answers) == born


def birthday(birth: datetime.date, year: int) -> datetime.date:
    """Return the birthday in a year; that of 29 February is 1 March in years that have none."""
    try:
        return birth.replace(year=year)
    except ValueError:
        return datetime.date(year, 3, 1)


@given(st.lists(st.none() | st.integers(-1000, 1000), max_size=8))
@examples(300)
def test_aggregates_skip_nulls_and_agree_with_python(items: list[int | None]) -> None:
    """Of whole numbers, whose sums are exact."""
    numbers = [item for item in items if item is not None]
    assert evaluate("sum(answers.a)", a=items) == sum(numbers)
    aggregates: dict[str, Callable[[list[int]], float]] = {"mean": mean, "minimum": min, "maximum": max, "count": len}
    for name, expected in aggregates.items():
        if numbers:
            assert evaluate(f"{name}(answers.a)", a=items) == expected(numbers)
        else:
            with pytest.raises(EvaluationError):
                evaluate(f"{name}(answers.a)", a=items)


@given(FINITE, FINITE.filter(bool))
@examples(300)
def test_mod_agrees_with_the_remainder_of_fractions(number: float, divisor: float) -> None:
    """With the sign of the number."""
    exact = abs(Fraction(number)) % abs(Fraction(divisor))
    assert evaluate("mod(answers.a, answers.b)", a=number, b=divisor) == float(exact if number >= 0 else -exact)
