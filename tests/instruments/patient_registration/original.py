"""The rules of `patient-registration.json`: `isRequired`, masks, the default and what can be added to a list."""

from typing import Any

from tests.instruments.oracle import Given, Item, Original

RELATIONSHIPS = (
    "spouse-partner",
    "parent",
    "child",
    "sibling",
    "other-family-member",
    "friend",
    "carer",
    "legal-guardian",
    "other",
)
COUNTRIES = ("France", "Germany", "Ireland", "Spain", "United Kingdom")
"""Some of those of `choicesByUrl`."""

COMPANIES = ("aetna", "bcbs", "cigna", "unitedhealthcare", "custom", "none")
"""`choices` and "None"; "custom" stands for one that is typed, which `allowCustomChoices` allows."""


def required(name: str, at: str, *answers: str, **more: Any) -> Item:
    return Item(id=name, at=f"{at}.{name.replace('-', '_')}", answers=answers, **more)


def optional(name: str, at: str, *answers: str, **more: Any) -> Item:
    return Item(id=name, at=f"{at}.{name.replace('-', '_')}", answers=(None, *answers), required=False, **more)


def united_kingdom(given: Given) -> str:
    return "United Kingdom"


ORIGINAL = Original(
    items=[
        required("first_name", "patient", "Ada"),
        required("last_name", "patient", "Lovelace"),
        required("date_of_birth", "patient", "1985-12-10", refused=("1985-02-30",)),
        required("gender", "patient", "male", "female", options=("male", "female")),
        required("phone_number", "patient", "07123 456789", refused=("07123456789",)),
        required("nhs-number", "patient", "943 476 5919", refused=("943 476 591",)),
        required("email", "patient", "ada@example.org", refused=("ada@",)),
        optional("address-line-1", "address", "12 St James's Square"),
        optional("address-line-2", "address", "Flat 3"),
        optional("town-city", "address", "London"),
        optional("county", "address", "Greater London"),
        optional("postcode", "address", "SW11 4JH", refused=("SW1Y4JH",)),
        optional("country", "address", "United Kingdom", "Ireland", options=COUNTRIES, default=united_kingdom),
        optional("emergency_contact_full_name", "emergency_contact", "Ann Byron"),
        required("emergency_contact_phone_number", "emergency_contact", "07123 456780", refused=("0712",)),
        optional("emergency_contact_relationship", "emergency_contact", *RELATIONSHIPS, options=RELATIONSHIPS),
        Item(
            id="insurance_provider",
            at="insurance_provider",
            answers=(None, *COMPANIES),
            options=COMPANIES,
            required=False,
        ),
        Item(
            id="insurance_provider (typed)",
            at="insurance_provider#custom",
            answers=("Mutual of Omaha",),
            shown=lambda given: bool(given["insurance_provider"] == "custom"),
        ),
        Item(id="known_allergies", at="known_allergies", answers=(None, "Penicillin"), required=False),
    ],
)
