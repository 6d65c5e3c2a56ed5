"""The rules of the activities of `activities/PHQ`: their order, `valueRequired`, response options and `compute`."""

from collections.abc import Mapping
from typing import Any

from tests.instruments.oracle import Ending, Given, Item, Original


def letters(prefix: str, last: str) -> list[str]:
    """Return the ids of an activity's items: `phq1a`, `phq1b` and so on."""
    return [f"{prefix}{chr(code)}" for code in range(ord("a"), ord(last) + 1)]


ACTIVITIES = {
    "phq1_total_score": (letters("phq1", "m"), "somatic", 3),
    "phq2_total_score": (letters("phq2", "i"), "depression", 3),
    "phq3_total_score": (letters("phq3", "d"), "anxiety", 1),
    "phqq4_total_score": (letters("phq4", "k"), "attack", 1),
    "phq5_total_score": (letters("phq5", "g"), "worry", 2),
}
"""By the name of its `compute`: the items in order, our grid, and the greatest value of its response options."""


def values(given: Given) -> Mapping[str, Any]:
    """Return each `jsExpression`, the sum of all items of its activity."""
    return {name: sum(given[item] for item in items) for name, (items, _, _) in ACTIVITIES.items()}


def ending(given: Given) -> Ending:
    return Ending(0, tuple(str(total) for total in values(given).values()))


ORIGINAL = Original(
    items=[
        Item(id="preamble", at="preamble", answers=(None,), required=False),
        *(
            Item(
                id=item,
                at=f"{grid}.{item}",
                answers=range(greatest + 1) if item == items[0] else (0, greatest),
                refused=(greatest + 1,) if item == items[0] else (),
            )
            for items, grid, greatest in ACTIVITIES.values()
            for item in items
        ),
        Item(id="phq11", at="phq11", options=(0, 1, 2, 3)),
    ],
    values=values,
    ending=ending,
    endings=(0,),
    languages=("en", "es"),
)
