"""The rules of the quiz in `design-survey-create-a-quiz.md`: `correctAnswer`, `choicesOrder` and the complete pages."""

from collections.abc import Mapping
from typing import Any

from tests.instruments.oracle import Ending, Given, Item, Original

CHOICES = {
    "civilwar": ("1796-1803", "1810-1814", "1861-1865", "1939-1945"),
    "libertyordeath": ("John Hancock", "James Madison", "Patrick Henry", "Samuel Adams"),
    "magnacarta": (
        "The foundation of the British parliamentary system",
        "The Great Seal of the monarchs of England",
        "The French Declaration of the Rights of Man",
        "The charter signed by the Pilgrims on the Mayflower",
    ),
}
CORRECT = {
    "civilwar": "1861-1865",
    "libertyordeath": "Patrick Henry",
    "magnacarta": "The foundation of the British parliamentary system",
}
MAGNA_CARTA = dict(zip(CHOICES["magnacarta"], ("parliament", "seal", "rights", "charter"), strict=True))
"""Our values of its choices."""


def correct_answers(given: Given) -> int:
    return sum(given[question] == answer for question, answer in CORRECT.items())


def values(given: Given) -> Mapping[str, Any]:
    return {"correct": correct_answers(given)}


def ending(given: Given) -> Ending:
    """Return the first of `completedHtmlOnCondition`, or `completedHtml`."""
    correct = correct_answers(given)
    if correct == 0:
        return Ending(0)
    return Ending(1) if correct == len(CORRECT) else Ending(2, (str(correct),))


def question(name: str, *, shuffled: bool = True) -> Item:
    return Item(
        id=name,
        at=name,
        answers=(*CHOICES[name], None),
        options=CHOICES[name],
        required=False,
        shuffled=shuffled,
        codes=MAGNA_CARTA,
    )


ORIGINAL = Original(
    items=[
        Item(id="username", at="username", answers=("Ada",)),
        question("civilwar", shuffled=False),
        question("libertyordeath"),
        question("magnacarta"),
    ],
    values=values,
    outcomes={"correct": (0, 1, 2, 3)},
    ending=ending,
    endings=(0, 1, 2),
)
