"""The rules of `construction_0001.json`, by names for the ids of its answers: `skip_conditions`, `routing_rules`, `enabled`.

A number is at least 0 unless it has a `minimum`, as in the runner's `NumberHandler`; a `DateRange` must not end before or
on the day on which it begins. The confirmation of 0 in total is a warning here; that of other work leads back.
"""

from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from typing import Any
from urllib.parse import quote

from tests.instruments.oracle import Ending, Given, Item, Original, Rule

YES_NO = {"Yes": True, "No": False}
REPORTS = {"Yes, I can report for this period": "month", "No, I need to report for a different period": "other"}
PUBLIC, PRIVATE = "Public sector projects", "Private sector projects"
COMMERCIAL, INDUSTRIAL = "Private commercial sector projects", "Private industrial sector projects"
SECTORS = {PUBLIC: "public", PRIVATE: "private", COMMERCIAL: "commercial", INDUSTRIAL: "industrial"}

HOUSING = ("new_public", "repair_public", "new_private", "repair_private")
INFRASTRUCTURE = ("infrastructure_new", "infrastructure_repair")
OTHER = (
    "other_new_public",
    "other_repair_public",
    "other_new_commercial",
    "other_new_industrial",
    "other_repair_private",
)


def shifted(day: str, days: int) -> str:
    return (date.fromisoformat(day) + timedelta(days)).isoformat()


def enabled(given: Given) -> bool:
    """The sections of parts: `answer24502b57` > 0."""
    return given["total"] is not None and given["total"] > 0


def yes(answer: str) -> Rule:
    return lambda given: bool(given[answer] == "Yes")


def any_in(answer: str, *sectors: str) -> Rule:
    return lambda given: any(sector in (given[answer] or ()) for sector in sectors)


def not_skipped(rule: Rule) -> Rule:
    """Other work is skipped after `No, we did not`."""
    return lambda given: given["other_work"] == "Yes" and rule(given)


def written(number: float | None) -> str:
    """Return a number as our texts have it; the original formats it as an amount of money."""
    return "" if number is None else str(int(number)) if number == int(number) else str(number)


def summed(given: Given, answers: Sequence[str]) -> float:
    """`CalculatedSummary`."""
    return float(sum(given[answer] or 0 for answer in answers))


def text(name: str, shown: Rule | None = None) -> Item:
    return Item(id=name, at=name, answers=(None,), required=False, shown=shown)


def part(name: str, shown: Rule) -> Item:
    """An amount of at most the total, `exclusive: false`."""
    return Item(
        id=name,
        at=name,
        answers=lambda given: [0, given["total"], 0.25 if given["total"] >= 0.25 else 0],
        refused=lambda given: [-0.5, given["total"] + 1, 0.125],
        shown=shown,
    )


def yes_no(name: str, shown: Rule) -> Item:
    return Item(id=name, at=name, answers=("Yes", "No"), codes=YES_NO, shown=shown)


def sectors(name: str, shown: Rule, *codes: str) -> Item:
    answers = [[code] for code in codes]
    return Item(id=name, at=name, options=codes, answers=[*answers, list(codes)], codes=SECTORS, shown=shown)


def values(given: Given) -> Mapping[str, Any]:
    return {
        "housing_total": summed(given, HOUSING),
        "infrastructure_total": summed(given, INFRASTRUCTURE),
        "other_total": summed(given, OTHER),
    }


def inserted(given: Given) -> Mapping[str, Sequence[str]]:
    known = given.known
    name, start, end = known["ru_name"], known["ref_p_start_date"], known["ref_p_end_date"]
    period = [given["from"] or start, given["to"] or end]
    sums = {summary: written(value) for summary, value in values(given).items()}
    return {
        "how_to": [known.get("trad_as") or name],
        "can_report": [start, end],
        "total": [name, *period],
        "housing": [*period, name],
        "infrastructure": [*period, name],
        "other_work": [*period, name],
        "housing_sector": [name],
        "other_sector": [name],
        "housing_summary": [sums["housing_total"]],
        "infrastructure_summary": [sums["infrastructure_total"]],
        "other_summary": [sums["other_total"]],
        **{amount: [written(given["total"])] for amount in (*HOUSING, *INFRASTRUCTURE, *OTHER)},
    }


def ending(given: Given) -> Ending:
    known = given.known
    query = {"ref": known["ru_ref"], "name": known["ru_name"], "total": written(given["total"])}
    address = "&".join(f"{name}={quote(value, safe='')}" for name, value in query.items())
    return Ending(
        place=0,
        inserted=(known.get("trad_as") or known["ru_name"], *(written(value) for value in values(given).values())),
        redirect=f"https://surveys.example/account?{address}",
    )


ORIGINAL = Original(
    items=[
        text("how_to"),
        Item(id="can_report", at="can_report", options=tuple(REPORTS), codes=REPORTS),
        Item(
            id="from",
            at="period.from",
            shown=lambda given: given["can_report"] == "No, I need to report for a different period",
            answers=lambda given: [shifted(given.known["ref_p_start_date"], days) for days in (-19, 0, 5)],
            refused=lambda given: [shifted(given.known["ref_p_start_date"], -20)],
        ),
        Item(
            id="to",
            at="period.to",
            shown=lambda given: given["can_report"] == "No, I need to report for a different period",
            answers=lambda given: [shifted(given.known["ref_p_end_date"], days) for days in (20, 0)],
            refused=lambda given: [shifted(given.known["ref_p_end_date"], 21), given["from"]],
        ),
        text("about_value"),
        Item(id="total", at="total", answers=(1250.5, 3, 0.01, 100_000_000), doubted=(0,), refused=(-1, 0.125)),
        text("about_housing", enabled),
        yes_no("housing", enabled),
        sectors("housing_sector", yes("housing"), PUBLIC, PRIVATE),
        part("new_public", any_in("housing_sector", PUBLIC)),
        part("repair_public", any_in("housing_sector", PUBLIC)),
        part("new_private", any_in("housing_sector", PRIVATE)),
        part("repair_private", any_in("housing_sector", PRIVATE)),
        text("housing_summary", yes("housing")),
        text("about_infrastructure", enabled),
        yes_no("infrastructure", enabled),
        part("infrastructure_new", yes("infrastructure")),
        part("infrastructure_repair", yes("infrastructure")),
        text("infrastructure_summary", yes("infrastructure")),
        text("about_other", enabled),
        yes_no("other_work", enabled),
        yes_no("other_work_confirmed", yes("other_work")),
        sectors("other_sector", yes("other_work"), PUBLIC, COMMERCIAL, INDUSTRIAL),
        part("other_new_public", not_skipped(any_in("other_sector", PUBLIC))),
        part("other_repair_public", not_skipped(any_in("other_sector", PUBLIC))),
        part("other_new_commercial", not_skipped(any_in("other_sector", COMMERCIAL))),
        part("other_new_industrial", not_skipped(any_in("other_sector", INDUSTRIAL))),
        part("other_repair_private", not_skipped(any_in("other_sector", COMMERCIAL, INDUSTRIAL))),
        text("other_summary", yes("other_work")),
        Item(id="comments", at="comments", answers=(None, "A new office."), required=False, refused=("x" * 2001,)),
    ],
    rules={
        "total > 0": enabled,
        "commercial": any_in("other_sector", COMMERCIAL),
        "industrial": any_in("other_sector", INDUSTRIAL),
    },
    returns={"other_work_confirmed": (lambda given: given["other_work_confirmed"] == "No", "other_work")},
    values=values,
    inserted=inserted,
    ending=ending,
    endings=(0,),
    arrivals=(
        {
            "ru_name": "Smith & Söhne <Ltd>",
            "ru_ref": "49900000001F",
            "trad_as": "S+S 100 %",
            "ref_p_start_date": "2026-02-01",
            "ref_p_end_date": "2026-02-28",
        },
        {"ru_name": "Ø", "ru_ref": "7", "ref_p_start_date": "2024-02-01", "ref_p_end_date": "2024-02-29"},
    ),
)
