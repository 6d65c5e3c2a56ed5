"""One gate for JSON: what can't be held exactly by all is refused."""

import math

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
def test_what_passes_comes_back_the_same(value: object) -> None:
    """Encode and decode are inverse, key order included."""
    strict_json.check(value)
    assert strict_json.decode(strict_json.encode(value)) == value


@pytest.mark.parametrize(
    "text",
    [
        "NaN", "-Infinity", "1e999", '"\\u0000"', '"\\ud800"', "1" * 400, "9007199254740993", '{"a":1,"a":2}',
        "[" * 10_000, "[" * 40 + "]" * 40, "", "{", b"\xff",
    ],
)  # fmt: skip
def test_what_is_not_exact_is_refused(text: str | bytes) -> None:
    """Each is refused with a message, none crashes."""
    with pytest.raises(InvalidJson):
        strict_json.decode(text)


def test_python_values_that_are_not_json_are_refused_with_their_place() -> None:
    """The message names the place."""
    with pytest.raises(InvalidJson, match=r"answers\.S1\[1\]"):
        strict_json.check({"S1": [1, math.nan]}, "answers")


@pytest.mark.parametrize(
    ("wrong", "problem"),
    [
        ("NaN", "NaN"), ("-Infinity", "Infinity"), ("1e999", "1e999"), ("9" * 400, "2^53"), ("9007199254740993", "2^53"),
        ('{"a":1,"a":2}', "'a' comes twice"), ('"\\u0000"', "U+0000"), ('"\\ud800"', "surrogate"),
    ],
)  # fmt: skip
def test_refused_text_names_its_place(wrong: str, problem: str) -> None:
    """Also of what the parser meets: the path from the top, as for values."""
    with pytest.raises(InvalidJson) as refused:
        strict_json.decode(f'{{"answers": {{"S1": [1, {wrong}]}}}}', "body")
    assert refused.value.place == "body.answers.S1[1]"
    assert problem in refused.value.problem
