"""Strict JSON: only values that every database and client can hold exactly."""

import collections
import enum
import http
import math
import time
import types

import numpy
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.core import strict_json
from app.errors import InvalidJson

EXACT = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])), inner, max_size=4)
    ),
    max_leaves=20,
)


@given(EXACT)
def test_decode_returns_what_was_encoded(value: object) -> None:
    """With the order of keys."""
    strict_json.check(value)
    assert strict_json.decode(strict_json.encode(value)) == value


@pytest.mark.parametrize(
    "text",
    [
        "NaN", "-Infinity", "1e999", '"\\u0000"', '"\\ud800"', "1" * 400, "9007199254740993", '{"a":1,"a":2}',
        "[" * 10_000, "[" * 40 + "]" * 40, "", "{", b"\xff",
    ],
)  # fmt: skip
def test_text_that_is_not_strict_json_is_refused(text: str | bytes) -> None:
    with pytest.raises(InvalidJson):
        strict_json.decode(text)


def test_refused_python_value_names_its_place() -> None:
    with pytest.raises(InvalidJson, match=r"answers\.S1\[1\]"):
        strict_json.check({"S1": [1, math.nan]}, "answers")


class Colour(enum.StrEnum):
    """An enumeration whose members are texts."""

    RED = "red"


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        (numpy.float64(1.5), "a: numpy.float64 is not a JSON type; convert it to float"),
        (numpy.str_("x"), "a: numpy.str_ is not a JSON type; convert it to str"),
        (numpy.bool_(1), "a: numpy.bool is not a JSON type"),
        (http.HTTPStatus.OK, "a: http.HTTPStatus is not a JSON type; convert it to int"),
        ([Colour.RED], f"a[0]: {__name__}.Colour is not a JSON type; convert it to str"),
        (math.frexp(1.5), None),
        (time.gmtime(0), "a: time.struct_time is not a JSON type; convert it to list"),
        (types.MappingProxyType({}), "a: mappingproxy is not a JSON type; convert it to dict"),
        ({Colour.RED: 1}, "a: the key <Colour.RED: 'red'> is not a string"),
        (collections.OrderedDict(b=1), None),
    ],
)
def test_python_value_of_another_type_is_refused_or_encoded(value: object, problem: str | None) -> None:
    """What passes can be encoded; the message says how to convert the rest."""
    if problem is None:
        strict_json.check(value, "a")
        assert strict_json.encode(value)
    else:
        with pytest.raises(InvalidJson) as refused:
            strict_json.check(value, "a")
        assert refused.value.message == problem


@pytest.mark.parametrize(
    ("wrong", "problem"),
    [
        ("NaN", "NaN"), ("-Infinity", "Infinity"), ("1e999", "1e999"), ("9" * 400, "2^53"), ("9007199254740993", "2^53"),
        ('{"a":1,"a":2}', "duplicate key 'a'"), ('"\\u0000"', "U+0000"), ('"\\ud800"', "surrogate"),
    ],
)  # fmt: skip
def test_refused_text_names_its_place(wrong: str, problem: str) -> None:
    with pytest.raises(InvalidJson) as refused:
        strict_json.decode(f'{{"answers": {{"S1": [1, {wrong}]}}}}', "body")
    assert refused.value.place == "body.answers.S1[1]"
    assert problem in refused.value.problem
