"""The rules of `src/json.ts`: `visibleIf`, `choicesFromQuestion` with its mode "selected", "None", and how many to choose."""

from collections.abc import Sequence

from tests.instruments.oracle import Given, Item, Original, Rule

CLIMATES = ("Hot", "Warm", "Temperate", "Cool", "Cold")
MONTHS = (
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
)
TRANSPORT = ("Car", "Bike", "Walking", "Public-Transport")
ACTIVITIES = (
    "Spas-Wellness",
    "Sights-Landmarks",
    "Nightlife",
    "Fun-Games",
    "Nature-Parks",
    "Museums",
    "Classes-Workshops",
    "BoatTours-WaterSports",
    "Zoos-Aquariums",
    "Water-AmusementParks",
    "Casinos-Gambling",
)
CUISINES = (
    "Afghan",
    "American",
    "Beer-restaurants",
    "Cajun-Creole",
    "Chinese",
    "Ethiopian",
    "French",
    "Georgian",
    "Indian",
    "Italian",
    "Japanese-Sweets-Parlour",
    "Mexican",
    "Peruvian",
    "Thai",
    "Wine-Bar",
)
"""Some of the original's 126."""


def any_of(name: str, options: Sequence[str]) -> Rule:
    """Return `{name} anyof [...]`."""
    return lambda given: not set(given[name] or ()).isdisjoint(options)


def choices(name: str, at: str, options: Sequence[str], most: int, *, none: bool = False) -> Item:
    """Return a checkbox question: each option, the most of them, and one more."""
    answers = [[option] for option in options] + [list(options[:most])]
    return Item(
        id=name,
        at=at,
        options=(*options, "none") if none else options,
        answers=[*answers, ["none"]] if none else answers,
        refused=([options[0], "none"],) if none else ([list(options[: most + 1])] if most < len(options) else ()),
    )


def ranking(name: str, at: str, of: str, options: Sequence[str], *, none: bool = False) -> Item:
    """Return a ranking of what was chosen at another question; `visibleIf` leaves it out after "None", if there is one."""

    def chosen(given: Given) -> list[str]:
        return [option for option in options if option in (given[of] or ())]

    def orders(given: Given) -> list[list[str]]:
        return [chosen(given), chosen(given)[::-1]]

    def incomplete(given: Given) -> list[list[str]]:
        return [chosen(given)[1:]] if len(chosen(given)) > 1 else []

    return Item(
        id=name,
        at=at,
        ranks=True,
        options=chosen,
        answers=orders,
        shown=any_of(of, options) if none else None,
        refused=incomplete,
    )


def rating(name: str, at: str) -> Item:
    return Item(id=name, at=at, answers=range(1, 6))


def boolean(name: str, at: str) -> Item:
    return Item(id=name, at=at, answers=(True, False))


ORIGINAL = Original(
    items=[
        choices("climate-choices", "climate_choices", CLIMATES, 5, none=True),
        ranking("climate-ranking", "climate_ranking", "climate-choices", CLIMATES, none=True),
        Item(id="climate-humidity", at="climate_humidity", options=("Wet", "Dry", "none")),
        choices("time-of-year", "time_of_year", MONTHS, 12),
        choices("transport-choices", "transport_choices", TRANSPORT, 4, none=True),
        ranking("transport-ranking", "transport_ranking", "transport-choices", TRANSPORT, none=True),
        rating("budget", "trip.budget"),
        boolean("has-kids", "trip.has_kids"),
        boolean("adrenaline-seeking", "trip.adrenaline_seeking"),
        choices("activity-type-choices", "activity_type_choices", ACTIVITIES, 9),
        ranking("activity-type-ranking", "activity_type_ranking", "activity-type-choices", ACTIVITIES),
        rating("hotel-importance", "hotel_importance"),
        choices("cuisine-choices", "cuisine_choices", CUISINES, 5),
        ranking("cuisine-ranking", "cuisine_ranking", "cuisine-choices", CUISINES),
        rating("healthcare-importance", "safety.healthcare_importance"),
        rating("safety-importance", "safety.safety_importance"),
    ],
    rules={
        "several climates": lambda given: len(given["climate-choices"]) > 1,
        "several activities": lambda given: len(given["activity-type-choices"]) > 1,
    },
)
