"""The rules of the Questionnaire: `enableWhen` with its `enableBehavior`; every question is `required`.

The codes of the value sets are those of the application for which it was made. "In the DD MM YYYY format that isn't in the
future" is what the explanations of CZ and SZ say.
"""

from datetime import date, timedelta

from tests.instruments.oracle import Ending, Given, Item, Original, Rule

YES, NO, UNKNOWN = "LA33-6", "LA32-8", "LA12688-0"
YES_NO = {YES: True, NO: False}

ENABLE_WHEN: dict[str, list[tuple[str, str]]] = {
    "P1": [("P0", "61-70")],
    "CZ": [("C0", YES)],
    "S1": [("S0", NO)],
    "S2": [("S0", YES), ("S1", YES)],
    "SZ": [(f"S{symptom}", YES) for symptom in "013456789ABC"],
}
"""Those with several conditions have the behavior `any`."""


def equals(question: str, code: str) -> Rule:
    return lambda given: bool(given[question] == code)


def enabled(item: str) -> Rule | None:
    conditions = ENABLE_WHEN.get(item)
    if conditions is None:
        return None
    return lambda given: any(equals(question, code)(given) for question, code in conditions)


def past(given: Given) -> list[str]:
    return [(date.fromisoformat(given.today) - timedelta(days)).isoformat() for days in (2, 30)]


def future(given: Given) -> list[str]:
    return [(date.fromisoformat(given.today) + timedelta(days)).isoformat() for days in (2, 400)]


def yes_no(name: str, page: str) -> Item:
    return Item(id=name, at=f"{page}.{name}", answers=(YES, NO), codes=YES_NO, shown=enabled(name))


def coded(name: str, page: str, *codes: str) -> Item:
    return Item(id=name, at=f"{page}.{name}", options=codes, shown=enabled(name))


def day(name: str, page: str) -> Item:
    return Item(id=name, at=f"{page}.{name}", answers=past, refused=future, shown=enabled(name))


FEVER = ("below-38C", "38C", "39C", "40C", "41C", "42C", "above-42C", UNKNOWN)

ORIGINAL = Original(
    items=[
        coded("P0", "P", "below-40", "40-50", "51-60", "61-70", "71-80", "above-80"),
        yes_no("P1", "P"),
        coded("P2", "P", "LA6255-9", "LA9996-5"),
        yes_no("P3", "P"),
        coded("P4", "P", "medical", "community", "LA46-8"),
        yes_no("P5", "P"),
        coded("P6", "P", "LA15173-0", "LA26683-5", "LA4489-6"),
        yes_no("C0", "C"),
        day("CZ", "C"),
        yes_no("S0", "S"),
        yes_no("S1", "S"),
        coded("S2", "S", *FEVER),
        *(yes_no(f"S{symptom}", "S") for symptom in "3456789ABC"),
        day("SZ", "S"),
        *(Item(id=f"D{n}", at=f"D.D{n}", answers=(YES, NO, UNKNOWN)) for n in range(4)),
        coded("M0", "M", YES, NO, UNKNOWN),
        coded("M1", "M", YES, NO, UNKNOWN),
        yes_no("M2", "M"),
    ],
    rules={
        f"{question} = {code} for {item}": equals(question, code)
        for item, conditions in ENABLE_WHEN.items()
        for question, code in conditions
    },
    ending=lambda _: Ending(0),
    endings=(0,),
    languages=("en", "de"),
)
