"""The rules of `longitudinal/dictionary.csv`: branching logic, the calculated field, and ranges, which REDCap only warns about."""

from collections.abc import Mapping
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

from tests.instruments.oracle import Ending, Given, Item, Original, Rule

YES_NO = {1: True, 0: False}


def female(given: Given) -> bool:
    return bool(given["sex"] == 0)


def has_given_birth(given: Given) -> bool:
    return female(given) and given["given_birth"] == 1


def field(name: str, page: str, *answers: Any, **more: Any) -> Item:
    """Return an item that may stay empty: no field of this dictionary is required."""
    return Item(id=name, at=f"{page}.{name}", answers=(None, *answers), required=False, **more)


def select(name: str, page: str, count: int) -> Item:
    return field(name, page, *range(count), options=range(count))


def bmi(given: Given) -> float | None:
    """`round(([weight]*10000)/(([height])^(2)),1)`, empty without its fields."""
    height, weight = given["height"], given["weight"]
    if height is None or weight is None:
        return None
    exact = Decimal(str(weight)) * 10_000 / Decimal(str(height)) ** 2
    return float(exact.quantize(Decimal("0.1"), ROUND_HALF_UP))


def values(given: Given) -> Mapping[str, Any]:
    return {"bmi": bmi(given)}


def inserted(given: Given) -> Mapping[str, list[str]]:
    return {"consent.help": [given.known["study_id"]]}


def ending(given: Given) -> Ending:
    value = bmi(given)
    return Ending(1) if value is None else Ending(0, (f"{value:g}",))


RULES: Mapping[str, Rule] = {"female": female, "has given birth": has_given_birth}

ORIGINAL = Original(
    items=[
        field("date_enrolled", "consent", "2026-03-02"),
        field("first_name", "contact", "Ada"),
        field("last_name", "contact", "Lovelace"),
        field("telephone_1", "contact", "202-555-0123", codes={"202-555-0123": "+12025550123"}, refused=("202-555",)),
        field("email", "contact", "ada@example.org", refused=("ada",)),
        field("dob", "contact", "1985-12-10", refused=("1985-02-30",)),
        field("age", "contact", "40"),
        select("ethnicity", "background", 3),
        select("race", "background", 7),
        select("sex", "background", 2),
        field("given_birth", "background", 1, 0, codes=YES_NO, shown=female),
        field("num_children", "background", 0, 3, shown=has_given_birth, refused=(1.5,), doubted=(-1,)),
        *(
            Item(
                id=activity,
                at=f"weekly_schedule.{activity}",
                answers=(None, [0], [1, 3], [0, 1, 2, 3, 4]),
                required=False,
            )
            for activity in ("gym", "aerobics", "eat", "drink")
        ),
        Item(id="specify_mood", at="specify_mood", answers=(None, 0, 37, 100), required=False, refused=(101,)),
        Item(
            id="meds",
            at="meds",
            answers=(None, [1], [2, 3], [1, 2, 3, 4, 5]),
            options=(1, 2, 3, 4, 5),
            required=False,
            refused=([6],),
        ),
        field("height", "body", 130, 160.5, 175, 215, doubted=(129.5, 216)),
        field("weight", "body", 35, 70, 82, 200, refused=(70.5,), doubted=(34, 201)),
        Item(id="comments", at="comments", answers=(None, "I come by bus."), required=False),
        select("pmq1", "morale", 4),
        select("pmq2", "morale", 6),
        select("pmq3", "morale", 2),
        select("pmq4", "morale", 3),
    ],
    rules=RULES,
    values=values,
    outcomes={"bmi": (None, 22.9, 31.8)},
    inserted=inserted,
    ending=ending,
    endings=(0, 1),
    arrivals=({"study_id": "D-017"},),
)
