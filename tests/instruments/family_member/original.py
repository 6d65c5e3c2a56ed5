"""The rules of `sample_patient_registration.json` by its linkIds, of which those that are UUIDs have names here.

`enableWhen` and the FHIRPath of `enableWhenExpression`, `calculatedExpression` and `questionnaire-constraint`. Its
`calculated-year` compares months, not days. The date of birth depends on an item after it, which is asked before it here.
"""

import re
from collections.abc import Mapping
from datetime import date, timedelta
from typing import Any

from tests.instruments.oracle import Given, Item, Original, Rule

UNKNOWN_DATE = "36d39dbe-00e2-4e29-f079-3ec8f0119aff"
BIRTH_DATE = "cd8e3d6d-e9ff-458d-d122-57070bebffaf"
ENTERED_AGE = "8460d986-ef71-4997-80ee-7887d8c345e7"
HAS_MOTHER = "3d453a4e-8548-468f-81b7-e5451abe1106"
MOTHER_HAS_NIK = "e5e2aa85-c416-48c6-9caa-b8009c523175"
MOTHER_HAS_PHONE = "bcbce519-7314-466e-d42c-5107a4b4a687"
FATHER_LIVES = "d02e3a9e-ede2-4cd5-9c98-cc5824c06ac4"
NIK = "82a80049-8d2d-4008-81aa-55356b9d6628"
MOBILE = "a30b3cec-9692-499b-8a0e-7af15d9cb888"
OTHER_PHONE = "67355f8d-d49c-4865-fbda-14369340ea93"
MOTHER_NIK = "6dd1b786-dc61-43e7-9cda-711f71024469"
MOTHER_PHONE = "f4833bf7-c293-4f38-866d-a89066ef32d1"
NIN = "bad3d9f7-00c1-4606-d10b-b400c71f0bca"
FIRST_NAME = "e6306275-b989-4375-8527-3a56092081b8"

YES_NO = {"yes": True, "no": False}

NAME = (r"[a-zA-Z\- ]*", 0, 1_000)
SIXTEEN_DIGITS = (r"\+?(?:[()\s-]*\d[()\s-]*){16}", 16, 16)
PHONE = (r"\d{10,13}", 0, 13)
INSURANCE = (r"000\+?(?:[()\s-]*\d[()\s-]*){7,10}", 10, 13)
"""`regex`, `minLength` and `maxLength`."""

NAMES = ("Ann", "Mary-Ann van Dyk", "Zoë", "R2", "a", "Ann.")
NUMBERS = {
    SIXTEEN_DIGITS: ("3201234567890001", "3201234567890002", "320123456789000", "+320123456789001", "(320123456789001"),
    PHONE: ("0812345678", "0812345678901", "081234567", "08123456789012", "+81234567890", "081 2345678"),
    INSURANCE: ("0001234567", "0001234567890", "000+1234567", "000-1234567", "000123456", "1001234567", "000 12 34 56"),
}


def fits(answer: str, form: tuple[str, int, int]) -> bool:
    pattern, least, most = form
    return re.fullmatch(pattern, answer, re.ASCII) is not None and least <= len(answer) <= most


def calculated_year(given: Given) -> int | None:
    if given[BIRTH_DATE] is None:
        return None
    today, born = given.today, given[BIRTH_DATE]
    years = int(today[:4]) - int(born[:4])
    return years - 1 if int(born[5:7]) > int(today[5:7]) else years


def age(given: Given) -> int | None:
    return None if given[UNKNOWN_DATE] is None else given[ENTERED_AGE]


def at_least(value: int | None, bound: int) -> bool:
    return value is not None and value >= bound


def adult(given: Given) -> bool:
    """`enableBehavior` is `any`."""
    return at_least(age(given), 17) or at_least(calculated_year(given), 17)


def child(given: Given) -> bool:
    years, entered = calculated_year(given), given[ENTERED_AGE]
    known = given[UNKNOWN_DATE] is None and years is not None and years < 17
    return known or (entered is not None and entered < 17)


def equals(item: str, code: str) -> Rule:
    return lambda given: bool(given[item] == code)


def exists(item: str) -> Rule:
    return lambda given: given[item] is not None


def both(*rules: Rule) -> Rule:
    return lambda given: all(rule(given) for rule in rules)


def name(link: str, at: str, *, required: bool = True, shown: Rule | None = None) -> Item:
    accepted = tuple(text for text in NAMES if fits(text, NAME))
    return Item(
        id=link,
        at=at,
        answers=accepted if required else (*accepted[:1], None),
        refused=tuple(text for text in NAMES if not fits(text, NAME)),
        required=required,
        shown=shown,
    )


def number(link: str, at: str, form: tuple[str, int, int], *, required: bool = True, shown: Rule | None = None) -> Item:
    accepted = tuple(text for text in NUMBERS[form] if fits(text, form))
    return Item(
        id=link,
        at=at,
        answers=accepted if required else (*accepted, None),
        refused=tuple(text for text in NUMBERS[form] if not fits(text, form)),
        required=required,
        shown=shown,
    )


def again(link: str, at: str, of: str, shown: Rule) -> Item:
    """The constraint `%context.answer.value = ...` of a number that is typed twice."""
    return Item(
        id=link,
        at=at,
        answers=lambda given: [given[of]],
        refused=lambda given: [other(given[of])],
        shown=shown,
    )


def other(text: str | None) -> str:
    text = text or ""
    return text[:-1] + str((int(text[-1:] or 0) + 1) % 10)


def yes_no(link: str, at: str, shown: Rule | None = None) -> Item:
    return Item(id=link, at=at, answers=("yes", "no"), codes=YES_NO, shown=shown)


def births(given: Given) -> list[str]:
    """Return dates around the ages of 17 in months and years."""
    year, month = int(given.today[:4]), given.today[5:7]
    dates = [f"{year - 17}-{month}-28", f"{year - 17}-12-31", f"{year - 16}-01-01", f"{year - 40}-06-15"]
    return [*dates, (date.fromisoformat(given.today) - timedelta(2)).isoformat()]


def parents_birth(link: str, at: str, shown: Rule) -> Item:
    """At most `today() - 13 'years'`."""

    def years_ago(given: Given, years: int, days: int) -> str:
        day = date.fromisoformat(given.today)
        return (day.replace(year=day.year - years, day=min(day.day, 28)) + timedelta(days)).isoformat()

    return Item(
        id=link,
        at=at,
        answers=lambda given: [years_ago(given, 13, -5), years_ago(given, 60, 0), None],
        refused=lambda given: [years_ago(given, 13, 10)],
        required=False,
        shown=shown,
    )


mother = equals(HAS_MOTHER, "yes")
mother_nik = both(mother, equals(MOTHER_HAS_NIK, "yes"))
mother_phone = both(mother, equals(MOTHER_HAS_PHONE, "yes"))
father = equals(FATHER_LIVES, "yes")


def is_first_head(given: Given) -> bool:
    return given.known["family_heads"] == 0 and adult(given)


def values(given: Given) -> Mapping[str, Any]:
    return {"calculated_year": calculated_year(given), "age": age(given)}


def inserted(given: Given) -> Mapping[str, list[str]]:
    return {place: [given[FIRST_NAME] or ""] for place in ("birth", "contact", "has_mother", "is_head", "father_lives")}


ORIGINAL = Original(
    items=[
        number(NIK, "identity.nik", SIXTEEN_DIGITS, required=False),
        again("6acb0d21-98f3-4c26-8479-8a9ed30200d0", "identity.nik_again", NIK, exists(NIK)),
        name(FIRST_NAME, "identity.first_name"),
        name("8fb87910-d900-4eea-dbba-dcf76ee6806d", "identity.last_name"),
        name("597f4425-72b3-4bc4-8f38-b742aa3e99cd", "identity.nickname", required=False),
        Item(
            id=UNKNOWN_DATE,
            at="birth.birth_date_unknown",
            options=("date-of-birth-unknown",),
            answers=(None, ["date-of-birth-unknown"]),
            required=False,
        ),
        Item(
            id=BIRTH_DATE,
            at="birth.birth_date",
            shown=lambda given: given[UNKNOWN_DATE] is None,
            default=lambda given: given.known.get("date_of_delivery"),
            answers=births,
            refused=lambda given: [(date.fromisoformat(given.today) + timedelta(2)).isoformat()],
        ),
        Item(
            id=ENTERED_AGE,
            at="birth.entered_age",
            shown=exists(UNKNOWN_DATE),
            answers=(0, 16, 17, 120),
            refused=(121, 16.5),
        ),
        Item(id="77e32953-0679-48b5-f004-1ab4a4ac0271", at="birth.sex", options=("male", "female")),
        number(MOBILE, "contact.mobile", PHONE, required=False, shown=adult),
        again("5e5833bb-1514-47ff-8efe-48620e039baf", "contact.mobile_again", MOBILE, exists(MOBILE)),
        name("31283dfa-acce-4555-872c-2cbe52160fcb", "contact.spouse", required=False, shown=adult),
        name("e3a6950c-7192-4a69-df45-4d2994d50f89", "contact.other_contact", required=False, shown=adult),
        number(OTHER_PHONE, "contact.other_phone", PHONE, required=False, shown=adult),
        again(
            "8ad82649-9080-4371-8f30-4539bbbf62d1",
            "contact.other_phone_again",
            OTHER_PHONE,
            both(adult, exists(OTHER_PHONE)),
        ),
        yes_no(HAS_MOTHER, "mother.has_mother", child),
        Item(
            id="dbf5b992-03fc-457d-93eb-d603cccc9ce5",
            at="mother.mother_first_name",
            answers=("Zoë", "R2"),
            shown=mother,
        ),
        Item(id="46a91ed5-1ef8-4afc-8a8c-54d52258343e", at="mother.mother_last_name", answers=("Ann",), shown=mother),
        parents_birth("f331b415-9188-4add-cf3f-36019a593690", "mother.mother_birth_date", mother),
        yes_no(MOTHER_HAS_NIK, "mother.mother_has_nik", mother),
        number(MOTHER_NIK, "mother.mother_nik", SIXTEEN_DIGITS, shown=mother_nik),
        again("8960843f-c7ac-428b-8002-21436bdb6b1a", "mother.mother_nik_again", MOTHER_NIK, mother_nik),
        yes_no(MOTHER_HAS_PHONE, "mother.mother_has_phone", mother),
        number(MOTHER_PHONE, "mother.mother_phone", PHONE, shown=mother_phone),
        again("c92639fb-be71-4cab-90dd-ac86bdf220e1", "mother.mother_phone_again", MOTHER_PHONE, mother_phone),
        number(NIN, "household.nin", INSURANCE, required=False),
        again("fef9e49a-3501-41c6-9e9e-b57af9c32e23", "household.nin_again", NIN, exists(NIN)),
        Item(id="1b87fbf5-1330-4e65-8364-10cbf7c0a3e3", at="household.address", answers=("1 Main Street",)),
        Item(
            id="1e1a206f-1cc2-4e48-8103-b26bf4bd7c3c",
            at="household.is_head",
            options=("yes", "no"),
            answers=("yes", "no", None),
            required=False,
            shown=is_first_head,
        ),
        yes_no(FATHER_LIVES, "household.father_lives", child),
        name("945f09f7-0641-4675-8329-b02d99c5425f", "household.father_first_name", shown=father),
        name("945f09f7-0641-4675-8329-b02d99c5425g", "household.father_last_name", shown=father),
        parents_birth("f331b415-9188-4add-cf3f-36019a593691", "household.father_birth_date", father),
    ],
    rules={
        "age >= 17": lambda given: at_least(age(given), 17),
        "calculated-year >= 17": lambda given: at_least(calculated_year(given), 17),
        "entered age < 17": lambda given: given[ENTERED_AGE] is not None and given[ENTERED_AGE] < 17,
        "no head": lambda given: given.known["family_heads"] == 0,
    },
    values=values,
    inserted=inserted,
    arrivals=(
        {"family_heads": 0},
        {"family_heads": 1},
        {"family_heads": 0, "date_of_delivery": "2020-02-29"},
    ),
)
