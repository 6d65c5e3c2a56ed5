"""The rules of `PCORIClientScreener.REDCap.xml`: its branching logic, `@CALCTEXT` and calculated fields.

A field that is hidden is empty, and so is what a comparison with it finds. A sum with an empty field is no number, so
that the calculated fields are 0 then.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from tests.instruments.oracle import Ending, Given, Item, Original, Rule

YES_NO = {1: True, 0: False}

CENTERS = {1: "River Clinic", 2: "Hill Clinic", 3: "Coast Partners", 4: "Island Services", 5: "Valley Center"}
"""`health_center.choices`, with the names of our conversion."""

FOCUS = (
    "track_over_18",
    "track_own_smartphone",
    "track_english_fluency",
    "track_receiving_services",
    "track_continue_services",
    "track_phone_use_difficulty",
    "track_wifi_data",
    "track_phone_share",
)
STUDY = ("track_study_summary", "track_topics", "track_explain_voluntary", "track_explain_confidential", "study_past")


def equals(field: str, code: int) -> Rule:
    """Return `[field] = 'code'`."""
    return lambda given: bool(given[field] == code)


def all_ones(given: Given, fields: Sequence[str]) -> int:
    """Return `if ([a]+[b]+...=n,1,0)`."""
    codes = [given[field] for field in fields]
    return 1 if None not in codes and sum(codes) == len(codes) else 0


def site_id(given: Given) -> str:
    return {1: "P", 2: "M", 4: "K", 5: "S"}.get(given["health_center"], "C")


def client_id(given: Given) -> str:
    return f"{site_id(given)}{given.known['record_id']}"


def study_eligible(given: Given) -> bool:
    return all_ones(given, STUDY) == 1


def no_study(given: Given) -> bool:
    """`[track_study_eligible] = '0' or [track_obtained_consent] = '0'`."""
    return not study_eligible(given) or given["track_obtained_consent"] == 0


def field(name: str, page: str, *answers: Any, shown: Rule | None = None, **more: Any) -> Item:
    """Return an item that may stay empty."""
    return Item(id=name, at=f"{page}.{name}", answers=(None, *answers), required=False, shown=shown, **more)


def yesno(name: str, page: str, shown: Rule | None = None) -> Item:
    """Return an item with 1 and 0; of those that decide who is eligible 1 is tried more often."""
    return field(name, page, *([1] * 8 if name in FOCUS + STUDY else [1]), 0, codes=YES_NO, shown=shown)


def turned_round(name: str, page: str) -> Item:
    """Return an item whose "No" has the code 1; it is tried more often."""
    return field(name, page, 0, *[1] * 8, options=(0, 1))


def radio(name: str, page: str, *codes: int, shown: Rule | None = None) -> Item:
    """Return an item with options; of many, the first two and the last are tried."""
    return field(name, page, *codes[:2], codes[-1], options=codes, shown=shown)


def values(given: Given) -> Mapping[str, Any]:
    return {
        "site_id": site_id(given),
        "client_id": client_id(given),
        "focus_eligible": all_ones(given, FOCUS),
        "study_eligible": all_ones(given, STUDY),
    }


def inserted(given: Given) -> Mapping[str, list[str]]:
    """Return `[client_id]`, and `[health_center]`: of a list, REDCap inserts the label."""
    if given["health_center"] is None:
        return {}
    return {"track_id": [client_id(given)], "track_receiving_services": [CENTERS[given["health_center"]]]}


def ending(given: Given) -> Ending:
    """Return the eligibility: the original shows both results as fields."""
    if not all_ones(given, FOCUS):
        return Ending(2)
    return Ending(0 if study_eligible(given) else 1)


def both_calls(given: Given) -> bool:
    """`[track_second_contact] = '0' or [track_second_contact] = '1'`."""
    return given["track_second_contact"] in (0, 1)


ORIGINAL = Original(
    items=[
        Item(id="screener_desc", at="screener_desc", answers=(None,), required=False),
        radio("referral_source", "referral", 1, 2),
        field("referral_name", "referral", "Grace Hopper", shown=equals("referral_source", 2)),
        Item(id="client_first_name", at="client.client_first_name", answers=("Ada",)),
        Item(id="client_last_name", at="client.client_last_name", answers=("Lovelace",)),
        Item(id="phone", at="client.phone", answers=("202-555-0123",), codes={"202-555-0123": "+12025550123"}),
        field("client_email", "client", "ada@example.org", refused=("ada at example",)),
        radio("guardian", "client", 1, 0, 99),
        field("guardian_name", "client", "Ann Byron", shown=equals("guardian", 1)),
        field("guardian_number", "client", "202-555-0124", shown=equals("guardian", 1)),
        Item(id="health_center", at="center.health_center", options=(1, 2, 3, 4, 5)),
        radio("pfp_team", "center", *range(1, 15), 99, shown=equals("health_center", 1)),
        radio("mhcgm_team", "center", *range(1, 8), 99, shown=equals("health_center", 2)),
        radio("cp_team", "center", *range(1, 5), 99, shown=equals("health_center", 3)),
        radio("kt_team", "center", *range(1, 7), 99, shown=equals("health_center", 4)),
        radio("client_research_interest", "center", 1, 0, 99),
        Item(id="thank_you", at="thank_you", answers=(None,), required=False),
        yesno("track_invalid", "first_contact"),
        field("track_id", "first_contact", "seen"),
        yesno("track_first_contact", "first_contact"),
        field("track_first_text_date", "first_contact", "2026-09-01"),
        yesno("track_first_response", "first_contact"),
        yesno("track_second_contact", "first_contact", equals("track_first_response", 0)),
        field("track_follow_call_date", "first_contact", "2026-09-04", shown=both_calls),
        yesno("track_follow_response", "first_contact", equals("track_second_contact", 1)),
        yesno("track_client_drop", "first_contact", equals("track_follow_response", 0)),
        yesno("call_interest", "first_contact"),
        field("no_desc_call_reason", "first_contact", "no time", shown=equals("call_interest", 0)),
        field("track_call_date", "description", "2026-09-08"),
        yesno("track_consent_call", "description"),
        radio("track_participation_type", "description", 1, 2, 3),
        field("track_initial_interest_reason", "description", "too long", shown=equals("track_participation_type", 3)),
        yesno("track_over_18", "eligibility"),
        yesno("track_own_smartphone", "eligibility"),
        radio("track_os", "eligibility", 1, 2),
        field("track_phone_model", "eligibility", "Fairphone 5"),
        yesno("track_english_fluency", "eligibility"),
        yesno("track_receiving_services", "eligibility"),
        yesno("track_continue_services", "eligibility"),
        turned_round("track_phone_use_difficulty", "eligibility"),
        yesno("track_wifi_data", "eligibility"),
        turned_round("track_phone_share", "eligibility"),
        yesno("mhealth_past", "eligibility"),
        yesno("focus_past", "eligibility", equals("mhealth_past", 1)),
        yesno("consent_recontact", "eligibility"),
        yesno("track_study_summary", "understanding"),
        yesno("track_topics", "understanding"),
        yesno("track_explain_voluntary", "understanding"),
        yesno("track_explain_confidential", "understanding"),
        turned_round("study_past", "understanding"),
        yesno("track_obtained_consent", "consent", study_eligible),
        yesno("track_focus_study_ineligble", "consent", no_study),
        field("track_no_participate", "consent", "no time", shown=equals("track_obtained_consent", 0)),
        yesno("track_phone_texts", "consent", equals("track_obtained_consent", 1)),
        field("track_alternate_phone", "consent", "ada@example.org", shown=equals("track_phone_texts", 0)),
        radio("track_gift_card_preference", "consent", 1, 2, 3, shown=equals("track_obtained_consent", 1)),
        radio("track_agency", "consent", 1, 2, 3, shown=equals("track_gift_card_preference", 1)),
        field("track_address", "consent", "1 Analytical Way", shown=equals("track_gift_card_preference", 2)),
        field("track_email_gift_card", "consent", "ada@example.org", shown=equals("track_gift_card_preference", 3)),
        field("track_username", "account", "ada"),
        yesno("track_credentials_shared", "account"),
        yesno("track_installed_focus", "account"),
        yesno("lost_follow_up", "account"),
        field("lost_reason", "account", "moved", shown=equals("lost_follow_up", 1)),
        field("track_notes", "account", "call in May"),
    ],
    rules={"study eligible": study_eligible},
    values=values,
    outcomes={"site_id": ("P", "M", "C", "K", "S"), "focus_eligible": (0, 1), "study_eligible": (0, 1)},
    inserted=inserted,
    ending=ending,
    endings=(0, 1, 2),
    arrivals=({"record_id": 42},),
)
