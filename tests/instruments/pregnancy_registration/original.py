"""The rules of `pregnancy.xml`: `relevant`, `required`, `constraint` and `calculate` of its binds, by the names of its nodes.

A node is relevant only if its groups are. `next_visit_weeks` is a great negative number there after the last visit, which
is never shown; ours is none.
"""

import math
from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from typing import Any

from tests.instruments.oracle import Given, Item, Original, Rule

YES_NO = {"yes": True, "no": False}
NONE_OF_THESE = "none"

SIGNS = (
    "vaginal_bleeding",
    "fits",
    "severe_abdominal_pain",
    "severe_headache",
    "very_pale",
    "fever",
    "reduced_or_no_fetal_movements",
    "breaking_water",
    "easily_tired",
    "face_hand_swelling",
    "breathlessness",
)
PRIMARY = {
    "heart_condition": "A heart condition",
    "asthma": "Asthma",
    "high_blood_pressure": "High blood pressure",
    "diabetes": "Diabetes",
    "none": "None of these",
}
SECONDARY = {
    "previous_difficulties": "Difficulties in an earlier birth",
    "more_than_4_children": "Four or more children",
    "last_baby_born_less_than_1_year_ago": "A baby less than a year old",
    **PRIMARY,
}


def on(given: Given, days: int) -> str:
    """`date-time(decimal-date-time(today()) + days)`."""
    return (date.fromisoformat(given.today) + timedelta(days)).isoformat()


def shifted(day: str, days: int) -> str:
    return (date.fromisoformat(day) + timedelta(days)).isoformat()


def selected(node: str, code: str) -> Rule:
    return lambda given: code in (given[node] if isinstance(given[node], list) else [given[node]])


def both(*rules: Rule) -> Rule:
    return lambda given: all(rule(given) for rule in rules)


def any_of(*rules: Rule) -> Rule:
    return lambda given: any(rule(given) for rule in rules)


def unless(rule: Rule) -> Rule:
    return lambda given: not rule(given)


known = unless(selected("lmp_method", "method_none"))


def lmp_date(given: Given) -> str | None:
    """`g_lmp_date_8601`."""
    if given["u_lmp_date"] is not None:
        return str(given["u_lmp_date"])
    if given["lmp_approx_weeks"] is not None:
        return on(given, -given["lmp_approx_weeks"] * 7)
    if given["lmp_approx_months"] is not None:
        return on(given, -math.floor(given["lmp_approx_months"] * 30.5 + 0.5))
    return None if given["u_edd"] is None else shifted(given["u_edd"], -280)


def days(given: Given) -> int | None:
    """`days_since_lmp`."""
    lmp = lmp_date(given)
    return None if lmp is None else (date.fromisoformat(given.today) - date.fromisoformat(lmp)).days


def weeks(given: Given) -> float:
    """`weeks_since_lmp`; not a number without a date, so that no comparison holds."""
    passed = days(given)
    return math.nan if passed is None else math.floor(passed / 7 * 100 + 0.5) / 100


def next_visit_weeks(given: Given) -> int | None:
    passed = days(given)
    if passed is None:
        return None
    visits = [week * 7 - passed for week in (12, 20, 26, 30, 34, 36, 38, 40) if week * 7 > passed]
    return math.floor(visits[0] / 7 + 0.5) if visits else None


def visits(given: Given) -> int:
    return int(given["visited_hf_count"] or 0)


def has_condition(node: str) -> Rule:
    return lambda given: given[node] is not None and NONE_OF_THESE not in given[node]


def danger(given: Given) -> bool:
    return any(given[sign] == "yes" for sign in SIGNS)


def requests_services(given: Given) -> bool:
    return "no" in (given["tt_imm_received"], given["hiv_tested"], given["deworming_med"], given["iron_folate_daily"])


def risk(given: Given) -> bool:
    """`r_risk_factor_present`."""
    return (
        given["first_pregnancy"] == "yes"
        or given["previous_miscarriage"] == "yes"
        or has_condition("primary_condition")(given)
        or has_condition("secondary_condition")(given)
        or given["additional_risk_check"] == "yes"
    )


def has_next_visit(given: Given) -> bool:
    to_go = next_visit_weeks(given)
    return known(given) and to_go is not None and 0 < to_go < 40


def values(given: Given) -> Mapping[str, Any]:
    lmp, passed = lmp_date(given), days(given)
    born, today = date.fromisoformat(given.known["date_of_birth"]), date.fromisoformat(given.today)
    return {
        "patient_age_in_years": today.year - born.year - ((today.month, today.day) < (born.month, born.day)),
        "lmp_date_8601": lmp,
        "edd_8601": None if lmp is None else shifted(lmp, 280),
        "days_since_lmp": passed,
        "weeks_since_lmp": None if passed is None else weeks(given),
        "weeks_since_lmp_rounded": None if passed is None else passed // 7,
        "next_visit_weeks": next_visit_weeks(given),
        "r_risk_factor_present": "yes" if risk(given) else "no",
        "r_danger_sign_present": "yes" if danger(given) else "no" if given[SIGNS[-1]] == "no" else "",
        "request_services": "yes" if requests_services(given) else "no",
    }


def inserted(given: Given) -> Mapping[str, Sequence[str]]:
    name = given.known.get("short_name") or "the woman"
    start = given.known.get("short_name") or "The woman"
    computed = values(given)
    lmp, edd = str(computed["lmp_date_8601"]), str(computed["edd_8601"])
    full_weeks = str(computed["weeks_since_lmp_rounded"])
    texts: dict[str, Sequence[str]] = {
        "lmp_check_note": [lmp],
        "lmp_approx_weeks_check_note": [str(given["lmp_approx_weeks"])],
        "lmp_approx_months_check_note": [str(given["lmp_approx_months"])],
        "u_edd_note": [edd],
        "edd_note": [edd],
        "lmp_note": [start, full_weeks],
        "visited_count_confim_note_single": [start],
        "visited_count_confim_note_multiple": [start, str(given["visited_hf_count"])],
        "anc_visit_advice_note": [start, full_weeks, name],
        "summary": [start, str(computed["patient_age_in_years"])],
        "r_pregnancy_details": [full_weeks, edd],
        "r_risk_first": [", ".join(PRIMARY[code] for code in given["primary_condition"] or ())],
        "r_risk_other": [", ".join(SECONDARY[code] for code in given["secondary_condition"] or ())],
        "r_risk_additional": [given["additional_risk"] or ""],
        "r_routine_anc": [str(given["appointment_date"])],
        "r_fup_pregnancy_visit": [str(computed["next_visit_weeks"])],
    }
    for place in (
        *("no_info_pregnancy_reason", "pregnancy_confirm_note", "visited_hf_count", "appointment_date_known"),
        *("first_pregnancy", "primary_condition", "secondary_condition", "danger_signs", "uses_llin"),
    ):
        texts[place] = [name]
    return texts


def yes_no(node: str, page: str = "", shown: Rule | None = None) -> Item:
    return Item(id=node, at=page + node, answers=("yes", "no"), codes=YES_NO, shown=shown)


def note(node: str, page: str = "", shown: Rule | None = None) -> Item:
    return Item(id=node, at=page + node, answers=(None,), required=False, shown=shown)


ORIGINAL = Original(
    items=[
        Item(id="lmp_method", at="lmp_method", options=("method_lmp", "method_approx", "method_edd", "method_none")),
        Item(
            id="u_lmp_date",
            at="u_lmp_date",
            shown=selected("lmp_method", "method_lmp"),
            answers=lambda given: [on(given, -days) for days in (32, 85, 170, 180, 200, 220, 268)],
            refused=lambda given: [on(given, -28), on(given, -273)],
        ),
        Item(
            id="lmp_approx",
            at="method_approx.lmp_approx",
            shown=selected("lmp_method", "method_approx"),
            options=("approx_weeks", "approx_months"),
        ),
        Item(
            id="lmp_approx_weeks",
            at="method_approx.lmp_approx_weeks",
            shown=selected("lmp_approx", "approx_weeks"),
            answers=(4, 12, 13, 24, 25, 30, 31, 40),
            refused=(3, 41, 12.5),
        ),
        Item(
            id="lmp_approx_months",
            at="method_approx.lmp_approx_months",
            shown=selected("lmp_approx", "approx_months"),
            answers=(1, 5, 9),
            refused=(0, 10),
        ),
        Item(
            id="u_edd",
            at="u_edd",
            shown=selected("lmp_method", "method_edd"),
            answers=lambda given: [on(given, days) for days in (2, 60, 130, 268)],
            refused=lambda given: [on(given, -2), on(given, 273)],
        ),
        note("lmp_check_note", "method_lmp_summary.", selected("lmp_method", "method_lmp")),
        note("lmp_approx_weeks_check_note", "method_lmp_summary.", selected("lmp_approx", "approx_weeks")),
        note("lmp_approx_months_check_note", "method_lmp_summary.", selected("lmp_approx", "approx_months")),
        note("u_edd_note", "method_lmp_summary.", selected("lmp_method", "method_edd")),
        note(
            "edd_note",
            "method_lmp_summary.",
            any_of(
                selected("lmp_method", "method_lmp"),
                selected("lmp_approx", "approx_weeks"),
                selected("lmp_approx", "approx_months"),
            ),
        ),
        note("lmp_note", "method_lmp_summary.", selected("lmp_method", "method_edd")),
        note("edd_check_note", "method_lmp_summary.", known),
        Item(
            id="no_info_pregnancy_reason",
            at="method_none.no_info_pregnancy_reason",
            shown=selected("lmp_method", "method_none"),
            options=("visibly_pregnant", "test_positive", "missed_periods"),
        ),
        note("pregnancy_confirm_note", "method_none.", selected("lmp_method", "method_none")),
        Item(id="visited_hf_count", at="visited_hf_count", shown=known, answers=(0, 1, 2, 9), refused=(-1, 10, 1.5)),
        note("visited_count_confim_note_single", "visited_dates_group.", lambda given: visits(given) == 1),
        note("visited_count_confim_note_multiple", "visited_dates_group.", lambda given: visits(given) > 1),
        Item(
            id="visited_date_ask_single",
            at="visited_dates_group.visited_date_ask",
            shown=lambda given: visits(given) > 0,
            options=("no", "yes"),
        ),
        Item(
            id="visited_date_single",
            at="visited_dates_group.visited_date",
            shown=selected("visited_date_ask_single", "yes"),
            answers=lambda given: [on(given, -2), lmp_date(given)],
            refused=lambda given: [on(given, 2), shifted(lmp_date(given) or "", -1)],
        ),
        Item(
            id="appointment_date_known",
            at="anc_next_visit_date.appointment_date_known",
            shown=known,
            options=("no", "yes"),
        ),
        Item(
            id="appointment_date",
            at="anc_next_visit_date.appointment_date",
            shown=selected("appointment_date_known", "yes"),
            answers=lambda given: [on(given, 2), on(given, 28)],
            refused=lambda given: [on(given, -2), on(given, 33)],
        ),
        note("anc_visit_advice_note", "", selected("appointment_date_known", "no")),
        yes_no("first_pregnancy", "risk_factors_history."),
        yes_no("previous_miscarriage", "risk_factors_history.", selected("first_pregnancy", "no")),
        Item(
            id="primary_condition",
            at="risk_factors_present.primary_condition",
            shown=selected("first_pregnancy", "yes"),
            options=tuple(PRIMARY),
            answers=(["none"], ["asthma"], ["heart_condition", "diabetes"]),
            refused=(["asthma", "none"], []),
        ),
        Item(
            id="secondary_condition",
            at="risk_factors_present.secondary_condition",
            shown=selected("first_pregnancy", "no"),
            options=tuple(SECONDARY),
            answers=(["none"], ["previous_difficulties", "more_than_4_children", "diabetes"]),
            refused=(["diabetes", "none"],),
        ),
        Item(
            id="additional_risk_check",
            at="risk_factors_present.additional_risk_check",
            options=("yes", "no"),
        ),
        Item(
            id="additional_risk",
            at="risk_factors_present.additional_risk_check#yes",
            shown=selected("additional_risk_check", "yes"),
            answers=("High fever", "x" * 100),
            refused=("", "x" * 101),
        ),
        *(yes_no(sign, "danger_signs.") for sign in SIGNS),
        note("congratulate_no_ds_note", "danger_signs.", lambda given: all(given[sign] == "no" for sign in SIGNS)),
        note("refer_patient_note_1", "danger_signs.", danger),
        yes_no("uses_llin"),
        yes_no("iron_folate_daily"),
        yes_no("deworming_med", "", lambda given: weeks(given) > 12),
        note("eat_more_note", "", both(known, lambda given: weeks(given) <= 24)),
        note("talk_softly_note", "", both(known, lambda given: 25 <= weeks(given) <= 30)),
        note("deliver_hf_note", "", both(known, lambda given: weeks(given) >= 31)),
        yes_no("hiv_tested"),
        yes_no("tt_imm_received", "", lambda given: visits(given) > 0),
        note("r_pregnancy_details", "summary.", known),
        note("r_pregnancy_details_unknown", "summary.", selected("lmp_method", "method_none")),
        note("r_risk_first", "summary.", has_condition("primary_condition")),
        note("r_risk_other", "summary.", has_condition("secondary_condition")),
        note("r_risk_additional", "summary.", selected("additional_risk_check", "yes")),
        note("r_refer_clinic_immediately", "summary.", danger),
        note("r_routine_anc", "summary.", selected("appointment_date_known", "yes")),
        note("r_request_services", "summary.", requests_services),
        note("r_refer_hf_immediately", "summary.", selected("lmp_method", "method_none")),
        note("r_fup_pregnancy_visit", "summary.", has_next_visit),
        note("r_fup_pregnancy_visit_2_weeks", "summary.", selected("lmp_method", "method_none")),
    ],
    rules={
        "first_pregnancy, a risk": selected("first_pregnancy", "yes"),
        "previous_miscarriage, a risk": selected("previous_miscarriage", "yes"),
        "tt_imm_received, asked for": selected("tt_imm_received", "no"),
        "hiv_tested, asked for": selected("hiv_tested", "no"),
        "deworming_med, asked for": selected("deworming_med", "no"),
        "iron_folate_daily, asked for": selected("iron_folate_daily", "no"),
        **{f"{sign}, a sign": selected(sign, "yes") for sign in SIGNS},
    },
    values=values,
    outcomes={
        "r_risk_factor_present": ("yes", "no"),
        "r_danger_sign_present": ("yes", "no"),
        "request_services": ("yes", "no"),
    },
    inserted=inserted,
    arrivals=(
        {"short_name": "Ada", "date_of_birth": "1990-02-28"},
        {"date_of_birth": "2004-02-29"},
        {"short_name": "Zoë & **Ann**", "date_of_birth": "1985-12-31"},
    ),
)
