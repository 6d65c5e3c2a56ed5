"""Grids: the same options for each of several rows."""

import pytest

from tests.survey.test_pages import after, definition, refusal


@pytest.mark.parametrize(
    ("value", "stored", "to"),
    [
        ({"energy": 0, "sleep": 0}, {"sleep": 0, "energy": 0}, "last"),
        ({"sleep": 1.0, "energy": 0}, {"sleep": 1, "energy": 0}, "end"),
    ],
)
def test_grid_stores_an_option_for_each_row(value: object, stored: object, to: str) -> None:
    """In the order of the file; rules read its rows."""
    state, _ = after(("sex", "m"), ("body", {"height": 2.5, "weight": 90}), ("days", value))
    assert (state.answers["days"], state.current_step) == (stored, to)
    assert list(state.answers["days"]) == ["sleep", "energy"]


@pytest.mark.parametrize(
    ("value", "rows"),
    [
        ({"sleep": 0}, {"energy"}),
        ({"sleep": 2, "energy": None}, {"sleep", "energy"}),
        ({"sleep": 0, "energy": "Often"}, {"energy"}),
        ({"sleep": 0, "energy": 0, "x": None}, {"x"}),
        ({"sleep": 7, "y" * 70: 1}, {"sleep", "energy", "y" * 64}),
        ([], {}),
        ({str(n): 0 for n in range(5000)}, {"sleep", "energy", *map(str, range(10))}),
    ],
)
def test_refusal_of_a_grid_names_every_wrong_row(value: object, rows: set[str]) -> None:
    """Of rows that there are not, only some: the refusal must not be many times as long as the command."""
    state, _ = after(("sex", "m"), ("body", {"height": 2.5, "weight": 90}))
    found = refusal(state, "days", value)
    assert (found.code, found.fields and set(found.fields)) == ("invalid_answer", rows)


@pytest.mark.parametrize("value", [None, {}, {"sleep": None}])
def test_grid_without_any_answer_needs_one_in_each_row(value: object) -> None:
    state, _ = after(("sex", "m"), ("body", {"height": 2.5, "weight": 90}))
    found = refusal(state, "days", value)
    assert (found.code, found.fields) == ("required", dict.fromkeys(("sleep", "energy"), found.message))


GRIDS = definition("""
id: example
title: Example
language: en
steps:
  - {id: g, type: grid, prompt: p, required: false, multiple: true, rows: [{id: r, label: R}, {id: s, label: S}],
     options: [a, b, c]}
""")


@pytest.mark.parametrize(
    ("value", "stored"),
    [
        ({"r": ["c", "a"]}, {"r": ["a", "c"], "s": None}),
        ({"r": ["b"], "s": []}, {"r": ["b"], "s": None}),
        (None, None),
        ({"r": [], "s": None}, None),
    ],
)
def test_grid_with_several_options_a_row_stores_lists(value: object, stored: object) -> None:
    state, _ = after(("g", value), survey=GRIDS)
    assert state.answers["g"] == stored
