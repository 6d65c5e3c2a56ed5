"""The rules of the flow "Sample Flow - Satisfaction Survey": its nodes, their messages and the cases that lead on.

A reply that fits no case is asked again; here it is refused. The messages before `@input` is waited for are the prompts.
"""

from collections.abc import Mapping
from typing import Any

from tests.instruments.oracle import Given, Item, Original

RATINGS = (1, 2, 3, 4, 5)

YES_NO = {"Yes": True, "Other": False}
"""The categories of "Take Poll"."""


def taken(given: Given) -> bool:
    return bool(given["Take Poll"] == "Yes")


def low(given: Given, result: str) -> bool:
    """Categories 1 to 3 lead to other nodes than 4 and 5, and add the contact to the group "Unsatisfied Customers"."""
    return bool(given[result] <= 3)


def values(given: Given) -> Mapping[str, Any]:
    if not taken(given):
        return {"unsatisfied": None}
    return {"unsatisfied": low(given, "Shop Again") or low(given, "Recommend")}


def inserted(given: Given) -> Mapping[str, list[str]]:
    """Return `@contact.name` and `@webhook.coupon`, and the messages of the nodes that only one of the sides sends."""
    name = given.known["name"]
    messages = {"take_poll": [name]}
    if given["Shop Again"] is not None:
        sorry = "We are sorry to hear that, and would like to do better."
        messages["recommend"] = [sorry if low(given, "Shop Again") else "We are glad to hear that."]
        messages["recommend.help"] = [str(given["Shop Again"])]
    if given["Recommend"] is not None:
        better = "So we have to do better!"
        messages["suggestion"] = [better if low(given, "Recommend") else "Thank you! Still, nobody is perfect."]
    coupon = given.known.get("coupon")
    messages["extra_comments"] = [
        name,
        f"Your coupon code is {coupon}." if coupon else "Your coupon code will follow.",
    ]
    return messages


def rating(result: str, step: str) -> Item:
    return Item(id=result, at=step, answers=RATINGS, shown=taken, refused=(0, 6))


ORIGINAL = Original(
    items=[
        Item(id="Take Poll", at="take_poll", answers=("Yes", "Other"), codes=YES_NO),
        Item(
            id="Extra Comments (declined)",
            at="declined",
            answers=(None, "You were closed."),
            required=False,
            shown=lambda given: not taken(given),
        ),
        rating("Shop Again", "shop_again"),
        rating("Recommend", "recommend"),
        Item(id="Suggestion", at="suggestion", answers=("Longer hours",), shown=taken),
        Item(id="Gender", at="gender", options=("Male", "Female"), shown=taken),
        Item(id="Age", at="age", answers=(1, 35, 120), refused=(0, 121), shown=taken),
        Item(id="Extra Comments", at="extra_comments", answers=(None, "Bye"), required=False, shown=taken),
    ],
    rules={
        "not likely to come again": lambda given: taken(given) and low(given, "Shop Again"),
        "not likely to recommend": lambda given: taken(given) and low(given, "Recommend"),
    },
    values=values,
    outcomes={"unsatisfied": (None, True, False)},
    inserted=inserted,
    arrivals=({"name": "Ada", "coupon": "THANKS-5"}, {"name": "Ada"}),
)
