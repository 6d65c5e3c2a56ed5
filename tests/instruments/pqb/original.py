"""The rules of `PQ-B_schema`: `isVis` of the items with a letter. Scores as in Loewy et al. 2011, doi:10.1016/j.schres.2011.03.029.

The number of symptoms, and the sum of their distress; 6 or more of this is positive. No item has `valueRequired`.
"""

from collections.abc import Mapping
from typing import Any

from tests.instruments.oracle import Ending, Given, Item, Original, Rule

PAGES = {"perception": range(1, 8), "surroundings": range(8, 15), "thoughts": range(15, 22)}
"""Our pages, with their items' numbers."""

NUMBERS = range(1, 22)


def yes(number: int) -> Rule:
    """Return `pqb_N === 1`."""
    return lambda given: bool(given[f"pqb_{number}"] == 1)


def total(given: Given) -> int:
    return sum(yes(number)(given) for number in NUMBERS)


def distress(given: Given) -> int:
    return sum(given[f"pqb_{number}a"] or 0 for number in NUMBERS)


def values(given: Given) -> Mapping[str, Any]:
    return {
        "total": total(given),
        "distress": distress(given),
        "band": "positive" if distress(given) >= 6 else "negative",
    }


def ending(given: Given) -> Ending:
    if distress(given) < 6:
        return Ending(1)
    return Ending(0, (str(total(given)), str(distress(given))))


def symptom(number: int, page: str) -> tuple[Item, Item]:
    """Return the item for a symptom, and the one for its distress."""
    name = f"pqb_{number}"
    return (
        Item(
            id=name, at=f"{page}.{name}", answers=(1, 0, None) if number < 3 else (1, 0), options=(1, 0), required=False
        ),
        Item(
            id=f"{name}a",
            at=f"{page}.{name}a",
            answers=(1, 2, 3, 4, 5, None) if number == 1 else (1, 5),
            options=(1, 2, 3, 4, 5),
            required=False,
            shown=yes(number),
        ),
    )


ORIGINAL = Original(
    items=[
        Item(id="preamble", at="preamble", answers=(None,), required=False),
        *(item for page, numbers in PAGES.items() for number in numbers for item in symptom(number, page)),
    ],
    values=values,
    outcomes={"distress": (5, 6), "band": ("positive", "negative")},
    ending=ending,
    endings=(0, 1),
    languages=("en", "de"),
)
